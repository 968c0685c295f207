"""Writes docs/reference.md: every command, configuration key, topic, event, reason and hint, from the code itself.

And beside it the contract for programs: contract_pages.py.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.cli import COMMANDS, root
from appliance.contract import VERB_ROLES, Alarm, EventType, Hint, Mode, Phase, Reason, Role, Topic
from appliance.settings_keys import keys
from scripts.contract_pages import pages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"


COMMANDS_HEAD = """## Commands

Every command takes `--config FILE` (`/etc/ostiary/appliance.toml`) and `--state DIR` (`/var/lib/ostiary`), except
`demo` and `replay`. Exit codes: 0 done, 1 refused, 2 usage, 3 hardware.
"""
SETTINGS_HEAD = """## Configuration: `appliance.toml`

Every key has a default. An unknown key, a wrong type or a value out of range stops the start with the key's name.
"""


def page() -> str:
    """Return the whole page."""
    parts = [
        "# Reference\n\nWritten by `scripts/reference` from the code; a test fails when it is out of date.\n",
        COMMANDS_HEAD,
        *_commands(),
        SETTINGS_HEAD,
        _table(("key", "allowed", "default"), _keys()),
        "## MQTT topics below `ostiary/<device_id>/`\n\nPayloads and the command envelope: [mqtt.md](mqtt.md).\n",
        _list(Topic),
        "Verbs below `cmd/` and the roles that may use them:\n",
        _table(("verb", "roles"), _verbs()),
        "## Events\n\nThe closed list of `event_type`.\n",
        _list(EventType),
        "## Reasons\n\nThe closed list of `reason`.\n",
        _list(Reason),
        "## Hints\n\nAll that the door itself may say to a visitor.\n",
        _list(Hint),
        "## Modes of the door\n\nHighest first.\n",
        _list(Mode),
        "## Phases of the door\n",
        _list(Phase),
        "## Alarms\n",
        _list(Alarm),
        "## Roles\n",
        _list(Role),
    ]
    return "\n".join(parts)


def _commands() -> Iterator[str]:
    context = click.Context(root)
    for name in COMMANDS:
        command = root.get_command(context, name)
        if command is not None:
            yield from _command(f"ostiary {name}", command)


def _command(name: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for verb, child in command.commands.items():
            yield from _command(f"{name} {verb}", child)
        return
    shared = {"config_file", "state"}
    rows = [
        (f"`{' '.join(one.opts)}`" if isinstance(one, click.Option) else f"`{one.human_readable_name}`", _help(one))
        for one in command.params
        if one.name not in shared
    ]
    yield f"### `{name}`\n\n{inspect.cleandoc(command.help or '')}\n"
    if rows:
        yield _table(("argument", "meaning"), rows)


def _help(parameter: click.Parameter) -> str:
    return (parameter.help or "") if isinstance(parameter, click.Option) else "required" if parameter.required else ""


def _keys() -> Iterator[tuple[str, str, str]]:
    for key in keys():
        yield f"`{key.section}.{key.name}`", key.allowed, f"`{key.default!r}`"


def _verbs() -> Iterator[tuple[str, str]]:
    for verb, roles in VERB_ROLES.items():
        yield f"`{verb}`", ", ".join(sorted(role.value for role in roles))


def _list(words: Iterable[object]) -> str:
    return " ".join(f"`{word}`" for word in words) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def main() -> None:
    """Write the page, or with --check exit 1 where it differs."""
    wanted = {PAGE: page(), **pages()}
    if sys.argv[1:] == ["--check"]:
        old = [path.name for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
        if old:
            sys.exit(f"reference: {', '.join(old)} in docs/ is out of date; run scripts/reference")
        return
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
