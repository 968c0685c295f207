"""What template protection costs and what it hides: rankings before and after, and two devices' templates linked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from appliance.fixed_point import rounded
from appliance.people.protection import Protection

from . import report
from .folder import open_stages, pictures, read

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BINS = 100
DRAWS = 20  # secrets for the second device


def run(folder: Path, embedder: str, detector: Literal["short", "full"]) -> None:
    """Print how far cosines and rankings move, and how well two devices' templates can be linked."""
    settings, stages = open_stages(embedder, detector)
    wanted = pictures(folder)
    reading = read(wanted, stages)
    read_of = [(one.person, reading.templates[one.path].vector) for one in wanted if one.path in reading.templates]
    names, people = np.unique([name for name, _ in read_of], return_inverse=True)
    rows = np.stack([vector for _, vector in read_of])
    model_id = stages.embedder.model_id
    one = Protection(b"\x01" * 32)
    plain, turned = rounded(rows), rounded(one.protect_all(rows, model_id))
    moved, same, asked = _ranking(plain, turned)
    print(f"{model_id}: {len(rows):,} pictures of {len(names):,} people")
    print(
        f"the largest change of any cosine {moved:.2g}; "
        f"the most alike other picture is the same in {same:,} of {asked:,}"
    )
    line: dict[str, Any] = {"bench": "protection", "pictures": len(rows), "people": len(names), "moved": moved}
    line |= {"same_nearest": same, "asked": asked, "draws": DRAWS}
    mated, other = _scores(turned, turned, people)
    within = linkability(mated, other)
    print(f"within one device: D_sys {within:.3f} (n {mated.size:,} mated, {other.size:,} other pairs)")
    found, chance = [], []
    dice = np.random.default_rng(1)
    for draw in range(DRAWS):
        there = rounded(Protection(bytes([2 + draw]) * 32).protect_all(rows, model_id))
        mated, other = _scores(turned, there, people)
        found.append(linkability(mated, other))
        mixed = dice.permutation(np.concatenate((mated, other)))
        chance.append(linkability(mixed[: mated.size], mixed[mated.size :]))
    low, high = np.quantile(found, (0.025, 0.975))
    print(
        f"between two devices: D_sys {np.mean(found):.4f} ({low:.4f} to {high:.4f} over {DRAWS} secrets); "
        f"of pairs dealt out by chance {np.mean(chance):.4f} (to {np.max(chance):.4f})"
    )
    line |= {"d_sys_within": within, "d_sys_between": found, "d_sys_chance": chance, "pairs": [mated.size, other.size]}
    report.finish(line | {"models": report.models(settings)})


def linkability(mated: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return D_sys of Gomez-Barrero et al. (2018, 10.1109/TIFS.2017.2788000): 0 unlinkable, 1 wholly linkable.

    By a histogram, which is never quite even: even where there is nothing to link, a little above 0 comes out.
    """
    edges = np.linspace(min(mated.min(), other.min()), max(mated.max(), other.max()), BINS + 1)
    given_mated = np.histogram(mated, edges)[0] / mated.size
    given_other = np.histogram(other, edges)[0] / other.size
    both = given_mated + given_other
    local = np.divide(given_mated - given_other, both, out=np.zeros(BINS), where=both > 0)
    return float((np.maximum(local, 0) * given_mated).sum())


def _ranking(plain: NDArray[np.float32], turned: NDArray[np.float32]) -> tuple[float, int, int]:
    """Return the largest change of a cosine, for how many pictures the nearest other one stays, and of how many."""
    moved, same = 0.0, 0
    for start in range(0, len(plain), 512):
        part = slice(start, start + 512)
        before, after = plain[part] @ plain.T, turned[part] @ turned.T
        moved = max(moved, float(np.abs(before - after).max()))
        for scores in (before, after):
            scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -2
        same += int((before.argmax(axis=1) == after.argmax(axis=1)).sum())
    return moved, same, len(plain)


def _scores(
    here: NDArray[np.float32], there: NDArray[np.float32], people: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the scores of different pictures of one person, each on another device, and as many of two people."""
    one, two = np.nonzero(people[:, np.newaxis] == people[np.newaxis, :])
    one, two = one[one != two], two[one != two]
    mated = np.einsum("nd,nd->n", here[one], there[two])
    shifted = np.random.default_rng(3).permutation(two)
    apart = people[one] != people[shifted]
    return mated, np.einsum("nd,nd->n", here[one[apart]], there[shifted[apart]])
