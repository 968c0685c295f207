"""The command line of `scripts/vm`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import roots
from .core import CPUS, LEFT_OUT, TESTS, prepare, run_core

if TYPE_CHECKING:
    from .trials import Row

ARCH = click.option("--arch", type=click.Choice(sorted(roots.ARCHES)), default="arm64", show_default=True)
WORK = click.option(
    "--work", type=click.Path(path_type=Path, file_okay=False), default=roots.ROOT / "build/vm", help="What is kept."
)
CUTS = click.option("--cuts", type=click.IntRange(0, 1000), default=10, show_default=True, help="Of the power.")


@click.group()
def root() -> None:
    """Show that the program runs on ARM, and as a service of a real systemd. As root; docs/arm.md."""


@root.command()
@ARCH
@WORK
@click.option("--cpu", "cpus", multiple=True, type=click.Choice(sorted(CPUS)), help="On this one's instructions only.")
@click.argument("paths", nargs=-1)
def core(arch: str, work: Path, cpus: tuple[str, ...], paths: tuple[str, ...]) -> int:
    """Run the core's tests under emulation, on the instructions of a Pi 4 and of a Pi 5; or the tests in PATHS."""
    _prepare(work)
    return _core(arch, work, cpus, paths)


@root.command()
@ARCH
@WORK
@CUTS
@click.option("--fresh", is_flag=True, help="Install anew, though there is a disk that was installed before.")
def machine(arch: str, work: Path, *, cuts: int, fresh: bool) -> int:
    """Install in a whole machine, hang its services, and cut its power."""
    _prepare(work)
    return _machine(arch, work, cuts, fresh=fresh)


@root.command()
@WORK
@CUTS
def test(work: Path, cuts: int) -> int:
    """Do both on arm64, everything anew."""
    _prepare(work)
    return max(_core("arm64", work, (), ()), _machine("arm64", work, cuts, fresh=True))


def _prepare(work: Path) -> None:
    roots.check_tools()
    work.mkdir(parents=True, exist_ok=True)


def _core(arch: str, work: Path, cpus: tuple[str, ...], paths: tuple[str, ...]) -> int:
    chosen, worst = roots.ARCHES[arch], 0
    mounts = prepare(chosen, work)
    for cpu, processor in ((cpu, CPUS[cpu]) for cpu in cpus or CPUS):
        passed = failed = skipped = 0
        for path in paths or TESTS:
            found = run_core(chosen, work, cpu, path, mounts)
            print(f"{cpu}  {path}: {found.passed} passed, {found.failed} failed, {found.skipped} skipped,", end=" ")
            print(f"{found.seconds:.0f} s", *found.names, sep="\n  ", flush=True)
            passed, failed, skipped = passed + found.passed, failed + found.failed, skipped + found.skipped
        told = f"{passed} passed, {failed} failed, {skipped} skipped, {len(LEFT_OUT)} left out"
        print(f"{arch}, {cpu} ({processor.board}): {told}", flush=True)
        worst = max(worst, int(failed > 0 or passed == 0))
    return worst


def _machine(arch: str, work: Path, cuts: int, *, fresh: bool) -> int:
    from . import trials  # noqa: PLC0415 - likewise

    machines, bad = trials.Machines(roots.ARCHES[arch], work), 0
    if fresh or not machines.disk.exists():
        bad += _show(machines.install())
    with machines.start() as started:
        bad += _show(trials.Row("start of the machine", 1, f"up after {started.started_s:.0f} s", good=True))
        for row in trials.watched(started):
            bad += _show(row)
    if cuts:
        bad += _show(trials.cut(machines, cuts))
    return int(bad > 0)


def _show(row: Row) -> int:
    """Print a row; return 1 where it failed."""
    print(f"| {row.tried} | {row.n} | {'' if row.good else 'FAILED: '}{row.result} |", flush=True)
    return int(not row.good)


def main() -> int:
    """Return 0 where all went well, 1 where a trial failed or could not be made, 2 for a wrong use."""
    try:
        return int(root.main(prog_name="scripts/vm", standalone_mode=False) or 0)
    except click.ClickException as fault:
        fault.show()
        return fault.exit_code
    except click.Abort:
        return 1


if __name__ == "__main__":
    sys.exit(main())
