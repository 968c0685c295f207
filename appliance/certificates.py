"""What certificates of a small private authority say: who they are for, what they may be used for, and for how long."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

# To replace the authority means to visit every client: as long as the hardware lives.
AUTHORITY_LIFE = timedelta(days=3650)
# The longest that phones and browsers take of a server, whoever signed it (Apple's support page 103769); yearly
# maintenance renews it in time. Whoever must go sooner is revoked.
LIFE = timedelta(days=825)
_BEFORE = timedelta(hours=1)  # the clock of whoever checks may be behind ours

# What an authority of a house may speak for unless told otherwise: names and addresses that mean nothing elsewhere,
# so that a stolen key of it cannot pass for anybody's bank (RFC 5280, 4.2.1.10; RFC 1918, 4193, 6762, 8375).
PRIVATE = (
    *("localhost", "local", "internal", "home.arpa", "lan"),
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"),
    *("fc00::/7", "fe80::/10", "::1/128"),
)

_DNS = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_SERVER_CN = "Ostiary broker"  # the names are in the SAN; a CN with a dot would be held to the constraints on names


@dataclass(frozen=True, slots=True)
class Signer:
    """An authority that can sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def authority(name: str, permitted: Sequence[str], key: ec.EllipticCurvePrivateKey, at: datetime) -> x509.Certificate:
    """Return a self-signed authority that may sign for the `permitted` names and networks, and make no other one.

    Raises UsageError for a name or network that is none.
    """
    subject = _subject(name)
    return (
        _begun(subject, subject, key.public_key(), at - _BEFORE, at + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(handshakes=False), critical=True)
        .add_extension(x509.NameConstraints([subtree(one) for one in permitted], None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def server(names: Sequence[str], public: CertificatePublicKeyTypes, signer: Signer, at: datetime) -> x509.Certificate:
    """Return a certificate for a server that is reached under these names and addresses.

    Raises UsageError for a name that is none, and RefusedError for one that the authority may not speak for.
    """
    alternatives = [alternative(name) for name in names]
    permitted = (
        signer.certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    )
    for name, one in zip(names, alternatives, strict=True):
        if not any(_within(one, subtree) for subtree in permitted):
            told = ", ".join(str(subtree.value) for subtree in permitted)
            raise RefusedError(f"{name} is not among what this authority may speak for: {told}")
    builder = _leaf(_SERVER_CN, public, signer, at, ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(signer.key, hashes.SHA256())


def client(client_id: str, public: CertificatePublicKeyTypes, signer: Signer, at: datetime) -> x509.Certificate:
    """Return a certificate for a client; its common name is the client id, which brokers take for the user name."""
    builder = _leaf(client_id, public, signer, at, ExtendedKeyUsageOID.CLIENT_AUTH)
    return builder.sign(signer.key, hashes.SHA256())


def revocations(
    revoked: Sequence[x509.RevokedCertificate], signer: Signer, at: datetime
) -> x509.CertificateRevocationList:
    """Return the signed list of revoked certificates as of `at`.

    It holds as long as the authority: with a list that has run out, mosquitto refuses every client.
    """
    issuer = signer.certificate
    builder = x509.CertificateRevocationListBuilder(issuer.subject, at, issuer.not_valid_after_utc)
    for one in revoked:
        builder = builder.add_revoked_certificate(one)
    return builder.add_extension(_issued_by(issuer), critical=False).sign(signer.key, hashes.SHA256())


def revoked(serial: int, at: datetime) -> x509.RevokedCertificate:
    """Return the entry that takes a certificate back."""
    return x509.RevokedCertificateBuilder(serial, at).build()


def common_name(certificate: x509.Certificate) -> str:
    """Return the name that a certificate is for; "" where it has none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def server_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the names and addresses of a server's certificate; () for a client's."""
    try:
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(one.value) for one in named)


def alternative(name: str) -> x509.GeneralName:
    """Return the host name or IP address in `name`. Raises UsageError for anything else, wildcards too."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _DNS.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is neither an IP address nor a host name in lower case")
    return x509.DNSName(name)


def subtree(name: str) -> x509.GeneralName:
    """Return the domain or network in `name`. Raises UsageError for anything else."""
    try:
        return x509.IPAddress(ipaddress.ip_network(name))
    except ValueError:
        pass
    if not _DNS.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is neither a network such as 192.0.2.0/24 nor a domain in lower case")
    return x509.DNSName(name)


def _within(name: x509.GeneralName, permitted: x509.GeneralName) -> bool:
    if isinstance(name, x509.IPAddress) and isinstance(permitted, x509.IPAddress):
        return ipaddress.ip_address(str(name.value)) in ipaddress.ip_network(str(permitted.value))
    if isinstance(name, x509.DNSName) and isinstance(permitted, x509.DNSName):
        return f".{name.value}".endswith(f".{permitted.value}")
    return False


def _leaf(
    name: str, public: CertificatePublicKeyTypes, signer: Signer, at: datetime, purpose: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    issuer = signer.certificate
    first, last = issuer.not_valid_before_utc, issuer.not_valid_after_utc
    if not first <= at < last:
        raise RefusedError(f"the authority holds from {first:%Y-%m-%d} to {last:%Y-%m-%d}; it is {at:%Y-%m-%d}")
    return (
        _begun(_subject(name), issuer.subject, public, max(first, at - _BEFORE), min(last, at + LIFE))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(handshakes=True), critical=True)
        # One purpose each: a client's certificate cannot pass for the broker, nor the broker's for a client.
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_issued_by(issuer), critical=False)
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, public: CertificatePublicKeyTypes, first: datetime, last: datetime
) -> x509.CertificateBuilder:
    serial = x509.random_serial_number()  # 159 random bits: nobody can foresee what will be signed
    return x509.CertificateBuilder(issuer, subject, public, serial, first, last)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _issued_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _usage(*, handshakes: bool) -> x509.KeyUsage:
    """Return what a key is for: to sign handshakes, or certificates and lists of revoked ones."""
    return x509.KeyUsage(
        digital_signature=handshakes,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not handshakes,
        crl_sign=not handshakes,
        encipher_only=False,
        decipher_only=False,
    )
