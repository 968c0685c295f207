"""`ostiary client`: who may send commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from appliance.audit import AuditLog
from appliance.cli import root
from appliance.clients import Registry
from appliance.contract import EventType, Role
from appliance.errors import HardwareError, RefusedError, UsageError
from appliance.signing import fingerprint, new_key
from appliance.web.accounts import Accounts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give a state folder with a settings file beside it."""
    (tmp_path / "appliance.toml").write_text("")
    return tmp_path / "state"


def ostiary(state: Path, *words: str) -> Result:
    """Run `ostiary client` on this state folder."""
    places = ["--config", str(state.parent / "appliance.toml"), "--state", str(state)]
    return CliRunner().invoke(root, ["client", *words, *([] if words[0] == "keygen" else places)])


def test_a_client_is_made_added_listed_and_revoked(state: Path, tmp_path: Path) -> None:
    """The way of the tutorial: keygen, add, list, revoke."""
    assert "no client is known yet" in ostiary(state, "list").output
    public = ostiary(state, "keygen", str(tmp_path / "guard.key")).output.strip()
    assert ostiary(state, "add", "guard", "--role", "operator", "--key", public).exit_code == 0
    assert "operator" in ostiary(state, "list").output
    listed = json.loads(ostiary(state, "list", "--json").output)
    assert [(one["client_id"], one["role"], one["public_key"], one["revoked_at"]) for one in listed] == [
        ("guard", "operator", public, None)
    ]
    assert ostiary(state, "revoke", "guard").exit_code == 0
    assert json.loads(ostiary(state, "list", "--json").output)[0]["revoked_at"] is not None
    assert "revoked" in ostiary(state, "list").output


def test_who_came_and_who_went_is_written_down(state: Path, tmp_path: Path) -> None:
    """J8: each change of who may command is one event; one that was refused is none."""
    public = ostiary(state, "keygen", str(tmp_path / "guard.key")).output.strip()
    for words in (["add", "guard", "--role", "operator", "--key", public], ["revoke", "guard"]):
        for _ in range(2):
            ostiary(state, *words)
    with AuditLog(state / "audit.db", "ostiary", "front") as log:
        said = [(one.event.event_type, one.event.detail) for one in log.read()]
    assert said == [
        (EventType.CONFIG_CHANGED, f"client guard added as operator, key {fingerprint(public)}"),
        (EventType.CONFIG_CHANGED, "client guard revoked"),
    ]
    assert "never" in ostiary(state, "list").output


def test_without_a_reader_nobody_can_be_paired(state: Path) -> None:
    """The code would be good for nothing: exit 3, with the way that works; a silly time is a misspelling."""
    assert isinstance(ostiary(state, "pair", "--role", "operator").exception, HardwareError)
    assert isinstance(ostiary(state, "pair", "--role", "operator", "--for", "1h").exception, UsageError)
    assert ostiary(state, "pair").exit_code == 2
    join = ["join", "a/b", "--key", str(state.parent / "a.key"), "--code", "x"]
    assert isinstance(ostiary(state, *join).exception, UsageError)


def test_a_private_key_is_never_shown(state: Path, tmp_path: Path) -> None:
    """What keygen prints is the public half only."""
    printed = ostiary(state, "keygen", str(tmp_path / "guard.key")).output
    secret = (tmp_path / "guard.key").read_text().splitlines()[1]
    assert secret not in printed


def test_refusals_have_their_exit_codes(state: Path) -> None:
    """1 for what is refused, 2 for what is misspelt, with one line that names it."""
    assert isinstance(ostiary(state, "revoke", "nobody").exception, RefusedError)
    assert isinstance(ostiary(state, "add", "guard", "--role", "admin", "--key", "short").exception, UsageError)
    assert ostiary(state, "add", "guard", "--role", "king", "--key", "x").exit_code == 2


def test_check_finds_attendants_who_cannot_answer(tmp_path: Path) -> None:
    """`ostiary check` says where nobody, too few, or somebody unknown would be rung about a visitor."""
    config = tmp_path / "appliance.toml"

    def check(attendant: str) -> str:
        config.write_text(f"[mqtt]\nenabled = true\n[attendant]\n{attendant}\n")
        words = ["check", "--edge", "attendants", "--config", str(config), "--state", str(tmp_path)]
        return CliRunner().invoke(root, words).output

    assert "0 may answer tickets and 1 are needed" in check("")
    with Registry(tmp_path / "clients.db") as registry:
        for name, role in (("desk", Role.OPERATOR), ("audit", Role.AUDITOR)):
            registry.add(name, role, new_key(tmp_path / f"{name}.key"))
    assert "1 may answer tickets" in check('order = "desk"')
    assert "rings audit, guard, who may not answer" in check('order = "desk, audit; guard"')
    assert "1 may answer tickets and 2 are needed" in check('two_for = "all"')
    with Accounts(tmp_path / "web.db") as accounts:
        accounts.add("ada", Role.ADMIN, "hash")
    assert "2 may answer tickets: 1 over MQTT, 1 on the pages" in check('two_for = "all"')


def test_check_counts_those_who_answer_on_the_pages(tmp_path: Path) -> None:
    """Without a broker tickets wait on the pages: `ostiary check` says how many may answer there, or that none may."""

    def check() -> str:
        return CliRunner().invoke(root, ["check", "--edge", "attendants", "--state", str(tmp_path)]).output

    assert "none (no account, and mqtt.enabled is false)" in check()
    assert not (tmp_path / "web.db").exists()
    with Accounts(tmp_path / "web.db") as accounts:
        for name, role in (("ada", Role.ADMIN), ("bo", Role.OPERATOR), ("cy", Role.AUDITOR)):
            accounts.add(name, role, "hash")
        accounts.add_key("front-desk", Role.OPERATOR)
        accounts.disable("bo")
    assert "2 may answer tickets: 0 over MQTT, 2 on the pages or by a key" in check()
