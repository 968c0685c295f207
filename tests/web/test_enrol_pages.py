"""Enrolment by photo, in HTTP and in a real browser on a telephone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from appliance.contract import EventType, Role
from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES
from appliance.people.consents import ConsentTexts
from tests.web.conftest import context_of
from tests.web.running import PASSWORD

if TYPE_CHECKING:
    import httpx
    from playwright.sync_api import Browser

    from appliance.commands.options import Installation
    from tests.web.running import Web

CONSENTED = {"name": "Ada", "given_by": "Ada", "language": "en", "version": "1", "agreed": "yes"}
ADA = (FACES / "official.png").read_bytes()
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def two_faces() -> bytes:
    """Give a photo of two people, PNG."""
    sides = [read_photo(FACES / f"{name}.png")[:, :, ::-1] for name in ("official", "astronaut")]
    return cv2.imencode(".png", np.hstack(sides))[1].tobytes()


def sent(web: Web, role: Role, *photos: bytes, path: str = "/enrol", **fields: str) -> httpx.Response:
    """Return what a form with photos is answered with."""
    files = [("photos", (f"../{number}.png", photo, "image/png")) for number, photo in enumerate(photos)]
    with web.client(role) as client:
        return client.post(path, data={"csrf": web.csrf(role), **fields}, files=files)


def erased(web: Web, place: str) -> None:
    """Erase whoever was just enrolled."""
    (person_id,) = re.findall("[0-9a-f]{32}", place)
    assert sent(web, Role.ENROLLER, path=f"/people/{person_id}/erase", sure="yes").status_code == 303


def test_consent_text_is_the_one_that_was_read(web: Web) -> None:
    """J5: the page shows the text in the language asked for, and the form carries which text that was."""
    for language in ("en", "de", "zh"):
        with web.client(Role.ENROLLER) as client:
            page = client.get("/enrol", params={"language": language}).text
        text = ConsentTexts().read(language)
        assert text.text.split("\n")[0] in page
        assert f'name="version" value="{text.version}"' in page
        assert f'name="language" value="{language}"' in page


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"agreed": ""}, "without their consent nobody is enrolled"),
        ({"version": "99"}, "there is no consent text"),
        ({"language": "xx"}, "not there in"),
        ({"name": "x" * 10_000}, "name has 10000 characters"),
        ({"name": "\u202eAda"}, "control character"),
        ({"tags": "a b, ok"}, "tag"),
    ],
)
def test_what_cannot_be_is_refused_and_kept(
    web: Web, installation: Installation, fields: dict[str, str], why: str
) -> None:
    """J5, E18: without consent, or with a name that cannot be, nobody is enrolled; what was typed is still there."""
    answer = sent(web, Role.ENROLLER, ADA, **{**CONSENTED, "external_id": "E77", **fields})
    assert answer.status_code == 409
    assert why.lower() in answer.text.lower()
    assert 'value="E77"' in answer.text
    with installation.open_gallery() as gallery:
        assert gallery.size() == 0


def test_photo_is_looked_at_without_a_score(web: Web, two_faces: bytes) -> None:
    """B13, B14: a photo's quality is told in words, and nothing of how alike it is; what shows nobody is told too."""
    said = {
        name: sent(web, Role.ENROLLER, photo, path="/enrol/look").json()
        for name, photo in {"good": ADA, "two": two_faces, "broken": ADA[:2000], "text": b"<svg onload=1>"}.items()
    }
    assert said["good"] == {"tone": "good", "said": "Good"}
    assert {name: one["tone"] for name, one in said.items() if name != "good"} == dict.fromkeys(
        ("two", "broken", "text"), "bad"
    )
    assert not [one for one in said.values() if set(one) != {"tone", "said"} or re.search(r"\d\.\d", one["said"])]


def test_nobody_is_enrolled_twice_unless_an_admin_says_so(
    web: Web, installation: Installation, two_faces: bytes
) -> None:
    """B14: two faces, and somebody who is enrolled already, are refused with whom it is; a twin is an admin's word."""
    assert sent(web, Role.ENROLLER, two_faces, **CONSENTED).status_code == 409
    assert sent(web, Role.ENROLLER, **CONSENTED).status_code == 409
    done = sent(web, Role.ENROLLER, ADA, **CONSENTED)
    assert done.status_code == 303
    again = sent(web, Role.ENROLLER, ADA, **{**CONSENTED, "name": "Bob"})
    assert again.status_code == 409
    assert re.search(r'<a href="/people/[0-9a-f]{32}"><bdi>Ada</bdi></a>', again.text)
    assert sent(web, Role.ENROLLER, ADA, **CONSENTED, accept_alike="yes").status_code == 403
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        assert gallery.size() == 1
        made = [entry.event for entry in audit.read() if entry.event.event_type is EventType.ENROLLED]
    assert [(one.actor and one.actor.id, one.method) for one in made] == [("web:enroller", "web")]
    erased(web, done.headers["location"])


def test_from_sign_in_to_receipt_on_a_telephone(web: Web, chromium: Browser, installation: Installation) -> None:
    """E14, J5, J7: on a screen of 390 px somebody signs in, enrols by photo, looks at the person and erases them.

    The name is a script, which never runs; no line of the browser's console complains.
    """
    name = "<script>alert(1)</script>"
    complaints: list[str] = []
    with context_of(chromium, web, None, viewport=PHONE) as context:
        page = context.new_page()
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto("/people")
        page.get_by_label("Name").fill("enroller")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.goto("/enrol")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Given by").fill("Ada")
        page.get_by_label("They agree to this text").check()
        page.get_by_label("Photos", exact=True).set_input_files(FACES / "official.png")
        expect(page.locator(".looks .good")).to_have_text("Good", timeout=15_000)
        page.get_by_role("button", name="Enrol from photos").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name, timeout=15_000)
        expect(page.get_by_role("status")).to_have_text("Enrolled.")
        with installation.open_gallery() as gallery:
            (person,) = gallery.people()
        assert (person.name, person.references) == (name, 1)
        page.get_by_role("link", name="Withdraw consent or erase").click()
        page.get_by_label(f"Erase {name} for good").check()
        page.get_by_role("button", name="Erase", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Receipt of an erasure")
        expect(page.locator("main")).to_contain_text("receipt ")
    with installation.open_gallery() as gallery:
        assert gallery.size() == 0
    assert complaints == []
