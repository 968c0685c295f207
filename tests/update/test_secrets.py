"""No key and no password comes with the program, and each device makes its own."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access.pin import hash_pin
from appliance.commands.options import open_installation
from appliance.people.keyring import Keyring
from appliance.signing import own_key
from appliance.web import setup_code
from scripts.supply.secrets import found

ROOT = Path(__file__).resolve().parents[2]
# Text in which something that looks like a secret is meant to stand, with the reason.
MEANT: dict[str, str] = {}


def committed() -> list[Path]:
    """Return every committed file."""
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in told.split("\0") if name]


def test_no_secret_is_committed() -> None:
    """I7: no committed file holds what looks like a key, a token, a password or the hash of one."""
    seen = [
        f"{path.relative_to(ROOT)}:{line}: {kind}"
        for path in committed()
        if path.is_file()
        if b"\0" not in (content := path.read_bytes())  # a model or a picture
        for line, kind in found(content.decode("utf-8", "replace"))
    ]
    assert [one for one in seen if one.split(":")[0] not in MEANT] == []
    assert {one.split(":")[0] for one in seen} == MEANT.keys()


def pem() -> str:
    """Return a private key."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def web_token() -> str:
    """Return what a signed token of a web service looks like."""
    parts = [json.dumps({"alg": "EdDSA", "typ": "JWT"}), json.dumps({"sub": "somebody", "iat": 1})]
    words = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join([*words, secrets.token_urlsafe(32)])


@pytest.mark.parametrize(
    "planted",
    [
        pem,
        web_token,
        lambda: f'API_KEY = "{secrets.token_urlsafe(24)}7"',
        lambda: f'password: "{secrets.token_hex(20)}"',
        lambda: f"ghp_{secrets.token_hex(20)}",
        lambda: f"AKIA{secrets.token_hex(8).upper()}",
        lambda: "mqtt://" + f"door:{secrets.token_hex(8)}@broker.local",
        lambda: hash_pin("2580"),
    ],
)
def test_planted_secret_is_seen(planted: object) -> None:
    """I7: the search finds each kind that it looks for, in the midst of other text."""
    assert callable(planted)
    text = f"first line\n# second {planted()} line\n"
    assert [line for line, _kind in found(text)][:1] == [2]


def made_on_a_device(folder: Path) -> dict[str, bytes]:
    """Return every file of a device's state that is a secret of its own, made as its first start makes it."""
    folder.mkdir()
    installation = open_installation(None, folder)
    with Keyring.beside(installation.gallery_file) as keyring:
        secret = keyring.secret("backup")
    own_key(installation.device_key_file)
    setup_code.renew(installation.setup_file)
    assert all(not path.stat().st_mode & 0o077 for path in folder.iterdir()), "somebody else may read a secret"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} | {"secret": secret}


def test_keys_are_each_devices_own(tmp_path: Path) -> None:
    """I7: two devices of the same release have no key, code or secret in common, and none is the release's."""
    one, other = made_on_a_device(tmp_path / "one"), made_on_a_device(tmp_path / "other")
    assert one.keys() == other.keys() >= {"device.key", "gallery.key", "setup.code", "secret"}
    assert [name for name in one if one[name] == other[name] and one[name]] == []
    assert not [path for path in committed() if path.suffix in {".key", ".pem", ".p12", ".pfx", ".jks"}]
