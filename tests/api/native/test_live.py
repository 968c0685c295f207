"""The interface for programs at a door that runs: its lock, its visitors, its events, as they happen."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.api.native.app import PATH
from appliance.contract import EventType, Role
from appliance.drivers.scene import Visit
from appliance.web.accounts import Accounts
from tests.broker import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.api.native.conftest import Api
    from tests.web.running import Door


@pytest.fixture(scope="module")
def operator(api: Api, door: Door) -> httpx.Client:
    """Return the client of an operator, at a door whose state is known."""
    client = api.client(Role.OPERATOR)
    wait_for(lambda: client.get("/door").is_success)
    assert door.faults == []
    return client


def insisted(client: httpx.Client, verb: str, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - of a verb
    """Return the door's state after a verb, once a door that has just locked is ready for it again."""
    answers: list[httpx.Response] = []

    def carried_out() -> bool:
        answers.append(client.post(f"/door/{verb}", json=args))
        return "try again in a moment" not in answers[-1].text

    wait_for(carried_out)
    state: dict[str, Any] = answers[-1].json()
    return state


@contextmanager
def listening(
    client: httpx.Client, after: int | None = None, headers: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Iterator[tuple[str, str, dict[str, Any]]]]:
    """Give what a stream tells: number, event type, and its JSON."""
    since = {} if after is None else {"Last-Event-ID": str(after)}
    with client.stream("GET", "/events/stream", headers={**headers, **since}) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        lines = answer.iter_lines()
        assert next(lines) == ": here"
        yield _events(lines)


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    said: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            said[name] = value
        elif "data" in said:
            yield said["id"], said["event"], json.loads(said.pop("data"))


def opened(heard: Iterator[tuple[str, str, dict[str, Any]]]) -> tuple[int, dict[str, Any]]:
    """Return number and JSON of the next opening by an operator; the door tells its own things in between."""
    return next((int(number), told) for number, kind, told in heard if kind == "remote_unlock")


def done(door: Door) -> list[tuple[EventType, str]]:
    """Return what operators have done so far, and who."""
    events = [one.event for one in door.events]
    return [(one.event_type, one.actor.id) for one in events if one.actor is not None and one.actor.kind == "operator"]


def test_door_does_what_an_operator_says(operator: httpx.Client, door: Door) -> None:
    """Open, hold, lock down and release: each answers with the door's state, and a verb below what rules is refused."""
    assert insisted(operator, "open", for_s=1)["phase"] == "UNLOCKED"
    assert operator.post("/door/lockdown").json()["phase"] == "LOCKDOWN"
    refused = operator.post("/door/open")
    assert (refused.status_code, "lockdown" in refused.json()["detail"]) == (409, True)
    assert insisted(operator, "release", of="lockdown")["mode"] == "NORMAL"
    assert insisted(operator, "lock", for_s=60)["mode"] == "OPERATOR"
    assert insisted(operator, "release")["mode"] == "NORMAL"
    assert operator.get("/door").json()["phase"] == "SECURE"
    assert (EventType.REMOTE_UNLOCK, "key:operator-key") in done(door)
    health = operator.get("/status").json()
    assert (health["camera"], health["controller"]) == ("ok", "ok")
    assert health["camera_integrity"]


def test_visitor_is_answered(operator: httpx.Client, api: Api, door: Door) -> None:
    """J4: the picture of a visitor is for operators, under an id that nobody can guess, and gone with the ticket."""
    door.script.play(Visit(for_s=20, pause_s=0.1))
    wait_for(lambda: bool(operator.get("/tickets").json()["tickets"]))
    (ticket,) = operator.get("/tickets").json()["tickets"]
    place = f"/tickets/{ticket['ticket_id']}"
    assert len(ticket["ticket_id"]) == 32
    picture = operator.get(f"{place}/image")
    assert (picture.headers["content-type"], picture.content[:3]) == ("image/jpeg", b"\xff\xd8\xff")
    assert picture.headers["cache-control"] == "no-store"
    assert operator.get(f"{place}/image", headers={"If-None-Match": picture.headers["etag"]}).status_code == 304
    for role in (Role.ENROLLER, Role.AUDITOR, Role.RECOGNISER):
        assert api.client(role).get(f"{place}/image").status_code == 404
        assert api.client(role).post(f"{place}/approve").status_code == 404
    assert operator.post(f"{place}/say", json={"text": "One moment."}).json()["ticket_id"] == ticket["ticket_id"]
    assert operator.post(f"{place}/approve").json() | {"expires_at": ""} == {
        "ticket_id": ticket["ticket_id"],
        "round": 1,
        "awaits": 0,
        "expires_at": "",
    }
    assert operator.get(f"{place}/image").status_code == 404
    assert operator.get("/tickets").json() == {"tickets": []}
    late = operator.post(f"{place}/deny")
    assert (late.status_code, late.json()["detail"]) == (409, "already_answered")
    assert operator.post(f"/tickets/{'0' * 32}/approve").status_code == 404
    wait_for(lambda: (EventType.APPROVAL_GRANTED, "key:operator-key") in done(door))


def test_events_are_told_as_they_happen(operator: httpx.Client, api: Api) -> None:
    """An event is told to whoever listens, as MQTT tells it; an auditor can go on where it broke off, others cannot."""
    auditor = api.client(Role.AUDITOR)
    head = auditor.get("/audit/head").json()["seq"]
    with listening(operator) as heard:
        insisted(operator, "open", for_s=1)
        number, told = opened(heard)
        assert (told["seq"], told["actor"]["id"]) == (number, "key:operator-key")
    with listening(auditor, after=head) as again:
        assert opened(again) == (number, told)
    with listening(operator, after=head) as new:
        insisted(operator, "open", for_s=1)
        assert opened(new)[0] > number
    page = auditor.get("/events", params={"after": head, "limit": 1, "type": "remote_unlock"}).json()
    assert (page["events"], page["next"]) == ([told], number)


def test_stream_ends_with_its_key(api: Api, operator: httpx.Client) -> None:
    """E8: whoever listens hears nothing more from the moment their key is revoked, or their session is over."""
    assert operator.get("/door").is_success
    key = {"X-API-Key": api.web.key(Role.OPERATOR, "listener")}
    session = {"Cookie": f"ostiary={api.web.session(Role.OPERATOR)}"}
    with ExitStack() as streams, Accounts(api.web.installation.web_file) as accounts:
        nobody = streams.enter_context(httpx.Client(base_url=api.web.url + PATH, timeout=10))
        listeners = [streams.enter_context(listening(nobody, headers=one)) for one in (key, session)]
        accounts.revoke_key("listener")
        accounts.end_sessions("operator")
        assert [list(heard) for heard in listeners] == [[], []]


def test_streams_are_few(operator: httpx.Client) -> None:
    """E6: eight may listen at a time; the ninth is told to come back, and has a place once others have gone."""
    counts: list[int] = []

    def all_places() -> bool:
        with ExitStack() as listeners:
            taken = 0
            while (answer := listeners.enter_context(operator.stream("GET", "/events/stream"))).is_success:
                taken += 1
            assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
        counts.append(taken)
        return taken == 8

    for _ in range(2):  # those of before may not be noticed to have gone yet
        wait_for(all_places)
    assert max(counts) == 8


def test_events_are_found(api: Api, operator: httpx.Client) -> None:
    """Events are found by type, reason, person and time, newest first or oldest first, and the chain is verified."""
    insisted(operator, "lockdown")
    insisted(operator, "release", of="lockdown")
    auditor = api.client(Role.AUDITOR)
    asked: dict[str, Any] = {"type": ["lockdown", "remote_unlock"], "limit": 2}
    wait_for(lambda: auditor.get("/events", params=asked).json()["events"][0]["event_type"] == "lockdown")
    found = auditor.get("/events", params=asked).json()["events"]
    assert found == sorted(found, key=lambda one: -one["seq"])
    lockdowns = [one["seq"] for one in auditor.get("/events", params={"type": "lockdown"}).json()["events"]]
    since = {"since": "2000-01-01T00:00Z", "type": "lockdown", "after": lockdowns[0] - 1}
    assert [one["seq"] for one in auditor.get("/events", params=since).json()["events"]] == lockdowns[:1]
    first, last = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:00-14:00"
    for never in ({"until": "2000-01-01T00:00Z"}, {"since": "2100-01-01T00:00Z"}, {"until": first}, {"since": last}):
        assert auditor.get("/events", params=never).json() == {"events": [], "next": None}
    verdict = auditor.get("/audit/verify").json()
    assert (verdict["ok"], verdict["count"]) == (True, verdict["head"]["seq"])


def test_enrolment_at_the_door_is_told_and_stopped(api: Api, door: Door) -> None:
    """Who asked for an enrolment hears how far it has come; stopped, nobody is enrolled, and a second cannot begin."""
    enroller = api.client(Role.ENROLLER)
    assert door.faults == []
    with enroller.stream("POST", "/enrolments", json={"name": "Ada", "consent_by": "Ada"}) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        assert next(lines) == "event: progress"
        busy = enroller.post("/enrolments", json={"name": "Bob", "consent_by": "Bob"})
        assert (busy.status_code, busy.headers["content-type"]) == (409, "application/problem+json")
        assert enroller.delete("/enrolments").json() == {"stopped": True}
        assert "event: refused" in list(lines)
    assert enroller.delete("/enrolments").json() == {"stopped": False}
    assert enroller.get("/people").json()["people"] == []
