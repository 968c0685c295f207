"""The small private authority: what it signs, what it refuses, and what others make of it."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from appliance.access.schedule import Moment
from appliance.certificates import LIFE, PRIVATE
from appliance.cli import root
from appliance.errors import ApplianceError, HardwareError, RefusedError, StorageError, UsageError
from appliance.lone import only_one
from appliance.pki import Authority, init, issued

if TYPE_CHECKING:
    from pathlib import Path

NOW = Moment(datetime.now(UTC), clock_set=True)
UNSET = Moment(datetime(1970, 1, 1, tzinfo=UTC), clock_set=False)


def no_passphrase() -> str:
    """Fail: a key without a passphrase asks for none."""
    pytest.fail("a passphrase was asked for")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an authority."""
    init(tmp_path / "pki", "front", PRIVATE, NOW)
    return tmp_path / "pki"


@pytest.fixture
def authority(folder: Path) -> Authority:
    """Give an authority, opened."""
    return Authority(folder, no_passphrase)


def openssl(*words: str | Path) -> str:
    """Return all that the openssl program says."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed here")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return a signing request for a key, under a name that nobody should believe."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def test_openssl_takes_each_certificate_for_its_purpose_alone(folder: Path, authority: Authority) -> None:
    """D1: a broker's certificate passes as a server under its names, a client's as a client, neither as the other."""
    broker = authority.issue_server(["door.local", "192.168.7.2", "fd00::7"], NOW)
    guard = authority.issue_client("guard", NOW)
    verify = ("verify", "-x509_strict", "-CAfile", folder / "ca.pem", "-CRLfile", folder / "crl.pem", "-crl_check")
    for wanted in (["-verify_hostname", "door.local"], ["-verify_ip", "192.168.7.2"], ["-verify_ip", "fd00::7"]):
        assert "OK" in openssl(*verify, "-purpose", "sslserver", *wanted, broker)
    assert "mismatch" in openssl(*verify, "-purpose", "sslserver", "-verify_hostname", "other.local", broker)
    assert "OK" in openssl(*verify, "-purpose", "sslclient", guard)
    assert "unsuitable certificate purpose" in openssl(*verify, "-purpose", "sslserver", guard)
    assert "unsuitable certificate purpose" in openssl(*verify, "-purpose", "sslclient", broker)
    text = openssl("x509", "-in", guard, "-noout", "-subject", "-text")
    assert "CN = guard" in text
    assert "TLS Web Client Authentication" in text
    assert "CA:FALSE" in text


def test_an_authority_is_bound_to_its_names_and_makes_no_other(folder: Path, authority: Authority) -> None:
    """D1: whatever its key signs, nobody takes it for a public name, nor for another authority."""
    for name in ("example.org", "8.8.8.8", "evil-local", "2001:db8::1"):
        with pytest.raises(RefusedError, match="may speak for"):
            authority.issue_server([name], NOW)
    text = openssl("x509", "-in", folder / "ca.pem", "-noout", "-text")
    assert "pathlen:0" in text
    assert "Permitted:" in text
    # With the key alone one can sign anything; it is whoever checks that refuses.
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    forged = (
        x509.CertificateBuilder(ca.subject, x509.Name([]), key.public_key(), 7, NOW.at, NOW.at + LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("example.org")]), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "forged.pem").write_bytes(forged.public_bytes(serialization.Encoding.PEM))
    assert "permitted subtree violation" in openssl("verify", "-CAfile", folder / "ca.pem", folder / "forged.pem")


def test_another_domain_is_named_at_the_start(tmp_path: Path) -> None:
    """A house with a name of its own says so once; what is no domain or network is one line."""
    init(tmp_path / "own", "front", (*PRIVATE, "example.org"), NOW)
    path = Authority(tmp_path / "own", no_passphrase).issue_server(["door.example.org"], NOW)
    verified = openssl("verify", "-CAfile", tmp_path / "own" / "ca.pem", "-verify_hostname", "door.example.org", path)
    assert "OK" in verified
    for wrong in ("*.example.org", "Example.org", "10.0.0.1/8", ""):
        with pytest.raises(UsageError, match="neither a network"):
            init(tmp_path / f"wrong{len(wrong)}", "front", (wrong,), NOW)


def test_the_revoked_are_on_the_list_and_it_holds_as_long_as_the_authority(folder: Path, authority: Authority) -> None:
    """D1: all certificates of a name are taken back at once; the list itself never runs out and shuts everybody out."""
    guard = authority.issue_client("guard", NOW)
    first = guard.read_bytes()
    authority.issue_client("guard", NOW, renew=True)
    other = authority.issue_client("other", NOW)
    assert authority.revoke("guard", NOW) == 2
    assert [bool(one.revoked_at) for one in issued(folder) if one.names == ("guard",)] == [True, True]
    verify = ("verify", "-CAfile", folder / "ca.pem", "-CRLfile", folder / "crl.pem", "-crl_check")
    (folder / "first.pem").write_bytes(first)
    assert "certificate revoked" in openssl(*verify, guard)
    assert "certificate revoked" in openssl(*verify, folder / "first.pem")
    assert "OK" in openssl(*verify, other)
    late = str(int((NOW.at + LIFE - timedelta(days=1)).timestamp()))
    assert "OK" in openssl(*verify, "-attime", late, other)
    with pytest.raises(RefusedError, match="no certificate for 'guard'"):
        authority.revoke("guard", NOW)
    with only_one(folder / "lock"), pytest.raises(HardwareError, match="another command"):
        authority.revoke("other", NOW)


def test_nothing_is_signed_by_a_clock_that_nobody_has_set(folder: Path, authority: Authority, tmp_path: Path) -> None:
    """H1: no authority and no certificate without a clock; to take one back needs none, and the list is believed."""
    guard = authority.issue_client("guard", NOW)
    for refused in (
        lambda: init(tmp_path / "other", "front", PRIVATE, UNSET),
        lambda: authority.issue_client("late", UNSET),
        lambda: authority.issue_server(["door.local"], UNSET),
    ):
        with pytest.raises(RefusedError, match="the clock says 1970-01-01"):
            refused()
    assert not (tmp_path / "other").exists()
    assert authority.revoke("guard", UNSET) == 1
    verified = openssl("verify", "-CAfile", folder / "ca.pem", "-CRLfile", folder / "crl.pem", "-crl_check", guard)
    assert "certificate revoked" in verified


def test_keys_are_private_and_nothing_is_overwritten(folder: Path, authority: Authority) -> None:
    """I7: every key is its owner's alone, each is another one, and neither authority nor certificate is replaced."""
    broker, guard = authority.issue_server(["door.local"], NOW), authority.issue_client("guard", NOW)
    keys = [folder / "ca.key", broker.with_suffix(".key"), guard.with_suffix(".key")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len({path.read_bytes() for path in keys}) == 3
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for refused in (
        lambda: init(folder, "front", PRIVATE, NOW),
        lambda: authority.issue_server(["door.local"], NOW),
        lambda: authority.issue_client("guard", NOW),
    ):
        with pytest.raises(RefusedError, match="exists and is not overwritten"):
            refused()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    serials = [one.serial for one in issued(folder)]
    assert all(serial.bit_length() > 100 for serial in serials)


def test_of_a_request_the_key_alone_is_taken(folder: Path, authority: Authority) -> None:
    """D7: a request names whom it likes; the certificate names whom we say, and no weak key is signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = authority.issue_client("guard", NOW, request=request(key))
    made = x509.load_pem_x509_certificate(path.read_bytes())
    assert made.public_key() == key.public_key()
    assert [one.names for one in issued(folder)] == [("guard",)]
    assert not path.with_suffix(".key").exists()
    with pytest.raises(RefusedError, match="too weak"):
        authority.issue_client("weak", NOW, request=request(rsa.generate_private_key(65537, 1024)))  # noqa: S505 - it is refused
    with pytest.raises(UsageError, match="no certificate signing request"):
        authority.issue_client("none", NOW, request=b"no request")


@pytest.mark.parametrize("wrong", ["", "+", "#", "a/b", "../x", "$SYS", "a\0", "a.b", "x" * 64, "CN=x"])
def test_an_id_that_could_be_more_is_signed_for_nobody(authority: Authority, wrong: str) -> None:
    """D7: a client id is one topic level and one file name; a server is a host name or an address."""
    with pytest.raises(UsageError):
        authority.issue_client(wrong, NOW)
    with pytest.raises(UsageError, match="needs a name"):
        authority.issue_server([], NOW)
    if wrong != "a.b":
        with pytest.raises(ApplianceError):
            authority.issue_server([wrong], NOW)


def test_damage_is_one_line_and_lets_nobody_back_in(folder: Path, authority: Authority) -> None:
    """F6: a list that cannot be read is not replaced by a shorter one; a key of another authority signs nothing."""
    authority.issue_client("guard", NOW)
    crl = (folder / "crl.pem").read_bytes()
    (folder / "crl.pem").write_bytes(b"damaged")
    with pytest.raises(StorageError, match=r"crl\.pem is damaged"):
        authority.revoke("guard", NOW)
    assert (folder / "crl.pem").read_bytes() == b"damaged"
    (folder / "crl.pem").write_bytes(crl)
    init(folder.with_name("other"), "front", PRIVATE, NOW)
    shutil.copy(folder.with_name("other") / "ca.key", folder / "ca.key")
    with pytest.raises(StorageError, match="is not the key of"):
        Authority(folder, no_passphrase)
    (folder / "ca.key").write_bytes(b"damaged")
    with pytest.raises(StorageError, match="holds no private key"):
        Authority(folder, no_passphrase)


def ostiary(state: Path, *words: str, answer: str = "") -> tuple[int, str]:
    """Run `ostiary pki`; return its exit code and all that it said."""
    (state.parent / "appliance.toml").write_text('[access]\nclock = "trusted"\n')
    places = ["--config", str(state.parent / "appliance.toml"), "--state", str(state)]
    done = CliRunner().invoke(root, ["pki", *words, *places], input=answer)
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}{done.exception}"
    return done.exit_code, done.output


def test_the_command_makes_signs_lists_and_revokes(tmp_path: Path) -> None:
    """The way of docs/broker.md, with the authority's key under a passphrase that is never shown."""
    state = tmp_path / "state"
    assert ostiary(state, "list") == (1, f"no authority is in {state / 'pki'}; ostiary pki init makes one")
    assert "at least 12 are needed" in ostiary(state, "init", "--encrypt", answer="short\nshort\n")[1]
    secret = "a long passphrase"  # noqa: S105 - the test's own
    code, said = ostiary(state, "init", "--encrypt", answer=f"{secret}\n{secret}\n")
    assert code == 0
    assert secret not in said
    assert b"ENCRYPTED" in (state / "pki" / "ca.key").read_bytes()
    assert "does not open" in ostiary(state, "issue", "client", "guard", answer="another passphrase\n")[1]
    assert ostiary(state, "issue", "client", "guard", answer=f"{secret}\n")[0] == 0
    plain = ("--folder", str(tmp_path / "plain"))
    assert ostiary(state, "init", *plain)[0] == 0
    assert ostiary(state, "issue", "client", "guard", *plain)[0] == 0
    assert ostiary(state, "issue", "server", "door.local", "10.0.0.2", *plain)[0] == 0
    assert ostiary(state, "revoke", "guard", *plain)[0] == 0
    listed = json.loads(ostiary(state, "list", "--json", *plain)[1])
    assert sorted((one["kind"], one["names"], bool(one["revoked_at"])) for one in listed) == [
        ("client", ["guard"], True),
        ("server", ["door.local", "10.0.0.2"], False),
    ]
    assert "guard  until" in ostiary(state, "list", *plain)[1]
    assert ostiary(state, "issue", "client", "x", "--csr", str(tmp_path / "none"))[0] == 2
