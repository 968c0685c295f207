"""What a broker lets be done: whether it takes whoever comes, and passes on what nobody has a right to.

Each call is one short connection of its own, in the caller's thread, beside the appliance's.
"""

from __future__ import annotations

import random
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from appliance.drivers.mqtt_connection import BROKER_FAULTS, in_words, own_password, tls_context
from appliance.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import ConnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from appliance.config import MqttSettings

_TURN_S = 0.05
_SETTLE_S = 1.0  # after the acknowledgement, for what a broker passes on behind it


def takes(settings: MqttSettings, username: str, password: str, timeout_s: float) -> bool:
    """Tell whether the broker takes a client with this name and password, none for "", and no certificate.

    Raises BrokerError where the broker cannot be reached, is not the one whose certificate we hold, or is silent.
    """
    stranger = settings.model_copy(update={"cert_file": "", "key_file": ""})
    with suppress(_TurnedAway):
        caller = _Caller(stranger, username, password, timeout_s)
        caller.leave()
        return True
    return False


def passes_on(settings: MqttSettings, topic: str, timeout_s: float) -> bool:
    """Tell whether the broker lets us, with our own rights, say and hear something under this topic.

    With MQTT 5 it is enough that it takes what we say. Raises BrokerError where the broker cannot be reached, does
    not take us or is silent.
    """
    caller = _own(settings, timeout_s)
    try:
        return caller.echoes(topic)
    except _TurnedAway:  # some brokers end the connection of whoever says what they may not; or it has died
        _own(settings, timeout_s).leave()
        return False


def _own(settings: MqttSettings, timeout_s: float) -> _Caller:
    try:
        return _Caller(settings, settings.username, own_password(settings) or "", timeout_s)
    except _TurnedAway as refusal:
        raise BrokerError(f"broker {settings.host}:{settings.port} refuses us") from refusal


class _TurnedAway(Exception):  # noqa: N818 - an answer of the broker, not a fault
    """The broker understood, and ended it."""


class _Answers:
    """What the broker said. It does not know the client: paho closes its sockets where nothing refers to it."""

    def __init__(self, client: Client) -> None:
        self.greeted: bool | None = None
        self.subscribed: bool | None = None
        self.taken: bool | None = None
        self.heard = False
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    def _on_connect(
        self, _client: Client, _userdata: object, _flags: ConnectFlags, code: ReasonCode, _properties: object
    ) -> None:
        self.greeted = not code.is_failure

    def _on_subscribe(
        self, _client: Client, _userdata: object, _mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        self.subscribed = not any(code.is_failure for code in codes)

    def _on_publish(self, _client: Client, _userdata: object, _mid: int, code: ReasonCode, _properties: object) -> None:
        self.taken = not code.is_failure

    def _on_message(self, _client: Client, _userdata: object, _message: MQTTMessage) -> None:
        self.heard = True


class _Caller:
    """One connection, greeted by the broker. Raises _TurnedAway and BrokerError, as all of its calls."""

    def __init__(self, settings: MqttSettings, username: str, password: str, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._modern = settings.version == "5"
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            f"ostiary-check-{random.getrandbits(32):08x}",
            clean_session=None if self._modern else True,
            protocol=MQTTv5 if self._modern else MQTTv311,
            reconnect_on_failure=False,
        )
        self._answers = _Answers(self._client)
        self._client.connect_timeout = timeout_s
        if username:
            self._client.username_pw_set(username, password)
        if (context := tls_context(settings)) is not None:
            self._client.tls_set_context(context)
        self._greet()

    def leave(self) -> None:
        """End the connection."""
        with suppress(*BROKER_FAULTS):  # what was to be known is known
            self._client.disconnect()
            self._client.loop(_TURN_S)

    def echoes(self, topic: str) -> bool:
        """Tell whether what is said under this topic is taken, and end the connection."""
        answers = self._answers
        self._client.subscribe(topic, 1)
        self._until(lambda: answers.subscribed is not None)
        self._client.publish(topic, b"{}", qos=1)
        self._until(lambda: answers.taken is not None)
        end_s = time.monotonic() + _SETTLE_S
        undecided = answers.taken is True and not self._modern  # MQTT 3.1.1 acknowledges what it throws away
        while undecided and not answers.heard and time.monotonic() < end_s:
            self._turn()
        self.leave()
        return answers.heard or (self._modern and answers.taken is True)

    def _greet(self) -> None:
        try:
            self._client.connect(self._settings.host, self._settings.port, keepalive=60)
        except ssl.SSLCertVerificationError as fault:
            raise self._fault(in_words(fault)) from fault
        except ssl.SSLError as fault:  # it wants a certificate of us
            raise _TurnedAway from fault
        except BROKER_FAULTS as fault:
            raise self._fault(in_words(fault)) from fault
        self._until(lambda: self._answers.greeted is not None)
        if not self._answers.greeted:
            raise _TurnedAway

    def _until(self, come: Callable[[], bool]) -> None:
        end_s = time.monotonic() + self._timeout_s
        while not come():
            if time.monotonic() >= end_s:
                raise self._fault(f"does not answer within {self._timeout_s:g} s")
            self._turn()

    def _turn(self) -> None:
        try:
            lost = self._client.loop(_TURN_S) != MQTT_ERR_SUCCESS
        except BROKER_FAULTS as fault:
            raise _TurnedAway from fault
        if lost:
            raise _TurnedAway

    def _fault(self, why: str) -> BrokerError:
        return BrokerError(f"broker {self._settings.host}:{self._settings.port} {why}")
