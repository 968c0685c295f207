"""Updates from the archive to what runs in the end."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from appliance.errors import ApplianceError, HardwareError, RefusedError, StorageError
from appliance.signing import new_key
from appliance.update import databases
from appliance.update.claim import signature_file
from appliance.update.databases import known
from appliance.update.places import Trial
from tests.update.releases import PROGRAM, House, archive_of, files_of

if TYPE_CHECKING:
    from pathlib import Path

RAISED = known() | {"ledger.db": known()["ledger.db"] + 1}


def placed(door: House) -> str:
    """Return which release's units and files the system has."""
    return (door.places.base / "placed").read_text(encoding="ascii")


def runs(door: House) -> tuple[str, str]:
    """Return what runs, and what there is to go back to."""
    return door.places.linked("current"), door.places.linked("previous")


def test_update_that_is_well_is_kept(door: House) -> None:
    """An update is installed beside what runs, switched to, started once, and what was before stays to go back to."""
    door.updater.apply(door.made("1.1.0"))
    assert runs(door) == ("1.1.0", "1.0.0")
    assert door.machine.started == ["1.1.0"]
    assert (door.broken(), door.left_over(), door.places.trial(), placed(door)) == ([], [], None, "1.1.0")
    outcome = door.places.outcome()
    assert outcome is not None
    assert (outcome.version, outcome.ended) == ("1.1.0", "kept")


def test_only_one_before_is_kept(door: House) -> None:
    """A card does not fill with releases: what runs and the one before it are there."""
    for version in ("1.1.0", "1.2.0", "1.10.0"):
        door.updater.apply(door.made(version))
    assert door.places.installed() == ("1.2.0", "1.10.0")


def unsigned(door: House) -> Path:
    """Return a release without a signature."""
    file = door.made("1.1.0")
    signature_file(file).unlink()
    return file


def by_a_stranger(door: House) -> Path:
    """Return a release under a key that is not trusted."""
    key = door.folder / "stranger.key"
    new_key(key)
    return door.made("1.1.0", key=key)


def truncated(door: House) -> Path:
    """Return a release that lacks its last byte."""
    file = door.made("1.1.0")
    file.write_bytes(file.read_bytes()[:-1])
    return file


def altered(door: House) -> Path:
    """Return a release with a bit flipped."""
    file = door.made("1.1.0")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return file


def older(door: House) -> Path:
    """Return a release from before the one that runs."""
    return door.made("0.9.9")


def with_anothers_signature(door: House) -> Path:
    """Return a release beside another one's signature."""
    other = door.made("1.2.0")
    file = door.made("1.1.0")
    shutil.copy(signature_file(other), signature_file(file))
    return file


def with_a_promoted_signature(door: House) -> Path:
    """Return an old release under a signature whose version was written over."""
    file = door.made("0.9.0")
    signature = signature_file(file)
    signature.write_text(signature.read_text(encoding="ascii").replace("0.9.0", "9.9.0"), encoding="ascii")
    return file


@pytest.mark.parametrize(
    "made", [unsigned, by_a_stranger, truncated, altered, older, with_anothers_signature, with_a_promoted_signature]
)
def test_archive_that_is_not_to_be_believed_changes_nothing(door: House, made: object) -> None:
    """I4: unsigned, of a wrong key, cut, changed, older or another's signature: refused before anything is unpacked."""
    assert callable(made)
    file = made(door)
    with pytest.raises(RefusedError):
        door.updater.apply(file)
    assert runs(door) == ("1.0.0", "")
    assert (door.broken(), door.left_over(), door.machine.started) == ([], [], [])
    assert not any("unpacking" in line for line in door.said)


def test_floor_rises_with_what_was_well_and_never_falls(door: House) -> None:
    """I4: after going back by hand, the release between is refused, and the one that was gone back from is taken."""
    door.updater.apply(door.made("1.1.0"))
    door.updater.apply(door.made("1.2.0"))
    door.updater.roll_back()
    assert runs(door) == ("1.1.0", "1.2.0")
    with pytest.raises(RefusedError, match=r"nothing older than 1\.2\.0"):
        door.updater.apply(door.made("1.1.5"))
    door.updater.apply(door.made("1.2.1"))
    assert door.places.floor() == "1.2.1"


def test_floor_that_cannot_be_read_stops_updates(door: House) -> None:
    """I4: a damaged floor is no reason to take an old release."""
    (door.places.memory / "floor").write_text("0.0\n", encoding="ascii")
    with pytest.raises(ApplianceError, match="damaged"):
        door.updater.apply(door.made("1.1.0"))


def test_ill_release_is_taken_back_after_three_starts(door: House) -> None:
    """I5: a release that is not well three times is taken back by itself, and what was before runs."""
    door.machine.ill_starts = {"1.1.0": 3}
    with pytest.raises(RefusedError, match=r"1\.1\.0 was taken back, 1\.0\.0 runs: the reader is not READY"):
        door.updater.apply(door.made("1.1.0"))
    assert door.machine.started == ["1.1.0", "1.1.0", "1.1.0", "1.0.0"]
    assert (door.places.linked("current"), placed(door)) == ("1.0.0", "1.0.0")
    assert door.places.trial() is None
    assert door.places.floor() == "1.0.0"  # so that it can be tried again


def test_two_bad_starts_are_forgiven(door: House) -> None:
    """I5: what is well at the third start is kept."""
    door.machine.ill_starts = {"1.1.0": 2}
    door.updater.apply(door.made("1.1.0"))
    assert runs(door) == ("1.1.0", "1.0.0")
    assert door.machine.started == ["1.1.0"] * 3


def test_boot_counts_as_a_start(door: House) -> None:
    """I5: a release that takes the machine down with it at each start is taken back by the fourth boot."""
    door.updater.apply(door.made("1.1.0"))
    door.places.set_trial(Trial(version="1.1.0", previous="1.0.0", starts=3))
    with pytest.raises(RefusedError, match="was taken back"):
        door.updater.watch()
    assert door.places.linked("current") == "1.0.0"


def test_trial_is_not_won_by_what_ran_before(door: House) -> None:
    """I5: cut off between link and start, what still runs is the release before; whoever goes on starts the new one."""
    door.updater.apply(door.made("1.1.0"))
    door.places.set_trial(Trial(version="1.1.0", previous="1.0.0"))
    door.machine.started[:] = ["1.0.0"]
    door.machine.ill_starts = {"1.1.0": 9}
    with pytest.raises(RefusedError, match="was taken back"):
        door.updater.watch()
    assert door.machine.started == ["1.0.0", "1.1.0", "1.1.0", "1.1.0", "1.0.0"]


def test_link_made_by_hand_keeps_what_runs(door: House) -> None:
    """I4: a link `current` that somebody made with a whole path keeps its release, and that is the way back."""
    current = door.places.base / "current"
    current.unlink()
    current.symlink_to(door.places.release("1.0.0"))
    with pytest.raises(RefusedError):
        door.updater.apply(unsigned(door))
    assert door.broken() == []
    door.updater.apply(door.made("1.1.0"))
    assert runs(door) == ("1.1.0", "1.0.0")


def test_link_that_leads_elsewhere_stops_updates(door: House) -> None:
    """I4: where it cannot be told which release runs, none is removed and none installed."""
    current = door.places.base / "current"
    current.unlink()
    current.symlink_to(door.folder)
    with pytest.raises(RefusedError, match="current leads to no release"):
        door.updater.apply(door.made("1.1.0"))
    assert door.places.installed() == ("1.0.0",)


@pytest.mark.parametrize(
    "program",
    [
        PROGRAM.replace("check) exit 0", "check) echo 'no models' >&2; exit 3"),
        PROGRAM.replace("update) ", "update) exit 1;"),
        "#!/bin/sh\necho nothing\n",
    ],
)
def test_release_that_fails_its_own_test_is_not_switched_to(door: House, program: str) -> None:
    """I5: one that cannot load its models or read the settings never runs; the door is not shut for it."""
    with pytest.raises(RefusedError, match=r"release 1\.1\.0"):
        door.updater.apply(door.made("1.1.0", program=program))
    assert runs(door) == ("1.0.0", "")
    assert (door.left_over(), door.machine.started) == ([], [])


def test_installer_that_fails_leaves_no_half_release(door: House) -> None:
    """F3: an update that found no room gives back what it took, whatever its installer had begun or said."""
    begun = '#!/bin/sh\nmkdir "$(dirname "$0")/../../../.1.1.0.new"\nprintf "no r\\377m" >&2\nexit 1\n'
    file = door.signed("1.1.0", archive_of("1.1.0", files_of("1.1.0") | {"scripts/install": begun}))
    with pytest.raises(RefusedError, match="its installer failed: no r\ufffdm"):
        door.updater.apply(file)
    assert (door.broken(), door.left_over()) == ([], [])


def ledger(door: House) -> Path:
    """Return a database of the state folder in which one pass was used."""
    path = door.places.state / "ledger.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS used (number)")
        db.execute("INSERT INTO used VALUES (1)")
    return path


def used(path: Path) -> int:
    """Return how many passes it says were used."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM used").fetchone()[0])


def test_release_that_changes_databases_wants_to_be_meant(door: House) -> None:
    """F9: without a word for it, no release is switched to after which the present one could not read its databases."""
    with pytest.raises(RefusedError, match=r"1\.1\.0 changes ledger\.db"):
        door.updater.apply(door.made("1.1.0", schemas=RAISED))
    assert runs(door) == ("1.0.0", "")
    assert (door.left_over(), door.machine.started) == ([], [])


def test_ill_release_that_changed_databases_stays_until_somebody_decides(door: House) -> None:
    """F9: what was entered since is never forgotten by itself; a person has the copy put back, and it is set aside."""
    path = ledger(door)
    (door.places.state / "keys.db").write_bytes(b"the keys of the living")
    door.machine.ill_starts = {"1.1.0": 9}
    with pytest.raises(HardwareError, match="the door keeps shut"):
        door.updater.apply(door.made("1.1.0", schemas=RAISED), no_way_back=True)
    assert door.places.linked("current") == "1.1.0"
    assert door.machine.started == ["", "1.1.0", "1.1.0", "1.1.0"]
    ledger(door)  # a second pass is used meanwhile
    (door.places.state / "keys.db").write_bytes(b"somebody was erased")

    with pytest.raises(RefusedError, match=r"1\.0\.0 cannot read ledger\.db any more"):
        door.updater.roll_back()
    door.updater.roll_back(restore=True)

    assert runs(door) == ("1.0.0", "1.1.0")
    assert (used(path), used(door.places.memory / "set-aside-1/ledger.db")) == (1, 2)
    assert (door.places.state / "keys.db").read_bytes() == b"somebody was erased"
    assert not list(door.places.memory.rglob("keys.db*"))


def test_ill_release_that_changed_databases_is_kept_once_it_was_repaired(door: House) -> None:
    """F9: a camera that was put back, or settings that were mended, end the trial: the next boot finds it well."""
    ledger(door)
    door.machine.ill_starts = {"1.1.0": 4}
    with pytest.raises(HardwareError, match="the door keeps shut"):
        door.updater.apply(door.made("1.1.0", schemas=RAISED), no_way_back=True)
    with pytest.raises(HardwareError, match="the door keeps shut"):
        door.updater.watch()
    door.updater.watch()
    assert (door.places.trial(), door.places.floor(), door.places.snapshot.exists()) == (None, "1.1.0", False)
    door.updater.apply(door.made("1.2.0"))


def test_nothing_stays_stopped_where_the_databases_cannot_be_copied(door: House) -> None:
    """F3: with no room for the copy the update is given up, and what ran before is started again."""
    (door.places.memory / "snapshot").write_text("in the way of the folder", encoding="ascii")
    with pytest.raises(StorageError, match="cannot be copied"):
        door.updater.apply(door.made("1.1.0", schemas=RAISED), no_way_back=True)
    assert door.machine.started == ["", "1.0.0"]
    assert (runs(door), door.places.trial()) == (("1.0.0", ""), None)


def test_what_was_set_aside_is_not_written_over(door: House) -> None:
    """F9: a way back that was cut off and is gone again keeps what was entered since the update."""
    path = ledger(door)
    door.machine.ill_starts = {"1.1.0": 9}
    with pytest.raises(HardwareError):
        door.updater.apply(door.made("1.1.0", schemas=RAISED), no_way_back=True)
    ledger(door)
    trial = door.places.trial()
    door.updater.roll_back(restore=True)
    # Cut off before the link was changed: the trial is still there, and the copy, and the databases are back already.
    door.places.link("current", "1.1.0")
    door.places.link("previous", "1.0.0")
    door.places.set_trial(trial)
    databases.copy(door.places.state, door.places.snapshot)
    door.updater.roll_back(restore=True)
    assert used(path) == 1
    assert sorted(used(one / "ledger.db") for one in door.places.memory.glob("set-aside*")) == [1, 2]


def exchanged(state: Path, secret: Path) -> None:
    """Copy a state folder as root while a database is exchanged for a link, the moment before it is opened."""

    def exchange(event: str, args: tuple[object, ...]) -> None:
        if event == "open" and str(args[0]) == str(state / "ledger.db") and not (state / "ledger.db").is_symlink():
            (state / "ledger.db").unlink()
            (state / "ledger.db").symlink_to(secret)

    sys.addaudithook(exchange)
    databases.copy(state, state.parent / "copy")


def test_database_that_turns_into_a_link_is_not_copied(door: House) -> None:
    """E4: the state folder is the reader's; a link put there meanwhile has root copy no file of root's."""
    ledger(door)
    secret = door.folder / "shadow"
    secret.write_text("root's alone", encoding="ascii")
    child = multiprocessing.get_context("fork").Process(target=exchanged, args=(door.places.state, secret))
    child.start()
    child.join(20)
    assert child.exitcode == 1
    assert not (door.places.state.parent / "copy").exists()


def test_older_release_that_cannot_read_the_databases_is_not_gone_back_to(door: House) -> None:
    """F9: once an update that changed databases is kept, the way back is a backup, and the copy is gone."""
    ledger(door)
    door.updater.apply(door.made("1.1.0", schemas=RAISED), no_way_back=True)
    assert not door.places.snapshot.exists()
    less = '{"ledger.db": 0}'
    (door.places.release("1.0.0") / "schemas.json").write_text(less, encoding="ascii")
    for restore in (False, True):
        with pytest.raises(RefusedError):
            door.updater.roll_back(restore=restore)
    assert door.places.linked("current") == "1.1.0"


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_keys_that_others_may_write_are_not_believed(door: House, mode: int) -> None:
    """I4: whoever may write to the list of keys could take any release for one of the maintainers'."""
    door.places.trusted.chmod(mode)
    with pytest.raises(RefusedError, match="only root may write"):
        door.updater.apply(door.made("1.1.0"))


def test_keys_behind_a_link_are_not_believed(door: House) -> None:
    """I4: nor one in another place."""
    door.places.trusted.rename(door.folder / "elsewhere")
    door.places.trusted.symlink_to(door.folder / "elsewhere")
    with pytest.raises(RefusedError, match="cannot be read"):
        door.updater.apply(door.made("1.1.0"))


def test_no_key_no_update(door: House) -> None:
    """I4: where nobody's releases are trusted, none is taken."""
    door.places.trusted.unlink()
    with pytest.raises(RefusedError, match="no release is trusted"):
        door.updater.apply(door.made("1.1.0"))


def test_one_update_at_a_time(door: House) -> None:
    """While one is on trial, or at work, there is no other."""
    door.machine.ill_starts = {"1.1.0": 9}
    with pytest.raises(HardwareError):
        door.updater.apply(door.made("1.1.0", schemas=RAISED), no_way_back=True)
    with pytest.raises(RefusedError, match="on trial already"):
        door.updater.apply(door.made("1.2.0"))


def test_nothing_to_go_back_to(door: House) -> None:
    """The first release has none before it."""
    with pytest.raises(RefusedError, match="no release to go back to"):
        door.updater.roll_back()
