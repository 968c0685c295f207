"""Liveness sessions: whether a living face is before a camera, and whether it is that of a picture.

A face is shown by frames that come with the session's token, or to the door's own camera. Nobody is let in by it.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from appliance.api.azure.detect import KEEPERS, KEYS
from appliance.api.azure.errors import FaceApiError, bad_argument, not_supported
from appliance.api.azure.images import MAX_IMAGE, content_type, json_of, session_image_of
from appliance.api.azure.sessions_wire import (
    AuditEntry,
    Judgement,
    MadeSession,
    NewSession,
    NewVerifySession,
    OperationMode,
    SessionAnswer,
    SessionItem,
    answer_of,
    entry_of,
    item_of,
    judgement_of,
    verify_image_of,
)
from appliance.api.azure.sessions_work import (
    LEAST_FRAMES,
    MOST_FRAMES,
    Film,
    counterpart_of,
    look_at_the_door,
    show_film,
)
from appliance.api.azure.wire import MAX_TOP
from appliance.errors import ApplianceError, PhotoError, RefusedError
from appliance.faces.sessions import KEPT_S, Sent, Session, Wish
from appliance.web.guard import allowed, for_showing, who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from starlette.datastructures import FormData

    from appliance.faces.sessions import Counterpart

router = APIRouter()

MAX_FILM_MS = 60_000
_TIMES: TypeAdapter[list[float]] = TypeAdapter(
    list[Annotated[float, Field(ge=0, le=MAX_FILM_MS, allow_inf_nan=False, strict=True)]]
)
_BINARY = {"type": "string", "format": "binary"}
FRAMES: dict[str, Any] = {
    "security": [{"sessionBearer": []}],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "frames": {
                            "type": "array",
                            "items": _BINARY,
                            "minItems": LEAST_FRAMES,
                            "maxItems": MOST_FRAMES,
                            "description": "JPEG or PNG, of one size, in the order in which they were captured.",
                        },
                        "capturedAtMs": {
                            "type": "string",
                            "description": "A JSON array: when each frame was captured, milliseconds, rising.",
                        },
                        "VerifyImage": _BINARY,
                    },
                    "required": ["frames", "capturedAtMs"],
                }
            }
        },
    },
}
_NEW_VERIFY = NewVerifySession.model_json_schema(ref_template="#/components/schemas/{model}")
_NEW_VERIFY.pop("$defs")  # they are components already, of a plain session
VERIFY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _NEW_VERIFY},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"Parameters": {"type": "string"}, "VerifyImage": _BINARY},
                    "required": ["Parameters", "VerifyImage"],
                }
            },
        },
    }
}
PLAIN, VERIFY = "/detectLiveness/singleModal", "/detectLivenessWithVerify/singleModal"
SessionId = Annotated[str, Path(alias="sessionId", max_length=64)]


@router.post(f"{PLAIN}/sessions", response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def make_session(request: Request, body: NewSession) -> MadeSession:
    """Make a session in which somebody shows that they are alive."""
    return _told_once(*await made(request, body, None))


@router.post(f"{VERIFY}/sessions", response_model_exclude_none=True, openapi_extra=VERIFY_BODY)
@allowed(*KEEPERS, kinds=KEYS)
async def make_verify_session(request: Request) -> MadeSession:
    """Make a session in which somebody shows that they are alive, and whom a picture shows."""
    if content_type(request) != "multipart/form-data":
        return _told_once(*await made(request, new_verify(await json_of(request)), None))
    async with request.form(max_files=1, max_fields=1) as form:
        body = new_verify(str(form.get("Parameters", "")))
        image = await image_in(form, "VerifyImage")
    if not image:
        raise bad_argument("VerifyImage is missing, or empty.")
    return _told_once(*await made(request, body, await counterpart_of(rooms_of(request), image)))


def _add_operations(base: str, *, verify: bool) -> None:
    """Add what both kinds of sessions have in common."""

    @router.get(f"{base}/sessions", response_model_exclude_none=True)
    @allowed(*KEEPERS, kinds=KEYS)
    async def list_sessions(
        request: Request,
        start: Annotated[str, Query(max_length=64)] = "",
        top: Annotated[int, Query(ge=1, le=MAX_TOP)] = MAX_TOP,
    ) -> list[SessionItem]:
        """List the sessions that this key made, by id."""
        sessions = rooms_of(request).sessions
        found = sessions.listed(who_is(request).voice, verify=verify, after=start, most=top)
        return [item_of(sessions, one) for one in found]

    @router.get(f"{base}/sessions/{{sessionId}}", response_model_exclude_none=True)
    @allowed(*KEEPERS, kinds=KEYS)
    async def session_result(request: Request, session_id: SessionId) -> SessionAnswer:
        """Return a session, with what the newest showing came to."""
        return answer_of(rooms_of(request).sessions, session_of(request, session_id, verify=verify))

    @router.get(f"{base}/sessions/{{sessionId}}/audit", response_model_exclude_none=True)
    @allowed(*KEEPERS, kinds=KEYS)
    async def session_audit(
        request: Request,
        session_id: SessionId,
        start: Annotated[str, Query(max_length=64, pattern=r"^[0-9]*$")] = "",
        top: Annotated[int, Query(ge=1, le=MAX_TOP)] = MAX_TOP,
    ) -> list[AuditEntry]:
        """List what every showing came to, in order."""
        session = session_of(request, session_id, verify=verify)
        return [entry_of(session, one) for one in session.attempts if one.number > int(start or 0)][:top]

    @router.delete(f"{base}/sessions/{{sessionId}}", response_class=Response)
    @allowed(*KEEPERS, kinds=KEYS)
    async def delete_session(request: Request, session_id: SessionId) -> Response:
        """End a session: its token, its results and its pictures are gone."""
        rooms_of(request).sessions.end(session_of(request, session_id, verify=verify))
        return Response()

    @router.post(
        base,
        openapi_extra=FRAMES,
        response_model=Judgement,
        response_model_exclude_none=True,
        responses={204: {"description": "Taken; the result is told to whoever made the session."}},
    )
    @for_showing
    async def show(request: Request) -> Response:
        """Show a face in the session of the bearer's token, by frames of one camera."""
        session = rooms_of(request).sessions.by_id(who_is(request).name)
        if session is None or session.wish.verify is not verify:
            raise _no_session()
        return await _shown(request, session)


_add_operations(PLAIN, verify=False)
_add_operations(VERIFY, verify=True)


@router.get("/session/sessionImages/{sessionImageId}", response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def session_image(
    request: Request, image_id: Annotated[str, Path(alias="sessionImageId", max_length=64)]
) -> Response:
    """Return a session's picture: head and shoulders, JPEG, every other face covered."""
    return Response(session_image_of(request, image_id), media_type="application/octet-stream")


async def made(request: Request, body: NewSession, counterpart: Counterpart | None) -> tuple[Session, str]:
    """Return a new session and its token. Raises FaceApiError, ReaderAwayError, HardwareError."""
    rooms, voice = rooms_of(request), who_is(request).voice
    wish = _wish(body, rooms.installation.settings.device.id)
    if wish.at_door and wish.verify and counterpart is None:
        raise bad_argument("A session at the door has its VerifyImage from the start.")
    session, token = rooms.sessions.make(voice, wish, counterpart)
    # What is over goes when it is over, whether or not anybody asks for a session then.
    going = asyncio.get_running_loop().call_later(KEPT_S, rooms.sessions.forget_old)
    session.on_end.append(going.cancel)
    if wish.at_door:
        try:
            await look_at_the_door(rooms, session, voice, Sent(f"/door/{wish.device}", "CAMERA"))
        except ApplianceError as fault:
            rooms.sessions.end(session)
            raise _conflict(fault) from fault
    return session, token


def _told_once(session: Session, token: str) -> MadeSession:
    other = session.counterpart
    image = None if other is None else verify_image_of(other.rectangle, other.grade)
    return MadeSession(session_id=session.session_id, auth_token=token, verify_image=image)


def _wish(body: NewSession, device_id: str) -> Wish:
    """Return what is asked for. Raises FaceApiError for what is not done here, and what contradicts itself."""
    if body.liveness_operation_mode is not OperationMode.PASSIVE:
        raise not_supported("livenessOperationMode PassiveActive; nobody is asked to move here, Passive is done")
    if body.device_correlation_id_set_in_client is (body.device_correlation_id is not None):
        raise bad_argument("Either deviceCorrelationId is given, or deviceCorrelationIdSetInClient is true.")
    verify = body if isinstance(body, NewVerifySession) else None
    return Wish(
        verify=verify is not None,
        at_door=body.device_correlation_id == device_id,
        token_s=body.auth_token_time_to_live_in_seconds,
        device=body.device_correlation_id or "",
        tells=body.send_results_to_client,
        keeps_image=body.enable_session_image,
        tells_hash=verify is not None and verify.return_verify_image_hash,
        least_confidence=(verify and verify.verify_confidence_threshold) or 0.0,
    )


async def _shown(request: Request, session: Session) -> Response:
    if session.wish.at_door:
        raise bad_argument("This session is for the door's own camera; it takes no frames.")
    async with request.form(max_files=MOST_FRAMES + 1, max_fields=4) as form:
        frames = [await one.read() for one in form.getlist("frames") if isinstance(one, UploadFile)]
        times = _times(str(form.get("capturedAtMs", "")))
        image = await image_in(form, "VerifyImage")
    if not LEAST_FRAMES <= len(frames) <= MOST_FRAMES:
        raise bad_argument(f"{len(frames)} frames were sent; {LEAST_FRAMES} to {MOST_FRAMES} are taken.")
    if session.wish.verify is not (bool(image) or session.counterpart is not None) or (image and session.counterpart):
        raise bad_argument("VerifyImage is given once, and only where somebody is verified: here, or with the session.")
    film = Film(frames, [at / 1000 for at in times], image)
    try:
        attempt = await show_film(rooms_of(request), session, _sent(request), film)
    except ApplianceError as fault:
        raise _conflict(fault) from fault
    headers = {"apim-request-id": attempt.request_id}
    if not session.wish.tells:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    told = judgement_of(attempt).model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(told, headers=headers)


def _conflict(fault: ApplianceError) -> ApplianceError:
    """Return what is told of a session that cannot be carried on now; every other fault is told as it is."""
    if isinstance(fault, RefusedError) and not isinstance(fault, PhotoError):
        return FaceApiError(HTTPStatus.CONFLICT, "SessionConflict", str(fault))
    return fault


def session_of(request: Request, session_id: str, *, verify: bool) -> Session:
    """Return a session that whoever asks has made. Raises FaceApiError."""
    try:
        return rooms_of(request).sessions.get(who_is(request).voice, session_id, verify=verify)
    except RefusedError as fault:
        raise _no_session() from fault


def _no_session() -> FaceApiError:
    return FaceApiError(HTTPStatus.NOT_FOUND, "SessionNotFound", "The session is not found, or it is over.")


def new_verify(said: dict[str, Any] | str) -> NewVerifySession:
    """Return what is asked for. Raises RequestValidationError."""
    try:
        if isinstance(said, str):
            return NewVerifySession.model_validate_json(said)
        return NewVerifySession.model_validate(said)
    except ValidationError as fault:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in fault.errors()]) from fault


def _times(said: str) -> list[float]:
    try:
        return _TIMES.validate_json(said)
    except ValidationError as fault:
        raise bad_argument(f"capturedAtMs is no JSON array of 0 to {MAX_FILM_MS} milliseconds.") from fault


async def image_in(form: FormData, name: str) -> bytes:
    """Return the picture in a form; b"" where there is none. Raises FaceApiError for one that is too large."""
    sent = form.get(name)
    image = await sent.read() if isinstance(sent, UploadFile) else b""
    if len(image) > MAX_IMAGE:
        raise FaceApiError(HTTPStatus.BAD_REQUEST, "InvalidImageSize", "Image size is too big.")
    return image


def _sent(request: Request) -> Sent:
    """Return how a request describes itself."""
    heads = request.headers
    length = heads.get("content-length", "")
    return Sent(
        request.url.path,
        request.method,
        content_type(request),
        int(length) if length.isdigit() else 0,
        heads.get("user-agent", "")[:256],
        heads.get("x-ms-client-request-id", heads.get("client-request-id", ""))[:128],
    )
