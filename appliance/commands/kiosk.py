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
from appliance.errors import ConfigError, HardwareError, UsageError

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
_START = "start.html"
_PIN = "pin"
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def kiosk() -> None:
    """Show the screen at the door."""


@kiosk.command()
@with_installation
def url(installation: Installation) -> None:
    """Print the address that begins the screen's session: good once, for a minute, on this device."""
    click.echo(_entry(installation))


_BROWSER = click.option("--browser", help=f"To show it with [{', '.join(BROWSERS)}: the first that is installed].")


@kiosk.command()
@_BROWSER
@with_installation
def show(installation: Installation, browser: str | None) -> None:
    """Show the screen in a browser, full-screen, once the web is there."""
    program = _browser(browser)
    folder = Path(tempfile.mkdtemp(prefix="ostiary-kiosk-"))  # mode 0700: what the browser keeps ends with the boot
    _write_start(installation, folder)
    _browse(program, folder, folder / "profile")


@kiosk.command()
@click.argument("folder", type=_FOLDER)
@with_installation
def start(installation: Installation, folder: Path) -> None:
    """Write into FOLDER what `kiosk browse` begins with, once the web is there; good for a minute."""
    _write_start(installation, folder)


@kiosk.command()
@click.argument("folder", type=_FOLDER)
@_BROWSER
def browse(folder: Path, browser: str | None) -> None:
    """Show the screen by what `kiosk start` wrote into FOLDER: for a user of its own, who may read nothing else."""
    _browse(_browser(browser), folder, Path(tempfile.mkdtemp(prefix="ostiary-kiosk-")))


def _write_start(installation: Installation, folder: Path) -> None:
    web = installation.settings.web
    _await_web(_here(web))
    # In a file, for everybody on this machine can read the arguments of a program.
    page = f'<!doctype html><meta http-equiv="refresh" content="0;url={_entry(installation)}">\n'
    for name, text in ((_PIN, _own_key(web)), (_START, page)):
        file = folder / name
        file.unlink(missing_ok=True)
        file.touch(mode=0o640)  # its group may be another user's, who shows the screen
        file.write_text(text)


def _browse(program: str, folder: Path, profile: Path) -> None:
    try:
        pin = (folder / _PIN).read_text()
    except OSError as fault:
        raise UsageError(f"{folder} holds nothing to begin with ({fault.strerror}); ostiary kiosk start") from fault
    # Over TLS, the browser is shown by its key who is the door: it may be called 127.0.0.1 by nobody but us.
    trust = [f"--ignore-certificate-errors-spki-list={pin}", "--test-type"] if pin else []
    # Chromium asks X first, and cage offers both.
    drawn = ["--ozone-platform=wayland"] if "WAYLAND_DISPLAY" in os.environ else []
    start_page = (folder / _START).absolute().as_uri()
    os.execv(program, [program, *_OPTIONS, *drawn, *trust, f"--user-data-dir={profile}", start_page])  # noqa: S606


def _own_key(web: WebSettings) -> str:
    """Return the SHA-256 of the key in the web's certificate, in base64; "" without TLS. Raises ConfigError."""
    if not web.tls:
        return ""
    import base64  # noqa: PLC0415 - a list of commands has no use for any of these
    import hashlib  # noqa: PLC0415 - likewise

    from cryptography import x509  # noqa: PLC0415 - likewise
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - likewise

    try:
        certificate = x509.load_pem_x509_certificate(Path(web.cert_file).read_bytes())
    except (OSError, ValueError) as fault:
        raise ConfigError(f"web.cert_file {web.cert_file} cannot be read: {fault}") from fault
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


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
