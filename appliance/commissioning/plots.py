"""The report's drawings: SVG text that stands in the page and takes its colours."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from appliance.commissioning.judging import tally
from appliance.commissioning.trials import BONA_FIDE, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.commissioning.trials import Trial

WIDTH, LEFT, RIGHT = 920, 130, 24  # px
_ROW, _BARS, _BINS = 84, 44, 25
_TOP, _HIGH = 30, 240
_COLOURS = 6
_STEPS = 400


def _x(value: float) -> float:
    return LEFT + value * (WIDTH - LEFT - RIGHT)


def _colour(number: int) -> str:
    return f"var(--c{number if number < _COLOURS else 1 + (number - 1) % (_COLOURS - 1)})"


def histograms(trials: Sequence[Trial], species: Sequence[str], threshold: float) -> str:
    """Return one row for each species: its frames' scores as bars, its presentations as dots."""
    height = _ROW * len(species) + 34
    rows = [_row(trials, name, threshold, number) for number, name in enumerate(species)]
    bottom = height - 30
    ticks = "".join(
        f'<text x="{_x(at):.0f}" y="{bottom + 18}" text-anchor="middle">{at:g}</text>' for at in (0, 0.25, 0.5, 0.75, 1)
    )
    inside = "".join(rows) + _cut(threshold, 12, bottom, f"threshold {threshold:g}") + ticks
    return _drawing(height, "Scores of each species", inside)


def _row(trials: Sequence[Trial], species: str, threshold: float, number: int) -> str:
    mine = [trial for trial in trials if trial.species == species]
    base = _ROW * number + _BARS + 14
    counts, _ = np.histogram([score for trial in mine for score in trial.scores], bins=_BINS, range=(0, 1))
    wide = (_x(1) - _x(0)) / _BINS
    tallest = max(int(counts.max()), 1)
    bars = "".join(
        f'<rect x="{_x(0) + bin_ * wide + 0.5:.1f}" y="{base - _BARS * count / tallest:.1f}" width="{wide - 1:.1f}" '
        f'height="{_BARS * count / tallest:.1f}" fill="{_colour(number)}" fill-opacity="0.35"/>'
        for bin_, count in enumerate(counts.tolist())
        if count
    )
    dots = "".join(
        f'<circle cx="{_x(trial.median):.1f}" cy="{base + 9}" r="4" stroke="{_colour(number)}" stroke-width="1.5" '
        f'fill="{_colour(number) if trial.outcome(threshold) is Outcome.BONA_FIDE else "none"}"/>'
        for trial in mine
        if trial.median is not None
    )
    name = f'<text class="name" x="12" y="{base - 12}">{escape(_name(species))}</text>'
    frames = f'<text x="12" y="{base + 4}">{int(counts.sum())} frames</text>'
    return f'{name}{frames}<path class="axis" d="M{_x(0):.1f} {base}H{_x(1):.1f}"/>{bars}{dots}'


def curves(trials: Sequence[Trial], species: Sequence[str], threshold: float, proposed: float | None) -> str:
    """Return BPCER and each species' APCER against the threshold."""
    bottom = _TOP + _HIGH
    grid = "".join(
        f'<path class="axis" d="M{_x(0):.1f} {_y(rate):.1f}H{_x(1):.1f}"/>'
        f'<text x="{LEFT - 8}" y="{_y(rate) + 4:.1f}" text-anchor="end">{rate:.0%}</text>'
        for rate in (0, 0.25, 0.5, 0.75, 1)
    )
    ticks = "".join(
        f'<text x="{_x(at):.0f}" y="{bottom + 18}" text-anchor="middle">{at:g}</text>' for at in (0, 0.25, 0.5, 0.75, 1)
    )
    cuts = _cut(threshold, _TOP - 16, bottom, f"threshold {threshold:g}")
    if proposed is not None and proposed != threshold:
        cuts += _cut(proposed, _TOP - 16, bottom, f"proposed {proposed:g}")
    lines = "".join(_curve(trials, name, number) for number, name in enumerate(species))
    apart = (_x(1) - _x(0)) / len(species)
    keys = "".join(
        f'<path class="curve" stroke="{_colour(number)}" stroke-dasharray="{_dash(number)}" '
        f'd="M{_x(0) + apart * number:.0f} {bottom + 38}h22"/>'
        f'<text x="{_x(0) + apart * number + 28:.0f}" y="{bottom + 42}">{escape(_name(name))}</text>'
        for number, name in enumerate(species)
    )
    return _drawing(bottom + 56, "Error rates against the threshold", grid + ticks + cuts + lines + keys)


def _curve(trials: Sequence[Trial], species: str, number: int) -> str:
    mine = [trial for trial in trials if trial.species == species]
    points = []
    for step in range(_STEPS + 1):
        rate = tally(mine, species, step / _STEPS).errors
        if rate.n:
            points.append(f"{_x(step / _STEPS):.1f} {_y(rate.value):.1f}")
    if not points:
        return ""
    return (
        f'<path class="curve" stroke="{_colour(number)}" stroke-dasharray="{_dash(number)}" d="M{" L".join(points)}"/>'
    )


def _dash(number: int) -> str:
    return "" if number == 0 else f"{8 - number % 4 * 2} {1 + number}"


def _cut(at: float, top: float, bottom: float, words: str) -> str:
    return (
        f'<path class="cut" d="M{_x(at):.1f} {top}V{bottom}"/>'
        f'<text x="{_x(at) - 6:.1f}" y="{top + 4}" text-anchor="end">{words}</text>'
    )


def _y(rate: float) -> float:
    return _TOP + _HIGH * (1 - rate)


def _name(species: str) -> str:
    return "people" if species == BONA_FIDE else species


def _drawing(height: int, title: str, inside: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{inside}</svg>'
