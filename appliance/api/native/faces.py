"""Faces in pictures: where they are, whether two are one person's, who of those enrolled they are. Nothing is kept.

Nobody below admin is told a similarity: whoever saw it rise could climb towards somebody enrolled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import File, Form, Request, UploadFile
from pydantic import Field

from appliance.api.native.pictures import image_of
from appliance.api.native.problems import NotThereError
from appliance.api.native.routes import for_roles, router
from appliance.api.native.shapes import Answer
from appliance.contract import Role
from appliance.errors import UsageError
from appliance.faces.comparing import MAX_CANDIDATES, Verification, identify, verify_faces, verify_person
from appliance.faces.detect import DetectedFace, Rectangle, described
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from appliance.faces.comparing import Identification
    from appliance.faces.reader import SeenFace
    from appliance.web.faceroom import FaceRoom

api = router("faces")

_RECOGNISERS = (Role.RECOGNISER, Role.ADMIN)
_GRADES: tuple[Literal["low", "medium", "high"], ...] = ("low", "medium", "high")

Image = Annotated[UploadFile, File(description="JPEG or PNG, at most 6 MiB")]


class Box(Answer):
    """Where a face lies, in whole pixels of the picture as it is shown upright."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


class Face(Answer):
    """One face of a picture."""

    box: Box
    yaw_deg: Annotated[float, Field(description="0 facing the camera; positive when turned to their left")]
    pitch_deg: Annotated[float, Field(description="0 level; positive looking up")]
    roll_deg: Annotated[float, Field(description="0 upright; positive clockwise")]
    quality: Annotated[Literal["low", "medium", "high"], Field(description="for recognition")]
    flaws: tuple[str, ...]


class Faces(Answer):
    """The faces of a picture, largest first."""

    faces: tuple[Face, ...]


class Verified(Answer):
    """Whether two faces are one person's."""

    identical: bool
    similarity: Annotated[float | None, Field(description="cosine; told to admins alone")]


class Candidate(Answer):
    """Somebody enrolled whom a face may be."""

    person_id: str
    similarity: Annotated[float | None, Field(description="cosine; told to admins alone")]


class Identified(Answer):
    """Who a face is."""

    box: Box
    person_id: Annotated[str, Field(description="empty for unknown")]
    candidates: Annotated[tuple[Candidate, ...], Field(description="above the threshold, most alike first")]


class Identities(Answer):
    """Who the faces of a picture are, largest first."""

    faces: tuple[Identified, ...]


@api.post("/faces/detect")
@for_roles(_RECOGNISERS)
async def detect(request: Request, image: Image) -> Faces:
    """Say where the faces of a picture are, how they are turned, and how well they are to be seen."""
    pixels = await rooms_of(request).decoded(await image_of(image), "image")

    def read(room: FaceRoom) -> Faces:
        seen = room.pictures.reader.read(pixels, templates=False)
        return Faces(faces=tuple(_face(described(one, pixels.shape[1], pixels.shape[0])) for one in seen))

    return await rooms_of(request).faces.run(read)


@api.post("/faces/verify")
@for_roles(_RECOGNISERS)
async def verify(
    request: Request,
    image: Image,
    other: Annotated[UploadFile | None, File(description="a second picture")] = None,
    person_id: Annotated[str, Form(max_length=63, description="or somebody enrolled, in its place")] = "",
) -> Verified:
    """Say whether the face of a picture is that of another, or of a person. Each picture is of one face."""
    if (other is None) == (not person_id):
        raise UsageError("either other or person_id is wanted")
    rooms, admin = rooms_of(request), who_is(request).role is Role.ADMIN
    pixels = await rooms.decoded(await image_of(image), "image")
    second = None if other is None else await rooms.decoded(await image_of(other), "other")

    def compare(room: FaceRoom) -> Verified:
        found = _to_person(room, pixels, person_id) if second is None else _to_picture(room, pixels, second)
        return Verified(identical=found.identical, similarity=found.similarity if admin else None)

    return await rooms.faces.run(compare)


@api.post("/faces/identify")
@for_roles(_RECOGNISERS)
async def identify_all(
    request: Request,
    image: Image,
    group: Annotated[str, Form(max_length=63, description="among its members alone; empty for everybody")] = "",
    most: Annotated[int, Form(ge=1, le=MAX_CANDIDATES, description="candidates told of each face")] = 1,
) -> Identities:
    """Say who of those enrolled the faces of a picture are; never who may enter; unknown is the default."""
    rooms, admin = rooms_of(request), who_is(request).role is Role.ADMIN
    pixels = await rooms.decoded(await image_of(image), "image")

    def search(room: FaceRoom) -> Identities:
        pictures = room.pictures
        within, snapshot = pictures.within((), (group,) if group else ()), pictures.snapshot()
        found = []
        for seen in pictures.reader.read(pixels):
            one = identify(
                seen.embedding,
                snapshot,
                pictures.thresholds,
                within=within,
                most=most,
                target_of=pictures.target_of,
            )
            found.append(_identified(one, seen, pixels, admin=admin))
        return Identities(faces=tuple(found))

    return await rooms.faces.run(search)


def _to_picture(room: FaceRoom, pixels: NDArray[np.uint8], other: NDArray[np.uint8]) -> Verification:
    reader = room.pictures.reader
    return verify_faces(reader.only(pixels, "image"), reader.only(other, "other"), room.pictures.thresholds)


def _to_person(room: FaceRoom, pixels: NDArray[np.uint8], person_id: str) -> Verification:
    pictures = room.pictures
    if pictures.gallery.person(person_id) is None:
        raise NotThereError("nobody is enrolled under this id")
    references = [one.embedding for one in pictures.enrolled(person_id)]
    thresholds = pictures.thresholds.stricter(pictures.target_of(person_id))
    return verify_person(pictures.reader.only(pixels, "image"), references, thresholds)


def _identified(found: Identification, seen: SeenFace, pixels: NDArray[np.uint8], *, admin: bool) -> Identified:
    told = described(seen, pixels.shape[1], pixels.shape[0])
    candidates = tuple(
        Candidate(person_id=one.person_id, similarity=one.similarity if admin else None) for one in found.candidates
    )
    return Identified(box=_box(told.rectangle), person_id=found.person_id or "", candidates=candidates)


def _face(found: DetectedFace) -> Face:
    pose = found.pose
    return Face(
        box=_box(found.rectangle),
        yaw_deg=pose.yaw_deg,
        pitch_deg=pose.pitch_deg,
        roll_deg=pose.roll_deg,
        quality=_GRADES[found.grade],
        flaws=tuple(flaw.value for flaw in found.flaws),
    )


def _box(found: Rectangle) -> Box:
    return Box(left_px=found.left_px, top_px=found.top_px, width_px=found.width_px, height_px=found.height_px)
