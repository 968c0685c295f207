"""One's own account: password, second step, passkeys, recovery codes, and where one is signed in."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import pyotp
from fastapi import APIRouter, Form, Request
from starlette.responses import JSONResponse, Response

from appliance.contract import Role
from appliance.drivers.qr import modules
from appliance.errors import ApplianceError, RefusedError, UsageError
from appliance.records import Actor, ActorKind
from appliance.web import passkeys
from appliance.web.account_acts import AccountActs, acts_of
from appliance.web.guard import address_of, allowed, who_is
from appliance.web.home import demand_twice
from appliance.web.pages import page, see_other
from appliance.web.problems import headers_of, status_of
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from appliance.web.accounts import Accounts
    from appliance.web.books import Books

router = APIRouter()
T = TypeVar("T")
_LABEL = 60  # letters by which an owner tells passkeys apart


@router.get("/me")
@allowed(*Role)
async def me(request: Request) -> Response:
    """Show what one's own account is opened with."""
    return await _shown(request)


@router.post("/me/password")
@allowed(*Role)
async def set_password(
    request: Request,
    password: Annotated[str, Form()],
    new: Annotated[str, Form()],
    again: Annotated[str, Form()],
) -> Response:
    """Take another password; every other session ends."""
    who = who_is(request)
    try:
        demand_twice(new, again)
        await demand_password(request, password)
        hashed = await rooms_of(request).sign_in.hashed(new, who.name)
    except ApplianceError as fault:
        return await _shown(request, fault)
    await done(request, lambda acts: acts.set_password(who.name, hashed, who.session))
    return see_other("/me")


@router.post("/me/sessions/end")
@allowed(*Role)
async def end_session(request: Request, digest: Annotated[str, Form()] = "") -> Response:
    """End one of one's own other sessions, or all of them."""
    who = who_is(request)

    def end(accounts: Accounts) -> None:
        if not digest:
            accounts.end_sessions(who.name, who.session)
        elif any(one.digest == digest for one in accounts.sessions(who.name)):
            accounts.end_session(digest)

    await rooms_of(request).accounts.run(end)
    return see_other("/me")


@router.post("/me/totp")
@allowed(*Role)
async def begin_totp(request: Request, password: Annotated[str, Form()]) -> Response:
    """Show a new secret for an authenticator, as a code to read in and in letters."""
    name = who_is(request).name
    try:
        await demand_password(request, password)
        secret = await rooms_of(request).accounts.run(lambda accounts: accounts.factors.begin_totp(name))
    except ApplianceError as fault:
        return await _shown(request, fault)
    device = rooms_of(request).installation.settings.device
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=f"Ostiary {device.door}")
    code = modules(uri)
    return page(request, "totp.html", secret=secret, side=len(code), drawn=_drawn(code))


@router.post("/me/totp/confirm")
@allowed(*Role)
async def confirm_totp(request: Request, code: Annotated[str, Form()]) -> Response:
    """Ask for codes from now on, and show the recovery codes once."""
    name = who_is(request).name
    try:
        codes = await done(request, lambda acts: acts.confirm_totp(name, code[:16], time.time()))
    except RefusedError as fault:
        return await _shown(request, fault)
    return page(request, "recovery.html", codes=codes)


@router.post("/me/totp/off")
@allowed(*Role)
async def remove_totp(request: Request, password: Annotated[str, Form()]) -> Response:
    """Ask for no codes any more."""
    name = who_is(request).name
    try:
        await demand_password(request, password)
    except ApplianceError as fault:
        return await _shown(request, fault)
    await done(request, lambda acts: acts.remove_totp(name))
    return see_other("/me")


@router.post("/me/recovery")
@allowed(*Role)
async def new_recovery_codes(request: Request, password: Annotated[str, Form()]) -> Response:
    """Show new recovery codes once, and take the old ones no more."""
    name = who_is(request).name
    try:
        await demand_password(request, password)
        codes = await done(request, lambda acts: acts.new_recovery_codes(name))
    except ApplianceError as fault:
        return await _shown(request, fault)
    return page(request, "recovery.html", codes=codes)


@router.post("/me/passkeys/options")
@allowed(*Role)
async def passkey_options(request: Request, password: Annotated[str, Form()]) -> Response:
    """Tell the browser what to make a passkey from."""
    rooms, name = rooms_of(request), who_is(request).name
    try:
        await demand_password(request, password)
        known = await rooms.accounts.run(lambda accounts: accounts.factors.passkeys(name))
        options = rooms.passkeys.to_register(request, name, known)
    except ApplianceError as fault:
        return JSONResponse({"error": str(fault)}, status_of(fault), headers_of(fault))
    return Response(options, media_type="application/json")


@router.post("/me/passkeys")
@allowed(*Role)
async def add_passkey(request: Request, label: Annotated[str, Form()], answer: Annotated[str, Form()]) -> Response:
    """Keep the passkey that the browser made."""
    rooms, name = rooms_of(request), who_is(request).name
    try:
        made = rooms.passkeys.registered(request, name, label.strip()[:_LABEL] or "passkey", _read(answer), time.time())
        await done(request, lambda acts: acts.add_passkey(made))
    except ApplianceError as fault:
        return JSONResponse({"error": str(fault)}, status_of(fault), headers_of(fault))
    return JSONResponse({"to": "/me"})


@router.post("/me/passkeys/remove")
@allowed(*Role)
async def remove_passkey(request: Request, passkey: Annotated[str, Form()]) -> Response:
    """Take one of one's own passkeys no more."""
    name = who_is(request).name
    try:
        credential_id = bytes.fromhex(passkey)
    except ValueError as fault:
        raise UsageError("there is no such passkey") from fault
    await done(request, lambda acts: acts.remove_passkey(name, credential_id))
    return see_other("/me")


async def demand_password(request: Request, password: str) -> None:
    """Return where this is the password of whoever is signed in. Raises RefusedError, TooManyError."""
    await rooms_of(request).sign_in.demand_password(who_is(request).name, password, address_of(request))


async def done(request: Request, act: Callable[[AccountActs], T]) -> T:
    """Return what a use-case of accounts gives, in the name of whoever asks. Raises as the use-case."""
    by = Actor(ActorKind.OPERATOR, who_is(request).voice)

    def do(books: Books) -> T:
        with acts_of(books, by, "web") as acts:
            return act(acts)

    return await rooms_of(request).books.run(do)


async def _shown(request: Request, fault: ApplianceError | None = None) -> Response:
    who = who_is(request)

    def of(accounts: Accounts) -> dict[str, object]:
        factors = accounts.factors
        return {
            "totp": factors.has_totp(who.name),
            "codes_left": factors.recovery_codes_left(who.name),
            "sessions": [
                {
                    "digest": one.digest,
                    "begun": in_words(one.begun_at),
                    "used": in_words(one.used_at),
                    "this": one.digest == who.session,
                }
                for one in accounts.sessions(who.name)
            ],
            "passkeys": [
                {
                    "id": one.credential_id.hex(),
                    "label": one.label,
                    "added": in_words(one.added_at),
                    "used": in_words(one.used_at),
                }
                for one in factors.passkeys(who.name)
            ],
        }

    shown = await rooms_of(request).accounts.run(of)
    possible, status = passkeys.possible(request), 200 if fault is None else status_of(fault)
    answer = page(request, "me.html", status=status, line=str(fault or ""), possible=possible, **shown)
    answer.headers.update({} if fault is None else headers_of(fault))
    return answer


def in_words(at: float | None) -> str:
    """Return a time for people, in UTC; "never" for none."""
    return "never" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _drawn(code: NDArray[np.bool_]) -> str:
    """Return the dark modules of a code as the path of an SVG, one unit a module."""
    return "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(code) for x, dark in enumerate(row) if dark)


def _read(answer: str) -> dict[str, object]:
    try:
        read = json.loads(answer)
    except ValueError as fault:
        raise UsageError("the browser's answer cannot be read") from fault
    if not isinstance(read, dict):
        raise UsageError("the browser's answer cannot be read")
    return read
