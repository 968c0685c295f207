"""Putting a backup in place: all of it or nothing, whenever the power is cut.

It is unpacked and checked beside what is there. One rename then says that it holds; from then on every command that
opens the state folder finishes what is left, which moves files and can be done twice. What was there before is kept
aside until the end.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.audit import AuditLog, canonical
from appliance.backup.archive import COMMISSIONING, DATABASES, Backup, check_database, unpack
from appliance.errors import HardwareError, RefusedError, StorageError
from appliance.lone import only_one
from appliance.people.keyring import Keyring
from appliance.people.sealing import of_name, unseal_fields
from appliance.signing import own_key, public_text
from appliance.storage import sync_folder
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.commands.options import Installation

STAGED = "restore"  # in the state folder: `new` and `old`, and `holds` once what is new holds
SETTINGS = "restored"  # where settings are left for an administrator to compare
# What these have forgotten, an attacker would like forgotten: used passes, revoked clients and keys of the web, the
# last nonces, entries of the log. A sound one that is here is newer than any backup.
_KEPT_IF_SOUND = ("ledger.db", "clients.db", "web.db", "audit.db")
_BESIDE = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of each file of a backup."""

    backup: Backup
    replaced: tuple[str, ...]
    kept: tuple[str, ...]  # that were sound here, and are newer
    left_aside: tuple[str, ...]  # settings, in the folder `restored`
    erased_since: int  # people of the backup who were erased since; they do not come back
    unreadable: int  # people of the backup whose key is not here


def restore(
    installation: Installation,
    path: Path,
    key: bytes,
    *,
    signer: str = "",
    whole: bool = False,
    without_keys: bool = False,
) -> Restored:
    """Put the backup at `path` in the place of what is here, and return what was done.

    `signer` is the fingerprint of the device that made it, where that is another one; `whole` takes its ledger, clients
    and audit log too, though those that are here are sound; `without_keys` takes people whose keys are not here.
    Raises RefusedError for a backup that is not as it was made, HardwareError where a reader runs or a database is in
    use; then nothing was changed.
    """
    state = installation.state
    staged = state / STAGED
    with only_one(state / "reader.lock"):
        shutil.rmtree(staged, ignore_errors=True)  # left by a power cut before it held
        try:
            new = staged / "new"
            new.mkdir(mode=0o700, parents=True)
            backup = unpack(path, key, new)
            _check_signer(backup, installation, signer)
            kept = () if whole else tuple(_sound(installation, new))
            for name in kept:
                (new / name).unlink()
            _check_log(new, installation)
            erased, unreadable = _known(installation, new, without_keys=without_keys)
            for name in DATABASES:
                _fold(state / name)
            aside = _set_aside(new, state / SETTINGS)
            replaced = tuple(sorted(one.name for one in new.iterdir()))
            _hold(staged, replaced)
        except BaseException:
            if not (staged / "holds").exists():
                shutil.rmtree(staged, ignore_errors=True)
            raise
        _finish(state)
    return Restored(backup, replaced, kept, aside, erased, unreadable)


def finish(state: Path) -> None:
    """Complete a restore that a power cut interrupted; nothing where there is none any more. Raises HardwareError."""
    with only_one(state / "reader.lock"):
        if (state / STAGED / "holds").exists():
            _finish(state)


def _check_signer(backup: Backup, installation: Installation, signer: str) -> None:
    seal = backup.seal
    ours = public_text(own_key(installation.device_key_file))
    if seal.header.signer != ours and seal.signer.replace(" ", "") != signer.replace(" ", "").lower():
        made_by = f"the backup was signed by another device, {seal.header.device_id}, key {seal.signer}"
        raise RefusedError(f"{made_by}; where that is the one you mean, say so with --signer")


def _sound(installation: Installation, new: Path) -> Iterator[str]:
    """Yield the names of those databases of the backup that are here, sound, and newer."""
    for name in _KEPT_IF_SOUND:
        here = installation.state / name
        if here.exists() and (new / name).exists():
            _fold(here)
            with suppress(RefusedError, StorageError):
                check_database(here, DATABASES[name])
                if name != "audit.db" or _continues(installation, new / name):
                    yield name


def _continues(installation: Installation, copy: Path) -> bool:
    """Tell whether the log that is here holds, and began as the backup's."""
    device = installation.settings.device
    with AuditLog(copy, device.id, device.door) as log:
        head = log.head()
    with AuditLog(installation.audit_file, device.id, device.door) as log:
        return log.verify().ok and (not head.seq or log.verify(head).ok)


def _check_log(new: Path, installation: Installation) -> None:
    """Raise RefusedError where the chain of the backup's log does not hold; note its head beside it."""
    if not (new / "audit.db").exists():
        return
    device = installation.settings.device
    with AuditLog(new / "audit.db", device.id, device.door) as log:
        verdict = log.verify()
    if not verdict.ok:
        raise RefusedError(f"audit log of the backup is broken: entry {verdict.first_bad} {verdict.why}")
    with new_file(new / "audit.head") as file:
        file.write(canonical({"seq": verdict.head.seq, "hash": verdict.head.hash}) + b"\n")


def _known(installation: Installation, new: Path, *, without_keys: bool) -> tuple[int, int]:
    """Return how many of the backup's people were erased since, and of how many others no key is here.

    Raises RefusedError where there are such and they are not to be taken.
    """
    with closing(sqlite3.connect(new / "gallery.db")) as gallery:
        people = dict(gallery.execute("SELECT person_id, who FROM person"))
    with Keyring.beside(installation.gallery_file) as keyring:
        erased = people.keys() & {one.person_id for one in keyring.tombstones()}
        keys = keyring.opened()
    left = [(one, who) for one, who in people.items() if one not in erased]
    unreadable = sum(unseal_fields(keys.get(one), who, of_name(one)) is None for one, who in left)
    if unreadable and not without_keys:
        why = "it is on another device (ostiary keys import), or it was changed when they withdrew their consent"
        raise RefusedError(f"of {unreadable} people of the backup the key is not here: {why}; --without-keys goes on")
    return len(erased), unreadable


def _set_aside(new: Path, folder: Path) -> tuple[str, ...]:
    """Move everything that is not the device's own state to a folder for people to look at; return the names."""
    own = {*DATABASES, "audit.head", COMMISSIONING}
    names = tuple(sorted(one.name for one in new.iterdir() if one.name not in own))
    if names:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    for name in names:
        (new / name).replace(folder / name)
    return names


def _fold(path: Path) -> None:
    """Bring a database into one file, without a log beside it. Raises HardwareError where anybody else has it open."""
    if not path.exists():
        return
    with closing(sqlite3.connect(path, timeout=1.0)) as db:
        try:
            db.execute("PRAGMA journal_mode=DELETE")  # only whoever is alone may leave the log
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.DatabaseError as fault:  # what is damaged is about to be replaced
            if isinstance(fault, sqlite3.OperationalError) and fault.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise HardwareError(f"{path} is in use by another process; stop it first") from fault


def _hold(staged: Path, names: tuple[str, ...]) -> None:
    """Say durably that what is staged holds."""
    sync_folder(staged / "new")
    with new_file(staged / "holds") as file:
        file.write(json.dumps(names).encode())
    sync_folder(staged.parent)


def _finish(state: Path) -> None:
    """Move what is new into place, and what was there aside; can be done again after a power cut at any step."""
    staged = state / STAGED
    try:
        (staged / "old").mkdir(mode=0o700, exist_ok=True)
        for name in json.loads((staged / "holds").read_bytes()):
            if (staged / "new" / name).exists():  # else it is in place already
                for beside in _BESIDE:
                    if (state / f"{name}{beside}").exists():
                        (state / f"{name}{beside}").replace(staged / "old" / f"{name}{beside}")
                (staged / "new" / name).replace(state / name)
        for folder in (state, staged / "new", staged / "old"):
            sync_folder(folder)
        (staged / "holds").unlink()
        sync_folder(staged)
        shutil.rmtree(staged)
    except (OSError, ValueError) as fault:
        raise StorageError(f"restore in {staged} cannot be finished: {fault}") from fault
