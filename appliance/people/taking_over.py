"""How a gallery whose rows were not sealed yet is taken over: everybody under a key of their own, templates rotated."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance import fixed_point
from appliance.people.protection import Protection
from appliance.people.register import Record, Register
from appliance.people.sealing import encoded, of_reference, seal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlite_utils import Database

    from appliance.people.keyring import Keyring

_PEOPLE = """
    SELECT p.person_id, p.name, p.consent_id, p.enrolled_at, c.given_by, c.language, c.given_at,
    a.person_id IS NOT NULL, a.status, a.valid_from, a.valid_until, a.groups, a.always, a.extended, a.factor,
    a.pin_hash, a.duress_hash
    FROM old_person p JOIN old_consent c USING (consent_id) LEFT JOIN old_access a USING (person_id)
    ORDER BY p.rowid
"""
_REFERENCES = """
    SELECT reference_id, model_id, dimension, grade, vector, digest, enrolled_at FROM old_reference
    WHERE person_id = ? ORDER BY number
"""
PHOTO = "photo"  # nothing was noted of where a reference came from; nearly all were photographs


def take_over(db: Database, keyring: Keyring) -> None:
    """Fill the sealed tables from the `old_` ones; inside one transaction of each of the two databases.

    A template that was damaged already is left behind: it opened nothing.
    """
    register, protection = Register(db, keyring), Protection(keyring.secret("protection"))
    for row in db.execute(_PEOPLE).fetchall():
        person_id = row[0]
        register.add(_record(row))
        key = keyring.key(person_id)
        assert key is not None  # noqa: S101 - made by `add`
        for reference in db.execute(_REFERENCES, [person_id]).fetchall():
            reference_id, model_id, dimension, grade, vector, digest, at = reference
            if digest != _digest(reference_id, person_id, model_id, vector) or len(vector) != 4 * dimension:
                continue
            turned = protection.protect_all(np.frombuffer(vector, "<f4").reshape(1, -1), model_id)[0]
            bound = of_reference(reference_id, person_id, model_id, protection.protection_id)
            sealed = seal(key, encoded(fixed_point.rounded(turned)), bound)
            db.execute(
                "INSERT INTO reference VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [reference_id, person_id, model_id, protection.protection_id, dimension, grade, PHOTO, at, at, sealed],
            )
    db.execute("INSERT INTO pass SELECT pass_id, person_id, not_before, until, uses FROM old_pass")
    db.execute("UPDATE change SET number = number + 1")


def _record(row: Sequence[Any]) -> Record:
    person_id, name, consent_id, enrolled_at, given_by, language, given_at, told, *access = row
    record = Record(
        person_id,
        enrolled_at,
        name=name,
        given_by=given_by,
        language=language,
        given_at=given_at,
        consent_id=consent_id,
    )
    if told:
        record.status, record.valid_from, record.valid_until, groups, *rest = access
        record.groups = json.loads(groups)
        record.always, record.extended, record.factor, record.pin, record.duress = rest
    return record


def _digest(reference_id: str, person_id: str, model_id: str, vector: bytes) -> bytes:
    """Return what stood beside a reference when those were not sealed yet, so that a flipped byte showed: 32 bytes."""
    names = f"{reference_id}\0{person_id}\0{model_id}\0".encode("utf-8", "replace")
    return hashlib.sha256(names + vector).digest()
