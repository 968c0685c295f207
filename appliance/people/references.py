"""What becomes a reference: one person's face, seen well, each time from another view, and nobody's who is enrolled."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from appliance.errors import ModelMismatchError, PhotoError, RefusedError
from appliance.pipeline.embedding import ALIKE_COSINE
from appliance.pipeline.matching import in_words, nearest_rival, operating_point, search
from appliance.records import Grade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.manifest import Impostors
    from appliance.records import Candidate, Embedding, Flaw, GallerySnapshot, OperatingPoint

# Of people of LFW with six good pictures, one reference misses 1.0 %, three 0.5 %, five 0.3 % of the others at equal
# FPIR (embedder A, 580 probes of 59 people); of more than five these pictures say nothing.
MAX_KEPT = 5
# Cosine under the start of the impostor tail (FMR 1e-3) that any two views of a set must reach. Of sets of 2, 3, 4
# and 5 good pictures of LFW (795, 335, 172, 96), 0.6, 1.2, 1.7 and 3.1 % of the clean ones are refused (embedder B
# 0.8, 1.8, 2.9, 4.2 %); with one picture of somebody else 6, 0, 0 and 0 pass (B 2, 0, 0, 0), and of the sets of two
# people and the mean of both none (B 1 of 335).
BELOW_TAIL = 0.075
# The chance that an honest newcomer is taken for somebody enrolled, and an admin asked. Of 600 newcomers to 500 people
# of LFW 5 were, and of 600 people enrolled again 97 % (embedder A; B 6 and 95 %); of 600 means of an enrolled and
# another person 67 % (B 38 %).
ENROL_FPIR = 1e-2


class Look(NamedTuple):
    """One view of a face that may be enrolled."""

    name: str  # what messages call it
    embedding: Embedding
    grade: Grade
    flaws: tuple[Flaw, ...] = ()
    photo: bytes = b""  # JPEG, to be kept beside the template; b"" for none


@dataclass(frozen=True, slots=True)
class Standard:
    """What an enrolment must meet, and what of it an admin has answered for."""

    impostors: Impostors | None  # one photograph against one, of the embedder in use
    target_fpir: float
    accept_medium: bool = False  # views of medium quality
    accept_alike: bool = False  # somebody as alike to an enrolled person as one person's photos are: a twin


@dataclass(frozen=True, slots=True)
class Chosen:
    """The views that become references, and what is to be said of the others."""

    kept: tuple[Look, ...]  # 1 to `MAX_KEPT`, in the order given
    dropped: tuple[tuple[str, str], ...]  # name of a view that is not kept, and why
    accepted: tuple[str, ...]  # what an admin answered for, for the audit log: no name of a file or person


def choose(looks: Sequence[Look], known: GallerySnapshot, standard: Standard) -> Chosen:
    """Return which views to enrol of somebody who is not in the gallery yet.

    Raises RefusedError, one line, where they are of several people, or of somebody who is enrolled already;
    PhotoError for a view below high quality; ModelMismatchError for views of different models.
    """
    if standard.impostors is None:
        raise RefusedError(f"how alike strangers look to {known.model_id} was never measured; nobody can be enrolled")
    accepted = _accepted_quality(looks, standard)
    _check_one_person(looks, standard.impostors)
    accepted += _accepted_rival(looks, known, standard.impostors, standard)
    kept, dropped = _diverse(looks)
    return Chosen(kept, dropped, tuple(accepted))


def choose_more(looks: Sequence[Look], person_id: str, known: GallerySnapshot, standard: Standard) -> Chosen:
    """Return which views to add to what is enrolled of this person: clearly theirs, and nobody else's.

    A view that is enrolled already is dropped. Raises as `choose`, and RefusedError where the views are not clearly
    theirs, or add nothing.
    """
    if standard.impostors is None:
        raise RefusedError(f"how alike strangers look to {known.model_id} was never measured; nobody can be enrolled")
    accepted = _accepted_quality(looks, standard)
    _check_one_person(looks, standard.impostors)
    new: list[Look] = []
    dropped: list[tuple[str, str]] = []
    for look in looks:
        found = search(look.embedding, known)
        own = max((one.similarity for one in found if one.person_id == person_id), default=-1.0)
        other = max((one.similarity for one in found if one.person_id != person_id), default=-1.0)
        alike = own >= standard.impostors.tail_start - BELOW_TAIL
        if not (alike and own - other >= BELOW_TAIL):  # this way round, NaN is refused
            raise RefusedError(f"{look.name} is not clearly of person {person_id}; erase and enrol them anew instead")
        if own >= ALIKE_COSINE:
            dropped.append((look.name, "shows what is enrolled already"))
        else:
            new.append(look)
    if not new:
        raise RefusedError(f"nothing of these views is new; person {person_id} stays as they are")
    kept, twice = _diverse(new)
    return Chosen(kept, (*dropped, *twice), tuple(accepted))


def _accepted_quality(looks: Sequence[Look], standard: Standard) -> list[str]:
    lesser = [look for look in looks if look.grade < Grade.HIGH]
    for look in lesser:
        if look.grade < Grade.MEDIUM or not standard.accept_medium:
            flaws = f" ({', '.join(look.flaws)})" if look.flaws else ""
            may = "only high enrols, unless an admin accepts medium"
            raise PhotoError(f"{look.name} is of {look.grade.name.lower()} quality{flaws}; {may}")
    flaws = ", ".join(dict.fromkeys(flaw.value for look in lesser for flaw in look.flaws))
    return [f"accepted {len(lesser)} of medium quality{f' ({flaws})' if flaws else ''}"] if lesser else []


def _check_one_person(looks: Sequence[Look], impostors: Impostors) -> None:
    if len(model_ids := sorted({look.embedding.model_id for look in looks})) > 1:
        raise ModelMismatchError(f"the photos were read by different models: {', '.join(model_ids)}")
    if len(looks) < 2:
        return
    likeness = _likeness(looks)
    pairs = list(itertools.combinations(range(len(looks)), 2))
    one, two = pairs[int(np.argmin([likeness[pair] for pair in pairs]))]  # NaN is found first
    if likeness[one, two] >= impostors.tail_start - BELOW_TAIL:  # this way round, NaN is refused
        return
    fault = f"{looks[one].name} and {looks[two].name} do not show the same person; each person is enrolled alone"
    if len(looks) > 2:
        fault += f" ({looks[_apart(looks)].name} is the least like the rest)"
    raise RefusedError(fault)


def _apart(looks: Sequence[Look]) -> int:
    """Return which view is the least like the mean of the others."""
    vectors = np.stack([look.embedding.vector for look in looks])
    others = vectors.sum(axis=0) - vectors
    alike = np.einsum("nd,nd->n", vectors, others) / np.maximum(np.linalg.norm(others, axis=1), 1e-6)
    return int(alike.argmin())


def _accepted_rival(
    looks: Sequence[Look], known: GallerySnapshot, impostors: Impostors, standard: Standard
) -> list[str]:
    """Return what the audit log says of a twin that an admin accepted; [] where nobody enrolled is so alike."""
    rival = rival_of(looks, known)
    # Every view given is one more chance to meet each reference by accident.
    point = operating_point(impostors, max(standard.target_fpir, ENROL_FPIR), known.size * len(looks), 0.0)
    if rival is None:
        return []
    if rival.similarity >= ALIKE_COSINE:
        raise RefusedError(f"a picture is enrolled already, for person {rival.person_id}; remove that one first")
    if rival.similarity < point.threshold:
        return []
    words = in_words(rival.similarity, impostors)
    if not standard.accept_alike:
        may = "nobody is enrolled twice, and an admin may accept a twin"
        raise RefusedError(f"this is person {rival.person_id} or somebody very alike ({words}); {may}")
    return [f"accepted although alike to person {rival.person_id}"]  # events tell no score


class LookAlike(NamedTuple):
    """Who in the gallery is most alike to somebody, as people are told of it."""

    person_id: str
    words: str  # how often strangers come as near
    referred: bool  # whether a human is asked whenever either of the two comes


def look_alike(rival: Candidate | None, impostors: Impostors | None, point: OperatingPoint) -> LookAlike | None:
    """Return what to say of a person's nearest rival at the door's operating point; None for nobody."""
    if rival is None:
        return None
    referred = not rival.similarity < point.threshold - point.margin  # as the policy has it
    return LookAlike(rival.person_id, in_words(rival.similarity, impostors), referred)


def rival_of(looks: Sequence[Look], known: GallerySnapshot) -> Candidate | None:
    """Return who in the gallery is most alike to any of the views; None for nobody."""
    return nearest_rival([look.embedding for look in looks], "", known)


def _diverse(looks: Sequence[Look]) -> tuple[tuple[Look, ...], tuple[tuple[str, str], ...]]:
    """Return the view nearest to the mean and those the least like what is kept already, and why not the others."""
    likeness = _likeness(looks)
    kept = [int(likeness.sum(axis=1).argmax())]
    while len(kept) < min(MAX_KEPT, len(looks)):
        nearest = likeness[:, kept].max(axis=1)
        if not nearest.min() < ALIKE_COSINE:
            break
        kept.append(int(nearest.argmin()))
    dropped = []
    for at in sorted(set(range(len(looks))) - set(kept)):
        same = kept[int(likeness[at, kept].argmax())]
        twice = likeness[at, same] >= ALIKE_COSINE
        why = f"shows the same as {looks[same].name}" if twice else f"is one too many; {MAX_KEPT} are kept"
        dropped.append((looks[at].name, why))
    return tuple(looks[at] for at in sorted(kept)), tuple(dropped)


def _likeness(looks: Sequence[Look]) -> NDArray[np.float32]:
    """Return (n, n): the cosine of each view with each."""
    vectors = np.stack([look.embedding.vector for look in looks])
    return vectors @ vectors.T
