"""The event feed: the audit log in order and without a gap, whatever becomes of broker, reader and power."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.audit import AuditLog, as_payload
from appliance.broker import find_mosquitto
from appliance.config import MqttSettings
from appliance.contract import EventType, Role, Topic, topic
from appliance.drivers.mqtt import MqttLink
from appliance.envelope import Command
from appliance.errors import RefusedError
from appliance.feed import MOST_BYTES, EventFeed, FeedPace, feed_acts
from appliance.messages import EventMessage, FeedGap
from appliance.records import Event
from appliance.usecases import UseCases
from tests.asking import asked
from tests.broker import QUICK, Bystander, bystander, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.broker import PrivateBroker

ROOT = Path(__file__).resolve().parents[1]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT_ONCE = FeedPace(page_s=0.005, look_s=0.05, again_s=0.3, keep_every=10, keep_s=600)
FEED = topic("front", Topic.EVENT_FEED)


class Log:
    """An audit log with a feed beside it."""

    def __init__(self, folder: Path, backlog: int = 1000) -> None:
        self.folder, self.backlog = folder, backlog
        self.audit = self.open()

    def open(self) -> AuditLog:
        """Return a connection of one's own."""
        return AuditLog(self.folder / "audit.db", "front", "front")

    def happen(self, count: int) -> None:
        """Seal so many events."""
        for number in range(count):
            self.audit.append(Event(EventType.BELL, NOON, detail=f"bell {number}"))

    @contextlib.contextmanager
    def feed(self) -> Iterator[EventFeed]:
        """Give a running feed that nobody takes from yet."""
        feed = EventFeed(self.open, "front", self.folder / "feed.cursor", self.backlog, AT_ONCE)
        feed.start(lambda: None)
        try:
            yield feed
        finally:
            feed.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """Give an empty audit log."""
    log = Log(tmp_path)
    with log.audit:
        yield log


def taken(feed: EventFeed, count: int) -> list[Any]:
    """Return what the next so many messages say, once they are there."""
    said: list[Any] = []

    def more() -> bool:
        while len(said) < count and (message := feed.take()) is not None:
            said.append(json.loads(message.payload))
        return len(said) == count

    wait_for(more)
    return said


def numbers(said: list[Any]) -> list[int]:
    """Return the sequence numbers of events."""
    return [one["seq"] for one in said]


def heard(ear: Bystander, last: int) -> list[Any]:
    """Return the feed as a bystander hears it, up to the event with this number."""
    said: list[Any] = []
    while not said or said[-1].get("seq") != last:
        said.append(json.loads(ear.next(10).payload))
    return said


def test_broker_hears_every_event_once_and_in_order(log: Log, broker: PrivateBroker) -> None:
    """D11: from the first start on each event arrives once, to the letter of the log, and so after a restart."""
    log.happen(3)  # before the first start ever: the verb `feed` tells of them
    with bystander(broker.settings, "feed-ear", FEED) as ear:
        for first, last in ((4, 123), (124, 140)):
            feed = EventFeed(log.open, "front", log.folder / "feed.cursor", 1000, AT_ONCE)
            log.happen(last - first + 1)
            with MqttLink(broker.settings, "front", queue.Queue(), QUICK, backlog=feed) as link:
                feed.start(link.wake)
                said = heard(ear, last)
                wait_for(lambda feed=feed: feed.lag == 0)  # type: ignore[misc]
            feed.close()
            assert said == [as_payload(entry) for entry in log.audit.read(first - 1)]
        assert ear.heard.empty()
    assert all(EventMessage.model_validate(one) for one in said)


def test_first_start_is_remembered_at_once(log: Log) -> None:
    """D11: a power cut before the first acknowledgement loses no event: the first start's place is on the disk."""
    log.happen(5)
    EventFeed(log.open, "front", log.folder / "feed.cursor", 1000)
    log.happen(3)
    with log.feed() as feed:
        assert numbers(taken(feed, 3)) == [6, 7, 8]


def test_what_was_not_acknowledged_comes_again(log: Log) -> None:
    """D10, D11: a lost connection gives everything unacknowledged again, in order; the rest is not repeated."""
    with log.feed() as feed:
        log.happen(30)
        assert numbers(taken(feed, 8)) == list(range(1, 9))
        for _ in range(3):
            feed.settled("")
        feed.lost()
        assert numbers(taken(feed, 27)) == list(range(4, 31))
    with log.feed() as feed:
        assert numbers(taken(feed, 27)) == list(range(4, 31))


def test_refused_event_holds_back_what_follows(log: Log) -> None:
    """D11: a broker that refuses one event and takes the next gets both again, and the cursor passes neither."""
    with log.feed() as feed:
        log.happen(4)
        assert numbers(taken(feed, 3)) == [1, 2, 3]
        for answer in ("", "Quota exceeded", ""):
            feed.settled(answer)
        assert feed.take() is None  # for a while
        assert feed.lag >= 3
        assert numbers(taken(feed, 3)) == [2, 3, 4]


def test_outage_beyond_the_quota_is_told(log: Log) -> None:
    """D11: what is older than the newest `mqtt.backlog` events is passed over with a notice of which, and stays."""
    log.backlog = 20
    with log.feed():
        pass
    log.happen(100)
    with log.feed() as feed:
        notice, *events = taken(feed, 21)
        feed.settled("")
        assert FeedGap.model_validate(notice) == FeedGap(first=1, last=80, why="backlog")
        assert numbers(events) == list(range(81, 101))
    with log.feed() as feed:  # the notice was acknowledged, and nothing behind it
        assert taken(feed, 21)[0]["last"] == 80
    assert [entry.seq for entry in log.audit.read(0, 80)] == list(range(1, 81))


def test_other_log_under_the_cursor_is_sent_again(log: Log, tmp_path: Path) -> None:
    """D11, F12: where a backup was put back the cursor fits no more: the newest come again, and none is left out."""
    with log.feed() as feed:
        log.happen(10)
        taken(feed, 10)
        for _ in range(10):
            feed.settled("")
    for damage in (b"torn", b'{"seq":4,"hash":"' + b"0" * 64 + b'"}', b'{"seq":99,"hash":""}'):
        (tmp_path / "feed.cursor").write_bytes(damage)
        with log.feed() as feed:
            assert numbers(taken(feed, 10)) == list(range(1, 11))


def test_disk_that_takes_no_cursor_costs_a_repetition(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """D11, F3: where the cursor cannot be written the feed goes on and says so; after a restart events come twice."""
    with log.feed():
        log.happen(30)
    draft = log.folder / f"feed.cursor.{os.getpid()}.tmp"
    draft.mkdir()
    with log.feed() as feed:
        taken(feed, 30)
        for _ in range(30):
            feed.settled("")
        log.happen(1)
        assert numbers(taken(feed, 1)) == [31]
    assert "feed.cursor cannot be written" in caplog.text
    draft.rmdir()
    with log.feed() as feed:
        assert numbers(taken(feed, 31)) == list(range(1, 32))


def test_entry_that_cannot_be_read_is_never_passed_over(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """D11, F6: the feed stops before a damaged entry and says which; once it is whole again everything follows."""
    log.happen(3)
    (body,) = log.audit._db.execute("SELECT body FROM entry WHERE seq = 2").fetchone()
    log.audit._db.execute("DROP TRIGGER entry_is_not_changed")
    log.audit._db.execute("UPDATE entry SET body = 'gone' WHERE seq = 2")
    (log.folder / "feed.cursor").write_bytes(b'{"seq":0,"hash":""}')
    with log.feed() as feed:
        assert numbers(taken(feed, 1)) == [1]
        wait_for(lambda: "the event feed waits" in caplog.text)
        assert "entry 2 is not an event" in caplog.text
        assert feed.take() is None
        log.audit._db.execute("UPDATE entry SET body = ? WHERE seq = 2", [body])
        assert numbers(taken(feed, 2)) == [2, 3]


def test_broker_that_may_not_be_told_loses_nothing(log: Log, tmp_path: Path) -> None:
    """D11: where the broker's access list refuses the feed, nothing passes for sent; once it allows it, all arrives."""
    port, program = _free_port(), find_mosquitto()
    assert program
    rights = tmp_path / "acl"
    rights.write_text("topic readwrite ostiary/front/availability\ntopic read ostiary/#\n")
    rights.chmod(0o700)
    conf = f"listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {rights}\nuser root\n"
    (tmp_path / "conf").write_text(conf)
    settings = MqttSettings(host="127.0.0.1", port=port)
    with subprocess.Popen([program, "-c", str(tmp_path / "conf")], stderr=subprocess.DEVNULL) as process:
        feed = EventFeed(log.open, "front", tmp_path / "feed.cursor", 1000, AT_ONCE)
        log.happen(20)
        with (
            bystander(settings, "ear", FEED) as ear,
            MqttLink(settings, "front", queue.Queue(), QUICK, backlog=feed) as link,
        ):
            feed.start(link.wake)
            wait_for(lambda: feed._not_before_s)  # it was refused
            assert (feed.lag, ear.heard.qsize()) == (20, 0)
            rights.write_text("topic readwrite ostiary/#\n")
            process.send_signal(signal.SIGHUP)
            assert numbers(heard(ear, 20)) == list(range(1, 21))
        feed.close()
        process.terminate()


def _free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


READER = """
import queue, sys
from pathlib import Path
from appliance.config import MqttSettings
from appliance.drivers.mqtt import MqttLink
from appliance.feed import EventFeed
from tests.test_feed import AT_ONCE, Log
log = Log(Path(sys.argv[1]))
feed = EventFeed(log.open, "front", log.folder / "feed.cursor", 10_000, AT_ONCE)
settings = MqttSettings.model_validate_json(sys.argv[2])
with MqttLink(settings, "front", queue.Queue(), backlog=feed) as link:
    feed.start(link.wake)
    print("reading", flush=True)
    while True:
        log.happen(10)
"""


def test_killed_reader_leaves_no_gap(log: Log, broker: PrivateBroker) -> None:
    """D11, F2: a reader that is killed amid writing and sending, again and again, leaves out no event, bends none."""
    with log.feed():
        pass
    command = [sys.executable, "-c", READER, str(log.folder), broker.settings.model_dump_json()]
    said: list[Any] = []
    with bystander(broker.settings, "kill-ear", FEED) as ear:
        for number in range(2):
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
                assert reader.stdout is not None
                reader.stdout.readline()
                before = ear.heard.qsize()
                wait_for(lambda before=before: ear.heard.qsize() > before + 50)  # type: ignore[misc]
                time.sleep(0.05 * number)
                os.kill(reader.pid, signal.SIGKILL)
        feed = EventFeed(log.open, "front", log.folder / "feed.cursor", 10_000, AT_ONCE)
        with MqttLink(broker.settings, "front", queue.Queue(), QUICK, backlog=feed) as link:
            feed.start(link.wake)
            said = heard(ear, log.audit.head().seq)
        feed.close()
    kept = {entry.seq: as_payload(entry) for entry in log.audit.read()}
    assert {one["seq"]: one for one in said} == kept
    assert all(one == kept[one["seq"]] for one in said)
    again = len(said) - len(kept)
    assert again <= 2 * (AT_ONCE.keep_every + 50 + 8)  # what was acknowledged since the cursor was kept, and on the way


def test_pages_of_the_verb_lead_to_the_head(log: Log) -> None:
    """D11: whoever asks page by page has each event once, bounded in number and bytes, and at the end an empty page."""
    log.happen(20)
    log.audit.append(Event(EventType.BELL, NOON, detail="x" * 2 * MOST_BYTES))
    log.happen(20)
    use_cases = UseCases(feed_acts(log.audit))

    def ask(verb: str, **args: int) -> dict[str, Any]:
        return asked(use_cases, Command("auditor", Role.AUDITOR, verb, args, "r-1"))

    after, found = 0, list[int]()
    while (page := ask("feed", after=after, limit=15))["events"]:
        assert len(page["events"]) <= 15
        assert len(page["events"]) == 1 or len(json.dumps(page["events"])) < MOST_BYTES + 1000
        found += numbers(page["events"])
        after = page["next"]
    assert found == list(range(1, 42))
    assert page == {"events": [], "next": 41, "head": 41}
    assert ask("audit.head") == {"seq": 41, "hash": log.audit.head().hash}


def test_page_of_a_damaged_log_is_refused_in_one_line(log: Log) -> None:
    """D11: an entry that is no event is never passed over: the answer names the file and what says more."""
    log.happen(2)
    log.audit._db.execute("DROP TRIGGER entry_is_not_changed")
    log.audit._db.execute("UPDATE entry SET body = 'gone' WHERE seq = 2")
    with pytest.raises(RefusedError, match=r"entry 2 is not an event; ostiary audit verify says more"):
        asked(UseCases(feed_acts(log.audit)), Command("auditor", Role.AUDITOR, "feed", {"after": 0}, "r-1"))


def test_ringing_never_waits(log: Log) -> None:
    """D10: telling the feed of an event takes no lock that its thread or the connection's could hold."""
    with log.feed() as feed, feed._lock:
        ringing = threading.Thread(target=feed.ring, name="ringing")
        ringing.start()
        ringing.join(2)
        assert not ringing.is_alive()
