"""How well and how fast passes on a telephone are read, by our reader and by OpenCV's two, on frames made here."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import cv2
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance import pixels
from appliance.access.passes import new_pass, sign_pass
from appliance.drivers.qr import drawn, modules, read_codes
from appliance.drivers.scene import Renderer, Visit

from . import report
from .latency import HEIGHT_PX, WIDTH_PX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_FINE = 2  # the scene is drawn so many times larger and averaged down, as a sensor does
_DISTANCE = 5.0  # of the telephone, in widths of the picture's half: how strong perspective is
_BEZEL = 12  # luma of the telephone's frame


@dataclass(frozen=True, slots=True)
class Look:
    """How a pass is held up; angles and places are drawn at random within these."""

    width_px: float = 180.0  # of the code with its white border, in a frame of 640
    tilt_deg: float = 8.0  # at most, about both axes
    roll_deg: float = 8.0  # at most
    blur_px: float = 0.5  # standard deviation
    glare: float = 0.0  # what a lamp's reflection adds at its middle; 1 is as bright as white
    noise: float = 3.0  # luma levels
    white: float = 200.0  # luma of the telephone's white, before it is cut at 255


LOOKS = {
    "300 px": Look(300),
    "180 px": Look(),
    "120 px": Look(120),
    "100 px": Look(100),
    "90 px": Look(90),
    "80 px": Look(80),
    "70 px": Look(70),
    "tilted up to 40 degrees": Look(tilt_deg=40),
    "turned any way": Look(roll_deg=180),
    "blur 1.5 px": Look(blur_px=1.5),
    "blur 2 px": Look(blur_px=2.0),
    "glare half as bright as white": Look(glare=0.5),
    "glare as bright as white": Look(glare=1.0),
    "dim and noisy": Look(white=60, noise=6),
    "overexposed": Look(white=500),
    "all a little": Look(150, 20, 20, 0.8, 0.4, 4),
}


def run(draws: int) -> None:
    """Print, for each look, how many of so many passes each reader read, and how long it took for a frame."""
    rng = np.random.default_rng(1)
    key = Ed25519PrivateKey.generate()
    scene = Renderer(WIDTH_PX, HEIGHT_PX).draw(Visit(), 2.0)
    seconds: dict[str, list[float]] = {name: [] for name in _READERS}
    rows = []
    for name, look in LOOKS.items():
        right = dict.fromkeys(_READERS, 0)
        for _ in range(draws):
            text = sign_pass(new_pass(rng.bytes(16).hex(), 0, timedelta(1), 1), key, "ostiary", "front")
            picture = shown(modules(text), look, scene, rng)
            for reader in _READERS:
                right[reader] += text in _timed(reader, picture, seconds)
        rows.append([name, *(str(count) for count in right.values())])
    report.show(f"Passes read of {draws}", ("", *_READERS), rows)
    with_code = _milliseconds(seconds)
    seconds = {name: [] for name in _READERS}
    for _ in range(draws):
        for reader in _READERS:
            _timed(reader, _noisy(scene.astype(np.float32), 3.0, rng), seconds)
    without = _milliseconds(seconds)
    columns = ("", "p50 ms with a pass", "p99", "p50 ms without", "p99")
    report.show("A frame of 640x480", columns, [[one, *with_code[one], *without[one]] for one in _READERS])
    read = {row[0]: dict(zip(_READERS, map(int, row[1:]), strict=True)) for row in rows}
    report.finish({"bench": "passes", "draws": draws, "read": read, "ms": with_code, "ms_without": without})


def shown(code: NDArray[np.bool_], look: Look, scene: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the (H, W, 3) RGB scene with a telephone held up in it that shows the code on a white page."""
    page = _telephone(code, look, rng)
    place = np.diag([_FINE, _FINE, 1.0]) @ _held(page.shape, look, scene.shape, rng)
    size = (scene.shape[1] * _FINE, scene.shape[0] * _FINE)
    fine = cv2.resize(scene, size).astype(np.float32)
    cover = cv2.warpPerspective(np.ones_like(page), place, size)[..., np.newaxis]
    fine = fine * (1 - cover) + cv2.warpPerspective(page, place, size)[..., np.newaxis] * cover
    picture = cv2.resize(fine, scene.shape[1::-1], interpolation=cv2.INTER_AREA)
    return _noisy(cv2.GaussianBlur(picture, (0, 0), look.blur_px), look.noise, rng)


def _telephone(code: NDArray[np.bool_], look: Look, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a screen's (H, W) luma: the code in the middle of a white page, a dark frame, what a lamp adds."""
    side = round(look.width_px * _FINE)
    drawing = cv2.resize(drawn(code, 16)[..., 0], (side, side), interpolation=cv2.INTER_AREA)
    border, above, frame = side // 16, side // 2, max(2, side // 14)
    page = np.pad(drawing, ((above, above), (border, border)), constant_values=255).astype(np.float32)
    screen = np.pad(page / 255 * look.white, frame, constant_values=_BEZEL)
    down, across = np.mgrid[0 : screen.shape[0], 0 : screen.shape[1]] / side
    middle = rng.uniform((0.5, 0.2), (1.5, 1.0))  # over the code
    spot = np.exp(-(((across - middle[1]) / 0.35) ** 2) - ((down - middle[0]) / 0.08) ** 2)
    return np.asarray(screen + 255 * look.glare * spot, np.float32)


def _held(page: tuple[int, ...], look: Look, scene: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the homography that takes a page's pixels to the scene's."""
    about_x, about_y = rng.uniform(-math.radians(look.tilt_deg), math.radians(look.tilt_deg), 2)
    turn = rng.uniform(-math.radians(look.roll_deg), math.radians(look.roll_deg))
    height, width = page
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    flat = np.column_stack((corners - (width / 2, height / 2), np.zeros(4))) / _FINE
    rotation, _ = cv2.Rodrigues(np.array([about_x, about_y, 0.0]))
    rolled, _ = cv2.Rodrigues(np.array([0.0, 0.0, turn]))
    space = flat @ rotation.T @ rolled.T
    depth = 1 + space[:, 2:] / (_DISTANCE * scene[1] / 2)
    middle = np.array(scene[1::-1]) / 2 + rng.uniform(-30, 30, 2)
    there = space[:, :2] / depth + middle
    return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), there.astype(np.float32)), np.float64)


def _noisy(
    picture: NDArray[np.float32] | cv2.typing.MatLike, noise: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    return np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)


def _opencv(detector: cv2.QRCodeDetector | cv2.QRCodeDetectorAruco) -> Callable[[NDArray[np.uint8]], Sequence[str]]:
    def read(picture: NDArray[np.uint8]) -> Sequence[str]:
        found, texts, _, _ = detector.detectAndDecodeMulti(pixels.luma(picture))
        return texts if found else ()

    return read


_READERS = {
    "ours (zxing-cpp)": read_codes,
    "OpenCV": _opencv(cv2.QRCodeDetector()),
    "OpenCV, Aruco": _opencv(cv2.QRCodeDetectorAruco()),
}


def _timed(reader: str, picture: NDArray[np.uint8], seconds: dict[str, list[float]]) -> Sequence[str]:
    before = time.perf_counter()
    texts = _READERS[reader](picture)
    seconds[reader].append(time.perf_counter() - before)
    return texts


def _milliseconds(seconds: dict[str, list[float]]) -> dict[str, tuple[str, str]]:
    found = {}
    for name, spent in seconds.items():
        p50, p99 = statistics.median(spent), float(np.quantile(spent, 0.99))
        found[name] = (f"{1e3 * p50:.2f}", f"{1e3 * p99:.2f}")
    return found
