"""What people show besides their face, and groups, passes and invitations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import Path, Query, Request

from appliance.api.native.common import METHOD, actor_of, changeable
from appliance.api.native.problems import NotThereError
from appliance.api.native.routes import for_roles, router
from appliance.api.native.shapes import (
    GroupFacts,
    Groups,
    Id,
    InvitationFacts,
    InvitationIssued,
    Invitations,
    NewGroup,
    NewInvitation,
    NewPass,
    NewPin,
    Passes,
    PassFacts,
    PassIssued,
)
from appliance.commands.consent import given
from appliance.contract import VERB_ROLES
from appliance.enrolment.desk import Newcomer
from appliance.enrolment.invitations import InvitationBook, invite, revoke
from appliance.errors import UsageError
from appliance.people.enrolment import Particulars, checked, checked_name
from appliance.people.factors import issue_pass, remove_pin, revoke_pass, set_pin
from appliance.people.groups import add_group, join, leave, remove_group, rule_of
from appliance.people.passes import PassBook
from appliance.signing import own_key
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.access.passes import Pass
    from appliance.enrolment.invitations import Invitation
    from appliance.web.accounts import Who
    from appliance.web.books import Books

api = router("rights")

PersonId = Annotated[Id, Path(description="of somebody enrolled")]
GroupName = Annotated[Id, Path(description="of a group")]
_ENROLLERS = VERB_ROLES["person.update"]


@api.put("/people/{person_id}/pin", status_code=204)
@for_roles(_ENROLLERS)
async def give_pin(request: Request, person_id: PersonId, args: NewPin) -> None:
    """Give a person a PIN, or a duress PIN beside it, in place of what was."""
    who = who_is(request)

    def make(books: Books) -> None:
        changeable(books, who, person_id)
        actor = actor_of(who)
        set_pin(books.gallery, books.audit, person_id, args.pin, duress=args.duress, actor=actor, method=METHOD)

    await rooms_of(request).books.run(make)


@api.delete("/people/{person_id}/pin", status_code=204)
@for_roles(_ENROLLERS)
async def take_pin(
    request: Request, person_id: PersonId, *, duress: Annotated[bool, Query(description="that one alone")] = False
) -> None:
    """Take a person's PIN and duress PIN away."""
    who = who_is(request)

    def make(books: Books) -> None:
        changeable(books, who, person_id)
        remove_pin(books.gallery, books.audit, person_id, duress=duress, actor=actor_of(who), method=METHOD)

    await rooms_of(request).books.run(make)


@api.get("/passes")
@for_roles(_ENROLLERS)
async def passes(request: Request) -> Passes:
    """Tell the passes that neither expired nor were revoked."""

    def look(books: Books) -> Passes:
        now = datetime.now(UTC).timestamp()
        with PassBook(books.installation.gallery_file) as book:
            return Passes(passes=tuple(PassFacts.of(one) for one in book.passes() if now < one.until))

    return await rooms_of(request).books.run(look)


@api.post("/people/{person_id}/passes", status_code=201)
@for_roles(_ENROLLERS)
async def issue(request: Request, person_id: PersonId, args: NewPass) -> PassIssued:
    """Issue a visitor's pass for a person. It serves together with their face alone."""
    who = who_is(request)

    def make(books: Books) -> PassIssued:
        person, device = changeable(books, who, person_id), books.installation.settings.device
        with PassBook(books.installation.gallery_file) as book:
            made, code = issue_pass(
                book,
                books.audit,
                person,
                own_key(books.installation.device_key_file),
                device_id=device.id,
                door=device.door,
                not_before=_begins(args),
                lifetime=timedelta(seconds=args.for_s),
                uses=args.uses,
                actor=actor_of(who),
                method=METHOD,
            )
        return PassIssued(**PassFacts.of(made).model_dump(), code=code)

    return await rooms_of(request).books.run(make)


@api.delete("/passes/{pass_id}", status_code=204)
@for_roles(_ENROLLERS)
async def take_pass(request: Request, pass_id: Annotated[Id, Path()]) -> None:
    """Take a pass back: it serves no longer."""
    who = who_is(request)

    def make(books: Books) -> None:
        with PassBook(books.installation.gallery_file) as book:
            _demand_pass(book.passes(), pass_id)
            revoke_pass(book, books.audit, pass_id, actor=actor_of(who), method=METHOD)

    await rooms_of(request).books.run(make)


@api.get("/groups")
@for_roles(_ENROLLERS)
async def groups(request: Request) -> Groups:
    """Tell every group."""

    def look(books: Books) -> Groups:
        return Groups(groups=tuple(map(GroupFacts.of, books.gallery.groups())))

    return await rooms_of(request).books.run(look)


@api.post("/groups", status_code=201)
@for_roles(_ENROLLERS)
async def make_group(request: Request, args: NewGroup) -> GroupFacts:
    """Make a group: dynamic, of whomever tags or status choose, or static, of whoever is put into it."""
    who = who_is(request)

    def make(books: Books) -> GroupFacts:
        rule = rule_of(args.all_tags, args.any_tags, args.statuses)
        add_group(books.gallery, books.audit, args.name, rule, actor=actor_of(who), method=METHOD)
        return next(GroupFacts.of(one) for one in books.gallery.groups() if one.name == args.name)

    return await rooms_of(request).books.run(make)


@api.delete("/groups/{name}", status_code=204)
@for_roles(_ENROLLERS)
async def drop_group(request: Request, name: GroupName) -> None:
    """Give a group up."""
    who = who_is(request)

    def make(books: Books) -> None:
        _demand_group(books, name)
        remove_group(books.gallery, books.audit, name, actor=actor_of(who), method=METHOD)

    await rooms_of(request).books.run(make)


@api.put("/groups/{name}/members/{person_id}", status_code=204)
@for_roles(_ENROLLERS)
async def put_in(request: Request, name: GroupName, person_id: PersonId) -> None:
    """Put a person into a static group."""
    who = who_is(request)

    def make(books: Books) -> None:
        _demand_group(books, name)
        changeable(books, who, person_id)
        join(books.gallery, books.audit, name, person_id, actor=actor_of(who), method=METHOD)

    await rooms_of(request).books.run(make)


@api.delete("/groups/{name}/members/{person_id}", status_code=204)
@for_roles(_ENROLLERS)
async def take_out(request: Request, name: GroupName, person_id: PersonId) -> None:
    """Take a person out of a static group."""
    who = who_is(request)

    def make(books: Books) -> None:
        _demand_group(books, name)
        changeable(books, who, person_id)
        leave(books.gallery, books.audit, name, person_id, actor=actor_of(who), method=METHOD)

    await rooms_of(request).books.run(make)


@api.get("/invitations")
@for_roles(_ENROLLERS)
async def invitations(request: Request) -> Invitations:
    """Tell the invitations that are open."""

    def look(books: Books) -> Invitations:
        with _invitation_book(books) as book:
            now = datetime.now(UTC).timestamp()
            return Invitations(invitations=tuple(map(_invitation, book.open_ones(now))))

    return await rooms_of(request).books.run(look)


@api.post("/invitations", status_code=201)
@for_roles(_ENROLLERS)
async def make_invitation(request: Request, args: NewInvitation) -> InvitationIssued:
    """Make a one-time code with which somebody enrols themself at the door; needs a record of consent."""
    who = who_is(request)

    def make(books: Books) -> InvitationIssued:
        newcomer, device = _newcomer(books, who, args), books.installation.settings.device
        with _invitation_book(books) as book:
            made, code = invite(
                book,
                books.audit,
                newcomer,
                own_key(books.installation.device_key_file),
                device_id=device.id,
                door=device.door,
                lifetime=timedelta(seconds=args.valid_s),
                actor=actor_of(who),
                method=METHOD,
            )
        return InvitationIssued(invitation_id=made.pass_id, name=newcomer.name, until=made.until, tries=0, code=code)

    return await rooms_of(request).books.run(make)


@api.delete("/invitations/{invitation_id}", status_code=204)
@for_roles(_ENROLLERS)
async def take_invitation(request: Request, invitation_id: Annotated[Id, Path()]) -> None:
    """Take an invitation back: its code serves no longer."""
    who = who_is(request)

    def make(books: Books) -> None:
        with _invitation_book(books) as book:
            now = datetime.now(UTC).timestamp()
            if invitation_id not in {one.code.pass_id for one in book.open_ones(now)}:
                raise NotThereError(f"there is no invitation {invitation_id}")
            revoke(book, books.audit, invitation_id, actor=actor_of(who), method=METHOD)

    await rooms_of(request).books.run(make)


def _begins(args: NewPass) -> datetime:
    """Return when the pass begins to serve. Raises UsageError for a time without a zone."""
    if args.not_before is None:
        return datetime.now(UTC)
    if args.not_before.tzinfo is None:
        raise UsageError(
            f"not_before is {args.not_before.isoformat()}; a time with a zone is wanted, such as ...T08:00Z"
        )
    return args.not_before


def _demand_pass(passes: tuple[Pass, ...], pass_id: str) -> None:
    if pass_id not in {one.pass_id for one in passes}:
        raise NotThereError(f"there is no pass {pass_id}")


def _demand_group(books: Books, name: str) -> None:
    if name not in {group.name for group in books.gallery.groups()}:
        raise NotThereError(f"there is no group {name}")


def _invitation(one: Invitation) -> InvitationFacts:
    return InvitationFacts(
        invitation_id=one.code.pass_id, name=one.newcomer.name, until=one.code.until, tries=one.tries
    )


def _newcomer(books: Books, who: Who, args: NewInvitation) -> Newcomer:
    consent = given(books.installation, args.consent_by, args.language, args.consent_text, photos=args.keep_photos)
    said = Particulars(
        args.external_id.strip(), tags=frozenset(args.tags), groups=frozenset(args.groups), held=not args.at_once
    )
    name = checked_name(args.name, "name")
    return Newcomer(name, replace(consent, recorded_by=who.voice), checked(said), actor=actor_of(who), method=METHOD)


def _invitation_book(books: Books) -> InvitationBook:
    return InvitationBook(books.installation.enrolment_file, books.gallery.keyring.secret("invitations"))
