"""Open tickets, as the web hears of them from a running reader."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from appliance.contract import Role
from appliance.drivers.scene import Visit
from appliance.errors import RefusedError
from appliance.local_socket import answer
from tests.broker import wait_for

if TYPE_CHECKING:
    from tests.web.running import Door, Web


def asked(web: Web, **request: str) -> dict[str, Any]:
    """Return what the reader answers."""
    said = answer(web.installation.reader_socket, request, 5.0)
    assert said is not None
    return said


def test_open_tickets_are_told_with_their_picture(web: Web, door: Door) -> None:
    """J4: a ticket and its picture are told to who may answer it, the picture to nobody else, both until it ends."""
    door.script.play(Visit(for_s=20, pause_s=0.1))
    wait_for(lambda: bool(asked(web, verb="ticket.list", role=Role.OPERATOR)["tickets"]))
    (ticket,) = asked(web, verb="ticket.list", role=Role.ENROLLER)["tickets"]
    assert (ticket["reason"], ticket["candidates"]) == ("unknown_face", [])
    picture = {"verb": "ticket.image", "ticket_id": ticket["ticket_id"]}
    shown = base64.b64decode(asked(web, **picture, role=Role.OPERATOR)["image"])
    assert hashlib.sha256(shown).hexdigest() == ticket["image"]["sha256"]
    with pytest.raises(RefusedError, match="not for the role enroller"):
        asked(web, **picture, role=Role.ENROLLER)
    deny = {"verb": "do", "by": "web:operator", "role": "operator", "method": "web", "command": "deny"}
    said = answer(web.installation.reader_socket, {**deny, "args": {"ticket_id": ticket["ticket_id"]}}, 5.0)
    assert said is not None
    assert said["error"] == ""
    assert asked(web, verb="ticket.list", role=Role.OPERATOR) == {"tickets": []}
    with pytest.raises(RefusedError, match="not open"):
        asked(web, **picture, role=Role.OPERATOR)


def test_tickets_are_not_for_every_role(web: Web, door: Door) -> None:
    """E12: who may hear of no ticket over MQTT hears of none here."""
    assert door.faults == []
    for role in (Role.AUDITOR, Role.RECOGNISER):
        with pytest.raises(RefusedError, match="not for the role"):
            asked(web, verb="ticket.list", role=role)
