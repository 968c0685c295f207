"""What the camera sees, in the terminal of whoever aims it."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from appliance.cli import root
from appliance.commands.options import Installation
from appliance.config import CameraSettings, Settings
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.enrolment.requests import Preview
from appliance.errors import CameraError
from appliance.local_socket import LocalSocket
from appliance.pipeline.reading import ModelStages
from appliance.preview import Mirror
from appliance.records import Frame, frozen
from appliance.setup.place import look_around
from appliance.setup.sight import frames, picture, see

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def stages() -> ModelStages:
    """Return the shipped stages."""
    return ModelStages(Settings())


def visited(visit: Visit, at_s: float) -> Frame:
    """Return what the simulated camera sees of a visit after so long."""
    settings = CameraSettings(source="simulated", frame_rate=2.0)
    camera = SimulatedCamera(Script(Scene(visits=(visit,))), settings, paced=False)
    while (frame := camera.read()) is not None:
        if frame.captured_at_s >= at_s:
            return frame
    raise AssertionError(f"the scene was over before {at_s} s")


def test_face_is_told_in_words(stages: ModelStages) -> None:
    """A17: who aims the camera is told how large the face is, whether it is sharp, and how much light there is."""
    said = see(visited(Visit(pause_s=0.1), 2.5), stages).words
    assert said.startswith("one face, ")
    assert "sharp" in said
    assert "good enough to enrol" in said
    assert len(said) <= 78


def test_dark_face_is_called_dark(stages: ModelStages) -> None:
    """A5: a face in the dark, or a covered lens, is not called good."""
    dark = see(visited(Visit(pause_s=0.1, light=0.15), 2.5), stages)
    assert "good enough" not in dark.words
    covered = see(Frame(np.zeros((480, 640, 3), np.uint8), 1.0, 1), stages)
    assert covered.words == "nobody in sight; light 0 of 255"


@pytest.mark.parametrize(("columns", "lines"), [(78, 18), (40, 40), (10, 4)])
@pytest.mark.parametrize("shape", [(480, 640), (64, 3840), (2160, 120)])
def test_picture_fits(columns: int, lines: int, shape: tuple[int, int]) -> None:
    """A picture takes no more room than it is given, whatever its shape."""
    view = np.random.default_rng(1).integers(0, 255, (*shape, 3), np.uint8)
    for colours in (True, False):
        rows = picture(view, columns, lines, colours=colours).plain.splitlines()
        assert 0 < len(rows) <= lines
        assert all(0 < len(row) <= columns for row in rows)


def test_picture_shows_what_is_bright_where() -> None:
    """The upper pixel of a letter is its own colour and the lower its ground's; without colours, bright is dense."""
    view = np.zeros((4, 4, 3), np.uint8)
    view[:2, :, 0] = 255  # red above black
    said = io.StringIO()
    Console(file=said, force_terminal=True, color_system="truecolor").print(picture(view[1:3], 4, 1, colours=True))
    assert said.getvalue().startswith("\x1b[38;2;255;0;0;48;2;0;0;0m▀")
    assert picture(view, 4, 2, colours=False).plain == "----\n    \n"


def test_running_reader_shows_what_it_sees(short_folder: Path) -> None:
    """A reader that has the camera shows it to whoever aims; when it goes, that is said and no picture stands still."""
    installation = Installation(Settings(), short_folder, None)
    view = np.full((480, 640, 3), 128, np.uint8)
    over = threading.Event()

    def read() -> None:
        mirror, listening = Mirror(), LocalSocket(installation.reader_socket)
        number = 0
        while not over.wait(0.02):
            listening.serve(lambda caller, _request: mirror.begin(caller, Preview()))
            mirror.offer(Frame(frozen(view.copy()), float(number := number + 1), number))
        listening.close()
        mirror.close()

    reader = threading.Thread(target=read, name="reader")
    reader.start()
    while not installation.reader_socket.exists():
        time.sleep(0.01)
    seen = frames(installation, installation.settings)
    assert [next(seen).pixels.shape for _ in range(3)] == [(480, 640, 3)] * 3
    over.set()
    with pytest.raises(CameraError, match="the reader has stopped"):
        for _ in seen:
            pass
    reader.join()


def test_source_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A1: a source that is not there is said to be so, and nothing is shown in its place."""
    installation = Installation(Settings(), tmp_path, None)
    gone = Settings(camera=CameraSettings(source=str(tmp_path / "none.mp4")))
    with pytest.raises(CameraError, match=r"none\.mp4"):
        next(frames(installation, gone))


def test_preview_command_says_what_it_sees(tmp_path: Path) -> None:
    """J3: `ostiary camera preview` into a file is lines of words, and neither picture nor file is kept."""
    config, state = tmp_path / "appliance.toml", tmp_path / "state"
    config.write_text('[camera]\nsource = "simulated"\n')
    told = CliRunner().invoke(
        root, ["camera", "preview", "--for", "0.1", "--config", str(config), "--state", str(state)]
    )
    assert told.exit_code == 0, told.output
    assert told.output.startswith("nobody in sight; light ")
    assert list(state.iterdir()) == []


def test_cameras_are_listed(tmp_path: Path) -> None:
    """A1: every camera that is there is listed; none is said in words, and is exit 1."""
    config, state = tmp_path / "appliance.toml", tmp_path / "state"
    config.write_text('[camera]\nsource = "/dev/video7"\n')
    told = CliRunner().invoke(root, ["camera", "list", "--config", str(config), "--state", str(state)])
    there = look_around(config, state).cameras
    assert told.exit_code == (0 if there else 1)
    if there:
        assert [line[2:].split()[0] for line in told.output.splitlines()] == [camera.source for camera in there]
    else:
        assert told.output == "no camera was found; camera.source is /dev/video7\n"


def test_preview_needs_no_input(short_folder: Path) -> None:
    """Started with its standard input closed, a preview ends with its time, and nothing is taken for an Enter."""
    config = short_folder / "appliance.toml"
    config.write_text('[camera]\nsource = "simulated"\n')
    command = (
        f"exec {sys.executable} -m appliance camera preview --for 0.1 --config {config} --state {short_folder} <&-"
    )
    told = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert told.stderr == ""
    assert told.returncode == 0
    assert told.stdout.startswith("nobody in sight")
