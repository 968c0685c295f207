"""The command `ostiary`: nouns and verbs. Exit codes: 0 done, 1 refused, 2 usage, 3 hardware."""

from __future__ import annotations

import sys

import click

from appliance import __version__
from appliance.commands.lazy import LazyGroup
from appliance.errors import ApplianceError

# Imported when first asked for: the controller must start without loading a camera or a model.
COMMANDS = {
    "run": "appliance.commands.run:run",
    "web": "appliance.commands.web:web",
    "kiosk": "appliance.commands.kiosk:kiosk",
    "controller": "appliance.commands.controller:controller",
    "door": "appliance.commands.door:door",
    "setup": "appliance.commands.setup:setup",
    "camera": "appliance.commands.camera:camera",
    "check": "appliance.commands.check:check",
    "commission": "appliance.commands.commission:commission",
    "person": "appliance.commands.person:person",
    "enrol": "appliance.commands.enrol:enrol",
    "people": "appliance.commands.people:people",
    "pass": "appliance.commands.passes:passes",
    "face": "appliance.commands.face:face",
    "models": "appliance.commands.models:models",
    "group": "appliance.commands.group:group",
    "privacy": "appliance.commands.privacy:privacy",
    "audit": "appliance.commands.audit:audit",
    "keys": "appliance.commands.keys:keys",
    "backup": "appliance.commands.backup:backup",
    "update": "appliance.commands.update:update",
    "replay": "appliance.commands.replay:replay",
    "attendant": "appliance.commands.attendant:attendant",
    "account": "appliance.commands.account:account",
    "key": "appliance.commands.key:key",
    "client": "appliance.commands.client:client",
    "pki": "appliance.commands.pki:pki",
    "broker": "appliance.commands.broker:broker",
    "ha": "appliance.commands.ha:ha",
    "demo": "appliance.commands.demo:demo",
}


@click.group(cls=LazyGroup, members=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
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
