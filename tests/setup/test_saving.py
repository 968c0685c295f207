"""Settings are put in their place whole, in the right hands, and never over somebody else's change."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from appliance.audit import AuditLog
from appliance.contract import EventType
from appliance.errors import StorageError
from appliance.setup.owner import as_owner_of
from appliance.setup.question import interview
from appliance.setup.questions import QUESTIONS
from appliance.setup.saving import save, settings_file
from appliance.web.rules_desk import ChangedMeanwhileError
from tests.setup.here import draft

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.setup.draft import Draft

OLD = '[device]\nid = "old"  # the cellar\n'
NOBODY = 65_534
STRANGER = 54_321

root_alone = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")


def named(first: Draft, name: str) -> Draft:
    """Return the draft with another name of the device."""
    return interview(
        first, QUESTIONS, lambda question, so_far: question.answer(so_far, name if question.key == "device.id" else "")
    )


def version(first: Draft) -> str:
    """Return the version of the file that a draft begins with."""
    return settings_file(first.place.config_file).read().version


def test_written_once_and_logged_once(tmp_path: Path) -> None:
    """J8: a change of settings is one entry of the log, which names the keys; no change is none, and writes nothing."""
    first = draft(tmp_path, OLD)
    done = named(first, "new")
    assert save(done, version(first))
    assert done.place.config_file.read_text() == '[device]\nid = "new"  # the cellar\n'
    assert done.place.config_file.with_name("appliance.toml.bak").read_text() == OLD
    written_ns = done.place.config_file.stat().st_mtime_ns
    assert not save(done, version(done))
    assert done.place.config_file.stat().st_mtime_ns == written_ns
    with AuditLog(tmp_path / "state" / "audit.db", "new", "front") as log:
        (entry,) = log.read()
    assert entry.event.event_type is EventType.CONFIG_CHANGED
    assert "device.id" in entry.event.detail


def test_change_of_somebody_else_is_kept(tmp_path: Path) -> None:
    """E17: settings that were changed while the questions were asked are not written over."""
    first = draft(tmp_path, OLD)
    began = version(first)
    theirs = OLD + "[door]\nunlock_s = 9\n"
    first.place.config_file.write_text(theirs)
    with pytest.raises(ChangedMeanwhileError):
        save(named(first, "new"), began)
    assert first.place.config_file.read_text() == theirs


def test_no_room_leaves_the_old_file(tmp_path: Path) -> None:
    """F3: where the folder cannot be written, the old settings stand and no entry claims otherwise."""
    first = draft(tmp_path, OLD)
    done = named(first, "new")
    began = version(first)
    (tmp_path / "state" / "audit.db").mkdir()  # the log cannot be written either
    with pytest.raises(StorageError):
        save(done, began)
    assert done.place.config_file.read_text() == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["appliance.toml", "appliance.toml.bak", "state"]


def test_new_file_is_for_both_programs(tmp_path: Path) -> None:
    """Controller and reader are different users: settings that were not there before can be read by both."""
    first = draft(tmp_path)
    assert save(named(first, "new"), version(first))
    assert stat.S_IMODE(first.place.config_file.stat().st_mode) == 0o644


@root_alone
@pytest.mark.parametrize("name", ["appliance.toml", "appliance.toml.bak"])
def test_root_follows_no_link_of_the_settings_folder(tmp_path: Path, name: str) -> None:
    """E4: who has taken the web over owns that folder: a link laid in the way of root's hand leads nowhere."""
    reached(tmp_path)
    first = draft(tmp_path, OLD)
    secret = tmp_path / "state" / "roots"
    secret.write_text("root's")
    secret.chmod(0o600)
    (tmp_path / f"{name}.{os.getpid()}.tmp").symlink_to(secret)  # where it is written first
    os.chown(tmp_path, STRANGER, STRANGER)
    os.chown(first.place.config_file, STRANGER, STRANGER)
    with pytest.raises(StorageError):
        save(named(first, "new"), version(first))
    assert secret.read_text() == "root's"
    assert secret.stat().st_uid == 0
    assert first.place.config_file.read_text() == OLD
    assert os.geteuid() == 0


@root_alone
def test_settings_and_state_of_two_owners(tmp_path: Path) -> None:
    """F7: settings in a folder of somebody's and a state of another's are each written by their owner."""
    reached(tmp_path)
    first = draft(tmp_path)
    os.chown(tmp_path, STRANGER, STRANGER)
    os.chown(first.place.state, NOBODY, NOBODY)
    assert save(named(first, "new"), version(first))
    assert first.place.config_file.stat().st_uid == STRANGER
    assert {path.stat().st_uid for path in first.place.state.iterdir()} == {NOBODY}


def reached(folder: Path) -> None:
    """Let everybody pass through to the folder."""
    folder.chmod(0o755)
    for parent in folder.parents[:-2]:
        parent.chmod(parent.stat().st_mode | 0o011)


@root_alone
def test_files_stay_in_their_hands(tmp_path: Path) -> None:
    """F7: run as root, the set-up keeps the file's owner and mode, and makes nothing in the state that is root's."""
    reached(tmp_path)
    first = draft(tmp_path, OLD)
    file, state = first.place.config_file, first.place.state
    os.chown(file, 0, NOBODY)
    file.chmod(0o640)
    os.chown(state, NOBODY, NOBODY)
    assert save(named(first, "new"), version(first))
    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, NOBODY, 0o640)
    assert {path.stat().st_uid for path in state.iterdir()} == {NOBODY}
    with as_owner_of(state):
        assert os.geteuid() == NOBODY
    assert os.geteuid() == 0


@root_alone
def test_owner_whom_nobody_here_knows(tmp_path: Path) -> None:
    """F7: a state folder that came from another machine is its number's, and files made in it are too."""
    os.chown(tmp_path, STRANGER, STRANGER)
    with as_owner_of(tmp_path):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (STRANGER, STRANGER, [STRANGER])
    assert os.geteuid() == 0
