"""The first account: made by whoever can read the code on the device."""

from __future__ import annotations

import json
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner

from appliance.cli import root
from appliance.contract import Role
from appliance.errors import RefusedError
from appliance.web import setup_code
from appliance.web.accounts import Accounts
from appliance.web.serve import served
from tests.web.running import PASSWORD, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.commands.options import Installation

ADA = {"name": "ada", "password": PASSWORD, "again": PASSWORD}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the place of the code."""
    return tmp_path / "setup.code"


@pytest.fixture
def fresh() -> Iterator[tuple[Installation, httpx.Client]]:
    """Give a device that nobody has set up, served."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        installation = installed(Path(folder))
        with served(installation) as url, httpx.Client(base_url=url, timeout=20) as client:
            yield installation, client


def altered(file: Path, **values: Any) -> None:  # noqa: ANN401 - of JSON
    """Write the code down with other values, as time or a reboot would leave it."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_code_is_for_its_owners_eyes(file: Path) -> None:
    """E16: the code has 60 random bits, lies in a file that its owner alone reads, and is the same until it is over."""
    code = setup_code.offer(file)
    assert code is not None
    assert len(code.code.replace("-", "")) * 5 == 60
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert setup_code.offer(file) == code
    setup_code.demand(file, code.code.lower())


@pytest.mark.parametrize("later", ["half an hour", "a reboot", "five tries"])
def test_a_code_ends(file: Path, later: str) -> None:
    """E16: after 30 minutes, a reboot or 5 tries the right code is refused, and no start makes another by itself."""
    code = setup_code.offer(file)
    assert code is not None
    if later == "half an hour":
        altered(file, made_at_s=code.made_at_s - setup_code.OPEN_S)
    elif later == "a reboot":
        altered(file, boot="00000000-0000-0000-0000-000000000000")
    else:
        for _ in range(setup_code.TRIES):
            with pytest.raises(RefusedError, match="not the set-up code"):
                setup_code.demand(file, "0000-0000-0000")
    with pytest.raises(RefusedError, match="no set-up code is open"):
        setup_code.demand(file, code.code)
    assert setup_code.offer(file) is None
    assert setup_code.offer(file) is None


def test_every_page_leads_to_the_set_up(fresh: tuple[Installation, httpx.Client]) -> None:
    """E16: on a device without an account there is nothing but the set-up, and no password that everybody knows."""
    _, client = fresh
    for path in ("/", "/people", "/accounts", "/settings"):
        assert client.get(path, follow_redirects=True).url.path == "/setup"
    assert "No set-up code is open" in client.get("/setup").text
    for name, password in (("admin", "admin"), ("ostiary", "ostiary"), ("root", " ")):
        assert client.post("/login", data={"name": name, "password": password}).status_code == 401


def test_the_code_makes_one_admin(fresh: tuple[Installation, httpx.Client]) -> None:
    """E16: the right code makes one admin, who is in the log and signed in; then the set-up is closed for ever."""
    installation, client = fresh
    code = setup_code.offer(installation.setup_file)
    assert code is not None
    form = {"code": code.code, **ADA}
    assert client.post("/setup", data=form | {"code": "0000-0000-0000"}).status_code == 409
    assert client.post("/setup", data=form | {"again": "another"}).status_code == 409
    assert client.post("/setup", data=form | {"password": "short", "again": "short"}).status_code == 409
    assert client.post("/setup", data=form | {"name": "Not a name"}).status_code == 422
    answer = client.post("/setup", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get("/accounts").status_code == 200
    assert not installation.setup_file.exists()
    with Accounts(installation.web_file) as accounts:
        assert [(one.name, one.role) for one in accounts.accounts()] == [("ada", Role.ADMIN)]
    with installation.open_audit() as audit:
        assert [entry.event.detail for entry in audit.read()] == ["account ada added as admin with the set-up code"]
    for method in ("GET", "POST"):
        answer = client.request(method, "/setup", data=form if method == "POST" else None)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_the_command_makes_a_code_only_while_nobody_is_there(tmp_path: Path) -> None:
    """E16: on the device a code can be made anew, until there is an account; then it is gone with what was open."""

    def ostiary(*words: str, said: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(root, [*words, "--state", str(tmp_path)], input=said)
        return (0 if done.exception is None else 1), done.output

    assert ostiary("web", "code")[1].startswith("set-up code: ")
    old = setup_code.offer(tmp_path / "setup.code")
    ostiary("web", "code")
    assert old is not None
    with pytest.raises(RefusedError):
        setup_code.demand(tmp_path / "setup.code", old.code)
    assert ostiary("account", "add", "ada", "--role", "admin", "--stdin", said=f"{PASSWORD}\n")[0] == 0
    assert not (tmp_path / "setup.code").exists()
    assert ostiary("web", "code")[0] == 1
