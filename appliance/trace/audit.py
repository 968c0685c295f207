"""Replay of an audit log: it holds less than a trace, and what it holds of whom the door let in is judged again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.access.judge import judge
from appliance.access.schedule import Moment
from appliance.access.subject import Factor
from appliance.access.verdict import Allowed, Standing
from appliance.contract import EventType, Reason
from appliance.records import ActorKind
from appliance.trace.lines import in_words
from appliance.trace.replay import Difference, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.access.rules import Rules as AccessRules
    from appliance.access.subject import Subject
    from appliance.config import Settings
    from appliance.records import AuditEvent


def replay_audit(
    entries: Iterable[AuditEvent],
    settings: Settings,
    access: AccessRules | None,
    known: Callable[[str], Subject | None] | None,
) -> Outcome:
    """Return what an audit log allows to be said: of those who were let in, and of what liveness refused.

    `known` gives what is known of a person today; None where there is no gallery, and rules are not replayed.
    """
    differences: list[Difference] = []
    visits: set[str] = set()
    verdicts = 0
    for entry in entries:
        event = entry.event
        person = event.actor.id if event.actor is not None and event.actor.kind is ActorKind.PERSON else ""
        if event.event_type is EventType.ACCESS_GRANTED and person:
            visits.add(event.presentation_id)
            subject = known(person) if known is not None and access is not None else None
            verdicts += subject is not None
            would_be = _unread(entry, settings) or _rejudged(entry, subject, access)
            if would_be:
                differences.append(Difference(event.at, event.presentation_id, person, "let in", would_be))
        elif event.reason is Reason.LIVENESS_UNCERTAIN and event.event_type is EventType.APPROVAL_REQUESTED:
            visits.add(event.presentation_id)
            least = settings.liveness.min_bona_fide
            if event.liveness is not None and event.liveness >= least:
                would_be = f"goes on: liveness {event.liveness:.3f} is at least {least:g}"
                differences.append(Difference(event.at, event.presentation_id, "", "a human was asked", would_be))
    notes = ["an audit log holds no similarities: thresholds are replayed from a trace alone"]
    if known is None or access is None:
        notes.append("rules of access are not replayed: they need --access and gallery.db beside the audit log")
    return Outcome(tuple(differences), len(visits), 0, verdicts, (), tuple(notes))


def _unread(entry: AuditEvent, settings: Settings) -> str:
    """Return why somebody who was let in would not have been at that moment, as far as the log tells; else ""."""
    event, least, frames = entry.event, settings.liveness.min_bona_fide, settings.recognition.min_frames
    if event.liveness is not None and not event.liveness >= least:
        return f"not yet: liveness {event.liveness:.3f} is under {least:g}"
    if event.frames is not None and event.frames < frames:
        return f"not yet: {event.frames} frames were read, {frames} are asked for"
    return ""


def _rejudged(entry: AuditEvent, subject: Subject | None, access: AccessRules | None) -> str:
    """Return what the rules would say of somebody who was let in, "" where they say the same or cannot be asked."""
    if subject is None or access is None:
        return ""
    shown = frozenset(kind for kind in Factor if kind in entry.event.method.split("+"))
    named = replace(subject, name=subject.person_id)
    verdict = judge(named, access, Moment(entry.event.at, clock_set=True), Standing(entry.door, shown))
    return "" if isinstance(verdict, Allowed) else f"{in_words(verdict)}: {verdict.words}"
