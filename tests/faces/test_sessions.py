"""Liveness sessions: who may reach them, and how long they are there."""

from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime

import pytest

from appliance.errors import RefusedError
from appliance.faces.detect import Rectangle
from appliance.faces.life import Life
from appliance.faces.sessions import Attempt, Counterpart, LivenessSessions, Sent, Session, Wish, compared
from appliance.records import Grade
from tests.faces.made import at, facing

HOUR_S = 3600.0
A, B = "key:a", "key:b"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def shown(session: Session) -> Attempt:
    """Return an attempt of this session that has a picture."""
    attempt = Attempt(
        session.begin(),
        "request",
        Sent("/", "POST"),
        datetime.now(UTC),
        Life.REAL,
        "model",
        None,
        1,
        0,
        "",
        1,
        image_id=f"image-of-{session.session_id}",
        image=b"jpeg",
    )
    session.attempts.append(attempt)
    return attempt


def test_everything_is_over_after_48_hours() -> None:
    """J6: two days after a session was made there is no session, no result, no picture and no token."""
    clock = Clock()
    sessions = LivenessSessions(clock=clock)
    ended: list[str] = []
    session, token = sessions.make(A, Wish(token_s=86_400))
    session.on_end.append(lambda: ended.append(session.session_id))
    attempt = shown(session)
    clock.now_s += 48 * HOUR_S - 1
    assert sessions.image(A, attempt.image_id) == b"jpeg"
    assert sessions.get(A, session.session_id, verify=False) is session
    clock.now_s += 1
    for gone in (
        lambda: sessions.get(A, session.session_id, verify=False),
        lambda: sessions.image(A, attempt.image_id),
    ):
        with pytest.raises(RefusedError, match="there is no such session"):
            gone()
    assert sessions.listed(A, verify=False) == []
    assert (sessions.of_token(token), sessions.by_id(session.session_id), ended) == (None, None, [session.session_id])
    assert len(sessions) == 0


def test_a_token_is_for_its_time_and_its_session_alone() -> None:
    """E8: a token that is over, forged, half or of a deleted session is nobody's; 256 bits, kept as their hash."""
    clock = Clock()
    sessions = LivenessSessions(clock=clock)
    one, token = sessions.make(A, Wish(token_s=60))
    other, another = sessions.make(A, Wish(token_s=120))
    assert re.fullmatch(r"osl_[A-Za-z0-9_-]{43}", token)
    assert token not in repr(one)
    assert (sessions.of_token(token), sessions.of_token(another)) == (one, other)
    for forged in ("", "osl_", token[:-1], token + "A", one.session_id, one.token_digest):
        assert sessions.of_token(forged) is None
    clock.now_s += 60
    assert (sessions.of_token(token), sessions.of_token(another)) == (None, other)
    assert (sessions.expired(one), sessions.expired(other)) == (True, False)
    sessions.end(other)
    sessions.end(other)
    assert sessions.of_token(another) is None


def test_sessions_are_their_makers() -> None:
    """E12, J4: another key finds neither session nor picture, in a list or by id; nor is the other kind found."""
    sessions = LivenessSessions()
    mine, _ = sessions.make(A, Wish())
    attempt = shown(mine)
    theirs, _ = sessions.make(B, Wish(verify=True))
    assert sessions.listed(A, verify=False) == [mine]
    assert sessions.listed(B, verify=True) == [theirs]
    assert sessions.listed(A, verify=True) == sessions.listed(B, verify=False) == []
    for owner, found, verify in ((B, mine, False), (A, theirs, True), (A, mine, True)):
        with pytest.raises(RefusedError, match="no such session"):
            sessions.get(owner, found.session_id, verify=verify)
    for owner, image_id in ((B, attempt.image_id), (A, ""), (A, mine.session_id)):
        with pytest.raises(RefusedError, match="no such session image"):
            sessions.image(owner, image_id)


def test_lists_go_on_after_an_id() -> None:
    """A list is in the order of ids, and goes on after the one that is named."""
    sessions = LivenessSessions()
    ids = sorted(sessions.make(A, Wish())[0].session_id for _ in range(5))
    assert [one.session_id for one in sessions.listed(A, verify=False, most=2)] == ids[:2]
    assert [one.session_id for one in sessions.listed(A, verify=False, after=ids[1])] == ids[2:]


def test_one_too_many_ends_the_oldest() -> None:
    """What sessions take is bounded, whoever makes them."""
    sessions = LivenessSessions(most=3)
    made = [sessions.make(A, Wish())[0] for _ in range(5)]
    assert {one.session_id for one in sessions.listed(A, verify=False)} == {one.session_id for one in made[2:]}


def test_attempts_are_counted() -> None:
    """B12: a session has three attempts, one at a time; what was given up is none, ten times."""
    session, _ = LivenessSessions().make(A, Wish())
    session.begin()
    with pytest.raises(RefusedError, match="is going on"):
        session.begin()
    session.give_up()
    assert [shown(session).number for _ in range(3)] == [1, 2, 3]
    session.give_up()
    with pytest.raises(RefusedError, match="had its 3 attempts"):
        session.begin()
    other, _ = LivenessSessions().make(A, Wish())
    for _ in range(10):  # films that cannot be read
        other.begin()
        other.give_up()
    with pytest.raises(RefusedError, match="had its 3 attempts"):
        other.begin()


def test_nobody_is_the_same_who_is_not_alive() -> None:
    """B1, C1: the same face is the same person only alive, and above both the threshold and the wished confidence."""
    other = Counterpart(facing(1.0), Rectangle(1, 2, 3, 4), Grade.HIGH, "ab")
    assert compared(other, at(0.9), 0.5, 0.0, alive=True).same
    assert not compared(other, at(0.9), 0.5, 0.0, alive=False).same
    assert not compared(other, at(0.49), 0.5, 0.0, alive=True).same
    assert not compared(other, at(0.9), 0.5, 0.95, alive=True).same
    assert compared(other, at(0.5), 0.5, 0.0, alive=True).confidence == pytest.approx(0.5)


def test_sessions_are_never_written_down() -> None:
    """J1: sessions cannot be made into bytes, so that none of them comes to a disk."""
    with pytest.raises(TypeError, match="never written down"):
        pickle.dumps(LivenessSessions())
