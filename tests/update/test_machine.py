"""What an update reads from systemd, by a stand-in for `systemctl` that prints what the real one printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.errors import HardwareError
from appliance.update import machine
from appliance.update.machine import UNITS, Systemd

if TYPE_CHECKING:
    from pathlib import Path

# Of systemd 252: properties come in its own order, whatever order they are asked for in.
SYSTEMCTL = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/asked"
case "$1" in
    is-enabled) grep -qx "$2" "$here/disabled" 2>/dev/null && { echo disabled; exit 1; }; echo enabled ;;
    show) eval "unit=\\${$#}"; echo MainPID=100; echo NRestarts=0
          echo "ActiveState=$(cat "$here/$unit" 2>/dev/null || echo active)" ;;
    restart) exit "$(cat "$here/fails" 2>/dev/null || echo 0)" ;;
esac
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-in first on the path, and return the folder of what it says."""
    program = tmp_path / "systemctl"
    program.write_text(SYSTEMCTL, encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(machine, "_SETTLE_S", 0.1)
    monkeypatch.setattr(machine, "_POLL_S", 0.05)
    return tmp_path


def test_units_that_are_active_and_stay_are_well(systemctl: Path) -> None:
    """I5: all three processes that are to run have said READY and have not been started again."""
    assert Systemd().ill(within_s=20) == ""


@pytest.mark.parametrize("state", ["activating", "failed"])
def test_unit_that_is_not_active_is_named(systemctl: Path, state: str) -> None:
    """I5: one that has not said READY in time is what is not well."""
    (systemctl / UNITS[1]).write_text(state, encoding="ascii")
    assert Systemd().ill(within_s=0.3) == "ostiary-reader.service was not ready and steady within 0 s"


def test_unit_that_is_not_wanted_is_not_asked_for(systemctl: Path) -> None:
    """I5: a door without a web is well without one, and nothing of it is started."""
    (systemctl / "disabled").write_text(f"{UNITS[2]}\n", encoding="ascii")
    (systemctl / UNITS[2]).write_text("inactive", encoding="ascii")
    Systemd().restart()
    assert Systemd().ill(within_s=20) == ""
    asked = (systemctl / "asked").read_text(encoding="ascii")
    assert f"restart --no-block {UNITS[0]} {UNITS[1]}\n" in asked


def test_stop_ends_the_controller_last(systemctl: Path) -> None:
    """G1: the process that shuts the door outlives those that could ask it to open."""
    Systemd().stop()
    asked = (systemctl / "asked").read_text(encoding="ascii").splitlines()
    assert [line for line in asked if line.startswith("stop")] == [f"stop {unit}" for unit in reversed(UNITS)]


def test_systemctl_that_fails_is_told(systemctl: Path) -> None:
    """I5: what systemd refuses is a fault in one line."""
    (systemctl / "fails").write_text("1", encoding="ascii")
    with pytest.raises(HardwareError, match="systemctl restart"):
        Systemd().restart()
