"""How a new client makes its key known at a door that shows a code."""

from __future__ import annotations

import queue
import time
import uuid
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from appliance.contract import JOIN, Role, Topic, topic
from appliance.drivers.mqtt_connection import Connection, Incoming
from appliance.drivers.mqtt_outbox import Message
from appliance.envelope import sign
from appliance.errors import RefusedError, UsageError
from appliance.pairing import joined_proof, joining_proof, pairing_key, same
from appliance.signing import public_text
from ostiary_client.heard import UNREADABLE, Reply, read_reply

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from appliance.config import MqttSettings

_TTL_S = 60


def join(
    settings: MqttSettings,
    device_id: str,
    client_id: str,
    key: Ed25519PrivateKey,
    code: str,
    *,
    timeout_s: float = 10.0,
) -> Role:
    """Make the key known at the door under this id, with the code that `ostiary client pair` shows there.

    Returns the role that the door gives. Raises RefusedError where it refuses or does not answer, or where the answer
    does not come from the door; UsageError for a code that is none; BrokerError without a broker.
    """
    shared = pairing_key(code, device_id)
    if shared is None:
        raise UsageError("the code is not 12 letters and digits, as ostiary client pair shows it")
    named = {"device_id": device_id, "client_id": client_id, "public_key": public_text(key)}
    args = {"public_key": named["public_key"], "proof": joining_proof(shared, **named)}
    request_id, place, now = uuid.uuid4().hex, topic(device_id, Topic.CMD, JOIN), time.time()
    payload = sign(
        key,
        topic=place,
        device_id=device_id,
        client_id=client_id,
        verb=JOIN,
        args=args,
        now=now,
        ttl_s=_TTL_S,
        nonce=int(now * 1e6),
        request_id=request_id,
    )
    reply = _Asking(settings, device_id, client_id, request_id).ask(Message(place, payload), timeout_s)
    if reply is None:
        raise RefusedError("the door does not answer: no pairing goes on there, or the clocks are over 5 s apart")
    if not reply.ok:
        why = "this is not the code that it shows" if reply.error == "wrong_code" else reply.error
        raise RefusedError(f"the door refuses: {why}")
    role = str(reply.result.get("role"))
    if not same(str(reply.result.get("proof")), joined_proof(shared, role=role, **named)):
        raise RefusedError("the answer is not the door's: somebody at the broker feigns it, and this key is not known")
    return Role(role)


class _Asking:
    """One request, by a client that the door does not know yet."""

    def __init__(self, settings: MqttSettings, device_id: str, client_id: str, request_id: str) -> None:
        self._request_id = request_id
        self._replies: queue.Queue[Reply] = queue.Queue()
        answers = [topic(device_id, Topic.REPLY, client_id)]
        self._connection = Connection(settings, f"ostiary-client-{client_id}", answers, self._receive)

    def ask(self, message: Message, timeout_s: float) -> Reply | None:
        """Send the message and return the reply to it; None where none came in time. Raises BrokerError."""
        with closing(self._connection):
            self._connection.start()
            self._connection.check(timeout_s)
            self._connection.send(message)
            try:
                return self._replies.get(timeout=timeout_s)
            except queue.Empty:
                return None

    def _receive(self, incoming: Incoming) -> None:
        with suppress(*UNREADABLE):
            request_id, reply = read_reply(incoming.payload)
            if request_id == self._request_id:
                self._replies.put(reply)
