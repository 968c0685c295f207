"""What stands before every route: hosts, origins, sizes, times and numbers of connections, and the answers' headers."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import ValidationError

from appliance.config import Settings
from appliance.contract import Role
from appliance.web.connection import BODY_S, HEAD_S
from appliance.web.gate import MAX_BODY, MAX_BODY_OF_NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.running import Web

HEADERS = {  # written out: what the answers must say, not what we happen to send
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Dripping:
    """A connection that sends one byte now and then, until it is dropped."""

    def __init__(self, web: Web) -> None:
        self._wire = web.connect()
        self._begun_s = time.monotonic()
        self.lasted_s = float("nan")
        self._thread = threading.Thread(target=self._drip, name="dripping")
        self._thread.start()

    def end(self) -> None:
        """Wait until it was dropped."""
        self._thread.join(BODY_S)

    def _drip(self) -> None:
        with self._wire, contextlib.suppress(OSError):
            while True:
                self._wire.sendall(b"G")
                self._wire.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    if not self._wire.recv(1):
                        break
        self.lasted_s = time.monotonic() - self._begun_s


@pytest.fixture(scope="module", autouse=True)
def dripping(web: Web) -> Iterator[Dripping]:
    """Give a connection that drips from before the first test of this module."""
    one = Dripping(web)
    yield one
    one.end()


def said_to(web: Web, request: bytes) -> bytes:
    """Return everything that is answered to these bytes until the connection closes, or nothing more comes."""
    with web.connect() as wire, contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
        wire.settimeout(1)
        answer = b""
        wire.sendall(request)
        while part := wire.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8480", "127.0.0.1.evil.example", "", "localhost.", "*"])
def test_another_host_is_refused(web: Web, host: str) -> None:
    """E11: a name that somebody else points here (DNS rebinding) is served nothing, not even the page to sign in."""
    answer = httpx.get(f"{web.url}/login", headers={"Host": host})
    assert answer.status_code in {400, 421}
    assert "password" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_change_from_another_site_is_refused(web: Web, headers: dict[str, str]) -> None:
    """E11: a form or a script of another origin changes nothing, though the browser sends the cookie along."""
    with web.client(Role.ADMIN) as client:
        answer = client.post("/logout", data={"csrf": web.csrf(Role.ADMIN)}, headers=headers)
        assert (answer.status_code, answer.text) == (403, "this comes from another site\n")
        assert client.get("/").status_code == 200


def test_a_form_without_the_token_of_its_session_is_refused(web: Web) -> None:
    """E11: a form must hold what only pages of this session hold; another session's will not do."""
    with web.client(Role.ADMIN) as client:
        for data in ({"csrf": ""}, {"csrf": web.csrf(Role.AUDITOR)}, {"csrf": "x" * 43}):
            assert client.post("/logout", data=data).status_code == 403
        assert client.get("/").status_code == 200


def test_a_websocket_is_not_opened(web: Web) -> None:
    """E11: there is no WebSocket here, with an Origin or without one."""
    asked = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert b" 101 " not in said_to(web, asked).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET /?" + b"a=1&" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    ],
    ids=lambda request: repr(request[:60]),
)
def test_what_is_no_plain_request_is_refused(web: Web, request_bytes: bytes) -> None:
    """E6: HTTP/0.9, heads of a megabyte, 100,000 parameters and bodies that two readers would end at two places: 4xx.

    The connection ends there, so what stands behind is never taken for a request, and the refusal has the headers too.
    """
    answer = said_to(web, request_bytes)
    assert answer.count(b"HTTP/1.1 ") <= 1
    if answer:  # where more was sent than is read, the system may drop the answer
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
        assert b"content-security-policy: default-src 'none'" in answer.lower()


def test_a_body_with_two_ends_is_refused(web: Web) -> None:
    """E6: where a length and chunks both say where the body ends, neither is believed, however right the form is."""
    form = b"name=admin&password=wrong+again"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(form), form)
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    both = head + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(body)
    assert b"both Content-Length and Transfer-Encoding" in said_to(web, both + body)


def test_what_anybody_can_send_fills_no_log(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    """H12: requests that are none, from the first byte or amid a body, write no line."""
    caplog.clear()
    broken = b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"
    for _ in range(25):
        said_to(web, b"GET /\r\n\r\n" * 20)
        said_to(web, broken)
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


def test_a_head_of_many_fields_is_a_refusal_or_an_answer(web: Web) -> None:
    """E6: 32 KB of head fields is all that is read."""
    answer = said_to(web, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20_000 + b"\r\n")
    assert b" 200 " not in answer


@pytest.mark.parametrize(
    ("role", "size", "status"),
    [(None, MAX_BODY_OF_NOBODY + 1, 413), (Role.ADMIN, MAX_BODY + 1, 413), (Role.ADMIN, MAX_BODY_OF_NOBODY + 1, 403)],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_have_a_size(web: Web, role: Role | None, size: int, status: int, *, chunked: bool) -> None:
    """E6: whoever is not known sends a form's worth, whoever is a picture's; in chunks that say no size as well."""
    start, end = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n', b"\r\n--x--\r\n"

    def parts() -> Iterator[bytes]:
        yield start
        for at in range(0, size - len(start) - len(end), 65536):
            yield b"x" * min(65536, size - len(start) - len(end) - at)
        yield end

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with web.client(role) as client:
        path = "/login" if role is None else "/logout"
        answer = client.post(path, content=parts() if chunked else b"".join(parts()), headers=headers)
    assert answer.status_code == status


def test_a_form_of_many_fields_is_refused(web: Web) -> None:
    """E6: 100,000 fields, and a thousand files, are not read."""
    with web.client(Role.ADMIN) as client:
        fields = client.post("/logout", data={f"f{number}": "" for number in range(100_000)})
        files = client.post("/logout", files=[("file", (f"{number}", b"x")) for number in range(1001)])
    assert (fields.status_code, files.status_code) == (400, 400)


@pytest.mark.parametrize(
    ("role", "path"),
    [(None, "/login"), (Role.ADMIN, "/"), (Role.ADMIN, "/nowhere"), (None, "/static/style.css"), (None, "/static/no")],
)
def test_every_answer_has_the_headers(web: Web, role: Role | None, path: str) -> None:
    """E15: no answer can be framed, sniffed, kept or told of to others, whatever it is; a style sheet may be kept."""
    with web.client(role) as client:
        answer = client.get(path)
    own = {"Cache-Control": "no-cache"} if path.startswith("/static/") else {}
    assert {name: answer.headers.get(name) for name in HEADERS} == {**HEADERS, **own}
    assert "server" not in answer.headers


def test_refusals_at_the_gate_have_the_headers(web: Web) -> None:
    """E15: an answer that no route gave has them too."""
    answer = httpx.post(f"{web.url}/login", headers={"Origin": "https://evil.example"})
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "path",
    [
        "/static/../accounts.py",
        "/static/%2e%2e/accounts.py",
        "/static/..%2faccounts.py",
        "/static/%2e%2e%2faccounts.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/style.css%00.svg",
        "/static/..%5caccounts.py",
        "/static/....//accounts.py",
        "/static/%c0%ae%c0%ae/accounts.py",
        "/static/" + "a" * 5000,
        "/static/",
    ],
)
def test_no_path_leads_out_of_the_static_files(web: Web, path: str) -> None:
    """E4: no spelling of `..`, no absolute path, NUL or folder of the files gives anything but 404."""
    asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    answer = said_to(web, asked)
    assert answer.split(b" ")[1] in {b"404", b"400"}
    assert b"import" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "door.example.org"])  # noqa: S104 - refused
def test_plain_http_is_for_this_machine_alone(host: str) -> None:
    """D1: without a certificate nothing beyond this machine is served; the start is refused with why."""
    with pytest.raises(ValidationError, match="without TLS it must be"):
        Settings.model_validate({"web": {"host": host}})
    Settings.model_validate({"web": {"host": host, "cert_file": "web.pem", "key_file": "web.key"}})
    with pytest.raises(ValidationError, match="go together"):
        Settings.model_validate({"web": {"host": host, "cert_file": "web.pem"}})


def test_a_head_that_drips_is_given_up(dripping: Dripping) -> None:
    """E6: whoever sends a head byte by byte is dropped after 10 s, however steadily the bytes come."""
    dripping.end()
    assert HEAD_S - 0.5 <= dripping.lasted_s <= HEAD_S + 5
