"""One picture read for its own sake: all its faces, each with what the models make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import PhotoError
from appliance.pipeline import near
from appliance.pipeline.quality import MIN_PRESENCE
from appliance.records import Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from appliance.faces.finding import Finder
    from appliance.pipeline import PictureStages
    from appliance.records import Embedding, FaceDetection, Geometry, Quality

# Of 500 pictures of Labeled Faces in the Wild, half of them made coarse, no face that the picture is of lies below it;
# 12 of 47 further sightings do, which are none.
TOLD_PRESENCE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """One face of a picture."""

    detection: FaceDetection
    geometry: Geometry
    quality: Quality
    embedding: Embedding | None  # None where it was not asked for, or the face cannot be read


class PictureReader:
    """Reads pictures. Belongs to one thread at a time.

    A face of low quality is read too, as face services do: what it is compared with decides, and its quality is told.
    One whose landmarks are not those of a face has no template.
    """

    def __init__(self, stages: PictureStages, finder: Finder, faint: Finder, film: Finder) -> None:
        """Take the stages; `finder` finds faces, `faint` whatever might be one, `film` that in a film's frames."""
        self.stages, self.finder, self.faint, self.film = stages, finder, faint, film

    def read(self, pixels: NDArray[np.uint8], *, templates: bool = True) -> tuple[SeenFace, ...]:
        """Return the faces in (H, W, 3) RGB pixels, largest first, at most 100; () for none."""
        frame = Frame(pixels, 0.0, 0)
        seen = [self.see(frame, face, template=templates) for face in self.finder.find(pixels)]
        return tuple(one for one in seen if one.geometry.presence >= TOLD_PRESENCE)  # this way round, NaN is none

    def only(self, pixels: NDArray[np.uint8], name: str) -> Embedding:
        """Return the template of the one face that the picture is of; smaller ones behind it do not count.

        Raises PhotoError, naming `name`, for none, several, or one that cannot be read.
        """
        faces = [one.detection for one in self.read(pixels, templates=False)]
        if not faces:
            raise PhotoError(f"photo {name} shows no face; one is needed")
        together = 1 + sum(near(other, faces[0]) for other in faces[1:])
        if together > 1:
            raise PhotoError(f"photo {name} shows {together} faces; exactly one is allowed")
        embedding = self.see(Frame(pixels, 0.0, 0), faces[0]).embedding
        if embedding is None:
            raise PhotoError(f"photo {name} shows a face that cannot be read; one that faces the camera is needed")
        return embedding

    def see(self, frame: Frame, face: FaceDetection, *, template: bool = True) -> SeenFace:
        """Return what the models make of one detected face."""
        geometry = self.stages.align(frame, face)
        quality = self.stages.assess(frame, face, geometry)
        is_face = geometry.presence >= MIN_PRESENCE  # this way round, NaN is none
        embedding = self.stages.template(frame, face) if template and is_face else None
        return SeenFace(face, geometry, quality, embedding)
