"""Faults as the face service tells them: `{"error": {"code", "message"}}`, with its codes.

The codes are those of Microsoft's page "Azure AI Face API error codes".
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from appliance.errors import ApplianceError, PhotoError, RefusedError, UsageError
from appliance.kept_faces.schema import AlreadyKeptError, FullError, Kind, NotKeptError, UntrainedError
from appliance.web.desk import BusyError
from appliance.web.guard import NobodyError, NotAllowedError
from appliance.web.limits import TooManyError
from appliance.web.problems import headers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

_log = logging.getLogger(__name__)

_CODES = {
    Kind.LIST: "LargeFaceList",
    Kind.GROUP: "LargePersonGroup",
    Kind.PERSON: "Person",
    Kind.FACE: "PersistedFace",
}
_KEY = "access denied: the key is not known here; it comes in the header Ocp-Apim-Subscription-Key"


class FaceApiError(ApplianceError):
    """A fault with the status and code that the face service has for it."""

    def __init__(self, status: int, code: str, message: str, inner: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.inner = status, code, inner


def bad_argument(message: str) -> FaceApiError:
    """Return the fault of a request that cannot be understood."""
    return FaceApiError(HTTPStatus.BAD_REQUEST, "BadArgument", message)


def bad_image(message: str) -> FaceApiError:
    """Return the fault of a picture that cannot be used."""
    return FaceApiError(HTTPStatus.BAD_REQUEST, "InvalidImage", message)


def not_supported(what: str) -> FaceApiError:
    """Return the fault of asking for what is not done here."""
    return FaceApiError(
        HTTPStatus.FORBIDDEN, "InvalidRequest", f"Feature is not supported: {what}", inner="UnsupportedFeature"
    )


@contextmanager
def named_in_body() -> Iterator[None]:
    """Tell of a collection that is not there as of a bad request: the path was right, what the body names is not."""
    try:
        yield
    except (NotKeptError, UntrainedError) as fault:
        if fault.kind not in {Kind.LIST, Kind.GROUP}:
            raise
        raise FaceApiError(
            HTTPStatus.BAD_REQUEST, _CODES[fault.kind] + _OF_KINDS[type(fault)][1], str(fault)
        ) from fault


async def told(_request: Request, fault: Exception) -> JSONResponse:
    """Answer with what went wrong."""
    found = _read(fault)
    if found.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s", fault)
    error: dict[str, Any] = {"code": found.code, "message": str(found)}
    if found.inner:
        error["innererror"] = {"code": found.inner, "message": str(found)}
    return JSONResponse({"error": error}, found.status, _headers(fault, found.status))


def _headers(fault: Exception, status: int) -> dict[str, str]:
    """Return when to come back where that may help; the service's own client does so whenever it is told."""
    if isinstance(fault, HTTPException):
        return dict(fault.headers or {})
    return headers_of(fault) if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE} else {}


def _read(fault: Exception) -> FaceApiError:
    if isinstance(fault, FaceApiError):
        return fault
    if isinstance(fault, RequestValidationError):
        return _of_request(fault)
    if isinstance(fault, HTTPException):
        if fault.status_code == HTTPStatus.BAD_REQUEST:
            return bad_argument("JSON parsing error: the body cannot be read")
        said = HTTPStatus(fault.status_code).phrase
        return FaceApiError(fault.status_code, str(fault.status_code), f"{said}: no such operation here")
    if isinstance(fault, NotKeptError | UntrainedError | AlreadyKeptError):
        status, what = _OF_KINDS[type(fault)]
        return FaceApiError(status, _CODES[fault.kind] + what, str(fault))
    status, code = next((told for kind, told in _KNOWN if isinstance(fault, kind)), _UNKNOWN)
    return FaceApiError(status, code, _KEY if isinstance(fault, NobodyError) else str(fault))


_OF_KINDS = {
    NotKeptError: (HTTPStatus.NOT_FOUND, "NotFound"),
    UntrainedError: (HTTPStatus.NOT_FOUND, "NotTrained"),
    AlreadyKeptError: (HTTPStatus.CONFLICT, "Exists"),
}
_UNKNOWN = (HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable")
_KNOWN: tuple[tuple[type[ApplianceError], tuple[HTTPStatus, str]], ...] = (  # the first that fits
    (NobodyError, (HTTPStatus.UNAUTHORIZED, "401")),
    (NotAllowedError, (HTTPStatus.FORBIDDEN, "PermissionDenied")),
    (TooManyError, (HTTPStatus.TOO_MANY_REQUESTS, "429")),
    (BusyError, (HTTPStatus.TOO_MANY_REQUESTS, "429")),
    (FullError, (HTTPStatus.FORBIDDEN, "QuotaExceeded")),
    (PhotoError, (HTTPStatus.BAD_REQUEST, "InvalidImage")),
    (UsageError, (HTTPStatus.BAD_REQUEST, "BadArgument")),
    (RefusedError, (HTTPStatus.BAD_REQUEST, "BadArgument")),
)


def _of_request(fault: RequestValidationError) -> FaceApiError:
    """Return the first thing that is wrong with a request, without what it held."""
    first = fault.errors()[0]
    where = [str(one) for one in first["loc"]]
    if where[:2] == ["path", "version"]:
        return FaceApiError(HTTPStatus.NOT_FOUND, "404", "Resource not found: no such version of the interface here")
    if first["type"] == "json_invalid" or where == ["body"]:
        return bad_argument("JSON parsing error: the body is not what this operation takes")
    return bad_argument(f"'{where[-1]}' is invalid: {first['msg']}")
