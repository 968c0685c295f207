"""What the web asks of a running reader: a verb of the contract, in the name of an account or a key; open tickets."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from appliance.contract import TOPIC_ROLES, VERB_ROLES, Topic
from appliance.enrolment.requests import ListTickets, TicketPicture
from appliance.envelope import Command
from appliance.errors import RefusedError
from appliance.records import ActorKind
from appliance.ticket import ticket_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.contract import Role
    from appliance.enrolment.at_the_door import Others
    from appliance.enrolment.requests import Do
    from appliance.local_socket import Caller
    from appliance.reception import Reception
    from appliance.usecases import UseCases


def carry_out(use_cases: UseCases, caller: Caller, asked: Do) -> None:
    """Do what is asked, in the loop's thread, and tell the caller; several times where it takes a while.

    Each answer is `{"result", "error", "done"}`. Raises RefusedError where it has no effect, StorageError where it
    could not be written down.
    """
    if asked.role not in VERB_ROLES.get(asked.command, frozenset()):
        raise RefusedError(f"{asked.command} is not for the role {asked.role}")

    def answer(result: Mapping[str, Any] | None = None, error: str = "", *, done: bool = True) -> None:
        caller.say({"result": dict(result or {}), "error": error, "done": done})
        if done:
            caller.end()

    command = Command(
        asked.by, asked.role, asked.command, asked.args, "", method=asked.method, actor=ActorKind.OPERATOR
    )
    use_cases.carry_out(command, answer)


def ticket_answers(reception: Reception, device_id: str) -> Others:
    """Return what is told of open tickets: `{"tickets": [...]}` as on MQTT, and `{"image": base64 of a JPEG}`.

    Who may hear them on MQTT may hear them here; any other role is refused, and so is a ticket without a picture.
    """

    def listed(caller: Caller, asked: ListTickets) -> None:
        _demand(asked.role, Topic.APPROVAL_REQUEST)
        messages = [ticket_message(ticket, device_id).model_dump(mode="json") for ticket in reception.tickets]
        caller.say({"tickets": messages})
        caller.end()

    def pictured(caller: Caller, asked: TicketPicture) -> None:
        _demand(asked.role, Topic.APPROVAL_IMAGE)
        for ticket in reception.tickets:
            if ticket.ticket_id == asked.ticket_id and ticket.view.crop:
                caller.say({"image": base64.b64encode(ticket.view.crop).decode()})
                caller.end()
                return
        raise RefusedError(f"ticket {asked.ticket_id} is not open, or has no picture")

    return {ListTickets: listed, TicketPicture: pictured}


def _demand(role: Role, topic: Topic) -> None:
    if role not in TOPIC_ROLES[topic]:
        raise RefusedError(f"{topic} is not for the role {role}")
