"""What `scripts/vm` would try is there to be tried, and what it does inside a machine is right without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.virtual import at_work, core, roots, trials
from scripts.virtual.__main__ import root

ROOT = Path(__file__).resolve().parents[2]


def test_help_names_what_it_tries() -> None:
    """Whoever asks for help gets it, and no machine."""
    said = subprocess.run([ROOT / "scripts/vm", "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert all(verb in said.stdout for verb in ("core", "machine", "test"))


@pytest.mark.parametrize(
    "wrong",
    [["fly"], ["machine", "--arch", "vax"], ["machine", "--cuts", "-1"], ["core", "--no"], ["core", "--cpu", "vax"]],
)
def test_wrong_use_is_one_clear_word(wrong: list[str]) -> None:
    """What cannot be done is refused with exit code 2 before anything is made."""
    said = CliRunner().invoke(root, wrong)
    assert said.exit_code == 2
    assert "Error: " in said.output


def test_what_is_tested_is_there() -> None:
    """Every path of the core's tests leads somewhere, and what is left out is named with a reason."""
    assert [path for path in core.TESTS if not (ROOT / path).exists()] == []
    for name, why in core.LEFT_OUT.items():
        path, _, test = name.partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8")
        assert why


def test_units_that_are_watched_are_installed() -> None:
    """Each unit that is hung in the machine is one that the project has."""
    assert [unit for unit in trials.UNITS if not (ROOT / "systemd" / f"{unit}.service").exists()] == []


@pytest.mark.parametrize("arch", roots.ARCHES)
def test_machine_is_named_as_debian_names_it(arch: str) -> None:
    """The roots' processors go by Debian's names, and each has a program that makes a machine of it."""
    assert roots.ARCHES[arch].debian == arch
    assert roots.ARCHES[arch].qemu[0] in roots.NEEDED


def test_what_was_acknowledged_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F2: the machine's worker tells of no change that a kill then loses; what it says is what a later look finds."""
    command = [sys.executable, "-m", "scripts.virtual.at_work", "work", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        told = trials.Told()
        for line, _ in zip(worker.stdout, range(9), strict=False):
            told.hear(line.strip())
        worker.kill()
    at_work.main("kept", tmp_path)
    found = json.loads(capsys.readouterr().out)
    assert told.changes == 9
    assert told.people <= set(found["people"])
    assert told.seq <= found["head"] <= told.seq + 1
    assert found["why"] == ""
