"""The subject: one enrolled person as the access rules see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Factor(StrEnum):
    """What somebody can show besides their face."""

    PIN = "pin"
    PASS = "pass"  # noqa: S105 - a visitor's pass


class FactorPolicy(StrEnum):
    """Which factor is asked for besides a face."""

    NONE = "none"
    PIN = "pin"
    PASS = "pass"  # noqa: S105 - a visitor's pass
    ANY = "any"

    @property
    def kinds(self) -> frozenset[Factor]:
        """The factors of which one will do; empty where none is asked for."""
        return {
            FactorPolicy.NONE: frozenset[Factor](),
            FactorPolicy.PIN: frozenset({Factor.PIN}),
            FactorPolicy.PASS: frozenset({Factor.PASS}),
            FactorPolicy.ANY: frozenset(Factor),
        }[self]


class Status(StrEnum):
    """How an enrolled person stands, whatever the schedules say."""

    ACTIVE = "active"
    SUSPENDED = "suspended"  # may come back
    DENY_LISTED = "deny_listed"  # enrolled in order to be told apart and kept out


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of one enrolled person, as far as doors are concerned; by default nothing beyond the name."""

    person_id: str
    name: str  # for a human's eyes: never in an event
    status: Status = Status.ACTIVE
    valid_from: datetime | None = None  # aware; None is no bound
    valid_until: datetime | None = None  # aware, the first moment that is too late
    groups: frozenset[str] = frozenset()
    always: bool = False  # bound to no schedule, and let in while the clock is not set
    extended: bool = False  # the door stays unlocked and open for longer
    factor: FactorPolicy = FactorPolicy.NONE  # on top of what the groups and the door ask for
    pin_hash: str = field(default="", repr=False)  # "" for no PIN
    duress_hash: str = field(default="", repr=False)
    max_fpir: float | None = None  # a lower target FPIR than the door's, which raises the threshold for this person
