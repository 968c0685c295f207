"""Where commands look for settings and state."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import pytest

from appliance.commands.options import open_state
from appliance.errors import StorageError
from appliance.whole_file import write_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534


@contextmanager
def shut_out(folder: Path) -> Iterator[None]:
    """Be somebody who may not look into this folder of ours."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    else:
        folder.chmod(0)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        else:
            folder.chmod(0o700)


def test_folder_of_others_is_one_line(short_folder: Path) -> None:
    """F7: who may not look into the state folder of an installed device is told so, and what helps."""
    with shut_out(short_folder), pytest.raises(click.UsageError, match=r"Permission denied; root may, by sudo$"):
        open_state(short_folder)


def test_no_file_is_written_through_a_link(tmp_path: Path) -> None:
    """F7: where somebody laid a link at a file's draft, nothing is written, neither there nor where it leads."""
    theirs = tmp_path / "theirs"
    theirs.write_text("kept")
    (tmp_path / f"ours.{os.getpid()}.tmp").symlink_to(theirs)
    with pytest.raises(StorageError, match="cannot be written"):
        write_file(tmp_path / "ours", b"lost")
    assert theirs.read_text() == "kept"
    assert not (tmp_path / "ours").exists()
