"""`ostiary web`: the pages, the kiosk and the HTTP interfaces."""

from __future__ import annotations

import click

from appliance.commands.options import Installation, with_installation
from appliance.errors import HardwareError
from appliance.logs import logging_to


@click.command()
@with_installation
def web(installation: Installation) -> None:
    """Serve the pages, the kiosk and the HTTP interfaces, beside the reader and without it."""
    from appliance.lone import only_one  # noqa: PLC0415 - a list of commands has no use for any of these
    from appliance.web.serve import address, server  # noqa: PLC0415 - likewise

    taken = f"the pages of {installation.state} are being served already"
    with logging_to(installation.settings.logs, "ostiary-web"), only_one(installation.state / "web.lock", taken):
        running = server(installation)
        click.echo(f"web: {address(installation)}")
        try:
            running.run()
        except SystemExit as fault:  # uvicorn has said why
            port = installation.settings.web.port
            raise HardwareError(f"web.port {port} cannot be listened on; another program may have it") from fault
