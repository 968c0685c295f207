"""`ostiary kiosk`: what the screen's browser is told."""

from __future__ import annotations

import base64
import socket
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.cli import root

if TYPE_CHECKING:
    from pathlib import Path


def test_the_browser_knows_the_door_by_its_key(tmp_path: Path) -> None:
    """D1: over TLS the screen's browser is told the one key that is the door's; no authority need be trusted for it."""
    folder = tmp_path / "start"
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "door.example.org")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    (tmp_path / "web.pem").write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    with socket.socket() as web:
        web.bind(("127.0.0.1", 0))
        web.listen()
        settings = tmp_path / "appliance.toml"
        names = f'cert_file = "{tmp_path}/web.pem"\nkey_file = "{tmp_path}/web.key"'
        settings.write_text(f"[web]\nport = {web.getsockname()[1]}\n{names}\n")
        where = ["--state", str(tmp_path / "state"), "--config", str(settings)]
        done = CliRunner().invoke(root, ["kiosk", "start", str(folder), *where])
    assert done.exit_code == 0, done.output
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert base64.b64decode((folder / "pin").read_text()) == sha256(spki).digest()
    assert "url=https://127.0.0.1:" in (folder / "start.html").read_text()
