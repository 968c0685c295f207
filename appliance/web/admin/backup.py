"""The backup page: when the last one was made, and one to take away. Restoring is for the command line."""

from __future__ import annotations

import asyncio
import os
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from appliance.audit import Sought
from appliance.backup.making import make
from appliance.contract import EventType, Role
from appliance.records import Actor, ActorKind
from appliance.web.admin.entries import Shown, shown
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.commands.options import Installation

router = APIRouter()

_SHOWN = 5
_LOOKED_AT = 50_000  # entries of the log
_PIECE_BYTES = 256 * 1024


@router.get("/backup")
@allowed(Role.ADMIN)
async def backup(request: Request) -> Response:
    """Show the latest backups."""
    installation = rooms_of(request).installation
    made = await asyncio.to_thread(_latest, installation)
    return page(request, "backup.html", made=made, state=installation.state)


@router.post("/backup")
@allowed(Role.ADMIN)
async def take(request: Request) -> Response:
    """Make a backup, hand it out, and keep nothing of it here."""
    installation = rooms_of(request).installation
    actor = Actor(ActorKind.OPERATOR, who_is(request).voice)
    file = await asyncio.to_thread(_made, installation, actor)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    headers = {
        "Content-Disposition": f'attachment; filename="{installation.settings.device.id}-{day}.ostiary"',
        "Content-Length": str(os.fstat(file.fileno()).st_size),
    }
    return StreamingResponse(_pieces(file), 200, headers, "application/octet-stream")


def _latest(installation: Installation) -> list[Shown]:
    with installation.open_audit() as log:
        above = max(0, log.head().seq - _LOOKED_AT)
        return [shown(entry) for entry in log.newest(Sought((EventType.BACKED_UP,)), _SHOWN, above=above)]


def _made(installation: Installation, actor: Actor) -> BinaryIO:
    """Return a new backup, open, whose file has no name any more: it is gone with whoever reads it."""
    path = installation.state / f"backup-{secrets.token_hex(8)}.tmp"
    try:
        make(installation, path, actor=actor, method="web")
        return path.open("rb")
    finally:
        path.unlink(missing_ok=True)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
