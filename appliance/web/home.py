"""The way in: first set-up, sign-in with its second step or a passkey, sign-out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Form, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from appliance.contract import Role
from appliance.errors import ApplianceError, RefusedError, UsageError
from appliance.records import Actor, ActorKind
from appliance.web import passkeys, setup_code
from appliance.web.account_acts import acts_of
from appliance.web.accounts import checked_account
from appliance.web.guard import address_of, allowed, cookie_name, open_to_all, who_is
from appliance.web.limits import TooManyError
from appliance.web.pages import page, see_other
from appliance.web.passwords import checked_password
from appliance.web.problems import headers_of, status_of
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.web.books import Books

router = APIRouter()

_SET_UP = Actor(ActorKind.OPERATOR, "set-up")


@router.get("/healthz")
@open_to_all
async def healthz() -> PlainTextResponse:
    """Tell that the web is there, and nothing else."""
    return PlainTextResponse("ok\n")


@router.get("/login")
@open_to_all
async def login_page(request: Request) -> Response:
    """Ask who it is; while there is no account at all, lead to the set-up."""
    if await rooms_of(request).accounts.run(lambda accounts: accounts.nobody_yet()):
        return see_other("/setup")
    return _asking(request)


@router.post("/login")
@open_to_all
async def login(request: Request, name: Annotated[str, Form()], password: Annotated[str, Form()]) -> Response:
    """Begin a session for whoever knows the password, or the half of one where a code is asked for."""
    rooms, name = rooms_of(request), name.strip().lower()
    try:
        await rooms.sign_in.demand_password(name, password, address_of(request))
    except (RefusedError, TooManyError) as fault:
        return _asking(request, fault)
    half = await rooms.accounts.run(lambda accounts: accounts.factors.has_totp(name))
    return await _begun(request, name, see_other("/login/code" if half else "/"), half=half)


@router.get("/login/code")
@open_to_all
async def code_page(request: Request) -> Response:
    """Ask for the code of the second step."""
    return page(request, "login_code.html", line="") if await _half(request) else see_other("/login")


@router.post("/login/code")
@open_to_all
async def code(request: Request, code: Annotated[str, Form()]) -> Response:
    """Begin a session for whoever knew the password a moment ago and has the code."""
    name = await _half(request)
    if not name:
        return see_other("/login")
    try:
        await rooms_of(request).sign_in.demand_code(name, code[:64], address_of(request))
    except (RefusedError, TooManyError) as fault:
        return _shown(request, "login_code.html", fault)
    return await _begun(request, name, see_other("/"))


@router.post("/login/passkey/options")
@open_to_all
async def passkey_options(request: Request) -> Response:
    """Tell the browser what a passkey is to sign."""
    return Response(rooms_of(request).passkeys.to_sign_in(request), media_type="application/json")


@router.post("/login/passkey")
@open_to_all
async def passkey(request: Request, answer: Annotated[dict[str, Any], Body()]) -> Response:
    """Begin a session for the owner of the passkey that signed."""
    rooms = rooms_of(request)
    try:
        credential_id = passkeys.credential_id_of(answer)
        found = await rooms.accounts.run(lambda accounts: accounts.factors.passkey(credential_id))
        name, uses = rooms.passkeys.signed(request, found, answer)
    except RefusedError as fault:
        return JSONResponse({"error": str(fault)}, 401)
    await rooms.accounts.run(lambda accounts: accounts.factors.used_passkey(credential_id, uses, time.time()))
    return await _begun(request, name, JSONResponse({"to": "/"}))


@router.get("/setup")
@open_to_all
async def setup_page(request: Request) -> Response:
    """Ask for the code on the device and for the first account."""
    rooms = rooms_of(request)
    if not await rooms.accounts.run(lambda accounts: accounts.nobody_yet()):
        return see_other("/login")
    return page(request, "setup.html", line="", is_open=setup_code.is_open(rooms.installation.setup_file))


@router.post("/setup")
@open_to_all
async def setup(
    request: Request,
    code: Annotated[str, Form()],
    name: Annotated[str, Form()],
    password: Annotated[str, Form()],
    again: Annotated[str, Form()],
) -> Response:
    """Make the first account, an admin, and sign it in."""
    rooms, name = rooms_of(request), name.strip().lower()
    file = rooms.installation.setup_file
    if not await rooms.accounts.run(lambda accounts: accounts.nobody_yet()):
        return see_other("/login")
    try:
        checked_account(name)
        checked_password(password, name)
        demand_twice(password, again)
        await rooms.books.run(lambda _: setup_code.demand(file, code))
        hashed = await rooms.sign_in.hashed(password, name)

        def set_up(books: Books) -> None:
            with acts_of(books, _SET_UP, "web") as acts:
                acts.set_up(name, hashed, file)

        await rooms.books.run(set_up)
    except (RefusedError, UsageError, TooManyError) as fault:
        return _shown(request, "setup.html", fault, is_open=setup_code.is_open(file))
    return await _begun(request, name, see_other("/"))


@router.post("/logout")
@allowed(*Role)
async def logout(request: Request, csrf: Annotated[str, Form()]) -> Response:  # noqa: ARG001 - the guard reads it
    """End the session, here and on the device."""
    digest = who_is(request).session
    await rooms_of(request).accounts.run(lambda accounts: accounts.end_session(digest))
    answer = see_other("/login")
    answer.delete_cookie(cookie_name(request), path="/", secure=request.url.scheme == "https", samesite="strict")
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def demand_twice(password: str, again: str) -> None:
    """Return where a new password was typed alike both times. Raises RefusedError."""
    if password != again:
        raise RefusedError("the two passwords are not the same")


def _asking(request: Request, fault: ApplianceError | None = None) -> Response:
    possible = passkeys.possible(request)
    if fault is None:
        return page(request, "login.html", line="", passkeys=possible)
    return _shown(request, "login.html", fault, passkeys=possible)


def _shown(request: Request, template: str, fault: ApplianceError, **shown: object) -> Response:
    """Return the form again, with what was wrong."""
    status = 401 if template.startswith("login") and isinstance(fault, RefusedError) else status_of(fault)
    answer = page(request, template, status=status, line=str(fault), **shown)
    answer.headers.update(headers_of(fault))
    return answer


async def _half(request: Request) -> str:
    secret = request.cookies.get(cookie_name(request), "")
    return await rooms_of(request).accounts.run(lambda accounts: accounts.half_session(secret))


async def _begun(request: Request, name: str, answer: Response, *, half: bool = False) -> Response:
    """Return the answer, which gives a new session; the browser's old one, whosever it was, is over."""
    old = request.cookies.get(cookie_name(request), "")
    secret = await rooms_of(request).accounts.run(lambda accounts: accounts.change_session(old, name, half=half))
    answer.set_cookie(
        cookie_name(request), secret, httponly=True, secure=request.url.scheme == "https", samesite="strict", path="/"
    )
    return answer
