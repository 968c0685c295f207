"""A disk under SQLite that notes every request, and fails where it is told to.

The code above it is the appliance's own; only `storage.connect` is another one meanwhile. What it writes with passes
through an APSW VFS, so the library is the one that APSW brings; what is left after a cut is read with the usual one.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from unittest import mock

import apsw

from appliance import storage
from tests.durability.platter import Kind, Op

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
WRITES = ("xWrite", "xTruncate", "xDelete")
_UNMAPPED = "-shm"  # SQLite maps it and never syncs it; a file of this name after a cut means nothing


class Fault(Protocol):
    """What goes wrong at a request."""

    def __call__(self, verb: str, name: str, data: bytes = b"") -> int:
        """Return how many bytes of `data` are written, or raise what SQLite is told instead.

        The verbs are those of SQLite's VFS: xOpen, xRead, xWrite, xTruncate, xSync, xDelete; and fsync.
        """


def no_fault(verb: str, name: str, data: bytes = b"") -> int:
    """Let everything succeed."""
    return len(data)


class Fails:
    """A disk on which the request of this number, of these kinds, fails, and with `until_healed` all that follow."""

    def __init__(self, verbs: tuple[str, ...], number: int, code: int, *, until_healed: bool) -> None:
        self.verbs, self.left, self.code, self.until_healed = verbs, number, code, until_healed

    def __call__(self, verb: str, name: str, data: bytes = b"") -> int:
        """Raise when it is time; a disk that is full takes half of what it is given before it does."""
        if verb not in self.verbs or name.endswith(".head"):
            return len(data)
        self.left -= 1
        if self.left > 0 or (self.left < 0 and not self.until_healed):
            return len(data)
        if self.code == apsw.SQLITE_FULL and verb == "xWrite":
            return len(data) // 2
        raise apsw.exception_for(self.code)


class Disk:
    """The folder in which a program's databases and plain files lie, and every request to it in order.

    What is there at the beginning is taken for synced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trace: list[Op] = []
        self.written = 0  # bytes that were asked to be written
        self.fault: Fault = no_fault
        self._ours: dict[str, int] = {}  # name of a file that SQLite has, and its number
        self._plain: dict[str, tuple[int, bytes]] = {}  # name of any other file: its number and content
        self._numbers: dict[tuple[int, int], int] = {}
        self._last = 0
        self.look_round()
        self.trace += [Op(Kind.SYNC, number) for number, _ in self._plain.values()]
        self.trace.append(Op(Kind.SYNC_FOLDER))

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Let the package's databases lie on this disk inside the block."""
        vfs = _Vfs(self)
        with mock.patch.object(storage, "connect", self._connect), mock.patch("os.fsync", self._fsync):
            yield
        self.look_round()
        vfs.unregister()

    def killed(self, folder: Path) -> Disk:
        """Return the disk as the next program finds it after SIGKILL now, with a copy of the files in `folder`.

        What is in the kernel's memory is read by the next program too; what was synced of it, the notes know.
        """
        self.look_round()
        after = Disk(folder)
        after.trace, after._ours, after._plain, after._last = [*self.trace], {**self._ours}, {**self._plain}, self._last
        for path in self.folder.iterdir():
            if path.is_file() and not path.name.endswith(_UNMAPPED):
                copied = Path(shutil.copy2(path, folder)).stat()
                if path.name in self._plain:
                    after._numbers[copied.st_dev, copied.st_ino] = self._plain[path.name][0]
        return after

    def look_round(self) -> None:
        """Note what became of the files that are not SQLite's."""
        seen: dict[str, tuple[int, bytes]] = {}
        for path in sorted(self.folder.iterdir()):
            if not path.is_file() or path.name in self._ours or path.name.endswith(_UNMAPPED):
                continue
            found, content = path.stat(), path.read_bytes()
            number = self._numbers.setdefault((found.st_dev, found.st_ino), self._next())
            seen[path.name] = (number, content)
            before = self._plain.get(path.name)
            known = dict(self._plain.values())
            if known.get(number) != content:
                self.trace += [Op(Kind.TRUNCATE, number), Op(Kind.WRITE, number, data=content)]
            if before is None or before[0] != number:
                self.trace.append(Op(Kind.CREATE, number, path.name))
        for name in self._plain.keys() - seen.keys():
            self.trace.append(Op(Kind.UNLINK, name=name))
        for key, number in list(self._numbers.items()):  # the number of a file that is gone is given to the next
            if number not in {one for one, _ in seen.values()}:
                del self._numbers[key]
        self._plain = seen

    def opened(self, path: str, *, journal: bool) -> bool:
        """Note a file that SQLite opens; tell whether its first sync syncs the folder too, as SQLite's own does."""
        name = Path(path).name
        self.fault("xOpen", name)
        self.look_round()
        if name in self._plain:
            self._ours[name], _ = self._plain.pop(name)
        if name in self._ours and Path(path).exists():
            return False
        self._ours[name] = self._next()
        self.trace.append(Op(Kind.CREATE, self._ours[name], name))
        return journal

    def write(self, name: str, data: bytes, offset: int) -> int:
        """Note a write, and return how many bytes of it are done."""
        done = self.fault("xWrite", name, data)
        self.trace.append(Op(Kind.WRITE, self._ours[name], offset=offset, data=bytes(data[:done])))
        self.written += done
        return done

    def truncate(self, name: str, size: int) -> None:
        """Note a new length."""
        self.fault("xTruncate", name)
        self.trace.append(Op(Kind.TRUNCATE, self._ours[name], offset=size))

    def sync(self, name: str, *, folder: bool) -> None:
        """Note a sync, which fails for good where it fails."""
        self.look_round()
        try:
            self.fault("xSync", name)
        except apsw.Error:
            self.trace.append(Op(Kind.SYNC_FAILED, self._ours[name]))
            raise
        self.trace.append(Op(Kind.SYNC, self._ours[name]))
        if folder:
            self.trace.append(Op(Kind.SYNC_FOLDER))

    def delete(self, path: str, *, sync: bool) -> None:
        """Note that a name goes."""
        name = Path(path).name
        self.fault("xDelete", name)
        self._ours.pop(name, None)
        self.trace.append(Op(Kind.UNLINK, name=name))
        if sync:
            self.trace.append(Op(Kind.SYNC_FOLDER))

    def _connect(self, path: Path) -> sqlite3.Connection:
        if not path.parent.is_dir():
            raise sqlite3.OperationalError("unable to open database file")
        return _Connection(path)  # type: ignore[return-value]  # the part of it that the package uses

    def _fsync(self, file: int) -> None:
        self.look_round()
        path = Path(f"/proc/self/fd/{file}").readlink()
        self.fault("fsync", path.name)
        if path == self.folder:
            self.trace.append(Op(Kind.SYNC_FOLDER))
        elif path.name in self._ours:  # written beside SQLite
            number = self._ours[path.name]
            self.trace += [Op(Kind.WRITE, number, data=path.read_bytes()), Op(Kind.SYNC, number)]
        elif path.parent == self.folder and path.name in self._plain:
            self.trace.append(Op(Kind.SYNC, self._plain[path.name][0]))

    def _next(self) -> int:
        self._last += 1
        return self._last


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        super().__init__(_Connection.VFS, base="unix")
        self._disk = disk

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:  # a temporary file, which nobody needs after a cut
            return apsw.VFSFile("unix", name, flags)
        folder = self._disk.opened(path, journal=bool(flags[0] & _JOURNALS))
        return _File(self._disk, name, flags, folder=folder)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        self._disk.delete(filename, sync=bool(syncdir))
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int], *, folder: bool) -> None:  # noqa: ANN401 - either name
        super().__init__("unix", name, flags)
        self._disk = disk
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name).name
        self._folder = folder

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's
        self._disk.fault("xRead", self._name)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802, ANN401 - SQLite's
        done = self._disk.write(self._name, data, offset)
        super().xWrite(data[:done], offset)
        if done < len(data):
            raise apsw.FullError("database or disk is full")

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        self._disk.truncate(self._name, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802 - SQLite's
        self._disk.sync(self._name, folder=self._folder)
        self._folder = False


def _as_sqlite3(fault: apsw.Error) -> sqlite3.Error:
    """Return the fault as Python's own module raises it."""
    code = getattr(fault, "extendedresult", 0) or getattr(fault, "result", 0)
    match code & 0xFF:
        case apsw.SQLITE_CONSTRAINT | apsw.SQLITE_MISMATCH:
            error: sqlite3.Error = sqlite3.IntegrityError(str(fault))
        case apsw.SQLITE_CORRUPT | apsw.SQLITE_NOTADB:
            error = sqlite3.DatabaseError(str(fault))
        case apsw.SQLITE_MISUSE:
            error = sqlite3.ProgrammingError(str(fault))
        case _:
            error = sqlite3.OperationalError(str(fault))
    error.sqlite_errorcode = code
    return error


class _Cursor:
    """What a statement gave, all of it at once."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._rows: Iterator[Any] = iter(())
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    def execute(self, sql: str, values: Any = ()) -> _Cursor:  # noqa: ANN401 - as Python's own
        under = self._connection.under

        def trace(cursor: apsw.Cursor, _sql: str, _values: object) -> bool:
            self.description = cursor.get_description() or None
            return True

        cursor = under.cursor()
        cursor.exec_trace = trace
        before = under.total_changes()
        try:
            self._rows = iter(list(cursor.execute(sql, values if isinstance(values, dict) else tuple(values))))
        except apsw.Error as fault:
            raise _as_sqlite3(fault) from fault
        self.rowcount = under.total_changes() - before
        self.lastrowid = under.last_insert_rowid()
        return self

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> _Cursor:
        for row in list(rows):
            self.execute(sql, row)
        return self

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:  # noqa: ANN401 - as Python's own
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def fetchmany(self, count: int) -> list[Any]:
        return [row for row, _ in zip(self._rows, range(count), strict=False)]


class _Connection:
    """The part of Python's `sqlite3.Connection` that the package uses, over APSW."""

    VFS = "ostiary-noted"
    text_factory: Any = str

    def __init__(self, path: Path) -> None:
        try:
            self.under = apsw.Connection(str(path), vfs=self.VFS)
            self.under.set_busy_timeout(1000)
        except apsw.Error as fault:
            raise _as_sqlite3(fault) from fault

    @property
    def in_transaction(self) -> bool:
        return self.under.in_transaction

    @property
    def total_changes(self) -> int:
        return self.under.total_changes()

    def cursor(self) -> _Cursor:
        return _Cursor(self)

    def execute(self, sql: str, values: Any = ()) -> _Cursor:  # noqa: ANN401 - as Python's own
        return self.cursor().execute(sql, values)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> _Cursor:
        return self.cursor().executemany(sql, rows)

    def executescript(self, sql: str) -> _Cursor:
        return self.execute(sql)

    def close(self) -> None:
        try:
            self.under.close()
        except apsw.Error as fault:
            raise _as_sqlite3(fault) from fault
