"""A controller of our own as a child process: for a demo, a test or a recording, and to try a lock's wiring."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.door.link import ControllerLink
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 15.0
STOP_S = 5.0


@contextlib.contextmanager
def simulated_controller(state: Path, config: Path | None = None) -> Iterator[Path]:
    """Run `ostiary controller --door simulated` on the state folder while the block runs; give its socket's path.

    The lines that `config` names are simulated as well.
    Raises DoorError with one line where it does not come up.
    """
    with own_controller(state, config, "simulated") as path:
        yield path


@contextlib.contextmanager
def own_controller(state: Path, config: Path | None, driver: str) -> Iterator[Path]:
    """Run `ostiary controller` with this driver of the door's lines while the block runs; give its socket's path.

    Raises DoorError with one line where it does not come up.
    """
    # Not in the state folder: a Unix socket's path has room for 107 bytes, and a state folder may lie deeper.
    with tempfile.TemporaryDirectory(prefix="ostiary-") as short:
        path = Path(short) / "controller.sock"
        command = [sys.executable, "-m", "appliance", "controller", "--door", driver]
        command += [] if config is None else ["--config", str(config)]
        # A group of its own: Ctrl-C in the terminal goes to the reader, which locks and hangs up first.
        said = Path(short) / "controller.log"
        with said.open("wb") as log:
            child = subprocess.Popen(
                [*command, "--state", str(state), "--socket", str(path), "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stderr=log,
                process_group=0,
            )
        try:
            _wait_for(child, path, said)
            yield path
        finally:
            _stop(child)


def _wait_for(child: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    link, end_s = ControllerLink(path), time.monotonic() + START_S
    while True:
        try:
            link.connect(0.5)
        except DoorError as fault:
            if child.poll() is not None:
                said = log.read_text(errors="replace").strip().splitlines()
                raise DoorError(said[-1] if said else f"the controller ended with {child.returncode}") from fault
            if time.monotonic() > end_s:
                raise
            time.sleep(0.05)
        else:
            return
        finally:
            link.close()


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
