"""An audit log that is fed to a broker while the power is cut again and again, and what a listener has of it."""

from __future__ import annotations

import json
import random
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from appliance.contract import EventType
from appliance.errors import StorageError
from appliance.feed import EventFeed, FeedPace
from appliance.records import Event
from tests.durability.cuts import SCRATCH
from tests.durability.disk import Disk
from tests.durability.platter import Platter
from tests.durability.work import NOON, open_audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from appliance.audit import AuditLog

_BY_HAND = FeedPace(page_s=0, look_s=0, keep_every=25)
_BACKLOG = 400_000


class Moment(NamedTuple):
    """How things stood after a step."""

    requests: int  # to the disk until then
    sealed: int  # number of the last entry that whoever had it sealed was told is durable
    acknowledged: int  # number of the last entry that the broker has
    heard: int  # number of the last entry that the listener has, acknowledged or not


@dataclass(slots=True)
class Outcome:
    """What a row of power cuts came to."""

    events: int = 0  # that the log holds at the end
    cuts: int = 0
    again: int = 0  # events that the listener heard once more
    faults: list[str] = field(default_factory=list)  # one line for each cut after which something was missing


class Listener:
    """Hears the feed, and keeps one hash of each sequence number."""

    def __init__(self, known: dict[int, str]) -> None:
        self.hashes = dict(known)
        self.last = max(known, default=0)
        self.again = 0
        self.bent: set[int] = set()  # numbers that came with different hashes

    def hear(self, payload: bytes) -> None:
        """Take one message."""
        told = json.loads(payload)
        seq, digest = told["seq"], told["hash"]
        self.again += seq in self.hashes
        if self.hashes.setdefault(seq, digest) != digest:
            self.bent.add(seq)
        self.last = max(self.last, seq)


def endure(
    events: int, each: int, cuts: int, seed: int, prepare: Callable[[AuditLog], None] = lambda _: None
) -> Outcome:
    """Return what became of at least `events` events, sealed in stretches of `each` with `cuts` cuts tried in each.

    After a cut every entry that was acknowledged must be in the log; and what the feed sends then, together with what
    the broker had acknowledged before, must be that log without a gap. The last of the cuts is then lived with.
    """
    chance = random.Random(seed)  # noqa: S311 - sectors, not a secret
    files: dict[str, bytes] = {}
    known: dict[int, str] = {}
    outcome = Outcome()
    while outcome.events < events:
        with tempfile.TemporaryDirectory(dir=SCRATCH) as place:
            trace, moments, listener = _stretch(_restored(Path(place), files), each, chance, known, prepare)
        at = sorted(chance.sample(range(moments[0].requests, len(trace.trace) + 1), cuts))
        for upto, files in _cut(trace, at, chance):
            before = [one for one in moments if one.requests <= upto][-1]
            known = {seq: digest for seq, digest in listener.hashes.items() if seq <= before.heard}
            outcome.cuts += 1
            with tempfile.TemporaryDirectory(dir=SCRATCH) as place:
                why, outcome.events = _judge(_restored(Path(place), files), before, known)
            if why or listener.bent:
                outcome.faults.append(f"cut after request {upto}: {why or listener.bent}")
        outcome.again += listener.again
    return outcome


def _restored(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return folder


def _stretch(
    folder: Path, each: int, chance: random.Random, known: dict[int, str], prepare: Callable[[AuditLog], None]
) -> tuple[Disk, list[Moment], Listener]:
    """Seal events and feed them; some of what was sent is not acknowledged before the connection is lost."""
    disk, listener = Disk(folder), Listener(known)
    with disk.mounted(), ExitStack() as opened:
        audit, beside = (opened.enter_context(open_audit(folder)) for _ in range(2))
        prepare(audit)
        feed = EventFeed(lambda: open_audit(folder), "front", folder / "feed.cursor", _BACKLOG, _BY_HAND)
        moments = [Moment(len(disk.trace), audit.head().seq, feed._place.seq, listener.last)]
        for _ in range(each):
            audit.append(Event(EventType.BELL, NOON, detail="x" * chance.randrange(200)))
            if chance.random() < 0.3:
                feed._look(beside)
                sent = _send(feed, listener, 8)
                for _ in range(chance.randint(sent // 2, sent)):
                    feed.settled("")
                feed.lost()
            disk.look_round()
            moments.append(Moment(len(disk.trace), audit.head().seq, feed._place.seq, listener.last))
    return disk, moments, listener


def _send(feed: EventFeed, listener: Listener, most: int) -> int:
    sent = 0
    while sent < most and (message := feed.take()) is not None:
        listener.hear(message.payload)
        sent += 1
    return sent


def _cut(disk: Disk, at: Sequence[int], chance: random.Random) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Give what is found after a cut behind each of these requests."""
    platter, wanted = Platter(), set(at)
    for number, op in enumerate(disk.trace, 1):
        platter.take(op, chance)
        if number in wanted:
            yield number, platter.cut(chance)


def _judge(folder: Path, before: Moment, known: dict[int, str]) -> tuple[str, int]:
    """Return what is wrong with what is left, "" for nothing, and how many entries the log has."""
    try:
        with open_audit(folder) as audit:
            head = audit.head().seq
            feed = EventFeed(lambda: open_audit(folder), "front", folder / "feed.cursor", _BACKLOG, _BY_HAND)
            place, heard = feed._place.seq, Listener({})
            while len(heard.hashes) < head - place:
                feed.ring()
                feed._look(audit)
                for _ in range(_send(feed, heard, head)):
                    feed.settled("")
            kept = {entry.seq: entry.hash for entry in audit.read(place)}
            earlier = {entry.seq: entry.hash for entry in audit.read(max(0, place - 200), min(200, place))}
    except StorageError as fault:
        return str(fault), 0
    if head < before.sealed:
        return f"the log ends at {head}, and {before.sealed} was acknowledged", head
    if place > before.acknowledged:
        return f"the feed goes on behind {place}, and the broker has acknowledged {before.acknowledged}", head
    if heard.hashes != kept or set(kept) != set(range(place + 1, head + 1)):
        return f"the feed sends {len(heard.hashes)} entries behind {place}, the log has {len(kept)} up to {head}", head
    both = kept | earlier
    if any(seq not in known or (seq in both and both[seq] != known[seq]) for seq in range(1, before.heard + 1)):
        return "the listener was told of something else than the log has", head
    return "", head
