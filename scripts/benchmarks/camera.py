"""Camera integrity on photographs that stand in for views: what is told of a change, and what is told of none.

A photograph is no hallway: it stands for a view with as many edges, in which nobody walks about.
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.progress import track

from appliance.camera_integrity import LEARN_LOOKS, CameraIntegrity
from appliance.config import CameraSettings
from appliance.drivers.camera import checked
from appliance.drivers.opencv import Recording
from appliance.drivers.photo import read_photo
from appliance.errors import UsageError
from appliance.rates import Rate

from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

SIZE = (320, 240)  # about what the photographs have; everything below is in parts of it
GRAIN = 3.0  # luma levels, one standard deviation
SETTINGS = CameraSettings(moved_s=5.0)  # five looks: the longer time of the default only makes alarms rarer
LOOKS = 8
CHOSEN_ON = 120  # photographs, the first of the shuffled, on which the bounds were chosen; none of them is used here
FOR_COST = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to a view."""

    make: Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]  # of the view, and of another one
    alarm: bool = False  # whether it is to be told


def _moved(right: float = 0, down: float = 0, turn_deg: float = 0, zoom: float = 1) -> Change:
    matrix = cv2.getRotationMatrix2D((SIZE[0] / 2, SIZE[1] / 2), turn_deg, zoom)
    matrix[:, 2] += np.array([right * SIZE[0], down * SIZE[1]])
    return Change(
        lambda view, _other: np.asarray(cv2.warpAffine(view, matrix, SIZE, borderMode=cv2.BORDER_REFLECT), np.uint8),
        alarm=abs(right) + abs(down) > 0.02 or abs(turn_deg) > 5 or zoom != 1,
    )


def _blurred(share: float) -> Change:
    return Change(
        lambda view, _other: np.asarray(cv2.GaussianBlur(view, (0, 0), share * SIZE[0]), np.uint8), alarm=True
    )


def _lit(gain: float, offset: float = 0, gamma: float = 1) -> Change:
    def make(view: NDArray[np.uint8], _other: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.clip(255 * (view / 255) ** gamma * gain + offset, 0, 255).astype(np.uint8)

    return Change(make)


def _from_the_side(view: NDArray[np.uint8], _other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.clip(view * np.linspace(0.3, 1.3, SIZE[0])[None, :, None], 0, 255).astype(np.uint8)


def _covered(share: float) -> Change:
    def make(view: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
        half = round(SIZE[0] * share / 2)
        covered = view.copy()
        covered[:, SIZE[0] // 2 - half : SIZE[0] // 2 + half] = other[:, SIZE[0] // 2 - half : SIZE[0] // 2 + half]
        return covered

    return Change(make)


CHANGES = {
    "none": _lit(1.0),
    "a third of the light": _lit(0.35),
    "brighter, 1.4 times": _lit(1.4, 20),
    "other contrast, gamma 1.8": _lit(1.0, 0, 1.8),
    "lit from the side": Change(_from_the_side),
    "haze, 0.6 of the contrast": _lit(0.6, 80),
    "shaken by 0.6 % of the width": _moved(0.006, 0.006),
    "30 % covered, as by a visitor": _covered(0.3),
    "50 % covered": _covered(0.5),
    "shifted by 2.5 % of the width": _moved(0.025),
    "shifted by 5 %": _moved(-0.035, 0.035),
    "shifted by 25 %": _moved(0.25),
    "turned by 7 degrees": _moved(turn_deg=7),
    "turned by 10 degrees": _moved(turn_deg=10),
    "20 % nearer": _moved(zoom=1.2),
    "another view": Change(lambda _view, other: other, alarm=True),
    "blur of 0.6 % of the width": _blurred(0.006),
    "blur of 1 %": _blurred(0.01),
    "blur of 2 %": _blurred(0.02),
}


class _Watched:
    """A camera integrity that sees one frame a second."""

    def __init__(self, folder: Path, grain: np.random.Generator) -> None:
        self.file = folder / "camera.json"
        self._grain = grain
        self.at_s = 0.0
        self.integrity = CameraIntegrity(self.file, SETTINGS)

    def see(self, view: NDArray[np.uint8], looks: int) -> bool:
        """Show a view for so many looks; tell whether it was told to be wrong at the end."""
        for _ in range(looks):
            noisy = view + self._grain.normal(0, GRAIN, view.shape).astype(np.float32)
            self.show(np.clip(noisy, 0, 255).astype(np.uint8))
        return bool(self.integrity.fault)

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Show one frame, with nobody before it."""
        self.at_s += 1.0
        self.integrity.see(checked(pixels, self.at_s, int(self.at_s)), "", nobody=True)


def run(folder: Path, views: int, films: tuple[Path, ...]) -> None:
    """Print how often each change is told, and the cost of a look. Raises UsageError for a folder without pictures."""
    paths = sorted((folder / "images").glob("*/*.jpg"), key=str)
    random.Random(1).shuffle(paths)  # noqa: S311 - an order that is the same each time
    if len(paths) <= CHOSEN_ON + 1:
        raise UsageError(f"folder {folder} holds {len(paths)} photographs in images/NAME; {CHOSEN_ON + 2} are needed")
    chosen = [_view(path) for path in paths[CHOSEN_ON : CHOSEN_ON + views + 1]]
    told, plain = _told(chosen)
    rates = {name: Rate(count, len(chosen) - 1 - plain) for name, count in told.items()}
    rows = [(name, "told" if CHANGES[name].alarm else "let pass", report.percent(rate)) for name, rate in rates.items()]
    report.show("Camera integrity: views called wrong", ("change", "is to be", "was told"), rows)
    told_of = {film.name: _film(film) for film in films}
    for name, wrong in told_of.items():
        print(f"recording {name}, its face taken for a part of the view: {'told' if wrong else 'let pass'}")
    cost_ms = _cost_ms(chosen[0])
    print(f"{plain} of {len(chosen) - 1} views had too few edges; a look takes {cost_ms:.2f} ms (n {FOR_COST}, median)")
    report.finish(
        {
            "bench": "camera",
            "views": len(chosen) - 1 - plain,
            "plain": plain,
            "told": {name: [rate.count, *report.interval(rate)] for name, rate in rates.items()},
            "films": told_of,
            "look_ms": report.number(cost_ms, 3),
        }
    )


def _view(path: Path) -> NDArray[np.uint8]:
    photo = read_photo(path)
    wide = round(photo.shape[0] * 0.12)
    return np.asarray(cv2.resize(photo[wide:-wide], SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def _told(views: list[NDArray[np.uint8]]) -> tuple[dict[str, int], int]:
    """Return how many views were called wrong after each change, and how many could not be learnt."""
    told, plain = dict.fromkeys(CHANGES, 0), 0
    grain = np.random.default_rng(2)
    for view, other in track(list(pairwise(views)), "views"):
        with tempfile.TemporaryDirectory() as folder:
            learning = _Watched(Path(folder), grain)
            learning.see(view, LEARN_LOOKS + 1)
            if learning.integrity.words != "ok":
                plain += 1
                continue
            for name, change in CHANGES.items():
                told[name] += _Watched(Path(folder), grain).see(change.make(view, other), LOOKS)
    return told, plain


def _film(path: Path) -> bool:
    """Tell whether a recording of an unmoved camera is called wrong at any time, four of its frames a second."""
    with tempfile.TemporaryDirectory() as folder:
        watched, wrong = _Watched(Path(folder), np.random.default_rng(3)), False
        for pixels in _frames(path):
            watched.show(pixels)
            wrong = wrong or bool(watched.integrity.fault)
    return wrong


def _frames(path: Path) -> Iterable[NDArray[np.uint8]]:
    film, next_s = Recording(path), 0.0
    while (frame := film.read()) is not None:
        if frame.captured_at_s >= next_s:
            next_s += 0.25
            yield frame.pixels
    film.close()


def _cost_ms(view: NDArray[np.uint8]) -> float:
    """Return the median time of a look at 640 x 480, with all that is made of it."""
    full = np.asarray(cv2.resize(view, (640, 480)), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        watched = _Watched(Path(folder), np.random.default_rng(4))
        watched.see(full, LEARN_LOOKS + 1)
        took = []
        for _ in range(FOR_COST):
            began = time.perf_counter()
            watched.show(full)
            took.append(time.perf_counter() - began)
    return float(np.median(took)) * 1000
