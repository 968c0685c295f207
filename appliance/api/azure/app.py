"""The application of the face interface, mounted at `/face`: every version answers alike."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from appliance import __version__
from appliance.api.azure import compare, detect, lists, people, sessions, sessions_stable, wire
from appliance.api.azure.detect import KEYS
from appliance.api.azure.errors import told
from appliance.contract import Role
from appliance.errors import ApplianceError
from appliance.web.accounts import Kind
from appliance.web.guard import allowed, guard

PATH = "/face"
ROUTERS = (detect.router, compare.router, lists.router, people.router, sessions.router, sessions_stable.router)


def _of_version(version: Annotated[wire.Version, Path()]) -> None:
    """Take a version that is known, and none else."""
    del version  # all are the same here


def make_face_api() -> FastAPI:
    """Return the interface; its document is at `openapi.json`."""
    api = FastAPI(
        title="Ostiary face interface",
        version=__version__,
        dependencies=[Depends(guard)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses={"default": {"model": wire.FaultAnswer, "description": "What went wrong."}},
    )
    versions = APIRouter(prefix="/{version}", dependencies=[Depends(_of_version)])
    for router in ROUTERS:
        versions.include_router(router)
    api.include_router(versions)
    for fault in (ApplianceError, HTTPException, RequestValidationError):
        api.add_exception_handler(fault, told)

    @api.get("/openapi.json", include_in_schema=False)
    @allowed(*Role, kinds=KEYS | {Kind.ACCOUNT})
    async def document(request: Request) -> dict[str, Any]:  # noqa: ARG001 - the guard's
        """Return the OpenAPI document of this interface."""
        return document_of(api)

    return api


@cache
def document_of(api: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document: without 422, which FastAPI adds to everything and nothing here answers with."""
    found = get_openapi(
        title=api.title, version=api.version, routes=api.routes, servers=[{"url": PATH}], description=__doc__
    )
    for operations in found["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation.setdefault("security", [{"key": []}])
    schemas = found["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    key = {"type": "apiKey", "in": "header", "name": "Ocp-Apim-Subscription-Key"}
    token = {"type": "http", "scheme": "bearer", "description": "The token of one liveness session."}
    found["components"]["securitySchemes"] = {"key": key, "sessionBearer": token}
    return found
