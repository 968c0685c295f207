"""A Debian root of either processor, made once and kept, and the wheels that its environment is made of."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
# What a minimal Debian lacks of a machine that starts, and what scripts/install would ask apt for: it has no network.
PACKAGES = (
    "systemd,systemd-sysv,systemd-timesyncd,dbus,udev,kmod,initramfs-tools,procps,iproute2,ca-certificates,"
    "python3,python3-venv,nftables"
)
NEEDED = {
    "debootstrap": "debootstrap",
    "mkfs.ext4": "e2fsprogs",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-x86_64": "qemu-system-x86",
}
# Nobody's data: a broken root is made again. And of the thousands of modules, those that find the disk: gathering
# all for the initial memory disk took a quarter of an hour under emulation.
_HASTE = {
    "etc/dpkg/dpkg.cfg.d/unsafe": "force-unsafe-io\n",
    "etc/initramfs-tools/conf.d/vm": "MODULES=list\n",
    "usr/share/initramfs-tools/modules.d/vm": "virtio_pci\nvirtio_blk\next4\n",
}
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_DESCRIBED = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


@dataclass(frozen=True, slots=True)
class Arch:
    """A processor, by the names that Debian, wheels and qemu have for it."""

    debian: str
    wheels: str
    qemu: tuple[str, ...]  # the program of a whole machine, and what kind of machine
    console: str  # the kernel's


ARCHES = {
    # Without -cpu max: its pointer authentication takes most of the time that emulation has. A Pi 4's processor.
    "arm64": Arch("arm64", "aarch64", ("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72"), "ttyAMA0"),
    "amd64": Arch("amd64", "x86_64", ("qemu-system-x86_64", "-machine", "q35", "-cpu", "max"), "ttyS0"),
}


def check_tools() -> None:
    """Return where everything is there. Raises UsageError for another user than root, ClickException for a tool."""
    if os.geteuid() != 0:
        raise click.UsageError("only root can make a root file system: sudo scripts/vm")
    missing = {package for tool, package in NEEDED.items() if shutil.which(tool) is None}
    if missing:
        names = " ".join(sorted(missing))
        raise click.ClickException(f"on Debian 12 or 13, first: apt-get install --no-install-recommends {names}")


def made_root(arch: Arch, work: Path) -> Path:
    """Return the root of this processor under `work`; the first time it takes ten minutes for a foreign one."""
    root = work / f"root-{arch.debian}"
    if (root / "etc/debian_version").exists():
        return root
    _understand(arch)
    new, cache = root.with_suffix(".new"), work / "debs"
    cache.mkdir(exist_ok=True)
    include = f"--include={PACKAGES},linux-image-{arch.debian}"
    if new.exists():  # a run that was interrupted
        shutil.rmtree(new)
    called = ["debootstrap", "--foreign", "--variant=minbase", f"--arch={arch.debian}", include]
    run([*called, f"--cache-dir={cache}", SUITE, str(new)], work / f"debootstrap-{arch.debian}.log")
    for name, content in _HASTE.items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_text(content)
    run(["chroot", str(new), "/debootstrap/debootstrap", "--second-stage"], work / f"second-{arch.debian}.log")
    new.rename(root)
    return root


def _understand(arch: Arch) -> None:
    """Have the kernel start programs of this processor under qemu-user."""
    if arch.debian == subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip():
        return
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)], check=True)
    if not (_BINFMT / "qemu-aarch64").exists():
        (_BINFMT / "register").write_text(_DESCRIBED.read_text().strip())


def downloaded(arch: Arch, work: Path, lock: str = "test") -> Path:
    """Return a folder with what `requirements/LOCK.lock` pins, each file by its hash, for this processor."""
    pinned = ROOT / "requirements" / f"{lock}.lock"
    folder = work / f"wheels-{arch.debian}-{lock}"
    stamp = folder / "of"
    digest = hashlib.sha256(pinned.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return folder
    folder.mkdir(exist_ok=True)
    called = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps", *platform_of(arch)]
    for one in (pinned, ROOT / "requirements/build.lock"):
        run([*called, "--dest", str(folder), "--requirement", str(one)], work / f"download-{arch.debian}.log")
    stamp.write_text(digest)
    return folder


def platform_of(arch: Arch) -> list[str]:
    """Return pip's options for the wheels that fit the root's Python on this processor."""
    platforms = [f"manylinux_2_{minor}_{arch.wheels}" for minor in range(17, 37)]
    platforms += [f"manylinux2014_{arch.wheels}", f"linux_{arch.wheels}", "any"]
    # The one package that has no wheel is pure Python.
    options = ["--only-binary=:all:", "--no-binary=sdnotify", "--python-version=3.11", "--implementation=cp"]
    options += [f"--abi={abi}" for abi in ("cp311", "abi3", "none")]
    return options + [f"--platform={platform}" for platform in platforms]


def run(command: list[str], log: Path, *, timeout_s: float | None = None) -> None:
    """Run a command, what it says into `log`. Raises ClickException with the log's last line where it fails."""
    with log.open("wb") as said:
        ended = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, timeout=timeout_s, check=False)
    if ended.returncode:
        last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise click.ClickException(f"{Path(command[0]).name} ended with {ended.returncode}: {last}; see {log}")


def tree_at(folder: Path) -> None:
    """Lay the committed tree into a new folder."""
    folder.mkdir(parents=True)
    archived = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archived, check=True)
