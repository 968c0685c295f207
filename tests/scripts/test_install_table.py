"""The list of what is installed where."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.installing import table
from scripts.installing.faults import InstallError

ROOT = Path(__file__).parents[2]
TABLE = table.read(ROOT)


def test_every_source_is_there_and_every_target_is_one_files() -> None:
    """Nothing is listed that the tree does not hold, and on no device do two files want one place."""
    for file in TABLE.files:
        assert (ROOT / file.source).is_file(), file.source
    for system in table.SYSTEMS:
        targets = [file.target for file in TABLE.meant_for(system, table.ROLES).files]
        assert len(targets) == len(set(targets))


def test_every_unit_is_installed() -> None:
    """Whatever lies in systemd/ reaches a device: a unit that is not listed would never run."""
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "systemd").rglob("*") if path.is_file()}
    assert shipped <= {str(file.source) for file in TABLE.files}


def test_a_role_gets_what_is_its_own() -> None:
    """A broker's machine gets no unit of a door's, and a plain Debian no boot fragment of a Pi."""
    broker = TABLE.meant_for("debian", ["broker"])
    assert not [file for file in broker.files if "reader" in file.target.name]
    assert "mosquitto" in [name for packages in broker.packages for name in packages.names]
    assert "/boot/firmware/ostiary.txt" not in map(
        str, (file.target for file in TABLE.meant_for("debian", ["door"]).files)
    )


@pytest.mark.parametrize("role", table.ROLES)
def test_every_role_goes_on_with_an_update_after_a_power_cut(role: str) -> None:
    """I4: whatever the machine is, its releases can be updated, and each boot looks for a trial that was cut off."""
    units = [file.target.name for file in TABLE.meant_for("debian", [role]).files if file.enable]
    assert "ostiary-update-check.service" in units


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[file]]\nfrom = 'a'\n", "has no 'to'"),
        ("[[file]]\nfrom = 'a'\nto = 'etc/a'\n", "is no absolute path"),
        ("[[file]]\nfrom = 'a'\nto = '/etc/../a'\n", "is no absolute path"),
        ("[[file]]\nfrom = 'a'\nto = '/a'\nmode = '0666'\n", "writable by the owner alone"),
        ("[[file]]\nfrom = 'a'\nto = '/a'\nmode = 'rw'\n", "must be octal"),
        ("[[file]]\nfrom = 'a'\nto = '/a'\nroles = ['doors']\n", "roles has 'doors'"),
        ("[[file]]\nfrom = 'a'\nto = '/a'\nsystems = ['pi']\n", "systems has 'pi'"),
        ("[[file]]\nfrom = 'a'\nto = '/a'\nkep = true\n", "has 'kep'"),
        ("[[files]]\n", "has 'files'"),
        ("[[file]\n", "cannot be read"),
    ],
)
def test_a_wrong_entry_is_named(text: str, said: str, tmp_path: Path) -> None:
    """A mistake in the list stops the installer before it begins, and the line says what and where."""
    (tmp_path / "firmware_config").mkdir()
    (tmp_path / table.NAME).write_text(text)
    with pytest.raises(InstallError, match=said):
        table.read(tmp_path)
