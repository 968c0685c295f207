"""The board of one attendant: the open tickets with their numbers, what is typed about them, and what comes of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.commands.ticket_words import ended_in_words, refused_in_words, round_of, rung, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ostiary_client import Client, Reply, Ticket

_COMMANDS = {"y": "y", "yes": "y", "n": "n", "no": "n", "a": "a", "again": "a"}
_STAYS_OPEN = {"second_attendant_needed", "storage_fault"}
BELL = "\a"


class Board:
    """Shows each ticket on lines that begin with its number, and asks about the oldest that is open.

    `write` puts text on the screen as it is. `forget_typed` drops what was typed and not yet entered; without it
    nobody types, and nothing is asked.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        folder: Path | None,
        write: Callable[[str], None],
        forget_typed: Callable[[], None] | None,
    ) -> None:
        self._client = client
        self._name = name
        self._folder = folder
        self._write = write
        self._forget_typed = forget_typed
        self._asking = False  # the cursor stands behind a question
        self._numbers: dict[str, int] = {}  # of every ticket so far, by its id
        self._open: dict[str, Ticket] = {}  # by id, oldest first
        self.faults: list[str] = []  # of every ticket that ended: why it was not by what we said; "" where it was

    @property
    def is_open(self) -> bool:
        """Whether any ticket is."""
        return bool(self._open)

    def take(self, ticket: Ticket) -> bool:
        """Show a ticket that came, or came anew; tell whether it can be answered."""
        before = self._open.get(ticket.ticket_id)
        if before is None and ticket.ticket_id in self._numbers:
            return False  # it was sent before it ended
        number = self._numbers.setdefault(ticket.ticket_id, len(self._numbers) + 1)
        self._open[ticket.ticket_id] = ticket
        new = before is None or round_of(before) != round_of(ticket)
        for line in shown(ticket, before, _saved(ticket, self._folder) if new else ""):
            self._say(number, line)
        if self._name in rung(ticket) or not rung(ticket):
            self._write(BELL)
        self._ask()
        return True

    def sweep(self) -> None:
        """Show which tickets others have ended, or time has."""
        for ticket in tuple(self._open.values()):
            outcome = self._client.outcome(ticket.ticket_id)
            if outcome is not None or ticket.seconds_left() <= 0:
                self._end(ticket, f"over: {ended_in_words(outcome)}", ended_in_words(outcome))

    def enter(self, typed: str) -> None:
        """Do what was typed, y, n, a or a text to say, about the oldest ticket or the one whose number comes first."""
        self._asking = False
        ticket, text = self._meant(typed.strip())
        command = _COMMANDS.get(text.lower(), "")
        if ticket is None or (not command and len(text) < 2):  # a slip of the finger is not said
            self._ask()
        elif command in {"y", "n"}:
            self._answer(ticket, approve=command == "y")
        elif command == "a":
            self._tell(ticket, self._client.again(ticket.ticket_id), "the visitor is asked to show themselves again")
        else:
            self._tell(ticket, self._client.say(ticket.ticket_id, text), "the visitor reads that now")

    def _answer(self, ticket: Ticket, *, approve: bool) -> None:
        reply = (self._client.approve if approve else self._client.deny)(ticket.ticket_id)
        if reply.error in _STAYS_OPEN:
            self._tell(ticket, reply, "")
        elif not reply.ok:
            self._end(ticket, refused_in_words(reply), refused_in_words(reply))
        elif approve and reply.result.get("awaits"):
            self._tell(ticket, reply, "noted; somebody else must approve too")
        else:
            self._end(ticket, "the door opens" if approve else "the door stays shut", "")

    def _tell(self, ticket: Ticket, reply: Reply, done: str) -> None:
        self._say(self._numbers[ticket.ticket_id], done if reply.ok else refused_in_words(reply))
        self._ask()

    def _end(self, ticket: Ticket, words: str, fault: str) -> None:
        asked = next(iter(self._open)) == ticket.ticket_id
        del self._open[ticket.ticket_id]
        self.faults.append(fault)
        self._say(self._numbers[ticket.ticket_id], words)
        if (
            asked and self._forget_typed is not None
        ):  # what is half typed was meant for this ticket, and must not answer the next
            self._forget_typed()
        self._ask()

    def _meant(self, typed: str) -> tuple[Ticket | None, str]:
        """Return the ticket that a line is about, None for none, and the rest of the line."""
        first, _, rest = typed.partition(" ")
        for ticket in self._open.values():
            if first == str(self._numbers[ticket.ticket_id]):
                return ticket, rest.strip()
        return (None, "") if first.isdecimal() else (next(iter(self._open.values()), None), typed)

    def _say(self, number: int, line: str) -> None:
        new_line = "\n" if self._asking else ""
        self._write(f"{new_line}[{number}] {line}\n")
        self._asking = False

    def _ask(self) -> None:
        for ticket in self._open.values() if self._forget_typed is not None else ():
            left_s = max(0.0, ticket.seconds_left())
            new_line = "\n" if self._asking else ""
            self._write(f"{new_line}[{self._numbers[ticket.ticket_id]}] let in? y, n, a or text, {left_s:.0f} s left: ")
            self._asking = True
            return


def _saved(ticket: Ticket, folder: Path | None) -> str:
    """Save the picture and return where, or in words why not."""
    if ticket.image is None:
        return "none came with the ticket"
    if folder is None:
        return "not saved; --save-image names a folder for it"
    looked = round_of(ticket)
    path = folder / (f"{ticket.ticket_id}.jpg" if looked == 1 else f"{ticket.ticket_id}-{looked}.jpg")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(ticket.image)
    except OSError as fault:
        return f"cannot be saved to {path}: {fault.strerror}"
    return str(path)
