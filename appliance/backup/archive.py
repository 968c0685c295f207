"""What a backup holds: the databases as of one moment, and the files beside them. No key that opens a person."""

from __future__ import annotations

import re
import shutil
import sqlite3
import struct
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from appliance import __version__
from appliance.access.ledger import LEDGER
from appliance.audit import AUDIT
from appliance.backup import sealed
from appliance.clients import CLIENTS
from appliance.errors import HardwareError, RefusedError, StorageError
from appliance.lone import only_one
from appliance.people.consents import ConsentTexts
from appliance.people.migrations import GALLERY
from appliance.signing import own_key
from appliance.storage import Schema, named_faults, open_database
from appliance.web.accounts import WEB
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.commands.options import Installation

# In the order in which they are read: an entry of the log is written before the change of the gallery that it tells of
# is kept, so that a gallery read first has every entry in a log read last.
DATABASES: dict[str, Schema] = {
    "gallery.db": GALLERY,
    "ledger.db": LEDGER,
    "clients.db": CLIENTS,
    "web.db": WEB,
    "audit.db": AUDIT,
}
SECRET = "backup"  # noqa: S105 - the name of the device's secret, not the secret
_MAY_MISS = {"ledger.db", "clients.db", "web.db"}  # where no reader has run yet, or nobody may send commands
_OLDEST = {"gallery.db": 5}  # no older one was ever backed up: people were not sealed then
COMMISSIONING = "commissioning.json"
SETTINGS = ("appliance.toml", "access.toml")  # where they belong is for an administrator to say
_CONSENT = re.compile(r"consent-[A-Za-z0-9][A-Za-z0-9.-]{0,31}_[a-z]{2,3}(-[A-Za-z0-9]{2,8})*\.txt")
MAX_MEMBERS = 512
MAX_SETTINGS_BYTES = 4 * 1024 * 1024
MAX_DATABASE_BYTES = 1 << 40
_LENGTH = struct.Struct(">I")
MAX_CONTENTS_BYTES = 64 * 1024
_PIECE_BYTES = 1 << 20


class Member(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    bytes: Annotated[int, Field(ge=0, le=MAX_DATABASE_BYTES)]

    @model_validator(mode="after")
    def _is_known(self) -> Member:
        if self.name not in DATABASES and self.bytes > MAX_SETTINGS_BYTES:
            raise ValueError(f"{self.name!r} has {self.bytes} bytes; at most {MAX_SETTINGS_BYTES} are allowed")
        if not (self.name in {*DATABASES, COMMISSIONING, *SETTINGS} or _CONSENT.fullmatch(self.name)):
            raise ValueError(f"{self.name!r} is no file of a backup")
        return self


class Contents(BaseModel):
    """What a backup says of itself, sealed before its files."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: str  # of the program that made it
    people: Annotated[int, Field(ge=0)]
    audit_seq: Annotated[int, Field(ge=0)]  # newest entry of its log
    audit_hash: sealed.Hex32
    members: Annotated[tuple[Member, ...], Field(max_length=MAX_MEMBERS)]

    @model_validator(mode="after")
    def _says_nothing_twice(self) -> Contents:
        names = [one.name for one in self.members]
        if len(set(names)) < len(names) or "gallery.db" not in names:
            raise ValueError("a backup holds one gallery, and no file twice")
        return self


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was read, and who made it."""

    seal: sealed.Seal
    contents: Contents


def create(installation: Installation, path: Path, key: bytes) -> Backup:
    """Write a backup of everything but keys to a new file, while others may write, and return what it is.

    Raises RefusedError where the file exists, StorageError where a database or the file cannot be used; then there is
    no file.
    """
    signer = own_key(installation.device_key_file)
    device_id = installation.settings.device.id
    lock = sealed.Lock(by="device", salt=sealed.new_salt())
    with scratch(installation.state) as folder, new_file(path) as file:
        copies = [*_databases(installation.state, folder), *_files(installation)]
        contents = _contents(copies)
        head = sealed.header("backup", device_id, lock, signer)
        sealed.write(file, head, key, _plain(contents, copies), signer)
    return verify(path, key, installation.state)


def verify(path: Path, key: bytes, state: Path) -> Backup:
    """Return what the backup at `path` is, after reading every byte of it and all of its databases.

    Raises RefusedError, one line, where it is altered, cut short, sealed for another device, or holds anything that a
    restore would refuse. `state` is where there is room to unpack it.
    """
    with scratch(state) as folder:
        return unpack(path, key, folder)


@contextmanager
def scratch(state: Path) -> Iterator[Path]:
    """Give an empty folder in the state folder, that is gone afterwards. Raises HardwareError where it is in use."""
    folder = state / "backup.tmp"
    with ExitStack() as closing_all:
        try:
            closing_all.enter_context(only_one(state / "backup.lock"))
        except HardwareError as fault:
            raise HardwareError("another ostiary backup command is at work; wait for it") from fault
        shutil.rmtree(folder, ignore_errors=True)  # left by a power cut
        closing_all.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        yield folder


def unpack(path: Path, key: bytes, folder: Path) -> Backup:
    """Write the files of a backup into an empty folder and return what it is. Raises as `verify`, and StorageError."""
    with sealed.open_sealed(path, "backup") as opened:
        plain = _Plain(opened.chunks(key), path)
        contents = _read_contents(plain.exactly(_LENGTH.unpack(plain.exactly(_LENGTH.size))[0]), path)
        for one in contents.members:
            with new_file(folder / one.name) as file:
                plain.copy(one.bytes, file)
        plain.end()
        backup = Backup(opened.seal, contents)
    for name, schema in DATABASES.items():
        if (folder / name).exists():
            check_database(folder / name, schema)
    return backup


def check_database(path: Path, schema: Schema) -> None:
    """Raise RefusedError, one line, where the file is not a sound database of this kind that this version can open."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        try:
            owner, version = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in _HEADER)
            sound = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as fault:
            raise RefusedError(f"{schema.what} {path.name} of the backup is damaged: {fault}") from fault
    if owner != schema.application_id or version < _OLDEST.get(path.name, 1):
        raise RefusedError(f"{path.name} of the backup is not an Ostiary {schema.what}")
    if version > schema.version:
        known = f"this one knows {schema.version}"
        raise RefusedError(f"{schema.what} of the backup comes from a newer Ostiary: its schema is {version}, {known}")
    if sound != "ok":
        raise RefusedError(f"{schema.what} {path.name} of the backup is damaged: {sound}")


_HEADER = ("application_id", "user_version")


def _databases(state: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Copy the databases as of one moment: all are held before the first is copied. Raises StorageError."""
    with ExitStack() as closing_all:
        held = []
        for name, schema in DATABASES.items():
            if name in _MAY_MISS and not (state / name).exists():
                continue
            db = closing_all.enter_context(closing(open_database(state / name, schema)))
            with named_faults(schema, state / name):
                db.execute("BEGIN")
                db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchall()  # a read begins with the first page read
            held.append((name, schema, db))
        for name, schema, db in held:
            copy = folder / name
            with named_faults(schema, state / name), closing(sqlite3.connect(copy)) as written:
                db.conn.backup(written)
            yield name, copy


def _files(installation: Installation) -> Iterator[tuple[str, Path]]:
    named = {
        COMMISSIONING: installation.commissioning_file,
        "appliance.toml": installation.config_file,
        "access.toml": installation.rules_file,
    }
    for name, path in named.items():
        if path is not None and path.is_file():
            yield name, path
    if installation.consent_folder is not None:
        texts = ConsentTexts(installation.consent_folder)
        for version in texts.versions():
            for language in texts.languages(version):
                name = f"consent-{version}_{language}.txt"
                yield name, installation.consent_folder / version / f"{language}.txt"


def _contents(copies: list[tuple[str, Path]]) -> Contents:
    paths = dict(copies)
    with closing(sqlite3.connect(paths["gallery.db"])) as gallery, closing(sqlite3.connect(paths["audit.db"])) as audit:
        people = gallery.execute("SELECT COUNT(*) FROM person").fetchone()[0]
        head = audit.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone() or (0, "0" * 64)
    members = tuple(Member(name=name, bytes=path.stat().st_size) for name, path in copies)
    return Contents(version=__version__, people=people, audit_seq=head[0], audit_hash=head[1], members=members)


def _plain(contents: Contents, copies: list[tuple[str, Path]]) -> Iterator[bytes]:
    said = contents.model_dump_json().encode()
    yield _LENGTH.pack(len(said)) + said
    for member, (_, path) in zip(contents.members, copies, strict=True):
        left = member.bytes
        with path.open("rb") as file:
            while left and (piece := file.read(min(left, _PIECE_BYTES))):
                left -= len(piece)
                yield piece
        if left:
            raise StorageError(f"file {path} became shorter while it was copied; try again")


def _read_contents(said: bytes, path: Path) -> Contents:
    try:
        return Contents.model_validate_json(said)
    except ValidationError as fault:
        raise RefusedError(f"file {path} is no backup of this version: {fault.errors()[0]['msg']}") from fault


class _Plain:
    """The opened bytes of a sealed file, to be read in order."""

    def __init__(self, chunks: Iterator[bytes], path: Path) -> None:
        self._chunks = chunks
        self._path = path
        self._waiting = b""

    def exactly(self, count: int) -> bytes:
        """Return the next `count` bytes. Raises RefusedError where there are fewer, or more than are ever asked for."""
        if count > MAX_CONTENTS_BYTES:
            raise RefusedError(f"file {self._path} is no backup of this version: {count} bytes of contents")
        return b"".join(self._pieces(count))

    def copy(self, count: int, file: BinaryIO) -> None:
        """Write the next `count` bytes to a file. Raises RefusedError where there are fewer."""
        file.writelines(self._pieces(count))

    def end(self) -> None:
        """Raise RefusedError where anything is left."""
        if self._waiting or any(self._chunks):
            raise RefusedError(f"file {self._path} holds more than it says")

    def _pieces(self, count: int) -> Iterator[bytes]:
        while count:
            if not self._waiting:
                self._waiting = next(self._chunks, b"")
            if not self._waiting:
                raise RefusedError(f"file {self._path} holds less than it says")
            piece, self._waiting = self._waiting[:count], self._waiting[count:]
            count -= len(piece)
            yield piece
