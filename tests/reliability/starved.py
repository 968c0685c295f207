"""A reader that runs out of room and descriptors, visitor after visitor: `python -m tests.reliability.starved STATE`.

To be run where STATE is a small disk of its own and TMPDIR another one that is full. Prints one line of JSON: for each
visitor, what was short, how many grants were written and how often the lock was driven.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from click.testing import CliRunner

from appliance.cli import root
from appliance.commands.options import Installation
from appliance.config import CameraSettings, DoorSettings, LivenessSettings, Settings
from appliance.contract import EventType
from appliance.door.child import simulated_controller
from appliance.drivers.scene import Visit
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.errors import DoorError, StorageError
from appliance.service import Hooks, Service
from appliance.whole_file import write_file
from scripts.benchmarks.endless import HEIGHT_PX, NEAR, RATE, WIDTH_PX, Film, answer_again, enrol_astronaut

VISIT = Visit(face="astronaut", for_s=2.4, nearness=NEAR)
EMPTY = 170  # frames before each visitor: nobody is looked at again sooner
ROUND = EMPTY + round(VISIT.for_s * RATE)
SHORT = ("nothing", "room", "nothing", "descriptors", "nothing")  # for each visitor in turn


class Starved:
    """Takes something away before each visitor, and gives it back after."""

    service: Service

    def __init__(self, state: Path, door: SimulatedDoorObserver, film: Film) -> None:
        self._state, self._door, self._film = state, door, film
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._round = 0
        self._taken: list[int] = []
        self.grants = 0
        self.told: list[tuple[str, int, int]] = []

    def turn(self) -> None:
        """Do what is due: once a visitor, well after they have left."""
        if self._film.sequence < self._round * ROUND + EMPTY - 10:
            return
        if self._round:
            self._note(SHORT[self._round - 1])
        if self._round == len(SHORT):
            self.service.stop()
        else:
            self._take(SHORT[self._round])
        self._round += 1

    def _note(self, short: str) -> None:
        with contextlib.suppress(DoorError):
            self.service.link.lock()
        time.sleep(0.3)  # a lock that has locked is not unlocked sooner
        self._give_back()
        pulses = sum(level for _, level, _ in self._door.history())
        self.told.append((short, self.grants, pulses))

    def _take(self, short: str) -> None:
        if short == "room":
            with (self._state / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))
        elif short == "descriptors":
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(_descriptors()) + 1, self._limits[1]))
            with contextlib.suppress(OSError):
                while True:
                    self._taken.append(os.open("/dev/null", os.O_RDONLY))

    def _give_back(self) -> None:
        (self._state / "filler").unlink(missing_ok=True)
        for one in self._taken:
            os.close(one)
        self._taken.clear()
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)


def _descriptors() -> list[int]:
    return [int(one.name) for one in Path("/proc/self/fd").iterdir()]


def main(state: Path) -> None:
    """Let one visitor after the other come, and print what became of them."""
    settings = Settings(
        camera=CameraSettings(width_px=WIDTH_PX, height_px=HEIGHT_PX),
        liveness=LivenessSettings(commissioned="skipped", min_face_px=60),
        door=DoorSettings(unlock_s=0.5),
    )
    film = Film(ROUND * (len(SHORT) + 1), (VISIT,), EMPTY)
    installation = Installation(settings, state, None)
    enrol_astronaut(installation)
    # The controller's socket needs a folder: shared memory, as TMPDIR is full.
    tempfile.tempdir = "/dev/shm"  # noqa: S108 - each use makes a folder of its own in it
    with tempfile.TemporaryDirectory() as elsewhere, simulated_controller(Path(elsewhere)) as door:
        tempfile.tempdir = None
        starved = Starved(state, SimulatedDoorObserver(Path(elsewhere) / "simulated-door"), film)

        def hear(event_type: EventType) -> None:
            starved.grants += event_type is EventType.ACCESS_GRANTED

        hooks = Hooks(on_event=lambda event: hear(event.event.event_type), on_turn=starved.turn)
        starved.service = service = Service(installation.with_controller(door), film, hooks)
        service.link.connect(5.0)
        answer_again(service, film)
        service.run()
    with installation.open_audit() as audit:
        holds = audit.verify().ok
    checked = CliRunner().invoke(root, ["check", "--edge", "disk", "--state", str(state)])
    told = {"told": starved.told, "holds": holds, "plain": _plain(state), "check": [checked.exit_code, checked.output]}
    sys.stdout.write(json.dumps(told) + "\n")


def _plain(state: Path) -> list[str]:
    """Return what became of a plain file that was to be replaced on a full disk, and then with room."""
    found = []
    write_file(state / "plain", b"old")
    for room in (0, 1):
        filler = state / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while not room:
                file.write(bytes(4096))
        try:
            write_file(state / "plain", bytes(9000))
        except StorageError as fault:
            found.append(f"{str(fault).rpartition(': ')[2]}; {(state / 'plain').read_bytes()!r}")
        else:
            found.append(str(len((state / "plain").read_bytes())))
        filler.unlink()
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
