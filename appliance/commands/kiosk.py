"""`ostiary kiosk`: the screen at the door."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.commands.options import Installation, with_installation
from appliance.errors import HardwareError, UsageError

if TYPE_CHECKING:
    from appliance.config import WebSettings

WAIT_S = 60.0
LOOK_S = 0.5
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - where the web listens, not where we do
_OPTIONS = (
    "--kiosk",
    "--no-first-run",
    "--noerrdialogs",
    "--disable-session-crashed-bubble",
    "--disable-features=Translate",
    "--disable-pinch",
    "--overscroll-history-navigation=0",
    "--password-store=basic",
    "--autoplay-policy=no-user-gesture-required",
)


@click.group()
def kiosk() -> None:
    """Show the screen at the door."""


@kiosk.command()
@with_installation
def url(installation: Installation) -> None:
    """Print the address that begins the screen's session: good once, for a minute, on this device."""
    click.echo(_entry(installation))


@kiosk.command()
@click.option("--browser", help=f"Program to show it with [{', '.join(BROWSERS)}: the first that is installed].")
@with_installation
def show(installation: Installation, browser: str | None) -> None:
    """Show the screen in a browser, full-screen, once the web is there."""
    program = _browser(browser)
    _await_web(_here(installation.settings.web))
    folder = Path(tempfile.mkdtemp(prefix="ostiary-kiosk-"))  # mode 0700: what the browser keeps ends with the boot
    start = folder / "start.html"
    # In a file, for everybody on this machine can read the arguments of a program.
    start.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={_entry(installation)}">\n')
    os.execv(program, [program, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", start.as_uri()])  # noqa: S606


def _entry(installation: Installation) -> str:
    from appliance.web.kiosk_code import make  # noqa: PLC0415 - a list of commands has no use for it

    return f"{_here(installation.settings.web)}/kiosk/enter?code={make(installation.kiosk_file)}"


def _here(web: WebSettings) -> str:
    """Return where this device itself reaches the web. Raises UsageError where it does not listen there."""
    from appliance.config import LOOPBACK  # noqa: PLC0415 - likewise

    host = "127.0.0.1" if web.host in _EVERYWHERE else web.host
    if host not in LOOPBACK:
        raise UsageError(f"web.host is {host}; the screen is served where it is 127.0.0.1 or, to all, 0.0.0.0")
    return f"{'https' if web.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{web.port}"


def _browser(named: str | None) -> str:
    found = next((path for path in map(shutil.which, [named] if named else BROWSERS) if path), None)
    if found is None:
        raise HardwareError(f"no browser: {named or ' or '.join(BROWSERS)} is not installed")
    return found


def _await_web(address: str) -> None:
    """Return once something listens there. Raises HardwareError after a minute."""
    import socket  # noqa: PLC0415 - likewise
    from urllib.parse import urlsplit  # noqa: PLC0415 - likewise

    parts = urlsplit(address)
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        try:
            socket.create_connection((str(parts.hostname), int(parts.port or 0)), LOOK_S).close()
        except OSError:
            time.sleep(LOOK_S)
        else:
            return
    raise HardwareError(f"nothing answers at {address}; ostiary web serves the screen")
