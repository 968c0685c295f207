"""The switchboard: what goes out over MQTT, and what verified clients ask for, carried out in the loop's thread."""

from __future__ import annotations

import json
import logging
import queue
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.attendant import reply_payload, result_payload, ticket_payload
from appliance.clients import Registry
from appliance.contract import Topic
from appliance.drivers.mqtt import Incoming, MqttLink
from appliance.envelope import Refusal, open_envelope
from appliance.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.attendant import Ticket
    from appliance.commands.options import Installation
    from appliance.contract import Reason
    from appliance.usecases import UseCases

_log = logging.getLogger(__name__)

WAITING = 256  # commands; what comes on top of that is dropped by the link, and counted
PER_TURN = 8  # commands carried out between two frames: a flood waits, the door does not


class Switchboard:
    """The reader's connection to people elsewhere; silent where `mqtt.enabled` is false.

    Belongs to the loop's thread.
    """

    def __init__(self, installation: Installation) -> None:
        settings = installation.settings
        self._device_id = settings.device.id
        self._clients = Registry(installation.clients_file)
        self._inbox: queue.Queue[Incoming] = queue.Queue(WAITING)
        self._mqtt = MqttLink(settings.mqtt, self._device_id, self._inbox) if settings.mqtt.enabled else None

    def start(self) -> None:
        """Begin to connect; a broker that is not there is tried again for ever."""
        if self._mqtt is not None:
            self._mqtt.start()

    def close(self) -> None:
        """Say goodbye and close."""
        if self._mqtt is not None:
            self._mqtt.close()
        self._clients.close()

    def publish(self, level: Topic, payload: str | bytes, *, retained: bool = False, leaf: str = "") -> None:
        """Send, or queue while there is no broker; returns at once and never raises."""
        if self._mqtt is not None:
            self._mqtt.publish(level, payload, retained=retained, leaf=leaf)

    def ask(self, ticket: Ticket) -> None:
        """Show the ticket to the attendants, its picture first."""
        if ticket.crop:
            self.publish(Topic.APPROVAL_IMAGE, ticket.crop)
        self.publish(Topic.APPROVAL_REQUEST, json.dumps(ticket_payload(ticket, self._device_id)))

    def tell(self, ticket: Ticket, reason: Reason, by: str) -> None:
        """Tell the attendants what became of the ticket."""
        self.publish(Topic.APPROVAL_RESULT, json.dumps(result_payload(ticket, reason, by, datetime.now(UTC))))

    def serve(self, use_cases: UseCases) -> None:
        """Carry out what has come in, at most `PER_TURN` at a time."""
        for _ in range(PER_TURN):
            try:
                incoming = self._inbox.get_nowait()
            except queue.Empty:
                return
            self._carry_out(incoming, use_cases)

    def _carry_out(self, incoming: Incoming, use_cases: UseCases) -> None:
        command = open_envelope(
            incoming.payload,
            topic=incoming.topic,
            device_id=self._device_id,
            retained=incoming.retained,
            now=time.time(),
            keys=self._clients.find,
            nonces=self._clients,
        )
        if isinstance(command, Refusal):
            _log.warning("a command on %s was refused: %s", incoming.topic, command.why)
            if command.authentic:
                self._reply(command.client_id, command.request_id, command.why.value)
            return
        try:
            error, result = "", use_cases.carry_out(command)
        except RefusedError as refusal:
            error, result = str(refusal), {}
        self._reply(command.client_id, command.request_id, error, result)

    def _reply(self, client_id: str, request_id: str, error: str, result: Mapping[str, Any] | None = None) -> None:
        payload = reply_payload(request_id, error, dict(result or {}))
        self.publish(Topic.REPLY, json.dumps(payload), leaf=client_id)
