"""The interface for programs: what it does, and to whom."""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.api.native.app import PATH, document, routes
from appliance.api.native.events import LOOKED_AT
from appliance.api.native.problems import Problem
from appliance.api.native.routes import NativeRoute, policy_of
from appliance.contract import VERB_ROLES, EventType, Role
from appliance.records import Event
from appliance.web.accounts import Accounts
from appliance.web.answers import AnswerBook, open_answers
from scripts.benchmarks.drill import fill_log
from tests.api.native.conftest import blank, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.native.conftest import Api

DOCS = Path(__file__).resolve().parents[3] / "docs"
NOBODY = "0" * 32
# The verb behind each operation that has one: whoever may say it may do this, and nobody else.
VERBS = {
    "door_status": "status",
    "door_open_door": "open",
    "door_unlock": "unlock",
    "door_lock": "lock",
    "door_release": "release",
    "door_lockdown": "lockdown",
    "tickets_approve": "approve",
    "tickets_deny": "deny",
    "tickets_again": "again",
    "tickets_say": "say",
    "people_people": "person.list",
    "people_person": "person.list",
    "people_enrol": "enrol.photo",
    "people_change": "person.update",
    "people_erase": "person.remove",
    "enrolment_start": "enrol.start",
    "enrolment_stop": "enrol.stop",
    "events_events": "feed",
    "events_head": "audit.head",
    "rules_settings": "config.get",
}


@pytest.fixture(scope="module")
def admin(api: Api) -> httpx.Client:
    """Return the client of an admin."""
    return api.client(Role.ADMIN)


@pytest.fixture(scope="module")
def ada(api: Api) -> str:
    """Return the id of somebody enrolled."""
    return api.enrol("Ada")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation of everything in the document."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def problem(answer: httpx.Response, status: int) -> Problem:
    """Return the problem that was answered, which is one by the standard's own type."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    found = Problem.model_validate_json(answer.content)
    assert found.status == status
    return found


def latest(api: Api, count: int = 1) -> list[tuple[EventType, str, str]]:
    """Return the newest entries of the log: what, by whom, how."""
    with api.web.installation.open_audit() as audit:
        entries = list(audit.read(audit.head().seq - count))
    return [(one.event.event_type, one.event.actor.id if one.event.actor else "", one.event.method) for one in entries]


def test_nobody_is_answered(api: Api) -> None:
    """E7: without a key or a session every route answers 401 before it reads a body, and names the way to prove it."""
    with httpx.Client(base_url=api.web.url + PATH) as nobody:
        for method, path, _ in operations():
            answer = nobody.request(method, re.sub(r"{\w+}", NOBODY, path), content=b"{")
            assert problem(answer, 401).detail == "sign in first"
            assert answer.headers["www-authenticate"] == "Bearer"


def test_every_route_is_guarded_and_for_somebody() -> None:
    """E7: no route is without the guard, and none is for nobody or for everybody."""
    assert len(routes()) == sum(1 for _ in operations())
    for route in routes():
        assert isinstance(route, NativeRoute)
        assert policy_of(route).roles
        assert not policy_of(route).everybody


def test_roles_are_those_of_the_verbs() -> None:
    """What a role may ask for over MQTT it may ask for here, and nothing else; the document says so."""
    told = {operation["operationId"]: frozenset(map(Role, operation["x-roles"])) for _, _, operation in operations()}
    assert {name: told[name] for name in VERBS} == {name: VERB_ROLES[verb] for name, verb in VERBS.items()}


def test_other_roles_are_refused(api: Api) -> None:
    """E12: a role that may not ask hears 403 of a list, and of a thing the same 404 whether or not it is there."""
    for method, path, operation in operations():
        for role in set(Role).difference(map(Role, operation["x-roles"])):
            answer = api.client(role).request(method, re.sub(r"{\w+}", NOBODY, path))
            problem(answer, 404 if "{" in path else 403)


def test_what_is_there_is_hidden_like_what_is_not(api: Api, ada: str) -> None:
    """E12: somebody who may not see people cannot find out by an id who is enrolled."""
    auditor = api.client(Role.AUDITOR)
    seen, unseen = auditor.get(f"/people/{ada}"), auditor.get(f"/people/{NOBODY}")
    assert (seen.status_code, seen.content) == (unseen.status_code, unseen.content)
    problem(seen, 404)


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fshadow", "%2Fetc%2Fshadow", "..", "%2e%2e%2f", "a" * 64])
def test_names_are_never_paths(admin: httpx.Client, name: str) -> None:
    """E4: a path or an encoded variant in the place of an id is nobody's: 404, and no file is looked at."""
    problem(admin.get(f"/people/{name}/export"), 404)
    problem(admin.get(f"/tickets/{name}/image"), 404)


def test_gate_refuses_in_the_same_words(admin: httpx.Client) -> None:
    """E4, E6, E11: what is refused before anything is read, by host, size or path, is a problem like any other."""
    problem(admin.get("/people", headers={"Host": "elsewhere.example"}), 421)
    problem(admin.post("/groups", content=b"x" * 9_000_000), 413)
    problem(admin.get("/people/%00"), 400)


def test_faults_of_a_request_are_named(admin: httpx.Client) -> None:
    """What is not understood is told field by field (RFC 9457), with what came and what is allowed."""
    found = problem(admin.post("/groups", json={"name": "no group", "beyond": 1}), 422)
    assert [(one.field, one.value) for one in found.errors] == [("body.name", "'no group'"), ("body.beyond", "1")]
    assert "should match pattern" in found.errors[0].allowed
    problem(admin.post("/groups", content=b"{", headers={"Content-Type": "application/json"}), 400)
    problem(admin.get("/nothing"), 404)
    assert problem(admin.post("/people/x", json={}), 405).title == "Method Not Allowed"


def test_pins_are_not_told_back(admin: httpx.Client, ada: str) -> None:
    """A PIN of the wrong form is refused without being repeated."""
    for pin in (73914, "7" * 40):
        assert "7391" not in admin.put(f"/people/{ada}/pin", json={"pin": pin}).text
        assert "77777" not in admin.put(f"/people/{ada}/pin", json={"pin": pin}).text


def test_consent_is_demanded(admin: httpx.Client) -> None:
    """J5: a request to enrol somebody, or to invite them, that names nobody who agreed is refused by the schema."""
    files = {"photos": ("a.png", picture(), "image/png")}
    found = problem(admin.post("/people", data={"name": "Ada"}, files=files), 422)
    assert [one.field for one in found.errors] == ["body.consent_by"]
    assert problem(admin.post("/invitations", json={"name": "Ada"}), 422).errors[0].field == "body.consent_by"
    enrolment = problem(admin.post("/enrolments", json={"name": "Ada"}), 422)
    assert enrolment.errors[0].field == "body.consent_by"


def test_person_lives_and_goes(api: Api, admin: httpx.Client) -> None:
    """Enrolled from a photo, read, changed, given a PIN and a pass, handed out, erased: each once in the audit log."""
    person_id = api.enrol("Grace", "official")
    assert latest(api) == [(EventType.ENROLLED, "key:admin-key", "api")]
    read = admin.get(f"/people/{person_id}")
    assert (read.json()["name"], read.json()["consent"]["recorded_by"]) == ("Grace", "key:admin-key")
    said = {"notes": "left-handed", "groups": ["staff"], "valid_until": "2030-01-01T00:00Z", "cards": ["0012"]}
    changed = admin.patch(f"/people/{person_id}", json=said, headers={"If-Match": read.headers["ETag"]})
    assert changed.json()["notes"] == "left-handed"
    assert changed.json()["valid_until"] == "2030-01-01T00:00:00.000Z"
    assert [one["person_id"] for one in admin.get("/people", params={"group": "staff"}).json()["people"]] == [person_id]
    assert admin.put(f"/people/{person_id}/pin", json={"pin": "739146"}).status_code == 204
    issued = admin.post(f"/people/{person_id}/passes", json={"for_s": 3600}).json()
    assert issued["code"].startswith("OSTIARY1.")
    assert [one["pass_id"] for one in admin.get("/passes").json()["passes"]] == [issued["pass_id"]]
    assert admin.delete(f"/passes/{issued['pass_id']}").status_code == 204
    exported = zipfile.ZipFile(io.BytesIO(admin.get(f"/people/{person_id}/export").content))
    assert json.loads(exported.read("person.json"))["pin"] == "set"
    receipt = admin.delete(f"/people/{person_id}").json()
    problem(admin.get(f"/people/{person_id}"), 404)
    kinds = [EventType.UPDATED] * 4 + [EventType.EXPORTED, EventType.ERASED]
    assert latest(api, 6) == [(kind, "key:admin-key", "api") for kind in kinds]
    with api.web.installation.open_audit() as audit:
        assert receipt["receipt"] in next(audit.read(audit.head().seq - 1)).event.detail


def test_two_admins_do_not_overwrite_each_other(admin: httpx.Client, ada: str) -> None:
    """E17: a change made from a version that somebody else has changed meanwhile is refused, and so is one without."""
    first = admin.get(f"/people/{ada}")
    tag = {"If-Match": first.headers["ETag"]}
    assert admin.patch(f"/people/{ada}", json={"notes": "one"}, headers=tag).json()["notes"] == "one"
    problem(admin.patch(f"/people/{ada}", json={"notes": "two"}, headers=tag), 412)
    problem(admin.patch(f"/people/{ada}", json={"notes": "three"}), 428)
    problem(admin.delete(f"/people/{ada}", headers=tag), 412)
    assert admin.get(f"/people/{ada}").json()["notes"] == "one"


def test_answers_that_are_known_are_spared(admin: httpx.Client, ada: str) -> None:
    """An ETag that still holds is answered 304 without a body, of a person and of a page; after a change it is not."""
    for path in (f"/people/{ada}", "/people?limit=5"):
        first = admin.get(path)
        again = admin.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        person = admin.get(f"/people/{ada}")
        said = {"notes": path}
        assert admin.patch(f"/people/{ada}", json=said, headers={"If-Match": person.headers["ETag"]}).is_success
        assert admin.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_names_are_kept_as_letters(api: Api, admin: httpx.Client, ada: str) -> None:
    """E18: a name is stored composed and told as it is; one that turns text around, or is too long, is refused."""
    read = admin.get(f"/people/{ada}")
    named = {"name": "Zoe\u0308 <b>&"}
    told = admin.patch(f"/people/{ada}", json=named, headers={"If-Match": read.headers["ETag"]})
    assert told.json()["name"] == "Zo\u00eb <b>&"
    every = {"If-Match": "*"}
    problem(admin.patch(f"/people/{ada}", json={"name": "evil\u202etxt"}, headers=every), 409)
    problem(admin.patch(f"/people/{ada}", json={"name": "x" * 10_000}, headers=every), 422)
    assert admin.patch(f"/people/{ada}", json={"name": "Ada"}, headers=every).json()["name"] == "Ada"
    assert latest(api)[0][0] is EventType.UPDATED


@pytest.mark.parametrize("text", ["' OR 1=1--", "'; DROP TABLE person;--", "%", "$(reboot)", "{{7*7}}", "\x00"])
def test_search_is_no_language(admin: httpx.Client, ada: str, text: str) -> None:
    """E2, E3: signs of SQL, of a shell or of a template in a search or a filter find nobody, and do nothing."""
    assert admin.get("/people", params={"search": text}).json()["people"] == []
    problem(admin.get("/people", params={"group": text}), 422)
    assert admin.get(f"/people/{ada}").status_code == 200


def test_deny_listed_people_are_for_admins(api: Api, admin: httpx.Client) -> None:
    """An enroller can neither change nor erase somebody on the deny list, nor put anybody on it."""
    person_id, every = api.enrol("Eve", "official"), {"If-Match": "*"}
    enroller = api.client(Role.ENROLLER)
    problem(enroller.patch(f"/people/{person_id}", json={"deny_listed": True}, headers=every), 403)
    assert (
        admin.patch(f"/people/{person_id}", json={"deny_listed": True}, headers=every).json()["status"] == "deny_listed"
    )
    problem(enroller.patch(f"/people/{person_id}", json={"status": "active"}, headers=every), 403)
    problem(enroller.delete(f"/people/{person_id}"), 403)
    assert admin.delete(f"/people/{person_id}").status_code == 200


def test_same_request_is_done_once(api: Api, admin: httpx.Client) -> None:
    """A request sent again with its idempotency key gets the first answer and does nothing, also after a restart."""
    key = {"Idempotency-Key": "one"}
    first = admin.post("/groups", json={"name": "night"}, headers=key)
    before = latest(api)
    again = admin.post("/groups", json={"name": "night"}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert (again.headers["idempotency-replayed"], latest(api)) == ("true", before)
    problem(admin.post("/groups", json={"name": "other"}, headers=key), 422)
    problem(api.client(Role.ENROLLER).post("/groups", json={"name": "night"}, headers=key), 409)
    problem(admin.post("/groups", json={"name": "x"}, headers={"Idempotency-Key": "x" * 300}), 422)


def test_key_of_what_was_not_done_is_free(admin: httpx.Client) -> None:
    """A request that was refused may be sent again with its key: only what was done is remembered."""
    key = {"Idempotency-Key": "two"}
    problem(admin.post("/groups", json={"name": "night"}, headers=key), 409)
    assert admin.post("/groups", json={"name": "day"}, headers=key).status_code == 201


def test_request_that_was_cut_short_is_not_done_again(api: Api, admin: httpx.Client) -> None:
    """Where a power cut left it unclear whether something was done, its key says so instead of doing it once more."""
    body = b'{"name": "evening"}'
    said = json.dumps([f"{PATH}/groups", "", "application/json"]).encode() + body
    with open_answers(api.web.installation) as book:
        assert book.begin("key:admin-key", "cut", said) is None
    headers = {"Idempotency-Key": '"cut"', "Content-Type": "application/json"}
    assert "look what came of it" in problem(admin.post("/groups", content=body, headers=headers), 409).detail


def test_request_that_is_being_carried_out_is_not_begun_again(api: Api, admin: httpx.Client) -> None:
    """The same request twice at the same moment is carried out once; the other is told that it is going on, or done."""
    answers: list[httpx.Response] = []
    data = {"name": "Twin", "consent_by": "Twin", "accept_medium": "true", "accept_alike": "true"}
    files = {"photos": ("a.png", picture("official"), "image/png")}

    def send() -> None:
        answers.append(admin.post("/people", data=data, files=files, headers={"Idempotency-Key": "three"}))

    threads = [threading.Thread(target=send, name=f"sender {number}") for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = sorted(answer.status_code for answer in answers)
    assert codes in ([201, 201], [201, 409])
    assert {answer.json()["person_id"] for answer in answers if answer.status_code == 201} == {
        one["person_id"] for one in admin.get("/people", params={"search": "Twin"}).json()["people"]
    }
    assert api.web.installation.answers_file.exists()


def test_what_was_answered_is_sealed(api: Api, admin: httpx.Client) -> None:
    """J1: what is kept of answers cannot be read in the file, nor what was asked."""
    code = admin.post(
        "/invitations", json={"name": "Marker Person", "consent_by": "Marker"}, headers={"Idempotency-Key": "four"}
    ).json()["code"]
    folder = api.web.installation.state
    kept = b"".join(file.read_bytes() for file in folder.glob("answers.db*"))
    assert b"invitation_id" not in kept
    assert code.encode() not in kept
    assert b"Marker" not in kept


def test_answers_are_forgotten_after_a_day(tmp_path: Path) -> None:
    """A day later the key is free; one account's keys never push out another's, and are bounded."""
    now = [1e9]
    with AnswerBook(tmp_path / "answers.db", bytes(32), lambda: now[0], each=3) as book:
        assert book.begin("key:a", "k", b"one") is None
        found = book.begin("key:a", "k", b"one")
        assert found is not None
        assert (found.same, found.answer) == (True, None)
        for number in range(5):
            now[0] += 1
            book.begin("key:b", f"k{number}", b"one")
        assert book.begin("key:a", "k", b"two") is not None
        assert book.begin("key:b", "k0", b"one") is None
        now[0] += 24 * 3600
        assert book.begin("key:a", "k", b"two") is None


def test_pages_of_people_hold_everybody_once(admin: httpx.Client, ada: str) -> None:
    """Following `next` gives everybody once, and then none."""
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = admin.get("/people", params={"after": after, "limit": 1}).json()
        seen += [one["person_id"] for one in page["people"]]
        after = page["next"]
    assert ada in seen
    assert len(seen) == len(set(seen)) == page["total"]


def test_groups_have_members(admin: httpx.Client, ada: str) -> None:
    """A static group is made, filled, emptied and given up; one that a rule fills cannot be filled by hand."""
    assert admin.post("/groups", json={"name": "crew"}).status_code == 201
    assert admin.put(f"/groups/crew/members/{ada}").status_code == 204
    assert "crew" in admin.get(f"/people/{ada}").json()["groups"]
    assert admin.delete(f"/groups/crew/members/{ada}").status_code == 204
    assert admin.delete("/groups/crew").status_code == 204
    problem(admin.delete("/groups/crew"), 404)
    assert admin.post("/groups", json={"name": "rule", "any_tags": ["vip"]}).json()["dynamic"] is True
    problem(admin.put(f"/groups/rule/members/{ada}"), 409)


def test_references_are_told_without_the_template(admin: httpx.Client, ada: str) -> None:
    """What is told of a template is its age and quality; the last one of a person stays, another's is not found."""
    (one,) = admin.get(f"/people/{ada}/references").json()["references"]
    assert set(one) == {"reference_id", "model_id", "grade", "source", "captured_at", "enrolled_at"}
    problem(admin.delete(f"/people/{ada}/references/{one['reference_id']}"), 409)
    problem(admin.delete(f"/people/{ada}/references/{NOBODY}"), 404)


def test_invitations_are_told_without_their_code(admin: httpx.Client) -> None:
    """An invitation's code is told once; it is listed without, and can be taken back."""
    issued = admin.post("/invitations", json={"name": "Bob", "consent_by": "Bob"}).json()
    listed = admin.get("/invitations")
    assert issued["code"] not in listed.text
    assert issued["invitation_id"] in {one["invitation_id"] for one in listed.json()["invitations"]}
    assert admin.delete(f"/invitations/{issued['invitation_id']}").status_code == 204
    problem(admin.delete(f"/invitations/{issued['invitation_id']}"), 404)


def test_recognisers_are_told_no_score(api: Api, ada: str) -> None:
    """B13: who it is, and whether it is, is told to recognisers; a number that could be climbed to admins alone."""
    files = {"image": ("a.png", picture(), "image/png")}
    for role, told in ((Role.RECOGNISER, False), (Role.ADMIN, True)):
        client = api.client(role)
        verified = client.post("/faces/verify", files=files, data={"person_id": ada}).json()
        (face,) = client.post("/faces/identify", files=files).json()["faces"]
        assert (verified["identical"], face["person_id"]) == (True, ada)
        numbers = (verified["similarity"], face["candidates"][0]["similarity"])
        assert all(isinstance(one, float) is told for one in numbers)
    other = {**files, "other": ("b.png", picture("official"), "image/png")}
    assert api.client(Role.RECOGNISER).post("/faces/verify", files=other).json() == {
        "identical": False,
        "similarity": None,
    }
    (face,) = api.client(Role.RECOGNISER).post("/faces/detect", files=files).json()["faces"]
    assert set(face) == {"box", "yaw_deg", "pitch_deg", "roll_deg", "quality", "flaws"}


def test_pictures_are_looked_at_before_they_are_read(admin: httpx.Client) -> None:
    """A11: what is neither JPEG nor PNG is 415 whatever it calls itself; one of nobody, or broken, is 422 in words."""
    gif = {"image": ("a.png", b"GIF89a" + bytes(64), "image/png")}
    problem(admin.post("/faces/detect", files=gif), 415)
    broken = {"image": ("a.png", picture()[:500], "image/png")}
    problem(admin.post("/faces/detect", files=broken), 422)
    nobody = {"image": ("a.jpg", blank(), "image/jpeg"), "other": ("a.png", picture(), "image/png")}
    assert "no face" in problem(admin.post("/faces/verify", files=nobody), 422).detail
    assert admin.post("/faces/detect", files={"image": ("a.jpg", blank(), "image/jpeg")}).json() == {"faces": []}


def test_access_is_explained(admin: httpx.Client, ada: str) -> None:
    """Why somebody would get in is said check by check; nothing is done."""
    found = admin.post(f"/people/{ada}/explain", json={"at": "2026-12-24T08:30Z", "lockdown": True}).json()
    assert (found["may_enter"], found["reason"]) == (False, "lockdown")
    problem(admin.post(f"/people/{ada}/explain", json={"at": "soon"}), 422)


def test_rules_are_sound_or_not_taken(api: Api, admin: httpx.Client, ada: str) -> None:
    """E13, E17: rules are TOML of known keys or are refused; who has not read them cannot change them."""
    read = admin.get("/rules")
    tag = {"If-Match": read.headers["ETag"]}
    for text in (
        "!!python/object/apply:os.system [reboot]",
        "include = '/etc/shadow'",
        "time_zone = 'Mars/Olympus'",
        "[",
    ):
        problem(admin.put("/rules", json={"text": text}, headers=tag), 422)
    problem(admin.put("/rules", json={"text": "x" * 200_000}, headers=tag), 422)
    assert admin.get("/rules").text == read.text
    sound = 'time_zone = "Europe/Berlin"\n\n[groups.staff]\ndoors = ["front"]\n'
    written = admin.put("/rules", json={"text": sound}, headers=tag)
    assert (written.status_code, written.json()["text"]) == (200, sound)
    assert latest(api) == [(EventType.CONFIG_CHANGED, "key:admin-key", "api")]
    problem(admin.put("/rules", json={"text": sound}, headers=tag), 412)
    problem(admin.put("/rules", json={"text": sound}), 428)
    assert admin.post(f"/people/{ada}/explain", json={}).json()["reason"] == "no_door_right"
    written = admin.put("/rules", json={"text": 'time_zone = "UTC"'}, headers={"If-Match": written.headers["ETag"]})
    assert api.client(Role.AUDITOR).get("/rules", headers={"If-None-Match": written.headers["ETag"]}).status_code == 304
    problem(api.client(Role.AUDITOR).put("/rules", json={"text": ""}, headers={"If-Match": "*"}), 403)
    file = api.web.installation.rules_file
    assert file is not None
    file.unlink()


def test_settings_hold_no_secret(admin: httpx.Client) -> None:
    """What is told of the settings is what docs/reference.md lists: names of files, and no secret."""
    assert admin.get("/settings").json()["settings"]["device"] == {"id": "front", "door": "front"}


def test_sessions_of_our_pages_need_their_token(api: Api) -> None:
    """E11: a session may use the interface as its pages do, and changes nothing without the token of its forms."""
    with api.web.client(Role.ADMIN) as browser:
        assert browser.get(f"{PATH}/groups").status_code == 200
        problem(browser.post(f"{PATH}/groups", json={"name": "page"}), 403)
        token = {"X-CSRF-Token": api.web.csrf(Role.ADMIN)}
        assert browser.post(f"{PATH}/groups", json={"name": "page"}, headers=token).status_code == 201
    assert latest(api) == [(EventType.UPDATED, "web:admin", "api")]


def test_revoked_keys_are_nobodys(api: Api) -> None:
    """E8: from the moment a key is revoked it is nobody's."""
    secret = api.web.key(Role.ADMIN, "gone")
    with httpx.Client(base_url=api.web.url + PATH, headers={"Authorization": f"Bearer {secret}"}) as client:
        assert client.get("/settings").status_code == 200
        with Accounts(api.web.installation.web_file) as accounts:
            accounts.revoke_key("gone")
        problem(client.get("/settings"), 401)


def test_reader_that_is_away_is_told(admin: httpx.Client) -> None:
    """What needs the running reader says that it is not there, and when to ask again; people can be read without it."""
    for method, path in (("GET", "/status"), ("GET", "/door"), ("POST", "/door/open"), ("GET", "/tickets")):
        answer = admin.request(method, path)
        assert "not running" in problem(answer, 503).detail
        assert int(answer.headers["retry-after"]) > 0
    assert admin.get("/people").status_code == 200


def test_search_of_a_long_log_goes_on_where_it_was(api: Api, admin: httpx.Client) -> None:
    """One answer looks at so many entries of the log and no more; followed from either end, nothing is passed over."""
    with api.web.installation.open_audit() as audit:
        marked = audit.append(Event(EventType.BELL, datetime.now(UTC), detail="marked")).seq
    fill_log(api.web.installation, LOOKED_AT + 100)
    newest = admin.get("/events", params={"type": "bell"}).json()
    assert newest["events"] == []
    found = admin.get("/events", params={"type": "bell", "before": newest["next"]}).json()
    assert ([one["seq"] for one in found["events"]], found["next"]) == ([marked], None)
    oldest = admin.get("/events", params={"type": "bell", "after": 0, "limit": 1}).json()
    assert ([one["seq"] for one in oldest["events"]], oldest["next"]) == ([marked], marked)
    later = admin.get("/events", params={"type": "bell", "after": marked}).json()
    assert (later["events"], later["next"]) == ([], marked + LOOKED_AT)
    assert admin.get("/events", params={"type": "bell", "after": later["next"]}).json() == {"events": [], "next": None}
