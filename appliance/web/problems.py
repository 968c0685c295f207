"""Problems: what a fault is in HTTP, as a page for people or as problem+json (RFC 9457) for programs."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from appliance.errors import ApplianceError, PhotoError, RefusedError, StorageError, UsageError
from appliance.sparing import SparingLog
from appliance.web.desk import BusyError
from appliance.web.guard import NobodyError, NotAllowedError
from appliance.web.limits import TooManyError
from appliance.web.reader import ReaderAwayError

if TYPE_CHECKING:
    from starlette.requests import Request

_log = SparingLog(logging.getLogger(__name__))  # anybody can have us be too busy

_STATUS: tuple[tuple[type[ApplianceError], HTTPStatus], ...] = (  # the first that fits
    (NobodyError, HTTPStatus.UNAUTHORIZED),
    (NotAllowedError, HTTPStatus.FORBIDDEN),
    (TooManyError, HTTPStatus.TOO_MANY_REQUESTS),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ReaderAwayError, HTTPStatus.SERVICE_UNAVAILABLE),
    (StorageError, HTTPStatus.SERVICE_UNAVAILABLE),
    (PhotoError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (RefusedError, HTTPStatus.CONFLICT),
)


def status_of(fault: ApplianceError) -> HTTPStatus:
    """Return what this fault is in HTTP."""
    return next((status for kind, status in _STATUS if isinstance(fault, kind)), HTTPStatus.SERVICE_UNAVAILABLE)


def headers_of(fault: Exception) -> dict[str, str]:
    """Return the headers that go with this fault: when to come back, where that may help."""
    if isinstance(fault, TooManyError):
        return fault.headers
    if isinstance(fault, ApplianceError) and status_of(fault) is HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": "2"}
    return {}


def problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return a problem detail: `type`, `title`, `status`, `detail`."""
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def told_to_programs(_request: Request, fault: Exception) -> JSONResponse:
    """Answer with what went wrong, in one line."""
    status = status_of(fault) if isinstance(fault, ApplianceError) else HTTPStatus.INTERNAL_SERVER_ERROR
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning(str(fault))
    return problem(status, str(fault), headers_of(fault))
