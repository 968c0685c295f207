"""The case: one person at one door at one moment, and what of the rules bears on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from appliance.access.passback import Passback, counts
from appliance.access.rules import ANYBODY, DoorRules
from appliance.access.subject import Factor
from appliance.access.verdict import Allowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.access.rules import Demands, GroupRules, Rules
    from appliance.access.schedule import Moment
    from appliance.access.subject import Subject
    from appliance.access.verdict import Standing


@dataclass(frozen=True)
class Case:
    """Everything a check may look at."""

    subject: Subject
    rules: Rules | None  # None where there is no access.toml
    moment: Moment
    standing: Standing

    @property
    def name(self) -> str:
        """What words call the person."""
        return self.subject.name

    @property
    def door(self) -> DoorRules:
        """What holds at this door for everybody."""
        return self.rules.door(self.standing.door) if self.rules is not None else DoorRules()

    @cached_property
    def entitled(self) -> dict[str, GroupRules]:
        """The person's groups that have a right at this door, by name."""
        groups = self.rules.groups if self.rules is not None else {}
        mine = sorted(self.subject.groups & groups.keys())
        return {name: groups[name] for name in mine if groups[name].opens(self.standing.door)}

    @cached_property
    def granting(self) -> dict[str, GroupRules]:
        """Those of them that let the person in now; somebody marked always is bound to no schedule."""
        return {
            name: group
            for name, group in self.entitled.items()
            if self.subject.always or not group.schedule or self.holds(group.schedule)
        }

    @property
    def went_the_same_way(self) -> bool:
        """Whether the person went last as this door goes, and that still counts."""
        door, passage = self.door, self.standing.passage
        if self.rules is None or door.passback is Passback.OFF or passage is None or passage.side is not door.side:
            return False
        if any(group.passback_exempt for group in self.granting.values()):
            return False
        return counts(passage, self.moment, self.rules.time_zone, door.reset, door.within)

    @property
    def allowed(self) -> Allowed:
        """What follows when every check has passed."""
        return Allowed(
            f"{self.name} may enter",
            self.subject.extended or any(group.extended for group in self.granting.values()),
            passback_broken=self.went_the_same_way,
            companions=tuple(sorted({one.person_id for _, one in self.companions() if one is not None})),
        )

    def holds(self, schedule: str) -> bool:
        """Tell whether the schedule holds now; while the clock is not set none does."""
        return self.moment.clock_set and self.rules is not None and self.rules.schedule(schedule).covers(self.moment.at)

    def factors(self) -> Iterator[tuple[str, frozenset[Factor]]]:
        """Give what asks for a factor now, in words, and the kinds of which one will do."""
        for who, demands in self._demands():
            inside = not demands.factor_inside or self._may_hold(demands.factor_inside)
            outside = not demands.factor_outside or not self.holds(demands.factor_outside)
            if demands.factor.kinds and inside and outside:
                yield f"{who} asks for a factor", demands.factor.kinds
        if self.subject.factor.kinds:
            yield f"{self.name} is asked for a factor", self.subject.factor.kinds
        if self.standing.doubt:
            yield self.standing.doubt, frozenset(Factor)

    def companions(self) -> Iterator[tuple[str, Subject | None]]:
        """Give what asks for a second person now, in words, and who that is; None for nobody."""
        others = [one for one in self.standing.companions if one.person_id != self.subject.person_id]
        for who, demands in self._demands():
            wanted = demands.two_person
            if not wanted or (demands.two_person_inside and not self._may_hold(demands.two_person_inside)):
                continue
            found = next((one for one in others if wanted == ANYBODY or wanted in one.groups), None)
            second = "a second person" if wanted == ANYBODY else f"a second person of group {wanted}"
            came = f"{found.name} came" if found is not None else "nobody came yet"
            yield f"{who} asks for {second}: {came}", found

    def _demands(self) -> Iterator[tuple[str, Demands]]:
        """Give what the door and the groups that let in now ask for, and what words call each."""
        yield f"door {self.standing.door}", self.door
        yield from ((f"group {name}", group) for name, group in self.granting.items())

    def _may_hold(self, schedule: str) -> bool:
        """Tell whether what the schedule asks for is asked now: also while the clock is not set."""
        return not self.moment.clock_set or self.holds(schedule)
