"""The gate: what every request and every answer must be like, whatever route it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from appliance.config import WebSettings

MAX_BODY = 8 * 1024 * 1024  # an image of 6 MB, which the faces' interface refuses in its own words, and its form
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "media-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Gate:
    """Refuses what no browser or client of ours sends, and says how the answer may be used."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._names = settings.host_names
        self._tls = settings.tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._mark(MutableHeaders(scope=message))
            await send(message)

        refused = self._refusal(scope["method"], Headers(scope=scope))
        await (refused or self._app)(scope, receive, marked)

    def _mark(self, headers: MutableHeaders) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Cache-Control", "no-store")
        if self._tls:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        if _without_port(headers.get("host", "")) not in self._names:  # or a page elsewhere could point its name here
            return PlainTextResponse("the Host header names another host; web.names lists ours\n", 421)
        origin = headers.get("origin")
        if method not in _SAFE and origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return PlainTextResponse("this comes from another site\n", 403)
        if headers.get("sec-fetch-site") == "cross-site" and method not in _SAFE:
            return PlainTextResponse("this comes from another site\n", 403)
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 16 and int(length) <= MAX_BODY):
            return PlainTextResponse(f"the body is too large; {MAX_BODY} bytes are allowed\n", 413)
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()
