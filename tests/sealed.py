"""What somebody with the keys, and without our checks, could put into a gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.people.sealing import of_reference, seal

if TYPE_CHECKING:
    from appliance.people.gallery import Gallery


def sealed(gallery: Gallery, reference_id: str, person_id: str, model_id: str, blob: bytes) -> bytes:
    """Return bytes that open as this template of this person."""
    key = gallery.keyring.key(person_id)
    assert key is not None
    return seal(key, blob, of_reference(reference_id, person_id, model_id, gallery.protection.protection_id))
