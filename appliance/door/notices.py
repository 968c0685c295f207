"""What the controller tells without being asked: what happened, and how the door is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.door.memory import Untold
from appliance.door.protocol import Now, as_state, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.door.peers import Peers
    from appliance.door.protocol import Beat
    from appliance.records import DoorEvent, DoorState


class Notices:
    """Tells everybody what happens as it happens, and the reader also whatever no reader has written down yet."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._untold = Untold()
        self._told = 0  # number of the newest event that the present reader was told
        self._state: DoorState | None = None  # that was told last

    def tell(self, events: Iterable[DoorEvent], state: DoorState) -> None:
        """Tell these events, oldest first, and the state where it is another than before."""
        changed, self._state = state != self._state, state
        lines = [encode(self._untold.add(event, state)) for event in events]
        for peer in self._peers:
            if not self._peers.is_reader(peer):
                for line in lines:
                    self._peers.say(peer, line)
        self._go_on()
        if changed and self._state is state:  # a peer that hung up may have changed the door meanwhile
            for peer in self._peers:
                self._peers.say(peer, encode(Now(state=as_state(state))))

    def begin(self) -> None:
        """Let the next words to the reader, which is a new one, start with the oldest that is not written down."""
        self._told = 0

    def written(self, beat: Beat) -> None:
        """Forget what the reader has written down, and go on with the rest."""
        self._untold.written(beat.run, beat.seq)
        self._go_on()

    def _go_on(self) -> None:
        for happened in self._untold.after(self._told):
            self._told = happened.seq
            self._peers.say_reader(encode(happened))
