"""Cues: signs of an attack presentation that one frame cannot show, over the frames of one track."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.records import Cue, Evidence, Motion, Species

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# A still picture through a good camera: cosine 0.999 and more. A person holding still measured 0.98 to 0.995, but
# frames 33 ms apart reach 0.9996, so the window is one of time, not of frames.
STATIC_COSINE = 0.999
# Sensor noise of 1 to 5 luma levels brings a still picture down to 0.997 to 0.97, where living people are too. But
# noise has no memory: its wander was under 0.75 in 2 of 168,000 draws of 3 to 15 frames (two prints, 960 frames). A
# living face's was under 0.73 in 95 of 100 windows of a second (three people at 15 frames a second, 343 windows).
STATIC_WANDER = 0.75
STATIC_WINDOW_S = 1.0
STATIC_FRAMES = 3

# A face that turns, speaks or breathes leaves the plane, half of those measured within 0.5 s. Of prints in the hand
# sharp ones stayed under half of this; soft ones, bent, and with holes for the eyes, passed it in a quarter of visits
# (`scripts/bench cues`). More would keep the living waiting. Two moments must show it, for a single one may be a point
# gone astray, and what is far off or much foreshortened was badly followed.
OFF_PLANE = 0.0025  # face widths
OFF_PLANE_PER_TILT = 0.05
OFF_PLANE_AT_MOST, TILT_AT_MOST = 0.03, 0.15
DEPTH_MOMENTS = 2
DEPTH_MEMORY_S = 2.0

CARRIED_SIDES = 2  # a hand or a hat beside the face may move with it, on one side
CARRIED_MOMENTS = 3


def cues(evidence: Sequence[Evidence], *, repeats: bool = False) -> tuple[Cue, ...]:
    """Return the signs of an attack over the evidence of one track, oldest first; `repeats`: it came once before."""
    looped = (Cue.REPEATED_INPUT,) if repeats else ()
    return (*static_cues(evidence), *flat_cues(evidence), *carried_cues(evidence), *looped)


def species_guess(found: Sequence[Cue]) -> Species:
    """Return what the attack was probably made with: a picture that moves is on a screen."""
    if Cue.REPEATED_INPUT in found:
        return Species.SCREEN
    if Cue.FLAT_INPUT in found or Cue.STATIC_INPUT in found:
        return Species.PRINT
    return Species.SCREEN if Cue.CARRIED_BACKGROUND in found else Species.UNKNOWN


def flat_cues(evidence: Sequence[Evidence]) -> tuple[Cue, ...]:
    """Return a cue until the face has moved, in the last `DEPTH_MEMORY_S`, as nothing flat can.

    That is FLAT_INPUT where its points were followed, and UNFOLLOWED where they could not be, in the dark for
    one. Evidence without any motion, which no camera gives, says nothing.
    """
    motions = [
        one.motion
        for one in evidence
        if one.motion is not None and one.captured_at_s >= evidence[-1].captured_at_s - DEPTH_MEMORY_S
    ]
    if not motions or sum(shows_depth(one) for one in motions) >= DEPTH_MOMENTS:
        return ()
    followed = any(one.off_plane >= 0 for one in motions)
    return (Cue.FLAT_INPUT if followed else Cue.UNFOLLOWED,)


def shows_depth(motion: Motion) -> bool:
    """Tell whether these points cannot have been a plane's; NaN tells nothing."""
    least = OFF_PLANE + OFF_PLANE_PER_TILT * motion.tilt
    return least <= motion.off_plane <= OFF_PLANE_AT_MOST and motion.tilt <= TILT_AT_MOST


def carried_cues(evidence: Sequence[Evidence]) -> tuple[Cue, ...]:
    """Return CARRIED_BACKGROUND where what lies around the face moved along with it, on two sides and more than once.

    It stays for as long as the evidence does, whatever else is seen meanwhile.
    """
    sides = [one.motion.carried or 0 for one in evidence if one.motion is not None]
    return (Cue.CARRIED_BACKGROUND,) if sum(count >= CARRIED_SIDES for count in sides) >= CARRIED_MOMENTS else ()


def static_cues(evidence: Sequence[Evidence]) -> tuple[Cue, ...]:
    """Return the signs that the camera looks at a still picture, over the newest evidence of one track.

    Until something has moved the cue stands, so a still picture is never granted; a living person who holds
    perfectly still is delayed until they move, because only the last second counts.
    """
    newest = [
        one.embedding.vector
        for one in evidence
        if one.embedding is not None and one.captured_at_s >= evidence[-1].captured_at_s - STATIC_WINDOW_S
    ]
    if len(newest) < STATIC_FRAMES:
        return ()
    vectors = np.stack(newest).astype(np.float64)
    same = bool((vectors[:-1] @ vectors[-1] >= STATIC_COSINE).all())
    moved = not same and wander(vectors) < STATIC_WANDER  # this way round, NaN has not moved
    return () if moved else (Cue.STATIC_INPUT,)


def wander(vectors: NDArray[np.float64]) -> float:
    """Return how far apart (n, D) vectors next to each other in time lie, over how far any two of them lie.

    That is von Neumann's ratio (Annals of Mathematical Statistics 12, 1941): about 1 for noise around one picture,
    however strong, and less the more the later ones have gone somewhere else. NaN where all are the same.
    """
    alike = vectors @ vectors.T  # squared distances by way of products: the differences would be (n, n, D)
    length = np.diag(alike)
    apart = length[:, np.newaxis] + length[np.newaxis] - 2 * alike
    any_two = float(apart[np.triu_indices(len(vectors), 1)].mean())
    return float(np.diag(apart, 1).mean()) / any_two if any_two > 0 else float("nan")
