"""A served web, a door behind it, and a real browser before it; each lives as long as a module's tests."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.web.running import Door, Web, door_of, installed, web_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext

    from appliance.commands.options import Installation
    from appliance.contract import Role


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """Give an installation in a folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        yield installed(Path(folder))


@pytest.fixture(scope="module")
def web(installation: Installation) -> Iterator[Web]:
    """Give its web, served."""
    with web_of(installation) as running:
        yield running


@pytest.fixture(scope="module")
def door(installation: Installation) -> Iterator[Door]:
    """Give its reader and controller, running; ask for it only where a test needs them."""
    with door_of(installation) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Give a real browser. It ends with the module: while its loop runs, no other can in this thread."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("these tests need a real browser: apt install chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def context_of(chromium: Browser, web: Web, role: Role | None, **options: object) -> BrowserContext:
    """Return a browser's fresh context, signed in as this role where one is given; close it after use."""
    context = chromium.new_context(base_url=web.url, **options)  # type: ignore[arg-type]
    if role is not None:
        context.add_cookies([{"name": "ostiary", "value": web.session(role), "url": web.url}])
    return context
