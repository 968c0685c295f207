"""Who is trained on and who is judged: whole sources apart, or whole people apart, never frames of one by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .frames import LFW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .corpus import Sample

SUBJECT_FOLDS = 4


@dataclass(frozen=True, slots=True)
class Fold:
    """One division of the samples; what is neither trained on nor judged is left out."""

    name: str
    train: tuple[bool, ...]  # by sample
    judge: tuple[bool, ...]


def by_source(samples: Sequence[Sample]) -> Iterator[Fold]:
    """Yield one fold a recorded source: trained on all the others, judged on this one."""
    for source in sorted({one.source for one in samples} - {LFW}):
        yield Fold(
            source,
            tuple(one.use == "train" and one.source != source for one in samples),
            tuple(one.use == "judge" and one.source == source for one in samples),
        )


def by_subject(samples: Sequence[Sample]) -> Iterator[Fold]:
    """Yield SUBJECT_FOLDS folds over the people of the recorded sources, each person judged once.

    A person's source is trained on where it has other people.
    """
    people = sorted({(one.source, one.subject) for one in samples if one.source != LFW})
    for number in range(SUBJECT_FOLDS):
        judged = set(people[number::SUBJECT_FOLDS])
        yield Fold(
            f"subjects {number + 1} of {SUBJECT_FOLDS}",
            tuple(one.use == "train" and (one.source, one.subject) not in judged for one in samples),
            tuple(one.use == "judge" and (one.source, one.subject) in judged for one in samples),
        )


def everything(samples: Sequence[Sample]) -> Fold:
    """Return the fold that the shipped model is trained on: every source, and so nothing that judges it fairly."""
    return Fold(
        "all sources", tuple(one.use == "train" for one in samples), tuple(one.use == "judge" for one in samples)
    )
