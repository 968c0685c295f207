"""Attack presentations that nobody recorded: a picture of a face on paper or on a screen, held before a camera.

One seed gives one picture. The result is a whole camera frame, so that the appliance's own detector and crop see
the edges that they would see at a door. What is simulated is listed with each function; what is not: the
flicker and the colour gamut of one device, wet or glossy paper, a cut-out photograph worn as a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

from . import clutter, light

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .frames import Box, Sighting

    Picture = NDArray[np.uint8]

SPECIES = ("print", "phone", "tablet", "monitor")
PICTURE_PX = 448  # longer side at which a print or a screen is drawn before the camera sees it
SKINS = ((224, 188, 160), (198, 152, 120), (160, 112, 82), (112, 76, 54), (72, 48, 36))  # RGB


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A flat thing with a face on it, seen straight on."""

    pixels: Picture  # with its margin or bezel
    face: Box  # where the face is on it, px


def attack(species: str, shown: Sighting, room: Sighting, dice: Generator) -> Picture:
    """Return `room` as a whole frame, with `shown` held before its camera as one of SPECIES."""
    part, face = portrait(shown, dice, upright=species in {"print", "phone"})
    held = printed(part, face, dice) if species == "print" else displayed(species, part, face, dice)
    placed, mask = posed(held, room, dice)
    scene = _joined(_room(room, dice), placed, mask)
    if dice.random() < 0.5:
        scene = _with_fingers(scene, mask, dice)
    return light.compressed(scene, int(dice.integers(60, 96)))


def portrait(shown: Sighting, dice: Generator, *, upright: bool) -> tuple[Picture, Box]:
    """Return the part of a frame that the attacker shows, 1.5 to 3.2 faces wide, and the face's place in it."""
    high, wide = shown.pixels.shape[:2]
    x0, y0, x1, y1 = shown.face
    aspect = dice.uniform(1.2, 1.8) if upright else dice.uniform(0.56, 0.8)
    width = min((x1 - x0) * dice.uniform(1.5, 3.2), wide - 1.0)
    height = min(max(width * aspect, (y1 - y0) * 1.3), high - 1.0)
    left = float(np.clip((x0 + x1 - width) / 2 + (x1 - x0) * dice.uniform(-0.15, 0.15), 0, wide - 1 - width))
    top = float(np.clip((y0 + y1 - height) / 2 + (y1 - y0) * dice.uniform(-0.2, 0.2), 0, high - 1 - height))
    part = shown.pixels[int(top) : int(top + height), int(left) : int(left + width)]
    scale = PICTURE_PX / max(part.shape[:2])
    drawn = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    face = ((x0 - left) * scale, (y0 - top) * scale, (x1 - left) * scale, (y1 - top) * scale)
    return cast("Picture", drawn), face


def printed(part: Picture, face: Box, dice: Generator) -> Held:
    """Return a paper print: ink on paper white, halftone or dither, with a margin or cut at the edge."""
    paper = np.array(dice.uniform((215, 212, 200), (250, 250, 248)), np.float32)
    ink = dice.uniform(12, 60)
    shown: NDArray[Any] = part.astype(np.float32) / 255
    if dice.random() < 0.12:
        shown = np.repeat(shown.mean(axis=2, keepdims=True), 3, axis=2)
    shown = np.clip(shown, 0, 1) ** dice.uniform(0.8, 1.3)
    shown = _halftone(shown, dice) if dice.random() < 0.5 else _dithered(shown, dice)
    on_paper: NDArray[Any] = ink + shown * (paper - ink)
    border = int(dice.choice([0, 0, 12, 30, 60]))
    white = [float(level) for level in paper]
    sheet = cv2.copyMakeBorder(on_paper, border, border, border, border, cv2.BORDER_CONSTANT, value=white)
    return Held(_picture(_bent(sheet.astype(np.float32), dice)), _moved(face, border, border))


def _halftone(shown: NDArray[np.float32], dice: Generator) -> NDArray[np.float32]:
    """Return ink dots on turned screens, one angle a colour, softened as ink spreads."""
    high, wide = shown.shape[:2]
    down, across = np.mgrid[0:high, 0:wide].astype(np.float32)
    period = dice.uniform(3.0, 6.0)
    dots = np.empty_like(shown)
    for channel, degrees in enumerate((15.0, 75.0, 0.0)):
        turn = np.radians(degrees + dice.uniform(-5, 5))
        u, v = across * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - across * np.sin(turn)
        screen = 0.5 + 0.25 * (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period))
        dots[..., channel] = np.clip((shown[..., channel] - screen) * 4 + 0.5, 0, 1)
    share = dice.uniform(0.3, 0.9)
    return cast("NDArray[np.float32]", cv2.GaussianBlur(share * dots + (1 - share) * shown, (0, 0), 0.8))


def _dithered(shown: NDArray[np.float32], dice: Generator) -> NDArray[np.float32]:
    """Return an inkjet's grain and its bands along the way of the head."""
    high, wide = shown.shape[:2]
    grain = dice.standard_normal((high, wide, 3)).astype(np.float32) * dice.uniform(0.01, 0.06)
    bands = 1 + dice.uniform(0, 0.04) * np.sin(np.arange(high) * 2 * np.pi / dice.uniform(6, 30))
    return cast("NDArray[np.float32]", np.clip(shown * bands[:, None, None].astype(np.float32) + grain, 0, 1))


def _bent(sheet: NDArray[np.float32], dice: Generator) -> NDArray[np.float32]:
    """Return the sheet as if rolled round an upright or a lying cylinder, with the shade that this gives."""
    bend = dice.uniform(-0.9, 0.9)  # half the angle of the cylinder that the sheet covers
    if abs(bend) < 0.15:
        return sheet
    if lying := dice.random() < 0.3:
        sheet = sheet.transpose(1, 0, 2)
    high, wide = sheet.shape[:2]
    at = np.linspace(-1, 1, wide, dtype=np.float32)
    flat = np.arcsin(at * np.sin(bend)) / bend  # where on the sheet each column of the view lies
    across = np.tile((flat + 1) / 2 * (wide - 1), (high, 1)).astype(np.float32)
    down = np.tile(np.arange(high, dtype=np.float32)[:, np.newaxis], (1, wide))
    seen = cv2.remap(np.ascontiguousarray(sheet), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shade = 1 - dice.uniform(0.1, 0.35) * np.abs(np.sin(flat * bend + dice.uniform(-0.5, 0.5)))
    seen = seen * shade[np.newaxis, :, np.newaxis].astype(np.float32)
    return cast("NDArray[np.float32]", seen.transpose(1, 0, 2) if lying else seen)


def displayed(species: str, part: Picture, face: Box, dice: Generator) -> Held:
    """Return a phone, tablet or monitor that shows the picture: gamma, tint, pixel grid, moire, bands, glare, bezel."""
    shown = (part.astype(np.float32) / 255) ** dice.uniform(0.7, 1.5)
    glow = dice.uniform(0.55, 1.35) * np.array([dice.uniform(0.85, 1.0), 1.0, dice.uniform(0.95, 1.2)])
    lit = dice.uniform(4, 25) + shown * glow.astype(np.float32) * 235
    lit = lit * _grid(lit.shape[:2], dice) * _moire(lit.shape[:2], dice) * _bands(lit.shape[0], dice)
    if dice.random() < 0.5:
        lit = lit + _glare(lit.shape[:2], dice)
    thickness = {"phone": (6, 40), "tablet": (20, 70), "monitor": (10, 60)}[species]
    top, side = int(dice.integers(*thickness)), int(dice.integers(*thickness))
    if species == "phone":  # narrow at the sides, wide above and below where it has any
        top, side = int(dice.choice([side, side * 2, 70])), max(4, side // 2)
    shell = np.array(dice.uniform(5, 45, 3) if dice.random() < 0.8 else dice.uniform(170, 235, 3))
    whole = cv2.copyMakeBorder(
        _picture(lit), top, top, side, side, cv2.BORDER_CONSTANT, value=[float(v) for v in shell]
    )
    return Held(cast("Picture", whole), _moved(face, side, top))


def _grid(shape: tuple[int, int], dice: Generator) -> NDArray[np.float32]:
    """Return the gaps between a screen's pixels, and its red, green and blue columns, as factors."""
    high, wide = shape
    period, depth = dice.uniform(2.0, 4.0), dice.uniform(0, 0.3)
    columns = 2 * np.pi * np.arange(wide) / period
    rgb = np.stack([1 + depth * np.cos(columns - shift) for shift in (0.0, 2.1, 4.2)], axis=1)
    rows = 1 + depth * 0.6 * np.cos(2 * np.pi * np.arange(high) / period)
    return cast("NDArray[np.float32]", (rows[:, None, None] * rgb[None]).astype(np.float32))


def _moire(shape: tuple[int, int], dice: Generator) -> NDArray[np.float32]:
    """Return the waves that arise between the screen's grid and the sensor's, as factors a colour."""
    high, wide = shape
    down, across = np.mgrid[0:high, 0:wide].astype(np.float32) / PICTURE_PX
    depth = dice.uniform(0, 0.18) if dice.random() < 0.7 else 0.0
    bow = dice.uniform(-6, 6, 2)
    waves = []
    for _ in range(3):
        turn, count = dice.uniform(0, np.pi), dice.uniform(8, 70)
        phase = across * np.cos(turn) + down * np.sin(turn) + (bow[0] * across**2 + bow[1] * down**2) / count
        waves.append(1 + depth * np.cos(2 * np.pi * count * phase))
    return np.stack(waves, axis=2).astype(np.float32)


def _bands(high: int, dice: Generator) -> NDArray[np.float32]:
    """Return the dark bars that a rolling shutter sees on a screen that is refreshed, as factors a row."""
    depth = dice.uniform(0.05, 0.35) if dice.random() < 0.4 else 0.0
    waves = np.sin(2 * np.pi * (np.arange(high) / high * dice.uniform(0.7, 5) + dice.random()))
    bars: NDArray[Any] = 1 - depth * np.clip(waves * 2, -1, 1) ** 2
    return bars.astype(np.float32)[:, None, None]


def _glare(shape: tuple[int, int], dice: Generator) -> NDArray[np.float32]:
    """Return the reflection of a lamp, a window or the room's haze in the glass, in levels."""
    high, wide = shape
    glass = np.zeros((high, wide), np.float32)
    centre = (float(dice.uniform(0, wide)), float(dice.uniform(0, high)))
    size = tuple(float(v) for v in dice.uniform(0.04, 0.5, 2) * max(shape))
    if dice.random() < 0.5:
        cv2.ellipse(glass, (centre, size, float(dice.uniform(0, 180))), 1.0, -1)
    else:
        corners = cv2.boxPoints((centre, size, float(dice.uniform(-30, 30)))).astype(np.int32)
        cv2.fillConvexPoly(glass, corners, 1.0)
    haze = cv2.GaussianBlur(glass, (0, 0), float(dice.uniform(2, 40)))
    return haze[..., np.newaxis] * np.float32(dice.uniform(25, 200)) + np.float32(dice.uniform(0, 20))


def posed(held: Held, room: Sighting, dice: Generator) -> tuple[Picture, NDArray[np.float32]]:
    """Return the held thing in the room's frame, turned and tilted by a homography, and its mask (H, W), 0..1."""
    high, wide = room.pixels.shape[:2]
    x0, y0, x1, y1 = held.face
    scale = dice.uniform(0.28, 0.62) * high / (y1 - y0)
    scale = min(scale, 0.8 * wide / (x1 - x0))
    rows, columns = held.pixels.shape[:2]
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    flat = (corners - middle) * scale
    turn = np.radians(dice.normal(0, 7))
    flat = flat @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    tilt = dice.normal(0, 0.12, 2) / max(rows * scale, columns * scale)
    seen = flat / (1 + flat @ tilt)[:, np.newaxis]
    where = np.array([wide * dice.uniform(0.35, 0.65), high * dice.uniform(0.38, 0.62)])
    matrix = cv2.getPerspectiveTransform(corners, (seen + where).astype(np.float32))
    near = held.pixels if scale > 0.7 else cv2.GaussianBlur(held.pixels, (0, 0), min(0.5 / scale, 2.5))
    placed = cv2.warpPerspective(near, matrix, (wide, high), flags=cv2.INTER_LINEAR)
    mask = cv2.warpPerspective(np.ones((rows, columns), np.float32), matrix, (wide, high), flags=cv2.INTER_LINEAR)
    return cast("Picture", placed), cast("NDArray[np.float32]", mask)


def _room(room: Sighting, dice: Generator) -> Picture:
    """Return what stands behind the held thing: the room as it is, with more in it, mirrored, or out of focus."""
    behind = clutter.behind(room.pixels, room.face, dice) if dice.random() < 0.3 else room.pixels
    behind = behind[:, ::-1] if dice.random() < 0.5 else behind
    if dice.random() < 0.4:
        behind = cast("Picture", cv2.GaussianBlur(behind, (0, 0), float(dice.uniform(2, 12))))
    return _picture(behind * dice.uniform(0.5, 1.15))


def _joined(room: Picture, placed: Picture, mask: NDArray[np.float32]) -> Picture:
    edge = cv2.GaussianBlur(mask, (0, 0), 0.8)[..., np.newaxis]
    return _picture(room * (1 - edge) + placed * edge)


def _with_fingers(scene: Picture, mask: NDArray[np.float32], dice: Generator) -> Picture:
    """Return the scene with one to three fingers over the edge of the held thing; as it was where none is seen."""
    edges = np.argwhere(cv2.Laplacian(mask, cv2.CV_32F, ksize=3) > 0.5)
    if len(edges) == 0:
        return scene
    high = scene.shape[0]
    down, across = edges[int(dice.integers(len(edges)))]
    skin = np.array(SKINS[int(dice.integers(len(SKINS)))], np.float32) * dice.uniform(0.5, 1.05)
    fingers, length, turn = np.zeros_like(mask), high * dice.uniform(0.08, 0.2), float(dice.uniform(0, 180))
    for one in range(int(dice.integers(1, 4))):
        centre = (float(across + one * length * 0.05), float(down + one * length * 0.38))
        cv2.ellipse(fingers, (centre, (length, length * 0.34), turn), 1.0, -1)
    held = cv2.GaussianBlur(fingers, (0, 0), 1.2)[..., np.newaxis]
    shade = cv2.GaussianBlur(dice.standard_normal(mask.shape).astype(np.float32), (0, 0), 12)[..., np.newaxis] * 60
    return _picture(scene * (1 - held) + (skin + shade) * held)


def _moved(face: Box, right: float, down: float) -> Box:
    return (face[0] + right, face[1] + down, face[2] + right, face[3] + down)


def _picture(values: NDArray[np.floating]) -> Picture:
    return cast("Picture", np.clip(values, 0, 255).astype(np.uint8))
