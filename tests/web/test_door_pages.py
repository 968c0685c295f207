"""The door page, with a real door behind it and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.contract import Role
from tests.broker import wait_for
from tests.web.conftest import context_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from appliance.commands.options import Installation
    from tests.web.running import Door, Web


def sent(web: Web, role: Role, verb: str, **fields: str) -> tuple[int, str]:
    """Send one form of the door page; return the status, and where it leads to or what it says."""
    with web.client(role) as client:
        answer = client.post(f"/door/{verb}", data={"csrf": web.csrf(role), **fields})
    return answer.status_code, answer.headers.get("location", answer.text.lower())


def ended(web: Web, ruling: str) -> None:
    """End what rules the door, once the lock has rested after having been locked."""
    wait_for(lambda: sent(web, Role.OPERATOR, "release", of=ruling) == (303, "/door"))


def test_page_without_reader_says_so(web: Web) -> None:
    """A1, E7: without a reader the page is there, says so, and offers nothing that could not be done."""
    with web.client(Role.OPERATOR) as client:
        answer = client.get("/door")
    assert answer.status_code == 200
    assert "reader is not running" in answer.text
    assert "Open now" not in answer.text


def test_operator_moves_the_door(web: Web, door: Door, installation: Installation) -> None:
    """J8: each verb moves the door, and the log says which account it was."""
    assert sent(web, Role.OPERATOR, "unlock", for_s="600") == (303, "/door")
    with web.client(Role.OPERATOR) as client:
        text = client.get("/door").text
    assert "Unlocked" in text
    assert "operator, on these pages" in text
    ended(web, "operator")
    with installation.open_audit() as audit:
        told = [(one.event.actor.id, one.event.detail) for one in audit.read() if one.event.actor is not None]
    assert ("web:operator", "unlock for 600 s") in told
    assert ("web:operator", "release of operator") in told
    assert door.faults == []


def test_lockdown_is_said_twice(web: Web, door: Door) -> None:
    """G12: a lockdown begins only where it was confirmed, refuses to open, and is ended on the page."""
    status, text = sent(web, Role.ADMIN, "lockdown")
    assert (status, "tick that you want it" in text) == (422, True)
    assert sent(web, Role.ADMIN, "lockdown", sure="yes") == (303, "/door")
    status, text = sent(web, Role.ADMIN, "open")
    assert (status, "a lockdown rules this door" in text) == (409, True)
    ended(web, "lockdown")
    assert door.faults == []


@pytest.mark.parametrize(
    ("verb", "fields", "word"),
    [
        ("unlock", {"for_s": "99999999"}, "for_s"),
        ("unlock", {"for_s": "$(reboot)"}, "for_s"),
        ("lock", {}, "for_s"),
        ("release", {"of": "everything' OR 1=1 --"}, "of"),
    ],
)
def test_hostile_fields_are_one_line(web: Web, door: Door, verb: str, fields: dict[str, str], word: str) -> None:
    """E2, E3: what no form of ours sends is refused in one line that names the field, and nothing moves."""
    status, text = sent(web, Role.OPERATOR, verb, **fields)
    assert status in {409, 422}
    assert word in text
    assert door.faults == []


def test_auditor_reads_and_moves_nothing(web: Web, door: Door) -> None:
    """E12: an auditor sees how the door is, and neither sees a form nor may send one."""
    with web.client(Role.AUDITOR) as client:
        text = client.get("/door").text
    assert "Closed and locked" in text
    assert "/door/open" not in text
    assert sent(web, Role.AUDITOR, "open")[0] == 403
    assert sent(web, Role.ENROLLER, "open")[0] == 403
    assert door.faults == []


def test_page_follows_the_door(web: Web, door: Door, chromium: Browser) -> None:
    """The page follows what happens at the door, without being loaded again."""
    with context_of(chromium, web, Role.OPERATOR) as context:
        page = context.new_page()
        page.goto("/door")
        page.get_by_text("Closed and locked").wait_for()
        assert sent(web, Role.ADMIN, "unlock", for_s="600")[0] == 303
        page.get_by_text("Anybody can open it now").wait_for(timeout=10_000)
        page.get_by_role("button", name="End the hold").click()
        page.get_by_text("Closed and locked").wait_for(timeout=10_000)
    wait_for(lambda: door.faults == [])
