"""What a real browser makes of it: nothing foreign runs, frames, signs in, or stays to be seen."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from appliance.config import Settings
from appliance.contract import EventType, Role
from appliance.people.gallery import Consent
from appliance.records import Actor, ActorKind, Embedding, Event, Grade
from appliance.web.accounts import Accounts
from appliance.web.factors import Passkey
from tests.web.conftest import context_of
from tests.web.running import PASSWORD, free_port
from tests.web.test_routes import WAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, CDPSession, Page

    from tests.web.running import Web

MARKUP = "\"><img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>{{7*7}}\u202e"
PAGES = sorted({way.path for way in WAYS if way.method == "GET" and "{" not in way.path})
NOT_PAGES = ("/api/", "/face/", "/kiosk", "/preview", "/overview/changes", "/healthz", ".csv", ".jsonl")
REPORTING = """
    window.reported = [];
    document.addEventListener("securitypolicyviolation", (one) => {
        reported.push(`${one.violatedDirective} ${one.blockedURI}`);
    });
"""


@pytest.fixture(scope="module")
def haunted(web: Web) -> str:
    """Put markup wherever somebody may write text; return the id of a person of that name."""
    with web.installation.open_gallery() as gallery:
        consent = Consent(MARKUP, datetime(2026, 3, 1, tzinfo=UTC), "en", "1", "0" * 64)
        face = (Embedding(np.eye(1, 64, dtype=np.float32)[0], "m"), Grade.HIGH)
        person_id = gallery.add(MARKUP, consent, [face], notes=MARKUP, external_id=MARKUP[:40]).person_id
    with Accounts(web.installation.web_file) as accounts:
        accounts.add_key("haunted", Role.AUDITOR, MARKUP)
        accounts.factors.add_passkey(Passkey(b"x", "admin", MARKUP, b"x", 0, 0.0, None))
    with web.installation.open_audit() as audit:
        actor = Actor(ActorKind.CLIENT, MARKUP)
        audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), actor, MARKUP, detail=MARKUP))
    return person_id


@contextmanager
def foreign_site(page: str, cookie: str = "") -> Iterator[str]:
    """Serve a page of somebody else's on this machine, and give its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            if cookie:
                self.send_header("Set-Cookie", cookie)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the library's own
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="foreign")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def sign_in(page: Page, name: str) -> None:
    """Fill in the form to sign in with."""
    page.goto("/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_markup_is_text_on_every_page(web: Web, haunted: str, chromium: Browser) -> None:
    """E14: people, keys, passkeys and log entries whose texts are markup: nothing runs, and nothing is even tried.

    The browser reports each breach of the policy; of our own pages there is none either, on any page there is.
    """
    shown = [path for path in PAGES if not any(part in path for part in NOT_PAGES)]
    paths = [
        *shown,
        f"/people/{haunted}",
        f"/people/{haunted}/erase",
        f"/people/{haunted}/alike",
        "/people?q=%3Cscript%3E",
    ]
    told: list[str] = []
    with context_of(chromium, web, Role.ADMIN) as context:
        context.add_init_script(REPORTING)
        page = context.new_page()
        page.on("dialog", lambda dialog: told.append(f"dialog: {dialog.message}"))
        page.on("pageerror", lambda fault: told.append(f"script: {fault}"))
        texts = ""
        for path in paths:
            page.goto(path)
            told.extend(f"{path}: {one}" for one in page.evaluate("window.reported"))
            assert "run" not in page.title().split()
            assert page.locator("img[src='x']").count() == 0
            texts += page.locator("main").inner_text()
    assert told == []
    assert texts.count("<img src=x") >= 4  # and it was there to be seen
    assert "49\u202e" not in texts


@pytest.mark.parametrize("key", ["id", "door"])
@pytest.mark.parametrize("name", ["<script>", "a b", "front\n", "\u202efront", "x" * 64, ""])
def test_a_device_has_a_plain_name(key: str, name: str) -> None:
    """E14: names of device and door are on every page and in every topic; markup in them stops the start."""
    with pytest.raises(ValidationError):
        Settings.model_validate({"device": {key: name}})


@pytest.mark.parametrize("path", ["/login", "/accounts", "/door"])
def test_no_page_shows_in_a_frame(web: Web, chromium: Browser, path: str) -> None:
    """E15: a page elsewhere cannot lay ours under its own buttons (clickjacking)."""
    with (
        foreign_site(f'<iframe src="{web.url}{path}"></iframe>') as site,
        context_of(chromium, web, Role.ADMIN) as context,
    ):
        page = context.new_page()
        page.goto(site)
        page.wait_for_load_state("networkidle")
        frame = page.frames[1]
        assert frame.locator("main").count() == 0
        assert frame.locator("form").count() == 0


def test_a_foreign_page_changes_nothing(web: Web, chromium: Browser) -> None:
    """E11: a form of another port, which the browser sends with the cookie, and a script's request are refused."""
    form = f'<form method="post" action="{web.url}/accounts/auditor/disable"><input name="csrf" value="x"><button>'
    with foreign_site(form) as site, context_of(chromium, web, Role.ADMIN) as context:
        page = context.new_page()
        page.goto(site)
        with page.expect_response("**/disable") as answered:
            page.get_by_role("button").click()
        assert answered.value.status == 403
        assert "ostiary" in answered.value.request.all_headers().get("cookie", "")
        page.goto(site)
        read = page.evaluate(
            "url => fetch(url, {credentials: 'include'}).then(answer => answer.text(), fault => 'refused')",
            f"{web.url}/me",
        )
        assert read == "refused"
    with Accounts(web.installation.web_file) as accounts:
        assert all(one.disabled_at is None for one in accounts.accounts())


def test_a_planted_session_is_not_taken_over(web: Web, chromium: Browser) -> None:
    """E8: a session that somebody put into the browser beforehand does not become the victim's (session fixation)."""
    planted = web.session(Role.RECOGNISER)
    cookie = f"ostiary={planted}; Path=/"
    with foreign_site("hello", cookie) as site, context_of(chromium, web, None) as context:
        page = context.new_page()
        page.goto(site)
        sign_in(page, "auditor")
        assert page.locator("a[href='/me']").inner_text() == "auditor"
        kept = [one["value"] for one in context.cookies() if one["name"] == "ostiary"]
        assert planted not in kept
    with Accounts(web.installation.web_file) as accounts:
        who = accounts.session(planted)
        assert who is None or who.name == "recogniser"


def test_after_signing_out_the_way_back_shows_nothing(web: Web, chromium: Browser) -> None:
    """E15: whoever uses the browser next sees no page of before: pages are not kept."""
    with context_of(chromium, web, None) as context:
        page = context.new_page()
        sign_in(page, "admin")
        page.goto("/accounts")
        assert page.get_by_role("heading", level=1).inner_text() == "Accounts"
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")
        page.go_back()
        assert page.get_by_role("heading", level=1).inner_text() == "Sign in"
        assert context.cookies() == []


def authenticator_of(page: Page) -> CDPSession:
    """Give the browser a passkey's device that needs no finger."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session


def test_a_passkey_signs_in(web: Web, chromium: Browser) -> None:
    """E9: made with the password on one's own page, it signs in alone by our name, and no more once it is removed."""
    with chromium.new_context(base_url=web.url.replace("127.0.0.1", "localhost")) as context:
        page = context.new_page()
        authenticator_of(page)
        sign_in(page, "operator")
        page.goto("/me")
        page.get_by_label("What to call it").fill("telephone")
        page.locator("#passkey-add").get_by_label("Password").fill("not the password")
        page.get_by_role("button", name="Add a passkey").click()
        page.get_by_text("the name or the password is wrong").wait_for()
        page.locator("#passkey-add").get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Add a passkey").click()
        page.get_by_text("telephone since").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Use a passkey").click()
        page.wait_for_url("**/")
        page.goto("/me")
        assert page.get_by_role("heading", level=1).inner_text() == "operator"
        page.get_by_role("button", name="Remove").click()
        page.goto("/me")
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Use a passkey").click()
        page.get_by_text("this passkey is not known here").wait_for()
    with web.installation.open_audit() as audit:
        told = [entry.event.detail for entry in audit.read()]
    assert told.count("account operator: passkey added") == 1
    assert told.count("account operator: passkey removed") == 1
    with chromium.new_context(base_url=web.url) as context:
        page = context.new_page()
        page.goto("/login")
        assert page.get_by_role("button", name="Use a passkey").count() == 0
