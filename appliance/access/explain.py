"""Why somebody would get in, or not, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.access.case import Case
from appliance.access.judge import CHECKS, judge, local
from appliance.access.verdict import Allowed, CompanionNeeded, FactorNeeded, Refused

if TYPE_CHECKING:
    from appliance.access.rules import Rules
    from appliance.access.schedule import Moment
    from appliance.access.subject import Subject
    from appliance.access.verdict import Standing, Verdict


def explain(subject: Subject, rules: Rules | None, moment: Moment, standing: Standing) -> list[str]:
    """Return whether the subject would get in, and then every check in its order, each marked `yes`, `no` or `asks`."""
    at = local(rules, moment.at)
    lines = [f"{subject.name} at door {standing.door}, {at}: {_answer(judge(subject, rules, moment, standing))}"]
    case = Case(subject, rules, moment, standing)
    for check in CHECKS:
        words, verdict = check(case)
        mark = "yes" if verdict is None else "no" if isinstance(verdict, Refused) else "asks"
        lines.append(f"  {mark:4}  {words}")
    return lines


def _answer(verdict: Verdict) -> str:
    match verdict:
        case Allowed():
            return "may enter"
        case Refused(reason=reason):
            return f"may not enter ({reason})"
        case FactorNeeded():
            return "may enter with a second factor"
        case CompanionNeeded():
            return "may enter with a second person"
