"""What is on the disk: planted markers are looked for in every byte of the state folder, while it is used and after."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import subprocess
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.access.pin import hash_pin
from appliance.access.subject import Status
from appliance.backup import archive
from appliance.commands.options import Installation, open_installation
from appliance.people.changes import Change, change_details, withdraw
from appliance.people.enrolment import CLI, remove
from appliance.people.gallery import Consent, Gallery
from appliance.people.groups import add_group, join
from appliance.people.rights import change_access
from appliance.privacy.purge import Purge
from appliance.privacy.report import report
from appliance.privacy.retention import Rules
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 1, tzinfo=UTC)
TODAY = NOON.date()
D = 64
FACE = np.random.default_rng(3).normal(size=D).astype(np.float32)
FACE /= np.linalg.norm(FACE)
NAME, NOTES, CARD, EXTERNAL = "Zyxglorp Quuxington", "wears a monocle", "card-55119933", "EXT-778899"
PHOTO = b"\xff\xd8\xff\xe0" + b"a photograph of Zyxglorp" * 40


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an empty installation."""
    return open_installation(None, tmp_path / "state")


def texts() -> list[bytes]:
    """Return what must be nowhere, in the spellings in which it could lie there."""
    words = (NAME, NAME.split()[1], NAME.upper(), NOTES, CARD, EXTERNAL, "argon2id")
    return [word.encode(code) for word in words for code in ("utf-8", "utf-16-le")] + [PHOTO[:64]]


def templates(gallery: Gallery) -> list[bytes]:
    """Return pieces of the face's template as the model gave it, as it is turned, and as it is packed."""
    turned = gallery.protection.protect(Embedding(FACE, "m")).vector
    found = [vector.astype(kind).tobytes()[8:40] for vector in (FACE, turned) for kind in ("<f4", "<f8", "<f2", ">f4")]
    for person in gallery.people():
        stored = [one.vector for one in gallery.vectors(person.person_id).values()]
        found += [one.astype("<f4").tobytes()[8:40] for one in stored]
    return found


def bytes_of(state: Path, copy: Path) -> dict[str, bytes]:
    """Return every file of the state folder as it lies on the disk now."""
    shutil.rmtree(copy, ignore_errors=True)
    # By another process: one that opens a database's file beside SQLite drops its locks.
    subprocess.run(["cp", "-r", "--", state, copy], check=True)
    return {path.relative_to(copy).as_posix(): path.read_bytes() for path in copy.rglob("*") if path.is_file()}


def markers_in(files: dict[str, bytes], markers: list[bytes]) -> list[tuple[str, bytes]]:
    """Return where a marker stands."""
    return [(name, marker) for name, content in files.items() for marker in markers if marker in content]


def test_no_marker_is_on_the_disk(installation: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """J1 J3: no name, note, card, PIN, photo or template is readable in any file, at any step, or in any log."""
    caplog.set_level(logging.DEBUG)
    with ExitStack() as opening:
        gallery = opening.enter_context(installation.open_gallery())
        audit = opening.enter_context(installation.open_audit())
        consent = Consent(NAME, NOON, photos=True)
        faces = [(gallery.protection.protect(Embedding(FACE, "m")), Grade.HIGH)]
        ada = gallery.add(NAME, consent, faces, external_id=EXTERNAL, notes=NOTES, photos=[PHOTO]).person_id
        markers = [*texts(), *templates(gallery)]
        change_details(gallery, audit, ada, lambda _: Change(cards=[CARD]))
        gallery.set_pin(ada, hash_pin("2580"), "")
        add_group(gallery, audit, "crew", None)
        join(gallery, audit, "crew", NAME)
        change_access(gallery, audit, NAME, lambda subject: subject)
        assert gallery.search("zyxg", 5)
        assert gallery.snapshot("m", D).size == report(installation, TODAY).people == 1
        assert markers_in(bytes_of(installation.state, tmp_path / "copy"), markers) == []
        archive.create(installation, tmp_path / "backup", gallery.keyring.secret("backup"))
        gallery.renew_protection()
        withdraw(gallery, audit, ada)
        assert markers_in(bytes_of(installation.state, tmp_path / "copy"), markers) == []
        remove(gallery, audit, ada)
        assert markers_in(bytes_of(installation.state, tmp_path / "copy"), markers) == []
    files = bytes_of(installation.state, tmp_path / "copy") | {"backup": (tmp_path / "backup").read_bytes()}
    assert markers_in(files, markers) == []
    assert {"gallery.db", "keys.db", "audit.db", "backup"} <= files.keys()
    assert not [word for word in (NAME, NOTES, CARD, EXTERNAL) if word in caplog.text]


def test_the_search_would_find_one(installation: Installation, tmp_path: Path) -> None:
    """J1: a marker that does lie in a table, or in the log beside it, is found: the scan can fail."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        add_group(gallery, audit, "crew", None)
        with closing(sqlite3.connect(installation.gallery_file)) as raw:
            raw.execute("UPDATE person_group SET name = ?", [NAME])
            raw.commit()
            found = markers_in(bytes_of(installation.state, tmp_path / "copy"), [NAME.encode()])
    assert {name for name, _ in found} == {"gallery.db-wal"}


def test_of_the_erased_not_even_the_ciphertext_is_left(installation: Installation, tmp_path: Path) -> None:
    """J1 C11: what was sealed of somebody erased, and their wrapped key, are in no file any more."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        faces = [(gallery.protection.protect(Embedding(FACE, "m")), Grade.HIGH)]
        ada = gallery.add(NAME, Consent(NAME, NOON, photos=True), faces, photos=[PHOTO]).person_id
        with closing(sqlite3.connect(installation.gallery_file)) as raw:
            sealed = [row[0] for row in raw.execute("SELECT who FROM person UNION ALL SELECT sealed FROM reference "
                                                    "UNION ALL SELECT sealed FROM photo")]  # fmt: skip
        with closing(sqlite3.connect(installation.state / "keys.db")) as raw:
            sealed += [row[0] for row in raw.execute("SELECT wrapped FROM person_key")]
        pieces = [one[:24] for one in sealed]
        assert len(markers_in(bytes_of(installation.state, tmp_path / "copy"), pieces)) >= 4
        remove(gallery, audit, ada)
        assert markers_in(bytes_of(installation.state, tmp_path / "copy"), pieces) == []


def test_a_purge_leaves_as_little(installation: Installation, tmp_path: Path) -> None:
    """J1 J6: who is erased by the purge leaves an id, a time and hashes, and nothing else."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        faces = [(gallery.protection.protect(Embedding(FACE, "m")), Grade.HIGH)]
        ada = gallery.add(NAME, Consent(NAME, NOON), faces, external_id=EXTERNAL).person_id
        change_access(gallery, audit, NAME, lambda subject: replace(subject, status=Status.SUSPENDED))
        markers = [*texts(), *templates(gallery)]
        later = datetime.now(UTC).date() + timedelta(days=8)
        assert len(Purge(gallery, audit, Rules(leaver_days=7), later, CLI).run().erased) == 1
    files = bytes_of(installation.state, tmp_path / "copy")
    assert markers_in(files, markers) == []
    assert {name for name, _ in markers_in(files, [ada.encode()])} == {"audit.db", "keys.db"}
