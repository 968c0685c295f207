"""Where presentations come from: people at the camera, a folder of recordings, or the simulated scene."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Protocol, get_args

from appliance.capture import Capture
from appliance.commissioning.trials import BONA_FIDE
from appliance.drivers.camera import open_camera
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.errors import CameraError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from appliance.config import CameraSettings
    from appliance.drivers.camera import Camera
    from appliance.records import Frame

PEOPLE_FOLDER = "bona_fide"
TURN_S = 0.1  # to wait for one frame
LOOK_S = 2.0  # beyond the reading time, for a simulated visitor to walk up and away
_FACES = ("astronaut", "official")


class Source(Protocol):
    """Brings presentations, one after another."""

    def presentations(self, species: str) -> Iterator[Iterator[Frame]]:
        """Give the frames of each presentation of a species, or of people; an endless source gives on and on."""
        ...


class AtTheCamera:
    """People and attacks before a live camera; `ask` is called before each and returns when they are in place."""

    def __init__(self, settings: CameraSettings, ask: Callable[[str, int], None]) -> None:
        """Open the camera. Raises CameraError where it cannot be, and UsageError for a recording."""
        camera = open_camera(settings)
        if not camera.live:
            camera.close()
            raise UsageError(f"camera source {settings.source} is a recording; recordings are read with --from FOLDER")
        self._ask = ask
        self._capture = Capture(lambda: open_camera(settings), settings.stall_s)
        self._capture.start(camera)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.stop()

    def presentations(self, species: str) -> Iterator[Iterator[Frame]]:
        """Give one presentation after another, without end."""
        for number in itertools.count(1):
            self._ask(species, number)
            self._capture.take(0.0)  # what was captured while they got into place
            yield self._frames()

    def _frames(self) -> Iterator[Frame]:
        while True:
            frame = self._capture.take(TURN_S)
            if frame is not None:
                yield frame
            elif fault := self._capture.fault():
                raise CameraError(fault)


class SimulatedVisits:
    """The simulated scene plays whatever is asked for, as fast as it can be read; no two visits are quite alike."""

    def __init__(self, settings: CameraSettings, reading_s: float) -> None:
        self._settings = settings
        self._for_s = reading_s + LOOK_S
        self._seed = itertools.count(1)

    def presentations(self, species: str) -> Iterator[Iterator[Frame]]:
        """Give one presentation after another, without end. Raises UsageError for what the scene does not show."""
        shows = species or "person"
        known = get_args(Visit.model_fields["shows"].annotation)
        if shows not in known:
            raise UsageError(
                f"commissioning.species has {species}, which the simulated scene does not show; it shows {known[1:]}"
            )
        for number in itertools.count():
            visit = Visit.model_validate(
                {
                    "shows": shows,
                    "face": _FACES[number % 2],
                    "for_s": self._for_s,
                    "pause_s": 0.2,
                    "light": 0.9 + 0.05 * (number % 5),
                    "nearness": 0.95 + 0.05 * (number % 3),
                }
            )
            script = Script(Scene(visits=(visit,)))
            yield _played(SimulatedCamera(script, self._settings, paced=False, seed=next(self._seed)))


class Recordings:
    """A folder with a folder for people and one for each species; every video or folder of photos is a presentation."""

    def __init__(self, folder: Path, settings: CameraSettings) -> None:
        """Look at the folder. Raises UsageError where it holds no recordings of people."""
        self._folder = folder
        self._settings = settings
        if not self._files(BONA_FIDE):
            raise UsageError(f"{folder} has no folder {PEOPLE_FOLDER} with recordings of people in it")

    def species(self) -> tuple[str, ...]:
        """Return the species that there are recordings of, by name."""
        names = sorted(path.name for path in self._folder.iterdir() if path.is_dir() and path.name[0] != ".")
        return tuple(name for name in names if name != PEOPLE_FOLDER)

    def presentations(self, species: str) -> Iterator[Iterator[Frame]]:
        """Give each recording's frames, by file name."""
        for path in self._files(species):
            recording = self._settings.model_copy(update={"source": str(path.absolute())})
            yield _played(open_camera(recording))

    def _files(self, species: str) -> list[Path]:
        folder = self._folder / (species or PEOPLE_FOLDER)
        return sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []


def _played(recording: Camera) -> Iterator[Frame]:
    with contextlib.closing(recording):
        while (frame := recording.read()) is not None:
            yield frame
