"""The lock's line, high only while the guardian knows until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.door.guard import STEP_S
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.door.guard import Guard
    from appliance.door.hardware import LockOutput


class NotFollowedError(DoorError):
    """The line did not go high; it is to be locked, and what wanted it to be told so."""


class GuardedLine:
    """Drives one lock. Every verb raises DoorError where the line does not lock, or nobody guards it."""

    def __init__(self, output: LockOutput, guard: Guard, clock: Callable[[], float]) -> None:
        self._output = output
        self._guard = guard
        self._clock = clock
        self.high = False  # as driven
        self.rearm_s = 0.0  # while high, `rearm` is due then

    def unlock(self, until_s: float) -> None:
        """Drive the line high, to be low again by `until_s`. Raises NotFollowedError where it does not go."""
        self.rearm(until_s)
        self.high = True
        try:
            self._output.unlock()
        except DoorError as fault:
            raise NotFollowedError(str(fault)) from fault
        if not self._output.is_unlocked():
            msg = "the lock output does not follow: driven to unlocked, it reads locked"
            raise NotFollowedError(msg)

    def lock(self) -> None:
        """Drive the line low, and see that it is."""
        self._output.lock()
        if self._output.is_unlocked():
            msg = "the lock output does not follow: driven to locked, it reads unlocked"
            raise DoorError(msg)
        self.high = False
        self._guard.disarm()

    def rearm(self, until_s: float) -> None:
        """Tell the guardian that the line may be high for 0.3 s more, and not beyond `until_s`."""
        now_s = self._clock()
        self._guard.arm(min(now_s + STEP_S, max(now_s, until_s)))
        self.rearm_s = now_s + STEP_S / 3
