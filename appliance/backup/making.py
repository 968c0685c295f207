"""Making a backup of a whole device, with an entry in its log; the same for command line and web."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.backup import archive
from appliance.contract import EventType
from appliance.records import Actor, Event

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.commands.options import Installation


def make(installation: Installation, path: Path, *, actor: Actor, method: str) -> archive.Backup:
    """Write a backup to a new file, read it back, and return what it is. Raises as `archive.create`."""
    # Whoever was erased is gone before the copy is made, and a gallery of an older version is sealed.
    with installation.open_gallery() as gallery:
        key = gallery.keyring.secret(archive.SECRET)
    made = archive.create(installation, path, key)
    detail = f"{made.contents.people} people, SHA-256 {made.seal.file_hash}"
    with installation.open_audit() as audit:
        audit.append(Event(EventType.BACKED_UP, datetime.now(UTC), actor, method, detail=detail))
    return made
