"""Evening out the light of a crop before the network sees it: tried on its own, before anything was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

MIDDLE = 110.0  # luma level that the face's middle half is brought to
FULL = 245.0  # luma level that the brightest twentieth is brought to
GAMMA_BOUNDS = (0.4, 2.5)
TILES, CLIP = (4, 4), 2.0


def gain(crop: Picture) -> Picture:
    """Return the crop brightened so that its 95th percentile of luma is FULL; bright crops stay as they are."""
    bright = float(np.percentile(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), 95))
    return _picture(crop * max(1.0, FULL / max(bright, 1.0)))


def gamma(crop: Picture) -> Picture:
    """Return the crop under the tone curve that brings the mean luma of its middle to MIDDLE."""
    high, wide = crop.shape[:2]
    middle = crop[high // 4 : -high // 4, wide // 4 : -wide // 4]
    level = float(np.clip(cv2.cvtColor(np.ascontiguousarray(middle), cv2.COLOR_RGB2GRAY).mean() / 255, 0.01, 0.99))
    power = float(np.clip(np.log(MIDDLE / 255) / np.log(level), *GAMMA_BOUNDS))
    return _picture(255 * (crop / 255.0) ** power)


def clahe(crop: Picture) -> Picture:
    """Return the crop with its lightness equalised tile by tile, contrast limited."""
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(CLIP, TILES).apply(np.ascontiguousarray(lab[..., 0]))
    return cast("Picture", cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def grey_world(crop: Picture) -> Picture:
    """Return the crop with the means of its three colours made alike."""
    means = crop.reshape(-1, 3).mean(axis=0)
    return _picture(crop * (means.mean() / np.maximum(means, 1.0)))


def _picture(values: NDArray[np.floating]) -> Picture:
    return cast("Picture", np.clip(values, 0, 255).astype(np.uint8))


NORMALISERS: dict[str, Callable[[Picture], Picture]] = {
    "none": lambda crop: crop,
    "gain": gain,
    "gamma": gamma,
    "clahe": clahe,
    "grey_world": grey_world,
}
