"""The gate: what every request and every answer must be like, whatever route it is for."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from appliance.web.guard import SAFE, UNGUARDED, address_of, asked_by, meet
from appliance.web.limits import TooManyError, network_of, requests_of_addresses
from appliance.web.problems import problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from appliance.config import WebSettings

MAX_HEAD = 32 * 1024
MAX_BODY = 8 * 1024 * 1024  # an image of 6 MB, which the faces' interface refuses in its own words, and its form
MAX_BODY_OF_NOBODY = 64 * 1024  # a form to sign in with
LARGE_AT_ONCE = 8  # bodies beyond that: what all of them take stays bounded
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "media-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
ANSWER_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # nothing leaves us; with no-referrer, our own forms have the Origin null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",  # after signing out, the way back shows nothing
}
_FILE_HEADERS = {"Cache-Control": "no-cache"}  # kept, and asked about: the same names come with the next version
FACES = "/face/"
NATIVE = "/api/"  # the interface whose faults are problem details
_KEPT = ("retry-after",)
_FOREIGN = "this comes from another site\n"


class Gate:
    """Refuses what no browser or client of ours sends, and says how the answer may be used.

    It stands around the whole application, its faults included. Belongs to the event loop.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._names = settings.host_names
        self._tls = settings.tls
        self._addresses = requests_of_addresses(settings.requests_per_s)
        self._large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._mark(scope["path"], MutableHeaders(scope=message))
            await send(message)

        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers) or await self._refusal_of_size(scope, headers)
        if refused is not None:
            await _worded(scope["path"], refused)(scope, receive, marked)
            return
        most = _most_of(Request(scope))
        with self._counted(headers):
            await self._app(scope, _measured(receive, most), marked)

    def _mark(self, path: str, headers: MutableHeaders) -> None:
        own = _FILE_HEADERS if path.startswith(UNGUARDED) else {}
        for name, value in (ANSWER_HEADERS | own).items():
            headers.setdefault(name, value)
        if self._tls:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")

    def _refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        return _refusal_of_form(scope, headers) or self._refusal_of_place(scope, headers)

    def _refusal_of_place(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        if _without_port(headers.get("host", "")) not in self._names:  # or a page elsewhere could point its name here
            return PlainTextResponse("the Host header names another host; web.names lists ours\n", 421)
        origin = headers.get("origin")
        if scope["method"] not in SAFE:
            if origin is not None and urlsplit(origin).netloc != headers["host"]:
                return PlainTextResponse(_FOREIGN, 403)
            # Another port of this host is the same site to a browser, and a different one to us.
            if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
                return PlainTextResponse(_FOREIGN, 403)
        try:
            self._addresses.take(network_of(address_of(Request(scope))))
        except TooManyError as fault:
            return PlainTextResponse(f"{fault}\n", 429, fault.headers)
        return None

    async def _refusal_of_size(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        await meet(Request(scope))
        length, most = headers.get("content-length", "0"), _most_of(Request(scope))
        if not (length.isascii() and length.isdigit() and len(length) < 16 and int(length) <= most):
            if asked_by(Request(scope)) is None and scope["path"].startswith(FACES):  # what its clients look for first
                return PlainTextResponse("access denied: the key is not known here\n", 401)
            return PlainTextResponse(f"the body is too large; {most} bytes are allowed\n", 413)
        if _is_large(headers) and self._large >= LARGE_AT_ONCE:
            return PlainTextResponse("too many uploads at once; try again\n", 503, {"Retry-After": "2"})
        return None

    @contextmanager
    def _counted(self, headers: Headers) -> Iterator[None]:
        large = _is_large(headers)
        self._large += large
        try:
            yield
        finally:
            self._large -= large


def _refusal_of_form(scope: Scope, headers: Headers) -> PlainTextResponse | None:
    if scope["http_version"] not in {"1.0", "1.1"}:
        return PlainTextResponse("this version of HTTP is not spoken here\n", 505)
    if len(scope["raw_path"]) + len(scope["query_string"]) + sum(map(len, chain(*scope["headers"]))) > MAX_HEAD:
        return PlainTextResponse(f"the head is too large; {MAX_HEAD} bytes are allowed\n", 431)
    if any(letter < " " or letter == "\x7f" for letter in scope["path"]):  # no route knows one, and no log should
        return PlainTextResponse("a control character stands in the path\n", 400)
    if "transfer-encoding" in headers and "content-length" in headers:  # two readers, two requests
        return PlainTextResponse("both Content-Length and Transfer-Encoding say where the body ends\n", 400)
    return None


def _worded(path: str, refused: PlainTextResponse) -> Response:
    """Return the refusal as whoever asks this path reads it: programs read no plain text."""
    status, line = refused.status_code, bytes(refused.body).decode().strip()
    headers = {name: refused.headers[name] for name in _KEPT if name in refused.headers}
    if path.startswith(FACES):
        return JSONResponse({"error": {"code": str(status), "message": line}}, status, headers)
    if path.startswith(NATIVE):
        return problem(HTTPStatus(status), line, headers)
    return refused


def _most_of(request: Request) -> int:
    """Return how many bytes this one may send."""
    return MAX_BODY if asked_by(request) is not None else MAX_BODY_OF_NOBODY


def _is_large(headers: Headers) -> bool:
    return "transfer-encoding" in headers or int(headers.get("content-length", "0")) > MAX_BODY_OF_NOBODY


def _measured(receive: Receive, most: int) -> Receive:
    """Return `receive`, which raises once the body is larger than it may be: in chunks it says no size beforehand."""
    received = 0

    async def measured() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(413, f"the body is too large; {most} bytes are allowed")
        return message

    return measured


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()
