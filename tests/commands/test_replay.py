"""`ostiary replay`, and `ostiary run --trace`: what they print, refuse and leave alone."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import cv2
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance.access.subject import Subject
from appliance.access.verdict import Standing
from appliance.audit import AuditLog
from appliance.cli import root
from appliance.config import CameraSettings
from appliance.contract import EventType, Reason
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.errors import ApplianceError
from appliance.people.gallery import Gallery
from appliance.records import Actor, ActorKind, Event
from tests.tracing import ADA, MONDAY, Recording, ada, steps

if TYPE_CHECKING:
    from pathlib import Path

SKIPPED = '[liveness]\ncommissioned = "skipped"\n'
STRICTER = SKIPPED + "min_bona_fide = 0.9\n"
OFFICE = 'time_zone = "Europe/Lisbon"\n[groups.staff]\ndoors = ["front"]\n'


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a trace of Ada, who came, was recognised and might enter."""
    recording = Recording(tmp_path_factory.mktemp("trace") / "trace.jsonl")
    recording.visit(steps(ada(), frames=80))
    recording.judged(Subject(ADA, "Ada Lovelace"), None, MONDAY, Standing("front"))
    recording.lines()
    return recording.path


def replay(file: Path, config: str, *words: str) -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    settings = file.parent / "new.toml"
    settings.write_text(config)
    done = CliRunner().invoke(root, ["replay", str(file), "--config", str(settings), *words])
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}ostiary: {done.exception}\n"
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_differences_are_lines_and_no_fault(trace: Path, tmp_path: Path) -> None:
    """Each difference is a line with moment, visit, person, was and would be; then a summary; exit 0."""
    code, said = replay(trace, SKIPPED)
    assert code == 0
    assert said.splitlines() == [
        "note: no rules of access are given: their verdicts are not replayed",
        "1 visits, 80 frames, 0 verdicts of the rules: 0 would differ",
    ]
    access = tmp_path / "access.toml"
    access.write_text(OFFICE)
    code, said = replay(trace, STRICTER, "--access", str(access))
    *differences, summary = said.splitlines()
    assert code == 0
    assert summary == "1 visits, 80 frames, 1 verdicts of the rules: 2 would differ"
    words = sorted(line.split("  ", 1)[1].split(" ", 1)[1] for line in differences)
    assert words == [
        f"{ADA}: may enter -> may not enter (no_door_right)",
        f"{ADA}: recognised -> a human is asked (liveness_uncertain)",
    ]


def test_differences_are_json_for_programs(trace: Path) -> None:
    """With --json each line is an object, the last one of the whole."""
    code, said = replay(trace, STRICTER, "--json")
    difference, whole = (json.loads(line) for line in said.splitlines())
    assert code == 0
    assert set(difference) == {"at", "visit", "person", "was", "would_be"}
    assert (difference["was"], difference["would_be"]) == ("recognised", "a human is asked (liveness_uncertain)")
    assert (whole["visits"], whole["frames"], whole["differences"]) == (1, 80, 1)


def test_rules_are_found_where_the_new_settings_lead(trace: Path, tmp_path: Path) -> None:
    """Without --access the rules beside the new settings hold, as they do for the reader."""
    here = tmp_path / "trace.jsonl"
    here.write_bytes(trace.read_bytes())
    (tmp_path / "access.toml").write_text(OFFICE)
    code, said = replay(here, SKIPPED)
    assert code == 0
    assert "may enter -> may not enter (no_door_right)" in said


@pytest.mark.parametrize("number", [1, 2, 40, 82])
@pytest.mark.parametrize("garbage", [b"", b"{}", b"garbage", b"\xff\xfe\x00", b"[" * 60000, b'{"kind":"look"}', b"NaN"])
def test_a_line_that_is_none_is_named(trace: Path, tmp_path: Path, number: int, garbage: bytes) -> None:
    """E1: whichever line is garbage: exit 2, one line with its number, and nothing of it moves a cursor."""
    lines = trace.read_bytes().splitlines()
    lines[number - 1] = garbage
    (tmp_path / "trace.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    code, said = replay(tmp_path / "trace.jsonl", SKIPPED)
    assert code == 2
    assert f"line {number} is none of a trace" in said
    assert said.count("\n") == 1
    assert said.strip().isprintable()
    assert len(said) < 400


@given(st.binary(max_size=400), st.integers(0, 90_000))
@trials(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_are_a_crash(trace: Path, tmp_path: Path, noise: bytes, at: int) -> None:
    """Whatever bytes stand in a trace, the answer is a replay or one line."""
    whole = trace.read_bytes()
    (tmp_path / "trace.jsonl").write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    code, said = replay(tmp_path / "trace.jsonl", SKIPPED)
    assert (code, said.count("\n")) in {(2, 1), (0, 1), (0, 2), (0, 3)}


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"])
def test_a_time_at_the_end_of_the_calendar_is_no_crash(trace: Path, tmp_path: Path, at: str) -> None:
    """H4: a moment that no time zone can tell is one line, or is judged."""
    *lines, judgement = trace.read_bytes().splitlines()
    altered = json.dumps(json.loads(judgement) | {"at": at}).encode()
    (tmp_path / "trace.jsonl").write_bytes(b"\n".join([*lines, altered]))
    (tmp_path / "access.toml").write_text(OFFICE + 'schedule = "s"\n[schedules.s]\nperiods = ["Mon 08:00-09:00"]\n')
    assert replay(tmp_path / "trace.jsonl", SKIPPED)[0] in {0, 2}


def test_what_is_neither_is_one_line(trace: Path, tmp_path: Path) -> None:
    """A file that is not there, a folder, another database, other settings: exit 2, and the file is left alone."""
    other = tmp_path / "gallery.db"
    Gallery(other).close()
    before = other.read_bytes()
    for file, config in ((tmp_path / "none", ""), (tmp_path, ""), (other, ""), (trace, "[door]\nx = 1\n")):
        place = tmp_path / "settings"
        place.mkdir(exist_ok=True)
        (place / "new.toml").write_text(config)
        done = CliRunner().invoke(root, ["replay", str(file), "--config", str(place / "new.toml")])
        assert isinstance(done.exception, ApplianceError)
        assert done.exception.exit_code == 2
        assert "\n" not in str(done.exception)
    assert other.read_bytes() == before
    assert not (tmp_path / "none").exists()


def test_an_audit_log_is_replayed(tmp_path: Path) -> None:
    """With the gallery beside it the rules are asked, about whoever is still enrolled; the log stays as it is."""
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as log:
        event = Event(EventType.ACCESS_GRANTED, MONDAY, Actor(ActorKind.PERSON, ADA), "face", Reason.OK, "abc")
        log.append(event)
        head = log.head()
    code, said = replay(tmp_path / "audit.db", SKIPPED)
    assert code == 0
    assert said.splitlines()[-1] == "1 visits, 0 frames, 0 verdicts of the rules: 0 would differ"
    Gallery(tmp_path / "gallery.db").close()
    (tmp_path / "access.toml").write_text(OFFICE)
    assert replay(tmp_path / "audit.db", SKIPPED)[0] == 0
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as log:
        assert log.head() == head


def test_a_running_reader_writes_a_trace_that_replays_to_the_same(tmp_path: Path) -> None:
    """`run --trace` says that it holds scores, and what it writes is decided about again as it was."""
    film, written = tmp_path / "visitor.mp4", tmp_path / "trace.jsonl"
    camera = SimulatedCamera(Script(Scene(visits=(Visit(for_s=2, pause_s=0.2),))), CameraSettings(), paced=False)
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), 15, (640, 480))
    while (frame := camera.read()) is not None:
        writer.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
    writer.release()
    (tmp_path / "old.toml").write_text(SKIPPED)
    places = ["--config", str(tmp_path / "old.toml"), "--state", str(tmp_path / "state")]
    command = [sys.executable, "-m", "appliance", "run", "--source", str(film), "--door", "simulated"]
    done = subprocess.run(
        [*command, "--trace", str(written), *places], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{written} takes down scores and ids of people" in done.stderr
    kinds = {json.loads(line)["kind"] for line in written.read_text().splitlines()}
    assert kinds == {"conditions", "look", "event"}
    started = json.loads(written.read_text().splitlines()[1])
    assert (started["event_type"], datetime.fromisoformat(started["at"]).tzinfo) == ("started", UTC)
    code, said = replay(written, SKIPPED)
    assert (code, said.splitlines()[-1].rpartition(": ")[2]) == (0, "0 would differ")
