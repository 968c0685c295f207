"""The desk of a guided enrolment: what is begun ends, and ends whole or with nobody."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.audit import AuditLog
from appliance.contract import EventType, Hint
from appliance.enrolment.desk import WAITED_S, GuidedDesk, Newcomer, Told
from appliance.enrolment.guided import LIMIT_S, Pose
from appliance.errors import RefusedError, StorageError
from appliance.people.gallery import Gallery
from appliance.people.person import Consent
from appliance.people.references import Standard
from appliance.pipeline import Step
from appliance.records import Embedding, Evidence, FaceDetection, Frame, Wait
from tests.enrolment.bulk_worker import IMPOSTORS
from tests.enrolment.test_guided import RULES, TURNS
from tests.stand import presentation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADA = Newcomer("Ada", Consent("Ada", datetime(2026, 3, 1, tzinfo=UTC), photos=True))


def template(pose: Pose) -> Embedding:
    """Return a face as it is read in this pose."""
    numbers = np.random.default_rng(1).normal(size=256)
    numbers += 0.3 * np.random.default_rng(10 + list(Pose).index(pose)).normal(size=256)
    return Embedding((numbers / np.linalg.norm(numbers)).astype(np.float32), "m")


@dataclass
class Office:
    """A desk at a time that the test sets; it reads templates as the test says."""

    gallery: Gallery
    audit: AuditLog
    now_s: float = 100.0
    told: list[Told] = field(default_factory=list)
    pose: Pose = Pose.STRAIGHT

    def desk(self) -> GuidedDesk:
        """Return the desk."""
        return GuidedDesk(
            self.gallery,
            self.audit,
            self,
            standard=Standard(IMPOSTORS, 1e-3),
            rules=RULES,
            near_px=100.0,
            portrait=lambda _step: b"jpeg",
            clock=lambda: self.now_s,
        )

    def template(self, _frame: Frame, _face: FaceDetection) -> Embedding:
        """Return what is read of a whole frame."""
        return template(self.pose)

    def show(self, desk: GuidedDesk, *poses: Pose) -> None:
        """Show each pose for two frames."""
        for self.pose in (pose for pose in poses for _ in range(2)):
            self.now_s += 0.1
            desk.see(self.step(), self.now_s)

    def step(self) -> Step:
        """Return one frame of somebody alive in the present pose."""
        seen = presentation("v1", template(self.pose), self.now_s)
        yaw, pitch = TURNS[self.pose]
        quality = replace(seen.latest.quality, yaw_deg=yaw, pitch_deg=pitch)
        one = Evidence(
            self.now_s, quality.grade, (), seen.latest.detection.box, seen.evidence[0].landmarks, 0.9, None, 0
        )
        visit = replace(seen, evidence=(one,) * 4, latest=replace(seen.latest, quality=quality))
        return Step((seen.latest.detection,), visit, (), Wait())


def busy(desk: GuidedDesk) -> bool:
    """Tell whether somebody is being enrolled now."""
    return desk.busy


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Give an office."""
    with ExitStack() as opening:
        gallery = opening.enter_context(Gallery(tmp_path / "gallery.db"))
        yield Office(gallery, opening.enter_context(AuditLog(tmp_path / "audit.db", "ostiary", "front")))


def test_views_become_references_with_their_pictures(office: Office) -> None:
    """Each view that was taken is read once more and enrolled, and its picture is kept as the consent allows."""
    for newcomer, kept in ((ADA, 5), (replace(ADA, name="Bo", consent=replace(ADA.consent, photos=False)), 0)):
        desk = office.desk()
        desk.begin(replace(newcomer, accept_alike=True), office.told.append)
        assert busy(desk)
        office.show(desk, *Pose)
        assert not busy(desk)
        assert desk.hint is None
        last = office.told[-1]
        if last.enrolled is None:  # the same pictures are nobody else's, whoever answers for it
            assert "is enrolled already" in last.refused
            continue
        assert last.hint is Hint.ENROLLED
        assert len(office.gallery.photos(last.enrolled.person.person_id)) == kept
        assert last.enrolled.person.references == 5
    assert [one.name for one in office.gallery.people()] == ["Ada"]


def test_one_at_a_time(office: Office) -> None:
    """A second enrolment is refused while one is going on, and so is one that could not end well."""
    desk = office.desk()
    desk.begin(ADA, office.told.append)
    with pytest.raises(RefusedError, match="being enrolled at this door already"):
        desk.begin(ADA, office.told.append)
    desk.stop()
    assert office.told[-1].refused == "it was stopped"
    for bad in (replace(ADA, name=""), replace(ADA, consent=replace(ADA.consent, language="?"))):
        with pytest.raises(RefusedError):
            desk.begin(bad, office.told.append)
        assert not busy(desk)


def test_it_ends_when_no_frame_comes_any_more(office: Office) -> None:
    """A camera that has gone leaves nobody waiting for longer than the limit."""
    desk = office.desk()
    desk.begin(ADA, office.told.append)
    office.show(desk, Pose.STRAIGHT, Pose.LEFT, Pose.RIGHT)
    office.now_s = 100.0 + LIMIT_S
    desk.tick()
    assert busy(desk)
    office.now_s += WAITED_S
    desk.tick()
    assert not busy(desk)
    assert "too few views" in office.told[-1].refused
    assert office.gallery.people() == ()


def test_what_was_revoked_meanwhile_enrols_nobody(office: Office) -> None:
    """An invitation that is taken back while its newcomer stands there is used up by nobody, and enrols nobody."""

    def revoked() -> None:
        raise RefusedError("there is no invitation")

    desk = office.desk()
    desk.begin(ADA, office.told.append, revoked)
    office.show(desk, *Pose)
    assert office.told[-1].refused == "there is no invitation"
    assert office.gallery.people() == ()
    assert office.audit.head().seq == 0


def test_log_that_cannot_be_written_enrols_nobody(office: Office) -> None:
    """J8, F3: where the audit log does not take the entry, nobody is enrolled, and whoever asked hears why."""
    desk = office.desk()
    desk.begin(ADA, office.told.append)
    office.audit._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError):
        office.show(desk, *Pose)
    assert "nobody was enrolled" in office.told[-1].refused
    assert not busy(desk)
    assert office.gallery.people() == ()
    office.audit._db.execute("PRAGMA query_only=OFF")
    assert EventType.ENROLLED not in [one.event.event_type for one in office.audit.read()]
