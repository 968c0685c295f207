"""What an update asks of the machine: stop, start, and tell whether the door's processes are well."""

from __future__ import annotations

import subprocess
import time
from typing import Protocol

from appliance.errors import HardwareError

UNITS = ("ostiary-controller.service", "ostiary-reader.service", "ostiary-web.service")
_TIMEOUT_S = 120.0  # longer than a unit's own TimeoutStartSec
_POLL_S = 0.5
_SETTLE_S = 10.0  # READY, and then dead at the first frame, is not well


class Machine(Protocol):
    """The machine on which releases run."""

    def stop(self) -> None:
        """End reader and web, and then the controller; the lock falls into its safe state. Raises HardwareError."""

    def restart(self) -> None:
        """Start whatever `current` leads to, in the place of what runs. Raises HardwareError."""

    def ill(self, within_s: float) -> str:
        """Wait until every process that is to run has said READY and stays; "" then, else what did not, in words."""


class Systemd:
    """A machine whose units systemd runs. Units that are not enabled are not asked for: a door need have no web."""

    def stop(self) -> None:
        """End them; the controller last, as it is what shuts the door."""
        for unit in reversed(self._enabled()):
            _systemctl("stop", unit)

    def restart(self) -> None:
        """Start them anew, without waiting for READY; a start limit that was reached counts no more."""
        enabled = self._enabled()
        _systemctl("daemon-reload")
        if enabled:
            _systemctl("reset-failed", *enabled)
            _systemctl("restart", "--no-block", *enabled)

    def ill(self, within_s: float) -> str:
        """Watch until all are active and have been, without a restart, for a while."""
        until_s, since_s, before = time.monotonic() + within_s, time.monotonic(), ""
        while True:
            told = {unit: _shown(unit) for unit in self._enabled()}
            waiting = [unit for unit, shown in told.items() if "ActiveState=active" not in shown.splitlines()]
            now = "".join(told.values())
            if waiting or now != before:
                since_s, before = time.monotonic(), now
            if time.monotonic() - since_s >= _SETTLE_S:
                return ""
            if time.monotonic() >= until_s:
                return f"{', '.join(waiting) or 'a unit'} was not ready and steady within {within_s:.0f} s"
            time.sleep(_POLL_S)

    @staticmethod
    def _enabled() -> list[str]:
        return [unit for unit in UNITS if _told("is-enabled", unit).startswith("enabled")]


def _shown(unit: str) -> str:
    """Return a unit's state, process and number of restarts, one a line, in systemd's own order."""
    return _told("show", "-p", "ActiveState", "-p", "MainPID", "-p", "NRestarts", unit)


def _told(*words: str) -> str:
    return _run(*words).stdout


def _systemctl(*words: str) -> None:
    done = _run(*words)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise HardwareError(f"systemctl {' '.join(words)} failed: {said[0] if said else done.returncode}")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["systemctl", *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise HardwareError(f"systemctl {words[0]} cannot be run: {fault}") from fault
