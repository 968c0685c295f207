"""The screen at the door in a real browser: whose it is, what it says, and that it fits."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from click.testing import CliRunner
from playwright.sync_api import expect

from appliance.cli import root
from appliance.contract import Hint, Role
from appliance.watch import Shown, State
from appliance.web import kiosk_code
from appliance.web.app import make_app
from appliance.web.gate import Gate
from appliance.web.kiosk_streams import AT_ONCE
from appliance.web.serve import served
from appliance.web.words import LANGUAGES, words
from tests.broker import wait_for
from tests.web.running import Web, installed, web_of
from tests.web.screen import SIZES, ScriptedReader, await_state, await_text, context_of, screen_of, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page
    from starlette.types import Receive, Scope, Send

    from appliance.commands.options import Installation

LONG = "Please wait at the gate on the left, I am coming down from the third floor and will be with you in a minute"
NAME = '"><img src=x onerror=alert(1)>'
ROUTES = [("GET", ""), ("GET", "/words"), ("GET", "/events"), ("GET", "/mirror")]
ROUTES += [("POST", "/pin"), ("POST", "/bell"), ("POST", "/time")]


@pytest.fixture(scope="module")
def reader(installation: Installation) -> Iterator[ScriptedReader]:
    """Give a reader that says what a test wants said."""
    with ScriptedReader(installation.reader_socket).listening() as listening:
        yield listening


@pytest.fixture(scope="module")
def screen(web: Web, reader: ScriptedReader, chromium: Browser) -> Iterator[Page]:
    """Give the screen, open as long as the module's tests."""
    with screen_of(chromium, web) as page:
        yield page


@contextmanager
def kiosk_client(web: Web) -> Iterator[httpx.Client]:
    """Give a client with a session of the screen, and what its forms must hold."""
    with httpx.Client(base_url=web.url, cookies={"ostiary": web.kiosk()}, timeout=10) as client:
        csrf = re.search(r'name="csrf" content="([^"]+)"', client.get("/kiosk").text)
        assert csrf is not None
        client.headers.update({"X-CSRF-Token": csrf[1], "Accept": "application/json"})
        yield client


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_else_sees_the_screen(web: Web, method: str, path: str) -> None:
    """E7: without the screen's session no route of it answers, not to an admin either."""
    with web.client(None) as nobody:
        assert nobody.request(method, f"/kiosk{path}").status_code in {303, 401}
    with web.client(Role.ADMIN) as admin:
        refused = admin.request(method, f"/kiosk{path}", headers={"X-CSRF-Token": web.csrf(Role.ADMIN)})
        assert refused.status_code == 403


def test_the_screen_is_nobody_elsewhere(web: Web) -> None:
    """E7: the screen's session opens no page but its own, and changes nothing without the token of its page (E11)."""
    with kiosk_client(web) as client:
        assert {client.get(path).status_code for path in ("/", "/people", "/preview")} == {403}
        del client.headers["X-CSRF-Token"]
        assert client.post("/kiosk/bell").status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("192.0.2.7", 403), ("::ffff:c000:207", 403)],
)
def test_a_stolen_session_is_of_no_use_elsewhere(installation: Installation, web: Web, host: str, status: int) -> None:
    """E7: whoever asks from another machine is refused, with the screen's own session and with a code alike."""
    secret = web.kiosk()
    pages = make_app(installation)
    app = Gate(pages, installation.settings.web)

    async def ask() -> tuple[int, int]:
        async with pages.router.lifespan_context(pages) as state:

            async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            reach = httpx.ASGITransport(with_state, client=(host, 4242))
            async with httpx.AsyncClient(transport=reach, base_url=web.url, cookies={"ostiary": secret}) as client:
                shown = await client.get("/kiosk")
                entered = await client.get("/kiosk/enter", params={"code": kiosk_code.make(installation.kiosk_file)})
            return shown.status_code, entered.status_code

    with ThreadPoolExecutor(1) as apart:  # the browser has an event loop in this thread
        assert apart.submit(asyncio.run, ask()).result() == (status, status)


def test_the_code_begins_one_session(installation: Installation, web: Web) -> None:
    """E8: the address that the device prints is good once, sets a cookie that no script reads, and no other code is."""
    told = CliRunner().invoke(
        root, ["kiosk", "url", "--state", str(installation.state), "--config", _config(installation)]
    )
    path = told.output.strip().removeprefix(web.url)
    with httpx.Client(base_url=web.url) as client:
        assert client.get("/kiosk/enter", params={"code": "A" * 43}).status_code == 403
        entered = client.get(path)
        assert entered.status_code == 200
        assert re.search(r"HttpOnly; Max-Age=31536000; Path=/; SameSite=strict$", entered.headers["set-cookie"])
        assert client.get("/kiosk").status_code == 200
        assert client.get(path).status_code == 403
    assert not installation.kiosk_file.exists()


def test_the_browser_is_sent_in_unseen(
    installation: Installation, web: Web, reader: ScriptedReader, chromium: Browser, tmp_path: Path
) -> None:
    """E8: `kiosk show` hands the code over in a file of its own, not in arguments that all can read."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n')
    browser.chmod(0o755)
    where = ["--state", str(installation.state), "--config", _config(installation)]
    command = [sys.executable, "-m", "appliance", "kiosk", "show", "--browser", str(browser), *where]
    subprocess.run(command, check=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    arguments = (tmp_path / "arguments").read_text()
    start = re.search(r"file://(\S+)", arguments)
    assert start is not None
    assert "--kiosk" in arguments
    assert "code" not in arguments
    assert Path(start[1]).parent.stat().st_mode & 0o077 == 0
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"file://{start[1]}")
        page.wait_for_url(f"{web.url}/kiosk")
        await_state(page, State.IDLE)


def test_the_screen_of_another_user_begins_with_a_folder(
    installation: Installation, web: Web, reader: ScriptedReader, tmp_path: Path
) -> None:
    """E8: who shows the screen needs no file of ours but a page with a code that is good once, for a group to read."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n')
    browser.chmod(0o755)
    folder = tmp_path / "start"
    folder.mkdir()
    program = [sys.executable, "-m", "appliance", "kiosk"]
    where = ["--state", str(installation.state), "--config", _config(installation)]
    shown = subprocess.run([*program, "browse", str(folder)], check=False, capture_output=True, text=True)
    assert shown.returncode == 2
    assert "ostiary kiosk start" in shown.stderr
    subprocess.run([*program, "start", str(folder), *where], check=True, umask=0o027)
    assert {one.name: one.stat().st_mode & 0o777 for one in folder.iterdir()} == {"start.html": 0o640, "pin": 0o640}
    subprocess.run([*program, "browse", str(folder), "--browser", str(browser)], check=True)
    assert (tmp_path / "arguments").read_text().endswith(f" {(folder / 'start.html').as_uri()}\n")
    code = re.search(r"url=(\S+)\"", (folder / "start.html").read_text())
    assert code is not None
    assert [httpx.get(code[1]).status_code for _ in range(2)] == [200, 403]


def _config(installation: Installation) -> str:
    file = installation.state / "here.toml"
    file.write_text(f"[web]\nport = {installation.settings.web.port}\n")
    return str(file)


def test_a_code_is_good_for_a_minute(tmp_path: Path) -> None:
    """E8: a code of a minute ago, or of a clock that was set back, is good no more; a newer one takes its place."""
    file = tmp_path / "kiosk.code"
    code = kiosk_code.make(file, lambda: 100.0)
    assert not kiosk_code.take(file, code, lambda: 160.0)
    assert not kiosk_code.take(file, code, lambda: 99.0)
    other = kiosk_code.make(file, lambda: 101.0)
    assert not kiosk_code.take(file, code, lambda: 102.0)
    assert kiosk_code.take(file, other, lambda: 102.0)
    assert code not in file.parent.as_posix()


def test_the_screen_says_what_the_door_says(screen: Page, reader: ScriptedReader) -> None:
    """E14: what an attendant writes and how somebody is called are text, whatever they look like."""
    reader.show(Shown(State.ASKING, Hint.ASKING, said=f"<b>{LONG}</b>"))
    await_state(screen, State.ASKING)
    await_text(screen, f"<b>{LONG}</b>")
    expect(screen.locator("h1")).to_have_text(words("en")["state.asking.title"])
    reader.show(Shown(State.WELCOME, name=NAME))
    await_text(screen, f"Welcome, {NAME}")
    assert screen.locator("img[src=x]").count() == 0
    reader.show(Shown(State.REFUSED, Hint.RING))
    await_text(screen, words("en")["hint.ring"])


def test_what_changes_with_every_frame_can_be_read(screen: Page, reader: ScriptedReader) -> None:
    """A hint stays long enough to be read, and the newest is the one that stays."""
    reader.show(Shown(State.READING, Hint.TOO_FAR))
    await_text(screen, words("en")["hint.too_far"])
    changes, began_s = 0, time.monotonic()
    before = screen.locator("h1").inner_text()
    for count in range(20):
        reader.show(Shown(State.READING, Hint.HOLD_STILL if count % 2 else Hint.TURN_FACE, progress=count / 20))
        screen.wait_for_timeout(40)
        now = screen.locator("h1").inner_text()
        changes, before = changes + (now != before), now
    assert changes <= 1 + (time.monotonic() - began_s) / 0.55  # a hint stays for 0.6 s
    await_text(screen, words("en")["hint.hold_still"])


def test_bell_and_time_are_asked_for(screen: Page, reader: ScriptedReader) -> None:
    """A press on the bell, and on more time, reaches the reader and is answered on the screen."""
    reader.show(Shown(State.IDLE))
    await_state(screen, State.IDLE)
    screen.get_by_role("button", name="Ring the bell").click()
    await_text(screen, words("en")["bell.rang"])
    screen.get_by_role("button", name="More time").click()
    await_text(screen, words("en")["time.noted"])
    reader.answers["bell"] = {"error": "the bell has just rung"}
    screen.get_by_role("button", name="Ring the bell").click()
    await_text(screen, words("en")["bell.wait"])
    assert [one["verb"] for one in reader.asked if one["verb"] in {"bell", "more_time"}] == [
        "bell",
        "more_time",
        "bell",
    ]


def test_the_pad_opens_when_a_pin_is_asked_for(screen: Page, reader: ScriptedReader) -> None:
    """The pad comes and goes with the question, shows dots, counts digits in words, and forgets what was typed."""
    reader.answers["pin"] = {"refused": "wrong_pin"}
    reader.show(Shown(State.FACTOR))
    pad = screen.locator("#pad")
    pad.wait_for(state="visible")
    for digit in "2580":
        screen.get_by_role("button", name=digit, exact=True).click()
    field = screen.locator("#pin")
    assert (field.get_attribute("type"), field.get_attribute("autocomplete"), field.input_value()) == (
        "password",
        "off",
        "2580",
    )
    await_text(screen, "4 digits typed")
    screen.get_by_role("button", name="Enter").click()
    await_text(screen, words("en")["pin.wrong"])
    expect(field).to_have_value("")
    assert "2580" not in screen.content()
    reader.show(Shown(State.IDLE))
    pad.wait_for(state="hidden")
    assert reader.asked[-1] == {"verb": "pin", "text": "2580"}


@pytest.mark.parametrize("typed", ["", "123", "1234567890123", "12a4", "１２３４", "2580 "])  # noqa: RUF001 - such digits are tried
def test_what_is_no_pin_reaches_nobody(web: Web, reader: ScriptedReader, typed: str) -> None:
    """E1: what cannot be a PIN is called wrong, quoted nowhere, and does not come as far as the reader."""
    before = len(reader.asked)
    with kiosk_client(web) as client:
        answer = client.post("/kiosk/pin", data={"pin": typed})
    if typed:
        assert answer.json() == {"said": "wrong"}
    assert [one for one in reader.asked[before:] if one["verb"] == "pin"] == []


def test_another_language_and_view(screen: Page, reader: ScriptedReader) -> None:
    """A visitor chooses language, contrast and size; what is said from then on is said so, labels for readers too."""
    reader.show(Shown(State.LOCKDOWN))
    await_state(screen, State.LOCKDOWN)
    reader.show(Shown(State.COMPANION))
    await_state(screen, State.COMPANION)
    for language in ("zh", "de"):
        screen.locator("[popovertarget=view]").first.click()
        screen.locator(f"#view [data-language={language}]").click()
        await_text(screen, words(language)["state.companion.text"])
        expect(screen.locator("html")).to_have_attribute("lang", language)
        expect(screen.locator("#pin")).to_have_attribute("aria-label", words(language)["pin.label"])
    screen.locator("[popovertarget=view]").first.click()
    screen.get_by_role("button", name=words("de")["view.contrast"]).click()
    expect(screen.get_by_role("button", name=words("de")["view.contrast"])).to_have_attribute("aria-pressed", "true")
    assert screen.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ground')") == "#000"
    screen.get_by_role("button", name=words("de")["view.contrast"]).click()
    screen.locator("#view [data-language=en]").click()
    await_text(screen, words("en")["state.companion.text"])


def test_the_screen_can_be_heard(screen: Page, reader: ScriptedReader) -> None:
    """A screen reader finds one heading, what is said as a polite status, and every act with its name, in order."""
    reader.show(Shown(State.IDLE))
    await_state(screen, State.IDLE)
    tree = screen.locator("body").aria_snapshot()
    assert re.findall(r'heading "([^"]+)" \[level=1\]', tree) == [words("en")["state.idle.title"]]
    assert tree.count("- status:") >= 1
    names = re.findall(r'button "([^"]+)"', tree)
    assert names == ["Ring the bell", "PIN", "More time", "Language", "Face recognition in use"]
    assert re.findall(r'img "([^"]+)"', tree) == [words("en")["view.mirror"]]
    assert screen.locator("[aria-live=polite][aria-atomic=true] h1").count() == 1
    reached = []
    screen.locator("body").click(position={"x": 500, "y": 30})
    for _ in names:
        screen.keyboard.press("Tab")
        reached.append(screen.evaluate("document.activeElement.innerText.trim()"))
    assert reached == names


def test_the_notice_is_one_press_away(screen: Page) -> None:
    """J5: "face recognition in use" stands on the screen, and behind it what is stored and how to come in without."""
    screen.get_by_role("button", name="Face recognition in use").click()
    shown = screen.locator("#notice").inner_text()
    for key in ("what", "stored", "kept", "without"):
        assert words("en")[f"notice.{key}"] in shown
    screen.locator("#notice").get_by_role("button", name="Close").click()
    screen.locator("#notice").wait_for(state="hidden")


def test_everything_fits(screen: Page, reader: ScriptedReader) -> None:
    """In every size, language, state and hint nothing is cut off, and what is pressed is 48 px high and wide."""
    reader.show(Shown(State.IDLE))
    await_state(screen, State.IDLE)
    cut: list[str] = []
    for size, (width, height) in SIZES.items():
        screen.set_viewport_size({"width": width, "height": height})
        for large in ("", " large"):
            cut += [f"{size}{large}: {what}" for what in screen.evaluate(_FITS, [[*State], [*Hint], large.strip()])]
    screen.set_viewport_size({"width": 800, "height": 480})
    assert not cut, "\n".join(cut)


# Puts every text where it stands in the page, and returns what is larger than its place, of what cannot be scrolled;
# then what can be pressed and is too small for a finger.
_FITS = """async ([states, hints, large]) => {
  const all = await (await fetch('/kiosk/words')).json(), before = document.body.dataset.state, cut = []
  const at = id => document.getElementById(id)
  const kept = [...document.querySelectorAll('h1, #text, [data-word]')].map(one => [one, one.textContent])
  document.documentElement.classList.toggle('large', large !== '')
  const look = what => document.querySelectorAll('html, .told, .acts, .acts button, #leave').forEach(one => {
    if (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1)
      cut.push(`${what}: ${one.id || one.className || one.tagName} has ${one.scrollWidth}x${one.scrollHeight}`
        + ` in ${one.clientWidth}x${one.clientHeight}`)
  })
  for (const [language, said] of Object.entries(all)) {
    document.querySelectorAll('[data-word]').forEach(one => { one.textContent = said[one.dataset.word] })
    for (const state of states) {
      document.body.dataset.state = state
      at('leave').hidden = state !== 'evacuation'
      at('title').textContent = said[`state.${state}.title`]
      at('text').textContent = said[`state.${state}.text`]
      look(`${language} ${state}`)
    }
    at('leave').hidden = true
    document.body.dataset.state = 'reading'
    at('text').textContent = said['state.reading.text']
    for (const hint of hints) {
      at('title').textContent = said[`hint.${hint}`]
      look(`${language} ${hint}`)
    }
  }
  for (const id of ['pad', 'view', 'notice']) {
    at(id).showPopover()
    document.querySelectorAll('button, .choice, #pin').forEach(one => {
      const box = one.getBoundingClientRect()
      if (one.checkVisibility() && (box.width < 48 || box.height < 47.9 || box.left < 0 || box.right > innerWidth))
        cut.push(`${id}: ${one.innerText} is ${box.width}x${box.height}`)
    })
    at(id).hidePopover()
  }
  kept.forEach(([one, text]) => { one.textContent = text })
  document.body.dataset.state = before
  document.documentElement.classList.remove('large')
  return cut
}"""


def test_evacuation_is_said_in_every_language_at_once(screen: Page, reader: ScriptedReader) -> None:
    """G7: in a fire the whole screen says to leave, in all languages, over whatever was open."""
    screen.locator("button.notice").click()
    reader.show(Shown(State.EVACUATION))
    await_state(screen, State.EVACUATION)
    leave = screen.get_by_role("alert")
    expect(leave).to_be_visible()
    assert leave.inner_text().split("\n\n") == [words(language)["state.evacuation.title"] for language in LANGUAGES]
    assert leave.bounding_box() == {"x": 0, "y": 0, "width": 800, "height": 480}
    expect(screen.locator("#notice")).to_be_hidden()
    reader.show(Shown(State.IDLE))
    await_state(screen, State.IDLE)


def test_the_mirror_shows_what_the_camera_sees(web: Web, screen: Page, reader: ScriptedReader) -> None:
    """The mirror is a stream of JPEGs that the browser draws, each with the camera's own time, at most ten a second."""
    assert screen.evaluate("document.getElementById('film').naturalWidth") == 640
    with kiosk_client(web) as client, client.stream("GET", "/kiosk/mirror") as film:
        assert film.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        received = b""
        for part in film.iter_raw():
            received += part
            if received.count(b"X-Captured-At") >= 12:
                break
    times = [float(found) for found in re.findall(rb"X-Captured-At: ([0-9.]+)\r\n", received)]
    assert times == sorted(times)
    assert times[-1] - times[0] >= 0.1 * (len(times) - 1) - 0.12  # one that came late may be followed by one in time
    assert received.startswith(b"--frame\r\nContent-Type: image/jpeg\r\n")
    assert b"\xff\xd9\r\n--frame\r\n" in received  # the boundary comes with its part, or it is shown a frame late


def test_few_look_on_at_once(web: Web, reader: ScriptedReader) -> None:
    """E6: more screens than a door has are told to come back later; one that has gone makes room."""
    with ExitStack() as closing:
        client = closing.enter_context(kiosk_client(web))
        statuses = [
            closing.enter_context(client.stream("GET", "/kiosk/events")).status_code for _ in range(AT_ONCE + 1)
        ]
    assert statuses[-1] == 503
    assert statuses.count(200) <= AT_ONCE

    def has_room() -> bool:
        with kiosk_client(web) as later, later.stream("GET", "/kiosk/events") as stream:
            return stream.status_code == 200

    wait_for(has_room)


def test_without_a_mirror_nothing_is_filmed(chromium: Browser, short_folder: Path) -> None:
    """Where kiosk.mirror is false there is no mirror, not for the asking either; it speaks the door's language."""
    installation = installed(short_folder, kiosk={"mirror": False, "language": "fr", "contact": "accueil"})
    with web_of(installation) as web:
        with kiosk_client(web) as client:
            assert client.get("/kiosk/mirror").status_code == 409
        with screen_of(chromium, web) as page:
            assert page.locator("#film").count() == 0
            assert state_of(page) == "away"
            await_text(page, words("fr")["state.away.title"])


def test_the_page_can_be_read_without_a_script(web: Web, chromium: Browser) -> None:
    """Without JavaScript the page says where one is, in the language that was asked for, and the bell is a form."""
    with context_of(chromium, web, "480x800", java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/kiosk?lang=es")
        expect(page.get_by_role("button", name=words("es")["bell.ring"])).to_be_visible()
        page.get_by_role("button", name=words("es")["notice.title"]).click()
        expect(page.locator("#notice")).to_be_visible()


def test_the_screen_comes_back_by_itself(chromium: Browser, short_folder: Path) -> None:
    """H12: the reader comes and goes, and so does the web; the open page says so and goes on, untouched."""
    installation = installed(short_folder)
    with ExitStack() as closing:
        with web_of(installation) as web:
            page = closing.enter_context(screen_of(chromium, web))
            page.evaluate("window.untouched = true")
            await_text(page, words("en")["state.away.text"])
            bell = page.get_by_role("button", name="Ring the bell")
            # The text is in the page from the first; the bell is the script's, when it has heard how things stand.
            expect(bell).to_be_disabled()
            with ScriptedReader(installation.reader_socket).listening():
                await_state(page, State.IDLE)
            await_state(page, "away")
        with served(installation), ScriptedReader(installation.reader_socket).listening():
            await_state(page, State.IDLE)
            expect(bell).to_be_enabled()
            screen_has_mirror = "document.getElementById('film').naturalWidth === 640"
            wait_for(lambda: bool(page.evaluate(screen_has_mirror)))
            assert page.evaluate("window.untouched")
