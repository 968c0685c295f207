"""People by command: a real reader carries it out in its loop, with the shipped models and a real gallery."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance.access.subject import Status
from appliance.audit import AuditLog
from appliance.commands.options import Installation
from appliance.config import CameraSettings, LivenessSettings, Settings
from appliance.contract import VERB_ROLES, EventType, Role
from appliance.door.child import simulated_controller
from appliance.drivers.photo import encode_jpeg, read_photo
from appliance.drivers.scene import FACES, Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.envelope import Command
from appliance.errors import RefusedError
from appliance.people.gallery import Gallery
from appliance.records import Grade
from appliance.service import Hooks, Service
from appliance.verbs import VERBS
from tests.asking import Answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.pipeline import Step
    from appliance.records import Event, Frame, OperatingPoint

SETTINGS = Settings(camera=CameraSettings(frame_rate=10), liveness=LivenessSettings(commissioned="skipped"))
ADA: dict[str, Any] = {"name": "Ada", "consent_by": "Ada"}
OFFICIAL = encode_jpeg(read_photo(FACES / "official.png"))


class Desk:
    """A reader whose loop is turned by hand, and somebody who sends it commands."""

    def __init__(self, installation: Installation, *visits: Visit) -> None:
        self.installation = installation
        self.role = Role.ENROLLER
        self.events: list[Event] = []
        self._asked: list[tuple[Command, Answers]] = []
        camera = SimulatedCamera(Script(Scene(visits=visits)), installation.settings.camera, paced=False)
        hooks = Hooks(on_event=lambda sealed: self.events.append(sealed.event), on_step=self._step)
        self.service = Service(installation, camera, hooks)
        self.cases = self.service._use_cases

    def at_the_first_frame(self, verb: str, **args: object) -> Answers:
        """Have a command carried out when the camera has given its first frame; return what is answered to it."""
        self._asked.append((command(verb, args, self.role), Answers()))
        return self._asked[-1][1]

    def say(self, verb: str, **args: object) -> Answers:
        """Have a command carried out now, and turn until it was answered."""
        answers = Answers()
        try:
            self.cases.carry_out(command(verb, args, self.role), answers)
        except RefusedError as refusal:
            answers(error=str(refusal))
        until_s = time.monotonic() + 20
        while not answers.told and time.monotonic() < until_s:
            self.service._people.tend()
            time.sleep(0.01)
        return answers

    def result(self, verb: str, **args: object) -> dict[str, Any]:
        """Return the one answer to a command that is carried out."""
        ((result, error, done),) = self.say(verb, **args).told
        assert (error, done) == ("", True)
        return result

    def error(self, verb: str, **args: object) -> str:
        """Return why a command is refused."""
        ((_, error, done),) = self.say(verb, **args).told
        assert error
        assert done
        return error

    def photo(self, sent: bytes = OFFICIAL, **said: object) -> Answers:
        """Send one photo of Ada as a whole."""
        data = base64.b64encode(sent).decode()
        return self.say("enrol.photo", **({"upload_id": "u1", "data": data, "person": ADA} | said))

    def close(self) -> None:
        """Close what the reader has open, without having run it."""
        self.service._closing.close()

    def run(self) -> None:
        """Let the reader see what there is to see."""
        self.service.link.connect(5.0)
        self.service.run()

    def _step(self, _frame: Frame, _step: Step, _point: OperatingPoint) -> None:
        while self._asked:
            self.cases.carry_out(*self._asked.pop())


def command(verb: str, args: dict[str, object], role: Role = Role.ENROLLER) -> Command:
    """Return a command as it is after its envelope was opened."""
    return Command("desk", role, verb, args, "r-1")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Give an installation with a controller process of its own."""
    with simulated_controller(tmp_path) as listening:
        yield Installation(SETTINGS, tmp_path, None).with_controller(listening)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give a desk at a reader that nobody comes to."""
    with contextlib.closing(Desk(Installation(SETTINGS, tmp_path, None))) as desk:
        yield desk


def last(desk: Desk) -> Event:
    """Return the newest entry of the audit log."""
    with AuditLog(desk.installation.audit_file, "ostiary", "front") as audit:
        return [entry.event for entry in audit.read()][-1]


def test_every_verb_is_carried_out(desk: Desk) -> None:
    """No verb of the contract is without a model of its args, or without somebody in the reader who does it."""
    assert set(VERBS) == set(VERB_ROLES)
    assert desk.cases.carried_out == frozenset(VERBS.values())


def test_guided_enrolment_tells_how_far_it_is(installation: Installation) -> None:
    """enrol.start guides whoever stands there, tells each step as progress, and at the end whom it enrolled."""
    desk = Desk(installation, Visit(face="official", for_s=9.6, poses=True), Visit(face="official", for_s=2.5))
    answers = desk.at_the_first_frame("enrol.start", **ADA, groups=["staff"], external_id="E17")
    desk.run()
    *progress, (result, error, done) = answers.told
    assert (error, done) == ("", True)
    assert result["hint"] == "enrolled"
    assert result["look_alike"] == ""
    assert all(not error and not done and set(told) == {"hint", "views"} for told, error, done in progress)
    assert [told["views"] for told, _, _ in progress] == sorted(told["views"] for told, _, _ in progress)
    kinds = [one.event_type for one in desk.events]
    assert [kind for kind in kinds if kind in {EventType.ENROLLED, EventType.ACCESS_GRANTED}] == [
        EventType.ENROLLED,
        EventType.ACCESS_GRANTED,
    ]
    with Gallery(installation.gallery_file) as gallery:
        (ada,) = gallery.people()
        assert gallery.details(ada.person_id).consent.recorded_by == "desk"
    assert (ada.person_id, ada.groups, ada.external_id) == (result["person_id"], ("staff",), "E17")


def test_guided_enrolment_is_one_at_a_time_and_can_be_stopped(installation: Installation) -> None:
    """A second start is refused; a stop ends the first without a person, and both are told so."""
    desk = Desk(installation, Visit(for_s=2))
    first = desk.at_the_first_frame("enrol.start", **ADA)
    said: list[str] = []

    def interrupt(_frame: Frame, _step: Step, _point: OperatingPoint) -> None:
        if desk.service._people.at_the_door.busy and not said:
            said.append(desk.error("enrol.start", **ADA))
            assert desk.result("enrol.stop") == {"stopped": True}
            assert desk.result("enrol.stop") == {"stopped": False}
        desk._step(_frame, _step, _point)

    desk.service._hooks = Hooks(on_step=interrupt)
    desk.run()
    assert said == ["somebody is being enrolled at this door already"]
    assert first.told[-1] == ({}, "it was stopped", True)


def test_a_photo_as_one_payload_enrols(desk: Desk) -> None:
    """A photo that fits one command enrols its person with the consent that came with it, and says so by id alone."""
    ((told, error, _),) = desk.photo().told
    assert not error
    assert set(told) == {"person_id", "references", "look_alike"}
    listed = desk.result("person.list")
    assert [one["person_id"] for one in listed["people"]] == [told["person_id"]]
    assert (listed["total"], listed["next"]) == (1, None)
    assert last(desk).event_type is EventType.ENROLLED
    assert last(desk).method == "mqtt"
    assert "Ada" not in last(desk).detail


def test_photos_in_parts_enrol_one_person(desk: Desk) -> None:
    """Several photos, each in parts, become one person; each part and each photo is answered."""
    photos = [encode_jpeg(read_photo(FACES / "official.png"), quality) for quality in (95, 80)]
    replies: list[dict[str, Any]] = []
    for number, photo in enumerate(photos, start=1):
        pieces = [photo[at : at + 20_000] for at in range(0, len(photo), 20_000)]
        for place, piece in enumerate(pieces, start=1):
            said: dict[str, Any] = {"photo": number, "photos": 2, "part": place, "parts": len(pieces)}
            said |= {"person": ADA} if (number, place) == (1, 1) else {"person": None}
            ((told, error, _),) = desk.photo(piece, **said).told
            assert not error
            replies.append(told)
    assert {"photo": 1, "part": 1} in replies
    assert {"photo": 1, "quality": "high"} in replies
    assert replies[-1]["references"] >= 1
    assert len(desk.result("person.list")["people"]) == 1


def test_a_bad_photo_can_be_sent_again(desk: Desk) -> None:
    """A photo without a face, or none at all, is one line; the upload waits for a better one under the same number."""
    empty = encode_jpeg(read_photo(FACES / "official.png")[:40, :40])
    for photo, why in ((empty, "shows no face"), (b"GIF89a" + bytes(50), "is a GIF"), (OFFICIAL[:999], "cut short")):
        ((_, error, _),) = desk.photo(photo).told
        assert why in error
        assert "u1#1" in error
    ((told, error, _),) = desk.photo(OFFICIAL, person=None).told
    assert told["person_id"]
    assert not error


def test_who_could_not_be_enrolled_is_refused_before_a_photo_is_read(desk: Desk) -> None:
    """J5, B14: without a consent, with a name that steers a terminal, or with an admin's word of somebody else's."""
    for person, why in (
        ({"name": "Ada"}, "args.person.consent_by of enrol.photo is missing"),
        (ADA | {"name": "Ada\x1b[2J"}, "control character"),
        (ADA | {"consent_text": "none-such"}, "none-such"),
        (ADA | {"accept_alike": True}, "are for admins; desk is enroller"),
        (ADA | {"groups": ["no/group"]}, "no/group"),
    ):
        ((_, error, _),) = desk.photo(person=person).told
        assert why in error
    desk.role = Role.ADMIN
    assert desk.error("enrol.start", **ADA, accept_medium=True).startswith("args.accept_medium has no")
    assert desk.result("person.list") == {"people": [], "total": 0, "next": None}


def test_changes_are_made_together_or_not_at_all(desk: Desk) -> None:
    """person.update changes what it names, with one entry that tells no value; all of it or nothing."""
    ada = desk.photo().told[0][0]["person_id"]
    person = desk.result(
        "person.update",
        person_id=ada,
        name="Ada Lovelace",
        tags=["floor2"],
        groups=["staff"],
        status="suspended",
        valid_until="2031-01-01",
    )["person"]
    assert (person["name"], person["groups"], person["status"]) == ("Ada Lovelace", ["staff"], "suspended")
    assert "changed: name, tags, access: status suspended" in last(desk).detail
    assert "Lovelace" not in last(desk).detail
    before = last(desk)
    why = desk.error("person.update", person_id=ada, name="Bea", valid_from="2032-01-01")
    assert "no time would be left" in why
    why = desk.error("person.update", person_id=ada, name="Bea", valid_from="soon")
    assert why.startswith("valid_from is 'soon'; it must look like 2026-12-01, ")
    assert "nobody is enrolled" in desk.error("person.update", person_id="Ada-Lovelace", name="Bea")
    assert last(desk) == before
    assert desk.result("person.list", search="lovelace")["people"][0]["name"] == "Ada Lovelace"


def test_settings_and_health_are_told_without_secrets(desk: Desk) -> None:
    """config.get tells every setting in force to an auditor, and of secrets only in which file they are."""
    told = desk.result("config.get")
    assert told["settings"]["device"] == {"id": "ostiary", "door": "front"}
    assert told["settings"] == json.loads(desk.installation.settings.model_dump_json())
    assert desk.result("status")["references"] == 0


def test_a_withdrawn_consent_erases_the_face(desk: Desk) -> None:
    """Consent withdrawn by command erases every reference at once, and is not mixed with anything else."""
    ada = desk.photo().told[0][0]["person_id"]
    assert "stands alone" in desk.error("person.update", person_id=ada, consent="withdrawn", name="Bea")
    person = desk.result("person.update", person_id=ada, consent="withdrawn")["person"]
    assert (person["references"], person["consent"]) == (0, "withdrawn")


def test_who_is_deny_listed_stays_so_but_for_an_admin(desk: Desk) -> None:
    """C14: an enroller can neither let somebody back in who was deny-listed, nor erase them to enrol them anew."""
    ada = desk.photo().told[0][0]["person_id"]
    with Gallery(desk.installation.gallery_file) as gallery:
        subject = gallery.subject(ada)
        assert subject is not None
        gallery.set_access(replace(subject, status=Status.DENY_LISTED))
    for why in (
        desk.error("person.update", person_id=ada, status="active"),
        desk.error("person.update", person_id=ada, consent="withdrawn"),
        desk.error("person.remove", person_id=ada),
    ):
        assert why == f"person {ada} is deny-listed; only an admin may change that, or erase them"
    desk.role = Role.ADMIN
    assert desk.result("person.update", person_id=ada, status="active")["person"]["status"] == "active"


def test_erased_by_command_is_erased(desk: Desk) -> None:
    """J7: person.remove erases, answers with the receipt's hash, and its second time finds nobody."""
    ada = desk.photo().told[0][0]["person_id"]
    told = desk.result("person.remove", person_id=ada)
    assert told["person_id"] == ada
    assert told["receipt"] in last(desk).detail
    assert "nobody is enrolled under the id" in desk.error("person.remove", person_id=ada)
    with Gallery(desk.installation.gallery_file) as gallery:
        assert gallery.people() == ()


def test_pages_have_everybody_once(desk: Desk) -> None:
    """person.list walks through everybody in order of enrolment, page by page."""
    ada = desk.photo().told[0][0]["person_id"]
    with Gallery(desk.installation.gallery_file) as gallery:
        consent = gallery.details(ada).consent
        (one, *_) = gallery.vectors(ada).values()
        ids = [ada, *(gallery.add(f"P{n}", consent, [(one, Grade.HIGH)]).person_id for n in range(4))]
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = desk.result("person.list", after=after, limit=2)
        seen += [person["person_id"] for person in page["people"]]
        after = page["next"]
    assert seen == ids


def test_photos_are_read_beside_the_loop(desk: Desk) -> None:
    """D13: while a photo is decoded and read, the loop goes on: nothing is answered before it is done."""
    answers = Answers()
    args: dict[str, Any] = {"upload_id": "u1", "data": base64.b64encode(OFFICIAL).decode(), "person": ADA}
    desk.cases.carry_out(command("enrol.photo", args), answers)
    assert answers.told == []
    with pytest.raises(RefusedError, match="still being read"):
        desk.cases.carry_out(command("enrol.photo", args), Answers())
    assert desk.result("person.list")["total"] == 0
    until_s = time.monotonic() + 20
    while not answers.told and time.monotonic() < until_s:
        desk.service._people.tend()
    assert answers.told[0][0]["person_id"]
