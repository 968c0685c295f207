"""The schedules page: a week to look at, and rules that are changed without losing anybody's words."""

from __future__ import annotations

import html
import re
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.contract import EventType, Role
from tests.broker import wait_for
from tests.web.conftest import context_of
from tests.web.files import RULES, with_files
from tests.web.running import web_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from playwright.sync_api import Browser

    from appliance.commands.options import Installation
    from tests.web.running import Door, Web


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """Give an installation with files of settings and rules."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        yield with_files(Path(folder))


@pytest.fixture
def rules(installation: Installation) -> Path:
    """Give the rules' file, as it is shipped."""
    file = installation.rules_file
    assert file is not None
    file.write_text(RULES, encoding="utf-8")
    return file


def field(text: str, name: str) -> str:
    """Return the value of a hidden field or text area of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', text) or re.search(
        rf'name="{name}"[^>]*>\n(.*?)</textarea>', text, re.DOTALL
    )
    assert found is not None
    return html.unescape(found[1])


def looked_at(client: httpx.Client, web: Web, **fields: str | list[str]) -> httpx.Response:
    """Send a form of the schedules page; return the page that says what would change."""
    version = field(client.get("/schedules").text, "version")
    asked = {"csrf": web.csrf(Role.ADMIN), "version": version, **fields}
    return client.post("/schedules/change", data=asked)


def kept(client: httpx.Client, web: Web, page: httpx.Response) -> httpx.Response:
    """Keep what a page says would change."""
    asked = {"csrf": web.csrf(Role.ADMIN), "version": field(page.text, "version"), "text": field(page.text, "text")}
    return client.post("/schedules/save", data=asked)


def test_week_is_shown_and_who_may_enter(web: Web, rules: Path) -> None:
    """Whoever may read the rules sees each week, each group and each holiday; who may not change them has no form."""
    assert rules.exists()
    with web.client(Role.OPERATOR) as client:
        text = client.get("/schedules").text
    assert "Mon-Fri 07:00-19:00" in text
    assert "Good Friday" in text
    assert "a second person of managers must come" in text
    assert text.count('class="bar" x=') == 6 + 5 + 14
    assert "/schedules/change" not in text


def test_change_keeps_every_comment(web: Web, rules: Path, installation: Installation) -> None:
    """J8: a schedule changed in the form is changed in the file, which keeps its comments, and is in the log."""
    with web.client(Role.ADMIN) as client:
        page = looked_at(
            client,
            web,
            act="schedule",
            name="office",
            holidays="closed",
            day0=["Mon", "Tue", "Wed", "Thu", "Fri"],
            from0="06:30",
            to0="20:00",
        )
        assert "Mon-Fri 06:30-20:00" in page.text
        assert rules.read_text(encoding="utf-8") == RULES
        assert kept(client, web, page).headers["location"] == "/schedules"
    after = rules.read_text(encoding="utf-8")
    assert tomllib.loads(after)["schedules"]["office"]["periods"] == ["Mon-Fri 06:30-20:00"]
    assert len(set(RULES.split("\n")) ^ set(after.split("\n"))) == 2
    assert rules.with_name("access.toml.bak").read_text(encoding="utf-8") == RULES
    with installation.open_audit() as audit:
        last = list(audit.read())[-1].event
    assert (last.event_type, last.method) == (EventType.CONFIG_CHANGED, "web")
    assert last.detail == "access rules changed: schedules.office.periods"


def test_holidays_come_and_go(web: Web, rules: Path) -> None:
    """A holiday is put in and taken out; a day that is none is refused in one line."""
    with web.client(Role.ADMIN) as client:
        page = looked_at(client, web, act="holiday", name='A "long" day', first="2027-05-01", last="", yearly="yes")
        kept(client, web, page)
        assert tomllib.loads(rules.read_text(encoding="utf-8"))["holidays"]['A "long" day'] == "05-01"
        kept(client, web, looked_at(client, web, act="drop_holiday", name="Good Friday"))
        assert "Good Friday" not in rules.read_text(encoding="utf-8")
        refused = looked_at(client, web, act="holiday", name="x", first="2027-02-30")
    assert (refused.status_code, "there is no such day" in refused.text) == (422, True)


def test_schedule_in_use_is_not_taken_out(web: Web, rules: Path) -> None:
    """A schedule that a group has is not taken out: the line names who has it, and nothing can be kept."""
    with web.client(Role.ADMIN) as client:
        page = looked_at(client, web, act="drop_schedule", name="office")
    assert page.status_code == 422
    assert "there is no [schedules.office]" in html.unescape(page.text)
    assert "Keep this change" not in page.text
    assert rules.read_text(encoding="utf-8") == RULES


def test_somebody_else_was_quicker(web: Web, rules: Path) -> None:
    """E17: of two admins who change one file, the second is told, and the first one's change stays."""
    with web.client(Role.ADMIN) as client:
        page = looked_at(client, web, act="drop_holiday", name="New Year")
        theirs = RULES.replace('"Mon-Fri 08:30-17:00"', '"Mon-Fri 09:30-17:00"')
        rules.write_text(theirs, encoding="utf-8")
        refused = kept(client, web, page)
        form = {
            "csrf": web.csrf(Role.ADMIN),
            "version": field(page.text, "version"),
            "act": "drop_holiday",
            "name": "x",
        }
        stale = client.post("/schedules/change", data=form)
    assert (refused.status_code, "was changed meanwhile" in refused.text) == (409, True)
    assert stale.status_code == 409
    assert rules.read_text(encoding="utf-8") == theirs


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['reboot']",
        "include = '/etc/passwd'",
        'time_zone = "../../../etc/passwd"',
        'time_zone = "UTC"\n[groups.a]\ndoors = ["*"]\nschedule = "$(reboot)"',
        "time_zone = " + "[" * 5000,
        "\0",
        "",
    ],
)
def test_hostile_rules_are_one_line(web: Web, rules: Path, text: str) -> None:
    """E13: YAML tags, includes, paths and commands in a text are refused in one line, and never carried out."""
    with web.client(Role.ADMIN) as client:
        form = {"csrf": web.csrf(Role.ADMIN), "version": field(client.get("/schedules").text, "version"), "text": text}
        for path in ("/schedules/preview", "/schedules/save"):
            answer = client.post(path, data=form)
            assert answer.status_code == 422, (path, answer.text)
    assert rules.read_text(encoding="utf-8") == RULES


def test_broken_file_is_told_and_mended(web: Web, rules: Path) -> None:
    """E13: a file with a fault in it is told in one line, no form bends it further, and its text can be mended."""
    rules.write_text("time_zone = UTC", encoding="utf-8")
    with web.client(Role.ADMIN) as client:
        assert "is not TOML" in client.get("/schedules").text
        text = client.get("/schedules/text").text
        form = {"csrf": web.csrf(Role.ADMIN), "version": field(text, "version")}
        for act in ("drop_holiday", "drop_schedule"):
            answer = client.post("/schedules/change", data={**form, "act": act, "name": "x"})
            assert (answer.status_code, "is not TOML" in answer.text) == (422, True)
        assert client.post("/schedules/save", data={**form, "text": RULES}).status_code == 303
    assert rules.read_text(encoding="utf-8") == RULES


def test_nobody_else_may_change_rules(web: Web, rules: Path) -> None:
    """E12: every other role is refused the forms and the text, whatever it sends."""
    for role in set(Role) - {Role.ADMIN}:
        with web.client(role) as client:
            form = {"csrf": web.csrf(role), "text": 'time_zone = "UTC"', "version": ""}
            assert client.get("/schedules/text").status_code == 403
            assert {
                client.post(f"/schedules/{one}", data=form).status_code for one in ("preview", "save", "change")
            } == {403}
    assert rules.read_text(encoding="utf-8") == RULES


def test_reader_takes_the_change_in(web: Web, rules: Path, door: Door, chromium: Browser) -> None:
    """A change made in a browser is in force at the door within seconds, and the page says since when."""
    with context_of(chromium, web, Role.ADMIN) as context:
        page = context.new_page()
        page.goto("/schedules")
        week = page.locator("#schedule-reception")
        week.get_by_text("Change reception").click()
        week.locator('[name="from0"]').fill("05:15")
        week.get_by_role("button", name="See what changes").click()
        page.get_by_role("cell", name="Mon-Fri 05:15-17:00").wait_for()
        page.get_by_role("button", name="Keep this change").click()
        page.wait_for_url("**/schedules")
        wait_for(lambda: any("read anew" in event.event.detail for event in door.events))
        page.reload()
        page.get_by_text("took in the last one").wait_for()
        assert page.locator("#schedule-reception .bar").count() > 0
    assert 'periods = ["Mon-Fri 05:15-17:00"]' in rules.read_text(encoding="utf-8")


def test_first_rules_are_made_on_the_page() -> None:
    """Where there are no rules yet the page says what that means, and offers a beginning that is valid."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        bare = with_files(Path(folder), rules="")
        with web_of(bare) as web, web.client(Role.ADMIN) as client:
            assert "whoever is enrolled may enter" in client.get("/schedules").text
            text = client.get("/schedules/text").text
            form = {"csrf": web.csrf(Role.ADMIN), "version": field(text, "version"), "text": field(text, "text")}
            assert client.post("/schedules/preview", data=form).status_code == 200
            assert client.post("/schedules/save", data=form).status_code == 303
        assert bare.open_rules().rules is not None
