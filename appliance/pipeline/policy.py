"""Policy: from evidence to a decision, a pure function in which doubt keeps the door shut.

Two outcomes are wanted and everything else is a wait: granted, or a human is asked. A refusal without a
human is kept for an attack and for a face that cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.contract import Hint, Reason
from appliance.pipeline.quality import hint_for
from appliance.records import Candidate, Deny, Grant, OperatingPoint, Presentation, Refer, Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.records import Decision


@dataclass(frozen=True, slots=True)
class Rules:
    """What the installer configured; see `[recognition]` and `[liveness]` in appliance.toml."""

    min_frames: int
    reading_s: float
    min_bona_fide: float  # 0..1
    attack_below: float = 0.1  # a median this low is called an attack without waiting for the reading time
    attack_frames: int = 6
    stranger_frames: int = 8
    stranger_below: float = 0.12  # cosine under the threshold at which more frames are not worth waiting for


def decide(
    seen: Presentation, candidates: Sequence[Candidate], point: OperatingPoint, rules: Rules
) -> Decision | Wait:
    """Return what to do about this visit now. Wait means that more frames may help.

    Only the last line grants. NaN anywhere, no candidates, or a silent stage never reaches it.
    """
    over = seen.read_for_s >= rules.reading_s
    if seen.frames_read < rules.min_frames:
        return _unread(seen, rules, over=over)
    if seen.cues:
        return Deny(Reason.LIVENESS_FAILED)
    if any(one.others for one in seen.evidence[-rules.min_frames :]):
        return Refer(Reason.MULTIPLE_FACES) if over else Wait(Hint.ONE_AT_A_TIME)
    if not seen.bona_fide >= rules.min_bona_fide:  # this way round, NaN is refused
        return _doubtful(seen, rules, over=over)
    doubt = _not_recognised(candidates, point)
    if doubt is not None:
        return Refer(doubt) if over or _hopeless(seen, candidates, point, rules) else _wait(seen)
    if seen.latest.embedding is None:
        return _wait(seen)  # the newest frame was not read: whoever stands there now must be seen first
    return Grant(candidates[0].person_id)


def _unread(seen: Presentation, rules: Rules, *, over: bool) -> Decision | Wait:
    """A passer-by is not read and leaves no trace; a face that stays and cannot be read is refused."""
    if over and len(seen.evidence) >= rules.min_frames:
        return Deny(Reason.LOW_QUALITY)
    return _wait(seen)


def _doubtful(seen: Presentation, rules: Rules, *, over: bool) -> Decision | Wait:
    if seen.bona_fide < rules.attack_below and (over or seen.frames_read >= rules.attack_frames):
        return Deny(Reason.LIVENESS_FAILED)
    return Refer(Reason.LIVENESS_UNCERTAIN) if over else _wait(seen)


def _not_recognised(candidates: Sequence[Candidate], point: OperatingPoint) -> Reason | None:
    if not candidates or not candidates[0].similarity >= point.threshold:
        return Reason.UNKNOWN_FACE
    if len(candidates) > 1 and not candidates[0].similarity - candidates[1].similarity >= point.margin:
        return Reason.AMBIGUOUS_MATCH
    return None


def _hopeless(seen: Presentation, candidates: Sequence[Candidate], point: OperatingPoint, rules: Rules) -> bool:
    best = candidates[0].similarity if candidates else -1.0
    return seen.frames_read >= rules.stranger_frames and best < point.threshold - rules.stranger_below


def _wait(seen: Presentation) -> Wait:
    return Wait(hint_for(seen.evidence[-1].flaws) or Hint.HOLD_STILL)
