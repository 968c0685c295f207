"""Pictures of every page, on a simulated appliance with a few people and a visitor before the door.

Needs Chromium. Nobody is shown but the portraits that are shipped with the simulated camera.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from playwright.sync_api import sync_playwright

from appliance import manifest
from appliance.contract import Role
from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES, Visit
from appliance.errors import UsageError
from appliance.local_socket import answer
from appliance.people.enrolment import CLI, Particulars, Photo, enrol
from appliance.people.groups import add_group, rule_of
from appliance.people.person import Consent
from appliance.people.references import Standard
from appliance.pipeline.reading import open_face_reader
from tests.web.files import RULES, with_files
from tests.web.running import door_of, web_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from appliance.commands.options import Installation
    from tests.web.running import Door, Web

WIDTHS = (390, 800, 1440)
HEIGHTS = {390: 844, 800: 1000, 1440: 900}
PATHS = (
    *("/login", "/", "/door", "/schedules", "/explain", "/people", "/people/ADA", "/people/ADA/erase"),
    *(
        "/people/ADA/alike",
        "/enrol",
        "/invitations",
        "/offers",
        "/groups",
        "/attempts",
        "/audit",
        "/commissioning",
        "/settings",
        "/clients",
    ),
    *("/settings", "/clients", "/accounts", "/keys", "/backup", "/me"),
)


# At whatever hour the pictures are made, the person enrolled is let in by their face.
_AT_NIGHT = 'factor = "any"\nfactor_inside = "night"\n'
_RESIDENTS = '\n[groups.residents]\ndoors = ["*"]\n'
OPEN = frozenset({"/login"})


@dataclass(frozen=True, slots=True)
class Shown:
    """What the pictures are taken of, and where they go."""

    browser: Browser
    web: Web
    door: Door
    out: Path
    ada: str  # id of the person enrolled
    whole: bool


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), default=Path("screenshots"), show_default=True)
@click.option("--whole/--window", default=True, help="The whole page, or what a window of it shows.")
def main(paths: tuple[str, ...], *, out: Path, whole: bool) -> None:
    """Write OUT/NAME-WIDTH-SCHEME.png of each of PATHS, or of every page; ADA in a path is the person enrolled."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        installation = with_files(Path(folder), RULES.replace(_AT_NIGHT, "") + _RESIDENTS)
        ada = _settle(installation)
        with door_of(installation) as door, web_of(installation) as web, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
            with closing(browser):
                _visit(door)
                shown = Shown(browser, web, door, out, ada, whole)
                for scheme, width, path in itertools.product(("light", "dark"), WIDTHS, paths or PATHS):
                    _take(shown, scheme, width, path)


def _settle(installation: Installation) -> str:
    """Enrol whom the simulated camera shows, make a group or two, and return the id."""
    settings = installation.settings
    measured = manifest.embedder(settings.recognition, installation.models_folder).measured
    standard = Standard(measured.impostors, settings.recognition.target_fpir, accept_medium=True)
    photo = Photo("portrait", read_photo(FACES / "astronaut.png"))
    consent = Consent("Ada", datetime.now(UTC), "en", recorded_by="admin")
    reader = open_face_reader(settings, installation.models_folder)
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        add_group(gallery, audit, "staff", None)
        add_group(gallery, audit, "guests", rule_of(["guest"], [], ["active"]))
        enrolled = enrol(
            gallery,
            audit,
            [photo],
            "Ada",
            consent=consent,
            reader=reader,
            standard=standard,
            particulars=Particulars(groups=frozenset({"staff", "residents"}), tags=frozenset({"guest"})),
            actor=CLI,
        )
    return enrolled.person.person_id


def _visit(door: Door) -> None:
    """Let the enrolled person come in, so that something has happened."""
    door.script.play(Visit(for_s=3.0, pause_s=0.2))
    door.script.wait_until_empty()


def _take(shown: Shown, scheme: str, width: int, path: str) -> None:
    view = {"width": width, "height": HEIGHTS[width]}
    context = shown.browser.new_context(base_url=shown.web.url, viewport=view, color_scheme=scheme)
    if path not in OPEN:
        context.add_cookies([{"name": "ostiary", "value": shown.web.session(Role.ADMIN), "url": shown.web.url}])
    if path == "/":  # somebody whom a human is asked about
        shown.door.script.play(Visit(face="official", for_s=6.0, pause_s=0.1))
    page = context.new_page()
    page.goto(path.replace("ADA", shown.ada))
    if path == "/":
        _await_ticket(page)
    name = path.strip("/").replace("/", "-").lower() or "overview"
    page.screenshot(path=shown.out / f"{name}-{width}-{scheme}.png", full_page=shown.whole)
    context.close()
    if path == "/":
        _denied(shown.web)
        shown.door.script.wait_until_empty()


def _denied(web: Web) -> None:
    """Answer every open ticket, so that the next picture shows one."""
    said = answer(web.installation.reader_socket, {"verb": "ticket.list", "role": "admin"}, 5.0) or {"tickets": []}
    for ticket in said["tickets"]:
        asked = {"verb": "do", "by": "web:admin", "role": "admin", "method": "web", "command": "deny"}
        answer(web.installation.reader_socket, asked | {"args": {"ticket_id": ticket["ticket_id"]}}, 5.0)


def _await_ticket(page: Page) -> None:
    page.locator(".ticket img").first.wait_for(timeout=15_000)
    time.sleep(0.3)  # for the picture


def _chromium() -> str:
    program = shutil.which("chromium")
    if program is None:
        raise UsageError("the pictures need a real browser: apt install chromium")
    return program


if __name__ == "__main__":
    sys.exit(main())
