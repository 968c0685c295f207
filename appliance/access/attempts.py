"""Attempt limits, after NIST SP 800-63B: who fails again and again has to wait, and in the end shows something else.

In memory only, because it holds templates of strangers: few, and none for longer than `FORGOTTEN_S` after it was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.pipeline.presentation import MIN_CONTINUITY

if TYPE_CHECKING:
    from appliance.manifest import Impostors
    from appliance.records import Embedding

PAUSE_S = 30.0
FORGOTTEN_S = 600.0
MAX_FACES = 64


@dataclass(slots=True)
class _Face:
    """A face that has failed."""

    probe: Embedding
    failures: int
    until_s: float  # no further attempt before
    seen_at_s: float


class Attempts:
    """Failures by face, and in a row at the door. Times are of a monotonic clock; nobody else's face is held up.

    5 failures, 10 where the liveness is commissioned, and each further one mean a pause; after 50 (100) a face alone is
    not enough any more, and after as many in a row of whatever faces, no face alone is. Two probes are one face where
    one in a thousand strangers at most comes so near, as the embedder's `impostors` were measured.
    """

    def __init__(self, *, liveness: bool, impostors: Impostors | None = None) -> None:
        self._few, self._many = (10, 100) if liveness else (5, 50)
        self._alike = impostors.tail_start if impostors is not None else MIN_CONTINUITY
        self._faces: list[_Face] = []
        self._in_a_row = 0

    @property
    def strained(self) -> bool:
        """Whether no face alone is enough at this door, until somebody succeeds by a factor or an operator steps in."""
        return self._in_a_row >= self._many

    def failed(self, probe: Embedding | None, now_s: float) -> None:
        """Count one failure of this face, None for one that could not be read."""
        self._in_a_row += 1
        if probe is None:
            return
        face = self._seen(probe, now_s)
        if face is None:
            if len(self._faces) == MAX_FACES:
                self._faces.remove(min(self._faces, key=lambda one: (one.failures, one.seen_at_s)))
            face = _Face(probe, 0, now_s, now_s)
            self._faces.append(face)
        face.failures += 1
        if face.failures >= self._few:
            face.until_s = now_s + PAUSE_S

    def waits(self, probe: Embedding, now_s: float) -> bool:
        """Tell whether this face has to wait before its next attempt."""
        face = self._seen(probe, now_s)
        return face is not None and now_s < face.until_s

    def stopped(self, probe: Embedding, now_s: float) -> bool:
        """Tell whether this face has used up its attempts: alone it is not enough any more."""
        face = self._seen(probe, now_s)
        return face is not None and face.failures >= self._many

    def succeeded(self, probe: Embedding | None, now_s: float, *, by_factor: bool) -> None:
        """Count this face's failures, and those in a row, from nothing; what is used up only where `by_factor`."""
        face = None if probe is None else self._seen(probe, now_s)
        if face is not None and (by_factor or face.failures < self._many):
            self._faces.remove(face)
        if by_factor or not self.strained:
            self._in_a_row = 0

    def forget(self, now_s: float) -> None:
        """Let go of every face that was not seen for `FORGOTTEN_S`."""
        self._faces = [face for face in self._faces if now_s - face.seen_at_s <= FORGOTTEN_S]

    def reset(self) -> None:
        """Begin anew, as an operator may."""
        self._faces, self._in_a_row = [], 0

    def _seen(self, probe: Embedding, now_s: float) -> _Face | None:
        """Return the face that the probe is of, which was seen now; None for a new one."""
        self.forget(now_s)
        alike = [
            (similarity, face)
            for face in self._faces
            if face.probe.model_id == probe.model_id
            and (similarity := float(face.probe.vector @ probe.vector)) >= self._alike  # this way round, NaN is nobody
        ]
        if not alike:
            return None
        _, face = max(alike, key=lambda one: one[0])
        face.seen_at_s = now_s
        return face
