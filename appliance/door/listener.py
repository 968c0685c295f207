"""The controller's Unix socket: one controller a path, and only its group may speak to it."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from typing import TYPE_CHECKING

from appliance.errors import DoorError

if TYPE_CHECKING:
    from pathlib import Path

_MAX_PATH_BYTES = 107  # sun_path of unix(7) without its final zero
_ONLY_GROUP = 0o117  # umask that leaves mode 0660


class Listener:
    """Holds `path`: a lock file beside it says who owns it, the socket itself is opened later by `listen`.

    A socket file that a dead controller left behind is replaced. Raises DoorError when another controller,
    even a stopped one, owns the path, or when the path cannot be a socket.
    """

    def __init__(self, path: Path) -> None:
        if len(os.fsencode(path)) > _MAX_PATH_BYTES:
            msg = f"controller socket {path} is too long; at most {_MAX_PATH_BYTES} bytes are possible (door.socket)"
            raise DoorError(msg)
        self._path = path
        self._socket: socket.socket | None = None
        try:
            # The kernel drops this lock with its owner, so it never goes stale; the file may stay for ever.
            self._lock_file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise DoorError(f"controller socket {path} cannot be made: {fault.strerror}") from fault
        try:
            self._claim()
        except DoorError:
            os.close(self._lock_file)
            raise

    def _claim(self) -> None:
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise DoorError(f"controller already running at {self._path}") from fault
        if os.path.lexists(self._path) and not stat.S_ISSOCK(self._path.lstat().st_mode):
            msg = f"controller socket {self._path} is another kind of file; remove it or set door.socket"
            raise DoorError(msg)

    def listen(self) -> socket.socket:
        """Return the listening socket, non-blocking, mode 0660 from its first moment. Raises DoorError."""
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        umask = os.umask(_ONLY_GROUP)
        try:
            listening.bind(os.fspath(self._path))
        except OSError as fault:
            listening.close()
            raise DoorError(f"controller socket {self._path} cannot be made: {fault.strerror}") from fault
        finally:
            os.umask(umask)
        listening.listen()
        listening.settimeout(0)
        self._socket = listening
        return listening

    def close(self) -> None:
        """Stop listening, remove the socket and give up the path; harmless when done already."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._path.unlink(missing_ok=True)
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1
