"""The PIN: what may be one, what an entered one is, and that neither time nor message tells anything of it."""

from __future__ import annotations

import threading
from typing import Literal

import argon2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.pin import PinWord, checked_pin, hash_pin, outdated, verify
from appliance.errors import RefusedError

QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
RIGHT, DURESS = QUICK.hash("482913"), QUICK.hash("590274")


class CountingHasher(argon2.PasswordHasher):
    """The quick hasher, which keeps the cost of every hash that it makes."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.made: list[argon2.Parameters] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - its name in argon2
        """Verify, and note what it cost."""
        self.made.append(argon2.extract_parameters(str(hash)))
        return super().verify(hash, password)


@pytest.mark.parametrize("text", ["4829", "1122", "1235", "482913", "123412341234", "0010"])
def test_ordinary_pins_are_taken(text: str) -> None:
    """Four to twelve digits, leading zeros too, are a PIN as they stand."""
    assert checked_pin(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "482",
        "4829130000000",
        "48 29",
        "482a",
        "-4829",
        "\u0664\u0668\u0662\u0669",
        "4829\n",
        "\u00b2\u00b2\u00b3\u00b9",
        "4" * 10**6,
    ],
)
def test_what_is_no_number_is_refused_without_being_quoted(text: str) -> None:
    """Too short, too long, other signs, digits of other scripts: one line, and the entry is not in it."""
    with pytest.raises(RefusedError) as refused:
        checked_pin(text)
    assert str(refused.value) == "this PIN is not 4 to 12 digits"


@pytest.mark.parametrize("text", ["0000", "777777", "1234", "4321", "0123456789", "7890", "0987", "987654321098"])
def test_pins_that_others_try_first_are_refused(text: str) -> None:
    """One digit repeated, and runs up or down, over nine and zero too, are no PIN."""
    with pytest.raises(RefusedError, match="others try those first"):
        checked_pin(text)


def test_a_pin_is_hashed_with_argon2id_and_salt() -> None:
    """What is kept is an argon2id hash at the documented cost, another one each time, and the PIN is not in it."""
    one, other = hash_pin("482913"), hash_pin("482913")
    assert one != other
    assert "482913" not in one
    found = argon2.extract_parameters(one)
    assert (found.type, found.memory_cost, found.time_cost) == (argon2.Type.ID, 19 * 1024, 2)
    assert [verify("482913", stored, "") for stored in (one, other)] == [PinWord.RIGHT, PinWord.RIGHT]


def test_no_hash_is_made_of_what_is_no_pin() -> None:
    """Whoever calls it, what may not be a PIN never gets a hash."""
    with pytest.raises(RefusedError):
        hash_pin("1234")


def test_each_pin_is_told_from_the_other() -> None:
    """G11: the PIN is right, the duress PIN is duress, and whatever is near them is wrong."""
    words = {"482913": PinWord.RIGHT, "590274": PinWord.DURESS}
    near = ["482914", "48291", "4829130", "590275", "0482913", "482913 ", "", "\0", "482913\0", "482913590274"]
    assert {text: verify(text, RIGHT, DURESS, QUICK) for text in [*words, *near]} == words | dict.fromkeys(
        near, PinWord.WRONG
    )


@pytest.mark.parametrize("pin_hash", [RIGHT, ""])
@pytest.mark.parametrize("duress_hash", [DURESS, ""])
@pytest.mark.parametrize("entered", ["482913", "590274", "111122", "", "482913" * 10**5, "\ud800"])
def test_the_work_is_the_same_for_everybody(pin_hash: str, duress_hash: str, entered: str) -> None:
    """E10: two hashes of one cost, whether the PIN is right, wrong, under duress, or there is none to be right.

    So the time tells neither who has a PIN, nor who has two, nor which one was entered.
    """
    hasher = CountingHasher()
    word = verify(entered, pin_hash, duress_hash, hasher)
    assert (word is PinWord.WRONG) == ((entered, bool(pin_hash)) != ("482913", True)) or word is PinWord.DURESS
    assert len(hasher.made) == 2
    assert {(one.type, one.memory_cost, one.time_cost, one.hash_len, one.salt_len) for one in hasher.made} == {
        (argon2.Type.ID, 8, 1, 32, 16)
    }


def test_what_nobody_has_costs_what_everybody_pays() -> None:
    """E10: nobody's hash has the very parameters of a new one."""
    hasher = CountingHasher()
    assert verify("482913", "", "", hasher) is PinWord.WRONG
    assert hasher.made == [argon2.extract_parameters(hasher.hash("482913"))] * 2


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_a_hash_that_is_none_fits_nothing(stored: str) -> None:
    """C5: a damaged hash, whatever stands in its place, is a wrong PIN and no fault."""
    assert verify("482913", stored, stored, QUICK) is PinWord.WRONG


@pytest.mark.parametrize("cut", range(0, 90, 7))
def test_a_torn_hash_fits_nothing(cut: int) -> None:
    """C5: a hash that lost its end, or any one letter, does not let the PIN in."""
    assert verify("482913", RIGHT[:cut] or "$", "", QUICK) is PinWord.WRONG
    assert verify("482913", RIGHT[:cut] + "?" + RIGHT[cut + 1 :], "", QUICK) is PinWord.WRONG


def test_a_hash_of_yesterday_is_known_as_such() -> None:
    """A hash with other parameters still fits its PIN and is due to be made anew; today's and none are not."""
    assert verify("482913", RIGHT, "") is PinWord.RIGHT
    assert outdated(RIGHT)
    assert not outdated(hash_pin("482913"))
    assert not outdated("")


def test_one_pin_is_checked_at_a_time() -> None:
    """E10: however many ask at once, at most one hash is being made: its memory is taken once."""
    at_work, most = 0, 0
    counting = threading.Lock()

    class Watched(argon2.PasswordHasher):
        """Notes how many are inside at once."""

        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - its name in argon2
            nonlocal at_work, most
            with counting:
                at_work += 1
                most = max(most, at_work)
            try:
                return super().verify(hash, password)
            finally:
                with counting:
                    at_work -= 1

    hasher = Watched(time_cost=2, memory_cost=1024, parallelism=1)
    threads = [threading.Thread(target=verify, args=("482913", "", "", hasher)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1
