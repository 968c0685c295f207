"""A complete mosquitto configuration for a door: TLS alone, every user known, and rights by role.

Written into one folder, which may be carried to the broker's machine. Several doors share a broker by writing into
the same folder: each owns its part of the access list.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from appliance.certificates import alternative
from appliance.contract import JOIN, Topic, topic
from appliance.errors import RefusedError, StorageError, UsageError
from appliance.pki import issued, read_authority, read_certificate
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.broker_rights import Right

Users = Literal["certificates", "passwords"]

CONF, ACL, PASSWD, PASSWORDS = "mosquitto.conf", "ostiary.acl", "ostiary.passwd", "passwords"
CA, CRL, CERT, KEY = "ca.pem", "crl.pem", "server.pem", "server.key"
_HASH_ROUNDS = 101  # mosquitto's own; a password of 24 random bytes is guessed in no other way than whole
_WORD = re.compile(r"[A-Za-z0-9._/-]+")
_PART = re.compile(r"# door (\S+)\n.*?# end of door \1\n", re.DOTALL)
_HEAD = """\
# Who may say and hear what: written by `ostiary broker setup`, which replaces the part of its own door
# and drops what stands outside of all parts.
# What is not listed is refused. Commands are signed besides: a broker that lets one through still opens no door.

"""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one file."""

    path: Path
    made: bool  # it was not there before
    lines: tuple[str, ...] = ()  # `+` and `-` lines of an access list or configuration that was changed


@dataclass(frozen=True, slots=True)
class Broker:
    """What is to be written."""

    device_id: str
    rights: Mapping[str, tuple[Right, ...]]  # by user
    users: Users  # how the broker knows them
    server: str  # the first name of its certificate
    port: int
    runs_at: Path  # the folder as the broker sees it
    runs_as: str = "mosquitto"
    address: str = ""  # of this machine that it listens on; empty is all of them
    keeps_at: Path = Path("/var/lib/mosquitto")  # where it writes down what is retained

    def __post_init__(self) -> None:
        """Raise UsageError for what would be another line of the configuration, or another file of the authority."""
        for name in filter(None, (self.server, self.address)):
            alternative(name)
        for word in (self.runs_as, str(self.runs_at), str(self.keeps_at)):
            if not _WORD.fullmatch(word):
                raise UsageError(f"{word[:80]!r} cannot stand in mosquitto.conf; allowed are A-Z a-z 0-9 . _ / -")


def write(folder: Path, pki: Path, broker: Broker) -> tuple[Change, ...]:
    """Bring `folder` up to date, and return what was changed: () where all of it was so already.

    Certificate, key and revocations come from the authority in `pki`. Raises RefusedError where its certificate for
    `broker.server` is not there or revoked, and StorageError.
    """
    rules = _access_list(folder / ACL, broker)
    files = {CONF: configuration(broker).encode(), ACL: rules.encode(), **_tls(pki, broker.server)}
    if broker.users == "passwords":
        files |= _passwords(folder / PASSWD, rules)
    _make_folder(folder / PASSWORDS if broker.users == "passwords" else folder)
    changes = (_bring(folder / name, content) for name, content in files.items())
    return tuple(change for change in changes if change is not None)


def configuration(broker: Broker) -> str:
    """Return the text of mosquitto.conf."""
    at = broker.runs_at
    known = (
        ["require_certificate true", "use_identity_as_username true"]
        if broker.users == "certificates"
        else [f"password_file {at / PASSWD}"]
    )
    lines = [
        "# The whole of /etc/mosquitto/mosquitto.conf: written by `ostiary broker setup`, nothing else is included.",
        "per_listener_settings false",
        "allow_anonymous false",
        f"acl_file {at / ACL}",
        "",
        "# TLS 1.2 or newer, and nothing beside it.",
        f"listener {broker.port} {broker.address}".rstrip(),
        "tls_version tlsv1.2",
        f"cafile {at / CA}",
        f"certfile {at / CERT}",
        f"keyfile {at / KEY}",
        f"crlfile {at / CRL}",
        *known,
        "",
        "# A flood from one client must not take the others' room.",
        "max_connections 100",
        "max_packet_size 1048576",
        "max_inflight_messages 20",
        "max_queued_messages 1000",
        "max_queued_bytes 16777216",
        "persistent_client_expiration 1d",
        "",
        "# An alert waits for no acknowledgement.",
        "set_tcp_nodelay true",
        "",
        "# Retained states outlive a restart of the broker.",
        "persistence true",
        f"persistence_location {broker.keeps_at}/",
        "",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        f"user {broker.runs_as}",
    ]
    return "\n".join(lines) + "\n"


def whole_list(parts: Mapping[str, str]) -> str:
    """Return the whole access list; `parts` are those of each door, by its id."""
    return _HEAD + "\n".join(parts[device_id] for device_id in sorted(parts))


def access_list(broker: Broker) -> str:
    """Return the part of the access list that is about one door."""
    device_id = broker.device_id
    lines = [f"# door {device_id}"]
    for user, granted in broker.rights.items():
        lines += [f"user {user}", *(f"topic {one.way} {one.topics}" for one in granted), ""]
    lines += [
        "# Any user of the broker may ask to be made known, while the door shows a code, and is answered.",
        f"pattern write {topic(device_id, Topic.CMD, JOIN)}",
        f"pattern read {topic(device_id, Topic.REPLY)}/%u",
        f"# end of door {device_id}",
    ]
    return "\n".join(lines) + "\n"


def password_line(user: str, password: str) -> str:
    """Return a line of mosquitto's password file: $7$ is PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _HASH_ROUNDS)
    return f"{user}:$7${_HASH_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def _access_list(path: Path, broker: Broker) -> str:
    """Return the whole access list: what other doors wrote, and this door's part anew."""
    text = _read(path).decode(errors="replace")
    parts = {found[1]: found[0] for found in _PART.finditer(text)}
    return whole_list(parts | {broker.device_id: access_list(broker)})


def _tls(pki: Path, server: str) -> dict[str, bytes]:
    read_authority(pki)
    certificate, key = (pki / "server" / f"{server}{ending}" for ending in (".pem", ".key"))
    if not (certificate.exists() and key.exists()):
        raise RefusedError(f"no certificate for {server} is in {pki}; ostiary pki issue server {server} makes one")
    serial = read_certificate(certificate).serial_number
    (known,) = (one for one in issued(pki) if one.serial == serial)
    if known.revoked_at is not None:
        raise RefusedError(f"the certificate for {server} is revoked; ostiary pki issue server {server} --renew")
    return {CA: _read(pki / "ca.pem"), CRL: _read(pki / "crl.pem"), CERT: _read(certificate), KEY: _read(key)}


def _passwords(path: Path, rules: str) -> dict[str, bytes]:
    """Return the password file for all users of the access list, and the password of each who had none."""
    lines = dict(line.split(":", 1) for line in _read(path).decode(errors="replace").splitlines() if ":" in line)
    users = dict.fromkeys(re.findall(r"^user (\S+)$", rules, re.MULTILINE))
    new = {user: secrets.token_urlsafe(24) for user in users if user not in lines}
    kept = [f"{user}:{lines[user]}\n" if user in lines else password_line(user, new[user]) for user in users]
    # The passwords first: one whose hash alone is there would be known to nobody.
    given = {f"{PASSWORDS}/{user}": f"{password}\n".encode() for user, password in new.items()}
    return given | {path.name: "".join(kept).encode()}


def _bring(path: Path, content: bytes) -> Change | None:
    before = _read(path)
    if before == content:
        return None
    made = not path.exists()
    with new_file(path, replace=True) as file:
        file.write(content)
    if made or path.name not in {CONF, ACL}:
        return Change(path, made)
    compared = difflib.unified_diff(before.decode(errors="replace").splitlines(), content.decode().splitlines(), n=0)
    return Change(path, made, tuple(line for line in compared if not line.startswith(("---", "+++", "@@"))))


def _make_folder(path: Path) -> None:
    for folder in (path.parent, path):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as fault:
            raise StorageError(f"folder {folder} cannot be made: {fault.strerror}") from fault


def _read(path: Path) -> bytes:
    """Return what is in the file; nothing where it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as fault:
        raise StorageError(f"{path} cannot be read: {fault.strerror}") from fault
