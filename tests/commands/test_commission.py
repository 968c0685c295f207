"""`ostiary commission` as an installer meets it: what is asked, printed and stored, and with which exit code."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import pytest

from appliance.commands.options import open_installation
from appliance.commissioning.clearance import clearance
from appliance.commissioning.record import load, store
from appliance.commissioning.trials import BONA_FIDE, Outcome
from appliance.config import CameraSettings
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.lone import only_one
from tests.commissioning import made

if TYPE_CHECKING:
    from pathlib import Path

PLACES = """
[recognition]
reading_s = 1.0
[commissioning]
bona_fide = 2
attacks = 1
species = "print, phone"
[camera]
source = "{source}"
"""


def ostiary(*arguments: str | Path, answers: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with these lines for a keyboard."""
    command = [sys.executable, "-m", "appliance", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, input=answers)


def says(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Assert one clear line with these words on standard error, and this exit code."""
    assert done.returncode == code, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def places(folder: Path, source: str = "simulated") -> list[str]:
    """Return the options of an installation in `folder` that looks through `source`."""
    (folder / "appliance.toml").write_text(PLACES.format(source=source))
    return ["--config", str(folder / "appliance.toml"), "--state", str(folder / "state")]


def test_simulated_door_is_commissioned_and_reported_on(tmp_path: Path) -> None:
    """The whole way: people and attacks are read, the result is stored, the door cleared, and a page written."""
    options = places(tmp_path)
    assert "no attack was tried" in ostiary("check", "--edge", "liveness", *options).stdout
    done = ostiary("commission", "spoof", *options)
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        "none accepted still allows 95%",
        "person 2: ",
        "phone 1: ",
        "Nothing is opened",
        "passed: a face alone",
    ):
        assert line in done.stdout
    installation = open_installation(tmp_path / "appliance.toml", tmp_path / "state")
    result = load(installation.commissioning_file, installation.device_key_file)
    assert result is not None
    outcomes = [(one.species, one.outcome(0.5)) for one in result.trials]
    people, attacks = [(BONA_FIDE, Outcome.BONA_FIDE)] * 2, [("print", Outcome.ATTACK), ("phone", Outcome.ATTACK)]
    assert outcomes == people + attacks
    assert clearance(installation).face_only
    assert ostiary("check", "--edge", "liveness", *options).returncode == 0
    told = ostiary("commission", "report", "--output", tmp_path / "page.html", *options)
    assert told.returncode == 0
    assert "a face alone may open" in told.stdout
    assert "0 of 1" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_fewer_than_the_rules_ask_for_do_not_pass(tmp_path: Path) -> None:
    """What was asked for on the command line does not lower what the settings ask for: exit 1, and it is stored."""
    done = ostiary("commission", "spoof", "--bona-fide", "1", *places(tmp_path))
    says(done, 1, "not passed", "1 presentations by people were read; 2 are needed")
    assert not clearance(open_installation(tmp_path / "appliance.toml", tmp_path / "state")).face_only
    assert (tmp_path / "state" / "commissioning.json").exists()


def test_running_reader_is_told_of(tmp_path: Path) -> None:
    """While the reader has the camera, commissioning is one line that says what to do."""
    options = places(tmp_path)
    (tmp_path / "state").mkdir()
    with only_one(tmp_path / "state" / "reader.lock"):
        says(ostiary("commission", "spoof", *options), 3, "another reader is running", "stop it first")


def test_attack_that_passes_is_found_at_a_live_camera(tmp_path: Path) -> None:
    """Guided line by line at a camera, what passes for live where an attack was announced fails the door."""
    scene = tmp_path / "scene.json"
    scene.write_text(Scene(visits=(Visit(for_s=60, pause_s=0.1),)).model_dump_json())
    options = places(tmp_path, f"simulated:{scene}")
    done = ostiary("commission", "spoof", "--bona-fide", "1", "--people", "1", *options, answers="\n\n\n")
    says(done, 1, "1 of 1 print presentations passed for live; none may", "1 of 1 phone")
    asked = [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith(("person 1: a", "print 1: a"))]
    assert asked == ["person 1", "print 1"]


def test_installer_who_leaves_stores_nothing(tmp_path: Path) -> None:
    """Where nobody answers at the terminal it ends, and no result is stored."""
    scene = tmp_path / "scene.json"
    scene.write_text(Scene().model_dump_json())
    done = ostiary("commission", "spoof", *places(tmp_path, f"simulated:{scene}"), answers="3\n")
    assert done.returncode == 1
    assert "person 1: a person, as they would come to the door" in done.stdout
    assert done.stderr.strip().endswith("stopped")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state" / "commissioning.json").exists()


def test_missing_camera_is_one_line(tmp_path: Path) -> None:
    """A camera that is not there is hardware's exit code (A1)."""
    says(ostiary("commission", "spoof", "--people", "1", *places(tmp_path, "63")), 3, "camera 63")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Give a folder with a recording of a person and one of a print."""
    folder = tmp_path / "recordings"
    for name, visit in {"bona_fide": Visit(for_s=3), "print": Visit(for_s=2, shows="print")}.items():
        (folder / name).mkdir(parents=True)
        camera = SimulatedCamera(Script(Scene(visits=(visit,))), CameraSettings(), paced=False)
        writer = cv2.VideoWriter(str(folder / name / "1.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 15, (640, 480))
        while (frame := camera.read()) is not None:
            writer.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
        writer.release()
    return folder


def test_recordings_are_a_try_out_that_clears_no_door(tmp_path: Path, recordings: Path) -> None:
    """Recordings are read and reported on like a camera, beside the door's own result, and never clear the door."""
    options = places(tmp_path)
    done = ostiary("commission", "spoof", "--from", recordings, *options)
    says(done, 1, "1 presentations by people were read", "0 phone presentations were read")
    assert "person 1: " in done.stdout
    assert [path.name for path in sorted((tmp_path / "state").glob("*.json"))] == ["commissioning-recordings.json"]
    assert not clearance(open_installation(tmp_path / "appliance.toml", tmp_path / "state")).face_only
    page = tmp_path / "page.html"
    assert ostiary("commission", "report", "--recordings", "--output", page, *options).returncode == 0
    assert "a try-out with recordings, which clears no door" in page.read_text(encoding="utf-8")


def test_passed_try_out_cannot_be_passed_off_as_the_doors(tmp_path: Path, recordings: Path) -> None:
    """I3: a result of recordings that passed, put in the place of the door's, names no camera and clears nothing."""
    (tmp_path / "appliance.toml").write_text(
        '[recognition]\nreading_s = 1.0\n[commissioning]\nbona_fide = 1\nattacks = 1\nspecies = "print"\n'
        f'[camera]\nsource = "{recordings}"\n'
    )
    options = ["--config", str(tmp_path / "appliance.toml"), "--state", str(tmp_path / "state")]
    assert ostiary("commission", "spoof", "--from", recordings, *options).returncode == 0
    (tmp_path / "state" / "commissioning-recordings.json").rename(tmp_path / "state" / "commissioning.json")
    cleared = clearance(open_installation(tmp_path / "appliance.toml", tmp_path / "state"))
    assert not cleared.face_only
    assert "camera.source" in cleared.words


def test_folder_without_people_is_usage(tmp_path: Path) -> None:
    """A folder of something else is one line, before anything is read."""
    says(ostiary("commission", "spoof", "--from", tmp_path, *places(tmp_path)), 2, "bona_fide")


def test_report_says_what_is_missing(tmp_path: Path) -> None:
    """No result to report on is refused; a page that cannot be written is usage."""
    options = places(tmp_path)
    says(ostiary("commission", "report", *options), 1, "commissioning.json", "ostiary commission spoof")
    installation = open_installation(tmp_path / "appliance.toml", tmp_path / "state")
    store(made.result(), installation.commissioning_file, installation.device_key_file)
    nowhere = tmp_path / "none" / "page.html"
    says(ostiary("commission", "report", "--output", nowhere, *options), 2, "page.html")
