"""Following: for a moment after a detection, a face is where its landmarks went, and the detector rests.

The landmark model was made to be steered like this (MediaPipe Face Mesh does the same): it finds the face in a
region that is a little off, and says so when it does not. The detector is a sixth of a frame's work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.pipeline.alignment import similarity
from appliance.pipeline.quality import MIN_PRESENCE
from appliance.records import FaceDetection, Frame, Geometry, frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.pipeline import Stages
    from appliance.records import Embedding, Liveness, Quality

# In time, not frames: at 15 frames a second two of three are followed, at 5 every one is detected anew. Somebody
# who steps up beside the visitor is noticed within it.
FOLLOW_S = 0.15
# Where nobody has been for a while, every second frame of fifteen a second is enough to see somebody come: they are
# found a fifteenth of a second later, and the board keeps cool.
IDLE_AFTER_S = 2.0
IDLE_EVERY_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The newest detection, and the points of its nearest face."""

    at_s: float
    faces: tuple[FaceDetection, ...]
    points: NDArray[np.float32]  # (5, 2) px
    moved: FaceDetection  # the nearest face, moved to where its points were last seen


class FollowingStages:
    """The stages of a moving picture: those of single ones, with the detector spared. Belongs to one thread.

    `detect` returns the nearest face moved and the others as they were last detected; a face that the landmark
    model does not find there is not read in that frame, and is detected anew in the next.
    """

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._faces: tuple[FaceDetection, ...] = ()
        self._found: _Found | None = None
        self._seen_at_s: float | None = None  # when there was a face last, or the first frame
        self._looked_at_s = -math.inf

    def detect(self, frame: Frame) -> tuple[FaceDetection, ...]:
        """Return the faces, largest first."""
        found = self._found
        if found is not None and 0 < frame.captured_at_s - found.at_s < FOLLOW_S:
            self._faces = (found.moved, *found.faces[1:])
        elif self._idle(frame.captured_at_s):
            return ()
        else:
            self._found = None
            self._faces = self._stages.detect(frame)
            self._looked_at_s = frame.captured_at_s
        if self._faces or self._seen_at_s is None:
            self._seen_at_s = frame.captured_at_s
        return self._faces

    def _idle(self, at_s: float) -> bool:
        """Tell whether nobody has been there for long, and somebody was looked for a moment ago."""
        empty = self._seen_at_s is not None and at_s - self._seen_at_s > IDLE_AFTER_S
        return empty and 0 <= at_s - self._looked_at_s < IDLE_EVERY_S

    def align(self, frame: Frame, face: FaceDetection) -> Geometry:
        """Return one face's landmarks, pose and crop, and remember where the nearest one is."""
        geometry = self._stages.align(frame, face)
        if not self._faces or face is not self._faces[0] or not geometry.presence >= MIN_PRESENCE:
            self._found = None
        elif self._found is None:
            self._found = _Found(frame.captured_at_s, self._faces, geometry.five_points, face)
        else:
            first = self._found
            moved = move(first.faces[0], first.points, geometry.five_points)
            self._found = _Found(first.at_s, first.faces, first.points, moved)
        return geometry

    def assess(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> Quality:
        """Return how far this view can be relied on."""
        return self._stages.assess(frame, face, geometry)

    def score(self, frame: Frame, face: FaceDetection) -> Liveness:
        """Return how surely the face is live."""
        return self._stages.score(frame, face)

    def embed(self, crop: NDArray[np.uint8]) -> Embedding | None:
        """Return the face's template."""
        return self._stages.embed(crop)


def move(face: FaceDetection, before: NDArray[np.float32], after: NDArray[np.float32]) -> FaceDetection:
    """Return the face as it lies when its five points went from `before` to `after`.

    Box and keypoints are shifted and scaled; the box stays upright and square.
    """
    matrix = similarity(before.astype(np.float64), after.astype(np.float64))
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    centre = matrix[:, :2] @ ((face.box[:2] + face.box[2:]).astype(np.float64) / 2) + matrix[:, 2]
    half = (face.box[2:] - face.box[:2]).astype(np.float64) / 2 * scale
    keypoints = face.keypoints @ matrix[:, :2].T + matrix[:, 2]
    box = np.concatenate([centre - half, centre + half])
    return FaceDetection(frozen(box.astype(np.float32)), frozen(keypoints.astype(np.float32)), face.score)
