"""Light and sensors: what a webcam makes of a scene. Bona fide frames and attacks alike pass through here.

Every function takes and returns (H, W, 3) RGB uint8, and draws what it draws from `dice`, so that one seed
gives one picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from .frames import Box

    Picture = NDArray[np.uint8]

# Drawn from with equal chance: what webcams at doors suffer most stands here twice.
COMMON_KINDS = (
    "plain",
    "plain",
    "dark",
    "backlit",
    "backlit",
    "hazy",
    "hazy",
    "cast",
    "noise",
    "gamma",
    "grey",
    "infrared",
    "soft",
)


def photographed(scene: Picture, face: Box, dice: Generator) -> Picture:
    """Return the scene under one of the lights that webcams have trouble with, then noise and JPEG."""
    kind = COMMON_KINDS[int(dice.integers(len(COMMON_KINDS)))]
    lit = LIGHTS[kind](scene, face, dice)
    return compressed(lit, int(dice.integers(45, 96)))


def under(kind: str, scene: Picture, face: Box, dice: Generator) -> Picture:
    """Return the scene under one kind of light, a key of LIGHTS."""
    return LIGHTS[kind](scene, face, dice)


def dark(scene: Picture, _face: Box, dice: Generator) -> Picture:
    """Return the scene underexposed: less light, lifted blacks, and the noise that comes with gain."""
    gain, lift = dice.uniform(0.2, 0.6), dice.uniform(0, 14)
    shown = _gamma(scene, dice.uniform(0.85, 1.3)) * gain + lift
    return noisy(_picture(shown), dice.uniform(1, 6), dice)


def backlit(scene: Picture, face: Box, dice: Generator) -> Picture:
    """Return the scene with a bright background that flares over a dark face."""
    high, wide = scene.shape[:2]
    person = outline(scene, face)
    behind, before = dice.uniform(1.2, 2.8), dice.uniform(0.25, 0.7)
    lit = scene.astype(np.float32) * (behind * (1 - person) + before * person) + dice.uniform(0, 50) * (1 - person)
    small = cv2.resize(np.clip(lit, 0, 400), (max(8, wide // 16), max(8, high // 16)), interpolation=cv2.INTER_AREA)
    flare = cv2.resize(cv2.GaussianBlur(small, (0, 0), 4), (wide, high))
    return noisy(_picture(lit + dice.uniform(0.02, 0.25) * flare), dice.uniform(0.5, 4), dice)


def hazy(scene: Picture, _face: Box, dice: Generator) -> Picture:
    """Return the scene through veiling glare: what is bright spreads over everything and contrast is lost."""
    high, wide = scene.shape[:2]
    small = cv2.resize(scene, (wide // 8, high // 8), interpolation=cv2.INTER_AREA).astype(np.float32)
    glow = cv2.resize(cv2.GaussianBlur(small, (0, 0), dice.uniform(3, 10)), (wide, high))
    lit = scene * dice.uniform(0.35, 0.8) + glow * dice.uniform(0.15, 0.6) + dice.uniform(0, 45)
    return noisy(_picture(lit * dice.uniform(0.9, 1.05, 3)), dice.uniform(0.5, 3), dice)


def cast_colour(scene: Picture, _face: Box, dice: Generator) -> Picture:
    """Return the scene with the wrong white balance."""
    return _picture(scene * dice.uniform(0.65, 1.3, 3))


def noise(scene: Picture, _face: Box, dice: Generator) -> Picture:
    """Return the scene with strong sensor noise."""
    return noisy(scene, dice.uniform(4, 18), dice)


def gamma(scene: Picture, _face: Box, dice: Generator) -> Picture:
    """Return the scene with another tone curve and contrast."""
    middle, contrast = dice.uniform(90, 150), dice.uniform(0.55, 1.4)
    return _picture((_gamma(scene, dice.uniform(0.5, 1.9)) - middle) * contrast + middle)


def grey(scene: Picture, _face: Box, _dice: Generator) -> Picture:
    """Return the scene without colour."""
    return cast("Picture", cv2.cvtColor(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def infrared(scene: Picture, face: Box, dice: Generator) -> Picture:
    """Return the scene as under an infrared lamp: skin bright and flat, light falling off with distance."""
    high, wide = scene.shape[:2]
    red = scene[..., 0].astype(np.float32) * 0.8 + scene[..., 1] * 0.2
    across, down = np.meshgrid(np.arange(wide), np.arange(high))
    far = np.hypot(across - (face[0] + face[2]) / 2, down - (face[1] + face[3]) / 2) / (face[2] - face[0])
    lamp = dice.uniform(0.9, 1.3) / (1 + (far / dice.uniform(1.5, 3.5)) ** 2)
    return noisy(_picture(np.repeat((red**0.85 * 2.1 * lamp)[..., np.newaxis], 3, axis=2)), dice.uniform(1, 6), dice)


def soft(scene: Picture, _face: Box, dice: Generator) -> Picture:
    """Return the scene out of focus, or through a cheap lens: blurred, or scaled down and up."""
    if dice.random() < 0.5:
        return cast("Picture", cv2.GaussianBlur(scene, (0, 0), dice.uniform(0.6, 2.2)))
    high, wide = scene.shape[:2]
    share = dice.uniform(0.35, 0.8)
    small = cv2.resize(scene, (int(wide * share), int(high * share)), interpolation=cv2.INTER_AREA)
    return cast("Picture", cv2.resize(small, (wide, high), interpolation=cv2.INTER_LINEAR))


def outline(scene: Picture, face: Box) -> NDArray[np.float32]:
    """Return (H, W, 1) about where the person of this face is, 1 inside, with a soft and generous edge."""
    x0, y0, x1, y1 = face
    wide, high = x1 - x0, y1 - y0
    person = np.zeros(scene.shape[:2], np.float32)
    cv2.ellipse(person, (((x0 + x1) / 2, (y0 + y1) / 2), (wide * 1.25, high * 1.6), 0.0), 1.0, -1)
    cv2.ellipse(person, (((x0 + x1) / 2, y1 + high * 1.1), (wide * 2.5, high * 2), 0.0), 1.0, -1)
    return cast("NDArray[np.float32]", cv2.GaussianBlur(person, (0, 0), max(3.0, wide * 0.12))[..., np.newaxis])


def noisy(scene: Picture, sigma: float, dice: Generator) -> Picture:
    """Return the scene with noise of `sigma` levels, part of it in blotches as webcams' own smoothing leaves it."""
    high, wide = scene.shape[:2]
    fine = dice.standard_normal((high, wide, 3), np.float32)
    coarse = dice.standard_normal((high // 3 + 1, wide // 3 + 1, 3), np.float32)
    blotches = cv2.resize(coarse, (wide, high), interpolation=cv2.INTER_LINEAR)
    share = dice.uniform(0, 0.7)
    return _picture(scene + sigma * ((1 - share) * fine + share * 1.5 * blotches))


def compressed(scene: Picture, quality: int) -> Picture:
    """Return the scene after JPEG at this quality, 1..100."""
    _, coded = cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cast("Picture", cv2.imdecode(coded, cv2.IMREAD_COLOR))


def _gamma(scene: Picture, power: float) -> NDArray[np.float32]:
    levels = (255 * (np.arange(256) / 255) ** power).astype(np.float32)
    return levels[scene]


def _picture(values: NDArray[Any]) -> Picture:
    return cast("Picture", np.clip(values, 0, 255).astype(np.uint8))


LIGHTS: dict[str, Callable[[Picture, Box, Generator], Picture]] = {
    "plain": lambda scene, _face, _dice: scene,
    "dark": dark,
    "backlit": backlit,
    "hazy": hazy,
    "cast": cast_colour,
    "noise": noise,
    "gamma": gamma,
    "grey": grey,
    "infrared": infrared,
    "soft": soft,
}
