"""Who is told to whom: people of the door, people who are kept, and nobody below the threshold."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from azure.core.exceptions import HttpResponseError

from appliance.api.azure.app import make_face_api
from appliance.api.azure.compare import raised
from appliance.config import Settings
from appliance.contract import EventType, Role
from appliance.drivers.photo import encode_jpeg
from appliance.faces.comparing import confidence
from appliance.faces.stages import open_picture_reader
from appliance.faces.transient import TransientFaces
from appliance.people.gallery import Consent
from appliance.records import Grade
from appliance.web.accounts import Kind as WhoKind
from appliance.web.accounts import Who
from appliance.web.desk import Desk
from appliance.web.faceroom import FaceRoom, open_face_room
from appliance.web.rooms import opened
from tests.api.azure.conftest import MODELS, V
from tests.faces.made import head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.azure.conftest import Service

LFW = Path(__file__).resolve().parents[4] / "shared" / "data" / "lfw" / "images"
NAME = "Marker Enrolled"


@pytest.fixture(scope="module")
def bob(service: Service) -> str:
    """Return the id of Bob, who is enrolled at the door."""
    with service.web.installation.open_gallery() as gallery:
        template = open_picture_reader(Settings()).only(head("official"), "bob")
        protected = gallery.protection.protect(template)
        return gallery.add(NAME, Consent(NAME, datetime.now(UTC)), [(protected, Grade.HIGH)]).person_id


@pytest.fixture(scope="module")
def guests(service: Service) -> tuple[str, str]:
    """Return a trained group, and the id of its one person, Ada."""
    with service.administration() as admin:
        group = admin.large_person_group
        group.create("guests", name="Guests", recognition_model="recognition_04")
        ada = group.create_person("guests", name="Ada").person_id
        group.add_face("guests", ada, service.pictures.ada, detection_model="detection_03")
        group.begin_train("guests").result()
    return "guests", ada


def test_people_of_the_door_are_a_group_of_their_own(service: Service, bob: str) -> None:
    """B13: a key that recognises finds out who is enrolled at the door, at or above the threshold, and nothing else."""
    ada, seen = service.face(service.pictures.ada), service.face(service.pictures.bob)
    with service.client(service.recogniser) as client:
        door: dict[str, Any] = {"large_person_group_id": "door"}
        found = client.identify_from_large_person_group(
            face_ids=[seen, ada], **door, max_num_of_candidates_returned=100, confidence_threshold=0
        )
        assert [[one.person_id for one in face.candidates] for face in found] == [[bob], []]
        assert found[0].candidates[0].confidence > 0.5
        same = client.verify_from_large_person_group(face_id=seen, person_id=bob, **door)
        other = client.verify_from_large_person_group(face_id=ada, person_id=bob, **door)
        assert (same.is_identical, other.is_identical, other.confidence) == (True, False, 0)
    with service.administration() as admin:
        group = admin.large_person_group
        (told,) = (one for one in group.get_persons("door") if one.person_id == bob)
        assert (told.name, len(told.persisted_face_ids or [])) == (NAME, 1)
        assert group.get_person("door", bob).name == NAME
        assert group.get_training_status("door").status == "succeeded"
        assert group.get("door").large_person_group_id == "door"


def test_whoever_is_kept_is_nobody_at_the_door(service: Service, bob: str, guests: tuple[str, str]) -> None:
    """E12: people of a client's group are not enrolled, and whoever is enrolled is in no such group."""
    group, ada = guests
    with service.web.installation.open_gallery() as gallery:
        assert ada not in {person.person_id for person in gallery.people()}
    with service.client() as client:
        (found,) = client.identify_from_large_person_group(
            face_ids=[service.face(service.pictures.bob)], large_person_group_id=group
        )
        assert found.candidates == []
        face = service.face(service.pictures.bob)
        with pytest.raises(HttpResponseError, match="PersonNotFound"):
            client.verify_from_large_person_group(face_id=face, large_person_group_id=group, person_id=bob)


def test_nobody_climbs_towards_a_face(service: Service, bob: str, guests: tuple[str, str]) -> None:
    """B13: pictures that come ever nearer to somebody's, by any route, get the same answer until they are that person.

    Ada fades into Bob; below the threshold confidence is exactly 0, no candidate is named, and what is found in a
    list stands in an order that has nothing to do with the picture.
    """
    group, ada = guests
    with service.administration() as admin:
        admin.large_face_list.create("climbed", name="x", recognition_model="recognition_04")
        kept = [
            admin.large_face_list.add_face("climbed", picture, detection_model="detection_03").persisted_face_id
            for picture in (service.pictures.bob, service.pictures.ada)
        ]
        admin.large_face_list.begin_train("climbed").result()
    noise = np.random.default_rng(1).normal(0, 60, (256, 256, 3))
    answers = set()
    with service.client(service.recogniser) as client:
        for share in (0.5, 0.35, 0.2):  # of Ada that is left under noise
            picture = np.clip(share * head() + (1 - share) * (110 + noise), 0, 255).astype(np.uint8)
            seen = client.detect(encode_jpeg(picture, 90), **MODELS, return_face_id=True)
            for face in (one.face_id for one in seen if one.face_id is not None):
                person = client.verify_from_large_person_group(
                    face_id=face, large_person_group_id="door", person_id=bob
                )
                (who,) = client.identify_from_large_person_group(
                    face_ids=[face], large_person_group_id="door", confidence_threshold=0
                )
                answers.add((person.is_identical, person.confidence, len(who.candidates)))
        face = service.face(service.pictures.bob)
        listed = client.find_similar_from_large_face_list(
            face_id=face, large_face_list_id="climbed", mode="matchFace", max_num_of_candidates_returned=2
        )
    assert answers == {(False, 0.0, 0)}
    assert [one.persisted_face_id for one in listed] == [kept[0], kept[1]]
    assert [one.confidence > 0.5 for one in listed] == [True, False]
    assert listed[1].confidence == 0
    del group, ada


@pytest.mark.parametrize("wanted", [0.5, 0.6, 0.9, 1.0])
def test_a_wanted_confidence_can_only_raise(wanted: float) -> None:
    """B13: a client's threshold gives back its own confidence, and one below the measured threshold changes nothing."""
    threshold = 0.37
    similarity = raised(threshold, wanted)
    assert (similarity is None) == (wanted == 0.5)
    assert confidence(threshold if similarity is None else similarity, threshold) == pytest.approx(wanted)
    assert raised(threshold, 0.49) is None
    assert raised(threshold, None) is None
    assert raised(float("inf"), wanted) is None


def test_a_higher_confidence_leaves_people_out(service: Service, guests: tuple[str, str]) -> None:
    """A client that wants to be surer than the threshold is told fewer people."""
    face = service.face(service.pictures.again)
    with service.client() as client:
        for wanted, people in ((0.0, 1), (0.9, 1), (1.0, 0)):
            (found,) = client.identify_from_large_person_group(
                face_ids=[face], large_person_group_id=guests[0], confidence_threshold=wanted
            )
            assert len(found.candidates) == people


def test_what_is_kept_stands_in_the_log(service: Service) -> None:
    """J8: making, adding, training and erasing are entries in the name of the key, without anybody's name."""
    with service.administration() as admin:
        kept = admin.large_face_list
        kept.create("logged", name=NAME, user_data=NAME, recognition_model="recognition_04")
        face = kept.add_face("logged", service.pictures.ada, detection_model="detection_03")
        kept.begin_train("logged").result()
        kept.delete_face("logged", face.persisted_face_id)
        kept.delete("logged")
    with service.web.installation.open_audit() as audit:
        said = [one.event for one in audit.read() if "logged" in one.event.detail]
    wanted = [EventType.UPDATED] * 3 + [EventType.ERASED] * 2
    assert [one.event_type for one in said] == wanted
    assert {(one.actor and one.actor.id, one.method) for one in said} == {(f"key:{Role.ENROLLER}-key", "api")}
    assert not [one for one in said if NAME in one.detail]


def test_no_file_shows_who_is_kept(service: Service) -> None:
    """J1: no file of the device holds a name, user data or any part of a picture that a client has sent."""
    name, note = "Marker Guest", "Marker User Data"
    with service.administration() as admin:
        group = admin.large_person_group
        group.create("marked", name=name, user_data=note, recognition_model="recognition_04")
        person = group.create_person("marked", name=name, user_data=note).person_id
        picture = service.pictures.ada
        group.add_face("marked", person, picture, user_data=note, detection_model="detection_03")
        group.begin_train("marked").result()
    parts = [name.encode(), note.encode(), *(picture[at : at + 32] for at in range(1000, len(picture) - 32, 3000))]
    # To read the index of a log would drop the locks of whoever has it open.
    files = [path for path in service.web.installation.state.rglob("*") if path.is_file() and path.suffix != ".db-shm"]
    assert "faces.db" in {path.name for path in files}
    assert [path.name for path in files for part in parts if part in path.read_bytes()] == []


class Clock:
    """A clock that stands still until it is told."""

    now_s = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now_s


def test_an_id_ends_with_its_time(service: Service) -> None:
    """J4: a face id is known for as long as was asked for, and then it is nobody's, as one that never was."""
    clock = Clock()

    @contextmanager
    def room() -> Iterator[FaceRoom]:
        with open_face_room(service.web.installation) as found:
            yield replace(found, transient=TransientFaces(clock=clock))

    async def ask() -> None:
        async with opened(service.web.installation) as rooms:
            timed = replace(rooms, faces=Desk("timed faces", room))
            api, recogniser = make_face_api(), Who(WhoKind.KEY, "timed", Role.RECOGNISER)

            async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
                await api({**scope, "state": {"rooms": timed}, "who": recogniser, "unmet": None}, receive, send)

            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://localhost/{V}") as http:
                picture = {"content-type": "application/octet-stream"}
                found = await http.post("/detect?faceIdTimeToLive=60", content=service.pictures.ada, headers=picture)
                face = found.json()[0]["faceId"]
                answers = []
                for at_s in (1000.0, 1059.9, 1060.0):
                    clock.now_s = at_s
                    answers.append(await http.post("/verify", json={"faceId1": face, "faceId2": face}))
                assert [one.status_code for one in answers] == [200, 200, 404]
                assert answers[2].json()["error"]["code"] == "FaceNotFound"
            timed.faces.close()

    asyncio.run(ask())


@pytest.mark.skipif(not LFW.is_dir(), reason=f"the pictures are not at {LFW}")
def test_people_in_real_pictures_are_told_apart(service: Service) -> None:
    """B13: of four people in real pictures, most are known again, and nobody is ever taken for another."""
    people = [sorted(folder.glob("*.jpg")) for folder in sorted(LFW.iterdir())]
    chosen = [one[:3] for one in people if len(one) >= 3][:4]
    assert len(chosen) == 4
    with service.administration() as admin, service.client() as client:
        group = admin.large_person_group
        group.create("real", name="Real", recognition_model="recognition_04")
        ids = []
        for number, pictures in enumerate(chosen):
            ids.append(group.create_person("real", name=str(number)).person_id)
            for picture in pictures[:2]:
                (face, *_) = client.detect(picture.read_bytes(), **MODELS, return_face_id=False)
                place = face.face_rectangle
                meant = [place.left, place.top, place.width, place.height]
                group.add_face("real", ids[-1], picture.read_bytes(), target_face=meant, detection_model="detection_03")
        group.begin_train("real").result()
        found = []
        for pictures in chosen:
            for picture in pictures[2:]:
                (face, *_) = client.detect(picture.read_bytes(), **MODELS, return_face_id=True)
                (who,) = client.identify_from_large_person_group(
                    face_ids=[face.face_id or ""], large_person_group_id="real"
                )
                found.append([one.person_id for one in who.candidates])
        group.delete("real")
    assert all(set(one) <= {who} for one, who in zip(found, ids, strict=True))
    assert sum(one == [who] for one, who in zip(found, ids, strict=True)) >= 3
