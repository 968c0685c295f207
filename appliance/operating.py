"""What people do to a door from elsewhere: open, unlock, lock, release, lock down. The same for CLI, MQTT and web."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.contract import EventType, Reason
from appliance.door.lock import MAX_FIRE_TEST_S, MAX_HOLD_S, MAX_UNLOCKED_S, MIN_HOLD_S, MIN_PULSE_S, Hold
from appliance.doorway import operator
from appliance.errors import DoorRefusedError, RefusedError, StorageError
from appliance.records import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.door.link import ControllerLink
    from appliance.door.protocol import Ruling
    from appliance.journal import Journal
    from appliance.records import Actor, DoorState

FIRE_TEST_S = 5.0


class DoorVerbs:
    """Carries out one verb for one actor; returns the door's state after it.

    Each raises RefusedError, in words, where the door is ruled by something higher or a time is out of range,
    DoorError where no controller answers, and StorageError where what lets somebody in cannot be written down first.
    """

    def __init__(self, link: ControllerLink, journal: Journal) -> None:
        self._link = link
        self._journal = journal

    def open(self, actor: Actor, for_s: float) -> DoorState:
        """Let somebody in now, for 0.5..30 s."""
        _demand("open", for_s, MIN_PULSE_S, MAX_UNLOCKED_S)
        self._note(EventType.REMOTE_UNLOCK, actor, f"open for {for_s:g} s")
        return self._ask(actor, lambda by: self._link.open(by, for_s))

    def unlock(self, actor: Actor, for_s: float) -> DoorState:
        """Hold the door unlocked for 1..86,400 s, for anybody to pass."""
        _demand("unlock", for_s, MIN_HOLD_S, MAX_HOLD_S)
        self._note(EventType.REMOTE_UNLOCK, actor, f"unlock for {for_s:g} s")
        return self._ask(actor, lambda by: self._link.hold(by, Hold.UNLOCKED, for_s))

    def lock(self, actor: Actor, for_s: float = MAX_HOLD_S) -> DoorState:
        """Hold the door locked for 1..86,400 s, whatever its schedule says; whoever has a right still gets in."""
        _demand("lock", for_s, MIN_HOLD_S, MAX_HOLD_S)
        state = self._ask(actor, lambda by: self._link.hold(by, Hold.LOCKED, for_s))
        self._note(EventType.CONFIG_CHANGED, actor, f"lock for {for_s:g} s")
        return state

    def release(self, actor: Actor, of: Ruling) -> DoorState:
        """End the operator's hold, a lockdown or a fire that is over, or acknowledge a forced opening."""
        self._note(EventType.CONFIG_CHANGED, actor, f"release of {of}")
        return self._ask(actor, lambda by: self._link.release(by, of))

    def lockdown(self, actor: Actor) -> DoorState:
        """Refuse entry to all but the bypass group until it is released; the way out stays."""
        # Written down by what the controller tells: a full disk must not keep anybody from locking.
        return self._ask(actor, self._link.lockdown)

    def fire_test(self, actor: Actor, for_s: float = FIRE_TEST_S) -> DoorState:
        """Do for up to 60 s what a fire would do, then lock again."""
        _demand("fire-test", for_s, MIN_PULSE_S, MAX_FIRE_TEST_S)
        self._note(EventType.REMOTE_UNLOCK, actor, f"fire test for {for_s:g} s")
        return self._ask(actor, lambda by: self._link.fire_test(by, for_s))

    def _ask(self, actor: Actor, verb: Callable[[str], DoorState]) -> DoorState:
        try:
            return verb(operator(actor))
        except DoorRefusedError as refusal:
            words = in_words(refusal)
            reason = Reason.LOCKDOWN if refusal.reason == "lockdown" else None
            self._note(EventType.ACCESS_DENIED, actor, words, reason)
            raise RefusedError(words) from refusal

    def _note(self, kind: EventType, actor: Actor, detail: str, reason: Reason | None = None) -> None:
        event = Event(kind, datetime.now(UTC), actor, method="verb", reason=reason, detail=detail)
        try:
            self._journal.append(event)
        except StorageError:
            if kind is EventType.REMOTE_UNLOCK:
                raise


def in_words(refusal: DoorRefusedError) -> str:
    """Return one line on why the controller refused, and what would help."""
    state = refusal.state
    by = f", set by {state.by}" if state.by else ""
    words = {
        "fire": f"a fire alarm rules this door ({state.mode}); when it is over: release --of fire",
        "lockdown": f"a lockdown rules this door ({state.mode}{by}); end it with: release --of lockdown",
        "not_held": "there is nothing of the kind to release",
        "resting": "the door has just locked; try again in a moment",
        "lock_fault": "the lock does not follow; it was locked again",
    }
    return words.get(refusal.reason, f"the controller says {refusal.reason}")


def _demand(verb: str, for_s: float, least: float, most: float) -> None:
    if not least <= for_s <= most or not math.isfinite(for_s):
        raise RefusedError(f"{verb} for {for_s:g} s is not possible; {least:g} to {most:g} s is allowed")
