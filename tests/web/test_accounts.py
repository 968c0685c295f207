"""Accounts and API keys: what admins do with them, on the pages and on the command line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pyotp
import pytest
from click.testing import CliRunner

from appliance.access.pin import HASHER
from appliance.cli import root
from appliance.contract import EventType, Role
from appliance.errors import ApplianceError, RefusedError, UsageError
from appliance.web.accounts import KEY_PREFIX, Accounts, checked_account
from appliance.web.passwords import checked_password, fits, hash_password
from tests.web.running import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from tests.web.running import Web


def ostiary(state: Path, *words: str, said: str = "") -> Result:
    """Run the command on a state folder."""
    return CliRunner().invoke(root, [*words, "--state", str(state)], input=said)


def changes(web: Web) -> list[tuple[str, str]]:
    """Return who changed what of accounts and keys, as the log has it."""
    with web.installation.open_audit() as audit:
        told = [entry for entry in audit.read() if entry.event.event_type is EventType.CONFIG_CHANGED]
    return [(entry.event.actor.id if entry.event.actor else "", entry.event.detail) for entry in told]


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "123456789",
        "x" * 201,
        "1234567890",
        "Password1234",
        "aaaaaaaaaaaa",
        "ababababab",
        "ada",
        "adaadaada",
        "ada1234567",
    ],
)
def test_what_others_try_first_is_no_password(password: str) -> None:
    """E10: too short, too long, leaked lists' first, the name, and one letter again and again are refused, unquoted."""
    with pytest.raises(RefusedError) as refused:
        checked_password(password, "ada")
    assert len(password) < 5 or password not in str(refused.value)


@pytest.mark.parametrize(
    "password", ["ten letters", "correct horse battery staple", "пароль длинный", "x1" + "y" * 190 + "z2"]
)
def test_long_enough_is_good_enough(password: str) -> None:
    """E10: nobody is asked for signs, digits or capitals."""
    assert checked_password(password, "ada") == password


def test_a_password_is_kept_as_argon2id() -> None:
    """E9: RFC 9106's second choice, a salt of its own, and nobody's hash fits nothing."""
    hashed = hash_password(PASSWORD, "ada")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert fits(hashed, PASSWORD)
    assert not fits(hashed, PASSWORD.upper())
    assert not fits("", PASSWORD)
    assert not fits("damaged", PASSWORD)


@pytest.mark.parametrize("name", ["", "Ada", "a b", "../x", "a\n", "ада", "x" * 64, "-ada", "a'--", "<b>", "\u202eada"])
def test_a_name_is_plain(name: str) -> None:
    """E18: names that look like others, turn the writing round, or mean something to a shell are not names."""
    with pytest.raises(UsageError):
        checked_account(name)


def test_admins_manage_accounts_on_the_page(web: Web) -> None:
    """J8: added, promoted, disabled and enabled, each in the log once with the admin who did it."""
    before = len(changes(web))
    with web.client(Role.ADMIN) as client:

        def post(path: str, **fields: str) -> int:
            return client.post(path, data={"csrf": web.csrf(Role.ADMIN), **fields}).status_code

        assert post("/accounts", name="Eve", role="operator", password=PASSWORD, again=PASSWORD) == 303
        assert post("/accounts", name="eve", role="operator", password=PASSWORD, again=PASSWORD) == 409
        assert post("/accounts", name="mallory", role="god", password=PASSWORD, again=PASSWORD) == 422
        assert post("/accounts/eve/role", role="auditor") == 303
        assert post("/accounts/eve/disable") == 303
        assert post("/accounts/eve/enable") == 303
        assert post("/accounts/eve/password", password=PASSWORD + "!", again=PASSWORD + "!") == 303
        assert post("/accounts/eve/remove-factors") == 303
        assert post("/accounts/nobody/disable") == 409
        shown = client.get("/accounts").text
    assert "eve" in shown
    assert changes(web)[before:] == [
        ("web:admin", "account eve added as operator"),
        ("web:admin", "account eve is now auditor"),
        ("web:admin", "account eve disabled"),
        ("web:admin", "account eve enabled"),
        ("web:admin", "account eve: another password"),
        ("web:admin", "account eve: second steps and passkeys removed"),
    ]


def test_the_last_admin_stays(web: Web) -> None:
    """E16: nobody can lock everybody out: the last admin is neither disabled nor made something else."""
    with web.client(Role.ADMIN) as client:
        for path, fields in (("/accounts/admin/disable", {}), ("/accounts/admin/role", {"role": "auditor"})):
            answer = client.post(path, data={"csrf": web.csrf(Role.ADMIN), **fields})
            assert answer.status_code == 409
            assert "the last admin" in answer.text
        assert client.get("/accounts").status_code == 200


def test_one_changes_ones_own_password_and_ends_ones_other_sessions(web: Web) -> None:
    """E8: it takes the present password, ends every other session, and keeps this one; others' cannot be ended."""
    with Accounts(web.installation.web_file) as accounts:
        accounts.add("zoe", Role.OPERATOR, HASHER.hash(PASSWORD))
        other = accounts.begin_session("zoe")
    foreign = web.session(Role.AUDITOR)
    with web.client(None) as client:
        client.post("/login", data={"name": "zoe", "password": PASSWORD})
        page = client.get("/me").text
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        assert found is not None
        csrf, new = {"csrf": found[1]}, "another pass phrase"
        with Accounts(web.installation.web_file) as accounts:
            auditors = accounts.session(foreign)
        assert auditors is not None
        client.post("/me/sessions/end", data=csrf | {"digest": auditors.session})
        wrong = client.post("/me/password", data=csrf | {"password": "not mine at all", "new": new, "again": new})
        assert wrong.status_code == 409
        done = client.post("/me/password", data=csrf | {"password": PASSWORD, "new": new, "again": new})
        assert done.status_code == 303
        assert client.get("/me").status_code == 200
    with Accounts(web.installation.web_file) as accounts:
        assert accounts.session(other) is None
        assert accounts.session(foreign) is not None
        assert fits(accounts.password_hash("zoe"), new)


def test_a_key_is_shown_once_and_revoked_for_ever(web: Web) -> None:
    """J8: a key is made, used, seen to be used, and revoked on the page; its name is not used again."""
    before = len(changes(web))
    with web.client(Role.ADMIN) as client:
        csrf = {"csrf": web.csrf(Role.ADMIN)}
        assert client.post("/keys", data=csrf | {"name": "gate", "role": "enroller"}).status_code == 422
        made = client.post("/keys", data=csrf | {"name": "gate", "role": "enroller", "answers_for": "Ada Lovelace"})
        found = re.search(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{43}}", made.text)
        assert found is not None
        assert found[0] not in client.get("/keys").text
        with Accounts(web.installation.web_file) as accounts:
            who = accounts.key(found[0])
            assert who is not None
            assert (who.voice, who.role, who.answers_for) == ("key:gate", Role.ENROLLER, "Ada Lovelace")
            assert [one.used_at is not None for one in accounts.api_keys() if one.name == "gate"] == [True]
        assert client.post("/keys/gate/revoke", data=csrf).status_code == 200
        assert client.post("/keys/gate/revoke", data=csrf).status_code == 409
        assert client.post("/keys", data=csrf | {"name": "gate", "role": "auditor"}).status_code == 409
    with Accounts(web.installation.web_file) as accounts:
        assert accounts.key(found[0]) is None
    assert changes(web)[before:] == [
        ("web:admin", "API key gate added as enroller"),
        ("web:admin", "API key gate revoked"),
    ]


def test_a_key_does_not_open_pages(web: Web) -> None:
    """E8: pages are for people: a key that an admin's pages would suit is refused there."""
    secret = web.key(Role.ADMIN, answers_for="Ada Lovelace")
    with web.client(None) as client:
        for headers in ({"Authorization": f"Bearer {secret}"}, {"X-API-Key": secret}):
            assert client.get("/accounts", headers=headers).status_code == 403


def test_the_command_line_does_the_same(tmp_path: Path) -> None:
    """J8: accounts and keys on the command line, with the password typed and in no argument."""
    added = ostiary(tmp_path, "account", "add", "ada", "--role", "admin", said=f"{PASSWORD}\n{PASSWORD}\n")
    assert added.exit_code == 0
    assert PASSWORD not in added.output
    assert (
        ostiary(tmp_path, "account", "add", "bob", "--role", "operator", "--stdin", said=f"{PASSWORD}\n").exit_code == 0
    )
    assert ostiary(tmp_path, "account", "role", "bob", "--role", "auditor").exit_code == 0
    assert ostiary(tmp_path, "account", "disable", "bob").exit_code == 0
    assert ostiary(tmp_path, "account", "enable", "bob").exit_code == 0
    assert ostiary(tmp_path, "account", "password", "bob", "--stdin", said="another pass phrase\n").exit_code == 0
    assert ostiary(tmp_path, "account", "remove-factors", "bob").exit_code == 0
    listed = json.loads(ostiary(tmp_path, "account", "list", "--json").output)
    assert [(one["name"], one["role"], one["disabled_at"]) for one in listed] == [
        ("ada", "admin", None),
        ("bob", "auditor", None),
    ]
    made = ostiary(tmp_path, "key", "add", "lobby", "--role", "recogniser")
    assert made.output.startswith(KEY_PREFIX)
    assert isinstance(ostiary(tmp_path, "key", "add", "x", "--role", "enroller").exception, UsageError)
    assert "lobby" in ostiary(tmp_path, "key", "list").output
    assert ostiary(tmp_path, "key", "revoke", "lobby").exit_code == 0
    assert json.loads(ostiary(tmp_path, "key", "list", "--json").output)[0]["revoked_at"] is not None


@pytest.mark.parametrize(
    "words",
    [
        ("account", "disable", "nobody"),
        ("account", "role", "nobody", "--role", "admin"),
        ("account", "remove-factors", "nobody"),
        ("account", "add", "Nobody", "--role", "admin", "--stdin"),
        ("account", "add", "eve", "--role", "admin", "--stdin"),
        ("key", "revoke", "nobody"),
    ],
)
def test_the_command_line_refuses_in_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    """J8: what cannot be done is refused, and nothing is written down."""
    done = ostiary(tmp_path, *words, said="short\n")
    assert isinstance(done.exception, ApplianceError)
    assert "\n" not in str(done.exception)
    assert json.loads(ostiary(tmp_path, "account", "list", "--json").output) == []


def test_an_authenticator_is_turned_on_and_off_on_ones_own_page(web: Web) -> None:
    """E9: it takes the password and a code to turn it on, the password to turn it off; its codes are shown once."""
    with Accounts(web.installation.web_file) as accounts:
        accounts.add("tim", Role.AUDITOR, HASHER.hash(PASSWORD))
    with web.client(None) as client:
        client.post("/login", data={"name": "tim", "password": PASSWORD})
        found = re.search(r'name="csrf" value="([^"]+)"', client.get("/me").text)
        assert found is not None
        csrf = {"csrf": found[1]}
        assert client.post("/me/totp", data=csrf | {"password": "not the password"}).status_code == 409
        shown = client.post("/me/totp", data=csrf | {"password": PASSWORD}).text
        secret = re.search(r"<code>([A-Z2-7]{32})</code>", shown)
        assert secret is not None
        assert client.post("/me/totp/confirm", data=csrf | {"code": "000000"}).status_code == 409
        codes = client.post("/me/totp/confirm", data=csrf | {"code": pyotp.TOTP(secret[1]).now()}).text
        assert len(re.findall(r"<code>[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}</code>", codes)) == 10
        assert "10 recovery codes are left" in client.get("/me").text
        assert client.post("/me/totp", data=csrf | {"password": PASSWORD}).status_code == 409
        again = client.post("/me/recovery", data=csrf | {"password": PASSWORD}).text
        assert again != codes
        assert client.post("/me/totp/off", data=csrf | {"password": PASSWORD}).status_code == 303
        assert client.post("/me/recovery", data=csrf | {"password": PASSWORD}).status_code == 409
        assert (
            client.post("/me/passkeys/options", data=csrf | {"password": PASSWORD}).status_code == 409
        )  # by an address
        assert client.post("/me/passkeys", data=csrf | {"label": "x", "answer": "[]"}).status_code == 422
        assert client.post("/me/passkeys", data=csrf | {"label": "x", "answer": "{}"}).status_code == 409
        assert client.post("/me/passkeys/remove", data=csrf | {"passkey": "zz"}).status_code == 422
        assert client.post("/me/passkeys/remove", data=csrf | {"passkey": "00"}).status_code == 409


@pytest.mark.parametrize(
    "answer", [{}, {"rawId": "AA"}, {"rawId": 5}, {"rawId": "AA", "response": {"clientDataJSON": "e30"}}]
)
def test_an_answer_that_no_browser_gives_signs_nobody_in(web: Web, answer: dict[str, object]) -> None:
    """E9: without a challenge of ours, and a signature of a key that is known, nobody is signed in."""
    with web.client(None) as client:
        answered = client.post("/login/passkey", json=answer)
    assert answered.status_code == 401
    assert "set-cookie" not in answered.headers
