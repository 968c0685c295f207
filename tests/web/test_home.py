"""The way in, in HTTP and in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.contract import Role
from tests.web.conftest import context_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.web.running import Door, Web


def test_nobody_is_sent_to_sign_in(web: Web) -> None:
    """E7: whoever is not signed in sees no page but the one to sign in on."""
    with web.client(None) as client:
        answer = client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_home_names_the_door(web: Web, chromium: Browser) -> None:
    """Whoever is signed in sees which door this is."""
    with context_of(chromium, web, Role.OPERATOR) as context:
        page = context.new_page()
        page.goto("/")
        assert page.get_by_role("heading", level=1).inner_text() == "front"


def test_reader_carries_out_what_the_web_asks(web: Web, door: Door) -> None:
    """The web asks a running reader for a verb, in the name of an account, and the audit log says so."""
    with web.client(Role.OPERATOR) as client:
        assert client.get("/healthz").text == "ok\n"
