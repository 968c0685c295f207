"""What the camera sees, for whoever aims it: a small picture made of letters, and the face in it in words."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rich.color import Color
from rich.style import Style
from rich.text import Text

from appliance import pixels
from appliance.drivers.camera import open_camera
from appliance.drivers.photo import decode_photo
from appliance.enrolment.requests import Preview
from appliance.errors import CameraError
from appliance.local_socket import ask
from appliance.pipeline.quality import SHARPNESS
from appliance.records import Frame, Grade

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from appliance.commands.options import Installation
    from appliance.config import Settings
    from appliance.records import FaceDetection, Geometry, Quality

_INK = " .:-=+*#%@"  # dark to bright on a dark terminal
_SILENT_S = 3.0
_GRADES = {Grade.HIGH: "good enough to enrol", Grade.MEDIUM: "can be read, not enrolled", Grade.LOW: "cannot be read"}


class Looking(Protocol):
    """The stages that say how a face is seen."""

    def detect(self, frame: Frame, /) -> tuple[FaceDetection, ...]:
        """Return the faces in the frame, largest first."""

    def align(self, frame: Frame, face: FaceDetection, /) -> Geometry:
        """Return the face's points and the face upright."""

    def assess(self, frame: Frame, face: FaceDetection, geometry: Geometry, /) -> Quality:
        """Return how good the view is."""


@dataclass(frozen=True, slots=True)
class Sight:
    """How one frame shows somebody."""

    faces: int
    light: float  # 0..255: mean luma of the face, of the whole picture where there is none
    quality: Quality | None = None  # of the largest face

    @property
    def words(self) -> str:
        """It all in one line of at most 78 letters, but for more than two flaws."""
        if self.quality is None:
            return f"nobody in sight; light {self.light:.0f} of 255"
        found = "one face" if self.faces == 1 else f"{self.faces} faces"
        seen, enough = self.quality, "sharp" if self.quality.sharpness >= SHARPNESS[1] else "not sharp"
        flaws = ": " + ", ".join(flaw.value.replace("_", " ") for flaw in seen.flaws[:2]) if seen.flaws else ""
        return f"{found}, {seen.face_px:.0f} px wide, {enough}, light {self.light:.0f}; {_GRADES[seen.grade]}{flaws}"


def see(frame: Frame, stages: Looking) -> Sight:
    """Return how the frame shows whoever is largest in it."""
    faces = stages.detect(frame)
    if not faces:
        return Sight(0, float(pixels.luma(frame.pixels).mean()))
    quality = stages.assess(frame, faces[0], stages.align(frame, faces[0]))
    return Sight(len(faces), quality.exposure, quality)


def picture(view: NDArray[np.uint8], columns: int, lines: int, *, colours: bool) -> Text:
    """Return (H, W, 3) RGB pixels as text of at most so many columns and lines.

    With `colours` each letter is two pixels, one above the other, in their own colours; without, one of ten shades.
    """
    height, width = view.shape[:2]
    scale = min(columns / width, 2 * lines / height)
    small = pixels.shrunk(view, max(2, int(max(width, height) * scale)))
    if small.shape[0] < 2:
        small = small.repeat(2, axis=0)
    text = Text(no_wrap=True, end="")
    for top, below in zip(small[0:-1:2], small[1::2], strict=False):  # an odd last row is left out
        for upper, lower in zip(top.tolist(), below.tolist(), strict=True):
            if colours:
                text.append("▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))
            else:
                text.append(_INK[sum(upper + lower) * len(_INK) // (6 * 256)])
        text.append("\n")
    return text


def frames(installation: Installation, settings: Settings) -> Generator[Frame]:
    """Give what the camera of `settings` sees: from a running reader where it has that camera, else from the camera.

    Raises CameraError where it cannot be opened or gives nothing.
    """
    if settings.camera.source == installation.settings.camera.source:
        call = ask(installation.reader_socket, Preview().model_dump(), _SILENT_S)
        if call is not None:
            with call:
                yield from _mirrored(call)
            raise CameraError("the reader has stopped")
    camera = open_camera(settings.camera)
    try:
        while (frame := camera.read()) is not None:
            yield frame
    finally:
        camera.close()


def _mirrored(call: Iterable[dict[str, Any]]) -> Iterator[Frame]:
    for number, message in enumerate(call):
        if "error" in message:
            raise CameraError(f"the reader shows nothing: {message['error']}")
        yield Frame(decode_photo(base64.b64decode(message["jpeg"]), "preview"), message["captured_at_s"], number)


def every(seen: Iterator[Frame], period_s: float) -> Iterator[Frame]:
    """Give the newest frame at most once in `period_s`; a terminal over a network is slow."""
    due_s = 0.0
    for frame in seen:
        if time.monotonic() >= due_s:
            due_s = time.monotonic() + period_s
            yield frame
