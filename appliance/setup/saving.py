"""Putting the draft in its place: the whole file or none of it, with an entry in the log, in the right hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import config
from appliance.audit import AuditLog
from appliance.errors import StorageError
from appliance.people.enrolment import CLI
from appliance.setup.draft import NAME
from appliance.setup.owner import as_owner_of
from appliance.web.rules_desk import SettingsFile

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.config import Settings
    from appliance.records import AuditEvent, Event
    from appliance.setup.draft import Draft

_READABLE = 0o644  # controller and reader are different users, and no secret stands in it


@dataclass(frozen=True, slots=True)
class _Log:
    """The audit log, opened when there is something to write down."""

    state: Path
    settings: Settings

    def append(self, event: Event, /) -> AuditEvent:
        """Return the event as sealed, durable. Raises StorageError."""
        device = self.settings.device
        with as_owner_of(self.state), AuditLog(self.state / "audit.db", device.id, device.door) as log:
            return log.append(event)


def settings_file(path: Path) -> SettingsFile[Settings]:
    """Return the file as it is changed on the device itself: every key may be."""
    return SettingsFile(path, NAME, "settings", config.parse)


def save(draft: Draft, version: str) -> bool:
    """Have the file say what the draft says, and tell whether it did not already; what it said is kept in `.bak`.

    Raises ChangedMeanwhileError where its version is not the one that the draft began with, and StorageError.
    """
    file, path = settings_file(draft.place.config_file), draft.place.config_file
    if path.exists() and config.read(path) == draft.text:
        return False
    new = not path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with as_owner_of(path.parent):  # on an installed device it is the web's folder, and its links are not for root
            file.save(draft.text, version, _Log(draft.place.state, draft.settings), CLI, "cli")
            if new:
                path.chmod(_READABLE)
    except OSError as fault:
        raise StorageError(f"{path} cannot be written: {fault.strerror}") from fault
    return True
