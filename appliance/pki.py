"""A small private authority in a folder: it signs the certificates of one broker and its clients, and takes them back.

`ca.pem`, `ca.key` and `crl.pem` are the authority; `issued/` keeps every certificate by its serial number; `server/`
and `client/` hold what is carried to the machines, each with its key where that was made here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from appliance import certificates
from appliance.backup.passphrase import key_of
from appliance.contract import is_identifier
from appliance.errors import RefusedError, StorageError, UsageError
from appliance.lone import only_one
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from appliance.access.schedule import Moment

Kind = Literal["server", "client"]

_SALT = "argon2id salt: "  # before a key under a passphrase; readers of PEM pass over what comes before BEGIN


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate that was signed."""

    kind: Kind
    names: tuple[str, ...]  # of a server, its host names and addresses; of a client, its id
    serial: int
    first: datetime  # UTC, of its validity
    last: datetime  # UTC
    revoked_at: datetime | None  # UTC; None while it holds


def init(folder: Path, name: str, permitted: Sequence[str], moment: Moment, passphrase: str | None = None) -> None:
    """Make an authority in `folder`, its key under a passphrase where one is given.

    `permitted` are the domains and networks that it may sign servers for. Raises RefusedError where there is one
    already, the clock is not to be believed, or the passphrase is short, UsageError for a name that is none.
    """
    at = _believed(moment)
    if not is_identifier(name):
        raise UsageError(f"name {name[:80]!r} is not 1 to 63 of A-Z a-z 0-9 _ -, first a letter or digit")
    key = ec.generate_private_key(ec.SECP256R1())
    sealed = _pem_key(key) if passphrase is None else _sealed_key(key, passphrase)
    for part in (folder, folder / "issued", folder / "server", folder / "client"):
        _make_folder(part)
    # Two authorities of one name would pass for one another until a signature fails.
    certificate = certificates.authority(f"Ostiary {name} {secrets.token_hex(4)}", permitted, key, at)
    _write(folder / "ca.key", sealed)  # first: it is what is never overwritten
    _write(folder / "ca.pem", _pem(certificate))
    _write(
        folder / "crl.pem",
        _pem(certificates.revocations([], certificates.Signer(certificate, key), certificate.not_valid_before_utc)),
    )


class Authority:
    """The authority in `folder`. `passphrase` is asked where its key is under one.

    Raises RefusedError where there is none or the passphrase is wrong, StorageError where it is damaged.
    """

    def __init__(self, folder: Path, passphrase: Callable[[], str]) -> None:
        self.folder = folder
        certificate, key = read_authority(folder), _read_key(folder / "ca.key", passphrase)
        if key.public_key() != certificate.public_key():
            raise StorageError(f"{folder / 'ca.key'} is not the key of {folder / 'ca.pem'}")
        self._signer = certificates.Signer(certificate, key)

    def issue_server(self, names: Sequence[str], moment: Moment, *, renew: bool = False) -> Path:
        """Sign a certificate for a broker; return its file, beside which its new private key lies.

        It is named after the first name. `renew` replaces one that is there. Raises RefusedError where one is
        there, for a name that the authority may not speak for, or without a clock, and UsageError for no name.
        """
        if not names:
            raise UsageError("a broker's certificate needs a name")
        at, key = _believed(moment), ec.generate_private_key(ec.SECP256R1())
        made = certificates.server(names, key.public_key(), self._signer, at)
        return self._put("server", names[0], made, key, renew=renew)

    def issue_client(
        self, client_id: str, moment: Moment, *, request: bytes | None = None, renew: bool = False
    ) -> Path:
        """Sign a certificate for a client; return its file, beside which its new private key lies.

        With a certificate signing `request` (PEM) no key is made: only the public key in it is taken. Raises as
        `issue_server`.
        """
        at = _believed(moment)
        if not is_identifier(client_id):
            raise UsageError(f"client id {client_id[:80]!r} is not 1 to 63 of A-Z a-z 0-9 _ -, first alphanumeric")
        key = ec.generate_private_key(ec.SECP256R1()) if request is None else None
        public = key.public_key() if key is not None else _requested(request or b"")
        made = certificates.client(client_id, public, self._signer, at)
        return self._put("client", client_id, made, key, renew=renew)

    def revoke(self, name: str, moment: Moment) -> int:
        """Take back every certificate that names this client, host or address; return how many were.

        A clock that is not to be believed keeps nobody in. Raises RefusedError where none holds that could be, and
        HardwareError while another command does so.
        """
        with only_one(self.folder / "lock", f"another command is changing {self.folder}; try again"):
            return self._revoke(name, moment)

    def _revoke(self, name: str, moment: Moment) -> int:
        first = self._signer.certificate.not_valid_before_utc
        at = moment.at.replace(microsecond=0) if moment.clock_set else first
        gone = [one for one in issued(self.folder) if name in one.names and one.revoked_at is None]
        if not gone:
            raise RefusedError(f"no certificate for {name[:80]!r} holds that could be revoked")
        entries = [*_read_list(self.folder), *(certificates.revoked(one.serial, at) for one in gone)]
        # A list from the future would not be believed by the broker, which then lets nobody in.
        _write(
            self.folder / "crl.pem",
            _pem(certificates.revocations(entries, self._signer, at)),
            replace=True,
        )
        return len(gone)

    def _put(
        self,
        kind: Kind,
        name: str,
        made: x509.Certificate,
        key: ec.EllipticCurvePrivateKey | None,
        *,
        renew: bool,
    ) -> Path:
        path = self.folder / kind / f"{name}.pem"
        if path.exists() and not renew:
            raise RefusedError(f"{path} exists and is not overwritten; --renew replaces it")
        _write(self.folder / "issued" / f"{made.serial_number:040x}.pem", _pem(made))  # first: it can be revoked
        if key is not None:
            _write(path.with_name(f"{name}.key"), _pem_key(key), replace=renew)
        else:
            path.with_name(f"{name}.key").unlink(missing_ok=True)
        _write(path, _pem(made), replace=renew)
        return path


def issued(folder: Path) -> tuple[Issued, ...]:
    """Return every certificate that the authority in `folder` signed, by its first day; () for none.

    No key is needed. Raises RefusedError where there is no authority, StorageError where it is damaged.
    """
    read_authority(folder)
    gone = {one.serial_number: one.revocation_date_utc for one in _read_list(folder)}
    found = [_in_words(read_certificate(path), gone) for path in (folder / "issued").glob("*.pem")]
    return tuple(sorted(found, key=lambda one: (one.first, one.names)))


def read_authority(folder: Path) -> x509.Certificate:
    """Return the certificate of the authority in `folder`. Raises RefusedError where there is none, StorageError."""
    if not (folder / "ca.pem").exists():
        raise RefusedError(f"no authority is in {folder}; ostiary pki init makes one")
    return read_certificate(folder / "ca.pem")


def _in_words(certificate: x509.Certificate, gone: dict[int, datetime]) -> Issued:
    names = certificates.server_names(certificate)
    return Issued(
        kind="server" if names else "client",
        names=names or (certificates.common_name(certificate),),
        serial=certificate.serial_number,
        first=certificate.not_valid_before_utc,
        last=certificate.not_valid_after_utc,
        revoked_at=gone.get(certificate.serial_number),
    )


def _believed(moment: Moment) -> datetime:
    if not moment.clock_set:
        raise RefusedError(
            f"the clock says {moment.at:%Y-%m-%d %H:%M} UTC and neither NTP nor a hardware clock has set it; "
            "certificates carry dates, so set it first, or say access.clock = trusted"
        )
    return moment.at.replace(microsecond=0)  # certificates know whole seconds


def _requested(request: bytes) -> CertificatePublicKeyTypes:
    try:
        read = x509.load_pem_x509_csr(request)
        public = read.public_key()
        held = read.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as fault:
        raise UsageError("the request is no certificate signing request in PEM") from fault
    if not held:
        raise RefusedError("the request is not signed by the key that it names")
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= 2048:
        return public
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.key_size >= 256:
        return public
    if isinstance(public, ed25519.Ed25519PublicKey):
        return public
    raise RefusedError("the request's key is too weak or of an unusual kind; EC P-256, Ed25519 and RSA 2048 will do")


def _read_key(path: Path, passphrase: Callable[[], str]) -> ec.EllipticCurvePrivateKey:
    text = _read(path)
    try:
        salt = text.decode().splitlines()[0].removeprefix(_SALT) if text.startswith(_SALT.encode()) else ""
        secret = key_of(passphrase(), salt).hex().encode() if salt else None
        key = serialization.load_pem_private_key(text, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        if text.startswith(_SALT.encode()):
            raise RefusedError(f"{path} does not open with this passphrase") from fault
        raise StorageError(f"{path} is damaged: it holds no private key") from fault
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StorageError(f"{path} is damaged: it holds another kind of key")
    return key


def read_certificate(path: Path) -> x509.Certificate:
    """Return the certificate in a PEM file. Raises StorageError."""
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as fault:
        raise StorageError(f"{path} is damaged: it holds no certificate") from fault


def _read_list(folder: Path) -> tuple[x509.RevokedCertificate, ...]:
    """Return what was revoked. An unreadable list must not be replaced by one that lets everybody in again."""
    path = folder / "crl.pem"
    try:
        return tuple(x509.load_pem_x509_crl(_read(path)))
    except ValueError as fault:
        raise StorageError(f"{path} is damaged: it holds no list of revoked certificates") from fault


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise StorageError(f"{path} cannot be read: {fault.strerror}") from fault


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise StorageError(f"folder {path} cannot be made: {fault.strerror}") from fault


def _pem(signed: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return signed.public_bytes(serialization.Encoding.PEM)


def _pem_key(key: ec.EllipticCurvePrivateKey, secret: bytes = b"") -> bytes:
    cipher = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)


def _sealed_key(key: ec.EllipticCurvePrivateKey, passphrase: str) -> bytes:
    """Return the key under a passphrase, with the salt in a line before it: PEM's own way is quick to guess at."""
    salt = secrets.token_hex(16)
    return f"{_SALT}{salt}\n".encode() + _pem_key(key, key_of(passphrase, salt).hex().encode())


def _write(path: Path, content: bytes, *, replace: bool = False) -> None:
    with new_file(path, replace=replace) as file:
        file.write(content)
