"""What a release makes of the databases, and the copy that is kept of them while it is on trial.

A release that raises a schema has no way back by itself: the one before cannot read what it wrote (F9), and to put a
copy back forgets what was used, revoked and entered since. That is for somebody to decide.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING

from appliance.access.ledger import LEDGER
from appliance.audit import AUDIT
from appliance.clients import CLIENTS
from appliance.enrolment.book import ENROLMENT
from appliance.errors import StorageError
from appliance.kept_faces.schema import KEPT
from appliance.people.keyring import KEYS
from appliance.people.migrations import GALLERY
from appliance.storage import sync_folder
from appliance.update.disk import sync_disk
from appliance.web.accounts import WEB
from appliance.web.answers import ANSWERS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMAS = {
    "gallery.db": GALLERY,
    "keys.db": KEYS,
    "ledger.db": LEDGER,
    "clients.db": CLIENTS,
    "web.db": WEB,
    "answers.db": ANSWERS,
    "enrolment.db": ENROLMENT,
    "faces.db": KEPT,
    "audit.db": AUDIT,
}
# A copy of the keys would bring back who was erased since.
_NEVER_COPIED = {"keys.db", "keys.db-wal"}
_GO_WITH_THE_LOG = ("audit.head", "feed.cursor")


def known() -> dict[str, int]:
    """Return the newest schema of each database that this version can read."""
    return {name: schema.version for name, schema in SCHEMAS.items()}


def raised(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[str, ...]:
    """Return the databases that a release which knows `before` cannot read once one that knows `after` has run."""
    return tuple(sorted(name for name, version in after.items() if version > before.get(name, 0)))


def copy(state: Path, folder: Path) -> None:
    """Copy every database of a state folder that nobody has open, but the keys, into a new folder, durably.

    Owners and modes go along. The folder is there whole or not at all. Raises StorageError.
    """
    draft = folder.with_name(f".{folder.name}.new")
    for left in (draft, folder):
        shutil.rmtree(left, ignore_errors=True)
    try:
        draft.mkdir(mode=0o700)
        for path in sorted(state.iterdir()):
            if path.is_file() and not path.is_symlink() and _is_copied(path.name):
                _copy_file(path, draft / path.name)
        sync_disk(draft)
        draft.rename(folder)
        sync_folder(folder.parent)
    except OSError as fault:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(f"the databases of {state} cannot be copied: {fault.strerror}") from fault


def put_back(folder: Path, state: Path) -> tuple[str, ...]:
    """Put copied databases in the place of those in a state folder that nobody has open; return their names.

    Can be done again after it was cut off. Raises StorageError.
    """
    try:
        names = tuple(sorted(path.name for path in folder.iterdir()))
        for name in names:
            for ending in ("-wal", "-shm", "-journal"):  # a log of the newer database is not this one's
                if f"{name}{ending}" not in names:
                    (state / f"{name}{ending}").unlink(missing_ok=True)
            draft = state / f"{name}.back"
            draft.unlink(missing_ok=True)
            _copy_file(folder / name, draft)
            draft.replace(state / name)
        sync_disk(state)
    except OSError as fault:
        raise StorageError(f"the databases of {folder} cannot be put back: {fault.strerror}") from fault
    return names


def _is_copied(name: str) -> bool:
    plain = name.removesuffix("-wal")
    return (plain.endswith(".db") and name not in _NEVER_COPIED) or name in _GO_WITH_THE_LOG


def _copy_file(path: Path, target: Path) -> None:
    """Copy a file with its owner and mode. Raises OSError where it is no plain file, or the target is there."""
    # Root reads and writes here in folders of the reader's, who could put a link in the place of either.
    reading, writing = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, reading), "rb") as file, os.fdopen(os.open(target, writing, 0o600), "wb") as copied:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        shutil.copyfileobj(file, copied)
        os.fchown(copied.fileno(), found.st_uid, found.st_gid)
        os.fchmod(copied.fileno(), found.st_mode & 0o777)
