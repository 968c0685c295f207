"""A controller's own life: how it starts, what it does when it dies, and what outlives it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.contract import EventType
from appliance.door.guard import STEP_S
from appliance.door.lock import REST_S
from appliance.errors import DoorError
from appliance.records import Pulse
from tests.door.running import RunningController, end, has_ended, written

SLACK_S = 0.1  # G4: off at most 100 ms after the limit


def pulse(for_s: float = 5.0) -> Pulse:
    """Return a pulse that is fresh now."""
    return Pulse(for_s, "p1", time.monotonic() + 1)


def test_a_day_without_faults(state: Path) -> None:
    """G1: from start to SIGTERM the line goes up for the pulse alone: no toggle at start, low at the end, exit 0."""
    with RunningController(state) as controller:
        assert controller.first_notice == b"READY=1"
        assert stat.S_IMODE(controller.socket.stat().st_mode) == 0o660
        assert controller.levels() == [0]
        link = controller.link()
        link.pulse(pulse())
        guardian = controller.guardian
        controller.process.send_signal(signal.SIGTERM)
        assert controller.process.wait(5) == 0
        assert written(link) == [
            (EventType.DOOR_UNLOCKED, "pulse", "p1"),
            (EventType.DOOR_LOCKED, "shutdown", "p1"),
        ]
        assert not link.connected
        link.close()
        assert [entry[1:] for entry in controller.observer.history()] == [(0, "claim"), (1, "unlock"), (0, "lock")]
        assert not controller.socket.exists()
        assert has_ended(guardian)


@pytest.mark.parametrize("for_s", [0.5, 5.0])
def test_a_stopped_controller_loses_the_lock(state: Path, for_s: float) -> None:
    """G4: a controller stopped while the door is unlocked is killed by its guardian: low by the limit plus 100 ms."""
    with RunningController(state) as controller:
        link = controller.link()
        limit_s = link.pulse(pulse(for_s)).until_s
        assert limit_s is not None
        controller.process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        low_s = controller.low_at_s(within_s=for_s + 1)
        assert low_s <= min(limit_s, stopped_s + STEP_S) + SLACK_S
        assert controller.process.wait(5) == -signal.SIGKILL
        assert "held the lock past its word" in controller.says()
        link.close()


def test_a_killed_controller_loses_the_lock(state: Path) -> None:
    """G1: a controller killed while the door is unlocked leaves it locked at once, and the next one starts there."""
    with RunningController(state) as controller:
        link = controller.link()
        link.pulse(pulse())
        guardian = controller.guardian
        controller.process.kill()
        killed_s = time.monotonic()
        assert controller.low_at_s(within_s=1) - killed_s < SLACK_S
        controller.process.wait()
        link.beat()
        assert not link.connected
        with RunningController(state) as successor:
            assert successor.levels() == [0, 1, 0], "a claim by the successor, and no unlocking"
            end_s = time.monotonic() + 2
            while not link.connected and time.monotonic() < end_s:
                link.beat()
                time.sleep(0.01)
            assert link.state().lock == "LOCKED"
        link.close()
        assert has_ended(guardian)


def test_without_its_guardian_the_controller_locks_and_ends(state: Path) -> None:
    """A controller whose guardian dies locks at once and ends as a hardware fault, to be restarted."""
    with RunningController(state) as controller:
        link = controller.link()
        link.pulse(pulse())
        os.kill(controller.guardian, signal.SIGKILL)
        killed_s = time.monotonic()
        assert controller.low_at_s(within_s=1) - killed_s < SLACK_S
        assert controller.process.wait(5) == 3
        assert "guardian" in controller.says().splitlines()[-1]
        link.close()


def test_a_hung_guardian_unlocks_nothing(state: Path) -> None:
    """A guardian that does not confirm leaves the line low: the pulse fails and the controller ends."""
    with RunningController(state) as controller:
        link = controller.link()
        os.kill(controller.guardian, signal.SIGSTOP)
        with pytest.raises(DoorError):
            link.pulse(pulse(), timeout_s=2.0)
        assert controller.process.wait(5) == 3
        assert controller.levels() == [0]
        link.close()


def test_a_guardian_that_hangs_near_the_end_holds_nothing_past_it(state: Path) -> None:
    """G4: waiting for a hung guardian's word does not hold the line past the pulse's limit by more than 100 ms."""
    with RunningController(state) as controller:
        link = controller.link()
        limit_s = link.pulse(pulse(0.6)).until_s
        assert limit_s is not None
        time.sleep(max(0.0, limit_s - 0.12 - time.monotonic()))
        os.kill(controller.guardian, signal.SIGSTOP)
        assert controller.low_at_s(within_s=2) <= limit_s + SLACK_S
        controller.process.wait(5)
        link.close()


def test_a_jammed_lock_refuses_the_pulse(state: Path) -> None:
    """A line that cannot be driven refuses the pulse, and serves again once it can."""
    with RunningController(state) as controller:
        faults = state / "simulated-door" / "faults"
        faults.write_text("jam")
        link = controller.link()
        with pytest.raises(DoorError, match=r"lock_fault$"):
            link.pulse(pulse())
        assert link.state().lock == "LOCKED"
        faults.unlink()
        time.sleep(REST_S + 0.05)
        assert link.pulse(pulse()).lock == "UNLOCKED"
        link.close()


def test_a_lying_line_ends_the_controller(state: Path) -> None:
    """A line that reads other than it was driven is never called locked: the controller ends and releases it."""
    with RunningController(state) as controller:
        (state / "simulated-door" / "faults").write_text("lie")
        link = controller.link()
        with pytest.raises(DoorError):
            link.pulse(pulse())
        assert controller.process.wait(5) == 3
        assert controller.observer.level() == 0
        assert not controller.observer.owned()
        link.close()


@pytest.mark.parametrize(("fault", "code"), [("stall", -signal.SIGKILL), ("crash", 1)])
def test_a_fault_between_on_and_timer_releases(state: Path, fault: str, code: int) -> None:
    """G3: a driver that hangs or breaks just after the line went high loses it: killed by the guardian, or ended."""
    with RunningController(state) as controller:
        (state / "simulated-door" / "faults").write_text(fault)
        link = controller.link()
        asked_s = time.monotonic()
        with pytest.raises(DoorError):
            link.pulse(pulse(), timeout_s=2.0)
        assert controller.low_at_s(within_s=2) - asked_s < STEP_S + SLACK_S
        assert controller.process.wait(5) == code
        assert 1 in controller.levels(), "the line had gone high"
        link.close()


def test_only_one_controller(state: Path) -> None:
    """A second controller at the same socket ends with one line and exit 3; the first does not notice."""
    with RunningController(state) as controller:
        second = subprocess.run(
            [sys.executable, "-m", "appliance", "controller", "--state", str(state)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 3
        assert second.stderr == f"ostiary: controller already running at {controller.socket}\n"
        assert controller.levels() == [0]
        link = controller.link()
        link.close()


def test_no_line_no_ready(state: Path) -> None:
    """G2: where the line is busy, or there is no GPIO chip, the start ends with one line and exit 3, without READY."""
    (state / "other.toml").write_text(f'door.socket = "{state}/other.sock"\n')
    commands = [["--config", str(state / "other.toml")]]
    if not Path("/dev/gpiochip0").exists():
        commands.append(["--config", str(state / "other.toml"), "--door", "gpio"])
    with RunningController(state), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(state / "n.sock"))
        notices.settimeout(0)
        for arguments in commands:
            ended = subprocess.run(
                [sys.executable, "-m", "appliance", "controller", "--state", str(state), *arguments],
                env={**os.environ, "NOTIFY_SOCKET": str(state / "n.sock"), "PYTHONPATH": str(Path.cwd())},
                cwd=state,  # lgpio leaves a pipe in the working directory
                capture_output=True,
                text=True,
                check=False,
            )
            assert ended.returncode == 3, ended.stderr
            assert [line for line in ended.stderr.splitlines() if line.startswith("ostiary: ")]
            assert "Traceback" not in ended.stderr
            with pytest.raises(BlockingIOError):
                notices.recv(64)


def test_the_controller_loads_no_camera_and_no_model() -> None:
    """The controller, with either driver, starts without numpy, OpenCV or a model runtime."""
    imports = "import appliance.commands.controller, appliance.drivers.simulated_door, appliance.drivers.gpio, sys"
    heavy = "{'numpy', 'cv2', 'ai_edge_litert', 'tflite_runtime', 'sqlite3', 'paho'}"
    program = f"{imports}; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_a_watchdog_is_fed_while_idle(state: Path) -> None:
    """The service manager hears WATCHDOG=1 again and again while nothing happens, and STOPPING=1 at the end."""
    with RunningController(state) as controller:
        assert [controller.notices.recv(64) for _ in range(2)] == [b"WATCHDOG=1"] * 2
        controller.process.send_signal(signal.SIGTERM)
        assert controller.process.wait(5) == 0
        heard = b""
        while heard != b"STOPPING=1":
            heard = controller.notices.recv(64)


def test_killing_both_leaves_the_door_locked(state: Path) -> None:
    """Reader and controller killed together, while unlocked, leave the line low."""
    with RunningController(state) as controller:
        reader = controller.reader(for_s=5)
        controller.process.kill()
        end(reader)
        controller.low_at_s(within_s=SLACK_S)
