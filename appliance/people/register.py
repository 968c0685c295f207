"""The register: the rows of people, of which what is secret is sealed and what can be read is bound to it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Self

from appliance.access.subject import FactorPolicy, Status, Subject
from appliance.errors import RefusedError, StorageError
from appliance.people.person import Consent, Details, Person
from appliance.people.sealing import (
    BlindIndex,
    folded,
    of_facts,
    of_name,
    seal_fields,
    unseal_fields,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from sqlite_utils import Database

    from appliance.people.keyring import Keyring

_LISTED = """
    SELECT p.number, p.person_id, p.who, (SELECT COUNT(*) FROM reference r WHERE r.person_id = p.person_id),
    (SELECT GROUP_CONCAT(DISTINCT r.model_id) FROM reference r WHERE r.person_id = p.person_id),
    p.enrolled_at, p.status, p.last_seen_on, c.withdrawn_at IS NOT NULL,
    (SELECT json_group_array(g.name) FROM membership m JOIN person_group g USING (group_id)
        WHERE m.person_id = p.person_id)
    FROM person p LEFT JOIN consent c USING (consent_id)
"""
_RECORD = """
    SELECT p.person_id, p.enrolled_at, p.status, p.valid_from, p.valid_until, p.always, p.extended, p.factor,
    p.max_fpir, c.text_version, c.text_hash, c.language, c.given_at, c.recorded_by, c.photos, c.withdrawn_at,
    (SELECT json_group_array(g.name) FROM membership m JOIN person_group g USING (group_id)
        WHERE m.person_id = p.person_id AND g.kind = 'static'),
    (SELECT json_group_array(t.tag) FROM tag t WHERE t.person_id = p.person_id),
    p.who, p.facts, p.consent_id, p.changed_at, p.last_seen_on
    FROM person p JOIN consent c USING (consent_id) WHERE p.person_id = ?
"""
_PLAIN = 16  # columns of a record that stand as they are
_AT_ONCE = 512  # names opened together
UNREAD = ""  # the name of somebody whose name can no longer be read


@dataclass(slots=True)
class Record:
    """One person's row, opened. Times are as they are stored: texts with a zone."""

    person_id: str
    enrolled_at: str
    status: str = Status.ACTIVE.value
    valid_from: str | None = None
    valid_until: str | None = None
    always: int = 0
    extended: int = 0
    factor: str = FactorPolicy.NONE.value
    max_fpir: float | None = None
    text_version: str = ""
    text_hash: str = ""
    language: str = "en"
    given_at: str = ""
    recorded_by: str = ""
    photos: int = 0
    withdrawn_at: str | None = None
    groups: list[str] = field(default_factory=list)  # static ones
    tags: list[str] = field(default_factory=list)
    name: str = ""
    external_id: str = ""
    given_by: str = ""
    notes: str = ""
    pin: str = ""
    duress: str = ""
    cards: list[str] = field(default_factory=list)
    consent_id: str = ""
    changed_at: str = ""
    last_seen_on: str | None = None

    @classmethod
    def new(cls, person_id: str, name: str, consent: Consent) -> Self:
        """Return the row of somebody new."""
        now = datetime.now(UTC).isoformat()
        return cls(
            person_id=person_id,
            enrolled_at=now,
            text_version=consent.text_version,
            text_hash=consent.text_hash,
            language=consent.language,
            given_at=consent.given_at.astimezone(UTC).isoformat(),
            recorded_by=consent.recorded_by,
            photos=int(consent.photos),
            name=name,
            given_by=consent.given_by,
            consent_id=uuid.uuid4().hex,
        )

    def bound(self) -> bytes:
        """Return what the sealed facts are bound to: all that can be read and decides something."""
        plain = (
            self.person_id, self.enrolled_at, self.status, self.valid_from, self.valid_until, self.always,
            self.extended, self.factor, self.max_fpir, self.text_version, self.text_hash, self.language,
            self.given_at, self.recorded_by, self.photos, self.withdrawn_at, sorted(self.groups), sorted(self.tags),
        )  # fmt: skip
        return of_facts(plain)

    def consent(self) -> Consent:
        """Return the consent. Raises ValueError for a time that is none."""
        return Consent(
            self.given_by,
            _instant(self.given_at),
            self.language,
            self.text_version,
            self.text_hash,
            bool(self.photos),
            self.recorded_by,
            None if self.withdrawn_at is None else _instant(self.withdrawn_at),
        )


class Register:
    """The people of one gallery. Every method that writes is called inside the gallery's transaction."""

    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring
        self._index = BlindIndex(keyring.secret("index"))

    def add(self, record: Record) -> None:
        """Write somebody new, with a key of their own. Raises RefusedError for an external id that is taken."""
        self._free_external(record)
        # One may be there: of a taking over that was cut once the keys were kept.
        key = self._keyring.key(record.person_id) or self._keyring.new(record.person_id)
        self._db.execute(
            "INSERT INTO consent VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [record.consent_id, record.text_version, record.text_hash, record.language, record.given_at,
             record.recorded_by, record.photos, record.withdrawn_at],
        )  # fmt: skip
        self._db.execute(
            "INSERT INTO person (person_id, consent_id, enrolled_at, changed_at, name_index, who, facts) "
            "VALUES (?, ?, ?, ?, x'', x'', x'')",
            [record.person_id, record.consent_id, record.enrolled_at, record.enrolled_at],
        )
        self._write(record, key)

    def write(self, record: Record, *, renewed: bool = False) -> None:
        """Write the record in place of what was; `renewed` under a new key, so that the old one opens nothing.

        Raises RefusedError for an external id that somebody else has.
        """
        self._free_external(record)
        key = self._keyring.renew(record.person_id) if renewed else self._keyring.key(record.person_id)
        if key is None:
            raise StorageError(f"the key of person {record.person_id} is missing; nothing of them can be changed")
        self._db.execute(
            "UPDATE consent SET text_version = ?, text_hash = ?, language = ?, given_at = ?, recorded_by = ?, "
            "photos = ?, withdrawn_at = ? WHERE consent_id = ?",
            [record.text_version, record.text_hash, record.language, record.given_at, record.recorded_by,
             record.photos, record.withdrawn_at, record.consent_id],
        )  # fmt: skip
        self._write(record, key)

    def read(self, person_id: str) -> Record:
        """Return the person's row. Raises RefusedError for nobody, StorageError for a row that was altered."""
        record = self.look_up(person_id)
        if record is None:
            raise RefusedError(f"nobody is enrolled under the id {person_id}")
        return record

    def look_up(self, person_id: str) -> Record | None:
        """Return the person's row; None for nobody. Raises StorageError for a row that was altered."""
        row = self._db.execute(_RECORD, [person_id]).fetchone()
        if row is None:
            return None
        try:
            return self._opened(row)
        except (TypeError, ValueError) as fault:
            raise StorageError(f"what is known of person {person_id} was altered, and is not believed") from fault

    def subject(self, record: Record) -> Subject:
        """Return what the doors must know, with the dynamic groups the person is in now. Raises StorageError."""
        groups = {*record.groups, *(name for name, rule in self.dynamic().items() if rule.takes(record))}
        try:
            return Subject(
                record.person_id,
                record.name,
                Status(record.status),
                None if record.valid_from is None else _instant(record.valid_from),
                None if record.valid_until is None else _instant(record.valid_until),
                frozenset(groups),
                bool(record.always),
                bool(record.extended),
                FactorPolicy(record.factor),
                record.pin,
                record.duress,
                record.max_fpir,
            )
        except (TypeError, ValueError) as fault:
            raise StorageError(f"access of person {record.person_id} is unclear: {fault}") from fault

    def details(self, record: Record) -> Details:
        """Return everything but templates, photos and PINs. Raises StorageError."""
        subject = self.subject(record)
        return Details(
            record.person_id,
            record.name,
            record.external_id,
            record.notes,
            frozenset(record.tags),
            subject.groups,
            tuple(record.cards),
            record.consent(),
            subject,
            _instant(record.enrolled_at),
            _instant(record.changed_at),
            _day(record.last_seen_on),
            record.max_fpir,
        )

    def listed(self, where: str = "", values: Sequence[object] = (), *, known: bool = False) -> Iterator[Person]:
        """Give everybody whom an SQL condition of ours takes, in order of enrolment; `known` opens all keys at once."""
        keys = self._keyring.opened() if known else None
        for row in self._db.execute(f"{_LISTED} {where}", list(values)).fetchall():
            person_id = row[1]
            key = self._keyring.key(person_id) if keys is None else keys.get(person_id)
            who = unseal_fields(key, row[2], of_name(person_id)) or {}
            yield self._person(row, who)

    def named(self, name: str) -> Iterator[Person]:
        """Give everybody of exactly this name."""
        found = self.listed("WHERE p.name_index = ? ORDER BY p.number", [self._index.whole("name", name)])
        return (person for person in found if person.name == name)

    def called(self, external_id: str) -> Iterator[Person]:
        """Give whoever another system calls so."""
        return self.listed("WHERE p.external_index = ?", [self._index.whole("external", external_id)])

    def holder(self, card: str) -> str | None:
        """Return whose card this is; None for nobody's."""
        row = self._db.execute("SELECT person_id FROM card WHERE card_index = ?", [self._index.whole("card", card)])
        found = row.fetchone()
        return None if found is None else str(found[0])

    def beginning(self, text: str, limit: int) -> list[Person]:
        """Return those of whose name each word of the text begins a word, at most `limit`, in order of enrolment."""
        words = folded(text).split()
        if not words:
            return []
        hits = " INTERSECT ".join("SELECT person_id FROM name_word WHERE word = ?" for _ in words)
        query = f"SELECT person_id, who FROM person WHERE person_id IN ({hits}) ORDER BY number"  # noqa: S608 - ours
        rows = self._db.conn.execute(query, [self._index.word(word) for word in words])
        found: list[str] = []
        # The index tells the first letters alone: the names decide, opened some at a time until there are enough.
        while len(found) < limit and (some := rows.fetchmany(_AT_ONCE)):
            keys = self._keyring.keys_of([person_id for person_id, _ in some])
            for person_id, who in some:
                name = (unseal_fields(keys.get(person_id), who, of_name(person_id)) or {}).get("name", UNREAD)
                parts = folded(name).split()
                if all(any(part.startswith(word) for part in parts) for word in words):
                    found.append(person_id)
        few = json.dumps(found[:limit])
        return list(self.listed("WHERE p.person_id IN (SELECT value FROM json_each(?)) ORDER BY p.number", [few]))

    def dynamic(self) -> dict[str, Rule]:
        """Return the dynamic groups, by name. Raises StorageError for one that was altered."""
        rows = self._db.execute("SELECT group_id, name, rule, seal FROM person_group WHERE kind = 'dynamic'").fetchall()
        for group_id, name, rule, sealed in rows:
            if sealed != self.group_seal(group_id, name, "dynamic", rule):
                raise StorageError(f"group {name} was altered, and is not believed")
        return {name: Rule.read(rule) for _, name, rule, _ in rows}

    def within(self, group: str) -> tuple[str, list[object]]:
        """Return the condition on a person `q` to be in a group, of words of ours alone, and the values from ?2 on."""
        rule = self.dynamic().get(group)
        if rule is None:
            static = "SELECT m.person_id FROM membership m JOIN person_group g USING (group_id) WHERE g.name = ?2"
            return f"q.person_id IN ({static})", [group]
        tagged = "SELECT COUNT(*) FROM tag t WHERE t.person_id = q.person_id AND t.tag IN (SELECT value FROM json_each"
        statuses = "(?4 = '[]' OR q.status IN (SELECT value FROM json_each(?4)))"
        tags = f"({tagged}(?2))) = json_array_length(?2) AND (?3 = '[]' OR ({tagged}(?3))) > 0)"
        return f"{tags} AND {statuses}", [
            json.dumps(one) for one in (sorted(set(rule.all_tags)), rule.any_tags, rule.statuses)
        ]

    def group_seal(self, group_id: str, name: str, kind: str, rule: str) -> bytes:
        """Return what shows that a group is as we made it."""
        return self._index.whole("group", f"{group_id}\0{name}\0{kind}\0{rule}")

    def make_group(self, name: str, kind: str, rule: str = "") -> str:
        """Return the id of a new group. Raises RefusedError where there is one of this name."""
        if self._db.execute("SELECT 1 FROM person_group WHERE name = ?", [name]).fetchone() is not None:
            raise RefusedError(f"there is a group {name!r} already")
        group_id = uuid.uuid4().hex
        sealed = self.group_seal(group_id, name, kind, rule)
        values = [group_id, name, kind, rule, datetime.now(UTC).isoformat(), sealed]
        self._db.execute("INSERT INTO person_group VALUES (?, ?, ?, ?, ?, ?)", values)
        return group_id

    def drop_group(self, name: str) -> int:
        """Forget the group and return how many were put into it. Raises RefusedError where there is none."""
        row = self._db.execute("SELECT group_id FROM person_group WHERE name = ?", [name]).fetchone()
        if row is None:
            raise RefusedError(f"there is no group {name!r}")
        members = self._db.execute("SELECT person_id FROM membership WHERE group_id = ?", row).fetchall()
        for (person_id,) in members:  # what is sealed of them is bound to their groups
            record = self.read(person_id)
            record.groups.remove(name)
            self.write(record)
        self._db.execute("DELETE FROM person_group WHERE group_id = ?", row)
        return len(members)

    def _write(self, record: Record, key: AESGCM) -> None:
        person_id = record.person_id
        self._write_groups(record)
        for table, column, entries in (
            ("tag", "tag", sorted(set(record.tags))),
            ("name_word", "word", sorted(self._index.words(record.name))),
            ("card", "card_index", [self._index.whole("card", card) for card in record.cards]),
        ):
            self._db.execute(f"DELETE FROM {table} WHERE person_id = ?", [person_id])  # noqa: S608 - our own words
            rows = [(person_id, one) for one in entries]
            self._db.conn.executemany(f"INSERT INTO {table} (person_id, {column}) VALUES (?, ?)", rows)  # noqa: S608
        who = {"name": record.name, "external_id": record.external_id, "given_by": record.given_by}
        facts = {"notes": record.notes, "pin": record.pin, "duress": record.duress, "cards": record.cards}
        external = self._index.whole("external", record.external_id) if record.external_id else None
        self._db.execute(
            "UPDATE person SET changed_at = ?, status = ?, valid_from = ?, valid_until = ?, always = ?, extended = ?, "
            "factor = ?, max_fpir = ?, name_index = ?, external_index = ?, who = ?, facts = ? WHERE person_id = ?",
            [datetime.now(UTC).isoformat(), record.status, record.valid_from, record.valid_until, record.always,
             record.extended, record.factor, record.max_fpir, self._index.whole("name", record.name), external,
             seal_fields(key, who, of_name(person_id)), seal_fields(key, facts, record.bound()), person_id],
        )  # fmt: skip

    def _write_groups(self, record: Record) -> None:
        """Put the person into the static groups of the record, which are made where they are new."""
        kinds = dict(self._db.execute("SELECT name, kind FROM person_group").fetchall())
        record.groups = sorted({name for name in record.groups if kinds.get(name) != "dynamic"})
        for name in record.groups:
            if name not in kinds:
                self.make_group(name, "static")
        self._db.execute("DELETE FROM membership WHERE person_id = ?", [record.person_id])
        self._db.execute(
            "INSERT INTO membership SELECT ?, group_id FROM person_group "
            "WHERE name IN (SELECT value FROM json_each(?))",
            [record.person_id, json.dumps(record.groups)],
        )

    def _free_external(self, record: Record) -> None:
        others = self.called(record.external_id) if record.external_id else iter(())
        for other in others:
            if other.person_id != record.person_id:
                raise RefusedError(f"external id {record.external_id!r} is person {other.person_id}'s already")
        for card in record.cards:
            holder = self.holder(card)
            if holder not in {None, record.person_id}:
                raise RefusedError(f"card {card!r} is person {holder}'s already")

    def _opened(self, row: Sequence[Any]) -> Record:
        plain, (groups, tags, who, facts, consent_id, changed_at, seen) = row[:_PLAIN], row[_PLAIN:]
        record = Record(*plain)
        record.groups, record.tags = sorted(json.loads(groups)), sorted(json.loads(tags))
        key = self._keyring.key(record.person_id)
        name = unseal_fields(key, who, of_name(record.person_id))
        rest = unseal_fields(key, facts, record.bound())
        if name is None or rest is None:
            raise ValueError("the seal does not fit")
        return replace(record, **name, **rest, consent_id=consent_id, changed_at=changed_at, last_seen_on=seen)

    def _person(self, row: Sequence[Any], who: dict[str, Any]) -> Person:
        _, person_id, _, references, models, enrolled_at, status, seen, withdrawn, groups = row
        try:
            at, seen_on = _instant(enrolled_at), _day(seen)
        except (TypeError, ValueError) as fault:
            raise StorageError(f"the gallery is damaged: person {person_id} has no time of enrolment") from fault
        return Person(
            person_id,
            who.get("name", UNREAD),
            references,
            tuple(sorted(models.split(","))) if models else (),
            at,
            who.get("given_by", ""),
            who.get("external_id", ""),
            status,
            tuple(sorted(json.loads(groups))),
            seen_on,
            bool(withdrawn),
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Who is in a dynamic group: everybody of whom each condition that is not empty holds."""

    all_tags: tuple[str, ...] = ()
    any_tags: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the rule in this JSON. Raises StorageError for anything else."""
        try:
            fields = json.loads(text)
            return cls(**{name: _texts(listed) for name, listed in fields.items()})
        except (AttributeError, TypeError, ValueError) as fault:
            raise StorageError(f"the rule {text!r} of a group is none") from fault

    def written(self) -> str:
        """Return the rule as JSON."""
        return json.dumps({"all_tags": self.all_tags, "any_tags": self.any_tags, "statuses": self.statuses})

    def takes(self, record: Record) -> bool:
        """Tell whether this person is in the group."""
        tags = set(record.tags)
        return (
            tags.issuperset(self.all_tags)
            and (not self.any_tags or not tags.isdisjoint(self.any_tags))
            and (not self.statuses or record.status in self.statuses)
        )


def _texts(listed: Iterable[object]) -> tuple[str, ...]:
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise ValueError(f"{listed!r} is not a list of texts")
    return tuple(listed)


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return at


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
