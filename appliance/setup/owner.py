"""Whose files are made: the reader takes none of root's, and the set-up runs as root."""

from __future__ import annotations

import contextlib
import os
import pwd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """Do what the block does as the folder's owner where we are root: what is root's, the reader does not take.

    Nor does root write where a link of the owner's would lead it. A block may stand within another.
    """
    owner = folder.stat()
    if os.getuid() != 0 or os.geteuid() == owner.st_uid:
        yield
        return
    before = os.geteuid(), os.getegid(), os.getgroups()
    _become(owner.st_uid, owner.st_gid, _groups_of(owner.st_uid, owner.st_gid))
    try:
        yield
    finally:
        _become(*before)


def _become(user: int, group: int, groups: list[int]) -> None:
    os.seteuid(0)
    os.setgroups(groups)
    os.setegid(group)
    os.seteuid(user)


def _groups_of(user: int, group: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(user).pw_name, group)
    except KeyError:  # a folder that came from another machine: nobody here has that number
        return [group]
