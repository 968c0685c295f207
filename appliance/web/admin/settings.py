"""The settings page: every key with what it is for, what it may be and what holds; and forms that change them."""

from __future__ import annotations

from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.contract import Role
from appliance.errors import ConfigError, UsageError
from appliance.settings_keys import Key, keys, title, value_of
from appliance.toml_text import comments, with_value
from appliance.web.admin.file_pages import as_written, demand_same, in_words, preview, save
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page
from appliance.web.reader import ReaderAwayError
from appliance.web.rooms import rooms_of
from appliance.web.rules_desk import MAX_LETTERS, ON_THE_DEVICE, settings_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.toml_text import Value

router = APIRouter()

_BASE = "/settings"
_LONGEST = 1000  # letters of one value
# The file with every key that comes with the program: what stands behind a key there says what it is for.
_SHIPPED = Path(__file__).parents[1] / "appliance.toml"

Text = Annotated[str, Form(max_length=2 * MAX_LETTERS)]
Version = Annotated[str, Form(max_length=64)]


@router.get(_BASE)
@allowed(Role.AUDITOR, Role.ADMIN)
async def settings(request: Request) -> Response:
    """Show every key."""
    installation = rooms_of(request).installation
    file = settings_file(installation)
    line = version = ""
    written = installation.settings.model_dump(mode="json")
    try:
        now = file.read()
        version = now.version
        written = file.check(now.text).model_dump(mode="json")
    except ConfigError as fault:
        line = str(fault)
    held, by_reader = await _held(request)
    edits = who_is(request).role is Role.ADMIN and file.writable
    return page(
        request,
        "settings.html",
        line=line,
        file_version=version,
        sections=_sections(written, held),
        named=file.path is not None,
        edits=edits,
        by_reader=by_reader,
        longest=_LONGEST,
    )


@router.get(f"{_BASE}/text")
@allowed(Role.ADMIN)
async def text_page(request: Request) -> Response:
    """Show the whole text, to be changed."""
    file = settings_file(rooms_of(request).installation)
    written = file.read()
    return page(
        request,
        "file_text.html",
        text=written.text,
        file_version=written.version,
        file=file.name,
        base=_BASE,
        most=MAX_LETTERS,
        writable=file.writable,
    )


@router.post(f"{_BASE}/preview")
@allowed(Role.ADMIN)
async def preview_text(request: Request, text: Text, version: Version = "") -> Response:
    """Say what a text would change."""
    return preview(request, settings_file(rooms_of(request).installation), _BASE, as_written(text), version)


@router.post(f"{_BASE}/save")
@allowed(Role.ADMIN)
async def save_text(request: Request, text: Text, version: Version = "") -> Response:
    """Keep a text; it holds from the next start on."""
    return await save(request, settings_file(rooms_of(request).installation), _BASE, as_written(text), version)


@router.post(f"{_BASE}/change")
@allowed(Role.ADMIN)
async def change(request: Request) -> Response:
    """Say what the form of one section would change."""
    sent = await request.form()
    form = {name: str(one) for name, one in sent.items()}
    file = settings_file(rooms_of(request).installation)
    text = demand_same(file, form.get("version", "")).text
    written = file.check(text).model_dump(mode="json")
    asked = [key for key in keys() if key.section == form.get("section") and f"key.{key.name}" in form]
    if not asked:
        raise UsageError("the form does not say what to change")
    for key in asked:
        value = _read(key, form[f"key.{key.name}"])
        if value != written[key.section][key.name]:
            text = with_value(text, (key.section,), key.name, value)
    return preview(request, file, _BASE, text, form.get("version", ""))


async def _held(request: Request) -> tuple[dict[str, Any], bool]:
    """Return the settings in force, and whether a running reader said so; else they are the web's own."""
    rooms = rooms_of(request)
    try:
        said = await rooms.reader.do(who_is(request), "config.get")
    except ReaderAwayError:
        return rooms.installation.settings.model_dump(mode="json"), False
    return said["settings"], True


def _sections(written: Mapping[str, Any], held: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": section,
            "title": title(section).replace("`", ""),
            "keys": [_shown(key, written, held) for key in found],
        }
        for section, found in groupby(keys(), lambda key: key.section)
    ]


def _shown(key: Key, written: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    value, now = written[key.section][key.name], held.get(key.section, {}).get(key.name)
    return {
        "name": key.name,
        "fixed": key.path in ON_THE_DEVICE,
        "what": _purposes().get(key.path, ""),
        "allowed": key.allowed.replace("`", ""),
        "choices": ("true", "false") if key.kind is bool else key.choices,
        "number": key.kind in {int, float},
        "value": "true" if value is True else "false" if value is False else str(value),
        "default": in_words(key.default),
        "changed": value != key.default,
        "held": "" if value == now else in_words(now),
    }


@cache
def _purposes() -> dict[str, str]:
    return comments(_SHIPPED.read_text(encoding="utf-8"))


def _read(key: Key, text: str) -> Value:
    """Return what a field of a form says, of the key's own type. Raises UsageError, one line."""
    if len(text) > _LONGEST:
        raise UsageError(f"{key.path} has {len(text)} letters; at most {_LONGEST} are allowed")
    return value_of(key, text)
