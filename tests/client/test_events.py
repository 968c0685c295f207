"""Events at a client: all of them, in order, once, whatever the broker lost."""

from __future__ import annotations

import itertools
import queue
import random
from typing import TYPE_CHECKING, Any

import pytest

from appliance.contract import Role
from appliance.errors import RefusedError
from appliance.verbs import Again, Say
from ostiary_client import Availability, Client, read_key
from ostiary_client.feed import Feed
from ostiary_client.heard import Event, Reply, event_of
from tests.broker import QUICK, bystander, wait_for
from tests.hall import hall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from appliance.broker import PrivateBroker


def event(seq: int) -> dict[str, Any]:
    """Return an entry as the door tells it."""
    return {"seq": seq, "event_type": "bell", "at": "2026-01-31T08:15:30.123+00:00"}


class Log:
    """A door's log that pages, and may be silent, refuse, or have a hole."""

    def __init__(self, head: int, hole: int = 0) -> None:
        self.head = head
        self.hole = hole
        self.silent: Iterator[bool] = itertools.cycle([False])
        self.error = ""

    def send(self, verb: str, args: Mapping[str, Any]) -> Reply:
        """Answer `feed`."""
        assert verb == "feed"
        if next(self.silent):
            return Reply(ok=False, error="no_reply", result={})
        if self.error:
            return Reply(ok=False, error=self.error, result={})
        page = [event(seq) for seq in range(args["after"] + 1, self.head + 1) if seq != self.hole][: args["limit"]]
        return Reply(ok=True, error="", result={"events": page, "next": 0, "head": self.head})


def taken(log: Log, live: list[int], after: int = 0) -> Iterator[int]:
    """Give the sequence numbers of the events that a client is given, where these have come by themselves."""
    waiting: queue.Queue[Event] = queue.Queue()
    for seq in live:
        waiting.put(event_of(event(seq)))
    return (one.seq for one in Feed(waiting, log.send, lambda: False).events(after, 0.01))


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_lost_doubled_or_late_the_events_are_whole(seed: int) -> None:
    """D11, D12: each event once, in order, none left out, though the broker lost, doubled and shuffled them."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable test, no secret
    before, head, after = chance.randrange(250), 300, chance.randrange(20)
    live = [seq for seq in range(before + 1, head + 1) for _ in range(chance.choice((0, 1, 1, 2)))]
    if chance.random() < 0.5:
        chance.shuffle(live)
    log = Log(head)
    log.silent = itertools.chain([chance.random() < 0.2 for _ in range(40)], itertools.cycle([False]))
    got = list(taken(log, [*live, *[head] * 60], after))
    assert got == list(range(after + 1, head + 1))


def test_a_hole_and_a_refusal_are_told() -> None:
    """J8: a log without an entry is no log to be believed in silence, and who may not read it is told so."""
    got = taken(Log(9, hole=5), [])
    assert list(itertools.islice(got, 4)) == [1, 2, 3, 4]
    with pytest.raises(RefusedError, match="has no event 5; the next one is 6"):
        next(got)
    log = Log(9)
    log.error = "verb_not_allowed"
    with pytest.raises(RefusedError, match="verb_not_allowed"):
        next(taken(log, []))


def test_progress_and_the_door_s_absence_are_told(broker: PrivateBroker, short_folder: Path) -> None:
    """What the door says on the way is heard in order before its last word; a door that stops is seen to have."""
    with hall(broker.settings, short_folder) as front:
        boss = front.client("boss", Role.ADMIN)
        client = boss.__enter__()
        said: list[Mapping[str, Any]] = []
        reply = client.send("enrol.start", {"name": "Ada", "consent_by": "Ada"}, progress=said.append)
        assert (reply.ok, reply.done, reply.result["name"]) == (True, True, "Ada")
        assert [one["views"] for one in said] == [0, 1, 2]
        for reply, asked in ((client.again("t1"), Again), (client.say("t1", "one moment"), Say)):
            assert reply.ok
            assert asked in {type(args) for _, args in front.done}
        wait_for(lambda: client.availability is Availability.ONLINE)
    wait_for(lambda: client.availability is Availability.STOPPED)
    boss.__exit__(None, None, None)


def test_events_come_whole_from_a_real_door(broker: PrivateBroker, short_folder: Path) -> None:
    """D11: those of before, of now and of while we were away; a forged one from the future moves nothing."""
    with hall(broker.settings, short_folder) as front:
        front.say(*"abc")
        wait_for(lambda: len(front.events) == 3)
        with front.client("book", Role.AUDITOR, events=True) as book:
            events = book.events(0)
            assert [next(events).fields["detail"] for _ in range(3)] == ["a", "b", "c"]
            front.say(*"de")
            assert [next(events).fields["detail"] for _ in range(2)] == ["d", "e"]
            assert book.availability is Availability.ONLINE
            with bystander(broker.settings, "forger") as forger:
                forger.say("ostiary/front/event/feed", b'{"seq": 99, "event_type": "bell", "at": "2026-01-01T00:00Z"}')
                wait_for(lambda: not forger.connection._outbox and not forger.connection._waiting)
            front.say("f")
            latest = next(events)
        front.say(*"gh")
        wait_for(lambda: len(front.events) == 8)
        again = Client(
            broker.settings,
            "front",
            "book",
            read_key(short_folder / "book.key"),
            tickets=False,
            events=True,
            pace=QUICK,
        )
        with again:
            assert [one.fields["detail"] for one in again.events(latest.seq, quiet_s=0.3)] == ["g", "h"]
        assert again.availability is Availability.UNKNOWN
    assert (latest.seq, latest.event_type, latest.fields["hash"]) == (6, "bell", front.events[5].hash)
