"""Every operation of the face service's own clients, blocking and not, against a served appliance."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from tests.api.azure.callers import AioCaller, Caller, operations
from tests.api.azure.conftest import MODELS

if TYPE_CHECKING:
    from tests.api.azure.conftest import Pictures, Service

URL = "https://pictures.example.org/face.jpg"
LANDMARKS = 27


def refused(call: Caller, operation: str, *args: Any, **options: Any) -> tuple[int, str]:  # noqa: ANN401
    """Return the status and the service's code that the operation ends with."""
    with pytest.raises(HttpResponseError) as fault:
        call(operation, *args, **options)
    assert fault.value.status_code is not None
    said: Any = fault.value if fault.value.model is None else fault.value.model
    return fault.value.status_code, said.error.code


@pytest.mark.parametrize("kind", [Caller, AioCaller])
def test_every_operation_does_what_the_client_expects(service: Service, kind: type[Caller]) -> None:
    """E7: with a full key every operation that the service's own client has is understood, answered and parsed.

    Whatever the client library comes to have besides fails here until it is exercised as well.
    """
    mark = kind.__name__.lower()
    with kind(service.web.url, service.full).open() as call:
        shown = faces(call, service.pictures)
        lists(call, service.pictures, shown, f"list-{mark}")
        groups(call, service.pictures, shown, f"group-{mark}")
        assert operations(call) - call.called == set()


def faces(call: Caller, pictures: Pictures) -> dict[str, str]:
    """Detect, compare and group faces that are shown; return the ids of Ada, Ada again and Bob."""
    asked = ["headPose", "blur", "exposure", "noise", "mask", "glasses", "occlusion", "qualityForRecognition"]
    shown = {}
    for name in ("ada", "again", "bob"):
        (one,) = call(
            "face.detect",
            getattr(pictures, name),
            **MODELS,
            return_face_id=True,
            return_face_landmarks=True,
            return_face_attributes=asked,
            return_recognition_model=True,
            face_id_time_to_live=120,
        )
        shown[name] = one.face_id
        assert one.recognition_model == "recognition_04"
        assert len(one.face_landmarks) == LANDMARKS
        place, nose = one.face_rectangle, one.face_landmarks.nose_tip
        assert place.left < nose.x < place.left + place.width
        assert place.top < nose.y < place.top + place.height
        told = one.face_attributes
        assert abs(told.head_pose.yaw) < 20
        assert (told.blur.blur_level, told.noise.noise_level) == ("low", "low")
        assert (told.exposure.exposure_level, told.quality_for_recognition) == ("goodExposure", "high")
        # Not inferred here: unknown in a way that the client parses, and never "no".
        assert (told.mask.type, told.mask.nose_and_mouth_covered) == ("uncertain", None)
        assert (told.glasses, told.occlusion, told.age) == (None, None, None)
    both = call("face.detect", pictures.both, **MODELS, return_face_id=False)
    assert [one.face_id for one in both] == [None, None]
    assert both[0].face_rectangle.width > both[1].face_rectangle.width
    assert refused(call, "face.detect_from_url", url=URL, **MODELS, return_face_id=True) == (400, "InvalidURL")
    compared(call, shown)
    return shown


def compared(call: Caller, shown: dict[str, str]) -> None:
    """Verify, find and group what was shown."""
    same = call("face.verify_face_to_face", face_id1=shown["ada"], face_id2=shown["again"])
    other = call("face.verify_face_to_face", face_id1=shown["ada"], face_id2=shown["bob"])
    assert (same.is_identical, other.is_identical) == (True, False)
    assert 1 >= same.confidence > 0.5 > other.confidence >= 0
    among = [shown["bob"], shown["again"]]
    people = call("face.find_similar", face_id=shown["ada"], face_ids=among)
    assert [one.face_id for one in people] == [shown["again"]]
    alike = call("face.find_similar", face_id=shown["ada"], face_ids=among, mode="matchFace")
    assert [one.face_id for one in alike] == [shown["again"], shown["bob"]]
    assert alike[0].confidence > 0.5 > alike[1].confidence
    sorted_out = call("face.group", face_ids=list(shown.values()))
    assert [set(one) for one in sorted_out.groups] == [{shown["ada"], shown["again"]}]
    assert sorted_out.messy_group == [shown["bob"]]


def lists(call: Caller, pictures: Pictures, shown: dict[str, str], name: str) -> None:
    """Make a face list, fill it, find in it, page it, change it and erase it."""

    def at(operation: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        return call(f"admin.large_face_list.{operation}", *args, **options)

    at("create", name, name="Staff", user_data="blue", recognition_model="recognition_04")
    with pytest.raises(ResourceExistsError):
        at("create", name, name="Staff", recognition_model="recognition_04")
    with pytest.raises(ResourceNotFoundError, match="LargeFaceListNotTrained"):
        at("get_training_status", name)
    ada = at("add_face", name, pictures.ada, detection_model="detection_03", user_data="first").persisted_face_id
    both = call("face.detect", pictures.both, **MODELS, return_face_id=False)
    place = both[0].face_rectangle
    meant = [place.left, place.top, place.width, place.height]
    bob = at("add_face", name, pictures.both, target_face=meant, detection_model="detection_03").persisted_face_id
    url = f"admin.large_face_list.{'add_face_from_url'}"
    assert refused(call, url, name, url=URL, detection_model="detection_03") == (400, "InvalidURL")
    at("begin_train", name)
    status = at("get_training_status", name)
    assert status.status == "succeeded"
    assert status.last_successful_training_date_time >= status.created_date_time
    found = call(
        "face.find_similar_from_large_face_list",
        face_id=shown["again"],
        large_face_list_id=name,
        max_num_of_candidates_returned=5,
    )
    assert [(one.persisted_face_id, one.face_id) for one in found] == [(ada, None)]
    assert found[0].confidence > 0.5
    told = at("get", name, return_recognition_model=True)
    assert (told.large_face_list_id, told.name, told.user_data) == (name, "Staff", "blue")
    assert told.recognition_model == "recognition_04"
    at("update", name, name="Crew", user_data="red")
    (one,) = (one for one in at("get_large_face_lists", top=1000) if one.large_face_list_id == name)
    assert (one.name, one.user_data, one.recognition_model) == ("Crew", "red", None)
    first, second = sorted((ada, bob))
    assert [one.persisted_face_id for one in at("get_faces", name, top=1)] == [first]
    assert [one.persisted_face_id for one in at("get_faces", name, start=first)] == [second]
    at("update_face", name, ada, user_data="second")
    assert at("get_face", name, ada).user_data == "second"
    at("delete_face", name, bob)
    with pytest.raises(ResourceNotFoundError, match="PersistedFaceNotFound"):
        at("get_face", name, bob)
    at("delete", name)
    with pytest.raises(ResourceNotFoundError, match="LargeFaceListNotFound"):
        at("get", name)


def groups(call: Caller, pictures: Pictures, shown: dict[str, str], name: str) -> None:
    """Make a group of two people, identify and verify with it, page it, change it and erase it."""

    def at(operation: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        return call(f"admin.large_person_group.{operation}", *args, **options)

    at("create", name, name="Guests", user_data="blue", recognition_model="recognition_04")
    ada, bob = (at("create_person", name, name=one, user_data="guest").person_id for one in ("Ada", "Bob"))
    where = "face.identify_from_large_person_group"
    asked: dict[str, Any] = {"face_ids": [shown["again"], shown["bob"]], "large_person_group_id": name}
    assert refused(call, where, **asked) == (400, "LargePersonGroupNotTrained")
    face = at("add_face", name, ada, pictures.ada, detection_model="detection_03", user_data="one").persisted_face_id
    url = "admin.large_person_group.add_face_from_url"
    assert refused(call, url, name, ada, url=URL, detection_model="detection_03") == (400, "InvalidURL")
    at("begin_train", name)
    assert at("get_training_status", name).status == "succeeded"
    known, unknown = call(where, **asked, max_num_of_candidates_returned=3)
    assert (known.face_id, [one.person_id for one in known.candidates]) == (shown["again"], [ada])
    assert known.candidates[0].confidence > 0.5
    assert (unknown.face_id, unknown.candidates) == (shown["bob"], [])
    verify = "face.verify_from_large_person_group"
    same = call(verify, face_id=shown["again"], large_person_group_id=name, person_id=ada)
    other = call(verify, face_id=shown["bob"], large_person_group_id=name, person_id=ada)
    assert (same.is_identical, other.is_identical, other.confidence) == (True, False, 0)
    assert same.confidence > 0.5
    nobody = refused(call, verify, face_id=shown["bob"], large_person_group_id=name, person_id=str(uuid.uuid4()))
    assert nobody == (404, "PersonNotFound")
    told(call, name, (ada, bob), face)
    at("delete_face", name, ada, face)
    with pytest.raises(ResourceNotFoundError, match="PersistedFaceNotFound"):
        at("get_face", name, ada, face)
    at("delete_person", name, bob)
    with pytest.raises(ResourceNotFoundError, match="PersonNotFound"):
        at("get_person", name, bob)
    at("delete", name)
    with pytest.raises(ResourceNotFoundError, match="LargePersonGroupNotFound"):
        at("get", name)


def told(call: Caller, name: str, people: tuple[str, str], face: str) -> None:
    """Read and change what is told of a group, its people and a face."""

    def at(operation: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        return call(f"admin.large_person_group.{operation}", *args, **options)

    ada, _ = people
    group = at("get", name, return_recognition_model=True)
    assert (group.large_person_group_id, group.name, group.user_data) == (name, "Guests", "blue")
    assert group.recognition_model == "recognition_04"
    at("update", name, name="Visitors")
    (one,) = (one for one in at("get_large_person_groups", top=1000) if one.large_person_group_id == name)
    assert (one.name, one.user_data) == ("Visitors", "blue")
    person = at("get_person", name, ada)
    assert (person.name, person.user_data, person.persisted_face_ids) == ("Ada", "guest", [face])
    at("update_person", name, ada, user_data="friend")
    assert at("get_person", name, ada).user_data == "friend"
    first, second = sorted(people)
    assert [one.person_id for one in at("get_persons", name, top=1)] == [first]
    assert [one.person_id for one in at("get_persons", name, start=first)] == [second]
    at("update_face", name, ada, face, user_data="two")
    assert at("get_face", name, ada, face).user_data == "two"
