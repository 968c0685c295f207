"""A person's access facts as they lie in the gallery."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.access.subject import FactorPolicy, Status, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

SUBJECT = """
    SELECT p.person_id, p.name, a.person_id IS NOT NULL, a.status, a.valid_from, a.valid_until, a.groups, a.always,
    a.extended, a.factor, a.pin_hash, a.duress_hash
    FROM person p LEFT JOIN access a USING (person_id) WHERE p.person_id = ?
"""
# The PIN is kept as it is: who changes the facts neither knows it nor writes it.
SET_ACCESS = """
    INSERT INTO access (person_id, status, valid_from, valid_until, groups, always, extended, factor)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (person_id) DO UPDATE SET status = excluded.status, valid_from = excluded.valid_from,
    valid_until = excluded.valid_until, groups = excluded.groups, always = excluded.always,
    extended = excluded.extended, factor = excluded.factor
"""
SET_PIN = """
    INSERT INTO access (person_id, pin_hash, duress_hash) VALUES (?, ?, ?)
    ON CONFLICT (person_id) DO UPDATE SET pin_hash = excluded.pin_hash, duress_hash = excluded.duress_hash
"""


def from_row(row: Sequence[Any]) -> Subject:
    """Return the subject of one row of `SUBJECT`. Raises ValueError or TypeError for a damaged one."""
    person_id, name, told, status, valid_from, valid_until, groups, always, extended, factor, pin, duress = row
    if not told:
        return Subject(person_id, name)
    return Subject(
        person_id,
        name,
        Status(status),
        _instant(valid_from),
        _instant(valid_until),
        frozenset(_texts(groups)),
        bool(always),
        bool(extended),
        FactorPolicy(factor),
        pin,
        duress,
    )


def as_row(subject: Subject) -> tuple[object, ...]:
    """Return the values of `SET_ACCESS`."""
    return (
        subject.person_id,
        subject.status.value,
        _text(subject.valid_from),
        _text(subject.valid_until),
        json.dumps(sorted(subject.groups)),
        int(subject.always),
        int(subject.extended),
        subject.factor.value,
    )


def _texts(listed: str) -> list[str]:
    found = json.loads(listed)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{listed!r} is not a list of texts")
    return found


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return at


def _text(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at is not None else None
