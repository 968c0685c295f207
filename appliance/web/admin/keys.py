"""API keys: what programs show instead of signing in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.contract import Role
from appliance.errors import ApplianceError
from appliance.web.guard import allowed
from appliance.web.me import done, in_words
from appliance.web.pages import page
from appliance.web.problems import status_of
from appliance.web.rooms import rooms_of

router = APIRouter()


@router.get("/keys")
@allowed(Role.ADMIN)
async def keys(request: Request) -> Response:
    """Show every API key."""
    return await _shown(request)


@router.post("/keys")
@allowed(Role.ADMIN)
async def add(
    request: Request,
    name: Annotated[str, Form()],
    role: Annotated[Role, Form()],
    answers_for: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Make an API key, and show its secret this once."""
    name = name.strip().lower()
    try:
        secret = await done(request, lambda acts: acts.add_key(name, role, answers_for))
    except ApplianceError as fault:
        return await _shown(request, fault)
    return await _shown(request, new=name, secret=secret)


@router.post("/keys/{name}/revoke")
@allowed(Role.ADMIN)
async def revoke(request: Request, name: str) -> Response:
    """Let an API key do nothing more."""
    try:
        await done(request, lambda acts: acts.revoke_key(name))
    except ApplianceError as fault:
        return await _shown(request, fault)
    return await _shown(request)


async def _shown(request: Request, fault: ApplianceError | None = None, new: str = "", secret: str = "") -> Response:
    known = await rooms_of(request).accounts.run(lambda accounts: accounts.api_keys())
    shown = [
        {
            "name": one.name,
            "role": one.role.value,
            "answers_for": one.answers_for,
            "added": in_words(one.added_at),
            "used": in_words(one.used_at),
            "revoked": one.revoked_at is not None,
        }
        for one in known
    ]
    status = 200 if fault is None else status_of(fault)
    return page(
        request,
        "keys.html",
        status=status,
        line=str(fault or ""),
        keys=shown,
        roles=list(Role),
        new=new,
        secret=secret,
    )
