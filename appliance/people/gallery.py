"""The gallery: people, their consent and their references, in SQLite, each under a key of their own."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING

from appliance.errors import RefusedError, StorageError
from appliance.people.keyring import Keyring, Tombstone
from appliance.people.migrations import GALLERY
from appliance.people.person import Consent, Details, Group, Person, Receipt, ReferenceFacts, Source
from appliance.people.register import Record, Register, Rule
from appliance.people.roll import News, Roll
from appliance.people.shelf import Shelf
from appliance.people.snapshot import MAX_REFERENCES, Finding, build
from appliance.storage import DatabaseFile, empty_log, named_faults, one_change, pragma

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from appliance.access.subject import Subject
    from appliance.manifest import Impostors
    from appliance.people.protection import Protection
    from appliance.records import Embedding, GallerySnapshot, Grade

__all__ = ["Consent", "Details", "Gallery", "Person", "Receipt", "ReferenceFacts", "Source"]

_REMEMBERED = 20_000  # changes that a reader can catch up with one by one


class Gallery(DatabaseFile):
    """The people of one appliance in the file at `path`, with `keys.db` beside it; a connection belongs to one thread.

    Every change is durable on return, or raises and leaves everything as it was. Raises StorageError, one
    line that names the file, where that is damaged, foreign, of a newer version, or cannot be read or written.
    `indexed` packs the snapshot of a large gallery; without it, `current` is exact as well, and slower.
    """

    def __init__(self, path: Path, indexed: Callable[[GallerySnapshot], GallerySnapshot] = lambda plain: plain) -> None:
        super().__init__(path, GALLERY)
        self._indexed = indexed
        self._roll: Roll | None = None
        self._seen: int | None = None  # data_version at the latest `current`; None when we have changed something
        try:
            self.keyring = Keyring.beside(path)
        except BaseException:
            super().close()
            raise
        try:
            with named_faults(GALLERY, path):
                self._register, self._shelf = Register(self._db, self.keyring), Shelf(self._db, self.keyring)
                self._settle()
                self._bury()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close both files; they cannot be used afterwards."""
        self.keyring.close()
        super().close()

    @property
    def protection(self) -> Protection:
        """The rotation that every template of this gallery has."""
        return self._shelf.protection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make every change inside one change, which is kept only when the block ends without raising.

        The keys are kept first, and what they replace until the gallery is kept as well: a power cut in between
        leaves a key of nobody, and everybody as they were.
        """
        if self._db.conn.in_transaction:
            yield
            return
        self._seen = None
        self._settle()
        try:
            with named_faults(GALLERY, self.path), one_change(self._db), self.keyring.transaction(self.revision()):
                yield
                self._forget_old_changes()
                if self.keyring.unsettled():  # `_settle` tells by the revision that this was kept
                    self._db.execute("UPDATE change SET number = number + 1")
        finally:
            self._settle()
        empty_log(self._db)

    def add(
        self,
        name: str,
        consent: Consent,
        references: Sequence[tuple[Embedding, Grade]],
        *,
        source: Source = Source.PHOTO,
        captured_at: datetime | None = None,
        external_id: str = "",
        notes: str = "",
        tags: Iterable[str] = (),
        photos: Sequence[bytes] = (),
        person_id: str = "",
    ) -> Person:
        """Return the new person with all of the references, under the id that they have at another door, if any.

        Raises RefusedError for no reference at all, for more than `MAX_REFERENCES`, for a vector that is not finite or
        not of unit length, for an external id that is taken, and for photos without the consent to keep them.
        """
        if not 1 <= len(references) <= MAX_REFERENCES:
            raise RefusedError(f"{len(references)} references are given; 1 to {MAX_REFERENCES} are wanted")
        if not consent.given_by:
            raise RefusedError("the consent names nobody; who agreed must be known")
        record = Record.new(person_id or uuid.uuid4().hex, name, consent)
        record.external_id, record.notes, record.tags = external_id, notes, sorted(set(tags))
        with self.transaction():
            self._register.add(record)
            self._shelf.put(record, references, source, captured_at, photos)
            (person,) = self._register.listed("WHERE p.person_id = ?", [record.person_id])
        return person

    def add_references(
        self,
        person_id: str,
        references: Sequence[tuple[Embedding, Grade]],
        *,
        source: Source,
        captured_at: datetime | None = None,
        photos: Sequence[bytes] = (),
    ) -> int:
        """Give the person these references besides those there are, and return how many there are now.

        Raises RefusedError as `add`, for an id that is not enrolled, and where the consent was withdrawn.
        """
        with self.transaction():
            record = self._register.read(person_id)
            if record.withdrawn_at is not None:
                raise RefusedError(f"person {person_id} has withdrawn their consent; nothing of their face is kept")
            count = self._shelf.count(person_id) + len(references)
            if count > MAX_REFERENCES:
                raise RefusedError(f"{count} references are too many of one person; {MAX_REFERENCES} are allowed")
            self._shelf.put(record, references, source, captured_at, photos)
        return count

    def remove_reference(self, reference_id: str) -> None:
        """Erase one reference. Raises RefusedError where there is none, and for the last one of a person."""
        with self.transaction():
            row = self._db.execute("SELECT person_id FROM reference WHERE reference_id = ?", [reference_id]).fetchone()
            if row is None:
                raise RefusedError(f"there is no reference {reference_id}")
            if self._shelf.count(row[0]) == 1:
                raise RefusedError(f"reference {reference_id} is the last one of person {row[0]}; erase the person")
            self._db.execute("DELETE FROM reference WHERE reference_id = ?", [reference_id])

    def drop_model(self, model_id: str) -> int:
        """Erase every reference of a model, of people who have others as well, and return how many."""
        others = (
            "SELECT 1 FROM reference o WHERE o.person_id = reference.person_id AND o.model_id <> reference.model_id"
        )
        with self.transaction():
            query = f"DELETE FROM reference WHERE model_id = ? AND EXISTS ({others})"  # noqa: S608 - our own words
            return int(self._db.execute(query, [model_id]).rowcount)

    def references(self, person_id: str) -> tuple[ReferenceFacts, ...]:
        """Return what may be read of the person's references, by age; () for nobody."""
        with named_faults(GALLERY, self.path), self._readable(person_id):
            return self._shelf.facts(person_id)

    def photos(self, person_id: str) -> tuple[bytes, ...]:
        """Return the photos that were kept of the person, JPEG; one that cannot be opened is left out."""
        with named_faults(GALLERY, self.path):
            return self._shelf.photos(person_id)

    def remove(self, person_id: str) -> Receipt:
        """Erase the person and all that is kept of them, destroy their key, and return the receipt.

        Their bytes in the file become zeros; a copy of the file anywhere else can no longer be read of them.
        Raises RefusedError for an id that is not enrolled.
        """
        with self.transaction():
            row = self._db.execute("SELECT 1 FROM person WHERE person_id = ?", [person_id]).fetchone()
            if row is None:
                raise _nobody(person_id)
            references, photos = self._shelf.count(person_id), self._shelf.count(person_id, "photo")
            self._delete(person_id)
            left = self.keyring.destroy(person_id)
        return Receipt(person_id, left.erased_at, references, photos, left.key_hash)

    def withdraw(self, person_id: str, at: datetime) -> None:
        """Erase the person's references and photos, which were there by consent, and note when it was withdrawn.

        What is left of them is sealed under a new key, so that the templates cannot be read in any copy. Name, PIN
        and passes stay: they may still come in another way. Raises RefusedError for an id that is not enrolled.
        """
        with self.transaction():
            record = self._register.read(person_id)
            for table in ("reference", "photo"):
                self._db.execute(f"DELETE FROM {table} WHERE person_id = ?", [person_id])  # noqa: S608 - our own words
            record.withdrawn_at, record.photos = at.astimezone(UTC).isoformat(), 0
            self._register.write(record, renewed=True)

    def consent_again(self, person_id: str, consent: Consent) -> None:
        """Keep this consent in place of the one there was. Raises RefusedError for an id that is not enrolled."""
        with self.transaction():
            record = self._register.read(person_id)
            given = Record.new(person_id, record.name, consent)
            for name in ("text_version", "text_hash", "language", "given_at", "recorded_by", "photos", "given_by"):
                setattr(record, name, getattr(given, name))
            record.withdrawn_at = None
            if not record.photos:
                self._db.execute("DELETE FROM photo WHERE person_id = ?", [person_id])
            self._register.write(record)

    def subject(self, person_id: str) -> Subject | None:
        """Return what is known of the person as far as doors are concerned; None for nobody of this id.

        Raises StorageError where that was altered.
        """
        with named_faults(GALLERY, self.path):
            record = self._register.look_up(person_id)
            return None if record is None else self._register.subject(record)

    def details(self, person_id: str) -> Details:
        """Return everything of the person but templates, photos and PINs.

        Raises RefusedError for an id that is not enrolled, StorageError where it was altered.
        """
        with named_faults(GALLERY, self.path), self._readable(person_id):
            return self._register.details(self._register.read(person_id))

    def set_details(
        self,
        person_id: str,
        *,
        name: str | None = None,
        external_id: str | None = None,
        notes: str | None = None,
        tags: Iterable[str] | None = None,
        cards: Sequence[str] | None = None,
        max_fpir: float | None = 0.0,
    ) -> Details:
        """Keep what is given in place of what was; None, and for `max_fpir` 0, leaves it as it is.

        Raises RefusedError for an id that is not enrolled, an external id or a card of somebody else's.
        """
        with self.transaction():
            record = self._register.read(person_id)
            record.name = record.name if name is None else name
            record.external_id = record.external_id if external_id is None else external_id
            record.notes = record.notes if notes is None else notes
            record.tags = record.tags if tags is None else sorted(set(tags))
            record.cards = record.cards if cards is None else list(dict.fromkeys(cards))
            record.max_fpir = record.max_fpir if max_fpir == 0 else max_fpir
            self._register.write(record)
            return self._register.details(self._register.read(person_id))

    def set_access(self, subject: Subject) -> None:
        """Keep everything of the subject but name, PIN and dynamic groups in place of what was.

        A group that there is not yet becomes a static one. Raises RefusedError for an id that is not enrolled.
        """
        with self.transaction():
            record = self._register.read(subject.person_id)
            record.status, record.factor = subject.status.value, subject.factor.value
            record.valid_from, record.valid_until = _text(subject.valid_from), _text(subject.valid_until)
            record.always, record.extended = int(subject.always), int(subject.extended)
            record.groups, record.max_fpir = sorted(subject.groups), subject.max_fpir
            self._register.write(record)

    def set_pin(self, person_id: str, pin_hash: str, duress_hash: str) -> None:
        """Keep these hashes in place of what was; "" for none. Raises RefusedError for an id that is not enrolled."""
        with self.transaction():
            record = self._register.read(person_id)
            record.pin, record.duress = pin_hash, duress_hash
            self._register.write(record)

    def seen(self, person_id: str, on: date) -> None:
        """Note the day on which the person came in; written once a day."""
        query = "UPDATE person SET last_seen_on = ? WHERE person_id = ? AND last_seen_on IS NOT ?"
        with named_faults(GALLERY, self.path):
            self._db.execute(query, [on.isoformat(), person_id, on.isoformat()])

    def members(self, group: str) -> tuple[str, ...]:
        """Return who is in the group of this name, by age; () where there is none."""
        static = (
            "SELECT p.person_id FROM person p JOIN membership USING (person_id) JOIN person_group g USING (group_id) "
            "WHERE g.name = ? ORDER BY p.number"
        )
        with named_faults(GALLERY, self.path):
            rule = self._register.dynamic().get(group)
            if rule is None:
                return tuple(row[0] for row in self._db.execute(static, [group]))
            ids = [row[0] for row in self._db.execute("SELECT person_id FROM person ORDER BY number")]
            records = (self._register.read(person_id) for person_id in ids)
            return tuple(record.person_id for record in records if rule.takes(record))

    def groups(self) -> tuple[Group, ...]:
        """Return every group, by name."""
        query = (
            "SELECT name, kind = 'dynamic', rule, (SELECT COUNT(*) FROM membership m WHERE m.group_id = g.group_id), "
            "created_at FROM person_group g ORDER BY name"
        )
        with named_faults(GALLERY, self.path):
            rows = self._db.execute(query).fetchall()
        return tuple(
            Group(name, bool(dynamic), rule, None if dynamic else count, datetime.fromisoformat(at))
            for name, dynamic, rule, count, at in rows
        )

    def make_group(self, name: str, rule: Rule | None = None) -> None:
        """Make a group; a dynamic one of whomever the rule takes. Raises RefusedError for a name that is taken."""
        with self.transaction():
            kind, written = ("static", "") if rule is None else ("dynamic", rule.written())
            self._register.make_group(name, kind, written)

    def drop_group(self, name: str) -> int:
        """Forget a group and return how many people were put into it. Raises RefusedError where there is none."""
        with self.transaction():
            return self._register.drop_group(name)

    def calibrate(self, model_id: str, tail: Impostors | None) -> None:
        """Keep what was measured of the gallery's own people with this model in place of what was; None for nothing."""
        with self.transaction():
            self._db.execute("DELETE FROM calibration WHERE model_id = ?", [model_id])
            if tail is not None:
                self._db.execute("INSERT INTO calibration VALUES (?, ?)", [model_id, tail.model_dump_json()])

    def calibrations(self) -> dict[str, Impostors]:
        """Return what is kept, by model id. Raises StorageError where it is damaged."""
        from pydantic import ValidationError  # noqa: PLC0415 - half the time that a list of people takes

        from appliance.manifest import Impostors  # noqa: PLC0415 - likewise

        with named_faults(GALLERY, self.path):
            rows = self._db.execute("SELECT model_id, tail FROM calibration").fetchall()
        try:
            return {model_id: Impostors.model_validate_json(tail) for model_id, tail in rows}
        except ValidationError as fault:
            raise StorageError(f"gallery {self.path} is damaged: its calibration cannot be read") from fault

    def people(self, *, after: int = 0, limit: int | None = None) -> tuple[Person, ...]:
        """Return everybody who is enrolled, by name; with a `limit` so many, past the first `after`, by age."""
        with named_faults(GALLERY, self.path):
            if limit is not None:
                page = (
                    "WHERE p.number IN (SELECT number FROM person ORDER BY number LIMIT ? OFFSET ?) ORDER BY p.number"
                )
                return tuple(self._register.listed(page, [limit, after]))
            return tuple(sorted(self._register.listed(known=True), key=lambda one: (one.name, one.person_id)))

    def page(self, after: int, limit: int, *, status: str = "", group: str = "") -> tuple[tuple[Person, ...], int]:
        """Return so many people past the first `after`, by age, and how many there are in all.

        Only those of a status, and of a group, static or dynamic, where these are not "". A rule is asked of tags and
        status as they can be read, a hundred times as quickly as `members`, which opens everybody's record.
        """
        chosen = "FROM person q WHERE (?1 = '' OR q.status = ?1)"
        values: list[object] = [status]
        with named_faults(GALLERY, self.path):
            if group:
                within, more = self._register.within(group)
                chosen, values = f"{chosen} AND {within}", [*values, *more]
            page = f"SELECT q.number {chosen} ORDER BY q.number LIMIT {limit:d} OFFSET {after:d}"
            total = int(self._db.execute(f"SELECT COUNT(*) {chosen}", values).fetchone()[0])
            found = tuple(self._register.listed(f"WHERE p.number IN ({page}) ORDER BY p.number", values))
        return found, total

    def size(self) -> int:
        """Return how many people are enrolled."""
        with named_faults(GALLERY, self.path):
            return int(self._db.execute("SELECT COUNT(*) FROM person").fetchone()[0])

    def person(self, person_id: str) -> Person | None:
        """Return who has this id; None for nobody."""
        with named_faults(GALLERY, self.path):
            return next(self._register.listed("WHERE p.person_id = ?", [person_id]), None)

    def find(self, name_or_id: str) -> tuple[Person, ...]:
        """Return who has exactly this id or external id, else everybody of exactly this name (NFC); () for nobody."""
        with named_faults(GALLERY, self.path):
            by_id = self.person(name_or_id)
            if by_id is not None:
                return (by_id,)
            return tuple(self._register.called(name_or_id)) or tuple(self._register.named(name_or_id))

    def search(self, text: str, limit: int) -> tuple[Person, ...]:
        """Return whom `find` does, else those of whose name each word of the text begins a word, by age.

        A word needs three letters, or must be a whole shorter one. Case and accents do not count.
        """
        found = self.find(text)
        if found:
            return found[:limit]
        with named_faults(GALLERY, self.path):
            return tuple(self._register.beginning(text, limit))

    def holder(self, card: str) -> str | None:
        """Return the id of the person whose card this is; None for nobody's."""
        with named_faults(GALLERY, self.path):
            return self._register.holder(card)

    def tombstones(self) -> tuple[Tombstone, ...]:
        """Return everybody who was erased, by time."""
        return self.keyring.tombstones()

    def revision(self) -> int:
        """Return a number that rises with every change, whoever made it."""
        with named_faults(GALLERY, self.path):
            row = self._db.execute("SELECT number FROM change").fetchone()
        if row is None:
            raise StorageError(f"gallery {self.path} is damaged: its revision is missing")
        return int(row[0])

    def changed(self) -> bool:
        """Tell, in microseconds, whether this or another process may have written since the latest `current`."""
        with named_faults(GALLERY, self.path):
            return self._seen is None or pragma(self._db, "data_version") != self._seen

    def current(self, model_id: str, dimension: int) -> GallerySnapshot:
        """Return what `snapshot` does, for the price of what has changed since the latest call; the same if nothing.

        A row is judged when it is new. Bytes altered later in the file do not reach the matcher until the next
        start, which quarantines them.
        """
        if self._roll is None or self._roll.model_id != model_id:
            self._roll, self._seen = (
                Roll(model_id, dimension, partial(self._news, model_id, dimension), self._indexed),
                None,
            )
        return self._roll.refresh() if self.changed() else self._roll.snapshot

    def snapshot(self, model_id: str, dimension: int) -> GallerySnapshot:
        """Return every sound reference of the model as of one revision, by age; (0, D) for an empty gallery.

        What is not sound is left out and listed in `quarantined`; `findings` says why.
        """
        return self._load(model_id, dimension)[0]

    def findings(self, model_id: str, dimension: int) -> tuple[Finding, ...]:
        """Return what a human should know: rows quarantined, of another model, or alike under two people."""
        return self._load(model_id, dimension)[1]

    def renew_protection(self) -> int:
        """Turn every template by a new secret rotation, and return how many; the old rotation opens nothing more.

        A template that cannot be opened stays as it is, in quarantine. A running reader follows at its next start.
        """
        with self.transaction():
            return self._shelf.renew()

    def vectors(self, person_id: str) -> dict[str, Embedding]:
        """Return the person's templates as they are compared, by reference id; what cannot be opened is left out."""
        with named_faults(GALLERY, self.path):
            return self._shelf.vectors(person_id)

    def _delete(self, person_id: str) -> None:
        consent = self._db.execute("SELECT consent_id FROM person WHERE person_id = ?", [person_id]).fetchone()
        for table in ("reference", "photo", "pass", "person"):
            self._db.execute(f"DELETE FROM {table} WHERE person_id = ?", [person_id])  # noqa: S608 - our own words
        self._db.execute("DELETE FROM consent WHERE consent_id = ?", consent)

    def _settle(self) -> None:
        """Finish with the keys what a change of the gallery has begun, or take it back where it was not kept."""
        if self.keyring.unsettled():
            with named_faults(GALLERY, self.path), one_change(self._db):  # whoever is at it finishes first
                if self.keyring.settle(self.revision()):
                    self._roll = None
                    self._shelf.forget_protection()  # read again, whichever rotation it is now

    def _bury(self) -> None:
        """Erase everybody who was erased already and has come back: in an old copy of the file, or by a power cut."""
        erased = json.dumps([one.person_id for one in self.keyring.tombstones()])
        query = "SELECT person_id FROM person WHERE person_id IN (SELECT value FROM json_each(?))"
        if back := [row[0] for row in self._db.execute(query, [erased]).fetchall()]:
            with self.transaction():
                for person_id in back:
                    self._delete(person_id)

    def _forget_old_changes(self) -> None:
        latest = self._db.execute("SELECT MAX(number) FROM reference_change").fetchone()[0] or 0
        self._db.execute("DELETE FROM reference_change WHERE number <= ?", [latest - _REMEMBERED])

    @contextmanager
    def _readable(self, person_id: str) -> Iterator[None]:
        try:
            yield
        except (TypeError, ValueError) as fault:
            raise StorageError(f"gallery {self.path} is damaged: person {person_id} cannot be read") from fault

    @contextmanager
    def _news(self, model_id: str, dimension: int, mark: int | None, doubtful: Iterable[str]) -> Iterator[News]:
        """Open what was changed after the change number `mark`, and the `doubtful` ones again; all for None."""
        with named_faults(GALLERY, self.path):
            self._db.execute("BEGIN")  # everything of one moment, whoever writes meanwhile
            try:
                oldest, latest = self._db.execute(
                    "SELECT (SELECT MIN(number) FROM reference_change), "
                    "(SELECT seq FROM sqlite_sequence WHERE name = 'reference_change')"
                ).fetchone()
                latest = latest or 0
                follows = mark is not None and mark <= latest and (mark == latest or (oldest or 0) <= mark + 1)
                touched = {
                    row[0]
                    for row in self._db.execute("SELECT reference_id FROM reference_change WHERE number > ?", [mark])
                } if follows else set()  # fmt: skip
                revision, seen = self.revision(), pragma(self._db, "data_version")
                of_all = self._shelf.sound(model_id, dimension)
                rows = self._shelf.rows({*touched, *doubtful}) if follows else of_all
                yield News(revision, latest, touched if follows else None, rows)
            finally:
                self._db.rollback()
        self._seen = seen

    def _load(self, model_id: str, dimension: int) -> tuple[GallerySnapshot, tuple[Finding, ...]]:
        with named_faults(GALLERY, self.path):
            self._db.execute("BEGIN")  # rows and revision of one moment, whoever writes meanwhile
            try:
                rows = [row for some in self._shelf.everything() for row in some]
                revision = self.revision()
            finally:
                self._db.rollback()
        return build(rows, model_id, dimension, revision)


def _nobody(person_id: str) -> RefusedError:
    return RefusedError(f"nobody is enrolled under the id {person_id}")


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
