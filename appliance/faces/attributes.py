"""Blur, exposure and noise as face services tell them: a level in a word, and a value 0..1.

Where one level ends and the next begins is where `pipeline/quality.py` was measured to stop enrolling and stop reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from appliance.pipeline.quality import NOISE, OVER_EXPOSED, SHARPNESS, UNDER_EXPOSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.records import Quality


class Level(StrEnum):
    """How much there is of a flaw."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Exposed(StrEnum):
    """How much light there is on a face."""

    UNDER = "under_exposed"
    GOOD = "good"
    OVER = "over_exposed"


@dataclass(frozen=True, slots=True)
class Appearance:
    """How well a face is to be seen. A value that nobody measured (NaN) counts as the worst."""

    blur: Level
    blur_value: float  # 0..1, higher is more blurred; medium from 0.25, high from 0.75
    exposure: Exposed
    exposure_value: float  # 0..1: under-exposed below 0.25, over-exposed from 0.75; by clipped pixels, not by skin
    noise: Level
    noise_value: float  # 0..1, higher is noisier; medium from 0.3, high from 0.7


def appearance(quality: Quality) -> Appearance:
    """Return how blurred, exposed and noisy the measured view is."""
    blur = _between(-quality.sharpness, (-1.0, -SHARPNESS[1], -SHARPNESS[0], 0.0), (0.0, 0.25, 0.75, 1.0))
    noise = _between(quality.noise, (0.0, NOISE[1], NOISE[0], 2 * NOISE[0]), (0.0, 0.3, 0.7, 1.0))
    under = _between(quality.under_exposed, (0.0, UNDER_EXPOSED[1], UNDER_EXPOSED[0]), (0.0, 0.25, 0.5))
    over = _between(quality.over_exposed, (0.0, OVER_EXPOSED[1], OVER_EXPOSED[0]), (0.0, 0.25, 0.5))
    exposure = 0.5 + over - under
    exposed = Exposed.UNDER if exposure < 0.25 else Exposed.OVER if exposure >= 0.75 else Exposed.GOOD
    return Appearance(_level(blur, 0.25, 0.75), blur, exposed, exposure, _level(noise, 0.3, 0.7), noise)


def _between(value: float, at: Sequence[float], gives: Sequence[float]) -> float:
    """Return what lies between the given points, rising; the last of them for NaN."""
    return gives[-1] if np.isnan(value) else float(np.interp(value, at, gives))


def _level(value: float, medium: float, high: float) -> Level:
    return Level.HIGH if value >= high else Level.MEDIUM if value >= medium else Level.LOW
