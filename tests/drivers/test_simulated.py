"""The simulated camera: a script of visits that plays as written, and that can go wrong as real ones do."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.config import CameraSettings
from appliance.drivers.camera import open_camera
from appliance.drivers.scene import Renderer, Scene, Visit, read_scene, stance
from appliance.drivers.simulated import Script, SimulatedCamera, script_named
from appliance.errors import CameraError, CameraStalledError

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = CameraSettings(width_px=160, height_px=120, frame_rate=10, stall_s=0.2)


def played(script: Script, until_s: float, step_s: float = 0.1) -> list[tuple[float, str]]:
    """Return when what came into sight, "" for nobody, each change once."""
    changes: list[tuple[float, str]] = []
    for number in range(round(until_s / step_s)):
        visit, _ = script.at(number * step_s)
        name = "" if visit is None else f"{visit.shows} {visit.face}"
        if not changes or changes[-1][1] != name:
            changes.append((round(number * step_s, 3), name))
    return changes


def test_visits_play_one_after_another() -> None:
    """Each visit begins after its pause and ends after its time, in the script's order."""
    script = Script(Scene(visits=(Visit(for_s=2, pause_s=1), Visit(shows="print", for_s=1, pause_s=0.5))))
    assert played(script, 6) == [(0, ""), (1.0, "person astronaut"), (3.0, ""), (3.5, "print astronaut"), (4.5, "")]
    assert script.ended(5.9)


def test_visits_can_be_added_while_it_plays() -> None:
    """A visit that is added later comes after its own pause, and the script has not ended before."""
    script = Script(Scene())
    assert script.ended(0.0)
    script.play(Visit(for_s=1, pause_s=0.5))
    assert not script.ended(0.0)
    assert played(script, 3) == [(0, ""), (0.5, "person astronaut"), (1.5, "")]


def test_file_of_visits_may_grow(tmp_path: Path) -> None:
    """Visits that are appended to the file come into sight; those already played stay as they were."""
    path = tmp_path / "scene.json"
    path.write_text(json.dumps({"visits": [{"for_s": 1, "pause_s": 0}]}))
    script = script_named(str(path))
    assert played(script, 2) == [(0, "person astronaut"), (1.0, "")]
    path.write_text(json.dumps({"visits": [{"for_s": 9}, {"for_s": 1, "pause_s": 0, "shows": "phone"}]}))
    assert script.at(2.0)[0] == Visit(for_s=1, pause_s=0, shows="phone")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"visits": [{"shows": "ghost"}]}',
        '{"visits": [{"for_s": -1}]}',
        '{"visits": [{"speed": 2}]}',
        "\0",
    ],
)
def test_bad_script_is_one_line(tmp_path: Path, text: str) -> None:
    """A file that is no scene is refused in one line that names it."""
    path = tmp_path / "scene.json"
    path.write_text(text)
    with pytest.raises(CameraError, match=r"scene\.json") as fault:
        read_scene(path)
    assert "\n" not in str(fault.value)


def test_unknown_scene_is_one_line() -> None:
    """A scene that is not built in and no file is refused."""
    with pytest.raises(CameraError, match="nowhere"):
        open_camera(CameraSettings(source="simulated:nowhere"))


def test_same_seed_draws_the_same_pictures() -> None:
    """A scene can be repeated: the same seed gives the same frames, another one other noise."""
    one, same, other = (Renderer(160, 120, seed) for seed in (1, 1, 2))
    for at_s in (0.0, 0.7, 2.0):
        drawn = one.draw(Visit(), at_s)
        assert np.array_equal(drawn, same.draw(Visit(), at_s))
        assert not np.array_equal(drawn, other.draw(Visit(), at_s))


def test_no_two_frames_are_alike() -> None:
    """Even an empty room has sensor noise: a live simulated camera is never taken for a stuck one (A3)."""
    renderer = Renderer(160, 120)
    pictures = [renderer.draw(None, number / 15) for number in range(20)]
    assert all(not np.array_equal(one, later) for one, later in itertools.pairwise(pictures))


def test_visitor_walks_up_stands_and_leaves() -> None:
    """Over a visit the face grows, stays about as large, and is gone at the end."""
    visit = Visit(for_s=6.0)
    scales = [stance(visit, at_s).scale for at_s in (0.0, 0.5, 1.0, 3.0)]
    assert scales[0] < scales[1] < scales[2]
    assert scales[3] == pytest.approx(scales[2], rel=0.05)
    assert abs(stance(visit, 3.0).shift_x) < 15
    assert stance(visit, 6.0).shift_x > 500


def test_light_out_is_black() -> None:
    """Light 0 is a lens cap: black but for noise."""
    assert Renderer(160, 120).draw(Visit(light=0.0), 1.0).mean() < 3


def test_unplugged_stalled_and_frozen() -> None:
    """The three faults do what their real ones do: gone, silent for the stall time, the same picture in new frames."""
    camera = SimulatedCamera(Script(Scene(visits=(Visit(),))), SETTINGS, paced=False)
    first = camera.read()
    camera.unplugged = True
    with pytest.raises(CameraError, match="unplugged"):
        camera.read()
    camera.unplugged, camera.stalled = False, True
    with pytest.raises(CameraStalledError, match=r"no frame for 0\.2 s"):
        camera.read()
    camera.stalled, camera.frozen = False, True
    one, other = camera.read(), camera.read()
    assert first is not None
    assert one is not None
    assert other is not None
    assert np.array_equal(one.pixels, other.pixels)
    assert first.captured_at_s < one.captured_at_s < other.captured_at_s
