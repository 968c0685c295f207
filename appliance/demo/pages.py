"""The demo's pages: the web as it runs on a door, a process of its own, with settings in a file."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click

from appliance.drivers.scene import Visit
from appliance.errors import HardwareError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.commands.options import Installation
    from appliance.drivers.simulated import Script

START_S, STOP_S = 20.0, 5.0
# Who comes by while somebody looks at the pages: enrolled, a stranger whom a human is asked about, a print.
PASSERS = (
    Visit(for_s=6.0, pause_s=8.0),
    Visit(face="official", for_s=25.0, pause_s=8.0),
    Visit(shows="print", pause_s=8.0),
)


def written(installation: Installation) -> Path:
    """Return a file beside the state folder that holds what the settings say other than the defaults do."""
    path = installation.state.parent / "appliance.toml"
    lines = []
    for section, keys in installation.settings.model_dump(mode="json", exclude_defaults=True).items():
        # A string, a number and a truth value of JSON are those of TOML.
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@contextlib.contextmanager
def pages(config: Path, state: Path, host: str, port: int) -> Iterator[None]:
    """Serve the pages in a process of their own while the block runs; it prints its address and how to begin.

    Raises HardwareError where they do not come up.
    """
    command = [sys.executable, "-m", "appliance", "web", "--config", str(config), "--state", str(state)]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    try:
        end_s = time.monotonic() + START_S
        while not _listens(host, port):
            if child.poll() is not None or time.monotonic() > end_s:
                raise HardwareError(f"the pages did not come up on port {port}; another program may have it")
            time.sleep(0.1)
        places = f"--config {config} --state {state}"
        click.echo(f"kiosk: .venv/bin/ostiary kiosk url {places} gives an address that works once")
        yield
    finally:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def keep_coming(script: Script) -> None:
    """Have somebody come by every while, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            for passer in PASSERS:
                script.play(passer)
                script.wait_until_empty()


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 0.5):
        return True
    return False
