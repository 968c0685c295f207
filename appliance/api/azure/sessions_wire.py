"""Liveness sessions as they go over the wire, in the names of the face service's previews v1.1 and v1.2."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from appliance.api.azure.wire import Confidence, FaceRectangle, Wire
from appliance.faces.life import Life

if TYPE_CHECKING:
    from appliance.faces.detect import Rectangle
    from appliance.faces.sessions import Attempt, LivenessSessions, Session
    from appliance.records import Grade

DECISIONS = {Life.REAL: "realface", Life.SPOOF: "spoofface", Life.UNCERTAIN: "uncertain"}
MAX_DEVICE = 128  # characters


class OperationMode(StrEnum):
    """How somebody shows that they are alive; the second, with movements that are asked for, is not done here."""

    PASSIVE = "Passive"
    PASSIVE_ACTIVE = "PassiveActive"


class LivenessModel(StrEnum):
    """Names of the service's liveness models; each means the ones here, whose own names are told with a result."""

    V2022_10_15_PREVIEW_04 = "2022-10-15-preview.04"
    V2023_12_20_PREVIEW_06 = "2023-12-20-preview.06"


class NewSession(Wire):
    """A session to be made."""

    liveness_operation_mode: OperationMode
    send_results_to_client: bool = False
    device_correlation_id_set_in_client: bool = False
    device_correlation_id: Annotated[str, Field(min_length=1, max_length=MAX_DEVICE)] | None = Field(
        None, description="The device that shows the face; the id of this device stands for the door's own camera."
    )
    enable_session_image: bool = False
    liveness_single_modal_model: LivenessModel | None = None
    auth_token_time_to_live_in_seconds: Annotated[int, Field(ge=60, le=86_400)] = 600


class NewVerifySession(NewSession):
    """A session to be made whose face is compared with a picture."""

    return_verify_image_hash: bool = False
    verify_confidence_threshold: Confidence | None = Field(
        None, description="It can raise the threshold, and not lower it."
    )


class VerifyImage(Wire):
    """The face that is compared with."""

    face_rectangle: FaceRectangle
    quality_for_recognition: str = Field(description="low, medium or high")


class MadeSession(Wire):
    """A new session, and the token by which a face may be shown in it."""

    session_id: str
    auth_token: str
    verify_image: VerifyImage | None = None


class SessionItem(Wire):
    """A session, as it is listed."""

    id: str
    created_date_time: datetime
    session_start_date_time: datetime | None = None
    session_expired: bool
    device_correlation_id: str | None = None
    auth_token_time_to_live_in_seconds: int


class VerifyResult(Wire):
    """Whether it is the person of the picture: never where the face was not called real."""

    verify_image: VerifyImage
    match_confidence: Confidence
    is_identical: bool


class Target(Wire):
    """The face that was judged, and in which frame it lies there."""

    face_rectangle: FaceRectangle
    file_name: str = Field(description="The number of the frame, from 1; `door` for the door's own camera.")
    time_offset_within_file: int = Field(description="Milliseconds after the first frame.")
    image_type: str = "Color"


class Judgement(Wire):
    """What a showing came to."""

    liveness_decision: str = Field(description="realface, spoofface or uncertain")
    target: Target | None = None
    model_version_used: str | None = None
    verify_result: VerifyResult | None = None


class AuditRequest(Wire):
    """The request by which a face was shown."""

    url: str
    method: str
    content_length: int
    content_type: str
    user_agent: str


class AuditResponse(Wire):
    """What was answered to it."""

    body: Judgement
    status_code: int
    latency_in_milliseconds: int


class AuditEntry(Wire):
    """One showing of a face."""

    id: int
    session_id: str
    request_id: str
    client_request_id: str
    received_date_time: datetime
    request: AuditRequest
    response: AuditResponse
    digest: str = Field(description="SHA-256 of the frames, one after another; empty for the door's own camera.")
    session_image_id: str | None = None
    verify_image_hash: str | None = None


class SessionAnswer(SessionItem):
    """A session, and what the newest showing came to."""

    status: str = Field(description="NotStarted, Started or ResultAvailable")
    result: AuditEntry | None = None


def item_of(sessions: LivenessSessions, session: Session) -> SessionItem:
    """Return a session as it is listed."""
    return SessionItem(
        id=session.session_id,
        created_date_time=session.created_at,
        session_start_date_time=session.started_at,
        session_expired=sessions.expired(session),
        device_correlation_id=session.wish.device or None,
        auth_token_time_to_live_in_seconds=session.wish.token_s,
    )


def answer_of(sessions: LivenessSessions, session: Session) -> SessionAnswer:
    """Return a session with its result."""
    newest = session.attempts[-1] if session.attempts else None
    started = "Started" if session.started_at is not None else "NotStarted"
    return SessionAnswer(
        **item_of(sessions, session).model_dump(),
        status=started if newest is None else "ResultAvailable",
        result=None if newest is None else entry_of(session, newest),
    )


def entry_of(session: Session, attempt: Attempt) -> AuditEntry:
    """Return one showing of a face."""
    sent = attempt.sent
    return AuditEntry(
        id=attempt.number,
        session_id=session.session_id,
        request_id=attempt.request_id,
        client_request_id=sent.client_request_id,
        received_date_time=attempt.received_at,
        request=AuditRequest(
            url=sent.url,
            method=sent.method,
            content_length=sent.length,
            content_type=sent.content_type,
            user_agent=sent.agent,
        ),
        response=AuditResponse(
            body=judgement_of(attempt),
            status_code=200 if session.wish.tells or session.wish.at_door else 204,
            latency_in_milliseconds=attempt.took_ms,
        ),
        digest=attempt.digest,
        session_image_id=attempt.image_id or None,
        verify_image_hash=attempt.sha256 or None,
    )


def judgement_of(attempt: Attempt) -> Judgement:
    """Return what a showing came to."""
    at, comparison = attempt.target, attempt.comparison
    target = None
    if at is not None:
        name = str(attempt.frame) if attempt.frame else "door"
        target = Target(face_rectangle=rectangle_of(at), file_name=name, time_offset_within_file=attempt.frame_ms)
    verified = None
    if comparison is not None:
        verified = VerifyResult(
            verify_image=verify_image_of(comparison.rectangle, comparison.grade),
            match_confidence=comparison.confidence,
            is_identical=comparison.same,
        )
    return Judgement(
        liveness_decision=DECISIONS[attempt.life],
        target=target,
        model_version_used=attempt.model_id or None,
        verify_result=verified,
    )


def verify_image_of(at: Rectangle, grade: Grade) -> VerifyImage:
    """Return the face that is compared with."""
    return VerifyImage(face_rectangle=rectangle_of(at), quality_for_recognition=grade.name.lower())


def rectangle_of(at: Rectangle) -> FaceRectangle:
    """Return where a face lies."""
    return FaceRectangle(top=at.top_px, left=at.left_px, width=at.width_px, height=at.height_px)
