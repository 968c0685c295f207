"""What a door sees: five real webcam recordings, which lie beside the checkout and are never part of it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.cli import root
from appliance.commands.options import Installation
from appliance.config import LivenessSettings, Settings
from appliance.contract import EventType, Reason
from appliance.door.child import simulated_controller
from appliance.drivers.opencv import Recording
from appliance.drivers.photo import encode_png
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.errors import ApplianceError
from appliance.service import Hooks, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.records import AuditEvent, Frame

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "video"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the recordings are not at {FOLDER}")

PHOTOS = 8
GRANTED_WITHIN_MS = 1500.0
DECIDED = {EventType.ACCESS_GRANTED, EventType.ACCESS_DENIED, EventType.APPROVAL_REQUESTED}


class SecondHalf:
    """A recording from its middle on."""

    live = False
    identity = ""

    def __init__(self, path: Path) -> None:
        count = len(all_frames(path))
        self._recording = Recording(path)
        for _ in range(count // 2):
            self._recording.read()

    def read(self) -> Frame | None:
        """Return the next frame of the second half."""
        return self._recording.read()

    def close(self) -> None:
        """Let the file go."""
        self._recording.close()


def all_frames(path: Path) -> list[Frame]:
    """Return every frame of a recording."""
    recording, frames = Recording(path), []
    while (frame := recording.read()) is not None:
        frames.append(frame)
    recording.close()
    return frames


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a state folder in which the people of both live recordings are enrolled, by the command a user has."""
    folder = tmp_path_factory.mktemp("state")
    for name in ("tran", "lestari"):
        enrol(folder, name, FOLDER / f"{name}_live.mp4")
    return folder


def enrol(folder: Path, name: str, video: Path) -> None:
    """Enrol from frames of the first half; a frame that the command refuses (a turned head) is left out."""
    frames = all_frames(video)
    half = len(frames) // 2
    photos: list[str] = []
    for number in range(PHOTOS):
        photo = folder / f"{name}-{number}.png"
        photo.write_bytes(encode_png(frames[number * (half - 1) // (PHOTOS - 1)].pixels))
        photos += ["--photo", str(photo)]
    while True:
        try:
            arguments = ["person", "add", name, *photos, "--consent-by", name, "--state", str(folder)]
            root.main(arguments, standalone_mode=False)
        except ApplianceError as refusal:
            bad = next(path for path in photos if Path(path).name in str(refusal) and path != "--photo")
            at = photos.index(bad)
            del photos[at - 1 : at + 1]
        else:
            return


@contextlib.contextmanager
def watched(state: Path, camera: SecondHalf | Recording) -> Iterator[list[AuditEvent]]:
    """Run the real reader and controller on a recording; give the events it wrote."""
    events: list[AuditEvent] = []
    with simulated_controller(state) as socket:
        settings = Settings(liveness=LivenessSettings(commissioned="skipped"))
        installation = Installation(settings, state, None).with_controller(socket)
        service = Service(installation, camera, Hooks(on_event=events.append))
        service.link.connect(5.0)
        service.run()
        yield events


@pytest.mark.parametrize("name", ["tran", "lestari"])
def test_live_person_is_let_in(state: Path, name: str) -> None:
    """Somebody enrolled and live is granted within 1.5 s of video after a usable face appears."""
    with watched(state, SecondHalf(FOLDER / f"{name}_live.mp4")) as events:
        first = next(one.event for one in events if one.event.event_type in DECIDED)
    assert first.event_type is EventType.ACCESS_GRANTED
    assert first.decision_ms is not None
    assert first.decision_ms <= GRANTED_WITHIN_MS


@pytest.mark.parametrize("name", ["tran", "lestari"])
def test_replay_is_never_let_in(state: Path, name: str) -> None:
    """The same person on a phone or a monitor is refused with the reason, and the lock is never driven."""
    before = SimulatedDoorObserver(state / "simulated-door").history()
    with watched(state, Recording(FOLDER / f"{name}_replay.mp4")) as events:
        decided = [one.event for one in events if one.event.event_type in DECIDED]
    levels = {level for _, level, _ in SimulatedDoorObserver(state / "simulated-door").history()[len(before) :]}
    assert decided
    assert all(one.event_type is not EventType.ACCESS_GRANTED for one in decided)
    assert {one.reason for one in decided} <= {Reason.LIVENESS_FAILED, Reason.LIVENESS_UNCERTAIN}
    assert levels == {0}


def test_stranger_is_referred(state: Path) -> None:
    """Somebody live who is not enrolled is referred to a human, and silence keeps the door shut."""
    with watched(state, Recording(FOLDER / "krz_live.mp4")) as events:
        kinds = [one.event.event_type for one in events]
        asked = next(one.event for one in events if one.event.event_type is EventType.APPROVAL_REQUESTED)
    assert asked.reason is Reason.UNKNOWN_FACE
    assert EventType.ACCESS_GRANTED not in kinds
    assert EventType.DOOR_UNLOCKED not in kinds
