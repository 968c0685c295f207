"""Redact: cover every face of a picture, or all but one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.faces.covering import cover
from appliance.faces.finding import apart
from appliance.pipeline.detection import MIN_SCORE
from appliance.records import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from appliance.faces.comparing import Thresholds
    from appliance.faces.reader import PictureReader
    from appliance.records import Embedding


@dataclass(frozen=True, slots=True, eq=False)
class Keep:
    """Which one face stays to be seen: whoever these templates are of, or the largest; nobody by default."""

    references: tuple[Embedding, ...] = ()
    largest: bool = False  # that is surely a face; of a film: whoever has the largest one in it that can be read


@dataclass(frozen=True, slots=True, eq=False)
class RedactedPicture:
    """A picture without the faces."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB, read-only
    covered: int  # places; a few may be no face at all, as doubt covers
    kept: bool  # whether somebody was to be kept and was found


def redact_picture(
    pixels: NDArray[np.uint8], reader: PictureReader, thresholds: Thresholds, keep: Keep | None = None
) -> RedactedPicture:
    """Return (H, W, 3) RGB pixels with all faces covered but the one to be kept, where that is found for sure.

    Whoever is kept is one face at most: the most alike to any of the references, if it reaches the threshold for as
    many comparisons as were made. The edge of another face's cover may lie over it.
    """
    faces = reader.faint.find(pixels)
    kept = None
    if keep is not None and keep.largest:
        kept = next((face for face in faces if face.score >= MIN_SCORE), None)
    elif keep is not None and keep.references:
        frame = Frame(pixels, 0.0, 0)
        seen = [reader.see(frame, face).embedding for face in faces]
        number = _kept([likeness(one, keep.references) for one in seen], len(keep.references), thresholds)
        kept = None if number is None else faces[number]
    others = faces if kept is None else apart(faces, kept)
    return RedactedPicture(cover(pixels, [one.box for one in others]), len(others), kept is not None)


def _kept(alike: Sequence[float], references: int, thresholds: Thresholds) -> int | None:
    """Return which face is the one to be kept; None for none."""
    if not alike:
        return None
    best = max(range(len(alike)), key=lambda number: alike[number])
    return best if alike[best] >= thresholds.point(references * len(alike)).threshold else None


def likeness(face: Embedding | None, references: Sequence[Embedding]) -> float:
    """Return the similarity of a face to the nearest reference; -1 for a face that cannot be read, or no reference."""
    if face is None:
        return -1.0
    return max((float(face.vector @ one.vector) for one in references), default=-1.0)
