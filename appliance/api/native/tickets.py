"""Open tickets: humans are asked about a visitor, and answer."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Annotated

from fastapi import Path, Request, Response
from pydantic import Field

from appliance.api.native.common import METHOD
from appliance.api.native.problems import NotThereError
from appliance.api.native.routes import answers_with, for_roles, router
from appliance.api.native.shapes import Answer, Id
from appliance.api.native.versions import unchanged
from appliance.attendant import NotTaken
from appliance.contract import TOPIC_ROLES, VERB_ROLES, Topic
from appliance.errors import RefusedError
from appliance.messages import TicketMessage, TicketState
from appliance.verbs import Args
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from typing import Any

api = router("tickets")

TicketId = Annotated[Id, Path(description="of an open ticket")]


class Tickets(Answer):
    """The open tickets, oldest first."""

    tickets: tuple[TicketMessage, ...]


class Said(Args):
    """A line for the visitor."""

    text: Annotated[str, Field(min_length=1, max_length=120)]


@api.get("/tickets")
@for_roles(TOPIC_ROLES[Topic.APPROVAL_REQUEST])
async def tickets(request: Request) -> Tickets:
    """Tell the open tickets. Each is gone once it was answered or has timed out."""
    told = await rooms_of(request).reader.ask({"verb": "ticket.list", "role": who_is(request).role})
    return Tickets.model_validate(told)


@api.get(
    "/tickets/{ticket_id}/image",
    response_class=Response,
    responses=answers_with("image/jpeg", "the picture"),
)
@for_roles(TOPIC_ROLES[Topic.APPROVAL_IMAGE])
async def image(request: Request, ticket_id: TicketId) -> Response:
    """Show the visitor of an open ticket, every other face covered."""
    asked = {"verb": "ticket.image", "role": who_is(request).role, "ticket_id": ticket_id}
    try:
        told = await rooms_of(request).reader.ask(asked)
    except RefusedError as fault:
        raise NotThereError(str(fault)) from fault
    shown = base64.b64decode(told["image"])
    tag = f'"{hashlib.sha256(shown).hexdigest()[:32]}"'
    return unchanged(request, tag) or Response(shown, media_type="image/jpeg", headers={"ETag": tag})


@api.post("/tickets/{ticket_id}/approve")
@for_roles(VERB_ROLES["approve"])
async def approve(request: Request, ticket_id: TicketId) -> TicketState:
    """Let the visitor in, who must still stand there; where two must approve, `awaits` says how many are missing."""
    return await _answered(request, "approve", ticket_id)


@api.post("/tickets/{ticket_id}/deny")
@for_roles(VERB_ROLES["deny"])
async def deny(request: Request, ticket_id: TicketId) -> TicketState:
    """Keep the visitor out."""
    return await _answered(request, "deny", ticket_id)


@api.post("/tickets/{ticket_id}/again")
@for_roles(VERB_ROLES["again"])
async def again(request: Request, ticket_id: TicketId) -> TicketState:
    """Have the visitor show themselves once more."""
    return await _answered(request, "again", ticket_id)


@api.post("/tickets/{ticket_id}/say")
@for_roles(VERB_ROLES["say"])
async def say(request: Request, ticket_id: TicketId, args: Said) -> TicketState:
    """Show the visitor a line of text."""
    return await _answered(request, "say", ticket_id, text=args.text)


async def _answered(request: Request, verb: str, ticket_id: str, **more: Any) -> TicketState:  # noqa: ANN401 - of a verb
    try:
        told = await rooms_of(request).reader.do(who_is(request), verb, METHOD, ticket_id=ticket_id, **more)
    except RefusedError as fault:
        if str(fault) == NotTaken.UNKNOWN_TICKET:
            raise NotThereError("there is no such ticket") from fault
        raise
    return TicketState.model_validate(told)
