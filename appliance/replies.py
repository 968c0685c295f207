"""The last replies to each client: a broker may bring a command twice, or lose the reply to it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

KEPT = 8  # commands of one client
CLIENTS = 64
MAX_BYTES = 8 * 1024  # of one reply that is kept; all of them together are 4 MiB at most


class RecentReplies:
    """What was answered to which command, in memory: after a restart a second copy is a replay like any other.

    Only commands that were acted on are noted, so nobody but a known client can take place here.
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, OrderedDict[bytes, bytes]] = OrderedDict()  # the least recent first

    def note(self, client_id: str, command: bytes, reply: bytes = b"") -> None:
        """Keep the reply to a command, as the bytes that came; b"" while there is none. One too large is not kept."""
        replies = self._clients.setdefault(client_id, OrderedDict())
        replies[_name(command)] = reply if len(reply) <= MAX_BYTES else b""
        self._clients.move_to_end(client_id)
        if len(replies) > KEPT:
            replies.popitem(last=False)
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)

    def find(self, client_id: str, command: bytes) -> bytes | None:
        """Return the last reply to the very same bytes; b"" where none was kept, None for a command not known here."""
        return self._clients.get(client_id, OrderedDict[bytes, bytes]()).get(_name(command))


def _name(command: bytes) -> bytes:
    return hashlib.sha256(command).digest()
