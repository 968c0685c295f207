"""`ostiary enrol`: people at the door's own camera, in bulk, by invitation; and what they agree to."""

from __future__ import annotations

import click

from appliance.commands.lazy import LazyGroup

_HERE = "appliance.commands"


@click.group(
    cls=LazyGroup,
    members={
        "camera": f"{_HERE}.enrol_camera:camera",
        "bulk": f"{_HERE}.enrol_bulk:bulk",
        "invite": f"{_HERE}.enrol_invite:make",
        "invitations": f"{_HERE}.enrol_invite:list_invitations",
        "revoke": f"{_HERE}.enrol_invite:take_back",
        "offers": f"{_HERE}.enrol_offers:offers",
        "consent-text": f"{_HERE}.enrol_camera:consent_text",
    },
)
def enrol() -> None:
    """Enrol people at the door's own camera, in bulk or by invitation, with a record of what they agreed to."""
