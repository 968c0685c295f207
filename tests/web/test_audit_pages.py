"""The pages of attempts and of the audit log: what is asked for is found, and nothing else comes out."""

from __future__ import annotations

import csv
import html
import io
import json
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.audit import as_payload
from appliance.contract import EventType, Reason, Role
from appliance.people.person import Consent
from appliance.records import Actor, ActorKind, Embedding, Event, Grade, frozen
from tests.web.conftest import context_of
from tests.web.running import installed, web_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from appliance.commands.options import Installation
    from tests.web.running import Web

NOW = datetime.now(UTC)
XSS = '<script>document.title="owned"</script>'


@pytest.fixture(scope="module")
def ada(installation: Installation) -> str:
    """Enrol somebody, and write down a day at the door; return the id."""
    vector = np.zeros(128, np.float32)
    vector[0] = 1.0
    with installation.open_gallery() as gallery:
        consent = Consent("Ada", NOW, "en")
        person_id = gallery.add("Ada Lovelace", consent, [(Embedding(frozen(vector), "a-test"), Grade.HIGH)]).person_id
    visits = [
        Event(EventType.ACCESS_GRANTED, NOW, Actor(ActorKind.PERSON, person_id), "face", presentation_id="visit-1"),
        Event(EventType.ACCESS_DENIED, NOW, None, "face", Reason.UNKNOWN_FACE, "visit-2"),
        Event(EventType.APPROVAL_REQUESTED, NOW, None, "", Reason.UNKNOWN_FACE, "visit-2", "ticket-1"),
        Event(EventType.FAULT, NOW, None, detail=XSS),
    ]
    with installation.open_audit() as audit:
        audit.append(Event(EventType.ACCESS_DENIED, NOW - timedelta(days=30), reason=Reason.EXPIRED))
        audit.append_all(visits)
    return person_id


def seen(web: Web, role: Role, path: str, **asked: str) -> str:
    """Return the text of a page that must be there."""
    with web.client(role) as client:
        answer = client.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return html.unescape(answer.text)


def test_visits_by_id_and_names_for_few(web: Web, ada: str) -> None:
    """J3, E12: visits stand there by id; only whoever may see people sees whose id it is."""
    for role in (Role.OPERATOR, Role.AUDITOR):
        text = seen(web, role, "/attempts")
        assert f"person={ada}" in text
        assert "Lovelace" not in text
        assert "<img" not in text.split('id="main"')[1]
    assert "Ada Lovelace" in seen(web, Role.ADMIN, "/attempts")


def test_filters_find_what_they_say(web: Web, ada: str) -> None:
    """A filter by what, why, whom and when shows that and nothing else."""
    assert "Nobody came" in seen(web, Role.AUDITOR, "/attempts", reason="expired")
    assert "their time here is over" in seen(web, Role.AUDITOR, "/attempts", first="2020-01-01", reason="expired")
    mine = seen(web, Role.AUDITOR, "/attempts", person=ada)
    assert mine.count('<tbody class="visit">') == 1
    assert seen(web, Role.AUDITOR, "/attempts").count('<tbody class="visit">') == 2
    assert "Nobody came" in seen(web, Role.AUDITOR, "/attempts", last="2020-01-01")


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "' OR 1=1 --"},
        {"kind": "config_changed"},
        {"reason": "ok'; DROP TABLE entry; --"},
        {"first": "yesterday"},
        {"last": "0001-01-01'"},
        {"before": "-1"},
        {"before": "1e9"},
        {"person": "x" * 500},
    ],
)
def test_hostile_filters_are_one_line(web: Web, ada: str, asked: dict[str, str]) -> None:
    """E2: a filter that no form of ours sends is refused in one line, and the log is what it was."""
    assert ada
    with web.client(Role.AUDITOR) as client:
        for path in ("/attempts", "/attempts.csv"):
            if not (path == "/attempts.csv" and "before" in asked):
                assert client.get(path, params=asked).status_code == 422
        assert client.get("/audit", params={"kind": "x' OR 1=1 --"}).status_code == 422
        assert "Nothing like that" in client.get("/audit", params={"text": "%' OR '1'='1"}).text


def test_table_holds_ids_alone(web: Web, ada: str) -> None:
    """J3: the table that is taken away has every visit found, by id, and no name, detail or score."""
    with web.client(Role.ADMIN) as client:
        answer = client.get("/attempts.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["event_type"], row["person_id"]) for row in rows] == [
        ("approval_requested", ""),
        ("access_denied", ""),
        ("access_granted", ada),
    ]
    assert answer.headers["content-disposition"] == 'attachment; filename="attempts.csv"'
    assert set(rows[0]) == {"seq", "at", "event_type", "reason", "presentation_id", "ticket_id", "person_id"}


def test_log_is_taken_away_whole(web: Web, ada: str, installation: Installation) -> None:
    """F15: what is taken away is every entry, as the command line gives it, so that its chain can be checked there."""
    assert ada
    with web.client(Role.AUDITOR) as client:
        answer = client.get("/audit.jsonl")
    with installation.open_audit() as audit:
        assert [json.loads(line) for line in answer.text.splitlines()] == [as_payload(one) for one in audit.read()]
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-front-')


@pytest.mark.parametrize(
    "path", ["/audit/../../etc/passwd", "/audit.jsonl/..%2f..%2fetc", "/static/..%2f..%2faudit.py"]
)
def test_no_path_comes_from_outside(web: Web, path: str) -> None:
    """E4: a download has the name and the content that we say, whatever path is asked for."""
    with web.client(Role.ADMIN) as client:
        assert client.get(path).status_code == 404


def test_log_is_for_auditors(web: Web) -> None:
    """E12: whoever is no auditor gets neither the log nor its verdict nor the file."""
    for role in (Role.OPERATOR, Role.ENROLLER, Role.RECOGNISER):
        with web.client(role) as client:
            answers = [client.get("/audit"), client.get("/audit.jsonl")]
            answers.append(client.post("/audit/verify", data={"csrf": web.csrf(role)}))
        assert {answer.status_code for answer in answers} == {403}


def test_what_stands_in_the_log_is_text(web: Web, ada: str, chromium: Browser) -> None:
    """E14: markup in an entry is shown as letters in a real browser, and nothing runs."""
    assert ada
    with context_of(chromium, web, Role.AUDITOR) as context:
        page = context.new_page()
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text))
        page.goto("/audit")
        page.get_by_text(XSS).wait_for()
        assert page.title() == "Audit log · front"
        assert [line for line in refused if "Content Security Policy" in line] == []


def test_verdict_names_the_first_bad_entry() -> None:
    """F15: an entry that was altered is named on the page; before that, the head is shown to be noted down."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        installation = installed(Path(folder))
        with installation.open_audit() as audit:
            audit.append_all([Event(EventType.BELL, NOW) for _ in range(5)])
            head = audit.head()
        with web_of(installation) as web, web.client(Role.AUDITOR) as client:
            form = {"csrf": web.csrf(Role.AUDITOR)}
            whole = client.post("/audit/verify", data=form).text
            assert f"{head.seq}:{head.hash}" in whole
            assert "The chain holds" in whole
            with closing(sqlite3.connect(installation.audit_file)) as db, db:
                db.execute("DROP TRIGGER entry_is_not_changed")
                db.execute("UPDATE entry SET body = replace(body, 'bell', 'ball') WHERE seq = 3")
            broken = client.post("/audit/verify", data=form).text
        assert "Entry 3 was changed" in broken
