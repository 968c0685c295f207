"""What commands do about people: enrolled, changed, erased and listed, in the loop's thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.access.schedule import instant
from appliance.access.subject import Status
from appliance.contract import Role
from appliance.enrolment.desk import Newcomer
from appliance.errors import RefusedError, UsageError
from appliance.messages import utc_text
from appliance.people.changes import Change, revise, withdraw
from appliance.people.enrolment import (
    Particulars,
    checked,
    checked_consent,
    checked_name,
    enrol_again,
    enrol_looks,
    enrol_seen,
    remove,
)
from appliance.people.person import Consent
from appliance.people.references import look_alike
from appliance.usecases import by
from appliance.verbs import PersonAdd, PersonList, PersonRemove, PersonRenew, PersonUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.access.subject import Subject
    from appliance.envelope import Command
    from appliance.journal import Journal
    from appliance.people.consents import ConsentTexts
    from appliance.people.enrolment import Enrolled
    from appliance.people.gallery import Gallery
    from appliance.people.person import Person
    from appliance.people.references import Look, Standard
    from appliance.reception import Reception
    from appliance.records import Actor, OperatingPoint
    from appliance.usecases import Acts, Answer
    from appliance.verbs import Changes, Consented


class PeopleActs:
    """Belongs to the loop's thread. `point` is the door's present operating point."""

    def __init__(
        self,
        reception: Reception,
        gallery: Gallery,
        journal: Journal,
        *,
        standard: Standard,
        texts: ConsentTexts,
        point: Callable[[], OperatingPoint],
    ) -> None:
        self._reception = reception
        self._gallery = gallery
        self._journal = journal
        self._standard = standard
        self._texts = texts
        self._point = point

    def acts(self) -> Acts:
        """Return what is done for each verb."""
        return {
            PersonAdd: self._add,
            PersonRenew: self._renew,
            PersonUpdate: self._update,
            PersonRemove: self._remove,
            PersonList: self._list,
        }

    def newcomer(self, command: Command, args: Consented) -> Newcomer:
        """Return who is to be enrolled at the door, as the command says. Raises RefusedError."""
        standard = self._standard_for(command, args)
        if standard.accept_medium:
            raise RefusedError("args.accept_medium has no meaning at the door; views of high quality are waited for")
        return Newcomer(
            args.name,
            self._consent(command, args),
            _particulars(args),
            accept_alike=standard.accept_alike,
            actor=by(command),
            method=command.method,
        )

    def check(self, command: Command, args: Consented) -> None:
        """Raise RefusedError where somebody could not be enrolled like this, whatever their photos show."""
        checked_name(args.name, "name")
        checked_consent(self._consent(command, args))
        checked(_particulars(args))
        self._standard_for(command, args)

    def enrol_photos(self, command: Command, args: Consented, looks: Sequence[Look], answer: Answer) -> None:
        """Enrol from views of photos, whose templates are those of no gallery yet. Raises RefusedError."""
        protect = self._gallery.protection.protect
        enrolled = enrol_looks(
            self._gallery,
            self._journal,
            [look._replace(embedding=protect(look.embedding)) for look in looks],
            args.name,
            consent=self._consent(command, args),
            standard=self._standard_for(command, args),
            particulars=_particulars(args),
            actor=by(command),
            method=command.method,
        )
        answer(self.told(enrolled))

    def renew(self, offer_id: str, actor: Actor, method: str) -> dict[str, Any]:
        """Take an offer: what was seen of a person becomes theirs. Raises RefusedError as `enrol_again`."""
        offer = self._reception.renewal(offer_id)
        count = enrol_again(
            self._gallery,
            self._journal,
            offer.references,
            offer.person_id,
            standard=self._standard,
            actor=actor,
            method=method,
        )
        self._reception.renewed(offer_id)
        return {"person_id": offer.person_id, "references": count}

    def _renew(self, command: Command, args: PersonRenew, answer: Answer) -> None:
        answer(self.renew(args.offer_id, by(command), command.method))

    def _add(self, command: Command, args: PersonAdd, answer: Answer) -> None:
        """Enrol the visitor of an approved ticket, with their consent."""
        consent, standard = self._consent(command, args), self._standard_for(command, args)
        enrolled = enrol_seen(
            self._gallery,
            self._journal,
            self._reception.offer(args.ticket_id),
            args.name,
            consent=consent,
            standard=standard,
            actor=by(command),
            method=command.method,
        )
        self._reception.taken(args.ticket_id)
        answer(self.told(enrolled))

    def _update(self, command: Command, args: PersonUpdate, answer: Answer) -> None:
        self._changeable(command, args.person_id)
        if args.consent == "withdrawn":
            if args.model_fields_set != {"person_id", "consent"}:
                raise RefusedError("args.consent of person.update stands alone; a withdrawal is not mixed with changes")
            withdraw(self._gallery, self._journal, args.person_id, actor=by(command), method=command.method)
        else:
            self._revise(command, args)
        answer({"person": listed(self._known(args.person_id))})

    def _revise(self, command: Command, args: PersonUpdate) -> None:
        change, access = revision(args)
        revise(
            self._gallery,
            self._journal,
            args.person_id,
            change,
            access,
            actor=by(command),
            method=command.method,
        )

    def _known(self, person_id: str) -> Person:
        """Return whom an id names: over the wire nobody is meant by a name."""
        known = self._gallery.person(person_id)
        if known is None:
            raise RefusedError(f"nobody is enrolled under the id {person_id}; person.list tells the ids")
        return known

    def _changeable(self, command: Command, person_id: str) -> Person:
        """Return whom an id names. Raises RefusedError for nobody, and, but to admins, for who is deny-listed."""
        known = self._known(person_id)
        if known.status != Status.DENY_LISTED or command.role is Role.ADMIN:
            return known
        raise RefusedError(f"person {person_id} is deny-listed; only an admin may change that, or erase them")

    def _remove(self, command: Command, args: PersonRemove, answer: Answer) -> None:
        known = self._changeable(command, args.person_id)
        receipt = remove(self._gallery, self._journal, known.person_id, actor=by(command), method=command.method)
        answer({"person_id": receipt.person_id, "references": receipt.references, "receipt": receipt.receipt_hash})

    def _list(self, _command: Command, args: PersonList, answer: Answer) -> None:
        if args.search:
            found = self._gallery.search(args.search.strip(), args.limit)
            answer({"people": [listed(one) for one in found], "total": len(found), "next": None})
            return
        total = self._gallery.size()
        page = self._gallery.people(after=args.after, limit=args.limit)
        following = args.after + len(page)
        answer(
            {
                "people": [listed(one) for one in page],
                "total": total,
                "next": following if page and following < total else None,
            }
        )

    def told(self, enrolled: Enrolled) -> dict[str, Any]:
        """Return what whoever enrolled somebody is told: ids, and no number about a face."""
        alike = look_alike(enrolled.rival, self._standard.impostors, self._point())
        return {
            "person_id": enrolled.person.person_id,
            "references": enrolled.person.references,
            "look_alike": alike.person_id if alike is not None and alike.referred else "",
        }

    def _consent(self, command: Command, args: Consented) -> Consent:
        """Return the consent that a command records; to a text of ours where it names the version."""
        try:
            read = self._texts.read(args.language, args.consent_text) if args.consent_text else None
        except UsageError as fault:
            raise RefusedError(str(fault)) from fault
        return Consent(
            args.consent_by,
            datetime.now(UTC),
            args.language,
            read.version if read is not None else "",
            read.sha256 if read is not None else "",
            recorded_by=command.client_id,
        )

    def _standard_for(self, command: Command, args: Consented) -> Standard:
        """Return what the enrolment must meet, less what an admin takes upon themself."""
        if (args.accept_medium or args.accept_alike) and command.role is not Role.ADMIN:
            raise RefusedError(f"accept_medium and accept_alike are for admins; {command.client_id} is {command.role}")
        return replace(self._standard, accept_medium=args.accept_medium, accept_alike=args.accept_alike)


def revision(said: Changes) -> tuple[Change, Callable[[Subject], Subject]]:
    """Return what is said anew of a person, and how it changes their access. Raises RefusedError."""
    told: dict[str, Any] = {}
    if said.status is not None:
        told["status"] = Status(said.status)
    if said.groups is not None:
        told["groups"] = checked(Particulars(groups=frozenset(said.groups))).groups
    for name in ("valid_from", "valid_until"):
        text = getattr(said, name)
        if text is not None:
            told[name] = _instant(name, text) if text else None
    change = Change(said.name, said.external_id, said.notes, said.tags, said.cards)
    return change, lambda subject: replace(subject, **told)


def _instant(name: str, text: str) -> datetime:
    try:
        return instant(text, None, ends=name == "valid_until")
    except ValueError as fault:
        raise RefusedError(f"{name} is {text!r}; {fault}") from fault


def _particulars(args: Consented) -> Particulars:
    return Particulars(args.external_id, tags=frozenset(args.tags), groups=frozenset(args.groups))


def listed(one: Person) -> dict[str, Any]:
    """Return what an enroller is told of a person."""
    return {
        "person_id": one.person_id,
        "name": one.name,
        "external_id": one.external_id,
        "status": one.status,
        "groups": list(one.groups),
        "references": one.references,
        "enrolled_at": utc_text(one.enrolled_at),
        "consent": "withdrawn" if one.withdrawn else "given",
    }
