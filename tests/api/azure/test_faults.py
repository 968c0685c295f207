"""What goes wrong, in the service's own codes; nothing that goes wrong is a fault of the server."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import uuid
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from starlette.requests import Request

from appliance.api.azure.errors import told as answered
from appliance.contract import Role
from appliance.drivers.photo import encode_jpeg, encode_png
from appliance.errors import RefusedError, StorageError
from appliance.kept_faces.schema import FullError
from appliance.web.desk import BusyError
from appliance.web.limits import TooManyError
from appliance.web.reader import ReaderAwayError
from tests.api.azure.callers import Caller
from tests.api.azure.conftest import MODELS, Service
from tests.faces.made import head
from tests.web.running import installed, web_of

if TYPE_CHECKING:
    import httpx

OCTETS = {"Content-Type": "application/octet-stream"}
NOBODY = str(uuid.UUID(int=4))


def told(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an answer, which must be of the service's form, and must not ask to come back."""
    error = answer.json()["error"]
    assert set(error) - {"innererror"} == {"code", "message"}
    assert ("retry-after" in answer.headers) == (answer.status_code == 429)
    return answer.status_code, error["code"]


def sent(service: Service, picture: bytes, key: str = "", **asked: Any) -> tuple[int, str]:  # noqa: ANN401
    """Return status and code of a picture that is refused."""
    with service.http(key) as http:
        return told(http.post("/detect", content=picture, headers=OCTETS, params=asked))


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (b"", "InvalidImage"),
        (b"not a picture", "InvalidImage"),
        (b"GIF89a" + bytes(2000), "InvalidImage"),
        (b"RIFF\x00\x10\x00\x00WEBPVP8 " + bytes(2000), "InvalidImage"),
        (b"II*\0" + bytes(2000), "InvalidImage"),
        (b"BM" + bytes(2000), "InvalidImage"),
        (b"\0\0\0\x20ftypavif" + bytes(2000), "InvalidImage"),
        (b"\0\0\0\x20ftypheic" + bytes(2000), "InvalidImage"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "InvalidImage"),
        (encode_png(np.zeros((35, 400, 3), np.uint8)), "InvalidImageSize"),
        (bytes(6 * 1024 * 1024 + 1), "InvalidImageSize"),
    ],
    ids=["empty", "text", "gif", "webp", "tiff", "bmp", "avif", "heic", "svg", "small", "large"],
)
def test_what_is_no_picture_is_told_in_the_services_codes(service: Service, picture: bytes, code: str) -> None:
    """A11: other types than JPEG and PNG, nothing at all, over 6 MB and under 36 px are refused, and say why."""
    assert sent(service, picture) == (400, code)


def test_a_picture_that_is_cut_short_shows_nobody(service: Service) -> None:
    """A9: a JPEG cut at any of these places is an error, and never half a face, or the face before."""
    ada = service.pictures.ada
    service.face(ada)
    for end in range(2, len(ada), len(ada) // 7):
        assert sent(service, ada[:end]) == (400, "InvalidImage"), end


def test_a_bomb_is_refused_from_its_header(service: Service) -> None:
    """A10: a PNG of 16,000 x 16,000 px in a few hundred kilobytes is refused."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    side = (16_000).to_bytes(4)
    header = chunk(b"IHDR", side + side + bytes((8, 2, 0, 0, 0)))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(50_000_000), 9)) + chunk(b"IEND", b"")
    assert sent(service, bomb) == (400, "InvalidImage")


def test_orientation_is_applied_once(service: Service) -> None:
    """A11: a picture that says it lies on its side is read upright, and its face is told where it is then."""
    turned = cv2.rotate(head(), cv2.ROTATE_90_COUNTERCLOCKWISE)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    jpeg = encode_jpeg(np.asarray(turned, np.uint8), 95)
    marked = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + jpeg[2:]
    with service.client() as client:
        (upright,) = client.detect(encode_jpeg(head(), 95), **MODELS, return_face_id=False)
        (found,) = client.detect(marked, **MODELS, return_face_id=False)
    assert abs(found.face_rectangle.left - upright.face_rectangle.left) < 8
    assert abs(found.face_rectangle.top - upright.face_rectangle.top) < 8


def test_two_pictures_at_once_do_not_mix(service: Service) -> None:
    """A13: of a good picture and a broken one that come together, each has its own answer, every time."""
    ada, broken = service.pictures.ada, service.pictures.bob[: len(service.pictures.bob) // 2]
    answers: dict[str, list[Any]] = {"good": [], "bad": []}

    def good() -> None:
        with service.client() as client:
            for _ in range(4):
                answers["good"].append(len(client.detect(ada, **MODELS, return_face_id=False)))

    def bad() -> None:
        answers["bad"].extend(sent(service, broken) for _ in range(4))

    threads = [threading.Thread(target=one) for one in (good, bad)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert answers == {"good": [1] * 4, "bad": [(400, "InvalidImage")] * 4}


def test_a_face_that_is_too_small_is_not_found(service: Service) -> None:
    """A15: a face under 36 px a side is no face here, and one of 60 px is."""
    canvas = np.full((400, 400, 3), 128, np.uint8)
    for side, found in ((70, 0), (150, 1)):  # the box is about 0.42 of the head's picture
        small = cv2.resize(head(), (side, side), interpolation=cv2.INTER_AREA)
        shown = canvas.copy()
        shown[100 : 100 + side, 100 : 100 + side] = small
        with service.client() as client:
            assert len(client.detect(encode_png(shown), **MODELS, return_face_id=True)) == found


@pytest.mark.parametrize(
    ("fault", "wanted", "retry_s"),
    [
        (BusyError("too much"), (429, "429"), "2"),
        (TooManyError(0.2), (429, "429"), "1"),
        (StorageError("the disk is full"), (503, "ServiceUnavailable"), "2"),
        (ReaderAwayError("away"), (503, "ServiceUnavailable"), "2"),
        (FullError("full"), (403, "QuotaExceeded"), None),
        (RefusedError("no"), (400, "BadArgument"), None),
    ],
)
def test_whoever_may_come_back_is_told_when(fault: Exception, wanted: tuple[int, str], retry_s: str | None) -> None:
    """E10: what passes by itself is told with the time to wait, and nothing else is: clients ask again on it."""
    answer = asyncio.run(answered(Request({"type": "http"}), fault))
    assert (answer.status_code, json.loads(bytes(answer.body))["error"]["code"]) == wanted
    assert answer.headers.get("retry-after") == retry_s


def test_what_the_gate_refuses_is_told_in_the_services_form(service: Service) -> None:
    """E6: what is refused before an operation is looked at, such as a body over 8 MB, is read by the client as well."""
    assert sent(service, bytes(8 * 1024 * 1024 + 1)) == (413, "413")
    with service.http() as http:
        answer = http.post("/group", json={}, headers={"Host": "elsewhere.example.org"})
        assert told(answer) == (421, "421")
        assert told(http.get("/largefacelists/a%0Ab")) == (400, "400")


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"returnFaceAttributes": "headPose,age"}, (403, "InvalidRequest")),
        ({"returnFaceAttributes": "emotion"}, (403, "InvalidRequest")),
        ({"returnFaceAttributes": "accessories"}, (403, "InvalidRequest")),
        ({"returnFaceAttributes": "shoeSize"}, (400, "BadArgument")),
        ({"faceIdTimeToLive": "59"}, (400, "BadArgument")),
        ({"faceIdTimeToLive": "86401"}, (400, "BadArgument")),
        ({"detectionModel": "detection_99"}, (400, "BadArgument")),
        ({"recognitionModel": "recognition_99"}, (400, "BadArgument")),
        ({"returnFaceId": "perhaps"}, (400, "BadArgument")),
    ],
)
def test_what_is_asked_of_a_face_has_bounds(service: Service, asked: dict[str, str], wanted: tuple[int, str]) -> None:
    """A guess about who somebody is like is refused as unsupported, and what is not understood as a bad argument."""
    assert sent(service, service.pictures.ada, **asked) == wanted


def test_guesses_are_refused_in_the_services_form(service: Service) -> None:
    """The refusal carries the inner code by which programs of the service know it."""
    with service.http() as http:
        answer = http.post("/detect?returnFaceAttributes=hair", content=service.pictures.ada, headers=OCTETS)
    assert answer.json()["error"]["innererror"]["code"] == "UnsupportedFeature"


BAD_BODIES: list[tuple[str, Any, tuple[int, str]]] = [
    ("verify", {"faceId1": NOBODY, "faceId2": NOBODY}, (404, "FaceNotFound")),
    ("verify", {"faceId1": NOBODY}, (400, "BadArgument")),
    ("verify", {"faceId": NOBODY, "largePersonGroupId": "none", "personId": NOBODY}, (400, "LargePersonGroupNotFound")),
    ("verify", {"faceId": NOBODY, "largePersonGroupId": "door", "personId": NOBODY}, (404, "FaceNotFound")),
    ("identify", {"faceIds": [NOBODY], "largePersonGroupId": "none"}, (400, "LargePersonGroupNotFound")),
    ("identify", {"faceIds": [NOBODY], "largePersonGroupId": "door"}, (400, "FaceNotFound")),
    ("identify", {"faceIds": [NOBODY] * 11, "largePersonGroupId": "door"}, (400, "BadArgument")),
    ("identify", {"faceIds": [], "largePersonGroupId": "door"}, (400, "BadArgument")),
    ("identify", {"faceIds": [NOBODY]}, (400, "BadArgument")),
    (
        "identify",
        {"faceIds": [NOBODY], "largePersonGroupId": "door", "maxNumOfCandidatesReturned": 101},
        (400, "BadArgument"),
    ),
    ("identify", {"faceIds": [NOBODY], "largePersonGroupId": "door", "confidenceThreshold": 2}, (400, "BadArgument")),
    ("findsimilars", {"faceId": NOBODY, "faceIds": [NOBODY]}, (400, "FaceNotFound")),
    ("findsimilars", {"faceId": NOBODY}, (400, "BadArgument")),
    ("findsimilars", {"faceId": NOBODY, "faceIds": [NOBODY], "largeFaceListId": "x"}, (400, "BadArgument")),
    ("findsimilars", {"faceId": NOBODY, "largeFaceListId": "none"}, (400, "LargeFaceListNotFound")),
    ("findsimilars", {"faceId": NOBODY, "faceIds": [NOBODY], "mode": "matchSoul"}, (400, "BadArgument")),
    ("group", {"faceIds": [NOBODY]}, (400, "BadArgument")),
    ("group", {"faceIds": [NOBODY, "other"]}, (400, "FaceNotFound")),
    ("group", [1, 2], (400, "BadArgument")),
    ("group", None, (400, "BadArgument")),
]


@pytest.mark.parametrize(("path", "body", "wanted"), BAD_BODIES)
def test_bodies_that_ask_for_what_is_not_there(
    service: Service, path: str, body: object, wanted: tuple[int, str]
) -> None:
    """E2, E3: a body that names nothing that is here, or cannot be understood, gets the service's code and no more."""
    with service.http() as http:
        assert told(http.post(f"/{path}", json=body)) == wanted


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 5000, b'{"faceIds": NaN}', b"\xed\xa0\x80"])
def test_what_is_no_json_is_told(service: Service, body: bytes) -> None:
    """E3: broken, deeply nested and wrongly encoded JSON is a bad argument."""
    with service.http() as http:
        answer = http.post("/group", content=body, headers={"Content-Type": "application/json"})
    assert told(answer) == (400, "BadArgument")


BAD_KEEPING: list[tuple[str, str, Any, tuple[int, str]]] = [
    ("PUT", "/largefacelists/Staff", {"name": "x"}, (400, "BadArgument")),
    ("PUT", "/largefacelists/..%2fetc", {"name": "x"}, (404, "404")),
    ("PUT", f"/largefacelists/{'x' * 65}", {"name": "x"}, (400, "BadArgument")),
    ("PUT", "/largepersongroups/x", {"name": ""}, (400, "BadArgument")),
    ("PUT", "/largepersongroups/x", {"name": "x" * 129}, (400, "BadArgument")),
    ("PUT", "/largepersongroups/x", {"name": "x", "userData": "x" * 16_385}, (400, "BadArgument")),
    ("PUT", "/largepersongroups/x", {"name": "x", "recognitionModel": "mine"}, (400, "BadArgument")),
    ("PUT", "/largepersongroups/door", {"name": "x"}, (403, "PermissionDenied")),
    ("DELETE", "/largepersongroups/door", None, (403, "PermissionDenied")),
    ("PATCH", "/largepersongroups/door", {"name": "x"}, (403, "PermissionDenied")),
    ("POST", "/largepersongroups/door/train", None, (403, "PermissionDenied")),
    ("POST", "/largepersongroups/door/persons", {"name": "x"}, (403, "PermissionDenied")),
    ("DELETE", f"/largepersongroups/door/persons/{NOBODY}", None, (403, "PermissionDenied")),
    ("GET", f"/largepersongroups/door/persons/{NOBODY}", None, (404, "PersonNotFound")),
    ("POST", f"/largepersongroups/door/persons/{NOBODY}/persistedfaces", None, (403, "PermissionDenied")),
    ("PATCH", "/largefacelists/none", {}, (400, "BadArgument")),
    ("GET", "/largefacelists/none", None, (404, "LargeFaceListNotFound")),
    ("POST", "/largefacelists/none/train", None, (404, "LargeFaceListNotFound")),
    ("GET", "/largefacelists/none/training", None, (404, "LargeFaceListNotFound")),
    ("POST", "/largefacelists/none/persistedfaces", None, (404, "LargeFaceListNotFound")),
    ("GET", "/largefacelists?top=0", None, (400, "BadArgument")),
    ("GET", "/largefacelists?top=1001", None, (400, "BadArgument")),
    ("GET", f"/largefacelists?start={'x' * 65}", None, (400, "BadArgument")),
    ("GET", "/facelists", None, (404, "404")),
    ("GET", "/detect", None, (405, "405")),
]


@pytest.mark.parametrize(("method", "path", "body", "wanted"), BAD_KEEPING)
def test_keeping_has_bounds(service: Service, method: str, path: str, body: object, wanted: tuple[int, str]) -> None:
    """E4, E12: ids are no paths, texts have a most, what is not there is not found, and the door's group is its own."""
    headers = OCTETS if path.endswith("persistedfaces") else {}
    with service.http() as http:
        answer = http.request(method, path, json=body, headers=headers)
    assert told(answer) == wanted


@pytest.mark.parametrize("version", ["v1.0", "v1.1-preview.1", "v1.2-preview.1", "v1.2"])
def test_every_version_answers(service: Service, version: str) -> None:
    """The versions that clients ask for are all here, and no other is."""
    with service.http() as http:
        assert http.get(f"{service.web.url}/face/{version}/largefacelists").status_code == 200
        assert told(http.get(f"{service.web.url}/face/{version}9/largefacelists")) == (404, "404")


@pytest.fixture(scope="module")
def crowd(service: Service) -> str:
    """Return the id of a list to add faces to."""
    with service.administration() as admin:
        admin.large_face_list.create("crowd", name="Crowd", recognition_model="recognition_04")
    return "crowd"


def test_one_face_is_kept_at_a_time(service: Service, crowd: str) -> None:
    """B14: no face, two of them, a place where none is and a blurred one are refused, and nothing is kept."""
    blurred = encode_jpeg(np.asarray(cv2.GaussianBlur(head(), (0, 0), 9), np.uint8), 90)
    empty = encode_png(np.full((200, 200, 3), 90, np.uint8))
    tries: list[tuple[bytes, str, tuple[int, str]]] = [
        (empty, "", (400, "InvalidImage")),
        (service.pictures.both, "", (400, "InvalidImage")),
        (service.pictures.both, "0,0,20,20", (400, "InvalidImage")),
        (service.pictures.both, "0,0,20", (400, "BadArgument")),
        (service.pictures.both, "-1,0,20,20", (400, "BadArgument")),
        (service.pictures.both, "1,1,0,20", (400, "BadArgument")),
        (blurred, "", (400, "InvalidImage")),
    ]
    with service.http() as http:
        for picture, target, wanted in tries:
            params = {"targetFace": target} if target else {}
            answer = http.post(
                f"/largefacelists/{crowd}/persistedfaces", content=picture, params=params, headers=OCTETS
            )
            assert told(answer) == wanted, (target, answer.text)
        assert http.get(f"/largefacelists/{crowd}/persistedfaces").json() == []


def test_a_picture_must_say_that_it_is_one(service: Service) -> None:
    """A11: a body that is said to be anything else is an unsupported media type."""
    with service.http() as http:
        answer = http.post("/detect", content=service.pictures.ada, headers={"Content-Type": "image/jpeg"})
    assert told(answer) == (415, "UnsupportedMediaType")


def test_without_a_good_key_there_is_nothing(service: Service) -> None:
    """E7, E8: no key, a wrong one and a session of the pages are all turned away from every operation."""
    with service.client("osk_wrong") as client, pytest.raises(ClientAuthenticationError) as fault:
        client.detect(service.pictures.ada, **MODELS, return_face_id=True)
    assert (fault.value.status_code, fault.value.error and fault.value.error.code) == (401, "401")
    large = service.pictures.ada + bytes(200_000)
    with service.client("osk_wrong") as client, pytest.raises(ClientAuthenticationError):
        client.detect(large, **MODELS, return_face_id=True)
    with service.http() as http:
        paths = http.get(f"{service.web.url}/face/openapi.json").json()["paths"]
    with service.web.client(None) as nobody, service.web.client(Role.ADMIN) as signed_in:
        for path, methods in paths.items():
            where = "/face" + path.replace("{version}", "v1.0").replace("{", "").replace("}", "")
            for method in methods:
                assert told(nobody.request(method, where)) == (401, "401"), (method, path)
                assert told(signed_in.request(method, where)) == (403, "PermissionDenied"), (method, path)


def test_a_recogniser_compares_and_keeps_nothing(service: Service) -> None:
    """E12: a key that recognises detects and compares; lists, groups and people are not even told to it."""
    with Caller(service.web.url, service.recogniser).open() as call:
        (face,) = call("face.detect", service.pictures.ada, **MODELS, return_face_id=True)
        assert call("face.verify_face_to_face", face_id1=face.face_id, face_id2=face.face_id).is_identical
        door = {"face_ids": [face.face_id], "large_person_group_id": "door"}
        assert call("face.identify_from_large_person_group", **door)[0].candidates == []
        for operation, args in {
            "large_face_list.create": ("mine",),
            "large_face_list.get_large_face_lists": (),
            "large_face_list.begin_train": ("mine",),
            "large_person_group.get": ("door",),
            "large_person_group.get_persons": ("door",),
            "large_person_group.delete": ("mine",),
        }.items():
            options = {"name": "x", "recognition_model": "recognition_04"} if operation.endswith("create") else {}
            with pytest.raises(HttpResponseError) as fault:
                call(f"admin.{operation}", *args, **options)
            assert fault.value.status_code == 403


def test_a_key_that_nobody_answers_for_keeps_nothing(service: Service) -> None:
    """J5: whoever makes a list or adds to it must have said, with their key, who answers for the consent."""
    silent = service.web.key(Role.ENROLLER, "silent")
    with service.http() as full, service.http(silent) as http:
        assert full.put("/largepersongroups/answered", json={"name": "x"}).status_code == 200
        assert told(http.put("/largepersongroups/mine", json={"name": "x"})) == (403, "PermissionDenied")
        assert told(http.post("/largepersongroups/answered/persons", json={"name": "x"})) == (403, "PermissionDenied")
        path = f"/largepersongroups/answered/persons/{NOBODY}/persistedfaces"
        added = http.post(path, content=service.pictures.ada, headers=OCTETS)
        assert told(added) == (403, "PermissionDenied")


def test_whoever_asks_too_often_waits(service: Service) -> None:
    """E10: beyond its share a key gets 429 with the time to wait; the service's own client waits, and goes on."""
    with (
        tempfile.TemporaryDirectory(prefix="ostiary-") as folder,
        web_of(installed(Path(folder), web={"requests_per_s": 1})) as web,
    ):
        hasty = Service(web, web.key(Role.ENROLLER, answers_for="somebody"), "", service.pictures)
        with hasty.http() as http:
            answers = [http.get("/largefacelists") for _ in range(5)]
            assert told(answers[-1]) == (429, "429")
            assert int(answers[-1].headers["retry-after"]) == 1
        with hasty.client(retry_total=0) as once, pytest.raises(HttpResponseError) as fault:
            once.group(face_ids=[NOBODY, NOBODY])
        assert fault.value.status_code == 429
        with hasty.administration() as patient, pytest.raises(ResourceNotFoundError):
            patient.large_face_list.get("none")
