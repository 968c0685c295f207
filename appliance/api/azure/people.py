"""Large person groups: people with faces, among whom a face is identified. None of them is a person of the door.

The group `door` is there by itself: those who are enrolled at this door, to be compared with and listed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from appliance.api.azure import collections, wire
from appliance.api.azure.collections import NamesModel, NewFace, Start, Top  # noqa: TC001 - FastAPI reads them
from appliance.api.azure.compare import DOOR
from appliance.api.azure.detect import KEEPERS, KEYS
from appliance.api.azure.images import PICTURE
from appliance.api.azure.lists import face_told
from appliance.contract import EventType
from appliance.kept_faces.schema import Kind, NotKeptError
from appliance.web.guard import allowed, who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.kept_faces.schema import Collection, KeptFace, KeptPerson
    from appliance.kept_faces.store import KeptFaces
    from appliance.people.gallery import Gallery, Person
    from appliance.web.books import Books

router = APIRouter(prefix="/largepersongroups")
_GROUP = "/{large_person_group_id}"
_PEOPLE = _GROUP + "/persons"
_PERSON = _PEOPLE + "/{person_id}"
_FACES = _PERSON + "/persistedfaces"
_FACE = _FACES + "/{persisted_face_id}"


@router.put(_GROUP, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def create(request: Request, large_person_group_id: str, body: wire.NewCollection) -> Response:
    """Make a group."""
    return await collections.make(request, Kind.GROUP, large_person_group_id, body)


@router.get("", response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def all_of_them(
    request: Request, start: Start = "", top: Top = wire.MAX_TOP, names_model: NamesModel = False
) -> list[wire.GroupAnswer]:
    """Return the groups that were made here, by id; the door's own is not among them."""
    return [_told(one, names_model) for one in await collections.all_told(request, Kind.GROUP, start, top)]


@router.get(_GROUP, response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def get(request: Request, large_person_group_id: str, names_model: NamesModel = False) -> wire.GroupAnswer:
    """Return a group, without its people."""
    if large_person_group_id == DOOR:
        return wire.GroupAnswer(large_person_group_id=DOOR, name="Enrolled at this door")
    return _told(await collections.told(request, Kind.GROUP, large_person_group_id), names_model)


@router.patch(_GROUP, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def update(request: Request, large_person_group_id: str, body: wire.Change) -> Response:
    """Change name or user data of a group."""
    return await collections.change(request, Kind.GROUP, large_person_group_id, body)


@router.delete(_GROUP, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def delete(request: Request, large_person_group_id: str) -> Response:
    """Erase a group with its people and their faces."""
    return await collections.erase(request, Kind.GROUP, large_person_group_id)


@router.post(_GROUP + "/train", response_class=Response, status_code=HTTPStatus.ACCEPTED)
@allowed(*KEEPERS, kinds=KEYS)
async def train(request: Request, large_person_group_id: str) -> Response:
    """Let the faces that are there now be identified."""
    return await collections.train(request, Kind.GROUP, large_person_group_id)


@router.get(_GROUP + "/training", response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def training(request: Request, large_person_group_id: str) -> wire.TrainingAnswer:
    """Return what came of the newest training; the door's own group is always up to date."""
    if large_person_group_id == DOOR:
        now = datetime.now(UTC)
        return wire.TrainingAnswer(status="succeeded", created_date_time=now, last_action_date_time=now)
    return await collections.training(request, Kind.GROUP, large_person_group_id)


@router.post(_PEOPLE)
@allowed(*KEEPERS, kinds=KEYS)
async def create_person(request: Request, large_person_group_id: str, body: wire.NewPerson) -> wire.MadePerson:
    """Make a person of a group, who has no face yet."""
    collections.not_the_doors(Kind.GROUP, large_person_group_id)
    collections.answering(request)

    def add(kept: KeptFaces) -> str:
        return kept.add_person(large_person_group_id, body.name, body.user_data or "")

    voice, what = who_is(request).voice, f"a person added to {Kind.GROUP} {large_person_group_id}"
    made = await rooms_of(request).kept.run(lambda room: room.changed(voice, EventType.UPDATED, add, what))
    return wire.MadePerson(person_id=made)


@router.get(_PEOPLE, response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def people(
    request: Request, large_person_group_id: str, start: Start = "", top: Top = wire.MAX_TOP
) -> list[wire.PersonAnswer]:
    """Return the people of a group, by id."""
    rooms = rooms_of(request)
    if large_person_group_id == DOOR:
        return await rooms.books.run(lambda books: _enrolled(books.gallery, start, top))
    found = await rooms.kept.run(lambda room: room.kept.people(large_person_group_id, start, top))
    return [_person_told(one) for one in found]


@router.get(_PERSON, response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def person(request: Request, large_person_group_id: str, person_id: str) -> wire.PersonAnswer:
    """Return one person of a group."""
    rooms = rooms_of(request)
    if large_person_group_id == DOOR:
        return await rooms.books.run(lambda books: _one_enrolled(books, person_id))
    return _person_told(await rooms.kept.run(lambda room: room.kept.person(large_person_group_id, person_id)))


@router.patch(_PERSON, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def update_person(request: Request, large_person_group_id: str, person_id: str, body: wire.Change) -> Response:
    """Change name or user data of a person."""
    collections.not_the_doors(Kind.GROUP, large_person_group_id)
    texts = collections.changed_texts(body)

    def write(kept: KeptFaces) -> None:
        kept.change_person(large_person_group_id, person_id, **texts)

    what = f"person {person_id} of {Kind.GROUP} {large_person_group_id} changed"
    return await collections.done(request, EventType.UPDATED, write, what)


@router.delete(_PERSON, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def delete_person(request: Request, large_person_group_id: str, person_id: str) -> Response:
    """Erase a person with their faces."""
    collections.not_the_doors(Kind.GROUP, large_person_group_id)

    def drop(kept: KeptFaces) -> None:
        kept.drop_person(large_person_group_id, person_id)

    what = f"person {person_id} of {Kind.GROUP} {large_person_group_id} erased with their faces"
    return await collections.done(request, EventType.ERASED, drop, what)


@router.post(_FACES, openapi_extra=PICTURE)
@allowed(*KEEPERS, kinds=KEYS)
async def add_face(
    request: Request,
    large_person_group_id: str,
    person_id: str,
    new: NewFace,
) -> wire.MadeFace:
    """Keep the one face of a picture for a person; not the picture."""
    return await collections.add_face(request, Kind.GROUP, large_person_group_id, new, person_id)


@router.get(_FACE, response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def face(request: Request, large_person_group_id: str, person_id: str, persisted_face_id: str) -> wire.FaceAnswer:
    """Return one face of a person."""

    def read(kept: KeptFaces) -> KeptFace:
        return kept.face(Kind.GROUP, large_person_group_id, persisted_face_id, person_id)

    return face_told(await rooms_of(request).kept.run(lambda room: read(room.kept)))


@router.patch(_FACE, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def update_face(
    request: Request, large_person_group_id: str, person_id: str, persisted_face_id: str, body: wire.FaceChange
) -> Response:
    """Change the user data of a face."""
    collections.not_the_doors(Kind.GROUP, large_person_group_id)

    def write(kept: KeptFaces) -> None:
        kept.change_face(Kind.GROUP, large_person_group_id, persisted_face_id, body.user_data or "", person_id)

    what = f"face {persisted_face_id} of {Kind.GROUP} {large_person_group_id} changed"
    return await collections.done(request, EventType.UPDATED, write, what)


@router.delete(_FACE, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def delete_face(request: Request, large_person_group_id: str, person_id: str, persisted_face_id: str) -> Response:
    """Erase a face of a person."""
    collections.not_the_doors(Kind.GROUP, large_person_group_id)

    def drop(kept: KeptFaces) -> None:
        kept.drop_face(Kind.GROUP, large_person_group_id, persisted_face_id, person_id)

    what = f"face {persisted_face_id} of {Kind.GROUP} {large_person_group_id} erased"
    return await collections.done(request, EventType.ERASED, drop, what)


def _told(found: Collection, names_model: bool) -> wire.GroupAnswer:
    return wire.GroupAnswer(
        large_person_group_id=found.collection_id,
        name=found.name,
        user_data=found.user_data or None,
        recognition_model=found.recognition_model if names_model else None,
    )


def _person_told(found: KeptPerson) -> wire.PersonAnswer:
    return wire.PersonAnswer(
        person_id=found.person_id,
        name=found.name,
        user_data=found.user_data or None,
        persisted_face_ids=list(found.face_ids),
    )


def _enrolled(gallery: Gallery, start: str, top: int) -> list[wire.PersonAnswer]:
    everybody = sorted(gallery.people(), key=lambda one: one.person_id)
    page = [one for one in everybody if one.person_id > start][:top]
    return [_enrolled_told(gallery, one) for one in page]


def _one_enrolled(books: Books, person_id: str) -> wire.PersonAnswer:
    found = books.gallery.person(person_id)
    if found is None:
        raise NotKeptError(Kind.PERSON)
    return _enrolled_told(books.gallery, found)


def _enrolled_told(gallery: Gallery, found: Person) -> wire.PersonAnswer:
    references = [one.reference_id for one in gallery.references(found.person_id)]
    return wire.PersonAnswer(person_id=found.person_id, name=found.name, persisted_face_ids=references)
