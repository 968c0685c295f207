"""Detect: the faces of a picture, with ids for a limited time, landmarks and what can honestly be said of each."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from pydantic.alias_generators import to_camel

from appliance.api.azure.errors import bad_argument, not_supported
from appliance.api.azure.images import LEAST_FACE_PX, PICTURE_OR_NAME, image_of, pixels_of
from appliance.api.azure.wire import (
    Blur,
    DetectionModel,
    Exposure,
    FaceAttributes,
    FaceRectangle,
    FoundFace,
    HeadPose,
    Mask,
    Noise,
    RecognitionModel,
    Spot,
    Wire,
)
from appliance.contract import Role
from appliance.faces import detect as faces
from appliance.faces.attributes import Exposed
from appliance.web.accounts import Kind
from appliance.web.guard import allowed
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from appliance.web.faceroom import FaceRoom

ASKERS = (Role.RECOGNISER, Role.ENROLLER, Role.ADMIN)  # of the keys that may compare
KEEPERS = (Role.ENROLLER, Role.ADMIN)  # of the keys that may keep faces
KEYS = frozenset({Kind.KEY})
router = APIRouter()

_EXPOSURE = {Exposed.UNDER: "underExposure", Exposed.GOOD: "goodExposure", Exposed.OVER: "overExposure"}


class Attribute(StrEnum):
    """What may be asked of a face; the last three are not inferred here, and nothing is said for them."""

    HEAD_POSE = "headPose"
    BLUR = "blur"
    EXPOSURE = "exposure"
    NOISE = "noise"
    QUALITY = "qualityForRecognition"
    MASK = "mask"
    GLASSES = "glasses"
    OCCLUSION = "occlusion"


# Guesses about people that no door needs.
REFUSED = frozenset(
    {"age", "gender", "emotion", "smile", "facialHair", "hair", "makeup", "accessories", "ethnicity", "race"}
)


class DetectOptions(Wire):
    """How a picture is to be read, and what is to be told."""

    detection_model: DetectionModel = DetectionModel.DETECTION_01
    recognition_model: RecognitionModel = RecognitionModel.RECOGNITION_01
    return_face_id: bool = True
    return_face_attributes: str = Field("", max_length=1000, description="Names, separated by commas.")
    return_face_landmarks: bool = False
    return_recognition_model: bool = False
    face_id_time_to_live: Annotated[int, Field(ge=60, le=86_400)] = 86_400

    def attributes(self) -> frozenset[Attribute]:
        """Return what is asked of each face. Raises FaceApiError for what is not known, or is never told."""
        asked = {one.strip() for one in self.return_face_attributes.split(",") if one.strip()}
        lower = {one.lower() for one in asked}
        if refused := sorted(one for one in REFUSED if one.lower() in lower):
            raise not_supported(f"{', '.join(refused)}; nothing is inferred here about who somebody is like")
        known = {one.value.lower(): one for one in Attribute}
        if not lower <= set(known):
            raise bad_argument(f"Invalid argument returnFaceAttributes. Supported are: {', '.join(Attribute)}.")
        return frozenset(known[one] for one in lower)


@router.post("/detect", response_model_exclude_none=True, openapi_extra=PICTURE_OR_NAME)
@allowed(*ASKERS, kinds=KEYS)
async def detect(request: Request, options: Annotated[DetectOptions, Query()]) -> list[FoundFace]:
    """Return the faces of a JPEG or PNG, largest first, at most 100."""
    options.attributes()  # before the picture is read
    return await found_in(request, await pixels_of(request, await image_of(request, of_sessions=True)), options)


async def found_in(request: Request, pixels: NDArray[np.uint8], options: DetectOptions) -> list[FoundFace]:
    """Return the faces in (H, W, 3) RGB pixels as they are asked for. Raises FaceApiError, BusyError."""
    asked = options.attributes()

    def read(room: FaceRoom) -> tuple[faces.DetectedFace, ...]:
        transient = room.transient if options.return_face_id else None
        life_s = float(options.face_id_time_to_live)
        return faces.detect(pixels, room.pictures.reader, transient, life_s, least_px=LEAST_FACE_PX)

    return [_told(one, options, asked) for one in await rooms_of(request).faces.run(read)]


def _told(face: faces.DetectedFace, options: DetectOptions, asked: frozenset[Attribute]) -> FoundFace:
    at = face.rectangle
    landmarks = {to_camel(name): Spot(x=x, y=y) for name, (x, y) in face.landmarks.items()}
    named = options.return_recognition_model and face.face_id is not None
    return FoundFace(
        face_id=face.face_id,
        recognition_model=options.recognition_model if named else None,
        face_rectangle=FaceRectangle(top=at.top_px, left=at.left_px, width=at.width_px, height=at.height_px),
        face_landmarks=landmarks if options.return_face_landmarks else None,
        face_attributes=_attributes(face, asked) if asked else None,
    )


def _attributes(face: faces.DetectedFace, asked: frozenset[Attribute]) -> FaceAttributes:
    pose, looks = face.pose, face.appearance
    told = {
        Attribute.HEAD_POSE: HeadPose(pitch=pose.pitch_deg, roll=pose.roll_deg, yaw=pose.yaw_deg),
        Attribute.BLUR: Blur(blur_level=looks.blur, value=looks.blur_value),
        Attribute.EXPOSURE: Exposure(exposure_level=_EXPOSURE[looks.exposure], value=looks.exposure_value),
        Attribute.NOISE: Noise(noise_level=looks.noise, value=looks.noise_value),
        Attribute.QUALITY: face.grade.name.lower(),
        Attribute.MASK: Mask(),
    }
    return FaceAttributes.model_validate({one.value: said for one, said in told.items() if one in asked})
