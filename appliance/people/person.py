"""A person of the gallery: what is known of them, and what remains when they have gone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

    from appliance.access.subject import Status, Subject
    from appliance.records import Grade


class Source(StrEnum):
    """Where a reference comes from."""

    PHOTO = "photo"
    DOOR = "door"  # guided, at the door's own camera
    TICKET = "ticket"  # what the camera saw of a visitor whom an attendant approved
    BULK = "bulk"
    LINK = "link"  # the person came with a one-time invitation
    IMPORTED = "imported"  # from another door, as a template
    UPGRADE = "upgrade"  # read again from a kept photo, by a newer model


@dataclass(frozen=True, slots=True)
class Consent:
    """That somebody agreed to be recognised, to what words, and who answers for it."""

    given_by: str  # the person themself, or who may consent for them
    given_at: datetime  # with a zone
    language: str = "en"  # in which it was asked, such as "en" or "pt-BR"
    text_version: str = ""  # of the text that was agreed to; "" where none was recorded
    text_hash: str = ""  # SHA-256 of that text, 64 hex digits; "" likewise
    photos: bool = False  # whether photos may be kept
    recorded_by: str = ""  # who took it down: an operator or client id
    withdrawn_at: datetime | None = None  # UTC


@dataclass(frozen=True, slots=True)
class Person:
    """One enrolled person, as people see them."""

    person_id: str  # random, 32 hex digits; all that leaves the gallery
    name: str  # "" where it can no longer be read
    references: int
    models: tuple[str, ...]  # model ids of the references, sorted
    enrolled_at: datetime  # UTC
    consent_by: str
    external_id: str = ""  # how another system calls them
    status: str = "active"
    groups: tuple[str, ...] = ()  # that they were put into, sorted
    last_seen_on: date | None = None
    withdrawn: bool = False  # consent was withdrawn: nothing of the face is left


@dataclass(frozen=True, slots=True)
class Details:
    """Everything of one person but templates, photos and hashes of PINs."""

    person_id: str
    name: str
    external_id: str
    notes: str
    tags: frozenset[str]
    groups: frozenset[str]  # static and dynamic
    cards: tuple[str, ...]
    consent: Consent
    subject: Subject
    enrolled_at: datetime  # UTC
    changed_at: datetime  # UTC
    last_seen_on: date | None
    max_fpir: float | None  # the door's target FPIR for this person, where a lower one is wanted

    @property
    def status(self) -> Status:
        """How the person stands."""
        return self.subject.status


@dataclass(frozen=True, slots=True)
class Group:
    """A group of people."""

    name: str
    dynamic: bool  # whether a rule over tags and status says who is in it
    rule: str  # as JSON; "" for a static one
    people: int | None  # None for a dynamic one: `Gallery.members` looks them up
    created_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class ReferenceFacts:
    """What may be read of one reference."""

    reference_id: str
    model_id: str
    protection: str  # which rotation its template has
    grade: Grade
    source: str
    captured_at: datetime  # UTC
    enrolled_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Receipt:
    """That somebody was erased: what they may be given, and what an auditor can compare with the audit log."""

    person_id: str
    erased_at: datetime  # UTC
    references: int
    photos: int
    key_hash: str  # SHA-256 of the data key that was destroyed

    @property
    def receipt_hash(self) -> str:
        """SHA-256 over all of the above, 64 hex digits."""
        fields = asdict(self) | {"erased_at": self.erased_at.isoformat()}
        return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
