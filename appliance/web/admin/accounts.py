"""Who may use the pages: accounts, and what an admin does with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.contract import Role
from appliance.errors import ApplianceError
from appliance.web.accounts import checked_account
from appliance.web.guard import allowed
from appliance.web.home import demand_twice
from appliance.web.me import done, in_words
from appliance.web.pages import page, see_other
from appliance.web.problems import headers_of, status_of
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

router = APIRouter()


@router.get("/accounts")
@allowed(Role.ADMIN)
async def accounts(request: Request) -> Response:
    """Show every account."""
    return await _shown(request)


@router.post("/accounts")
@allowed(Role.ADMIN)
async def add(
    request: Request,
    name: Annotated[str, Form()],
    role: Annotated[Role, Form()],
    password: Annotated[str, Form()],
    again: Annotated[str, Form()],
) -> Response:
    """Make an account."""
    name = name.strip().lower()

    async def change() -> None:
        checked_account(name)
        demand_twice(password, again)
        hashed = await rooms_of(request).sign_in.hashed(password, name)
        await done(request, lambda acts: acts.add(name, role, hashed))

    return await _after(request, change())


@router.post("/accounts/{name}/role")
@allowed(Role.ADMIN)
async def set_role(request: Request, name: str, role: Annotated[Role, Form()]) -> Response:
    """Give an account another role."""
    return await _after(request, done(request, lambda acts: acts.set_role(name, role)))


@router.post("/accounts/{name}/disable")
@allowed(Role.ADMIN)
async def disable(request: Request, name: str) -> Response:
    """Let nobody use an account."""
    return await _after(request, done(request, lambda acts: acts.disable(name)))


@router.post("/accounts/{name}/enable")
@allowed(Role.ADMIN)
async def enable(request: Request, name: str) -> Response:
    """Let an account be used again."""
    return await _after(request, done(request, lambda acts: acts.enable(name)))


@router.post("/accounts/{name}/password")
@allowed(Role.ADMIN)
async def set_password(
    request: Request, name: str, password: Annotated[str, Form()], again: Annotated[str, Form()]
) -> Response:
    """Give an account another password."""

    async def change() -> None:
        demand_twice(password, again)
        hashed = await rooms_of(request).sign_in.hashed(password, name)
        await done(request, lambda acts: acts.set_password(name, hashed))

    return await _after(request, change())


@router.post("/accounts/{name}/remove-factors")
@allowed(Role.ADMIN)
async def remove_factors(request: Request, name: str) -> Response:
    """Leave an account with its password alone."""
    return await _after(request, done(request, lambda acts: acts.remove_factors(name)))


async def _after(request: Request, change: Awaitable[None]) -> Response:
    try:
        await change
    except ApplianceError as fault:
        return await _shown(request, fault)
    return see_other("/accounts")


async def _shown(request: Request, fault: ApplianceError | None = None) -> Response:
    known = await rooms_of(request).accounts.run(lambda accounts: accounts.accounts())
    shown = [
        {
            "name": one.name,
            "role": one.role.value,
            "added": in_words(one.added_at),
            "disabled": one.disabled_at is not None,
            "totp": one.totp,
            "passkeys": one.passkeys,
        }
        for one in known
    ]
    status = 200 if fault is None else status_of(fault)
    answer = page(request, "accounts.html", status=status, line=str(fault or ""), accounts=shown, roles=list(Role))
    answer.headers.update({} if fault is None else headers_of(fault))
    return answer
