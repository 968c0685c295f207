"""Clients: who may send commands over MQTT."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import Path, Request

from appliance.api.native.common import METHOD, actor_of
from appliance.api.native.problems import NotThereError
from appliance.api.native.routes import for_roles, router
from appliance.api.native.shapes import Answer, Id
from appliance.clients import Registry
from appliance.contract import VERB_ROLES, EventType, Role
from appliance.messages import Instant  # noqa: TC001 - pydantic reads it
from appliance.records import Event
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.clients import Entry
    from appliance.web.books import Books

api = router("clients")


class ClientFacts(Answer):
    """One client."""

    client_id: str
    role: Role
    added_at: Instant
    revoked_at: Instant | None
    last_used_at: Instant | None


class Clients(Answer):
    """Every client there ever was, by id."""

    clients: tuple[ClientFacts, ...]


@api.get("/clients")
@for_roles(VERB_ROLES["config.get"])
async def clients(request: Request) -> Clients:
    """Tell who may send commands over MQTT, and who no longer may."""
    return await rooms_of(request).books.run(_listed)


@api.post("/clients/{client_id}/revoke")
@for_roles((Role.ADMIN,))
async def revoke(request: Request, client_id: Annotated[Id, Path()]) -> Clients:
    """Take no further command from a client; its key is never let in again."""
    who = who_is(request)

    def make(books: Books) -> Clients:
        with Registry(books.installation.clients_file) as registry:
            if client_id not in {one.client_id for one in registry.entries() if one.revoked_at is None}:
                raise NotThereError(f"there is no client {client_id} that could be revoked")
            registry.revoke(client_id)  # first of all: a log that cannot be written must not keep anybody in
        detail = f"client {client_id} revoked"
        books.audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), actor_of(who), METHOD, detail=detail))
        return _listed(books)

    return await rooms_of(request).books.run(make)


def _listed(books: Books) -> Clients:
    with Registry(books.installation.clients_file) as registry:
        return Clients(clients=tuple(map(_facts, registry.entries())))


def _facts(one: Entry) -> ClientFacts:
    return ClientFacts(
        client_id=one.client_id,
        role=one.role,
        added_at=one.added_at,
        revoked_at=one.revoked_at,
        last_used_at=one.last_used_at,
    )
