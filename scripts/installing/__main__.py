"""`scripts/install`: install Ostiary here or in an image, say what would be done, or take it away again."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from . import record, removing
from .faults import InstallError, UnusableError
from .plan import Plan, carry_out, foretell
from .release import check_manifest
from .system import Device, detect
from .table import ROLES

TREE = Path(__file__).resolve().parents[2]


def main() -> int:
    """Return 0 where it is done, 1 where a step failed (a second run goes on from there), 2 where it cannot be."""
    asked = _parser().parse_args()
    os.umask(0o022)
    try:
        return _run(asked)
    except UnusableError as fault:
        print(f"install: {fault}", file=sys.stderr)
        return 2
    except InstallError as fault:
        print(f"install: {fault}; what was done stays done, run it again", file=sys.stderr)
        return 1
    except OSError as fault:  # a disk that is full, read-only or broken can show itself at any step
        named = f"{str(fault.filename)[:200]}: " if fault.filename else ""
        print(f"install: {named}{fault.strerror or fault}; what was done stays done, run it again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("install: stopped; run it again to finish", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/install", description=__doc__)
    parser.add_argument(
        "--role", action="append", default=[], choices=ROLES, help="what the machine is; may be given again [door]"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--uninstall", action="store_true", help="remove it; people, settings and backups stay")
    parser.add_argument("--purge", action="store_true", help="with --uninstall: remove those too, once you said yes")
    parser.add_argument("--root", type=Path, default=Path("/"), help="an image or chroot that does not run [/]")
    parser.add_argument("--wheels", type=Path, help="take Python's packages from here, and ask no index")
    parser.add_argument("--release-only", action="store_true", help="put the release beside the others, no more")
    parser.add_argument(
        "--no-packages", action="store_true", help="neither Debian's nor Python's: an image has its own"
    )
    parser.add_argument("--now", action="store_true", help="start the services, though the door is not set up")
    return parser


def _run(asked: argparse.Namespace) -> int:
    device = _device(asked)
    with nullcontext() if asked.dry_run else device.alone():
        return _install(asked, device)


def _install(asked: argparse.Namespace, device: Device) -> int:
    if asked.uninstall:
        return _uninstall(device, dry=asked.dry_run, purge=asked.purge)
    plan = Plan(device, TREE, _wheels(asked), tuple(asked.role), not asked.no_packages, asked.now)
    check_manifest(TREE)
    steps, left = (plan.release(), []) if asked.release_only else plan.everything()
    if asked.dry_run:
        return _said(foretell(steps, print), "would be done")
    count = carry_out(steps, _say, None if asked.release_only else plan.begin)
    for line in left:
        _say(line)
    if count and not asked.release_only:
        for line in plan.next_steps(record.read(device).roles):
            _say(f"next: {line}")
    return _said(count, "done")


def _uninstall(device: Device, *, dry: bool, purge: bool) -> int:
    steps = removing.steps(device, purge=purge)
    if dry:
        return _said(foretell(steps, print), "would be done")
    if purge and not _is_meant(device):
        print("install: nothing was removed", file=sys.stderr)
        return 1
    count = carry_out(steps, _say)
    for path in removing.kept(device):
        _say(f"left {path}")
    return _said(count, "done")


def _device(asked: argparse.Namespace) -> Device:
    """Return what is installed on. Raises UnusableError for what cannot be, or for who may not."""
    if asked.purge and not asked.uninstall:
        raise UnusableError("--purge goes with --uninstall")
    if asked.uninstall and (asked.role or asked.wheels or asked.release_only or asked.now or asked.no_packages):
        raise UnusableError("--uninstall goes with --purge, --dry-run and --root alone")
    if not asked.root.is_dir():
        raise UnusableError(f"--root {asked.root} is no folder")
    device = detect(asked.root.resolve())
    if os.geteuid() != 0:
        raise UnusableError("only root may install: sudo scripts/install")
    return device


def _wheels(asked: argparse.Namespace) -> Path | None:
    """Return the folder of wheels: the one that was named, or the unpacked bundle's own."""
    if asked.wheels is None:
        own = TREE / "wheels"
        return own if own.is_dir() else None
    if not asked.wheels.is_dir():
        raise UnusableError(f"--wheels {asked.wheels} is no folder")
    return Path(asked.wheels.resolve())


def _is_meant(device: Device) -> bool:
    """Ask whether everything that is kept may go."""
    for path in removing.kept(device):
        print(f"{path} is removed for good")
    print("People, keys, settings and backups cannot be brought back. Type yes: ", end="", flush=True)
    return sys.stdin is not None and sys.stdin.readline().strip() == "yes"


def _say(line: str) -> None:
    print(f"install: {line}", flush=True)


def _said(count: int, verb: str) -> int:
    print(f"install: {count} steps {verb}" if count else "install: nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
