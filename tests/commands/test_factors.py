"""`ostiary person pin` and `ostiary pass`: what they ask, print and refuse."""

from __future__ import annotations

import re
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.access.passes import Pass, read_pass
from appliance.access.pin import PinWord
from appliance.audit import AuditLog
from appliance.cli import root
from appliance.drivers.photo import read_photo
from appliance.drivers.qr import read_codes
from appliance.errors import ApplianceError
from appliance.people.factors import try_pin
from appliance.people.gallery import Consent, Gallery
from appliance.people.passes import PassBook
from appliance.records import Embedding, Grade
from appliance.signing import own_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FACE = Embedding(np.eye(1, 64, dtype=np.float32)[0], "m")
HALVES = {" ": (0, 0), "\u2580": (1, 0), "\u2584": (0, 1), "\u2588": (1, 1)}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give a state folder in which Ada is enrolled."""
    folder = tmp_path / "state"
    folder.mkdir()
    with Gallery(folder / "gallery.db") as gallery:
        gallery.add("Ada", Consent("Ada", NOON), [(FACE, Grade.HIGH)])
    return folder


def ostiary(state: Path, *words: str, answer: str = "") -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    done = CliRunner().invoke(root, [*words, "--state", str(state)], input=answer)
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}ostiary: {done.exception}\n"
    return done.exit_code, done.output


def word(state: Path, text: str) -> PinWord:
    """Return what an entered text is for Ada."""
    with Gallery(state / "gallery.db") as gallery:
        return try_pin(gallery, gallery.people()[0].person_id, text)


def scanned(lines: Sequence[str]) -> tuple[str, ...]:
    """Return what a camera before the terminal would read of these lines of half blocks."""
    rows = [[HALVES[letter][half] for letter in line] for line in lines for half in (0, 1)]
    dark = np.kron(np.array(rows, np.uint8), np.ones((6, 6), np.uint8))
    return read_codes(np.repeat((255 * (1 - dark))[:, :, np.newaxis], 3, 2))


def test_a_pin_is_asked_for_twice_and_not_shown(state: Path) -> None:
    """What is typed at the prompt is set where both entries agree, and is not printed."""
    code, said = ostiary(state, "person", "pin", "Ada", answer="482913\n482913\n")
    assert (code, said.splitlines()[-1]) == (0, "PIN of Ada changed")
    assert "482913" not in said
    assert word(state, "482913") is PinWord.RIGHT
    code, said = ostiary(state, "person", "pin", "Ada", answer="7391\n7392\n")
    assert code == 1
    assert word(state, "7391") is PinWord.WRONG


def test_a_pin_is_read_from_standard_input(state: Path) -> None:
    """G11: with --stdin the first line is the PIN, of a duress PIN too; both are taken away by --remove."""
    assert ostiary(state, "person", "pin", "Ada", "--stdin", answer="482913\nmore\n") == (0, "PIN of Ada changed\n")
    changed = ostiary(state, "person", "pin", "Ada", "--stdin", "--duress", answer="590274")
    assert changed == (0, "duress PIN of Ada changed\n")
    assert [word(state, text) for text in ("482913", "590274")] == [PinWord.RIGHT, PinWord.DURESS]
    assert ostiary(state, "person", "pin", "Ada", "--remove") == (0, "PIN of Ada removed\n")
    assert [word(state, text) for text in ("482913", "590274")] == [PinWord.WRONG, PinWord.WRONG]


def test_a_pin_is_never_on_the_command_line(state: Path) -> None:
    """There is no place for it among the arguments, where every process of the machine could read it."""
    for words in (["Ada", "482913"], ["Ada", "--pin", "482913"]):
        assert ostiary(state, "person", "pin", *words)[0] == 2
    assert word(state, "482913") is PinWord.WRONG


@pytest.mark.parametrize("entered", ["1234", "4829130000000", "x" * 10**6, "48\x0029", "", "\n482913"])
def test_a_bad_pin_is_refused_in_one_line(state: Path, entered: str) -> None:
    """Runs, megabytes, control characters and nothing at all: one line without the entry, exit 1, nothing kept."""
    code, said = ostiary(state, "person", "pin", "Ada", "--stdin", answer=entered)
    assert code == 1
    assert said.startswith("ostiary: this PIN is ")
    assert said.count("\n") == 1
    assert len(said) < 120
    with AuditLog(state / "audit.db", "ostiary", "front") as audit:
        assert audit.head().seq == 0


def test_removing_reads_nothing(state: Path) -> None:
    """--remove with --stdin is a mistake of whoever wrote it, and removes nothing."""
    ostiary(state, "person", "pin", "Ada", "--stdin", answer="482913")
    assert ostiary(state, "person", "pin", "Ada", "--stdin", "--remove", answer="7391")[0] == 2
    assert word(state, "482913") is PinWord.RIGHT


def test_a_pass_is_printed_written_listed_and_revoked(state: Path, tmp_path: Path) -> None:
    """The code on the terminal and the one in the file are the pass that the list shows, signed by this device."""
    picture = tmp_path / "ada.png"
    code, said = ostiary(state, "pass", "issue", "Ada", "--for", "2d", "--uses", "3", "--png", str(picture))
    assert code == 0
    *lines, words = said.splitlines()
    (text,) = scanned(lines)
    assert read_codes(read_photo(picture)) == (text,)
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600
    key = own_key(state / "device.key").public_key()
    made = read_pass(text, key, "ostiary", "front", datetime.now(UTC).timestamp())
    assert isinstance(made, Pass)
    assert (made.until - made.not_before, made.uses) == (2 * 86400, 3)
    assert re.fullmatch(rf"pass {made.pass_id} for Ada: .* to .*, 3 times", words)
    assert text not in said  # what is copied from a terminal by mistake is no pass
    code, said = ostiary(state, "pass", "list")
    assert [cell for number, cell in enumerate(said.strip().split("\t")) if number != 3] == [
        made.pass_id,
        "Ada",
        made.person_id,
        "3 times",
    ]
    assert ostiary(state, "pass", "revoke", made.pass_id) == (0, f"revoked {made.pass_id}\n")
    assert ostiary(state, "pass", "list") == (0, "")
    assert ostiary(state, "pass", "revoke", made.pass_id)[0] == 1
    assert stat.S_IMODE((state / "device.key").stat().st_mode) == 0o600


def test_a_pass_may_begin_later(state: Path) -> None:
    """--from gives the hour by the offset it names, or by the machine's own zone, or that of the access rules."""
    for start, begins in (
        ("2099-03-01T08:00+02:00", datetime(2099, 3, 1, 6, tzinfo=UTC)),
        ("2099-03-01T08:00", datetime(2099, 3, 1, 8).astimezone()),
    ):
        assert ostiary(state, "pass", "issue", "Ada", "--from", start)[0] == 0
        with PassBook(state / "gallery.db") as book:
            assert begins.timestamp() in {one.not_before for one in book.passes()}
    (state / "appliance.toml").write_text("")
    (state / "access.toml").write_text('time_zone = "Asia/Kathmandu"\n')
    settings = str(state / "appliance.toml")
    assert ostiary(state, "pass", "issue", "Ada", "--from", "2099-06-01T08:00", "--config", settings)[0] == 0
    with PassBook(state / "gallery.db") as book:
        begins = datetime(2099, 6, 1, 2, 15, tzinfo=UTC)
        assert begins.timestamp() in {one.not_before for one in book.passes()}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["Bob"], 1),
        (["Ada", "--for", "32d"], 1),
        (["Ada", "--for", "0h"], 1),
        (["Ada", "--for", "999999d"], 1),
        (["Ada", "--uses", "21"], 1),
        (["Ada", "--from", "2200-01-01"], 1),
        (["Ada", "--uses", "0"], 2),
        (["Ada", "--for", "8x"], 2),
        (["Ada", "--for", "-8h"], 2),
        (["Ada", "--for", "8h; reboot"], 2),
        (["Ada", "--from", "tomorrow"], 2),
        (["Ada", "--from", "1950-01-01"], 2),
        (["Ada", "--from", "2027-03-01T23:59:60"], 2),
        (["Ada", "--from", "0001-01-01"], 2),
    ],
)
def test_a_pass_out_of_bounds_is_refused_in_one_line(state: Path, words: list[str], code: int) -> None:
    """Whom, how long, how often and since when are checked; nothing is issued and nothing written down."""
    found, said = ostiary(state, "pass", "issue", *words)
    assert found == code
    assert "Traceback" not in said
    with PassBook(state / "gallery.db") as book, AuditLog(state / "audit.db", "ostiary", "front") as audit:
        assert book.passes() == ()
        assert audit.head().seq == 0


def test_no_file_is_overwritten(state: Path, tmp_path: Path) -> None:
    """A picture that is there already stays, and the line says that the pass was issued all the same."""
    picture = tmp_path / "holiday.png"
    picture.write_bytes(b"precious")
    for place in (picture, tmp_path / "missing" / "ada.png"):
        code, said = ostiary(state, "pass", "issue", "Ada", "--png", str(place))
        assert code in {1, 2}
        assert "the pass is issued and shown above" in said.splitlines()[-1]
    assert picture.read_bytes() == b"precious"
