"""`ostiary demo`: the main job on this machine, with a private broker and a simulated lock."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from appliance.broker import private_broker
from appliance.clients import Registry
from appliance.commands.options import Installation
from appliance.config import Settings
from appliance.contract import EventType, Role
from appliance.demo.pages import keep_coming, pages, written
from appliance.demo.sheet import ContactSheet
from appliance.demo.story import Story, Watcher, summary
from appliance.door.child import simulated_controller
from appliance.drivers.camera import Paced, open_camera
from appliance.drivers.photo import encode_png
from appliance.drivers.scene import Scene
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.errors import ApplianceError, HardwareError
from appliance.service import Hooks, Service
from appliance.signing import new_key, read_key
from ostiary_client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.broker import PrivateBroker
    from appliance.drivers.camera import Camera

ATTENDANT = "attendant"
READY_S = 30.0


@click.command()
@click.option("--camera", type=int, help="Use the webcam of this number instead of the simulated scene.")
@click.option("--video", type=click.Path(exists=True, dir_okay=False), help="Use a video file.")
@click.option("--images", type=click.Path(exists=True, file_okay=False), help="Use a folder of photos.")
@click.option("--web", "with_web", is_flag=True, help="Serve the pages too, and go on until Ctrl-C.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("demo-output"), show_default=True)
def demo(camera: int | None, video: str | None, images: str | None, *, with_web: bool, output: Path) -> None:
    """Run the real reader and controller and tell a story with them; the last line names the picture."""
    logging.basicConfig(level=logging.WARNING, format="ostiary: %(message)s")
    given = [str(one) for one in (camera, video, images) if one is not None]
    if len(given) > 1:
        raise click.UsageError("--camera, --video and --images exclude one another; give one of them")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    console = Console()
    with _stage(output, console) as (installation, client), contextlib.ExitStack() as closing:
        if with_web:
            web = installation.settings.web
            closing.enter_context(pages(written(installation), installation.state, web.host, web.port))
        if given:
            _own_source(installation.with_source(given[0]), client, console, output)
        else:
            _story(installation, client, console, output, stay=with_web)


@contextlib.contextmanager
def _stage(output: Path, console: Console) -> Iterator[tuple[Installation, Client]]:
    """Set up broker, controller and attendant on a fresh state folder."""
    state = output / "state"
    shutil.rmtree(state, ignore_errors=True)
    (state / "broker").mkdir(mode=0o700, parents=True)
    with contextlib.ExitStack() as closing:
        broker = closing.enter_context(private_broker(state / "broker", topics="ostiary/demo/#"))
        console.print(f"broker: {broker.kind} on {broker.host}:{broker.port}, this machine only", highlight=False)
        installation = _installation(state, broker)
        socket = closing.enter_context(simulated_controller(installation.state))
        console.print("controller: a process of its own, with a simulated lock", highlight=False)
        console.print("liveness: commissioning is skipped, so a face alone opens", highlight=False)
        yield installation.with_controller(socket), closing.enter_context(_attendant(installation))


def _installation(state: Path, broker: PrivateBroker) -> Installation:
    settings = Settings.model_validate(
        {
            "device": {"id": "demo", "door": "front"},
            "camera": {"source": "simulated"},
            "liveness": {"commissioned": "skipped"},  # a demo has no installer who could try attacks
            "door": {"unlock_s": 2.0},
            "mqtt": broker.settings,
        }
    )
    return Installation(settings, state.absolute(), None)


@contextlib.contextmanager
def _attendant(installation: Installation) -> Iterator[Client]:
    key_file = installation.state / "attendant.key"
    public = new_key(key_file)
    with Registry(installation.clients_file) as registry:
        registry.add(ATTENDANT, Role.ADMIN, public)
    settings = installation.settings
    with Client(settings.mqtt, settings.device.id, ATTENDANT, read_key(key_file)) as client:
        yield client


@contextlib.contextmanager
def _reader(installation: Installation, camera: Camera, hooks: Hooks) -> Iterator[threading.Thread]:
    """Run the reader in a thread while the block runs; a fault in it is raised at the end of the block."""
    ready, faults, services = threading.Event(), list[ApplianceError](), list[Service]()

    def work() -> None:
        try:  # the service is made where it runs: its databases belong to that thread
            service = Service(installation, camera, hooks)
            services.append(service)
            service.link.connect(5.0)
            ready.set()
            service.run()
        except ApplianceError as fault:
            faults.append(fault)
        finally:
            ready.set()

    thread = threading.Thread(target=work, name="loop")
    thread.start()
    try:
        if not ready.wait(READY_S):
            raise HardwareError(f"the reader was not ready within {READY_S:.0f} s")
        yield thread
    finally:
        for service in services:
            service.stop()
        thread.join(10.0)
        camera.close()
    if faults:
        raise faults[0]


def _story(installation: Installation, client: Client, console: Console, output: Path, *, stay: bool) -> None:
    script, sheet, watcher = Script(Scene()), ContactSheet(), Watcher(console)
    camera = SimulatedCamera(script, installation.settings.camera)
    story = Story(script, watcher, client, sheet)
    with _reader(installation, camera, Hooks(on_event=watcher.hear, on_step=sheet.look)):
        watcher.expect(EventType.STARTED)
        done = story.tell()
        if stay:
            watcher.say("the door goes on, and so do the pages; Ctrl-C ends", "bold")
            keep_coming(script)
    console.print(summary(story.chapters))
    _save(sheet, console, output)
    if not done:
        raise ApplianceError("the story did not end as it should; see the table")


def _own_source(installation: Installation, client: Client, console: Console, output: Path) -> None:
    """Run on the user's own camera or files; tickets are asked about in the terminal, or refused without one."""
    sheet, watcher = ContactSheet(), Watcher(console)
    opened = open_camera(installation.settings.camera)
    camera = opened if opened.live else Paced(opened)
    console.print("reading; Ctrl-C ends" if camera.live else "reading to the end", highlight=False)
    with (
        contextlib.suppress(KeyboardInterrupt),
        _reader(installation, camera, Hooks(on_event=watcher.hear, on_step=sheet.look)) as thread,
    ):
        while thread.is_alive():
            _answer_next(client, watcher)
    _save(sheet, console, output)


def _answer_next(client: Client, watcher: Watcher) -> None:
    ticket = client.next_ticket(0.2)
    if ticket is None:
        return
    watcher.say(f"ticket {ticket.ticket_id[:8]}: {ticket.reason}", "cyan")
    reply = click.prompt("open? [y]es, [n]o, yes and [e]nrol", default="n") if sys.stdin.isatty() else "n"
    yes = reply[:1] in {"y", "e"}
    answer = client.approve(ticket.ticket_id) if yes else client.deny(ticket.ticket_id)
    if reply[:1] == "e" and answer.ok:
        name = click.prompt("name of the person, who consents to be recognised")
        answer = client.send("person.add", {"name": name, "consent_by": name, "ticket_id": ticket.ticket_id})
    watcher.say(f"attendant: {answer.error or 'done'}", "cyan")


def _save(sheet: ContactSheet, console: Console, output: Path) -> None:
    if sheet.empty:
        console.print("no face was seen; there is no picture", highlight=False)
        return
    path = output / "contact-sheet.png"
    path.write_bytes(encode_png(sheet.picture()))
    console.print(f"picture: {path}", highlight=False)
