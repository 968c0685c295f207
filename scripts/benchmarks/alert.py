"""How soon an attendant sees a stranger, and how soon the door moves once they have answered.

A real reader in a process of its own, a real controller with a simulated lock, a real mosquitto with TLS as
`ostiary broker setup` configures it, and an attendant in this process: all on this machine, by its one monotonic clock.
"""

from __future__ import annotations

import contextlib
import getpass
import multiprocessing
import random
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from appliance import broker_setup, pki
from appliance.access.schedule import Moment
from appliance.broker import find_mosquitto
from appliance.broker_rights import rights
from appliance.clients import Registry
from appliance.commands.options import Installation
from appliance.config import DeviceSettings, DoorSettings, LivenessSettings, MqttSettings, Settings
from appliance.contract import EventType, Role
from appliance.door.child import simulated_controller
from appliance.drivers.mqtt import check_broker
from appliance.drivers.scene import Renderer, Visit
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.errors import BrokerError
from appliance.records import Frame
from appliance.service import Hooks, Service
from appliance.signing import new_key, read_key
from ostiary_client import Client

from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.sharedctypes import Synchronized

    from numpy.typing import NDArray

    from appliance.pipeline import Step
    from appliance.records import AuditEvent, OperatingPoint

DEVICE, ATTENDANT = "bench", "attendant"
RATE = 15.0
FIRST_S, SHOWN_S = 1.2, 3.0  # of a simulated visit: once they stand there, for longer than a visit lasts
UNLOCK_S = 0.5
APART_S = 0.85  # a pulse, and the rest after it: the next one is an edge again
PATIENCE_S = 15.0
FACES: tuple[Literal["astronaut", "official"], ...] = ("astronaut", "official")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the reader says of one visit, in seconds of the monotonic clock."""

    presentation_id: str
    captured_s: float  # of the frame that made the evidence complete
    written_s: float  # when the request was durable in the audit log


@dataclass(slots=True)
class Times:
    """Durations in seconds, one a visit."""

    alert: list[float] = field(default_factory=list)  # frame captured, to ticket and picture in the attendant's hands
    reading: list[float] = field(default_factory=list)  # of that, until the request was in the log
    telling: list[float] = field(default_factory=list)  # of that, the rest
    opening: list[float] = field(default_factory=list)  # approval about to be signed, to the edge of the lock's pin
    lost: int = 0  # visits without a ticket, a picture that was wanted, or an edge


class Strangers:
    """A live camera before which one of two strangers stands: the one whose turn it is."""

    live = True
    identity = ""

    def __init__(self, turn: Synchronized[int]) -> None:
        self._turn = turn
        renderer = Renderer(640, 480)
        moments = FIRST_S + np.arange(0.0, SHOWN_S, 1 / RATE)
        self._films = [[renderer.draw(Visit(face=face, for_s=60), float(at_s)) for at_s in moments] for face in FACES]
        self._next_s = time.monotonic()
        self._sequence = 0

    def read(self) -> Frame:
        """Return the next frame in time."""
        self._next_s = max(self._next_s + 1 / RATE, time.monotonic() - 1 / RATE)
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._sequence += 1
        film = self._films[self._turn.value % len(self._films)]
        pixels: NDArray[np.uint8] = film[self._sequence % len(film)]
        return Frame(pixels, time.monotonic(), self._sequence)

    def close(self) -> None:
        """Nothing is held."""


def run(visits: int, *, picture: bool) -> None:
    """Print how long alerts and openings took."""
    with tempfile.TemporaryDirectory(prefix="ostiary-alert-") as made:
        folder = Path(made)
        with contextlib.ExitStack() as closing:
            mqtt = closing.enter_context(_broker(folder))
            times = closing.enter_context(_measured(folder, mqtt, visits, picture=picture))
    _report(times, visits, picture=picture)


@contextlib.contextmanager
def _measured(folder: Path, mqtt: Callable[[str], MqttSettings], visits: int, *, picture: bool) -> Iterator[Times]:
    state = folder / "state"
    state.mkdir(mode=0o700)
    settings = Settings(
        device=DeviceSettings(id=DEVICE),
        liveness=LivenessSettings(commissioned="skipped"),
        door=DoorSettings(unlock_s=UNLOCK_S),
        mqtt=mqtt(DEVICE),
    )
    plain = Installation(settings, state, None)
    public = new_key(folder / "attendant.key")
    with Registry(plain.clients_file) as registry:
        registry.add(ATTENDANT, Role.OPERATOR, public)
    key, spawn = read_key(folder / "attendant.key"), multiprocessing.get_context("spawn")
    turn = spawn.Value("i", 0)
    here, there = spawn.Pipe()
    with simulated_controller(state) as controller, Client(mqtt(ATTENDANT), DEVICE, ATTENDANT, key) as client:
        reader = spawn.Process(target=_read, args=(plain.with_controller(controller), turn, there, picture))
        reader.start()
        try:
            here.recv()  # it is ready
            yield _visit(client, SimulatedDoorObserver(state / "simulated-door"), turn, here, visits, picture=picture)
        finally:
            here.send("stop")
            reader.join(PATIENCE_S)
            reader.kill()


def _read(installation: Installation, turn: Synchronized[int], told: Connection, picture: bool) -> None:
    """Be the reader, and tell of each visit when it was seen and when that was written."""
    written: dict[str, float] = {}

    def on_event(sealed: AuditEvent) -> None:
        if sealed.event.event_type is EventType.APPROVAL_REQUESTED:
            written[sealed.event.presentation_id] = time.monotonic()

    def on_step(frame: Frame, step: Step, _point: OperatingPoint) -> None:
        if step.presentation is not None and (at_s := written.pop(step.presentation.presentation_id, None)):
            told.send(Seen(step.presentation.presentation_id, frame.captured_at_s, at_s))

    hooks = Hooks(on_event=on_event, on_step=on_step, on_turn=lambda: service.stop() if told.poll() else None)
    service = Service(installation, Strangers(turn), hooks)
    if not picture:
        service.reception._referrals._picture = lambda _step: b""  # noqa: SLF001 - no setting leaves the picture out
    service.link.connect(PATIENCE_S)
    told.send("ready")
    service.run()


def _visit(
    client: Client,
    lock: SimulatedDoorObserver,
    turn: Synchronized[int],
    told: Connection,
    visits: int,
    *,
    picture: bool,
) -> Times:
    times, last_s = Times(), 0.0
    while client.next_ticket(1.0) is not None:
        pass  # whoever stood there while everything came up
    for _ in range(visits):
        turn.value += 1
        ticket = client.next_ticket(PATIENCE_S)
        came_s = time.monotonic()
        seen = _matching(told, ticket.presentation_id) if ticket is not None else None
        if ticket is None or seen is None or (ticket.image is None) is picture:
            times.lost += 1
            continue
        times.alert.append(came_s - seen.captured_s)
        times.reading.append(seen.written_s - seen.captured_s)
        times.telling.append(came_s - seen.written_s)
        # An attendant's answer falls anywhere between two frames.
        time.sleep(max(0.0, last_s + APART_S - time.monotonic()) + random.uniform(0, 1 / RATE))  # noqa: S311
        asked_s = time.monotonic()
        reply = client.approve(ticket.ticket_id)
        edges = [at_s for at_s, level, _ in lock.history() if level and at_s > asked_s]
        if not reply.ok or not edges:
            times.lost += 1
            continue
        times.opening.append(edges[0] - asked_s)
        last_s = edges[0]
    return times


def _matching(told: Connection, presentation_id: str) -> Seen | None:
    """Return what the reader said of this visit, passing over earlier ones."""
    while told.poll(PATIENCE_S):
        seen = told.recv()
        if isinstance(seen, Seen) and seen.presentation_id == presentation_id:
            return seen
    return None


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[Callable[[str], MqttSettings]]:
    """Run mosquitto as `ostiary broker setup` configures it; give what each user's `[mqtt]` must say."""
    program = find_mosquitto()
    if program is None:
        raise BrokerError("mosquitto is not installed; apt install mosquitto")
    at = Moment(datetime.now(UTC), clock_set=True)
    pki.init(folder / "pki", "bench", ("localhost",), at)
    pki.Authority(folder / "pki", str).issue_server(("localhost",), at)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    place, users = folder / "broker", rights(DEVICE, {ATTENDANT: Role.OPERATOR})
    me, kept = getpass.getuser(), folder / "kept"
    kept.mkdir()
    broker = broker_setup.Broker(DEVICE, users, "passwords", "localhost", port, place, me, "127.0.0.1", kept)
    broker_setup.write(place, folder / "pki", broker)

    def settings(user: str) -> MqttSettings:
        secret = str(place / broker_setup.PASSWORDS / user)
        ca = str(place / broker_setup.CA)
        return MqttSettings(enabled=True, port=port, username=user, password_file=secret, tls=True, ca_file=ca)

    with (folder / "broker.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(place / broker_setup.CONF)], stdout=log, stderr=log)
    try:
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                check_broker(settings(ATTENDANT), 1.0)
                break
            except BrokerError:
                if process.poll() is not None or time.monotonic() > end_s:
                    raise
                time.sleep(0.05)
        yield settings
    finally:
        process.terminate()
        process.wait()


def _report(times: Times, visits: int, *, picture: bool) -> None:
    named = {
        "captured -> alert": times.alert,
        "  captured -> in the log": times.reading,
        "  in the log -> alert": times.telling,
        "signed approval -> edge": times.opening,
    }
    figures: dict[str, Any] = {}
    rows: list[tuple[str, ...]] = []
    for what, spent_s in named.items():
        found = quantiles_ms(spent_s)
        figures[what.strip()] = found
        rows.append((what, str(len(spent_s)), *(f"{value:.1f}" for value in found.values())))
    crop = "with the picture" if picture else "without a picture"
    columns = ("ms", "n", "p50", "p99", "p99 from", "p99 to", "worst")
    report.show(f"{visits} strangers, {crop}, over TLS; p99 with its 95 % interval by resampling", columns, rows)
    print(f"lost: {times.lost}")
    report.finish({"bench": "alert", "visits": visits, "picture": picture, "lost": times.lost} | figures)


def quantiles_ms(spent_s: list[float]) -> dict[str, float]:
    """Return median, 99th percentile with its 95 % interval, and the worst, in milliseconds; nothing gives nothing."""
    if not spent_s:
        return {}
    spent_ms = 1000 * np.array(spent_s)
    draws = np.random.default_rng(1).choice(spent_ms, (2000, spent_ms.size))
    low, high = np.quantile(np.quantile(draws, 0.99, axis=1), (0.025, 0.975))
    median, most = np.quantile(spent_ms, (0.5, 0.99))
    values = {"p50": median, "p99": most, "p99_low": low, "p99_high": high, "worst": spent_ms.max()}
    return {name: round(float(value), 2) for name, value in values.items()}
