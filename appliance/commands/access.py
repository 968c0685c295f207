"""`ostiary person access`: what one person may do, besides being recognised."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from appliance.access.schedule import instant
from appliance.access.subject import FactorPolicy, Status, Subject
from appliance.audit import AuditLog
from appliance.commands.options import Installation, with_installation
from appliance.contract import is_identifier
from appliance.errors import RefusedError, UsageError
from appliance.people.gallery import Gallery
from appliance.people.rights import change_access, facts, subject_of

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from appliance.access.rules import Rules

_NONE = "none"  # takes a bound away


@click.command()
@click.argument("name_or_id")
@click.option("--group", "join", multiple=True, help="Put into this group; again for more.")
@click.option("--no-group", "leave", multiple=True, help="Take out of this group; again for more.")
@click.option("--from", "start", help="Valid from this day or time on, such as 2026-12-01T08:30; none for no bound.")
@click.option("--until", "end", help="Valid until then, a day included; none for no bound.")
@click.option("--suspend", "status", flag_value="suspended", help="Keep out for a while.")
@click.option("--deny-list", "status", flag_value="deny_listed", help="Keep out, and say so in the log.")
@click.option("--resume", "status", flag_value="active", help="Neither suspended nor on the deny list.")
@click.option(
    "--always/--not-always", default=None, help="Bound to no schedule, and let in while the clock is not set."
)
@click.option("--extended/--not-extended", default=None, help="The door stays unlocked and open for longer.")
@click.option("--factor", type=click.Choice([one.value for one in FactorPolicy]), help="Asked for besides the face.")
@with_installation
def access(
    installation: Installation,
    name_or_id: str,
    *,
    join: tuple[str, ...],
    leave: tuple[str, ...],
    start: str | None,
    end: str | None,
    status: str | None,
    always: bool | None,
    extended: bool | None,
    factor: str | None,
) -> None:
    """Show what a person may do, or change it; docs/access.md says what follows."""
    rules = installation.open_rules().rules
    for group in join:
        _check_group(group, rules)
    told = {
        "status": Status(status) if status is not None else None,
        "always": always,
        "extended": extended,
        "factor": FactorPolicy(factor) if factor is not None else None,
    }
    changed: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    if start is not None:
        changed["valid_from"] = _bound(start, rules, "--from", ends=False)
    if end is not None:
        changed["valid_until"] = _bound(end, rules, "--until", ends=True)

    def change(subject: Subject) -> Subject:
        return replace(subject, groups=(subject.groups | set(join)) - set(leave), **changed)

    device = installation.settings.device
    with Gallery(installation.gallery_file) as gallery:
        if changed or join or leave:
            with AuditLog(installation.audit_file, device.id, device.door) as audit:
                subject = change_access(gallery, audit, name_or_id, change)
        else:
            subject = subject_of(gallery, name_or_id)
    for name, text in (("id", subject.person_id), ("name", subject.name), *facts(subject).items()):
        click.echo(f"{name}: {text}")


def _check_group(group: str, rules: Rules | None) -> None:
    """Raise RefusedError for a group that no rules know, UsageError for what is no name."""
    if not is_identifier(group):
        raise UsageError(f"--group is {group!r}; allowed are 1 to 63 of A-Z a-z 0-9 _ -")
    if rules is not None and group not in rules.groups:
        raise RefusedError(
            f"there is no group {group} in the access rules; there are {', '.join(rules.groups) or 'none'}"
        )


def _bound(text: str, rules: Rules | None, option: str, *, ends: bool) -> datetime | None:
    """Return the moment in the rules' time zone, None for none. Raises UsageError."""
    if text == _NONE:
        return None
    try:
        return instant(text, rules.time_zone if rules is not None else None, ends=ends)
    except ValueError as fault:
        raise UsageError(f"{option} is {text!r}; {fault}, or none") from fault
