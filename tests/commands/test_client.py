"""`ostiary client`: who may send commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from appliance.cli import root
from appliance.errors import RefusedError, UsageError

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
