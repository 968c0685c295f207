"""Metrics for Prometheus, served by a thread of their own: counts and states, and never who.

A label is a word of the contract. Ids are none: they would name people and tickets, and there is no end of them.
"""

from __future__ import annotations

import logging
import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from appliance import __version__
from appliance.contract import Alarm, EventType, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from appliance.config import MetricsSettings
    from appliance.records import AuditEvent
    from appliance.vitals import BrokerVitals, Vitals

_log = logging.getLogger(__name__)

_STALLED_S = 2.0  # whoever asks and does not read is left
_DECISIONS = {
    EventType.ACCESS_GRANTED: "granted",
    EventType.ACCESS_DENIED: "denied",
    EventType.APPROVAL_REQUESTED: "referred",
}
_TICKETS = {
    EventType.APPROVAL_REQUESTED: "requested",
    EventType.APPROVAL_GRANTED: "granted",
    EventType.APPROVAL_DENIED: "denied",
    EventType.APPROVAL_EXPIRED: "expired",
}
_SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class Metrics:
    """Counts what the loop tells, and asks for the rest when it is read. `vitals` may be called from any thread."""

    def __init__(self, state: Path) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each
        self.registry = CollectorRegistry()
        self._decisions = self._counter("decisions", "Decisions about visits", "outcome", "reason", "method")
        self._tickets = self._counter("tickets", "Tickets to attendants", "outcome")
        self._events = self._counter("events", "Entries sealed in the audit log by the reader", "type")
        self._frames = self._counter("frames_read", "Frames that the pipeline has read")
        help_ = "From the first frame read of a visit to the decision about it"
        self._seconds = Histogram(
            "ostiary_decision_seconds", help_, ["outcome"], buckets=_SECONDS, registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        self._standing = _Standing(state)
        self.registry.register(self._standing)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"ostiary_{name}", help_, labels, registry=self.registry)

    def event(self, sealed: AuditEvent) -> None:
        """Count an event."""
        event, kind = sealed.event, sealed.event.event_type
        self._events.labels(kind.value).inc()
        if kind in _TICKETS:
            self._tickets.labels(_TICKETS[kind]).inc()
        if kind in _DECISIONS:
            reason = event.reason.value if event.reason else ""
            self._decisions.labels(_DECISIONS[kind], reason, event.method).inc()
            if event.decision_ms is not None:
                self._seconds.labels(_DECISIONS[kind]).observe(event.decision_ms / 1000)

    def frame(self) -> None:
        """Count a frame that was read."""
        self._frames.inc()

    def watch(self, vitals: Callable[[], Vitals]) -> None:
        """Ask this for what is not counted here."""
        self._standing.vitals = vitals

    @contextmanager
    def served(self, settings: MetricsSettings) -> Iterator[None]:
        """Serve them while the block runs; where that cannot be, say so and go on: the door does not depend on it."""
        try:
            server = make_server(settings.host, settings.port, make_wsgi_app(self.registry), handler_class=_Quiet)
        except OSError as fault:
            _log.error("no metrics at %s:%d: %s", settings.host, settings.port, fault.strerror or fault)
            yield
            return
        # One at a time, so that no number of askers can use up threads.
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


class _Quiet(WSGIRequestHandler):
    timeout = _STALLED_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing of each question."""


class _Standing(Collector):
    """States and counts of others, asked for at the moment of reading."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.vitals: Callable[[], Vitals] | None = None

    def collect(self) -> Iterator[Metric]:
        """Give each with its value now."""
        yield InfoMetricFamily("ostiary_build", "This version", {"version": __version__})
        yield _gauge("disk_free_bytes", "Free on the disk of the state folder", shutil.disk_usage(self._state).free)
        if self.vitals is None:
            return
        now = self.vitals()
        yield _gauge("camera_ok", "1 while the camera shows something", now.camera_ok)
        yield _gauge("controller_ok", "1 while the controller of the lock is there", now.controller_ok)
        yield _gauge("gallery_references", "Templates that are compared with", now.references)
        yield _count("frames_dropped", "Frames that came faster than they could be read", now.frames_dropped)
        yield _count("frames_unfit", "Frames out of order, or the same once more", now.frames_unfit)
        yield _count("camera_reopened", "Times that the camera had to be opened again", now.camera_reopened)
        phase = GaugeMetricFamily("ostiary_door_phase", "1 for what the door is doing now", labels=["phase"])
        for one in Phase:
            phase.add_metric([one.value], now.door is not None and now.door.phase is one)
        yield phase
        alarms = GaugeMetricFamily("ostiary_alarm", "1 while this alarm is on", labels=["alarm"])
        for alarm in Alarm:
            on = alarm in now.door.alarms if now.door is not None else False
            alarms.add_metric([alarm.value], on or (alarm is Alarm.CAMERA and not now.camera_ok))
        yield alarms
        yield _gauge("board_slowed", "1 while the board slows itself down", now.board.slowed)
        yield _gauge("board_under_voltage", "1 while the supply voltage is too low", now.board.under_voltage)
        if now.board.celsius is not None:
            yield _gauge("board_celsius", "Temperature of the board's hottest part", now.board.celsius)
        if now.broker is not None:
            yield from _of_broker(now.broker)


def _of_broker(now: BrokerVitals) -> Iterator[Metric]:
    yield _gauge("broker_connected", "1 while the broker hears us", now.connected)
    yield _count("broker_connects", "Times that the broker was reached", now.connects)
    lost = CounterMetricFamily("ostiary_broker_messages_lost", "Messages that were not sent", labels=["why"])
    lost.add_metric(["dropped"], now.dropped)
    lost.add_metric(["expired"], now.expired)
    yield lost
    yield _gauge("feed_lag_events", "Events that the broker has not acknowledged on event/feed", now.feed_lag)
    commands = CounterMetricFamily("ostiary_commands", "Commands of known clients", labels=["verb", "result"])
    for labels, count in sorted(now.commands.items()):
        commands.add_metric(labels, count)
    yield commands
    refused = CounterMetricFamily("ostiary_refused_commands", "What came as a command and was none", labels=["fault"])
    for fault, count in sorted(now.refused.items()):
        refused.add_metric([fault], count)
    yield refused


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ostiary_{name}", help_, value)


def _count(name: str, help_: str, value: float) -> Metric:
    return CounterMetricFamily(f"ostiary_{name}", help_, value)
