"""What commands do about people: enrolled, changed, erased and listed, in the loop's thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.contract import Role
from appliance.errors import RefusedError, UsageError
from appliance.people.enrolment import enrol_again, enrol_seen
from appliance.people.person import Consent
from appliance.people.references import look_alike
from appliance.usecases import by
from appliance.verbs import PersonAdd, PersonRenew

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.envelope import Command
    from appliance.journal import Journal
    from appliance.people.consents import ConsentTexts
    from appliance.people.enrolment import Enrolled
    from appliance.people.gallery import Gallery
    from appliance.people.references import Standard
    from appliance.reception import Reception
    from appliance.records import Actor, OperatingPoint
    from appliance.usecases import Acts, Answer
    from appliance.verbs import Consented

_METHOD = "mqtt"


class PeopleActs:
    """Belongs to the loop's thread. `point` is the door's present operating point."""

    def __init__(
        self,
        reception: Reception,
        gallery: Gallery,
        journal: Journal,
        *,
        standard: Standard,
        texts: ConsentTexts,
        point: Callable[[], OperatingPoint],
    ) -> None:
        self._reception = reception
        self._gallery = gallery
        self._journal = journal
        self._standard = standard
        self._texts = texts
        self._point = point

    def acts(self) -> Acts:
        """Return what is done for each verb."""
        return {PersonAdd: self._add, PersonRenew: self._renew}

    def renew(self, offer_id: str, actor: Actor, method: str) -> dict[str, Any]:
        """Take an offer: what was seen of a person becomes theirs. Raises RefusedError as `enrol_again`."""
        offer = self._reception.renewal(offer_id)
        count = enrol_again(
            self._gallery,
            self._journal,
            offer.references,
            offer.person_id,
            standard=self._standard,
            actor=actor,
            method=method,
        )
        self._reception.renewed(offer_id)
        return {"person_id": offer.person_id, "references": count}

    def _renew(self, command: Command, args: PersonRenew, answer: Answer) -> None:
        answer(self.renew(args.offer_id, by(command), _METHOD))

    def _add(self, command: Command, args: PersonAdd, answer: Answer) -> None:
        """Enrol the visitor of an approved ticket, with their consent."""
        consent, standard = self._consent(command, args), self._standard_for(command, args)
        enrolled = enrol_seen(
            self._gallery,
            self._journal,
            self._reception.offer(args.ticket_id),
            args.name,
            consent=consent,
            standard=standard,
            actor=by(command),
            method=_METHOD,
        )
        self._reception.taken(args.ticket_id)
        answer(self._told(enrolled))

    def _told(self, enrolled: Enrolled) -> dict[str, Any]:
        alike = look_alike(enrolled.rival, self._standard.impostors, self._point())
        return {
            "person_id": enrolled.person.person_id,
            "references": enrolled.person.references,
            "look_alike": alike.person_id if alike is not None and alike.referred else "",
        }

    def _consent(self, command: Command, args: Consented) -> Consent:
        """Return the consent that a command records; to a text of ours where it names the version."""
        try:
            read = self._texts.read(args.language, args.consent_text) if args.consent_text else None
        except UsageError as fault:
            raise RefusedError(str(fault)) from fault
        return Consent(
            args.consent_by,
            datetime.now(UTC),
            args.language,
            read.version if read is not None else "",
            read.sha256 if read is not None else "",
            recorded_by=command.client_id,
        )

    def _standard_for(self, command: Command, args: Consented) -> Standard:
        """Return what the enrolment must meet, less what an admin takes upon themself."""
        if (args.accept_medium or args.accept_alike) and command.role is not Role.ADMIN:
            raise RefusedError(f"accept_medium and accept_alike are for admins; {command.client_id} is {command.role}")
        return replace(self._standard, accept_medium=args.accept_medium, accept_alike=args.accept_alike)
