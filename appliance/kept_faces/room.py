"""Kept faces and the audit log, as one thread has them open: every change of the one is an entry of the other."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from appliance.kept_faces.store import SECRET, KeptFaces
from appliance.people.keyring import Keyring
from appliance.people.protection import Protection
from appliance.people.recorded import recorded
from appliance.records import Actor, ActorKind, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.audit import AuditLog
    from appliance.commands.options import Installation
    from appliance.contract import EventType

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptRoom:
    """Belongs to one thread."""

    kept: KeptFaces
    audit: AuditLog

    def changed(
        self, voice: str, event_type: EventType, change: Callable[[KeptFaces], T], detail: str, method: str = "api"
    ) -> T:
        """Return what the change gives, once it and its entry are durable, or raise: then neither is.

        `voice` is who asked, `detail` what was done, with ids and without names, `method` "api" or "cli".
        """

        def say(_made: T) -> Event:
            actor = Actor(ActorKind.OPERATOR, voice)
            return Event(event_type, datetime.now(UTC), actor, method, detail=detail)

        return recorded(self.kept, self.audit, lambda: change(self.kept), say, "nothing was changed")


def open_kept_faces(installation: Installation) -> KeptFaces:
    """Return the kept faces of this installation; the caller closes them. Raises StorageError."""
    with Keyring.beside(installation.gallery_file) as keyring:
        secret, protection = keyring.secret(SECRET), Protection(keyring.secret("protection"))
    return KeptFaces(installation.kept_file, secret, protection)


@contextmanager
def open_kept_room(installation: Installation) -> Iterator[KeptRoom]:
    """Give the room while the block runs. Raises StorageError."""
    with ExitStack() as closing:
        kept = closing.enter_context(open_kept_faces(installation))
        yield KeptRoom(kept, closing.enter_context(installation.open_audit()))
