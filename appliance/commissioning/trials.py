"""Trials: one presentation before the camera, read as the door reads it, with nobody enrolled and nothing to open.

What is kept is how sure one would have to ask the liveness to be for the visit to be turned away, so that every
threshold can be judged afterwards. No picture and no template is kept.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from appliance.contract import Reason
from appliance.pipeline import Pipeline
from appliance.pipeline.following import FollowingStages
from appliance.pipeline.policy import configured
from appliance.pipeline.presentation import MAX_GAP_S, Presentations
from appliance.records import Deny, GallerySnapshot, OperatingPoint, Refer, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.config import Settings
    from appliance.pipeline import Stages, Step
    from appliance.records import Frame, Presentation

BONA_FIDE = ""  # in the place of a species: a person who shows their own face
PATIENCE_S = 20.0  # to wait for a face
MOST_READINGS = 3  # reading times that one presentation may last, should its track break

# Nobody is enrolled, so nothing is granted: a visit that passes everything else ends as this.
_PASSED = Refer(Reason.UNKNOWN_FACE)
_ALIKE_ENOUGH = OperatingPoint(
    threshold=1.0, margin=0.0, target_fpir=0.0, gallery_size=0, source="commissioning compares with nobody"
)
_NOT_READ = {Reason.LOW_QUALITY, Reason.MULTIPLE_FACES}

Score = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, Field(max_length=63)]


class Outcome(StrEnum):
    """What the liveness made of a presentation; the words of ISO/IEC 30107-3 where it has them."""

    BONA_FIDE = "bona_fide"
    ATTACK = "attack"
    UNCERTAIN = "uncertain"
    NOT_READ = "not_read"  # a non-response: no face, too small, too poor, or several


class Trial(BaseModel):
    """What one presentation came to."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    species: Word  # of the attack; BONA_FIDE for a person
    passes_up_to: Score | None  # the highest `min_bona_fide` with which it passes for live; None: with none
    refused: Reason | None  # why it was turned away whatever the threshold; None where it was not
    read: bool  # whether enough frames showed a face that is near enough to be judged
    median: Score | None  # bona fide, over the frames of the last moment; None where nothing was read
    scores: tuple[Score, ...]  # bona fide, of each frame, to three digits
    cues: tuple[Word, ...]  # signs of an attack, and doubts, that stood at the end
    seconds: Annotated[float, Field(ge=0)]  # from the first face to the end of the trial

    def outcome(self, threshold: float) -> Outcome:
        """Return what the door makes of it where `liveness.min_bona_fide` is `threshold`."""
        if self.passes_up_to is not None and self.passes_up_to >= threshold:
            return Outcome.BONA_FIDE
        if not self.read or self.refused in _NOT_READ:
            return Outcome.NOT_READ
        return Outcome.ATTACK if self.refused is Reason.LIVENESS_FAILED else Outcome.UNCERTAIN


class TrialReader:
    """Reads presentations through the door's own pipeline. Belongs to one thread."""

    def __init__(self, settings: Settings, stages: Stages, model_id: str, dimension: int) -> None:
        self._settings = settings
        self._stages = stages
        self._rules = replace(configured(settings, face_only=False), min_bona_fide=0.0)
        empty = frozen(np.zeros((0, dimension), np.float32))
        self._nobody = GallerySnapshot(empty, (), (), model_id, revision=0)

    def read(self, species: str, frames: Iterable[Frame], on_face: Callable[[], None] = lambda: None) -> Trial:
        """Return what one presentation came to; `on_face` is called when a face comes in sight.

        It ends with a refusal, the reading time, the end of `frames`, or when the face has gone or does not come.
        Raises CameraError as `frames` does.
        """
        presentations = Presentations(self._settings.recognition.reading_s)
        pipeline = Pipeline(FollowingStages(self._stages), presentations, self._rules)
        course = _Course(self._settings)
        for frame in frames:
            began = course.began_s is not None
            course.add(pipeline.step(frame, self._nobody, _ALIKE_ENOUGH), frame.captured_at_s)
            if course.began_s is not None and not began:
                on_face()
            if course.over:
                break
        return course.trial(species)


class _Course:
    """What has been seen of one presentation so far."""

    def __init__(self, settings: Settings) -> None:
        self._recognition = settings.recognition
        self._near_px = settings.liveness.min_face_px
        self._first_s: float | None = None  # time of the first frame
        self._seen_s = 0.0  # time of the newest frame with a face
        self._near = 0  # frames read with the face near enough for liveness
        self._read = False
        self._median = math.nan
        self._passes_up_to: float | None = None
        self._refused: Reason | None = None
        self._scores: list[float] = []
        self._cues: tuple[str, ...] = ()
        self.began_s: float | None = None  # time of the first frame with a face
        self.over = False

    def add(self, step: Step, at_s: float) -> None:
        """Take in what one frame came to."""
        self._first_s = at_s if self._first_s is None else self._first_s
        if step.presentation is None:
            gone = self.began_s is not None and at_s - self._seen_s > MAX_GAP_S
            self.over = gone or (self.began_s is None and at_s - self._first_s > PATIENCE_S)
            return
        self.began_s = at_s if self.began_s is None else self.began_s
        self._seen_s = at_s
        self._note(step.presentation)
        if step.decision == _PASSED:
            self._passes_up_to = max(self._passes_up_to or 0.0, step.presentation.bona_fide)
        elif isinstance(step.decision, Deny | Refer):
            self._refused = step.decision.reason
        reading_s = self._recognition.reading_s
        late = step.presentation.read_for_s >= reading_s or at_s - self.began_s >= MOST_READINGS * reading_s
        self.over = self._refused is not None or late

    def _note(self, seen: Presentation) -> None:
        newest = seen.latest
        if newest.liveness is not None and newest.embedding is not None and 0 <= newest.liveness.bona_fide <= 1:
            self._scores.append(round(newest.liveness.bona_fide, 3))
            self._near += newest.detection.width_px >= self._near_px
        if seen.frames_read >= self._recognition.min_frames and seen.read_span_s >= self._recognition.intent_s:
            self._read = self._near >= self._recognition.min_frames
        self._median = seen.bona_fide
        self._cues = tuple(cue.value for cue in seen.cues)

    def trial(self, species: str) -> Trial:
        """Return what it came to."""
        return Trial(
            species=species,
            passes_up_to=self._passes_up_to,
            refused=self._refused,
            read=self._read,
            median=self._median if 0 <= self._median <= 1 else None,
            scores=tuple(self._scores),
            cues=self._cues,
            seconds=0.0 if self.began_s is None else round(self._seen_s - self.began_s, 2),
        )
