"""Pictures as they come: the bytes of a request, and which face of a picture is meant."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from appliance.api.azure.errors import FaceApiError, bad_argument, bad_image
from appliance.errors import RefusedError
from appliance.faces.detect import described
from appliance.records import Grade
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from starlette.requests import Request

    from appliance.faces.detect import Rectangle
    from appliance.faces.reader import SeenFace
    from appliance.records import Embedding
    from appliance.web.faceroom import FaceRoom

MAX_IMAGE = 6 * 1024 * 1024  # bytes, as the service has it
MAX_JSON = 64 * 1024  # bytes
LEAST_FACE_PX = 36  # a side; as the service has it
_READ = "JPEG and PNG are read here"

# What the OpenAPI document says of a body that is a picture.
PICTURE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}
            },
        },
    }
}

_NAMED = {"type": "object", "properties": {"sessionImageId": {"type": "string"}, "url": {"type": "string"}}}
PICTURE_OR_NAME: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {**PICTURE["requestBody"]["content"], "application/json": {"schema": _NAMED}},
    }
}


async def image_of(request: Request, *, of_sessions: bool = False) -> bytes:
    """Return the picture that is the body. Raises FaceApiError for one that is too large, and for a body that is none.

    A URL is always refused: this device asks nobody for pictures. With `of_sessions`, the body may name a picture of a
    liveness session.
    """
    if content_type(request) == "application/json":
        image_id = (await json_of(request)).get("sessionImageId")
        if of_sessions and isinstance(image_id, str):
            return session_image_of(request, image_id)
        raise FaceApiError(
            HTTPStatus.BAD_REQUEST, "InvalidURL", "Invalid image URL: no URL is read here; send the picture itself"
        )
    if content_type(request) != "application/octet-stream":
        raise FaceApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", "Content-Type must be application/octet-stream"
        )
    return await _body(
        request, MAX_IMAGE, FaceApiError(HTTPStatus.BAD_REQUEST, "InvalidImageSize", "Image size is too big.")
    )


def session_image_of(request: Request, image_id: str) -> bytes:
    """Return a picture of a liveness session that whoever asks has made, JPEG. Raises FaceApiError."""
    try:
        return rooms_of(request).sessions.image(who_is(request).voice, image_id)
    except RefusedError as fault:
        raise FaceApiError(HTTPStatus.NOT_FOUND, "SessionImageNotFound", str(fault)) from fault


def content_type(request: Request) -> str:
    """Return what the body is said to be, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_of(request: Request) -> dict[str, Any]:
    """Return the body, which is an object in JSON. Raises FaceApiError."""
    fault = bad_argument("JSON parsing error: the body is no object")
    try:
        read = json.loads(await _body(request, MAX_JSON, fault))
    except (ValueError, RecursionError):
        raise fault from None
    if not isinstance(read, dict):
        raise fault
    return read


async def _body(request: Request, most: int, too_large: FaceApiError) -> bytes:
    """Return the body. Raises `too_large`, once it was heard to its end: a client reads no answer before."""
    kept, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            kept += part
    if size > most:
        raise too_large
    return bytes(kept)


async def pixels_of(request: Request, image: bytes) -> NDArray[np.uint8]:
    """Return what a picture shows, (H, W, 3) RGB. Raises FaceApiError, PhotoError, BusyError."""
    if not image:
        raise bad_image(f"Decoding error, image format unsupported: it is empty; {_READ}")
    pixels = await rooms_of(request).decoded(image, "in the body")
    if min(pixels.shape[:2]) < LEAST_FACE_PX:
        raise FaceApiError(HTTPStatus.BAD_REQUEST, "InvalidImageSize", "Image size is too small.")
    return pixels


def one_face(room: FaceRoom, pixels: NDArray[np.uint8], target: Rectangle | None) -> Embedding:
    """Return the template of the face that is to be kept: the only one of the picture, or the one at `target`.

    Raises FaceApiError for none, several where none is meant, and one that is seen too badly to be kept.
    """
    height, width = pixels.shape[:2]
    places = [(described(one, width, height).rectangle, one) for one in room.pictures.reader.read(pixels)]
    found = [(at, one) for at, one in places if min(at.width_px, at.height_px) >= LEAST_FACE_PX]
    if target is not None:
        found = [(at, one) for at, one in found if _overlap(at, target) >= 0.5]
        found.sort(key=lambda pair: -_overlap(pair[0], target))
        del found[1:]
    if not found:
        raise bad_image("No face detected in the image.")
    if len(found) > 1:
        raise bad_image(f"There is more than 1 face in the image: {len(found)}; targetFace says which is meant")
    return _good(found[0][1])


def _good(seen: SeenFace) -> Embedding:
    if seen.embedding is None or seen.quality.grade <= Grade.LOW:
        why = ", ".join(flaw.value.replace("_", " ") for flaw in seen.quality.flaws) or "it cannot be read"
        raise bad_image(f"The face is seen too badly to be kept: {why}")
    return seen.embedding


def _overlap(one: Rectangle, other: Rectangle) -> float:
    """Return intersection over union, 0..1."""
    across = min(one.left_px + one.width_px, other.left_px + other.width_px) - max(one.left_px, other.left_px)
    down = min(one.top_px + one.height_px, other.top_px + other.height_px) - max(one.top_px, other.top_px)
    shared = max(across, 0) * max(down, 0)
    return shared / (one.width_px * one.height_px + other.width_px * other.height_px - shared)
