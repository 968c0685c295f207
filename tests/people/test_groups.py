"""Groups: by hand and by rule, with every change in the log and nobody's seal broken."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.audit import AuditLog
from appliance.errors import RefusedError, StorageError, UsageError
from appliance.people.gallery import Consent, Gallery
from appliance.people.groups import add_group, join, leave, remove_group, rule_of
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Return a gallery of Ada, who is crew and on floor 3, Bea, who is crew, and Cleo."""
    with Gallery(tmp_path / "gallery.db") as opened:
        for number, (name, tags) in enumerate((("Ada", ("crew", "floor 3")), ("Bea", ("crew",)), ("Cleo", ()))):
            face = Embedding(np.eye(8, dtype=np.float32)[number], "m")
            opened.add(name, Consent(name, NOON), [(face, Grade.HIGH)], tags=tags)
        yield opened


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    """Return an empty log."""
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as opened:
        yield opened


def members(gallery: Gallery, name: str) -> list[str]:
    """Return the names of who is in a group."""
    found = (gallery.person(person_id) for person_id in gallery.members(name))
    return [person.name for person in found if person is not None]


def groups_of(gallery: Gallery, name: str) -> set[str]:
    """Return what the doors know of somebody's groups."""
    subject = gallery.subject(gallery.find(name)[0].person_id)
    assert subject is not None
    return set(subject.groups)


def test_people_are_put_in_and_taken_out(gallery: Gallery, audit: AuditLog) -> None:
    """A static group holds whom somebody put into it; each change is one entry, by id."""
    add_group(gallery, audit, "visitors", None)
    join(gallery, audit, "visitors", "Ada")
    join(gallery, audit, "visitors", "Cleo")
    assert members(gallery, "visitors") == ["Ada", "Cleo"]
    leave(gallery, audit, "visitors", "Ada")
    assert members(gallery, "visitors") == ["Cleo"]
    assert groups_of(gallery, "Cleo") == {"visitors"}
    details = [entry.event.detail for entry in audit.read()]
    cleo = gallery.find("Cleo")[0].person_id
    assert details[0] == "group visitors made, static"
    assert details[2] == f"person {cleo}, access: groups visitors"
    assert len(details) == 4
    assert "Cleo" not in " ".join(details)


def test_a_rule_fills_a_group(gallery: Gallery, audit: AuditLog) -> None:
    """A dynamic group is whoever its rule takes at that moment: all tags, any tag, status; empty conditions hold."""
    add_group(gallery, audit, "crew", rule_of(["crew"], [], []))
    add_group(gallery, audit, "crew-of-3", rule_of(["crew", "floor 3"], [], ["active"]))
    add_group(gallery, audit, "either", rule_of([], ["floor 3", "nothing"], []))
    assert members(gallery, "crew") == ["Ada", "Bea"]
    assert members(gallery, "crew-of-3") == members(gallery, "either") == ["Ada"]
    assert groups_of(gallery, "Bea") == {"crew"}
    gallery.set_details(gallery.find("Cleo")[0].person_id, tags=["crew"])
    assert members(gallery, "crew") == ["Ada", "Bea", "Cleo"]
    assert [(one.name, one.dynamic, one.people) for one in gallery.groups()] == [
        ("crew", True, None),
        ("crew-of-3", True, None),
        ("either", True, None),
    ]


def test_a_group_is_given_up(gallery: Gallery, audit: AuditLog) -> None:
    """Giving a group up takes everybody out of it, and leaves each of them readable and as they were."""
    add_group(gallery, audit, "visitors", None)
    for name in ("Ada", "Bea"):
        join(gallery, audit, "visitors", name)
    add_group(gallery, audit, "crew", rule_of(["crew"], [], []))
    assert remove_group(gallery, audit, "visitors") == 2
    assert remove_group(gallery, audit, "crew") == 0
    assert gallery.groups() == ()
    assert all(groups_of(gallery, name) == set() for name in ("Ada", "Bea", "Cleo"))
    assert gallery.snapshot("m", 8).size == 3


def test_what_is_refused(gallery: Gallery, audit: AuditLog) -> None:
    """No name, one that is taken, nobody, no group, one that a rule fills: one line each, and nothing is written."""
    add_group(gallery, audit, "crew", rule_of(["crew"], [], []))
    add_group(gallery, audit, "visitors", None)
    before = audit.head()
    for name in ("", "a b", "../x", "ä", "x" * 64):
        with pytest.raises(UsageError, match="is no name"):
            add_group(gallery, audit, name, None)
    for name in ("crew", "visitors"):
        with pytest.raises(RefusedError, match="there is a group"):
            add_group(gallery, audit, name, None)
    with pytest.raises(RefusedError, match="for its rule to say"):
        join(gallery, audit, "crew", "Cleo")
    with pytest.raises(RefusedError, match="there is no group 'nobodys'"):
        join(gallery, audit, "nobodys", "Cleo")
    with pytest.raises(RefusedError, match="nobody is enrolled as 'Dora'"):
        join(gallery, audit, "visitors", "Dora")
    with pytest.raises(RefusedError, match="there is no group 'nobodys'"):
        remove_group(gallery, audit, "nobodys")
    with pytest.raises(RefusedError, match="status 'gone' is none"):
        rule_of([], [], ["gone"])
    assert audit.head() == before


def test_a_group_that_cannot_be_logged_is_not_made(gallery: Gallery, audit: AuditLog) -> None:
    """F3: without its entry in the log neither a new group nor a removal is kept."""
    add_group(gallery, audit, "visitors", None)
    join(gallery, audit, "visitors", "Ada")
    audit._db.execute("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(StorageError, match="no group was made"):
        add_group(gallery, audit, "crew", None)
    with pytest.raises(StorageError, match="no group was removed"):
        remove_group(gallery, audit, "visitors")
    assert members(gallery, "visitors") == ["Ada"]
    assert [one.name for one in gallery.groups()] == ["visitors"]


def test_a_rule_that_was_edited_is_not_believed(gallery: Gallery, audit: AuditLog, tmp_path: Path) -> None:
    """F6: a rule that somebody widened in the file gives nobody a right: access is a fault until it is put right."""
    add_group(gallery, audit, "crew", rule_of(["crew"], [], []))
    with closing(sqlite3.connect(tmp_path / "gallery.db", isolation_level=None)) as raw:
        raw.execute("UPDATE person_group SET rule = replace(rule, 'crew', 'cleo')")
    with pytest.raises(StorageError, match="group crew was altered"):
        gallery.subject(gallery.find("Cleo")[0].person_id)
