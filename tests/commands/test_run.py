"""`ostiary run` and `ostiary check` as a user meets them: real processes, their output and their exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import cv2
import pytest

from appliance import __version__, manifest
from appliance.config import CameraSettings
from appliance.contract import EventType
from appliance.drivers.scene import FACES, Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.simulated_door import SimulatedDoorObserver

if TYPE_CHECKING:
    from pathlib import Path


def ostiary(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "appliance", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def says(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Assert one clear line with these words on standard error, this exit code, and no stack."""
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a short video of a simulated visitor."""
    path = tmp_path_factory.mktemp("video") / "visitor.mp4"
    camera = SimulatedCamera(Script(Scene(visits=(Visit(for_s=4, pause_s=0.2),))), CameraSettings(), paced=False)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 15, (640, 480))
    while (frame := camera.read()) is not None:
        writer.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def test_recording_prints_events_as_json_lines_and_ends(recording: Path, tmp_path: Path) -> None:
    """Every line is one event of the contract in order of seq, from started to stopped, and nothing else."""
    done = ostiary("run", "--source", recording, "--door", "simulated", "--state", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = [EventType(event["event_type"]) for event in events]
    assert kinds[0] is EventType.STARTED
    assert events[0]["detail"].startswith(f"version {__version__}; ")
    assert kinds[-1] is EventType.STOPPED
    assert EventType.APPROVAL_REQUESTED in kinds
    assert EventType.ACCESS_GRANTED not in kinds


def test_same_recording_gives_the_same_decisions(recording: Path, tmp_path: Path) -> None:
    """A recording has its own time: however busy the machine, the decisions fall at the same moments."""
    runs = []
    for name in ("one", "two"):
        done = ostiary("run", "--source", recording, "--door", "simulated", "--state", tmp_path / name, "--json")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        runs.append([(event["event_type"], event["reason"], event["decision_ms"], event["detail"]) for event in events])
    assert runs[0] == runs[1]


def test_missing_source_is_one_line(tmp_path: Path) -> None:
    """A file that is not there ends with hardware's exit code, before anything is written (A1)."""
    done = ostiary("run", "--source", tmp_path / "none.mp4", "--state", tmp_path / "state")
    says(done, 3, "none.mp4", "not there")


def test_missing_camera_is_one_line(tmp_path: Path) -> None:
    """A camera number that no device has is one line, not OpenCV's own (A1)."""
    says(ostiary("run", "--source", "63", "--state", tmp_path), 3, "camera 63")


def test_empty_source_is_one_line(tmp_path: Path) -> None:
    """An empty name is not taken for the folder one stands in."""
    says(ostiary("run", "--source", "", "--state", tmp_path), 3, "camera source")


def test_folder_without_a_readable_photo_is_told(tmp_path: Path) -> None:
    """Each unreadable photo is named, and a folder of nothing else ends with hardware's exit code (A9)."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "one.jpg").write_text("no photo")
    done = ostiary("run", "--source", folder, "--state", tmp_path)
    assert done.returncode == 3
    assert "one.jpg" in done.stderr
    assert "holds no photo that can be read" in done.stderr.splitlines()[-1]


def test_text_named_as_video_is_one_line(tmp_path: Path) -> None:
    """A file that is no video is one line (A9)."""
    fake = tmp_path / "fake.mp4"
    fake.write_text("this is not a video\n" * 100)
    says(ostiary("run", "--source", fake, "--state", tmp_path / "state"), 3, "fake.mp4")


def test_unknown_config_key_is_one_line(tmp_path: Path) -> None:
    """A misspelt key stops the start with its name and usage's exit code."""
    config = tmp_path / "appliance.toml"
    config.write_text("[door]\nunlock_seconds = 5\n")
    says(ostiary("run", "--config", config, "--state", tmp_path), 2, "door.unlock_seconds")


def test_missing_config_is_one_line(tmp_path: Path) -> None:
    """A configuration file that is not there is one line."""
    says(ostiary("run", "--config", tmp_path / "none.toml", "--state", tmp_path), 2, "none.toml")


def test_altered_model_is_refused(recording: Path, tmp_path: Path) -> None:
    """Model hash wrong: one flipped bit in one model file stops the start with the file's name (I1)."""
    models = tmp_path / "models"
    shutil.copytree(manifest.SHIPPED, models)
    target = models / manifest.read().entry("liveness").file
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    config = tmp_path / "appliance.toml"
    config.write_text(f'[recognition]\nmodels = "{models}"\n')
    done = ostiary("run", "--config", config, "--source", recording, "--state", tmp_path / "state")
    says(done, 3, target.name, "SHA-256")


def test_missing_model_is_refused(recording: Path, tmp_path: Path) -> None:
    """A folder without a manifest is one line."""
    config = tmp_path / "appliance.toml"
    config.write_text(f'[recognition]\nmodels = "{tmp_path}"\n')
    done = ostiary("run", "--config", config, "--source", recording, "--state", tmp_path / "state")
    says(done, 3, "manifest.toml")


def test_broken_database_is_refused(recording: Path, tmp_path: Path) -> None:
    """A gallery that is no database is one line, and the file stays as it was (F6)."""
    broken = b"no database at all" * 500
    (tmp_path / "gallery.db").write_bytes(broken)
    says(ostiary("run", "--source", recording, "--state", tmp_path), 3, "gallery.db")
    assert (tmp_path / "gallery.db").read_bytes() == broken


def test_no_broker_does_not_stop_the_door(recording: Path, tmp_path: Path) -> None:
    """Broker down: with a broker that is not there the recording is read to its end all the same (D10)."""
    config = tmp_path / "appliance.toml"
    config.write_text('[mqtt]\nenabled = true\nhost = "127.0.0.1"\nport = 9\n')
    options: list[str | Path] = ["--config", config, "--state", tmp_path, "--json"]
    done = ostiary("run", "--source", recording, "--door", "simulated", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["event_type"] == "stopped"
    assert "Traceback" not in done.stderr


def test_second_reader_is_refused(tmp_path: Path) -> None:
    """Two readers on one state folder would decide twice: the second is one line (F8)."""
    scene = tmp_path / "scene.json"
    scene.write_text('{"visits": []}')
    command = [sys.executable, "-m", "appliance", "run", "--source", f"simulated:{scene}", "--state", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as first:
        assert first.stdout is not None
        assert "started" in first.stdout.readline()
        says(ostiary("run", "--source", f"simulated:{scene}", "--state", tmp_path), 3, "another reader")
        first.send_signal(signal.SIGTERM)
        assert first.stdout.read().strip().endswith("stopped")
    assert first.returncode == 0


def test_reader_killed_while_unlocked_leaves_the_door_locked(tmp_path: Path) -> None:
    """Memory short, H6: SIGKILL of the reader right after a grant re-asserts the lock (G3)."""
    added = ostiary(
        "person", "add", "Ada", "--photo", FACES / "astronaut.png", "--consent-by", "Ada", "--state", tmp_path
    )
    assert added.returncode == 0, added.stderr
    (tmp_path / "appliance.toml").write_text(
        f'[door]\nsocket = "{_short(tmp_path)}"\n[liveness]\ncommissioned = "skipped"\n'
    )
    options = ["--config", str(tmp_path / "appliance.toml"), "--state", str(tmp_path)]
    observer = SimulatedDoorObserver(tmp_path / "simulated-door")
    base = [sys.executable, "-m", "appliance"]
    with (
        subprocess.Popen([*base, "controller", *options], stderr=subprocess.DEVNULL) as controller,
        subprocess.Popen([*base, "run", "--source", "simulated", *options], stdout=subprocess.DEVNULL) as reader,
    ):
        end_s = time.monotonic() + 30
        while observer.level() == 0 and time.monotonic() < end_s:
            time.sleep(0.01)
        assert observer.level() == 1
        reader.kill()
        killed_s = time.monotonic()
        while observer.level() == 1 and time.monotonic() < killed_s + 5:
            time.sleep(0.005)
        assert time.monotonic() - killed_s < 1.1
        controller.terminate()
    assert [level for _, level, _ in observer.history()] == [0, 1, 0]


def _short(folder: Path) -> str:
    """Return a socket path short enough for the kernel."""
    return f"/tmp/ostiary-{os.getpid()}-{abs(hash(folder)) % 10**8}.sock"  # noqa: S108 - removed with its controller


def test_check_says_what_is_wrong_in_words(tmp_path: Path) -> None:
    """Each part is one line, ok or FAILED with the reason; a failure is hardware's exit code."""
    config = tmp_path / "appliance.toml"
    config.write_text('[camera]\nsource = "63"\n')
    done = ostiary("check", "--config", config, "--state", tmp_path)
    assert done.returncode == 3
    lines = {line.split()[1]: line for line in done.stdout.splitlines()}
    assert lines["models"].startswith("ok")
    assert "camera 63" in lines["camera"]
    assert lines["controller"].startswith("FAILED")
    assert lines["gallery"].startswith("ok")
    assert lines["disk"].startswith("ok")
    assert "Traceback" not in done.stdout + done.stderr


def test_check_of_one_part(tmp_path: Path) -> None:
    """`--edge` checks one part only, and an unknown one is usage."""
    assert ostiary("check", "--edge", "clock", "--state", tmp_path).returncode == 0
    done = ostiary("check", "--edge", "moon", "--state", tmp_path)
    assert done.returncode == 2
    assert "allowed are models, camera" in done.stderr


def test_ready_is_withheld_until_the_camera_sees(tmp_path: Path) -> None:
    """READY goes out with the first frame, not before; without a camera the reader waits, and is given time (A1)."""
    scene = tmp_path / "scene.json"
    scene.write_text('{"visits": []}')
    assert "READY=1" in notifications(tmp_path / "seeing", f'source = "simulated:{scene}"')
    blind = notifications(tmp_path / "blind", 'source = "63"')
    assert blind == {"WATCHDOG=1", "EXTEND_TIMEOUT_USEC=30000000"}


def notifications(state: Path, camera: str) -> set[str]:
    """Run the reader for two seconds and return what it told the service manager."""
    state.mkdir()
    config = state / "appliance.toml"
    config.write_text(f"[camera]\n{camera}\n")
    name = f"\0ostiary-test-{os.getpid()}-{state.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(0.2)
        environment = os.environ | {"NOTIFY_SOCKET": "@" + name[1:]}
        command = [sys.executable, "-m", "appliance", "run", "--config", str(config), "--state", str(state)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as reader:
            heard: set[str] = set()
            end_s = time.monotonic() + 6.0
            while time.monotonic() < end_s and not heard >= {"READY=1", "WATCHDOG=1"}:
                with contextlib.suppress(TimeoutError):
                    heard.update(manager.recv(256).decode().split("\n"))
            reader.terminate()
    return heard


def test_controller_of_our_own_ends_with_a_killed_reader(tmp_path: Path) -> None:
    """SIGKILL of a reader with `--door simulated` leaves no controller behind, so that the next run can start."""
    scene = tmp_path / "scene.json"
    scene.write_text('{"visits": []}')
    command = [sys.executable, "-m", "appliance", "run", "--source", f"simulated:{scene}", "--state", str(tmp_path)]
    with subprocess.Popen([*command, "--door", "simulated"], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert "started" in reader.stdout.readline()
        observer = SimulatedDoorObserver(tmp_path / "simulated-door")
        assert observer.owned()
        reader.kill()
    end_s = time.monotonic() + 5
    while observer.owned() and time.monotonic() < end_s:
        time.sleep(0.02)
    assert not observer.owned()
