"""What liveness sessions work with: the picture to compare with, the frames that were sent, the look at the door."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.api.azure.errors import bad_image
from appliance.drivers.photo import encode_jpeg
from appliance.drivers.photo_child import decode_series_apart
from appliance.errors import ApplianceError, HardwareError
from appliance.faces.detect import Rectangle, described, rectangle
from appliance.faces.life import Life, check_times, filmed, nobody, witnessed
from appliance.faces.sessions import Attempt, Counterpart, compared, digest_of_frames, random_id
from appliance.people.calibration import door_point
from appliance.picture import kept_of
from appliance.pipeline.policy import configured
from appliance.records import Embedding, frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from appliance.faces.sessions import Sent, Session
    from appliance.records import Frame, OperatingPoint
    from appliance.web.faceroom import FaceRoom
    from appliance.web.rooms import Rooms

_log = logging.getLogger(__name__)

LEAST_FRAMES, MOST_FRAMES = 3, 30
MAX_FRAME_PIXELS = 1_000_000  # 1280 x 720 and a little; 30 of them are 90 MB
BEGINS_S = 5.0  # within which the reader says that it looks
LOOK_S = 600.0  # the longest that the door's camera waits for somebody


@dataclass(frozen=True, slots=True)
class Film:
    """What was sent to show a face."""

    frames: Sequence[bytes] = field(repr=False)  # JPEG or PNG, of one camera
    captured_at_s: Sequence[float]
    verify_image: bytes = field(default=b"", repr=False)  # to compare with; b"" for that of the session, if it has one


@dataclass(frozen=True, slots=True)
class _Begun:
    """An attempt that has begun."""

    number: int
    sent: Sent
    counterpart: Counterpart | None
    at: datetime  # UTC
    at_s: float  # monotonic

    @classmethod
    def of(cls, session: Session, sent: Sent, counterpart: Counterpart | None) -> Self:
        """Return an attempt of this session that begins now. Raises RefusedError as `Session.begin`."""
        return cls(session.begin(), sent, counterpart, datetime.now(UTC), time.monotonic())

    @property
    def ms(self) -> int:
        """For how long it has gone on."""
        return round(1000 * (time.monotonic() - self.at_s))


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What frames, or the door, came to."""

    life: Life
    probe: Embedding | None
    model_id: str
    target: Rectangle | None
    frame: int  # from 1; 0 for none, or the door's own
    frame_ms: int
    image: bytes  # b"" where none is kept


async def counterpart_of(rooms: Rooms, image: bytes) -> Counterpart:
    """Return the face of a picture to compare with: the largest one.

    Raises FaceApiError, PhotoError for a picture that cannot be used, BusyError.
    """
    pixels = await rooms.decoded(image, "in VerifyImage")
    digest = hashlib.sha256(image).hexdigest()

    def read(room: FaceRoom) -> Counterpart:
        found = next(iter(room.pictures.reader.read(pixels)), None)
        if found is None or found.embedding is None:
            raise bad_image("No face detected in the verify image, or it cannot be read.")
        at = described(found, pixels.shape[1], pixels.shape[0]).rectangle
        return Counterpart(found.embedding, at, found.quality.grade, digest)

    return await rooms.faces.run(read)


async def show_film(rooms: Rooms, session: Session, sent: Sent, film: Film) -> Attempt:
    """Return what a film came to, and keep it with the session.

    Raises RefusedError where the session takes no more of them, FaceApiError, UsageError, PhotoError, BusyError: then
    it was no attempt.
    """
    check_times(len(film.frames), film.captured_at_s)  # before anything is decoded
    begun = _Begun.of(session, sent, session.counterpart)

    def decode(_: None) -> Sequence[NDArray[np.uint8]]:
        return decode_series_apart(film.frames, "among the frames", MAX_FRAME_PIXELS)

    try:
        if film.verify_image:
            begun = replace(begun, counterpart=await counterpart_of(rooms, film.verify_image))
        frames = filmed(await rooms.decoder.run(decode), film.captured_at_s)
        judged = await rooms.faces.run(lambda room: _judged(room, frames, keeps=session.wish.keeps_image))
        return await _keep(rooms, session, begun, judged, digest_of_frames(film.frames))
    finally:
        session.give_up()


async def look_at_the_door(rooms: Rooms, session: Session, voice: str, sent: Sent) -> None:
    """Have the door's camera look for somebody, and keep what that comes to with the session, which ends it.

    Raises RefusedError where another session looks, ReaderAwayError, HardwareError.
    """
    for_s = min(float(session.wish.token_s), LOOK_S)
    asked = {"verb": "look", "by": voice, "for_s": for_s, "picture": session.wish.keeps_image}
    heard = rooms.reader.hear(asked, for_s + 5)
    try:
        async with asyncio.timeout(BEGINS_S):
            looks = await anext(heard, None)
    except TimeoutError as fault:
        raise HardwareError("the reader does not answer") from fault
    if looks is None:
        raise HardwareError("the reader has hung up; too many ask it at once")
    task = asyncio.create_task(_look(rooms, session, _Begun.of(session, sent, session.counterpart), heard))
    session.on_end.append(task.cancel)


async def _look(rooms: Rooms, session: Session, begun: _Begun, heard: AsyncGenerator[dict[str, Any], None]) -> None:
    async with aclosing(heard):
        try:
            async for said in heard:
                await _keep(rooms, session, begun, replace(_of_reader(said), frame_ms=begun.ms), "")
        except ApplianceError as fault:
            _log.info("session %s: %s", session.session_id, fault)
        finally:
            session.give_up()


async def _keep(rooms: Rooms, session: Session, begun: _Begun, judged: _Judged, digest: str) -> Attempt:
    comparison, other = None, begun.counterpart
    if judged.probe is not None and other is not None:
        point = await rooms.faces.run(_visit_point)
        comparison = compared(
            other, judged.probe, point.threshold, session.wish.least_confidence, alive=judged.life is Life.REAL
        )
    attempt = Attempt(
        number=begun.number,
        request_id=random_id(),
        sent=begun.sent,
        received_at=begun.at,
        life=judged.life,
        model_id=judged.model_id,
        target=judged.target,
        frame=judged.frame,
        frame_ms=judged.frame_ms,
        digest=digest,
        took_ms=begun.ms,
        comparison=comparison,
        sha256=other.sha256 if other is not None and session.wish.tells_hash else "",
        image_id=random_id() if judged.image else "",
        image=judged.image,
    )
    session.attempts.append(attempt)
    return attempt


def _visit_point(room: FaceRoom) -> OperatingPoint:
    """Return where one visit and one photograph are of the same person."""
    pictures = room.pictures
    recognition = pictures.installation.settings.recognition
    return door_point(pictures.entry.measured, pictures.thresholds.own, recognition, 1)


def _judged(room: FaceRoom, frames: tuple[Frame, ...], *, keeps: bool) -> _Judged:
    pictures = room.pictures
    rules = configured(pictures.installation.settings, face_only=False)
    empty = nobody(pictures.entry.model_id, pictures.entry.output[0].shape[-1])
    seen = witnessed(frames, pictures.reader.stages, rules, empty, _visit_point(room))
    visit = None if seen.best is None else seen.best.presentation
    if seen.best is None or visit is None:
        return _Judged(seen.life, seen.probe, "", None, 0, 0, b"")
    latest = visit.latest
    height, width = latest.frame.pixels.shape[:2]
    return _Judged(
        seen.life,
        seen.probe,
        "" if latest.liveness is None else latest.liveness.model_id,
        rectangle(latest.detection.box, width, height),
        latest.frame.sequence,
        round(1000 * (latest.frame.captured_at_s - frames[0].captured_at_s)),
        encode_jpeg(kept_of(seen.best)) if keeps else b"",
    )


def _of_reader(said: dict[str, Any]) -> _Judged:
    """Return what the reader has said of a look."""
    probe = None
    if "vector" in said:
        vector = np.frombuffer(base64.b64decode(said["vector"]), "<f4").astype(np.float32)
        probe = Embedding(frozen(vector), str(said["model_id"]))
    return _Judged(
        Life(said["life"]),
        probe,
        str(said.get("judged_by", "")),
        Rectangle(*said["box"]) if "box" in said else None,
        0,
        0,
        base64.b64decode(said.get("picture", "")),
    )
