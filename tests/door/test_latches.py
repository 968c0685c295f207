"""What a door must not forget: killed at any write, damaged in any way, it never forgets a lockdown."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from appliance.door.latches import DOUBT, LatchFile
from appliance.door.machine import Latches

if TYPE_CHECKING:
    from pathlib import Path

# Saves one lockdown after another until it is killed, and says each that is on disk.
_SAVING = """
import sys
from pathlib import Path
from appliance.door.latches import LatchFile
from appliance.door.machine import Latches
file = LatchFile(Path(sys.argv[1]))
for number in range(1_000_000):
    file.save(Latches(number % 2 == 0, number % 3 == 0, f"client:{number}"))
    print(number, flush=True)
"""


def test_nothing_saved_is_nothing_latched(tmp_path: Path) -> None:
    """A door that never latched anything starts without a lockdown, and leaves no file behind."""
    file = LatchFile(tmp_path / "door.json")
    assert file.load() == Latches()
    file.save(Latches())
    assert list(tmp_path.iterdir()) == []


@given(forced=st.booleans(), fire=st.booleans(), by=st.sampled_from(["", "client:phone", "x" * 128]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_what_was_saved_is_loaded(tmp_path: Path, *, forced: bool, fire: bool, by: str) -> None:
    """F1: what was latched comes back as it was, readable by nobody else, and what was released stays released."""
    path = tmp_path / "door.json"
    LatchFile(path).save(Latches(forced=True, lockdown_by="client:before"))
    file, latches = LatchFile(path), Latches(forced, fire, by)
    file.load()
    file.save(latches)
    assert LatchFile(path).load() == latches
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(damage=st.binary(max_size=300))
@example(damage=b"")
@example(damage=b"[" * 100_000)
@example(damage=b"null")
@example(damage=b'{"forced":1,"fire":false,"lockdown_by":""}')
@example(damage=b'{"forced":false,"fire":false,"lockdown_by":null}')
@example(damage=json.dumps({"lockdown_by": "x" * 2000}).encode())
@example(damage=b'{"lockdown_by":"a\\nb"}')
@example(damage=b'{"lockdown":true}')
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_counts_as_lockdown(tmp_path: Path, damage: bytes) -> None:
    """G12: a file of any bytes at all that is not what was written might have held a lockdown: that is what it is."""
    path = tmp_path / "door.json"
    path.write_bytes(damage)
    latches = LatchFile(path).load()
    assert latches == DOUBT or Latches(**json.loads(damage)) == latches


def test_truncated_file_is_a_lockdown(tmp_path: Path) -> None:
    """G12: the file cut at every length is a lockdown, but for the whole of it."""
    path = tmp_path / "door.json"
    LatchFile(path).save(Latches(forced=True, lockdown_by="client:phone"))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert LatchFile(path).load() == DOUBT


@pytest.mark.parametrize("written", range(8))
def test_killed_at_any_write_it_is_old_or_new(tmp_path: Path, written: int) -> None:
    """F2: SIGKILL in the midst of saving leaves the last state that was said to be saved, or the one after it."""
    path = tmp_path / "door.json"
    saving = subprocess.Popen([sys.executable, "-c", _SAVING, str(path)], stdout=subprocess.PIPE, text=True)
    assert saving.stdout is not None
    for _ in range(1 + 7 * written):
        saving.stdout.readline()
    saving.send_signal(signal.SIGKILL)
    said = saving.stdout.read().split()
    saving.wait()
    saving.stdout.close()
    last = int(said[-1]) if said else 7 * written
    kept = int(LatchFile(path).load().lockdown_by.removeprefix("client:"))
    assert kept in {last, last + 1}


def test_full_disk_costs_a_line_and_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """F3: latches that cannot be written are said in one line; nothing is half written, and the next save has them."""
    folder = tmp_path / "state"
    folder.mkdir()
    path = folder / "door.json"
    file = LatchFile(path)
    file.save(Latches(lockdown_by="client:a"))
    path.with_suffix(".new").symlink_to("/dev/full")
    file.save(Latches(lockdown_by="client:b"))
    assert len(caplog.records) == 1
    assert LatchFile(path).load() == Latches(lockdown_by="client:a")
    path.with_suffix(".new").unlink()
    file.save(Latches(lockdown_by="client:b"))
    assert LatchFile(path).load() == Latches(lockdown_by="client:b")
