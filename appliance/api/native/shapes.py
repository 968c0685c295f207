"""What is sent and answered about people, each a frozen model, from which the published document is written."""

from __future__ import annotations

from datetime import date, datetime  # noqa: TC003 - pydantic reads them
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.messages import Instant  # noqa: TC001 - pydantic reads it
from appliance.people_acts import listed
from appliance.records import Grade
from appliance.verbs import Args, Changes, Identifier, Name, Words

if TYPE_CHECKING:
    from typing import Self

    from appliance.access.passes import Pass
    from appliance.people.gallery import Gallery
    from appliance.people.person import Group, Person, Receipt, ReferenceFacts

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
StatusWord = Literal["active", "suspended", "deny_listed"]
FactorWord = Literal["none", "pin", "pass", "any"]


class Answer(BaseModel):
    """An answer: every field is there, and no other."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PersonBrief(Answer):
    """One person in a list."""

    person_id: str
    name: Annotated[str, Field(description="as it was given; letters of any script, never markup")]
    external_id: str
    status: StatusWord
    groups: Annotated[tuple[str, ...], Field(description="that they were put into")]
    references: int
    enrolled_at: str
    consent: Literal["given", "withdrawn"]

    @classmethod
    def of(cls, person: Person) -> Self:
        """Return what a list says of this person."""
        return cls.model_validate(listed(person))


class PeoplePage(Answer):
    """Some of the people, in order of enrolment."""

    people: tuple[PersonBrief, ...]
    total: Annotated[int, Field(description="of those asked for; with a search, as many as are told")]
    next: Annotated[int | None, Field(description="`after` of the next page; none at the end")]


class ConsentFacts(Answer):
    """That somebody agreed, to what, and when."""

    given_by: str
    given_at: Instant
    language: str
    text_version: str
    photos: Annotated[bool, Field(description="whether photos may be kept")]
    recorded_by: str
    withdrawn_at: Instant | None


class PersonFacts(Answer):
    """One person: everything but their face, PIN and photos."""

    person_id: str
    name: str
    external_id: str
    notes: str
    tags: tuple[str, ...]
    groups: Annotated[tuple[str, ...], Field(description="static and dynamic")]
    cards: tuple[str, ...]
    status: StatusWord
    valid_from: Instant | None
    valid_until: Instant | None
    always: bool
    extended: bool
    factor: FactorWord
    pin: Annotated[bool, Field(description="whether they have one; whether a duress PIN, is told to nobody")]
    max_fpir: float | None
    references: int
    consent: ConsentFacts
    enrolled_at: Instant
    changed_at: Instant
    last_seen_on: date | None

    @classmethod
    def of(cls, gallery: Gallery, person_id: str) -> Self:
        """Return what is known of the person. Raises RefusedError for nobody of this id, StorageError."""
        known = gallery.details(person_id)
        subject, consent = known.subject, known.consent
        return cls(
            person_id=known.person_id,
            name=known.name,
            external_id=known.external_id,
            notes=known.notes,
            tags=tuple(sorted(known.tags)),
            groups=tuple(sorted(known.groups)),
            cards=known.cards,
            status=subject.status.value,
            valid_from=subject.valid_from,
            valid_until=subject.valid_until,
            always=subject.always,
            extended=subject.extended,
            factor=subject.factor.value,
            pin=bool(subject.pin_hash),
            max_fpir=known.max_fpir,
            references=len(gallery.references(person_id)),
            consent=ConsentFacts(
                given_by=consent.given_by,
                given_at=consent.given_at,
                language=consent.language,
                text_version=consent.text_version,
                photos=consent.photos,
                recorded_by=consent.recorded_by,
                withdrawn_at=consent.withdrawn_at,
            ),
            enrolled_at=known.enrolled_at,
            changed_at=known.changed_at,
            last_seen_on=known.last_seen_on,
        )


class PersonPatch(Changes):
    """What is said anew of a person; what is left out stays, an empty text or list takes it away."""

    deny_listed: Annotated[bool | None, Field(description="kept out, and told in the log; an admin's to say")] = None
    always: Annotated[bool | None, Field(description="bound to no schedule")] = None
    extended: Annotated[bool | None, Field(description="the door stays open for them for longer")] = None
    factor: Annotated[FactorWord | None, Field(description="asked for besides the face")] = None


class PhotoTaken(Answer):
    """What became of one photo."""

    quality: Literal["medium", "high"]
    flaws: Annotated[tuple[str, ...], Field(description="what keeps it from high, worst first")]
    why_not_kept: Annotated[str, Field(description="empty for one whose template is kept")]


class PersonEnrolled(Answer):
    """Who was enrolled from photos."""

    person_id: str
    references: int
    look_alike: Annotated[str, Field(description="id of somebody so alike that a human is asked; empty for nobody")]
    photos: tuple[PhotoTaken, ...]


class ErasureReceipt(Answer):
    """That a person was erased, for them and for whoever compares it with the audit log."""

    person_id: str
    erased_at: Instant
    references: int
    photos: int
    key_hash: Annotated[str, Field(description="SHA-256 of the data key that was destroyed")]
    receipt: Annotated[str, Field(description="SHA-256 over all of the above, as the audit log keeps it")]

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        """Return the receipt as it is answered."""
        return cls(
            person_id=receipt.person_id,
            erased_at=receipt.erased_at,
            references=receipt.references,
            photos=receipt.photos,
            key_hash=receipt.key_hash,
            receipt=receipt.receipt_hash,
        )


class Reference(Answer):
    """One template of a person, without the template."""

    reference_id: str
    model_id: str
    grade: Literal["low", "medium", "high"]
    source: str
    captured_at: Instant
    enrolled_at: Instant

    @classmethod
    def of(cls, facts: ReferenceFacts) -> Self:
        """Return what is told of a reference."""
        return cls(
            reference_id=facts.reference_id,
            model_id=facts.model_id,
            grade=_GRADES[facts.grade],
            source=facts.source,
            captured_at=facts.captured_at,
            enrolled_at=facts.enrolled_at,
        )


_GRADES: dict[Grade, Literal["low", "medium", "high"]] = {
    Grade.LOW: "low",
    Grade.MEDIUM: "medium",
    Grade.HIGH: "high",
}


class References(Answer):
    """The templates of a person, by age."""

    references: tuple[Reference, ...]


class NewPin(Args):
    """A PIN."""

    pin: Annotated[str, Field(min_length=1, max_length=32, description="4 to 12 digits; docs/access.md says which not")]
    duress: Annotated[bool, Field(description="opens as the PIN does, and raises a silent alarm")] = False


class NewPass(Args):
    """A visitor's pass to be issued."""

    not_before: Annotated[datetime | None, Field(strict=False, description="with a zone; now where none")] = None
    for_s: Annotated[int, Field(ge=60, le=31 * 86_400, description="how long it serves, in seconds")]
    uses: Annotated[int, Field(ge=1, le=20)] = 1


class PassFacts(Answer):
    """A pass that was issued."""

    pass_id: str
    person_id: str
    not_before: Annotated[int, Field(description="Unix seconds")]
    until: Annotated[int, Field(description="Unix seconds")]
    uses: int

    @classmethod
    def of(cls, one: Pass) -> Self:
        """Return what is told of a pass; never its code."""
        return cls(
            pass_id=one.pass_id, person_id=one.person_id, not_before=one.not_before, until=one.until, uses=one.uses
        )


class PassIssued(PassFacts):
    """A pass that was issued just now."""

    code: Annotated[str, Field(description="the text of its QR code, told this once")]


class Passes(Answer):
    """The passes that neither expired nor were revoked."""

    passes: tuple[PassFacts, ...]


class GroupFacts(Answer):
    """A group of people."""

    name: str
    dynamic: Annotated[bool, Field(description="whether a rule says who is in it")]
    rule: Annotated[str, Field(description="as JSON; empty for a static one")]
    people: Annotated[int | None, Field(description="none for a dynamic one")]
    created_at: Instant

    @classmethod
    def of(cls, group: Group) -> Self:
        """Return what is told of a group."""
        return cls(
            name=group.name,
            dynamic=group.dynamic,
            rule=group.rule,
            people=group.people,
            created_at=group.created_at,
        )


class Groups(Answer):
    """Every group, by name."""

    groups: tuple[GroupFacts, ...]


class NewGroup(Args):
    """A group to be made: static where no tag and no status is named."""

    name: Identifier
    all_tags: Words = ()
    any_tags: Words = ()
    statuses: Annotated[tuple[StatusWord, ...], Field(strict=False, max_length=3)] = ()


class NewInvitation(Args):
    """Somebody who is to enrol themselves at the door."""

    name: Name
    consent_by: Annotated[Name, Field(description="who has agreed to it beforehand")]
    language: Annotated[str, Field(max_length=35, description="in which they were asked")] = "en"
    consent_text: Annotated[str, Field(max_length=63, description="version of the text; empty for the newest")] = ""
    keep_photos: Annotated[bool, Field(description="they also agreed to pictures being kept")] = False
    at_once: Annotated[bool, Field(description="they may enter once enrolled; else they are suspended first")] = False
    valid_s: Annotated[int, Field(ge=60, le=31 * 86_400, description="how long the code serves, in seconds")] = 172_800
    external_id: Annotated[str, Field(max_length=200)] = ""
    groups: Words = ()
    tags: Words = ()


class InvitationFacts(Answer):
    """An open invitation."""

    invitation_id: str
    name: str
    until: Annotated[int, Field(description="Unix seconds")]
    tries: Annotated[int, Field(description="how often an enrolment was begun with it; three are allowed")]


class InvitationIssued(InvitationFacts):
    """An invitation that was issued just now."""

    code: Annotated[str, Field(description="the text of its QR code, told this once")]


class Invitations(Answer):
    """The open invitations, the first to expire first."""

    invitations: tuple[InvitationFacts, ...]
