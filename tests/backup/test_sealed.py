"""Sealed files: whole, unaltered and for the right reader, or nothing."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance.backup import sealed
from appliance.backup.sealed import CHUNK_BYTES, MAGIC, SIGNATURE_BYTES, Lock, open_sealed
from appliance.errors import RefusedError, UsageError
from appliance.signing import fingerprint, public_text

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
SEALED_CHUNK = CHUNK_BYTES + 16
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def sealed_bytes(plain: bytes, *, key: bytes = KEY, signer: Ed25519PrivateKey = SIGNER) -> bytes:
    """Return a sealed file of these bytes."""
    head = sealed.header("backup", "front", Lock(by="device", salt="5a" * 32), signer)
    out = io.BytesIO()
    sealed.write(out, head, key, [plain], signer)
    return out.getvalue()


def opened(path: Path, content: bytes, key: bytes = KEY) -> bytes:
    """Return what a file of this content holds."""
    path.write_bytes(content)
    with open_sealed(path, "backup") as found:
        return b"".join(found.chunks(key))


def refused(path: Path, content: bytes, key: bytes = KEY) -> str:
    """Return the one line with which a file of this content is refused."""
    with pytest.raises(RefusedError) as fault:
        opened(path, content, key)
    assert "\n" not in str(fault.value)
    assert path.name in str(fault.value)
    return str(fault.value)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_went_in_comes_out(tmp_path: Path, size: int) -> None:
    """F12: any number of bytes comes back as it was, also at the ends of a chunk, and nothing of it is in the file."""
    plain = (b"a planted marker " * (size // 17 + 1))[:size]
    content = sealed_bytes(plain)
    assert opened(tmp_path / "file", content) == plain
    assert b"planted marker" not in content


def test_every_flipped_bit_and_every_cut_is_refused(tmp_path: Path) -> None:
    """E5: a sealed file with one bit altered, or cut after any of its bytes, opens nothing."""
    content = sealed_bytes(b"people")
    for at in range(len(content)):
        refused(tmp_path / "file", content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        refused(tmp_path / "file", content[:at])
    refused(tmp_path / "file", content + b"\0")


@trials(max_examples=40, deadline=None)
@given(order=st.permutations(range(4)).filter(lambda order: order != [0, 1, 2, 3]))
def test_chunks_have_their_place(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    """E5: chunks in another order do not open, even where the very device that made them signs them so."""
    path = tmp_path_factory.mktemp("sealed") / "file"
    content = sealed_bytes(bytes(4 * CHUNK_BYTES))
    start = content.index(b"\n", len(MAGIC)) + 1
    chunks = [content[start + SEALED_CHUNK * number :][:SEALED_CHUNK] for number in range(4)]
    assert "sealed for somebody else" in refused(path, signed(content[:start], [chunks[number] for number in order]))


@pytest.mark.parametrize("numbers", [[0, 1], [0, 2], [1, 2], [0, 0, 1, 2], []])
def test_chunks_are_all_there_and_once(tmp_path: Path, numbers: list[int]) -> None:
    """E5: a chunk that is missing anywhere, or doubled, is noticed by the cipher too."""
    content = sealed_bytes(bytes(3 * CHUNK_BYTES))
    start = content.index(b"\n", len(MAGIC)) + 1
    chunks = [content[start + SEALED_CHUNK * number :][:SEALED_CHUNK] for number in range(3)]
    refused(tmp_path / "file", signed(content[:start], [chunks[number] for number in numbers]))


def signed(line: bytes, chunks: list[bytes]) -> bytes:
    """Return a file of these parts, signed anew by the same device."""
    body = line + b"".join(chunks)
    digest = hashlib.sha512(body).digest()
    return body + SIGNER.sign(b"ostiary sealed file\0" + digest)


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    """F12: without the key a sealed file is of no use, though its signature holds for everybody."""
    content = sealed_bytes(b"people")
    assert "sealed for somebody else" in refused(tmp_path / "file", content, bytes(32))
    with open_sealed(tmp_path / "file", "backup") as found:
        assert found.seal.header.signer == public_text(SIGNER)
        assert found.seal.signer == fingerprint(public_text(SIGNER))


def test_the_same_bytes_are_never_sealed_alike(tmp_path: Path) -> None:
    """Two files of the same content and key, with salts of their own, share no chunk."""
    one, two = (io.BytesIO() for _ in range(2))
    for out in (one, two):
        lock = Lock(by="device", salt=sealed.new_salt())
        sealed.write(out, sealed.header("backup", "front", lock, SIGNER), KEY, [bytes(100)], SIGNER)
    assert one.getvalue()[-180:-SIGNATURE_BYTES] != two.getvalue()[-180:-SIGNATURE_BYTES]


def test_a_kind_is_not_taken_for_another(tmp_path: Path) -> None:
    """A file of templates is not restored as a backup, nor the other way round, though key and signer are the same."""
    (tmp_path / "file").write_bytes(sealed_bytes(b""))
    with pytest.raises(RefusedError, match="holds backup, not templates"), open_sealed(tmp_path / "file", "templates"):
        pass


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"{" * 5000, b'{"kind": "backup"}', b"\xff", b"null" + b" " * 9000]
)
def test_a_first_line_that_is_none(tmp_path: Path, line: bytes) -> None:
    """E5: whatever stands in the place of the header, the file is refused in one line at bounded cost."""
    refused(tmp_path / "file", MAGIC + line + b"\n" + bytes(200))


def test_a_header_has_one_spelling(tmp_path: Path) -> None:
    """A header that says the same in other bytes is refused before anything is read by it."""
    content = sealed_bytes(b"")
    line = content[len(MAGIC) : content.index(b"\n", len(MAGIC))]
    spaced = json.dumps(json.loads(line)).encode()
    assert "first line was altered" in refused(tmp_path / "file", content.replace(line, spaced))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """No file, and a folder: one line that names it, as a wrong word on the command line."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError, match=path.name), open_sealed(path, "backup"):
            pass
