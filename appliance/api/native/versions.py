"""Versions: entity tags by which who has an answer is spared it, and nobody overwrites what they have not read."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from starlette.responses import Response

from appliance.api.native.problems import VersionError, VersionNeededError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request


def tag_of(said: BaseModel) -> str:
    """Return the strong entity tag of an answer: it changes with every byte of it."""
    return tag(said.model_dump_json())


def tag(text: str) -> str:
    """Return an entity tag made of a text."""
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def versioned(request: Request, said: BaseModel, entity_tag: str = "") -> Response:
    """Return the answer with its entity tag, which is made of it where none is given; 304 for who has that one."""
    body = said.model_dump_json()
    entity_tag = entity_tag or tag(body)
    known = unchanged(request, entity_tag)
    return known or Response(body, media_type="application/json", headers={"ETag": entity_tag})


def unchanged(request: Request, entity_tag: str) -> Response | None:
    """Return the answer 304 where whoever asks has what has this tag; None where they do not."""
    listed = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if entity_tag in listed or "*" in listed:
        return Response(status_code=304, headers={"ETag": entity_tag})
    return None


def expected(request: Request) -> str:
    """Return the entity tag that a change was made from. Raises VersionNeededError where it names none."""
    found = request.headers.get("if-match", "").strip()
    if not found:
        raise VersionNeededError("the header If-Match is missing; send the ETag of what was read")
    return found


def demand(entity_tag: str, found: str) -> None:
    """Raise VersionError where a change was made from another version than the one that is `found`; `*` fits any."""
    if entity_tag not in {found, "*"}:
        raise VersionError("this was changed meanwhile; read it again, then change it")
