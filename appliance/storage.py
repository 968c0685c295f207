"""Storage: how a database file is opened: whole, ours and not newer, or not at all.

Each database's schema stands beside its use. A migration that has been released is never edited; a change is a
new one below it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sqlite_utils import Database

from appliance.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlite_utils import Migrations

_BUSY_S = 5.0  # how long one process waits for another's write
# Temporary files would lie outside the state folder, and what they hold is erased by nobody.
_PRAGMAS = ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "trusted_schema=OFF", "temp_store=MEMORY")
_AT_ONCE = 1 << 20  # bytes of the log read together


@dataclass(frozen=True, slots=True)
class Schema:
    """What one kind of database file must be."""

    what: str  # what messages call it
    application_id: int  # in the file's header, so that another program's database is told apart
    version: int  # number of migrations; a file with a higher one comes from a newer Ostiary
    migrations: Migrations
    checked: bool = True  # whether all of it is checked where a log was found; a chain of hashes checks itself


@contextmanager
def named_faults(schema: Schema, path: Path) -> Iterator[None]:
    """Turn any fault of the database at `path` into StorageError, one line that names the file."""
    try:
        yield
    except sqlite3.ProgrammingError:  # a closed connection, a foreign thread: our own bug, which should be seen
        raise
    except (sqlite3.Error, OSError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else fault
        msg = f"{schema.what} {path} cannot be used: {reason}"
        raise StorageError(msg) from fault
    except UnicodeDecodeError as fault:  # sqlite3 decodes SQLite's own message, which may quote a damaged schema
        raise StorageError(f"{schema.what} {path} cannot be used: its schema is damaged") from fault


@contextmanager
def one_change(db: Database) -> Iterator[None]:
    """Make everything inside one durable change, or no change where anything raises; waits for other writers."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        commit(db)
    finally:
        db.rollback()  # nothing is left to roll back after a COMMIT


def commit(db: Database) -> None:
    """Make the change in hand durable; where that fails, it is not there, now or after the next start.

    A commit that failed as it was synced stands whole in the log, and whoever recovers that takes it for committed.
    So the log is written over at once; where that fails too, the next change writes over it.
    """
    try:
        db.execute("COMMIT")
    except sqlite3.OperationalError:
        db.rollback()
        with suppress(sqlite3.OperationalError):
            db.execute(f"PRAGMA user_version = {pragma(db, 'user_version')}")
        raise


def empty_log(db: Database) -> None:
    """Empty the write-ahead log, in which what was erased still stands, unless the disk is full or somebody reads.

    The change is durable already, so that is no fault: the next change, or the last close, empties it.
    """
    with suppress(sqlite3.OperationalError):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def connect(path: Path) -> sqlite3.Connection:
    """Return SQLite's connection to the file at `path`, made for our eyes alone where it is not there.

    Nothing else opens SQLite, so this is where the durability tests put a disk that fails under it.
    """
    # SQLite itself would ask the umask. The file is not opened here: closing it would take the locks of every
    # connection that this process has to it, and the next process to leave would delete the log under them (SQLite:
    # "How To Corrupt", 2.2).
    with suppress(FileExistsError):
        os.mknod(path, 0o600)
    if not os.access(path, os.R_OK | os.W_OK):  # SQLite would read, and refuse the first change
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)


def open_database(path: Path, schema: Schema) -> Database:
    """Return the database at `path`, made or brought up to date where need be; the caller closes it.

    Commits are durable on return (WAL, synchronous=FULL). Raises StorageError where the file is damaged, is
    another program's, comes from a newer version, or cannot be opened.
    """
    with named_faults(schema, path):
        _check_log_is_ours(path, schema)
        neighbours = _shared_memory(path)
        connection = connect(path)
    try:
        with named_faults(schema, path):
            # A flipped byte in one text must not hide every other row.
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            db = Database(connection, execute_plugins=False)
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
            current = _is_current(db, path, schema)
            # SQLite makes it anew for whoever comes first, and then recovers what the log has.
            if _shared_memory(path) != neighbours and _write_log_again(db, path) and schema.checked:
                _check_whole(db, path, schema)
            if not current:
                _bring_up_to_date(db, path, schema)
                empty_log(db)  # or what a migration has sealed would stand there still, readable
    except BaseException:
        _close_as_it_is(connection, path)
        raise
    return db


class DatabaseFile:
    """One open database; a connection belongs to one thread. Raises StorageError as `open_database` does."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path
        self._db = open_database(path, schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; it cannot be used afterwards."""
        self._db.close()


def sync_folder(folder: Path) -> None:
    """Make durable which names the folder has. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def pragma(db: Database, name: str) -> int:
    """Return a numeric pragma."""
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _check_log_is_ours(path: Path, schema: Schema) -> None:
    """Raise StorageError for a log beside the database that somebody else may have written: SQLite would believe it."""
    for name in (f"{path.name}{ending}" for ending in ("-wal", "-shm", "-journal")):
        try:
            found, owner = path.with_name(name).lstat(), path.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner.st_uid or found.st_mode & 0o022:
            why = "it is no plain file, or another user's, or others may write to it"
            raise StorageError(f"{schema.what} {path} is not opened: {name} beside it is not believed, for {why}")


def _shared_memory(path: Path) -> tuple[int, int] | None:
    """Return what tells the index of the database's log from a later one; None where there is none."""
    try:
        found = path.with_name(f"{path.name}-shm").stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _write_log_again(db: Database, path: Path) -> bool:
    """Write what another run left in the write-ahead log once more, before anything is built upon it.

    Tells whether there was anything in it.

    After an fsync that failed, the log may hold in memory alone a change that was never acknowledged, and no later
    fsync writes it (it was taken for written: PostgreSQL's "fsyncgate" of 2018). SQLite recovers it from memory all
    the same; a power cut that takes it away would then take every change behind it along.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists():
        return False
    with one_change(db), log.open("r+b", buffering=0) as file:  # nobody else writes to the log meanwhile
        while part := file.read(_AT_ONCE):
            file.seek(-len(part), os.SEEK_CUR)
            file.write(part)
        os.fsync(file.fileno())
        sync_folder(path.parent)  # SQLite does so for a log it has made, not for one it has found
        return file.tell() > 0


def _check_whole(db: Database, path: Path, schema: Schema) -> None:
    """Raise StorageError where the log that was recovered made the file inconsistent: it was of an earlier time."""
    found = " ".join(str(db.execute("PRAGMA integrity_check(1)").fetchone()[0]).split())
    if found != "ok":
        raise StorageError(f"{schema.what} {path} is damaged, or the log beside it is not its own: {found}")


def _close_as_it_is(connection: sqlite3.Connection, path: Path) -> None:
    """Close a connection to a file that is refused, and leave file and log as they are.

    The last to close carries the log over into the file; one that may only read is not asked to.
    """
    readable = f"{path.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error, UnicodeDecodeError), closing(sqlite3.connect(readable, uri=True)) as beside:
        beside.execute("SELECT 1 FROM sqlite_schema").fetchone()
        connection.close()
    connection.close()


def _bring_up_to_date(db: Database, path: Path, schema: Schema) -> None:
    _use_wal(db)
    with one_change(db):  # another process may be making the same file: look again, now alone
        if not _is_current(db, path, schema):
            schema.migrations.apply(db)
            db.execute(f"PRAGMA application_id = {schema.application_id}")
            db.execute(f"PRAGMA user_version = {schema.version}")


def _is_current(db: Database, path: Path, schema: Schema) -> bool:
    """Tell whether nothing is left to migrate; a foreign or newer file raises StorageError and is not touched."""
    owner, version = pragma(db, "application_id"), pragma(db, "user_version")
    if owner != schema.application_id and (owner != 0 or db.table_names()):
        raise StorageError(f"{path} is not an Ostiary {schema.what}: it belongs to another program")
    if version > schema.version:
        known = f"this one knows {schema.version}"
        raise StorageError(f"{schema.what} {path} comes from a newer Ostiary: its schema is {version}, {known}")
    return owner == schema.application_id and version == schema.version


def _use_wal(db: Database) -> None:
    """Switch to the write-ahead log where the file is not in it yet."""
    until_s = time.monotonic() + _BUSY_S
    while db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as fault:
            # Changing the mode does not wait for other processes as every other write does (SQLite: busy_handler).
            if fault.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.01)
