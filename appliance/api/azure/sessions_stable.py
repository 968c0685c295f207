"""Liveness sessions in the form of the face service's version v1.2; they are the same as those of its previews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request
from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.responses import Response

from appliance import manifest
from appliance.api.azure.detect import KEEPERS, KEYS
from appliance.api.azure.errors import bad_argument
from appliance.api.azure.images import session_image_of
from appliance.api.azure.sessions import SessionId, image_in, made, new_verify, session_of
from appliance.api.azure.sessions_wire import (
    DECISIONS,
    NewSession,
    VerifyImage,
    rectangle_of,
    verify_image_of,
)
from appliance.api.azure.sessions_work import counterpart_of
from appliance.api.azure.wire import Confidence, FaceRectangle, Fault, Wire
from appliance.web.guard import allowed
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.faces.sessions import Attempt, Session

router = APIRouter()

MAX_FIELDS = 12
VERIFY_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "livenessOperationMode": {"type": "string", "enum": ["Passive", "PassiveActive"]},
                        "deviceCorrelationId": {"type": "string"},
                        "deviceCorrelationIdSetInClient": {"type": "boolean"},
                        "authTokenTimeToLiveInSeconds": {"type": "integer", "minimum": 60, "maximum": 86_400},
                        "enableSessionImage": {"type": "boolean"},
                        "returnVerifyImageHash": {"type": "boolean"},
                        "verifyConfidenceThreshold": {"type": "number", "minimum": 0, "maximum": 1},
                        "verifyImage": {"type": "string", "format": "binary"},
                    },
                    "required": ["livenessOperationMode", "verifyImage"],
                }
            }
        },
    }
}


class ColorTarget(Wire):
    """Where the face lies in its frame."""

    face_rectangle: FaceRectangle


class Targets(Wire):
    """The face that was judged."""

    color: ColorTarget


class Compared(Wire):
    """Whether it is the person of the picture: never where the face was not called real."""

    match_confidence: Confidence
    is_identical: bool


class Result(Wire):
    """What a showing came to."""

    liveness_decision: str = Field(description="realface, spoofface or uncertain")
    targets: Targets
    digest: str
    session_image_id: str | None = None
    verify_result: Compared | None = None
    verify_image_hash: str | None = None


class Showing(Wire):
    """One showing of a face."""

    attempt_id: int
    attempt_status: str = Field(description="Succeeded, or Failed where no face was seen")
    result: Result | None = None
    error: Fault | None = None


class Reference(VerifyImage):
    """The face that is compared with."""

    reference_type: str = "image"


class Results(Wire):
    """What came of a session, the newest showing first."""

    attempts: list[Showing]
    verify_references: list[Reference] | None = None


class StableSession(Wire):
    """A session with all that came of it."""

    session_id: str
    auth_token: str = Field(description="Told once, when the session is made; empty from then on.")
    status: str = Field(description="NotStarted, Running or Succeeded")
    model_version: str
    results: Results


def _add_operations(base: str, *, verify: bool) -> None:
    """Add what both kinds of sessions have in common."""

    @router.get(f"{base}/{{sessionId}}", response_model_exclude_none=True)
    @allowed(*KEEPERS, kinds=KEYS)
    async def session(request: Request, session_id: SessionId) -> StableSession:
        """Return a session with all that came of it."""
        return _told(request, session_of(request, session_id, verify=verify))

    @router.delete(f"{base}/{{sessionId}}", status_code=204, response_class=Response)
    @allowed(*KEEPERS, kinds=KEYS)
    async def delete_session(request: Request, session_id: SessionId) -> Response:
        """End a session: its token, its results and its pictures are gone."""
        rooms_of(request).sessions.end(session_of(request, session_id, verify=verify))
        return Response(status_code=204)


@router.post("/detectLiveness-sessions", response_model_exclude_none=True)
@allowed(*KEEPERS, kinds=KEYS)
async def make_session(request: Request, body: NewSession) -> StableSession:
    """Make a session in which somebody shows that they are alive."""
    return _told(request, *await made(request, body, None))


@router.post("/detectLivenessWithVerify-sessions", response_model_exclude_none=True, openapi_extra=VERIFY_FORM)
@allowed(*KEEPERS, kinds=KEYS)
async def make_verify_session(request: Request) -> StableSession:
    """Make a session in which somebody shows that they are alive, and whom a picture shows."""
    async with request.form(max_files=1, max_fields=MAX_FIELDS) as form:
        body = new_verify({name: one for name, one in form.items() if not isinstance(one, UploadFile)})
        image = await image_in(form, "verifyImage")
    if not image:
        raise bad_argument("verifyImage is missing, or empty.")
    return _told(request, *await made(request, body, await counterpart_of(rooms_of(request), image)))


_add_operations("/detectLiveness-sessions", verify=False)
_add_operations("/detectLivenessWithVerify-sessions", verify=True)


@router.get("/sessionImages/{sessionImageId}", response_class=Response)
@allowed(*KEEPERS, kinds=KEYS)
async def session_image(
    request: Request, image_id: Annotated[str, Path(alias="sessionImageId", max_length=64)]
) -> Response:
    """Return a session's picture: head and shoulders, JPEG, every other face covered."""
    return Response(session_image_of(request, image_id), media_type="application/octet-stream")


def _told(request: Request, session: Session, token: str = "") -> StableSession:
    installation = rooms_of(request).installation
    judges = manifest.liveness_of(installation.settings, installation.models_folder)
    other = session.counterpart
    reference = None if other is None else verify_image_of(other.rectangle, other.grade)
    return StableSession(
        session_id=session.session_id,
        auth_token=token,
        status="Succeeded" if session.attempts else "NotStarted" if session.started_at is None else "Running",
        model_version="+".join(entry.model_id for entry, _ in judges),
        results=Results(
            attempts=[_showing(one) for one in reversed(session.attempts)],
            verify_references=None if reference is None else [Reference(**reference.model_dump())],
        ),
    )


def _showing(attempt: Attempt) -> Showing:
    if attempt.target is None:
        fault = Fault(code="NoFaceDetected", message="No face was seen that could be judged.")
        return Showing(attempt_id=attempt.number, attempt_status="Failed", error=fault)
    compared, verified = attempt.comparison, None
    if compared is not None:
        verified = Compared(match_confidence=compared.confidence, is_identical=compared.same)
    result = Result(
        liveness_decision=DECISIONS[attempt.life],
        targets=Targets(color=ColorTarget(face_rectangle=rectangle_of(attempt.target))),
        digest=attempt.digest,
        session_image_id=attempt.image_id or None,
        verify_result=verified,
        verify_image_hash=attempt.sha256 or None,
    )
    return Showing(attempt_id=attempt.number, attempt_status="Succeeded", result=result)
