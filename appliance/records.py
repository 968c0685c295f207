"""Every noun that flows from camera to relay, in the order in which it flows.

Values are frozen, arrays too. A field's comment gives shape, unit and direction. The words are those of
ISO/IEC 2382-37 (biometrics), 30107-3 (presentation attack detection) and 19795-1 (testing).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

from appliance.contract import Mode, Phase

# numpy is named in types only: the controller shares these nouns and must start without it.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from appliance.contract import Alarm, EventType, Hint, LockState, Reason

_Scalar = TypeVar("_Scalar", bound="np.generic")


def frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return the same array, marked read-only."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from the camera."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB, read-only
    captured_at_s: float  # monotonic clock; a recording counts its own time
    sequence: int  # rises by one a frame; gaps are dropped frames
    small: NDArray[np.uint8] | None = None  # (h, w, 3) RGB of the same view and moment, where the camera makes one


@dataclass(frozen=True, slots=True, eq=False)
class FaceDetection:
    """One face found in a frame."""

    box: NDArray[np.float32]  # (4,) x0 y0 x1 y1 px; may reach past the frame
    keypoints: NDArray[np.float32]  # (6, 2) px: subject's right eye, left eye, nose, mouth, right ear, left ear
    score: float  # 0..1, higher is more surely a face

    @property
    def width_px(self) -> float:
        """Width of the box in pixels."""
        return float(self.box[2] - self.box[0])


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Where a face's points lie, how the head is turned, and the face cut out upright."""

    landmarks: NDArray[np.float32]  # (468, 2) px of the frame
    five_points: NDArray[np.float32]  # (5, 2) px: right eye, left eye, nose, mouth right, mouth left (subject's)
    yaw_deg: float  # 0 facing the camera; positive when the subject turns to their left
    pitch_deg: float  # 0 level; positive looking up
    roll_deg: float  # 0 upright; positive clockwise in the picture
    presence: float  # 0..1, the landmark model's belief that the crop holds a face
    crop: NDArray[np.uint8]  # (112, 112, 3) RGB, aligned to the ArcFace template


class Grade(IntEnum):
    """How far a frame can be relied on: low is not read, medium is read, high may enrol."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


class Flaw(StrEnum):
    """What keeps a face from grade high; the closed list of quality reasons."""

    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    CUT_OFF = "cut_off"
    YAW = "yaw"
    PITCH = "pitch"
    ROLL = "roll"
    BLUR = "blur"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    LOW_CONTRAST = "low_contrast"
    NOISE = "noise"
    COVERED = "covered"
    NO_LANDMARKS = "no_landmarks"
    LANDMARKS_DISAGREE = "landmarks_disagree"


@dataclass(frozen=True, slots=True)
class Quality:
    """How good one frame's view of a face is, and what is wrong with it."""

    grade: Grade
    flaws: tuple[Flaw, ...]  # worst first
    face_px: float  # width of the detection box
    inter_eye_px: float
    sharpness: float  # detail in the least sharp direction over the face's local contrast; 0 for a flat face
    exposure: float  # 0..255, mean luma of the face; told, not judged: it differs with the skin
    noise: float  # standard deviation of the crop's grain in luma levels; higher is noisier
    # What follows is NaN where nobody measured it.
    contrast: float = math.nan  # standard deviation of the face's luma, 0..127
    under_exposed: float = math.nan  # share of the face with luma 25 or less, 0..1
    over_exposed: float = math.nan  # share of the face with luma 247 or more, 0..1
    yaw_deg: float = math.nan  # as in Geometry
    pitch_deg: float = math.nan
    roll_deg: float = math.nan
    disagreement: float = math.nan  # farthest that detector and mesh lie apart, in distances between the eyes
    mouth_detail: float = math.nan  # of the mouth's surroundings over that of the eyes'; a covered mouth has little
    eyes_open: float = math.nan  # height of the mesh's eyes over their width; told, not judged: lids are imprecise


class Cue(StrEnum):
    """A sign of an attack presentation that no average may out-vote."""

    STATIC_INPUT = "static_input"  # embeddings too alike for a living face
    FLAT_INPUT = "flat_input"  # all points of the face moved as those of one plane do
    UNFOLLOWED = "unfollowed"  # too few points could be followed to tell: a doubt, no sign
    CARRIED_BACKGROUND = "carried_background"  # what lies around the face moved along with it
    REPEATED_INPUT = "repeated_input"  # the same movements came again, as in a clip that is played in a loop


class Species(StrEnum):
    """What an attack was probably made with; a guess for a human, never used to decide."""

    PRINT = "print"
    SCREEN = "screen"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Liveness:
    """One frame's evidence that a bona fide face is before the camera."""

    bona_fide: float  # 0..1, higher is more surely a live face; NaN counts as none
    model_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A face template of unit length; comparable only within one `model_id`."""

    vector: NDArray[np.float32]  # (D,), L2 norm 1, read-only
    model_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """One enrolled template of a person."""

    reference_id: str
    person_id: str
    embedding: Embedding
    grade: Grade
    enrolled_at: datetime  # UTC


class RowIndex(Protocol):
    """The templates of a large gallery, in little memory and quick to search. A value: a change gives another."""

    def nearest(self, vector: NDArray[np.float32], count: int, /) -> tuple[NDArray[np.int64], float]:
        """Return the rows most alike, roughly `count`, unordered, and how much alike any other row is at most.

        That is -inf where every row is returned.
        """
        ...

    def at(self, rows: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Return these rows exactly, (k, D), in the order asked for."""
        ...

    def products(self, vector: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return the similarity of every row, (N,), in float32."""
        ...

    def changed(self, keep: NDArray[np.bool_], added: NDArray[np.float32], /) -> RowIndex:
        """Return what is kept of these rows, `keep` (N,), and then the `added`, (m, D)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class GallerySnapshot:
    """What the matcher sees: every valid reference of one model, at one revision."""

    matrix: NDArray[np.float32]  # (N, D), each row of L2 norm 1, read-only; (0, D) where `index` holds the rows
    person_ids: Sequence[str]  # (N,)
    reference_ids: Sequence[str]  # (N,)
    model_id: str
    revision: int  # rises with every change of the gallery
    quarantined: tuple[str, ...] = ()  # reference ids that were refused at load
    index: RowIndex | None = None  # in the place of the matrix; None for a small gallery

    @property
    def size(self) -> int:
        """Number of references a probe is compared with."""
        return len(self.reference_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One frame's evidence about one face; what was not read is None."""

    frame: Frame
    detection: FaceDetection
    geometry: Geometry
    quality: Quality
    liveness: Liveness | None = None
    embedding: Embedding | None = None
    others: int = 0  # further faces in the frame that are near enough to matter


@dataclass(frozen=True, slots=True)
class Motion:
    """How a face moved between two moments of one track; lengths are in widths of the face."""

    apart_s: float  # between the two moments
    points: int  # of the face that could be followed from one to the other
    shift: float  # how far the face's middle moved; NaN, as the next two, where too few points were followed
    tilt: float  # change in shape of the plane nearest to the points: 0 for a plane that only shifts, turns and grows
    off_plane: float  # root mean square distance of the points from that plane; what is flat leaves next to none
    carried: int | None = None  # sides of the face, 0..3, whose surroundings moved along; None where it cannot be told


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What stays of an observation in a presentation: no pixels but the newest frame's."""

    captured_at_s: float
    grade: Grade
    flaws: tuple[Flaw, ...]
    box: NDArray[np.float32]  # (4,) px
    landmarks: NDArray[np.float32]  # (468, 2) px
    bona_fide: float | None  # None where liveness was not read
    embedding: Embedding | None
    others: int
    motion: Motion | None = None  # None where there was nothing to compare with


@dataclass(frozen=True, slots=True, eq=False)
class Presentation:
    """One person's visit: consecutive observations of one track."""

    presentation_id: str
    started_at_s: float
    evidence: tuple[Evidence, ...]  # oldest first, bounded
    latest: Observation  # the newest, with its frame
    probe: Embedding | None  # fused over the evidence; None until something was read
    bona_fide: float  # 0..1, median over the evidence; NaN until something was read
    cues: tuple[Cue, ...]  # signs of an attack seen so far
    frames_read: int  # frames that gave both liveness and an embedding
    read_span_s: float  # seconds from the first to the last of them

    @property
    def read_for_s(self) -> float:
        """Seconds from the first to the latest observation."""
        return self.latest.frame.captured_at_s - self.started_at_s


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enrolled person who may be the probe."""

    person_id: str
    reference_id: str  # the person's reference that is most alike
    similarity: float  # cosine, -1..1, higher is more alike
    rival: float = float("nan")  # cosine of this person and the next most alike; -1 for nobody, NaN if not looked up


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where "alike enough" lies, and what it was derived from."""

    threshold: float  # cosine; a candidate at or above it may be accepted
    margin: float  # cosine; the best must lead the next person by at least this
    target_fpir: float  # the rate at which a stranger may match anybody
    gallery_size: int  # N that the threshold was derived for
    source: str  # the measurement behind it


@dataclass(frozen=True, slots=True)
class Grant:
    """The door may open for this person."""

    person_id: str


@dataclass(frozen=True, slots=True)
class Deny:
    """The door keeps shut."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Refer:
    """The door keeps shut and a human attendant is asked."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Wait:
    """Not enough evidence yet; the visitor may be told a hint."""

    hint: Hint | None = None


Decision = Grant | Deny | Refer


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the reader asks of the controller: unlock for so long, unless it is too late."""

    for_s: float  # seconds, 0.5..30; the controller clamps it
    presentation_id: str
    deadline_s: float  # CLOCK_MONOTONIC; a request that arrives later is refused
    extended: bool = False  # for somebody who needs more time: to enter, and until the door counts as held open
    bypass: bool = False  # whether it may open in a lockdown


@dataclass(frozen=True, slots=True)
class DoorState:
    """What the controller last said of the door."""

    lock: LockState
    until_s: float | None  # CLOCK_MONOTONIC at which the lock falls shut by itself; None when locked, or without an end
    by: str  # presentation id or operator behind the present state; "" for none
    mode: Mode = Mode.NORMAL
    phase: Phase = Phase.SECURE
    contact: bool | None = None  # True is open; None where no contact is fitted: the door is unmonitored
    alarms: frozenset[Alarm] = frozenset()  # that stand now


@dataclass(frozen=True, slots=True)
class DoorEvent:
    """Something that happened at the door, told by the controller; for the reader to write down."""

    event_type: EventType
    cause: str  # one word of the controller's; "" where the type says it all
    by: str  # presentation id or operator behind it; "" for nobody
    at_s: float  # CLOCK_MONOTONIC


class ActorKind(StrEnum):
    """Who or what caused an event."""

    PERSON = "person"
    CLIENT = "client"
    DEVICE = "device"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Actor:
    """The one behind an event, by id; never a name."""

    kind: ActorKind
    id: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, before the audit log has sealed it. Holds no image, vector or name."""

    event_type: EventType
    at: datetime  # UTC
    actor: Actor | None = None
    method: str = ""  # "face", "attendant", "cli", ...
    reason: Reason | None = None
    presentation_id: str = ""
    ticket_id: str = ""
    liveness: float | None = None  # 0..1, bona fide
    quality: str = ""  # grade in words
    frames: int | None = None  # frames read
    decision_ms: float | None = None  # first usable frame to decision
    policy: str = ""  # operating point and gallery size in words
    detail: str = ""  # one line for a human, without names or scores


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An event that is durable in the audit chain."""

    seq: int  # 1, 2, 3, ... without a gap
    id: str
    device_id: str
    door: str
    event: Event
    prev_hash: str  # hex SHA-256 of the entry before; 64 zeros for the first
    hash: str  # hex SHA-256 over everything above
