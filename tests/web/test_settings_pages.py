"""The settings page, and the page that explains who may enter."""

from __future__ import annotations

import html
import re
import tempfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.contract import EventType, Role
from appliance.people.person import Consent
from appliance.records import Embedding, Grade, frozen
from appliance.settings_keys import keys
from appliance.toml_text import comments, with_value
from appliance.web.rules_desk import ON_THE_DEVICE
from tests.web.files import with_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.commands.options import Installation
    from tests.web.running import Web


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """Give an installation with files of settings and rules."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        yield with_files(Path(folder))


@pytest.fixture
def file(installation: Installation) -> Iterator[Path]:
    """Give the settings' file, and put it back afterwards."""
    assert installation.config_file is not None
    text = installation.config_file.read_text(encoding="utf-8")
    yield installation.config_file
    installation.config_file.write_text(text, encoding="utf-8")


def field(text: str, name: str) -> str:
    """Return the value of a hidden field or text area of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', text) or re.search(
        rf'name="{name}"[^>]*>\n(.*?)</textarea>', text, re.DOTALL
    )
    assert found is not None
    return html.unescape(found[1])


def changed(client: httpx.Client, web: Web, section: str, **fields: str) -> httpx.Response:
    """Send the form of one section."""
    version = field(client.get("/settings").text, "version")
    form = {"csrf": web.csrf(Role.ADMIN), "version": version, "section": section}
    form |= {f"key.{name}": value for name, value in fields.items()}
    return client.post("/settings/change", data=form)


def test_every_key_says_what_it_is_for(web: Web) -> None:
    """Every key of the settings stands on the page, with its words from the file that comes with the program."""
    with web.client(Role.AUDITOR) as client:
        text = html.unescape(client.get("/settings").text)
    for key in keys():
        assert f"<code>{key.name}</code>" in text, key
    shipped = Path(__file__).parents[2] / "firmware_config" / "appliance.toml"
    assert comments(shipped.read_text(encoding="utf-8"))["door.held_open_s"] in text
    assert "/settings/change" not in text


def test_change_is_looked_at_kept_and_told(web: Web, file: Path, installation: Installation) -> None:
    """J8: what a form changes is said first, then kept with every comment, and the log has the keys, not the values."""
    before = file.read_text(encoding="utf-8")
    with web.client(Role.ADMIN) as client:
        page = changed(client, web, "door", unlock_s="3", relock="on_close")
        assert "door.unlock_s" in page.text
        assert file.read_text(encoding="utf-8") == before
        form = {"csrf": web.csrf(Role.ADMIN), "version": field(page.text, "version"), "text": field(page.text, "text")}
        assert client.post("/settings/save", data=form).status_code == 303
        text = client.get("/settings").text
    after = file.read_text(encoding="utf-8")
    assert tomllib.loads(after)["door"] == {"unlock_s": 3.0, "relock": "on_close"}
    assert set(before.split("\n")) <= set(after.split("\n"))
    assert "still 5.0 until the next start" in text
    with installation.open_audit() as audit:
        last = list(audit.read())[-1].event
    assert (last.event_type, last.detail) == (EventType.CONFIG_CHANGED, "settings changed: door.unlock_s, door.relock")


@pytest.mark.parametrize(
    ("section", "fields", "words"),
    [
        ("door", {"unlock_s": "300"}, "door.unlock_s is 300.0"),
        ("door", {"unlock_s": "nan"}, "door.unlock_s is 'nan'"),
        ("door", {"unlock_s": "soon"}, "door.unlock_s is 'soon'"),
        ("device", {"id": "../../etc/passwd"}, "device.id is '../../etc/passwd'"),
        ("device", {"id": "$(reboot)"}, "device.id is '$(reboot)'"),
        ("web", {"host": "0.0.0.0"}, "web.cert_file is empty"),  # noqa: S104 - which is refused
        ("mqtt", {"enabled": "maybe"}, "mqtt.enabled is 'maybe'"),
        ("nothing", {"x": "1"}, "does not say what to change"),
    ],
)
def test_wrong_value_is_one_line(web: Web, file: Path, section: str, fields: dict[str, str], words: str) -> None:
    """E3, E13: a value out of range, of the wrong type or a command is refused in the line that a start would say."""
    before = file.read_text(encoding="utf-8")
    with web.client(Role.ADMIN) as client:
        page = changed(client, web, section, **fields)
    assert (page.status_code, words.lower() in html.unescape(page.text).lower()) == (422, True)
    assert "Keep this change" not in page.text
    assert file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("key", sorted(ON_THE_DEVICE))
def test_what_names_a_file_is_changed_on_the_device(web: Web, file: Path, key: str) -> None:
    """E4, E13: no path, address or pipeline of programs comes in over the web, in the form or in the whole text."""
    before = file.read_text(encoding="utf-8")
    section, name = key.split(".")
    path = "filesrc location=/etc/shadow ! fdsink"
    with web.client(Role.ADMIN) as client:
        page = changed(client, web, section, **{name: path})
        assert page.status_code == 422
        text = with_value(before, (section,), name, path)
        form = {"csrf": web.csrf(Role.ADMIN), "version": field(page.text, "version"), "text": text}
        answer = client.post("/settings/save", data=form)
    assert answer.status_code in {409, 422}
    if section != "web":  # there both names go together, which is said first
        assert f"{key} is changed on the device alone" in page.text.lower()
        assert f"{key} is changed on the device alone" in answer.text.lower()
    assert file.read_text(encoding="utf-8") == before


def test_second_admin_is_told(web: Web, file: Path) -> None:
    """E17: a form that was made from an older file changes nothing."""
    with web.client(Role.ADMIN) as client:
        version = field(client.get("/settings").text, "version")
        theirs = file.read_text(encoding="utf-8") + "\n[door]\nunlock_s = 4.0\n"
        file.write_text(theirs, encoding="utf-8")
        form = {"csrf": web.csrf(Role.ADMIN), "version": version, "section": "door", "key.unlock_s": "3"}
        assert client.post("/settings/change", data=form).status_code == 409
        text = {"csrf": web.csrf(Role.ADMIN), "version": version, "text": "[door]\nunlock_s = 3.0\n"}
        assert client.post("/settings/save", data=text).status_code == 409
        assert "was changed meanwhile" in client.post("/settings/preview", data=text).text
    assert file.read_text(encoding="utf-8") == theirs


def test_form_changes_what_was_changed_in_it(web: Web, file: Path) -> None:
    """A section's form, sent back as it was shown, changes nothing: each field is its own key and no other."""
    assert file.exists()
    with web.client(Role.ADMIN) as client:
        text = client.get("/settings").text
        for section in ("device", "mqtt", "door", "consent"):
            shown = text.split(f'id="{section}"')[1].split("</details>")[0]
            fields = dict(re.findall(r'name="(key\.\w+)" value="([^"]*)"', shown))
            for name, options in re.findall(r'name="(key\.\w+)">(.*?)</select>', shown):
                fields[name] = re.findall(r"<option selected>([^<]*)", options)[0]
            assert bool(fields) is ("<button" in shown)
            if fields:
                form = {"csrf": web.csrf(Role.ADMIN), "version": field(text, "version"), "section": section, **fields}
                page = client.post("/settings/change", data=form)
                assert (page.status_code, "Nothing changes" in page.text) == (200, True), section


def test_settings_are_for_admins_to_change(web: Web, file: Path) -> None:
    """E12: auditors read, nobody but an admin changes, and who is neither sees nothing."""
    before = file.read_text(encoding="utf-8")
    for role in set(Role) - {Role.ADMIN}:
        with web.client(role) as client:
            form = {"csrf": web.csrf(role), "text": "", "version": "", "section": "door"}
            sent = [client.post(f"/settings/{verb}", data=form) for verb in ("change", "preview", "save")]
            sent.append(client.get("/settings/text"))
            assert {answer.status_code for answer in sent} == {403}
            assert client.get("/settings").status_code == (200 if role is Role.AUDITOR else 403)
    assert file.read_text(encoding="utf-8") == before


def explained(web: Web, role: Role, **fields: str) -> tuple[int, str]:
    """Ask the explain page."""
    with web.client(role) as client:
        answer = client.post("/explain", data={"csrf": web.csrf(role), **fields})
    return answer.status_code, html.unescape(answer.text)


@pytest.fixture(scope="module")
def ada(installation: Installation) -> str:
    """Enrol somebody of no group, without a face, and return the id."""
    with installation.open_gallery() as gallery:
        vector = np.zeros(128, np.float32)
        vector[0] = 1.0
        consent = Consent("Ada", datetime.now(UTC), "en")
        face = Embedding(frozen(vector), "a-test")
        return gallery.add("Ada <b>Lovelace</b>", consent, [(face, Grade.HIGH)]).person_id


def test_explains_to_whoever_may_know(web: Web, ada: str) -> None:
    """E14: the page says why; a name is text, and only whoever may see people gets it or may give it."""
    status, text = explained(web, Role.ADMIN, person=ada, at="2026-11-24T10:00")
    assert status == 200
    assert "may not enter (no_door_right)" in text
    assert "Ada <b>Lovelace</b> is in no group" in text
    with web.client(Role.ADMIN) as client:
        raw = client.post("/explain", data={"csrf": web.csrf(Role.ADMIN), "person": ada}).text
    assert "<b>Lovelace" not in raw
    status, text = explained(web, Role.OPERATOR, person=ada)
    assert (status, ada in text, "Lovelace" in text) == (200, True, False)
    status, text = explained(web, Role.OPERATOR, person="Ada <b>Lovelace</b>")
    assert (status, "is enrolled under the id" in text) == (422, True)
    assert explained(web, Role.RECOGNISER, person=ada)[0] == 403


@pytest.mark.parametrize("at", ["tomorrow", "2026-13-01", "' OR 1=1 --", "2026-03-29T01:30"])
def test_time_that_is_none_is_one_line(web: Web, ada: str, at: str) -> None:
    """E2, H4: a time that does not exist, or is none, is refused in one line."""
    status, text = explained(web, Role.ADMIN, person=ada, at=at)
    assert (status, f"time is {at!r}" in text) == (422, True)
