"""The guard: which routes are for whom. A route that does not say so is for nobody."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from starlette.requests import Request  # noqa: TC002 - FastAPI reads it

from appliance.contract import Role
from appliance.errors import ApplianceError
from appliance.faces.sessions import TOKEN_PREFIX
from appliance.web.accounts import KEY_PREFIX, Kind, Who
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.web.accounts import Accounts

E = TypeVar("E", bound="Callable[..., Any]")

COOKIE = "ostiary"  # over TLS with the prefix that binds it to this host
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
READERS = frozenset(Role)  # of pages that show nothing of people
UNGUARDED = "/static/"  # files that are the same everywhere


class NobodyError(ApplianceError):
    """Nobody is signed in, or the key is nobody's."""


class NotAllowedError(ApplianceError):
    """Whoever asks is known, and this is not theirs to ask."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom a route is for."""

    roles: frozenset[Role] = frozenset()
    kinds: frozenset[Kind] = frozenset({Kind.ACCOUNT})
    everybody: bool = False


def open_to_all(endpoint: E) -> E:
    """Mark a route that needs no session: sign-in, first boot, health. Each is listed in docs/security.md."""
    cast("Any", endpoint).policy = Policy(everybody=True)
    return endpoint


def allowed(*roles: Role, kinds: frozenset[Kind] = frozenset({Kind.ACCOUNT})) -> Callable[[E], E]:
    """Mark a route that is for whoever has one of these roles, and proved it in one of these ways."""

    def mark(endpoint: E) -> E:
        cast("Any", endpoint).policy = Policy(frozenset(roles), kinds)
        return endpoint

    return mark


def at_the_door(endpoint: E) -> E:
    """Mark a route that is for the screen at the door alone."""
    cast("Any", endpoint).policy = Policy(kinds=frozenset({Kind.KIOSK}))
    return endpoint


def for_showing(endpoint: E) -> E:
    """Mark a route that is for whoever holds the token of a liveness session, and for nobody else."""
    cast("Any", endpoint).policy = Policy(kinds=frozenset({Kind.SHOWING}))
    return endpoint


async def meet(request: Request) -> None:
    """Find out who sent the request, and count it, before anything else of it is read.

    A fault of that waits for the guard, so that it is told in the words of the application that was asked.
    """
    request.scope["who"], request.scope["unmet"] = None, None
    if request.url.path.startswith(UNGUARDED):
        return
    try:
        request.scope["who"] = who = await _known(request)
        if who is not None:
            rooms_of(request).limits.take(who.voice)
    except ApplianceError as fault:
        request.scope["unmet"] = fault


async def guard(request: Request) -> None:
    """Let the request through to its route, with `who_is` set, or raise NobodyError, NotAllowedError or TooManyError.

    The first dependency of every application of the web.
    """
    policy = getattr(request.scope.get("endpoint"), "policy", None)
    if (fault := request.scope["unmet"]) is not None:
        raise fault
    who = asked_by(request)
    if policy is not None and policy.everybody:
        return
    if who is None:
        raise NobodyError("sign in first")
    if policy is None or who.kind not in policy.kinds or not (who.role in policy.roles or who.role is None):
        raise NotAllowedError("this is not for you: another role is needed")
    await _demand_own_form(request, who)


def who_is(request: Request) -> Who:
    """Return who sent the request, on a route that is not open to all."""
    who = asked_by(request)
    if who is None:
        raise NobodyError("sign in first")
    return who


def asked_by(request: Request) -> Who | None:
    """Return who sent the request; None for nobody who is known."""
    return cast("Who | None", request.scope.get("who"))


def address_of(request: Request) -> str:
    """Return the address that the request came from; "" where there is none."""
    return request.client.host if request.client is not None else ""


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie."""
    return f"__Host-{COOKIE}" if request.url.scheme == "https" else COOKIE


async def _known(request: Request) -> Who | None:
    bearer = _bearer_of(request)
    if bearer.startswith(TOKEN_PREFIX):
        session = rooms_of(request).sessions.of_token(bearer)
        return None if session is None else Who(Kind.SHOWING, session.session_id, None)
    key = _key_of(request)
    secret = request.cookies.get(cookie_name(request), "")

    def find(accounts: Accounts) -> Who | None:
        return accounts.key(key) if key else accounts.session(secret)

    return await rooms_of(request).accounts.run(find) if key or secret else None


def _key_of(request: Request) -> str:
    """Return the API key that came with the request; "" for none. A key wins over a session."""
    bearer = _bearer_of(request)
    if bearer.startswith(KEY_PREFIX):
        return bearer
    return request.headers.get("ocp-apim-subscription-key", "") or request.headers.get("x-api-key", "")


def _bearer_of(request: Request) -> str:
    """Return what was sent as a bearer's token; "" for none."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return bearer if scheme.lower() == "bearer" else ""


async def _demand_own_form(request: Request, who: Who) -> None:
    """Raise NotAllowedError for a change that another site may have had a browser ask for."""
    if request.method in SAFE or who.kind in {Kind.KEY, Kind.SHOWING}:  # no browser sends these by itself
        return
    said = request.headers.get("x-csrf-token", "")
    if not said and request.headers.get("content-type", "").startswith(("application/x-www-form", "multipart/form")):
        said = str((await request.form()).get("csrf", ""))
    if not who.csrf or not hmac.compare_digest(said.encode(), who.csrf.encode()):
        raise NotAllowedError("the form is out of date, or was not ours; load the page again")
