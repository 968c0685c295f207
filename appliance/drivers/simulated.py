"""The simulated appliance hardware: a camera that plays a scene, and (in `simulated_door`) a door that remembers.

It is a product of its own: the demo, the tests and anybody without a camera use it, and it is held by the
same contract tests as the real drivers.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.drivers.camera import checked
from appliance.drivers.scene import Condition, Renderer, Scene, Visit, read_scene
from appliance.errors import CameraError, CameraStalledError

if TYPE_CHECKING:
    from appliance.config import CameraSettings
    from appliance.records import Frame

# An ordinary morning: somebody, and the same face again as a print and on a telephone.
DAY = Scene(visits=(Visit(), Visit(shows="print"), Visit(shows="phone"), Visit(face="official")))


class Script:
    """The visits a simulated camera plays, one after another; more may be added while it plays, from any thread."""

    def __init__(self, scene: Scene, path: Path | None = None) -> None:
        self._visits = list(scene.visits)
        self.condition: Condition = scene.camera
        self.camera_id = scene.camera_id
        self._now_s = 0.0
        self._path = path
        self._stamp = self._modified()
        self._started: list[float] = []  # when each visit so far came into sight

    def at(self, now_s: float) -> tuple[Visit | None, float]:
        """Return who is in sight at this scene time and for how long they have been; None for an empty room."""
        self._now_s = now_s
        self._reread()
        current = len(self._started) - 1
        if current >= 0 and now_s < self._started[current] + self._visits[current].for_s:
            return self._visits[current], now_s - self._started[current]
        waiting = current + 1
        if waiting >= len(self._visits):
            return None, 0.0
        free_s = self._started[current] + self._visits[current].for_s if current >= 0 else 0.0
        if now_s < free_s + self._visits[waiting].pause_s:
            return None, 0.0
        self._started.append(now_s)
        return self._visits[waiting], 0.0

    def play(self, visit: Visit) -> None:
        """Add a visit at the end."""
        self._visits.append(visit)

    def wait_until_empty(self) -> None:
        """Return when everybody who was to come has come and gone, while a paced camera plays the script."""
        while not self.ended(self._now_s):
            time.sleep(0.05)

    def ended(self, now_s: float) -> bool:
        """Tell whether the last visit so far has left a second ago."""
        if len(self._started) < len(self._visits):
            return False
        return not self._started or now_s > self._started[-1] + self._visits[-1].for_s + 1.0

    def _modified(self) -> int:
        try:
            return self._path.stat().st_mtime_ns if self._path else 0
        except OSError:
            return 0

    def _reread(self) -> None:
        """Take up the camera's condition and visits that were appended; those already played stay as they were."""
        stamp = self._modified()
        if self._path is None or stamp == self._stamp:
            return
        self._stamp = stamp
        scene = read_scene(self._path)
        self.condition, self.camera_id = scene.camera, scene.camera_id
        self._visits[len(self._started) :] = scene.visits[len(self._started) :]


class SimulatedCamera:
    """A camera that looks at a scene.

    Paced, it is a live camera whose time is the monotonic clock; unpaced, it is a recording of the scene that
    runs as fast as it is read and ends with it. It can stall and be unplugged, for tests, and the script says whether
    it is frozen, covered, out of focus, moved or another camera.
    """

    def __init__(self, script: Script, settings: CameraSettings, *, paced: bool = True, seed: int = 1) -> None:
        self.live = paced
        self.stalled = False  # set by a test: no frame comes
        self.unplugged = False  # set by a test: the device is gone
        self.frozen = False  # set by a test: the same picture again and again
        self._script = script
        self.identity = script.camera_id
        self._interval_s = 1 / settings.frame_rate
        self._stall_s = settings.stall_s
        self._renderer = Renderer(settings.width_px, settings.height_px, seed)
        self._start_s = time.monotonic() if paced else 0.0
        self._sequence = 0
        self._last = self._renderer.draw(None, 0.0)

    def read(self) -> Frame | None:
        """Return the next frame in time; None when an unpaced scene is over."""
        if self.unplugged:
            raise CameraError("simulated camera is unplugged")
        if self.stalled:
            time.sleep(self._stall_s)
            raise CameraStalledError(f"simulated camera gave no frame for {self._stall_s} s")
        self._sequence += 1
        self.identity = self._script.camera_id
        scene_s = self._sequence * self._interval_s
        if self.live:
            wait_s = self._start_s + scene_s - time.monotonic()
            time.sleep(max(0.0, wait_s))
            scene_s = time.monotonic() - self._start_s
            self._sequence = max(self._sequence, int(scene_s / self._interval_s))  # late frames are dropped
        elif self._script.ended(scene_s):
            return None
        seen = self._renderer.draw(*self._script.at(scene_s))
        if not self.frozen and self._script.condition != "frozen":
            self._last = self._renderer.through(self._script.condition, seen)
        return checked(self._last.copy(), self._start_s + scene_s, self._sequence)

    def close(self) -> None:
        """Nothing is held."""


def script_named(name: str) -> Script:
    """Return the built-in scene `day`, or the script in a JSON file. Raises CameraError for neither."""
    if name == "day":
        return Script(DAY)
    path = Path(name)
    return Script(read_scene(path), path)
