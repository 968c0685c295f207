"""What the pages of the two settings files share: a change is looked at in words first, and then kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.errors import ConfigError, RefusedError
from appliance.records import Actor, ActorKind
from appliance.web.guard import who_is
from appliance.web.pages import page, see_other
from appliance.web.rooms import rooms_of
from appliance.web.rules_desk import MAX_LETTERS, ChangedMeanwhileError, Written

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from appliance.toml_text import Difference
    from appliance.web.books import Books
    from appliance.web.rules_desk import SettingsFile


def as_written(text: str) -> str:
    """Return what a browser sends of a text area, with the line ends that files have here."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def preview(request: Request, file: SettingsFile[Any], base: str, text: str, version: str) -> Response:
    """Return the page that says in words what a text would change, or in one line what is wrong with it."""
    line = ""
    changes: tuple[Difference, ...] = ()
    now = file.read().version
    try:
        file.check(text)
        changes = file.changes(text)
        line = "" if now == version else f"{file.name} was changed meanwhile; this is against what it says now"
    except (ConfigError, RefusedError) as fault:
        line = str(fault)
    return page(
        request,
        "file_preview.html",
        status=422 if line else 200,
        line=line,
        changes=[(one.key, in_words(one.before), in_words(one.after)) for one in changes],
        text=text,
        file_version=now,
        file=file.name,
        base=base,
        most=MAX_LETTERS,
    )


async def save(request: Request, file: SettingsFile[Any], base: str, text: str, version: str) -> Response:
    """Keep a text that was looked at, and go back. Raises as `SettingsFile.save`."""
    actor = Actor(ActorKind.OPERATOR, who_is(request).voice)

    def keep(books: Books) -> Written:
        return file.save(text, version, books.audit, actor, "web")

    await rooms_of(request).books.run(keep)
    return see_other(base)


def demand_same(file: SettingsFile[Any], version: str) -> Written:
    """Return the file as it is. Raises ChangedMeanwhileError where it is not the one that a form was made from."""
    now = file.read()
    if now.version != version:
        raise ChangedMeanwhileError(f"{file.name} was changed meanwhile; look at it again, then change it")
    return now


def in_words(value: object) -> str:
    """Return a value of a settings file as pages show it."""
    match value:
        case None:
            return "not there"
        case bool():
            return "true" if value else "false"
        case "":
            return "empty"
        case list():
            return ", ".join(map(in_words, value)) or "an empty list"
    return str(value)
