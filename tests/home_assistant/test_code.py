"""The code of Home Assistant: how it is kept, and how often it may be wrong."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from appliance.errors import RefusedError, StorageError
from appliance.home_assistant.code import FREE, MOST, PAUSE_S, CodeFile, Tried

if TYPE_CHECKING:
    from pathlib import Path

CODE = "471193"


@pytest.fixture
def code(tmp_path: Path) -> CodeFile:
    """Give a device whose code is set."""
    file = CodeFile(tmp_path)
    file.set(CODE)
    return file


def enter(code: CodeFile, times: int, start: float = 1000.0) -> list[Tried]:
    """Enter a wrong code so many times, each after a pause."""
    return [code.enter("000001", start + n * PAUSE_S, start + n * PAUSE_S) for n in range(times)]


def test_what_is_kept_is_a_hash_for_the_owner_alone(code: CodeFile, tmp_path: Path) -> None:
    """J3: no file has the code in it, and no other user may read what there is."""
    code.enter(CODE, 1000.0, 1000.0)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["home-assistant.code", "home-assistant.count"]
    assert not any(CODE.encode() in file.read_bytes() for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize("bad", ["", "12345", "1234567890123", "12345x", "123456", "555555", "٤٧١١٩٣"])
def test_what_may_not_be_a_code(tmp_path: Path, bad: str) -> None:
    """E10: 6 to 12 digits, and no run of them; the refusal does not quote it."""
    with pytest.raises(RefusedError) as refusal:
        CodeFile(tmp_path).set(bad)
    assert not bad or bad not in str(refusal.value)
    assert not CodeFile(tmp_path).is_set


def test_no_code_is_never_right(tmp_path: Path) -> None:
    """Before a code is set, and after it was taken away, nothing is right, the empty code too."""
    file = CodeFile(tmp_path)
    assert file.enter("", 1000.0, 1000.0) is Tried.UNSET
    file.set(CODE)
    assert file.enter(CODE, 1000.0, 1000.0) is Tried.RIGHT
    file.remove()
    assert file.enter(CODE, 1001.0, 1001.0) is Tried.UNSET


def test_an_order_counts_once(code: CodeFile, tmp_path: Path) -> None:
    """D5, D12: an order of the same moment, or an earlier one, comes to nothing, after a restart too."""
    assert code.enter(CODE, 1000.0, 1000.0) is Tried.RIGHT
    assert code.enter(CODE, 1000.0, 1001.0) is Tried.REPEATED
    assert CodeFile(tmp_path).enter(CODE, 999.0, 1001.0) is Tried.REPEATED
    assert CodeFile(tmp_path).enter(CODE, 1001.0, 1001.0) is Tried.RIGHT


def test_a_new_code_takes_no_old_order(code: CodeFile) -> None:
    """D5: setting the code anew, to the same digits, does not let an order in a second time."""
    assert code.enter(CODE, 1000.0, 1000.0) is Tried.RIGHT
    code.set(CODE)
    assert code.enter(CODE, 1000.0, 1001.0) is Tried.REPEATED


def test_after_a_few_wrong_ones_each_costs_a_pause(code: CodeFile, tmp_path: Path) -> None:
    """E10, B19: the right code waits too, so that nothing is learned in a pause; a restart does not shorten it."""
    assert [code.enter("000001", 1000.0 + n, 1000.0 + n) for n in range(FREE)] == [Tried.WRONG] * FREE
    at = 1000.0 + FREE - 1
    assert CodeFile(tmp_path).enter(CODE, at + 1, at + PAUSE_S - 0.1) is Tried.WAIT
    assert code.enter(CODE, at + 1, at - 3600) is Tried.WAIT  # a clock that was set back
    assert code.enter(CODE, at + 1, float("nan")) is Tried.WAIT
    assert CodeFile(tmp_path).enter(CODE, at + 1, at + PAUSE_S) is Tried.RIGHT
    assert code.enter("000001", at + 2, at + PAUSE_S + 1) is Tried.WRONG  # counted from nothing again


def test_far_too_many_wrong_ones_lock_until_a_new_code(tmp_path: Path) -> None:
    """E10: after 50 in a row the right code opens nothing, however long one waits, until somebody sets one here."""
    file = CodeFile(tmp_path)
    file.set(CODE)
    enter(file, 1)
    count = tmp_path / "home-assistant.count"
    count.write_text(count.read_text().replace('"wrong": 1', f'"wrong": {MOST - 1}'))  # 49 hashes take their time
    assert enter(file, 2, 10_000.0) == [Tried.WRONG, Tried.LOCKED]
    assert CodeFile(tmp_path).enter(CODE, 1e6, 1e6) is Tried.LOCKED
    file.set(CODE)
    assert file.enter(CODE, 1e6, 1e6) is Tried.RIGHT


def test_a_count_that_was_damaged_locks(code: CodeFile, tmp_path: Path) -> None:
    """F6: a count that cannot be read, or makes no sense, might have been of 50."""
    code.enter(CODE, 1000.0, 1000.0)
    count = tmp_path / "home-assistant.count"
    for content in (b"", b"{", b"[]", b'{"of": "x", "wrong": "0"}', b'{"of": "x", "wrong": 0, "tried_at": null}'):
        count.write_bytes(content)
        assert code.enter(CODE, 2000.0, 2000.0) is Tried.LOCKED


def test_a_try_that_cannot_be_counted_is_none(code: CodeFile, tmp_path: Path) -> None:
    """F3, J8: where the disk takes nothing, not even the right code is taken: else guesses would be free there."""
    (tmp_path / f"home-assistant.count.{os.getpid()}.tmp").mkdir()
    with pytest.raises(StorageError):
        code.enter(CODE, 1000.0, 1000.0)
