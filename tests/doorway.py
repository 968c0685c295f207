"""The part of the service that attendants meet: a link, a desk and a registry, turned by a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.attendant import Approved, Denied, Desk, Refused, Verdict
from appliance.clients import Registry
from appliance.contract import Reason, Topic
from appliance.drivers.mqtt import Incoming, MqttLink
from appliance.envelope import Refusal, open_envelope
from appliance.messages import reply
from appliance.records import Flaw
from appliance.ticket import Ticket, View, result_message, ticket_message, ticket_state
from tests.broker import QUICK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.config import MqttSettings
    from appliance.envelope import Command


class Doorway:
    """Answers commands as the service does, and keeps what it decided."""

    def __init__(self, settings: MqttSettings, clients_file: Path, ticket_s: float) -> None:
        self.inbox: queue.Queue[Incoming] = queue.Queue(maxsize=64)
        self.link = MqttLink(settings, "front", self.inbox, QUICK)
        self.desk = Desk(ticket_s)
        self.clients_file = clients_file
        self.present: str | None = None
        self.verdicts: list[Verdict] = []
        self.refusals: list[Refusal] = []
        self._turns = threading.Lock()
        self._stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="doorway")

    def ask(self, visit: str, reason: Reason = Reason.UNKNOWN_FACE, approvals: int = 1) -> Ticket:
        """Let somebody stand there whom the machine does not decide about."""
        with self._turns:
            self.present = visit
            ticket = self.desk.open(
                presentation_id=visit,
                reason=reason,
                view=View(("ada", "bob"), "live", "high", (), b"\xff\xd8 " + visit.encode()),
                now_s=time.monotonic(),
                note=lambda _ticket: None,
                approvals=approvals,
            )
            self._show(ticket)
            return ticket

    def show_again(self, ticket: Ticket) -> None:
        """Let the visitor of a ticket be seen anew."""
        with self._turns:
            view = replace(ticket.view, flaws=(Flaw.BLUR,), quality="medium", crop=b"\xff\xd8 again")
            anew = self.desk.show(ticket.ticket_id, view, now_s=time.monotonic(), note=lambda _ticket: None)
            assert isinstance(anew, Ticket)
            self._show(anew)

    def _run(self) -> None:
        with Registry(self.clients_file) as registry:
            while not self._stopping.is_set():
                try:
                    incoming = self.inbox.get(timeout=0.05)
                except queue.Empty:
                    incoming = None
                with self._turns:
                    if incoming is not None:
                        self._command(incoming, registry)
                    while (ticket := self.desk.expire(time.monotonic(), lambda _ticket: None)) is not None:
                        self._result(ticket, Reason.OPERATOR_TIMEOUT, "")

    def _command(self, incoming: Incoming, registry: Registry) -> None:
        command = open_envelope(
            incoming.payload,
            topic=incoming.topic,
            device_id="front",
            retained=incoming.retained,
            now=time.time(),
            keys=registry.find,
            nonces=registry,
        )
        if isinstance(command, Refusal):
            self.refusals.append(command)
            if command.authentic:
                self._reply(command.client_id, command.request_id, command.why)
            return
        if command.verb == "status":
            self._reply(command.client_id, command.request_id, "")
            return
        if command.verb in {"again", "say"}:
            self._reply(command.client_id, command.request_id, self._besides(command))
            return
        verdict = self.desk.answer(
            str(command.args.get("ticket_id", "")),
            command.client_id,
            approve=command.verb == "approve",
            now_s=time.monotonic(),
            present=self.present,
            note=lambda _verdict: None,
        )
        self.verdicts.append(verdict)
        if isinstance(verdict, Approved | Denied):
            reason = Reason.OK if isinstance(verdict, Approved) else Reason.OPERATOR_DENIED
            self._result(verdict.ticket, reason, command.client_id)
            self._reply(command.client_id, command.request_id, "")
        elif isinstance(verdict, Refused):
            self._reply(command.client_id, command.request_id, verdict.why)
        else:
            self._show(verdict.ticket)
            state = ticket_state(verdict.ticket).model_dump(mode="json")
            self.link.publish(Topic.REPLY, reply(command.request_id, result=state).json_bytes(), leaf=command.client_id)

    def _besides(self, command: Command) -> str:
        """Ask again, or say something; return why not, "" where it was done."""
        ticket_id, now_s = str(command.args["ticket_id"]), time.monotonic()
        if command.verb == "say":
            done = self.desk.say(ticket_id, str(command.args["text"]), now_s=now_s, note=lambda _ticket: None)
        else:
            done = self.desk.again(ticket_id, now_s=now_s, present=self.present, note=lambda _ticket: None)
        return done.why if isinstance(done, Refused) else ""

    def _show(self, ticket: Ticket) -> None:
        self.link.publish(Topic.APPROVAL_IMAGE, ticket.view.crop)
        self.link.publish(Topic.APPROVAL_REQUEST, ticket_message(ticket, "front").json_bytes())

    def _result(self, ticket: Ticket, reason: Reason, by: str) -> None:
        self.link.publish(Topic.APPROVAL_RESULT, result_message(ticket, reason, by, datetime.now(UTC)).json_bytes())

    def _reply(self, client_id: str, request_id: str, error: str) -> None:
        self.link.publish(Topic.REPLY, reply(request_id, error).json_bytes(), leaf=client_id)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.thread.join(5)


@contextmanager
def doorway(settings: MqttSettings, clients_file: Path, ticket_s: float = 10.0) -> Iterator[Doorway]:
    """Give a connected doorway `front`."""
    door = Doorway(settings, clients_file, ticket_s)
    with door.link:
        door.link.check(5)
        door.thread.start()
        try:
            yield door
        finally:
            door.stop()
