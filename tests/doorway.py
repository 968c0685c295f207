"""The part of the service that attendants meet: a link, a desk and a registry, turned by a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.attendant import Approved, Denied, Desk, Refused, Verdict
from appliance.clients import Registry
from appliance.contract import Reason, Topic
from appliance.drivers.mqtt import Incoming, MqttLink
from appliance.envelope import Refusal, open_envelope
from appliance.messages import reply
from appliance.ticket import Ticket, View, result_message, ticket_message
from tests.broker import QUICK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.config import MqttSettings


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

    def ask(self, visit: str, reason: Reason = Reason.UNKNOWN_FACE) -> Ticket:
        """Let somebody stand there whom the machine does not decide about."""
        with self._turns:
            self.present = visit
            ticket = self.desk.open(
                presentation_id=visit,
                reason=reason,
                view=View(("ada", "bob"), "live", "high", (), b"\xff\xd8 " + visit.encode()),
                now_s=time.monotonic(),
                note=lambda _ticket: None,
            )
            self.link.publish(Topic.APPROVAL_IMAGE, ticket.view.crop)
            self.link.publish(Topic.APPROVAL_REQUEST, ticket_message(ticket, "front").json_bytes())
            return ticket

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
