"""Everything of the reader by which people are enrolled, changed and erased: at the door, from photos, by command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.enrolment.acts import enrol_acts
from appliance.enrolment.at_the_door import DoorEnrolment
from appliance.enrolment.desk import GuidedDesk
from appliance.people.consents import ConsentTexts
from appliance.people.enrolment import CLI
from appliance.people.references import Standard
from appliance.people_acts import PeopleActs

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.commands.options import Installation
    from appliance.enrolment.at_the_door import Others
    from appliance.enrolment.invitations import InvitationDesk
    from appliance.enrolment.photo_desk import PhotoDesk
    from appliance.journal import Journal
    from appliance.people.gallery import Gallery
    from appliance.pipeline import Step
    from appliance.pipeline.policy import Rules
    from appliance.pipeline.reading import ModelStages
    from appliance.reception import Reception
    from appliance.records import OperatingPoint
    from appliance.usecases import Acts


class PeopleDesk:
    """Belongs to the loop's thread, and never waits.

    `codes` reads what QR codes in view say, `portrait` makes the JPEG that is kept where consent allows it, `point` is
    the door's present operating point, `clock` the frames' own.
    """

    def __init__(
        self,
        installation: Installation,
        gallery: Gallery,
        journal: Journal,
        reception: Reception,
        stages: ModelStages,
        *,
        rules: Rules,
        photos: PhotoDesk,
        invitations: InvitationDesk,
        others: Others,
        codes: Callable[[Step], tuple[str, ...]],
        portrait: Callable[[Step], bytes],
        point: Callable[[], OperatingPoint],
        clock: Callable[[], float],
    ) -> None:
        settings, impostors = installation.settings, stages.measured.impostors
        standard = Standard(impostors, settings.recognition.target_fpir)
        texts = ConsentTexts(installation.consent_folder)
        people = PeopleActs(reception, gallery, journal, standard=standard, texts=texts, point=point)
        guided = GuidedDesk(
            gallery,
            journal,
            stages,
            standard=standard,
            rules=rules,
            near_px=settings.liveness.min_face_px,
            portrait=portrait,
            clock=clock,
        )
        self.at_the_door = DoorEnrolment(
            installation.reader_socket,
            guided,
            reception,
            impostors=impostors,
            point=point,
            renew=lambda offer_id: people.renew(offer_id, CLI, "cli"),
            invitations=invitations,
            codes=codes,
            others=others,
        )
        self._photos = photos
        self.acts: Acts = {**people.acts(), **enrol_acts(people, self.at_the_door, photos)}

    def see(self, step: Step, at_s: float) -> bool:
        """Take in a frame while somebody is enrolled, or shows an invitation; tell whether it is theirs alone."""
        if self.at_the_door.busy or self.at_the_door.look(step, at_s):
            self.at_the_door.see(step, at_s)
            return True
        return False

    def tend(self) -> None:
        """Do what was asked for on the device, and go on with what takes several turns."""
        self.at_the_door.tend()
        self._photos.tend()

    def close(self) -> None:
        """End what is going on."""
        self.at_the_door.close()
        self._photos.close()
