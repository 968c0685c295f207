"""How far the broker can be trusted: whom it takes, what it passes on, and who else uses our place there.

Nothing at the door rests on it but the orders of Home Assistant, which are not signed: those need a broker that is
known to keep others away from their topics. Signed commands are safe with any broker.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import secrets
import socket
import threading
import time
from collections import deque
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from appliance.contract import Topic
from appliance.contract import topic as topic_of
from appliance.drivers.mqtt_probe import passes_on, takes
from appliance.errors import BrokerError, ConfigError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.config import MqttSettings

_log = logging.getLogger(__name__)

_POLL_S = 0.2
_EVERY_S = 3600.0  # a broker that goes on running may be given another configuration
_AGAIN_S = 60.0  # after a check that could not be finished
_APART_S = 10.0  # between two checks, however often we are thrown out
_TIMEOUT_S = 5.0  # for each answer of the broker
_FEW = 5  # connections in `_WINDOW_S` that bad weather explains; more means that somebody else uses our client id
_WINDOW_S = 60.0


class Trust(StrEnum):
    """What the check found, worst first; only `good` is good."""

    UNCHECKED = "unchecked"  # not yet, or not since we connected, or it could not be finished
    OPEN_TO_ANYBODY = "open_to_anybody"
    NO_ACCESS_CONTROL = "no_access_control"
    PLAINTEXT = "plaintext"
    GOOD = "good"


WORDS: Mapping[Trust, str] = MappingProxyType(
    {
        Trust.UNCHECKED: "could not be checked yet",
        Trust.OPEN_TO_ANYBODY: "takes clients without a right password or certificate",
        Trust.NO_ACCESS_CONTROL: "lets its users say and hear topics of others: it has no access list",
        Trust.PLAINTEXT: "is another machine and is spoken to without TLS: passwords pass in the clear",
        Trust.GOOD: "takes nobody unknown and keeps its users apart",
    }
)


class Link(Protocol):
    """Our place at the broker."""

    @property
    def connected(self) -> bool:
        """Whether the broker hears us."""

    @property
    def connects(self) -> int:
        """How often it was reached."""


def judge(settings: MqttSettings, timeout_s: float = _TIMEOUT_S) -> Trust:
    """Return how far the broker can be trusted, never `unchecked`; takes a second or two.

    Raises BrokerError where it cannot be reached, does not take us, or is silent, and ConfigError.
    """
    nobody = secrets.token_hex(8)
    if takes(settings, "", "", timeout_s) or takes(settings, f"check-{nobody}", secrets.token_urlsafe(), timeout_s):
        return Trust.OPEN_TO_ANYBODY
    # A door that nobody has: a right to it is a right to every door, and to what Home Assistant orders there.
    if passes_on(settings, topic_of(f"check-{nobody}", Topic.HA_LOCK), timeout_s):
        return Trust.NO_ACCESS_CONTROL
    return Trust.GOOD if settings.tls or on_this_machine(settings.host) else Trust.PLAINTEXT


def checked(settings: MqttSettings) -> str:
    """Return in words that the broker is good. Raises RefusedError where it is not, and as `judge`."""
    found = judge(settings)
    line = f"broker {settings.host}:{settings.port} {WORDS[found]}"
    if found is not Trust.GOOD:
        raise RefusedError(line)
    return line


def on_this_machine(host: str) -> bool:
    """Tell whether every address of the host is a loopback address; False where it has none."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found)


class BrokerWatch:
    """Checks the broker in a thread of its own: after each connection, and every hour.

    `trust` may be asked from any thread, `news` from one; neither waits.
    """

    def __init__(
        self,
        settings: MqttSettings,
        link: Link,
        check: Callable[[MqttSettings], Trust] = judge,
        apart_s: float = _APART_S,
    ) -> None:
        self._settings = settings
        self._link = link
        self._check = check
        self._apart_s = apart_s
        self._found = (0, Trust.UNCHECKED)  # at which connection, and what
        self._checked_s = -math.inf
        self._wait_s = 0.0
        self._reached: deque[float] = deque(maxlen=_FEW + 1)  # when the newest connections were seen
        self._told = Trust.GOOD
        self._told_contested = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broker-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """End; a check that is under way ends by itself, or with the process."""
        self._stopping.set()

    @property
    def trust(self) -> Trust:
        """What is known of the broker that we are connected to now."""
        connects, found = self._found
        return found if self._link.connected and connects == self._link.connects else Trust.UNCHECKED

    @property
    def contested(self) -> bool:
        """Whether we were connected so often of late that somebody else must be using our client id (D9)."""
        reached = tuple(self._reached)
        return len(reached) > _FEW and time.monotonic() - reached[0] < _WINDOW_S

    def news(self) -> tuple[str, ...]:
        """Return what is wrong with the broker and was not returned before, one line each; () for nothing."""
        lines, found, contested = list[str](), self.trust, self.contested
        if found not in {Trust.UNCHECKED, self._told}:
            self._told = found
            if found is not Trust.GOOD:
                lines.append(self._line(WORDS[found]))
        if contested and not self._told_contested:
            lines.append(self._line(f"was reached {_FEW + 1} times in a minute: another client may use our id there"))
        self._told_contested = contested
        return tuple(lines)

    def _run(self) -> None:
        seen = 0
        while not self._stopping.wait(_POLL_S):
            connects, now_s = self._link.connects, time.monotonic()
            self._reached.extend([now_s] * min(connects - seen, _FEW + 1))
            seen = connects
            wait_s = self._apart_s if connects != self._found[0] else self._wait_s
            if self._link.connected and now_s - self._checked_s >= wait_s:
                self._look(connects)

    def _look(self, connects: int) -> None:
        before = self._found[1]
        try:
            found, self._wait_s = self._check(self._settings), _EVERY_S
        except (BrokerError, ConfigError) as fault:  # also a password file that has gone since the start
            _log.warning("the broker could not be checked: %s", fault)
            found, self._wait_s = Trust.UNCHECKED, _AGAIN_S
        self._checked_s = time.monotonic()
        # Some brokers give each user one place, so that our check takes that of the link: what it found holds for the
        # next connection then, or each would cost us the next.
        lost = not self._link.connected or self._link.connects != connects
        self._found = (connects + lost, found)
        if found is not before and found is not Trust.UNCHECKED:
            _log.log(logging.INFO if found is Trust.GOOD else logging.WARNING, "%s", self._line(WORDS[found]))

    def _line(self, words: str) -> str:
        return f"broker {self._settings.host}:{self._settings.port} {words}"
