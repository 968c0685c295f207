"""`scripts/bundle` and `scripts/check_wheels`: what a device without a network is brought."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from scripts.bundling import archive, wheels
from scripts.installing.release import check_manifest
from scripts.installing.system import PYTHONS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small clone with one commit, which holds a release and a test that does not belong to it."""
    folder = tmp_path_factory.mktemp("clone")
    for part in ("systemd", "firmware_config"):
        shutil.copytree(ROOT / part, folder / part)
    for name, text in (
        ("appliance/__init__.py", '__version__ = "1.2.3"\n'),
        ("tests/test_it.py", ""),
        ("README.md", ""),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    author = ["-c", "user.name=A", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "All"]):
        subprocess.run(["git", "-C", folder, *words], check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that stands for a wheel."""
    path = tmp_path_factory.mktemp("wheels") / "some-1.0-py3-none-any.whl"
    path.write_bytes(b"wheel")
    return path


def test_the_same_commit_gives_the_same_bytes(clone: Path, wheel: Path, tmp_path: Path) -> None:
    """I4: whoever has the commit and the wheels can make the archive again, and sees that the signed one is it."""
    archive.write(clone, {wheel.name: wheel}, tmp_path / "one")
    os.utime(clone / "README.md", (1, 1))
    os.utime(wheel, (1, 1))
    (clone / "appliance/new.py").write_text("not committed\n")
    archive.write(clone, {wheel.name: wheel}, tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_an_archive_is_one_folder_with_a_manifest_of_everything(clone: Path, wheel: Path, tmp_path: Path) -> None:
    """I4: all lies in `ostiary-VERSION/`, and each file has its SHA-256 in the manifest; no test is among them."""
    assert archive.write(clone, {wheel.name: wheel}, tmp_path / "bundle") == "1.2.3"
    with tarfile.open(tmp_path / "bundle") as packed:
        members = packed.getmembers()
        packed.extractall(tmp_path, filter="data")
    assert {member.name.split("/")[0] for member in members} == {"ostiary-1.2.3"}
    assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "")}
    folder = tmp_path / "ostiary-1.2.3"
    manifest = json.loads((folder / "manifest.json").read_text())
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names - {"manifest.json"} == set(manifest["files"])
    assert manifest["files"][f"wheels/{wheel.name}"] == hashlib.sha256(b"wheel").hexdigest()
    assert (manifest["version"], len(manifest["commit"])) == ("1.2.3", 40)
    assert "tests/test_it.py" not in names
    check_manifest(folder)


def test_the_packages_are_named_by_system_and_role() -> None:
    """What the archive cannot bring is written in it: Debian's packages, for whoever has to fetch them apart."""
    lines = archive.packages(ROOT).splitlines()
    assert any(line.startswith("raspberry-pi door: ") and "python3-picamera2" in line for line in lines)
    assert any(line.startswith("debian broker: ") and "mosquitto" in line for line in lines)
    assert not any("picamera2" in line for line in lines if line.startswith(("debian", "jetson")))


def test_every_pinned_package_has_a_wheel_for_every_device() -> None:
    """Each lock entry has a recorded, hash-pinned file for aarch64 and x86-64, Python 3.11 and 3.13.

    Where this fails after a change to the locks, run scripts/check_wheels: it asks the index, and records anew.
    """
    wheels.check(ROOT, wheels.recorded(ROOT))
    assert len(wheels.TARGETS) == 4
    assert tuple(f"python{version}" for version in wheels.PYTHONS) == PYTHONS  # what the installer takes


def test_a_wheel_that_is_missing_is_named() -> None:
    """Without its aarch64 wheel for Python 3.13 a package does not pass, nor does a file that no lock pins."""
    known = wheels.recorded(ROOT)
    gone = next(name for name in known if name.startswith("numpy-") and "cp313" in name and "aarch64" in name)
    with pytest.raises(wheels.WheelError, match=r"numpy==\S+ has nothing for aarch64, Python 3\.13"):
        wheels.check(ROOT, {name: digest for name, digest in known.items() if name != gone})
    with pytest.raises(wheels.WheelError, match="is in no lock"):
        wheels.check(ROOT, known | {gone: "0" * 64})


def test_a_folder_of_wheels_keeps_what_else_is_in_it(tmp_path: Path) -> None:
    """`--wheels` may name a folder of anything: only what a lock pins is packed, and nothing is removed."""
    (tmp_path / "requirements").mkdir()
    digest = hashlib.sha256(b"wheel").hexdigest()
    for lock in wheels.LOCKS:
        (tmp_path / lock).write_text(f"some==1.0 \\\n    --hash=sha256:{digest}\n")
    folder = tmp_path / "kept"
    (folder / "letters").mkdir(parents=True)
    contents = {"some-1.0-py3-none-any.whl": "wheel", "some-0.9-py3-none-any.whl": "older", "photo.jpg": "ours"}
    for name, text in contents.items():
        (folder / name).write_text(text)
    assert wheels.kept(tmp_path, folder) == {"some-1.0-py3-none-any.whl": digest}
    assert {path.name for path in folder.iterdir()} == {"letters", *contents}


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a-1.0-cp313-cp313-manylinux_2_28_aarch64.whl", True),
        ("a-1.0-cp311-abi3-manylinux_2_34_aarch64.whl", True),
        ("a-1.0-py3-none-any.whl", True),
        ("a-1.0.tar.gz", True),
        ("a-1.0-cp311-cp311-manylinux_2_28_aarch64.whl", False),
        ("a-1.0-cp313-cp313-manylinux_2_28_x86_64.whl", False),
        ("a-1.0-cp313-cp313-manylinux_2_38_aarch64.whl", False),
        ("a-1.0-cp313-cp313-musllinux_1_2_aarch64.whl", False),
        ("a-1.0-cp314-abi3-manylinux_2_28_aarch64.whl", False),
    ],
)
def test_a_wheel_is_taken_by_the_machine_it_was_built_for(name: str, taken: bool) -> None:
    """Another Python, another processor or a newer C library than a device has is no wheel for it."""
    assert wheels.Target("aarch64", "3.13").takes(name) is taken


def test_the_few_packages_that_come_as_source_are_known() -> None:
    """A package that had to be compiled on the door would be seen here, and is to be replaced."""
    assert [name.split("-")[0] for name in wheels.recorded(ROOT) if not name.endswith(".whl")] == ["sdnotify"]
