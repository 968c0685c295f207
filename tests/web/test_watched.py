"""`ostiary web` under a service manager: it says when it is there, and that it still lives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from tests.web.running import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_the_service_manager_hears_when_it_listens_and_that_it_lives(tmp_path: Path) -> None:
    """READY=1 goes out once the port is open, then WATCHDOG=1 each second; whoever is stopped says nothing more."""
    port = free_port()
    (tmp_path / "appliance.toml").write_text(f"[web]\nport = {port}\n")
    where = ["--config", str(tmp_path / "appliance.toml"), "--state", str(tmp_path / "state")]
    command = [sys.executable, "-m", "appliance", "web", "serve", *where]
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as web:
            try:
                assert manager.recv(64) == b"READY=1"
                socket.create_connection(("127.0.0.1", port), 5).close()
                assert [manager.recv(64) for _ in range(2)] == [b"WATCHDOG=1"] * 2
                web.send_signal(signal.SIGSTOP)
                manager.settimeout(1.5)
                with suppress(TimeoutError):
                    manager.recv(64)  # it may have been on its way
                with pytest.raises(TimeoutError):
                    manager.recv(64)
            finally:
                web.send_signal(signal.SIGCONT)
                web.terminate()
        assert web.returncode in {-signal.SIGTERM, 0}
