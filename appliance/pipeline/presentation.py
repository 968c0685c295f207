"""Presentation: the frames of one person's visit, gathered; a new face in the same place starts a new one.

Liveness and identity are only ever taken from one track, so that a live stranger and a photograph of
somebody enrolled cannot lend each other what they lack.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from appliance.pipeline.cues import cues
from appliance.pipeline.embedding import ALIKE_COSINE, fuse
from appliance.pipeline.motion import MotionWatch
from appliance.pipeline.repeats import RepeatWatch
from appliance.records import Embedding, Evidence, Grade, Observation, Presentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.records import FaceDetection, Frame, Geometry, Motion

MAX_GAP_S = 0.7  # a face that is away for longer has left
MIN_OVERLAP = 0.2  # of the boxes of consecutive frames
# Faces of different people hardly reach this; one person turning the head hardly falls below it.
MIN_CONTINUITY = 0.25
MAX_EVIDENCE = 256  # at 30 frames a second, more than the longest sensible reading time
_WEIGHTS = {Grade.LOW: 0.0, Grade.MEDIUM: 1.0, Grade.HIGH: 2.0}


@dataclass
class _Track:
    presentation_id: str
    started_at_s: float
    evidence: deque[Evidence]
    latest: Observation
    motion: MotionWatch = field(default_factory=MotionWatch)
    repeats: RepeatWatch = field(default_factory=RepeatWatch)
    probe: Embedding | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    """How the face moved, looked at before it was known whether the track goes on."""

    track: _Track
    frame: Frame
    motion: Motion | None


class Presentations:
    """The sixth stage: remembers the one visit that is going on. Belongs to the loop's thread."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._track: _Track | None = None
        self._followed: _Followed | None = None

    def follow(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> None:
        """Look at how this face moved, ahead of `observe`, which would do it otherwise.

        It costs as much as a small model, so it may run in a second thread while the loop embeds; never beside
        another call of this object.
        """
        track = self._track
        if track is not None:
            self._followed = _Followed(track, frame, track.motion.observe(frame, face, geometry.landmarks))

    def observe(self, seen: Observation) -> Presentation:
        """Return the visit that this observation belongs to: the present one, or a new one that it starts."""
        if self._track is None or not self._continues(self._track, seen):
            self._track = _Track(uuid.uuid4().hex, seen.frame.captured_at_s, deque(maxlen=MAX_EVIDENCE), seen)
        track = self._track
        track.latest = seen
        ahead, self._followed = self._followed, None
        if ahead is not None and ahead.track is track and ahead.frame is seen.frame:
            motion = ahead.motion
        else:
            motion = track.motion.observe(seen.frame, seen.detection, seen.geometry.landmarks)
        track.repeats.observe(seen.frame.captured_at_s, seen.geometry.landmarks)
        track.evidence.append(_evidence(seen, motion))
        while track.evidence[0].captured_at_s < seen.frame.captured_at_s - self._window_s:
            track.evidence.popleft()  # a visit is judged by what was seen lately, all of it within the window
        track.probe = _probe(track.evidence)
        return _presentation(track)

    def nobody(self, at_s: float) -> None:
        """Note a frame without a face: after `MAX_GAP_S` the visit is over."""
        if self._track is not None and at_s - self._track.latest.frame.captured_at_s > MAX_GAP_S:
            self._track = None

    def forget(self) -> None:
        """Drop the visit that is going on: whoever is there is read anew."""
        self._track = None

    @property
    def current(self) -> Presentation | None:
        """The visit that is going on; None when nobody is there."""
        return None if self._track is None else _presentation(self._track)

    @staticmethod
    def _continues(track: _Track, seen: Observation) -> bool:
        gap_s = seen.frame.captured_at_s - track.latest.frame.captured_at_s
        if not 0 <= gap_s <= MAX_GAP_S:
            return False
        if not overlap(track.latest.detection.box, seen.detection.box) >= MIN_OVERLAP:
            return False
        if seen.embedding is None or track.probe is None:
            return True
        return float(seen.embedding.vector @ track.probe.vector) >= MIN_CONTINUITY


def best_references(seen: Presentation, limit: int = 5) -> list[tuple[Embedding, Grade]]:
    """Return at most `limit` templates of this visit to enrol, the best graded first and unlike one another."""
    read = [(one.embedding, one.grade) for one in seen.evidence if one.embedding is not None]
    kept: list[tuple[Embedding, Grade]] = []
    for embedding, grade in sorted(read, key=lambda one: one[1], reverse=True):
        if len(kept) == limit:
            break
        if all(float(embedding.vector @ other.vector) < ALIKE_COSINE for other, _ in kept):
            kept.append((embedding, grade))
    return kept


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the intersection over union of two boxes x0 y0 x1 y1; 0 where either has no area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = float(max(width, 0) * max(height, 0))
    union = float((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])) - shared
    return shared / union if union > 0 else 0.0


def _evidence(seen: Observation, motion: Motion | None) -> Evidence:
    return Evidence(
        captured_at_s=seen.frame.captured_at_s,
        grade=seen.quality.grade,
        flaws=seen.quality.flaws,
        box=seen.detection.box,
        landmarks=seen.geometry.landmarks,
        bona_fide=None if seen.liveness is None else seen.liveness.bona_fide,
        embedding=seen.embedding,
        others=seen.others,
        motion=motion,
    )


def _read(evidence: deque[Evidence]) -> list[Evidence]:
    return [one for one in evidence if one.embedding is not None and one.bona_fide is not None]


def _probe(evidence: deque[Evidence]) -> Embedding | None:
    read = _read(evidence)
    return fuse([one.embedding for one in read if one.embedding is not None], [_WEIGHTS[one.grade] for one in read])


def _presentation(track: _Track) -> Presentation:
    read = _read(track.evidence)
    scores = [one.bona_fide for one in read if one.bona_fide is not None]
    return Presentation(
        presentation_id=track.presentation_id,
        started_at_s=track.started_at_s,
        evidence=tuple(track.evidence),
        latest=track.latest,
        probe=track.probe,
        bona_fide=float(np.median(scores)) if scores else float("nan"),
        cues=cues(track.evidence, repeats=track.repeats.found),
        frames_read=len(read),
        read_span_s=read[-1].captured_at_s - read[0].captured_at_s if read else 0.0,
    )
