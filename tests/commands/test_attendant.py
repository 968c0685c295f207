"""`ostiary attendant`: tickets in a terminal."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.attendant import Approved, Denied
from appliance.cli import root
from appliance.clients import Registry
from appliance.commands.ticket_words import ended_in_words, refused_in_words, shown
from appliance.contract import Reason, Role
from appliance.errors import BrokerError, UsageError
from appliance.signing import new_key, read_key
from ostiary_client import Client, Outcome, Reply, Ticket
from tests.broker import wait_for
from tests.doorway import Doorway, doorway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.broker import PrivateBroker


@pytest.fixture
def places(broker: PrivateBroker, tmp_path: Path) -> list[str]:
    """Give the options of a guard at the door `front`, with settings and a key."""
    mqtt = broker.settings
    (tmp_path / "appliance.toml").write_text(
        f'[device]\nid = "front"\n[mqtt]\nenabled = true\nhost = "{mqtt.host}"\nport = {mqtt.port}\n'
        f'username = "{mqtt.username}"\npassword_file = "{mqtt.password_file}"\n'
    )
    with Registry(tmp_path / "clients.db") as registry:
        registry.add("guard", Role.OPERATOR, new_key(tmp_path / "guard.key"))
    options = {"--key": "guard.key", "--config": "appliance.toml", "--state": "state"}
    return [word for option, name in options.items() for word in (option, str(tmp_path / name))]


@pytest.fixture
def door(broker: PrivateBroker, places: list[str], tmp_path: Path) -> Iterator[Doorway]:
    """Give a doorway that knows the guard; its tickets live two seconds."""
    with doorway(broker.settings, tmp_path / "clients.db", 2.0) as door:
        yield door


@pytest.fixture
def patient(broker: PrivateBroker, places: list[str], tmp_path: Path) -> Iterator[Doorway]:
    """Give the same with tickets of a minute."""
    assert places
    with doorway(broker.settings, tmp_path / "clients.db", 60.0) as door:
        yield door


def keep_asking(door: Doorway, done: threading.Event) -> None:
    """Let visitors come until the attendant, who may still be starting, has seen one."""
    number = 0
    while not done.wait(0.2):
        number += 1
        if not door.desk.tickets:
            door.ask(f"visit-{number}")


@pytest.mark.parametrize(("letter", "said"), [("y", "the door opens"), ("n", "the door stays shut")])
def test_every_ticket_can_be_answered_alike(
    door: Doorway, places: list[str], tmp_path: Path, letter: str, said: str
) -> None:
    """For scripts: shown in words, its picture saved for us alone, answered, and the door's word printed."""
    done = threading.Event()
    thread = threading.Thread(target=keep_asking, args=(door, done))
    thread.start()
    pictures = tmp_path / "pictures"
    words = ["attendant", *places, "--answer", letter, "--once", "--save-image", str(pictures)]
    result = CliRunner().invoke(root, words)
    done.set()
    thread.join()
    assert result.exit_code == 0, result.output
    assert said in result.output
    assert "perhaps    ada, bob" in result.output
    assert "not enrolled, or not alike enough" in result.output
    assert [type(one) for one in door.verdicts] == [{"y": Approved, "n": Denied}[letter]]
    saved = next(pictures.iterdir())
    assert str(saved) in result.output
    assert saved.read_bytes().startswith(b"\xff\xd8 visit-")
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


@contextmanager
def start(places: list[str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command in a process of its own, with a pipe for a keyboard, until the block ends at the latest."""
    words = [sys.executable, "-u", "-m", "appliance", "attendant", *places, *options]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return the output up to and with `text`."""
    assert process.stdout is not None
    seen = ""
    while not seen.endswith(text):
        char = process.stdout.read(1)
        assert char, f"it ended with: {seen}"
        seen += char
    return seen


def enter(process: subprocess.Popen[str], line: str, answer: str) -> str:
    """Type a line, and return what is shown up to and with the answer."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return read_until(process, answer)


def test_a_human_is_asked_and_may_mistype(door: Doorway, places: list[str]) -> None:
    """A slip of the finger is asked about again, never said to the visitor; the answer goes to the door."""
    with start(places, "--once") as process:
        read_until(process, "Ctrl-C ends\n")
        ticket = door.ask("visit-1")
        shown = read_until(process, "s left: ")
        assert "[1] time left  " in shown
        assert "[1] let in? y, n, a or text" in shown
        enter(process, "u", "s left: ")
        assert door.desk.tickets == (ticket,)
        enter(process, "yes", "[1] the door opens\n")
        assert process.wait(5) == 0
    assert [type(one) for one in door.verdicts] == [Approved]


def test_a_ticket_that_ran_out_is_said_so(door: Doorway, places: list[str]) -> None:
    """Silence, here with the keyboard closed, is no answer; exit code 1, and nothing was sent."""
    with start(places, "--once") as process:
        read_until(process, "Ctrl-C ends\n")
        assert process.stdin is not None
        process.stdin.close()
        began_s = time.monotonic()
        door.ask("visit-1")
        read_until(process, "over: ")
        assert time.monotonic() - began_s < 4
        assert process.wait(5) == 1
    assert door.verdicts == []
    wait_for(lambda: not door.desk.tickets)


def test_several_tickets_are_told_apart(patient: Doorway, places: list[str]) -> None:
    """Each line bears its ticket's number; a line is about the oldest unless it begins with another's number (D15)."""
    with start(places) as process:
        read_until(process, "Ctrl-C ends\n")
        first = patient.ask("visit-1")
        read_until(process, "[1] let in? y, n, a or text, ")
        second = patient.ask("visit-2", approvals=2)
        shown = read_until(process, "[1] let in? y, n, a or text, ")
        assert "[2] approvals  two are needed\n" in shown
        shown = enter(process, "2 y", "[1] let in? y, n, a or text, ")
        assert "[2] noted; somebody else must approve too\n" in shown
        if "guard approved" not in shown:
            read_until(process, "[2] approvals  two are needed; guard approved\n")
        enter(process, "2 y", "[2] refused: you have approved already; somebody else must too\n")
        patient.present = "visit-1"
        enter(process, "please look up", "[1] the visitor reads that now\n")
        assert patient.desk.tickets[0].said == "please look up"
        enter(process, "9 y", "[1] let in? y, n, a or text, ")
        assert [one.ticket_id for one in patient.desk.tickets] == [first.ticket_id, second.ticket_id]
        enter(process, "a", "[1] the visitor is asked to show themselves again\n")
        patient.show_again(first)
        shown = read_until(process, "[1] picture    not saved")
        assert "[1] quality    medium: blur\n[1] round      2\n" in shown
        assert "[1] time left  1" in read_until(process, "s left: "), "a round gives another minute"
        enter(process, "n", "[1] the door stays shut\n")
        read_until(process, "[2] let in? y, n, a or text, ")
    assert [type(one).__name__ for one in patient.verdicts] == ["Awaiting", "Refused", "Denied"]


def test_what_others_did_is_shown(door: Doorway, places: list[str], broker: PrivateBroker, tmp_path: Path) -> None:
    """Who was first, and with what, is said at once; whoever is half through typing answers nothing."""
    with Registry(tmp_path / "clients.db") as registry:
        registry.add("desk", Role.OPERATOR, new_key(tmp_path / "desk.key"))
    with start(places) as process, Client(broker.settings, "front", "desk", read_key(tmp_path / "desk.key")) as desk:
        read_until(process, "Ctrl-C ends\n")
        ticket = door.ask("visit-1")
        read_until(process, "s left: ")
        assert desk.approve(ticket.ticket_id).ok
        read_until(process, "[1] over: desk let them in\n")


def test_what_a_broker_says_cannot_steer_the_terminal() -> None:
    """D8, D15: fields of a message that nobody signed are shown as plain text on one line, whatever is in them."""
    fields: dict[str, object] = {
        "flaws": ["blur\x1b[2J", 7],
        "to": "everybody",
        "approved_by": ["\u202eevil\n[2] the door opens"],
    }
    fields |= {"round": "many", "approvals": 2, "expires_at": "2026-01-01T00:00:00Z"}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    ticket = Ticket("t1", "v1", Reason.UNKNOWN_FACE, ("\x07ada",), "live\r", "high\n", at, None, fields)
    lines = list(shown(ticket, None, "none"))
    assert all(line.isprintable() for line in lines)
    assert "approvals  two are needed; evil [2] the door opens approved" in lines
    assert (
        ended_in_words(Outcome("t1", approved=False, reason=Reason.OPERATOR_DENIED, by="a\nb")) == "a b kept them out"
    )
    assert refused_in_words(Reply(ok=False, error="\x1b]0;x", result={})).isprintable()
    late = Reply(ok=False, error="already_answered", result={"reason": "ok", "by": "desk"})
    assert refused_in_words(late) == "too late: desk let them in"


def test_mistakes_are_named(places: list[str], tmp_path: Path) -> None:
    """A key that is none, an id that is none, a broker that is not there: one line each, and its exit code."""
    (tmp_path / "bad.key").write_bytes(os.urandom(40))
    bad_key = CliRunner().invoke(root, ["attendant", *places, "--key", str(tmp_path / "bad.key")])
    assert isinstance(bad_key.exception, UsageError)
    bad_id = CliRunner().invoke(root, ["attendant", *places, "--client-id", "a/#"])
    assert isinstance(bad_id.exception, UsageError)
    config = tmp_path / "nowhere.toml"
    config.write_text("[mqtt]\nport = 1\nhost = '127.0.0.1'\n")
    nowhere = CliRunner().invoke(root, ["attendant", *places, "--config", str(config)])
    assert isinstance(nowhere.exception, BrokerError)
    assert nowhere.exception.exit_code == 3
