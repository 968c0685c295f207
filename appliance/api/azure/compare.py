"""Comparing: verify, identify, find similar, group. Of whoever is kept or enrolled nothing is told below the threshold.

A confidence is 0.5 at the threshold, which follows from what was measured and from how many faces are compared. A
client can raise it and not lower it: whoever could ask below would have a slope to climb towards somebody's face.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request

from appliance.api.azure import wire
from appliance.api.azure.detect import ASKERS, KEYS
from appliance.api.azure.errors import FaceApiError, bad_argument, named_in_body
from appliance.errors import RefusedError
from appliance.faces import comparing, grouping
from appliance.faces.comparing import ListedFace, Mode, confidence
from appliance.kept_faces.schema import Kind, NotKeptError
from appliance.records import Embedding
from appliance.web.guard import allowed
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.faces.comparing import Thresholds
    from appliance.kept_faces.room import KeptRoom
    from appliance.records import GallerySnapshot
    from appliance.web.faceroom import FaceRoom
    from appliance.web.rooms import Rooms

DOOR = "door"  # the group of those who are enrolled at this door: to compare with, and never to change
router = APIRouter()


@router.post("/verify")
@allowed(*ASKERS, kinds=KEYS)
async def verify(request: Request, body: wire.Verify) -> wire.Verified:
    """Tell whether two faces, or a face and a person of a group, are one person."""
    rooms = rooms_of(request)
    if body.face_id1 is not None and body.face_id2 is not None:
        one, other = body.face_id1, body.face_id2

        def compare(room: FaceRoom) -> comparing.Verification:
            first, second = (_shown(room, name, HTTPStatus.NOT_FOUND) for name in (one, other))
            return comparing.verify_faces(first, second, room.pictures.thresholds)

        return _verified(await rooms.faces.run(compare))
    if body.face_id is None or body.large_person_group_id is None or body.person_id is None:
        raise bad_argument("faceId1 and faceId2 are needed, or faceId, largePersonGroupId and personId")
    return _verified(await _verify_person(rooms, body.face_id, body.large_person_group_id, body.person_id))


async def _verify_person(rooms: Rooms, face_id: str, group_id: str, person_id: str) -> comparing.Verification:
    kept: list[Embedding] = []
    if group_id != DOOR:
        model = await _model(rooms)
        with named_in_body():
            found = await rooms.kept.run(lambda room: room.kept.of_person(group_id, person_id, *model))
        kept = [Embedding(row, found.model_id) for row in found.matrix]

    def compare(room: FaceRoom) -> comparing.Verification:
        probe, thresholds, references = _shown(room, face_id, HTTPStatus.NOT_FOUND), room.pictures.thresholds, kept
        if group_id == DOOR:
            if room.pictures.gallery.person(person_id) is None:
                raise NotKeptError(Kind.PERSON)
            references = [one.embedding for one in room.pictures.enrolled(person_id)]
            thresholds = thresholds.stricter(room.pictures.target_of(person_id))
        if not references:
            raise NotKeptError(Kind.FACE)
        return comparing.verify_person(probe, references, thresholds)

    return await rooms.faces.run(compare)


def _verified(found: comparing.Verification) -> wire.Verified:
    sure = 0.0 if found.similarity is None else confidence(found.similarity, found.threshold)
    return wire.Verified(is_identical=found.identical, confidence=sure)


@router.post("/identify")
@allowed(*ASKERS, kinds=KEYS)
async def identify(request: Request, body: wire.Identify) -> list[wire.Identified]:
    """Tell who of a trained group, or of those enrolled at the door, each face may be."""
    rooms, group_id = rooms_of(request), body.large_person_group_id
    group = None if group_id == DOOR else await _trained(rooms, Kind.GROUP, group_id)

    def compare(room: FaceRoom) -> list[wire.Identified]:
        probes = [(name, _shown(room, name)) for name in body.face_ids]
        searched = room.pictures.snapshot() if group is None else group
        return [_identified(name, probe, searched, room, body) for name, probe in probes]

    return await rooms.faces.run(compare)


def _identified(
    name: str, probe: Embedding, group: GallerySnapshot, room: FaceRoom, body: wire.Identify
) -> wire.Identified:
    thresholds, enrolled = room.pictures.thresholds, body.large_person_group_id == DOOR
    base = thresholds.point(group.size).threshold
    found = comparing.identify(
        probe,
        group,
        thresholds,
        most=body.max_num_of_candidates_returned,
        threshold=raised(base, body.confidence_threshold),
        target_of=room.pictures.target_of if enrolled else lambda _: None,
    )
    alike = [
        wire.IdentifiedAs(person_id=one.person_id, confidence=confidence(one.similarity, base))
        for one in found.candidates
    ]
    return wire.Identified(face_id=name, candidates=alike)


def raised(threshold: float, wanted: float | None) -> float | None:
    """Return the cosine of which a confidence of 0.5..1 is wanted, where 0.5 is `threshold`; None for none, or less."""
    if wanted is None or not wanted > 0.5 or not threshold < 1:
        return None
    return threshold + (wanted - 0.5) * 2 * (1 - threshold)


@router.post("/findsimilars", response_model_exclude_none=True)
@allowed(*ASKERS, kinds=KEYS)
async def find_similar(request: Request, body: wire.FindSimilar) -> list[wire.Similar]:
    """Return the faces that are alike, among faces that were shown or those of a trained list."""
    rooms = rooms_of(request)
    if (body.face_ids is None) == (body.large_face_list_id is None):
        raise bad_argument("largeFaceListId and faceIds: exactly one of them is needed")
    kept = None if body.large_face_list_id is None else await _trained(rooms, Kind.LIST, body.large_face_list_id)
    mode = Mode.MATCH_PERSON if body.mode is wire.MatchMode.MATCH_PERSON else Mode.MATCH_FACE

    def compare(room: FaceRoom) -> list[wire.Similar]:
        probe = _shown(room, body.face_id)
        faces = _all_shown(room, body.face_ids or []) if kept is None else _listed(kept)
        most, thresholds = body.max_num_of_candidates_returned, room.pictures.thresholds
        found = comparing.find_similar(probe, faces, thresholds, mode=mode, most=most)
        return [_similar(one, thresholds, len(faces), kept=kept is not None) for one in _told_in_order(found)]

    return await rooms.faces.run(compare)


def _told_in_order(found: Sequence[comparing.SimilarFace]) -> list[comparing.SimilarFace]:
    """Return those of which a similarity is told by it, and the others by their id: their order would tell of it."""
    told = [one for one in found if one.similarity is not None]
    return told + sorted((one for one in found if one.similarity is None), key=lambda one: one.face_id)


def _similar(one: comparing.SimilarFace, thresholds: Thresholds, compared: int, *, kept: bool) -> wire.Similar:
    threshold = thresholds.point(compared).threshold
    sure = 0.0 if one.similarity is None else confidence(one.similarity, threshold)
    return wire.Similar(
        confidence=sure,
        face_id=None if kept else one.face_id,
        persisted_face_id=one.face_id if kept else None,
    )


@router.post("/group")
@allowed(*ASKERS, kinds=KEYS)
async def group(request: Request, body: wire.Group) -> wire.Grouped:
    """Sort faces that were shown by person."""

    def sort(room: FaceRoom) -> grouping.Grouping:
        return grouping.group(_all_shown(room, body.face_ids), room.pictures.thresholds)

    found = await rooms_of(request).faces.run(sort)
    return wire.Grouped(groups=[list(one) for one in found.groups], messy_group=list(found.messy))


async def _model(rooms: Rooms) -> tuple[str, int]:
    """Return the id of the embedder in use, and how many numbers its templates have."""
    return await rooms.faces.run(model_of)


def model_of(room: FaceRoom) -> tuple[str, int]:
    """Return the id of the embedder in use, and how many numbers its templates have."""
    return room.pictures.entry.model_id, room.pictures.entry.output[0].shape[-1]


async def _trained(rooms: Rooms, kind: Kind, name: str) -> GallerySnapshot:
    model = await _model(rooms)

    def read(room: KeptRoom) -> GallerySnapshot:
        return room.kept.trained(kind, name, *model)

    with named_in_body():
        return await rooms.kept.run(read)


def _listed(kept: GallerySnapshot) -> list[ListedFace]:
    rows = zip(kept.reference_ids, kept.matrix, strict=True)
    return [ListedFace(name, Embedding(row, kept.model_id), enrolled=True) for name, row in rows]


def _all_shown(room: FaceRoom, names: Sequence[str]) -> list[ListedFace]:
    return [ListedFace(name, _shown(room, name)) for name in names]


def _shown(room: FaceRoom, face_id: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Embedding:
    """Return the template of a face that was detected. Raises FaceApiError for one that is not known, or over."""
    try:
        return room.transient.get(face_id).embedding
    except RefusedError as fault:
        raise FaceApiError(status, "FaceNotFound", str(fault)) from fault
