"""Liveness sessions, by the face service's own client, with films of the simulated camera's visitors."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from azure.ai.vision.face import FaceSessionClient
from azure.ai.vision.face import aio as unblocking
from azure.ai.vision.face.models import CreateLivenessSessionContent, CreateLivenessWithVerifySessionContent
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from appliance.contract import Role
from appliance.drivers.photo import encode_jpeg
from tests.api.azure.conftest import MODELS
from tests.api.azure.films import FRAMES, film, portrait, show
from tests.faces.made import head

if TYPE_CHECKING:
    from tests.api.azure.conftest import Service
    from tests.web.running import Web

Told = Any  # whatever a client gives, each field of which may be None to a type checker
PASSIVE: dict[str, Any] = {"livenessOperationMode": "Passive", "deviceCorrelationId": "a-phone"}
TOLD = {**PASSIVE, "sendResultsToClient": True}
SMALL, SMALL_MS = [encode_jpeg(head()[:40, :40])] * 3, [0, 100, 200]  # of a wall


@pytest.fixture
def web(service: Service) -> Web:
    """Give the served web."""
    return service.web


@pytest.fixture
def client(service: Service) -> Iterator[Told]:
    """Give the service's client of sessions, with a key that may make them."""
    with sessions_of(service.web, service.full) as opened:
        yield opened


def sessions_of(web: Web, key: str) -> Told:
    """Return a client that does not try again."""
    return FaceSessionClient(web.url, AzureKeyCredential(key), retry_total=0)


def made(client: Told, image: bytes | None = None, *, verify: bool = False, **wish: object) -> Told:
    """Return a new session of either kind."""
    body = {**TOLD, **wish}
    if verify or image is not None:
        content = CreateLivenessWithVerifySessionContent(body)
        return client.create_liveness_with_verify_session(content, verify_image=image)
    return client.create_liveness_session(CreateLivenessSessionContent(body))


def shown(web: Web, token: str, shows: str = "person", *, verify: bool = False, face: str = "astronaut") -> Told:
    """Return what whoever shows a film of somebody is told."""
    seen = film(shows, face)
    answer = show(web.url, token, seen.frames, seen.at_ms, verify=verify)
    assert answer.status_code == 200, answer.text
    return answer.json()


def fault(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal in the service's form."""
    assert set(answer.json()) == {"error"}
    return answer.status_code, answer.json()["error"]["code"]


def test_session_of_somebody_alive(web: Web, client: Told) -> None:
    """A session is made, listed, shown in, told, audited and deleted, as the service's client expects each."""
    session = client.create_liveness_session(PASSIVE)
    before = client.get_liveness_session_result(session.session_id)
    assert (before.status, before.result, before.session_expired) == ("NotStarted", None, False)
    assert (before.device_correlation_id, before.auth_token_time_to_live_in_seconds) == ("a-phone", 600)
    seen = film()
    answer = show(web.url, session.auth_token, seen.frames, seen.at_ms)
    assert (answer.status_code, answer.content) == (204, b"")  # whoever shows a face is told nothing by default
    after = client.get_liveness_session_result(session.session_id)
    assert (after.status, after.session_start_date_time >= after.created_date_time) == ("ResultAvailable", True)
    result = after.result
    assert result.response.body.liveness_decision == "realface"
    assert result.response.body.verify_result is None
    assert (result.response.status_code, result.request.method, result.request.user_agent) == (204, "POST", "film")
    assert (result.digest, result.request_id) == (seen.digest, answer.headers["apim-request-id"])
    target = result.response.body.target
    assert 1 <= int(target.file_name) <= FRAMES
    assert target.time_offset_within_file == seen.at_ms[int(target.file_name) - 1]
    assert target.face_rectangle.width > 100
    assert result.session_image_id is None
    assert session.session_id in [one.id for one in client.get_liveness_sessions()]
    assert [one.as_dict() for one in client.get_liveness_session_audit_entries(session.session_id)] == [
        result.as_dict()
    ]
    assert client.get_liveness_session_audit_entries(session.session_id, start="1") == []
    client.delete_liveness_session(session.session_id)
    for gone in (
        client.get_liveness_session_result,
        client.get_liveness_session_audit_entries,
        client.delete_liveness_session,
    ):
        with pytest.raises(ResourceNotFoundError, match="SessionNotFound"):
            gone(session.session_id)
    assert fault(show(web.url, session.auth_token, SMALL, SMALL_MS)) == (401, "401")


class Noted:
    """A client of either kind as one that does not block, which notes what was called."""

    def __init__(self, client: FaceSessionClient | unblocking.FaceSessionClient) -> None:
        self.client = client
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Told:
        """Return the operation, to be awaited."""
        self.called.add(name)
        operation = getattr(self.client, name)

        async def awaited(*args: object, **options: object) -> Told:
            if isinstance(self.client, FaceSessionClient):
                return await asyncio.to_thread(operation, *args, **options)
            return await operation(*args, **options)

        return awaited

    def operations(self) -> set[str]:
        """Return what the client can do."""
        names = {name for name, _ in inspect.getmembers(self.client, inspect.ismethod) if not name.startswith("_")}
        return names - {"close", "send_request"}


async def bytes_of(parts: Told) -> bytes:
    """Return what a client gives in parts, of either kind."""
    return b"".join(parts if isinstance(parts, Iterator) else [part async for part in parts])


async def every_operation(web: Web, client: Told) -> None:
    """Make sessions of both kinds, show a face in each, read, list, audit and delete them."""
    wish = CreateLivenessWithVerifySessionContent({**TOLD, "enableSessionImage": True})
    one = await client.create_liveness_session(CreateLivenessSessionContent(TOLD))
    two = await client.create_liveness_with_verify_session(wish, verify_image=portrait())
    three = await client.create_liveness_with_verify_session(wish, verify_image=None)
    await asyncio.to_thread(show, web.url, one.auth_token, SMALL, SMALL_MS)
    await asyncio.to_thread(shown, web, two.auth_token, verify=True)
    plain = await client.get_liveness_session_result(one.session_id)
    assert plain.result.response.body.liveness_decision == "uncertain"
    verified = await client.get_liveness_with_verify_session_result(two.session_id)
    assert verified.result.response.body.verify_result.is_identical
    image_id = verified.result.session_image_id
    assert (await bytes_of(await client.get_session_image(image_id))).startswith(b"\xff\xd8\xff")
    faces = await client.detect_from_session_image(session_image_id=image_id, return_face_id=False, **MODELS)
    assert len(faces) == 1
    assert one.session_id in {item.id for item in await client.get_liveness_sessions()}
    assert {two.session_id, three.session_id} <= {item.id for item in await client.get_liveness_with_verify_sessions()}
    for audit, session in (
        (client.get_liveness_session_audit_entries, one),
        (client.get_liveness_with_verify_session_audit_entries, two),
    ):
        (entry,) = await audit(session.session_id)
        assert entry.session_id == session.session_id
    await client.delete_liveness_session(one.session_id)
    for session in (two, three):
        await client.delete_liveness_with_verify_session(session.session_id)
        with pytest.raises(ResourceNotFoundError):
            await client.get_liveness_with_verify_session_result(session.session_id)


def test_every_operation_of_the_client(web: Web, service: Service) -> None:
    """E7: all that the service's client of sessions can do is understood, answered and parsed, blocking or not.

    Whatever the client library comes to have besides fails here until it is exercised as well.
    """

    async def both() -> None:
        with sessions_of(web, service.full) as blocking:
            await tried(Noted(blocking))
        async with unblocking.FaceSessionClient(web.url, AzureKeyCredential(service.full)) as opened:
            await tried(Noted(opened))
            await asyncio.sleep(0.01)  # aiohttp's transports end in the next turn of the loop

    async def tried(client: Noted) -> None:
        await every_operation(web, client)
        assert client.operations() == client.called

    asyncio.run(both())


def test_face_is_compared_with_a_picture(web: Web, client: Told) -> None:
    """Whoever is alive is the person of the picture or is not; the picture comes with the session or with the film."""
    hashed = made(client, portrait(), returnVerifyImageHash=True)
    assert hashed.verify_image.quality_for_recognition == "high"
    told = shown(web, hashed.auth_token, verify=True)
    assert (told["livenessDecision"], told["verifyResult"]["isIdentical"]) == ("realface", True)
    assert told["verifyResult"]["matchConfidence"] > 0.5
    (entry,) = client.get_liveness_with_verify_session_audit_entries(hashed.session_id)
    assert entry.verify_image_hash == hashlib.sha256(portrait()).hexdigest()

    other = shown(web, made(client, portrait("official")).auth_token, verify=True)
    assert (other["livenessDecision"], other["verifyResult"]["isIdentical"]) == ("realface", False)
    assert other["verifyResult"]["matchConfidence"] < 0.5

    later = made(client, verify=True)
    assert later.verify_image is None
    seen = film()
    missing = show(web.url, later.auth_token, seen.frames, seen.at_ms, verify=True)
    assert fault(missing) == (400, "BadArgument")
    answer = show(web.url, later.auth_token, seen.frames, seen.at_ms, verify=True, image=portrait())
    assert answer.json()["verifyResult"]["isIdentical"]


def test_picture_of_the_right_person_is_a_spoof(web: Web, client: Told) -> None:
    """B3: a telephone that shows the person of the picture is a spoof, and identical to nobody."""
    told = shown(web, made(client, portrait()).auth_token, "phone", verify=True)
    assert told["livenessDecision"] == "spoofface"
    assert told["verifyResult"]["isIdentical"] is False


def test_too_little_is_uncertain(web: Web, client: Told) -> None:
    """B20: too few frames, and frames without a face, are uncertain."""
    token, seen = made(client).auth_token, film().cut(3)
    assert show(web.url, token, seen.frames, seen.at_ms).json()["livenessDecision"] == "uncertain"
    nobody = show(web.url, token, SMALL, SMALL_MS).json()
    assert nobody == {"livenessDecision": "uncertain"}


def test_token_opens_its_own_session_alone(web: Web, client: Told) -> None:
    """E8, E12: a token shows a face in its own session; forged, in one of the other kind, or elsewhere it is none."""
    plain, verify = made(client), made(client, portrait())
    for token in ("osl_" + "A" * 43, plain.auth_token[:-1], plain.session_id):
        assert show(web.url, token, SMALL, SMALL_MS).status_code == 401
    assert show(web.url, "osl_forged", film().frames, film().at_ms).status_code == 401
    assert fault(show(web.url, plain.auth_token, SMALL, SMALL_MS, verify=True)) == (404, "SessionNotFound")
    assert fault(show(web.url, verify.auth_token, SMALL, SMALL_MS)) == (404, "SessionNotFound")
    bearer = {"Authorization": f"Bearer {plain.auth_token}"}
    for path in (
        f"/face/v1.2-preview.1/detectLiveness/singleModal/sessions/{plain.session_id}",
        "/face/v1.2-preview.1/detectLiveness/singleModal/sessions",
        "/face/v1.2-preview.1/largepersongroups",
        "/api/v1/people",
        "/people",
        "/",
    ):
        answer = httpx.get(web.url + path, headers=bearer)
        assert answer.status_code in {403, 404} or answer.headers.get("location") == "/login", path
    assert client.get_liveness_session_audit_entries(plain.session_id) == []


def test_sessions_are_for_the_key_that_made_them(web: Web, client: Told, service: Service) -> None:
    """E12, J4: another key finds neither a session nor its picture; a recogniser's key may not make one."""
    mine = made(client, enableSessionImage=True)
    shown(web, mine.auth_token)
    image_id = client.get_liveness_session_result(mine.session_id).result.session_image_id
    assert len(image_id) == 36
    with sessions_of(web, web.key(Role.ADMIN, "another")) as other:
        assert other.get_liveness_sessions() == []
        for asked in (
            lambda: other.get_liveness_session_result(mine.session_id),
            lambda: other.get_liveness_session_audit_entries(mine.session_id),
            lambda: other.delete_liveness_session(mine.session_id),
            lambda: b"".join(other.get_session_image(image_id)),
        ):
            with pytest.raises(ResourceNotFoundError):
                asked()
    with sessions_of(web, service.recogniser) as recogniser:
        for asked in (
            lambda: made(recogniser),
            recogniser.get_liveness_sessions,
            lambda: b"".join(recogniser.get_session_image(image_id)),
        ):
            with pytest.raises(HttpResponseError) as refused:
                asked()
            assert refused.value.status_code == 403
    with sessions_of(web, "no-key") as nobody, pytest.raises(ClientAuthenticationError):
        made(nobody)


def test_session_image_lives_as_long_as_its_session(client: Told, web: Web) -> None:
    """J1, J4: the picture of a session has an id that nobody can guess, is on no disk, and is gone with the session."""
    session = made(client, enableSessionImage=True)
    shown(web, session.auth_token)
    image_id = client.get_liveness_session_result(session.session_id).result.session_image_id
    image = b"".join(client.get_session_image(image_id))
    assert image.startswith(b"\xff\xd8\xff")
    for path in web.installation.state.rglob("*"):
        kept = path.read_bytes() if path.is_file() else b""
        assert not any(one in kept for one in (image[2000:2032], session.session_id.encode())), path
    (face,) = client.detect_from_session_image(session_image_id=image_id, return_face_id=True, **MODELS)
    assert face.face_id is not None
    client.delete_liveness_session(session.session_id)
    with pytest.raises(ResourceNotFoundError, match="SessionImageNotFound"):
        b"".join(client.get_session_image(image_id))
    with pytest.raises(ResourceNotFoundError, match="SessionImageNotFound"):
        client.detect_from_session_image(session_image_id=image_id, return_face_id=True, **MODELS)


def test_session_has_three_attempts(web: Web, client: Told) -> None:
    """A9, B12: a session takes three films; one with a broken frame is none, and leaves nothing of it behind."""
    session, seen = made(client), film().cut(3)
    broken = [seen.frames[0], seen.frames[1][:-500], seen.frames[2]]
    assert fault(show(web.url, session.auth_token, broken, seen.at_ms)) == (400, "InvalidImage")
    assert client.get_liveness_session_audit_entries(session.session_id) == []
    for _ in range(3):
        assert show(web.url, session.auth_token, SMALL, SMALL_MS).status_code == 200
    assert fault(show(web.url, session.auth_token, seen.frames, seen.at_ms)) == (409, "SessionConflict")
    entries = client.get_liveness_session_audit_entries(session.session_id, top=2)
    assert [one.id for one in entries] == [1, 2]


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"livenessOperationMode": "PassiveActive"}, (403, "InvalidRequest")),
        ({"livenessOperationMode": "Dance"}, (400, "BadArgument")),
        ({"authTokenTimeToLiveInSeconds": 59}, (400, "BadArgument")),
        ({"authTokenTimeToLiveInSeconds": 86_401}, (400, "BadArgument")),
        ({"deviceCorrelationId": None}, (400, "BadArgument")),
        ({"deviceCorrelationIdSetInClient": True}, (400, "BadArgument")),
        ({"livenessSingleModalModel": "of-tomorrow"}, (400, "BadArgument")),
    ],
)
def test_wishes_that_are_refused(client: Told, wish: dict[str, Any], told: tuple[int, str]) -> None:
    """What is not done here, and what contradicts itself, is refused in the service's words, for both kinds."""
    for image in (None, portrait()):
        with pytest.raises(HttpResponseError) as refused:
            made(client, image, **wish)
        assert (refused.value.status_code, refused.value.model.error.code) == told  # type: ignore[union-attr]


def test_verify_image_has_one_face(client: Told) -> None:
    """B14: a session is not made with a picture that shows nobody, cannot be read, or is too large."""
    blank = encode_jpeg(head()[:40, :40])
    for image, code in (
        (blank, "InvalidImage"),
        (b"GIF89a" * 9, "InvalidImage"),
        (b"\xff" * 6_300_000, "InvalidImageSize"),
    ):
        with pytest.raises(HttpResponseError) as refused:
            made(client, image)
        assert (refused.value.status_code, refused.value.model.error.code) == (400, code)  # type: ignore[union-attr]


def test_films_that_are_refused(web: Web, client: Told) -> None:
    """A4, A6, A10: too few or too many frames, times that do not fit or rise, and several sizes are no attempt."""
    session, seen = made(client), film()
    small = encode_jpeg(head())
    huge = encode_jpeg(head().repeat(4, 0).repeat(5, 1))  # 1024 x 1280 px
    films: list[tuple[list[bytes], object]] = [
        (list(seen.frames[:2]), [0, 100]),
        ([small] * 31, list(range(31))),
        (list(seen.frames[:3]), [0, 100]),
        (list(seen.frames[:3]), [0, 100, 100]),
        (list(seen.frames[:3]), [200, 100, 0]),
        (list(seen.frames[:3]), [0, 100, 60_001]),
        (list(seen.frames[:3]), "[0, NaN, 5]"),
        (list(seen.frames[:3]), "[" * 9_000),
        (list(seen.frames[:3]), ""),
        ([*seen.frames[:2], small], [0, 100, 200]),
        ([huge] * 3, [0, 100, 200]),
    ]
    for frames, times in films:
        answer = show(web.url, session.auth_token, frames, times)
        assert answer.status_code == 400, answer.text
        assert set(answer.json()) == {"error"}
    plain = httpx.post(
        f"{web.url}/face/v1.2-preview.1/detectLiveness/singleModal",
        headers={"Authorization": f"Bearer {session.auth_token}"},
        content=seen.frames[0],
    )
    assert plain.status_code == 400
    assert client.get_liveness_session_audit_entries(session.session_id) == []


def test_door_is_away_where_no_reader_runs(client: Told) -> None:
    """Without a running reader no session is shown at the door, and none is left behind."""
    before = len(client.get_liveness_sessions())
    with pytest.raises(HttpResponseError) as refused:
        made(client, deviceCorrelationId="front")
    assert refused.value.status_code == 503
    assert len(client.get_liveness_sessions()) == before
