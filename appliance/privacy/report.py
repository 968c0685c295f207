"""The auditor's report: what is held, why, until when and under which keys, and what was looked for and not found.

Everything in it is counted when it is asked for; nothing is said that was not looked at.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from appliance.audit import AuditLog
from appliance.backup.archive import DATABASES
from appliance.contract import EventType
from appliance.enrolment.book import ENROLMENT
from appliance.kept_faces.schema import KEPT
from appliance.people.gallery import Gallery
from appliance.people.keyring import KEYS
from appliance.people.migrations import GALLERY
from appliance.privacy.lifetimes import Lifetimes
from appliance.privacy.retention import Why, due, rules_of
from appliance.storage import named_faults, open_database
from appliance.web.answers import ANSWERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlite_utils import Database

    from appliance.commands.options import Installation
    from appliance.people.keyring import KeyStatus
    from appliance.privacy.retention import Due

HORIZONS = (0, 30, 365)  # days, until which those who fall due are counted
# What every table holds, of whom, and why; a table that is not here is shown as unknown.
PURPOSES = {
    "gallery.db": {
        "person": "who is enrolled: names, ids, notes, PIN hashes and cards sealed; status, validity and days readable",
        "consent": "that they agreed, to which text, when, and whether photos may be kept",
        "reference": "templates, sealed and turned, to recognise them by",
        "photo": "photos, sealed, for a later model to read again; only by consent",
        "name_word": "keyed hashes of the beginnings of names, to find people by",
        "card": "keyed hashes of cards",
        "person_group": "groups that rules of access name",
        "membership": "who is in which group",
        "tag": "tags by which dynamic groups choose",
        "pass": "passes that were issued: id, person, hours",
        "calibration": "how alike the enrolled people look, as four numbers for each model",
        "change": "the number of the latest change",
        "reference_change": "ids of templates that were changed, for a running reader to follow",
    },
    "keys.db": {
        "vault": "the key that wraps all others, itself wrapped",
        "person_key": "one wrapped key a person",
        "secret": "wrapped secrets of the device",
        "retired_key": "keys of a change that has not been settled",
        "retired_secret": "secrets of a change that has not been settled",
        "tombstone": "random ids of people who were erased, so that no backup brings them back",
    },
    "ledger.db": {
        "used_pass": "passes that were used, for 32 days past their end",
        "passage": "who went through last on which side, for anti-passback; until its daily reset",
        "day": "whether somebody has begun the day",
    },
    "audit.db": {"entry": "what happened, people by their random ids alone; never shortened: a chain would break"},
    "clients.db": {
        "client": "who may send commands: id, role, public key",
        "revoked_key": "public keys that may not come back",
    },
    "web.db": {
        "account": "who may use the web pages: name, role, hash of the password",
        "session": "digests of sessions that are going on",
        "api_key": "digests of API keys, and who answers for the faces that come in by each",
        "totp": "secrets of the authenticators of those accounts, sealed",
        "recovery_code": "digests of codes that stand in for an authenticator once each",
        "passkey": "public keys that those accounts sign in with",
    },
    "faces.db": {
        "kept_collection": "face lists and person groups of clients: id, maker, times; names and who answers sealed",
        "kept_person": "people of those groups, none of them of the door: random id; name and user data sealed",
        "kept_face": "their templates, sealed and turned, to compare with; until their client erases them",
    },
    "answers.db": {
        "answer": "what the HTTP interface answered, sealed, for a day: the same request does nothing twice"
    },
    "enrolment.db": {
        "invitation": "open invitations, with what they say sealed",
        "item": "keyed hashes of what was enrolled in bulk, so that it can be taken up again",
    },
}
_DATABASES = {**DATABASES, "keys.db": KEYS, "enrolment.db": ENROLMENT, "answers.db": ANSWERS, "faces.db": KEPT}
# What else may lie in the state folder.
FILES = {
    "setup.code": "the code by which the first account is made, until it is",
    "kiosk.code": "the digest of the code by which the screen at the door begins its session, for a minute",
    "gallery.key": "the device key, which opens all of it; readable by its owner alone",
    "device.key": "the key by which this device signs",
    "audit.head": "the newest entry of the log, to notice a cut",
    "camera.json": "which camera is there, and where the edges of its view without people run, to notice another",
    "commissioning.json": "the signed result of trying the liveness at this door",
    "door.json": "what the controller remembers of the door",
    "controller.sock": "the controller's socket",
    "reader.sock": "the reader's socket",
    "home-assistant.code": "the hash of the code that Home Assistant gives",
    "home-assistant.count": "how many wrong codes it gave in a row",
    "home-assistant.topic": "where this device is described to it",
    "models": "models that were added",
    "restored": "settings of a backup, to be compared",
    "upgrade.json": "which embedder is coming, while an upgrade is going on",
    "simulated-door": "a simulated lock",
}
UNKNOWN = "unknown to this version: look at it"
_INTERNAL = {"_sqlite_migrations", "sqlite_sequence"}
_PASSING = (".lock", ".tmp", "-wal", "-shm")  # beside what they belong to
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")


@dataclass(frozen=True, slots=True)
class Holding:
    """One table, or one file or folder, in the state folder."""

    place: str
    count: int | None  # rows; None for a file
    size: int | None  # bytes; None for a table
    purpose: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """How many people agreed to one text in one language, and to what."""

    version: str  # "" where none was recorded
    language: str
    photos: bool
    withdrawn: bool
    people: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How many people are the first to fall due by one rule."""

    rule: str
    days: int  # 0 for a rule that is off
    within: dict[int, int]  # people, by so many days from today; those before are among them


@dataclass(frozen=True, slots=True)
class Logged:
    """What the audit log says of keeping and erasing, and whether it holds."""

    entries: int
    chain: str  # "holds", or what is wrong with it
    first_at: datetime | None
    exports: int
    backups: int
    purged_at: datetime | None
    purged: str  # what the newest purge came to; "" for none


@dataclass(frozen=True, slots=True)
class Report:
    """What an auditor is told."""

    at: datetime  # UTC
    device_id: str
    people: int
    holdings: tuple[Holding, ...]
    references: dict[str, int]  # by model id and where they came from
    consents: tuple[Agreed, ...]
    preset: str
    endings: tuple[Ending, ...]
    never_due: int
    keys: KeyStatus
    erased: int  # tombstones
    erased_at: datetime | None  # the newest
    pictures: tuple[str, ...]  # files that begin as a picture does; there should be none
    of_nobody: int  # templates and photos of nobody who is enrolled; there should be none
    without_consent: int  # photos, where the consent is not to keep any; there should be none
    log: Logged


def report(installation: Installation, today: date) -> Report:
    """Return what is held on this device now; `today` in UTC. Raises StorageError where a database cannot be read."""
    path, retention = installation.gallery_file, installation.settings.retention
    rules = rules_of(retention)
    with Gallery(path) as gallery, Lifetimes(path) as lifetimes:
        people, keys, tombstones = gallery.size(), gallery.keyring.status(), gallery.tombstones()
        ends = [due(facts, rules) for facts in lifetimes.everybody()]
    days = dict(
        zip(Why, (rules.never_seen_days, rules.unseen_days, rules.leaver_days, rules.consent_days), strict=True)
    )
    with closing(open_database(path, GALLERY)) as db, named_faults(GALLERY, path):
        return Report(
            at=datetime.now(UTC),
            device_id=installation.settings.device.id,
            people=people,
            holdings=(*_tables(installation.state), *_files(installation.state)),
            references={f"{model}, {source}": count for model, source, count in db.execute(_REFERENCES)},
            consents=tuple(_agreed(*row) for row in db.execute(_CONSENTS)),
            preset=retention.preset,
            endings=tuple(_ending(why, days[why], ends, today) for why in Why),
            never_due=ends.count(None),
            keys=keys,
            erased=len(tombstones),
            erased_at=tombstones[-1].erased_at if tombstones else None,
            pictures=tuple(_pictures(installation.state)),
            of_nobody=_count(db, _OF_NOBODY),
            without_consent=_count(db, _WITHOUT_CONSENT),
            log=_logged(installation),
        )


_REFERENCES = "SELECT model_id, source, COUNT(*) FROM reference GROUP BY model_id, source ORDER BY model_id, source"
_CONSENTS = """
    SELECT text_version, language, photos, withdrawn_at IS NOT NULL, COUNT(*) FROM consent
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_OF_NOBODY = """
    SELECT (SELECT COUNT(*) FROM reference WHERE person_id NOT IN (SELECT person_id FROM person))
    + (SELECT COUNT(*) FROM photo WHERE person_id NOT IN (SELECT person_id FROM person))
"""
_WITHOUT_CONSENT = """
    SELECT COUNT(*) FROM photo JOIN person USING (person_id) JOIN consent USING (consent_id)
    WHERE photos = 0 OR withdrawn_at IS NOT NULL
"""


def _agreed(version: str, language: str, photos: int, withdrawn: int, people: int) -> Agreed:
    return Agreed(version, language, bool(photos), bool(withdrawn), people)


def _count(db: Database, query: str) -> int:
    return int(db.execute(query).fetchone()[0])


def _tables(state: Path) -> Iterator[Holding]:
    for name, schema in _DATABASES.items():
        path = state / name
        if not path.exists():
            continue
        with closing(open_database(path, schema)) as db, named_faults(schema, path):
            for table in sorted(set(db.table_names()) - _INTERNAL):
                count = _count(db, f'SELECT COUNT(*) FROM "{table}"')  # noqa: S608 - its own name
                yield Holding(f"{name}: {table}", count, None, PURPOSES[name].get(table, UNKNOWN))


def _files(state: Path) -> Iterator[Holding]:
    known = {**FILES, **dict.fromkeys(_DATABASES, "a database: see its tables")}
    for path in sorted(state.iterdir()):
        if not path.name.endswith(_PASSING):
            files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
            yield Holding(path.name, None, sum(one.stat().st_size for one in files), known.get(path.name, UNKNOWN))


def _pictures(state: Path) -> Iterator[str]:
    """Yield the files that begin as a picture does, wherever in the state folder they lie."""
    for path in sorted(state.rglob("*")):
        # Not a database: to open one beside SQLite drops its locks.
        if path.is_file() and not path.name.endswith((".db", *_PASSING)):
            with path.open("rb") as file:
                if file.read(4).startswith(_PICTURES):
                    yield path.relative_to(state).as_posix()


def _ending(why: Why, days: int, ends: list[Due | None], today: date) -> Ending:
    on = [end.on for end in ends if end is not None and end.why is why]
    within = {horizon: sum(day <= today + timedelta(days=horizon) for day in on) for horizon in HORIZONS}
    return Ending(why.value, days, within)


def _logged(installation: Installation) -> Logged:
    device = installation.settings.device
    with AuditLog(installation.audit_file, device.id, device.door) as log:
        verdict = log.verify()
        first = next(log.read(limit=1), None)
        # An entry's words as they are hashed: one pass over the file for each, without reading every entry.
        exports, backups, purges = (
            [one for one in log.naming(f'"event_type":"{kind.value}"') if one.event.event_type is kind]
            for kind in (EventType.EXPORTED, EventType.BACKED_UP, EventType.PURGED)
        )
    return Logged(
        entries=verdict.count,
        chain="holds" if verdict.ok else f"entry {verdict.first_bad} {verdict.why}",
        first_at=first.event.at if first else None,
        exports=len(exports),
        backups=len(backups),
        purged_at=purges[-1].event.at if purges else None,
        purged=purges[-1].event.detail if purges else "",
    )
