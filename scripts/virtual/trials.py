"""What is tried on a machine with a real systemd, and what came of it, row by row."""

from __future__ import annotations

import json
import math
import random
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import click

from .at_work import ACKNOWLEDGED
from .machine import Machine, blank_disk, copied, drive, source_drive
from .roots import made_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .roots import Arch

CONTROLLER, READER, WEB = UNITS = ("ostiary-controller", "ostiary-reader", "ostiary-web")
_STATE = "/var/lib/ostiary"
_AT_WORK = (
    "runuser -u ostiary-reader -- env -C /opt/ostiary/current PYTHONDONTWRITEBYTECODE=1 "
    ".venv/bin/python -m scripts.virtual.at_work"
)
_SETTINGS = """\
[camera]
source = "simulated"
frame_rate = 2.0

[door]
driver = "simulated"
socket = "/run/ostiary/controller.sock"

[liveness]
commissioned = "skipped"
"""
# Emulated, a start takes a minute or two, and the first frame 20 s: the reader and the web have
# more time before the watchdog takes them for hung. The controller keeps its own.
_PATIENT = "[Service]\nTimeoutStartSec=900\n"
_MORE_PATIENT = _PATIENT + "WatchdogSec=90\n"
_SLOW_S = 1800.0
_AGAIN_S = 600.0
_LONGEST_WORK_S = 12.0  # from the first change that is told to the cut


class Row(NamedTuple):
    """One trial."""

    tried: str
    n: int
    result: str
    good: bool


class Machines:
    """Machines of one processor, one after the other on the same disk."""

    def __init__(self, arch: Arch, work: Path) -> None:
        self._arch, self._work = arch, work
        self.disk = work / f"installed-{arch.debian}.img"

    def start(self, disk: Path | None = None, more: tuple[str, ...] = (), *, settled: bool = True) -> Machine:
        """Return a machine of the installed disk or of another; as `Machine`."""
        log = self._work / f"serial-{self._arch.debian}.log"
        return Machine(self._arch, made_root(self._arch, self._work), disk or self.disk, log, more, settled=settled)

    def install(self) -> Row:
        """Install on a blank disk as an owner does it, twice, and keep the disk."""
        new = copied(blank_disk(self._arch, self._work), f"installing-{self._arch.debian}")
        with self.start(new, drive(source_drive(self._arch, self._work))) as machine:
            machine.must("mkdir /root/source && tar -xf /dev/vdb -C /root/source", _SLOW_S)
            once = "cd /root/source/ostiary && scripts/install --wheels /root/source/wheels"
            before = time.monotonic()
            machine.must(once, 2 * _SLOW_S)
            took_s = time.monotonic() - before
            again = machine.must(once, _SLOW_S).splitlines()[-1]
            for unit in UNITS:
                patient = _PATIENT if unit == CONTROLLER else _MORE_PATIENT
                _write(machine, f"/etc/systemd/system/{unit}.service.d/emulated.conf", patient)
            _write(machine, "/etc/ostiary/appliance.toml", _SETTINGS)
            machine.must("rm -r /root/source && systemctl daemon-reload")
            machine.off()
        new.rename(self.disk)
        return Row("scripts/install without a network, then once more", 1, f"{took_s:.0f} s; then: {again}", good=True)


def watched(machine: Machine) -> Iterator[Row]:
    """Try what needs no power cut, and give each row as it comes."""
    # What a filter refuses is told in the kernel's log, where it is asked to.
    machine.must("sysctl -qw kernel.seccomp.actions_logged='kill_process kill_thread trap errno log'")
    machine.run(f"systemctl reset-failed; systemctl restart {' '.join(UNITS)}", _SLOW_S)
    for trial in (_up, _exposure, _chip, _network):
        yield trial(machine)
    for unit in UNITS:
        yield _confined(machine, unit)
    for unit in UNITS:
        yield _hung(machine, unit)
    yield _checked(machine)
    yield _verified(machine)
    for unit in ("ostiary-backup", "ostiary-purge"):
        yield _one_shot(machine, unit)
    yield _refused(machine)
    yield _limit(machine)


def _up(machine: Machine) -> Row:
    states = machine.run(f"systemctl is-active {' '.join(UNITS)}").text.split()
    failed = machine.run("systemctl list-units --failed --plain --no-legend").text
    took = machine.must("systemctl show -p ActiveEnterTimestampMonotonic,InactiveExitTimestampMonotonic ostiary-reader")
    times = [int(value) for value in re.findall(r"=(\d+)", took)]
    ready_s = (max(times) - min(times)) / 1e6
    good = states == ["active"] * len(UNITS) and not failed
    return Row(
        "units start, and say READY",
        1,
        f"{', '.join(states)}; reader after {ready_s:.0f} s; failed: {failed or 'none'}",
        good,
    )


def _checked(machine: Machine) -> Row:
    said = machine.run("ostiary check", _SLOW_S)
    bad = [line for line in said.text.splitlines() if not line.startswith("ok ")]
    return Row("ostiary check", 1, f"exit {said.code}; " + ("; ".join(bad) or "all ok"), said.code == 0)


def _verified(machine: Machine) -> Row:
    said = machine.run("systemd-analyze verify /etc/systemd/system/ostiary-*.{service,timer}", _AGAIN_S)
    return Row("systemd-analyze verify, as installed", 1, said.text or "clean", said.code == 0 and not said.text)


def _exposure(machine: Machine) -> Row:
    found = []
    for unit in UNITS:
        said = machine.run(f"systemd-analyze security --no-pager {unit}.service | tail -n 1", _AGAIN_S).text
        found.append(f"{unit.removeprefix('ostiary-')} {''.join(re.findall(r'[0-9]+[.][0-9]+', said))}")
    return Row("systemd-analyze security, of the running units", 1, "; ".join(found), all("." in one for one in found))


def _confined(machine: Machine, unit: str) -> Row:
    status = machine.must(f"cat /proc/{_pid(machine, unit)}/status")
    seen = dict(re.findall(r"^(CapEff|NoNewPrivs|Seccomp|Uid):\s*(\S+)", status, re.MULTILINE))
    bare = not seen["CapEff"].strip("0") and seen["Uid"] != "0"
    good = bare and (seen["NoNewPrivs"], seen["Seccomp"]) == ("1", "2")
    return Row(f"{unit}: no capability, no new privileges, a filter", 1, str(seen), good)


def _refused(machine: Machine) -> Row:
    said = machine.run(
        "dmesg | grep -oE 'comm=\"[^\"]*\".*syscall=[0-9]+' | sed 's/ exe=.* syscall/ syscall/' | sort | uniq -c"
    ).text
    killed = machine.run("journalctl -b --no-pager | grep -ciE 'SIGSYS|core-dump'").text
    return Row(
        "system calls refused while all of this ran", 1, f"{said or 'none'}; killed for one: {killed}", killed == "0"
    )


def _chip(machine: Machine) -> Row:
    """Open the GPIO chip in each unit's control group, as root: what holds even there holds for the unit's user."""
    if machine.run("ls /dev/gpiochip0").code:
        return Row("the GPIO chip", 0, "this machine has none", good=True)
    said = {}
    for unit in UNITS:
        group = machine.must(f"systemctl show -p ControlGroup --value {unit}")
        code = machine.run(f"sh -c 'echo $$ > /sys/fs/cgroup{group}/cgroup.procs; exec 3</dev/gpiochip0'").code
        said[unit.removeprefix("ostiary-")] = "opened" if code == 0 else "refused"
    return Row(
        "open /dev/gpiochip0 in a unit's group",
        len(UNITS),
        str(said),
        list(said.values()) == ["opened", "refused", "refused"],
    )


def _network(machine: Machine) -> Row:
    names = machine.must(f"nsenter --net --target {_pid(machine, CONTROLLER)} ls /sys/class/net || true")
    inside = machine.must(f"cat /proc/{_pid(machine, CONTROLLER)}/net/dev | tail -n +3 | cut -d: -f1")
    return Row("interfaces that the controller sees", 1, inside.strip() or names, inside.split() == ["lo"])


def _hung(machine: Machine, unit: str, times: int = 2) -> Row:
    """Stop a unit's main process, and wait until systemd has killed it and it is ready again."""
    took_s = []
    for _ in range(times):
        old, before = _pid(machine, unit), time.monotonic()
        machine.must(f"kill -STOP {old}")
        while time.monotonic() < before + _AGAIN_S:
            time.sleep(1)
            if _state(machine, unit) == "active" and _pid(machine, unit) != old:
                took_s.append(time.monotonic() - before)
                break
    told = machine.run(f"journalctl -b -u {unit} --no-pager | grep -c 'Watchdog timeout'").text
    result = f"{len(took_s)} came back, after {', '.join(f'{one:.0f}' for one in took_s)} s; watchdog told {told} times"
    return Row(f"{unit} stopped by SIGSTOP", times, result, len(took_s) == times and int(told) >= times)


def _one_shot(machine: Machine, unit: str) -> Row:
    said = machine.run(f"systemctl start {unit}.service", _SLOW_S)
    why = machine.run(f"journalctl -b -u {unit} --no-pager -n 3 -o cat").text.replace("\n", " / ")
    return Row(f"{unit}, once", 1, why if said.code else "done", said.code == 0)


def _limit(machine: Machine) -> Row:
    """H11: a reader that cannot start is not tried without end, is told of once, and comes back by itself."""
    drop_in = "/run/systemd/system/ostiary-reader.service.d/broken.conf"
    _write(machine, drop_in, "[Service]\nExecStart=\nExecStart=/bin/false\n")
    machine.must("systemctl daemon-reload")
    machine.run("systemctl restart ostiary-reader", _AGAIN_S)
    before = time.monotonic()
    while _state(machine, READER) != "failed":  # between two starts it is activating
        time.sleep(2)
        if time.monotonic() > before + _AGAIN_S:
            return Row("H11: a reader that cannot start", 1, "it was tried without end", good=False)
    starts = machine.run("journalctl -b -u ostiary-reader --no-pager | grep -c 'code=exited, status=1/FAILURE'").text
    alerts = machine.run("journalctl -b -p alert -t ostiary --no-pager -o cat | wc -l").text
    locked = _state(machine, CONTROLLER)
    machine.must(f"rm {drop_in} && systemctl daemon-reload")
    while _state(machine, READER) != "active" and time.monotonic() < before + 2 * _AGAIN_S:
        time.sleep(5)
    state = _state(machine, READER)
    result = f"{starts} starts, then none; alerts {alerts}; controller {locked}; mended, it is {state} by itself"
    return Row("H11: a reader that cannot start", 1, result, (locked, state, alerts) == ("active", "active", "1"))


@dataclass
class Told:
    """What the machine has said is on its disk."""

    people: set[str] = field(default_factory=set)
    seq: int = 0  # of the audit log
    changes: int = 0

    def hear(self, line: str) -> None:
        """Take down a line. Raises ClickException for one that tells of no change."""
        word, _, what = line.partition(" ")
        kind, _, which = what.partition(" ")
        if word != ACKNOWLEDGED:
            raise click.ClickException(f"in the machine: {line}")
        self.changes += 1
        if kind == "person":
            self.people.add(which)
        else:
            self.seq = int(which)


def cut(machines: Machines, times: int, seed: int = 1) -> Row:
    """Cut the power while people are enrolled and events sealed, and look after each start what is there."""
    chance = random.Random(seed)  # noqa: S311 - moments, not a secret
    told, faults = Told(), []
    for number in range(times + 1):
        with machines.start(settled=number == times) as machine:
            faults += [f"start {number}: {fault}" for fault in _missing(machine, told)]
            if number == times and (state := _state(machine, READER)) != "active":
                faults.append(f"the reader is {state}")
            if number < times:
                _until(machine, told, chance.uniform(0.5, _LONGEST_WORK_S))
    result = f"{told.changes} changes acknowledged before them; faults: {'; '.join(faults) or 'none'}"
    return Row("power cut while people are enrolled and events sealed", times, result, not faults)


def _until(machine: Machine, told: Told, after_s: float) -> None:
    """Have the machine work, and return so long after the first change that it told."""
    end_s = math.inf
    for line in machine.lines(f"{_AT_WORK} work {_STATE}", _SLOW_S):
        told.hear(line)
        end_s = min(end_s, time.monotonic() + after_s)
        if time.monotonic() > end_s:
            return


def _missing(machine: Machine, told: Told) -> list[str]:
    """Return what is wrong after a start, and take down what is there."""
    found = json.loads(machine.must(f"{_AT_WORK} kept {_STATE}", _SLOW_S).splitlines()[-1])
    chain = machine.run("ostiary audit verify", _SLOW_S)
    faults = [f"{one} is lost" for one in told.people - set(found["people"])]
    faults += [f"the log ends at {found['head']}, {told.seq} was sealed"] if found["head"] < told.seq else []
    faults += [f"{found['why']} {chain.text}"] if found["why"] or chain.code else []
    told.people, told.seq = set(found["people"]), int(found["head"])
    return faults


def _state(machine: Machine, unit: str) -> str:
    return machine.run(f"systemctl is-active {unit}").text


def _pid(machine: Machine, unit: str) -> int:
    return int(machine.must(f"systemctl show -p MainPID --value {unit}"))


def _write(machine: Machine, path: str, content: str) -> None:
    """Write a file in the machine, in the place and with the owner of what is there."""
    escaped = content.replace("\n", "\\n").replace('"', '\\"')
    machine.must(f'mkdir -p "$(dirname {path})" && printf "{escaped}" > {path}')
