"""The rooms of the web process: what its routes work with, each made once and closed at the end."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from appliance.drivers.photo_child import decode_apart
from appliance.faces.sessions import LivenessSessions
from appliance.kept_faces.room import KeptRoom, open_kept_room
from appliance.web.accounts import Accounts
from appliance.web.answers import AnswerBook, open_answers
from appliance.web.books import Books, open_books
from appliance.web.desk import Desk
from appliance.web.faceroom import FaceRoom, open_face_room
from appliance.web.limits import Buckets, requests_of_voices
from appliance.web.passkeys import Passkeys
from appliance.web.reader import Reader
from appliance.web.sign_in import SignIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import numpy as np
    from numpy.typing import NDArray
    from starlette.requests import HTTPConnection

    from appliance.commands.options import Installation


@dataclass(frozen=True, slots=True)
class Rooms:
    """What every route can reach."""

    installation: Installation
    accounts: Desk[Accounts]
    books: Desk[Books]
    faces: Desk[FaceRoom]
    kept: Desk[KeptRoom]
    decoder: Desk[None]
    reader: Reader
    answers: Desk[AnswerBook]
    limits: Buckets  # by voice
    sign_in: SignIn
    passkeys: Passkeys
    sessions: LivenessSessions

    async def decoded(self, image: bytes, name: str) -> NDArray[np.uint8]:
        """Return what a stranger's JPEG or PNG shows, (H, W, 3) RGB, decoded in a child that may die of it.

        Raises PhotoError, one line that names the photo `name`; BusyError.
        """
        return await self.decoder.run(lambda _: decode_apart(image, name))


@asynccontextmanager
async def opened(installation: Installation) -> AsyncIterator[Rooms]:
    """Give the rooms while the block runs."""
    accounts = Desk("accounts", partial(Accounts, installation.web_file), waiting=256)
    books = Desk("books", partial(open_books, installation))
    rooms = Rooms(
        installation,
        accounts,
        books,
        Desk("faces", partial(open_face_room, installation), waiting=8),
        Desk("kept", partial(open_kept_room, installation)),
        Desk("decoder", nullcontext, waiting=8),
        Reader(installation.reader_socket),
        Desk("answers", partial(open_answers, installation)),
        requests_of_voices(installation.settings.web.requests_per_s),
        SignIn(accounts, books),
        Passkeys(),
        LivenessSessions(),
    )
    try:
        yield rooms
    finally:
        rooms.sessions.close()
        rooms.reader.close()
        rooms.sign_in.close()
        rooms.decoder.close()
        rooms.kept.close()
        rooms.faces.close()
        rooms.answers.close()
        rooms.books.close()
        rooms.accounts.close()


def rooms_of(request: HTTPConnection) -> Rooms:
    """Return the rooms of the application that this request came to, or of the one it is mounted in."""
    return cast("Rooms", cast("dict[str, Any]", request.scope["state"])["rooms"])


def stopping_of(request: HTTPConnection) -> Callable[[], bool]:
    """Return what tells whether the server is about to stop: a stream that goes on would hold it up."""
    return cast("Callable[[], bool]", getattr(request.app.state, "stopping", lambda: False))
