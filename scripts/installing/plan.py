"""Everything that installing comes to, in order, and how it is carried out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import record as records
from . import table as tables
from .faults import InstallError
from .placing import Placing, leftover
from .release import BASE, Release, version_of
from .step import Step
from .system import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .record import Record
    from .system import Device

_UNFINISHED = f"{BASE}/unfinished"  # there from the first step to the last

_WATCH = "ostiary-update-check.service"  # every boot's own: it would watch the very update that this run is a part of
_READING = ("systemd-sysctl.service", "systemd-journald.service", "systemd-timesyncd.service")  # settings of ours


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the installer; only a clone or an unpacked bundle has what it needs."""

    device: Device
    tree: Path
    wheels: Path | None
    roles: tuple[str, ...]  # asked for; they add to those that were installed before
    packages: bool  # whether Debian's and Python's packages are fetched
    now: bool  # whether the units are started, though nobody has set the door up

    def release(self) -> list[Step]:
        """Return what makes the release, and touches nothing that runs. Raises InstallError."""
        return self._made().steps()

    def everything(self) -> tuple[list[Step], list[str]]:
        """Return all steps, and a line for each file that is left as somebody has edited it. Raises InstallError."""
        record = records.read(self.device)
        roles = [role for role in tables.ROLES if role in {*record.roles, *self.roles}] or ["door"]
        placing = Placing(self.device, self.tree, tables.read(self.tree).meant_for(self.device.kind, roles), record)
        steps = [
            *([placing.packages()] if self.packages else []),
            *self.release(),
            self._remembered(record, roles),
            *placing.files(),
            placing.folders(),
            self._made().link(),
            *placing.units(),
        ]
        return [*steps, self._taken_up(placing, steps)], [leftover(file) for file in placing.edited()]

    def next_steps(self, roles: list[str]) -> Iterator[str]:
        """Yield what is left to the owner."""
        if "door" in roles and not self._is_set_up():
            yield "set the door up: sudo ostiary setup"
        if "broker" in roles:
            yield "give the broker its certificates and rights: docs/broker.md"
        if self.device.kind == "raspberry-pi" and "door" in roles:
            yield "restart the Pi, so that its firmware holds the lock's pin: sudo reboot"

    def begin(self) -> None:
        """Have the device remember that something was begun. Raises InstallError."""
        mark = self.device.at(_UNFINISHED)
        try:
            mark.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            mark.touch()
        except OSError as fault:
            raise InstallError(f"{mark} cannot be written: {fault.strerror}") from fault

    def _made(self) -> Release:
        return Release(self.device, self.tree, self.wheels, not self.packages, version_of(self.tree))

    def _remembered(self, record: Record, roles: list[str]) -> Step:
        def do() -> None:
            record.roles = roles
            records.write(self.device, record)

        return Step(f"roles: {', '.join(roles)}", lambda: record.roles != roles, do)

    def _taken_up(self, placing: Placing, before: list[Step]) -> Step:
        """Return what makes systemd and udev read what is new, and the services run it."""
        mark = self.device.at(_UNFINISHED)

        def do() -> None:
            if self.device.running:
                run("systemctl", "daemon-reload")
                if self.device.at("/run/udev/control").exists():  # a container has none that runs
                    run("udevadm", "control", "--reload")
                    run("udevadm", "trigger")
                for service in _READING:
                    with suppress(InstallError):  # not every system has, or runs, each of them
                        run("systemctl", "try-restart", service)
                units = [unit for unit in placing.record.enabled if unit != _WATCH]
                # Not waited for: a reader without a camera is ready when it has one.
                if units:
                    run("systemctl", "--no-block", "try-restart", *units)
                if units and (self.now or self._is_set_up()):
                    run("systemctl", "--no-block", "start", *units)
            mark.unlink(missing_ok=True)

        def needed() -> bool:
            starting = self.now and self.device.running
            return starting or mark.exists() or any(step.needed() for step in before)

        return Step("have what is new taken up", needed, do)

    def _is_set_up(self) -> bool:
        """Tell whether the settings are no longer those that came with this release, or with one before it."""
        theirs = self.device.at("/etc/ostiary/appliance.toml")
        shipped = self.device.at(f"{BASE}/releases").glob("*/firmware_config/appliance.toml")
        return theirs.exists() and theirs.read_bytes() not in {path.read_bytes() for path in shipped}


def carry_out(steps: list[Step], say: Callable[[str], None], begin: Callable[[], None] | None = None) -> int:
    """Do what is left to do, and return how many steps that were; `begin` is called before the first.

    Raises InstallError at the first that fails; a second run goes on from there.
    """
    count = 0
    for step in steps:
        if step.needed():
            if not count and begin is not None:
                begin()
            say(step.words)
            step.do()
            count += 1
    return count


def foretell(steps: list[Step], say: Callable[[str], None]) -> int:
    """Say what would be done, change nothing, and return how many steps that were."""
    needed = [step for step in steps if step.needed()]
    for step in needed:
        say(f"would: {step.words}")
    return len(needed)
