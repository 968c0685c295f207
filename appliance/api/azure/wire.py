"""What goes over the wire: bodies and answers, in the names of the face service."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

MAX_NAME, MAX_USER_DATA, MAX_FACE_DATA = 128, 16 * 1024, 1024  # characters
MAX_TOP = 1000


class Wire(BaseModel):
    """A body or an answer; what a body has besides is passed over, as the service does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, allow_inf_nan=False)


class Version(StrEnum):
    """Versions of the interface that clients ask for; all are the same here."""

    V1_0 = "v1.0"
    V1_1_PREVIEW_1 = "v1.1-preview.1"
    V1_2_PREVIEW_1 = "v1.2-preview.1"
    V1_2 = "v1.2"


class DetectionModel(StrEnum):
    """Names of the service's detectors; each means the one here."""

    DETECTION_01 = "detection_01"
    DETECTION_02 = "detection_02"
    DETECTION_03 = "detection_03"


class RecognitionModel(StrEnum):
    """Names of the service's embedders; each means the one here."""

    RECOGNITION_01 = "recognition_01"
    RECOGNITION_02 = "recognition_02"
    RECOGNITION_03 = "recognition_03"
    RECOGNITION_04 = "recognition_04"


class Fault(Wire):
    """What went wrong."""

    code: str
    message: str


class FaultAnswer(Wire):
    """Every answer that is not a success."""

    error: Fault


class Spot(Wire):
    """A place in a picture, px; it may lie outside."""

    x: float
    y: float


class FaceRectangle(Wire):
    """Where a face lies, whole px inside the picture."""

    top: int
    left: int
    width: int
    height: int


class HeadPose(Wire):
    """How a head is turned, degrees."""

    pitch: float
    roll: float
    yaw: float


class Blur(Wire):
    """How blurred a face is: low, medium or high; 0..1."""

    blur_level: str
    value: float


class Exposure(Wire):
    """How much light is on a face: underExposure, goodExposure or overExposure; 0..1."""

    exposure_level: str
    value: float


class Noise(Wire):
    """How noisy a face is: low, medium or high; 0..1."""

    noise_level: str
    value: float


class Mask(Wire):
    """Whether a mask is worn. It is not inferred here, so the type is always `uncertain`, and nothing more is said."""

    type: str = "uncertain"


class FaceAttributes(Wire):
    """What is told of a face; glasses and occlusion are not inferred here, and left out."""

    head_pose: HeadPose | None = None
    blur: Blur | None = None
    exposure: Exposure | None = None
    noise: Noise | None = None
    mask: Mask | None = None
    quality_for_recognition: str | None = Field(None, description="low, medium or high")


class FoundFace(Wire):
    """One face of a picture."""

    face_id: str | None = None
    recognition_model: str | None = None
    face_rectangle: FaceRectangle
    face_landmarks: dict[str, Spot] | None = None
    face_attributes: FaceAttributes | None = None


FaceId = Annotated[str, Field(min_length=1, max_length=64)]
Confidence = Annotated[float, Field(ge=0, le=1)]


class Verify(Wire):
    """Two faces, or a face and a person of a group."""

    face_id1: FaceId | None = None
    face_id2: FaceId | None = None
    face_id: FaceId | None = None
    large_person_group_id: FaceId | None = None
    person_id: FaceId | None = None


class Verified(Wire):
    """Whether it is one person; the confidence is 0.5 at the threshold, and 0 where it may not be told."""

    is_identical: bool
    confidence: Confidence


class Identify(Wire):
    """Faces, and the group that they are looked for in."""

    face_ids: Annotated[list[FaceId], Field(min_length=1, max_length=10)]
    large_person_group_id: FaceId
    max_num_of_candidates_returned: Annotated[int, Field(ge=1, le=100)] = 10
    confidence_threshold: Confidence | None = Field(None, description="It can raise the threshold, and not lower it.")


class IdentifiedAs(Wire):
    """Somebody whom a face may be."""

    person_id: str
    confidence: Confidence


class Identified(Wire):
    """Whom one face may be, the most alike first; nobody is told below the threshold."""

    face_id: str
    candidates: list[IdentifiedAs]


class MatchMode(StrEnum):
    """What finding similar faces leaves out."""

    MATCH_PERSON = "matchPerson"
    MATCH_FACE = "matchFace"


class FindSimilar(Wire):
    """A face, and the faces or the list that similar ones are looked for in."""

    face_id: FaceId
    face_ids: Annotated[list[FaceId], Field(min_length=1, max_length=1000)] | None = None
    large_face_list_id: FaceId | None = None
    max_num_of_candidates_returned: Annotated[int, Field(ge=1, le=1000)] = 20
    mode: MatchMode = MatchMode.MATCH_PERSON


class Similar(Wire):
    """A similar face: one that was shown, or one of the list."""

    confidence: Confidence
    face_id: str | None = None
    persisted_face_id: str | None = None


class Group(Wire):
    """Faces to be sorted by person."""

    face_ids: Annotated[list[FaceId], Field(min_length=2, max_length=1000)]


class Grouped(Wire):
    """Faces by person, and those that are like no other."""

    groups: list[list[str]]
    messy_group: list[str]


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
UserData = Annotated[str, Field(max_length=MAX_USER_DATA)]


class NewCollection(Wire):
    """A face list or person group to be made."""

    name: Name
    user_data: UserData | None = None
    recognition_model: RecognitionModel = RecognitionModel.RECOGNITION_01


class NewPerson(Wire):
    """A person to be made."""

    name: Name
    user_data: UserData | None = None


class Change(Wire):
    """What is to be changed; what is not given stays."""

    name: Name | None = None
    user_data: UserData | None = None


class FaceChange(Wire):
    """What is to be changed of a face."""

    user_data: Annotated[str, Field(max_length=MAX_FACE_DATA)] | None = None


class NewFace(Wire):
    """What is said of a face to be kept."""

    target_face: str = Field("", max_length=64, description="Which face: left,top,width,height in px.")
    user_data: str = Field("", max_length=MAX_FACE_DATA)
    detection_model: DetectionModel = DetectionModel.DETECTION_01


class ListAnswer(Wire):
    """A large face list."""

    large_face_list_id: str
    name: str
    user_data: str | None = None
    recognition_model: str | None = None


class GroupAnswer(Wire):
    """A large person group."""

    large_person_group_id: str
    name: str
    user_data: str | None = None
    recognition_model: str | None = None


class PersonAnswer(Wire):
    """A person of a group."""

    person_id: str
    name: str
    user_data: str | None = None
    persisted_face_ids: list[str]


class FaceAnswer(Wire):
    """A face that is kept, as far as it is ever told."""

    persisted_face_id: str
    user_data: str | None = None


class MadePerson(Wire):
    """The id of a new person."""

    person_id: str


class MadeFace(Wire):
    """The id of a new face."""

    persisted_face_id: str


class TrainingAnswer(Wire):
    """What came of the newest training; it is done when it is answered, so it is never `running`."""

    status: str = Field(description="succeeded or failed")
    created_date_time: datetime
    last_action_date_time: datetime
    last_successful_training_date_time: datetime | None = None
    message: str | None = None
