"""What can be asked of a running reader on its local socket, as JSON; the same for every command that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from appliance.access.pin import MAX_DIGITS, MIN_DIGITS
from appliance.contract import Role  # noqa: TC001 - pydantic reads it
from appliance.enrolment.desk import Newcomer
from appliance.errors import RefusedError
from appliance.pairing_desk import Pair
from appliance.people.enrolment import Particulars
from appliance.people.person import Consent
from appliance.people.references import look_alike

if TYPE_CHECKING:
    from typing import Self

    from appliance.enrolment.desk import Told
    from appliance.manifest import Impostors
    from appliance.records import OperatingPoint


# An account of the web pages, or a key of the HTTP interfaces; no client that signs can be called so.
VOICE = r"^(web|key):[a-z0-9][a-z0-9._-]{0,62}$"


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Start(_Request):
    """Enrol somebody before the camera, from now on."""

    verb: Literal["enrol.start"] = "enrol.start"
    name: str
    given_by: str
    given_at: AwareDatetime
    language: str
    text_version: str = ""
    text_hash: str = ""
    photos: bool = False
    recorded_by: str = ""
    external_id: str = ""
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    valid_until: AwareDatetime | None = None
    held: bool = False
    accept_alike: bool = False

    @classmethod
    def of(cls, newcomer: Newcomer) -> Self:
        """Return the request to enrol this newcomer."""
        consent, particulars = newcomer.consent, newcomer.particulars
        return cls(
            name=newcomer.name,
            given_by=consent.given_by,
            given_at=consent.given_at,
            language=consent.language,
            text_version=consent.text_version,
            text_hash=consent.text_hash,
            photos=consent.photos,
            recorded_by=consent.recorded_by,
            external_id=particulars.external_id,
            tags=tuple(sorted(particulars.tags)),
            groups=tuple(sorted(particulars.groups)),
            valid_until=particulars.valid_until,
            held=particulars.held,
            accept_alike=newcomer.accept_alike,
        )

    def newcomer(self) -> Newcomer:
        """Return who is to be enrolled."""
        consent = Consent(
            self.given_by,
            self.given_at,
            self.language,
            self.text_version,
            self.text_hash,
            photos=self.photos,
            recorded_by=self.recorded_by,
        )
        particulars = Particulars(
            self.external_id,
            tags=frozenset(self.tags),
            groups=frozenset(self.groups),
            valid_until=self.valid_until,
            held=self.held,
        )
        return Newcomer(self.name, consent, particulars, accept_alike=self.accept_alike)


class ListOffers(_Request):
    """Say who can be enrolled once more from a visit that has just been."""

    verb: Literal["offer.list"] = "offer.list"


class TakeOffer(_Request):
    """Enrol somebody once more from such a visit."""

    verb: Literal["offer.take"] = "offer.take"
    offer_id: Annotated[str, Field(max_length=63)]


class Do(_Request):
    """Carry out a verb of the contract for somebody whom the web has made sure of."""

    verb: Literal["do"] = "do"
    by: Annotated[str, Field(pattern=VOICE)]
    role: Role
    method: Literal["web", "api"]
    command: Annotated[str, Field(max_length=63)]
    args: dict[str, Any] = {}


class ListTickets(_Request):
    """Tell the tickets that are open."""

    verb: Literal["ticket.list"] = "ticket.list"
    role: Role


class TicketPicture(_Request):
    """Give the picture of a ticket that is open."""

    verb: Literal["ticket.image"] = "ticket.image"
    role: Role
    ticket_id: Annotated[str, Field(max_length=63)]


class Look(_Request):
    """Say whether whoever comes before the camera next is alive, and whose face it is."""

    verb: Literal["look"] = "look"
    by: Annotated[str, Field(pattern=VOICE)]
    for_s: Annotated[float, Field(ge=1, le=600, allow_inf_nan=False)]
    picture: bool = False


class Watch(_Request):
    """Tell what is to be shown at the door, at once and whenever it changes."""

    verb: Literal["watch"] = "watch"


class Preview(_Request):
    """Give what the camera sees, as it comes."""

    verb: Literal["preview"] = "preview"


class TypePin(_Request):
    """Take a PIN that was typed at the door."""

    verb: Literal["pin"] = "pin"
    text: Annotated[str, Field(pattern=rf"^[0-9]{{{MIN_DIGITS},{MAX_DIGITS}}}$", repr=False)]


class Ring(_Request):
    """Somebody before the door rings."""

    verb: Literal["bell"] = "bell"


class MoreTime(_Request):
    """Whoever stands before the door needs more time to go through."""

    verb: Literal["more_time"] = "more_time"


AtTheDoor = Watch | Preview | TypePin | Ring | MoreTime
Request = Start | ListOffers | TakeOffer | Pair | Do | ListTickets | TicketPicture | AtTheDoor | Look
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="verb")])


def read_request(packet: dict[str, Any]) -> Request:
    """Return what is asked for. Raises RefusedError, one line, where it is nothing that can be."""
    try:
        return _REQUEST.validate_python(packet)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "verb"
        raise RefusedError(f"the request is wrong at {where}: {first['msg']}") from fault


def message_of(told: Told, impostors: Impostors | None, point: OperatingPoint) -> dict[str, Any]:
    """Return what whoever asked is told, ready for JSON: a hint, at the end a person or an error, and never a score."""
    if told.refused:
        return {"error": told.refused}
    message: dict[str, Any] = {"hint": told.hint.value, "views": told.views}
    if told.enrolled is not None:
        alike = look_alike(told.enrolled.rival, impostors, point)
        message |= {
            "person_id": told.enrolled.person.person_id,
            "references": told.enrolled.person.references,
            "look_alike": {} if alike is None else alike._asdict(),
        }
    return message
