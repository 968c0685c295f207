"""The command `ostiary`: nouns and verbs. Exit codes: 0 done, 1 refused, 2 usage, 3 hardware."""

from __future__ import annotations

import importlib
import sys

import click

from appliance import __version__
from appliance.errors import ApplianceError

# name -> module that defines the click command of the module's own name; imported when first asked for, because
# the controller must start without loading a camera or a model.
COMMANDS = {
    "run": "appliance.commands.run",
    "controller": "appliance.commands.controller",
    "door": "appliance.commands.door",
    "check": "appliance.commands.check",
    "commission": "appliance.commands.commission",
    "person": "appliance.commands.person",
    "people": "appliance.commands.people",
    "pass": "appliance.commands.passes",
    "models": "appliance.commands.models",
    "audit": "appliance.commands.audit",
    "backup": "appliance.commands.backup",
    "replay": "appliance.commands.replay",
    "attendant": "appliance.commands.attendant",
    "client": "appliance.commands.client",
    "demo": "appliance.commands.demo",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), module.rpartition(".")[2])
        return command if isinstance(command, click.Command) else None


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ostiary")
def root() -> None:
    """Open a door for people who are enrolled, live and allowed in; ask a human about the rest."""


def main() -> None:
    """Run the command line; a fault ends as one line on standard error and its exit code."""
    try:
        code = root(standalone_mode=False)  # what a command exits with comes back as its value
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as fault:
        fault.show()
        sys.exit(fault.exit_code)
    except click.Abort:
        click.echo("ostiary: stopped", err=True)
        sys.exit(1)
    except ApplianceError as fault:
        click.echo(f"ostiary: {fault}", err=True)
        sys.exit(fault.exit_code)
