"""Liveness sessions in the form of version v1.2, which the service's own client does not speak yet."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from appliance.drivers.photo import encode_jpeg
from tests.api.azure.films import film, portrait, show
from tests.faces.made import head

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.api.azure.conftest import Service

WISH = {"livenessOperationMode": "Passive", "deviceCorrelationId": "a-phone", "enableSessionImage": True}
PLAIN, VERIFY = "detectLiveness-sessions", "detectLivenessWithVerify-sessions"


@pytest.fixture
def api(service: Service) -> Iterator[httpx.Client]:
    """Give a client at version v1.2."""
    with service.http() as client:
        client.base_url = f"{service.web.url}/face/v1.2/"
        yield client


def test_session_of_somebody_alive(service: Service, api: httpx.Client) -> None:
    """A session of v1.2 is made, shown in, told with its picture, and deleted; the token is told once."""
    made = api.post(PLAIN, json=WISH).json()
    assert (made["status"], made["results"]) == ("NotStarted", {"attempts": []})
    wall = [encode_jpeg(head()[:40, :40])] * 3
    seen = film()
    assert show(service.web.url, made["authToken"], wall, [0, 100, 200], version="v1.2").status_code == 204
    assert show(service.web.url, made["authToken"], seen.frames, seen.at_ms, version="v1.2").status_code == 204
    told = api.get(f"{PLAIN}/{made['sessionId']}").json()
    assert (told["status"], told["authToken"], told["modelVersion"]) == ("Succeeded", "", made["modelVersion"])
    newest, first = told["results"]["attempts"]
    assert (first["attemptId"], first["attemptStatus"], first["error"]["code"]) == (1, "Failed", "NoFaceDetected")
    result = newest["result"]
    assert (newest["attemptStatus"], result["livenessDecision"]) == ("Succeeded", "realface")
    assert result["digest"] == seen.digest
    assert result["targets"]["color"]["faceRectangle"]["width"] > 100
    assert api.get(f"sessionImages/{result['sessionImageId']}").content.startswith(b"\xff\xd8\xff")
    assert api.delete(f"{PLAIN}/{made['sessionId']}").status_code == 204
    assert api.get(f"{PLAIN}/{made['sessionId']}").json()["error"]["code"] == "SessionNotFound"
    assert api.get(f"sessionImages/{result['sessionImageId']}").status_code == 404


def test_face_is_compared_with_a_picture(service: Service, api: httpx.Client) -> None:
    """A session with a picture to compare with is made by a form, and tells whether it is that person."""
    wish = {**WISH, "enableSessionImage": "false", "returnVerifyImageHash": "true"}
    picture = {"verifyImage": ("badge.jpg", portrait(), "image/jpeg")}
    made = api.post(VERIFY, data=wish, files=picture).json()
    (reference,) = made["results"]["verifyReferences"]
    assert (reference["referenceType"], reference["qualityForRecognition"]) == ("image", "high")
    seen = film()
    show(service.web.url, made["authToken"], seen.frames, seen.at_ms, verify=True, version="v1.2")
    (alive,) = (one["result"] for one in api.get(f"{VERIFY}/{made['sessionId']}").json()["results"]["attempts"])
    assert (alive["livenessDecision"], alive["verifyResult"]["isIdentical"]) == ("realface", True)
    assert alive["verifyImageHash"] == hashlib.sha256(portrait()).hexdigest()
    assert "sessionImageId" not in alive
    missing = api.post(VERIFY, data=WISH, files={"other": b"1"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (400, "BadArgument")
    assert api.get(f"{PLAIN}/{made['sessionId']}").status_code == 404
    assert api.delete(f"{VERIFY}/{made['sessionId']}").status_code == 204
