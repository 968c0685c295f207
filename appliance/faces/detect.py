"""Detect: where the faces of a picture are, how they are turned, how well they are to be seen.

Age, gender, emotion, hair and make-up are never told: they are guesses about people that no door needs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from appliance.faces.attributes import Appearance, appearance
from appliance.faces.landmarks import named
from appliance.faces.transient import MAX_LIFE_S, TransientFace, check_life

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.faces.reader import PictureReader, SeenFace
    from appliance.faces.transient import TransientFaces
    from appliance.records import Flaw, Grade


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Where a face lies, whole pixels inside the picture."""

    left_px: int
    top_px: int
    width_px: int  # 1 or more
    height_px: int


@dataclass(frozen=True, slots=True)
class HeadPose:
    """How a head is turned, in degrees; as in `records.Geometry`."""

    yaw_deg: float  # 0 facing the camera; positive when the subject turns to their left
    pitch_deg: float  # 0 level; positive looking up
    roll_deg: float  # 0 upright; positive clockwise in the picture


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """One face of a picture."""

    face_id: str | None  # None where none was asked for, or the face cannot be read
    rectangle: Rectangle
    score: float  # 0..1, higher is more surely a face
    landmarks: dict[str, tuple[float, float]]  # the 27 of `landmarks.MESH`: x, y in px
    pose: HeadPose
    appearance: Appearance
    grade: Grade  # quality for recognition: low is not to be relied on, medium identifies, high may enrol
    flaws: tuple[
        Flaw, ...
    ]  # what keeps it from high, the worst first; `covered` is the mouth, by what or whom is not told
    # Not inferred, as no model was trained or measured for them here: None is "not known", never "no".
    mask: bool | None = None
    glasses: bool | None = None
    occlusion: bool | None = None


def detect(
    pixels: NDArray[np.uint8],
    reader: PictureReader,
    transient: TransientFaces | None = None,
    for_s: float = MAX_LIFE_S,
    least_px: int = 1,
) -> tuple[DetectedFace, ...]:
    """Return the faces in (H, W, 3) RGB pixels, largest first, at most 100; () for none.

    Those less than `least_px` wide or high are passed over. With `transient`, each face that can be read is kept there
    for `for_s` seconds, 60..86,400, and has an id. Raises UsageError for another time, before anything is read.
    """
    check_life(for_s)
    found = []
    for seen in reader.read(pixels, templates=transient is not None):
        face = described(seen, pixels.shape[1], pixels.shape[0])
        if min(face.rectangle.width_px, face.rectangle.height_px) < least_px:
            continue
        if transient is not None and seen.embedding is not None:
            face = replace(face, face_id=transient.keep(TransientFace(seen.embedding, seen.detection.box), for_s))
        found.append(face)
    return tuple(found)


def described(seen: SeenFace, width_px: int, height_px: int) -> DetectedFace:
    """Return what is told of one face of a picture of this size."""
    geometry, quality = seen.geometry, seen.quality
    return DetectedFace(
        None,
        rectangle(seen.detection.box, width_px, height_px),
        seen.detection.score,
        named(geometry.landmarks),
        HeadPose(geometry.yaw_deg, geometry.pitch_deg, geometry.roll_deg),
        appearance(quality),
        quality.grade,
        quality.flaws,
    )


def rectangle(box: NDArray[np.float32], width_px: int, height_px: int) -> Rectangle:
    """Return a face's box (4,) x0 y0 x1 y1 px, as far as it lies in a picture of this size."""
    low = np.clip(np.round(box[:2]), 0, (width_px - 1, height_px - 1)).astype(int)
    high = np.clip(np.round(box[2:]), low + 1, (width_px, height_px)).astype(int)
    return Rectangle(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
