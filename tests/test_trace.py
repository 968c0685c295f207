"""The trace: what it holds, that it never stands in the door's way, and that a replay decides as the door did."""

from __future__ import annotations

import json
import logging
import os
import stat
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.access import rules as access_rules
from appliance.access.passback import Passage, Side
from appliance.access.subject import Factor, FactorPolicy, Status, Subject
from appliance.access.verdict import Standing
from appliance.audit import AuditLog
from appliance.config import Settings
from appliance.contract import EventType, Reason
from appliance.errors import StorageError, UsageError
from appliance.pipeline import Step
from appliance.pipeline.policy import Rules, decide
from appliance.records import Actor, ActorKind, AuditEvent, Candidate, Event, OperatingPoint, Presentation, Wait
from appliance.trace.audit import replay_audit
from appliance.trace.door import DoorReplay
from appliance.trace.lines import Conditions, Happening, Judgement, Look, read_line, standing_of, subject_of
from appliance.trace.recorder import Trace
from appliance.trace.replay import Outcome, TraceReplay, candidates_of, presentation_of
from tests.pipeline.test_policy import CANDIDATE, NUMBER, visits
from tests.tracing import ADA, BO, CONDITIONS, MONDAY, SETTINGS, Recording, ada, point_for, steps

if TYPE_CHECKING:
    from pathlib import Path

OFFICE = """
time_zone = "Europe/Lisbon"
[schedules.office]
periods = ["Mon-Fri 07:00-19:00"]
[groups.staff]
doors = ["front"]
schedule = "office"
"""
STAFF = Subject(ADA, "Ada Lovelace", groups=frozenset({"staff"}), pin_hash="$argon2id$secret", duress_hash="$duress")


def rules(text: str = OFFICE) -> access_rules.Rules:
    """Return access rules."""
    return access_rules.parse(text, "access.toml")


def under(**sections: Any) -> Settings:  # noqa: ANN401 - whatever a section holds
    """Return the recorded settings with these changed."""
    return Settings.model_validate({"liveness": {"commissioned": "skipped"}} | sections)


def replayed(lines: list[str], settings: Settings = SETTINGS, access: access_rules.Rules | None = None) -> Outcome:
    """Replay the lines."""
    again = TraceReplay(settings, access)
    for line in lines:
        again.take(read_line(line.encode()))
    return again.outcome()


def told(outcome: Outcome) -> list[tuple[str, str]]:
    """Return what was and what would be."""
    return [(one.was, one.would_be) for one in outcome.differences]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Give an empty trace."""
    return Recording(tmp_path / "trace.jsonl")


# What it holds


@pytest.mark.filterwarnings("ignore:invalid value")
@given(
    seen=visits().filter(lambda seen: seen.frames_read >= 0),
    candidates=st.lists(CANDIDATE, max_size=3),
    point=st.builds(OperatingPoint, NUMBER, NUMBER, st.just(1e-3), st.just(3), st.just("drawn")),
    asked=st.builds(
        Rules, st.integers(3, 30), st.floats(0, 5), st.floats(0.5, 30), st.floats(0, 1), face_only=st.booleans()
    ),
)
@trials(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_policy_decides_about_a_trace_as_about_the_visit(
    seen: Presentation,
    candidates: list[Candidate],
    point: OperatingPoint,
    asked: Rules,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever a visit is like, NaN and infinity too, and under whatever rules: what is read back is decided alike."""
    path = tmp_path_factory.mktemp("trace") / "trace.jsonl"
    step = Step((), seen, tuple(candidates), Wait())
    with closing(Trace(path, lambda: CONDITIONS)) as trace:
        trace.look(seen.latest.frame, step, point)
    *_, line = path.read_bytes().splitlines()
    look = read_line(line)
    assert isinstance(look, Look)
    assert decide(presentation_of(look), candidates_of(look), point, asked) == decide(seen, candidates, point, asked)


def test_a_trace_holds_scores_and_ids_alone(recording: Recording) -> None:
    """J3, B13: no template, picture, name or hash is in it; every line has the fields of its kind and no others."""
    recording.visit(steps(ada()))
    recording.judged(STAFF, rules(), MONDAY, Standing("front", companions=(replace(STAFF, person_id=BO),)))
    lines = recording.lines()
    text = "\n".join(lines)
    for secret in ("Ada Lovelace", "argon2id", "duress", "vector", "pixels"):
        assert secret not in text
    looks = [json.loads(line) for line in lines if '"kind":"look"' in line]
    assert len(looks) == 20
    assert max(map(len, lines)) < 1000
    assert set(looks[0]) == {
        *("at", "kind", "visit", "read_for_s", "seen", "alone", "frames_read", "read_span_s", "fresh", "bona_fide"),
        *("cues", "flaws", "candidates", "size", "answer", "reason", "person"),
    }
    assert looks[-1]["candidates"] == [[ADA, 0.7, 0.1]]
    assert (looks[0]["answer"], looks[-1]["answer"], looks[-1]["person"]) == ("wait", "grant", ADA)


def test_of_candidates_the_two_are_kept_that_policy_looks_at(recording: Recording) -> None:
    """A third candidate changes no decision and is not written down."""
    many = (ada(), Candidate(BO, "r", 0.2), Candidate("cy" * 16, "r", 0.19))
    recording.visit(steps(*many))
    assert all("cycy" not in line for line in recording.lines())


def test_conditions_stand_before_the_frames_and_again_where_they_change(tmp_path: Path) -> None:
    """The tails are written down once, and anew when a calibration gives another threshold; not as a gallery grows."""
    own = CONDITIONS.measured.model_copy(update={"tail_start": 0.4}) if CONDITIONS.measured else None
    described = iter([CONDITIONS, CONDITIONS.model_copy(update={"own": own})])
    path, (step, *_) = tmp_path / "trace.jsonl", steps(ada())
    assert step.presentation is not None
    higher = replace(point_for(300), threshold=point_for(300).threshold + 0.1)
    with closing(Trace(path, lambda: next(described))) as trace:
        for point in (point_for(100), point_for(100), point_for(200), point_for(300), higher, higher):
            trace.look(step.presentation.latest.frame, step, point)
    kinds = [json.loads(line)["kind"] for line in path.read_text().splitlines()]
    assert kinds == ["conditions", "look", "look", "look", "look", "conditions", "look", "look"]


def test_events_are_in_it(recording: Recording, tmp_path: Path) -> None:
    """What the door told and what was asked of it stands between the frames, by ids, without its detail."""
    event = Event(EventType.REX, MONDAY, Actor(ActorKind.DEVICE, "ostiary"), detail="secret", presentation_id="abc")
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as log:
        recording.trace.event(log.append(event))
    conditions, line = recording.lines()
    assert json.loads(conditions)["kind"] == "conditions"
    assert json.loads(line) == {
        "at": "2026-11-23T08:00:00Z",
        "kind": "event",
        "event_type": "rex",
        "reason": None,
        "who": "device ostiary",
        "visit": "abc",
    }


def test_nobody_leaves_no_line(recording: Recording) -> None:
    """An empty room writes nothing."""
    (step, *_) = steps(ada())
    assert step.presentation is not None
    recording.trace.look(step.presentation.latest.frame, Step((), None, (), Wait()), point_for(1))
    assert recording.lines() == []


# That it stands in nobody's way


def test_a_trace_is_its_owners_and_overwrites_nothing(tmp_path: Path) -> None:
    """J3: mode 0600 whatever the umask; a file or link that is there is refused, a folder that is missing too."""
    before = os.umask(0)
    try:
        Trace(tmp_path / "trace.jsonl", lambda: CONDITIONS).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "trace.jsonl").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("trace.jsonl", "link", "missing/trace.jsonl"):
        with pytest.raises(UsageError, match="cannot be written"):
            Trace(tmp_path / name, lambda: CONDITIONS)


def test_a_trace_ends_at_its_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """F11: never a byte more than asked for, a last line that says so, one warning, and a replay reads it whole."""
    recording = Recording(tmp_path / "trace.jsonl", 4000)
    recording.visit(steps(ada(), frames=60))
    lines = recording.lines()
    assert recording.path.stat().st_size <= 4000
    assert json.loads(lines[-1])["kind"] == "full"
    assert replayed(lines).frames == len(lines) - 2
    assert [record.getMessage() for record in caplog.records] == [
        f"trace {recording.path} is full; nothing more is written into it"
    ]


def test_a_full_disk_ends_the_trace_and_nothing_else(recording: Recording, caplog: pytest.LogCaptureFixture) -> None:
    """F3: the first line that cannot be written is told once; whoever calls goes on."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, recording.trace._descriptor)
    os.close(full)
    recording.visit(steps(ada()))
    assert [record.getMessage() for record in caplog.records] == [
        f"trace {recording.path} ends here: [Errno 28] No space left on device"
    ]


def test_a_gallery_that_cannot_be_read_ends_the_trace_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """F6: what describes the conditions may fail; the door goes on without a trace."""

    def damaged() -> Conditions:
        raise StorageError("gallery cannot be used: damaged")

    path, (step, *_) = tmp_path / "trace.jsonl", steps(ada())
    assert step.presentation is not None
    with closing(Trace(path, damaged)) as trace, caplog.at_level(logging.WARNING):
        for _ in range(3):
            trace.look(step.presentation.latest.frame, step, point_for(1))
    assert path.read_bytes() == b""
    assert len(caplog.records) == 1


def test_an_odd_id_ends_the_trace_and_nothing_else(recording: Recording) -> None:
    """D8: an id that could move a cursor is not written down, and no fault of the caller's."""
    recording.visit(steps(ada()))
    recording.judged(replace(STAFF, person_id="\x1b[2J"), rules(), MONDAY, Standing("front"))
    recording.visit(steps(ada()))
    assert len(recording.lines()) == 21


# What it says again


def test_under_the_same_settings_nothing_differs(recording: Recording) -> None:
    """Recognised, unknown, not live, two at once, too alike: each decision falls again, at the same frame."""
    for visit in (
        steps(ada()),
        steps(ada(0.31)),
        steps(ada(), bona_fide=0.05),
        steps(ada(), bona_fide=0.3, frames=80),
        steps(ada(), others=1, frames=80),
        steps(ada(rival=0.9)),
        steps(),
        steps(ada(), frames=2),
    ):
        recording.visit(visit)
    recording.judged(STAFF, rules(), MONDAY, Standing("front"))
    lines = recording.lines()
    outcome = replayed(lines, access=rules())
    assert (told(outcome), outcome.moved_s, outcome.notes) == ([], (), ())
    assert (outcome.visits, outcome.frames, outcome.verdicts) == (8, len(lines) - 2, 1)
    answers = {json.loads(line)["answer"] for line in lines if "answer" in line}
    assert answers == {"grant", "deny", "refer", "wait"}


@pytest.mark.parametrize(
    ("settings", "visit", "difference"),
    [
        (under(recognition={"target_fpir": 1e-6}), {"ada": 0.5}, ("recognised", "a human is asked (unknown_face)")),
        (under(recognition={"target_fpir": 0.1}), {"ada": 0.31}, ("a human is asked (unknown_face)", "recognised")),
        (
            under(liveness={"commissioned": "skipped", "min_bona_fide": 0.9}),
            {"ada": 0.7},
            ("recognised", "a human is asked (liveness_uncertain)"),
        ),
        (under(recognition={"margin": 0.4}), {"ada": 0.7}, ("recognised", "a human is asked (ambiguous_match)")),
        (
            under(liveness={"commissioned": "required"}),
            {"ada": 0.7},
            ("recognised", "a human is asked (second_factor_required)"),
        ),
    ],
)
def test_other_settings_show_in_words(
    recording: Recording, settings: Settings, visit: dict[str, float], difference: tuple[str, str]
) -> None:
    """The threshold is derived anew from the recorded tail, and each rule of policy is the new one."""
    recording.visit(steps(ada(visit["ada"]), frames=80))
    assert told(replayed(recording.lines(), settings)) == [difference]


def test_a_visit_ends_when_it_ended(recording: Recording) -> None:
    """Whoever walked in after 0.6 s cannot be read for two: nothing would have been decided, and that is said."""
    recording.visit(steps(ada(), frames=10))
    outcome = replayed(recording.lines(), under(recognition={"intent_s": 2.0}))
    assert told(outcome) == [("recognised", "nothing is decided in the 0.6 s of the visit")]


def test_what_would_only_fall_later_is_counted(recording: Recording) -> None:
    """The same decision at another frame is no difference, but the summary says how much later it falls."""
    recording.visit(steps(ada()))
    outcome = replayed(recording.lines(), under(recognition={"min_frames": 12}))
    assert told(outcome) == []
    assert [round(one, 6) for one in outcome.moved_s] == [0.4]
    expected = "1 visits, 20 frames, 0 verdicts of the rules: 0 would differ; 1 the same, but later (median 0.40 s)"
    assert outcome.in_words() == expected


def test_the_gallery_counts_as_it_was(recording: Recording) -> None:
    """The threshold is that of the gallery's size at each moment, not of today's."""
    recording.visit(steps(ada(0.44), size=1), size=1)
    recording.visit(steps(ada(0.44), size=5000), size=5000)
    lines = recording.lines()
    answers = [json.loads(line)["answer"] for line in lines if "answer" in line]
    assert {"grant", "refer"} <= set(answers)
    assert told(replayed(lines)) == []


def test_what_cannot_be_replayed_is_said(recording: Recording) -> None:
    """Another model, or a face's least width, would have given other scores: a note names the key."""
    recording.visit(steps(ada()))
    outcome = replayed(recording.lines(), under(recognition={"embedder": "b", "min_face_px": 120.0}))
    assert [note.partition(" was ")[0] for note in outcome.notes] == ["recognition.embedder", "recognition.min_face_px"]


def test_verdicts_are_judged_under_the_new_rules(recording: Recording) -> None:
    """C14: groups, hours, factors and passback as they were, judged by the rules as they would be."""
    recording.visit(steps(ada()))
    evening = MONDAY.replace(hour=21)
    passed = Passage(Side.ENTRY, MONDAY - timedelta(minutes=5))
    recording.judged(STAFF, rules(), MONDAY, Standing("front", passage=passed))
    recording.judged(STAFF, rules(), evening, Standing("front"))
    recording.judged(STAFF, rules(), MONDAY, Standing("front", frozenset({Factor.PIN}), lockdown=True))
    lines = recording.lines()
    stricter = rules(OFFICE.replace("19:00", "22:00") + '[doors.front]\nfactor = "pin"\npassback = "hard"\n')
    assert told(replayed(lines, access=stricter)) == [
        ("may enter", "may not enter (anti_passback)"),
        ("may not enter (outside_schedule)", "asked for pin"),
    ]
    assert told(replayed(lines)) == []
    assert replayed(lines).notes == ("no rules of access are given: their verdicts are not replayed",)


def test_everything_a_verdict_rests_on_is_read_back(recording: Recording) -> None:
    """Each fact of a person and of the door's standing comes back; the id stands for the name."""
    everything = Subject(
        ADA,
        "Ada Lovelace",
        Status.SUSPENDED,
        MONDAY,
        MONDAY + timedelta(days=1),
        frozenset({"staff", "night"}),
        always=True,
        extended=True,
        factor=FactorPolicy.ANY,
    )
    companion = Subject(BO, BO, groups=frozenset({"guard"}))
    standing = Standing(
        "front",
        frozenset(Factor),
        lockdown=True,
        doubt="a doubt",
        passage=Passage(Side.EXIT, MONDAY),
        companions=(companion,),
    )
    recording.judged(everything, rules(), MONDAY, standing)
    (line,) = recording.lines()
    read = read_line(line.encode())
    assert isinstance(read, Judgement)
    assert subject_of(read.person) == replace(everything, name=ADA)
    assert standing_of(read) == standing


def happened(recording: Recording, *events: tuple[float, EventType]) -> None:
    """Write down what the door told, so many seconds after the morning began."""
    for after_s, kind in events:
        event = Event(kind, MONDAY + timedelta(seconds=after_s), presentation_id="abc")
        recording.trace.event(AuditEvent(1, "1", "ostiary", "front", event, "", ""))


@pytest.mark.parametrize(
    ("door", "differences"),
    [
        ({}, []),
        ({"unlock_s": 8.0, "relock": "on_close"}, []),
        ({"held_open_s": 20.0}, [("held_open_warning", "held_open_warning, held_open")]),
        ({"held_open_s": 60.0}, [("held_open_warning", "no alarm")]),
        ({"warning_s": 0.0}, [("held_open_warning", "no alarm")]),
    ],
    ids=str,
)
def test_the_doors_alarms_are_replayed_with_other_times(
    recording: Recording, door: dict[str, Any], differences: list[tuple[str, str]]
) -> None:
    """G8: a door that stood open for 25 s, one that was forced, one that nobody entered: as with the new times."""
    happened(
        recording,
        (0, EventType.STARTED),
        (1, EventType.ACCESS_GRANTED),
        (2, EventType.DOOR_OPENED),
        (27, EventType.DOOR_CLOSED),
        (60, EventType.REX),
        (61, EventType.DOOR_OPENED),
        (62, EventType.DOOR_CLOSED),
        (100, EventType.DOOR_OPENED),
        (101, EventType.DOOR_CLOSED),
        (200, EventType.ACCESS_GRANTED),
        (300, EventType.LOCKDOWN),
        (301, EventType.ACCESS_GRANTED),
        (310, EventType.LOCKDOWN_CLEARED),
        (400, EventType.FIRE_RELEASE),
        (410, EventType.DOOR_OPENED),
        (600, EventType.FIRE_CLEARED),
        (610, EventType.DOOR_CLOSED),
    )
    expected = [tuple(f"door_opened, then {words}" for words in difference) for difference in differences]
    assert told(replayed(recording.lines(), under(door=door))) == expected


def test_the_door_is_replayed_by_its_own_state_machine(recording: Recording) -> None:
    """G8: an opening without a cause is forced, and a grant without an opening is told, as the controller would."""
    happened(recording, (0, EventType.ACCESS_GRANTED), (60, EventType.DOOR_OPENED), (90, EventType.DOOR_CLOSED))
    door = DoorReplay(SETTINGS.door)
    for line in recording.lines()[1:]:
        event = read_line(line.encode())
        assert isinstance(event, Happening)
        door.take(event)
    door.end()
    assert dict(door.alarms) == {1: ["granted_not_entered"], 2: ["forced_open"]}


@given(
    st.lists(
        st.tuples(st.sampled_from([-1e4, -1.0, 0.0, 0.5, 3.0, 40.0, 1e5, 6e10]), st.sampled_from(list(EventType))),
        max_size=30,
    )
)
@trials(max_examples=100, deadline=None)
def test_no_sequence_of_events_is_a_fault(events: list[tuple[float, EventType]]) -> None:
    """H2: whatever is told in whatever order, years ahead and back, a replay ends, the same twice over."""
    doors = [DoorReplay(SETTINGS.door) for _ in range(2)]
    for at_s, kind in events:
        at = MONDAY + timedelta(seconds=at_s)
        for door in doors:
            door.take(Happening(at=at, event_type=kind, reason=None, who="", visit="abc"))
    for door in doors:
        door.end()
    assert doors[0].alarms == doors[1].alarms


# What is none of a trace


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "other"},
        {"kind": None},
        {"visit": "\x1b[2J"},
        {"visit": "a" * 64},
        {"seen": 0},
        {"seen": 10**9},
        {"seen": True},
        {"frames_read": -1},
        {"size": 10**400},
        {"bona_fide": "0.9"},
        {"bona_fide": None},
        {"candidates": [["ada", 0.5]]},
        {"candidates": [["ada", 0.5, 0.1]] * 3},
        {"cues": ["unheard_of"]},
        {"answer": "yes"},
        {"at": "2026-11-23T08:00:00"},
        {"at": "yesterday"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_line_of_other_fields_is_none(recording: Recording, changes: dict[str, Any]) -> None:
    """A missing, unknown, mistyped or unbounded field is refused before anything is decided."""
    recording.visit(steps(ada()))
    *_, last = recording.lines()
    with pytest.raises(ValidationError):
        read_line(json.dumps(json.loads(last) | changes).encode())


def test_a_frame_without_conditions_is_refused(recording: Recording) -> None:
    """Without the tails there is no threshold to derive."""
    recording.visit(steps(ada()))
    with pytest.raises(ValueError, match="before the conditions"):
        replayed(recording.lines()[1:])


# The audit log


def granted(log: AuditLog, at: datetime, liveness: float = 0.9, frames: int = 5, method: str = "face") -> None:
    """Write down that Ada was let in."""
    log.append(
        Event(
            EventType.ACCESS_GRANTED,
            at,
            Actor(ActorKind.PERSON, ADA),
            method,
            Reason.OK,
            "abc",
            liveness=liveness,
            frames=frames,
        )
    )


def test_an_audit_log_is_judged_by_what_it_holds(tmp_path: Path) -> None:
    """Liveness, frames, hours and factors of who was let in; who was referred for liveness; no more than that."""
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as log:
        granted(log, MONDAY)
        granted(log, MONDAY.replace(hour=21))
        granted(log, MONDAY.replace(hour=21), method="face+pin")
        granted(log, MONDAY, liveness=0.6)
        granted(log, MONDAY, frames=3)
        for liveness in (0.55, 0.75, None):
            uncertain = Event(
                EventType.APPROVAL_REQUESTED,
                MONDAY,
                reason=Reason.LIVENESS_UNCERTAIN,
                presentation_id="def",
                liveness=liveness,
            )
            log.append(uncertain)
        settings = Settings.model_validate({"liveness": {"min_bona_fide": 0.7}, "recognition": {"min_frames": 4}})
        text = OFFICE + '[doors.front]\nfactor = "pin"\nfactor_outside = "office"\n'
        wider = rules(
            text.replace(
                "[groups.staff]", '[schedules.late]\nperiods = ["Mon-Fri 07:00-23:00"]\n[groups.staff]'
            ).replace('schedule = "office"', 'schedule = "late"')
        )
        outcome = replay_audit(log.read(), settings, wider, lambda person: STAFF if person == ADA else None)
        blind = replay_audit(log.read(), SETTINGS, None, None)
    assert told(outcome) == [
        ("let in", "asked for pin: door front asks for a factor; pin is needed besides the face"),
        ("let in", "not yet: liveness 0.600 is under 0.7"),
        ("let in", "not yet: 3 frames were read, 4 are asked for"),
        ("a human was asked", "goes on: liveness 0.750 is at least 0.7"),
    ]
    assert (outcome.visits, outcome.verdicts) == (2, 5)
    assert told(blind) == [
        ("a human was asked", f"goes on: liveness {liveness} is at least 0.5") for liveness in ("0.550", "0.750")
    ]
    assert len(blind.notes) == 2
