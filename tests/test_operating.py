"""What operators do to a door: the same verbs from the command line and over MQTT, on a real controller."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from appliance.audit import AuditLog
from appliance.cli import root
from appliance.contract import VERB_ROLES, EventType, LockState, Mode, Phase, Reason, Role
from appliance.door import ControllerLink
from appliance.door.lock import REST_S
from appliance.envelope import Command
from appliance.errors import DoorError, RefusedError, StorageError
from appliance.journal import Journal
from appliance.operating import DoorVerbs
from appliance.records import Actor, ActorKind
from appliance.usecases import UseCases, door_acts
from tests.asking import asked
from tests.door.running import RunningController
from tests.stand import standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.records import Event

GUARD = Actor(ActorKind.OPERATOR, "guard")


class Post:
    """A guard's post: verbs and use-cases on one running controller, with a reader that beats."""

    def __init__(self, controller: RunningController, folder: Path, opening: ExitStack) -> None:
        self.folder = folder
        self.controller = controller
        self.audit = opening.enter_context(AuditLog(folder / "audit.db", "ostiary", "front"))
        self.link = controller.link()
        opening.callback(self.link.close)
        self.verbs = DoorVerbs(self.link, Journal(self.audit, ()))
        self._beating = threading.Event()
        self._reader = threading.Thread(target=self._beat, name="reader")
        self._reader.start()
        opening.callback(self._stop)

    def _beat(self) -> None:
        reader = ControllerLink(self.controller.socket)
        while not self._beating.wait(0.1):
            reader.beat()
        reader.close()

    def _stop(self) -> None:
        self._beating.set()
        self._reader.join()

    def events(self) -> list[Event]:
        """Return everything in the log."""
        return [sealed.event for sealed in self.audit.read()]

    def cli(self, *words: str) -> tuple[int, str]:
        """Return exit code and output of `ostiary door ...` in the same state folder."""
        command = [sys.executable, "-m", "appliance", "door", *words, "--state", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def post(short_folder: Path) -> Iterator[Post]:
    """Give a guard's post at a door of its own."""
    with ExitStack() as opening:
        controller = opening.enter_context(RunningController(short_folder))
        yield Post(controller, short_folder, opening)


@pytest.fixture
def orders(post: Post) -> UseCases:
    """Return the use-cases behind MQTT, at the same door."""
    return UseCases(door_acts(post.verbs, 1.0))


def order(orders: UseCases, verb: str, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a client sends
    """Return what a verified command of an operator comes to."""
    return asked(orders, Command("phone", Role.OPERATOR, verb, args, "r-1"))


def test_a_hold_lives_on_the_readers_beat_and_ends_by_itself(post: Post) -> None:
    """An operator's unlocking outlasts the command that asked for it, while a reader beats, and ends in time."""
    state = post.verbs.unlock(GUARD, 1.5)
    assert (state.mode, state.lock) == (Mode.OPERATOR, LockState.UNLOCKED)
    post.link.close()
    time.sleep(1.2)
    assert post.controller.observer.level() == 1
    post.controller.low_at_s(within_s=1.0)


def test_what_lets_somebody_in_is_written_first(post: Post, short_folder: Path) -> None:
    """J8, F3: an open that cannot be written down opens nothing; a full disk keeps nobody from locking down."""
    post.verbs.open(GUARD, 0.5)
    (entry,) = [one for one in post.events() if one.event_type is EventType.REMOTE_UNLOCK]
    assert entry.actor == GUARD
    post.controller.low_at_s(within_s=2.0)
    time.sleep(REST_S)
    with contextlib.closing(sqlite3.connect(short_folder / "audit.db")) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(StorageError, match="disk full"):
        post.verbs.open(GUARD, 5.0)
    assert post.controller.observer.level() == 0
    assert post.verbs.lockdown(GUARD).phase is Phase.LOCKDOWN


def test_a_verb_below_the_ruling_mode_fails_loudly(post: Post) -> None:
    """G12: in a lockdown open, unlock, lock and release are refused with who set it and what ends it, and logged."""
    post.verbs.lockdown(GUARD)
    verbs: list[Callable[[], object]] = [
        lambda: post.verbs.open(GUARD, 5.0),
        lambda: post.verbs.unlock(GUARD, 60.0),
        lambda: post.verbs.lock(GUARD, 60.0),
        lambda: post.verbs.release(GUARD, "operator"),
    ]
    for verb in verbs:
        with pytest.raises(RefusedError, match=r"a lockdown rules this door .* operator:guard.*release --of lockdown"):
            verb()
    denied = [one for one in post.events() if one.event_type is EventType.ACCESS_DENIED]
    assert [one.reason for one in denied] == [Reason.LOCKDOWN] * 4
    assert post.verbs.release(GUARD, "lockdown").mode is Mode.NORMAL


def test_a_time_out_of_range_is_refused_with_the_range(post: Post) -> None:
    """A time that is none, or too long, changes nothing and is answered with what is allowed."""
    for verb in (post.verbs.open, post.verbs.unlock, post.verbs.lock, post.verbs.fire_test):
        for for_s in (0.0, -1.0, float("nan"), float("inf"), 86_401.0):
            with pytest.raises(RefusedError, match="is allowed"):
                verb(GUARD, for_s)
    assert post.controller.levels() == [0]


def test_operators_order_over_mqtt(post: Post, orders: UseCases) -> None:
    """Every verb that MQTT has for the door does what the command line's does, and answers with the door's state."""
    assert order(orders, "unlock", for_s=60)["mode"] == "OPERATOR"
    assert order(orders, "lock")["lock"] == "LOCKED"
    time.sleep(REST_S)
    assert order(orders, "release")["mode"] == "NORMAL"
    assert order(orders, "open")["lock"] == "UNLOCKED"
    assert order(orders, "lockdown")["phase"] == "LOCKDOWN"
    time.sleep(REST_S)
    assert order(orders, "release", of="lockdown")["phase"] == "SECURE"
    assert {one.actor.id for one in post.events() if one.actor and one.method == "verb"} == {"phone"}


SENSELESS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("unlock", {}, r"args\.for_s of unlock is missing"),
    ("unlock", {"for_s": True}, r"args\.for_s of unlock is True; should be a valid integer"),
    ("unlock", {"for_s": "60"}, "is '60'; should be a valid integer"),
    ("unlock", {"for_s": 10**9}, "should be less than or equal to 86400"),
    ("unlock", {"for_s": 60, "force": True}, r"args\.force of unlock is not known"),
    ("open", {"for_s": -5}, "is -5; should be greater than or equal to 1"),
    ("release", {"of": "everything"}, "should be 'operator', 'lockdown', 'fire' or 'forced'"),
    ("release", {"of": ["fire"]}, "should be 'operator', 'lockdown', 'fire' or 'forced'"),
    ("release", {}, "nothing of the kind to release"),
)


def test_an_order_that_makes_no_sense_is_refused(post: Post, orders: UseCases) -> None:
    """D6: a wrong type, range or word in a command's arguments is one line, and nothing moves."""
    for verb, args, why in SENSELESS:
        with pytest.raises(RefusedError, match=why):
            order(orders, verb, **args)
    assert post.controller.levels() == [0]


def test_recognisers_enrollers_and_auditors_cannot_move_a_door() -> None:
    """Only operators and admins may use a verb that moves a door."""
    for verb in ("open", "unlock", "lock", "release", "lockdown"):
        assert VERB_ROLES[verb] == {Role.OPERATOR, Role.ADMIN}


def test_without_a_controller_an_order_says_so(tmp_path: Path) -> None:
    """G2: where no controller answers, the verb fails in one line, after it was written down."""
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as audit:
        verbs = DoorVerbs(ControllerLink(tmp_path / "none.sock"), Journal(audit, ()))
        with pytest.raises(DoorError, match="not connected"):
            verbs.open(GUARD, 5.0)
        assert [one.event.event_type for one in audit.read()] == [EventType.REMOTE_UNLOCK]


def test_the_command_line_shows_and_moves_the_door(post: Post) -> None:
    """`ostiary door` says how the door is, moves it, and exits 1 with one line where the door is ruled higher."""
    code, said = post.cli("status", "--json")
    assert code == 0
    assert json.loads(said)["phase"] == "SECURE"
    assert json.loads(said)["reader"] is True
    code, said = post.cli("unlock", "--for", "1m")
    assert code == 0
    assert re.fullmatch(r"UNLOCKED: UNLOCKED, mode OPERATOR, (59\.\d|60) s left\n", said)
    assert post.cli("lockdown") == (0, "LOCKED: LOCKDOWN, mode EMERGENCY\n")
    code, said = post.cli("open")
    assert code == 1
    assert said.startswith("ostiary: a lockdown rules this door (EMERGENCY, set by operator:")
    assert said.count("\n") == 1
    assert post.cli("release", "--of", "lockdown")[0] == 0
    code, said = post.cli("fire-test", "--for", "1s")
    assert said.splitlines() == ["UNLOCKED: RELEASED, mode EMERGENCY", "LOCKED: SECURE, mode NORMAL"]


@pytest.mark.parametrize("words", [["unlock", "--for", "8x"], ["unlock"], ["release", "--of", "it"], ["open", "-1"]])
def test_what_the_command_line_does_not_understand_is_usage(words: list[str], tmp_path: Path) -> None:
    """A wrong option or time exits 2 and names it."""
    done = CliRunner().invoke(root, ["door", *words, "--state", str(tmp_path)])
    assert done.exit_code == 2
    assert "Error" in done.output


@pytest.mark.parametrize("verb", [["status"], ["open"], ["lockdown"], ["fire-test"]])
def test_no_controller_is_exit_3(verb: list[str], tmp_path: Path) -> None:
    """Where no controller runs, the command says so in one line and exits 3."""
    command = [sys.executable, "-m", "appliance", "door", *verb, "--state", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert done.stderr.startswith("ostiary: no controller at")
    assert done.stderr.count("\n") == 1


def test_without_a_reader_a_hold_lasts_as_long_as_its_command(short_folder: Path) -> None:
    """Where no reader beats, the command stands in for it; when it is stopped, the door locks at once."""
    with RunningController(short_folder) as controller:
        command = [sys.executable, "-m", "appliance", "door", "unlock", "--for", "60", "--state", str(short_folder)]
        holding = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert holding.stdout is not None
        assert holding.stdout.readline().startswith("UNLOCKED")
        assert "no reader is running" in holding.stdout.readline()
        time.sleep(1.5)
        assert controller.observer.level() == 1
        holding.terminate()
        holding.wait()
        holding.stdout.close()
        controller.low_at_s(within_s=1.0)


def test_a_simulated_door_can_be_told_what_happens(short_folder: Path) -> None:
    """Whoever has no hardware can open the simulated leaf by hand; a switch that is not fitted is said to be so."""
    config = short_folder / "appliance.toml"
    config.write_text('[inputs]\ncontact = "27 NC"\n')
    places = ["--config", str(config), "--state", str(short_folder)]
    with RunningController(short_folder, "--config", str(config)) as controller:
        link = controller.link()
        done = CliRunner().invoke(root, ["door", "simulate", "contact", "active", *places])
        assert done.exit_code == 0
        time.sleep(0.3)
        assert link.state().phase is Phase.FORCED
        link.close()
    done = CliRunner().invoke(root, ["door", "simulate", "bell", "press", *places])
    assert str(done.exception) == "no bell is fitted: inputs.bell is empty; fitted are contact"


def test_explain_says_who_gets_in_and_why(tmp_path: Path) -> None:
    """`ostiary door explain` tells every check in words for any time, and exits 1 where the answer is no."""
    (tmp_path / "access.toml").write_text(
        'time_zone = "Europe/Berlin"\n[schedules.office]\nperiods = ["Mon-Fri 07:00-19:00"]\n'
        '[groups.staff]\ndoors = ["front"]\nschedule = "office"\n'
    )
    (tmp_path / "appliance.toml").write_text('[liveness]\ncommissioned = "skipped"\n')
    with standing(tmp_path):
        pass

    def ask(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(
            root, [*words, "--config", str(tmp_path / "appliance.toml"), "--state", str(tmp_path)]
        )
        return getattr(done.exception, "exit_code", done.exit_code), done.output

    assert ask("person", "access", "Ada", "--group", "staff")[0] == 0
    code, said = ask("door", "explain", "Ada", "--at", "2026-11-23T08:00")
    assert code == 0
    assert said.startswith("Ada at door front, 2026-11-23 08:00 CET: may enter")
    code, said = ask("door", "explain", "Ada", "--at", "2026-11-22T08:00")
    assert code == 1
    assert "outside_schedule" in said
    code, said = ask("door", "explain", "Bea")
    assert code == 1
    assert "no_door_right" in said
    code, said = ask("door", "explain", "Ada", "--at", "2026-11-23T08:00", "--lockdown")
    assert code == 1
    assert "lockdown" in said
    (tmp_path / "appliance.toml").write_text("")
    code, said = ask("door", "explain", "Ada", "--at", "2026-11-23T08:00")
    assert code == 0
    assert "may enter with a second factor" in said
    assert "no attack was tried at this door yet" in said
    assert "may enter\n" in ask("door", "explain", "Ada", "--at", "2026-11-23T08:00", "--with", "pin")[1]
    assert ask("door", "explain", "Ada", "--at", "noon")[0] == 2
    assert ask("door", "explain", "Nobody")[0] == 1
