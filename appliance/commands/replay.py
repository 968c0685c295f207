"""`ostiary replay`: what other settings would have made of what was seen."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from appliance import config
from appliance.access.rules_file import RulesFile
from appliance.audit import AuditLog
from appliance.commands.options import Installation
from appliance.errors import StorageError, UsageError
from appliance.people.gallery import Gallery
from appliance.trace.audit import replay_audit
from appliance.trace.lines import MAX_LINE_BYTES, read_line
from appliance.trace.replay import TraceReplay

if TYPE_CHECKING:
    from appliance.access.rules import Rules as AccessRules
    from appliance.config import Settings
    from appliance.trace.replay import Difference, Outcome

_FILE = click.Path(path_type=Path)
_DATABASE = b"SQLite format 3\0"


@click.command()
@click.argument("file", type=_FILE)
@click.option("--config", "new_config", type=_FILE, required=True, help="The other appliance.toml.")
@click.option("--access", "new_access", type=_FILE, help="The other access.toml; default is the one of --config.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a difference, and one of the whole at the end.")
def replay(file: Path, new_config: Path, new_access: Path | None, *, as_json: bool) -> None:
    """Decide again about FILE, a trace of `ostiary run --trace` or an audit log, and show what would differ.

    Nothing is opened, asked or written down.
    """
    settings = config.load(new_config)
    if new_access is None:
        access = Installation(settings, Path(), new_config).open_rules().rules
    else:
        access = RulesFile(new_access, required=True).rules
    outcome = _of_audit(file, settings, access) if _is_database(file) else _of_trace(file, settings, access)
    for difference in outcome.differences:
        click.echo(json.dumps(_plain(difference)) if as_json else _line(difference))
    if as_json:
        whole = asdict(outcome) | {"differences": len(outcome.differences)}
        click.echo(json.dumps(whole))
        return
    for note in outcome.notes:
        click.echo(f"note: {note}")
    click.echo(outcome.in_words())


def _is_database(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(_DATABASE)) == _DATABASE
    except OSError as fault:
        raise UsageError(f"{file} cannot be read: {fault.strerror}") from fault


def _of_trace(file: Path, settings: Settings, access: AccessRules | None) -> Outcome:
    again = TraceReplay(settings, access)
    with file.open("rb") as opened:
        for number in itertools.count(1):
            line = opened.readline(MAX_LINE_BYTES)
            if not line:
                return again.outcome()
            try:
                again.take(read_line(line))
            except (ValueError, ArithmeticError) as fault:  # the latter of a time that no calendar has
                raise UsageError(f"{file}: line {number} is none of a trace: {_brief(fault)}") from fault
    raise AssertionError  # numbers do not end


def _of_audit(file: Path, settings: Settings, access: AccessRules | None) -> Outcome:
    device, beside = settings.device, file.parent / "gallery.db"
    try:
        with contextlib.ExitStack() as closing:
            log = closing.enter_context(AuditLog(file, device.id, device.door))
            gallery = closing.enter_context(Gallery(beside)) if beside.is_file() else None
            return replay_audit(log.read(), settings, access, None if gallery is None else gallery.subject)
    except StorageError as fault:
        raise UsageError(str(fault)) from fault


def _brief(fault: Exception) -> str:
    words = str(fault)
    if isinstance(fault, ValidationError):
        first = fault.errors(include_url=False, include_input=False, include_context=False)[0]
        words = ": ".join([*map(str, first["loc"]), first["msg"]])
    return ascii(words)[1:-1][:120]  # what stands in the file must not move the reader's cursor


def _line(difference: Difference) -> str:
    at = difference.at.isoformat(timespec="milliseconds")
    whom = " ".join(part for part in (difference.visit[:8], difference.person) if part)
    return f"{at}  {whom}: {difference.was} -> {difference.would_be}"


def _plain(difference: Difference) -> dict[str, str]:
    return asdict(difference) | {"at": difference.at.isoformat()}
