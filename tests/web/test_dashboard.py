"""The overview and the guided enrolment, with a real reader behind them and a real browser before them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from appliance.contract import EventType, Reason, Role
from appliance.drivers.scene import Visit
from appliance.records import Actor, ActorKind, Event
from tests.broker import wait_for
from tests.web.conftest import context_of
from tests.web.gallery import enrolled

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from appliance.commands.options import Installation
    from tests.web.running import Door, Web


def test_without_a_reader_the_page_says_what_to_do(web: Web) -> None:
    """A1: while no reader runs the page is there, says so and what helps, and offers nothing that cannot be done."""
    with web.client(Role.OPERATOR) as client:
        answer = client.get("/")
    assert answer.status_code == 200
    assert "systemctl status ostiary-reader" in answer.text
    assert "Open now" not in answer.text


def test_what_happened_is_told_in_words(web: Web, installation: Installation) -> None:
    """G11, J3: the last events are in words; who came in has a name for whoever may know it, and duress no line."""
    (ada,) = enrolled(installation, "Ada")
    came = Event(EventType.ACCESS_GRANTED, datetime.now(UTC), Actor(ActorKind.PERSON, ada), "face+pin", Reason.OK)
    forced = Event(EventType.DURESS, datetime.now(UTC), Actor(ActorKind.PERSON, ada), "face+pin", Reason.OK)
    refused = Event(EventType.ACCESS_DENIED, datetime.now(UTC), None, "face", Reason.OUTSIDE_SCHEDULE)
    with installation.open_audit() as audit:
        audit.append_all((forced, came, refused))
    told = {}
    for role in Role:
        with web.client(role) as client:
            told[role] = client.get("/").text
    for role in (Role.ENROLLER, Role.ADMIN):
        assert f'<a href="/people/{ada}"><bdi>Ada</bdi></a>' in told[role]
    for role in (Role.OPERATOR, Role.AUDITOR):
        assert ("Somebody enrolled" in told[role], "Ada" in told[role]) == (True, False)
        assert "Outside their hours" in told[role]
    assert "What happened last" not in told[Role.RECOGNISER]
    assert not [role for role, text in told.items() if "duress" in text.lower()]


def test_a_camera_in_doubt_is_told_first(web: Web, door: Door, chromium: Browser) -> None:
    """A2: while the camera is not the one that was taken, the page says so by itself, above all else, until it is."""
    with context_of(chromium, web, Role.OPERATOR) as context:
        page = context.new_page()
        page.goto("/")
        told = page.locator("#state").get_by_text("No face opens the door now.")
        expect(page.locator("#state").get_by_text("Closed and locked.")).to_be_visible(timeout=10_000)
        right, door.script.camera_id = door.script.camera_id, "another"
        expect(told).to_be_visible(timeout=10_000)
        expect(page.locator("#state")).to_contain_text("was taken for this door")
        expect(page.get_by_text("Whoever is recognised")).to_be_hidden()
        door.script.camera_id = right
        expect(told).to_be_hidden(timeout=10_000)


def test_what_is_old_is_said_to_be(web: Web, chromium: Browser) -> None:
    """A page that hears nothing more from the appliance says so, until it does again."""
    with context_of(chromium, web, Role.OPERATOR) as context:
        page = context.new_page()
        page.route("**/overview/changes", lambda route: route.abort())
        page.goto("/")
        expect(page.get_by_text("What is shown may be old")).to_be_visible()
        page.unroute("**/overview/changes")
        expect(page.get_by_text("What is shown may be old")).to_be_hidden(timeout=10_000)


def test_receptionist_lets_a_visitor_in_by_telephone(
    web: Web, door: Door, chromium: Browser, installation: Installation
) -> None:
    """J8, E14: a visitor appears on the open page by themselves, with a picture, and one press opens the door.

    The audit log has the account that pressed, once; the page's screen is a telephone's.
    """
    with context_of(chromium, web, Role.OPERATOR, viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.goto("/")
        expect(page.get_by_text("Nobody is waiting.")).to_be_visible(timeout=10_000)
        door.script.play(Visit(face="official", for_s=8.0, pause_s=0.1))
        ticket = page.locator(".ticket")
        expect(ticket.get_by_text("Nobody enrolled")).to_be_visible(timeout=15_000)
        width = "(one) => one.complete && one.naturalWidth"
        wait_for(lambda: page.get_by_alt_text("The visitor at the door").evaluate(width) > 100)
        assert page.title().startswith("(1) ")
        ticket.get_by_text("Say something to them").click()
        ticket.get_by_label("Shown on the screen at the door").fill("One moment please")
        ticket.get_by_role("button", name="Show").click()
        page.locator(".ticket").get_by_role("button", name="Let in").click()
        expect(page.get_by_text("An attendant approved")).to_be_visible(timeout=10_000)
        expect(page.get_by_text("Nobody is waiting.")).to_be_visible()
    with installation.open_audit() as audit:
        events = [entry.event for entry in audit.read()]
    approved = [one.actor for one in events if one.event_type is EventType.APPROVAL_GRANTED]
    assert [actor and actor.id for actor in approved] == ["web:operator"]
    assert [one for one in events if one.event_type is EventType.DOOR_UNLOCKED]
    assert [one for one in events if one.event_type is EventType.VISITOR_TOLD]
    door.script.wait_until_empty()


def test_ticket_is_answered_once_and_told_to_whom_it_concerns(web: Web, door: Door) -> None:
    """E12, D15: an answer to a ticket that is not open is refused in words; who may not answer is not asked."""
    door.script.play(Visit(face="official", for_s=4.5, pause_s=0.1))
    with web.client(Role.OPERATOR) as client:
        wait_for(lambda: 'class="card ticket"' in client.get("/").text)
        text = client.get("/").text
        ticket_id = text.split('id="ticket-')[1][:32]
        with web.client(Role.ENROLLER) as other:
            shown = other.get("/").text
            assert (f"ticket-{ticket_id}" in shown, "Let in</button>" in shown) == (True, False)
            assert other.get(f"/tickets/{ticket_id}/picture").status_code == 403
        with web.client(Role.AUDITOR) as other:
            assert ticket_id not in other.get("/").text
        sent = {"csrf": web.csrf(Role.OPERATOR)}
        picture = client.get(f"/tickets/{ticket_id}/picture")
        assert (picture.headers["content-type"], picture.headers["cache-control"]) == ("image/jpeg", "no-store")
        assert client.post(f"/tickets/{ticket_id}/deny", data=sent).status_code == 303
        late = client.post(f"/tickets/{ticket_id}/approve", data=sent)
        assert (late.status_code, "answered already" in late.text) == (409, True)
        assert client.get(f"/tickets/{ticket_id}/picture").status_code == 409
        assert client.post(f"/tickets/{ticket_id}/open", data=sent).status_code == 404
    assert door.faults == []


def test_guidance_at_the_door_is_shown_as_it_goes(
    web: Web, door: Door, chromium: Browser, installation: Installation
) -> None:
    """B14: whoever enrols at the door sees the camera and what the visitor is told; nobody is enrolled from a print."""
    with context_of(chromium, web, Role.ENROLLER, viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.goto("/enrol")
        page.get_by_label("Name", exact=True).fill("Ada")
        page.get_by_label("Given by").fill("Eve")
        page.get_by_label("They agree to this text").check()
        door.script.play(Visit(shows="print", for_s=3, pause_s=0.5))
        page.get_by_role("button", name="Begin at the door").click()
        expect(page.locator(".mirror figcaption")).to_contain_text("0 views taken", timeout=10_000)
        expect(page.get_by_role("alert")).to_contain_text("not a living face", timeout=15_000)
        assert page.get_by_label("Name", exact=True).input_value() == "Ada"
    with installation.open_gallery() as gallery:
        assert [one.name for one in gallery.people() if one.consent_by == "Eve"] == []
    door.script.wait_until_empty()
