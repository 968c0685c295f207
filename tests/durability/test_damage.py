"""Databases that were damaged, exchanged, or have a stranger's log beside them."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.access.ledger import Ledger
from appliance.audit import AuditLog
from appliance.clients import Registry
from appliance.errors import StorageError
from appliance.people.gallery import Gallery
from appliance.people.keyring import Keyring
from tests.durability.cuts import SCRATCH
from tests.durability.work import NOON, Appliance, Work, gallery_says, open_gallery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.storage import DatabaseFile
    from tests.durability.work import Kept

PAGE_BYTES = 4096


def made(folder: Path, seed: int) -> Kept:
    """Let an appliance work in the folder and stop, and return what it said last."""
    work = Work(seed)
    with Appliance(folder) as appliance:
        for _ in range(3):
            work.change_all(appliance)
        return appliance.kept()


@pytest.fixture(scope="module")
def state() -> Iterator[tuple[Path, Kept]]:
    """Give an appliance's folder, to be copied, and what its databases say."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        yield Path(folder), made(Path(folder), 1)


@pytest.fixture
def copy(state: tuple[Path, Kept]) -> Iterator[Path]:
    """Give a copy of that folder."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        yield Path(shutil.copytree(state[0], Path(folder) / "state"))


def never_lies(folder: Path, kept: Kept) -> str:
    """Return what damage came to: "fault", "found" or "harmless". Raises where something false is said, or it crashes.

    A person is as enrolled or not there, and an entry of the log as sealed, before the first bad one.
    """
    try:
        with Appliance(folder) as appliance:
            people, (entries, bad) = gallery_says(appliance.gallery), appliance.kept().audit
    except StorageError as fault:
        return "fault" if "\n" not in str(fault) else "more than a line"
    assert people.vectors <= kept.gallery.vectors
    details = {one for one, *_ in kept.gallery.people}
    assert {one for one, *_ in people.people} <= details
    assert bad is not None or entries == kept.audit[0]
    return "harmless" if (people, (entries, bad)) == kept[:2] else "found"


@pytest.mark.parametrize("name", ["gallery.db", "keys.db", "audit.db", "ledger.db"])
def test_damaged_page_is_found_and_never_lies(state: tuple[Path, Kept], copy: Path, name: str) -> None:
    """Database damaged, F6: whichever page is zeroed, altered or cut off: a fault, a finding, or nothing false said."""
    chance = random.Random(name)  # noqa: S311 - places, not a secret
    whole = (state[0] / name).read_bytes()
    ends = set()
    for start in range(0, len(whole), PAGE_BYTES):
        at = start + chance.randrange(PAGE_BYTES)
        flipped = whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]
        zeroed = whole[:start] + bytes(PAGE_BYTES) + whole[start + PAGE_BYTES :]
        for damaged in (zeroed, flipped, whole[:at]):
            for path in state[0].iterdir():
                shutil.copy2(path, copy)
            (copy / name).write_bytes(damaged)
            ends.add(never_lies(copy, state[1]))
    assert {"fault"} <= ends <= {"fault", "found", "harmless"}


@pytest.mark.parametrize("name", ["gallery.db", "keys.db", "gallery.key"])
def test_file_of_another_device_lets_nobody_in(state: tuple[Path, Kept], copy: Path, name: str) -> None:
    """F6: a gallery, keyring or device key that was exchanged for another device's opens nothing of anybody."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as other:
        made(Path(other), 2)
        shutil.copy2(Path(other) / name, copy)
    try:
        with open_gallery(copy) as gallery:
            assert gallery.snapshot("m", 8).size == 0
            assert all(finding.quarantined for finding in gallery.findings("m", 8))
    except StorageError:
        assert name in {"keys.db", "gallery.key"}


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("how", ["others may write", "another user", "a link"])
def test_log_of_somebody_else_is_not_replayed(copy: Path, ending: str, how: str) -> None:
    """F7: a log beside a database that another user may have written stops the opening in one line; nothing is done."""
    path = copy / "ledger.db"
    log, before = path.with_name(f"ledger.db{ending}"), path.read_bytes()
    log.write_bytes(b"x" * 100)
    log.chmod(0o600)
    if how == "others may write":
        log.chmod(0o606)
    elif how == "a link":
        log.rename(copy / "elsewhere")
        log.symlink_to(copy / "elsewhere")
    elif os.geteuid() == 0:
        os.chown(log, 65534, 65534)
    else:
        pytest.skip("only root can give a file away")
    with pytest.raises(StorageError, match=f"ledger.db{ending} beside it is not believed"):
        Ledger(path)
    assert path.read_bytes() == before


def test_log_of_an_earlier_time_is_refused(copy: Path) -> None:
    """F7, C11: an earlier log of the same file would mix two times: it is refused, and carried over into nothing."""
    path = copy / "gallery.db"
    with Gallery(path) as gallery:
        erased = gallery.people()[0].person_id
        gallery.set_pin(erased, "hash", "")
        gallery.seen(erased, NOON.date())
        stale = (copy / "gallery.db-wal").read_bytes()
        gallery.remove(erased)
        left = gallery_says(gallery)
    put(copy, stale)
    for _ in range(2):
        with pytest.raises(StorageError, match="the log beside it is not its own"):
            Gallery(path)
    (copy / "gallery.db-wal").unlink()
    with Gallery(path) as gallery:
        assert gallery_says(gallery) == left


def test_senseless_log_changes_nothing(state: tuple[Path, Kept], copy: Path) -> None:
    """F7: a log of noise, one cut off, and an index of noise are as if they were not there."""
    chance = random.Random(1)  # noqa: S311 - noise
    with open_gallery(copy) as gallery:
        gallery.seen(gallery.people()[0].person_id, NOON.date())
        begun = (copy / "gallery.db-wal").read_bytes()
    for path in state[0].iterdir():
        shutil.copy2(path, copy)
    for log in (begun[:4000], chance.randbytes(9000), b""):
        put(copy, log)
        (copy / "gallery.db-shm").write_bytes(chance.randbytes(32768))
        with open_gallery(copy) as gallery:
            assert gallery_says(gallery) == state[1].gallery


def put(folder: Path, log: bytes) -> None:
    """Put a log beside the gallery in this folder."""
    (folder / "gallery.db-wal").write_bytes(log)
    (folder / "gallery.db-wal").chmod(0o600)


@pytest.mark.parametrize(
    "opened",
    [Keyring, Ledger, Registry, Gallery, lambda path: AuditLog(path, "ostiary", "front")],
    ids=["keys", "ledger", "clients", "gallery", "audit"],
)
def test_newer_file_is_refused_and_not_touched(tmp_path: Path, opened: Callable[[Path], DatabaseFile]) -> None:
    """F9: whichever database comes from a newer version is refused in one line, and stays byte for byte."""
    path = tmp_path / ("keys.db" if opened is Keyring else "some.db")
    opened(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version = {version + 1}")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer Ostiary"):
        opened(path)
    assert path.read_bytes() == before
