"""The screen at the door: its page, what is pushed to it, and what visitors do on it.

Its session is begun on the device and good there alone; it may show what the door tells anybody, and ask what anybody
before the door may ask.
"""

from __future__ import annotations

import ipaddress
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from appliance.access.pin import MAX_DIGITS, MIN_DIGITS
from appliance.contract import Role
from appliance.errors import ApplianceError, RefusedError
from appliance.privacy.retention import rules_of
from appliance.web import kiosk_code
from appliance.web.accounts import KIOSK_S, Kind
from appliance.web.guard import NotAllowedError, allowed, at_the_door, cookie_name, open_to_all
from appliance.web.kiosk_streams import BOUNDARY, Seats, pictures, states
from appliance.web.pages import page, see_other
from appliance.web.rooms import rooms_of, stopping_of
from appliance.web.words import LANGUAGES, counted, words

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from appliance.config import Settings
    from appliance.web.accounts import Accounts
    from appliance.web.reader import Reader

T = TypeVar("T")

NAME = "door"  # of the screen


def on_this_device(request: Request) -> None:
    """Raise NotAllowedError for whoever asks from elsewhere: a session of the screen is of use on the device alone."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    mapped = getattr(address, "ipv4_mapped", None)  # of a socket for both protocols
    if address is None or not (mapped or address).is_loopback:
        raise NotAllowedError("the screen at the door is served on the device itself alone")


router = APIRouter()
_screen = APIRouter(prefix="/kiosk", dependencies=[Depends(on_this_device)])


@_screen.get("/enter")
@open_to_all
async def enter(request: Request, code: Annotated[str, Query(max_length=100)]) -> Response:
    """Begin the screen's session, with a code that was made on the device a moment ago."""
    rooms = rooms_of(request)

    def begin(accounts: Accounts) -> str:
        if not kiosk_code.take(rooms.installation.kiosk_file, code):
            raise NotAllowedError("this code is not good any more; ostiary kiosk url makes a new one")
        return accounts.begin_session(NAME, Kind.KIOSK)

    secret = await rooms.accounts.run(begin)
    # A page that goes on, and no redirect: behind one, the browser would hold back a cookie that is SameSite=Strict
    # where it was another program that opened the address.
    answer = page(request, "kiosk_entered.html")
    answer.set_cookie(
        cookie_name(request),
        secret,
        max_age=int(KIOSK_S),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@_screen.get("")
@at_the_door
async def screen(request: Request, lang: Annotated[str, Query(max_length=8)] = "") -> HTMLResponse:
    """Show the screen."""
    settings = rooms_of(request).installation.settings
    language = lang if lang in LANGUAGES else settings.kiosk.language
    return page(
        request,
        "kiosk.html",
        said=spoken(settings, language),
        language=language,
        names={one: words(one)["language.name"] for one in LANGUAGES},
        leave={one: words(one)["state.evacuation.title"] for one in LANGUAGES},
        kiosk=settings.kiosk,
        more_time=settings.door.extended_s > 0,
        digits=MAX_DIGITS,
    )


@_screen.get("/words")
@at_the_door
async def all_words(request: Request) -> JSONResponse:
    """Give every word in every language, by language and key."""
    settings = rooms_of(request).installation.settings
    return JSONResponse({language: dict(spoken(settings, language)) for language in LANGUAGES})


@_screen.get("/events")
@at_the_door
async def events(request: Request) -> StreamingResponse:
    """Push the door's state, as server-sent events."""
    told = states(rooms_of(request).reader, _seats(request, "states"), stopping_of(request))
    return StreamingResponse(await _begun(told), media_type="text/event-stream")


@_screen.get("/mirror")
@at_the_door
async def mirror(request: Request) -> Response:
    """Push what the camera sees, as a visitor may see themselves."""
    rooms = rooms_of(request)
    if not rooms.installation.settings.kiosk.mirror:
        raise RefusedError("kiosk.mirror is false")
    return await _film(request, rooms.reader)


@router.get("/preview")
@allowed(Role.ENROLLER, Role.ADMIN)
async def preview(request: Request) -> Response:
    """Push what the camera sees, to whoever enrols."""
    return await _film(request, rooms_of(request).reader)


@_screen.post("/pin")
@at_the_door
async def pin(request: Request, pin: Annotated[str, Form()]) -> Response:
    """Take a PIN; `said` is what became of it: taken, or as in the words."""
    if not (MIN_DIGITS <= len(pin) <= MAX_DIGITS and pin.isascii() and pin.isdigit()):
        return _said(request, "wrong")
    answer = await rooms_of(request).reader.ask({"verb": "pin", "text": pin})
    refused = {"": "taken", "nobody_asked": "nobody_asked", "too_many_attempts": "too_many_attempts"}
    return _said(request, refused.get(answer["refused"], "wrong"))


@_screen.post("/bell")
@at_the_door
async def bell(request: Request) -> Response:
    """Ring."""
    try:
        await rooms_of(request).reader.ask({"verb": "bell"})
    except RefusedError:
        return _said(request, "wait")
    return _said(request, "rang")


@_screen.post("/time")
@at_the_door
async def time(request: Request) -> Response:
    """Have the door stay open for longer, if this visitor is let in."""
    answer = await rooms_of(request).reader.ask({"verb": "more_time"})
    return _said(request, "noted" if answer["noted"] else "nobody")


router.include_router(_screen)


def spoken(settings: Settings, language: str) -> Mapping[str, Any]:
    """Return the words of a language, with what they say about how long something is kept here and whom to ask."""
    said = words(language)
    days = rules_of(settings.retention).unseen_days
    kept = counted(said, "notice.kept_days", days) if days else said["notice.kept"]
    contact = settings.kiosk.contact
    ask = said["notice.ask"].format(contact=contact) if contact else said["notice.ask_anybody"]
    return {**said, "notice.kept": kept, "notice.ask": ask}


def _said(request: Request, what: str) -> Response:
    """Answer the page's script with a word, and a form without one with the page."""
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"said": what})
    return see_other("/kiosk")


async def _film(request: Request, reader: Reader) -> Response:
    seen = await _begun(pictures(reader, _seats(request, "pictures"), stopping_of(request)))
    return StreamingResponse(seen, media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")


async def _begun(stream: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Return the stream once its first part is there: a fault before that is told with a status."""
    first = await anext(stream)

    async def whole() -> AsyncGenerator[T, None]:
        async with aclosing(stream):
            yield first
            with suppress(ApplianceError):  # it ends with the reader, and the page asks for it again
                async for part in stream:
                    yield part

    return whole()


def _seats(request: Request, kind: str) -> Seats:
    """Return the seats of one kind of stream, which belong to the application."""
    kept = request.app.state
    if not hasattr(kept, "seats"):
        kept.seats = {"states": Seats(), "pictures": Seats()}
    return cast("Seats", kept.seats[kind])
