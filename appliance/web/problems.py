"""Problems: what a fault is in HTTP, as a page for people or as problem+json (RFC 9457) for programs."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from appliance.errors import ApplianceError, PhotoError, RefusedError, StorageError, UsageError
from appliance.web.desk import BusyError
from appliance.web.guard import NobodyError, NotAllowedError
from appliance.web.reader import ReaderAwayError

if TYPE_CHECKING:
    from starlette.requests import Request

_log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[ApplianceError], HTTPStatus], ...] = (  # the first that fits
    (NobodyError, HTTPStatus.UNAUTHORIZED),
    (NotAllowedError, HTTPStatus.FORBIDDEN),
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


def problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return a problem detail: `type`, `title`, `status`, `detail`."""
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def told_to_programs(_request: Request, fault: Exception) -> JSONResponse:
    """Answer with what went wrong, in one line."""
    status = status_of(fault) if isinstance(fault, ApplianceError) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = {"Retry-After": "2"} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s", fault)
    return problem(status, str(fault), headers)
