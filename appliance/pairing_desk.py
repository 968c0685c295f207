"""The pairing window at the door: open for one client, a few minutes and three wrong codes at most."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.contract import EventType, Role
from appliance.envelope import Joining, open_joining
from appliance.errors import ApplianceError, RefusedError
from appliance.messages import reply
from appliance.pairing import joined_proof, joining_proof, same
from appliance.records import Actor, ActorKind, Event
from appliance.signing import fingerprint, public_key_text
from appliance.sparing import SparingLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.clients import Registry
    from appliance.drivers.mqtt import Incoming
    from appliance.journal import Journal
    from appliance.local_socket import Caller

_log = logging.getLogger(__name__)

TRIES = 3
MIN_S, MAX_S = 10, 900


class Pair(BaseModel):
    """Asks a running reader to let one client in that shows it knows a code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verb: Literal["client.pair"] = "client.pair"
    role: Role
    for_s: Annotated[float, Field(ge=MIN_S, le=MAX_S)]
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # of `pairing_key`: the code itself stays on the screen
    by: Annotated[str, Field(pattern=r"^(cli|web:[a-z0-9][a-z0-9._-]{0,62})$")] = "cli"  # who asks, for the log


@dataclass(frozen=True, slots=True)
class _Window:
    caller: Caller
    role: Role  # the device's choice, never the joiner's
    key: bytes
    until_s: float
    by: str
    tries: int = TRIES


class PairingDesk:
    """Belongs to the loop's thread. There is no window until somebody on this device asks for one.

    It closes with the first client that gets in, after three wrong codes, when its time is up, and when whoever asked
    or the reader has gone. While there is none, nobody gets a word.
    """

    def __init__(
        self,
        device_id: str,
        registry: Registry,
        journal: Journal,
        tell: Callable[[str, bytes], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what it works with; `tell` sends a payload to the replies of a client id, None where MQTT is off."""
        self._device_id = device_id
        self._registry = registry
        self._journal = journal
        self._tell = tell
        self._clock = clock
        self._window: _Window | None = None
        self._log = SparingLog(_log)

    def begin(self, caller: Caller, asked: Pair) -> None:
        """Open the window, and tell the caller of all that happens at it.

        Raises RefusedError while one is open, and where nobody could join over MQTT.
        """
        self.tend()
        if self._tell is None:
            raise RefusedError("mqtt.enabled is false: nobody could join")
        if self._window is not None:
            raise RefusedError("a pairing is going on already; it ends with the command that began it")
        self._window = _Window(caller, asked.role, bytes.fromhex(asked.key), self._clock() + asked.for_s, asked.by)
        _log.warning("pairing: a client with the code may join as %s for %g s", asked.role, asked.for_s)
        caller.say({"open": asked.for_s})

    def tend(self) -> None:
        """Close the window when its time is up or nobody waits at it any more."""
        window = self._window
        if window is not None and (window.caller.gone or not self._clock() < window.until_s):
            self._close({"error": "nobody joined in time"})

    def hear(self, incoming: Incoming) -> None:
        """Take a message on `cmd/join`. Raises StorageError where a client could not be written down; it is not in."""
        self.tend()
        if self._window is None:
            self._log.warning("somebody would join, and no pairing is going on")
            return
        joining = open_joining(
            incoming.payload,
            topic=incoming.topic,
            device_id=self._device_id,
            retained=incoming.retained,
            now=time.time(),
        )
        if isinstance(joining, Joining):
            self._judge(self._window, joining)
        else:
            self._log.warning(f"somebody who would join was refused: {joining.why}")

    def _judge(self, window: _Window, joining: Joining) -> None:
        named = {
            "device_id": self._device_id,
            "client_id": joining.client_id,
            "public_key": public_key_text(joining.key),
        }
        if not same(joining.proof, joining_proof(window.key, **named)):
            # Nothing goes out in the name of a client that is in: its own commands may be waiting for replies.
            self._refuse(window, joining, "wrong_code", told=self._registry.find(joining.client_id) is None)
            return
        try:
            self._registry.add(
                joining.client_id, window.role, named["public_key"], lambda: self._write(window, **named)
            )
        except RefusedError as refusal:
            self._refuse(window, joining, str(refusal), told=True)
            return
        except ApplianceError as fault:
            self._close({"error": str(fault)})
            raise
        role = window.role.value
        self._answer(joining, result={"role": role, "proof": joined_proof(window.key, role=role, **named)})
        shown = {"client_id": joining.client_id, "role": role, "fingerprint": fingerprint(named["public_key"])}
        self._close({"joined": shown})

    def _refuse(self, window: _Window, joining: Joining, why: str, *, told: bool) -> None:
        left = window.tries - 1
        _log.warning("pairing: %s was refused: %s; %d tries are left", joining.client_id, why, left)
        if told:
            self._answer(joining, error=why)
        window.caller.say({"refused": why, "client_id": joining.client_id, "left": left})
        self._window = replace(window, tries=left)
        if left <= 0:
            self._close({"error": f"refused {TRIES} times; begin anew, with another code"})

    def _write(self, window: _Window, *, client_id: str, public_key: str, **_device: str) -> None:
        detail = f"client {client_id} joined as {window.role}, key {fingerprint(public_key)}"
        actor = Actor(ActorKind.OPERATOR, window.by)
        self._journal.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), actor, "pairing", detail=detail))

    def _answer(self, joining: Joining, error: str = "", result: dict[str, str] | None = None) -> None:
        if self._tell is not None:
            self._tell(joining.client_id, reply(joining.request_id, error, dict(result or {})).json_bytes())

    def _close(self, last: Mapping[str, object]) -> None:
        if self._window is not None:
            self._window.caller.say(last)
            self._window.caller.end()
            self._window = None
