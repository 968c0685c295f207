"""Liveness sessions that are shown to the door's own camera: a real reader and controller beside the web."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.ai.vision.face import FaceSessionClient
from azure.ai.vision.face.models import CreateLivenessSessionContent, CreateLivenessWithVerifySessionContent
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ResourceExistsError

from appliance.contract import EventType, Role
from appliance.drivers.scene import Visit
from tests.api.azure.films import film, portrait, show
from tests.broker import wait_for
from tests.web.running import Door, Web, door_of, installed, web_of

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_THE_DOOR = {"livenessOperationMode": "Passive", "deviceCorrelationId": "front", "enableSessionImage": True}
_NUMBERS = count()  # a key name is used once
Told = Any  # whatever a client gives, each field of which may be None to a type checker


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Web, Door]]:
    """Give a web, and a door behind it."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        installation = installed(Path(folder))
        with door_of(installation) as door, web_of(installation) as web:
            yield web, door


@pytest.fixture
def client(running: tuple[Web, Door]) -> Iterator[Told]:
    """Give the service's client of sessions."""
    web, _ = running
    with FaceSessionClient(
        web.url, AzureKeyCredential(web.key(Role.ENROLLER, f"bank-{next(_NUMBERS)}")), retry_total=0
    ) as opened:
        yield opened


def with_picture(client: Told) -> Told:
    """Return a new session at the door whose face is compared with the astronaut's."""
    content = CreateLivenessWithVerifySessionContent(AT_THE_DOOR)
    return client.create_liveness_with_verify_session(content, verify_image=portrait())


def when_free(client: Told) -> Told:
    """Return such a session, once no other looks through the camera."""
    found: list[Told] = []

    def made() -> bool:
        try:
            found.append(with_picture(client))
        except ResourceExistsError:
            return False
        return True

    wait_for(made)
    return found[0]


def result_of(client: Told, session_id: str) -> Told:
    """Return what the door's camera has told."""

    def read() -> Told:
        return client.get_liveness_with_verify_session_result(session_id)

    wait_for(lambda: read().status == "ResultAvailable")
    return read().result


def test_one_session_looks_at_a_time(running: tuple[Web, Door], client: Told) -> None:
    """E12: while one session looks through the camera another is refused; deleting the first frees the camera."""
    web, _ = running
    first = client.create_liveness_session(CreateLivenessSessionContent(AT_THE_DOOR))
    with pytest.raises(ResourceExistsError, match="SessionConflict"):
        with_picture(client)
    assert client.get_liveness_with_verify_sessions() == []
    sent = show(web.url, first.auth_token, film().frames, film().at_ms)
    assert sent.status_code == 400  # a film is no proof of who stands before the door
    client.delete_liveness_session(first.session_id)

    second = when_free(client)
    client.delete_liveness_with_verify_session(second.session_id)


def test_door_tells_who_is_alive_and_whose_face_it_is(running: tuple[Web, Door], client: Told) -> None:
    """B1, B8: whoever comes is real and the person of the picture, a print of them is a spoof; nobody is let in."""
    _, door = running
    session = when_free(client)
    assert client.get_liveness_with_verify_session_result(session.session_id).status == "Started"
    door.script.play(Visit(for_s=2.5, pause_s=0))
    result = result_of(client, session.session_id)
    body = result.response.body
    assert (body.liveness_decision, body.verify_result.is_identical) == ("realface", True)
    assert (body.target.file_name, result.request.url, result.request.method) == ("door", "/door/front", "CAMERA")
    assert result.digest == ""
    assert b"".join(client.get_session_image(result.session_image_id)).startswith(b"\xff\xd8\xff")

    door.script.wait_until_empty()  # or the next session would look at the same visitor
    session = with_picture(client)
    door.script.play(Visit(shows="print", for_s=2.5, pause_s=1))
    body = result_of(client, session.session_id).response.body
    assert (body.liveness_decision, body.verify_result.is_identical) == ("spoofface", False)
    assert EventType.ACCESS_GRANTED not in [one.event.event_type for one in door.events]
