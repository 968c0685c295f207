"""`ostiary web`: the pages, the kiosk and the HTTP interfaces."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from appliance.commands.options import Installation, with_installation
from appliance.errors import HardwareError, RefusedError
from appliance.logs import logging_to

if TYPE_CHECKING:
    from sdnotify import SystemdNotifier

    from appliance.web.setup_code import SetupCode


BESIDE = 10  # nice: the door's frames come first, whoever floods the pages


class _Serving(click.Group):
    """A group that serves where no other command of it is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in `serve` before what is meant for it."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["serve", *args])


@click.group(cls=_Serving)
def web() -> None:
    """Serve the pages, the kiosk and the HTTP interfaces; `ostiary web` alone is `ostiary web serve`."""


@web.command()
@with_installation
def serve(installation: Installation) -> None:
    """Serve beside the reader and without it, until it is stopped."""
    from appliance.lone import only_one  # noqa: PLC0415 - a list of commands has no use for any of these
    from appliance.web.serve import address, server  # noqa: PLC0415 - likewise

    taken = f"the pages of {installation.state} are being served already"
    with logging_to(installation.settings.logs, "ostiary-web"), only_one(installation.state / "web.lock", taken):
        running = server(installation, _service_manager().notify)
        os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), BESIDE))
        click.echo(f"web: {address(installation)}")
        _offer_set_up(installation)
        try:
            running.run()
        except SystemExit as fault:  # uvicorn has said why
            port = installation.settings.web.port
            raise HardwareError(f"web.port {port} cannot be listened on; another program may have it") from fault


@web.command()
@with_installation
def code(installation: Installation) -> None:
    """Make a new code to set the device up with, while there is no account."""
    from appliance.web import setup_code  # noqa: PLC0415 - as above

    if not _nobody_yet(installation):
        raise RefusedError("this device is set up already; ostiary account add makes further accounts")
    _tell(setup_code.renew(installation.setup_file))


def _service_manager() -> SystemdNotifier:
    from sdnotify import SystemdNotifier  # noqa: PLC0415 - as above

    notifier = SystemdNotifier()
    if notifier.socket is not None:
        notifier.socket.settimeout(0)  # one that does not listen must not stop the pages
    return notifier


def _offer_set_up(installation: Installation) -> None:
    from appliance.web import setup_code  # noqa: PLC0415 - as above

    if not _nobody_yet(installation):
        return
    if (found := setup_code.offer(installation.setup_file)) is not None:
        _tell(found)
    else:
        click.echo("web: the set-up code is over; ostiary web code makes a new one")


def _nobody_yet(installation: Installation) -> bool:
    from appliance.web.accounts import Accounts  # noqa: PLC0415 - as above

    with Accounts(installation.web_file) as accounts:
        return accounts.nobody_yet()


def _tell(found: SetupCode) -> None:
    click.echo(f"set-up code: {found.code} (enter it on the page /setup; it is good for half an hour and five tries)")
