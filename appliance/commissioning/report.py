"""The report: one HTML page for whoever answers for the door, which needs nothing beside it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from appliance.commissioning.judging import MARGIN, proposed_threshold, tally
from appliance.commissioning.plots import curves, histograms
from appliance.commissioning.record import RECORDINGS
from appliance.commissioning.trials import BONA_FIDE

if TYPE_CHECKING:
    from appliance.commissioning.judging import Judgement, Tally
    from appliance.commissioning.record import Result

_TEMPLATE = Path(__file__).with_name("report.html")
_NOT_COVERED = (
    "Anything that was not tried: a larger screen, better paper, another light, the sun, the night.",
    "A display or print that fills the camera's whole view, or a video fed into the camera's place.",
    "Faces made or changed by a computer (deep fakes), beyond being shown on the screens tried here.",
    "Other people than those who took part, and other doors, even with the same camera.",
    "Attackers with more patience: each further visit is a further try.",
)
_NO_MASKS = "Masks: none was tried here."


def page(result: Result, judged: Judgement) -> str:
    """Return the page on a result, judged at one threshold; every text in it is escaped."""
    species = [BONA_FIDE, *(one.species for one in judged.attacks)]
    proposed = proposed_threshold(result.trials)
    not_covered = _NOT_COVERED if "mask" in species else (_NO_MASKS, *_NOT_COVERED)
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        device=escape(result.device_id),
        date=escape(result.at.replace("T", " ").replace("Z", " UTC")),
        verdict_class="passed" if judged.passed else "",
        verdict=_verdict(result, judged),
        why=escape("; ".join(judged.shortfalls) or "No attack that was tried was accepted, and people were let in."),
        threshold=f"{judged.threshold:g}",
        rows="".join(_row(one) for one in (judged.people, *judged.attacks)),
        worst=escape(_worst(judged)),
        people=str(result.people) if result.people else "not counted",
        histograms=histograms(result.trials, species, judged.threshold),
        curves=curves(result.trials, species, judged.threshold, proposed),
        proposal=escape(_proposal(result, proposed)),
        not_covered="".join(f"<li>{escape(line)}</li>" for line in not_covered),
        tested=f"{result.threshold:g}",
        version=escape(result.version),
        facts="".join(_fact(name, value) for name, value in result.conditions.items()),
        signature=escape(result.sig[:16]),
    )


def _verdict(result: Result, judged: Judgement) -> str:
    if result.conditions.get("camera.source") == RECORDINGS:
        return f"{'Passed' if judged.passed else 'Not passed'}; a try-out with recordings, which clears no door"
    return "Passed: a face alone may open" if judged.passed else "Not passed: a face alone does not open"


def _row(one: Tally) -> str:
    low, high = one.errors.ci95
    name, rate = ("people", "BPCER") if one.species == BONA_FIDE else (one.species, "APCER")
    value = f"{one.errors.value:.1%}" if one.errors.n else "none read"
    cells = (
        *(name, rate, one.presented, one.not_read.count),
        *(f"{one.errors.count} of {one.errors.n}", value, f"{low:.0%} to {high:.0%}", f"{one.upper95:.0%}"),
    )
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"


def _fact(name: str, value: object) -> str:
    return f"<tr><td>{escape(name)}</td><td>{escape(str(value)) or '&ndash;'}</td></tr>"


def _worst(judged: Judgement) -> str:
    worst = judged.worst
    if worst is None or not worst.errors.n:
        return f"Of the species {worst.species} nothing was read." if worst else "No attack was tried."
    return (
        f"The worst species is {worst.species}: {worst.errors.count} of {worst.errors.n} accepted, "
        f"so up to {worst.upper95:.0%} of such attacks may pass."
    )


def _proposal(result: Result, proposed: float | None) -> str:
    if proposed is None:
        return "No threshold keeps every attack out that was tried here."
    people = tally(result.trials, BONA_FIDE, proposed).errors
    return (
        f"Proposed: {proposed:g}, the lowest in hundredths, from 0.5, that lies {MARGIN:g} above every attack tried. "
        f"It refuses {people.count} of {people.n} people, and flatters, as it was chosen on these very presentations."
    )
