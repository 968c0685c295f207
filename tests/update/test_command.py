"""`ostiary update` as it is typed: what it prints, and its exit codes."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.cli import main
from appliance.update.places import Trial
from tests.update.releases import House, archive_of, files_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Return what types a command after `ostiary update`, and gives back exit code, output and errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ostiary", "update", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_release_is_signed_and_verified(door: House, typed: Typed) -> None:
    """I4: a key is made once, an archive signed with it is whole on a machine that trusts it, and on no other."""
    key, file = door.folder / "new.key", door.folder / "ostiary-1.1.0.tar.gz"
    file.write_bytes(archive_of("1.1.0", files_of("1.1.0")))
    code, public, _ = typed("keygen", key)
    assert (code, key.stat().st_mode & 0o777) == (0, 0o600)
    assert typed("keygen", key)[0] == 1  # never over another
    assert typed("sign", file, "--key", key)[0] == 0
    code, _, fault = typed("verify", file, "--root", door.places.root)
    assert code == 1
    assert public.strip() in fault
    door.places.trusted.write_text(public, encoding="ascii")
    code, told, _ = typed("verify", file, "--root", door.places.root)
    assert code == 0
    assert told.splitlines()[0].startswith("version 1.1.0, ")
    assert told.splitlines()[-1] == "whole and unaltered: 6 files"


def test_status_and_list_say_how_it_stands(door: House, typed: Typed) -> None:
    """I5: what runs, what there is to go back to, and what is on trial can be seen at any time."""
    door.updater.apply(door.made("1.1.0"))
    door.places.set_trial(Trial(version="1.1.0", previous="1.0.0", starts=2, why="the reader is not READY"))
    root = ("--root", door.places.root)
    assert typed("list", *root) == (0, "1.0.0\tprevious\n1.1.0\tcurrent\n", "")
    lines = typed("status", *root)[1].splitlines()
    assert lines[:3] == ["current   1.1.0", "previous  1.0.0", "oldest    1.1.0"]
    assert lines[3] == "on trial  1.1.0, started 2 times: the reader is not READY"
    told = json.loads(typed("status", "--json", *root)[1])
    assert (told["current"], told["trial"]["starts"], told["last"]["ended"]) == ("1.1.0", 2, "kept")


@pytest.mark.parametrize("version", ["1.0", "1.0.0-rc1", "01.0.0", "1.0.0\n", ""])
def test_version_that_is_none_is_named(door: House, typed: Typed, version: str) -> None:
    """I4: what is no version is not signed, and the line says what it is and what one looks like."""
    file = door.folder / "some.tar.gz"
    file.write_bytes(b"no archive")
    code, _, fault = typed("sign", file, "--key", door.key, "--version", version)
    asked = repr(version or "some")  # the file's name stands in where nothing is said
    assert (code, fault) == (
        2,
        f"ostiary: {file} cannot be signed: version is {asked}; it must be three numbers, as 1.2.3\n",
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("sign", "missing.tar.gz", "--key", "release.key", "--version", "1.0.0"), 2),
        (("sign", "some.tar.gz", "--key", "release.key"), 2),
        (("sign", "some.tar.gz", "--key", "missing.key", "--version", "1.0.0"), 2),
        (("verify", "missing.tar.gz", "--root", "root"), 1),
        (("status", "--root", "broken"), 3),
        (("status", "--root", "nowhere"), 2),
        (("list", "--root", "nowhere"), 2),
        (("verify", "some.tar.gz", "--root", "nowhere"), 2),
    ],
)
def test_fault_is_one_line(door: House, typed: Typed, words: tuple[str, ...], code: int) -> None:
    """Whatever is missing or wrong is said in one line, with its exit code."""
    (door.folder / "some.tar.gz").write_bytes(b"no archive")
    shutil.copytree(door.places.memory, door.folder / "broken/var/lib/ostiary-update")
    (door.folder / "broken/var/lib/ostiary-update/trial.json").write_text("{", encoding="ascii")
    plain = {"sign", "verify", "status", "list", "--key", "--version", "--root", "1.0.0"}
    ended, _, fault = typed(*(word if word in plain else door.folder / word for word in words))
    *usage, said = fault.splitlines()  # of an option, click says how the command is used first
    assert ended == code
    assert said.startswith("Error: " if usage else "ostiary: ")
    assert "nowhere" not in words or "nowhere" in said
