"""Enrolment at a running door: what is asked for on the local socket, and the frames while somebody is enrolled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.enrolment.requests import Start, message_of, read_request
from appliance.errors import RefusedError
from appliance.local_socket import LocalSocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.enrolment.desk import GuidedDesk, Told
    from appliance.local_socket import Caller
    from appliance.manifest import Impostors
    from appliance.pipeline import Step
    from appliance.reception import Reception
    from appliance.records import OperatingPoint


class DoorEnrolment:
    """Belongs to the loop's thread, and never waits. `point` is the door's present operating point."""

    def __init__(
        self,
        socket: Path,
        desk: GuidedDesk,
        reception: Reception,
        *,
        impostors: Impostors | None,
        point: Callable[[], OperatingPoint],
    ) -> None:
        self._desk = desk
        self._reception = reception
        self._impostors = impostors
        self._point = point
        self._local = LocalSocket(socket)
        self._asker: Caller | None = None  # who asked for the enrolment that is going on

    @property
    def busy(self) -> bool:
        """Whether somebody is being enrolled, so that nobody is decided about."""
        return self._desk.busy

    def see(self, step: Step, at_s: float) -> None:
        """Take in a frame while somebody is enrolled: nobody in it is let in, not even once it is done."""
        self._desk.see(step, at_s)
        self._reception.set_aside(step.presentation, self._desk.hint)

    def tend(self) -> None:
        """Do what was asked for, and end what is over or what nobody waits for any more."""
        self._local.serve(self._carry_out)
        if self._asker is not None and self._asker.gone:
            self._asker = None
            self._desk.stop()
        self._desk.tick()

    def close(self) -> None:
        """End what is going on, and hang up."""
        self._desk.stop()
        self._local.close()

    def _carry_out(self, caller: Caller, packet: dict[str, Any]) -> None:
        try:
            request = read_request(packet)
            if isinstance(request, Start):
                self._desk.begin(request.newcomer(), lambda told: self._tell(caller, told))
                self._asker = caller
        except RefusedError as refusal:
            caller.say({"error": str(refusal)})
            caller.end()

    def _tell(self, caller: Caller, told: Told) -> None:
        caller.say(message_of(told, self._impostors, self._point()))
        if told.ended:
            self._asker = None
            caller.end()
