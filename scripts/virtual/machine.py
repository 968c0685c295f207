"""A whole machine under qemu, talked to over a console of its own, and switched off as a power cut does it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import click

from .roots import downloaded, made_root, run, tree_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .roots import Arch

START_S = 600.0  # emulated, beside other work
_PROMPT = "<console "
_MEBIBYTE = 1 << 20
# On a console that no login guards, each line is run as it comes, and its end is told with its exit code.
_SHELL = r"""#!/bin/bash
stty raw -echo
while IFS= read -r line; do
    eval "$line" </dev/null 2>&1
    printf '\n<console %s>\n' $?
done
"""
_UNIT = """[Unit]
Description=Console of the trial
After=basic.target
[Service]
ExecStart=/usr/local/sbin/console-shell
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/hvc0
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""


class QuietError(click.ClickException):
    """The machine did not answer in time."""


class Said(NamedTuple):
    """What a command in the machine came to."""

    code: int
    text: str


class Machine:
    """A running machine of this disk. As a context it ends with it, as by a power cut. Raises ClickException."""

    def __init__(
        self, arch: Arch, root: Path, disk: Path, log: Path, more: tuple[str, ...] = (), *, settled: bool = True
    ) -> None:
        """Return when the console answers, and `settled` when all that starts at boot has started or failed."""
        self._folder = tempfile.TemporaryDirectory(prefix="vm-")
        console = Path(self._folder.name) / "console"
        kernel, initrd = (next((root / "boot").glob(f"{name}-*")) for name in ("vmlinuz", "initrd.img"))
        append = f"root=/dev/vda rw console={arch.console} quiet panic=-1"
        command = [
            *arch.qemu,
            "-accel",
            "tcg,thread=multi",
            "-smp",
            "2",
            "-m",
            "2048",
            "-no-reboot",
            "-display",
            "none",
        ]
        command += ["-monitor", "none", "-nic", "none", "-kernel", str(kernel), "-initrd", str(initrd)]
        # What the guest has not flushed is lost with qemu, as with a machine; what it has is with the host.
        command += ["-append", append, "-drive", f"file={disk},format=raw,if=virtio", "-serial", f"file:{log}"]
        command += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=hvc,path={console},server=on,wait=off"]
        command += ["-device", "virtconsole,chardev=hvc", "-device", "virtio-rng-pci", *more]
        self.log = log
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._heard = b""
        self._socket = self._connected(console)
        self.started_s = self._greet(settled=settled)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Take the power away: the process is killed, and with it all that the machine had only in memory."""
        self._process.kill()
        self._process.wait()
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._folder.cleanup()

    def off(self) -> None:
        """Shut down in good order. Raises ClickException where that takes minutes."""
        self._socket.sendall(b"systemctl poweroff\n")
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired as fault:
            raise click.ClickException(f"the machine does not shut down; see {self.log}") from fault
        finally:
            self.cut()

    def run(self, command: str, timeout_s: float = 120.0) -> Said:
        """Return the exit code of a line of shell, run by root, and what it said on both outputs."""
        lines = list(self.lines(command, timeout_s))
        return Said(int(lines[-1].removeprefix(_PROMPT).removesuffix(">")), "\n".join(lines[:-1]).strip())

    def must(self, command: str, timeout_s: float = 120.0) -> str:
        """Return what a command said that must succeed. Raises ClickException where it does not."""
        said = self.run(command, timeout_s)
        if said.code:
            raise click.ClickException(f"in the machine, {command!r} ended with {said.code}: {said.text[-2000:]}")
        return said.text

    def lines(self, command: str, timeout_s: float) -> Iterator[str]:
        """Give what a command says line by line as it comes; the last is the prompt, with its exit code."""
        self._socket.sendall(command.encode() + b"\n")
        end_s = time.monotonic() + timeout_s
        while True:
            line = self._line(end_s - time.monotonic())
            yield line
            if line.startswith(_PROMPT):
                return

    def _line(self, timeout_s: float) -> str:
        end_s = time.monotonic() + timeout_s
        while b"\n" not in self._heard:
            self._socket.settimeout(max(0.01, end_s - time.monotonic()))
            try:
                more = self._socket.recv(65536)
            except TimeoutError as fault:
                last = self._heard[-200:].decode(errors="replace")
                raise QuietError(f"the machine said nothing for too long, last {last!r}; see {self.log}") from fault
            except ConnectionError:
                more = b""
            if not more:
                raise click.ClickException(self._ended())
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode(errors="replace").strip("\r")

    def _ended(self) -> str:
        self._process.wait(10)
        said = (self._process.stderr.read() if self._process.stderr else b"").decode(errors="replace").strip()
        return f"the machine has ended: {said or 'without a word'}; see {self.log}"

    def _connected(self, path: Path) -> socket.socket:
        talk = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end_s = time.monotonic() + 30
        while True:
            try:
                talk.connect(str(path))
            except OSError as fault:
                if self._process.poll() is not None or time.monotonic() > end_s:
                    raise click.ClickException(f"{fault}; {self._ended()}") from fault
                time.sleep(0.1)
            else:
                return talk

    def _greet(self, *, settled: bool) -> float:
        """Return how long it took until the machine was as far as asked for."""
        before = time.monotonic()
        while time.monotonic() < before + START_S:
            with contextlib.suppress(QuietError):
                for line in self.lines("echo", 5.0):
                    if line.startswith(_PROMPT):
                        self._drain()
                        if settled:
                            self.run(f"timeout {START_S:.0f} systemctl is-system-running --wait", 2 * START_S)
                        return time.monotonic() - before
        self.cut()
        raise click.ClickException(f"the machine did not come up in {START_S:.0f} s; see {self.log}")

    def _drain(self) -> None:
        """Read away the answers to the greetings that came before the shell listened."""
        with contextlib.suppress(QuietError):
            while True:
                self._line(3.0)


def blank_disk(arch: Arch, work: Path) -> Path:
    """Return an ext4 disk of the root with a console, made once."""
    disk, root = work / f"blank-{arch.debian}.img", made_root(arch, work)
    if disk.exists():
        return disk
    shell, unit = root / "usr/local/sbin/console-shell", root / "etc/systemd/system/console-shell.service"
    shell.write_text(_SHELL)
    shell.chmod(0o755)
    unit.write_text(_UNIT)
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    (wanted / unit.name).unlink(missing_ok=True)
    (wanted / unit.name).symlink_to(f"/etc/systemd/system/{unit.name}")
    # Of Debian's own, what would work in the background of every start, and have nothing to do with the trial.
    for name in ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service"):
        masked = root / "etc/systemd/system" / name
        masked.unlink(missing_ok=True)
        masked.symlink_to("/dev/null")
    (root / "etc/hostname").write_text("door\n")
    (root / "etc/fstab").write_text("/dev/vda / ext4 noatime 0 1\n")
    new = disk.with_suffix(".new")
    run(["mkfs.ext4", "-q", "-F", "-d", str(root), str(new), "4G"], work / "mkfs.log")
    new.rename(disk)
    return disk


def source_drive(arch: Arch, work: Path) -> Path:
    """Return an archive, as a drive is: the committed tree, and the wheels of its runtime lock."""
    archive = work / f"source-{arch.debian}.tar"
    with tempfile.TemporaryDirectory(dir=work) as place:
        tree_at(Path(place) / "ostiary")
        shutil.copytree(downloaded(arch, work, "jetson"), Path(place) / "wheels")
        run(["tar", "--create", "--file", str(archive), "--directory", place, "ostiary", "wheels"], work / "tar.log")
    size = archive.stat().st_size
    os.truncate(archive, -(-size // _MEBIBYTE) * _MEBIBYTE)  # a drive has whole blocks
    return archive


def drive(path: Path) -> tuple[str, ...]:
    """Return qemu's options for a further drive that is only read."""
    return ("-drive", f"file={path},format=raw,if=virtio,readonly=on")


def copied(disk: Path, name: str) -> Path:
    """Return a copy of a disk beside it, holes as holes."""
    copy = disk.with_name(f"{name}.img")
    run(["cp", "--sparse=always", str(disk), str(copy)], disk.with_name("cp.log"))
    return copy
