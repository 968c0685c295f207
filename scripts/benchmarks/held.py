"""A photograph held up before a camera: a sheet in three dimensions, in a hand that trembles, leans and bends it.

Made on the fly from any picture of a face, so that the cues over time can be measured, and tested, against what the
simulated camera's print does not do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.pixels import blurred, canvas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from appliance.records import FaceDetection

FOCAL_PX = 700.0  # of a webcam at 640x480
_GRID_PX = 8
MAINS_HZ = 100.0  # a lamp on 50 Hz mains flickers at twice that


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A picture and where its face lies."""

    picture: NDArray[np.uint8]  # (H, W, 3) RGB
    face: tuple[float, float, float]  # centre x, centre y and half width of the face, px of the picture
    eyes: tuple[tuple[float, float], ...]  # px


@dataclass(frozen=True, slots=True)
class Handling:
    """What the hand and the camera do; amplitudes are standard deviations over time."""

    face_px: float = 150.0  # width of the face in the frame
    shift_px: float = 6.0  # slow tremor
    jitter_px: float = 0.0  # anew in every frame
    turn_rad: float = 0.01  # in the picture plane
    lean_rad: float = 0.1  # out of it, about both axes
    bend: float = 0.0  # curvature of the sheet: face widths over the radius of its cylinder
    margin: float = 2.0  # face widths of picture kept on each side of the face's middle
    noise: float = 2.0  # luma levels of the sensor
    flicker: float = 0.0  # 0..1, depth of a mains lamp's brightness bands
    eye_holes: bool = False  # the eyes are cut out and somebody blinks behind them


def sheet_of(picture: NDArray[np.uint8], face: FaceDetection) -> Sheet:
    """Return a picture as a sheet, its face where the detector found it."""
    x0, y0, x1, y1 = (float(v) for v in face.box)
    eyes = tuple((float(x), float(y)) for x, y in face.keypoints[:2])
    return Sheet(picture, ((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2), eyes)


def frames(
    sheet: Sheet, room: NDArray[np.uint8], how: Handling, *, count: int, rate: float = 15.0, seed: int = 1
) -> Iterator[NDArray[np.uint8]]:
    """Yield `count` (H, W, 3) frames of the sheet before the room, `rate` a second; the same seed, the same frames."""
    random = np.random.default_rng(seed)
    at_s = np.arange(count) / rate
    shift = [_tremor(random, at_s, how.shift_px, (0.5, 1.3)) for _ in range(2)]
    turn = _tremor(random, at_s, how.turn_rad, (0.5, 1.5))
    lean = [_tremor(random, at_s, how.lean_rad, (0.4, 0.9)) for _ in range(2)]
    bend = how.bend + _tremor(random, at_s, how.bend / 2, (0.3, 0.6))
    for number in range(count):
        jitter = how.jitter_px * random.normal(size=2)
        turned = _rotation(turn[number], lean[0][number], lean[1][number])
        moved = (shift[0][number] + jitter[0], shift[1][number] + jitter[1])
        closed = how.eye_holes and at_s[number] % 1.5 < 0.2
        shown = _blinking(sheet, closed=closed) if how.eye_holes else sheet.picture
        picture = _laid(Sheet(shown, sheet.face, sheet.eyes), room, how, _Pose(turned, moved, bend[number]))
        lit = picture * _bands(len(picture), float(at_s[number]), how.flicker)[:, np.newaxis, np.newaxis]
        yield _levels(lit + how.noise * random.standard_normal(picture.shape, np.float32))


def textured_room(width_px: int = 640, height_px: int = 480, seed: int = 5) -> NDArray[np.uint8]:
    """Return a wall with pictures, doors and shelves, as rectangles."""
    random = np.random.default_rng(seed)
    room = canvas(width_px, height_px, (150, 146, 138))
    for _ in range(16):
        x, y = int(random.integers(0, width_px)), int(random.integers(0, height_px))
        wide, high = (int(random.integers(20, 160)) for _ in range(2))
        colour = tuple(int(level) for level in random.integers(20, 235, 3))
        cv2.rectangle(room, (x, y), (x + wide, y + high), colour, int(random.choice([-1, 2, 5])))
    return blurred(room, 1.0)


def _tremor(
    random: np.random.Generator, at_s: NDArray[np.float64], amplitude: float, hertz: tuple[float, ...]
) -> NDArray[np.float64]:
    path = np.zeros_like(at_s)
    for frequency in hertz:
        phase, speed = random.uniform(0, 2 * np.pi), random.uniform(0.7, 1.3)
        path += random.normal() * np.sin(2 * np.pi * frequency * speed * at_s + phase)
    return amplitude * path


def _rotation(turn: float, yaw: float, pitch: float) -> NDArray[np.float64]:
    matrix, _ = cv2.Rodrigues(np.array([pitch, yaw, turn]))
    return np.asarray(matrix, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Pose:
    """How the sheet is held at one moment."""

    turned: NDArray[np.float64]  # 3x3 rotation, sheet -> camera
    shift: tuple[float, float]  # px of the frame
    bend: float


def _laid(sheet: Sheet, room: NDArray[np.uint8], how: Handling, pose: _Pose) -> NDArray[np.float32]:
    """Return the room with the sheet before it; each camera ray is met with the sheet's cylinder."""
    height, width = room.shape[:2]
    centre_x, centre_y, half = sheet.face
    # The way of a ray is smooth: every eighth is followed, and those between are drawn in.
    rows, columns = (_GRID_PX * line for line in np.indices((height // _GRID_PX + 2, width // _GRID_PX + 2), float))
    ray = np.stack(
        [columns - width / 2 - pose.shift[0], rows - 0.45 * height - pose.shift[1], np.full_like(rows, FOCAL_PX)]
    )
    ray = np.tensordot(pose.turned.T, ray / FOCAL_PX, 1)
    eye = pose.turned.T @ (0, 0, -FOCAL_PX)  # the sheet's middle is the origin, one unit a pixel of the frame
    across, down = _met(eye, ray, pose.bend / how.face_px)
    zoom = how.face_px / (2 * half)
    x, y = (_between(line, width, height) for line in (across / zoom + centre_x, down / zoom + centre_y))
    laid = cv2.remap(sheet.picture, x, y, cv2.INTER_LINEAR)
    reach = 2 * half * how.margin
    left, right = max(0.0, centre_x - reach), min(sheet.picture.shape[1] - 1.0, centre_x + reach)
    top, bottom = max(0.0, centre_y - reach), min(sheet.picture.shape[0] - 1.0, centre_y + reach)
    seen = cv2.blur(((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).astype(np.float32), (2, 2))
    return np.asarray(room * (1 - seen[..., np.newaxis]) + laid * seen[..., np.newaxis], np.float32)


def _between(line: NDArray[np.float64], width: int, height: int) -> NDArray[np.float32]:
    """Return (height, width) values between those at every eighth row and column."""
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    drawn = cv2.remap(line.astype(np.float32), columns / _GRID_PX, rows / _GRID_PX, cv2.INTER_LINEAR)
    return np.asarray(drawn, np.float32)


def _met(
    eye: NDArray[np.float64], ray: NDArray[np.float64], curvature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where along the sheet, across and down, each ray meets it; NaN where it misses."""
    # The sheet is x^2 + z^2 = 2 z / curvature, its arc measured from x = 0; in the limit the plane z = 0.
    square = curvature * (ray[0] ** 2 + ray[2] ** 2)
    mixed = curvature * (eye[0] * ray[0] + eye[2] * ray[2]) - ray[2]
    rest = curvature * (eye[0] ** 2 + eye[2] ** 2) - 2 * eye[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        along = rest / (-mixed + np.sqrt(mixed**2 - square * rest))  # stable where the curvature vanishes
    x, y, z = (eye[axis] + along * ray[axis] for axis in range(3))
    arc = x if curvature == 0 else np.arctan2(curvature * x, 1 - curvature * z) / curvature
    return arc, y


def _bands(height: int, at_s: float, depth: float) -> NDArray[np.float32]:
    """Return each row's brightness under a lamp on the mains, rows read one after another in 1/30 s."""
    read_s = at_s + np.arange(height) / height / 30
    return (1 - depth * np.abs(np.sin(np.pi * MAINS_HZ * read_s + 0.7))).astype(np.float32)


def _blinking(sheet: Sheet, *, closed: bool) -> NDArray[np.uint8]:
    """Return the picture with both eyes covered by a lid for as long as they are closed."""
    if not closed:
        return sheet.picture
    covered = sheet.picture.copy()
    half = sheet.face[2]
    for eye_x, eye_y in sheet.eyes:
        at = (round(eye_x), round(eye_y))
        skin = [int(level) for level in covered[min(at[1] + round(0.35 * half), len(covered) - 1), at[0]]]
        cv2.ellipse(covered, at, (round(0.22 * half), round(0.12 * half)), 0, 0, 360, skin, -1)
    return covered


def _levels(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
