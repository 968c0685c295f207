"""Transient faces: what a face id stands for, in memory alone and for a limited time."""

from __future__ import annotations

import math
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from appliance.records import Embedding

MIN_LIFE_S, MAX_LIFE_S = 60.0, 86_400.0
MAX_KEPT = 10_000  # about 25 MB with templates of 512 numbers


@dataclass(frozen=True, slots=True, eq=False)
class TransientFace:
    """One face of a picture that is gone: no pixels, no landmarks."""

    embedding: Embedding = field(repr=False)  # a log must not hold it
    box: NDArray[np.float32]  # (4,) x0 y0 x1 y1 px of its picture


class TransientFaces:
    """Faces by an id that nobody can guess, until their time is over. Never on disk; any thread may call.

    At most `most` are kept: a further one ends the oldest.
    """

    def __init__(self, most: int = MAX_KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._faces: OrderedDict[str, tuple[float, TransientFace]] = OrderedDict()  # the oldest first
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            self._drop_expired()
            return len(self._faces)

    def __reduce__(self) -> str:
        raise TypeError("transient faces are never written down")

    def keep(self, face: TransientFace, for_s: float = MAX_LIFE_S) -> str:
        """Return a new id under which the face is known for 60..86,400 s. Raises UsageError for another time."""
        check_life(for_s)
        # 122 random bits in the form of a GUID, as clients of face services expect.
        face_id = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
        with self._lock:
            self._drop_expired()
            if len(self._faces) >= self._most:
                self._faces.popitem(last=False)
            self._faces[face_id] = (self._clock() + for_s, face)
        return face_id

    def get(self, face_id: str) -> TransientFace:
        """Return the face. Raises RefusedError for an id that was never given, or is over: both read alike."""
        with self._lock:
            self._drop_expired()
            found = self._faces.get(face_id)
        if found is None:
            raise RefusedError("a face id is not known here, or its time is over; detect the face again")
        return found[1]

    def forget(self, face_id: str) -> None:
        """Drop the face now; an id that is not known is no fault."""
        with self._lock:
            self._faces.pop(face_id, None)

    def _drop_expired(self) -> None:
        now_s = self._clock()
        for face_id in [one for one, (until_s, _) in self._faces.items() if not now_s < until_s]:
            del self._faces[face_id]


def check_life(for_s: float) -> None:
    """Raise UsageError for a time to live that is not 60..86,400 s."""
    if not MIN_LIFE_S <= for_s <= MAX_LIFE_S or not math.isfinite(for_s):
        raise UsageError(f"a face id cannot live for {for_s:g} s; {MIN_LIFE_S:g} to {MAX_LIFE_S:g} s is allowed")
