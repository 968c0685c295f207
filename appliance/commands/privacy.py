"""`ostiary privacy`: what is held, until when, and handing it out."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.access.ledger import Ledger
from appliance.commands.kept import erase_kept, kept
from appliance.commands.options import Installation, with_installation
from appliance.contract import EventType
from appliance.errors import RefusedError
from appliance.people.enrolment import CLI, only_one
from appliance.people.passes import PassBook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.privacy.purge import Outcome
    from appliance.privacy.report import Report

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.group()
def privacy() -> None:
    """See what is held of people, erase whose time is over, and hand out what is held of one."""


privacy.add_command(kept)
privacy.add_command(erase_kept)


@privacy.command()
@_JSON
@with_installation
def report(installation: Installation, *, as_json: bool) -> None:
    """Say what is held, why, until when and under which keys, as it is now; for an auditor."""
    from appliance.privacy.report import report as made  # noqa: PLC0415  help must not load the databases' ciphers

    found = made(installation, _today())
    if as_json:
        click.echo(json.dumps(asdict(found), default=str, ensure_ascii=False))
        return
    for line in _lines(found):
        click.echo(line)


@privacy.command()
@click.option("--dry-run", is_flag=True, help="Only say who would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@click.option("--unasked", is_flag=True, help="As a reader does: never many at once, nor by a clock that nobody set.")
@_JSON
@with_installation
def purge(installation: Installation, *, dry_run: bool, yes: bool, unasked: bool, as_json: bool) -> None:
    """Erase everybody whose time is over by the rules of [retention]; a running reader does so once a day."""
    from appliance.privacy.purge import Purge, most_unasked  # noqa: PLC0415  as above
    from appliance.privacy.retention import rules_of  # noqa: PLC0415  as above

    rules = rules_of(installation.settings.retention)
    if unasked:
        _demand_a_clock(installation)
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        run = Purge(gallery, audit, rules, _today(), CLI)
        outcome = run.run(dry=True)
        if not dry_run:
            if outcome.due and not (yes or unasked):
                click.confirm(f"Erase {len(outcome.due)} of {outcome.looked_at} people for good?", abort=True, err=True)
            outcome = run.run(most=most_unasked(gallery) if unasked else None)
    with Ledger(installation.ledger_file) as ledger:
        for one in outcome.erased:
            ledger.forget(one.receipt.person_id)
    click.echo(json.dumps(_as_json(outcome)) if as_json else "\n".join(_told(outcome)))


@privacy.command()
@click.argument("name_or_id")
@click.option("--to", "path", type=click.Path(path_type=Path), required=True, help="A new ZIP file.")
@with_installation
def export(installation: Installation, name_or_id: str, *, path: Path) -> None:
    """Write everything that is held of one person to a ZIP file: JSON, a page to read, and photos that were kept."""
    from appliance.privacy.export import Sources  # noqa: PLC0415  as above
    from appliance.privacy.export import export as hand_out  # noqa: PLC0415  as above

    with ExitStack() as opening:
        sources = Sources(
            opening.enter_context(installation.open_gallery()),
            opening.enter_context(PassBook(installation.gallery_file)),
            opening.enter_context(Ledger(installation.ledger_file)),
            opening.enter_context(installation.open_audit()),
        )
        person_id = only_one(sources.gallery, name_or_id).person_id
        found = hand_out(sources, person_id, path.absolute(), actor=CLI, method="cli").record
    counted = f"{len(found['references'])} references, {len(found['photos'])} photos"
    click.echo(f"{path}: {counted}, {len(found['audit_log'])} entries of {person_id}; it is not sealed, keep it so")


@privacy.command()
@click.argument("person_id")
@click.option("--hash", "receipt_hash", help="The receipt's hash, which the log must hold.")
@with_installation
def receipt(installation: Installation, person_id: str, *, receipt_hash: str | None) -> None:
    """Show that the person of this id was erased: the tombstone, and the entry in the log."""
    with installation.open_gallery() as gallery:
        graves = [one for one in gallery.tombstones() if one.person_id == person_id]
        if not graves:
            raise RefusedError(f"nobody was erased under the id {person_id!r}")
    with installation.open_audit() as audit:
        entries = [one for one in audit.naming(person_id) if one.event.event_type is EventType.ERASED]
    click.echo(f"erased at {graves[0].erased_at.isoformat(timespec='seconds')}, key {graves[0].key_hash} destroyed")
    for one in entries:
        click.echo(f"entry {one.seq}: {one.event.detail}")
    if receipt_hash is not None and not any(receipt_hash.lower() in one.event.detail for one in entries):
        raise RefusedError(f"no entry of the log holds the receipt {receipt_hash!r}")


def _demand_a_clock(installation: Installation) -> None:
    """Raise RefusedError where nobody has set the clock, by which nobody is erased."""
    from appliance.clock import WallClock  # noqa: PLC0415  as above

    if not WallClock(installation.settings.access.clock)().clock_set:
        raise RefusedError("nobody has set the clock; nobody is erased by it")


def _today() -> date:
    return datetime.now(UTC).date()


def _told(outcome: Outcome) -> Iterator[str]:
    gone = {one.receipt.person_id: one.receipt.receipt_hash for one in outcome.erased}
    for person_id, end in outcome.due:
        state = f"erased, receipt {gone[person_id]}" if person_id in gone else "due"
        yield f"{person_id}: {state}; {end.why}, since {end.on}"
    for person_id in outcome.unclear:
        yield f"{person_id}: stays; what is known of them was altered, and is not believed"
    yield f"{outcome.looked_at} people looked at, {len(outcome.due)} due, {len(outcome.erased)} erased"


def _as_json(outcome: Outcome) -> dict[str, object]:
    gone = {one.receipt.person_id: one.receipt.receipt_hash for one in outcome.erased}
    return {
        "looked_at": outcome.looked_at,
        "due": [
            {"person_id": person_id, "why": end.why.name.lower(), "on": str(end.on), "receipt": gone.get(person_id)}
            for person_id, end in outcome.due
        ],
        "unclear": list(outcome.unclear),
    }


def _lines(found: Report) -> Iterator[str]:
    yield f"{found.device_id}, {found.at.isoformat(timespec='seconds')}: {found.people} people are enrolled"
    yield "\nHeld, and why"
    for one in found.holdings:
        counted = f"{one.count:,} rows" if one.count is not None else f"{one.size or 0:,} bytes"
        yield f"  {one.place}: {counted}; {one.purpose}"
    for name, count in found.references.items():
        yield f"  templates of {name}: {count:,}"
    yield "\nConsent"
    for agreed in found.consents:
        text = agreed.version or "no version recorded"
        photos = "photos may be kept" if agreed.photos else "no photos"
        state = "withdrawn" if agreed.withdrawn else "in force"
        yield f"  {agreed.people:,} people: text {text}, {agreed.language}, {photos}, {state}"
    yield from _until_when(found)
    yield from _keys_and_log(found)


def _until_when(found: Report) -> Iterator[str]:
    yield f"\nUntil when (preset {found.preset})"
    for one in found.endings:
        spans = ", ".join(
            f"{people:,} within {days} days" if days else f"{people:,} now" for days, people in one.within.items()
        )
        yield f"  {one.rule}: {f'after {one.days} days; due {spans}' if one.days else 'no rule'}"
    yield f"  {found.never_due:,} people are due by no rule"


def _keys_and_log(found: Report) -> Iterator[str]:
    keys, log = found.keys, found.log
    yield "\nKeys"
    made = keys.vault_made_at.isoformat(timespec="seconds")
    yield f"  device key {keys.device_key} from a {keys.source}, vault of {made}, {keys.people:,} keys of people"
    yield f"  {found.erased:,} people were erased, their keys destroyed; the last {found.erased_at or 'never'}"
    yield "\nLooked for, and not to be found"
    yield f"  files with a picture: {', '.join(found.pictures) or 'none'}"
    yield f"  templates and photos of nobody who is enrolled: {found.of_nobody}"
    yield f"  photos without consent to keep any: {found.without_consent}"
    yield "\nAudit log"
    counted = f"{log.entries:,} entries since {log.first_at or 'never'}, {log.exports} exports, {log.backups} backups"
    yield f"  {counted}; chain {log.chain}"
    yield f"  newest purge: {f'{log.purged_at}, {log.purged}' if log.purged else 'none'}"
