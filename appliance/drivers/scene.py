"""A scene for the simulated camera: visitors who walk up, stand and leave, rendered into frames the real models see.

A person has depth: turning the head moves the nose against the outline. A print or a phone is flat, has an
edge, and moves as one plane. What is simulated is the picture; nothing is told to the models.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import CameraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACES = Path(__file__).parent / "faces"
APPROACH_S = 1.0
LEAVE_S = 0.6
STRAIGHT_S, TURNING_S = 2.0, 3.2  # of somebody who shows poses
POSES_EVERY_S = 12.0  # more than the longest loop that liveness looks for
POSED = 3.2  # how far they turn, in turns of somebody who only stands there
SENSOR_NOISE = 2.0  # luma levels, one standard deviation

# Centre and half-width of the face in each 512x512 portrait, in pixels.
_HEADS = {"astronaut": (225, 120, 52), "official": (258, 135, 72)}


class Visit(BaseModel):
    """One visitor: what they show the camera, for how long, after how long a pause."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shows: Literal["person", "print", "phone"] = "person"
    face: Literal["astronaut", "official"] = "astronaut"
    for_s: Annotated[float, Field(gt=0, le=3600)] = 5.0  # from first sight to last
    pause_s: Annotated[float, Field(ge=0, le=3600)] = 1.5  # of an empty scene before
    light: Annotated[float, Field(ge=0, le=2)] = 1.0  # 1 is ordinary, 0 is a lens cap
    nearness: Annotated[float, Field(gt=0.2, le=3)] = 1.0  # 1 is an arm's length from the door
    poses: bool = False  # looks straight ahead, to both sides, up and down, as a guided enrolment asks for


Condition = Literal["sound", "frozen", "covered", "defocused", "moved"]


class Scene(BaseModel):
    """A script of visits, one after another, and how the camera is that looks at them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    visits: tuple[Visit, ...] = ()
    camera: Condition = "sound"
    camera_id: Annotated[str, Field(max_length=100)] = "simulated"  # another one is another camera


def read_scene(path: Path) -> Scene:
    """Return the scene in a JSON file. Raises CameraError with one line where it is none."""
    try:
        return Scene.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as fault:
        raise CameraError(f"scene {path} cannot be read: {str(fault).splitlines()[0]}") from fault


@dataclass(frozen=True, slots=True)
class _Stance:
    """Where a visitor is at one moment."""

    scale: float
    shift_x: float  # px of the frame, from its middle
    sway: float  # -1..1, slow
    turn: float  # -1..1, head to the side
    nod: float  # -1..1


def stance(visit: Visit, at_s: float) -> _Stance:
    """Return the visitor's stance `at_s` seconds after first sight: they grow nearer, stand swaying, and step aside."""
    near = min(1.0, at_s / APPROACH_S)
    gone = max(0.0, (at_s - (visit.for_s - LEAVE_S)) / LEAVE_S)
    sway = math.sin(1.9 * at_s) * 0.6 + math.sin(4.7 * at_s + 1) * 0.4
    turn, nod = _posed(at_s) if visit.poses else (0.0, 0.0)
    ease = 0.4 if visit.poses else 1.0
    return _Stance(
        scale=visit.nearness * (0.75 + 0.25 * near + 0.02 * sway),
        shift_x=620.0 * gone + 9.0 * sway,
        sway=sway,
        turn=turn + ease * (0.8 * math.sin(1.3 * at_s + 0.4) + 0.2 * math.sin(5.1 * at_s)),
        nod=nod + ease * (0.7 * math.sin(1.7 * at_s + 2) + 0.3 * math.sin(4.1 * at_s)),
    )


def _posed(at_s: float) -> tuple[float, float]:
    """Return turn and nod of somebody who turns to either side, nods either way, and looks straight for a while."""
    phase = max(0.0, at_s - STRAIGHT_S) % POSES_EVERY_S / TURNING_S
    swing = POSED * min(1.0, max(-1.0, 1.8 * math.sin(2 * math.pi * phase)))  # held for a while on either side
    return (swing if phase < 1 else 0.0), (swing if 1 <= phase < 2 else 0.0)


class Renderer:
    """Draws one visit's moments into frames of one size; the same seed draws the same frames."""

    def __init__(self, width_px: int, height_px: int, seed: int = 1) -> None:
        self._size = (width_px, height_px)
        self._room = _room(width_px, height_px)
        noise = np.random.default_rng(seed).normal(0, SENSOR_NOISE, (4, height_px, width_px, 3))
        self._noise = noise.astype(np.float32)
        self._turn = np.random.default_rng(seed)

    def draw(self, visit: Visit | None, at_s: float) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB of the room, with the visitor `at_s` seconds after first sight."""
        picture = self._room if visit is None else self._with_visitor(visit, at_s)
        light = 1.0 if visit is None else visit.light
        shimmer = light * (1 + 0.01 * math.sin(2.3 * at_s))
        grain = np.roll(self._noise[self._turn.integers(4)], int(self._turn.integers(1 << 16)), axis=1)
        lit = picture.astype(np.float32) * np.float32(shimmer) + grain
        return _levels(lit)

    def through(self, condition: Condition, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what a camera in this condition makes of a picture; a frozen one makes none, and is not told here."""
        width, height = self._size
        if condition == "covered":
            return _levels(12 + self._noise[self._turn.integers(4)])
        if condition == "defocused":
            return cast("NDArray[np.uint8]", cv2.GaussianBlur(picture, (0, 0), 0.05 * height))
        if condition == "moved":  # turned aside by about ten degrees, and knocked askew
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), 6.0, 1.0)
            turn[:, 2] += np.array([0.16 * width, -0.06 * height])
            return cast("NDArray[np.uint8]", cv2.warpAffine(picture, turn, self._size, borderMode=cv2.BORDER_REFLECT))
        return picture

    def _with_visitor(self, visit: Visit, at_s: float) -> NDArray[np.uint8]:
        now = stance(visit, at_s)
        if visit.shows == "person":
            return self._placed(_turned_head(visit.face, now), now, face_px=150.0)
        return self._placed(_held_up(visit.face, visit.shows), now, face_px=150.0, flat=True)

    def _placed(
        self, cutout: tuple[NDArray[np.uint8], float, float, float], now: _Stance, face_px: float, *, flat: bool = False
    ) -> NDArray[np.uint8]:
        """Lay an RGBA cut-out into the room with the face at the middle, `face_px` wide at scale 1."""
        rgba, centre_x, centre_y, half = cutout
        width, height = self._size
        zoom = now.scale * face_px * height / 480 / (2 * half)
        tilt = 0.05 * now.sway
        cos, sin = zoom * math.cos(tilt), zoom * math.sin(tilt)
        turn = np.array([[cos, -sin], [sin, cos]])
        target = np.array([width / 2 + now.shift_x * height / 480, height * 0.45 + 4 * now.nod])
        matrix = np.column_stack([turn, target - turn @ (centre_x, centre_y)])
        if flat:  # a plane held in the hand leans: a homography, whatever the head in it seems to do
            lean = np.array([[1, 0, 0], [0, 1, 0], [4e-5 * now.turn, 4e-5 * now.nod, 1]])
            whole = np.vstack([matrix, (0, 0, 1)]) @ lean
            laid = cv2.warpPerspective(rgba, whole, self._size, flags=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
        else:
            laid = cv2.warpAffine(rgba, matrix, self._size, flags=cv2.INTER_LINEAR)
        alpha = laid[:, :, 3:].astype(np.float32) / 255
        return (self._room * (1 - alpha) + laid[:, :, :3] * alpha).astype(np.uint8)


@functools.cache
def _portrait(face: str) -> NDArray[np.uint8]:
    """(512, 512, 4) RGBA."""
    picture = cv2.imread(str(FACES / f"{face}.png"), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise CameraError(f"portrait {FACES / face}.png is missing")
    return cast("NDArray[np.uint8]", cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA))


@functools.cache
def _depth(face: str) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return x, y and how far each pixel stands out of the head's outline, 0..1."""
    centre_x, centre_y, half = _HEADS[face]
    x, y = np.meshgrid(np.arange(512, dtype=np.float32), np.arange(512, dtype=np.float32))
    head = np.exp(-(((x - centre_x) / (1.1 * half)) ** 2 + ((y - centre_y) / (1.5 * half)) ** 2))
    nose = np.exp(-(((x - centre_x) / (0.3 * half)) ** 2 + ((y - centre_y - 0.2 * half) / (0.4 * half)) ** 2))
    return x, y, (0.75 * head + 0.25 * nose).astype(np.float32)


def _turned_head(face: str, now: _Stance) -> tuple[NDArray[np.uint8], float, float, float]:
    centre_x, centre_y, half = _HEADS[face]
    x, y, depth = _depth(face)
    reach = 0.16 * half  # what stands out furthest moves by this much against the outline
    turned = cv2.remap(
        _portrait(face), x - reach * now.turn * depth, y - 0.6 * reach * now.nod * depth, cv2.INTER_LINEAR
    )
    return cast("NDArray[np.uint8]", turned), float(centre_x), float(centre_y), float(half)


@functools.cache
def _held_up(face: str, shows: str) -> tuple[NDArray[np.uint8], float, float, float]:
    """Return a sheet of paper or a telephone that shows the portrait, RGBA, with where the face is on it."""
    centre_x, centre_y, half = _HEADS[face]
    left, top = int(centre_x - 2.0 * half), max(0, int(centre_y - 2.2 * half))
    width, height = int(4.0 * half), int(5.0 * half)
    portrait = _portrait(face).astype(np.float32)
    alpha = portrait[:, :, 3:] / 255
    flat = portrait[:, :, :3] * alpha + (1 - alpha) * np.array([176, 182, 190], np.float32)
    cut = flat[top : top + height, left : left + width].astype(np.float32)
    image = _printed(cut) if shows == "print" else _displayed(cut)
    ends, sides = (0.3, 0.3) if shows == "print" else (0.7, 0.22)
    border = (int(ends * half), int(ends * half), int(sides * half), int(sides * half))
    edge = (246, 245, 240) if shows == "print" else (14, 14, 16)
    sheet = cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=edge)
    rgba = np.dstack([sheet, np.full(sheet.shape[:2], 255, np.uint8)])
    return rgba, centre_x - left + border[2], centre_y - top + border[0], float(half)


def _printed(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return ink on paper: less contrast, a warm white, halftone, and the lamp's sheen across it."""
    rows, columns = np.indices(image.shape[:2])
    halftone = 5 * np.sin(rows * 1.9) * np.sin(columns * 1.9)
    sheen = 26 * np.exp(-(((rows + columns) - 0.5 * sum(image.shape[:2])) ** 2) / (2 * 55.0**2))
    ink = 42 + 0.72 * image * np.array([1.0, 0.97, 0.9]) + (halftone + sheen)[:, :, np.newaxis]
    return _levels(ink)


def _displayed(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a lit display, recaptured: soft, bluish, with moire of its rows and a lamp mirrored in the glass."""
    rows, columns = np.indices(image.shape[:2])
    moire = 2 * np.sin(rows * 0.55 + 0.05 * columns) + 1.5 * np.sin(columns * 0.6)
    centre = (0.22 * image.shape[0], 0.75 * image.shape[1])
    lamp = 160 * np.exp(-(((rows - centre[0]) / 9) ** 2 + ((columns - centre[1]) / 26) ** 2))
    lit = cv2.GaussianBlur(image, (0, 0), 1.4) * np.array([0.93, 1.0, 1.12]) + (moire + lamp)[:, :, np.newaxis]
    return _levels(lit)


def _levels(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return what a sensor makes of light: whole levels, 0..255."""
    return cast("NDArray[np.uint8]", np.clip(values, 0, 255).astype(np.uint8))


def _room(width: int, height: int) -> NDArray[np.uint8]:
    """Return an entrance hall out of focus: wall, door frame, window and floor."""
    rows, columns = np.indices((height, width)).astype(np.float32)
    shade = 150 + 40 * np.exp(-(((columns / width - 0.7) / 0.5) ** 2 + ((rows / height - 0.1) / 0.6) ** 2))
    room = shade[:, :, np.newaxis] * np.array([1.0, 0.97, 0.92], np.float32)
    floor = int(0.86 * height)
    room[floor:] = np.array([104, 92, 84])
    door = (int(0.06 * width), int(0.1 * height)), (int(0.24 * width), floor)
    window = (int(0.78 * width), int(0.2 * height)), (int(0.94 * width), int(0.5 * height))
    cv2.rectangle(room, *door, (122, 96, 74), -1)
    cv2.rectangle(room, *door, (88, 70, 56), 6)
    cv2.rectangle(room, *window, (188, 204, 214), -1)
    return cast("NDArray[np.uint8]", cv2.GaussianBlur(np.clip(room, 0, 255).astype(np.uint8), (0, 0), 4))
