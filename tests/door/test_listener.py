"""The controller's place in the file system."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from appliance.door.listener import Listener
from appliance.errors import DoorError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_dead_controllers_socket_is_replaced(state: Path) -> None:
    """A socket file that nobody owns any more is replaced by a working one."""
    path = state / "c.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with closing(Listener(path)) as listener, socket.socket(socket.AF_UNIX) as peer:
        listener.listen()
        peer.connect(str(path))
    assert not path.exists()


def test_a_live_controllers_socket_is_left_alone(state: Path) -> None:
    """A path that a controller owns, though it be stopped or not listening yet, is refused to a second."""
    path = state / "c.sock"
    with closing(Listener(path)), pytest.raises(DoorError, match=f"^controller already running at {path}$"):
        Listener(path)
    with closing(Listener(path)):
        pass


def test_another_file_is_never_removed(state: Path) -> None:
    """Where something else than a socket stands at the path, the start is refused and the file stays."""
    path = state / "c.sock"
    path.write_text("precious")
    with pytest.raises(DoorError, match=r"another kind of file"):
        Listener(path)
    assert path.read_text() == "precious"


def test_a_path_too_long_is_named(state: Path) -> None:
    """A path beyond what a Unix socket can have is refused with the path and the limit, before anything is made."""
    path = state / ("x" * 100) / "c.sock"
    with pytest.raises(DoorError, match=r"is too long; at most 107 bytes"):
        Listener(path)


def test_a_missing_folder_is_named(state: Path) -> None:
    """A path in a folder that does not exist is refused in one line."""
    with pytest.raises(DoorError, match=r"cannot be made: No such file or directory$"):
        Listener(state / "nowhere" / "c.sock")
