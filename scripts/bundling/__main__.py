"""`scripts/bundle` and `scripts/check_wheels`: one archive for devices without a network, and what it may hold."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from . import archive, wheels

TREE = Path(__file__).resolve().parents[2]
WHEELS = TREE / "build/wheels"


def main() -> int:
    """Return 0 when done, 1 where something cannot be had or written (one line says what)."""
    parser = argparse.ArgumentParser(prog="scripts/bundle", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    bundle = verbs.add_parser("bundle", prog="scripts/bundle", help="write ostiary-VERSION.tar.gz of what is committed")
    bundle.add_argument("--out", type=Path, default=TREE / "build", help="the folder it is written to [build]")
    verbs.add_parser(
        "check",
        prog="scripts/check_wheels",
        help="fetch every target's wheels, and record in requirements/wheels.json that they exist",
    )
    for verb in verbs.choices.values():
        verb.add_argument("--wheels", type=Path, default=WHEELS, help="where wheels are kept [build/wheels]")
    asked = parser.parse_args()
    try:
        found = wheels.fetch(TREE, asked.wheels)
        return _record(found) if asked.verb == "check" else _bundle(asked.out, asked.wheels, found)
    except (wheels.WheelError, OSError, ValueError) as fault:
        print(f"{asked.verb}: {fault}", file=sys.stderr)
    except subprocess.CalledProcessError as fault:
        print(f"{asked.verb}: {TREE} is no clone: {fault.stderr.decode().strip()}", file=sys.stderr)
    return 1


def _record(found: dict[str, str]) -> int:
    (TREE / wheels.RECORD).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    sources = sorted(name for name in found if not name.endswith(".whl"))
    print(f"check_wheels: {len(wheels.pinned(TREE))} packages, {len(found)} files, for each of:")
    for target in wheels.TARGETS:
        print(f"  {target}")
    print(f"as source, in Python alone: {', '.join(sources) or 'none'}")
    return 0


def _bundle(folder: Path, kept: Path, found: dict[str, str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    version = archive.version_in(archive.committed(TREE))
    target = folder / f"ostiary-{version}.tar.gz"
    archive.write(TREE, {name: kept / name for name in found}, target)
    print(f"bundle: {target}, {target.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
