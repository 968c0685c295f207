"""Recordings and folders through OpenCV: everything that can be decoded, and one line for the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.config import CameraSettings
from appliance.drivers.camera import open_camera
from appliance.drivers.opencv import FOLDER_INTERVAL_S, PhotoFolder, Recording, rgb
from appliance.drivers.photo import encode_jpeg, encode_png
from appliance.errors import CameraError
from tests.contracts.test_camera import film, red

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.drivers.camera import Camera
    from appliance.records import Frame


def all_frames(camera: Camera) -> list[Frame]:
    """Return every frame to the end."""
    frames = []
    while (seen := camera.read()) is not None:
        frames.append(seen)
    return frames


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (101, 99), (1281, 721)])
def test_odd_sizes_come_out_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    """A recording of any size, odd ones too, has every frame in that size (A7)."""
    frames = all_frames(Recording(film(tmp_path / "odd.avi", 4, size)))
    assert [seen.pixels.shape for seen in frames] == [(size[1], size[0], 3)] * 4


def test_recording_too_small_to_hold_a_face_is_refused(tmp_path: Path) -> None:
    """Frames below 32 px are refused in one line and never reach a model (A7)."""
    with pytest.raises(CameraError, match="16x16; each side must be 32 to 4096 px"):
        Recording(film(tmp_path / "tiny.avi", 4, (16, 16))).read()


@pytest.mark.parametrize("rate", [1.0, 10.0, 25.0, 60.0])
def test_time_is_the_recordings_own(tmp_path: Path, rate: float) -> None:
    """A recording's time runs at its own rate, from its beginning."""
    times = [seen.captured_at_s for seen in all_frames(Recording(film(tmp_path / "film.avi", 6, rate=rate)))]
    assert np.allclose(np.diff(times), 1 / rate, rtol=0.02)
    assert times[0] < 0.05


@pytest.mark.parametrize("stated", [0, 1, 2**31 - 1])
def test_stated_frame_count_is_never_believed(tmp_path: Path, stated: int) -> None:
    """A header that lies about the number of frames changes nothing: they are read until there are no more."""
    path = film(tmp_path / "film.avi", 6)
    content = bytearray(path.read_bytes())
    header = content.index(b"avih") + 8 + 16  # AVIMAINHEADER.dwTotalFrames
    content[header : header + 4] = stated.to_bytes(4, "little")
    stream = content.index(b"strh") + 8 + 32  # AVISTREAMHEADER.dwLength
    content[stream : stream + 4] = stated.to_bytes(4, "little")
    path.write_bytes(content)
    assert len(all_frames(Recording(path))) == 6


def test_cut_recording_ends_early_and_whole(tmp_path: Path) -> None:
    """Cut at any place, a recording gives frames up to there, in order, or is refused; it never hangs or repeats."""
    content = film(tmp_path / "film.avi", 12).read_bytes()
    lengths = []
    for part in range(1, 10):
        path = tmp_path / f"{part}.avi"
        path.write_bytes(content[: len(content) * part // 10])
        try:
            frames = all_frames(Recording(path))
        except CameraError:
            frames = []
        assert [seen.sequence for seen in frames] == list(range(1, len(frames) + 1))
        lengths.append(len(frames))
    assert lengths == sorted(lengths)
    assert 0 < lengths[-1] < 12


def test_damaged_recording_goes_on_behind_the_damage(tmp_path: Path) -> None:
    """A frame whose bytes were overwritten costs itself at most; those behind it come, and time rises (A4)."""
    content = bytearray(film(tmp_path / "film.avi", 12).read_bytes())
    fourth = [place for place in range(len(content)) if content[place : place + 4] == b"00dc"][3]
    content[fourth + 8 : fourth + 408] = bytes(400)
    (tmp_path / "dirty.avi").write_bytes(content)
    frames = all_frames(Recording(tmp_path / "dirty.avi"))
    assert 11 <= len(frames) <= 12
    assert np.abs(frames[-1].pixels.astype(int) - red(11)).mean() < 3
    assert (np.diff([seen.captured_at_s for seen in frames]) > 0).all()


@pytest.mark.parametrize(
    "content", [b"", b"not a film\n", b"\0" * 5000, b"RIFF\x10\0\0\0AVI LIST", b"\x89PNG\r\n\x1a\n"]
)
@pytest.mark.parametrize("name", ["film.mp4", "film.avi"])
def test_file_that_is_no_recording_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    """A text, zeros, a header and no more: one line that names the file, at opening or at the first frame."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CameraError, match=name) as fault:
        Recording(path).read()
    assert "\n" not in str(fault.value)


def test_libraries_keep_quiet_about_a_broken_recording(tmp_path: Path) -> None:
    """What FFmpeg and OpenCV print about a bad file or a missing camera does not reach the user: only our line does."""
    (tmp_path / "text.mp4").write_text("not a film\n")
    content = bytearray(film(tmp_path / "film.avi", 12).read_bytes())
    content[2000:2600] = bytes(600)
    (tmp_path / "dirty.avi").write_bytes(content)
    program = (
        "import sys\nfrom appliance.config import CameraSettings\nfrom appliance.drivers.camera import open_camera\n"
        "from appliance.errors import CameraError\n"
        "for source in sys.argv[1:]:\n"
        "    try:\n        camera = open_camera(CameraSettings(source=source))\n"
        "        while camera.read() is not None: pass\n"
        "    except CameraError: pass\n"
    )
    sources = [str(tmp_path / "text.mp4"), str(tmp_path / "dirty.avi"), "98", "/dev/video98", "videotestsrc ! appsink"]
    quiet = {key: value for key, value in os.environ.items() if not key.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", program, *sources], capture_output=True, text=True, env=quiet, timeout=30, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_folder_plays_in_order_of_names_and_passes_over_what_is_broken(tmp_path: Path) -> None:
    """Photos come in the order of their names at ten a second; unreadable ones are passed over and remembered."""
    (tmp_path / "a.png").write_bytes(encode_png(red(1)))
    (tmp_path / "b.jpg").write_bytes(b"not a photo")
    (tmp_path / "c.JPEG").write_bytes(encode_jpeg(red(2)))
    (tmp_path / "d.png").write_bytes(encode_png(red(3))[:-40])
    (tmp_path / "e.jpg").mkdir()
    (tmp_path / "f.png").write_bytes(encode_png(red(4)))
    (tmp_path / "notes.txt").write_text("not shown")
    folder = PhotoFolder(tmp_path)
    frames = all_frames(folder)
    assert [seen.sequence for seen in frames] == [1, 3, 6]
    assert [seen.captured_at_s for seen in frames] == pytest.approx([FOLDER_INTERVAL_S * n for n in (1, 3, 6)])
    assert [refused.split()[1].rsplit("/", 1)[1] for refused in folder.refused] == ["b.jpg", "d.png", "e.jpg"]
    assert np.array_equal(frames[2].pixels, red(4))


def test_folder_without_photos_is_one_line(tmp_path: Path) -> None:
    """A folder that holds none is refused when it is opened."""
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(CameraError, match=r"holds no \.jpg"):
        open_camera(CameraSettings(source=str(tmp_path)))


def test_folder_of_nothing_readable_ends_at_once(tmp_path: Path) -> None:
    """Where not one photo can be read, the folder says so in one line, and why for each."""
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    folder = PhotoFolder(tmp_path)
    with pytest.raises(CameraError, match="no photo that can be read"):
        folder.read()
    assert len(folder.refused) == 2


@pytest.mark.parametrize("shape", [(480, 640), (480, 640, 1), (480, 640, 4), (480, 640, 2), (0, 0, 3)])
def test_what_is_not_three_colours_is_refused_before_opencv(shape: tuple[int, ...]) -> None:
    """A source that sends grey, YUYV or nothing (GStreamer can) is one line and no crash (A7)."""
    with pytest.raises(CameraError, match="camera frame is"):
        rgb(np.zeros(shape, np.uint8))
