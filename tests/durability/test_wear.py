"""What is written, when, and where."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from scripts.benchmarks.power import written_in_a_day
from tests.durability.cuts import SCRATCH
from tests.durability.disk import Disk
from tests.durability.work import MODEL, Appliance, D, Work, open_gallery

ROOT = Path(__file__).resolve().parents[2]


def test_a_day_spares_the_card() -> None:
    """F13: an event costs so little that 1,000 a day stay under 20 MB: a tenth of that for a hundred."""
    assert 0 < written_in_a_day(100) < 2_000_000


def test_nothing_is_written_at_idle() -> None:
    """F13: looking at the gallery, the log and the ledger again and again writes and syncs nothing."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        disk, work = Disk(Path(folder)), Work(1)
        with disk.mounted(), Appliance(disk.folder) as appliance:
            work.change_all(appliance)
            appliance.gallery.current(MODEL, D)
            before = len(disk.trace)
            for _ in range(100):
                assert not appliance.gallery.changed()
                appliance.gallery.current(MODEL, D)
                appliance.kept()
            disk.look_round()
            assert len(disk.trace) == before


def test_copy_made_while_others_write_is_of_one_moment() -> None:
    """F12: a copy of the gallery that SQLite makes while people are enrolled in twos is whole, with no half a two."""
    stop, seen = threading.Event(), set[int]()
    with tempfile.TemporaryDirectory(dir=SCRATCH) as place:
        folder = Path(place)

        def keep_enrolling() -> None:
            work = Work(1)
            with Appliance(folder) as appliance:
                while not stop.is_set():
                    work.enrol_two(appliance)

        with open_gallery(folder) as gallery:
            writer = threading.Thread(target=keep_enrolling, name="enrolling")
            writer.start()
            try:
                until_s = time.monotonic() + 20
                while len(seen) < 5 and time.monotonic() < until_s:
                    copy = folder / f"copy{time.monotonic_ns()}"
                    copy.mkdir()
                    gallery._db.execute("VACUUM INTO ?", [str(copy / "gallery.db")])
                    with closing(Database(copy / "gallery.db")) as db:
                        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                        seen.add(db["person"].count)
            finally:
                stop.set()
                writer.join()
    assert len(seen) == 5
    assert {count % 2 for count in seen} == {0}


ALONE = """
mount --make-rprivate / && mount --bind / / && mount -o remount,bind,ro / && mount -t tmpfs tmpfs "$1" || exit 77
touch /tmp/written 2>/dev/null && exit 78
exec "$2" -c "$3" "$1"
"""
WORK = """
import sys
from pathlib import Path
from tests.durability.work import Appliance, Work
folder, work = Path(sys.argv[1]), Work(1)
for _ in range(2):
    with Appliance(folder) as appliance:
        for _ in range(20):
            work.change(appliance)
print(sorted(path.name for path in folder.iterdir()))
"""


def test_only_the_state_folder_is_written() -> None:
    """F14: with everything read-only but the state folder, people are enrolled and erased and events sealed."""
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        command = [*own, "sh", "-c", ALONE, "sh", folder, sys.executable, WORK]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 77:
        pytest.skip(f"this system lets nobody make a read-only view of itself: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(["audit.db", "audit.head", "gallery.db", "gallery.key", "keys.db", "ledger.db"])
