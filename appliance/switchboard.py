"""The switchboard: what goes out over MQTT, and what verified clients ask for, carried out in the loop's thread."""

from __future__ import annotations

import logging
import math
import queue
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.broker_trust import BrokerWatch, Trust
from appliance.clients import Registry
from appliance.contract import JOIN, VERB_ROLES, Topic, topic
from appliance.drivers.mqtt import Incoming, MqttLink
from appliance.envelope import Fault, Refusal, open_envelope
from appliance.errors import RefusedError
from appliance.feed import EventFeed, as_bytes
from appliance.home_assistant import CLIENT_ID as HOME
from appliance.messages import reply
from appliance.pairing_desk import PairingDesk
from appliance.replies import RecentReplies
from appliance.sparing import SparingLog
from appliance.ticket import result_message, ticket_message
from appliance.vitals import BrokerVitals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.commands.options import Installation
    from appliance.contract import Reason
    from appliance.journal import Journal
    from appliance.records import AuditEvent
    from appliance.ticket import Ticket
    from appliance.usecases import UseCases

_log = logging.getLogger(__name__)

WAITING = 256  # commands; what comes on top of that is dropped by the link, and counted
# Seconds after which a message serves nobody: it is not sent late. A ticket's are its own.
_WITHIN_S = {Topic.EVENT: 10.0, Topic.HA_EVENT: 10.0, Topic.APPROVAL_RESULT: 60.0, Topic.REPLY: 60.0}
PER_TURN = 8  # commands carried out between two frames: a flood waits, the door does not


class Inbox(queue.Queue["Incoming"]):
    """What came in and waits for the loop. `ring` is called for the first that waits, not for each of a flood."""

    def __init__(self, most: int, ring: Callable[[], None]) -> None:
        super().__init__(most)
        self._ring = ring

    def put_nowait(self, item: Incoming) -> None:
        """Take the message, or raise queue.Full."""
        super().put_nowait(item)
        if self.qsize() == 1:
            self._ring()


class Switchboard:
    """The reader's connection to people elsewhere; silent where `mqtt.enabled` is false.

    Belongs to the loop's thread, which `ring` calls from the connection's own when something has come in.
    """

    def __init__(self, installation: Installation, ring: Callable[[], None] = lambda: None) -> None:
        settings = installation.settings
        self._device_id = settings.device.id
        self._clients = Registry(installation.clients_file)
        self._replies = RecentReplies()
        self._log = SparingLog(_log)
        self._pairing: PairingDesk | None = None
        self._inbox = Inbox(WAITING, ring)
        self._mqtt, self._feed = None, None
        if settings.mqtt.enabled:
            self._feed = EventFeed(
                installation.open_audit, self._device_id, installation.feed_file, settings.mqtt.backlog
            )
            self._mqtt = MqttLink(settings.mqtt, self._device_id, self._inbox, backlog=self._feed)
        ticket_s = settings.attendant.ticket_s
        self._within_s = {Topic.APPROVAL_IMAGE: ticket_s, Topic.APPROVAL_REQUEST: ticket_s, **_WITHIN_S}
        self._within_s[Topic.HA_IMAGE] = ticket_s
        self._watch = BrokerWatch(settings.mqtt, self._mqtt) if self._mqtt is not None else None
        self.on_ask: Callable[[Ticket], None] = lambda _ticket: None  # hears of every ticket that is shown
        self._hearers: dict[str, Callable[[Incoming], None]] = {}  # by topic, besides commands
        self._commands: Counter[tuple[str, str]] = Counter()  # by verb, and done or refused
        self._refused: Counter[str] = Counter()  # by fault

    def start(self) -> None:
        """Begin to connect; a broker that is not there is tried again for ever."""
        if self._mqtt is not None:
            self._mqtt.start()
        if self._mqtt is not None and self._feed is not None:
            self._feed.start(self._mqtt.wake)
        if self._watch is not None:
            self._watch.start()

    def close(self) -> None:
        """Say goodbye and close."""
        if self._watch is not None:
            self._watch.close()
        if self._mqtt is not None:
            self._mqtt.close()
        if self._feed is not None:
            self._feed.close()
        self._clients.close()

    @property
    def connects(self) -> int:
        """How often the broker was reached; 0 before the first time, and without one."""
        return 0 if self._mqtt is None else self._mqtt.connects

    def vitals(self) -> BrokerVitals | None:
        """Return how the way to the broker is, None where there is none; from any thread."""
        if self._mqtt is None or self._feed is None:
            return None
        return BrokerVitals(
            self._mqtt.connected,
            self._mqtt.connects,
            self._mqtt.dropped,
            self._mqtt.expired,
            self._feed.lag,
            dict(self._commands),
            dict(self._refused),
        )

    @property
    def trust(self) -> Trust:
        """How far what comes over the broker can be believed."""
        return Trust.UNCHECKED if self._watch is None else self._watch.trust

    def news(self) -> tuple[str, ...]:
        """Return what is wrong with the broker and was not returned before, one line each; () for nothing."""
        return () if self._watch is None else self._watch.news()

    def listen(self, topic: str, hear: Callable[[Incoming], None]) -> None:
        """Have `hear` called in the loop's thread with every message of this full topic; before `start`."""
        self._hearers[topic] = hear
        if self._mqtt is not None:
            self._mqtt.listen(topic)

    def pairing(self, journal: Journal) -> PairingDesk:
        """Return the desk at which new clients make themselves known; it is tended here from now on."""

        def tell(client_id: str, payload: bytes) -> None:
            self.publish(Topic.REPLY, payload, leaf=client_id)

        self._pairing = PairingDesk(self._device_id, self._clients, journal, tell if self._mqtt is not None else None)
        self._hearers[topic(self._device_id, Topic.CMD, JOIN)] = self._pairing.hear  # it comes with all commands
        return self._pairing

    def publish(self, level: Topic, payload: str | bytes, *, retained: bool = False, leaf: str = "") -> None:
        """Send, or queue while there is no broker and it is of use; returns at once and never raises."""
        if self._mqtt is not None:
            within_s = self._within_s.get(level, math.inf)
            self._mqtt.publish(level, payload, retained=retained, leaf=leaf, within_s=within_s)

    def publish_at(self, topic: str, payload: str | bytes, *, retained: bool = False) -> None:
        """Send as `publish` does, to a full topic that may lie outside ours."""
        if self._mqtt is not None:
            self._mqtt.publish_at(topic, payload, retained=retained)

    def announce(self, event: AuditEvent) -> None:
        """Tell of an event now, to whoever listens now; the feed brings it to everybody else."""
        self.publish(Topic.EVENT, as_bytes(event))
        if self._feed is not None:
            self._feed.ring()

    def ask(self, ticket: Ticket, *, picture: bool = True) -> None:
        """Show the ticket to the attendants as it stands now, its picture first unless they have that."""
        if ticket.view.crop and picture:
            self.publish(Topic.APPROVAL_IMAGE, ticket.view.crop)
        self.publish(Topic.APPROVAL_REQUEST, ticket_message(ticket, self._device_id).json_bytes())
        self.on_ask(ticket)

    def tell(self, ticket: Ticket, reason: Reason, by: str) -> None:
        """Tell the attendants what became of the ticket."""
        self.publish(Topic.APPROVAL_RESULT, result_message(ticket, reason, by, datetime.now(UTC)).json_bytes())

    def attends(self, client_id: str) -> bool:
        """Tell whether this client may answer tickets as things stand. Raises StorageError."""
        known = self._clients.find(client_id)
        return client_id == HOME or (known is not None and known.role in VERB_ROLES["approve"])

    def serve(self, use_cases: UseCases) -> None:
        """Carry out what has come in, at most `PER_TURN` at a time."""
        if self._pairing is not None:
            self._pairing.tend()
        for _ in range(PER_TURN):
            try:
                incoming = self._inbox.get_nowait()
            except queue.Empty:
                return
            hear = self._hearers.get(incoming.topic)
            if hear is not None:
                hear(incoming)
            else:
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
            self._refuse(incoming, command)
            return

        def answer(result: Mapping[str, Any] | None = None, error: str = "", *, done: bool = True) -> None:
            if done:
                self._commands[command.verb, "refused" if error else "done"] += 1
            payload = reply(command.request_id, error, dict(result or {}), done=done).json_bytes()
            self._replies.note(command.client_id, incoming.payload, payload)
            self.publish(Topic.REPLY, payload, leaf=command.client_id)

        self._replies.note(command.client_id, incoming.payload)
        try:
            use_cases.carry_out(command, answer)
        except RefusedError as refusal:
            answer(error=str(refusal))

    def _refuse(self, incoming: Incoming, refusal: Refusal) -> None:
        """Say why to a client whose signature held; a second copy of what was done gets the first one's reply (D12)."""
        again = self._replies.find(refusal.client_id, incoming.payload) if refusal.why is Fault.REPLAYED else None
        if again is None:
            self._refused[refusal.why.value] += 1
            self._log.warning(f"a command on {incoming.topic} was refused: {refusal.why}")
        if refusal.authentic and again != b"":
            payload = again or reply(refusal.request_id, refusal.why.value).json_bytes()
            self.publish(Topic.REPLY, payload, leaf=refusal.client_id)
