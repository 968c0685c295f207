"""Pictures made worse on purpose, one way and one level at a time, as a door's camera and its visitors make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.records import Geometry

# Landmarks of the face mesh: round the lower face from ear to ear, over the bridge of the nose; and each eye's rim.
_MASK = (234, 93, 58, 172, 150, 152, 379, 397, 288, 323, 454, 347, 6, 118)
_EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382),
)
_BROWS = (105, 334)
_CLOTHS = ((120, 160, 200), (235, 235, 232), (30, 30, 32), (150, 60, 70), (200, 175, 155))  # the last is near to skin


class Change(Protocol):
    """One way of making a picture worse."""

    def __call__(
        self, pixels: NDArray[np.uint8], face: Geometry, level: float, dice: np.random.Generator, /
    ) -> NDArray[np.uint8]:
        """Return the changed picture, of any size; `face` tells where the face lay in the one given."""
        ...


@dataclass(frozen=True, slots=True)
class Degradation:
    """A way of making pictures worse, with the levels that are tried, mild ones first."""

    name: str
    unit: str  # of a level
    levels: tuple[float, ...]
    change: Change


def shrunk(pixels: NDArray[np.uint8], face: Geometry, level: float, _dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture with `level` pixels between the eyes; one that has fewer is not enlarged."""
    scale = min(1.0, level / _inter_eye_px(face))
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return _bytes(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def defocused(pixels: NDArray[np.uint8], face: Geometry, level: float, _dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture under a Gaussian blur of `level` percent of the distance between the eyes."""
    return _bytes(cv2.GaussianBlur(pixels, (0, 0), level / 100 * _inter_eye_px(face)))


def moved(pixels: NDArray[np.uint8], face: Geometry, level: float, dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture smeared along a random line, `level` percent of the distance between the eyes long."""
    length = max(1.0, level / 100 * _inter_eye_px(face))
    angle = dice.uniform(0, np.pi)
    side = 2 * int(np.ceil(length / 2)) + 3
    kernel = np.zeros((side, side), np.float32)
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(np.rint((side // 2 + sign * half) * 256).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 8)
    return _bytes(cv2.filter2D(pixels, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def dimmed(pixels: NDArray[np.uint8], _face: Geometry, level: float, _dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture with 1/`level` of its light, in whole luma levels again."""
    return _bytes(pixels / level)


def overexposed(
    pixels: NDArray[np.uint8], _face: Geometry, level: float, _dice: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the picture with `level` times its light, clipped at white."""
    return _bytes(pixels.astype(np.float64) * level)


def lit_from_one_side(
    pixels: NDArray[np.uint8], face: Geometry, level: float, dice: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the picture with 1/`level` of its light on one side of the face, fading over the nose."""
    across = (np.arange(pixels.shape[1]) - float(face.five_points[2, 0])) / _inter_eye_px(face)
    dark = 1 / (1 + np.exp(-6 * across * dice.choice((-1, 1))))
    return _bytes(pixels * (1 - dark * (1 - 1 / level))[np.newaxis, :, np.newaxis])


def hazed(pixels: NDArray[np.uint8], _face: Geometry, level: float, _dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture with its contrast about middle grey divided by `level`, as stray light leaves it."""
    return _bytes(128 + (pixels.astype(np.float64) - 128) / level)


def noisy(pixels: NDArray[np.uint8], _face: Geometry, level: float, dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture with a sensor's noise of `level` levels in each colour."""
    return _bytes(pixels + dice.normal(0, level, pixels.shape))


def compressed(
    pixels: NDArray[np.uint8], _face: Geometry, level: float, _dice: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the picture after JPEG of quality `level`."""
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(level)])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def rolled(pixels: NDArray[np.uint8], face: Geometry, level: float, dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture turned about the nose so that the head lies over by `level` degrees, to either side."""
    nose = tuple(float(v) for v in face.five_points[2])
    turn = level * dice.choice((-1, 1)) - face.roll_deg  # so much clockwise; OpenCV counts the other way
    matrix = cv2.getRotationMatrix2D(nose, -turn, 1.0)
    height, width = pixels.shape[:2]
    return _bytes(cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def cut_off(pixels: NDArray[np.uint8], face: Geometry, level: float, dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture without what lies beyond a border that takes `level` percent of the face, at any side."""
    low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    axis, far = int(dice.integers(2)), bool(dice.integers(2))
    share = level / 100 * (high[axis] - low[axis])
    edge = round(float(high[axis] - share if far else low[axis] + share))
    kept = slice(0, max(edge, 1)) if far else slice(max(edge, 0), None)
    return _bytes(pixels[:, kept] if axis == 0 else pixels[kept])


def masked(pixels: NDArray[np.uint8], face: Geometry, level: float, dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture with a painted cloth over the lower `level` percent of what a mask covers."""
    points = face.landmarks[list(_MASK)]
    top, bottom = face.landmarks[6].astype(np.float64), face.landmarks[152].astype(np.float64)
    down = (bottom - top) / max(float(np.hypot(*(bottom - top))), 1e-6)
    height, width = pixels.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    depth = ((x - top[0]) * down[0] + (y - top[1]) * down[1]) / float((bottom - top) @ down)
    cloth = np.array(_CLOTHS[int(dice.integers(len(_CLOTHS)))], np.float64)
    folds = 1 + 0.08 * np.sin(depth * dice.uniform(15, 30)) + 0.02 * dice.normal(size=depth.shape)
    light = _light(pixels)
    painted = cloth * (folds * light)[..., np.newaxis]
    where = _filled(points, pixels.shape[:2]) * (depth >= 1 - level / 100)
    return _bytes(pixels * (1 - where[..., np.newaxis]) + painted * where[..., np.newaxis])


def spectacled(
    pixels: NDArray[np.uint8], face: Geometry, level: float, _dice: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the picture with painted sunglasses whose lenses take `level` percent of the light."""
    lenses = np.zeros(pixels.shape[:2])
    radius = 0.33 * _inter_eye_px(face)
    for centre in face.five_points[:2]:
        around = centre + radius * np.array([(np.cos(t), 0.8 * np.sin(t) + 0.1) for t in np.linspace(0, 2 * np.pi, 24)])
        lenses = np.maximum(lenses, _filled(around, pixels.shape[:2]))
    return _bytes(pixels * (1 - level / 100 * lenses[..., np.newaxis]))


def eyes_shut(pixels: NDArray[np.uint8], face: Geometry, level: float, _dice: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture with the skin under each brow drawn down over `level` percent of the eye."""
    changed = pixels.astype(np.float64)
    for rim, brow in zip(_EYES, _BROWS, strict=True):
        points = face.landmarks[list(rim)]
        lid, low = points[4], points[12]
        skin = np.rint((lid + 0.4 * (face.landmarks[brow] - lid))[::-1]).astype(int)
        skin = np.clip(skin, 1, np.array(pixels.shape[:2]) - 2)
        colour = pixels[skin[0] - 1 : skin[0] + 2, skin[1] - 1 : skin[1] + 2].mean(axis=(0, 1))
        upper, lower = points[:9], points[[0, *range(15, 7, -1)]]
        edge = upper + level / 100 * (lower - upper)
        closed = _filled(np.concatenate([upper + 0.15 * (lid - low), edge[::-1]]), pixels.shape[:2])[..., np.newaxis]
        changed = changed * (1 - closed) + colour * closed
    return _bytes(changed)


DEGRADATIONS = (
    Degradation("size", "px between the eyes", (28, 20, 16, 12, 9), shrunk),
    Degradation("defocus", "% of the eyes' distance", (4, 7, 10, 14, 20), defocused),
    Degradation("motion", "% of the eyes' distance", (20, 40, 60, 80, 110), moved),
    Degradation("dark", "times less light", (4, 8, 16, 32, 64), dimmed),
    Degradation("bright", "times the light", (1.5, 2.5, 4, 7), overexposed),
    Degradation("one side", "times less light there", (4, 16, 64), lit_from_one_side),
    Degradation("haze", "times less contrast", (4, 8, 16, 32), hazed),
    Degradation("noise", "levels", (10, 20, 30, 45, 60), noisy),
    Degradation("JPEG", "quality", (30, 15, 8, 4), compressed),
    Degradation("roll", "degrees", (20, 35, 45, 60, 80), rolled),
    Degradation("cut off", "% of the face", (5, 12, 20, 30), cut_off),
    Degradation("mask", "% of a mask's height", (30, 50, 70, 100), masked),
    Degradation("sunglasses", "% of the light", (50, 80, 95), spectacled),
    Degradation("eyes shut", "% of the eye", (50, 100), eyes_shut),
)


def _inter_eye_px(face: Geometry) -> float:
    eyes = face.five_points[1] - face.five_points[0]
    return max(float(np.hypot(eyes[0], eyes[1])), 1.0)


def _bytes(pixels: NDArray[np.generic] | cv2.typing.MatLike) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.clip(np.rint(np.asarray(pixels, np.float64)), 0, 255).astype(np.uint8))


def _filled(points: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return (H, W) 1 inside the polygon's hull and 0 outside, with a soft edge."""
    inside = np.zeros(shape[:2], np.float32)
    hull = cv2.convexHull(np.rint(np.asarray(points, np.float64)).astype(np.int32))
    cv2.fillConvexPoly(inside, hull, 1.0, cv2.LINE_AA)
    return cast("NDArray[np.float64]", cv2.GaussianBlur(inside, (0, 0), 0.7).astype(np.float64))


def _light(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (H, W) how bright each place is lit against the picture's mean, 0.5..1.2, without its details."""
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float64), (0, 0), 12)
    return cast("NDArray[np.float64]", np.clip(grey / max(float(grey.mean()), 1.0), 0.5, 1.2))
