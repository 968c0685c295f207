"""What large face lists and large person groups have in common: made, told, changed, erased, trained."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import Query
from starlette.responses import Response

from appliance.api.azure import wire
from appliance.api.azure.compare import DOOR, model_of
from appliance.api.azure.errors import FaceApiError, bad_argument
from appliance.api.azure.images import image_of, one_face, pixels_of
from appliance.contract import EventType
from appliance.faces.detect import Rectangle
from appliance.kept_faces.schema import Kind, UntrainedError
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from appliance.kept_faces.schema import Collection, Training
    from appliance.kept_faces.store import KeptFaces
    from appliance.records import Embedding

_ID = re.compile(r"[a-z0-9_-]{1,64}")
_RECTANGLE = re.compile(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})")  # left, top, width, height

Start = Annotated[str, Query(max_length=64, description="List what comes after this id.")]
Top = Annotated[int, Query(ge=1, le=wire.MAX_TOP)]
NamesModel = Annotated[bool, Query(alias="returnRecognitionModel")]
NewFace = Annotated[wire.NewFace, Query()]


async def make(request: Request, kind: Kind, name: str, asked: wire.NewCollection) -> Response:
    """Make an empty collection. Raises FaceApiError, AlreadyKeptError, FullError."""
    if _ID.fullmatch(name) is None:
        raise bad_argument(f"the id of a large {kind} is 1 to 64 of a-z 0-9 _ -")
    not_the_doors(kind, name)
    answers_for, voice = answering(request), who_is(request).voice

    def add(kept: KeptFaces) -> None:
        kept.add_collection(
            kind,
            name,
            asked.name,
            asked.user_data or "",
            asked.recognition_model,
            answers_for=answers_for,
            made_by=voice,
        )

    detail = f"{kind} {name} made"
    await rooms_of(request).kept.run(lambda room: room.changed(voice, EventType.UPDATED, add, detail))
    return Response()


def answering(request: Request) -> str:
    """Return who answers for the consent of those whose faces come in by this key. Raises FaceApiError for nobody."""
    answers_for = who_is(request).answers_for
    if not answers_for:
        raise FaceApiError(
            HTTPStatus.FORBIDDEN,
            "PermissionDenied",
            "this key names nobody who answers for the consent of those whose faces are kept; make one that does",
        )
    return answers_for


async def told(request: Request, kind: Kind, name: str) -> Collection:
    """Return one collection. Raises NotKeptError."""
    return await rooms_of(request).kept.run(lambda room: room.kept.collection(kind, name))


async def all_told(request: Request, kind: Kind, start: str, top: int) -> tuple[Collection, ...]:
    """Return those whose id comes after `start`, by id, at most so many."""
    return await rooms_of(request).kept.run(lambda room: room.kept.collections(kind, start, top))


async def change(request: Request, kind: Kind, name: str, asked: wire.Change) -> Response:
    """Keep what is given in place of what was. Raises FaceApiError, NotKeptError."""
    not_the_doors(kind, name)
    texts = changed_texts(asked)

    def write(kept: KeptFaces) -> None:
        kept.change_collection(kind, name, **texts)

    return await done(request, EventType.UPDATED, write, f"{kind} {name} changed")


def changed_texts(asked: wire.Change) -> dict[str, str]:
    """Return what is to be changed. Raises FaceApiError for nothing."""
    texts = asked.model_dump(exclude_none=True)
    if not texts:
        raise bad_argument("Both 'name' and 'userData' are empty.")
    return texts


async def erase(request: Request, kind: Kind, name: str) -> Response:
    """Erase a collection with everybody in it. Raises NotKeptError."""
    not_the_doors(kind, name)

    def drop(kept: KeptFaces) -> None:
        kept.drop_collection(kind, name)

    return await done(request, EventType.ERASED, drop, f"{kind} {name} erased with all its faces")


async def done(request: Request, event_type: EventType, change: Callable[[KeptFaces], None], detail: str) -> Response:
    """Answer with nothing once a change of a collection and its entry in the audit log are durable."""
    voice = who_is(request).voice
    await rooms_of(request).kept.run(lambda room: room.changed(voice, event_type, change, detail))
    return Response()


async def train(request: Request, kind: Kind, name: str) -> Response:
    """Train a collection, and tell where the outcome stands. Raises NotKeptError."""
    not_the_doors(kind, name)
    rooms, voice = rooms_of(request), who_is(request).voice
    model = await rooms.faces.run(model_of)

    def work(kept: KeptFaces) -> None:
        kept.train(kind, name, *model)

    await rooms.kept.run(lambda room: room.changed(voice, EventType.UPDATED, work, f"{kind} {name} trained"))
    where = str(request.url).removesuffix("/train") + "/training"
    # It is done already: a client that is told nothing looks after 30 s.
    return Response(status_code=HTTPStatus.ACCEPTED, headers={"Operation-Location": where, "retry-after-ms": "10"})


async def training(request: Request, kind: Kind, name: str) -> wire.TrainingAnswer:
    """Return what came of the newest training. Raises NotKeptError, UntrainedError where there was none."""
    found = await told(request, kind, name)
    tried: Training | None = found.training
    if tried is None:
        raise UntrainedError(kind)
    return wire.TrainingAnswer(
        status="failed" if tried.failure else "succeeded",
        created_date_time=found.made_at,
        last_action_date_time=tried.tried_at,
        last_successful_training_date_time=tried.trained_at,
        message=tried.failure or None,
    )


async def add_face(
    request: Request, kind: Kind, name: str, new: wire.NewFace, person_id: str | None = None
) -> wire.MadeFace:
    """Keep the one face of the picture that is the body, and return its id.

    Raises FaceApiError, NotKeptError, FullError.
    """
    not_the_doors(kind, name)
    answering(request)
    rooms, voice, meant = rooms_of(request), who_is(request).voice, _meant(new.target_face)
    await rooms.kept.run(lambda room: _must_be_there(room.kept, kind, name, person_id))  # before a picture is read
    pixels = await pixels_of(request, await image_of(request))
    embedding: Embedding = await rooms.faces.run(lambda room: one_face(room, pixels, meant))

    def add(kept: KeptFaces) -> str:
        return kept.add_face(kind, name, embedding, new.user_data, person_id)

    to = f"{kind} {name}" if person_id is None else f"person {person_id} of {kind} {name}"
    face_id = await rooms.kept.run(lambda room: room.changed(voice, EventType.UPDATED, add, f"face added to {to}"))
    return wire.MadeFace(persisted_face_id=face_id)


def _must_be_there(kept: KeptFaces, kind: Kind, name: str, person_id: str | None) -> None:
    if person_id is None:
        kept.collection(kind, name)
    else:
        kept.person(name, person_id)


def _meant(target: str) -> Rectangle | None:
    """Return the rectangle that is named; None for "". Raises FaceApiError."""
    if not target:
        return None
    read = _RECTANGLE.fullmatch(target)
    if read is None or int(read[3]) < 1 or int(read[4]) < 1:
        raise bad_argument("Invalid argument targetFace: it is left,top,width,height in px")
    return Rectangle(*(int(one) for one in read.groups()))


def not_the_doors(kind: Kind, name: str) -> None:
    """Raise FaceApiError for a change of the group that is the door's own."""
    if kind is Kind.GROUP and name == DOOR:
        raise FaceApiError(
            HTTPStatus.FORBIDDEN,
            "PermissionDenied",
            "the group 'door' is those who are enrolled at this door; here it is read, and changed nowhere but there",
        )
