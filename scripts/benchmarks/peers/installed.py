"""The peers' packages: each in a folder of its own under build/, pinned by version and content, fetched once.

The ordinary clients (`pip`, `npm`) find the registry in their own settings; no address stands here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import ApplianceError

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
BUILD = ROOT / "build"
PIP_LOCKS = (ROOT / "requirements" / "build.lock", ROOT / "requirements" / "peers.lock")
NPM_LOCK = HERE / "package-lock.json"
DEADLINE_S = 900.0


class PeerError(ApplianceError):
    """A peer cannot be had or has stopped: nothing is claimed of any of them."""


@dataclass(frozen=True, slots=True)
class Program:
    """One contestant: what is started, and where."""

    name: str
    packages: str  # names and versions, for the record
    licences: str
    command: tuple[str, ...]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)


def programs() -> tuple[Program, ...]:
    """Return ours and, installed if they are not yet, the peers. Raises PeerError, one line that names what is missing.

    Every one gets one thread.
    """
    node = wanted("node", "to run @vladmandic/human")
    wanted("npm", "to fetch @vladmandic/human")
    python = dlib_environment(BUILD / "peers-venv")
    folder = human_folder(BUILD / "peers-npm")
    from_root = {"PYTHONPATH": str(ROOT)}
    own, peer = "scripts.benchmarks.peers.ours", "scripts.benchmarks.peers.with_dlib"
    human = str(HERE / "human.cjs")
    return (
        Program("ostiary", "this checkout", "see models/", (sys.executable, "-m", own), ROOT, from_root),
        Program(
            "face_recognition",
            ", ".join(locked(PIP_LOCKS[1], r"^((?:dlib-bin|face-recognition-models)==\S+)")),
            "dlib BSL-1.0; models CC0 (their LICENSE) or MIT (their setup.py); calls after face_recognition, MIT",
            (str(python), "-m", peer),
            ROOT,
            from_root,
        ),
        Program(
            "human",
            ", ".join(locked(HERE / "package.json", r'"(@\S+)": "(\d\S+)"')),
            "@vladmandic/human MIT, models of several origins in its documentation; @tensorflow/* Apache-2.0",
            (node, str(human)),
            folder,
        ),
    )


def locked(file: Path, pattern: str) -> list[str]:
    """Return the packages that a pinned file names, as name==version."""
    found = re.findall(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
    return [one if isinstance(one, str) else "==".join(one) for one in found]


def wanted(command: str, why: str) -> str:
    """Return where a command is. Raises PeerError where it is not on the path."""
    found = shutil.which(command)
    if found is None:
        raise PeerError(f"{command} is not installed; it is needed {why}")
    return found


def dlib_environment(folder: Path) -> Path:
    """Return the Python of an environment with dlib and the models, made anew where the locks are others."""
    python = folder / "bin" / "python"
    content = "".join(lock.read_text(encoding="utf-8") for lock in PIP_LOCKS)
    if not _stamped(folder, content):
        environment = (sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
        _run(environment, "an environment for face_recognition", ROOT)
        pip = (
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--disable-pip-version-check",
        )
        for lock in PIP_LOCKS:
            # The models come as source: without isolation, the setuptools that builds them is the pinned one.
            options = ("--require-hashes", "--no-deps", "--no-build-isolation", "-r", str(lock))
            _run((*pip, *options), f"{lock.name}, for face_recognition,", ROOT)
        _stamp(folder, content)
    return python


def human_folder(folder: Path) -> Path:
    """Return the folder whose node_modules has human, installed anew where the lock is another."""
    content = NPM_LOCK.read_text(encoding="utf-8")
    if not _stamped(folder, content):
        folder.mkdir(parents=True, exist_ok=True)
        for file in (HERE / "package.json", NPM_LOCK):
            shutil.copy(file, folder)
        # npm checks each package against the lock's integrity; no script of a package is run.
        _run(("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"), "@vladmandic/human", folder)
        _stamp(folder, content)
    return folder


def _stamped(folder: Path, content: str) -> bool:
    stamp = folder / "installed-lock"
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == content


def _stamp(folder: Path, content: str) -> None:
    (folder / "installed-lock").write_text(content, encoding="utf-8")


def _run(command: tuple[str, ...], what: str, folder: Path) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S, cwd=folder, env=os.environ)
    except subprocess.TimeoutExpired:
        raise PeerError(f"installing {what} took more than {DEADLINE_S:.0f} s") from None
    except subprocess.CalledProcessError as failure:
        raise PeerError(f"{what} cannot be installed: {_reason(failure)}") from None


def _reason(failure: subprocess.CalledProcessError) -> str:
    said = [line for line in failure.stderr.decode(errors="replace").splitlines() if "error" in line.lower()]
    return said[0].strip() if said else f"exit {failure.returncode}"
