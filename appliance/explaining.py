"""Why somebody would get in at this door, or not: asked on the command line, on a page and by programs alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.access.explain import explain
from appliance.access.judge import judge
from appliance.access.ledger import Ledger
from appliance.access.schedule import Moment, instant
from appliance.access.verdict import Standing
from appliance.clock import WallClock
from appliance.errors import RefusedError, UsageError
from appliance.people.rights import subject_of

if TYPE_CHECKING:
    from appliance.access.rules import Rules
    from appliance.access.subject import Factor, Subject
    from appliance.access.verdict import Verdict
    from appliance.commands.options import Installation
    from appliance.people.gallery import Gallery


@dataclass(frozen=True, slots=True)
class Explained:
    """What the door would say, and why."""

    verdict: Verdict
    lines: tuple[str, ...]  # the answer, then every check in its order


def explained(
    installation: Installation,
    name_or_id: str,
    at_text: str | None = None,
    shown: frozenset[Factor] = frozenset(),
    *,
    in_lockdown: bool = False,
    named: bool = True,
) -> Explained:
    """Return whether the one person of this name or id would get in, at a time of the rules' zone or now, and why.

    Where whoever asks may see no names, `named` is false: an id alone finds somebody, and stands in the lines.
    Raises RefusedError for nobody or several, UsageError for what is no time, ConfigError for rules that are none,
    StorageError.
    """
    rules = installation.open_rules().rules
    moment = _moment(installation, rules, at_text)
    with installation.open_gallery() as gallery, Ledger(installation.ledger_file) as ledger:
        subject = subject_of(gallery, name_or_id) if named else _by_id(gallery, name_or_id)
        passage = ledger.passage(subject.person_id)
    standing = Standing(installation.settings.device.door, shown, in_lockdown, _doubt(installation), passage)
    lines = explain(subject, rules, moment, standing)
    return Explained(judge(subject, rules, moment, standing), tuple(lines))


def _by_id(gallery: Gallery, person_id: str) -> Subject:
    """Return the person of this id, who is called by it. Raises RefusedError for nobody."""
    subject = gallery.subject(person_id)
    if subject is None:
        raise RefusedError(f"nobody is enrolled under the id {person_id!r:.80}")
    return replace(subject, name=subject.person_id)


def _doubt(installation: Installation) -> str:
    """Return why a face alone does not open this door; "" where it does."""
    from appliance.commissioning.clearance import clearance  # noqa: PLC0415  moving a door must not load OpenCV

    cleared = clearance(installation)
    return "" if cleared.face_only else cleared.words


def _moment(installation: Installation, rules: Rules | None, at_text: str | None) -> Moment:
    """Return the time that is asked about, as if the clock were set then, or now as the clock is."""
    if at_text is None:
        return WallClock(installation.settings.access.clock)()
    try:
        return Moment(instant(at_text, rules.time_zone if rules is not None else None, ends=False), clock_set=True)
    except ValueError as fault:
        raise UsageError(f"the time is {at_text!r}; {fault}") from fault
