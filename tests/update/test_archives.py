"""What an archive may hold, and that nothing else gets past."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import ApplianceError, RefusedError
from appliance.signing import read_key
from appliance.update import archive as archives
from appliance.update import claim as claims
from tests.update.releases import House, archive_of, files_of, manifest_of, member, packed

VERSION = "1.1.0"
TOP = f"ostiary-{VERSION}"
WHOLE = archive_of(VERSION, files_of(VERSION))


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    """Return the header of something that is neither a file nor a folder."""
    header = member(f"{TOP}/link")
    header.type, header.linkname = kind, target
    return header


def with_member(header: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """Return an archive whose manifest is right, with one member more."""
    files = files_of(VERSION)
    whole = {**files, "manifest.json": manifest_of(VERSION, files)}
    return packed([*((member(f"{TOP}/{name}"), text.encode()) for name, text in whole.items()), (header, content)])


def extended() -> bytes:
    """Return an archive whose names stand in headers of their own."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        header = member(f"{TOP}/{'x' * 200}")
        tar.addfile(header, io.BytesIO(b""))
    return gzip.compress(raw.getvalue())


CRAFTED = {
    "a link out": with_member(link(tarfile.SYMTYPE, "/etc")),
    "a hard link": with_member(link(tarfile.LNKTYPE, "/etc/passwd")),
    "a device": with_member(link(tarfile.CHRTYPE, "")),
    "a pipe": with_member(link(tarfile.FIFOTYPE, "")),
    "the way up": with_member(member(f"{TOP}/../../../etc/cron.d/x"), b"x"),
    "an absolute path": with_member(member("/etc/cron.d/x"), b"x"),
    "another top": with_member(member("other/x"), b"x"),
    "a path that is not plain": with_member(member(f"{TOP}//./x"), b"x"),
    "a name of controls": with_member(member(f"{TOP}/x\x1b[2J"), b"x"),
    "a backslash": with_member(member(f"{TOP}/..\\x"), b"x"),
    "a file twice": with_member(member(f"{TOP}/version"), b"9.9.9"),
    "a file where a folder is": with_member(member(f"{TOP}/scripts"), b"x"),
    "a file that is not listed": with_member(member(f"{TOP}/more"), b"x"),
    "long names": extended(),
    "another version inside": archive_of("1.2.0", files_of("1.2.0")),
    "no manifest": packed([(member(f"{TOP}/version"), b"1.1.0")]),
    "nothing": packed([]),
    "no gzip": b"PK\x03\x04 something else",
    "half of it": WHOLE[: len(WHOLE) // 2],
    "nothing but gzip": gzip.compress(b""),
}


@pytest.mark.parametrize("content", CRAFTED.values(), ids=CRAFTED.keys())
def test_crafted_archive_is_refused_though_it_is_signed(door: House, content: bytes) -> None:
    """I4: links, devices, paths that lead out, names twice and files unlisted are refused, and nothing is left."""
    before = sorted(door.folder.rglob("*"))
    file = door.signed(VERSION, content)
    with pytest.raises(ApplianceError):
        door.updater.verify(file)
    with pytest.raises(ApplianceError):
        door.updater.apply(file)
    left = {path.name for path in door.folder.rglob("*")} - {path.name for path in before}
    assert left <= {file.name, f"{file.name}.sig"}


def test_file_of_a_wrong_hash_is_named(door: House) -> None:
    """I4: an archive whose manifest says something else of a file is refused, and the file named."""
    files = files_of(VERSION)
    manifest = manifest_of(VERSION, files | {"version": "another"})
    whole = {**files, "manifest.json": manifest}
    content = packed([(member(f"{TOP}/{name}"), text.encode()) for name, text in whole.items()])
    with pytest.raises(RefusedError, match="'version' differs"):
        door.updater.verify(door.signed(VERSION, content))


def test_bomb_is_refused_at_its_bound(door: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """I4: an archive that unpacks to more than is allowed is given up there, and nothing is left of it."""
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1 << 20)
    content = with_member(member(f"{TOP}/zeros"), bytes(2 << 20))
    with pytest.raises(RefusedError, match="unpacks to more than"):
        door.updater.apply(door.signed(VERSION, content))
    assert door.left_over() == []


def test_archive_that_changes_after_it_was_checked_is_not_installed(door: House) -> None:
    """I4: what is unpacked is what was signed, though the file is exchanged between the two."""
    file = door.made(VERSION)
    claim = claims.verify(file, claims.trusted_keys(door.places.trusted), "1.0.0")
    files = files_of(VERSION) | {"program": "#!/bin/sh\necho somebody else's\n"}
    file.write_bytes(archive_of(VERSION, files))
    with pytest.raises(RefusedError, match="was changed while it was read"):
        archives.unpack(file, claim, door.folder / "out")
    assert not (door.folder / "out").exists()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_altered_archive_or_signature_passes(door: House, data: st.DataObject) -> None:
    """I4: whatever is flipped, cut, added or moved in archive or signature, it is refused, or says what it said."""
    file = door.made(VERSION)
    keys = claims.trusted_keys(door.places.trusted)
    right = claims.verify(file, keys, "1.0.0")
    which = data.draw(st.sampled_from([file, claims.signature_file(file)]))
    content = which.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 40)))
    altered = content[:start] + data.draw(st.binary(max_size=40)) + content[end:]
    which.write_bytes(altered)
    try:
        said = claims.verify(file, keys, "1.0.0")
    except RefusedError:
        return
    assert said == right
    assert file.read_bytes() == WHOLE


_NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "/", TOP, "scripts", "\x00", "ü", "a" * 60]), max_size=5)
_KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_NAMES, _KINDS, st.binary(max_size=8)), max_size=4))
def test_nothing_is_ever_written_outside(door: House, members: list[tuple[list[str], bytes, bytes]]) -> None:
    """I4: however paths and kinds are put together, and signed, nothing is written but below the folder."""
    headers = []
    for names, kind, content in members:
        header = member("/".join(names)[:90])
        header.type, header.linkname = kind, "../../x" if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
        headers.append((header, content))
    outside = door.folder / "pit"
    (outside / "deep").mkdir(parents=True, exist_ok=True)
    file = door.signed(VERSION, packed(headers))
    claim = claims.verify(file, claims.trusted_keys(door.places.trusted), "1.0.0")
    with pytest.raises(ApplianceError):  # there is no manifest that is right
        archives.unpack(file, claim, outside / "deep" / "out")
    assert [path.name for path in outside.rglob("*")] == ["deep"]


@pytest.mark.parametrize(
    "change",
    [{"version": "1.1"}, {"version": "01.1.0"}, {"size": 0}, {"size": -1}, {"format": 2}, {"sha256": "x"}, {"more": 1}],
)
def test_claim_of_a_strange_form_is_refused(door: House, change: dict[str, object]) -> None:
    """I4: a signature file with other keys, types or ranges is none."""
    file = door.made(VERSION)
    path = claims.signature_file(file)
    signed = json.loads(path.read_text(encoding="ascii"))
    signed["claim"] |= change
    path.write_text(json.dumps(signed), encoding="ascii")
    with pytest.raises(RefusedError, match="not one of a release"):
        door.updater.verify(file)


def test_signature_is_bound_to_being_a_release(door: House) -> None:
    """I4: what the same key signed for another purpose is no release."""
    file = door.made(VERSION)
    path = claims.signature_file(file)
    signed = json.loads(path.read_text(encoding="ascii"))
    claim = claims.Claim.model_validate(signed["claim"])
    bare = claim.signed_bytes().removeprefix(b"ostiary release\0")
    signed["signature"] = base64.b64encode(read_key(door.key).sign(bare)).decode()
    path.write_text(json.dumps(signed), encoding="ascii")
    with pytest.raises(RefusedError, match="does not hold"):
        door.updater.verify(file)
