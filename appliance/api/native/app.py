"""The application that is mounted at `/api/v1`, and the document that says what it does."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse

from appliance.api.native import clients, door, enrolments, events, faces, factors, people, rules, tickets
from appliance.api.native.idempotency import HEADER
from appliance.api.native.problems import Problem, answer_problems
from appliance.api.native.routes import for_roles, policy_of, router
from appliance.contract import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/api/v1"
_TITLE = "Ostiary"
_ABOUT = (
    "One door: its state, its people, its visitors and its record. In words, with examples: docs/api.md. Every fault "
    "is a problem detail (RFC 9457)."
)
_REF = "#/components/schemas/Problem"
_PROBLEM = {"description": "A problem.", "content": {"application/problem+json": {"schema": {"$ref": _REF}}}}
_TAG = {"ETag": {"description": "the version of what is answered", "schema": {"type": "string"}}}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "the ETag it was read with",
}
_IF_NONE = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "ETags that are there",
}
_KEY = {
    "name": HEADER,
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "printable ASCII, chosen anew for each thing to be done; sent again it gives the first answer",
}
_VERSIONED = frozenset({"/people", "/people/{person_id}", "/rules", "/tickets/{ticket_id}/image"})
_DEMANDING = frozenset({("patch", "/people/{person_id}"), ("put", "/rules")})

_UNUSED = frozenset({"HTTPValidationError", "ValidationError"})  # FastAPI's own; a problem detail stands for them

_about = router("about")


@_about.get("/openapi.json")
@for_roles(Role)
async def openapi(request: Request) -> JSONResponse:  # noqa: ARG001 - the guard reads it
    """Give this document."""
    return JSONResponse(document())


_PARTS = (*(part.api for part in (door, tickets, people, factors, enrolments, events, rules, faces, clients)), _about)


def make_native() -> FastAPI:
    """Return the application."""
    app = FastAPI(title=_TITLE, docs_url=None, redoc_url=None, openapi_url=None)
    for part in _PARTS:
        app.include_router(part)
    answer_problems(app)
    return app


native = make_native()


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document: every operation with its roles, its problems and its headers."""
    found: dict[str, Any] = get_openapi(
        title=_TITLE,
        version="1.0.0",
        openapi_version="3.1.0",
        description=_ABOUT,
        routes=native.routes,
        servers=[{"url": PATH}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    parts = found["components"]
    parts["schemas"] = {name: one for name, one in parts["schemas"].items() if name not in _UNUSED} | _schemas()
    parts["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    found["security"] = [{"key": []}, {"bearer": []}]
    for route, method, operation in _operations(found):
        _complete(operation, route, method)
    return found


def _schemas() -> dict[str, Any]:
    """Return what no route names: the problem detail, what stands in the streams."""
    found: dict[str, Any] = {}
    for model in (Problem, enrolments.EnrolmentStep):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        found |= schema.pop("$defs", {}) | {model.__name__: schema}
    return found


def routes() -> tuple[APIRoute, ...]:
    """Return every route, in the order of the document."""
    return tuple(route for part in _PARTS for route in part.routes if isinstance(route, APIRoute))


def _operations(found: dict[str, Any]) -> Iterator[tuple[APIRoute, str, dict[str, Any]]]:
    for route in routes():
        for method in sorted(route.methods or ()):
            yield route, method.lower(), found["paths"][route.path][method.lower()]


def _complete(operation: dict[str, Any], route: APIRoute, method: str) -> None:
    roles = sorted(policy_of(route).roles)
    operation["x-roles"] = roles
    operation["description"] = f"{operation.get('description', '')}\n\nFor: {', '.join(roles)}.".strip()
    operation["operationId"] = f"{operation['tags'][0]}_{route.name}"
    answers = operation["responses"]
    answers.pop("422", None)
    answers |= {"4XX": _PROBLEM, "503": _PROBLEM}
    parameters = operation.setdefault("parameters", [])
    if method == "post" and route.name != "start":  # a stream is not kept
        parameters.append(_KEY)
    if (method, route.path) in _DEMANDING:
        parameters.append(_IF_MATCH | {"required": True})
    if method == "delete" and route.path == "/people/{person_id}":
        parameters.append(_IF_MATCH)
    if route.path in _VERSIONED and method != "post":
        answers["200"]["headers"] = _TAG
    if route.path in _VERSIONED and method == "get":
        parameters.append(_IF_NONE)
        answers["304"] = {"description": "Not changed.", "headers": _TAG}
    if not parameters:
        del operation["parameters"]
