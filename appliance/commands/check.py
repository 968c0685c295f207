"""`ostiary check`: is everything there that a door needs, and if not, what is wrong, in words."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import click

from appliance.audit import AuditLog
from appliance.clients import Registry
from appliance.clock import BUILT, WallClock
from appliance.commands import check_door
from appliance.commands.options import Installation, duration, with_installation
from appliance.contract import VERB_ROLES
from appliance.door.link import ControllerLink
from appliance.drivers.camera import open_camera
from appliance.errors import ApplianceError, CameraError, HardwareError, RefusedError
from appliance.home_assistant import CLIENT_ID as HOME
from appliance.people.gallery import Gallery
from appliance.web.accounts import Accounts

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 3.0
LOW_DISK_BYTES = 500e6  # two years of a busy door's log, or some days of somebody who fills it from outside


@click.command()
@click.option("--edge", "edges", multiple=True, help="Check this one only; may be given again.")
@click.option("--watch", "watch_s", type=duration, default="20s", show_default=True, help="With --edge door alone.")
@click.option("--click", "click_relay", is_flag=True, help="With --edge door alone: have the relay click, thrice.")
@with_installation
def check(installation: Installation, *, edges: tuple[str, ...], watch_s: float, click_relay: bool) -> None:
    """Try models, camera, gallery, audit, disk, controller, door, broker, attendants, clock, liveness.

    Exit 3 where one fails, 1 where all that is amiss is that something was not allowed, such as that a face alone
    opens. `--edge door` alone says for a while what each of the door's inputs does.
    """
    unknown = sorted(set(edges) - set(EDGES))
    if unknown:
        raise click.UsageError(f"--edge is {unknown[0]!r}; allowed are {', '.join(EDGES)}")
    if edges == ("door",):
        check_door.watch(installation, watch_s, click_relay=click_relay)
        return
    worst = 0
    for name, attempt in EDGES.items():
        if edges and name not in edges:
            continue
        try:
            click.echo(f"ok      {name:10}  {attempt(installation)}")
        except ApplianceError as fault:
            click.echo(f"FAILED  {name:10}  {fault}")
            worst = max(worst, fault.exit_code)
    if worst:
        raise click.exceptions.Exit(worst)


def _models(installation: Installation) -> str:
    from appliance.pipeline.reading import ModelStages  # noqa: PLC0415 - the runtime itself may be what is missing

    try:
        stages = ModelStages(installation.settings, installation.models_folder)
    except ImportError as fault:
        raise HardwareError(f"the model runtime cannot be loaded: {fault}") from fault
    return f"loaded; embedder {stages.embedder.model_id}"


def _camera(installation: Installation) -> str:
    camera = open_camera(installation.settings.camera)
    try:
        frame = camera.read()
    finally:
        camera.close()
    if frame is None:
        raise CameraError(f"camera source {installation.settings.camera.source} is empty")
    height, width = frame.pixels.shape[:2]
    return f"{installation.settings.camera.source}, {width}x{height}"


def _gallery(installation: Installation) -> str:
    with Gallery(installation.gallery_file) as gallery:
        people = gallery.people()
    return f"{len(people)} people, {sum(person.references for person in people)} references"


def _audit(installation: Installation) -> str:
    device = installation.settings.device
    with AuditLog(installation.audit_file, device.id, device.door) as log:
        verdict = log.verify()
    if not verdict.ok:
        raise RefusedError(f"{log.path}: entry {verdict.first_bad}: {verdict.why}")
    return f"a chain of {verdict.count} entries holds"


def _disk(installation: Installation) -> str:
    free = shutil.disk_usage(installation.state).free
    told = f"{free / 1e9:.1f} GB free at {installation.state}"
    if free < LOW_DISK_BYTES:
        raise HardwareError(f"{told}; less than {LOW_DISK_BYTES / 1e9} GB, and on a full disk no face opens the door")
    return told


def _controller(installation: Installation) -> str:
    link = ControllerLink(installation.controller_socket)
    try:
        link.connect(WAIT_S)
        state = link.state()
    finally:
        link.close()
    return f"answers; the lock is {state.lock.value}"


def _broker(installation: Installation) -> str:
    settings = installation.settings.mqtt
    if not settings.enabled:
        return "not used (mqtt.enabled is false): tickets wait on the pages alone"
    from appliance.broker_trust import checked  # noqa: PLC0415 - only where there is a broker

    return checked(settings).removeprefix("broker ")


def _attendants(installation: Installation) -> str:
    settings = installation.settings
    clients = _clients(installation) if settings.mqtt.enabled else set()
    pages = _on_the_pages(installation)
    if not (pages or settings.mqtt.enabled):
        return "none (no account, and mqtt.enabled is false): whoever would be put to a human is refused"
    rung = {name for group in (*settings.attendant.groups, *settings.attendant.quiet_groups) for name in group}
    if settings.mqtt.enabled and rung - clients:
        names = ", ".join(sorted(rung - clients))
        raise RefusedError(f"attendant.order rings {names}, who may not answer; ostiary client list shows who may")
    may, needed = len(clients) + len(pages), 2 if settings.attendant.two_for else 1
    if may < needed:
        told = f"{may} may answer tickets and {needed} are needed"
        raise RefusedError(f"{told}; ostiary client pair adds one, and so does an account on the pages")
    return f"{may} may answer tickets: {len(clients)} over MQTT, {len(pages)} on the pages or by a key"


def _clients(installation: Installation) -> set[str]:
    with Registry(installation.clients_file) as registry:
        entries = registry.entries()
    may = {one.client_id for one in entries if one.revoked_at is None and one.role in VERB_ROLES["approve"]}
    return may | ({HOME} if installation.settings.home_assistant.commands else set())


def _on_the_pages(installation: Installation) -> frozenset[str]:
    if not installation.web_file.exists():
        return frozenset()
    with Accounts(installation.web_file) as accounts:
        return accounts.attendants()


def _clock(installation: Installation) -> str:
    moment = WallClock(installation.settings.access.clock)()
    if moment.at < BUILT:
        told = f"the clock says {moment.at:%Y-%m-%d}, before this version was made"
        raise HardwareError(f"{told}; set it or connect to NTP")
    if not moment.clock_set and installation.rules_file is not None and installation.rules_file.exists():
        raise HardwareError("neither NTP nor a hardware clock has set the time, so that no schedule holds")
    return f"{moment.at:%Y-%m-%d %H:%M} UTC, {time.tzname[0]} here"


def _liveness(installation: Installation) -> str:
    from appliance.commissioning.clearance import clearance  # noqa: PLC0415 - OpenCV may be what is missing

    cleared = clearance(installation)
    if not cleared.face_only:
        raise RefusedError(cleared.words)
    return cleared.words


EDGES: dict[str, Callable[[Installation], str]] = {
    "models": _models,
    "camera": _camera,
    "gallery": _gallery,
    "audit": _audit,
    "disk": _disk,
    "controller": _controller,
    "door": check_door.summary,
    "broker": _broker,
    "attendants": _attendants,
    "clock": _clock,
    "liveness": _liveness,
}
