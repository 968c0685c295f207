"""Idempotency keys: a request that is sent again, because its answer was lost, is not carried out again.

After draft-ietf-httpapi-idempotency-key-header: the same key with the same request gives the first answer, with another
request 422, and while the first is being carried out 409.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from appliance.api.native.problems import BeganError, OtherRequestError
from appliance.errors import ApplianceError, HardwareError, UsageError
from appliance.web.answers import Answered
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from appliance.web.answers import Before

HEADER = "Idempotency-Key"
MAX_KEY = 255


async def once(request: Request, carry_out: Callable[[Request], Awaitable[Response]]) -> Response:
    """Return the answer to a request, or the one it had before under the same key.

    Where nothing was done, the key is free again; where that is not known, it stays taken. Raises UsageError for a key
    that cannot be, OtherRequestError, BeganError; what `carry_out` raises passes through.
    """
    key = _key_of(request)
    if not key:
        return await carry_out(request)
    voice, said = who_is(request).voice, await _said(request)
    answers = rooms_of(request).answers
    before = await answers.run(lambda book: book.begin(voice, key, said))
    if before is not None:
        return _again(before)
    try:
        answer = await carry_out(request)
    except (ApplianceError, HTTPException, RequestValidationError) as fault:
        if type(fault) is not HardwareError:  # a reader that did not answer may have done it all the same
            await answers.run(lambda book: book.forget(voice, key))
        raise
    done = _kept(answer)
    if done is None:
        await answers.run(lambda book: book.forget(voice, key))
    else:
        await answers.run(lambda book: book.keep(voice, key, done))
    return answer


def _key_of(request: Request) -> str:
    """Return the key, a Structured Field string or the bare text; "" for none. Raises UsageError."""
    told = request.headers.get(HEADER)
    if told is None:
        return ""
    key = told.strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1]
    if not (1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise UsageError(f"the header {HEADER} is {told!r:.80}; 1 to {MAX_KEY} printable ASCII characters are allowed")
    return key


async def _said(request: Request) -> bytes:
    """Return what makes a request the same as another: what it asks for and its body, whatever separates its parts."""
    kind, body = request.headers.get("content-type", ""), await request.body()
    _, found, boundary = kind.partition("boundary=")
    if found:  # a client that tries again chooses another
        body = body.replace(boundary.strip('"').encode(), b"")
    return json.dumps([request.url.path, request.url.query, kind.partition(";")[0]]).encode() + body


def _again(before: Before) -> Response:
    if not before.same:
        raise OtherRequestError(f"this {HEADER} came with another request before; use a new one")
    if before.answer is None:
        raise BeganError(f"a request with this {HEADER} is being carried out, or was cut short; look what came of it")
    told = before.answer
    headers = {"Location": told.location} if told.location else {}
    return Response(told.body, told.status, headers | {"Idempotency-Replayed": "true"}, told.media_type)


def _kept(answer: Response) -> Answered | None:
    """Return what is kept of an answer; None for one that says that nothing was done, and for a stream."""
    body = getattr(answer, "body", None)
    if answer.status_code >= 400 or not isinstance(body, bytes):
        return None
    kind, location = answer.headers.get("content-type", ""), answer.headers.get("location", "")
    return Answered(answer.status_code, kind, location, body.decode())
