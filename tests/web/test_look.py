"""The look of all pages: contrast, width, words for whoever hears instead of seeing; each in a real browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.routing import BaseRoute, Route

from appliance.contract import EventType, Reason, Role
from appliance.records import Actor, ActorKind, Event
from appliance.web import wording
from appliance.web.app import PAGES
from tests.web.conftest import context_of
from tests.web.gallery import enrolled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page

    from appliance.commands.options import Installation
    from tests.web.running import Web

SHEET = Path(wording.__file__).with_name("static") / "style.css"
TEXT, LARGE = 4.5, 3.0  # WCAG 2.2 AA: contrast of words, and of the edges of what can be used
# What is no page: streams, pictures and files; and the door's own screen, which has tests and a look of its own.
NO_PAGES = re.compile(
    r"/(healthz|kiosk|preview|overview/changes|tickets)|/login/|/setup|\.(html|json|zip|csv|svg|png|jsonl)"
)
_CHECK = """() => {
  const found = [];
  const named = (one) => one.labels?.length || one.ariaLabel || one.getAttribute("aria-labelledby");
  for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!named(one)) found.push(`no label: ${one.outerHTML.slice(0, 90)}`);
  }
  for (const one of document.querySelectorAll("button, a[href], summary")) {
    if (!(one.textContent.trim() || one.ariaLabel)) found.push(`no words: ${one.outerHTML.slice(0, 90)}`);
  }
  for (const one of document.querySelectorAll("img:not([alt])")) found.push(`no alt: ${one.src}`);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) found.push(`twice: #${id}`);
  for (const one of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(one.getAttribute("aria-labelledby"))) found.push(`labelled by nothing: ${one.id}`);
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  let before = 1;
  for (const one of document.querySelectorAll("main h1, main h2, main h3, main h4")) {
    const level = Number(one.tagName[1]);
    if (level > before + 1) found.push(`skips to ${one.tagName}: ${one.textContent}`);
    before = level;
  }
  for (const one of ["main", "header"]) if (document.querySelectorAll(one).length < 1) found.push(`no ${one}`);
  if (!document.documentElement.lang) found.push("no language");
  return found;
}"""


def colours(scheme: str) -> dict[str, tuple[float, float, float]]:
    """Return the colours of one scheme, 0..1 each, by their names."""
    blocks = re.findall(r":root \{(.*?)\}", SHEET.read_text(encoding="utf-8"), re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6})", blocks[scheme == "dark"]))
    return {name: tuple(int(text[at : at + 2], 16) / 255 for at in (0, 2, 4)) for name, text in found.items()}  # type: ignore[misc]


def contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Return the contrast ratio of WCAG 2.2, 1..21."""

    def luminance(colour: tuple[float, float, float]) -> float:
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out(scheme: str) -> None:
    """Every colour of words has a contrast of 4.5 on whatever it stands on, edges and rings 3, in light and in dark."""
    known = colours(scheme)
    on_both = [
        (ink, on, TEXT) for ink in ("ink", "soft", "accent", "good", "warn", "bad") for on in ("ground", "paper")
    ]
    washed = [(tone, f"{tone}-wash", TEXT) for tone in ("good", "warn", "bad", "accent")]
    others = [("accent-ink", "accent", TEXT), ("edge", "paper", LARGE), ("accent", "ground", LARGE)]
    poor = {
        (ink, on): round(contrast(known[ink], known[on]), 2)
        for ink, on, least in (*on_both, *washed, *others)
        if not contrast(known[ink], known[on]) >= least
    }
    assert poor == {}


def paths(routes: list[BaseRoute], ada: str) -> Iterator[str]:
    """Give the path of every page that is shown to whoever asks, of one person and one group."""
    for route in routes:
        if isinstance(route, Route) and "GET" in (route.methods or ()) and not NO_PAGES.search(route.path):
            path = route.path.replace("{person_id}", ada).replace("{name}", "staff")
            if "{" not in path:
                yield path


@pytest.fixture(scope="module")
def every(installation: Installation) -> list[str]:
    """Give the path of every page, of an installation with somebody in it whose name would be a script."""
    (ada,) = enrolled(installation, "<img src=x onerror=alert(1)>", references=2)
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        gallery.make_group("staff")
        now, actor = datetime.now(UTC), Actor(ActorKind.OPERATOR, "web:admin")
        detail = f"person {ada}, access: groups staff; {'x' * 90}"
        kinds = [*EventType, EventType.SPOOF_SUSPECTED]  # the newest is one with a long name
        audit.append_all([Event(one, now, actor, "web", Reason.AMBIGUOUS_MATCH, detail=detail) for one in kinds])
    routes = [route for router in PAGES for route in router.routes]
    found = [path for path in paths(routes, ada) if "receipts" not in path]
    assert len(found) > 12
    assert {"/", "/people", f"/people/{ada}", "/enrol", "/groups/staff"} <= set(found)
    return found


def watched(page: Page) -> list[str]:
    """Return a list that fills with all that the browser complains of."""
    complaints: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        complaints.append(f"{page.url}: a dialog")
        dialog.dismiss()

    page.on("pageerror", lambda fault: complaints.append(f"{page.url}: {fault}"))
    page.on("dialog", dismiss)
    page.on("console", lambda line: complaints.append(f"{page.url}: {line.text}") if line.type == "error" else None)
    return complaints


def test_every_page_fits_and_can_be_heard(web: Web, chromium: Browser, every: list[str]) -> None:
    """E14: no page is wider than its window, runs what somebody is called, breaks the policy, or has what has no name.

    At 390, 800 and 1440 px; no script fails, every field has a label, every picture words, headings are in order.
    """
    faults: dict[str, Any] = {}
    with context_of(chromium, web, Role.ADMIN, viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        complaints = watched(page)
        for path in every:
            answer = page.goto(path, wait_until="load")
            found = page.evaluate(_CHECK) if answer is not None and answer.ok else [f"is {answer and answer.status}"]
            for width in (390, 800, 1440):
                page.set_viewport_size({"width": width, "height": 844})
                wide = page.evaluate("document.documentElement.scrollWidth")
                found += [f"is {wide} px wide at {width}"] * (wide > width)
            if found:
                faults[path] = found
    assert (faults, complaints) == ({}, [])


def test_pages_read_without_scripts(web: Web, chromium: Browser, every: list[str]) -> None:
    """With scripts switched off every page has its words, and the menu opens on a telephone."""
    options = {"viewport": {"width": 390, "height": 844}, "java_script_enabled": False}
    with context_of(chromium, web, Role.ADMIN, **options) as context:
        page = context.new_page()
        for path in every[:4]:
            page.goto(path)
            assert page.get_by_role("heading", level=1).inner_text().strip()
        page.goto("/people")
        link = page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name="Groups")
        assert not link.is_visible()
        page.get_by_role("button", name="Menu").click()
        link.click()
        assert page.url == f"{web.url}/groups"


def test_menu_shows_what_one_may_open(web: Web) -> None:
    """E12: the menu leads everybody to pages that they may see, and to no others; each link leads somewhere."""
    for role in Role:
        with web.client(role) as client:
            links = re.findall(r'<a href="(/[^"]*)"', client.get("/").text.split("<main")[0])
            assert "/" in links
            assert {link: client.get(link).status_code for link in links} == dict.fromkeys(links, 200)
