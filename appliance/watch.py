"""What is shown at the door: every change of it to whoever watches on this device, and what visitors ask for there.

Never a score, and never a name before a grant. One packet a frame at most, none where nothing has changed.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.contract import Alarm, EventType, Hint, LockState, Mode, Phase, Reason
from appliance.door.machine import RINGS_EVERY_S
from appliance.enrolment.requests import MoreTime, Preview, Ring, TypePin, Watch
from appliance.errors import DoorError, RefusedError, StorageError
from appliance.records import Actor, ActorKind, DoorState, Event, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.config import Settings
    from appliance.doorway import Doorway
    from appliance.enrolment.at_the_door import Others
    from appliance.journal import Journal
    from appliance.local_socket import Caller
    from appliance.pipeline import Step
    from appliance.preview import Mirror
    from appliance.reception import Reception
    from appliance.records import AuditEvent, Presentation

_log = logging.getLogger(__name__)

BEAT_S = 1.0  # so often whoever watches hears that the reader lives
_STEPS = 20  # of the progress, and of a frame's width: what changes less is not told
_READ, _ALMOST = 0.7, 0.95  # progress once there is enough evidence, and at the end of the reading time
_GONE_S = 1.0  # after so long without a face a refusal is told to nobody any more


class State(StrEnum):
    """What the door's screen is about; the closed list, the most urgent first."""

    EVACUATION = "evacuation"
    WELCOME = "welcome"
    LOCKDOWN = "lockdown"
    OUT_OF_SERVICE = "out_of_service"
    CLOSE_DOOR = "close_door"
    ENROLLING = "enrolling"
    FACTOR = "factor"
    ASKING = "asking"
    READING = "reading"
    COMPANION = "companion"
    PAUSED = "paused"
    REFUSED = "refused"
    IDLE = "idle"


# What a hint makes of a visit; any other is about how somebody is read.
_OF_HINT = {
    Hint.SECOND_FACTOR: State.FACTOR,
    Hint.USE_PIN: State.REFUSED,
    Hint.ASKING: State.ASKING,
    Hint.SHOW_AGAIN: State.ASKING,
    Hint.RING: State.REFUSED,
    Hint.NEXT_PERSON: State.COMPANION,
    Hint.WELCOME: State.WELCOME,
}
_STANDING_OPEN = frozenset({Phase.OPEN_WARNING, Phase.HELD_OPEN})


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be shown now."""

    state: State
    hint: Hint | None = None
    said: str = ""  # by an attendant, to the visitor before the camera
    progress: float = 0.0  # 0..1, of reading
    face: tuple[float, float, float] | None = None  # middle and width, in parts of the frame's width and height
    name: str = ""  # of who was let in; "" before, and where `kiosk.greet` is false
    unhurried: bool = False  # this visitor has asked for more time


@dataclass(slots=True)
class _Sight:
    """The visit that was seen last."""

    visit: Presentation | None = None
    seen_s: float = -math.inf
    progress: float = 0.0
    outcome: State | None = None  # what it came to, for as long as it lasts
    granted: str = ""  # the person, by id
    name: str | None = None  # of that person; None until it is looked up


@dataclass(slots=True)
class _Watcher:
    caller: Caller
    told: Shown | None = None
    told_s: float = field(default=-math.inf)


class WatchDesk:
    """Belongs to the loop's thread, and never waits. `clock` is the frames' own.

    `fault` says in words what is wrong with the camera, "" for nothing; `enrolling` whether somebody is being
    enrolled; `name_of` is the name of a person's id, "" for nobody's.
    """

    def __init__(
        self,
        settings: Settings,
        reception: Reception,
        doorway: Doorway,
        journal: Journal,
        mirror: Mirror,
        *,
        fault: Callable[[], str],
        enrolling: Callable[[], bool],
        name_of: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._reception = reception
        self._doorway = doorway
        self._journal = journal
        self._fault = fault
        self._enrolling = enrolling
        self._name_of = name_of
        self._clock = clock
        self._watchers: list[_Watcher] = []
        self._sight = _Sight()
        self._rang_s = -math.inf
        self.others: Others = {
            Watch: lambda caller, _asked: self._watchers.append(_Watcher(caller)),
            Preview: mirror.begin,
            TypePin: self._pin,
            Ring: self._ring,
            MoreTime: self._more_time,
        }

    def see(self, step: Step) -> None:
        """Take in what one frame came to, after whoever decides has."""
        visit, sight = step.presentation, self._sight
        now_s = self._clock()
        if visit is not None:
            sight.visit, sight.seen_s = visit, now_s
            sight.progress = self._progress(visit) if isinstance(step.decision, Wait) else 1.0
            hint = self._reception.hint
            if hint is not None:  # whoever is told something is not at the end yet, but for a companion's turn
                sight.outcome = State.COMPANION if hint is Hint.NEXT_PERSON else None
        elif not now_s - sight.seen_s < _GONE_S:
            self._sight = _Sight()

    def hear(self, event: AuditEvent) -> None:
        """Take in what was written down of a visit."""
        happened, sight = event.event, self._sight
        if not happened.presentation_id:
            return
        if happened.event_type is EventType.ACCESS_DENIED:
            paused = happened.reason is Reason.TOO_MANY_ATTEMPTS
            sight.outcome = State.PAUSED if paused else State.REFUSED
        elif happened.event_type is EventType.ACCESS_GRANTED and happened.actor is not None:
            sight.granted = happened.actor.id if happened.actor.kind is ActorKind.PERSON else ""
            sight.name = None

    def tend(self) -> None:
        """Tell whoever watches what has changed, or that we live."""
        self._watchers = [one for one in self._watchers if not one.caller.gone]
        if not self._watchers:
            return
        shown, now_s = self.shown(), time.monotonic()
        packet = asdict(shown)
        for one in self._watchers:
            if shown != one.told or now_s >= one.told_s + BEAT_S:
                one.caller.say(packet)
                one.told, one.told_s = shown, now_s

    def shown(self) -> Shown:
        """Return what is to be shown now."""
        here = self._clock() - self._sight.seen_s < _GONE_S
        visit = self._sight.visit if here else None
        hint = self._reception.hint
        state = self._of_door(hint) or (State.IDLE if visit is None else self._of_visit(hint))
        return Shown(
            state,
            hint if state in {State.READING, State.ASKING, State.ENROLLING, State.REFUSED} else None,
            self._reception.said,
            self._sight.progress if state is State.READING else 0.0,
            None if visit is None else _place(visit),
            self._greeting() if state is State.WELCOME else "",
            visit is not None and self._reception.unhurried,
        )

    def _of_door(self, hint: Hint | None) -> State | None:
        """Return what the door itself has to say, whoever stands there; None for nothing."""
        door = self._doorway.state
        if door is not None and Alarm.FIRE in door.alarms:
            return State.EVACUATION
        if hint is Hint.WELCOME or (door is not None and self._invites(door)):
            return State.WELCOME
        if door is not None and self._doorway.lockdown:
            return State.LOCKDOWN
        if door is None or self._fault():
            return State.OUT_OF_SERVICE
        if door.phase in _STANDING_OPEN:
            return State.CLOSE_DOOR
        return State.ENROLLING if self._enrolling() else None

    def _invites(self, door: DoorState) -> bool:
        """Tell whether the door is open to whoever stands outside; not where somebody inside goes out."""
        if door.lock not in {LockState.UNLOCKED, LockState.OPEN} or door.phase in _STANDING_OPEN:
            return False
        if self._doorway.lockdown:
            return self._reception.let_in
        return bool(door.by) or door.mode in {Mode.SCHEDULED, Mode.OPERATOR}

    def _of_visit(self, hint: Hint | None) -> State:
        if self._sight.outcome is not None and hint in {None, Hint.RING, Hint.USE_PIN, Hint.NEXT_PERSON}:
            return self._sight.outcome
        return State.IDLE if hint is None else _OF_HINT.get(hint, State.READING)

    def _greeting(self) -> str:
        sight = self._sight
        if not (self._settings.kiosk.greet and sight.granted and self._reception.let_in):
            return ""
        if sight.name is None:  # looked up once a visit; a gallery that cannot be read costs the name and no more
            sight.name = ""
            with contextlib.suppress(StorageError):
                sight.name = self._name_of(sight.granted)
        return sight.name

    def _progress(self, visit: Presentation) -> float:
        recognition = self._settings.recognition
        evidence = visit.frames_read / recognition.min_frames
        if recognition.intent_s > 0:
            evidence = min(evidence, visit.read_span_s / recognition.intent_s)
        over = visit.read_for_s / recognition.reading_s
        part = _READ * min(1.0, evidence) + (_ALMOST - _READ) * min(1.0, over)
        return round(part * _STEPS) / _STEPS

    def _pin(self, caller: Caller, asked: TypePin) -> None:
        caller.say({"refused": self._reception.enter_pin(asked.text)})
        caller.end()

    def _ring(self, caller: Caller, _asked: Ring) -> None:
        now_s = time.monotonic()
        if now_s < self._rang_s + RINGS_EVERY_S:
            raise RefusedError("the bell has just rung")
        actor = Actor(ActorKind.DEVICE, self._settings.device.id)
        self._journal.append(Event(EventType.BELL, datetime.now(UTC), actor, method="kiosk"))
        self._rang_s = now_s
        caller.say({"rang": True})
        caller.end()

    def _more_time(self, caller: Caller, _asked: MoreTime) -> None:
        try:
            there = self._reception.more_time(self._doorway.state)
        except DoorError:  # it has just locked; whoever is there has asked all the same
            there = True
        caller.say({"noted": there})
        caller.end()


def _place(visit: Presentation) -> tuple[float, float, float]:
    """Return where the face is: its middle from the left and from the top, and its width, in parts of the frame."""
    height, width = visit.latest.frame.pixels.shape[:2]
    left, top, right, bottom = map(float, visit.latest.detection.box)
    parts = ((left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width)
    across, down, wide = (round(part * _STEPS) / _STEPS for part in parts)
    return across, down, wide
