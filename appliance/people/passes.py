"""The passes that were issued, in the gallery's file, and what becomes of one that is shown at the door."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.access.passes import Pass, PassFault, PassRefused, read_pass
from appliance.errors import RefusedError
from appliance.people.migrations import GALLERY
from appliance.storage import DatabaseFile, empty_log, named_faults, one_change

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from appliance.access.ledger import Ledger

_PASSES = "SELECT pass_id, person_id, not_before, until, uses FROM pass"


class PassBook(DatabaseFile):
    """The list of issued passes in the gallery at `path`; a connection belongs to one thread.

    Every change is durable on return. Raises StorageError as `Gallery` does.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, GALLERY)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make every change inside one change, which is kept only when the block ends without raising."""
        with named_faults(GALLERY, self.path), one_change(self._db):
            yield
        empty_log(self._db)

    def add(self, made: Pass) -> None:
        """Keep a new pass, inside a `transaction`; those that have expired are forgotten.

        Raises RefusedError for a person who is not enrolled.
        """
        self._db.execute("DELETE FROM pass WHERE until <= ?", [int(time.time())])
        if self._db.execute("SELECT 1 FROM person WHERE person_id = ?", [made.person_id]).fetchone() is None:
            raise RefusedError(f"nobody is enrolled under the id {made.person_id}")
        values = [made.pass_id, made.person_id, made.not_before, made.until, made.uses]
        self._db.execute("INSERT INTO pass VALUES (?, ?, ?, ?, ?)", values)

    def remove(self, pass_id: str) -> Pass:
        """Forget a pass, inside a `transaction`, and return it. Raises RefusedError for one that is not there."""
        row = self._db.execute(f"{_PASSES} WHERE pass_id = ?", [pass_id]).fetchone()
        if row is None:
            raise RefusedError(f"there is no pass {pass_id!r}; ostiary pass list shows those that are valid")
        self._db.execute("DELETE FROM pass WHERE pass_id = ?", [pass_id])
        return Pass(*row)

    def passes(self) -> tuple[Pass, ...]:
        """Return every pass that was issued and not revoked, the first to expire first; () for none."""
        with named_faults(GALLERY, self.path):
            rows = self._db.execute(f"{_PASSES} ORDER BY until, pass_id").fetchall()
        return tuple(Pass(*row) for row in rows)

    def has(self, one: Pass) -> bool:
        """Tell whether this very pass was issued and not revoked."""
        with named_faults(GALLERY, self.path):
            row = self._db.execute(f"{_PASSES} WHERE pass_id = ?", [one.pass_id]).fetchone()
        return row is not None and Pass(*row) == one


class PassDesk:
    """Takes passes at one door. Belongs to the thread of its `book` and `ledger`."""

    def __init__(self, key: Ed25519PublicKey, device_id: str, door: str, book: PassBook, ledger: Ledger) -> None:
        self._key = key
        self._place = (device_id, door)
        self._book = book
        self._ledger = ledger

    def take(self, text: str, person_id: str, now: float) -> Pass | PassRefused:
        """Return the pass that `text` is, once used up by one, or why it does not serve this person at `now` (Unix).

        The person is the one whose face was recognised: without one there is nothing to be asked here. One use is
        gone, durably, with every call that returns a pass; so ask once in a visit.
        """
        read = read_pass(text, self._key, *self._place, now)
        if isinstance(read, PassRefused):
            return read
        if read.person_id != person_id:
            return PassRefused(PassFault.OTHER_PERSON)
        if not self._book.has(read):
            return PassRefused(PassFault.WITHDRAWN)
        until = datetime.fromtimestamp(read.until, UTC)
        if not any(self._ledger.use(f"{read.pass_id}-{number}", until) for number in range(read.uses)):
            return PassRefused(PassFault.USED_UP)
        return read
