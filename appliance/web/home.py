"""The way in: sign-in, sign-out, and where one goes from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import PlainTextResponse, Response

from appliance.contract import Role
from appliance.web.guard import allowed, cookie_name, open_to_all, who_is
from appliance.web.pages import page, see_other
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.web.accounts import Accounts

router = APIRouter()


@router.get("/healthz")
@open_to_all
async def healthz() -> PlainTextResponse:
    """Tell that the web is there, and nothing else."""
    return PlainTextResponse("ok\n")


@router.get("/")
@allowed(*Role)
async def home(request: Request) -> Response:
    """Show the door."""
    return page(request, "home.html")


@router.get("/login")
@open_to_all
async def login_page(request: Request) -> Response:
    """Ask who it is."""
    return page(request, "login.html", line="")


@router.post("/logout")
@allowed(*Role)
async def logout(request: Request, csrf: Annotated[str, Form()]) -> Response:  # noqa: ARG001 - the guard reads it
    """End the session, here and on the device."""
    digest = who_is(request).session

    def end(accounts: Accounts) -> None:
        accounts.end_session(digest)

    await rooms_of(request).accounts.run(end)
    answer = see_other("/login")
    answer.delete_cookie(cookie_name(request), path="/", secure=request.url.scheme == "https", samesite="strict")
    return answer
