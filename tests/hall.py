"""The part of the reader that clients meet: a switchboard, a pairing desk and the local socket, in a thread."""

from __future__ import annotations

import queue
import threading
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.clients import Registry
from appliance.commands.options import Installation
from appliance.config import DeviceSettings, Settings
from appliance.contract import EventType
from appliance.errors import RefusedError
from appliance.feed import feed_acts
from appliance.journal import Journal
from appliance.local_socket import LocalSocket
from appliance.pairing_desk import Pair, PairingDesk
from appliance.records import Event
from appliance.signing import new_key, read_key
from appliance.switchboard import Switchboard
from appliance.usecases import UseCases
from appliance.verbs import VERBS, EnrolStart
from ostiary_client import Client
from tests.broker import QUICK, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.config import MqttSettings
    from appliance.contract import Role
    from appliance.envelope import Command
    from appliance.local_socket import Caller
    from appliance.records import AuditEvent
    from appliance.usecases import Answer
    from appliance.verbs import Args


class Hall:
    """Carries out every verb by noting it, and answers with what it read; but `feed` and `audit.head` as the reader."""

    def __init__(self, settings: MqttSettings, folder: Path) -> None:
        self.installation = Installation(Settings(device=DeviceSettings(id="front"), mqtt=settings), folder, None)
        self.done: list[tuple[Command, Args]] = []
        self.events: list[AuditEvent] = []
        self.faults: list[Exception] = []
        self.turns = 0
        self.most = 0  # commands carried out in one turn
        self._board: Switchboard | None = None
        self.still = threading.Lock()  # held, the hall does nothing
        self._to_say: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hall")

    def key(self, client_id: str, role: Role) -> Path:
        """Let a client in, and return the file of its key."""
        file = self.installation.state / f"{client_id}.key"
        with Registry(self.installation.clients_file) as registry:
            registry.add(client_id, role, new_key(file))
        return file

    @contextmanager
    def client(self, client_id: str, role: Role, *, events: bool = False) -> Iterator[Client]:
        """Give a new client at work."""
        key, mqtt = read_key(self.key(client_id, role)), self.installation.settings.mqtt
        with Client(mqtt, "front", client_id, key, events=events, pace=QUICK) as client:
            yield client

    @contextmanager
    def open(self) -> Iterator[None]:
        """Turn while the block runs."""
        self._thread.start()
        try:
            wait_for(lambda: self.turns > 0)
            yield
        finally:
            self._stopping.set()
            self._thread.join(10)

    def say(self, *details: str) -> None:
        """Write down an event for each."""
        for detail in details:
            self._to_say.put(Event(EventType.BELL, datetime.now(UTC), None, "test", detail=detail))

    def waiting(self) -> int:
        """Return how many messages wait to be served."""
        return 0 if self._board is None else self._board._inbox.qsize()

    def dropped(self) -> int:
        """Return how many messages found the inbox full."""
        link = None if self._board is None else self._board._mqtt
        return 0 if link is None else link.dropped_commands

    def act(self, command: Command, args: Args, answer: Answer) -> None:
        """Note what was asked for; a guided enrolment goes on for a while."""
        self.done.append((command, args))
        if isinstance(args, EnrolStart):
            for number in range(3):
                answer({"hint": "turn_left", "views": number}, done=False)
        answer(args.model_dump(mode="json"))

    def _run(self) -> None:
        with ExitStack() as opening:
            board = self._board = opening.enter_context(closing(Switchboard(self.installation)))
            audit = opening.enter_context(self.installation.open_audit())
            journal = Journal(audit, (board.announce, self.events.append))
            desk = board.pairing(journal)
            local = opening.enter_context(closing(LocalSocket(self.installation.reader_socket)))
            use_cases = UseCases(dict.fromkeys(VERBS.values(), self.act), feed_acts(audit))
            board.start()
            while not self._stopping.wait(0.002):
                while not self._to_say.empty():
                    journal.append(self._to_say.get_nowait())
                with self.still:
                    before = len(self.done)
                    try:
                        board.serve(use_cases)
                        self.most = max(self.most, len(self.done) - before)
                    except Exception as fault:  # noqa: BLE001 - as the service does
                        self.faults.append(fault)
                local.serve(lambda caller, packet: _pair(desk, caller, packet))
                self.turns += board.connects > 0


def _pair(desk: PairingDesk, caller: Caller, packet: dict[str, Any]) -> None:
    try:
        desk.begin(caller, Pair.model_validate(packet))
    except RefusedError as refusal:
        caller.say({"error": str(refusal)})
        caller.end()


@contextmanager
def hall(settings: MqttSettings, folder: Path) -> Iterator[Hall]:
    """Give an open hall of the device `front`."""
    made = Hall(settings, folder)
    with made.open():
        yield made
