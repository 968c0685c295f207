"""What each verb takes: one frozen model a verb, from which `args` are read and the published schema is written."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.envelope import Command

# The longest values that can be of use; what they must look like besides is said where they are used.
_LINE = 200
_SAID = 120

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
Name = Annotated[str, Field(min_length=1, max_length=_LINE)]
Words = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=63)], ...], Field(strict=False, max_length=32)]
Instant = Annotated[str, Field(max_length=40, description="as 2026-12-01 or 2026-12-01T07:30Z; empty for no bound")]


class Args(BaseModel):
    """The args of a verb: no unknown name, no type but the right one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class OfTicket(Args):
    """A ticket."""

    ticket_id: Identifier


class Approve(OfTicket):
    """Let the visitor of a ticket in."""


class Deny(OfTicket):
    """Keep the visitor of a ticket out."""


class Again(OfTicket):
    """Have the visitor of a ticket show themselves once more, and the ticket sent anew."""


class Say(OfTicket):
    """Show the visitor of a ticket a line of text."""

    text: Annotated[str, Field(min_length=1, max_length=_SAID)]


class Open(Args):
    """Let somebody in now."""

    for_s: Annotated[int, Field(ge=1, le=30)] | None = Field(default=None, description="door.unlock_s where none")


class Unlock(Args):
    """Hold the door unlocked, for anybody to pass."""

    for_s: Annotated[int, Field(ge=1, le=86_400)]


class Lock(Args):
    """Hold the door locked, whatever its schedule says."""

    for_s: Annotated[int, Field(ge=1, le=86_400)] = 86_400


class Release(Args):
    """End a hold, a lockdown, a fire that is over, or acknowledge a forced opening."""

    of: Literal["operator", "lockdown", "fire", "forced"] = "operator"


class Lockdown(Args):
    """Refuse entry to all but the bypass group."""


class Consented(Args):
    """Who is to be enrolled, and that they agreed."""

    name: Name
    consent_by: Annotated[Name, Field(description="the person, or who may consent for them")]
    language: Annotated[str, Field(max_length=35, description="in which they were asked")] = "en"
    consent_text: Annotated[str, Field(max_length=63, description="version of the text, if it was ours")] = ""
    external_id: Annotated[str, Field(max_length=_LINE)] = ""
    groups: Words = ()
    tags: Words = ()
    accept_medium: Annotated[bool, Field(description="views of medium quality will do; an admin's to say")] = False
    accept_alike: Annotated[bool, Field(description="they look like somebody enrolled; an admin's to say")] = False


class PersonAdd(Consented):
    """Enrol the visitor of an approved ticket."""

    ticket_id: Identifier


class PersonRenew(Args):
    """Enrol somebody once more whom the door offered to."""

    offer_id: Identifier


class Changes(Args):
    """What is said anew of a person; what is left out stays, an empty text or list takes it away."""

    name: Name | None = None
    external_id: Annotated[str, Field(max_length=_LINE)] | None = None
    notes: Annotated[str, Field(max_length=4000)] | None = None
    tags: Words | None = None
    cards: Words | None = None
    groups: Words | None = None
    status: Literal["active", "suspended"] | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class PersonUpdate(Changes):
    """Say something anew of a person; what is left out stays, an empty text or list takes it away."""

    person_id: Identifier
    consent: Annotated[Literal["withdrawn"] | None, Field(description="withdrawn erases the face")] = None


class PersonRemove(Args):
    """Erase a person."""

    person_id: Identifier


class PersonList(Args):
    """Tell who is enrolled, a page at a time in order of enrolment, or whom a search finds."""

    after: Annotated[int, Field(ge=0, description="past so many")] = 0
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    search: Annotated[str, Field(max_length=_LINE)] = ""


class EnrolStart(Consented):
    """Enrol whoever stands before the door now, guided; what they are told comes as progress."""


class EnrolStop(Args):
    """End the guided enrolment that is going on."""


class EnrolPhoto(Args):
    """One part of a photo; the last part of the last photo enrols the person."""

    upload_id: Annotated[Identifier, Field(description="yours; the same for all parts and photos of one person")]
    photo: Annotated[int, Field(ge=1, le=20, description="number of the photo")] = 1
    photos: Annotated[int, Field(ge=1, le=20, description="how many there will be")] = 1
    part: Annotated[int, Field(ge=1, le=256, description="number of the part of this photo")] = 1
    parts: Annotated[int, Field(ge=1, le=256, description="how many parts this photo has")] = 1
    data: Annotated[str, Field(min_length=4, max_length=60_000, description="base64 of this part of a JPEG or PNG")]
    person: Annotated[Consented | None, Field(description="needed with part 1 of photo 1, and only there")] = None


class Feed(Args):
    """Tell the events after a sequence number, a page at a time."""

    after: Annotated[int, Field(ge=0, description="sequence number of the last event that is known")]
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class AuditHead(Args):
    """Tell the head of the audit log, to be remembered elsewhere."""


class ConfigGet(Args):
    """Tell the settings in force."""


class Status(Args):
    """Tell the state of health."""


class Join(Args):
    """Make a key known while the device shows a code; signed with that very key."""

    public_key: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$", description="Ed25519, base64")]
    proof: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="docs/client.md says over what")]


VERBS: Mapping[str, type[Args]] = MappingProxyType(
    {
        "approve": Approve,
        "deny": Deny,
        "again": Again,
        "say": Say,
        "open": Open,
        "unlock": Unlock,
        "lock": Lock,
        "release": Release,
        "lockdown": Lockdown,
        "person.add": PersonAdd,
        "person.update": PersonUpdate,
        "person.remove": PersonRemove,
        "person.list": PersonList,
        "person.renew": PersonRenew,
        "enrol.start": EnrolStart,
        "enrol.stop": EnrolStop,
        "enrol.photo": EnrolPhoto,
        "feed": Feed,
        "audit.head": AuditHead,
        "config.get": ConfigGet,
        "status": Status,
    }
)


def read_args(command: Command) -> Args:
    """Return what the command's args say. Raises RefusedError: one line with the arg, its value and what is allowed."""
    model = VERBS.get(command.verb)
    if model is None:
        raise RefusedError(f"verb {command.verb} is not carried out by this version")
    try:
        return model.model_validate(dict(command.args))
    except ValidationError as fault:
        raise RefusedError(_in_words(fault, command.verb)) from fault


def _in_words(fault: ValidationError, verb: str) -> str:
    first = fault.errors(include_url=False)[0]
    name = ".".join(("args", *map(str, first["loc"])))[:100]
    if first["type"] == "missing":
        return f"{name} of {verb} is missing"
    if first["type"] == "extra_forbidden":
        return f"{name} of {verb} is not known"
    return f"{name} of {verb} is {first['input']!r:.60}; {first['msg'].removeprefix('Input ')}"
