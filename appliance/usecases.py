"""Use-cases: what a verified command does, whether it came over MQTT or, later, from the web."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from appliance.contract import Role
from appliance.door.lock import MAX_HOLD_S
from appliance.door.protocol import Ruling
from appliance.doorway import in_words
from appliance.errors import DoorError, RefusedError, UsageError
from appliance.people.consents import ConsentTexts
from appliance.people.enrolment import enrol_again, enrol_seen
from appliance.people.person import Consent
from appliance.people.references import look_alike
from appliance.records import Actor, ActorKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.envelope import Command
    from appliance.journal import Journal
    from appliance.operating import DoorVerbs
    from appliance.people.gallery import Gallery
    from appliance.people.references import Standard
    from appliance.reception import Reception
    from appliance.records import DoorState, OperatingPoint


class UseCases:
    """Carries out commands in the loop's thread."""

    def __init__(
        self,
        reception: Reception,
        gallery: Gallery,
        journal: Journal,
        *,
        door: DoorVerbs,
        open_s: float,
        status: Callable[[], dict[str, Any]],
        point: Callable[[], OperatingPoint],
        standard: Standard,
        texts: ConsentTexts | None = None,
    ) -> None:
        self._reception = reception
        self._gallery = gallery
        self._journal = journal
        self._door = door
        self._open_s = open_s
        self._status = status
        self._point = point
        self._standard = standard
        self._texts = texts or ConsentTexts()

    def carry_out(self, command: Command) -> dict[str, Any]:
        """Return the result of the command. Raises RefusedError, one line, where it had no effect."""
        match command.verb:
            case "approve" | "deny":
                return self._answer(command)
            case "person.add":
                return self._enrol(command)
            case "person.renew":
                return self._renew(command)
            case "open" | "unlock" | "lock" | "release" | "lockdown":
                return self._operate(command)
            case "status":
                return self._status()
        raise RefusedError(f"verb {command.verb} is not carried out by this version")

    def _answer(self, command: Command) -> dict[str, Any]:
        ticket_id = _text(command, "ticket_id")
        why = self._reception.answer(ticket_id, command.client_id, approve=command.verb == "approve")
        if why:
            raise RefusedError(why)
        return {"ticket_id": ticket_id}

    def _operate(self, command: Command) -> dict[str, Any]:
        """Carry out an operator's verb on the door."""
        actor = Actor(ActorKind.CLIENT, command.client_id)
        try:
            return in_words(self._verb(command, actor))
        except DoorError as fault:
            raise RefusedError(f"door_fault: {fault}") from fault

    def _verb(self, command: Command, actor: Actor) -> DoorState:
        match command.verb:
            case "open":
                return self._door.open(actor, _seconds(command, self._open_s))
            case "unlock":
                return self._door.unlock(actor, _seconds(command, None))
            case "lock":
                return self._door.lock(actor, _seconds(command, MAX_HOLD_S))
            case "lockdown":
                return self._door.lockdown(actor)
        of = command.args.get("of", "operator")
        if of not in get_args(Ruling):
            raise RefusedError(f"args.of of release is {of!r}; {', '.join(get_args(Ruling))} are allowed")
        return self._door.release(actor, of)

    def _enrol(self, command: Command) -> dict[str, Any]:
        """Enrol the visitor of an approved ticket, with their consent."""
        name, given_by = _text(command, "name"), _text(command, "consent_by")
        consent = self._consent(command, given_by)
        ticket_id, standard = _text(command, "ticket_id"), self._standard_for(command)
        references = self._reception.offer(ticket_id)
        enrolled = enrol_seen(
            self._gallery,
            self._journal,
            references,
            name,
            consent=consent,
            standard=standard,
            actor=Actor(ActorKind.CLIENT, command.client_id),
            method="mqtt",
        )
        self._reception.taken(ticket_id)
        alike = look_alike(enrolled.rival, standard.impostors, self._point())
        return {
            "person_id": enrolled.person.person_id,
            "references": enrolled.person.references,
            "look_alike": alike.person_id if alike is not None and alike.referred else "",
        }

    def _consent(self, command: Command, given_by: str) -> Consent:
        """Return the consent that a command records; to a text of ours where it names the version."""
        language, version = str(command.args.get("language", "en")), command.args.get("consent_text", "")
        try:
            read = self._texts.read(language, str(version)) if version else None
        except UsageError as fault:
            raise RefusedError(str(fault)) from fault
        return Consent(
            given_by,
            datetime.now(UTC),
            language,
            read.version if read is not None else "",
            read.sha256 if read is not None else "",
            recorded_by=command.client_id,
        )

    def _renew(self, command: Command) -> dict[str, Any]:
        """Enrol somebody once more whom the door offered to."""
        return self.renew(_text(command, "offer_id"), Actor(ActorKind.CLIENT, command.client_id), "mqtt")

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

    def _standard_for(self, command: Command) -> Standard:
        """Return what the enrolment must meet, less what an admin takes upon themself."""
        medium, alike = _flag(command, "accept_medium"), _flag(command, "accept_alike")
        if (medium or alike) and command.role is not Role.ADMIN:
            raise RefusedError(f"accept_medium and accept_alike are for admins; {command.client_id} is {command.role}")
        return replace(self._standard, accept_medium=medium, accept_alike=alike)


def _flag(command: Command, name: str) -> bool:
    value = command.args.get(name, False)
    if not isinstance(value, bool):
        raise RefusedError(f"args.{name} of {command.verb} is {value!r}; true or false is needed")
    return value


def _seconds(command: Command, otherwise: float | None) -> float:
    value = command.args.get("for_s", otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError(f"args.for_s of {command.verb} is {value!r}; a number of seconds is needed")
    return float(value)


def _text(command: Command, name: str) -> str:
    value = command.args.get(name)
    if not isinstance(value, str) or not value:
        raise RefusedError(f"args.{name} of {command.verb} is {value!r}; text is needed")
    return value
