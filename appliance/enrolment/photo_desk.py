"""Enrolment from photos that were sent: read in a thread of their own, taken into the gallery in the loop's."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from appliance.enrolment.uploads import Uploads
from appliance.errors import ApplianceError, RefusedError
from appliance.people.references import Look

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from appliance.enrolment.uploads import Upload
    from appliance.people.enrolment import FaceReader
    from appliance.usecases import Answer
    from appliance.verbs import EnrolPhoto

RESTS_S = 60.0  # the models are let go when nothing was read for so long


class Enrolling(Protocol):
    """Takes somebody in whose photos were all read; answers, or raises RefusedError."""

    def __call__(self, upload: Upload, answer: Answer, /) -> None:
        """Enrol."""
        ...


@dataclass(frozen=True, slots=True)
class _Reading:
    """A photo that is being read."""

    upload: Upload
    look: Future[Look]
    answer: Answer
    enrol: Enrolling


class PhotoDesk:
    """Belongs to the loop's thread, and never waits. One photo is read at a time.

    `open_reader` loads the models, in the desk's thread. `decode` gives the pixels of a photo, or raises PhotoError.
    """

    def __init__(
        self, open_reader: Callable[[], FaceReader], decode: Callable[[bytes, str], NDArray[np.uint8]]
    ) -> None:
        self._open_reader = open_reader
        self._decode = decode
        self._uploads = Uploads()
        self._thread = ThreadPoolExecutor(1, "photos")
        self._reader: FaceReader | None = None  # the desk's thread's, while there is work
        self._going_on: list[_Reading] = []
        self._last_s = 0.0

    def take(self, client_id: str, args: EnrolPhoto, answer: Answer, enrol: Enrolling) -> None:
        """Take one part in; with the last one of a photo it is read, and with the last photo `enrol` is called.

        Raises RefusedError where the part is not taken.
        """
        upload = self._uploads.add(client_id, args, time.monotonic())
        if upload.arrived < upload.parts:
            answer({"photo": args.photo, "part": args.part})
            return
        upload.reading = True
        look = self._thread.submit(self._look, upload.take(), upload.name)
        self._going_on.append(_Reading(upload, look, answer, enrol))

    def tend(self) -> None:
        """Answer about what was read meanwhile, enrol whose photos are all there, and rest when there is no work."""
        now_s = time.monotonic()
        self._uploads.forget_idle(now_s)
        while self._going_on and self._going_on[0].look.done():
            self._last_s = now_s
            self._settle(self._going_on.pop(0), now_s)
        if self._reader is not None and not self._going_on and now_s > self._last_s + RESTS_S:
            self._reader = None

    def close(self) -> None:
        """Read nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _look(self, data: bytes, name: str) -> Look:
        pixels = self._decode(data, name)
        self._reader = self._reader or self._open_reader()
        embedding, quality = self._reader.read(pixels, name)
        return Look(f"photo {name}", embedding, quality.grade, quality.flaws)

    def _settle(self, reading: _Reading, now_s: float) -> None:
        upload, answer = reading.upload, reading.answer
        upload.reading, upload.touched_s = False, now_s
        try:
            upload.looks.append(reading.look.result())
            if len(upload.looks) < upload.photos:
                answer({"photo": len(upload.looks), "quality": upload.looks[-1].grade.name.lower()})
                return
            self._uploads.close(upload)
            reading.enrol(upload, answer)
        except ApplianceError as fault:
            answer(error=str(fault))
            if not isinstance(fault, RefusedError):
                raise
