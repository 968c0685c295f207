"""What Home Assistant asks for: the lock, and answers to tickets. It can sign nothing, so much must be right at once.

Off unless `home_assistant.commands` says otherwise, and then obeyed only with the device's code, over a broker that
keeps strangers out, encrypted or on this machine, in the moment it was said, and once.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance import broker_trust
from appliance.broker_trust import Trust
from appliance.contract import EventType, Reason, Role, Topic, topic
from appliance.envelope import Command
from appliance.errors import ApplianceError, RefusedError
from appliance.home_assistant import CLIENT_ID
from appliance.home_assistant.code import WORDS, Tried
from appliance.records import Actor, ActorKind, Event
from appliance.verbs import Identifier  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.config import Settings
    from appliance.drivers.mqtt import Incoming
    from appliance.home_assistant.code import CodeFile
    from appliance.journal import Journal
    from appliance.usecases import Answer

    Act = Callable[[Command, Answer], None]

_log = logging.getLogger(__name__)

MAX_BYTES = 1024
MAX_AGE_S = 10.0  # an order that waited at the broker, or in a Home Assistant that had lost it, comes to nothing
AHEAD_S = 5.0  # how far its clock may run ahead, as for signed commands
WAITING = 4  # orders whose codes are still to be looked at

_METHOD = "home_assistant"
_REFUSED = {Tried.WRONG: Reason.WRONG_PIN, Tried.WAIT: Reason.TOO_MANY_ATTEMPTS, Tried.LOCKED: Reason.TOO_MANY_ATTEMPTS}


class _Order(BaseModel):
    """What every order carries."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    code: Annotated[str, Field(max_length=64, repr=False)]
    at: float  # Unix seconds


class LockOrder(_Order):
    """`ha/lock`."""

    command: Literal["LOCK", "UNLOCK", "OPEN"]


class AnswerOrder(_Order):
    """`ha/answer`."""

    ticket_id: Identifier
    answer: Literal["approve", "deny"]


class Line(Protocol):
    """The reader's connection to the broker."""

    @property
    def trust(self) -> Trust:
        """What is known of how the broker keeps strangers out."""

    def listen(self, topic: str, hear: Callable[[Incoming], None]) -> None:
        """Have `hear` called in the loop's thread with every message of this topic."""

    def publish_at(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Send to a full topic."""


@dataclass(frozen=True, slots=True)
class _Looking:
    """An order whose code is being looked at."""

    order: LockOrder | AnswerOrder
    tried: Future[Tried]


class Orders:
    """Takes orders in the loop's thread, and looks at their codes in another: that takes its time.

    `act` carries a command out as for any client, and raises RefusedError.
    """

    def __init__(
        self,
        settings: Settings,
        code: CodeFile,
        line: Line,
        *,
        act: Act,
        journal: Journal,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._code = code
        self._line = line
        self._act = act
        self._journal = journal
        self._now = now
        self._looking: deque[_Looking] = deque()
        self._said = ""  # why the last order was not even looked at
        self._told = Tried.RIGHT  # a row of refusals of one kind is written down once
        self._beside = ThreadPoolExecutor(1, "ha-code")
        self._models: dict[str, type[LockOrder | AnswerOrder]] = {
            topic(settings.device.id, Topic.HA_LOCK): LockOrder,
            topic(settings.device.id, Topic.HA_ANSWER): AnswerOrder,
        }
        for one in self._models:
            line.listen(one, self._hear)

    @property
    def busy(self) -> bool:
        """Whether a code is being looked at, or an order waits to be carried out."""
        return bool(self._looking)

    def tend(self) -> None:
        """Carry out the orders whose codes have been found right, in the order in which they came."""
        while self._looking and self._looking[0].tried.done():
            looked = self._looking.popleft()
            try:
                self._judge(looked.order, looked.tried.result())
            except ApplianceError as fault:
                _log.error("an order of Home Assistant could not be carried out: %s", fault)

    def close(self) -> None:
        """Take no more orders; one whose code is being looked at comes to nothing."""
        self._beside.shutdown(cancel_futures=True)

    def _hear(self, incoming: Incoming) -> None:
        order = self._read(incoming)
        why = order if isinstance(order, str) else self._untimely(order) or unheard(self._settings, self._line.trust)
        if not why and len(self._looking) >= WAITING:
            why = "too many at once"
        if why or isinstance(order, str):
            if why != self._said:  # a flood of one kind is one line
                _log.warning("an order of Home Assistant on %s is not obeyed: %s", incoming.topic, why)
            self._said = why
            return
        self._said = ""
        tried = self._beside.submit(self._code.enter, order.code, order.at, self._now())
        self._looking.append(_Looking(order, tried))

    def _read(self, incoming: Incoming) -> LockOrder | AnswerOrder | str:
        """Return the order, or why it is none; what it holds is not quoted, for it may be the code."""
        if incoming.retained:
            self._line.publish_at(incoming.topic, b"", retained=True)
            return "the broker had kept it"
        if len(incoming.payload) > MAX_BYTES:
            return f"it has {len(incoming.payload)} bytes; at most {MAX_BYTES} are read"
        try:
            return self._models[incoming.topic].model_validate_json(incoming.payload)
        except ValidationError as fault:
            first = fault.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part)[:40] for part in first["loc"]) or "the payload"
            return f"{name!r}: {first['type']}"

    def _untimely(self, order: LockOrder | AnswerOrder) -> str:
        age_s = self._now() - order.at
        if -AHEAD_S <= age_s <= MAX_AGE_S:
            return ""
        return f"it was made {age_s:.0f} s ago; {-AHEAD_S:g} to {MAX_AGE_S:g} s are believed, by both clocks"

    def _judge(self, order: LockOrder | AnswerOrder, tried: Tried) -> None:
        verb, args = _verb(order, self._settings.home_assistant.hold_s)
        if tried is not Tried.RIGHT:
            self._note(tried, verb)
            return
        self._told = tried
        command = Command(CLIENT_ID, Role.OPERATOR, verb, args, request_id=_METHOD)
        try:
            self._act(command, _nobody)
        except RefusedError as refusal:
            _log.info("an order of Home Assistant (%s) was refused: %s", verb, refusal)

    def _note(self, tried: Tried, verb: str) -> None:
        """Write down each wrong code, and of a row of other refusals of one kind the first."""
        if tried is self._told and tried is not Tried.WRONG:
            return
        self._told = tried
        _log.warning("an order of Home Assistant (%s) is not obeyed: %s", verb, WORDS[tried])
        if tried in _REFUSED:
            actor = Actor(ActorKind.CLIENT, CLIENT_ID)
            detail = f"an order ({verb}): {WORDS[tried]}"
            event = Event(EventType.ACCESS_DENIED, datetime.now(UTC), actor, _METHOD, _REFUSED[tried], detail=detail)
            self._journal.append(event)


def _verb(order: LockOrder | AnswerOrder, hold_s: int) -> tuple[str, dict[str, Any]]:
    """Return what an operator would say, and its args."""
    if isinstance(order, AnswerOrder):
        return order.answer, {"ticket_id": order.ticket_id}
    return order.command.lower(), {} if order.command == "OPEN" else {"for_s": hold_s}


def unheard(settings: Settings, trust: Trust) -> str:
    """Return why no order would be obeyed now, whatever its code; "" where one would.

    A broker is only good where the way to it is encrypted, or does not leave this machine.
    """
    if not settings.home_assistant.commands:
        return "home_assistant.commands is false"
    if trust is not Trust.GOOD:
        return f"the broker {broker_trust.WORDS[trust]}"
    return ""


def _nobody(result: Mapping[str, Any] | None = None, error: str = "", *, done: bool = True) -> None:
    """Answer nobody: what becomes of an order shows in the door's state and in its events."""
