"""Following faces through a film, so that one is covered too while no detector sees it.

A face turns away, is blurred by its movement, passes behind a hand: between two sightings everything from the one box
to the other is covered, and before the first and after the last the box stays and grows. Doubt covers more.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

GROWTH = 0.5  # of its size that a box has grown by when it is held no longer
REACH = 1.0  # widths that a face may have moved since it was last seen


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One face found in one frame."""

    box: NDArray[np.float32]  # (4,) x0 y0 x1 y1 px
    kept: bool = False  # whether it was recognised as the one that stays to be seen


_Track = list[tuple[int, Sighting]]  # of one face, by the number of the frame, rising


def covers(found: Sequence[Sequence[Sighting]], hold: int) -> tuple[tuple[NDArray[np.float32], ...], ...]:
    """Return the boxes to be covered in each frame of a film in which these faces were found.

    `hold` is for how many frames, 1 or more, a face that is not seen is held to be there. Every sighting is covered
    that is neither kept itself nor between two kept ones of the same face at most `hold` frames apart.
    """
    boxes: list[list[NDArray[np.float32]]] = [[] for _ in found]
    for track in _tracks(found, 2 * hold):
        clear = _clear(track, hold)
        for at, box in _boxes(track, hold, len(found)):
            if at not in clear:
                boxes[at].append(box)
    return tuple(tuple(one) for one in boxes)


def _tracks(found: Sequence[Sequence[Sighting]], lost_after: int) -> list[_Track]:
    """Return the sightings by face; each stands in one track, and none is lost."""
    ended: list[_Track] = []
    going: list[_Track] = []
    for at, sightings in enumerate(found):
        ended += [track for track in going if at - track[-1][0] > lost_after]
        going = [track for track in going if at - track[-1][0] <= lost_after]
        pairs = [
            (_apart(track[-1][1].box, one.box), i, j)
            for i, track in enumerate(going)
            for j, one in enumerate(sightings)
        ]
        taken, placed = set[int](), set[int]()
        for apart, i, j in sorted(pairs):
            if apart <= REACH and i not in taken and j not in placed:
                going[i].append((at, sightings[j]))
                taken.add(i)
                placed.add(j)
        going += [[(at, one)] for j, one in enumerate(sightings) if j not in placed]
    return ended + going


def _clear(track: _Track, hold: int) -> set[int]:
    kept = [at for at, one in track if one.kept]
    clear = set(kept)
    for one, other in itertools.pairwise(kept):
        if other - one <= hold:
            clear.update(range(one, other))
    return clear


def _boxes(track: _Track, hold: int, frames: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield where the face is, or may be, with the number of each frame."""
    (first, start), (last, end) = track[0], track[-1]
    for one in range(1, hold + 1):
        if first - one >= 0:
            yield first - one, _grown(start.box, one / hold)
        if last + one < frames:
            yield last + one, _grown(end.box, one / hold)
    for at, one_seen in track:
        yield at, one_seen.box
    for (one_at, before), (other_at, after) in itertools.pairwise(track):
        for at in range(one_at + 1, other_at):
            yield at, _hull(before.box, after.box)


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return how far two boxes' centres lie apart, in widths of the larger."""
    centres = (one[:2] + one[2:] - other[:2] - other[2:]) / 2
    return float(np.hypot(*centres)) / max(float(one[2] - one[0]), float(other[2] - other[0]), 1.0)


def _hull(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([np.minimum(one[:2], other[:2]), np.maximum(one[2:], other[2:])])


def _grown(box: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    more = (box[2:] - box[:2]) * GROWTH * share / 2
    return np.concatenate([box[:2] - more, box[2:] + more]).astype(np.float32)
