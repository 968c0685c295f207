"""`access.toml`: holidays, schedules, groups and doors, read into frozen rules.

An unknown key, a wrong type, a time that is none or a name that is defined nowhere is one clear line.
"""

from __future__ import annotations

from datetime import time, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, PlainValidator, model_validator

from appliance import config
from appliance.access.passback import Passback, Side
from appliance.access.schedule import Period, Schedule, Span, sundays
from appliance.access.subject import FactorPolicy
from appliance.config import Identifier, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

ANYBODY = "*"  # in the place of a group; in the place of a door, every door
_OnHolidays = Literal["closed", "as_sunday", "ignored"] | tuple[Period, ...]


def _zone(name: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError) as fault:  # OSError: the name of a folder
        raise ValueError("it must be a time zone of the IANA database, such as Europe/Lisbon") from fault


def _spans(given: object) -> tuple[Span, ...]:
    listed = [given] if isinstance(given, str) else given
    return tuple(Span.parse(one) for one in _texts(listed))


def _periods(given: object) -> tuple[Period, ...]:
    return tuple(Period.parse(one) for one in _texts(given))


def _on_holidays(given: object) -> _OnHolidays:
    match given:
        case "closed" | "as_sunday" | "ignored":
            return given
        case str():
            raise ValueError("it must be closed, as_sunday, ignored or a list such as ['08:00-12:00']")
    return tuple(Period.parse(one, with_days=False) for one in _texts(given))


def _texts(given: object) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ValueError("it must be text in quotation marks, or a list of such")
    return given


_Door = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9_-]{0,62})$")]
_TimeOfDay = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$")]


class ScheduleRules(Section):
    """When something holds, week by week, and on holidays."""

    periods: Annotated[tuple[Period, ...], PlainValidator(_periods)]
    holidays: Annotated[_OnHolidays, PlainValidator(_on_holidays)] = "closed"


class Demands(Section):
    """What a group or a door asks for besides a right."""

    factor: Annotated[FactorPolicy, Field(strict=False)] = FactorPolicy.NONE
    factor_inside: str = ""  # a schedule; empty is at any time
    factor_outside: str = ""
    two_person: str = ""  # the group that a second person must be of, "*" for any; empty for no second person
    two_person_inside: str = ""

    @model_validator(mode="after")
    def _demand_sense(self) -> Self:
        if self.factor_inside and self.factor_outside:
            raise ValueError("factor_inside and factor_outside are both given; one of them is allowed")
        if (self.factor_inside or self.factor_outside) and not self.factor.kinds:
            raise ValueError("factor_inside and factor_outside say nothing while factor is none")
        if self.two_person_inside and not self.two_person:
            raise ValueError("two_person_inside says nothing while two_person is empty")
        return self

    def schedules(self) -> Iterator[tuple[str, str]]:
        """Give each key that names a schedule, with the name."""
        for key in ("factor_inside", "factor_outside", "two_person_inside"):
            yield key, str(getattr(self, key))


class GroupRules(Demands):
    """What it is worth to be of a group."""

    doors: Annotated[tuple[_Door, ...], Field(strict=False, min_length=1)]  # by `device.door`
    schedule: str = ""  # empty is at any time
    lockdown_bypass: bool = False
    passback_exempt: bool = False
    extended: bool = False
    first_in: bool = False  # may begin the day of a door with first_person_in

    def opens(self, door: str) -> bool:
        """Tell whether the group has a right at this door."""
        return door in self.doors or ANYBODY in self.doors

    def schedules(self) -> Iterator[tuple[str, str]]:
        """Give each key that names a schedule, with the name."""
        yield "schedule", self.schedule
        yield from super().schedules()


class DoorRules(Demands):
    """What holds at one door for everybody."""

    side: Annotated[Side, Field(strict=False)] = Side.ENTRY
    unlock_schedule: str = ""  # the door is unlocked meanwhile; empty is never
    first_person_in: bool = False  # but only once somebody of a group with first_in has gone in
    passback: Annotated[Passback, Field(strict=False)] = Passback.OFF
    passback_minutes: Annotated[int, Field(ge=1, le=1440)] = 10  # of a timed one
    passback_reset: _TimeOfDay = "04:00"  # every day; empty is never

    @property
    def reset(self) -> time | None:
        """When passages are forgotten every day; None for never."""
        return time.fromisoformat(self.passback_reset) if self.passback_reset else None

    @property
    def within(self) -> timedelta | None:
        """How long a passage binds; None for until the reset."""
        return timedelta(minutes=self.passback_minutes) if self.passback is Passback.TIMED else None

    def schedules(self) -> Iterator[tuple[str, str]]:
        """Give each key that names a schedule, with the name."""
        yield "unlock_schedule", self.unlock_schedule
        yield from super().schedules()


class Rules(Section):
    """All of `access.toml`."""

    time_zone: Annotated[ZoneInfo, PlainValidator(_zone)]
    holidays: dict[str, Annotated[tuple[Span, ...], PlainValidator(_spans)]] = Field(default_factory=dict)
    schedules: dict[Identifier, ScheduleRules] = Field(default_factory=dict)
    groups: dict[Identifier, GroupRules] = Field(default_factory=dict)
    doors: dict[Identifier, DoorRules] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _demand_names(self) -> Self:
        sections: dict[str, Demands] = {f"groups.{name}": group for name, group in self.groups.items()}
        sections |= {f"doors.{name}": door for name, door in self.doors.items()}
        for section, demands in sections.items():
            for key, name in demands.schedules():
                if name and name not in self.schedules:
                    raise ValueError(f"{section}.{key} is {name!r}; there is no [schedules.{name}]")
            if demands.two_person not in {"", ANYBODY, *self.groups}:
                name = demands.two_person
                raise ValueError(f"{section}.two_person is {name!r}; there is no [groups.{name}]")
        for name, door in self.doors.items():
            if door.first_person_in and not door.unlock_schedule:
                raise ValueError(f"doors.{name}.first_person_in says nothing while unlock_schedule is empty")
            if door.first_person_in and not any(group.first_in and group.opens(name) for group in self.groups.values()):
                raise ValueError(f"doors.{name}.first_person_in is true; no group with that door has first_in")
        return self

    def door(self, name: str) -> DoorRules:
        """Return what holds at this door; the defaults where it has no section."""
        return self.doors.get(name, DoorRules())

    def schedule(self, name: str) -> Schedule:
        """Return the schedule of this name, which must exist."""
        rules = self.schedules[name]
        on_holidays: tuple[Period, ...] | None
        match rules.holidays:
            case "ignored":
                on_holidays = None
            case "closed":
                on_holidays = ()
            case "as_sunday":
                on_holidays = sundays(rules.periods)
            case periods:
                on_holidays = periods
        return Schedule(name, rules.periods, on_holidays, self.time_zone, self.holidays)


def parse(text: str, name: str) -> Rules:
    """Return the rules in TOML `text`; `name` is what messages call it. Raises ConfigError, one line."""
    return config.parse_as(Rules, text, name, "docs/access.md")
