"""Letting clients in and out, each time with an entry in the audit log; the same for command line and web."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.clients import Registry
from appliance.contract import EventType
from appliance.records import Actor, Event
from appliance.signing import fingerprint

if TYPE_CHECKING:
    from appliance.commands.options import Installation
    from appliance.contract import Role


def admit(
    installation: Installation, client_id: str, role: Role, public_key: str, *, actor: Actor, method: str
) -> None:
    """Let a client send the commands of a role. Raises as `Registry.add`; whoever is not in the log is not let in."""
    with Registry(installation.clients_file) as registry, installation.open_audit() as audit:
        said = f"client {client_id} added as {role}, key {fingerprint(public_key)}"
        registry.add(client_id, role, public_key, lambda: audit.append(_changed(said, actor, method)))


def revoke(installation: Installation, client_id: str, *, actor: Actor, method: str) -> None:
    """Take no further command of a client. Raises as `Registry.revoke`."""
    with Registry(installation.clients_file) as registry:
        registry.revoke(client_id)  # first of all: a log that cannot be written must not keep anybody in
    with installation.open_audit() as audit:
        audit.append(_changed(f"client {client_id} revoked", actor, method))


def _changed(detail: str, actor: Actor, method: str) -> Event:
    return Event(EventType.CONFIG_CHANGED, datetime.now(UTC), actor, method, detail=detail)
