"""What Prometheus reads of a reader: counts and states by words of the contract, documented, and never who."""

from __future__ import annotations

import importlib
import logging
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from appliance import __version__
from appliance.commands.run import _as_line
from appliance.config import MetricsSettings
from appliance.contract import VERB_ROLES, Alarm, EventType, LockState, Mode, Phase, Reason
from appliance.envelope import Fault
from appliance.logs import _tell
from appliance.metrics import Metrics
from appliance.people.gallery import Consent
from appliance.records import Actor, ActorKind, Deny, DoorState, Event, Grade, Refer
from appliance.vitals import BoardVitals, BrokerVitals, Vitals
from tests.stand import ADA, BEA, NOON, Stand, standing

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
DOOR = DoorState(LockState.LOCKED, None, "", Mode.NORMAL, Phase.FORCED, alarms=frozenset({Alarm.FORCED_OPEN}))
BROKER = BrokerVitals(
    connected=True,
    connects=3,
    dropped=1,
    expired=2,
    feed_lag=5,
    commands=dict.fromkeys(((verb, result) for verb in VERB_ROLES for result in ("done", "refused")), 1),
    refused=dict.fromkeys(Fault, 1),
)
VITALS = Vitals(
    camera_ok=True,
    controller_ok=True,
    door=DOOR,
    references=12,
    frames_dropped=4,
    frames_unfit=1,
    camera_reopened=0,
    broker=BROKER,
    board=BoardVitals(celsius=61.5, slowed=True),
)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Give a reception at which Ada was let in, somebody refused, and a third one asked about and turned away."""
    with standing(tmp_path) as stand:
        stand.see(stand.grant("ada"), name="v1")
        stand.now_s += 20
        stand.see(Deny(Reason.LIVENESS_FAILED), name="v2", probe=BEA)
        stand.now_s += 20
        stand.see(Refer(Reason.UNKNOWN_FACE), name="v3")
        assert len(stand.asked) == 1
        stand.now_s += 60
        stand.reception.tick()
        yield stand


@pytest.fixture
def metrics(stand: Stand, tmp_path: Path) -> Metrics:
    """Give the metrics of what happened there, of a door with everything there can be to say."""
    metrics = Metrics(tmp_path)
    metrics.watch(lambda: VITALS)
    for sealed in stand.audit.read():
        metrics.event(sealed)
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample as Prometheus reads it."""
    text = generate_latest(metrics.registry).decode()
    found = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for one in found}


def test_counts_are_those_of_the_log(metrics: Metrics, stand: Stand) -> None:
    """What was decided, asked and sealed is counted once each, by outcome, reason and type."""
    read = samples(metrics)
    sealed = [entry.event for entry in stand.audit.read()]
    counted = {labels[0][1]: value for (name, labels), value in read.items() if name == "ostiary_events_total"}
    assert counted == Counter(event.event_type.value for event in sealed)
    decided = {labels: value for (name, labels), value in read.items() if name == "ostiary_decisions_total"}
    assert decided == {
        (("method", "face"), ("outcome", "granted"), ("reason", "ok")): 1,
        (("method", "face"), ("outcome", "denied"), ("reason", "liveness_failed")): 1,
        (("method", "face"), ("outcome", "referred"), ("reason", "unknown_face")): 1,
        (("method", "attendant"), ("outcome", "denied"), ("reason", "operator_timeout")): 1,
    }
    tickets = {labels[0][1]: value for (name, labels), value in read.items() if name == "ostiary_tickets_total"}
    assert tickets == {"requested": 1, "expired": 1}
    assert read["ostiary_decision_seconds_count", (("outcome", "granted"),)] == 1


def test_states_are_those_of_now(metrics: Metrics) -> None:
    """A state is asked for when it is read: the door's phase and alarms, camera, gallery, disk and broker."""
    read = samples(metrics)
    assert read["ostiary_door_phase", (("phase", "FORCED"),)] == 1
    assert sum(value for (name, _), value in read.items() if name == "ostiary_door_phase") == 1
    assert {labels[0][1] for (name, labels), value in read.items() if name == "ostiary_alarm" and value} == {
        "forced_open"
    }
    for name, value in (("gallery_references", 12), ("feed_lag_events", 5), ("broker_connected", 1), ("camera_ok", 1)):
        assert read[f"ostiary_{name}", ()] == value
    assert read["ostiary_disk_free_bytes", ()] > 0
    metrics.watch(lambda: replace(VITALS, camera_ok=False, door=None, broker=None))
    read = samples(metrics)
    assert read["ostiary_alarm", (("alarm", "camera"),)] == 1
    assert sum(value for (name, _), value in read.items() if name == "ostiary_door_phase") == 0
    assert ("ostiary_broker_connected", ()) not in read


def test_labels_are_words_of_the_contract(metrics: Metrics) -> None:
    """J3: no label can hold an id or a name: every value there is comes from a closed list."""
    words = {*EventType, *Reason, *Phase, *Alarm, *VERB_ROLES, *Fault, "done", "refused", "dropped", "expired"}
    words |= {"granted", "denied", "referred", "requested", "face", "attendant", __version__}
    for name, labels in samples(metrics):
        assert {value for key, value in labels if key != "le"} <= words, name


def test_logs_and_metrics_hold_ids_and_no_names(
    metrics: Metrics, stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    """J3: after grant, refusal, ticket and enrolment no line, field or metric has a name, and no metric an id."""
    caplog.set_level(logging.DEBUG)
    stand.gallery.add("Zyxglorp Quuxington", Consent("Ada Quuxington", NOON), [(ADA, Grade.HIGH)])
    stand.journal.append(Event(EventType.ENROLLED, NOON, Actor(ActorKind.CLIENT, "desk"), method="mqtt"))
    for sealed in stand.audit.read():
        metrics.event(sealed)
        _tell(sealed, _as_line(sealed))
    said = caplog.text + str([vars(record) for record in caplog.records])
    read = generate_latest(metrics.registry).decode()
    for name in ("Ada", "Bea", "Zyxglorp", "Quuxington"):
        assert name not in said + read
    ids = {*stand.ids.values(), stand.asked[0].ticket_id, "v1", "desk", *(entry.id for entry in stand.audit.read())}
    assert {one for one in ids if one in said} >= {stand.ids["ada"], stand.asked[0].ticket_id}
    assert {one for one in ids if one in read} == set()


def test_every_metric_is_documented(metrics: Metrics) -> None:
    """docs/operating.md lists every metric there is, and no other; the shipped alerts ask for nothing else."""
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(ostiary_\w+)` \|", text, re.MULTILINE))
    there = {re.sub(r"(?<=seconds)_(bucket|sum|count)$", "", name) for name, _ in samples(metrics)}
    assert documented == {name for name in there if not name.startswith("process_")}
    rules = ROOT / "firmware_config" / "prometheus" / "ostiary.rules.yml"
    loaded = importlib.import_module("yaml").safe_load(rules.read_text(encoding="utf-8"))
    asked = [rule["expr"] for group in loaded["groups"] for rule in group["rules"]]
    assert set(re.findall(r"ostiary_\w+", " ".join(asked))) <= documented
    assert len(asked) == len({rule["alert"] for group in loaded["groups"] for rule in group["rules"]})
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "rules", rules], check=True)


def test_askers_who_hang_hold_nobody_up(metrics: Metrics) -> None:
    """H12, D13: idle connections to the port take no thread each and hold up no event; who asks is then answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with metrics.served(MetricsSettings(enabled=True, port=port)):
        before = threading.active_count()
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
        began_s = time.monotonic()
        for _ in range(1000):
            metrics.frame()
        assert time.monotonic() - began_s < 2  # a block would last until the test is given up
        assert threading.active_count() == before
        for one in idle:
            one.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"ostiary_frames_read_total 1000.0" in answer.read()


def test_port_that_is_taken_is_one_line(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    """A port that somebody else has is told, and the reader works on without metrics."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with metrics.served(MetricsSettings(enabled=True, port=port)):
            metrics.frame()
    assert [record.getMessage() for record in caplog.records] == [
        f"no metrics at 127.0.0.1:{port}: Address already in use"
    ]
