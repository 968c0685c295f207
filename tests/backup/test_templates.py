"""People who move from door to door: whom the other door takes, and what never leaves."""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.access.pin import hash_pin
from appliance.access.subject import FactorPolicy, Status
from appliance.audit import AuditLog
from appliance.backup.locks import address, key_of, lock_for, lock_with
from appliance.backup.passphrase import SHORTEST
from appliance.backup.templates import MAX_LINE_BYTES, Arrival, Arrived, Heading, leaving
from appliance.contract import EventType
from appliance.errors import RefusedError, UsageError
from appliance.manifest import Impostors
from appliance.people.enrolment import CLI
from appliance.people.gallery import Consent, Gallery
from appliance.people.references import Standard
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

D = 64
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAIL = {"tail_start": 0.4, "tail_fmr": 1e-3, "tail_scale": 0.03, "tail_scale_ci95": (0.02, 0.04)}
STANDARD = Standard(Impostors.model_validate({"data": "made", "comparisons": 10**6, **TAIL}), 1e-3, accept_medium=True)
HEADING = Heading(device_id="front", model_id="m", named=True)


@dataclass(frozen=True)
class Device:
    """One door's people and log."""

    gallery: Gallery
    audit: AuditLog

    def take(self, lines: list[bytes]) -> Arrived:
        """Take in the people of these lines."""
        return Arrival(self.gallery, self.audit, "m", D, STANDARD, CLI).take(lines)

    def names(self) -> list[str]:
        """Return who is enrolled."""
        return [person.name for person in self.gallery.people()]


def raw(seed: int) -> NDArray[np.float32]:
    """Return what the model gives for one face."""
    numbers = np.random.default_rng(seed).normal(size=D)
    return (numbers / np.linalg.norm(numbers)).astype(np.float32)


def enrol(device: Device, name: str, *seeds: int, consent: Consent | None = None, model_id: str = "m") -> str:
    """Enrol somebody with these faces and return the id."""
    faces = [(device.gallery.protection.protect(Embedding(raw(seed), model_id)), Grade.HIGH) for seed in seeds]
    return device.gallery.add(name, consent or Consent(name, NOON), faces, external_id=f"E-{name}").person_id


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[tuple[Device, Device]]:
    """Give two doors, each with keys of its own."""
    with ExitStack() as opening:
        made = []
        for name in ("front", "back"):
            (tmp_path / name).mkdir()
            gallery = opening.enter_context(Gallery(tmp_path / name / "gallery.db"))
            made.append(Device(gallery, opening.enter_context(AuditLog(tmp_path / name / "audit.db", name, name))))
        yield made[0], made[1]


def sent(device: Device, *person_ids: str, named: bool = True) -> list[bytes]:
    """Return the lines that leave a door."""
    return list(leaving(device.gallery, HEADING.model_copy(update={"named": named}), person_ids))


def test_somebody_known_there_is_known_here(doors: tuple[Device, Device]) -> None:
    """J10: whoever moved is found by the same face under another rotation, with groups, bounds and consent."""
    front, back = doors
    consent = Consent("Ada", NOON, "pt-BR", "2026-1", "0" * 64, photos=True, recorded_by="tablet")
    ada = enrol(front, "Ada", 1, consent=consent)
    subject = front.gallery.subject(ada)
    assert subject is not None
    end = datetime(2040, 1, 1, tzinfo=UTC)
    front.gallery.set_access(replace(subject, groups=frozenset({"crew"}), valid_until=end))
    arrived = back.take(sent(front, ada))
    assert arrived == Arrived({ada: ada}, (), {})
    there, here = (one.gallery.snapshot("m", D).matrix for one in doors)
    assert abs(float(there[0] @ here[0])) < 0.6  # of the same face, yet not comparable
    for device, matrix in zip(doors, (there, here), strict=True):
        probe = device.gallery.protection.protect(Embedding(raw(1), "m")).vector
        assert float(matrix[0] @ probe) > 0.99
    details = back.gallery.details(ada)
    assert (details.name, details.external_id, set(details.groups)) == ("Ada", "E-Ada", {"crew"})
    assert details.subject.valid_until == end
    moved = details.consent
    assert (moved.given_by, moved.given_at, moved.text_version, moved.photos) == ("Ada", NOON, "2026-1", False)
    assert moved.recorded_by == "tablet at front"
    assert back.gallery.references(ada)[0].source == "imported"
    kinds = [entry.event.event_type for entry in back.audit.read()]
    assert kinds == [EventType.ENROLLED, EventType.UPDATED]


def test_what_never_leaves(doors: tuple[Device, Device]) -> None:
    """J2: no photo, no hash of a PIN, no card and no note leaves; and no name, unless it is asked for."""
    front, back = doors
    consent = Consent("Ada Marker", NOON, photos=True)
    face = front.gallery.protection.protect(Embedding(raw(1), "m"))
    person = front.gallery.add(
        "Ada Marker", consent, [(face, Grade.HIGH)], photos=[b"a photo"], notes="left-handed", external_id="E-1"
    )
    front.gallery.set_pin(person.person_id, hash_pin("2580"), "")
    front.gallery.set_details(person.person_id, cards=["card-7"])
    named, unnamed = (b"".join(sent(front, person.person_id, named=named)) for named in (True, False))
    for word in (b"argon2", b"card-7", b"left-handed", base64.b64encode(b"a photo")):
        assert word not in named
    assert b"Ada Marker" in named
    for word in (b"Marker", b"E-1"):
        assert word not in unnamed
    assert back.take([unnamed]).taken
    assert back.names() == [f"from front {person.person_id[:8]}"]


def test_a_second_time_changes_nothing(doors: tuple[Device, Device]) -> None:
    """A file that is taken again, or was broken off, leaves whoever is here as they are."""
    front, back = doors
    ada, bea = enrol(front, "Ada", 1), enrol(front, "Bea", 2)
    back.take(sent(front, ada))
    back.gallery.set_details(ada, name="Adele")
    arrived = back.take(sent(front, ada, bea))
    assert (arrived.here, arrived.taken) == ((ada,), {bea: bea})
    assert back.names() == ["Adele", "Bea"]


def test_the_erased_come_only_by_a_new_consent(doors: tuple[Device, Device]) -> None:
    """C11: somebody erased here is not brought back by another door, unless they have agreed again since."""
    front, back = doors
    ada = enrol(front, "Ada", 1)
    back.take(sent(front, ada))
    back.gallery.remove(ada)
    assert "was erased here" in back.take(sent(front, ada)).refused[ada]
    assert back.names() == []
    front.gallery.consent_again(ada, Consent("Ada", datetime.now(UTC)))
    arrived = back.take(sent(front, ada))
    assert arrived.taken.keys() == {ada}
    assert arrived.taken[ada] != ada
    assert back.names() == ["Ada"]


def test_somebody_enrolled_under_another_id_is_refused(doors: tuple[Device, Device]) -> None:
    """B14: the check for who is enrolled already holds for people from another door as well."""
    front, back = doors
    enrol(back, "Ada", 1)
    other = enrol(front, "Ada Two", 1)
    assert "is enrolled already" in back.take(sent(front, other)).refused[other]
    assert back.names() == ["Ada"]


def test_two_people_in_one_are_refused(doors: tuple[Device, Device]) -> None:
    """B15: somebody whose templates are of two people is refused here, whoever took them in there."""
    front, back = doors
    both = enrol(front, "Both", 1, 2)
    assert "do not show the same person" in back.take(sent(front, both)).refused[both]


def test_who_may_not_come_in_does_not_leave(doors: tuple[Device, Device]) -> None:
    """C14: the suspended, those on the deny list and those whose time has not come are not made welcome elsewhere."""
    front, _ = doors
    subject = front.gallery.subject(enrol(front, "Ada", 1))
    assert subject is not None
    for kept_out in (
        replace(subject, status=Status.SUSPENDED),
        replace(subject, status=Status.DENY_LISTED),
        replace(subject, valid_from=datetime(2090, 1, 1, tzinfo=UTC)),
    ):
        front.gallery.set_access(kept_out)
        assert len(sent(front, subject.person_id)) == 1


def test_a_second_factor_does_not_get_lost(doors: tuple[Device, Device]) -> None:
    """C14: of whom a PIN was asked there, whose PIN stayed behind, is suspended here until somebody has looked."""
    front, back = doors
    ada = enrol(front, "Ada", 1)
    subject = front.gallery.subject(ada)
    assert subject is not None
    front.gallery.set_access(replace(subject, factor=FactorPolicy.PIN))
    back.take(sent(front, ada))
    assert back.gallery.details(ada).status is Status.SUSPENDED


def test_templates_of_another_model_are_not_taken(doors: tuple[Device, Device]) -> None:
    """C9: templates of a model that this door does not use are refused, and do not leave among others."""
    front, back = doors
    ada = enrol(front, "Ada", 1, model_id="old")
    assert len(sent(front, ada)) == 1
    old = HEADING.model_copy(update={"model_id": "old"})
    with pytest.raises(RefusedError, match="the templates are of old; this door uses m"):
        back.take(list(leaving(front.gallery, old, [ada])))


def test_templates_that_are_none(doors: tuple[Device, Device]) -> None:
    """C1 C4 C5: a template that is NaN, zero, infinite, scaled or of another size is refused."""
    front, back = doors
    ada = enrol(front, "Ada", 1)
    heading, line = sent(front, ada)
    person = json.loads(line)
    for vector in (
        np.full(D, np.nan), np.zeros(D), np.full(D, np.inf), 10_000 * raw(1), 1e-4 * raw(1), raw(1)[:-1],
        np.append(raw(1), 0), np.ones(D),
    ):  # fmt: skip
        person["references"][0]["vector"] = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        assert "template 1" in back.take([heading, json.dumps(person).encode() + b"\n"]).refused[ada]
    assert back.names() == []


def test_lines_that_are_none(doors: tuple[Device, Device]) -> None:
    """E5: a line with a wrong, missing or unknown field ends the import in one line; who came before stays."""
    front, back = doors
    heading, ada, bea = sent(front, enrol(front, "Ada", 1), enrol(front, "Bea", 2))
    changes: tuple[dict[str, object], ...] = (
        {"person_id": "../x"}, {"references": []}, {"name": 5}, {"extra": 1}, {"name": "x" * 201}, {"consent": {}},
    )  # fmt: skip
    for change in changes:
        with pytest.raises(RefusedError, match="no list of templates") as fault:
            back.take([heading, ada, json.dumps(json.loads(bea) | change).encode() + b"\n"])
        assert "\n" not in str(fault.value)
    assert back.names() == ["Ada"]


def test_texts_that_may_not_be_stored(doors: tuple[Device, Device]) -> None:
    """E18: a name, time, language or group that an enrolment here would refuse is refused from elsewhere too."""
    front, back = doors
    ada = enrol(front, "Ada", 1)
    heading, line = sent(front, ada)
    for field in ("name", "given_at", "language", "groups"):
        person = json.loads(line)
        holder = person if field in person else person["consent"]
        holder[field] = ["a b"] if field == "groups" else "A\x1b[2J"
        assert ada in back.take([heading, json.dumps(person).encode() + b"\n"]).refused, field
    assert back.names() == []


def test_files_that_are_none(doors: tuple[Device, Device]) -> None:
    """E5: no heading, another version, or a line without an end is refused at bounded cost."""
    _, back = doors
    other = b'{"format": "ostiary templates 2"}\n'
    for lines in ([], [b"\n"], [b"{}\n"], [b"[]\n"], [b"x" * 1000], [b"x" * (MAX_LINE_BYTES + 1)], [other]):
        with pytest.raises(RefusedError, match="no list of templates"):
            back.take(lines)


def test_only_the_named_device_has_the_key() -> None:
    """J2: what is sealed for one device's address opens with its secret and with no other, each time by another key."""
    secret, other = bytes(range(32)), bytes(32)
    (lock, key), (_, again) = (lock_for(address(secret)) for _ in range(2))
    assert key_of(lock, secret, "") == key
    assert key_of(lock, other, "") != key
    assert key != again


def test_a_passphrase_is_long_enough_and_salted() -> None:
    """A short passphrase is refused; the same one gives every file a key of its own."""
    with pytest.raises(RefusedError, match=f"at least {SHORTEST}"):
        lock_with("short")
    (lock, key), (_, again) = (lock_with("correct horse battery") for _ in range(2))
    assert key_of(lock, bytes(32), "correct horse battery") == key
    assert key_of(lock, bytes(32), "correct horse batteri") != key
    assert key != again


@pytest.mark.parametrize("text", ["", "x", "AAAA", base64.b64encode(bytes(32)).decode(), base64.b64encode(bytes(31))])
def test_addresses_that_are_none(text: str) -> None:
    """An address that is no key, or a point that gives everybody the same secret, is refused."""
    with pytest.raises(UsageError, match="ostiary backup address"):
        lock_for(str(text))
