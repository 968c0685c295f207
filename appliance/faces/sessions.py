"""Liveness sessions: for a while somebody may show, by frames or at the door, that a living face is there.

They are in memory alone, with what came of them, and are over after 48 hours at the latest, or with the process.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.errors import RefusedError
from appliance.faces.comparing import confidence, cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.faces.detect import Rectangle
    from appliance.faces.life import Life
    from appliance.records import Embedding, Grade

KEPT_S = 48 * 3600.0
MAX_KEPT = 500  # with a picture of 40 kB each, 20 MB
MAX_ATTEMPTS = 3
MAX_TRIES = 10  # those that could not be read among them: each takes a decoder's time
TOKEN_PREFIX = "osl_"  # noqa: S105 - so that a scanner for leaked secrets can know one


@dataclass(frozen=True, slots=True)
class Wish:
    """What a session is to be like, as whoever made it has said."""

    verify: bool = False  # whether the face is compared with a picture
    at_door: bool = False  # whether the door's own camera looks, and no frames are taken
    token_s: int = 600
    device: str = ""  # that shows the face, in the words of whoever asks
    tells: bool = False  # whether whoever sends frames is told what they came to
    keeps_image: bool = False
    tells_hash: bool = False  # of the picture
    least_confidence: float = 0.0  # 0..1, below which nobody is the same


@dataclass(frozen=True, slots=True, eq=False)
class Counterpart:
    """The face that a session's face is compared with."""

    embedding: Embedding = field(repr=False)
    rectangle: Rectangle
    grade: Grade
    sha256: str  # of the picture's bytes, 64 hex digits


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the comparison with the counterpart gave."""

    rectangle: Rectangle  # of the counterpart, in its picture
    grade: Grade
    confidence: float  # as `comparing.confidence`
    same: bool  # never of a face that was not called alive


@dataclass(frozen=True, slots=True)
class Sent:
    """The request that an attempt came by, as it describes itself."""

    url: str
    method: str
    content_type: str = ""
    length: int = 0
    agent: str = ""
    client_request_id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One showing of a face, and what it came to."""

    number: int  # 1, 2 ... of its session
    request_id: str
    sent: Sent
    received_at: datetime  # UTC
    life: Life
    model_id: str  # of the liveness models
    target: Rectangle | None  # of the face in the frame it is told of; None where nobody was there
    frame: int  # number of that frame, from 1; 0 for none
    frame_ms: int  # its time after the first
    digest: str  # SHA-256 of the frames as they were sent, one after another; "" where none was sent
    took_ms: int
    comparison: Comparison | None = None
    sha256: str = ""  # of the counterpart's picture, where that was asked for
    image_id: str = ""  # "" where none is kept
    image: bytes = field(default=b"", repr=False)  # JPEG, head and shoulders


@dataclass(slots=True, eq=False)
class Session:
    """One session. Belongs to the thread of its `LivenessSessions`."""

    session_id: str
    owner: str  # the voice of the key that made it
    wish: Wish
    counterpart: Counterpart | None
    token_digest: str = field(repr=False)
    created_at: datetime  # UTC
    created_s: float  # on the clock of the sessions
    started_at: datetime | None = None
    tries: int = 0
    begun: int = 0  # attempts, of which one may be going on
    attempts: list[Attempt] = field(default_factory=list)
    on_end: list[Callable[[], object]] = field(default_factory=list)  # what ends with it

    def begin(self) -> int:
        """Return the number of an attempt that begins now. Raises RefusedError for one too many, or two at a time."""
        if self.begun > len(self.attempts):
            raise RefusedError("an attempt of this session is going on; its result is to be waited for")
        if self.begun >= MAX_ATTEMPTS or self.tries >= MAX_TRIES:
            raise RefusedError(f"this session had its {MAX_ATTEMPTS} attempts; another session is needed")
        self.begun += 1
        self.tries += 1
        self.started_at = self.started_at or datetime.now(UTC)
        return self.begun

    def give_up(self) -> None:
        """Take back the attempt that is going on: nothing was judged."""
        self.begun = len(self.attempts)


class LivenessSessions:
    """Sessions by ids and tokens that nobody can guess. Belongs to one thread; `clock` is monotonic, in seconds.

    A further one beyond `most` ends the oldest.
    """

    def __init__(self, most: int = MAX_KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # the oldest first

    def __len__(self) -> int:
        self.forget_old()
        return len(self._sessions)

    def __reduce__(self) -> str:
        raise TypeError("liveness sessions are never written down")

    def make(self, owner: str, wish: Wish, counterpart: Counterpart | None = None) -> tuple[Session, str]:
        """Return a new session, and the token by which a face may be shown in it; the token is told this once."""
        self.forget_old()
        while len(self._sessions) >= self._most:
            self.end(next(iter(self._sessions.values())))
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        session = Session(random_id(), owner, wish, counterpart, digest_of(token), datetime.now(UTC), self._clock())
        self._sessions[session.session_id] = session
        return session, token

    def get(self, owner: str, session_id: str, *, verify: bool) -> Session:
        """Return a session of this owner and kind.

        Raises RefusedError where there is none, it is over or somebody else's: all read alike.
        """
        self.forget_old()
        found = self._sessions.get(session_id)
        if found is None or found.owner != owner or found.wish.verify is not verify:
            raise RefusedError("there is no such session, or it is over")
        return found

    def of_token(self, token: str) -> Session | None:
        """Return the session that this token is for; None for no token of ours, and where its time is over.

        What is compared is a hash: how long that takes tells nothing of a secret.
        """
        self.forget_old()
        digest = digest_of(token)
        found = next((one for one in self._sessions.values() if one.token_digest == digest), None)
        return None if found is None or self.expired(found) else found

    def expired(self, session: Session) -> bool:
        """Tell whether a session's token may no longer be used."""
        return not 0 <= self._clock() - session.created_s < session.wish.token_s

    def listed(self, owner: str, *, verify: bool, after: str = "", most: int = 1000) -> list[Session]:
        """Return the owner's sessions of this kind whose id is greater than `after`, by id, at most `most`."""
        self.forget_old()
        mine = (one for one in self._sessions.values() if one.owner == owner and one.wish.verify is verify)
        return sorted((one for one in mine if one.session_id > after), key=lambda one: one.session_id)[:most]

    def image(self, owner: str, image_id: str) -> bytes:
        """Return a picture of a session of this owner, JPEG. Raises RefusedError as `get`."""
        self.forget_old()
        mine = (one for session in self._sessions.values() if session.owner == owner for one in session.attempts)
        found = next((one for one in mine if image_id and one.image_id == image_id), None)
        if found is None:
            raise RefusedError("there is no such session image, or its session is over")
        return found.image

    def by_id(self, session_id: str) -> Session | None:
        """Return the session of this id; None for none. For whoever has proved that it is theirs."""
        self.forget_old()
        return self._sessions.get(session_id)

    def end(self, session: Session) -> None:
        """End a session, with its token, results and pictures; harmless where it is over."""
        if self._sessions.pop(session.session_id, None) is not None:
            for end in session.on_end:
                end()

    def forget_old(self) -> None:
        """End what was made 48 hours ago."""
        now_s = self._clock()
        for old in [one for one in self._sessions.values() if not 0 <= now_s - one.created_s < KEPT_S]:
            self.end(old)

    def close(self) -> None:
        """End everything."""
        for session in list(self._sessions.values()):
            self.end(session)


def random_id() -> str:
    """Return 122 random bits in the form of a GUID, as clients of face services expect."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def digest_of(secret: str) -> str:
    """Return under what a token is kept, 64 hex digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def digest_of_frames(frames: Iterable[bytes]) -> str:
    """Return the SHA-256 of the frames, one after another, 64 hex digits."""
    running = hashlib.sha256()
    for one in frames:
        running.update(one)
    return running.hexdigest()


def compared(
    other: Counterpart, probe: Embedding, threshold: float, least_confidence: float, *, alive: bool
) -> Comparison:
    """Return what the comparison of a face with the counterpart gives.

    Only who is alive, and reaches both the threshold (cosine) and the least confidence, is the same. Raises
    ModelMismatchError.
    """
    similarity = cosine(probe, other.embedding)
    told = confidence(similarity, threshold)
    same = alive and similarity >= threshold and told >= least_confidence  # this way round, NaN is nobody
    return Comparison(other.rectangle, other.grade, told, same)
