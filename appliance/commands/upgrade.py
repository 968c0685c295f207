"""`ostiary models upgrade`: another embedder, in the shadow until its report passes."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from appliance import manifest
from appliance.commands.options import Installation, with_installation
from appliance.contract import EventType
from appliance.errors import RefusedError
from appliance.people.enrolment import CLI
from appliance.people.references import Standard
from appliance.records import Event
from appliance.upgrade import plan as plans

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.audit import AuditLog
    from appliance.people.gallery import Gallery
    from appliance.upgrade.photos import Read
    from appliance.upgrade.plan import Plan
    from appliance.upgrade.report import Readiness, Space

_MISSING = click.option(
    "--missing", "missing_ok", type=click.IntRange(0), default=0, help="So many people may be enrolled again later."
)


@click.group()
def upgrade() -> None:
    """Change to another embedder without enrolling everybody anew."""


@upgrade.command()
@click.argument("embedder")
@with_installation
def start(installation: Installation, embedder: str) -> None:
    """Begin to change to EMBEDDER (a, b or an id), and read the photos that were kept by it; the door goes on as it is.

    Once more for the same one, it reads those of people who have come since.
    """
    from rich.console import Console  # noqa: PLC0415  help must not wait for it
    from rich.progress import track  # noqa: PLC0415  likewise

    from appliance.upgrade.photos import PhotoUpgrade  # noqa: PLC0415  help must not load the models

    plan = plans.load(installation)
    if plan is None or plan.embedder != embedder:
        plan = plans.begin(installation, embedder)
    entry = plans.entry_of(installation, embedder)
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        _say(audit, f"upgrade from {plan.going} to {plan.coming}: kept photos are read")
        from appliance.drivers.photo import decode_photo  # noqa: PLC0415  as above
        from appliance.pipeline.reading import open_face_reader  # noqa: PLC0415  as above

        work = PhotoUpgrade(
            gallery,
            audit,
            open_face_reader(plans.with_embedder(installation.settings, embedder), installation.models_folder),
            decode_photo,
            plan.coming,
            entry.output[0].shape[-1],
            Standard(entry.measured.impostors, installation.settings.recognition.target_fpir, True, True),  # noqa: FBT003
            CLI,
        )
        console = Console(stderr=True)
        steps = track(work.run(), "reading photos", total=gallery.size(), transient=True, console=console)
        for line in _tally(steps):
            click.echo(line)
    click.echo("what stands in the way: ostiary models upgrade status")


@upgrade.command()
@_MISSING
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_installation
def status(installation: Installation, *, missing_ok: int, as_json: bool) -> None:
    """Say how both spaces stand, and what stands in the way of the new one; exit 1 where anything does."""
    plan = plans.required(installation)
    with installation.open_gallery() as gallery:
        found = _readiness(installation, gallery, plan, missing_ok)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"passed": found.passed}))
    else:
        click.echo("\n".join(_lines(found, installation)))
    if not found.passed:
        raise RefusedError("; ".join(found.objections))


@upgrade.command()
@_MISSING
@with_installation
def finish(installation: Installation, *, missing_ok: int) -> None:
    """Say how to change over once the report passes; after that, erase the old model's templates."""
    plan = plans.required(installation)
    used = manifest.embedder(installation.settings.recognition, installation.models_folder).model_id
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        found = _readiness(installation, gallery, plan, missing_ok)
        if not found.passed:
            raise RefusedError(f"not yet: {'; '.join(found.objections)}")
        if used != plan.coming:
            click.echo(f'it passes. Set recognition.embedder = "{plan.embedder}", start the reader again, and once the')
            click.echo(
                "door is well, say this again: it erases the templates of the old model, by which you could go back"
            )
            return
        erased = gallery.drop_model(plan.going)
        _say(audit, f"upgrade to {plan.coming} finished, {erased} templates of {plan.going} erased")
    plans.file_of(installation).unlink()
    click.echo(f"finished; {erased} templates of {plan.going} are erased")


@upgrade.command()
@with_installation
def abandon(installation: Installation) -> None:
    """Give the upgrade up and erase the new model's templates."""
    plan = plans.required(installation)
    used = manifest.embedder(installation.settings.recognition, installation.models_folder).model_id
    if used == plan.coming:
        raise RefusedError(f"{plan.coming} is in use; set recognition.embedder back first")
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        erased = gallery.drop_model(plan.coming)
        _say(audit, f"upgrade to {plan.coming} abandoned, {erased} templates of it erased")
    plans.file_of(installation).unlink()
    click.echo(f"abandoned; {erased} templates of {plan.coming} are erased")


def _readiness(installation: Installation, gallery: Gallery, plan: Plan, missing_ok: int) -> Readiness:
    from appliance.upgrade.report import readiness  # noqa: PLC0415  help must not load numpy

    known = {one.entry.model_id: one.entry for one in _embedders(installation)}
    if not {plan.going, plan.coming} <= known.keys():
        gone = ", ".join({plan.going, plan.coming} - known.keys())
        raise RefusedError(f"model {gone} is not here any more; abandon the upgrade, or bring it back")
    recognition = installation.settings.recognition
    return readiness(gallery, known[plan.going], known[plan.coming], recognition, missing_ok=missing_ok)


def _embedders(installation: Installation) -> list[manifest.Located]:
    every = manifest.every(installation.settings.recognition, installation.models_folder)
    return [one for one in every if one.entry.role == "embedder"]


def _tally(read: Iterable[Read]) -> Iterator[str]:
    """Yield a line for everybody whose photos gave nothing, and at last the sums."""
    done = without = 0
    for one in read:
        done += bool(one.templates)
        without += not one.templates
        if one.why:
            yield f"{one.person_id}: {one.why}"
    yield f"{done} people have templates of the new model now; of {without} there is none yet"


def _lines(found: Readiness, installation: Installation) -> Iterator[str]:
    for what, space in (("in use", found.going), ("coming", found.coming)):
        yield f"{what}: {_words(space)}"
    if found.missing:
        lazy = installation.settings.recognition.upgrade == "lazy"
        rest = "taken at the door as they come" if lazy else 'enrol them again, or set recognition.upgrade = "lazy"'
        yield f"missing: {len(found.missing)} people, of {found.by_photo} of whom photos are kept; the others: {rest}"
    if found.passed:
        yield "nothing stands in its way: ostiary models upgrade finish"


def _words(space: Space) -> str:
    counted = f"{space.model_id}, {space.people} people, {space.references} templates, threshold {space.threshold:.3f}"
    strangers = f"{space.strangers.count} of {space.strangers.n:,} comparisons of different people reach it"
    missed = f"{space.missed.count} of {space.missed.n} templates reach no other one of their person"
    return f"{counted}; {strangers}, {space.promised:.2g} were promised; {missed}"


def _say(audit: AuditLog, detail: str) -> None:
    audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), CLI, "cli", detail=detail))
