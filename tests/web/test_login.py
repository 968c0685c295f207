"""Signing in and out, with a password and with a code."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pyotp
import pytest

from appliance.contract import Role
from appliance.people.keyring import Keyring
from appliance.web.accounts import IDLE_S, SECOND_STEP_S, SESSION_S, Accounts, Kind
from appliance.web.factors import STEP_S
from tests.web.running import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.web.running import Web


class Clock:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the seconds since 1970."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    """Give accounts with one admin, ada."""
    Keyring(tmp_path / "keys.db").close()
    with Accounts(tmp_path / "web.db", clock) as made:
        made.add("ada", Role.ADMIN, "hash")
        yield made


def sign_in(client: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
    """Send the form to sign in with."""
    return client.post("/login", data={"name": name, "password": password})


def csrf_of(page: str) -> str:
    """Return what the forms of a page hold."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_a_password_opens_a_new_session(web: Web) -> None:
    """E8: sign-in gives a secret that nobody had before, to no script and to no other site; the old one is over."""
    with web.client(None) as client:
        client.cookies.set("ostiary", "chosen-by-somebody-else", domain="127.0.0.1")
        answer = sign_in(client, " Auditor ")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        first = client.cookies["ostiary"]
        assert "chosen" not in cookie
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(re.split("; ", cookie))
        assert client.get("/me").status_code == 200
        sign_in(client, "auditor")
        second = client.cookies["ostiary"]
    assert first != second
    with httpx.Client(base_url=web.url, cookies={"ostiary": first}) as thief:
        assert thief.get("/me").status_code == 303
    with httpx.Client(base_url=web.url, cookies={"ostiary": second}) as owner:
        assert owner.get("/me").status_code == 200


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("admin", "wrong password"),
        ("nobody", PASSWORD),
        ("admin' OR '1'='1", PASSWORD),
        ("admin'; DROP TABLE account; --", PASSWORD),
        ("admin\x00", PASSWORD),
        ("admin", "' OR 1=1 --"),
        ("admin", PASSWORD + "\x00"),
        ("admin", "x" * 60_000),
        ("ádmin", PASSWORD),
    ],
)
def test_anything_else_does_not(web: Web, name: str, password: str) -> None:
    """E2: SQL, NUL bytes and long texts are a wrong name or password like any other, told in the same words."""
    with web.client(None) as client:
        answer = sign_in(client, name, password)
    assert answer.status_code == 401
    assert "the name or the password is wrong" in answer.text
    assert "set-cookie" not in answer.headers
    with Accounts(web.installation.web_file) as accounts:
        assert len(accounts.accounts()) == len(Role)


def test_the_hash_of_a_password_is_no_password(web: Web) -> None:
    """E9: what lies in the database signs nobody in, neither the hash nor the digest of a session."""
    with Accounts(web.installation.web_file) as accounts:
        stored = accounts.password_hash("operator")
        digest = accounts.sessions("operator")[0].digest if web.session(Role.OPERATOR) else ""
    with web.client(None) as client:
        assert sign_in(client, "operator", stored).status_code == 401
        client.cookies.set("ostiary", digest, domain="127.0.0.1")
        assert client.get("/me").status_code == 303


@pytest.mark.parametrize("secret", ["", "x", "0" * 43, "' OR 1=1 --", "../../etc/passwd"])
def test_a_forged_session_is_nobodys(web: Web, secret: str) -> None:
    """E8: a session that nobody was given leads to the page to sign in on, and changes nothing."""
    with httpx.Client(base_url=web.url, headers={"Cookie": f"ostiary={secret}"}) as client:
        assert client.get("/me").headers["location"] == "/login"
        assert client.post("/logout", data={"csrf": ""}).status_code == 401


def test_signing_out_ends_the_session_on_the_device(web: Web) -> None:
    """E9: the request that signed in cannot be used again once its session is over: the cookie is worth nothing."""
    with web.client(None) as client:
        sign_in(client, "enroller")
        kept = client.cookies["ostiary"]
        answer = client.post("/logout", data={"csrf": csrf_of(client.get("/me").text)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        client.cookies.set("ostiary", kept, domain="127.0.0.1")
        assert client.get("/me").status_code == 303


def test_sessions_end_by_themselves(accounts: Accounts, clock: Clock) -> None:
    """E8: after half an hour of nothing, after 12 hours of anything, and when the clock was set back."""
    idle = accounts.begin_session("ada")
    clock.now += IDLE_S
    assert accounts.session(idle) is None
    busy, begun = accounts.begin_session("ada"), clock.now
    while clock.now - begun < SESSION_S - IDLE_S / 2:
        clock.now += IDLE_S / 2
        assert accounts.session(busy) is not None
    clock.now += IDLE_S / 2
    assert accounts.session(busy) is None
    late = accounts.begin_session("ada")
    clock.now -= 60
    assert accounts.session(late) is None


@pytest.mark.parametrize("change", ["disable", "set_role", "set_password", "end_sessions"])
def test_a_change_of_an_account_ends_its_sessions(accounts: Accounts, change: str) -> None:
    """E8: a session does not outlive its account's password, its role or the account; the other's stay."""
    accounts.add("bob", Role.OPERATOR, "hash")
    bobs, adas = accounts.begin_session("bob"), accounts.begin_session("ada")
    further: dict[str, tuple[object, ...]] = {"set_role": (Role.AUDITOR,), "set_password": ("other",)}
    getattr(accounts, change)("bob", *further.get(change, ()))
    assert accounts.session(bobs) is None
    assert accounts.session(adas) is not None


def test_half_a_session_opens_nothing(accounts: Accounts, clock: Clock) -> None:
    """E8: whoever has given the password and owes the code is nobody, and has five minutes."""
    half = accounts.begin_session("ada", half=True)
    assert accounts.session(half) is None
    assert accounts.sessions("ada") == ()
    assert accounts.half_session(half) == "ada"
    clock.now += SECOND_STEP_S
    assert accounts.half_session(half) == ""
    assert accounts.half_session(accounts.begin_session("ada")) == ""


def test_a_code_is_good_once(accounts: Accounts, clock: Clock, tmp_path: Path) -> None:
    """E9: an authenticator's code, once used, is used: at once, in the next step, and after a restart."""
    secret = accounts.factors.begin_totp("ada")
    totp = pyotp.TOTP(secret)
    assert not accounts.factors.has_totp("ada")
    accounts.factors.confirm_totp("ada", totp.at(int(clock.now)), clock.now)
    assert accounts.factors.has_totp("ada")
    assert not accounts.factors.accepts_code("ada", totp.at(int(clock.now)), clock.now)
    clock.now += 3 * STEP_S
    code = totp.at(int(clock.now))
    early, late = totp.at(int(clock.now) - 2 * STEP_S), totp.at(int(clock.now) + 2 * STEP_S)
    assert [accounts.factors.accepts_code("ada", one, clock.now) for one in (early, late, "", "000 000 ")] == [
        False
    ] * 4
    assert accounts.factors.accepts_code("ada", f"{code[:3]} {code[3:]}", clock.now)
    with Accounts(tmp_path / "web.db", clock) as again:
        assert not again.factors.accepts_code("ada", code, clock.now + STEP_S)
        assert again.factors.accepts_code("ada", totp.at(int(clock.now) + STEP_S), clock.now)


def test_recovery_codes_are_good_once_each(accounts: Accounts, clock: Clock) -> None:
    """E9: ten codes stand in for a lost authenticator, however they are written, each once, for their owner."""
    totp = pyotp.TOTP(accounts.factors.begin_totp("ada"))
    codes = accounts.factors.confirm_totp("ada", totp.at(int(clock.now)), clock.now)
    assert len(set(codes)) == 10
    assert not accounts.factors.accepts_code("bob", codes[0], clock.now)
    assert accounts.factors.accepts_code("ada", codes[0].lower().replace("-", " "), clock.now)
    assert not accounts.factors.accepts_code("ada", codes[0], clock.now)
    assert accounts.factors.recovery_codes_left("ada") == 9
    accounts.factors.new_recovery_codes("ada")
    assert not accounts.factors.accepts_code("ada", codes[1], clock.now)


def test_what_opens_an_account_does_not_lie_in_the_file(accounts: Accounts, clock: Clock, tmp_path: Path) -> None:
    """J9: neither a session, a key, a recovery code nor an authenticator's secret can be read in the database."""
    secret = accounts.factors.begin_totp("ada")
    codes = accounts.factors.confirm_totp("ada", pyotp.TOTP(secret).at(int(clock.now)), clock.now)
    session, key = accounts.begin_session("ada"), accounts.add_key("k", Role.AUDITOR)
    with closing(sqlite3.connect(tmp_path / "web.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (tmp_path / "web.db").read_bytes()
    for told in (secret, session, key, *codes, *(code.replace("-", "") for code in codes)):
        assert told.encode() not in content
    assert b"ada" in content


def test_a_kiosk_is_not_an_account(accounts: Accounts) -> None:
    """E8: the session of the screen at the door has no role, whatever account has its name."""
    accounts.add("kiosk", Role.OPERATOR, "hash")
    who = accounts.session(accounts.begin_session("kiosk", Kind.KIOSK))
    assert who is not None
    assert (who.kind, who.role) == (Kind.KIOSK, None)


def test_a_second_step_is_asked_for(web: Web) -> None:
    """E9: with an authenticator, a password alone is nobody, and a used code is wrong."""
    with Accounts(web.installation.web_file) as accounts:
        totp = pyotp.TOTP(accounts.factors.begin_totp("recogniser"))
        before = time.time() - STEP_S
        codes = accounts.factors.confirm_totp("recogniser", totp.at(int(before)), before)
    with web.client(None) as client:
        assert sign_in(client, "recogniser").headers["location"] == "/login/code"
        half = client.cookies["ostiary"]
        assert client.get("/me").status_code == 303
        assert client.get("/login/code").status_code == 200
        assert client.post("/login/code", data={"code": "000000"}).status_code == 401
        assert client.post("/login/code", data={"code": codes[0]}).headers["location"] == "/"
        assert client.cookies["ostiary"] != half
        assert client.get("/me").status_code == 200
    with httpx.Client(base_url=web.url, cookies={"ostiary": half}) as thief:
        assert thief.get("/me").status_code == 303
        assert thief.get("/login/code").headers["location"] == "/login"
