"""Camera integrity: another camera, another view and a lost focus end face mode, and it comes back by itself."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from appliance.audit import AuditLog
from appliance.camera_integrity import (
    BLURRED_WORDS,
    KEEP_AGAIN_LOOKS,
    LEARN_LOOKS,
    MOVED_WORDS,
    PLAIN_WORDS,
    CameraIntegrity,
)
from appliance.camera_memory import CameraMemory, load, store
from appliance.camera_view import SIZE, learnt, look
from appliance.cli import root
from appliance.config import CameraSettings
from appliance.contract import EventType
from appliance.drivers.camera import checked
from appliance.drivers.scene import Condition, Renderer, Visit
from appliance.drivers.v4l2 import identity_of
from appliance.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 240
SETTINGS = CameraSettings(moved_s=5.0)
CONDITIONS: dict[Condition, str] = {"moved": MOVED_WORDS, "defocused": BLURRED_WORDS}


class Watched:
    """A camera integrity that is shown a second after another."""

    def __init__(self, folder: Path, settings: CameraSettings = SETTINGS) -> None:
        self.file = folder / "camera.json"
        self.settings = settings
        self.renderer = Renderer(WIDTH, HEIGHT)
        self.at_s = 0.0
        self.start()

    def start(self) -> None:
        """Begin as after a restart of the reader."""
        self.integrity = CameraIntegrity(self.file, self.settings)

    def show(self, picture: NDArray[np.uint8], identity: str = "one", *, nobody: bool = True) -> bool:
        """Show one frame, a second after the last."""
        self.at_s += 1.0
        return self.integrity.see(checked(picture, self.at_s, int(self.at_s)), identity, nobody=nobody)

    def hall(self, condition: Condition = "sound", visit: Visit | None = None) -> NDArray[np.uint8]:
        """Return what a camera in this condition sees of the simulated hall."""
        return self.renderer.through(condition, self.renderer.draw(visit, 2.0))

    def relied_on(self, looks: int, condition: Condition = "sound", *, nobody: bool = True) -> list[bool]:
        """Show the hall for so many seconds; return what was thought of each."""
        return [self.show(self.hall(condition), nobody=nobody) for _ in range(looks)]

    def learn(self) -> None:
        """Have the hall learnt."""
        assert all(self.relied_on(LEARN_LOOKS + 1))
        assert self.integrity.words == "ok"


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """Give an integrity that remembers nothing yet."""
    return Watched(tmp_path)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_moved_or_defocused_ends_face_mode_and_it_comes_back(watched: Watched, condition: Condition) -> None:
    """Camera defocused, camera moved, A5: it is relied on no more after `moved_s`, and again when it is as it was."""
    watched.learn()
    looks = watched.relied_on(8, condition)
    assert looks[:4] == [True] * 4
    assert looks[-3:] == [False] * 3
    assert watched.integrity.fault == CONDITIONS[condition]
    back = watched.relied_on(5)
    assert back[-1]
    assert not back[0]
    assert watched.integrity.fault == ""


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_happens_while_the_power_is_off_is_noticed(watched: Watched, condition: Condition) -> None:
    """A5: what was learnt outlives the power: a camera that is moved or defocused meanwhile is noticed after it."""
    watched.learn()
    watched.start()
    assert not watched.relied_on(8, condition)[-1]


def test_another_camera_is_refused_at_once_until_it_is_accepted(watched: Watched) -> None:
    """A2: a camera that was replaced is not relied on from its first frame on, the right one again at once."""
    watched.learn()
    assert not watched.show(watched.hall(), "two")
    assert "camera is two, and one was taken for this door" in watched.integrity.fault
    assert watched.show(watched.hall(), "one")
    watched.start()
    assert not watched.show(watched.hall(), "two")
    assert not watched.show(watched.hall(), "")
    watched.file.unlink()  # what `ostiary camera accept` does
    assert watched.show(watched.hall(), "two")
    assert load(watched.file) is not None
    assert not watched.show(watched.hall(), "one")


def test_a_fault_is_told_before_the_view_is_learnt(watched: Watched) -> None:
    """A2: where another camera stands before the first one's view was learnt, the fault is told, not the learning."""
    assert watched.show(watched.hall(), "one")
    assert watched.integrity.words == "learning the view"
    assert not watched.show(watched.hall(), "two")
    assert watched.integrity.words == watched.integrity.fault
    assert "camera is two" in watched.integrity.words


def test_visitor_before_the_camera_is_no_fault(watched: Watched) -> None:
    """While faces are seen nothing is held against the view, and people who only cover a part of it are no fault."""
    watched.learn()
    assert all(watched.show(watched.hall(visit=Visit(nearness=1.4)), nobody=False) for _ in range(12))
    assert all(watched.show(watched.hall(visit=Visit())) for _ in range(12))
    assert all(watched.relied_on(12, "moved", nobody=False))


@pytest.mark.parametrize("light", [0.3, 0.6, 1.4])
def test_light_is_no_fault(watched: Watched, light: float) -> None:
    """Lamps that are switched off or on, and the dark, are not taken for a moved camera."""
    watched.learn()
    lit = [np.clip(watched.hall().astype(np.float32) * light, 0, 255).astype(np.uint8) for _ in range(8)]
    assert all(watched.show(one) for one in lit)
    assert all(watched.show((one * 0.05).astype(np.uint8)) for one in lit)


def test_view_is_learnt_only_when_nobody_was_there(watched: Watched) -> None:
    """J1: no look with a face in it becomes part of what is kept, and what is kept holds edges' directions alone."""
    for _ in range(3):
        watched.relied_on(LEARN_LOOKS - 2)
        watched.show(watched.hall(visit=Visit()), nobody=False)
    memory = load(watched.file)
    assert memory is not None
    assert memory.view == ""
    watched.relied_on(LEARN_LOOKS)
    memory = load(watched.file)
    assert memory is not None
    assert set(memory.directions) <= set(range(17))
    assert watched.file.stat().st_mode & 0o777 == 0o600


def test_bare_wall_is_not_judged(watched: Watched) -> None:
    """A view without edges cannot be known again: that is said, and nothing is held against it."""
    random = np.random.default_rng(1)
    walls = [np.clip(random.normal(140, 3, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8) for _ in range(12)]
    assert all(watched.show(one) for one in walls)
    assert watched.integrity.words == PLAIN_WORDS


def test_switched_off_it_judges_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    """With `camera.integrity` off any camera and any view is relied on, and no file is written."""
    watched = Watched(tmp_path, CameraSettings(integrity="off"))
    watched.relied_on(12)
    assert watched.show(watched.hall("moved"), "two")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 99, b'{"v": 1, "at": "2026-01-01T00:00:00Z", "identity": 5}'])
def test_damaged_memory_ends_face_mode(watched: Watched, damage: bytes) -> None:
    """F6: what is remembered of the camera, cut or altered: no face opens until an admin accepts what is there."""
    watched.learn()
    watched.file.write_bytes(damage)
    watched.start()
    assert not any(watched.relied_on(3))
    assert "is damaged" in watched.integrity.fault
    watched.file.unlink()
    assert all(watched.relied_on(3))


def test_memory_is_kept_whole_or_refused(tmp_path: Path) -> None:
    """F6: any cut of the file is refused, and so is a view that is none."""
    file = tmp_path / "camera.json"
    memory = CameraMemory(at="2026-01-01T00:00:00Z", identity="usb").seen(bytes(SIZE), 0.01, 0.1)
    store(file, memory)
    assert load(file) == memory
    whole = file.read_bytes()
    for cut in range(0, len(whole) - 1, 97):
        file.write_bytes(whole[:cut])
        with pytest.raises(RefusedError):
            load(file)
    for view in ("AAAA", "!", "EQ==" * SIZE):
        file.write_text(json.dumps({**memory.model_dump(), "view": view}))
        with pytest.raises(RefusedError):
            load(file)


def test_disk_that_is_full_costs_the_memory_and_nothing_else(watched: Watched) -> None:
    """F3: where the memory cannot be written it holds until the end of the run, and the camera is still judged."""
    watched.file = watched.file.parent / "gone" / "camera.json"
    watched.start()
    assert all(watched.relied_on(LEARN_LOOKS + 1))
    assert not watched.show(watched.hall(), "two")
    assert not watched.relied_on(8, "moved")[-1]


def test_memory_is_kept_once_there_is_room_again(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """F3: a view that was learnt on a full disk is kept when there is room, told of once, and accepted as any other."""
    watched.show(watched.hall())
    in_the_way = watched.file.with_name(f"{watched.file.name}.{os.getpid()}.tmp")  # where it is written first
    in_the_way.mkdir()
    watched.learn()
    watched.relied_on(2 * KEEP_AGAIN_LOOKS)
    assert len(caplog.records) == 1
    assert remembered(watched.file).view == ""
    watched.file.unlink()  # what `ostiary camera accept` does
    assert watched.show(watched.hall(), "two")
    in_the_way.rmdir()
    assert all(watched.show(watched.hall(), "two") for _ in range(KEEP_AGAIN_LOOKS))
    assert remembered(watched.file).identity == "two"
    assert remembered(watched.file).view != ""


def remembered(file: Path) -> CameraMemory:
    """Return what the file holds."""
    memory = load(file)
    assert memory is not None
    return memory


@pytest.mark.parametrize(("shift", "fits"), [((0, 0), True), ((5, 4), True), ((24, 0), False), ((0, 24), False)])
def test_view_is_known_again_by_where_it_is(shift: tuple[int, int], fits: bool) -> None:
    """A view that is shifted by less than a hundredth of its width is the same, by four hundredths another."""
    random = np.random.default_rng(3)
    blocks = cv2.resize(random.integers(30, 220, (12, 16, 3)).astype(np.uint8), (WIDTH, HEIGHT))
    moved = np.roll(blocks, shift, axis=(1, 0))
    view = learnt([look(checked(blocks, 0.0, 0))] * LEARN_LOOKS)
    assert view is not None
    fit = view.fit(look(checked(moved, 0.0, 0)))
    assert (fit > 0.2) is fits
    assert (fit < 0.06) is not fits


def test_pictures_of_any_shape_are_looked_at() -> None:
    """A7: a view is looked at whatever the size and shape of the frame, to the smallest and narrowest."""
    for height, width in ((32, 32), (32, 4096), (2160, 3840), (481, 641)):
        seen = look(checked(np.full((height, width, 3), 99, np.uint8), 0.0, 0))
        assert seen.edges.shape == (60, 80)
        assert not seen.edges.any()


def usb(folder: Path, serial: str = "") -> Path:
    """Make a kernel's tree with a USB camera as video0, and an imaging unit of the board as video9."""
    socket = folder / "devices" / "platform" / "usb1" / "1-1.2"
    (socket / "1-1.2:1.0").mkdir(parents=True)
    (socket / "idVendor").write_text("046d\n")
    (socket / "idProduct").write_text("0825\n")
    if serial:
        (socket / "serial").write_text(f"{serial}\n")
    board = folder / "devices" / "platform" / "fe801000.csi"
    board.mkdir()
    for node, device in (("video0", socket / "1-1.2:1.0"), ("video9", board)):
        entry = folder / "class" / "video4linux" / node
        entry.mkdir(parents=True)
        (entry / "device").symlink_to(device)
    (folder / "class" / "video4linux" / "video9" / "name").write_text("unicam-image\n")
    return folder


def test_usb_camera_is_known_by_its_serial_number_or_its_socket(tmp_path: Path) -> None:
    """A2: a USB camera of another serial number, or in another socket where it has none, is another camera."""
    with_serial, without = usb(tmp_path / "a", "5B2D1E30"), usb(tmp_path / "b")
    assert identity_of(0, with_serial) == identity_of("/dev/video0", with_serial) == "usb 046d:0825 serial 5B2D1E30"
    assert identity_of(0, without) == "usb 046d:0825 at 1-1.2"
    assert identity_of(9, without) == "unicam-image at fe801000.csi"
    assert identity_of(7, without) == ""


def test_admin_accepts_the_camera_and_it_is_written_down(tmp_path: Path, watched: Watched) -> None:
    """J8: `ostiary camera accept` forgets what was remembered, with one entry in the log; `status` tells what is."""

    def said(*words: str) -> str:
        result = CliRunner().invoke(root, ["camera", *words, "--state", str(tmp_path)], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    assert "no camera was seen yet" in said("status")
    watched.show(watched.hall())
    assert "one, since" in said("status")
    assert "its view was not learnt yet" in said("status")
    watched.relied_on(LEARN_LOOKS + 1)
    assert "its view was learnt" in said("status")
    assert not watched.show(watched.hall(), "two")
    said("accept")
    assert watched.show(watched.hall(), "two")
    assert "two, since" in said("status")
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as audit:
        (entry,) = [one.event for one in audit.read()]
    assert (entry.event_type, entry.method) == (EventType.CONFIG_CHANGED, "cli")
