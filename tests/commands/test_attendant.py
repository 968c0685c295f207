"""`ostiary attendant`: tickets in a terminal."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.attendant import Approved, Denied
from appliance.cli import root
from appliance.clients import Registry
from appliance.contract import Role
from appliance.errors import BrokerError, UsageError
from appliance.signing import new_key
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


def start(places: list[str]) -> subprocess.Popen[str]:
    """Run the command in a process of its own, with a pipe for a keyboard."""
    words = [sys.executable, "-u", "-m", "appliance", "attendant", *places, "--once"]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return the output up to and with `text`."""
    assert process.stdout is not None
    seen = ""
    while not seen.endswith(text):
        char = process.stdout.read(1)
        assert char, f"it ended with: {seen}"
        seen += char
    return seen


def test_a_human_is_asked_and_may_mistype(door: Doorway, places: list[str]) -> None:
    """Only y and n count; the time that is left is shown, and the answer goes to the door."""
    with start(places) as process:
        read_until(process, "Ctrl-C ends\n")
        door.ask("visit-1")
        shown = read_until(process, "let in? [y/n] ")
        assert "time left" in shown
        assert process.stdin is not None
        process.stdin.write("maybe\n")
        process.stdin.flush()
        read_until(process, "s left: ")
        process.stdin.write("y\n")
        process.stdin.flush()
        read_until(process, "the door opens\n")
        assert process.wait(5) == 0
    assert [type(one) for one in door.verdicts] == [Approved]


def test_a_ticket_that_ran_out_is_said_so(door: Doorway, places: list[str]) -> None:
    """Silence, here with the keyboard closed, is no answer; exit code 1, and nothing was sent."""
    with start(places) as process:
        read_until(process, "Ctrl-C ends\n")
        assert process.stdin is not None
        process.stdin.close()
        began_s = time.monotonic()
        door.ask("visit-1")
        read_until(process, "not answered: ")
        assert time.monotonic() - began_s < 4
        assert process.wait(5) == 1
    assert door.verdicts == []
    wait_for(lambda: not door.desk.tickets)


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
