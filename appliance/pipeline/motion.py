"""Motion: how a face's points and the room around them moved between two moments of one track.

The points are followed in the pixels, not taken from the face mesh: the mesh gives a flat photograph a head's
shape. Paper and glass move as one plane, so their points fit a homography; the nose of a head that turns does
not. The camera is fixed, so that behind a head the room stands still, and around a picture that is held up its
own background comes along.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance import pixels
from appliance.pipeline.alignment import similarity
from appliance.pipeline.cues import shows_depth
from appliance.pipeline.surroundings import carried_sides
from appliance.records import Motion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.records import FaceDetection, Frame

FACE_PX = 75  # a face is followed in a picture in which it is so wide or up to twice that: 0.05 px is 0.07 % of it
ANCHOR_EVERY_S = 0.3
SURROUNDINGS_EVERY_S = 0.25  # they cost three times what the face does
MIN_SHIFT = 0.04  # face widths that the face must have moved, or what stands and what comes along look alike
MAX_GROWTH = 0.06  # of a face that comes nearer: more, and its hair reaches to where the room is looked for
LOOK_BACK_S = 1.0  # the longest time between the two moments; a head has turned by then
MIN_APART_S = 0.19
MIN_INTERVAL_S = 0.06  # at 30 frames a second every other one says as much
# A face that has shown depth again and again of late need not be followed in every frame: it is asked for twice in two
# seconds (`appliance/pipeline/cues.py`), and it takes as long as a small model.
REST_S, REST_AFTER, REST_MEMORY_S = 0.19, 4, 1.0
MIN_POINTS = 14
TRIM = 0.85  # of the points make the plane: single ones gone astray are not taken for depth
_STRAY = 0.12  # face widths from where the mesh says it is: another thing is being followed

# Of the 468: brows, nose and mouth, which have texture, and brow, cheeks and chin, which lie deeper. Not the eyes:
# a mask has holes there, behind which somebody blinks.
_POINTS = np.array(
    [
        70, 105, 107, 336, 334, 300, 63, 293, 55, 285, 1, 4, 5, 195, 6, 168,
        98, 327, 2, 94, 64, 294, 48, 278, 61, 291, 0, 17, 13, 37, 267, 84,
        314, 40, 270, 91, 321, 50, 280, 205, 425, 187, 411, 9, 151, 108, 337, 116,
        345, 199, 175, 212, 432,
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """A small picture and where the face lay in it."""

    at_s: float
    picture: NDArray[np.uint8]  # (h, w) luma
    points: NDArray[np.float32]  # (53, 2) px of the small picture
    centre: NDArray[np.float64]  # (2,) px
    width: float  # of the face, px


class MotionWatch:
    """Follows the face of one track; keeps a few small pictures for `LOOK_BACK_S` and is dropped with the track."""

    def __init__(self) -> None:
        self._anchors: deque[_Moment] = deque()
        self._halvings = 0
        self._next_s = -np.inf
        self._next_surroundings_s = -np.inf
        self._shown_at_s: deque[float] = deque(maxlen=REST_AFTER)  # when the face left the plane

    def observe(self, frame: Frame, face: FaceDetection, landmarks: NDArray[np.float32]) -> Motion | None:
        """Return what moved since a moment up to `LOOK_BACK_S` ago.

        Where no such moment is known, or too few points were followed, the Motion holds NaN. None for a frame
        that came too soon after the last to tell more, and for landmarks that are no face's.
        """
        if not face.width_px >= 1 or frame.captured_at_s < self._next_s or not _spread(landmarks, face.width_px):
            return None
        now = self._moment(frame, face, landmarks)
        while self._anchors and now.at_s - self._anchors[0].at_s > LOOK_BACK_S:
            self._anchors.popleft()
        before = self._anchors[0] if self._anchors else now
        if not self._anchors or now.at_s - self._anchors[-1].at_s >= ANCHOR_EVERY_S:
            self._anchors.append(now)
        motion = self._between(before, now)
        self._next_s = now.at_s + self._pause_s(now.at_s, shown=shows_depth(motion))
        return motion

    def _pause_s(self, at_s: float, *, shown: bool) -> float:
        if shown:
            self._shown_at_s.append(at_s)
        lately = len(self._shown_at_s) == REST_AFTER and at_s - self._shown_at_s[0] <= REST_MEMORY_S
        return REST_S if lately else MIN_INTERVAL_S

    def _moment(self, frame: Frame, face: FaceDetection, landmarks: NDArray[np.float32]) -> _Moment:
        width_px = face.width_px / 2**self._halvings
        # Beyond the bounds by a little, so that a face whose width is near one does not flutter about it.
        if not self._anchors or not 0.9 * FACE_PX <= width_px < 2.2 * FACE_PX:
            self._halvings = max(0, int(np.log2(face.width_px / FACE_PX)))
            self._anchors.clear()
        scale = 1 / 2**self._halvings
        points = (landmarks[_POINTS] + 0.5) * scale - 0.5
        box = face.box.astype(np.float64)
        return _Moment(
            frame.captured_at_s,
            pixels.relit(pixels.halved_luma(frame.pixels, self._halvings)),
            points.astype(np.float32),
            ((box[:2] + box[2:]) / 2 + 0.5) * scale - 0.5,
            face.width_px * scale,
        )

    def _between(self, before: _Moment, now: _Moment) -> Motion:
        apart_s = now.at_s - before.at_s
        start, end = _followed(before, now) if apart_s >= MIN_APART_S else (np.empty((0, 2)), np.empty((0, 2)))
        plane = fit_plane(start, end) if len(start) >= MIN_POINTS else None
        if plane is None:
            return Motion(apart_s, len(start), math.nan, math.nan, math.nan)
        homography, off_plane = plane
        shift, tilt, growth = change(homography)
        carried = None
        if shift >= MIN_SHIFT and abs(growth) <= MAX_GROWTH and now.at_s >= self._next_surroundings_s:
            self._next_surroundings_s = now.at_s + SURROUNDINGS_EVERY_S
            to_face = np.column_stack([np.eye(2), -before.centre]) / before.width
            carried = carried_sides(before.picture, now.picture, to_face, homography)
        return Motion(apart_s, len(start), shift, tilt, off_plane, carried)


def _followed(before: _Moment, now: _Moment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the points that were found again lay and lie, (n, 2) each, from the face's middle in its widths."""
    guess = similarity(before.points.astype(np.float64), now.points.astype(np.float64))
    expected = (before.points @ guess[:, :2].T + guess[:, 2]).astype(np.float32)
    found, followed = pixels.follow(before.picture, now.picture, before.points, expected)
    followed &= np.abs(found - expected).max(axis=1) <= _STRAY * before.width
    return (before.points[followed] - before.centre) / before.width, (found[followed] - before.centre) / before.width


def fit_plane(start: NDArray[np.floating], end: NDArray[np.floating]) -> tuple[NDArray[np.float64], float] | None:
    """Return the 3x3 homography nearest to most of the (n, 2) points, and how far those lie off it, root mean square.

    The share of points beyond `TRIM` is left out. None where no plane can be told, as for points in one line.
    """
    homography = _homography(start, end)
    if homography is None:
        return None
    misses = _misses(homography, start, end)
    near = np.argsort(misses)[: max(4, int(TRIM * len(misses)))]
    homography = _homography(start[near], end[near])
    if homography is None:
        return None
    return homography, float(np.sqrt(np.mean(_misses(homography, start[near], end[near]) ** 2)))


def change(homography: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return how far the origin goes, how much its surroundings change their shape, and how much they grow.

    Change of shape is the larger stretch over the smaller, less 1; growth their geometric mean, less 1.
    """
    shift = homography[:2, 2]
    large, small = np.linalg.svd(homography[:2, :2] - np.outer(shift, homography[2, :2]), compute_uv=False)
    tilt = float(large / small) - 1 if small > 0 else math.nan
    return float(np.hypot(*shift)), tilt, float(np.sqrt(large * small)) - 1


def _homography(start: NDArray[np.floating], end: NDArray[np.floating]) -> NDArray[np.float64] | None:
    x, y = start.astype(np.float64).T
    u, v = end.astype(np.float64).T
    one, nothing = np.ones_like(x), np.zeros_like(x)
    across = np.stack([x, y, one, nothing, nothing, nothing, -u * x, -u * y], axis=1)
    down = np.stack([nothing, nothing, nothing, x, y, one, -v * x, -v * y], axis=1)
    rows, wanted = np.concatenate([across, down]), np.concatenate([u, v])
    try:
        solved = np.linalg.solve(rows.T @ rows, rows.T @ wanted)
    except np.linalg.LinAlgError:
        return None
    return np.append(solved, 1.0).reshape(3, 3) if np.isfinite(solved).all() else None


def _misses(
    homography: NDArray[np.float64], start: NDArray[np.floating], end: NDArray[np.floating]
) -> NDArray[np.float64]:
    mapped = start @ homography[:2, :2].T + homography[:2, 2]
    depth = start @ homography[2, :2] + 1
    return np.asarray(np.hypot(*(mapped / depth[:, np.newaxis] - end).T), np.float64)


def _spread(landmarks: NDArray[np.float32], width_px: float) -> bool:
    points = landmarks[_POINTS]
    return bool((np.ptp(points, axis=0) >= 0.3 * width_px).all())  # this way round, NaN is no face
