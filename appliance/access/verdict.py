"""What the judge is told of the door, and what it can answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.access.passback import Passage
    from appliance.access.schedule import Moment
    from appliance.access.subject import Factor, Subject
    from appliance.contract import Reason


@dataclass(frozen=True, slots=True)
class Standing:
    """What else bears on it at the door."""

    door: str  # `device.door`
    factors: frozenset[Factor] = frozenset()  # shown besides the face, in this visit
    lockdown: bool = False
    doubt: str = ""  # why a face alone will not do this time; "" where nothing is amiss
    passage: Passage | None = None  # the person's latest one at this door
    companions: tuple[Subject, ...] = ()  # who else has passed every check, lately


@dataclass(frozen=True, slots=True)
class Allowed:
    """The person may enter."""

    words: str
    extended: bool = False  # the door stays unlocked and open for longer
    passback_broken: bool = False  # softly: to be told, not refused
    companions: tuple[str, ...] = ()  # ids of those who enter with them


@dataclass(frozen=True, slots=True)
class Refused:
    """The person may not enter."""

    reason: Reason
    words: str


@dataclass(frozen=True, slots=True)
class FactorNeeded:
    """The person may enter, so far as is known, once one of these is shown as well."""

    kinds: frozenset[Factor]
    words: str


@dataclass(frozen=True, slots=True)
class CompanionNeeded:
    """The person may enter together with somebody else, who has not come yet."""

    words: str


Verdict = Allowed | Refused | FactorNeeded | CompanionNeeded


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict, and everything that it rests on but the rules."""

    subject: Subject
    moment: Moment
    standing: Standing
    verdict: Verdict
