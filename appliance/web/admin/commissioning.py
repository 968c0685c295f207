"""The commissioning page: what attacks were tried here and what came of it, and how alike is alike enough."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from appliance import manifest
from appliance.commissioning.clearance import COMMAND, Clearance, clearance
from appliance.commissioning.judging import Judgement, Tally, judge, proposed_threshold
from appliance.commissioning.plots import curves, histograms
from appliance.commissioning.record import Result, load
from appliance.commissioning.report import page as report_page
from appliance.commissioning.trials import BONA_FIDE
from appliance.contract import Role
from appliance.errors import ApplianceError, RefusedError
from appliance.people.calibration import as_visits, door_point, own_tail
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page
from appliance.web.reader import ReaderAwayError
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.commands.options import Installation
    from appliance.manifest import Impostors, ModelEntry
    from appliance.records import OperatingPoint
    from appliance.web.books import Books

router = APIRouter()

_READERS = (Role.AUDITOR, Role.ADMIN)
_SIZES = (1, 10, 100, 1_000, 10_000, 100_000)  # references, for which a threshold is shown
_STEPS = 60  # of a curve
_WIDE, _HIGH, _LEFT, _TOP = 360.0, 190.0, 52.0, 12.0  # of a drawing, without its frame


@dataclass(frozen=True, slots=True)
class Tried:
    """The last result, and whether it clears the door."""

    clearance: Clearance
    result: Result | None
    judged: Judgement | None
    fault: str  # why there is a file and no result; "" where nothing is amiss


@dataclass(frozen=True, slots=True)
class Curve:
    """A line to draw, with its scales."""

    path: str
    across: list[tuple[float, str]]  # place and words of each tick
    up: list[tuple[float, str]]
    mark: tuple[float, float]  # where the door is now
    begins: float  # the threshold below which nothing was fitted


@router.get("/commissioning")
@allowed(*_READERS)
async def commissioning(request: Request) -> Response:
    """Show the result and the operating point."""
    rooms = rooms_of(request)
    installation = rooms.installation
    tried = await asyncio.to_thread(_tried, installation)
    entry = manifest.embedder(installation.settings.recognition, installation.models_folder)
    size = await _size(request, entry)
    own = await rooms.books.run(lambda books: own_tail(books.gallery, entry.model_id))
    point = door_point(entry.measured, own, installation.settings.recognition, size)
    return page(
        request,
        "commissioning.html",
        tried=tried,
        rows=[] if tried.judged is None else [_row(one) for one in (tried.judged.people, *tried.judged.attacks)],
        proposed=None if tried.result is None else proposed_threshold(tried.result.trials),
        figures=_figures(tried),
        command=COMMAND,
        wanted=installation.settings.commissioning,
        point=point,
        own=own,
        model=entry.model_id,
        sizes=[(n, _point(entry, own, installation, n).threshold) for n in _SIZES] if _measured(point) else [],
        rates=_rates(entry, own, point),
        curve=_curve(entry, own, point) if _measured(point) else None,
        frame={"wide": _WIDE, "high": _HIGH, "left": _LEFT, "top": _TOP},
    )


@router.get("/commissioning/report.html")
@allowed(*_READERS)
async def report(request: Request) -> Response:
    """Hand out the report, which needs nothing beside it; shown among our pages it would be without its colours."""
    installation = rooms_of(request).installation
    tried = await asyncio.to_thread(_tried, installation)
    if tried.result is None or tried.judged is None:
        raise RefusedError(tried.fault or f"no attack was tried at this door yet; run: {COMMAND}")
    text = report_page(tried.result, tried.judged)
    return Response(
        text,
        headers={"Content-Disposition": 'attachment; filename="commissioning.html"'},
        media_type="text/html; charset=utf-8",
    )


def _tried(installation: Installation) -> Tried:
    settings = installation.settings
    cleared = clearance(installation)
    try:
        result = load(installation.commissioning_file, installation.device_key_file)
    except ApplianceError as fault:
        return Tried(cleared, None, None, str(fault))
    if result is None:
        return Tried(cleared, None, None, "")
    return Tried(cleared, result, judge(result.trials, settings.liveness.min_bona_fide, settings.commissioning), "")


def _row(one: Tally) -> dict[str, Any]:
    low, high = one.errors.ci95
    people = one.species == BONA_FIDE
    return {
        "name": "People refused (BPCER)" if people else f"{one.species.capitalize()} accepted (APCER)",
        "presented": one.presented,
        "not_read": one.not_read.count,
        "errors": f"{one.errors.count} of {one.errors.n}",
        "rate": f"{one.errors.value:.1%}" if one.errors.n else "none read",
        "interval": f"{low:.0%} to {high:.0%}",
        "upper": f"{one.upper95:.0%}",
        "bad": one.errors.count > 0 and not people,
    }


def _figures(tried: Tried) -> list[tuple[str, Markup]]:
    """Return the report's drawings. All that stands in them is numbers, and words that they escape."""
    if tried.result is None or tried.judged is None:
        return []
    species = [BONA_FIDE, *(one.species for one in tried.judged.attacks)]
    trials, threshold = tried.result.trials, tried.judged.threshold
    proposed = proposed_threshold(trials)
    return [
        (
            "How sure the model was: frames as bars, presentations as dots",
            _drawn(histograms(trials, species, threshold)),
        ),
        ("Error rates against the threshold", _drawn(curves(trials, species, threshold, proposed))),
    ]


def _drawn(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - made by commissioning/plots.py, which escapes every text


async def _size(request: Request, entry: ModelEntry) -> int:
    """Return how many references a probe is compared with: as the reader says, else as the gallery has them."""
    rooms = rooms_of(request)
    try:
        return int((await rooms.reader.do(who_is(request), "status"))["references"])
    except ReaderAwayError:
        return await rooms.books.run(lambda books: _counted(books, entry))


def _counted(books: Books, entry: ModelEntry) -> int:
    return books.gallery.current(entry.model_id, entry.output[0].shape[-1]).size


def _point(entry: ModelEntry, own: Impostors | None, installation: Installation, size: int) -> OperatingPoint:
    return door_point(entry.measured, own, installation.settings.recognition, size)


def _measured(point: OperatingPoint) -> bool:
    return math.isfinite(point.threshold)


def _tails(entry: ModelEntry, own: Impostors | None) -> list[Impostors]:
    """Return what the threshold rests on: the model's own measurement, and this gallery's where there is one."""
    here = None if own is None else as_visits(own, entry.measured)
    return [one for one in (entry.measured.door, here) if one is not None]


def _fpir(tails: list[Impostors], threshold: float, size: int) -> float:
    """Return how often a stranger matches any of so many references at this threshold, after the worst of the tails.

    Of one that begins above the threshold, what it is where it begins: there it is more.
    """
    fmr = max(one.tail.rate(max(threshold, one.tail_start)) for one in tails)
    return -math.expm1(max(size, 1) * math.log1p(-fmr))


def _rates(entry: ModelEntry, own: Impostors | None, point: OperatingPoint) -> list[tuple[float, float | None]]:
    """Return the rate of false positives at thresholds about the door's own; None where nothing was fitted."""
    if not _measured(point):
        return []
    tails = _tails(entry, own)
    begins = _begins(tails)
    found: list[tuple[float, float | None]] = []
    for step in (-0.05, -0.025, 0.0, 0.025, 0.05):
        at = point.threshold + step
        found.append((at, _fpir(tails, at, point.gallery_size) if at >= begins else None))
    return found


def _begins(tails: list[Impostors]) -> float:
    return max(one.tail_start for one in tails)


def _curve(entry: ModelEntry, own: Impostors | None, point: OperatingPoint) -> Curve:
    """Return the rate of false positives against the threshold, on a scale of tens."""
    tails = _tails(entry, own)
    begins = _begins(tails)
    low, high = max(point.threshold - 0.1, begins), point.threshold + 0.1
    least, most = -6.0, 0.0  # powers of ten

    def place(threshold: float) -> tuple[float, float]:
        rate = math.log10(max(_fpir(tails, threshold, point.gallery_size), 10**least))
        across = _LEFT + (threshold - low) / (high - low) * _WIDE
        return round(across, 1), round(_TOP + (most - rate) / (most - least) * _HIGH, 1)

    places = [place(low + (high - low) * step / _STEPS) for step in range(_STEPS + 1)]
    ticks = [low + (high - low) * step / 4 for step in range(5)]
    return Curve(
        "M" + " L".join(f"{x} {y}" for x, y in places),
        [(place(at)[0], f"{at:.2f}") for at in ticks],
        [(_TOP - power / 6 * _HIGH, f"{10.0**power:g}") for power in range(-6, 1)],
        place(point.threshold),
        begins,
    )
