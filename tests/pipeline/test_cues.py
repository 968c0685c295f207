"""Cues over the frames of a track: a still picture cannot avoid them, and somebody alive is not kept by them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.config import CameraSettings, Settings
from appliance.drivers.opencv import Recording
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.pipeline import near
from appliance.pipeline.cues import (
    CARRIED_MOMENTS,
    DEPTH_MEMORY_S,
    STATIC_FRAMES,
    STATIC_WINDOW_S,
    carried_cues,
    cues,
    flat_cues,
    shows_depth,
    species_guess,
    static_cues,
    wander,
)
from appliance.pipeline.reading import ModelStages
from appliance.records import Cue, Deny, Embedding, Evidence, GallerySnapshot, Grade, Grant, Motion, Species
from tests.pipeline.faces import RATE, direction, frame, live_walk, noisy, seen_face, still_print
from tests.pipeline.fooled import POINT, fooled, gallery_of, placed_portrait

if TYPE_CHECKING:
    from appliance.drivers.camera import Camera

VIDEOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "video"
PRINTS = 300  # presentations of a still print
PRINT_FRAMES = 60  # each the whole reading time long


def evidence_of(walk: list[tuple[float, Embedding]]) -> list[Evidence]:
    """Return what a presentation keeps of these times and templates."""
    nothing = np.zeros((468, 2), np.float32)
    return [
        Evidence(at_s, Grade.HIGH, (), seen_face().box, nothing, 1.0, embedding, others=0) for at_s, embedding in walk
    ]


def test_wander_tells_noise_from_going_somewhere() -> None:
    """Noise around one point gives about 1 however strong it is; a straight path of n points gives 6 / (n (n + 1))."""
    random = np.random.default_rng(3)
    for strength in (1e-4, 1.0, 50.0):
        assert wander(strength * random.normal(size=(15, 200))) == pytest.approx(1, abs=0.1)
    assert wander(np.arange(5.0)[:, np.newaxis] * np.ones(4)) == pytest.approx(1 / 5)
    assert math.isnan(wander(np.ones((4, 3))))


def test_same_picture_again_and_again_is_static() -> None:
    """Templates that are all alike raise the cue from the third on, not before (A3)."""
    same = [(number / RATE, direction(1.0)) for number in range(20)]
    assert static_cues(evidence_of(same[: STATIC_FRAMES - 1])) == ()
    for count in range(STATIC_FRAMES, 20):
        assert static_cues(evidence_of(same[:count])) == (Cue.STATIC_INPUT,)


def test_still_person_is_only_delayed() -> None:
    """Somebody who holds still is flagged until they move, and free of it within the window afterwards (B9)."""
    still = [(number / RATE, direction(1.0, 1e-3 * (number % 2))) for number in range(30)]
    moving = live_walk(30, start_s=30 / RATE)
    flagged = [bool(static_cues(evidence_of((still + moving)[: count + 1]))) for count in range(60)]
    assert all(flagged[STATIC_FRAMES - 1 : 30])
    assert not any(flagged[30 + round(RATE * STATIC_WINDOW_S) :])


def test_no_evidence_raises_no_cue() -> None:
    """An empty visit, and one in which nothing was read, say nothing: other rules keep the door shut."""
    assert static_cues([]) == ()


def moving(*motions: Motion | None, rate: float = RATE) -> list[Evidence]:
    """Return evidence of a face that moved so from frame to frame, its templates those of somebody alive."""
    walk = [(number / rate, embedding) for number, (_, embedding) in enumerate(live_walk(len(motions)))]
    return [replace(one, motion=motion) for one, motion in zip(evidence_of(walk), motions, strict=True)]


PLANE = Motion(0.5, 40, 0.1, 0.02, 0.001)
HEAD = Motion(0.5, 40, 0.1, 0.02, 0.006)
LOST = Motion(0.5, 3, math.nan, math.nan, math.nan)


def test_depth_is_asked_from_the_first_frame_on() -> None:
    """B2: what has not left the plane yet is not granted, however soon; two moments of depth end it, one does not."""
    unknown = Motion(0.0, 0, math.nan, math.nan, math.nan)
    assert flat_cues(moving(unknown)) == (Cue.UNFOLLOWED,)
    assert flat_cues(moving(unknown, PLANE, PLANE)) == (Cue.FLAT_INPUT,)
    assert flat_cues(moving(unknown, PLANE, HEAD)) == (Cue.FLAT_INPUT,)
    assert flat_cues(moving(unknown, HEAD, PLANE, HEAD)) == ()


@pytest.mark.parametrize("rate", [5.0, 30.0])
def test_depth_is_forgotten_in_time_not_in_frames(rate: float) -> None:
    """H9, B7: what showed depth once has to show it again within two seconds, at 5 frames a second as at 30."""
    flat_s = 3.0
    evidence = moving(*[HEAD] * 5, *[PLANE] * round(flat_s * rate), rate=rate)
    flagged = [bool(flat_cues(evidence[: count + 1])) for count in range(4, len(evidence))]
    first = flagged.index(True)
    assert first / rate == pytest.approx(DEPTH_MEMORY_S, abs=1.01 / rate)
    assert all(flagged[first:])


def test_still_person_passes_as_soon_as_they_move() -> None:
    """B9: somebody who held still for a minute is free of the cue with their second moment of depth."""
    evidence = moving(*[PLANE] * 900, HEAD, HEAD)
    assert flat_cues(evidence[:-1]) == (Cue.FLAT_INPUT,)
    assert flat_cues(evidence) == ()


def test_depth_is_weighed_against_how_far_the_plane_leaned() -> None:
    """B2: a print that leans is followed less well, so that more is asked of it; NaN and nonsense show no depth."""
    assert shows_depth(replace(PLANE, off_plane=0.004, tilt=0.02))
    assert not shows_depth(replace(PLANE, off_plane=0.004, tilt=0.1))
    for wrong in (math.nan, math.inf, 0.2):
        assert not shows_depth(replace(HEAD, off_plane=wrong))
        assert not shows_depth(replace(HEAD, tilt=wrong))


def test_points_that_cannot_be_followed_are_a_doubt() -> None:
    """In the dark the points are lost: neither depth nor a plane is claimed, and nobody is let in for it."""
    assert flat_cues(moving(*[LOST] * 30)) == (Cue.UNFOLLOWED,)
    assert flat_cues(moving(*[LOST] * 30, PLANE)) == (Cue.FLAT_INPUT,)
    assert flat_cues(moving(None, None)) == ()


def test_room_that_moves_along_is_never_out_voted() -> None:
    """B3: a background carried on two sides stays a sign of attack, however much depth is shown before and after."""
    carried = replace(HEAD, carried=2)
    evidence = moving(*[HEAD] * 20, *[carried] * CARRIED_MOMENTS, *[HEAD] * 20)
    assert cues(evidence[: 20 + CARRIED_MOMENTS - 1]) == ()
    for count in range(20 + CARRIED_MOMENTS, len(evidence) + 1):
        assert cues(evidence[:count]) == (Cue.CARRIED_BACKGROUND,)
    assert carried_cues(moving(*[replace(HEAD, carried=1)] * 30)) == ()


def test_species_is_guessed_from_what_was_seen() -> None:
    """A picture that moves is on a screen, one that does not is a print; without a sign there is no guess."""
    assert species_guess(cues(moving(*[HEAD] * 20), repeats=True)) is Species.SCREEN
    assert species_guess((Cue.CARRIED_BACKGROUND,)) is Species.SCREEN
    assert species_guess((Cue.FLAT_INPUT, Cue.CARRIED_BACKGROUND)) is Species.PRINT
    assert species_guess((Cue.STATIC_INPUT,)) is Species.PRINT
    assert species_guess(()) is Species.UNKNOWN


def test_every_cue_is_explained() -> None:
    """The document of attacks lists each sign by the name it has in the log."""
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    assert [cue for cue in Cue if f"`{cue}`" not in text] == []


@cache
def noisy_templates(face: str, sigma: float) -> tuple[Embedding, ...]:
    """Return templates of one still print under sensor noise, a whole camera frame cut by one fixed alignment."""
    stages = _stages()
    random = np.random.default_rng(int(10 * sigma))
    picture = still_print(face)
    (found,) = stages.detect(frame(picture))
    box = [int(v) for v in (*found.box[:2] - 40, *found.box[2:] + 40)]
    part = picture[box[1] : box[3], box[0] : box[2]]
    templates = []
    for _ in range(2 * PRINT_FRAMES):
        view = picture.copy()
        view[box[1] : box[3], box[0] : box[2]] = noisy(part, sigma, random)
        embedding = stages.embed(stages.align(frame(view), found).crop)
        assert embedding is not None
        templates.append(embedding)
    return tuple(templates)


@cache
def _stages() -> ModelStages:
    return ModelStages(Settings())


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0, 4.0, 5.0])
def test_still_print_is_static_at_every_moment(sigma: float) -> None:
    """A still print under sensor noise bears the cue in every frame of its reading time, 60 visits for each sigma (B1).

    Noise has no memory, so that visits of 60 frames are drawn from 120 templates of one print, in any order.
    """
    random = np.random.default_rng(7)
    escaped = []
    for visit in range(PRINTS // 5):
        pool = noisy_templates(("astronaut", "official")[visit % 2], sigma)
        order = random.permutation(len(pool))[:PRINT_FRAMES]
        evidence = evidence_of([(place / RATE, pool[drawn]) for place, drawn in enumerate(order)])
        escaped += [
            count
            for count in range(STATIC_FRAMES, PRINT_FRAMES + 1)
            if not static_cues(evidence[max(0, count - 18) : count])
        ]
    assert escaped == []


@pytest.mark.parametrize("sigma", [1.0, 5.0])
def test_still_print_is_denied_whatever_the_model_says(stages: ModelStages, sigma: float) -> None:
    """A still print in whole camera frames, enrolled and scored live by a fooled model, ends in a refusal (B1)."""
    random = np.random.default_rng(11)
    picture = still_print()
    gallery = gallery_of(stages, picture)
    pipeline = fooled(stages)
    decisions = [
        pipeline.step(frame(noisy(picture, sigma, random), number / RATE), gallery, POINT).decision
        for number in range(62)
    ]
    assert not any(isinstance(one, Grant) for one in decisions)
    assert [type(one) for one in decisions[-2:]] == [Deny, Deny]


@pytest.mark.parametrize("face", ["astronaut", "official"])
def test_simulated_person_is_never_long_static(stages: ModelStages, face: str) -> None:
    """A moving person is granted within 0.7 s of first being readable: the cue only ever delays (B9)."""
    camera = SimulatedCamera(
        Script(Scene(visits=(Visit.model_validate({"face": face, "for_s": 4.0, "pause_s": 0.0}),))),
        CameraSettings(),
        paced=False,
    )
    assert granted_after_s(stages, camera, gallery_of(stages, placed_portrait(face))) <= 0.7


@pytest.mark.skipif(not VIDEOS.is_dir(), reason=f"the recordings are not at {VIDEOS}")
@pytest.mark.parametrize(("name", "within_s"), [("tran", 0.7), ("lestari", 0.7), ("krz", 1.2)])
def test_living_people_are_never_long_static(stages: ModelStages, name: str, within_s: float) -> None:
    """On real recordings, somebody before the camera loses the cue soon after it can be told at all (B9)."""
    recording = Recording(VIDEOS / f"{name}_live.mp4")
    first = recording.read()
    assert first is not None
    while not stages.detect(first):
        first = recording.read()
        assert first is not None
    waits = static_waits_s(stages, recording, frames=150)
    assert waits
    assert max(waits) <= within_s


def granted_after_s(stages: ModelStages, camera: Camera, gallery: GallerySnapshot) -> float:
    """Return seconds from the first frame that was read to the grant; infinity for no grant."""
    pipeline, first_s = fooled(stages), math.inf
    while (seen := camera.read()) is not None:
        step = pipeline.step(seen, gallery, POINT)
        if step.presentation is not None and step.presentation.frames_read:
            first_s = min(first_s, seen.captured_at_s)
        if isinstance(step.decision, Grant):
            return seen.captured_at_s - first_s
    return math.inf


def static_waits_s(stages: ModelStages, camera: Camera, frames: int) -> list[float]:
    """Return, for each stretch of frames at 15 a second in which the cue stood, how long it stood."""
    evidence: list[tuple[float, Embedding]] = []
    waits, since_s, next_s = [0.0], None, 0.0
    for _ in range(frames):
        seen = camera.read()
        if seen is None:
            break
        faces = stages.detect(seen) if seen.captured_at_s >= next_s - 1e-3 else ()
        if not faces or sum(near(one, faces[0]) for one in faces[1:]):
            continue
        next_s = seen.captured_at_s + 1 / RATE
        geometry = stages.align(seen, faces[0])
        embedding = stages.embed(geometry.crop)
        if embedding is None or stages.assess(seen, faces[0], geometry).grade is Grade.LOW:
            continue
        evidence.append((seen.captured_at_s, embedding))
        flagged = bool(static_cues(evidence_of(evidence[-40:])))
        if flagged and since_s is None:
            since_s = seen.captured_at_s
        if since_s is not None:
            waits.append(seen.captured_at_s - since_s)
        since_s = since_s if flagged else None
    return waits
