"""Enrolment from photos that came over HTTP, with the real models and databases."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance.contract import EventType, Role
from appliance.drivers.photo import encode_jpeg, read_photo
from appliance.errors import PhotoError, RefusedError
from appliance.people.enrolment import Particulars
from appliance.people.person import Consent
from appliance.web.accounts import Kind, Who
from appliance.web.guard import NotAllowedError
from appliance.web.photos import TakenIn, enrol_photos, look
from appliance.web.rooms import opened
from tests.faces.made import head
from tests.web.running import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from appliance.web.books import Books
    from appliance.web.rooms import Rooms

FACES = Path(__file__).parents[2] / "appliance" / "drivers" / "faces"
ENROLLER = Who(Kind.KEY, "hr", Role.ENROLLER)
ADMIN = Who(Kind.ACCOUNT, "root", Role.ADMIN)
AGREED = Consent("Ada", datetime.now(UTC))


def jpeg(face: str) -> bytes:
    """Return a portrait as somebody would send it."""
    return encode_jpeg(read_photo(FACES / f"{face}.png"))


def twins() -> bytes:
    """Return a picture with two faces in it, as large as each other."""
    return encode_jpeg(np.hstack([head("official"), head("official")]))


def enrolled(books: Books) -> int:
    """Return how many people there are."""
    return books.gallery.size()


def photos_of(books: Books, person_id: str) -> tuple[bytes, ...]:
    """Return the photos that are kept of somebody."""
    return books.gallery.photos(person_id)


def in_rooms(work: Callable[[Rooms], Coroutine[Any, Any, None]]) -> None:
    """Do the work in the rooms of a fresh installation."""

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
            async with opened(installed(Path(folder))) as rooms:
                await work(rooms)

    asyncio.run(run())


def test_photos_enrol_in_the_name_of_whoever_sent_them() -> None:
    """J5: consent says who took it down, the audit log who enrolled; the answer names ids and holds no score."""

    async def work(rooms: Rooms) -> None:
        images = [jpeg("astronaut")] * 2
        said = Particulars(external_id="7", groups=frozenset({"staff"}))
        told = await enrol_photos(rooms, ENROLLER, images, name="Ada", consent=AGREED, particulars=said, method="api")
        person = await rooms.books.run(lambda books: books.gallery.person(told.person_id))
        event = await rooms.books.run(lambda books: list(books.audit.read())[-1].event)
        assert person is not None
        assert (person.name, person.external_id, person.groups) == ("Ada", "7", ("staff",))
        assert (event.event_type, event.method) == (EventType.ENROLLED, "api")
        assert event.actor is not None
        assert event.actor.id == "key:hr"
        assert told == TakenIn(told.person_id, 1, "", told.photos)
        assert [one.why_not_kept for one in told.photos] == ["", "shows the same as photo 1"]

    in_rooms(work)


def test_nobody_comes_in_twice_or_with_somebody_else() -> None:
    """B14, B15: two faces, two people, no face, a broken photo, and somebody who is enrolled already are refused."""

    async def work(rooms: Rooms) -> None:
        astronaut, official = jpeg("astronaut"), jpeg("official")
        await enrol_photos(rooms, ENROLLER, [astronaut], name="Ada", consent=AGREED)
        refused: list[tuple[list[bytes], type[RefusedError], str]] = [
            ([twins()], PhotoError, "photo 1 shows 2 faces"),
            ([official, astronaut], RefusedError, "do not show the same person"),
            ([official, encode_jpeg(np.full((90, 90, 3), 90, np.uint8))], PhotoError, "photo 2 shows no face"),
            ([official[: len(official) // 2]], PhotoError, "photo 1 "),
            ([astronaut], RefusedError, "is enrolled already"),
            ([], RefusedError, "0 photos"),
            ([official] * 21, RefusedError, "21 photos"),
        ]
        for images, fault, words in refused:
            with pytest.raises(fault, match=words):
                await enrol_photos(rooms, ENROLLER, images, name="Bea", consent=AGREED)
        with pytest.raises(RefusedError, match="control character"):
            await enrol_photos(rooms, ENROLLER, [official], name="B\x1bea", consent=AGREED)
        assert await rooms.books.run(enrolled) == 1

    in_rooms(work)


def test_only_an_admin_accepts_less() -> None:
    """B14: photos of lesser quality and look-alikes are an admin's to accept; an enroller is told so at once."""

    async def work(rooms: Rooms) -> None:
        for medium, alike in ((True, False), (False, True)):
            with pytest.raises(NotAllowedError, match="for an admin"):
                await enrol_photos(
                    rooms, ENROLLER, [b""], name="Ada", consent=AGREED, accept_medium=medium, accept_alike=alike
                )
        told = await enrol_photos(rooms, ADMIN, [jpeg("official")], name="Ada", consent=AGREED, accept_medium=True)
        assert told.references == 1

    in_rooms(work)


def test_photos_are_kept_where_that_was_agreed_to() -> None:
    """J5: head and shoulders are kept with a consent to photos, and nothing without it."""

    async def work(rooms: Rooms) -> None:
        for face, photos in (("astronaut", True), ("official", False)):
            consent = Consent("Ada", datetime.now(UTC), photos=photos)
            told = await enrol_photos(rooms, ENROLLER, [jpeg(face)], name=face, consent=consent)
            assert len(await rooms.books.run(partial(photos_of, person_id=told.person_id))) == int(photos)
        assert (await look(rooms, jpeg("official"), "mine")).photo == b""

    in_rooms(work)
