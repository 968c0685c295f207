"""Clearance: may a face alone open this door? Only where the liveness stood the attacks tried before its camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.commissioning.judging import in_short, judge
from appliance.commissioning.record import Result, conditions, load
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from appliance.commands.options import Installation

COMMAND = "ostiary commission spoof"


@dataclass(frozen=True, slots=True)
class Clearance:
    """Whether a face alone may open, and why, in one line."""

    face_only: bool
    words: str
    skipped: bool = False  # by `liveness.commissioned`: it may, and nothing was shown


def clearance(installation: Installation) -> Clearance:
    """Return whether a face alone may open. Whatever is wrong with the result, it may not; nothing is raised."""
    settings = installation.settings
    if settings.liveness.commissioned == "skipped":
        words = 'a face alone opens: liveness.commissioned is "skipped", no attack was tried at this door'
        return Clearance(face_only=True, words=words, skipped=True)
    try:
        result = load(installation.commissioning_file, installation.device_key_file)
        doubt = _doubt(result, installation)
    except ApplianceError as fault:
        result, doubt = None, str(fault)
    if result is None or doubt:
        return Clearance(face_only=False, words=f"a face alone does not open: {doubt}; run: {COMMAND}")
    counts = in_short(judge(result.trials, settings.liveness.min_bona_fide, settings.commissioning))
    return Clearance(face_only=True, words=f"a face alone may open: attacks were tried on {result.at[:10]}, {counts}")


def _doubt(result: Result | None, installation: Installation) -> str:
    """Return why the result does not hold for this installation, in words; "" where it does."""
    settings = installation.settings
    if result is None:
        return "no attack was tried at this door yet"
    now = conditions(settings, installation.models_folder)
    for name in [*now, *sorted(result.conditions.keys() - now.keys())]:
        then, here = result.conditions.get(name, "none"), now.get(name, "none")
        if then != here:
            return f"{name} is {here or 'unknown'}, and was {then or 'unknown'} when attacks were tried"
    threshold = settings.liveness.min_bona_fide
    if not threshold >= result.threshold:
        return f"liveness.min_bona_fide is {threshold:g}, and was {result.threshold:g} when attacks were tried"
    return "; ".join(judge(result.trials, threshold, settings.commissioning).shortfalls)
