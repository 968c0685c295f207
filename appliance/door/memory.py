"""What the controller remembers of what it said: answers given, and events that the reader has not written down."""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from itertools import islice
from typing import TYPE_CHECKING

from appliance.door.lock import Cause
from appliance.door.protocol import Happened, as_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.door.lock import Refusal
    from appliance.records import DoorEvent, DoorState

_ANSWERS = 1024
_EVENTS = 4096
WINDOW = 64  # events that may be on their way to the reader: its socket holds about 160


class Answers:
    """A request that is repeated gets its answer again, and is not acted on."""

    def __init__(self) -> None:
        self._given: OrderedDict[str, Refusal | None] = OrderedDict()

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._given

    def __getitem__(self, request_id: str) -> Refusal | None:
        return self._given[request_id]

    def remember(self, request_id: str, refusal: Refusal | None) -> None:
        """Keep the answer, and forget the oldest."""
        self._given[request_id] = refusal
        if len(self._given) > _ANSWERS:
            self._given.popitem(last=False)


class Untold:
    """Events that no reader has written down yet: told again to the next one. The oldest of over 4,096 are lost."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        self._seq = 0
        self._waiting: deque[Happened] = deque(maxlen=_EVENTS)

    def after(self, seq: int) -> Iterator[Happened]:
        """Yield what may be told next to a reader that was told up to `seq`: at most 64 are not written yet."""
        oldest = self._waiting[0].seq if self._waiting else 0
        told = max(0, seq + 1 - oldest)
        return islice(tuple(self._waiting), told, WINDOW)

    def add(self, event: DoorEvent, state: DoorState) -> Happened:
        """Return the event with its number, kept until `written`."""
        self._seq += 1
        happened = Happened.model_construct(
            run=self.run,
            seq=self._seq,
            event_type=event.event_type,
            cause=Cause(event.cause),
            by=event.by,
            at_s=event.at_s,
            state=as_state(state),
        )
        self._waiting.append(happened)
        return happened

    def written(self, run: str, seq: int) -> None:
        """Forget what the reader has written down: up to `seq` of this `run`."""
        while run == self.run and self._waiting and self._waiting[0].seq <= seq:
            self._waiting.popleft()
