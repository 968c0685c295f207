"""How the routes of this interface are made: guarded before anything is read, and done once where a key says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter
from fastapi.routing import APIRoute

from appliance.api.native.idempotency import once
from appliance.api.native.problems import NotThereError
from appliance.web.accounts import Kind
from appliance.web.guard import NotAllowedError, Policy, allowed, asked_by, guard

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from appliance.contract import Role
    from appliance.web.guard import E

EVENT_STREAM = "text/event-stream"
PROGRAMS = frozenset({Kind.ACCOUNT, Kind.KEY})  # our own pages' scripts have a session


class NativeRoute(APIRoute):
    """A route that is guarded before its body is read: who may not ask does not have us parse anything."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                await guard(request)
            except NotAllowedError as fault:
                if request.path_params and not _role_fits(request):
                    # Whether there is such a thing is not for them to know.
                    raise NotThereError("there is nothing of this name") from fault
                raise
            return await once(request, inner) if request.method == "POST" else await inner(request)

        return handle


def router(tag: str) -> APIRouter:
    """Return a new router of this interface."""
    return APIRouter(tags=[tag], route_class=NativeRoute)


def for_roles(roles: Iterable[Role]) -> Callable[[E], E]:
    """Mark a route that is for these roles, with a key or from our own pages."""
    return allowed(*roles, kinds=PROGRAMS)


def answers_with(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """Return what the document says of a route that answers with something else than JSON."""
    return {200: {"content": {media_type: {"schema": {"type": "string", "description": description}}}}}


def policy_of(route: APIRoute) -> Policy:
    """Return whom a route is for."""
    return cast("Policy", getattr(route.endpoint, "policy", Policy()))


def _role_fits(request: Request) -> bool:
    who = asked_by(request)
    policy = getattr(request.scope.get("endpoint"), "policy", Policy())
    return who is not None and who.role in policy.roles
