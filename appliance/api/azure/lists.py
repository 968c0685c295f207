"""Large face lists: faces without people, in which similar ones are found."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from appliance.api.azure import collections, wire
from appliance.api.azure.collections import NamesModel, NewFace, Start, Top  # noqa: TC001 - FastAPI reads them
from appliance.api.azure.detect import KEEPERS, KEYS
from appliance.api.azure.images import PICTURE
from appliance.contract import EventType
from appliance.kept_faces.schema import Kind
from appliance.web.guard import allowed
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.kept_faces.schema import Collection, KeptFace
    from appliance.kept_faces.store import KeptFaces

router = APIRouter(prefix="/largefacelists")
_LIST = "/{large_face_list_id}"
_FACES = _LIST + "/persistedfaces"
_FACE = _FACES + "/{persisted_face_id}"


@router.put(_LIST, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def create(request: Request, large_face_list_id: str, body: wire.NewCollection) -> Response:
    """Make a list."""
    return await collections.make(request, Kind.LIST, large_face_list_id, body)


@router.get("", response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def all_of_them(
    request: Request, start: Start = "", top: Top = wire.MAX_TOP, names_model: NamesModel = False
) -> list[wire.ListAnswer]:
    """Return the lists, by id."""
    return [_told(one, names_model) for one in await collections.all_told(request, Kind.LIST, start, top)]


@router.get(_LIST, response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def get(request: Request, large_face_list_id: str, names_model: NamesModel = False) -> wire.ListAnswer:
    """Return a list, without its faces."""
    return _told(await collections.told(request, Kind.LIST, large_face_list_id), names_model)


@router.patch(_LIST, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def update(request: Request, large_face_list_id: str, body: wire.Change) -> Response:
    """Change name or user data of a list."""
    return await collections.change(request, Kind.LIST, large_face_list_id, body)


@router.delete(_LIST, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def delete(request: Request, large_face_list_id: str) -> Response:
    """Erase a list with its faces."""
    return await collections.erase(request, Kind.LIST, large_face_list_id)


@router.post(_LIST + "/train", response_class=Response, status_code=HTTPStatus.ACCEPTED)
@allowed(*KEEPERS, kinds=KEYS)
async def train(request: Request, large_face_list_id: str) -> Response:
    """Let the faces that are there now be found."""
    return await collections.train(request, Kind.LIST, large_face_list_id)


@router.get(_LIST + "/training", response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def training(request: Request, large_face_list_id: str) -> wire.TrainingAnswer:
    """Return what came of the newest training."""
    return await collections.training(request, Kind.LIST, large_face_list_id)


@router.post(_FACES, openapi_extra=PICTURE)
@allowed(*KEEPERS, kinds=KEYS)
async def add_face(
    request: Request,
    large_face_list_id: str,
    new: NewFace,
) -> wire.MadeFace:
    """Keep the one face of a picture; not the picture."""
    return await collections.add_face(request, Kind.LIST, large_face_list_id, new)


@router.get(_FACES, response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def faces(
    request: Request, large_face_list_id: str, start: Start = "", top: Top = wire.MAX_TOP
) -> list[wire.FaceAnswer]:
    """Return the faces of a list, by id."""
    found = await rooms_of(request).kept.run(lambda room: room.kept.faces(large_face_list_id, start, top))
    return [face_told(one) for one in found]


@router.get(_FACE, response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def face(request: Request, large_face_list_id: str, persisted_face_id: str) -> wire.FaceAnswer:
    """Return one face of a list."""

    def read(kept: KeptFaces) -> KeptFace:
        return kept.face(Kind.LIST, large_face_list_id, persisted_face_id)

    return face_told(await rooms_of(request).kept.run(lambda room: read(room.kept)))


@router.patch(_FACE, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def update_face(
    request: Request, large_face_list_id: str, persisted_face_id: str, body: wire.FaceChange
) -> Response:
    """Change the user data of a face."""

    def write(kept: KeptFaces) -> None:
        kept.change_face(Kind.LIST, large_face_list_id, persisted_face_id, body.user_data or "")

    what = f"face {persisted_face_id} of {Kind.LIST} {large_face_list_id} changed"
    return await collections.done(request, EventType.UPDATED, write, what)


@router.delete(_FACE, response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def delete_face(request: Request, large_face_list_id: str, persisted_face_id: str) -> Response:
    """Erase a face."""

    def drop(kept: KeptFaces) -> None:
        kept.drop_face(Kind.LIST, large_face_list_id, persisted_face_id)

    what = f"face {persisted_face_id} of {Kind.LIST} {large_face_list_id} erased"
    return await collections.done(request, EventType.ERASED, drop, what)


def face_told(face: KeptFace) -> wire.FaceAnswer:
    """Return what is told of a face that is kept."""
    return wire.FaceAnswer(persisted_face_id=face.face_id, user_data=face.user_data or None)


def _told(found: Collection, names_model: bool) -> wire.ListAnswer:
    return wire.ListAnswer(
        large_face_list_id=found.collection_id,
        name=found.name,
        user_data=found.user_data or None,
        recognition_model=found.recognition_model if names_model else None,
    )
