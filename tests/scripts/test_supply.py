"""What a release is made of, its licences, and the gate against known holes."""

from __future__ import annotations

import json
import zipfile
from email.message import Message
from typing import TYPE_CHECKING, Any

import pytest

from scripts.supply import advisories, bom, licences, parts
from scripts.supply.__main__ import BILL, KEPT, main, written
from scripts.supply.parts import Package, SupplyError

if TYPE_CHECKING:
    from pathlib import Path


def test_bill_and_report_are_of_these_locks() -> None:
    """I8: docs/sbom.json and docs/licences.md name every package, model and Debian package that a device gets."""
    for path, text in written().items():
        assert path.read_text("utf-8") == text, f"{path.name} is of other locks: run scripts/sbom"
    held = bom.read(BILL.read_text("utf-8"))
    assert {one.name: one.version for one in held.values()} == {
        name: version for name, (version, _locks) in parts.locked().items()
    }


def test_every_licence_may_come_along() -> None:
    """I8: no package and no model is under a licence that the list does not allow."""
    assert licences.objections(tuple(bom.read(BILL.read_text("utf-8")).values()), parts.models()) == []


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-or-later", False),
        ("LGPL-2.1-or-later", False),
        ("GPL-2.0-only OR MIT", True),
        ("GPL-2.0-only AND MIT", False),
        ("(Apache-2.0 AND BSD-2-Clause) OR GPL-2.0-only", True),
        ("", False),
    ],
)
def test_licence_gate(licence: str, *, allowed: bool) -> None:
    """I8: a licence passes where it, or one that may be chosen, is in the list with all its parts; GPL is in none."""
    package = Package("somebody", "1.0", licence, ("runtime",), ())
    assert (licences.objections([package], []) == []) is allowed


def test_library_of_unknown_licence_is_asked_about() -> None:
    """I8: what a wheel newly brings along stops the report until somebody has looked at it."""
    with pytest.raises(SupplyError, match="libsurprise"):
        licences.report([], [], [], {"somebody": ["libsurprise"]})


def test_package_that_does_not_say_its_licence_is_asked_about() -> None:
    """I8: no licence is ever assumed."""
    metadata = Message()
    metadata["Name"], metadata["Version"], metadata["License"] = "somebody", "1.0", "see the file"
    with pytest.raises(SupplyError, match=r"somebody 1\.0 does not say"):
        parts.licence_of(metadata)


def advisory(*events: dict[str, str], versions: tuple[str, ...] = (), ecosystem: str = "PyPI") -> dict[str, Any]:
    """Return an advisory about one package."""
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    affected = {"package": {"ecosystem": ecosystem, "name": "Some_Body"}, "ranges": ranges, "versions": list(versions)}
    return {"id": "CVE-1", "modified": "2026-01-01T00:00:00Z", "affected": [affected]}


SPANS = advisory({"introduced": "2.0"}, {"fixed": "2.5"}, {"introduced": "0"}, {"last_affected": "1.1"})


@pytest.mark.parametrize(
    ("one", "hit", "passed"),
    [
        (advisory({"introduced": "0"}, {"fixed": "1.10"}), ("0.1", "1.9", "1.10rc1"), ("1.10", "2.0")),
        (advisory({"introduced": "1.0"}), ("1.0", "9.0"), ("0.9",)),
        (SPANS, ("0.5", "1.1", "2.0", "2.4.9"), ("1.2", "1.9", "2.5")),
        (advisory(versions=("1.0", "1.2")), ("1.0", "1.2"), ("1.1",)),
        (advisory({"introduced": "0"}, ecosystem="npm"), (), ("1.0",)),
        (advisory({"introduced": "0"}) | {"withdrawn": "2026-01-02T00:00:00Z"}, (), ("1.0",)),
    ],
)
def test_advisory_meets_the_versions_it_names(
    one: dict[str, Any], hit: tuple[str, ...], passed: tuple[str, ...]
) -> None:
    """I8: an advisory in OSV's form applies to the versions in its spans and lists, and to no other."""
    assert [version for version in (*hit, *passed) if advisories.holes([one], {"some-body": version})] == list(hit)


def test_locks_have_no_hole_that_is_known_here() -> None:
    """I8: every lock, also of what builds and tests, is beyond the holes in requirements/advisories.json."""
    assert main(["check"]) == 0
    assert len(advisories.read(KEPT)) > 20


def test_lock_with_a_known_hole_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I8: an older version in a lock, of a package with a hole that is known here, fails the gate and is named."""
    lock = tmp_path / "old.lock"
    lock.write_text("jinja2==3.1.5 \\\n    --hash=sha256:0\nh11==0.16.0 \\\n    --hash=sha256:0\n", "utf-8")
    assert main(["check", "--lock", str(lock)]) == 1
    assert capsys.readouterr().err == "check: jinja2 3.1.5: CVE-2025-27516 sandbox is left through the attr filter\n"


def test_every_version_of_every_lock_is_held(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I8: where two locks pin one package differently, a hole in either is seen, whichever is read last."""
    old, new = tmp_path / "old.lock", tmp_path / "new.lock"
    old.write_text("jinja2==3.1.5 \\\n", "utf-8")
    new.write_text("jinja2==3.1.6 \\\n", "utf-8")
    for locks in ((old, new), (new, old)):
        assert main(["check", *(word for lock in locks for word in ("--lock", str(lock)))]) == 1
        assert capsys.readouterr().err.startswith("check: jinja2 3.1.5: CVE-2025-27516")


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"<html>"])
def test_lock_that_names_nothing_lets_nothing_pass(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """I8: a lock that is missing, empty or no lock is told in one line and is no clean bill."""
    lock = tmp_path / "some.lock"
    if content is not None:
        lock.write_bytes(content)
    assert main(["check", "--lock", str(lock)]) == 2
    assert capsys.readouterr().err.startswith(f"check: lock {lock} ")


MISSHAPEN = ["", "[]", "{}", '[{"id": "CVE-1"}]', "<html>", "[1]", "null", '{"affected": [1]}', '{"affected": null}']


@pytest.mark.parametrize("content", MISSHAPEN)
def test_advisories_that_say_nothing_let_nothing_pass(tmp_path: Path, content: str) -> None:
    """I8: a download that failed is no clean bill."""
    file = tmp_path / "advisories.json"
    file.write_text(content, "utf-8")
    assert main(["check", str(file)]) == 2


def test_advisories_are_read_from_an_export(tmp_path: Path) -> None:
    """I8: a zip of advisories, as they are published all at once, is held against the locks as well."""
    export = tmp_path / "all.zip"
    numpy = advisory({"introduced": "0"})
    numpy["affected"][0]["package"]["name"] = "numpy"
    with zipfile.ZipFile(export, "w") as packed:
        packed.writestr("CVE-1.json", json.dumps(numpy))
    assert main(["check", str(export)]) == 1
