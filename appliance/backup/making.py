"""Making a backup of a whole device, with an entry in its log; the same for command line and web."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.backup import archive
from appliance.contract import EventType
from appliance.errors import StorageError
from appliance.records import Actor, Event

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.commands.options import Installation

_BY_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z\.ostiary")


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


def make_room(newest: Path, last: int) -> list[Path]:
    """Delete the oldest backups beside the newest that are named after their moment, as it is; return which.

    So many stay, the newest among them, whatever the clock said when it was made. Raises StorageError.
    """
    others = sorted(one for one in newest.parent.iterdir() if _BY_MOMENT.fullmatch(one.name) and one != newest)
    old = others[: max(0, len(others) + 1 - last)]
    try:
        for one in old:
            one.unlink()
    except OSError as fault:
        raise StorageError(f"backup {fault.filename} cannot be deleted: {fault.strerror}") from fault
    return old
