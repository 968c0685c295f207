"""Redact a film: every face in every frame, or all but one, read twice: first to find, then to cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from appliance.errors import RefusedError
from appliance.faces.covering import cover
from appliance.faces.finding import apart
from appliance.faces.following import Sighting, covers
from appliance.faces.redact import Keep, likeness
from appliance.records import Grade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from appliance.faces.comparing import Thresholds
    from appliance.faces.reader import PictureReader
    from appliance.records import Embedding, FaceDetection, Frame

HOLD_S = 0.5  # a face that is not seen is held to be there for so long, before and after
SEARCHED_HZ = 10.0  # frames between two that are searched are covered from where a face was to where it is next
MAX_FRAMES = 50_000  # half an hour at 25 a second


class Film(Protocol):
    """A film that is being read, from its first frame to its last."""

    def read(self) -> Frame | None:
        """Return the next frame; None at the end."""
        ...

    def close(self) -> None:
        """Let the file go."""
        ...


@dataclass(frozen=True, slots=True)
class RedactedFilm:
    """What became of a film."""

    frames: int
    covered: int  # covers, over all frames
    kept_frames: int  # frames that were searched and in which the one who was to be kept was recognised


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """One face in one frame."""

    detection: FaceDetection
    embedding: Embedding | None  # None where nobody is kept, or the view cannot be relied on


def redact_film(
    open_film: Callable[[], Film],
    write: Callable[[NDArray[np.uint8]], None],
    frame_rate: float,
    reader: PictureReader,
    thresholds: Thresholds,
    *,
    keep: Keep | None = None,
    told: Callable[[], None] = lambda: None,
) -> RedactedFilm:
    """Give `write` every frame of the film, (H, W, 3) RGB, with all faces covered but the one to be kept.

    That one stays to be seen only in frames in which it is recognised, or between two such within half a second; the
    threshold follows from all faces of the film. `told` is called twice for each frame. Raises RefusedError for a film
    of more than `MAX_FRAMES` frames, or one that changes between the readings; CameraError for one that cannot be read.
    """
    looks = _watch(open_film(), max(1, round(frame_rate / SEARCHED_HZ)), reader, keep, told)
    found = _sightings(looks, keep, thresholds)
    boxes = covers(found, max(1, round(HOLD_S * frame_rate)))
    _write(open_film(), boxes, write, told)
    kept = sum(any(one.kept for one in frame) for frame in found)
    return RedactedFilm(len(looks), sum(len(frame) for frame in boxes), kept)


def _watch(
    film: Film, every: int, reader: PictureReader, keep: Keep | None, told: Callable[[], None]
) -> list[tuple[_Look, ...]]:
    """Return the faces of each frame; of the first, of one in `every`, and of the last; () for those between."""

    def look(frame: Frame) -> tuple[_Look, ...]:
        return tuple(_look(frame, face, reader, keep) for face in reader.film.find(frame.pixels))

    looks: list[tuple[_Look, ...]] = []
    latest: Frame | None = None
    try:
        while (frame := film.read()) is not None:
            if len(looks) == MAX_FRAMES:
                raise RefusedError(f"the film has more than {MAX_FRAMES} frames; cut it into parts")
            looks.append(look(frame) if len(looks) % every == 0 else ())
            latest = frame
            told()
    finally:
        film.close()
    if latest is not None and (len(looks) - 1) % every:
        looks[-1] = look(latest)
    return looks


def _look(frame: Frame, face: FaceDetection, reader: PictureReader, keep: Keep | None) -> _Look:
    if keep is None:
        return _Look(face, None)
    seen = reader.see(frame, face, template=False)
    sound = seen.quality.grade > Grade.LOW
    return _Look(face, reader.stages.embed(seen.geometry.crop) if sound else None)


def _sightings(
    looks: Sequence[Sequence[_Look]], keep: Keep | None, thresholds: Thresholds
) -> tuple[tuple[Sighting, ...], ...]:
    """Return the faces of each frame, at most one of them kept."""
    references = () if keep is None else _largest(looks) if keep.largest else keep.references
    threshold = thresholds.point(len(references) * sum(len(frame) for frame in looks)).threshold
    return tuple(_sighted(frame, references, threshold) for frame in looks)


def _sighted(frame: Sequence[_Look], references: Sequence[Embedding], threshold: float) -> tuple[Sighting, ...]:
    alike = [likeness(one.embedding, references) for one in frame]
    faces = [one.detection for one in frame]
    best = max(alike, default=-1.0)
    if not best >= threshold:  # this way round, NaN keeps nobody
        return tuple(Sighting(face.box) for face in faces)
    kept = faces[alike.index(best)]
    return (Sighting(kept.box, kept=True), *(Sighting(face.box) for face in apart(faces, kept)))


def _largest(looks: Sequence[Sequence[_Look]]) -> tuple[Embedding, ...]:
    """Return the template of the largest face of the film; () where none can be read."""
    readable = [one for frame in looks for one in frame if one.embedding is not None]
    largest = max(readable, key=lambda one: one.detection.width_px, default=None)
    return () if largest is None or largest.embedding is None else (largest.embedding,)


def _write(
    film: Film,
    boxes: Sequence[Sequence[NDArray[np.float32]]],
    write: Callable[[NDArray[np.uint8]], None],
    told: Callable[[], None],
) -> None:
    try:
        for one in boxes:
            if (frame := film.read()) is None:
                raise RefusedError("the film has changed while it was read; nothing is written")
            write(cover(frame.pixels, one))
            told()
        if film.read() is not None:
            raise RefusedError("the film has changed while it was read; nothing is written")
    finally:
        film.close()
