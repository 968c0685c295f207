"""Access at one door, put together: rules, ledger, attempts and factors, and what is due of them once a second."""

from __future__ import annotations

import contextlib
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.access.attempts import Attempts
from appliance.access.control import AccessControl
from appliance.access.ledger import Ledger
from appliance.clock import WallClock
from appliance.door.lock import MAX_LEASE_S
from appliance.enrolment.invitations import InvitationBook, InvitationDesk
from appliance.errors import DoorRefusedError
from appliance.people.passes import PassBook, PassDesk
from appliance.records import Actor, ActorKind, Event
from appliance.second_factor import FactorDesk
from appliance.signing import own_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from appliance.access.verdict import Judged
    from appliance.commands.options import Installation
    from appliance.doorway import Doorway
    from appliance.journal import Journal
    from appliance.manifest import Impostors
    from appliance.people.gallery import Gallery

EVERY_S = 1.0
RENEW_S = MAX_LEASE_S / 3  # a door that the schedule holds unlocked


class AccessDesk:
    """Belongs to the loop's thread. `opening` closes the files; `now` is the frames' clock.

    Raises ApplianceError, one line, where the rules or a database cannot be used.
    """

    def __init__(
        self,
        installation: Installation,
        gallery: Gallery,
        opening: ExitStack,
        *,
        liveness: bool,
        impostors: Impostors | None,
        now: Callable[[], float],
        told: Callable[[Judged], None],
    ) -> None:
        settings = installation.settings
        ledger = opening.enter_context(Ledger(installation.ledger_file))
        book = opening.enter_context(PassBook(installation.gallery_file))
        device = settings.device
        key = own_key(installation.device_key_file).public_key()
        self.control = AccessControl(
            settings,
            installation.open_rules(),
            gallery,
            ledger,
            attempts=Attempts(liveness=liveness, impostors=impostors),
            clock=WallClock(settings.access.clock),
            now=now,
            told=told,
        )
        passes = PassDesk(key, device.id, device.door, book, ledger)
        invitations = InvitationBook(installation.enrolment_file, gallery.keyring.secret("invitations"))
        self.invitations = InvitationDesk(key, device.id, device.door, opening.enter_context(invitations))
        self.factors = FactorDesk(gallery, book, passes, settings.access.factor_s)
        self._device_id = device.id
        self._due_s = -math.inf
        self._leased_s = -math.inf  # when the door was last said to be held unlocked; -inf where it is not

    def tend(self, journal: Journal, doorway: Doorway) -> None:
        """Take in changed rules, and have the door held unlocked by its schedule. Raises StorageError, DoorError."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + EVERY_S
        told = self.control.tend()
        if told is not None:
            kind, detail = told
            journal.append(Event(kind, datetime.now(UTC), Actor(ActorKind.DEVICE, self._device_id), detail=detail))
        self._hold(doorway, now_s)

    def end(self, doorway: Doorway) -> None:
        """Hold the door unlocked no longer. Raises DoorError."""
        if self._leased_s > -math.inf:
            self._leased_s = -math.inf
            doorway.lease(0.0)

    def _hold(self, doorway: Doorway, now_s: float) -> None:
        if not doorway.connected:
            self._leased_s = -math.inf
        elif self.control.unlocked_by_schedule():
            if now_s >= self._leased_s + RENEW_S:
                with contextlib.suppress(DoorRefusedError):  # the lock rests after having been locked: the next second
                    doorway.lease(MAX_LEASE_S)
                    self._leased_s = now_s
        else:
            self.end(doorway)
