"""`scripts/sbom` and `scripts/check_vulnerabilities`."""

from __future__ import annotations

import argparse
import sys
import sysconfig
from pathlib import Path

from . import advisories, bom, licences, parts
from .parts import ROOT, SupplyError

BILL = ROOT / "docs/sbom.json"
REPORT = ROOT / "docs/licences.md"
KEPT = ROOT / "requirements/advisories.json"


def main(arguments: list[str] | None = None) -> int:
    """Return 0 where all is well, 1 where a licence or a version is not to come along, 2 where that is unknown."""
    parser = argparse.ArgumentParser(prog="scripts/sbom", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("sbom", prog="scripts/sbom", help="write docs/sbom.json and docs/licences.md")
    check = verbs.add_parser(
        "check", prog="scripts/check_vulnerabilities", help="hold the locks against advisories in OSV's form"
    )
    check.add_argument("files", nargs="*", type=Path, help=f"more than those in {KEPT.relative_to(ROOT)}")
    check.add_argument("--lock", action="append", type=Path, default=[], help="these locks instead of all")
    asked = parser.parse_args(arguments)
    try:
        return _sbom() if asked.verb == "sbom" else _check([KEPT, *asked.files], asked.lock)
    except SupplyError as fault:
        print(f"{asked.verb}: {fault}", file=sys.stderr)
        return 2


def written() -> dict[Path, str]:
    """Return what `scripts/sbom` writes. Raises SupplyError."""
    packages = parts.packages(bom.read(BILL.read_text("utf-8")) if BILL.exists() else {})
    models, debian = parts.models(), parts.debian()
    bundled = parts.bundled(Path(sysconfig.get_path("purelib")))
    return {
        BILL: bom.text(packages, models, debian),
        REPORT: licences.report(packages, models, debian, bundled),
    }


def _sbom() -> int:
    wrong = licences.objections(parts.packages({}), parts.models())
    for line in wrong:
        print(f"sbom: {line}", file=sys.stderr)
    for path, text in written().items():
        path.write_text(text, "utf-8")
        print(f"sbom: {path.relative_to(ROOT)}")
    return 1 if wrong else 0


def _check(files: list[Path], locks: list[Path]) -> int:
    pins = [_pins(lock) for lock in locks or sorted((ROOT / "requirements").glob("*.lock"))]
    wrong = set()
    for file in files:
        found = advisories.read(file)
        wrong |= {line for one in pins for line in advisories.holes(found, one)}
        print(f"check: {len(found)} advisories of {file.name}, the newest of {advisories.newest(found)}")
    for line in sorted(wrong):
        print(f"check: {line}", file=sys.stderr)
    print(f"check: {len({pin for one in pins for pin in one.items()})} packages, {len(wrong)} holes")
    return 1 if wrong else 0


def _pins(lock: Path) -> dict[str, str]:
    """Return the version of each package in a lock; two locks may differ. Raises SupplyError where it has none."""
    try:
        found = parts.pins(lock.read_text("utf-8"))
    except (OSError, ValueError) as fault:
        raise SupplyError(f"lock {lock} cannot be read: {fault}") from fault
    if not found:
        raise SupplyError(f"lock {lock} names no package")
    return found


if __name__ == "__main__":
    sys.exit(main())
