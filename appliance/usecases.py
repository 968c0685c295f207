"""Use-cases: what a verified command does, whether it came over MQTT or, later, from the web."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.contract import Role
from appliance.errors import RefusedError
from appliance.people.enrolment import enrol_seen
from appliance.people.gallery import Consent
from appliance.people.references import look_alike
from appliance.records import Actor, ActorKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.envelope import Command
    from appliance.journal import Journal
    from appliance.people.gallery import Gallery
    from appliance.people.references import Standard
    from appliance.reception import Reception
    from appliance.records import OperatingPoint


class UseCases:
    """Carries out commands in the loop's thread."""

    def __init__(
        self,
        reception: Reception,
        gallery: Gallery,
        journal: Journal,
        *,
        status: Callable[[], dict[str, Any]],
        point: Callable[[], OperatingPoint],
        standard: Standard,
    ) -> None:
        self._reception = reception
        self._gallery = gallery
        self._journal = journal
        self._status = status
        self._point = point
        self._standard = standard

    def carry_out(self, command: Command) -> dict[str, Any]:
        """Return the result of the command. Raises RefusedError, one line, where it had no effect."""
        match command.verb:
            case "approve" | "deny":
                return self._answer(command)
            case "person.add":
                return self._enrol(command)
            case "status":
                return self._status()
        raise RefusedError(f"verb {command.verb} is not carried out by this version")

    def _answer(self, command: Command) -> dict[str, Any]:
        ticket_id = _text(command, "ticket_id")
        why = self._reception.answer(ticket_id, command.client_id, approve=command.verb == "approve")
        if why:
            raise RefusedError(why)
        return {"ticket_id": ticket_id}

    def _enrol(self, command: Command) -> dict[str, Any]:
        """Enrol the visitor of an approved ticket, with their consent."""
        name, given_by = _text(command, "name"), _text(command, "consent_by")
        language = str(command.args.get("language", "en"))
        ticket_id, standard = _text(command, "ticket_id"), self._standard_for(command)
        references = self._reception.offer(ticket_id)
        enrolled = enrol_seen(
            self._gallery,
            self._journal,
            references,
            name,
            consent=Consent(given_by, datetime.now(UTC), language),
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


def _text(command: Command, name: str) -> str:
    value = command.args.get(name)
    if not isinstance(value, str) or not value:
        raise RefusedError(f"args.{name} of {command.verb} is {value!r}; text is needed")
    return value
