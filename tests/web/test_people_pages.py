"""The pages about people, as a browser without scripts sends its forms."""

from __future__ import annotations

import io
import json
import re
import zipfile
from html import unescape
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.access.passes import Pass, read_pass
from appliance.access.pin import PinWord
from appliance.access.subject import Status
from appliance.contract import EventType, Role
from appliance.drivers.qr import drawn, read_codes
from appliance.people.factors import try_pin
from appliance.signing import own_key
from tests.web.gallery import enrolled

if TYPE_CHECKING:
    import httpx

    from appliance.commands.options import Installation
    from tests.web.running import Web

CONSENTED = {"language": "en", "version": "1", "agreed": "yes", "given_by": "Ada"}


def sent(web: Web, role: Role, path: str, **fields: str | list[str]) -> httpx.Response:
    """Return what a form that was sent is answered with."""
    with web.client(role) as client:
        return client.post(path, data={"csrf": web.csrf(role), **fields})


def seen(web: Web, path: str, role: Role = Role.ENROLLER) -> str:
    """Return a page."""
    with web.client(role) as client:
        answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def made_from(text: str) -> str:
    """Return when the person of a page was changed last, as its forms carry it."""
    found = re.search(r'name="seen" value="([^"]+)"', text)
    assert found is not None
    return unescape(found[1])


def shown_code(text: str) -> str:
    """Return what the code on a page says, read as the door's camera would."""
    side = int(re.findall(r'viewBox="0 0 (\d+) ', text)[0])
    dark = np.zeros((side, side), np.bool_)
    for column, row in re.findall(r"M(\d+) (\d+)h1v1h-1z", text):
        dark[int(row), int(column)] = True
    (said,) = read_codes(drawn(dark, 8))
    return said


def told(installation: Installation) -> list[tuple[EventType, str, str]]:
    """Return what the audit log has of accounts: the event, who, and how."""
    with installation.open_audit() as audit:
        events = [entry.event for entry in audit.read()]
    return [(one.event_type, one.actor.id, one.method) for one in events if one.actor and ":" in one.actor.id]


def test_list_is_paged_and_finds(web: Web, installation: Installation) -> None:
    """E2: fifty a page in order of enrolment; what is sought, sorted or filtered by is data, whatever it says."""
    enrolled(installation, *(f"Guest {number}" for number in range(60)), "Zoe Miller")
    first = seen(web, "/people")
    assert (first.count("<tr>") - 1, "Zoe Miller" in first, "1 to 50 of 61" in first) == (50, False, True)
    assert "Zoe Miller" in seen(web, "/people?after=50")
    assert "Zoe Miller" in seen(web, "/people?q=mill")
    assert "Nobody is like that" in seen(web, "/people?status=suspended")
    for hostile in ("' OR 1=1--", '"; DROP TABLE person', "%27%20OR%201=1", "{{config.items()}}", "$(reboot)"):
        for field in ("q", "status", "group"):
            with web.client(Role.ENROLLER) as client:
                text = client.get("/people", params={field: hostile}).text
            assert "Nobody is like that" in text
    assert "1 to 50 of 61" in seen(web, "/people")


def test_two_who_change_the_same_person_are_told(web: Web, installation: Installation) -> None:
    """E17: the second is told who was first, keeps what they typed, and saves it by saying so again."""
    (ada,) = enrolled(installation, "Ada")
    path = f"/people/{ada}/details"
    both = made_from(seen(web, f"/people/{ada}"))
    assert sent(web, Role.ADMIN, path, seen=both, name="Ada L.", notes="left").status_code == 303
    late = sent(web, Role.ENROLLER, path, seen=both, name="Ada B.", notes="right")
    assert late.status_code == 409
    for kept in ("admin, on these pages: changed: name, notes", 'value="Ada B."', "right</textarea>", "Ada L."):
        assert kept in late.text
    with installation.open_gallery() as gallery:
        assert gallery.details(ada).name == "Ada L."
    again = sent(web, Role.ENROLLER, path, seen=made_from(late.text), name="Ada B.", notes="right")
    assert again.status_code == 303
    access = {"seen": both, "status": "suspended", "factor": "none"}
    assert sent(web, Role.ENROLLER, f"/people/{ada}/access", **access).status_code == 409
    with installation.open_gallery() as gallery:
        details = gallery.details(ada)
    assert (details.name, details.notes, details.status) == ("Ada B.", "right", Status.ACTIVE)


@pytest.mark.parametrize("name", ["x" * 10_000, "Ada\u202egnp.exe", "", "Ada\x1b[2J", "\u2066Ada"])
def test_name_that_misleads_is_refused(web: Web, installation: Installation, name: str) -> None:
    """E18: a name of 10,000 letters, or with letters that turn the direction of text, is refused in one line."""
    (ada,) = enrolled(installation, "Ada")
    since = made_from(seen(web, f"/people/{ada}"))
    answer = sent(web, Role.ENROLLER, f"/people/{ada}/details", seen=since, name=name)
    assert answer.status_code == 409
    assert 'role="alert"' in answer.text
    with installation.open_gallery() as gallery:
        assert gallery.details(ada).name == "Ada"


def test_names_are_normalised_and_set_apart(web: Web, installation: Installation) -> None:
    """E18: a name is kept in NFC, and stands in an element of its own, so that none turns the words beside it."""
    (ada,) = enrolled(installation, "Ada")
    since = made_from(seen(web, f"/people/{ada}"))
    answer = sent(web, Role.ENROLLER, f"/people/{ada}/details", seen=since, name="  Zoe\u0308 \u05d0\u05d1 ")
    assert answer.status_code == 303
    assert "<h1><bdi>Zo\u00eb \u05d0\u05d1</bdi></h1>" in seen(web, f"/people/{ada}")


def test_access_is_changed_as_chosen(web: Web, installation: Installation) -> None:
    """Status, bounds, groups and the rest are what was chosen, written down in the account's name."""
    (ada,) = enrolled(installation, "Ada")
    assert sent(web, Role.ENROLLER, "/groups", name="staff").status_code == 303
    wanted: dict[str, str | list[str]] = {
        "seen": made_from(seen(web, f"/people/{ada}")),
        "status": "suspended",
        "factor": "pin",
        "valid_until": "2031-01-01T08:30",
        "groups": ["staff", "no-such-group"],
        "always": "yes",
    }
    assert sent(web, Role.ENROLLER, f"/people/{ada}/access", **wanted).status_code == 303
    with installation.open_gallery() as gallery:
        subject = gallery.subject(ada)
    assert subject is not None
    assert (subject.status, subject.factor.value, subject.always, subject.extended) == ("suspended", "pin", True, False)
    assert subject.groups == {"staff"}
    assert subject.valid_until is not None
    assert f"{subject.valid_until.astimezone():%Y-%m-%dT%H:%M}" == "2031-01-01T08:30"
    assert (EventType.UPDATED, "web:enroller", "web") in told(installation)


def test_deny_list_is_for_admins(web: Web, installation: Installation) -> None:
    """E12: an enroller puts nobody on the deny list, takes nobody off it, and erases nobody who is on it."""
    (ada,) = enrolled(installation, "Ada")
    wanted = {"status": "deny_listed", "factor": "none"}
    since = made_from(seen(web, f"/people/{ada}"))
    assert sent(web, Role.ENROLLER, f"/people/{ada}/access", seen=since, **wanted).status_code == 403
    assert sent(web, Role.ADMIN, f"/people/{ada}/access", seen=since, **wanted).status_code == 303
    since = made_from(seen(web, f"/people/{ada}"))
    for path, fields in {
        "access": {"seen": since, "status": "active", "factor": "none"},
        "details": {"seen": since, "name": "Bob"},
        "pin": {"pin": "7259", "again": "7259"},
        "passes": {"hours": "8"},
        "withdraw": {"sure": "yes"},
        "erase": {"sure": "yes"},
    }.items():
        assert sent(web, Role.ENROLLER, f"/people/{ada}/{path}", **fields).status_code == 403
    with installation.open_gallery() as gallery:
        known = gallery.details(ada)
    assert (known.name, known.status) == ("Ada", Status.DENY_LISTED)


def test_pin_is_set_and_never_said(web: Web, installation: Installation) -> None:
    """J3: a PIN is set where it was typed twice alike, and stands on no page and in no entry of the log."""
    (ada,) = enrolled(installation, "Ada")
    path = f"/people/{ada}/pin"
    for pin, again in (("7259", "7258"), ("1234", "1234"), ("58", "58")):
        answer = sent(web, Role.ENROLLER, path, pin=pin, again=again)
        assert (answer.status_code, f'"{pin}"' in answer.text) == (409, False)
    assert sent(web, Role.ENROLLER, path, pin="7259", again="7259").status_code == 303
    assert sent(web, Role.ENROLLER, path, pin="8360", again="8360", duress="yes").status_code == 303
    text = seen(web, f"/people/{ada}")
    assert ("They have a PIN" in text, "7259" in text, "8360" in text) == (True, False, False)
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        assert try_pin(gallery, ada, "7259") is PinWord.RIGHT
        assert try_pin(gallery, ada, "8360") is PinWord.DURESS
        assert not [entry for entry in audit.naming(ada) if "7259" in entry.event.detail]
    assert sent(web, Role.ENROLLER, path, remove="yes").status_code == 303
    assert "They have no PIN" in seen(web, f"/people/{ada}")


def test_pass_is_shown_once(web: Web, installation: Installation) -> None:
    """The code on the page is a pass of this person for this door; no other page has it, and it can be revoked."""
    (ada,) = enrolled(installation, "Ada")
    answer = sent(web, Role.ENROLLER, f"/people/{ada}/passes", hours="8", uses="2")
    device, key = installation.settings.device, own_key(installation.device_key_file).public_key()
    text = shown_code(answer.text)
    begun = read_pass(text, key, device.id, device.door, 0.0)
    assert not isinstance(begun, Pass)  # not valid in 1970
    page = seen(web, f"/people/{ada}")
    assert "2 times" in page
    assert "h1v1h-1z" not in page
    (pass_id,) = re.findall(r"/passes/([0-9a-f]{16})/revoke", page)
    assert sent(web, Role.ENROLLER, f"/people/{ada}/passes/{'0' * 16}/revoke").status_code == 409
    assert sent(web, Role.ENROLLER, f"/people/{ada}/passes/{pass_id}/revoke").status_code == 303
    assert "2 times" not in seen(web, f"/people/{ada}")


def test_invitation_needs_consent(web: Web) -> None:
    """J5: nobody is invited without a consent to a text of ours; who is, is shown a code once, and can be revoked."""
    without = {**CONSENTED, "agreed": ""}
    refused = sent(web, Role.ENROLLER, "/invitations", name="Ada", **without)
    assert (refused.status_code, "Without their consent" in refused.text) == (409, True)
    assert "None is open" in seen(web, "/invitations")
    made = sent(web, Role.ENROLLER, "/invitations", name="<b>Ada</b>", **CONSENTED)
    assert shown_code(made.text).startswith("OSTIARY1.")
    page = seen(web, "/invitations")
    assert ("&lt;b&gt;Ada" in page, "<b>Ada" in page) == (True, False)
    (found,) = re.findall(r"/invitations/([0-9a-f]{16})/revoke", page)
    assert sent(web, Role.ENROLLER, f"/invitations/{found}/revoke").status_code == 303
    assert "None is open" in seen(web, "/invitations")


def test_erasure_ends_with_a_receipt(web: Web, installation: Installation) -> None:
    """J6, J7: who is erased was confirmed, is nowhere afterwards, and has a receipt that the log bears out."""
    (ada,) = enrolled(installation, "Ada Lovelace")
    refused = sent(web, Role.ENROLLER, f"/people/{ada}/erase")
    assert (refused.status_code, "tick that you want it" in refused.text) == (409, True)
    done = sent(web, Role.ENROLLER, f"/people/{ada}/erase", sure="yes")
    assert (done.status_code, done.headers["location"]) == (303, f"/receipts/{ada}")
    page = seen(web, f"/receipts/{ada}")
    with installation.open_audit() as audit:
        (erased,) = [one for one in audit.naming(ada) if one.event.event_type is EventType.ERASED]
    assert erased.event.detail in unescape(page)
    assert erased.event.actor is not None
    assert erased.event.actor.id == "web:enroller"
    assert "Lovelace" not in page + seen(web, "/people?q=lovelace").replace('value="lovelace"', "")
    with web.client(Role.ENROLLER) as client:
        assert client.get(f"/people/{ada}").status_code == 404
        assert client.get(f"/receipts/{'f' * 32}").status_code == 404


def test_withdrawal_erases_the_face_alone(web: Web, installation: Installation) -> None:
    """J5: after a withdrawal nothing of the face is left, and the person is still there."""
    (ada,) = enrolled(installation, "Ada", references=2)
    assert sent(web, Role.ENROLLER, f"/people/{ada}/withdraw", sure="yes").status_code == 303
    with installation.open_gallery() as gallery:
        assert (gallery.references(ada), gallery.details(ada).name) == ((), "Ada")
    assert "the consent was withdrawn" in seen(web, f"/people/{ada}")


def test_one_view_is_erased_and_never_the_last(web: Web, installation: Installation) -> None:
    """A view of somebody can be erased by whoever enrols, but neither the last one nor somebody else's by this way."""
    ada, bob = enrolled(installation, "Ada", "Bob", references=2)
    with installation.open_gallery() as gallery:
        first, last = (one.reference_id for one in gallery.references(ada))
    assert sent(web, Role.ENROLLER, f"/people/{bob}/references/{first}/forget").status_code == 409
    assert sent(web, Role.ENROLLER, f"/people/{ada}/references/{first}/forget").status_code == 303
    assert sent(web, Role.ENROLLER, f"/people/{ada}/references/{last}/forget").status_code == 409
    with installation.open_gallery() as gallery:
        assert [one.reference_id for one in gallery.references(ada)] == [last]


def test_everything_of_a_person_is_handed_out_to_admins(web: Web, installation: Installation) -> None:
    """J7: an admin downloads all that is kept of a person, the log says so, and nobody else may."""
    (ada,) = enrolled(installation, "Ada")
    assert sent(web, Role.ENROLLER, f"/people/{ada}/export").status_code == 403
    answer = sent(web, Role.ADMIN, f"/people/{ada}/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert json.loads(archive.read("person.json"))["name"] == "Ada"
    assert (EventType.EXPORTED, "web:admin", "web") in told(installation)


def test_groups_are_made_filled_and_given_up(web: Web, installation: Installation) -> None:
    """A group is made by hand or by a rule, and who is in it is shown; a name that is none is refused."""
    ada, _ = enrolled(installation, "Grace Hopper", "Grace Kelly")
    assert sent(web, Role.ENROLLER, "/groups", name="../etc").status_code == 409
    assert sent(web, Role.ENROLLER, "/groups", name="night", any_tags="late, early").status_code == 303
    assert sent(web, Role.ENROLLER, "/groups", name="crew").status_code == 303
    assert "Tags: any of late, early" in seen(web, "/groups")
    assert sent(web, Role.ENROLLER, "/groups/crew/join", person="Grace").status_code == 409
    assert sent(web, Role.ENROLLER, "/groups/crew/join", person=ada).status_code == 303
    assert "Grace Hopper" in seen(web, "/groups/crew")
    assert sent(web, Role.ENROLLER, "/groups/night/join", person=ada).status_code == 409
    assert sent(web, Role.ENROLLER, "/groups/crew/leave", person=ada).status_code == 303
    assert "Nobody is in it" in seen(web, "/groups/crew")
    assert sent(web, Role.ENROLLER, "/groups/crew/remove").status_code == 409
    assert sent(web, Role.ENROLLER, "/groups/crew/remove", sure="yes").status_code == 303
    assert "crew" not in seen(web, "/groups")
