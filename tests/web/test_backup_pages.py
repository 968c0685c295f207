"""The backup page: one is made, taken away whole, and nothing of it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.backup import archive
from appliance.contract import EventType, Role
from appliance.lone import only_one

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.commands.options import Installation
    from tests.web.running import Web


def test_backup_is_whole_and_told(web: Web, installation: Installation, tmp_path: Path) -> None:
    """F12, J8: what is taken away is a whole backup; the log says who took it, and no file stays."""
    before = {path.name for path in installation.state.iterdir()}
    with web.client(Role.ADMIN) as client:
        answer = client.post("/backup", data={"csrf": web.csrf(Role.ADMIN)})
        page = client.get("/backup").text
    assert answer.headers["content-disposition"].startswith('attachment; filename="front-')
    file = tmp_path / "taken.ostiary"
    file.write_bytes(answer.content)
    with installation.open_gallery() as gallery:
        key = gallery.keyring.secret(archive.SECRET)
    read = archive.verify(file, key, installation.state)
    assert {"gallery.db", "audit.db", "web.db"} <= {one.name for one in read.contents.members}
    with installation.open_audit() as audit:
        last = list(audit.read())[-1].event
    assert (last.event_type, last.method, last.actor and last.actor.id) == (EventType.BACKED_UP, "web", "web:admin")
    assert read.seal.file_hash in page
    assert not [path for path in installation.state.iterdir() if path.name.startswith("backup-")]
    assert not any(name.startswith("backup-") for name in before)


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN}))
def test_backup_is_an_admins(web: Web, role: Role) -> None:
    """E12: nobody but an admin sees the page or takes a backup."""
    with web.client(role) as client:
        assert client.get("/backup").status_code == 403
        assert client.post("/backup", data={"csrf": web.csrf(role)}).status_code == 403


def test_backup_needs_our_own_form(web: Web) -> None:
    """E11: a page elsewhere cannot have a browser take a backup."""
    with web.client(Role.ADMIN) as client:
        assert client.post("/backup", data={"csrf": "guessed"}).status_code == 403
        assert client.post("/backup", headers={"Origin": "https://example.org"}).status_code == 403


def test_second_backup_at_once_is_refused(web: Web, installation: Installation) -> None:
    """While another backup is made the page says so in one line, and leaves nothing behind."""
    with only_one(installation.state / "backup.lock"), web.client(Role.ADMIN) as client:
        answer = client.post("/backup", data={"csrf": web.csrf(Role.ADMIN)})
    assert (answer.status_code, "wait for it" in answer.text) == (503, True)
    assert not list(installation.state.glob("backup-*.tmp"))


@pytest.mark.parametrize(
    "path", ["/backup/../../etc/shadow", "/backup/%2e%2e%2fkeys.db", "/backup/keys.db", "/backup%00"]
)
def test_no_path_comes_from_outside(web: Web, path: str) -> None:
    """E4: no file can be named here: no key, no database, nothing above."""
    with web.client(Role.ADMIN) as client:
        assert client.get(path).status_code in {400, 404}
