"""What this interface answers where it does not do what was asked: a problem detail (RFC 9457), whatever went wrong."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from appliance.errors import ApplianceError
from appliance.web.guard import NobodyError
from appliance.web.problems import problem, told_to_programs
from appliance.web.rules_desk import ChangedMeanwhileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

_SECRET = frozenset({"pin"})  # whose value is never told back
_MOST_NAMED = 20
_AS_JSON = "application/problem+json"


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: Annotated[str, Field(description="such as body.name or query.limit")]
    value: Annotated[str, Field(description="what was sent, cut at 80 characters; empty where it is not told")] = ""
    allowed: Annotated[str, Field(description="what may stand there")]


class Problem(BaseModel):
    """A problem detail, RFC 9457."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = "about:blank"
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="one line")]
    errors: Annotated[tuple[Wrong, ...], Field(description="of a request that is not understood")] = ()


class ApiError(ApplianceError):
    """A fault that has a status of its own."""

    status = HTTPStatus.CONFLICT


class NotThereError(ApiError):
    """There is nothing of this name for whoever asks: it is not there, or not for them."""

    status = HTTPStatus.NOT_FOUND


class VersionError(ApiError):
    """What is to be changed is not what it was when it was read (412)."""

    status = HTTPStatus.PRECONDITION_FAILED


class VersionNeededError(ApiError):
    """A change must say which version it was made from (428)."""

    status = HTTPStatus.PRECONDITION_REQUIRED


class BeganError(ApiError):
    """A request with this idempotency key is being carried out, or what became of it is not known (409)."""

    status = HTTPStatus.CONFLICT


class OtherRequestError(ApiError):
    """An idempotency key came with another request before (422)."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


def answer_problems(app: FastAPI) -> None:
    """Have the application answer every fault with a problem detail."""
    app.add_exception_handler(ApplianceError, _fault)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _of_http)


async def _fault(request: Request, fault: Exception) -> JSONResponse:
    if isinstance(fault, ApiError):
        return problem(fault.status, str(fault))
    if isinstance(fault, ChangedMeanwhileError):
        return problem(HTTPStatus.PRECONDITION_FAILED, str(fault))
    answer = await told_to_programs(request, fault)
    if isinstance(fault, NobodyError):
        answer.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, 11.6.1: a 401 names a way
    return answer


async def _of_http(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)  # noqa: S101 - it was registered for nothing else
    headers = dict(fault.headers or {})
    return problem(HTTPStatus(fault.status_code), str(fault.detail), headers)


async def _not_understood(_request: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, RequestValidationError)  # noqa: S101 - likewise
    found = fault.errors()
    if any(one["loc"][:1] == ("path",) for one in found):  # no such name can be anybody's
        return problem(HTTPStatus.NOT_FOUND, "there is nothing of this name")
    broken = any(one["type"] == "json_invalid" for one in found)
    status = HTTPStatus.BAD_REQUEST if broken else HTTPStatus.UNPROCESSABLE_ENTITY
    wrong = tuple(_wrong(one) for one in found[:_MOST_NAMED])
    first = wrong[0]
    detail = f"{first.field} is {first.value}; {first.allowed}" if first.value else f"{first.field}: {first.allowed}"
    told = Problem(title=status.phrase, status=status, detail=detail, errors=wrong)
    return JSONResponse(told.model_dump(mode="json"), status, media_type=_AS_JSON)


def _wrong(one: Mapping[str, Any]) -> Wrong:
    place = [str(part) for part in one["loc"]]
    told = one["type"] not in {"missing", "json_invalid"} and not _SECRET.intersection(place)
    value = f"{one['input']!r:.80}".encode("utf-8", "replace").decode() if told else ""
    return Wrong(field=".".join(place)[:200], value=value, allowed=one["msg"].removeprefix("Input ")[:300])
