"""Grouping: which faces of a heap belong together, and which are like no other.

Average linkage: two groups become one while the mean similarity between their faces reaches the threshold, the most
alike first. Of 20, 200 and 1,000 faces of Labeled Faces in the Wild it lost least against the truth at any threshold
(BCubed F, half of the people); single linkage chains strangers together once there are hundreds of faces, complete
linkage tears a person apart over one poor picture. `scripts/bench faces` measures it on the other half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelMismatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.faces.comparing import ListedFace, Thresholds

MIN_FACES, MAX_FACES = 2, 1000
# False-match rate of one pair. At 1e-3 precision falls with the number of faces (0.92 of 1,000), at 1e-5 recall does.
LINK_FMR = 1e-4
SPENT = -2.0  # below every similarity


@dataclass(frozen=True, slots=True)
class Grouping:
    """A heap of faces taken apart; every face stands in exactly one place."""

    groups: tuple[tuple[str, ...], ...]  # face ids, the largest group first, each of two or more; one person's each,
    # as far as the machine can tell: a person may come in several groups
    messy: tuple[str, ...]  # faces that are like no other


def group(faces: Sequence[ListedFace], thresholds: Thresholds) -> Grouping:
    """Return which of 2..1000 faces belong together; the same faces in the same order always give the same.

    Raises UsageError for another number of faces or an id that comes twice, ModelMismatchError for several models.
    """
    if not MIN_FACES <= len(faces) <= MAX_FACES:
        raise UsageError(f"{len(faces)} faces are given; {MIN_FACES} to {MAX_FACES} can be grouped")
    ids = [one.face_id for one in faces]
    if len(set(ids)) < len(ids):
        raise UsageError("a face is given twice; each must have an id of its own")
    if len(models := sorted({one.embedding.model_id for one in faces})) > 1:
        raise ModelMismatchError(f"faces of different models cannot be grouped: {', '.join(models)}")
    vectors = np.stack([one.embedding.vector for one in faces]).astype(np.float64)
    labels = linked(vectors, thresholds.point(1, LINK_FMR).threshold)
    rows = [np.flatnonzero(labels == label).tolist() for label in dict.fromkeys(labels.tolist())]
    groups = sorted((one for one in rows if len(one) > 1), key=lambda one: (-len(one), one[0]))
    messy = tuple(ids[one[0]] for one in rows if len(one) == 1)
    return Grouping(tuple(tuple(ids[row] for row in one) for one in groups), messy)


def linked(vectors: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Return a label for each of (n, D) unit vectors, (n,): rows of one group have the label of its first row.

    A row that is not finite is linked to none.
    """
    similarity = np.nan_to_num(vectors @ vectors.T, nan=SPENT, posinf=SPENT, neginf=SPENT)
    np.fill_diagonal(similarity, SPENT)
    sizes = np.ones(len(vectors))
    labels = np.arange(len(vectors))
    while True:
        one, other = sorted(divmod(int(similarity.argmax()), len(vectors)))
        if not similarity[one, other] >= threshold:
            return labels
        # Lance and Williams (1967): the mean over all pairs of faces, from the two means and sizes.
        mean = (sizes[one] * similarity[one] + sizes[other] * similarity[other]) / (sizes[one] + sizes[other])
        mean[similarity[one] == SPENT] = SPENT
        similarity[one], similarity[:, one] = mean, mean
        similarity[other], similarity[:, other] = SPENT, SPENT
        similarity[one, one] = SPENT
        sizes[one] += sizes[other]
        labels[labels == other] = one
