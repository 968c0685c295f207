"""Enrolment at a running door: what is asked for on the local socket, and the frames while somebody is enrolled."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from appliance.enrolment.invitations import Invitation
from appliance.enrolment.requests import ListOffers, Start, TakeOffer, message_of, read_request
from appliance.errors import ApplianceError, RefusedError
from appliance.local_socket import LocalSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from appliance.enrolment.desk import GuidedDesk, Newcomer, Told
    from appliance.enrolment.invitations import InvitationDesk
    from appliance.enrolment.requests import Request
    from appliance.local_socket import Caller
    from appliance.manifest import Impostors
    from appliance.pipeline import Step
    from appliance.reception import Reception
    from appliance.records import OperatingPoint

    Others = Mapping[type[Request], Callable[[Caller, Any], None]]

_log = logging.getLogger(__name__)

EVERY_S = 1.0  # so often it is seen whether there is an invitation at all; without one no code is looked for
CODES_EVERY_S = 0.5


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
        renew: Callable[[str], dict[str, Any]],
        invitations: InvitationDesk,
        codes: Callable[[Step], tuple[str, ...]],
        others: Others,
    ) -> None:
        """Take what it works with.

        `codes` reads what QR codes in view say, `renew` takes an offer of the reception, `others` do what is asked for
        on the same socket and has nothing to do with enrolment.
        """
        self._others = others
        self._renew = renew
        self._desk = desk
        self._invitations = invitations
        self._codes = codes
        self._awaited_s = -math.inf  # when the book was last looked at
        self._awaited = False
        self._looked_s = -math.inf  # the frames' time at which codes were last looked for
        self._reception = reception
        self._impostors = impostors
        self._point = point
        self._local = LocalSocket(socket)
        self._asker: Caller | None = None  # who asked for the enrolment that is going on

    @property
    def busy(self) -> bool:
        """Whether somebody is being enrolled, so that nobody is decided about."""
        return self._desk.busy

    def begin(self, newcomer: Newcomer, hear: Callable[[Told], None]) -> None:
        """Guide whoever stands before the door, and tell `hear` of every step. Raises RefusedError as the desk."""
        self._desk.begin(newcomer, hear)

    def stop(self) -> None:
        """End what is going on, if anything is, without a person."""
        self._desk.stop()

    def see(self, step: Step, at_s: float) -> None:
        """Take in a frame while somebody is enrolled: nobody in it is let in, not even once it is done."""
        self._desk.see(step, at_s)
        self._reception.set_aside(step.presentation, self._desk.hint)

    def look(self, step: Step, at_s: float) -> bool:
        """Look for an invitation in the hands of whoever stands there; tell whether one has begun an enrolment."""
        if not self._awaited or step.presentation is None or at_s < self._looked_s + CODES_EVERY_S:
            return False
        self._looked_s = at_s
        for text in self._codes(step):
            taken = self._invitations.take(text, time.time())
            if isinstance(taken, Invitation):
                self._begin(taken)
                return self._desk.busy
        return False

    def tend(self) -> None:
        """Do what was asked for, and end what is over or what nobody waits for any more."""
        self._local.serve(self._carry_out)
        if self._asker is not None and self._asker.gone:
            self._asker = None
            self._desk.stop()
        self._desk.tick()
        now_s = time.monotonic()
        if now_s >= self._awaited_s + EVERY_S:
            self._awaited_s, self._awaited = now_s, self._invitations.book.any_open(time.time())

    def close(self) -> None:
        """End what is going on, and hang up."""
        self._desk.stop()
        self._local.close()

    def _carry_out(self, caller: Caller, packet: dict[str, Any]) -> None:
        try:
            self._answer(caller, read_request(packet))
        except ApplianceError as fault:
            caller.say({"error": str(fault)})
            caller.end()
            if not isinstance(fault, RefusedError):
                raise

    def _answer(self, caller: Caller, request: Request) -> None:
        match request:
            case Start():
                self._desk.begin(request.newcomer(), lambda told: self._tell(caller, told))
                self._asker = caller
            case ListOffers():
                offers = [{"offer_id": one.offer_id, "person_id": one.person_id} for one in self._reception.renewals]
                caller.say({"offers": offers})
                caller.end()
            case TakeOffer(offer_id=offer_id):
                caller.say(self._renew(offer_id))
                caller.end()
            case _:
                self._others[type(request)](caller, request)

    def _begin(self, invitation: Invitation) -> None:
        def hear(told: Told) -> None:
            if told.ended:
                _log.info("invitation %s: %s", invitation.code.pass_id, told.refused or "enrolled")

        try:
            self._desk.begin(invitation.newcomer, hear, lambda: self._invitations.redeem(invitation))
        except RefusedError as refusal:
            _log.warning("invitation %s: %s", invitation.code.pass_id, refusal)

    def _tell(self, caller: Caller, told: Told) -> None:
        caller.say(message_of(told, self._impostors, self._point()))
        if told.ended:
            self._asker = None
            caller.end()
