"""The screen at the door in a real browser, and a reader that says what a test wants said."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.enrolment.requests import Preview
from appliance.local_socket import LocalSocket
from appliance.preview import Mirror
from appliance.records import Frame, frozen
from appliance.watch import Shown, State
from tests.broker import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

    from appliance.local_socket import Caller
    from tests.web.running import Web

SIZES = {"800x480": (800, 480), "480x800": (480, 800), "1280x800": (1280, 800), "1920x1080": (1920, 1080)}


class ScriptedReader:
    """Listens where the reader would, says what it is told to, and remembers what was asked of it."""

    def __init__(self, path: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, dict[str, Any]] = {"bell": {"rang": True}, "more_time": {"noted": True}}
        self._shown = Shown(State.IDLE)
        self._watching: list[Caller] = []
        self._path = path
        self._mirror = Mirror()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-reader")

    def show(self, shown: Shown) -> None:
        """Have the screen show this from now on."""
        self._shown = shown

    @contextmanager
    def listening(self) -> Iterator[ScriptedReader]:
        """Listen while the block runs."""
        self._thread.start()
        try:
            wait_for(self._path.exists)
            yield self
        finally:
            self._stopping.set()
            self._thread.join(5)

    def _run(self) -> None:
        local, told, told_s = LocalSocket(self._path), None, 0.0
        pixels = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
        for sequence in range(1_000_000):
            if self._stopping.wait(0.01):
                break
            local.serve(self._answer)
            self._mirror.offer(Frame(frozen(pixels), time.monotonic(), sequence))
            if self._shown is not told or time.monotonic() > told_s + 1:
                told, told_s = self._shown, time.monotonic()
                for caller in self._watching:
                    caller.say(asdict(told))
        self._mirror.close()
        local.close()

    def _answer(self, caller: Caller, request: dict[str, Any]) -> None:
        self.asked.append(request)
        if request["verb"] == "watch":
            self._watching.append(caller)
            caller.say(asdict(self._shown))
        elif request["verb"] == "preview":
            self._mirror.begin(caller, Preview())
        else:
            caller.say(self.answers[request["verb"]])
            caller.end()


@contextmanager
def screen_of(chromium: Browser, web: Web, size: str = "800x480", **options: Any) -> Iterator[Page]:  # noqa: ANN401
    """Give the screen at the door in a browser of this size; whatever its console says against us fails the test."""
    complaints: list[str] = []
    with context_of(chromium, web, size, **options) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Policy" in said.text else None)
        page.goto("/kiosk")
        yield page
    assert complaints == []


@contextmanager
def context_of(chromium: Browser, web: Web, size: str, **options: Any) -> Iterator[BrowserContext]:  # noqa: ANN401
    """Give a fresh context with a session of the screen."""
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    with chromium.new_context(base_url=web.url, viewport=viewport, **options) as context:  # type: ignore[arg-type]
        context.add_cookies([{"name": "ostiary", "value": web.kiosk(), "url": web.url}])
        yield context


def state_of(page: Page) -> str:
    """Return the state that the screen shows now."""
    return str(page.evaluate("document.body.dataset.state"))


def await_state(page: Page, state: State | str, within_s: float = 30.0) -> None:
    """Wait until the screen shows this state. The page allows no script of a test's own, so it is asked again."""
    seen: list[str] = []
    _until(page, lambda: _noted(seen, state_of(page)) == state, within_s, seen)


def await_text(page: Page, text: str, within_s: float = 30.0) -> None:
    """Wait until the screen says this somewhere that can be seen."""
    _until(page, lambda: text in page.locator("body").inner_text(), within_s, [text])


def _noted(seen: list[str], state: str) -> str:
    if seen[-1:] != [state]:
        seen.append(state)
    return state


def _until(page: Page, there: Callable[[], bool], within_s: float, told: list[str]) -> None:
    end_s = time.monotonic() + within_s
    while not there():
        assert time.monotonic() < end_s, told
        page.wait_for_timeout(30)
