"""Every route there is, of the pages and of the interfaces for programs, and whom it is for."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from appliance.contract import Role
from appliance.people.gallery import Consent
from appliance.records import Embedding, Grade
from appliance.web.accounts import Kind
from appliance.web.app import make_app
from tests.web.running import installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx

    from appliance.web.guard import Policy
    from tests.web.running import Web

NOBODY = "00000000-0000-4000-8000-000000000000"
DOCS = Path(__file__).parents[2] / "docs" / "web.md"


@dataclass(frozen=True)
class Way:
    """A route by one method, with something in place of what its path leaves open."""

    method: str
    path: str
    policy: Policy | None

    def filled(self, person_id: str = NOBODY) -> str:
        """Return the path as somebody may ask for it: of this person, and of nothing else that is there."""
        return re.sub(r"\{[^}]+\}", NOBODY, self.path.replace("{person_id}", person_id))

    def __str__(self) -> str:
        """Return how tests and docs/web.md call it."""
        return f"{self.method} {self.path}"


def ways_of(routes: Iterable[Any], prefix: str = "") -> Iterator[Way]:
    """Give every way that leads to a route, through everything that is included and mounted."""
    for route in routes:
        if (included := getattr(route, "original_router", None)) is not None:
            yield from ways_of(included.routes, prefix + route.include_context.prefix)
        elif isinstance(route, Mount):
            if not isinstance(route.app, StaticFiles):
                yield from ways_of(route.routes, prefix + route.path)
        else:
            policy = getattr(route.endpoint, "policy", None)
            yield from (Way(method, prefix + route.path, policy) for method in sorted(route.methods))


def every_way() -> tuple[Way, ...]:
    """Return all of them."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(ways_of(make_app(installed(Path(folder))).routes))


WAYS = every_way()
GUARDED = tuple(way for way in WAYS if way.policy is not None and not way.policy.everybody)


def asked(client: httpx.Client, way: Way, headers: dict[str, str] | None = None, person_id: str = NOBODY) -> int:
    """Return the status of the answer, for the sign-in 401; only refusals are read to their end."""
    with client.stream(way.method, way.filled(person_id), headers=headers) as answer:
        if answer.status_code >= 300:
            answer.read()
        if (answer.status_code, answer.headers.get("location")) == (303, "/login"):
            return 401
        return answer.status_code


def is_for(way: Way, role: Role | None, kind: Kind) -> bool:
    """Tell whether a way is for whoever has this role and proved it like this."""
    policy = way.policy
    return policy is not None and kind in policy.kinds and (role is None or role in policy.roles)


@pytest.fixture(scope="module")
def ada(web: Web) -> str:
    """Give the id of somebody who is enrolled."""
    consent = Consent("Ada Lovelace", datetime(2026, 3, 1, tzinfo=UTC), "en", "1", "0" * 64)
    with web.installation.open_gallery() as gallery:
        face = (Embedding(np.eye(1, 64, dtype=np.float32)[0], "m"), Grade.HIGH)
        return gallery.add("Ada Lovelace", consent, [face]).person_id


def test_there_are_routes() -> None:
    """E7: the walk reaches pages, what is mounted, and what is behind names in a path."""
    known = {str(way) for way in WAYS}
    assert {"GET /login", "POST /login", "GET /accounts", "POST /accounts/{name}/role"} <= known
    assert any(way.path.startswith("/face/") for way in WAYS)
    assert any(way.path.startswith("/api/v1/") for way in WAYS)


def test_every_route_says_whom_it_is_for() -> None:
    """E7: a route without a mark would be for nobody; there is none, not even one that a framework adds by itself."""
    assert [str(way) for way in WAYS if way.policy is None] == []


def test_routes_that_are_open_are_listed() -> None:
    """E7: what needs no session is in the one list of docs/web.md, and nothing else is."""
    text = DOCS.read_text(encoding="utf-8").partition("## What is open to all")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `((?:GET|POST|PUT|PATCH|DELETE) [^`]+)` \|", text, re.MULTILINE))
    assert {str(way) for way in WAYS if way.policy is not None and way.policy.everybody} == listed


def let_in(client: httpx.Client, refusals: set[int], way: Way, headers: dict[str, str], person_id: str) -> list[str]:
    """Return what is wrong: that a way was answered with none of these refusals."""
    status = asked(client, way, headers, person_id)
    # Of a thing that has a name, whoever may not see it is not told whether it is there.
    fine = status in refusals or (403 in refusals and status == 404 and "{" in way.path)
    return [] if fine else [f"{way}: {status}"]


def test_nobody_gets_in_by_any_route(web: Web, ada: str) -> None:
    """E7: without anything, and with a forged session or key, every other route is 401, 403 or the sign-in."""
    forged = [{}, {"Cookie": "ostiary=forged", "Authorization": "Bearer osk_forged"}]
    with web.client(None) as client:
        wrong = [let_in(client, {401}, way, headers, ada) for way in GUARDED for headers in forged]
    assert list(chain(*wrong)) == []


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("kind", [Kind.ACCOUNT, Kind.KEY])
def test_no_role_gets_in_where_it_may_not(web: Web, ada: str, role: Role, kind: Kind) -> None:
    """E12: each role, by session and by key, is refused on every route that is not for it."""
    headers = {"X-API-Key": web.key(role, f"walk-{role.value}")} if kind is Kind.KEY else {}
    with web.client(role if kind is Kind.ACCOUNT else None) as client:
        wrong = [let_in(client, {403}, way, headers, ada) for way in GUARDED if not is_for(way, role, kind)]
    assert list(chain(*wrong)) == []


def test_the_screen_at_the_door_gets_nowhere_else(web: Web, ada: str) -> None:
    """E12: the session of the screen opens the screen's own routes and no page of people, records or settings."""
    headers = {"Cookie": f"ostiary={web.kiosk()}"}
    with web.client(None) as client:
        wrong = [let_in(client, {403}, way, headers, ada) for way in GUARDED if not is_for(way, None, Kind.KIOSK)]
    assert list(chain(*wrong)) == []


def test_a_change_needs_a_form_of_the_session(web: Web) -> None:
    """E11: every route that changes something refuses an admin's session whose form holds no token."""
    changes = [way for way in GUARDED if way.method not in {"GET", "HEAD", "OPTIONS"}]
    with web.client(Role.ADMIN) as client:
        wrong = [let_in(client, {400, 403, 422}, way, {}, NOBODY) for way in changes]
    assert list(chain(*wrong)) == []
