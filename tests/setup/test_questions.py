"""The questions and what answers make of the settings: pure, without a terminal."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import parse
from appliance.errors import ConfigError, UsageError
from appliance.setup.answers import answered, read_answers
from appliance.setup.draft import SHIPPED
from appliance.setup.place import BOARDS, CHIP, JETSON, PI, SIMULATED
from appliance.setup.question import interview
from appliance.setup.questions import QUESTIONS
from appliance.toml_text import comments
from tests.setup.here import USB, draft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.setup.draft import Draft
    from appliance.setup.place import Board, FoundCamera
    from appliance.setup.question import Question

BY_KEY = {question.key: question for question in QUESTIONS}
EXAMPLES = sorted((Path(__file__).parents[2] / "firmware_config").rglob("appliance.toml"))
WRONG = (
    ("board", "toaster", "allowed: raspberry-pi"),
    ("time_zone", "Europe/Atlantis", "Europe/Berlin"),
    ("time_zone", "../../etc/passwd", "Europe/Berlin"),
    ("device.id", "a b", "letters, digits"),
    ("device.id", "x" * 64, "63 at most"),
    ("door.unlock_s", "99", "30"),
    ("door.unlock_s", "nan", "number"),
    ("door.unlock_s", "soon", "number"),
    ("door.strike", "magnet", "fail_safe"),
    ("door.relay_pin", "3.5", "whole number"),
    ("door.relay_pin", "99999", "1023"),
    ("inputs.rex", "23", "such as 23 NO"),
    ("door.chip", "/etc/passwd", "/dev/gpiochip0"),
    ("inputs.rex", "17 NO", "taken by door.relay_pin"),
    ("kiosk.mirror", "perhaps", "true or false"),
    ("retention.preset", "ever", "conservative"),
    ("broker", "cloud", "elsewhere"),
    ("lamps", "2 of them", "yes, no"),
)


def after(first: Draft, said: Mapping[str, str]) -> Draft:
    """Return the draft after these answers, and Enter for everything else."""
    return interview(first, QUESTIONS, lambda question, so_far: question.answer(so_far, said.get(question.key, "")))


def test_every_question_fits_a_small_terminal(tmp_path: Path) -> None:
    """A question with its choices takes at most 20 lines of 79 letters: one screen over a network, and plain text."""
    first = draft(tmp_path, None, PI, USB, replace(USB, source="/dev/video2"))
    for question in QUESTIONS:
        choices = [f"  1  {name:12}  {words}" for name, words in question.choices(first)]
        lines = [*question.look.splitlines(), *choices]
        assert len(lines) <= 20, question.key
        assert [line for line in lines if len(line) > 79] == [], question.key
        assert len(question.title) <= 40, question.key


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_nothing_but_enter_changes_nothing(tmp_path: Path, board: Board) -> None:
    """A second set-up in which everything is answered with Enter leaves the file as it is, to the byte."""
    said = {"board": board.name, "inputs.rex": "23 NO", "broker": "here", "lamps": "yes", "outputs.red": "12"}
    once = after(draft(tmp_path, None, PI, USB), said)
    assert once.text != SHIPPED.read_text(encoding="utf-8")
    twice = after(draft(tmp_path, once.text, PI, USB), {})
    assert twice.text == once.text
    assert twice.changes(once.settings) == ()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_enter_keeps_every_example(tmp_path: Path, example: Path) -> None:
    """Settings that somebody else wrote are not changed by an Enter, with whatever keys they leave out."""
    text = example.read_text(encoding="utf-8").replace('"ostiary"', '"mine"')
    assert after(draft(tmp_path, text, JETSON, USB), {}).text == text


def test_answers_change_their_own_lines_alone(tmp_path: Path) -> None:
    """What is written is the shipped file with every comment, and only the answered values are others."""
    first = draft(tmp_path, None, PI)
    done = after(first, {"door.unlock_s": "7", "inputs.contact": "22 NC", "device.id": "cellar"})
    assert {change.key: change.after for change in done.changes(first.settings)} == {
        "device.id": "cellar",
        "door.driver": "gpio",
        "door.unlock_s": 7.0,
        "inputs.contact": "22 NC",
    }
    assert comments(done.text) == comments(first.text)
    assert len(done.text.splitlines()) == len(first.text.splitlines())


def test_first_set_up_proposes_what_was_found(tmp_path: Path) -> None:
    """On a device that nobody has set up, Enter takes the board and the camera that are there."""
    first = draft(tmp_path, None, JETSON, USB)
    done = after(first, {}).settings
    assert (done.door.driver, done.door.relay_pin) == ("gpiochip", JETSON.relay_pin)
    assert done.camera.source == USB.source


@pytest.mark.parametrize(("key", "wrong", "allowed"), WRONG)
def test_wrong_answer_is_one_line_with_the_key(tmp_path: Path, key: str, wrong: str, allowed: str) -> None:
    """An answer that cannot be is refused in one line that names the key and what is allowed."""
    with pytest.raises(UsageError) as told:
        BY_KEY[key].answer(draft(tmp_path), wrong)
    said = str(told.value)
    assert said.startswith(key)
    assert allowed in said
    assert "\n" not in said


@given(question=st.sampled_from(QUESTIONS), text=st.text(max_size=80))
@settings(max_examples=40)
def test_no_answer_breaks_the_file(tmp_path_factory: pytest.TempPathFactory, question: Question, text: str) -> None:
    """Whatever is typed, the draft is one that can be read again, or the answer is refused; nothing else comes of it.

    D8: shell, TOML and format metacharacters are stored as data.
    """
    first = draft(tmp_path_factory.getbasetemp())
    try:
        done = question.answer(first, text)
    except UsageError:
        return
    assert parse(done.text, "it") == done.settings


def test_metacharacters_are_data(tmp_path: Path) -> None:
    """D8: a camera's address with quotes, backslashes and a shell's words comes back as it was typed."""
    evil = '"; $(reboot) `id` \\x00 {{7*7}} # %n'
    assert tomllib.loads(after(draft(tmp_path), {"camera.source": evil}).text)["camera"]["source"] == evil


def test_another_board_forgets_the_pins(tmp_path: Path) -> None:
    """Pins of one board are not taken for another's: they are forgotten, and the relay is where hardware.md has it."""
    said = {"board": "jetson", "door.relay_pin": "105", "inputs.rex": "106 NO", "lamps": "yes", "outputs.red": "41"}
    once = after(draft(tmp_path), said)
    done = after(draft(tmp_path, once.text), {"board": "raspberry-pi"}).settings
    assert (done.door.driver, done.door.relay_pin) == ("gpio", PI.relay_pin)
    assert done.inputs.lines == {}
    assert done.outputs.pins == {}


def test_going_back_takes_the_answer_back(tmp_path: Path) -> None:
    """Back returns to the question before, over those that were not asked, and forgets what was answered to it."""
    first = draft(tmp_path)
    script = chain(["", "", "lobby", None, "", ""], repeat(""))
    asked = []

    def ask(question: Question, so_far: Draft) -> Draft | None:
        asked.append(question.key)
        text = next(script)
        return None if text is None else question.answer(so_far, text)

    done = interview(first, QUESTIONS, ask)
    assert asked[:6] == ["board", "time_zone", "device.id", "device.door", "device.id", "device.door"]
    assert done.settings.device.id == "ostiary"


def test_back_at_the_first_question_asks_it_again(tmp_path: Path) -> None:
    """There is nothing before the first question."""
    script = chain([None, None], repeat(""))

    def ask(question: Question, so_far: Draft) -> Draft | None:
        return None if next(script) is None else question.answer(so_far, "")

    assert interview(draft(tmp_path), QUESTIONS, ask).settings == draft(tmp_path).settings


def test_numbers_stand_for_choices(tmp_path: Path) -> None:
    """A number that is typed takes that line of the choices; one that none has is the answer itself."""
    first = draft(tmp_path)
    assert BY_KEY["door.strike"].chosen(first, "2") == "fail_safe"
    assert BY_KEY["door.strike"].chosen(first, "3") == "3"
    assert BY_KEY["door.unlock_s"].chosen(first, "2") == "2"
    assert BY_KEY["door.strike"].chosen(first, "1" * 5000) == "1" * 5000


@pytest.mark.parametrize("cameras", [(), (USB,)], ids=["none found", "one found"])
def test_index_of_a_camera_is_no_line_of_the_choices(tmp_path: Path, cameras: tuple[FoundCamera, ...]) -> None:
    """A1: settings that name the camera by its index keep it at an Enter, and an answers file means it so.

    The first line of the choices may be the simulated camera, whose visitors are made up.
    """
    text = '[camera]\nsource = "1"\n'
    assert after(draft(tmp_path, text, PI, *cameras), {}).text == text
    file = tmp_path / "answers.toml"
    file.write_text("[camera]\nsource = 1\n")
    done = answered(draft(tmp_path, None, PI, *cameras), QUESTIONS, read_answers(file, QUESTIONS))
    assert done.settings.camera.source == "1"


def test_broker_here_is_named_with_its_files(tmp_path: Path) -> None:
    """A broker on this machine is spoken to over TLS, with our own certificate, and never in the clear."""
    mqtt = after(draft(tmp_path), {"device.id": "cellar", "broker": "here"}).settings.mqtt
    pki = tmp_path / "state" / "pki"
    assert (mqtt.enabled, mqtt.tls, mqtt.host, mqtt.port) == (True, True, "localhost", 8883)
    assert (mqtt.ca_file, mqtt.cert_file) == (str(pki / "ca.pem"), str(pki / "client" / "cellar.pem"))


def test_restart_is_asked_where_programs_run(tmp_path: Path) -> None:
    """Nobody is asked to restart what does not run."""
    first = draft(tmp_path)
    running = replace(first, place=replace(first.place, running=("ostiary-reader.service",)))
    assert not BY_KEY["restart"].asked(first)
    assert BY_KEY["restart"].asked(running)


def test_answers_file_is_taken(tmp_path: Path) -> None:
    """An answers file says in TOML what a hand would type; the rest stays as it is."""
    file = tmp_path / "answers.toml"
    file.write_text(
        'board = "raspberry-pi"\nlamps = true\n[door]\nunlock_s = 8\n[inputs]\nrex = ""\n[outputs]\ngreen = 13\n'
    )
    done = answered(draft(tmp_path), QUESTIONS, read_answers(file, QUESTIONS))
    assert (done.settings.door.driver, done.settings.door.unlock_s, done.settings.outputs.green) == ("gpio", 8.0, 13)
    assert done.own["code"] == "no"  # nobody is there to read it


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("colour = 1\n", "colour"),
        ("[door]\nhinges = 3\n", "door.hinges"),
        ("[door]\nunlock_s = 99\n", "door.unlock_s"),
        ("[door]\nunlock_s = [1]\n", "door.unlock_s"),
        ('[mqtt]\nhost = "h"\n', "mqtt.host"),
        ("[outputs]\nred = 12\n", "outputs.red"),
    ],
)
def test_wrong_answers_file_names_the_key(tmp_path: Path, text: str, key: str) -> None:
    """An unknown key, a value out of range, and an answer to what is not asked are refused by name."""
    file = tmp_path / "answers.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=key.replace(".", r"\.")):
        answered(draft(tmp_path), QUESTIONS, read_answers(file, QUESTIONS))


def test_broken_settings_are_not_thrown_away(tmp_path: Path) -> None:
    """Where there are settings with a fault, the set-up says which, and does not begin with others."""
    with pytest.raises(ConfigError, match="unlock_s"):
        draft(tmp_path, "[door]\nunlock_s = 99\n")


def test_boards_can_be_had_from_the_settings(tmp_path: Path) -> None:
    """Every board that may be chosen is the one proposed by a second set-up, on a machine that is none of them."""
    for board in BOARDS.values():
        once = after(draft(tmp_path, None, SIMULATED), {"board": board.name, "device.id": "x"})
        again = BY_KEY["board"].now(draft(tmp_path, once.text, SIMULATED))
        assert BOARDS[again].driver == board.driver
    assert CHIP.inputs == ()


def test_every_question_is_documented() -> None:
    """Every key of an answers file stands in docs/setup.md, and every key there is asked."""
    page = (Path(__file__).parents[2] / "docs" / "setup.md").read_text(encoding="utf-8")
    table = page[page.index("| key | allowed |") : page.index("Exit codes")]
    keys = "".join(line.split("|")[1] for line in table.splitlines()[2:] if line)
    listed = set(re.findall(r"`([^`]+)`", keys))
    assert listed == {question.key for question in QUESTIONS}


def test_documented_answers_are_taken(tmp_path: Path) -> None:
    """The answers file of docs/setup.md is one, to the last key."""
    page = (Path(__file__).parents[2] / "docs" / "setup.md").read_text(encoding="utf-8")
    file = tmp_path / "answers.toml"
    file.write_text(page.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    done = answered(draft(tmp_path), QUESTIONS, read_answers(file, QUESTIONS)).settings
    assert (done.mqtt.host, done.outputs.green, done.door.strike) == ("hall.local", 13, "fail_safe")
