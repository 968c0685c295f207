"""What is shown at the door: out of the door's state, of who stands there, and of what became of them."""

from __future__ import annotations

import json
import socket
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance.config import Settings
from appliance.contract import Alarm, EventType, Hint, LockState, Mode, Phase, Reason
from appliance.door.link import ControllerLink
from appliance.doorway import Doorway
from appliance.enrolment.requests import read_request
from appliance.errors import RefusedError
from appliance.local_socket import MAX_BYTES, Caller
from appliance.pipeline import Step
from appliance.preview import Mirror
from appliance.records import Candidate, Deny, DoorState, Refer, Wait
from appliance.watch import BEAT_S, Shown, State, WatchDesk
from tests.stand import ADA, POINT, Stand, presentation, standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.records import Decision

SHUT = DoorState(LockState.LOCKED, None, "")
FIRE = replace(SHUT, mode=Mode.EMERGENCY, phase=Phase.RELEASED, lock=LockState.UNLOCKED, alarms=frozenset({Alarm.FIRE}))
LOCKED_DOWN = replace(SHUT, mode=Mode.EMERGENCY, phase=Phase.LOCKDOWN, by="client:guard")


class Watched:
    """A desk over a real reception; the door is in whatever state the test says."""

    def __init__(self, stand: Stand, folder: Path) -> None:
        self.stand = stand
        self.door = Doorway(ControllerLink(folder / "nobody.sock"), stand.journal, lambda *_a, **_k: None, "front")
        self.door.state = SHUT
        self.fault = ""
        self.enrolling = False
        self.desk = WatchDesk(
            stand.settings,
            stand.reception,
            self.door,
            stand.journal,
            Mirror(),
            fault=lambda: self.fault,
            enrolling=lambda: self.enrolling,
            name_of=lambda person_id: f"name of {person_id}",
            clock=lambda: stand.now_s,
        )
        stand.journal._listeners += (self.desk.hear,)

    def see(self, decision: Decision | Wait, name: str = "v1") -> Shown:
        """Show one frame that came to this; return what is shown then."""
        self.stand.now_s += 0.1
        visit = presentation(name, ADA, self.stand.now_s)
        found = (Candidate(self.stand.ids["ada"], "r1", 0.6), Candidate(self.stand.ids["bea"], "r2", 0.1))
        step = Step((visit.latest.detection,), visit, found, decision)
        self.stand.reception.see(step, POINT)
        self.desk.see(step)
        return self.desk.shown()

    def nobody(self) -> Shown:
        """Show an empty frame, more than a second later."""
        self.stand.now_s += 1.1
        step = Step((), None, (), Wait())
        self.stand.reception.see(step, POINT)
        self.desk.see(step)
        return self.desk.shown()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the one answer to a request."""
        with self.asking(request) as ours:
            told: dict[str, Any] = json.loads(ours.recv(MAX_BYTES))
            return told

    @contextmanager
    def asking(self, request: dict[str, Any]) -> Iterator[socket.socket]:
        """Ask for something, and give the end at which the answers come."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asked, caller = read_request(request), Caller(theirs)
        with ours:
            ours.settimeout(0.2)
            try:
                self.desk.others[type(asked)](caller, asked)
                yield ours
            finally:
                caller.end()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Give a desk with real files, at a door that greets by name."""
    settings = Settings.model_validate({"kiosk": {"greet": True}})
    with standing(tmp_path, settings) as stand:
        yield Watched(stand, tmp_path)


@pytest.mark.parametrize(
    ("door", "state"),
    [
        (SHUT, State.IDLE),
        (None, State.OUT_OF_SERVICE),
        (FIRE, State.EVACUATION),
        (replace(FIRE, phase=Phase.SECURE), State.EVACUATION),  # a fire-rated door that stays locked
        (LOCKED_DOWN, State.LOCKDOWN),
        (replace(LOCKED_DOWN, lock=LockState.UNLOCKED, phase=Phase.UNLOCKED), State.LOCKDOWN),  # somebody goes out
        (replace(SHUT, lock=LockState.UNLOCKED, phase=Phase.UNLOCKED), State.IDLE),  # the exit button inside
        (replace(SHUT, lock=LockState.UNLOCKED, phase=Phase.UNLOCKED, by="operator:web:guard"), State.WELCOME),
        (replace(SHUT, lock=LockState.UNLOCKED, phase=Phase.UNLOCKED, mode=Mode.SCHEDULED), State.WELCOME),
        (replace(SHUT, lock=LockState.OPEN, phase=Phase.HELD_OPEN, contact=True), State.CLOSE_DOOR),
    ],
)
def test_the_door_comes_first(watched: Watched, door: DoorState | None, state: State) -> None:
    """G7, G12: fire beats all, a lockdown all but fire; nobody outside is told that somebody inside is going out."""
    watched.door.state = door
    assert watched.desk.shown().state is state
    assert watched.see(Wait(Hint.TOO_FAR)).state is (State.READING if state is State.IDLE else state)


def test_a_camera_that_sees_nothing_is_out_of_service(watched: Watched) -> None:
    """A1: while the camera is away nobody is asked to look into it."""
    watched.fault = "camera gave no frame for 2.0 s"
    assert watched.desk.shown().state is State.OUT_OF_SERVICE


def test_a_visit_from_first_sight_to_welcome(watched: Watched) -> None:
    """B13: progress and place of the face are told, and a name only once the door was opened."""
    assert watched.desk.shown() == Shown(State.IDLE)
    reading = watched.see(Wait(Hint.TOO_FAR))
    assert (reading.state, reading.hint, reading.name) == (State.READING, Hint.TOO_FAR, "")
    assert 0 < reading.progress < 1
    assert reading.face == (0.25, 0.35, 0.2)
    welcome = watched.see(watched.stand.grant("ada"))
    assert (welcome.state, welcome.name) == (State.WELCOME, f"name of {watched.stand.ids['ada']}")
    watched.door.state = replace(SHUT, lock=LockState.UNLOCKED, phase=Phase.UNLOCKED, by="v1")
    assert watched.see(Wait()).state is State.WELCOME
    watched.door.state = SHUT
    assert watched.nobody() == Shown(State.IDLE)


def test_no_name_where_none_is_wanted(tmp_path: Path) -> None:
    """B13: where kiosk.greet is false, as it is at first, nobody is called by a name at the door."""
    with standing(tmp_path) as stand:
        watched = Watched(stand, tmp_path)
        welcome = watched.see(stand.grant("ada"))
        assert (welcome.state, welcome.name) == (State.WELCOME, "")


def test_a_refusal_lasts_as_long_as_the_visit(watched: Watched) -> None:
    """Whoever was refused is told so until they go, and whoever comes next is not."""
    assert watched.see(Deny(Reason.LIVENESS_FAILED)).state is State.REFUSED
    assert watched.see(Wait()).state is State.REFUSED
    assert watched.nobody().state is State.IDLE
    assert watched.see(Wait(Hint.HOLD_STILL), "v2").state is State.READING


def test_who_tried_too_often_is_told_to_wait(watched: Watched) -> None:
    """B13: a face that has failed too often is told to wait, not how often it may still try."""
    for count in range(5):
        watched.see(Deny(Reason.LIVENESS_FAILED), f"v{count}")
        watched.nobody()
    assert watched.see(watched.stand.grant("ada"), "v9").state is State.PAUSED
    assert watched.stand.door.pulses == []


def test_an_attendant_is_asked_and_speaks(watched: Watched) -> None:
    """While a human is asked the visitor is told so, and sees what the human writes."""
    assert watched.see(Refer(Reason.UNKNOWN_FACE)).state is State.ASKING
    watched.stand.reception.say(watched.stand.asked[-1].ticket_id, "guard", "I am coming")
    shown = watched.see(Wait())
    assert (shown.state, shown.hint, shown.said) == (State.ASKING, Hint.ASKING, "I am coming")


def test_changes_alone_are_told(watched: Watched) -> None:
    """Whoever watches hears each change once, nothing while nothing changes, and within a second that we live."""
    with watched.asking({"verb": "watch"}) as ours:
        for _ in range(5):
            watched.desk.tend()
        assert json.loads(ours.recv(MAX_BYTES))["state"] == "idle"
        watched.see(Wait(Hint.TOO_FAR))
        for _ in range(5):
            watched.desk.tend()
        assert json.loads(ours.recv(MAX_BYTES))["state"] == "reading"
        with pytest.raises(TimeoutError):
            ours.recv(MAX_BYTES)
        time.sleep(BEAT_S - 0.2)
        watched.desk.tend()
        assert json.loads(ours.recv(MAX_BYTES))["state"] == "reading"


def test_the_bell_rings_once_in_a_while(watched: Watched) -> None:
    """E6: a press is one event of the door's own, in no visitor's name; the next one counts after three seconds."""
    assert watched.ask({"verb": "bell"}) == {"rang": True}
    with pytest.raises(RefusedError, match="has just rung"):
        watched.ask({"verb": "bell"})
    assert [(one.event_type, one.method, one.presentation_id) for one in watched.stand.events] == [
        (EventType.BELL, "kiosk", "")
    ]


@pytest.mark.parametrize("text", ["", "123", "1" * 13, "12 4", "٣٤٥٦", "1234\n"])
def test_what_is_no_pin_is_no_request(text: str) -> None:
    """E1: what cannot be a PIN is refused before anybody looks at it, and not quoted."""
    with pytest.raises(RefusedError) as refusal:
        read_request({"verb": "pin", "text": text})
    assert not text or text not in str(refusal.value)


def test_a_pin_is_in_no_repr() -> None:
    """G11: a PIN on its way through the reader shows in no log line by accident."""
    assert "2580" not in repr(read_request({"verb": "pin", "text": "2580"}))


# More time.


def test_more_time_is_of_the_next_grant_of_the_visit(watched: Watched) -> None:
    """Whoever asks for more time gets it with their own grant; the request itself opens nothing, and ends with it."""
    assert watched.ask({"verb": "more_time"}) == {"noted": False}
    watched.see(Wait(Hint.HOLD_STILL))
    assert watched.ask({"verb": "more_time"}) == {"noted": True}
    assert watched.desk.shown().unhurried
    assert watched.stand.door.pulses == []
    watched.see(watched.stand.grant("ada"))
    watched.nobody()
    watched.stand.now_s += 60
    watched.see(watched.stand.grant("ada"), "v2")
    assert [(pulse.for_s, pulse.extended) for pulse in watched.stand.door.pulses] == [(15.0, True), (5.0, False)]


def test_more_time_after_the_grant_comes_once_and_in_time(watched: Watched) -> None:
    """A door that is unlocked for this very visit stays so for longer, once; the request is void when it has locked."""
    watched.see(watched.stand.grant("ada"))
    until_s = time.monotonic() + 4.0
    watched.door.state = replace(SHUT, lock=LockState.UNLOCKED, phase=Phase.UNLOCKED, until_s=until_s, by="v1")
    for _ in range(3):
        assert watched.ask({"verb": "more_time"}) == {"noted": True}
    longer = watched.stand.door.pulses[1:]
    assert [(one.presentation_id, one.deadline_s, one.extended, one.bypass) for one in longer] == [
        ("v1", until_s, True, False)
    ]
    assert 13.0 < longer[0].for_s <= 14.0


@pytest.mark.parametrize(
    "door",
    [
        SHUT,
        None,
        replace(SHUT, lock=LockState.UNLOCKED, until_s=1e12, by="operator:guard", mode=Mode.OPERATOR),
        replace(SHUT, lock=LockState.UNLOCKED, until_s=1e12),  # the exit button
        replace(LOCKED_DOWN, lock=LockState.UNLOCKED, until_s=1e12),
        replace(SHUT, lock=LockState.UNLOCKED, until_s=1e12, by="v0"),  # somebody else's
    ],
)
def test_more_time_never_opens(watched: Watched, door: DoorState | None) -> None:
    """G5: where the door is not unlocked for this visit, more time asks the lock for nothing."""
    watched.see(watched.stand.grant("ada"))
    watched.door.state = door
    assert watched.ask({"verb": "more_time"}) == {"noted": True}
    assert len(watched.stand.door.pulses) == 1


def test_more_time_that_is_refused_is_no_fault(watched: Watched) -> None:
    """Where the controller refuses, the door locks as it would have."""
    watched.see(watched.stand.grant("ada"))
    watched.door.state = replace(SHUT, lock=LockState.UNLOCKED, until_s=time.monotonic() + 1, by="v1")
    watched.stand.door.refuses = True
    assert watched.ask({"verb": "more_time"}) == {"noted": True}
