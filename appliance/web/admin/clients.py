"""The clients page: who may send commands over MQTT, a code with which another one joins, and Home Assistant's code."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response, StreamingResponse

from appliance import client_acts
from appliance.clients import Entry, Registry
from appliance.contract import EventType, Role
from appliance.errors import HardwareError, RefusedError, UsageError
from appliance.home_assistant.code import CodeFile
from appliance.pairing import new_code, pairing_key
from appliance.pairing_desk import Pair
from appliance.records import Actor, ActorKind, Event
from appliance.signing import fingerprint
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page, see_other
from appliance.web.rooms import rooms_of
from appliance.web.wording import ROLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.commands.options import Installation

router = APIRouter()

_BASE = "/clients"
_SLACK_S = 10.0  # the reader may be busy with a frame
_WINDOWS = MappingProxyType({60: "1 minute", 300: "5 minutes", 900: "15 minutes"})
_HERE = "<!-- what happens -->"  # in the page of a pairing: before it the code, after it the end of the page

Line = Annotated[str, Form(max_length=200)]


@router.get(_BASE)
@allowed(Role.AUDITOR, Role.ADMIN)
async def clients(request: Request) -> Response:
    """Show every client there ever was."""
    installation = rooms_of(request).installation
    entries = await asyncio.to_thread(_entries, installation)
    return page(
        request,
        "clients.html",
        clients=[_shown(entry) for entry in entries],
        roles={role.value: words for role, words in ROLES.items()},
        windows=_WINDOWS,
        broker=installation.settings.mqtt.enabled,
        home=installation.settings.home_assistant,
        code_set=CodeFile(installation.state).is_set,
        edits=who_is(request).role is Role.ADMIN,
    )


@router.post(f"{_BASE}/add")
@allowed(Role.ADMIN)
async def add(request: Request, client_id: Line, role: Annotated[Role, Form()], public_key: Line) -> Response:
    """Let a client in by its public key."""
    asked = (rooms_of(request).installation, client_id.strip(), role, public_key.strip())
    await asyncio.to_thread(client_acts.admit, *asked, actor=_actor(request), method="web")
    return see_other(_BASE)


@router.post(f"{_BASE}/revoke")
@allowed(Role.ADMIN)
async def revoke(request: Request, client_id: Line) -> Response:
    """Take no further command of a client."""
    installation = rooms_of(request).installation
    await asyncio.to_thread(client_acts.revoke, installation, client_id, actor=_actor(request), method="web")
    return see_other(_BASE)


@router.post(f"{_BASE}/pair")
@allowed(Role.ADMIN)
async def pair(request: Request, role: Annotated[Role, Form()], for_s: Annotated[int, Form()] = 300) -> Response:
    """Show a code with which one client may join, and what happens, for as long as the page is looked at."""
    rooms, code = rooms_of(request), new_code()
    if for_s not in _WINDOWS:
        raise UsageError(f"for_s is {for_s}; allowed are {', '.join(map(str, _WINDOWS))}")
    key = await asyncio.to_thread(pairing_key, code, rooms.installation.settings.device.id)
    asked = Pair(role=role, for_s=for_s, key=(key or b"").hex(), by=who_is(request).voice)
    told = rooms.reader.hear(asked.model_dump(mode="json"), for_s + _SLACK_S)
    await anext(told)  # that it is open; what it is refused for, is a page of its own
    shown = page(request, "clients_pair.html", code=code, role=ROLES[role], window=_WINDOWS[for_s], here=_HERE)
    before, after = bytes(shown.body).decode().split(escape(_HERE))
    return StreamingResponse(_pairing(before, told, after), media_type="text/html; charset=utf-8")


@router.post(f"{_BASE}/code")
@allowed(Role.ADMIN)
async def set_code(request: Request, code: Line = "", again: Line = "", remove: Line = "") -> Response:
    """Set the code that Home Assistant must give, or take it away."""
    if not remove and code != again:
        raise UsageError("the two codes are not the same")
    installation, actor = rooms_of(request).installation, _actor(request)
    await asyncio.to_thread(_set_code, installation, code, actor, remove=bool(remove))
    return see_other(_BASE)


async def _pairing(before: str, told: AsyncIterator[dict[str, Any]], after: str) -> AsyncIterator[str]:
    """Give the page as it comes about; whoever leaves it closes the window."""
    yield before
    try:
        async for message in told:
            yield f"<li>{escape(_said(message))}</li>\n"
    except (RefusedError, HardwareError) as fault:
        yield f'<li class="bad">{escape(str(fault))}</li>\n'
    yield after


def _said(message: dict[str, Any]) -> str:
    if "refused" in message:
        return f"{message['client_id']} was refused: {message['refused']}; {message['left']} tries are left"
    joined = message["joined"]
    return f"{joined['client_id']} may now act as {joined['role']}; its key is {joined['fingerprint']}"


def _entries(installation: Installation) -> tuple[Entry, ...]:
    with Registry(installation.clients_file) as registry:
        return registry.entries()


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.client_id,
        "role": ROLES[entry.role],
        "since": entry.added_at.astimezone(),
        "used": entry.last_used_at.astimezone() if entry.last_used_at else None,
        "revoked": entry.revoked_at.astimezone() if entry.revoked_at else None,
        "key": fingerprint(entry.public_key),
    }


def _set_code(installation: Installation, code: str, actor: Actor, *, remove: bool) -> None:
    file = CodeFile(installation.state)
    if remove:
        file.remove()
    else:
        file.set(code)
    with installation.open_audit() as audit:
        detail = f"the code of Home Assistant was {'removed' if remove else 'changed'}"
        audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), actor, "web", detail=detail))


def _actor(request: Request) -> Actor:
    return Actor(ActorKind.OPERATOR, who_is(request).voice)
