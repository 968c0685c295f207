"""The dates of everybody, as they can be read in the gallery without a key."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from appliance.access.subject import Status
from appliance.people.migrations import GALLERY
from appliance.privacy.retention import Facts
from appliance.storage import DatabaseFile, named_faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = 500  # people looked at in one step; 4 ms
_FACTS = """
    SELECT p.number, p.person_id, p.enrolled_at, p.changed_at, c.given_at, p.status, p.valid_from, p.valid_until,
    p.last_seen_on FROM person p JOIN consent c USING (consent_id) WHERE p.number > ? ORDER BY p.number LIMIT ?
"""


class Lifetimes(DatabaseFile):
    """The dates of everybody in the gallery at `path`, as they can be read by anybody who has the file.

    A connection belongs to one thread. Raises StorageError as `Gallery` does.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, GALLERY)

    def page(self, after: int) -> list[tuple[int, str, Facts | None]]:
        """Return number, id and dates of the next people past the number `after`; None for dates that are none."""
        with named_faults(GALLERY, self.path):
            rows = self._db.execute(_FACTS, [after, PAGE]).fetchall()
        return [(number, person_id, _facts(person_id, tuple(rest))) for number, person_id, *rest in rows]

    def everybody(self) -> Iterator[Facts]:
        """Yield the dates of everybody whose dates can be read."""
        number = 0
        while page := self.page(number):
            number = page[-1][0]
            yield from (one for _, _, one in page if one is not None)


def _facts(person_id: str, row: tuple[str, str, str, str, str | None, str | None, str | None]) -> Facts | None:
    enrolled_at, changed_at, consent_at, status, valid_from, valid_until, last_seen_on = row
    try:
        return Facts(
            person_id,
            _instant(enrolled_at),
            _instant(changed_at),
            _instant(consent_at),
            Status(status),
            None if valid_from is None else _instant(valid_from),
            None if valid_until is None else _instant(valid_until),
            None if last_seen_on is None else date.fromisoformat(last_seen_on),
        )
    except (TypeError, ValueError):
        return None


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return at
