"""The databases are open to any SQLite tool, and their page says what lies there."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from appliance.access.ledger import Ledger
from appliance.access.subject import Subject
from appliance.audit import AuditLog
from appliance.clients import Registry
from appliance.enrolment.book import BulkBook
from appliance.kept_faces.store import KeptFaces
from appliance.people.gallery import Consent, Gallery
from appliance.people.protection import Protection
from appliance.records import Embedding, Grade
from appliance.web.accounts import Accounts
from appliance.web.answers import AnswerBook

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "schema.md").read_text(encoding="utf-8")
NAMES = ("gallery", "keys", "audit", "ledger", "enrolment", "clients", "web", "answers", "faces")
SECRETS = ("Ada Lovelace", "ext-4711", "left-handed", "card-99", "argon-hash")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every database, and one person of whom everything is known."""
    folder = tmp_path_factory.mktemp("state")
    consent = Consent("Ada Lovelace", datetime(2026, 3, 1, tzinfo=UTC), "en", "1", "0" * 64, photos=True)
    face = (Embedding(np.eye(1, 64, dtype=np.float32)[0], "m"), Grade.HIGH)
    with Gallery(folder / "gallery.db") as gallery:
        ada = gallery.add(
            "Ada Lovelace", consent, [face], external_id="ext-4711", notes="left-handed", photos=[b"JPEG"], tags=["vip"]
        ).person_id
        gallery.set_details(ada, cards=["card-99"])
        gallery.set_access(Subject(ada, "Ada Lovelace", groups=frozenset({"staff"})))
        gallery.set_pin(ada, "argon-hash", "")
    Ledger(folder / "ledger.db").close()
    Registry(folder / "clients.db").close()
    Accounts(folder / "web.db").close()
    AnswerBook(folder / "answers.db", bytes(32)).close()
    AuditLog(folder / "audit.db", "ostiary", "front").close()
    BulkBook(folder / "enrolment.db", bytes(32)).close()
    KeptFaces(folder / "faces.db", bytes(32), Protection(bytes(32))).close()
    return folder


def tables(state: Path, name: str) -> dict[str, list[str]]:
    """Return the columns of each table of one database."""
    with closing(sqlite3.connect(state / f"{name}.db")) as db:
        found = db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {table: [row[1] for row in db.execute(f"PRAGMA table_info({table})")] for (table,) in found}


@pytest.mark.parametrize("name", NAMES)
def test_every_table_and_column_is_documented(state: Path, name: str) -> None:
    """Each table has its place on the page, and each of its columns stands there in code type."""
    assert f"{name}.db" in PAGE
    for table, columns in tables(state, name).items():
        place = _place(table)
        assert place, f"{name}.db: table {table} is not in docs/schema.md"
        missing = [column for column in columns if f"`{column}`" not in place]
        assert missing == [], f"{name}.db: {table}"


def test_nothing_is_documented_that_is_not_there(state: Path) -> None:
    """Each table that the page has a row or a heading for exists."""
    known = {table for name in NAMES for table in tables(state, name)}
    blocks = re.findall(r"\| table \| columns \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE)
    named = {table for block in blocks for table in re.findall(r"^\| `([a-z_]+)`", block, re.MULTILINE)}
    named |= {one for line in re.findall(r"^### (.+)$", PAGE, re.MULTILINE) for one in line.split(", ")}
    assert named - known == set()
    assert len(named) > 15


def _place(table: str) -> str:
    """Return what the page says of a table: its row, or its section."""
    row = re.search(rf"^\| `{table}`(?: of [a-z]+\.db)? \|.*$", PAGE, re.MULTILINE)
    if row:
        return row[0]
    section = re.search(rf"^### [^\n]*\b{table}\b.*?(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    if section:
        return section[0]
    return PAGE.split("## gallery.db")[0] if f"`{table}`" in PAGE.split("## gallery.db")[0] else ""


def test_sqlite_utils_reads_what_is_not_secret(state: Path) -> None:
    """The tool on the command line opens the gallery beside an open one, and lists people without their secrets."""
    with Gallery(state / "gallery.db"):
        tool = [sys.executable, "-m", "sqlite_utils"]
        done = subprocess.run(
            [*tool, "rows", str(state / "gallery.db"), "person"], check=True, capture_output=True, text=True
        )
        (row,) = json.loads(done.stdout)
        assert (row["status"], row["factor"], row["last_seen_on"]) == ("active", "none", None)
        assert row["who"]["$base64"]  # bytes, not text
        dump = subprocess.run([*tool, "dump", str(state / "gallery.db")], check=True, capture_output=True, text=True)
    for secret in SECRETS:
        assert secret not in dump.stdout
        assert secret.encode().hex() not in dump.stdout.lower()
    assert "'staff'" in dump.stdout
    assert dump.stdout.count('INSERT INTO "photo"') == 1


def test_no_file_shows_a_secret(state: Path) -> None:
    """J1: no file of the state folder, logs among them, holds a name, external id, note, card, PIN hash or photo."""
    for file in state.iterdir():
        content = file.read_bytes()
        assert not [secret for secret in (*SECRETS, "JPEG") if secret.encode() in content], file.name
