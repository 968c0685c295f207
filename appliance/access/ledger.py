"""The ledger: what one door must remember over a restart besides its people and its log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from appliance.access.passback import Passage, Side
from appliance.errors import StorageError
from appliance.storage import DatabaseFile, Schema, empty_log, named_faults, one_change

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from sqlite_utils import Database

_MIGRATIONS = Migrations("ostiary.ledger")
LEDGER = Schema("ledger", 0x4F53704C, 1, _MIGRATIONS)  # "OSpL"
# A clock that was ahead must not make a used pass new again; no pass is valid for longer than this.
_KEEP_USED = timedelta(days=32)


@_MIGRATIONS(name="0001_ledger")
def _ledger(db: Database) -> None:
    db.executescript("""
        CREATE TABLE used_pass (
            pass_id TEXT PRIMARY KEY NOT NULL,
            until TEXT NOT NULL
        ) STRICT;
        CREATE TABLE passage (
            person_id TEXT PRIMARY KEY NOT NULL,
            side TEXT NOT NULL CHECK (side IN ('entry', 'exit')),
            at TEXT NOT NULL
        ) STRICT;
        CREATE TABLE day (
            number INTEGER PRIMARY KEY CHECK (number = 1),
            began TEXT NOT NULL
        ) STRICT;
    """)


class Ledger(DatabaseFile):
    """Used passes, who passed last and on which side, and whether somebody has begun the day.

    A connection belongs to one thread. Every change is durable on return. Raises StorageError, one line that names
    the file, where that is damaged, foreign, of a newer version, or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, LEDGER)

    def use(self, pass_id: str, until: datetime) -> bool:
        """Tell whether the pass was never used before; from now on it has been. `until` is its expiry, aware."""
        with named_faults(LEDGER, self.path), one_change(self._db):
            over = (datetime.now(UTC) - _KEEP_USED).isoformat()
            self._db.execute("DELETE FROM used_pass WHERE until < ?", [over])
            values = [pass_id, until.astimezone(UTC).isoformat()]
            return self._db.execute("INSERT OR IGNORE INTO used_pass VALUES (?, ?)", values).rowcount == 1

    def passed(self, person_id: str, passage: Passage) -> None:
        """Keep this as the person's latest passage."""
        with named_faults(LEDGER, self.path), one_change(self._db):
            values = [person_id, passage.side.value, passage.at.astimezone(UTC).isoformat()]
            self._db.execute("INSERT OR REPLACE INTO passage VALUES (?, ?, ?)", values)

    def passage(self, person_id: str) -> Passage | None:
        """Return the person's latest passage; None where none is remembered. Raises StorageError for a damaged one."""
        with named_faults(LEDGER, self.path):
            row = self._db.execute("SELECT side, at FROM passage WHERE person_id = ?", [person_id]).fetchone()
        if row is None:
            return None
        try:
            return Passage(Side(row[0]), datetime.fromisoformat(row[1]).astimezone(UTC))
        except ValueError as fault:
            raise StorageError(f"ledger {self.path} is damaged: when person {person_id} passed is unclear") from fault

    def forget_before(self, at: datetime) -> None:
        """Erase every passage before `at`, aware."""
        self._erase("at < ?", at.astimezone(UTC).isoformat())

    def forget_all_but(self, person_ids: Collection[str]) -> None:
        """Erase the passages of everybody else."""
        for person_id in set(self.people()) - set(person_ids):
            self.forget(person_id)

    def people(self) -> tuple[str, ...]:
        """Return the ids of everybody whose passage is remembered."""
        with named_faults(LEDGER, self.path):
            return tuple(str(row[0]) for row in self._db.execute("SELECT person_id FROM passage"))

    def forget(self, person_id: str) -> None:
        """Erase the person's passage, if there is one."""
        self._erase("person_id = ?", person_id)

    def begin_day(self, period: str) -> None:
        """Keep that somebody has begun this period of the door's schedule."""
        with named_faults(LEDGER, self.path), one_change(self._db):
            self._db.execute("INSERT OR REPLACE INTO day VALUES (1, ?)", [period])

    def begun(self) -> str:
        """Return the period that was begun last, "" for none."""
        with named_faults(LEDGER, self.path):
            row = self._db.execute("SELECT began FROM day").fetchone()
        return str(row[0]) if row is not None else ""

    def _erase(self, which: str, value: str) -> None:
        with named_faults(LEDGER, self.path):
            if self._db.execute(f"SELECT 1 FROM passage WHERE {which}", [value]).fetchone() is None:  # noqa: S608 - ours
                return
            with one_change(self._db):
                self._db.execute(f"DELETE FROM passage WHERE {which}", [value])  # noqa: S608 - ours
            empty_log(self._db)
