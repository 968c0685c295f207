"""The stages with the shipped models, and the reading of a single photograph at enrolment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import manifest
from appliance.drivers.tflite import load_model
from appliance.errors import PhotoError
from appliance.pipeline import near
from appliance.pipeline.alignment import Alignment
from appliance.pipeline.detection import Detection
from appliance.pipeline.embedding import Embedder, fuse
from appliance.pipeline.liveness import Agreement, PresentationAttackDetection
from appliance.pipeline.quality import Assessment
from appliance.records import Embedding, FaceDetection, Frame, Grade, Quality

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from appliance.config import Settings
    from appliance.manifest import Impostors
    from appliance.pipeline import PictureStages


class ModelStages:
    """Every stage over the model files of the manifests. Each stage belongs to one thread at a time."""

    def __init__(
        self, settings: Settings, added: Path | None = None, protect: Callable[[Embedding], Embedding] | None = None
    ) -> None:
        """Load the models; `added` is the folder of those that did not come with the program.

        `protect` turns every template before anybody else sees it, as the gallery's own were.

        Raises ModelError where a file is missing, altered, or not what its manifest says.
        """
        recognition = settings.recognition
        folder = manifest.folder_of(recognition)
        shipped = manifest.read(folder)
        detector = shipped.entry("detector" if recognition.detector == "short" else "detector_full_range")
        embedder = manifest.embedder_of(recognition, added)
        self.detect = Detection(load_model(detector, folder)).detect
        alignment = Alignment(load_model(shipped.entry("landmarks"), folder))
        self.align = alignment.align
        self.views = alignment.views
        self.assess = Assessment(recognition.min_face_px).assess
        min_face_px = settings.liveness.min_face_px
        judges = [load_model(*one) for one in manifest.liveness_of(settings, added)]
        self.score = Agreement([PresentationAttackDetection(one, min_face_px) for one in judges]).score
        self.embedder = Embedder(load_model(*embedder))
        self._protect = protect
        self.measured = embedder.entry.measured
        self.impostors: Impostors | None = self.measured.door

    def embed(self, crop: NDArray[np.uint8]) -> Embedding | None:
        """Return the crop's template; None where the model gave none."""
        found = self.embedder.embed(crop)
        return found if found is None or self._protect is None else self._protect(found)

    def template(self, frame: Frame, face: FaceDetection) -> Embedding | None:
        """Return one photograph's template, the mean of its views; None where the model gave none.

        A photograph is read once and compared for years, so it may take five frames' time.
        """
        read = [self.embed(view) for view in self.views(frame, face)]
        whole = [one for one in read if one is not None]
        return fuse(whole, [1.0] * len(whole))


class PhotoReader:
    """Reads one photograph of one person, for enrolment."""

    def __init__(self, stages: PictureStages) -> None:
        self._stages = stages

    def faces(self, pixels: NDArray[np.uint8]) -> tuple[FaceDetection, ...]:
        """Return the faces in (H, W, 3) RGB pixels, largest first; () for none."""
        return self._stages.detect(Frame(pixels, 0.0, 0))

    def read(self, pixels: NDArray[np.uint8], name: str) -> tuple[Embedding, Quality]:
        """Return the template and quality of the one face in (H, W, 3) RGB pixels.

        Raises PhotoError, naming `name`, where there is no face, more than one, or one that cannot be relied on.
        """
        frame = Frame(pixels, 0.0, 0)
        faces = self._stages.detect(frame)
        if not faces:
            raise PhotoError(f"photo {name} shows no face; one is needed, facing the camera")
        together = 1 + sum(near(other, faces[0]) for other in faces[1:])
        if together > 1:
            raise PhotoError(f"photo {name} shows {together} faces; exactly one is allowed")
        geometry = self._stages.align(frame, faces[0])
        quality = self._stages.assess(frame, faces[0], geometry)
        embedding = self._stages.template(frame, faces[0])
        if quality.grade is Grade.LOW or embedding is None:
            flaws = ", ".join(quality.flaws) or "unreadable"
            raise PhotoError(f"photo {name} is too poor to enrol ({flaws}); medium or high quality is needed")
        return embedding, quality


def open_face_reader(
    settings: Settings, added: Path | None = None, protect: Callable[[Embedding], Embedding] | None = None
) -> PhotoReader:
    """Return a reader over the models; as `ModelStages`. Raises ModelError where a file is missing or altered."""
    return PhotoReader(ModelStages(settings, added, protect))
