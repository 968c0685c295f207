"""What each sealed value of the kept faces is bound to: one that was moved to another row by hand does not open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.kept_faces.schema import Kind


def of_collection(kind: Kind, collection_id: str) -> bytes:
    """Return what the texts of a collection are bound to."""
    return _bound("collection", kind.value, collection_id)


def of_person(person_id: str, group: int) -> bytes:
    """Return what the texts of a person of a group are bound to."""
    return _bound("person", person_id, group)


def of_face(face_id: str, collection: int) -> bytes:
    """Return what the user data of a face is bound to."""
    return _bound("face", face_id, collection)


def of_template(face_id: str, collection: int, person: int | None, model_id: str, protection: str) -> bytes:
    """Return what a template is bound to."""
    return _bound("template", face_id, collection, person, model_id, protection)


def _bound(*facts: object) -> bytes:
    """Return what a sealed value is bound to, so that none can be moved to another row."""
    return b"ostiary kept\0" + json.dumps(facts).encode("utf-8", "replace")
