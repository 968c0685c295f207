"""The attendant's side: hears tickets, sends signed answers, waits for the door's reply. Never part of the door."""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from appliance.contract import Reason, Topic, is_identifier, topic
from appliance.drivers.mqtt import Connection, Incoming, Message, Pace
from appliance.envelope import sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from appliance.config import MqttSettings

_TTL_S = 20
_MAX_MESSAGE_BYTES = 1024 * 1024
_KEPT = 16  # pictures and outcomes that may still be asked for


@dataclass(frozen=True, slots=True)
class Asked:
    """A ticket as the attendant sees it."""

    ticket_id: str
    presentation_id: str
    reason: Reason
    candidates: tuple[str, ...]  # person ids, most alike first
    liveness: str
    quality: str
    expires_at: datetime  # UTC
    image: bytes | None = field(repr=False)  # JPEG; None where none came

    def seconds_left(self) -> float:
        """Return how long an answer may still take, by this machine's clock; below 0 when it is too late."""
        return (self.expires_at - datetime.now(UTC)).total_seconds()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a ticket ended, whoever answered it."""

    ticket_id: str
    approved: bool
    reason: Reason
    by: str  # client id; "" for nobody


@dataclass(frozen=True, slots=True)
class Reply:
    """What the door says to a command."""

    ok: bool
    error: str  # "" when ok; "no_reply" when the door did not answer in time
    result: Mapping[str, Any]


class AttendantClient:
    """One client of the door `device_id`, with the key that `ostiary client add` made known there.

    Its methods may be called from any thread; the network has a thread of its own.
    """

    def __init__(
        self,
        settings: MqttSettings,
        device_id: str,
        client_id: str,
        key: Ed25519PrivateKey,
        pace: Pace | None = None,
    ) -> None:
        self._device_id = device_id
        self._client_id = client_id
        self._key = key
        self._tickets: queue.Queue[Asked] = queue.Queue(maxsize=_KEPT)
        self._images: OrderedDict[str, bytes] = OrderedDict()  # by SHA-256, newest last
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()
        self._replies: dict[str, queue.Queue[Reply]] = {}  # by the request that waits
        self._lock = threading.Lock()
        self._nonce = 0
        levels = (Topic.APPROVAL_IMAGE, Topic.APPROVAL_REQUEST, Topic.APPROVAL_RESULT)
        self._heard = {topic(device_id, level): level for level in levels}
        self._heard[topic(device_id, Topic.REPLY, client_id)] = Topic.REPLY
        # The appliance's own id is ostiary-<device>; a client must not take its place at the broker.
        name = f"ostiary-client-{client_id}"
        self._connection = Connection(
            settings, name, list(self._heard), self._receive, max_bytes=_MAX_MESSAGE_BYTES, pace=pace
        )

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def connect(self, timeout_s: float = 5.0) -> None:
        """Return when the broker has taken us; later losses are mended in the background.

        Raises BrokerError, one line with what is wrong, after `timeout_s` seconds.
        """
        self._connection.start()
        try:
            self._connection.check(timeout_s)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Leave the broker."""
        self._connection.close()

    def next_ticket(self, timeout_s: float) -> Asked | None:
        """Return the next ticket, oldest first; None when none came within `timeout_s`."""
        try:
            return self._tickets.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def outcome(self, ticket_id: str) -> Outcome | None:
        """Return how the ticket ended; None while it is open, or long forgotten."""
        return self._outcomes.get(ticket_id)

    def answer(self, ticket_id: str, *, approve: bool, timeout_s: float = 5.0) -> Reply:
        """Send a signed answer and return what the door says to it."""
        return self.send("approve" if approve else "deny", {"ticket_id": ticket_id}, timeout_s)

    def send(self, verb: str, args: Mapping[str, Any], timeout_s: float = 5.0) -> Reply:
        """Send a signed command and return the door's reply; error `no_reply` after `timeout_s` seconds.

        Raises ValueError for args that no door takes.
        """
        request_id, place = uuid.uuid4().hex, topic(self._device_id, Topic.CMD, verb)
        box: queue.Queue[Reply] = queue.Queue(maxsize=1)
        with self._lock:
            # By the clock, so that it rises over restarts too; in microseconds it stays below 2**53 until 2255.
            self._nonce = max(self._nonce + 1, time.time_ns() // 1000)
            payload = sign(
                self._key,
                topic=place,
                device_id=self._device_id,
                client_id=self._client_id,
                verb=verb,
                args=args,
                now=time.time(),
                ttl_s=_TTL_S,
                nonce=self._nonce,
                request_id=request_id,
            )
            self._replies[request_id] = box
            self._connection.send(Message(place, payload))
        try:
            return box.get(timeout=timeout_s)
        except queue.Empty:
            return Reply(ok=False, error="no_reply", result={})
        finally:
            with self._lock:
                del self._replies[request_id]

    def _receive(self, incoming: Incoming) -> None:
        level = self._heard.get(incoming.topic)
        if level is None or incoming.retained:  # no ticket, picture or reply is ever retained
            return
        if level is Topic.APPROVAL_IMAGE:
            _keep(self._images, hashlib.sha256(incoming.payload).hexdigest(), incoming.payload)
            return
        try:
            fields = json.loads(incoming.payload)
            if level is Topic.APPROVAL_REQUEST:
                self._tickets.put_nowait(self._ticket(fields))
            elif level is Topic.APPROVAL_RESULT:
                _keep(self._outcomes, fields["ticket_id"], _outcome(fields))
            else:
                self._deliver(fields)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, queue.Full):
            return  # not of this contract, or more than an attendant can answer: it times out at the door

    def _ticket(self, fields: dict[str, Any]) -> Asked:
        if not is_identifier(fields["ticket_id"]):  # it names a file where pictures are saved
            msg = "a ticket id is no identifier"
            raise ValueError(msg)
        image = fields["image"]
        return Asked(
            ticket_id=fields["ticket_id"],
            presentation_id=str(fields["presentation_id"]),
            reason=Reason(fields["reason"]),
            candidates=tuple(str(one) for one in fields["candidates"]),
            liveness=str(fields["liveness"]),
            quality=str(fields["quality"]),
            expires_at=datetime.fromisoformat(fields["expires_at"]).astimezone(UTC),
            image=self._images.get(image["sha256"]) if image else None,
        )

    def _deliver(self, fields: dict[str, Any]) -> None:
        with self._lock:
            box = self._replies.get(fields["request_id"])
        if box is not None:
            box.put_nowait(Reply(fields["ok"] is True, str(fields["error"]), dict(fields["result"])))


def _outcome(fields: dict[str, Any]) -> Outcome:
    return Outcome(str(fields["ticket_id"]), fields["approved"] is True, Reason(fields["reason"]), str(fields["by"]))


def _keep(kept: OrderedDict[str, Any], name: str, value: object) -> None:
    kept[name] = value
    while len(kept) > _KEPT:
        kept.popitem(last=False)
