"""Straight edges where no attack is: windows, posters, frames and curtains behind a living person.

Without them a training that shows edges on attacks alone would learn that every edge is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from . import light

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .frames import Box

    Picture = NDArray[np.uint8]


def behind(scene: Picture, face: Box, dice: Generator) -> Picture:
    """Return the scene with one to four flat things in the room, none of them before the person of this face."""
    room = scene.astype(np.float32)
    for _ in range(int(dice.integers(1, 5))):
        _place(room, THINGS[int(dice.integers(len(THINGS)))](scene.shape[:2], dice), dice)
    person = light.outline(scene, face)
    return cast("Picture", np.clip(scene * person + room * (1 - person), 0, 255).astype(np.uint8))


def _place(room: NDArray[np.float32], thing: NDArray[np.float32], dice: Generator) -> None:
    """Draw a thing of the room's size into one quadrilateral of the room, or along its outline only."""
    high, wide = room.shape[:2]
    centre = (float(dice.uniform(0, wide)), float(dice.uniform(0, high)))
    size = (float(dice.uniform(0.1, 0.9) * wide), float(dice.uniform(0.1, 0.9) * high))
    corners = cv2.boxPoints((centre, size, float(dice.normal(0, 4)))).astype(np.int32)
    mask = np.zeros((high, wide), np.float32)
    if dice.random() < 0.3:
        cv2.polylines(mask, [corners], True, 1.0, int(dice.integers(2, 24)))  # noqa: FBT003 - OpenCV takes no name here
    else:
        cv2.fillConvexPoly(mask, corners, 1.0)
    edge = cv2.GaussianBlur(mask, (0, 0), float(dice.uniform(0.5, 3)))[..., np.newaxis]
    room += (thing - room) * edge


def _window(shape: tuple[int, int], dice: Generator) -> NDArray[np.float32]:
    """Return daylight, brighter above."""
    fall = np.linspace(dice.uniform(230, 300), dice.uniform(160, 255), shape[0], dtype=np.float32)
    return np.broadcast_to(fall[:, None, None], (*shape, 3)) * dice.uniform(0.92, 1.03, 3).astype(np.float32)


def _board(shape: tuple[int, int], dice: Generator) -> NDArray[np.float32]:
    """Return one colour: a door, a cupboard, a poster's ground, a screen that is off."""
    return np.broadcast_to(_colour(dice), (*shape, 3))


def _curtain(shape: tuple[int, int], dice: Generator) -> NDArray[np.float32]:
    """Return stripes of two colours, upright or lying."""
    ends = np.stack([_colour(dice), _colour(dice)])
    axis = int(dice.integers(2))
    wave = 0.5 + 0.5 * np.sin(np.arange(shape[axis], dtype=np.float32) * 2 * np.pi / dice.uniform(6, 60))
    wave = np.clip((wave - 0.5) * dice.uniform(1, 6) + 0.5, 0, 1)
    stripes = ends[0] + wave[:, np.newaxis] * (ends[1] - ends[0])
    lying = np.broadcast_to(stripes[:, np.newaxis], (shape[0], shape[1], 3)) if axis == 0 else stripes[np.newaxis]
    return np.broadcast_to(lying, (*shape, 3)).astype(np.float32)


def _colour(dice: Generator) -> NDArray[np.float32]:
    """Return a muted colour, as walls and furniture have."""
    return np.clip(dice.uniform(15, 235) + dice.normal(0, 22, 3), 0, 255).astype(np.float32)


THINGS = (_window, _window, _board, _curtain)
