"""The application: gate, guard, pages and interfaces, put together."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.staticfiles import StaticFiles

from appliance.api.azure import app as azure
from appliance.api.native import app as native
from appliance.errors import ApplianceError, UsageError
from appliance.web import home, kiosk, me
from appliance.web.admin import (
    accounts,
    attempts,
    audit,
    backup,
    clients,
    commissioning,
    dashboard,
    door,
    enrol,
    explain,
    groups,
    keys,
    offers,
    passes,
    people,
    person_acts,
    schedules,
    settings,
)
from appliance.web.gate import MAX_BODY
from appliance.web.guard import NobodyError, asked_by, guard
from appliance.web.pages import page, see_other
from appliance.web.problems import headers_of, status_of
from appliance.web.rooms import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from appliance.commands.options import Installation

# One router a page or a few that belong together. Interfaces for programs are mounted, with documents of their own.
PAGES: tuple[APIRouter, ...] = (
    home.router,
    kiosk.router,
    me.router,
    accounts.router,
    keys.router,
    dashboard.router,
    people.router,
    person_acts.router,
    passes.router,
    groups.router,
    enrol.router,
    offers.router,
    door.router,
    schedules.router,
    settings.router,
    explain.router,
    attempts.router,
    audit.router,
    clients.router,
    backup.router,
    commissioning.router,
)
MOUNTED: tuple[tuple[str, FastAPI], ...] = ((azure.PATH, azure.make_face_api()), (native.PATH, native.native))

# A part of a form beyond that would be written to the disk, where a face has nothing to be.
MultiPartParser.spool_max_size = MAX_BODY


def make_app(installation: Installation) -> FastAPI:
    """Return the application that serves this installation."""

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with opened(installation) as rooms:
            yield {"rooms": rooms}

    app = FastAPI(lifespan=life, dependencies=[Depends(guard)], docs_url=None, redoc_url=None, openapi_url=None)
    for router in PAGES:
        app.include_router(router)
    for path, interface in MOUNTED:
        app.mount(path, interface)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
    app.add_exception_handler(ApplianceError, _told_to_people)
    app.add_exception_handler(HTTPException, _told_to_people)
    app.add_exception_handler(RequestValidationError, _told_to_people)
    return app


async def _told_to_people(request: Request, fault: Exception) -> Response:
    """Answer with a page that says what went wrong, or to sign in."""
    if isinstance(fault, NobodyError) and asked_by(request) is None and request.method == "GET":
        return see_other("/login")
    if isinstance(fault, HTTPException):
        return page(
            request, "fault.html", status=fault.status_code, title=HTTPStatus(fault.status_code).phrase, line=""
        )
    if isinstance(fault, RequestValidationError):
        fault = UsageError(_first_of(fault))
    if not isinstance(fault, ApplianceError):
        raise fault
    status = status_of(fault)
    shown = page(request, "fault.html", status=status, title=status.phrase, line=str(fault))
    shown.headers.update(headers_of(fault))
    return shown


def _first_of(fault: RequestValidationError) -> str:
    """Return in one line which field of a form or an address is wrong, and how."""
    first = fault.errors()[0]
    return f"{first['loc'][-1]} is {first['input']!r:.60}; {first['msg'].removeprefix('Input ')}"
