"""One client's place at a broker, held by a thread of its own that outlives every fault of the broker.

paho is run from our own loop and made anew for each connection: its own thread would end for good at anything
that it does not expect of a broker, and its `publish` takes locks that this thread holds.
"""

from __future__ import annotations

import logging
import math
import random
import select
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paho.mqtt import MQTTException
from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.contract import MAX_COMMAND_BYTES
from appliance.drivers.mqtt_outbox import Message, Outbox
from appliance.errors import BrokerError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.client import ConnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from appliance.config import MqttSettings
    from appliance.drivers.mqtt_outbox import Backlog

_log = logging.getLogger(__name__)

# What a broker, or what pretends to be one, can make paho and the socket raise.
BROKER_FAULTS = (OSError, ValueError, IndexError, KeyError, struct.error, MQTTException)
_WINDOW = 16  # messages on the way and not acknowledged; a broker of MQTT 5 allows at least 20 unless told otherwise
_BEHIND = 8  # of them from the backlog, so that a ticket always finds room
_OVERHEAD_BYTES = 64  # of a packet, besides topic and payload
_TURN_S = 0.5
_REFUSED = "refuses"
_REMEMBERED = 64  # topics that the broker refused us
_LINGER_S = 1.0  # a clean stop waits this long for the last acknowledgements
# 500 messages a second are taken, a flood waits at the broker: 10,000 a second, read as they came, made a frame take
# two to four times as long, because this thread and the loop share one interpreter (D13).
_WINDOW_S, _MOST = 0.02, 10
_PIECE_BYTES = 64 * 1024
_STEADY_S = 10.0  # a connection that held this long starts the next row of attempts afresh


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as it arrived, unread."""

    topic: str
    payload: bytes
    retained: bool  # kept by the broker: it was not said now


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a connection is, in seconds."""

    first_s: float = 0.5  # before the second attempt; doubles up to `most_s`
    most_s: float = 30.0
    keepalive_s: int = 10  # a broker that is silent for twice this long is left
    connect_s: float = 5.0  # for TCP and TLS, and again for the greeting


class Connection:
    """One client at the broker in `settings`: connects, subscribes, and comes back after every loss.

    `on_message` is called in the connection's thread and must neither block nor raise. Raises ConfigError for
    settings that cannot work; once started, it raises only where `check` is asked. What is in `backlog` is sent behind
    everything else; whoever fills it calls `wake`.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        subscribe: Sequence[str],
        on_message: Callable[[Incoming], None],
        *,
        will: Message | None = None,
        backlog: Backlog | None = None,
        max_bytes: int = 2 * MAX_COMMAND_BYTES,
        pace: Pace | None = None,
    ) -> None:
        self._settings = settings
        self._modern = settings.version == "5"
        self._client_id = client_id
        self._subscribe = [(one, 1) for one in subscribe]
        self._needed = len(self._subscribe)  # of them; without one that was added later we can do
        self._on_message = on_message
        self._will = will
        self._backlog = backlog
        self._behind: dict[int, str | None] = {}  # sent from the backlog, in order, with the answer where there is one
        self._most_bytes = math.inf  # of a packet that the broker takes
        self._max_bytes = max_bytes
        self._pace = pace or Pace()
        self._password = own_password(settings)
        self._tls = tls_context(settings)
        self._outbox = Outbox()
        self._waiting: dict[int, Message] = {}  # sent and not acknowledged, by message id
        self._connected = threading.Event()
        self._stopping = threading.Event()
        self._refused: dict[str, str] = {}  # why, by topic
        self._failure = ""
        self._too_large = 0
        self.connects = 0
        self._window_s, self._arrived = 0.0, 0
        self._bell, self._rope = socket.socketpair()
        for end in (self._bell, self._rope):
            end.setblocking(False)  # noqa: FBT003 - the standard library takes it by place
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{client_id}", daemon=True)

    def hear(self, topic: str) -> None:
        """Subscribe to this topic too, if the broker lets us; before `start`."""
        self._subscribe.append((topic, 1))

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._thread.start()

    def close(self) -> None:
        """Send what is left, say goodbye and end the thread; waits a few seconds at most."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(_LINGER_S + 2.0)
        if not self._thread.is_alive():  # else it hangs in a name lookup, and dies with the process
            self._bell.close()
            self._rope.close()

    @property
    def connected(self) -> bool:
        """Whether the broker has taken us and every subscription."""
        return self._connected.is_set()

    @property
    def dropped(self) -> int:
        """Messages given up because they were too large, or too many."""
        return self._outbox.dropped + self._too_large

    @property
    def expired(self) -> int:
        """Messages not sent because nobody would have been served by them any more."""
        return self._outbox.expired

    def refused(self, topic: str) -> str:
        """Return why the broker took nothing of ours on this topic; "" where it did, or cannot say so (3.1.1)."""
        return self._refused.get(topic, "")

    def check(self, timeout_s: float) -> None:
        """Return once connected.

        Raises BrokerError, one line with what is wrong: at once when the broker refuses us, else after `timeout_s`.
        """
        until_s = time.monotonic() + timeout_s
        while not self._connected.wait(0.02):
            if self._failure.startswith(_REFUSED) or time.monotonic() >= until_s:
                reason = self._failure or f"does not answer within {timeout_s:g} s"
                raise BrokerError(f"broker {self._settings.host}:{self._settings.port} {reason}")

    def send(self, message: Message) -> None:
        """Take the message and return at once, whatever the broker does."""
        self._outbox.put(message)
        self.wake()

    def wake(self) -> None:
        """Have the connection look for what there is to send; from any thread, and returns at once."""
        with suppress(OSError):  # full: it rings already; closed: nobody listens any more
            self._rope.send(b"\0")

    def _run(self) -> None:
        delay_s = self._pace.first_s
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self._attempt()
            steady = time.monotonic() - began_s > _STEADY_S and self.connects
            delay_s = self._pace.first_s if steady else delay_s
            # Spread, because after a power cut every door of a house comes back at the same time.
            self._stopping.wait(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            delay_s = min(self._pace.most_s, delay_s * 2)

    def _attempt(self) -> None:
        """Hold one connection for as long as it lasts."""
        client = self._client()
        before, self._failure = self._failure, ""
        held: Any = None
        try:
            client.connect(self._settings.host, self._settings.port, self._pace.keepalive_s, **self._terms())
            held = client.socket()
            # Nagle keeps a second message back until the first is acknowledged, which takes the other end 40 ms.
            if held is not None:  # paho has closed it where the other end hung up at our greeting
                held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve(client)
        except BROKER_FAULTS as fault:
            self._failure = in_words(fault)
        finally:
            self._lost(before)
            if held is not None:
                held.close()

    def _lost(self, before: str) -> None:
        was, reason = self.connected, self._failure or "closed the connection"
        if not was:  # so ends who is not greeted: with TLS 1.3, for one, a client without the right certificate
            self._failure = reason
        self._connected.clear()
        self._outbox.give_back(self._waiting.values())
        self._waiting.clear()
        if self._backlog is not None:
            self._behind.clear()
            self._backlog.lost()
        if not self._stopping.is_set() and (was or self._failure != before):
            _log.warning("broker %s:%d %s", self._settings.host, self._settings.port, reason)

    def _client(self) -> Client:
        client = _FrugalClient(
            self._max_bytes,
            CallbackAPIVersion.VERSION2,
            self._client_id,
            clean_session=None if self._modern else True,
            protocol=MQTTv5 if self._modern else MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._pace.connect_s
        if self._settings.username:
            client.username_pw_set(self._settings.username, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=self._will.retained)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_arrival
        return client

    def _terms(self) -> dict[str, Any]:
        if not self._modern:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = self._max_bytes  # the broker keeps larger ones from us (D6)
        return {"clean_start": True, "properties": properties}

    def _serve(self, client: Client) -> None:
        greeting_s = time.monotonic() + self._pace.connect_s
        linger_s = float("inf")
        while self._turn(client):
            now_s = time.monotonic()
            self._hold_back(now_s)
            if not self.connected and now_s > greeting_s:
                raise TimeoutError(f"does not greet within {self._pace.connect_s:g} s")
            if self._stopping.is_set():
                linger_s = min(linger_s, now_s + _LINGER_S)
                if now_s >= linger_s or not self.connected or not (self._unsettled or self._outbox):
                    client.disconnect()
                    client.loop_write()
                    return

    def _hold_back(self, now_s: float) -> None:
        """Wait for the next window where this one has brought its fill."""
        left_s = self._window_s + _WINDOW_S - now_s
        if left_s <= 0:
            self._window_s, self._arrived = now_s, 0
        elif self._arrived >= _MOST:
            time.sleep(left_s)

    def _turn(self, client: Client) -> bool:
        """Send and receive what there is, or wait for it a moment; False when the connection is over."""
        held: Any = client.socket()
        if held is None:
            return False
        self._send_some(client)
        pending = isinstance(held, ssl.SSLSocket) and held.pending() > 0  # decrypted already: select cannot see it
        idle = not pending and (self._unsettled or not self._stopping.is_set())
        writers = [held] if client.want_write() else []
        wait_s = min(_TURN_S, self._pace.connect_s) if idle else 0
        readable, writable, _ = select.select([held, self._bell], writers, [], wait_s)
        if self._bell in readable:
            with suppress(BlockingIOError):
                self._bell.recv(4096)
        if pending or held in readable:
            client.loop_read()
        if held in writable:
            client.loop_write()
        client.loop_misc()
        return client.socket() is not None

    @property
    def _unsettled(self) -> int:
        return len(self._waiting) + len(self._behind)

    def _send_some(self, client: Client) -> None:
        while self.connected and self._unsettled < _WINDOW and (message := self._outbox.take()):
            if len(message.topic) + len(message.payload) + _OVERHEAD_BYTES > self._most_bytes:
                self._too_large += 1  # the broker would close the connection, and again for ever
            else:
                self._waiting[self._publish(client, message)] = message
        if self._backlog is None or self._stopping.is_set():
            return
        while self.connected and len(self._behind) < min(_BEHIND, _WINDOW - len(self._waiting)):
            if (message := self._backlog.take()) is None:
                return
            self._behind[self._publish(client, message)] = None

    def _publish(self, client: Client, message: Message) -> int:
        terms = None
        if self._modern and message.until_s < math.inf:
            terms = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            terms.MessageExpiryInterval = max(1, math.ceil(message.until_s - time.monotonic()))
        return client.publish(message.topic, message.payload, qos=1, retain=message.retained, properties=terms).mid

    def _on_connect(
        self, client: Client, _userdata: object, _flags: ConnectFlags, code: ReasonCode, terms: Properties | None
    ) -> None:
        self._most_bytes = getattr(terms, "MaximumPacketSize", math.inf)
        if code.is_failure:
            self._failure = f"{_REFUSED} us: {code}"
        elif self._subscribe:
            client.subscribe(self._subscribe)
        else:
            self._ready()

    def _on_subscribe(
        self, client: Client, _userdata: object, _mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        refused = [number for number, code in enumerate(codes) if code.is_failure]
        if refused and refused[0] < self._needed:
            self._failure = f"{_REFUSED} our subscription: {codes[refused[0]]}"
            client.disconnect()
            return
        for number in refused:
            topic, _ = self._subscribe[number]
            _log.warning("broker %s:%d does not let us hear %s", self._settings.host, self._settings.port, topic)
        self._ready()

    def _ready(self) -> None:
        self.connects += 1
        self._outbox.state_again()
        self._connected.set()
        _log.info("connected to broker %s:%d", self._settings.host, self._settings.port)

    def _on_publish(self, _client: Client, _userdata: object, mid: int, code: ReasonCode, _properties: object) -> None:
        message = self._waiting.pop(mid, None)
        if message is not None and code.is_failure:
            self._refused[message.topic] = str(code)
            if len(self._refused) > _REMEMBERED:
                del self._refused[next(iter(self._refused))]
        if self._backlog is None or mid not in self._behind:
            return
        self._behind[mid] = str(code) if code.is_failure else ""
        while self._behind and (answer := next(iter(self._behind.values()))) is not None:
            del self._behind[next(iter(self._behind))]
            self._backlog.settled(answer)

    def _on_arrival(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._arrived += 1
        with suppress(UnicodeDecodeError):  # a topic that is no text is none of ours
            self._on_message(Incoming(message.topic, bytes(message.payload), bool(message.retain)))


def check_broker(settings: MqttSettings, timeout_s: float) -> None:
    """Return when the broker takes us; under an id of its own, so that a running appliance is not disturbed.

    Raises BrokerError, one line with what is wrong, after `timeout_s` seconds at the latest, and ConfigError.
    """
    connection = Connection(settings, f"ostiary-check-{random.getrandbits(32):08x}", [], lambda _: None)
    connection.start()
    try:
        connection.check(timeout_s)
    finally:
        connection.close()


class _FrugalClient(Client):
    """A client that keeps no more than the beginning of a message over `max_bytes`.

    Where a broker sends it, as one of MQTT 3.1.1 must, 256 MB took paho 2.2 810 MB of memory. What is left of it
    is longer than any payload that is read: its topic is heard, so that it can be counted and cleared.
    """

    def __init__(self, max_bytes: int, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - paho's own
        super().__init__(*args, **settings)
        self._most = max_bytes

    def _sock_recv(self, bufsize: int) -> bytes:
        del self._in_packet["packet"][self._most :]
        return super()._sock_recv(min(bufsize, _PIECE_BYTES))


class _TidySocket(ssl.SSLSocket):
    """A socket that closes where the handshake fails; paho forgets it open there (seen with 2.2)."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def own_password(settings: MqttSettings) -> str | None:
    """Return what is in the password file; None for none. Raises ConfigError."""
    if not settings.password_file:
        return None
    try:
        return Path(settings.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"mqtt.password_file {settings.password_file} cannot be read: {in_words(fault)}") from fault


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Return what a broker's certificate is checked with, and ours; None for plaintext, which is never a fallback.

    Raises ConfigError for files that cannot be used, and for settings that speak of TLS and do without.
    """
    for key, value in (("ca_file", settings.ca_file), ("cert_file", settings.cert_file)):
        if value and not settings.tls:
            raise ConfigError(f"mqtt.{key} is {value!r} but mqtt.tls is false; set it to true")
    if bool(settings.cert_file) != bool(settings.key_file):
        missing = "key_file" if settings.cert_file else "cert_file"
        raise ConfigError(f"mqtt.{missing} is missing; a certificate and its key come together")
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as fault:
        raise ConfigError(f"mqtt.ca_file {settings.ca_file} cannot be used: {in_words(fault)}") from fault
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _TidySocket
    if settings.cert_file:
        _present(context, settings)
    return context


def _present(context: ssl.SSLContext, settings: MqttSettings) -> None:
    """Have the context show our own certificate."""

    def refuse() -> str:  # OpenSSL would ask at the terminal, and wait
        raise ConfigError(f"mqtt.key_file {settings.key_file} is under a passphrase; nobody is there to enter it")

    try:
        context.load_cert_chain(settings.cert_file, settings.key_file, refuse)
    except OSError as fault:  # also ssl.SSLError: no PEM, or the key of another certificate
        why = f"mqtt.cert_file {settings.cert_file} and mqtt.key_file {settings.key_file} cannot be used together"
        raise ConfigError(f"{why}: {fault.strerror or fault}") from fault


def in_words(fault: BaseException) -> str:
    """Return what a broker did that made this fault: what comes after `broker HOST:PORT` in a line."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"has a certificate that does not hold: {fault.verify_message}"
    if isinstance(fault, TimeoutError) and fault.args and fault.errno is None:
        return str(fault)
    if isinstance(fault, OSError):
        return f"cannot be reached: {fault.strerror or fault}"
    return f"does not speak MQTT: {fault}"
