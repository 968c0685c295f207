"""Sending people to another door, and receiving them: sealed, signed and logged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance import manifest
from appliance.backup import sealed
from appliance.backup.locks import SECRET, key_of
from appliance.backup.templates import Arrival, Arrived, Heading, leaving
from appliance.contract import EventType
from appliance.errors import RefusedError
from appliance.people.enrolment import CLI
from appliance.people.groups import group_of
from appliance.people.references import Standard
from appliance.records import Event
from appliance.signing import own_key
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.audit import AuditLog
    from appliance.commands.options import Installation
    from appliance.people.gallery import Gallery


def send(
    installation: Installation,
    gallery: Gallery,
    audit: AuditLog,
    path: Path,
    *,
    lock: tuple[sealed.Lock, bytes],
    named: bool,
    group: str | None,
) -> int:
    """Write the templates of everybody, or of a group, to a new file, and return how many people are in it.

    Raises RefusedError where the file exists or there is no such group, StorageError where anything cannot be read or
    written; then there is no file.
    """
    recognition, device_id = installation.settings.recognition, installation.settings.device.id
    model_id = manifest.embedder(recognition, installation.models_folder).model_id
    if group is not None:
        group_of(gallery, group)
    people = gallery.members(group) if group is not None else [one.person_id for one in gallery.people()]
    lines = -1  # the heading is none

    def counted() -> Iterator[bytes]:
        nonlocal lines
        for line in leaving(gallery, Heading(device_id=device_id, model_id=model_id, named=named), people):
            lines += 1
            yield line

    signer = own_key(installation.device_key_file)
    with new_file(path) as file:
        sealed.write(file, sealed.header("templates", device_id, lock[0], signer), lock[1], counted(), signer)
        words = f"templates of {lines} people for another door, by {lock[0].by}, {'with' if named else 'without'} names"
        audit.append(Event(EventType.EXPORTED, datetime.now(UTC), CLI, "cli", detail=words))
    return lines


def receive(
    installation: Installation,
    gallery: Gallery,
    audit: AuditLog,
    path: Path,
    *,
    trusted: Callable[[sealed.Seal], bool],
    passphrase: Callable[[], str],
) -> Arrived:
    """Enrol the people of a file from another door, and return what became of each.

    `trusted` says whether this device is the one that is meant; `passphrase` is asked for where the file wants one.
    Raises RefusedError for a file that is altered, not trusted, not for this device, or of another model.
    """
    recognition = installation.settings.recognition
    entry = manifest.embedder(recognition, installation.models_folder)
    standard = Standard(entry.measured.impostors, recognition.target_fpir, accept_medium=True)
    with sealed.open_sealed(path, "templates") as opened:
        if not trusted(opened.seal):
            raise RefusedError(f"file {path} was signed by {opened.seal.signer}, which is not trusted")
        lock = opened.seal.header.lock
        said = passphrase() if lock.by == "passphrase" else ""
        key = key_of(lock, gallery.keyring.secret(SECRET), said)
        arrival = Arrival(gallery, audit, entry.model_id, entry.output[0].shape[-1], standard, CLI)
        return arrival.take(opened.chunks(key))
