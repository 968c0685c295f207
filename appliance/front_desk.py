"""The front desk: what programs on this device ask of the running reader besides enrolment, and what they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.drivers.photo import encode_jpeg
from appliance.enrolment.requests import Do, Look
from appliance.look import LookDesk
from appliance.picture import kept_of
from appliance.watch import WatchDesk
from appliance.web.asked import ticket_answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.config import Settings
    from appliance.doorway import Doorway
    from appliance.enrolment.at_the_door import Others
    from appliance.journal import Journal
    from appliance.local_socket import Caller
    from appliance.people.gallery import Gallery
    from appliance.pipeline import Step
    from appliance.pipeline.policy import Rules
    from appliance.preview import Mirror
    from appliance.reception import Reception
    from appliance.records import AuditEvent


class FrontDesk:
    """Belongs to the loop's thread, and never waits; `mirror` alone is offered frames from the camera's.

    `do` carries out a verb, `fault` says what is wrong with the camera, `enrolling` whether somebody is being enrolled.
    """

    def __init__(
        self,
        settings: Settings,
        gallery: Gallery,
        journal: Journal,
        doorway: Doorway,
        reception: Reception,
        *,
        mirror: Mirror,
        rules: Rules,
        do: Callable[[Caller, Do], None],
        fault: Callable[[], str],
        enrolling: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        def name_of(person_id: str) -> str:
            person = gallery.person(person_id)
            return "" if person is None else person.name

        self._mirror = mirror
        self._look = LookDesk(rules, lambda step: encode_jpeg(kept_of(step)))
        self._screen = WatchDesk(
            settings,
            reception,
            doorway,
            journal,
            mirror,
            fault=fault,
            enrolling=enrolling,
            name_of=name_of,
            clock=clock,
        )
        tickets = ticket_answers(reception, settings.device.id)
        self.others: Others = {Do: do, Look: self._look.begin, **tickets, **self._screen.others}

    def look(self, step: Step) -> None:
        """Take in what one frame came to, before anybody decides."""
        self._look.see(step)

    def show(self, step: Step | None) -> None:
        """Show what was decided about the frame, if there was one, and end what is over."""
        if step is not None:
            self._screen.see(step)
        self._look.tend()
        self._screen.tend()

    def hear(self, event: AuditEvent) -> None:
        """Take in what was written down."""
        self._screen.hear(event)

    def close(self) -> None:
        """Show nothing more."""
        self._mirror.close()
