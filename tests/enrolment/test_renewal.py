"""No silent learning: what the door sees of somebody becomes theirs only on somebody's word."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.cli import root
from appliance.contract import VERB_ROLES, EventType, Reason, Role
from appliance.enrolment.at_the_door import DoorEnrolment
from appliance.enrolment.requests import ListOffers, TakeOffer
from appliance.envelope import Command
from appliance.errors import RefusedError
from appliance.local_socket import Caller, ask
from appliance.manifest import Impostors
from appliance.pairing_desk import Pair
from appliance.people.consents import ConsentTexts
from appliance.people.enrolment import CLI, enrol_again
from appliance.people.factors import set_pin
from appliance.people.references import Standard
from appliance.people_acts import PeopleActs
from appliance.pipeline import Step
from appliance.pipeline.embedding import unit
from appliance.reception import MAX_RENEWALS, OFFER_S
from appliance.records import Candidate, Embedding, Grade, Refer
from appliance.usecases import UseCases
from tests.asking import asked
from tests.stand import ADA, BEA, POINT, Stand, presentation, standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

IMPOSTORS = Impostors(
    data="made up", comparisons=10**6, tail_start=0.3, tail_fmr=1e-3, tail_scale=0.03, tail_scale_ci95=(0.02, 0.04)
)
STANDARD = Standard(IMPOSTORS, 1e-3)
PIN = "482913"
HIGH = Grade.HIGH


def like(one: Embedding, share: float, away: int) -> Embedding:
    """Return a template at this cosine of another, turned towards axis `away`."""
    turned = share * one.vector + np.sqrt(1 - share**2) * np.eye(8)[away]
    made = unit(turned, "m")
    assert made is not None
    return made


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Give a reception at which Ada has a PIN."""
    with standing(tmp_path) as made:
        set_pin(made.gallery, made.audit, "Ada", PIN)
        made.events.clear()
        yield made


def come(stand: Stand, probe: Embedding, similarity: float, reason: Reason = Reason.SECOND_FACTOR_REQUIRED) -> None:
    """Have Ada come with a face that is this much like hers, be asked, and enter her PIN."""
    visit = presentation(f"v{stand.now_s}", probe, stand.now_s)
    found = (Candidate(stand.ids["ada"], "r", similarity), Candidate(stand.ids["bea"], "r", 0.1))
    stand.reception.see(Step((visit.latest.detection,), visit, found, Refer(reason)), POINT)
    assert stand.reception.enter_pin(PIN) == ""


def people_acts(stand: Stand) -> PeopleActs:
    """Return what commands do about people, over the stand."""
    return PeopleActs(
        stand.reception,
        stand.gallery,
        stand.journal,
        standard=STANDARD,
        texts=ConsentTexts(),
        point=lambda: POINT,
    )


def held(stand: Stand) -> tuple[NDArray[np.float32], list[int]]:
    """Return every template of the gallery, and how many references each person has."""
    return stand.gallery.snapshot("m", 8).matrix, [one.references for one in stand.gallery.people()]


def test_grants_never_change_the_gallery(stand: Stand) -> None:
    """B16: thirty grants by face, by face and PIN, and by a human leave every template as it was, bit for bit."""
    matrix, counts = held(stand)
    for number in range(30):
        probe = like(ADA, 0.8, 2 + number % 6)
        if number % 3 == 0:
            stand.see(stand.grant("ada"), name=f"g{number}", probe=probe)
        elif number % 3 == 1:
            come(stand, probe, 0.45)
        else:
            stand.see(Refer(Reason.UNKNOWN_FACE), name=f"g{number}", probe=probe)
            assert stand.reception.answer(stand.asked[-1].ticket_id, "desk", approve=True).error == ""
        stand.now_s += 200
        stand.reception.tick()
    assert len(stand.door.pulses) == 30
    after, count = held(stand)
    assert count == counts
    assert np.array_equal(after, matrix)


def test_offer_is_made_and_taken_once(stand: Stand) -> None:
    """B16: a hardly sufficient face with the right PIN is offered; taken by an enroller, it is audited, and gone."""
    new = like(ADA, 0.8, 3)
    come(stand, new, 0.45)
    assert [one.event_type for one in stand.events] == [EventType.ACCESS_GRANTED, EventType.RENEWAL_OFFERED]
    (offer,) = stand.reception.renewals
    assert offer.person_id == stand.ids["ada"]
    assert stand.events[-1].ticket_id == offer.offer_id
    cases = UseCases(people_acts(stand).acts())
    command = Command("desk", Role.ENROLLER, "person.renew", {"offer_id": offer.offer_id}, "r-1")
    assert asked(cases, command) == {"person_id": stand.ids["ada"], "references": 2}
    assert stand.reception.renewals == ()
    assert stand.events[-1].event_type is EventType.UPDATED
    assert f"person {stand.ids['ada']}, 1 references added, 2 in all" in stand.events[-1].detail
    with pytest.raises(RefusedError, match="is not open"):
        asked(cases, command)
    facts = stand.gallery.references(stand.ids["ada"])
    assert [one.source for one in facts] == ["photo", "door"]


@pytest.mark.parametrize(("similarity", "reason", "offered"), [
    (0.45, Reason.SECOND_FACTOR_REQUIRED, 1),
    (0.60, Reason.SECOND_FACTOR_REQUIRED, 0),
    (0.60, Reason.AMBIGUOUS_MATCH, 1),
])  # fmt: skip
def test_only_a_face_that_was_hardly_enough_is_offered(
    stand: Stand, similarity: float, reason: Reason, offered: int
) -> None:
    """Whoever is recognised well is not asked about again, though a PIN is always wanted here."""
    come(stand, like(ADA, 0.8, 3), similarity, reason)
    assert len(stand.reception.renewals) == offered


def test_offers_are_few_and_short(stand: Stand) -> None:
    """What the camera saw is kept in memory for two minutes at most, of eight people at most."""
    for _ in range(MAX_RENEWALS + 3):
        come(stand, like(ADA, 0.8, 3), 0.45)
        stand.now_s += 11
    assert len(stand.reception.renewals) == MAX_RENEWALS
    stand.now_s += OFFER_S
    stand.reception.tick()
    assert stand.reception.renewals == ()


@pytest.mark.parametrize(
    ("views", "why"),
    [
        ([], "nothing was read"),
        ([(BEA, HIGH)], "not clearly of person"),
        ([(like(ADA, 0.2, 4), HIGH)], "not clearly of person"),
        ([(like(BEA, 0.7, 0), HIGH)], "not clearly of person"),
        ([(like(ADA, 0.9, 3), HIGH), (BEA, HIGH)], "do not show the same person"),
        ([(ADA, HIGH)], "nothing of these views is new"),
        ([(like(ADA, 0.8, 3), Grade.MEDIUM)], "medium quality"),
        ([(Embedding(np.full(8, np.nan, np.float32), "m"), HIGH)], "not clearly of person"),
    ],
)
def test_what_is_not_clearly_theirs_is_never_added(
    stand: Stand, views: list[tuple[Embedding, Grade]], why: str
) -> None:
    """B15, B16: views of somebody else, of nobody, poor or known ones change nothing, whoever asks."""
    matrix, counts = held(stand)
    with pytest.raises(RefusedError, match=why):
        enrol_again(stand.gallery, stand.journal, views, stand.ids["ada"], standard=STANDARD, actor=CLI, method="cli")
    after, count = held(stand)
    assert count == counts
    assert np.array_equal(after, matrix)
    assert stand.events == []


def test_who_may_enrol(stand: Stand) -> None:
    """Only admins and enrollers enrol: no other role may use any verb about people."""
    verbs = {verb: roles for verb, roles in VERB_ROLES.items() if verb.startswith(("person.", "enrol."))}
    assert len(verbs) == 8
    assert set(verbs.values()) == {frozenset({Role.ENROLLER, Role.ADMIN})}


def _taken(caller: Caller, asked: Pair) -> None:
    caller.say({"asked": asked.role.value})
    caller.end()


def test_commands_list_and_take_offers(stand: Stand, short_folder: Path) -> None:
    """On the device, offers are asked for on the reader's socket, and told by id alone; without a reader, exit 3."""
    come(stand, like(ADA, 0.8, 3), 0.45)
    (offer,) = stand.reception.renewals
    people = people_acts(stand)
    idle: Any = SimpleNamespace(busy=False, hint=None, tick=lambda: None, stop=lambda: None)
    idle.book = SimpleNamespace(any_open=lambda _now: False)
    door = DoorEnrolment(
        short_folder / "reader.sock",
        idle,
        stand.reception,
        impostors=IMPOSTORS,
        point=lambda: POINT,
        renew=lambda offer_id: people.renew(offer_id, CLI, "cli"),
        invitations=idle,
        codes=lambda _step: (),
        others={Pair: _taken},
    )

    def answered(request: ListOffers | TakeOffer | Pair) -> list[dict[str, Any]]:
        """Ask, let the reader turn twice, and return what it said."""
        call = ask(short_folder / "reader.sock", request.model_dump(mode="json"), 5.0)
        assert call is not None
        with call:
            door.tend()
            door.tend()
            return list(call)

    with contextlib.closing(door):
        listed = [{"offers": [{"offer_id": offer.offer_id, "person_id": stand.ids["ada"]}]}]
        assert answered(ListOffers()) == listed
        assert answered(TakeOffer(offer_id="nothing"))[0]["error"].startswith("offer 'nothing' is not open")
        assert answered(TakeOffer(offer_id=offer.offer_id)) == [{"person_id": stand.ids["ada"], "references": 2}]
        assert answered(ListOffers()) == [{"offers": []}]
        assert answered(Pair(role=Role.AUDITOR, for_s=60, key="0" * 64)) == [{"asked": "auditor"}]
        call = ask(short_folder / "reader.sock", {"verb": "client.pair", "role": "king", "for_s": 60, "key": ""}, 5.0)
        assert call is not None
        with call:
            door.tend()
            door.tend()
            assert "the request is wrong" in next(iter(call))["error"]
    result = CliRunner().invoke(root, ["enrol", "offers", "--state", str(short_folder / "state")])
    assert getattr(result.exception, "exit_code", 0) == 3
    assert "no reader runs" in str(result.exception)
