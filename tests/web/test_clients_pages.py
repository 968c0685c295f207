"""The clients page: who is let in and out, a pairing watched in a browser, and Home Assistant's code."""

from __future__ import annotations

import html
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.clients import Registry
from appliance.contract import Role
from appliance.errors import RefusedError
from appliance.home_assistant.code import CodeFile
from appliance.pairing import new_code
from appliance.signing import public_text
from ostiary_client.joining import join
from tests.broker import wait_for
from tests.web.conftest import context_of
from tests.web.running import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from appliance.broker import PrivateBroker
    from appliance.commands.options import Installation
    from tests.web.running import Door, Web


@pytest.fixture(scope="module")
def installation(broker: PrivateBroker) -> Iterator[Installation]:
    """Give an installation with a real broker."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        yield installed(Path(folder), mqtt=broker.settings.model_dump())


def sent(web: Web, role: Role, verb: str, /, **fields: str) -> tuple[int, str]:
    """Send one form of the page; return the status and the text."""
    with web.client(role) as client:
        answer = client.post(f"/clients/{verb}", data={"csrf": web.csrf(role), **fields})
    return answer.status_code, html.unescape(answer.text).lower()


def told(installation: Installation) -> list[tuple[str, str]]:
    """Return who did what, as the log has it."""
    with installation.open_audit() as audit:
        return [(one.event.actor.id, one.event.detail) for one in audit.read() if one.event.actor is not None]


def test_client_is_let_in_and_out(web: Web, installation: Installation) -> None:
    """J8, D4: a client is let in by its key and revoked, the log says by whom, and its key is never let in again."""
    form = {"client_id": "desk", "role": "operator", "public_key": public_text(Ed25519PrivateKey.generate())}
    assert sent(web, Role.ADMIN, "add", **form)[0] == 303
    with web.client(Role.AUDITOR) as client:
        assert "desk" in client.get("/clients").text
    assert sent(web, Role.ADMIN, "revoke", client_id="desk")[0] == 303
    status, text = sent(web, Role.ADMIN, "add", **form)
    assert (status, "the key was revoked, and stays so" in text) == (409, True)
    said = [detail for who, detail in told(installation) if who == "web:admin"]
    assert [line.split(", key")[0] for line in said] == ["client desk added as operator", "client desk revoked"]


@pytest.mark.parametrize(
    ("verb", "fields", "status"),
    [
        ("add", {"client_id": "../../etc", "role": "admin", "public_key": "x"}, 422),
        ("add", {"client_id": "a", "role": "root", "public_key": "x"}, 422),
        ("add", {"client_id": "a", "role": "admin", "public_key": "$(reboot)"}, 422),
        ("revoke", {"client_id": "' OR 1=1 --"}, 409),
        ("pair", {"role": "admin", "for_s": "86400"}, 422),
        ("code", {"code": "123457", "again": "123456"}, 422),
        ("code", {"code": "123456", "again": "123456"}, 409),
        ("code", {"code": "'; DROP", "again": "'; DROP"}, 409),
    ],
)
def test_hostile_fields_are_one_line(
    web: Web, installation: Installation, verb: str, fields: dict[str, str], status: int
) -> None:
    """E2, E3: what is no id, key, role or code is refused in one line, and nobody is let in or out."""
    before = told(installation)
    assert sent(web, Role.ADMIN, verb, **fields)[0] == status
    assert told(installation) == before


def test_clients_are_an_admins(web: Web) -> None:
    """E12: auditors see who may command, nobody but an admin changes it, and others see nothing."""
    for role in set(Role) - {Role.ADMIN}:
        with web.client(role) as client:
            answer = client.get("/clients")
        assert answer.status_code == (200 if role is Role.AUDITOR else 403)
        assert 'action="/clients' not in answer.text
        for verb in ("add", "revoke", "pair", "code"):
            assert sent(web, role, verb, client_id="a", role="admin", public_key="x", for_s="60")[0] == 403


def test_code_of_home_assistant(web: Web, installation: Installation) -> None:
    """J8: the code is set and taken away, and neither page nor log says it."""
    assert sent(web, Role.ADMIN, "code", code="739154", again="739154")[0] == 303
    assert CodeFile(installation.state).is_set
    with web.client(Role.ADMIN) as client:
        text = client.get("/clients").text
    assert "A code is set" in text
    assert "739154" not in text + str(told(installation))
    assert sent(web, Role.ADMIN, "code", remove="yes")[0] == 303
    assert not CodeFile(installation.state).is_set


def test_pairing_needs_a_reader(web: Web) -> None:
    """Without a reader no code is shown: nobody could use it."""
    status, text = sent(web, Role.ADMIN, "pair", role="operator", for_s="60")
    assert (status, "reader is not running" in text) == (503, True)


def test_pairing_is_watched_in_a_browser(web: Web, door: Door, installation: Installation, chromium: Browser) -> None:
    """D1, J8: a code on the page lets one client in, a wrong one is told at once, and leaving the page ends it."""
    mqtt = installation.settings.mqtt
    assert door.service is not None
    wait_for(lambda: door.service is not None and (vitals := door.service.vitals().broker) and vitals.connected)
    with context_of(chromium, web, Role.ADMIN) as context:
        page = context.new_page()
        page.goto("/clients")
        page.get_by_label("Role").first.select_option("operator")
        page.get_by_role("button", name="Show a code").click(no_wait_after=True)
        code = page.locator(".pairing-code").inner_text()
        with pytest.raises(RefusedError, match="not the code that it shows"):
            join(mqtt, "front", "eve", Ed25519PrivateKey.generate(), new_code(), timeout_s=5)
        page.get_by_text("eve was refused").wait_for(timeout=8000)
        assert join(mqtt, "front", "phone", Ed25519PrivateKey.generate(), code) is Role.OPERATOR
        page.get_by_text("phone may now act as operator").wait_for(timeout=8000)
        page.goto("/clients")
        page.get_by_role("row", name="phone").wait_for()
        page.get_by_role("button", name="Show a code").click(no_wait_after=True)
        page.locator(".pairing-code").wait_for()
        page.goto("/clients")  # and with it the first window, or the next could not be opened
        page.get_by_role("button", name="Show a code").click(no_wait_after=True)
        page.locator(".pairing-code").wait_for()
        page.goto("about:blank")
    with Registry(installation.clients_file) as registry:
        assert registry.find("eve") is None
    assert any(who == "web:admin" and "client phone joined" in detail for who, detail in told(installation))
