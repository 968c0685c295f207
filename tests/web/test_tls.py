"""The web over TLS, with a certificate of the house's own authority."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance.access.schedule import Moment
from appliance.certificates import PRIVATE
from appliance.errors import HardwareError
from appliance.pki import Authority, init
from appliance.web.serve import server
from tests.web.running import PASSWORD, Web, installed, web_of

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = Moment(datetime.now(UTC), clock_set=True)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give a state folder with an authority and a certificate for this machine."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as made:
        init(Path(made) / "pki", "front", PRIVATE, NOW)
        Authority(Path(made) / "pki", lambda: "").issue_server(["localhost", "127.0.0.1"], NOW)
        yield Path(made)


@pytest.fixture(scope="module")
def secure(folder: Path) -> Iterator[Web]:
    """Give a web that is served over TLS."""
    files = {
        "cert_file": str(folder / "pki/server/localhost.pem"),
        "key_file": str(folder / "pki/server/localhost.key"),
    }
    with web_of(installed(folder, web=files)) as web:
        yield web


def trusting(folder: Path) -> ssl.SSLContext:
    """Return what trusts the house's authority and nobody else."""
    return ssl.create_default_context(cafile=folder / "pki/ca.pem")


def test_a_session_over_tls_is_bound_to_the_host(secure: Web, folder: Path) -> None:
    """E8: the cookie goes over TLS alone and to this host alone; the browser is to ask for TLS for a year."""
    with httpx.Client(base_url=secure.url, verify=trusting(folder)) as client:
        answer = client.post("/login", data={"name": "auditor", "password": PASSWORD})
        assert answer.status_code == 303
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-ostiary=")
        assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
        assert client.get("/me").status_code == 200
        plain = {"Cookie": f"ostiary={client.cookies['__Host-ostiary']}"}
    with httpx.Client(base_url=secure.url, verify=trusting(folder), headers=plain) as other:
        assert other.get("/me").status_code == 303


def test_nothing_older_or_plainer_is_spoken(secure: Web, folder: Path) -> None:
    """D1: TLS below 1.2, plain HTTP on the same port, and a client that does not know the authority come to nothing."""
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{secure.url}/login")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{secure.url}/login".replace("https", "http"))
    old = trusting(folder)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert httpx.get(f"{secure.url}/healthz", verify=old).text == "ok\n"
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{secure.url}/healthz", verify=old)


@pytest.mark.parametrize("file", ["pki/ca.pem", "nowhere.pem", "pki/crl.pem"])
def test_a_certificate_that_cannot_be_used_stops_the_start(folder: Path, file: str) -> None:
    """D1: a missing file, one that is none and a key of another certificate are refused in one line, not left out."""
    files = {"cert_file": str(folder / file), "key_file": str(folder / "pki/server/localhost.key")}
    with pytest.raises(HardwareError, match="cannot be used") as refused:
        server(installed(folder, web=files))
    assert "\n" not in str(refused.value)
