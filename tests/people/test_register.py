"""What is known of people: kept, found, changed and taken back, always whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.subject import Status, Subject
from appliance.errors import RefusedError, StorageError
from appliance.people.gallery import Consent, Gallery, Source
from appliance.people.register import Record, Rule
from appliance.people.sealing import BlindIndex, folded
from appliance.people.snapshot import MAX_REFERENCES
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AGREED = Consent("Ada", NOON, "pt-BR", "2", "ab" * 32, photos=True, recorded_by="reception")
JPEG = b"\xff\xd8 a picture"


def faces(count: int, first: int = 0) -> list[tuple[Embedding, Grade]]:
    """Return different templates."""
    rows = np.random.default_rng(first).normal(size=(count, 64))
    return [(Embedding((row / np.linalg.norm(row)).astype(np.float32), "m"), Grade.HIGH) for row in rows]


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Return an empty gallery."""
    with Gallery(tmp_path / "gallery.db") as opened:
        yield opened


def enrol(gallery: Gallery, name: str, seed: int = 1) -> str:
    """Enrol somebody with one template, and return the id."""
    return gallery.add(name, replace(AGREED, given_by=name), faces(1, seed)).person_id


def test_everything_that_is_said_comes_back(gallery: Gallery) -> None:
    """Name, external id, notes, tags, cards and consent are as they were given, also in the file opened anew."""
    ada = gallery.add(
        "Ada", AGREED, faces(2), external_id="4711", notes="left-handed", tags=["vip", "staff"], photos=[JPEG]
    )
    gallery.set_details(ada.person_id, cards=["0042", "0043"], max_fpir=1e-4)
    with Gallery(gallery.path) as again:
        known = again.details(ada.person_id)
        assert (known.name, known.external_id, known.notes) == ("Ada", "4711", "left-handed")
        assert (known.tags, known.cards, known.max_fpir) == (frozenset({"vip", "staff"}), ("0042", "0043"), 1e-4)
        assert known.consent == AGREED
        assert again.photos(ada.person_id) == (JPEG,)
        assert again.holder("0043") == ada.person_id
        assert again.holder("0044") is None


def test_found_by_the_beginnings_of_words(gallery: Gallery) -> None:
    """Case, accents and order do not matter; three letters are enough, and more must fit; so is a whole short word."""
    ids = {
        name: enrol(gallery, name, seed)
        for seed, name in enumerate(("Žofie Nováková", "Zoe Novak", "Bo Li", "Zo Nova"))
    }
    found = {query: {one.name for one in gallery.search(query, 50)} for query in QUERIES}
    assert found == QUERIES
    assert gallery.search(ids["Bo Li"], 50)[0].name == "Bo Li"
    assert len(gallery.search("nov", 2)) == 2


QUERIES = {
    "nov": {"Žofie Nováková", "Zoe Novak", "Zo Nova"},
    "NOVAK": {"Žofie Nováková", "Zoe Novak"},
    "nov zof": {"Žofie Nováková"},
    "zoe novako": set(),
    "bo": {"Bo Li"},
    "li bo": {"Bo Li"},
    "zo": {"Zo Nova"},
    "Zoe Novak": {"Zoe Novak"},
    "ova": set(),
    "' OR 1=1": set(),
    "": set(),
    "%": set(),
}


@given(st.text(max_size=60), st.text(max_size=20))
def test_looking_for_any_text_is_sound(name: str, query: str) -> None:
    """E18: folding twice is folding once, and words that begin a name's have the hashes of the name's."""
    assert folded(folded(name)) == folded(name)
    index = BlindIndex(b"1" * 32)
    words = folded(name).split()
    for word in words:
        assert index.word(word) in index.words(name)
        assert index.word(word[:3]) == index.word(word)
    assert index.words(query) == {index.word(one) for one in folded(query).split()}


def test_external_ids_and_cards_belong_to_one_person(gallery: Gallery) -> None:
    """Two people with one external id or card are refused, and nothing of the change is kept."""
    ada, bob = enrol(gallery, "Ada", 1), enrol(gallery, "Bob", 2)
    gallery.set_details(ada, external_id="4711", cards=["0042"])
    before = gallery.details(bob)
    with pytest.raises(RefusedError, match=f"external id '4711' is person {ada}'s already"):
        gallery.set_details(bob, external_id="4711", name="Robert")
    with pytest.raises(RefusedError, match=f"card '0042' is person {ada}'s already"):
        gallery.set_details(bob, cards=["0041", "0042"])
    with pytest.raises(RefusedError, match="4711"):
        gallery.add("Eve", AGREED, faces(1, 3), external_id="4711")
    assert gallery.details(bob) == before
    assert gallery.size() == 2
    gallery.set_details(ada, external_id="", cards=[])
    assert gallery.set_details(bob, external_id="4711", cards=["0042"]).cards == ("0042",)


def test_references_come_and_go(gallery: Gallery) -> None:
    """References are added up to 248, each with where it came from, and forgotten one by one, but for the last."""
    ada = gallery.add("Ada", AGREED, faces(1), source=Source.DOOR, captured_at=NOON).person_id
    assert gallery.add_references(ada, faces(MAX_REFERENCES - 1, 5), source=Source.UPGRADE) == MAX_REFERENCES
    first, *others = gallery.references(ada)
    assert (first.source, first.captured_at, first.grade) == ("door", NOON, Grade.HIGH)
    assert {one.source for one in others} == {"upgrade"}
    with pytest.raises(RefusedError, match="249 references are too many"):
        gallery.add_references(ada, faces(1, 9), source=Source.DOOR)
    gallery.remove_reference(first.reference_id)
    assert gallery.current("m", 64).size == MAX_REFERENCES - 1
    assert len(gallery.vectors(ada)) == MAX_REFERENCES - 1
    for one in others[1:]:
        gallery.remove_reference(one.reference_id)
    with pytest.raises(RefusedError, match="is the last one"):
        gallery.remove_reference(others[0].reference_id)
    with pytest.raises(RefusedError, match="there is no reference"):
        gallery.remove_reference(first.reference_id)


def test_photos_need_their_own_consent(gallery: Gallery) -> None:
    """J5: without the consent to keep photos none is kept, whoever writes; a new consent without it takes them away."""
    with pytest.raises(RefusedError, match="not to keep any"):
        gallery.add("Bob", replace(AGREED, photos=False), faces(1), photos=[JPEG])
    assert gallery.size() == 0
    ada = gallery.add("Ada", AGREED, faces(1), photos=[JPEG]).person_id
    gallery.consent_again(ada, replace(AGREED, photos=False, text_version="3"))
    assert gallery.photos(ada) == ()
    assert gallery.details(ada).consent.text_version == "3"
    with closing(sqlite3.connect(gallery.path)) as db, pytest.raises(sqlite3.IntegrityError, match="only with consent"):
        db.execute("INSERT INTO photo VALUES ('p', ?, '2026-03-01', x'00')", [ada])


def test_withdrawn_consent_takes_the_face_and_leaves_the_rest(gallery: Gallery) -> None:
    """C11, J7: after withdrawing nobody is recognised, no copy of the templates opens; name, rights and PIN stay."""
    ada, bob = enrol(gallery, "Ada", 1), enrol(gallery, "Bob", 2)
    gallery.set_pin(ada, "hash", "")
    gallery.set_access(Subject(ada, "Ada", groups=frozenset({"staff"})))
    old = gallery.keyring.keys()[ada]
    gallery.withdraw(ada, NOON)
    assert gallery.current("m", 64).person_ids == (bob,)
    assert gallery.keyring.keys()[ada] != old
    subject = gallery.subject(ada)
    assert subject is not None
    assert (subject.name, subject.pin_hash, subject.groups) == ("Ada", "hash", frozenset({"staff"}))
    assert gallery.details(ada).consent.withdrawn_at == NOON
    assert gallery.person(ada) in gallery.people()
    with pytest.raises(RefusedError, match="has withdrawn"):
        gallery.add_references(ada, faces(1), source=Source.DOOR)
    insert = "INSERT INTO reference VALUES (NULL, 'r', ?, 'm', 'p', 64, 2, 'photo', '', '', x'00')"
    with closing(sqlite3.connect(gallery.path)) as db, pytest.raises(sqlite3.IntegrityError, match="is withdrawn"):
        db.execute(insert, [ada])
    gallery.consent_again(ada, AGREED)
    assert gallery.add_references(ada, faces(1), source=Source.DOOR) == 1


def test_seen_is_written_once_a_day(gallery: Gallery) -> None:
    """F13: a hundred entries on one day are one write."""
    ada = enrol(gallery, "Ada")
    gallery.seen(ada, date(2026, 3, 1))
    before = gallery._db.conn.total_changes
    for _ in range(100):
        gallery.seen(ada, date(2026, 3, 1))
    assert gallery._db.conn.total_changes == before
    gallery.seen(ada, date(2026, 3, 2))
    person = gallery.person(ada)
    assert person is not None
    assert person.last_seen_on == date(2026, 3, 2)


def test_pages_give_everybody_once(gallery: Gallery) -> None:
    """Pages in order of enrolment hold everybody once; the whole list is by name."""
    people = [enrol(gallery, name, seed) for seed, name in enumerate(("Cleo", "Ada", "Bob", "Dan", "Eve"))]
    pages = [gallery.people(after=after, limit=2) for after in (0, 2, 4, 6)]
    assert [one.person_id for page in pages for one in page] == people
    assert [one.name for one in gallery.people()] == ["Ada", "Bob", "Cleo", "Dan", "Eve"]


def test_pages_of_some_hold_those_alone(gallery: Gallery) -> None:
    """A page of those with a status, or of a group of either kind, holds them alone and counts them."""
    people = [enrol(gallery, name, seed) for seed, name in enumerate(("Ada", "Bob", "Cleo"))]
    gallery.make_group("day", Rule(any_tags=("day",)))
    for person_id in people[1:]:
        gallery.set_access(Subject(person_id, "", Status.SUSPENDED, groups=frozenset({"staff"})))
    gallery.set_details(people[0], tags=["day"])
    found, total = gallery.page(1, 5, status="suspended", group="staff")
    assert ([one.person_id for one in found], total) == (people[2:], 2)
    assert [one.person_id for one in gallery.page(0, 5, group="day")[0]] == people[:1]
    assert gallery.page(0, 5, group="nobody") == ((), 0)


def test_pages_of_a_rule_hold_whom_it_takes(gallery: Gallery) -> None:
    """Whatever a rule asks, its page lists exactly its members, though it opens nobody's record for that."""
    tagged = [enrol(gallery, name, seed) for seed, name in enumerate(("Ada", "Bob", "Cleo", "Dan"))]
    for person_id, tags in zip(tagged, (["a", "b"], ["a"], ["b", "c"], []), strict=True):
        gallery.set_details(person_id, tags=tags)
    gallery.set_access(Subject(tagged[1], "", Status.SUSPENDED))
    words = [(), ("a",), ("a", "b"), ("a", "a"), ("c", "x")]
    rules = [Rule(every, some, status) for every in words for some in words for status in ((), ("active",))]
    for number, rule in enumerate(rules):
        gallery.make_group(f"g{number}", rule)
    found = [tuple(one.person_id for one in gallery.page(0, 9, group=f"g{number}")[0]) for number in range(len(rules))]
    assert found == [gallery.members(f"g{number}") for number in range(len(rules))]
    assert len(set(found)) > 6


LABELS = st.sampled_from(["a", "b", "c"])


@settings(max_examples=40)
@given(st.sets(LABELS), st.sets(LABELS), st.sets(LABELS), st.sampled_from(list(Status)), st.booleans())
def test_rule_of_a_group_is_what_it_says(
    tags: set[str], every: set[str], some: set[str], status: Status, active_only: bool
) -> None:
    """A dynamic group has whoever has all of these tags, one of those, one of the states; an empty one asks nothing."""
    statuses = ("active",) if active_only else ()
    rule = Rule.read(Rule(tuple(every), tuple(some), statuses).written())
    person = Record("f" * 32, NOON.isoformat(), status=status.value, tags=sorted(tags))
    fits = every <= tags and (not some or bool(some & tags)) and (not active_only or status is Status.ACTIVE)
    assert rule.takes(person) is fits


@pytest.mark.parametrize("rule", ["", "[]", "1", '{"all": []}', '{"all_tags": "a"}', '{"all_tags": [1]}', "{" * 5000])
def test_rule_that_is_none_is_a_fault(rule: str) -> None:
    """F6: a rule that cannot be read is one line, and nobody is in its group."""
    with pytest.raises(StorageError) as fault:
        Rule.read(rule)
    assert "\n" not in str(fault.value)
