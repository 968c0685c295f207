"""The door in the words of the trade, out of what its lock and its leaf know."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from appliance.contract import Alarm, LockState, Phase
from appliance.records import DoorState

if TYPE_CHECKING:
    from appliance.door.leaf import Leaf
    from appliance.door.lock import Lock


def state_of(lock: Lock, leaf: Leaf, *, tampered: bool, contradicted: bool, jammed: bool) -> DoorState:
    """Return the door's state.

    `contradicted` says that the lock's own word is not what its line should make it do, `jammed` that the line does
    not follow: then nothing here calls the door locked or secure.
    """
    until_s = lock.until_s
    alarms = {
        Alarm.FORCED_OPEN: leaf.forced,
        Alarm.HELD_OPEN: leaf.held,
        Alarm.TAMPER: tampered,
        Alarm.FIRE: lock.fire,
        Alarm.LOCK: contradicted or jammed,
    }
    return DoorState(
        lock=LockState.JAMMED if contradicted or jammed else _lock_state(lock, leaf),
        until_s=until_s if math.isfinite(until_s) else None,
        by=lock.by,
        mode=lock.mode,
        phase=_phase(lock, leaf, contradicted=contradicted),
        contact=leaf.open,
        alarms=frozenset(alarm for alarm, on in alarms.items() if on),
    )


def _lock_state(lock: Lock, leaf: Leaf) -> LockState:
    if not lock.released:
        return LockState.LOCKED
    return LockState.OPEN if leaf.open else LockState.UNLOCKED


def _phase(lock: Lock, leaf: Leaf, *, contradicted: bool) -> Phase:
    if lock.fire and lock.standing:
        return Phase.RELEASED
    if leaf.forced:
        return Phase.FORCED
    if leaf.open:
        return Phase.HELD_OPEN if leaf.held else Phase.OPEN_WARNING if leaf.warned else Phase.OPEN
    if lock.released or contradicted:
        return Phase.UNLOCKED
    return Phase.LOCKDOWN if lock.lockdown_by else Phase.SECURE
