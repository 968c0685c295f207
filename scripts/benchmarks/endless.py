"""A film that runs over and over before a reader, and stages that are asked once for each of its pictures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES, Renderer
from appliance.people.gallery import Consent, Gallery
from appliance.pipeline.reading import open_face_reader
from appliance.records import Frame, frozen

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from appliance.commands.options import Installation
    from appliance.drivers.scene import Visit
    from appliance.pipeline import Stages
    from appliance.records import Embedding, FaceDetection, Geometry, Liveness, Quality
    from appliance.service import Service

DIMENSION = 512  # of the default embedder's templates
RATE = 15.0  # frames a second of the film's own time
WIDTH_PX, HEIGHT_PX = 320, 240
NEAR = 1.5  # how near visitors come, so that a face in so small a picture is large enough to be read
_OF_NOBODY = 8  # pictures, as no two in a row may be the same


class Film:
    """A recording that runs over and over until so many frames are read; its time goes on."""

    live = False
    identity = ""

    def __init__(self, frames: int, visits: Sequence[Visit], empty: int) -> None:
        """Take how many frames there are in all, who comes in a turn, and the frames of nobody before each visit."""
        renderer = Renderer(WIDTH_PX, HEIGHT_PX)
        nobody = [renderer.draw(None, number / RATE) for number in range(_OF_NOBODY)]
        self._cut = list[int]()  # which picture each frame of a turn shows
        self.pictures: list[NDArray[np.uint8]] = [frozen(one) for one in nobody]
        for visit in visits:
            self._cut += [number % _OF_NOBODY for number in range(empty)]
            self._cut += range(len(self.pictures), len(self.pictures) + round(visit.for_s * RATE))
            moments = np.arange(round(visit.for_s * RATE)) / RATE
            self.pictures += [frozen(renderer.draw(visit, float(at_s))) for at_s in moments]
        self._left = frames
        self.sequence = 0

    def read(self) -> Frame | None:
        """Return the next frame; None when there were enough."""
        if self._left <= 0:
            return None
        self._left -= 1
        self.sequence += 1
        return Frame(self.pictures[self.shown(self.sequence)], self.sequence / RATE, self.sequence)

    def end(self) -> None:
        """Let no frame follow."""
        self._left = 0

    def shown(self, sequence: int) -> int:
        """Return the number of the picture that this frame shows."""
        return self._cut[sequence % len(self._cut)]

    def close(self) -> None:
        """Nothing is held."""


class Remembered:
    """The stages, asked once for each picture of the film."""

    def __init__(self, stages: Stages, film: Film) -> None:
        self._of = dict[str, Callable[..., Any]](
            detect=stages.detect, align=stages.align, assess=stages.assess, score=stages.score
        )
        self._embed = stages.embed
        self._film = film
        self._known: dict[Hashable, Any] = {}

    def detect(self, frame: Frame) -> tuple[FaceDetection, ...]:
        """Return the faces, largest first."""
        answer: tuple[FaceDetection, ...] = self._again("detect", frame, frame)
        return answer

    def align(self, frame: Frame, face: FaceDetection) -> Geometry:
        """Return one face's landmarks, pose and crop."""
        answer: Geometry = self._again("align", frame, frame, face)
        return answer

    def assess(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> Quality:
        """Return how far this view can be relied on."""
        answer: Quality = self._again("assess", frame, frame, face, geometry)
        return answer

    def score(self, frame: Frame, face: FaceDetection) -> Liveness:
        """Return how surely the face is live."""
        answer: Liveness = self._again("score", frame, frame, face)
        return answer

    def embed(self, crop: NDArray[np.uint8]) -> Embedding | None:
        """Return the face's template."""
        key = id(crop)  # of a geometry that is kept here
        if key not in self._known:
            self._known[key] = self._embed(crop)
        answer: Embedding | None = self._known[key]
        return answer

    def _again(self, stage: str, frame: Frame, *asked: Any) -> Any:  # noqa: ANN401 - whatever the stage takes and gives
        key = stage, self._film.shown(frame.sequence)
        if key not in self._known:
            self._known[key] = self._of[stage](*asked)
        return self._known[key]


def answer_again(service: Service, film: Film) -> None:
    """Have the service's stages asked once for each picture of the film, and answer as they did from then on."""
    stages = service._stages  # noqa: SLF001 - the one edge that has no driver of its own
    again = Remembered(stages, film)
    vars(stages).update({name: getattr(again, name) for name in ("detect", "align", "assess", "score", "embed")})


def enrol_astronaut(installation: Installation) -> str:
    """Enrol the portrait that visitors of the film and of scenes show; return the id of its model."""
    reader = open_face_reader(installation.settings)
    embedding, quality = reader.read(read_photo(FACES / "astronaut.png"), "astronaut")
    with Gallery(installation.gallery_file) as gallery:
        template = gallery.protection.protect(embedding)
        gallery.add("astronaut", Consent("bench", datetime.now(UTC)), [(template, quality.grade)])
    return embedding.model_id
