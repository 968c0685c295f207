"""`ostiary people`: everybody who is enrolled, taken together."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from appliance import manifest
from appliance.audit import AuditLog
from appliance.commands.options import Installation, with_installation
from appliance.errors import RefusedError, UsageError
from appliance.people.calibration import Calibration, apply, door_point, measure, own_tail
from appliance.people.enrolment import CLI
from appliance.people.gallery import Gallery
from appliance.pipeline.matching import in_words
from appliance.rates import Rate, upper_bound

if TYPE_CHECKING:
    from appliance.manifest import Impostors, ModelEntry
    from appliance.records import OperatingPoint

SHOWN = (1e-3, 1e-4)  # false-match rates at which the two tails are set side by side


@click.group()
def people() -> None:
    """Measure how alike the enrolled people look."""


@people.command()
@click.option(
    "--apply", "applied", is_flag=True, help="Have the door use what is measured; it only raises the threshold."
)
@click.option("--reset", is_flag=True, help="Go back to the measurement that came with the model.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_installation
def calibrate(installation: Installation, *, applied: bool, reset: bool, as_json: bool) -> None:
    """Compare everybody with everybody, and say whether the door must ask for more than the model's own measurement."""
    if applied and reset:
        raise UsageError("--apply and --reset are given; only one of them makes sense")
    entry = manifest.embedder(installation.settings.recognition, installation.models_folder)
    with Gallery(installation.gallery_file) as gallery:
        if reset:
            _store(installation, gallery, entry.model_id, None, f"calibration of {entry.model_id} removed")
            click.echo(f"the measurement that came with {entry.model_id} holds again")
            return
        snapshot = gallery.snapshot(entry.model_id, entry.output[0].shape[-1])
        recognition = installation.settings.recognition
        present = own_tail(gallery, entry.model_id)
        now = door_point(entry.measured, present, recognition, snapshot.size)
        found = measure(snapshot, now)
        then = door_point(entry.measured, found.own, recognition, snapshot.size)
        if as_json:
            click.echo(json.dumps(_as_json(found, entry, now, then)))
        else:
            _tell(found, entry, now, then)
        if applied:
            if found.own is None:
                raise RefusedError(f"nothing is applied: {found.why_none}")
            change = f"threshold {now.threshold:.3f} to {then.threshold:.3f} at N {snapshot.size}"
            counted = f"{found.own.comparisons} comparisons of {found.people} people"
            _store(
                installation,
                gallery,
                entry.model_id,
                found.own,
                f"calibration of {entry.model_id}: {counted}, {change}",
            )
            click.echo("applied", err=as_json)


def _store(installation: Installation, gallery: Gallery, model_id: str, own: Impostors | None, detail: str) -> None:
    device = installation.settings.device
    with AuditLog(installation.audit_file, device.id, device.door) as audit:
        apply(gallery, audit, model_id, own, detail=detail, actor=CLI)


def _tell(found: Calibration, entry: ModelEntry, now: OperatingPoint, then: OperatingPoint) -> None:
    of = f" of {now.gallery_size}" if found.references < now.gallery_size else ""
    total = f"{found.accepted.n:,} comparisons of different people"
    click.echo(f"{entry.model_id}: {found.people:,} people, {found.references:,}{of} references, {total}")
    bound = _bound(found.accepted)
    rate = f"false-match rate {found.accepted.value:.2g}, at most {bound:.2g} (one-sided 95 %, taken as independent)"
    click.echo(f"at or above the threshold {now.threshold:.3f}: {found.accepted.count:,}; {rate}")
    click.echo(
        f"within the margin of it: {found.referred:,} pairs of people; a human is asked whenever one of them comes"
    )
    for one, two, similarity in found.nearest:
        click.echo(f"most alike: {one} and {two}; {in_words(similarity, entry.measured.impostors)}")
    if found.own is None:
        click.echo(f"no tail of its own: {found.why_none}; the measurement that came with the model stays")
        return
    for fmr in SHOWN:
        here, shipped = (_at(tail, fmr) for tail in (found.own, entry.measured.impostors))
        click.echo(f"false-match rate {fmr:.0e}, photo against photo: cosine {here} here, {shipped} with the model")
    low, high = found.own.tail_scale_ci95
    click.echo(f"scale of the tail {found.own.tail_scale:.4f} (95 %: {low:.4f} to {high:.4f})")
    change = "stays" if then.threshold == now.threshold else f"becomes {then.threshold:.3f} with --apply"
    click.echo(f"threshold for {now.gallery_size:,} references: {now.threshold:.3f}, {change}")


def _bound(rate: Rate) -> float:
    """Return the exact bound; beyond a thousand cases, where it takes long, Wilson's, which is within 2 % of it."""
    return upper_bound(rate.count, rate.n) if rate.count <= 1000 else rate.ci95[1]


def _at(tail: Impostors | None, fmr: float) -> str:
    return "not measured" if tail is None else f"{tail.tail.threshold(min(fmr, tail.tail_fmr)):.3f}"


def _as_json(found: Calibration, entry: ModelEntry, now: OperatingPoint, then: OperatingPoint) -> dict[str, object]:
    return {
        "model_id": entry.model_id,
        "people": found.people,
        "references": found.references,
        "comparisons": found.accepted.n,
        "at_or_above": found.accepted.count,
        "fmr_upper_95": _bound(found.accepted),
        "referred_pairs": found.referred,
        "nearest": [
            {"people": [one, two], "false_match_rate": in_words(similarity, entry.measured.impostors)}
            for one, two, similarity in found.nearest
        ],
        "own_tail": None if found.own is None else found.own.model_dump(),
        "why_none": found.why_none,
        "now": asdict(now),
        "with_own_tail": asdict(then),
    }
