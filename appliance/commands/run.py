"""`ostiary run`: the reader, on a camera or on a recording."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from sdnotify import SystemdNotifier

from appliance.audit import as_payload
from appliance.commands.options import Installation, with_installation
from appliance.door.child import simulated_controller
from appliance.doorway import unmarked
from appliance.drivers.camera import Paced, open_camera
from appliance.errors import CameraError, DoorError
from appliance.logs import Drain, end, give_up, logging_to, write_all
from appliance.lone import only_one
from appliance.service import Hooks, Service
from appliance.trace.recorder import MAX_BYTES, Trace, conditions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.drivers.camera import Camera
    from appliance.metrics import Metrics
    from appliance.pipeline import Step
    from appliance.records import AuditEvent, Frame, OperatingPoint

_log = logging.getLogger(__name__)

CONNECT_S = 1.0
# Until there is a camera: without it, the service manager would end and begin a reader that waits, again and again.
# Whoever hangs meanwhile says it no longer, and is ended.
WAITING = "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=30000000"


@click.command()
@click.option("--source", help="Camera number, /dev path, URL, GStreamer pipeline, video, photo folder or simulated.")
@click.option("--door", type=click.Choice(["simulated"]), help="Start a controller of our own with a simulated lock.")
@click.option("--realtime", is_flag=True, help="Play a recording in real time instead of as fast as it can be read.")
@click.option("--json", "as_json", is_flag=True, help="Print every event of the contract as one JSON line.")
@click.option("--keypad", is_flag=True, help="Take each line of standard input as a PIN entered at the door.")
@click.option("--trace", "trace_file", type=click.Path(path_type=Path), help="Write scores into this new file.")
@with_installation
def run(
    installation: Installation,
    source: str | None,
    door: str | None,
    *,
    realtime: bool,
    as_json: bool,
    keypad: bool,
    trace_file: Path | None,
) -> None:
    """Read the camera, decide, and ask the controller to open.

    A recording has its own time, is read as fast as it can be, and ends the command.
    """
    with contextlib.ExitStack() as closing:
        tell = closing.enter_context(logging_to(installation.settings.logs, "ostiary"))
        if source is not None:
            installation = installation.with_source(source)
        camera = _first_camera(installation, named=source is not None)
        if camera is not None and realtime and not camera.live:
            camera = Paced(camera)
        if camera is not None:
            closing.callback(camera.close)
        closing.enter_context(only_one(installation.state / "reader.lock"))
        if door is not None:
            installation = installation.with_controller(
                closing.enter_context(simulated_controller(installation.state, installation.config_file))
            )
        told = tell if tell is not None and not as_json else _printing(closing, camera, as_json=as_json)
        hooks = _hooks(told)
        if trace_file is not None:
            hooks = closing.enter_context(_traced(hooks, installation, trace_file))
        metrics = _metrics(installation)
        if metrics is not None:
            hooks = _counted(hooks, metrics)
        service = Service(installation, camera, hooks)
        if metrics is not None:
            metrics.watch(service.vitals)
            closing.enter_context(metrics.served(installation.settings.metrics))
        if keypad:
            threading.Thread(target=_type_in, args=(service,), name="keypad", daemon=True).start()
        _run(service)


def _printing(
    closing: contextlib.ExitStack, camera: Camera | None, *, as_json: bool
) -> Callable[[AuditEvent, str], None]:
    """Return what prints an event: a recording waits for whoever reads, and a door does not."""
    write: Callable[[str], None] = _print
    if camera is None or camera.live:
        drain = Drain("print", _print)
        closing.callback(end, drain, 1)
        write = drain.put
    return lambda event, line: write(json.dumps(as_payload(event)) if as_json else line)


def _type_in(service: Service) -> None:
    for line in sys.stdin:
        service.enter_pin(line.strip())


def _run(service: Service) -> None:
    with _stopped_by_signals(service):
        try:
            service.link.connect(CONNECT_S)
        except DoorError as fault:
            _log.warning("%s; nothing can be opened until it is there", fault)
        service.run()


def _first_camera(installation: Installation, *, named: bool) -> Camera | None:
    """Return the open camera. A source named on the command line must be there; a configured one is waited for."""
    try:
        return open_camera(installation.settings.camera)
    except CameraError as fault:
        if named:
            raise
        _log.warning("%s; the door keeps shut until it is there", fault)
        return None


def _hooks(tell: Callable[[AuditEvent, str], None]) -> Hooks:
    systemd = SystemdNotifier()
    if systemd.socket is not None:
        systemd.socket.settimeout(0)  # a service manager that does not listen must not stop the loop
    alive = WAITING

    def on_ready() -> None:
        nonlocal alive
        alive = "WATCHDOG=1"
        systemd.notify("READY=1")

    return Hooks(
        on_event=lambda event: tell(event, _as_line(event)),
        on_ready=on_ready,
        on_turn=lambda: systemd.notify(alive),
    )


def _metrics(installation: Installation) -> Metrics | None:
    """Return what counts for Prometheus, where the settings want it."""
    if not installation.settings.metrics.enabled:
        return None
    from appliance.metrics import Metrics  # noqa: PLC0415 - most have no use for it

    return Metrics(installation.state)


def _counted(hooks: Hooks, metrics: Metrics) -> Hooks:
    """Give the hooks with the metrics listening too."""

    def on_event(event: AuditEvent) -> None:
        hooks.on_event(event)
        metrics.event(event)

    def on_step(frame: Frame, step: Step, point: OperatingPoint) -> None:
        hooks.on_step(frame, step, point)
        metrics.frame()

    return replace(hooks, on_event=on_event, on_step=on_step)


@contextlib.contextmanager
def _traced(hooks: Hooks, installation: Installation, path: Path) -> Iterator[Hooks]:
    """Give the hooks with a trace listening too. Raises UsageError where it cannot be written."""
    trace = Trace(path, lambda: conditions_of(installation))
    _log.warning(
        "%s takes down scores and ids of people, up to %d MB: keep it as you keep the gallery, delete it when done",
        path,
        MAX_BYTES // 10**6,
    )

    def both(event: AuditEvent) -> None:
        hooks.on_event(event)
        trace.event(event)

    with contextlib.closing(trace):
        yield replace(hooks, on_event=both, on_step=trace.look, on_verdict=trace.verdict)


@contextlib.contextmanager
def _stopped_by_signals(service: Service) -> Iterator[None]:
    def stop(_number: int, _frame: object) -> None:
        service.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_line(sealed: AuditEvent) -> str:
    event = sealed.event
    words = [event.at.strftime("%H:%M:%S"), event.event_type.value, event.reason.value if event.reason else ""]
    words += [event.actor.id if event.actor and event.method else "", unmarked(event.detail)]
    return "  ".join(word for word in words if word)


def _print(line: str) -> None:
    try:
        write_all(1, f"{line}\n".encode(errors="replace"))
    except BrokenPipeError:  # whoever read along has gone; the door's work goes on
        give_up(1)
