"""The screen at the door before a whole reader: who comes is shown what becomes of them, and can type and ring."""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest
from playwright.sync_api import expect

from appliance.access.pin import hash_pin
from appliance.contract import EventType, Reason
from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES, Visit
from appliance.local_socket import answer
from appliance.people.gallery import Gallery
from appliance.watch import State
from appliance.web.words import words
from tests.broker import wait_for
from tests.test_service import ADA, reader
from tests.web.running import installed
from tests.web.screen import await_state, await_text, screen_of, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from appliance.commands.options import Installation
    from appliance.pipeline.reading import PhotoReader
    from tests.web.running import Door, Web

__all__ = ["reader"]  # a fixture

PIN, WRONG = "2580", "1470"
NAME = "Ada Lovelace"


class Overheard:
    """All that is pushed to a screen, from the first on."""

    def __init__(self, web: Web) -> None:
        self.told: list[dict[str, Any]] = []
        self._client = httpx.Client(base_url=web.url, cookies={"ostiary": web.kiosk()}, timeout=10)
        self._thread = threading.Thread(target=self._listen, name="overhearing")
        self._stopping = False
        self._thread.start()

    def _listen(self) -> None:
        with self._client as client, client.stream("GET", "/kiosk/events") as stream:
            for line in stream.iter_lines():
                if self._stopping:
                    return
                if line.startswith("data: {"):
                    self.told.append(json.loads(line.removeprefix("data: ")))

    def end(self) -> None:
        """Listen no more."""
        self._stopping = True
        self._thread.join(5)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """Give a door that asks everybody for a PIN as well, greets by name and asks humans for a second."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        yield installed(
            Path(folder),
            liveness={"commissioned": "required"},
            kiosk={"greet": True},
            attendant={"ticket_s": 1.0},
            door={"unlock_s": 1.0, "extended_s": 6.0},
            recognition={"cool_down_s": 5.0},
            access={"factor_s": 60.0},
        )


@pytest.fixture(scope="module")
def screen(web: Web, door: Door, chromium: Browser) -> Iterator[Page]:
    """Give the screen, open as long as the module's tests."""
    with screen_of(chromium, web) as page:
        await_state(page, State.IDLE)
        yield page


@pytest.fixture(scope="module")
def overheard(web: Web, screen: Page) -> Iterator[Overheard]:
    """Give all that is pushed to a screen beside ours."""
    listening = Overheard(web)
    yield listening
    listening.end()


def enrol(installation: Installation, reader: PhotoReader, face: str, name: str) -> None:
    """Enrol one of the portraits, with the PIN."""
    embedding, quality = reader.read(read_photo(FACES / f"{face}.png"), face)
    with Gallery(installation.gallery_file) as gallery:
        person = gallery.add(name, ADA, [(gallery.protection.protect(embedding), quality.grade)])
        gallery.set_pin(person.person_id, hash_pin(PIN), "")


@contextmanager
def visiting(
    screen: Page, door: Door, shows: Literal["person", "print"], face: Literal["astronaut", "official"]
) -> Iterator[None]:
    """Have somebody stand before the camera while the block runs, on however busy a machine; then they have left."""
    visit = Visit(shows=shows, face=face, for_s=120, pause_s=0)
    door.script.play(visit)
    yield
    door.script._visits[-1] = visit.model_copy(update={"for_s": 0.1})
    await_state(screen, State.IDLE)


def kinds(door: Door) -> list[EventType]:
    """Return the type of every event so far."""
    return [sealed.event.event_type for sealed in door.events]


def unlocked_for_s(door: Door) -> float:
    """Return for how long the door will stay unlocked, by its own word."""
    state = door.service.doorway.state if door.service is not None else None
    return 0.0 if state is None or state.until_s is None else state.until_s - time.monotonic()


def type_in(screen: Page, pin: str) -> None:
    """Type a PIN on the open pad, on keys that are pressed sooner than found on a glass."""
    screen.locator("#pin").focus()
    screen.keyboard.type(pin)
    screen.keyboard.press("Enter")


def test_somebody_unknown_is_asked_about(screen: Page, door: Door) -> None:
    """A stranger is told that somebody is asked, and when nobody answers, what to do: ring."""
    with visiting(screen, door, "person", "official"):
        await_state(screen, State.ASKING)
        await_state(screen, State.REFUSED)
        await_text(screen, words("en")["hint.ring"])


def test_the_bell_rings(screen: Page, door: Door) -> None:
    """A press on the bell is in the audit log as every bell, and goes where every event goes; twice at once is one."""
    screen.get_by_role("button", name="Ring the bell").click()
    await_text(screen, words("en")["bell.rang"])
    screen.get_by_role("button", name="Ring the bell").click()
    await_text(screen, words("en")["bell.wait"])
    rung = [sealed.event for sealed in door.events if sealed.event.event_type is EventType.BELL]
    assert [event.method for event in rung] == ["kiosk"]


def test_a_print_is_refused(screen: Page, door: Door) -> None:
    """B3: whoever shows a picture is told that the door stays closed, and not why."""
    with visiting(screen, door, "print", "astronaut"):
        await_state(screen, State.REFUSED)
        expect(screen.locator("h1")).to_have_text(words("en")["state.refused.title"])
        assert EventType.SPOOF_SUSPECTED in kinds(door)


def test_a_face_and_a_pin_open_and_only_then_a_name(
    installation: Installation, screen: Page, door: Door, overheard: Overheard, reader: PhotoReader
) -> None:
    """B13: PIN and more time on the screen open the door for longer; no name is told before, and no score ever."""
    enrol(installation, reader, "astronaut", NAME)
    with visiting(screen, door, "person", "astronaut"):
        await_state(screen, State.FACTOR)
        screen.locator("#pad").wait_for(state="visible")
        type_in(screen, WRONG)
        await_text(screen, words("en")["pin.wrong"])
        screen.evaluate("document.getElementById('pad').hidePopover()")
        screen.get_by_role("button", name="More time").click()
        await_text(screen, words("en")["time.noted"])
        assert NAME not in screen.content()
        screen.get_by_role("button", name="PIN", exact=True).click()
        type_in(screen, PIN)
        await_state(screen, State.WELCOME)
        wait_for(lambda: unlocked_for_s(door) > 2.0, 3)  # unlock_s is 1
        await_text(screen, f"Welcome, {NAME}")
    first = next(count for count, one in enumerate(overheard.told) if one["state"] == State.WELCOME)
    assert {one["name"] for one in overheard.told[:first]} == {""}
    assert not re.search(r"Ada|similarity|score|threshold|person", json.dumps(overheard.told[:first]))
    assert {key for one in overheard.told for key in one} == {
        "state", "hint", "said", "progress", "face", "name", "unhurried",
    }  # fmt: skip
    assert PIN not in json.dumps(overheard.told)


def test_guesses_of_a_pin_are_counted(
    installation: Installation, web: Web, screen: Page, door: Door, reader: PhotoReader
) -> None:
    """B13: whoever types wrong PINs on the screen has five tries at most, and then the right one opens nothing."""
    enrol(installation, reader, "official", "Bea")
    granted = kinds(door).count(EventType.ACCESS_GRANTED)
    with (
        visiting(screen, door, "person", "official"),
        httpx.Client(base_url=web.url, cookies={"ostiary": web.kiosk()}, timeout=10) as client,
    ):
        await_state(screen, State.FACTOR)
        csrf = client.get("/kiosk").text.split('name="csrf" content="')[1].split('"')[0]

        def said(pin: str) -> str:
            headers = {"X-CSRF-Token": csrf, "Accept": "application/json"}
            return str(client.post("/kiosk/pin", data={"pin": pin}, headers=headers).json()["said"])

        told = list(iter(lambda: said(WRONG), "too_many_attempts"))
        assert said(PIN) != "taken"
    assert 1 <= len(told) <= 5  # fewer where this face had failed before
    assert set(told) == {"wrong"}
    assert kinds(door).count(EventType.ACCESS_GRANTED) == granted
    assert Reason.WRONG_PIN in {sealed.event.reason for sealed in door.events}


def test_lockdown_fills_the_screen(installation: Installation, screen: Page) -> None:
    """G12: in a lockdown the screen says that entry is closed, and when it is over, not any more."""

    def do(verb: str, **args: str) -> None:
        asked = {"verb": "do", "by": "web:admin", "role": "admin", "method": "web", "command": verb, "args": args}
        told = answer(installation.reader_socket, asked, 5.0)
        assert told is not None
        assert told["error"] == ""

    do("lockdown")
    await_state(screen, State.LOCKDOWN)
    await_text(screen, words("en")["state.lockdown.title"])
    expect(screen.locator("#mirror")).to_be_hidden()
    do("release", of="lockdown")
    wait_for(lambda: state_of(screen) != State.LOCKDOWN)
