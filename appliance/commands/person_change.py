"""`ostiary person set`, `withdraw` and `forget`: what is known of one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from appliance.commands.options import Installation, with_installation
from appliance.people.changes import Change, change_details, forget_reference
from appliance.people.changes import withdraw as withdraw_consent
from appliance.people.enrolment import only_one

if TYPE_CHECKING:
    from appliance.people.person import Details

_NONE = "none"  # takes a value away


@click.command("set")
@click.argument("name_or_id")
@click.option("--name", help="Another name.")
@click.option("--external-id", help="How another system calls them; none for nothing.")
@click.option("--notes", help="A few words for whoever looks after people; none for nothing.")
@click.option("--tag", "tags", multiple=True, help="A label, which is not secret; again for more.")
@click.option("--no-tag", "without", multiple=True, help="Take this label off; again for more.")
@click.option("--card", "cards", multiple=True, help="Number of a card of theirs; again for more.")
@click.option("--no-card", "lost", multiple=True, help="Take this card off; again for more.")
@click.option(
    "--max-fpir", help="A lower target FPIR than the door's for this person, such as 1e-4; none for the door's."
)
@with_installation
def change(
    installation: Installation,
    name_or_id: str,
    *,
    name: str | None,
    external_id: str | None,
    notes: str | None,
    tags: tuple[str, ...],
    without: tuple[str, ...],
    cards: tuple[str, ...],
    lost: tuple[str, ...],
    max_fpir: str | None,
) -> None:
    """Change what is known of a person, and show it; without options, show it."""

    def wanted(before: Details) -> Change:
        return Change(
            name,
            "" if external_id == _NONE else external_id,
            "" if notes == _NONE else notes,
            before.tags.union(tags).difference(without) if tags or without else None,
            [card for card in (*before.cards, *cards) if card not in lost] if cards or lost else None,
            _fpir(max_fpir),
        )

    nothing = not (tags or without or cards or lost) and {name, external_id, notes, max_fpir} == {None}
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        if nothing:
            known = gallery.details(only_one(gallery, name_or_id).person_id)
        else:
            known = change_details(gallery, audit, name_or_id, wanted)
    for heading, value in _lines(known):
        click.echo(f"{heading}: {value}")


@click.command()
@click.argument("name_or_id")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@with_installation
def withdraw(installation: Installation, name_or_id: str, *, yes: bool) -> None:
    """Take down that a person no longer consents: their face is erased, name, rights, PIN and passes stay."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        one = only_one(gallery, name_or_id)
        if not yes:
            click.confirm(f"Erase the face of {one.name} ({one.person_id}), {one.references} references?", abort=True)
        person_id = withdraw_consent(gallery, audit, one.person_id)
    click.echo(f"erased the face of {person_id}; who shall go altogether is removed: ostiary person remove {person_id}")


@click.command()
@click.argument("reference_id")
@with_installation
def forget(installation: Installation, reference_id: str) -> None:
    """Erase one reference of a person; `ostiary person show` lists them."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        forget_reference(gallery, audit, reference_id)
    click.echo(f"erased reference {reference_id}")


def _fpir(text: str | None) -> float | None:
    if text is None:
        return 0.0
    if text == _NONE:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 0.1:
        raise click.BadParameter(
            f"{text!r} is not allowed; a number above 0 and up to 0.1, or none", param_hint="--max-fpir"
        )
    return value


def _lines(known: Details) -> list[tuple[str, str]]:
    consent = known.consent
    text = f"text {consent.text_version or 'not recorded'} in {consent.language}"
    agreed = f"by {consent.given_by}, {consent.given_at.isoformat(timespec='seconds')}, {text}"
    if consent.withdrawn_at is not None:
        agreed += f"; withdrawn {consent.withdrawn_at.isoformat(timespec='seconds')}"
    return [
        ("id", known.person_id),
        ("name", known.name),
        ("external id", known.external_id or _NONE),
        ("notes", known.notes or _NONE),
        ("tags", ", ".join(sorted(known.tags)) or _NONE),
        ("groups", ", ".join(sorted(known.groups)) or _NONE),
        ("cards", ", ".join(known.cards) or _NONE),
        ("status", known.status.value),
        ("target FPIR", _NONE if known.max_fpir is None else f"{known.max_fpir:g}"),
        ("consent", agreed),
        ("photos kept", "yes" if consent.photos else "no"),
        ("last seen", _NONE if known.last_seen_on is None else known.last_seen_on.isoformat()),
    ]
