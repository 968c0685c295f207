"""The lines of a trace: what decisions rested on, frame by frame. Scores and ids; no image, vector or name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from appliance.access.passback import Passage, Side
from appliance.access.subject import Factor, FactorPolicy, Status, Subject
from appliance.access.verdict import Allowed, CompanionNeeded, FactorNeeded, Refused, Standing, Verdict
from appliance.contract import EventType, Reason  # noqa: TC001 - pydantic reads them
from appliance.manifest import Impostors  # noqa: TC001 - pydantic reads it
from appliance.records import Cue, Flaw  # noqa: TC001 - pydantic reads them

MAX_LINE_BYTES = 64 * 1024
JUDGED_OF = 2  # candidates: policy looks at no more

# What is printed again must not move the cursor of whoever reads it.
_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,63}$")]
_Frames = Annotated[int, Field(ge=0, le=4096)]


class _Line(BaseModel):
    # Numbers that are none are written as NaN and Infinity, as Python does: policy tells one from the other.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants")

    at: AwareDatetime  # UTC, for people; how long something took is told by the frames' own clock


class Conditions(_Line):
    """What the frames that follow were read with."""

    kind: Literal["conditions"] = "conditions"
    v: Literal[1] = 1
    device_id: str
    door: str
    cleared: bool  # attacks were tried on the liveness at this door, and it stood them
    settings: dict[str, str | float]  # those that scores depend on
    times: dict[str, str | float]  # those of [door] that alarms depend on
    model_id: str  # the embedder's
    measured: Impostors | None  # its tail over whole visits
    own: Impostors | None  # the gallery's own, likewise


class Look(_Line):
    """One frame with somebody in it, as policy saw it."""

    kind: Literal["look"] = "look"
    visit: _Id
    read_for_s: float
    seen: Annotated[int, Field(ge=1, le=4096)]  # frames of the visit within the reading time
    alone: _Frames  # of these, the newest in a row without other faces near
    frames_read: _Frames
    read_span_s: float
    fresh: bool  # the newest was read
    bona_fide: float
    cues: tuple[Cue, ...]
    flaws: tuple[Flaw, ...]  # of the newest
    # Person, similarity and that of the nearest rival, most alike first.
    candidates: Annotated[tuple[tuple[_Id, float, float], ...], Field(max_length=JUDGED_OF)]
    size: Annotated[int, Field(ge=0, le=10**9)]  # of the gallery
    answer: Literal["grant", "deny", "refer", "wait"]
    reason: Reason | None = None
    person: _Id = ""  # of a grant


class Person(BaseModel):
    """What is known of somebody as far as doors are concerned; no name, no PIN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: _Id
    status: Status
    valid_from: AwareDatetime | None
    valid_until: AwareDatetime | None
    groups: tuple[str, ...]
    always: bool
    extended: bool
    factor: FactorPolicy


class Judgement(_Line):
    """One verdict of the rules of access, and what it rests on but the rules."""

    kind: Literal["judgement"] = "judgement"
    visit: _Id
    person: Person
    clock_set: bool
    door: str
    factors: tuple[Factor, ...]
    lockdown: bool
    doubt: str
    passed: tuple[Side, AwareDatetime] | None  # latest passage
    companions: tuple[Person, ...]
    verdict: Annotated[str, Field(pattern=r"^[a-z_() ]{1,80}$")]  # `in_words`


class Happening(_Line):
    """An event of the log: what the door told, and what was asked of it."""

    kind: Literal["event"] = "event"
    event_type: EventType
    reason: Reason | None
    who: str  # kind and id, "" for nobody
    visit: _Id


class Full(_Line):
    """The end of a trace that has reached its size."""

    kind: Literal["full"] = "full"


Line = Conditions | Look | Judgement | Happening | Full
_LINES: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def read_line(line: bytes) -> Line:
    """Return one line of a trace. Raises ValidationError for any other bytes."""
    return _LINES.validate_json(line)


def in_words(verdict: Verdict) -> str:
    """Return a verdict without whom it is about."""
    match verdict:
        case Allowed():
            return "may enter"
        case Refused(reason=reason):
            return f"may not enter ({reason})"
        case FactorNeeded(kinds=kinds):
            return f"asked for {' or '.join(kind for kind in Factor if kind in kinds)}"
        case CompanionNeeded():
            return "asked for a second person"


def subject_of(person: Person) -> Subject:
    """Return the person as the rules see them; their id stands for their name."""
    return Subject(
        person.id,
        person.id,
        person.status,
        person.valid_from,
        person.valid_until,
        frozenset(person.groups),
        person.always,
        person.extended,
        person.factor,
    )


def standing_of(line: Judgement) -> Standing:
    """Return what the verdict rested on besides the person and the moment."""
    passage = None if line.passed is None else Passage(*line.passed)
    others = tuple(map(subject_of, line.companions))
    return Standing(line.door, frozenset(line.factors), line.lockdown, line.doubt, passage, others)
