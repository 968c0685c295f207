"""What a verified command does: enrolment of an approved visitor, with what only an admin may take upon themself."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from appliance.audit import AuditLog
from appliance.contract import EventType, Reason, Role
from appliance.envelope import Command
from appliance.errors import RefusedError
from appliance.journal import Journal
from appliance.manifest import Impostors
from appliance.people.consents import ConsentTexts
from appliance.people.gallery import Consent, Gallery
from appliance.people.references import Standard
from appliance.people_acts import PeopleActs
from appliance.records import Grade, Refer
from appliance.usecases import UseCases
from tests.asking import asked
from tests.people.test_enrolment import CONSENT
from tests.stand import ADA, POINT, Stand, standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STANDARD = Standard(
    Impostors(
        data="made up", comparisons=10**6, tail_start=0.3, tail_fmr=1e-3, tail_scale=0.03, tail_scale_ci95=(0.02, 0.04)
    ),
    1e-3,
)
ARGS = {"name": "Ada", "consent_by": "Ada"}


class Counter:
    """A reception with an approved visitor, and the use-cases over it."""

    def __init__(self, audit: AuditLog, gallery: Gallery, stand: Stand) -> None:
        self.gallery, self.audit = gallery, audit
        stand.see(Refer(Reason.UNKNOWN_FACE))
        self.ticket_id = stand.asked[0].ticket_id
        assert stand.reception.answer(self.ticket_id, "desk", approve=True).error == ""
        people = PeopleActs(
            stand.reception, gallery, Journal(audit, ()), standard=STANDARD, texts=ConsentTexts(), point=lambda: POINT
        )
        self._use_cases = UseCases(people.acts())

    def enrol(self, role: Role = Role.ENROLLER, **args: object) -> dict[str, object]:
        """Ask for the visitor's enrolment."""
        command = Command("desk", role, "person.add", ARGS | {"ticket_id": self.ticket_id} | args, "r-1")
        return asked(self._use_cases, command)


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    """Give the use-cases after an approval."""
    with contextlib.ExitStack() as opening:
        audit = opening.enter_context(AuditLog(tmp_path / "audit.db", "ostiary", "front"))
        (tmp_path / "stand").mkdir()
        stand = opening.enter_context(standing(tmp_path / "stand"))
        yield Counter(audit, opening.enter_context(Gallery(tmp_path / "gallery.db")), stand)


def test_visitor_is_enrolled_once(counter: Counter) -> None:
    """An approved visitor is enrolled, without any score in the reply, and what was kept of the visit is gone (B13)."""
    assert counter.enrol()["look_alike"] == ""
    (ada,) = counter.gallery.people()
    with pytest.raises(RefusedError, match="nothing to enrol"):
        counter.enrol()
    assert counter.gallery.people() == (ada,)


def test_refused_enrolment_can_be_mended_by_an_admin_alone(counter: Counter) -> None:
    """B14: a visitor alike to somebody enrolled is refused; an admin alone can accept it, and it is logged."""
    assert ADA is not None
    twin = Consent("Bo", CONSENT.given_at)
    nearly = ADA.vector.copy()
    nearly[1] = 0.5
    near = type(ADA)(nearly / (1.25**0.5), ADA.model_id)
    bo = counter.gallery.add("Bo", twin, [(near, Grade.HIGH)])
    with pytest.raises(RefusedError, match=bo.person_id):
        counter.enrol()
    with pytest.raises(RefusedError, match="for admins; desk is enroller"):
        counter.enrol(accept_alike=True)
    with pytest.raises(RefusedError, match=r"accept_alike of person\.add is 'yes'; should be a valid boolean"):
        counter.enrol(Role.ADMIN, accept_alike="yes")
    with pytest.raises(RefusedError, match=bo.person_id):
        counter.enrol(Role.ADMIN, accept_medium=True)
    assert counter.gallery.people() == (bo,)
    reply = counter.enrol(Role.ADMIN, accept_alike=True)
    assert reply["look_alike"] == bo.person_id
    assert "similarity" not in repr(reply)
    last = [entry.event for entry in counter.audit.read() if entry.event.event_type is EventType.ENROLLED][-1]
    assert f"accepted although alike to person {bo.person_id}" in last.detail
