"""The demo's story: who comes to the door, what the attendant says, and what is expected of the machine."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from appliance.contract import EventType, Reason
from appliance.doorway import unmarked
from appliance.drivers.scene import Visit
from appliance.errors import RefusedError

if TYPE_CHECKING:
    from rich.console import Console

    from appliance.demo.sheet import ContactSheet
    from appliance.drivers.simulated import Script
    from appliance.records import AuditEvent
    from ostiary_client import Client, Ticket

PATIENCE_S = 30.0  # for one expected event; a slow board still tells the story
SETTLED = {EventType.ACCESS_GRANTED, EventType.ACCESS_DENIED}


class Watcher:
    """Hears every event in the loop's thread, prints it, and keeps it for the story to wait on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._events: queue.Queue[AuditEvent] = queue.Queue()
        self._start_s = time.monotonic()
        self._lock = threading.Lock()

    def hear(self, sealed: AuditEvent) -> None:
        """Print the event as one line and keep it."""
        event = sealed.event
        reason = event.reason.value if event.reason else ""
        took = (
            f"{event.decision_ms:.0f} ms, {event.frames} frames"
            if event.decision_ms is not None
            else unmarked(event.detail)
        )
        colour = {EventType.ACCESS_GRANTED: "green", EventType.DOOR_UNLOCKED: "green"}.get(event.event_type, "")
        colour = "red" if event.event_type in {EventType.SPOOF_SUSPECTED, EventType.ACCESS_DENIED} else colour
        self.say(f"{event.event_type.value:20} {reason:20} {took}", colour)
        self._events.put(sealed)

    def say(self, line: str, style: str = "") -> None:
        """Print one line with the time since the start."""
        with self._lock:
            self._console.print(
                f"{time.monotonic() - self._start_s:7.2f} s  {line}", style=style, highlight=False, soft_wrap=True
            )

    def expect(self, *kinds: EventType) -> AuditEvent:
        """Return the next event of one of these kinds. Raises RefusedError where none comes in time."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                sealed = self._events.get(timeout=max(0.01, end_s - time.monotonic()))
            except queue.Empty:
                names = " or ".join(kind.value for kind in kinds)
                raise RefusedError(f"the demo waited {PATIENCE_S:.0f} s for {names} and saw none") from None
            if sealed.event.event_type in kinds:
                return sealed


@dataclass(frozen=True, slots=True)
class Chapter:
    """One row of the summary."""

    title: str
    outcome: str
    decision_ms: float | None
    as_expected: bool


class Story:
    """Directs the simulated visitors and plays the attendant."""

    def __init__(self, script: Script, watcher: Watcher, attendant: Client, sheet: ContactSheet) -> None:
        self._script = script
        self._watcher = watcher
        self._attendant = attendant
        self._sheet = sheet
        self.chapters: list[Chapter] = []

    def tell(self) -> bool:
        """Tell the whole story; return whether every chapter ended as it should."""
        self._refused()
        self._approved()
        self._chapter("3. comes back, enrolled", Visit(for_s=4.5), EventType.ACCESS_GRANTED, Reason.OK)
        failed = Reason.LIVENESS_FAILED
        self._chapter("4. a print of the same face", Visit(shows="print"), EventType.ACCESS_DENIED, failed)
        self._chapter("5. the same face on a phone", Visit(shows="phone"), EventType.ACCESS_DENIED, failed)
        self._script.wait_until_empty()
        return all(chapter.as_expected for chapter in self.chapters)

    def _refused(self) -> None:
        title = "1. unknown visitor, attendant refuses"
        asked, ticket = self._ask(title, Visit(for_s=4.5, pause_s=0.3), "no")
        self._attendant.deny(ticket.ticket_id)
        self._close(title, asked, self._watcher.expect(*SETTLED), Reason.OPERATOR_DENIED)

    def _approved(self) -> None:
        title = "2. comes again, attendant approves"
        asked, ticket = self._ask(title, Visit(for_s=6.5), "yes")
        self._attendant.approve(ticket.ticket_id)
        self._close(title, asked, self._watcher.expect(*SETTLED), Reason.OK)
        self._watcher.say("the visitor consents and is enrolled from this visit", "cyan")
        name = {"name": "Visitor", "consent_by": "Visitor", "ticket_id": ticket.ticket_id}
        reply = self._attendant.send("person.add", name)
        if not reply.ok:
            raise RefusedError(f"the visitor was not enrolled: {reply.error}")
        self._watcher.expect(EventType.ENROLLED)

    def _ask(self, title: str, visit: Visit, answer: str) -> tuple[AuditEvent, Ticket]:
        """Return the event and the ticket of a visit that a human is asked about."""
        self._enter(title, visit)
        asked = self._watcher.expect(EventType.APPROVAL_REQUESTED)
        ticket = self._attendant.next_ticket(PATIENCE_S)
        if ticket is None:
            raise RefusedError(f"no ticket reached the attendant within {PATIENCE_S:.0f} s")
        line = f"attendant sees ticket {ticket.ticket_id[:8]} ({ticket.reason}) and answers {answer}"
        self._watcher.say(line, "cyan")
        return asked, ticket

    def _chapter(self, title: str, visit: Visit, kind: EventType, reason: Reason) -> None:
        self._enter(title, visit)
        done = self._watcher.expect(*SETTLED, EventType.APPROVAL_REQUESTED)
        self._close(title, done, done, reason, kind)

    def _enter(self, title: str, visit: Visit) -> None:
        self._script.wait_until_empty()
        self._sheet.begin(title)
        self._watcher.say(title, "bold")
        self._script.play(visit)

    def _close(
        self,
        title: str,
        decided: AuditEvent,
        done: AuditEvent,
        reason: Reason,
        kind: EventType | None = None,
    ) -> None:
        event = done.event
        as_expected = event.reason is reason and kind in {None, event.event_type}
        outcome = f"{event.event_type.value} ({event.reason.value if event.reason else ''})"
        self.chapters.append(Chapter(title, outcome, decided.event.decision_ms, as_expected))


def summary(chapters: list[Chapter]) -> Table:
    """Return the story as a table."""
    table = Table(title="What happened at the door")
    for column in ("visit", "outcome", "first usable frame to decision", "as it should be"):
        table.add_column(column)
    for one in chapters:
        took = f"{one.decision_ms:.0f} ms" if one.decision_ms is not None else "-"
        table.add_row(one.title, one.outcome, took, "yes" if one.as_expected else "NO")
    return table
