"""SIGKILL of the running reader, and the bench that counts it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.commands.options import Installation
from appliance.config import Settings
from appliance.contract import EventType, Reason
from appliance.drivers.simulated_door import SimulatedDoorObserver, SimulatedLock
from appliance.records import Event
from scripts.benchmarks.__main__ import main
from scripts.benchmarks.kills import Outcome, judge

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_killed_reader_is_back_and_has_lost_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Power back after a cut, F2, J8: killed, the reader comes back; gallery, log and what it told are whole."""
    assert main(["kills", "--times", "1"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["bench"], line["kills"], line["faults"]) == ("kills", 1, 0)
    assert line["ready_s"]["n"] == 1
    assert line["entries"] >= 2
    assert line["told"] > 0


def test_unlocking_without_a_grant_is_found(tmp_path: Path) -> None:
    """J8: an unlocking that the log has no grant for, or has one after it, is named; one with its grant is not."""
    installation = Installation(Settings(), tmp_path, None)
    lock = SimulatedLock(tmp_path / "simulated-door")

    def told(kind: EventType, visit: str, detail: str = "") -> Event:
        return Event(kind, datetime.now(UTC), reason=Reason.OK, presentation_id=visit, detail=detail)

    with installation.open_audit() as audit:
        audit.append(told(EventType.ACCESS_GRANTED, "good"))
        for visit in ("good", "late", "none"):
            time.sleep(0.002)
            lock.unlock()
            lock.lock()
            time.sleep(0.002)
            if visit == "late":
                audit.append(told(EventType.ACCESS_GRANTED, visit))
            audit.append(told(EventType.DOOR_UNLOCKED, visit, "pulse [00000000-1]"))
    lock.close()
    outcome = Outcome()
    judge(installation, SimulatedDoorObserver(tmp_path / "simulated-door"), outcome)
    assert outcome.pulses == 3
    assert [fault.partition(":")[0] for fault in outcome.faults] == ["entry 4", "entry 5"]
