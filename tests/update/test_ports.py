"""What listens on the network: the ports that docs/security.md lists, and no other."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.config import Settings
from tests.web.running import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.broker import PrivateBroker

ROOT = Path(__file__).resolve().parents[2]
LISTENING = "0A"  # of TCP in /proc/net/tcp; a UDP socket is listed once it is bound
SETTINGS = """
[camera]
source = "simulated"
[liveness]
commissioned = "skipped"
[door]
driver = "simulated"
[web]
port = {web}
[metrics]
enabled = true
port = {metrics}
[mqtt]
enabled = true
port = {broker}
username = "{user}"
password_file = "{password}"
"""


def listed(process: int) -> set[tuple[str, str, int]]:
    """Return what a process listens on: protocol, address in the kernel's spelling, and port."""
    inodes = {str(link.readlink())[8:-1] for link in descriptors(process) if "socket:" in str(link.readlink())}
    found = set()
    for protocol in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for line in Path(f"/proc/{process}/net/{protocol}").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            address, port = words[1].split(":")
            # A UDP socket that asks somebody something is connected to them.
            waits = words[3] == LISTENING if protocol.startswith("tcp") else not int(words[2].split(":")[1], 16)
            if words[9] in inodes and waits:
                found.add((protocol, address, int(port, 16)))
    return found


def descriptors(process: int) -> Iterator[Path]:
    """Yield the open files of a process that are still open."""
    for link in Path(f"/proc/{process}/fd").iterdir():
        if link.is_symlink():
            yield link


def answers(port: int) -> bool:
    """Tell whether anybody listens there."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_only_documented_ports_are_open(short_folder: Path, broker: PrivateBroker) -> None:
    """I6: controller, reader and web, really running, listen on web's and metrics' ports of this machine alone."""
    web, metrics = free_port(), free_port()
    mqtt = broker.settings
    config = short_folder / "appliance.toml"
    text = SETTINGS.format(web=web, metrics=metrics, broker=mqtt.port, user=mqtt.username, password=mqtt.password_file)
    config.write_text(text, encoding="utf-8")
    with ExitStack() as running:
        processes = {}
        for name in ("controller", "run", "web"):
            command = [sys.executable, "-m", "appliance", name, "--config", str(config), "--state", str(short_folder)]
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            running.callback(process.wait)
            running.callback(process.kill)
            processes[name] = process
        end_s = time.monotonic() + 60
        while not (answers(web) and answers(metrics) and (short_folder / "controller.sock").exists()):
            assert time.monotonic() < end_s, {name: one.poll() for name, one in processes.items()}
            time.sleep(0.1)
        found = {name: listed(process.pid) for name, process in processes.items()}
    loopback = "0100007F"  # 127.0.0.1, as the kernel writes it
    assert found == {
        "controller": set(),
        "run": {("tcp", loopback, metrics)},
        "web": {("tcp", loopback, web)},
    }


def documented() -> dict[int, str]:
    """Return the ports that docs/security.md lists, each with who listens there."""
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    section = text.partition("## Ports\n")[2].partition("\n## ")[0]
    return {int(port): who for port, who in re.findall(r"^\| (\d+) \| ([^|]+) \|", section, re.MULTILINE)}


def test_documented_ports_are_those_of_the_settings() -> None:
    """I6: the list of ports is that of the settings and of the broker that `ostiary broker setup` writes."""
    settings = Settings()
    mosquitto = (ROOT / "firmware_config/mosquitto/mosquitto.conf").read_text(encoding="utf-8")
    brokers = [int(port) for port in re.findall(r"^listener (\d+)", mosquitto, re.MULTILINE)]
    assert documented().keys() == {settings.web.port, settings.metrics.port, *brokers, 22}
    assert not settings.metrics.enabled
    assert (settings.web.host, settings.metrics.host) == ("127.0.0.1", "127.0.0.1")
