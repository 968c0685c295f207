"""The pages about groups: who belongs together, by hand or by a rule."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Query, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.access.subject import Status
from appliance.errors import RefusedError
from appliance.people.enrolment import only_one
from appliance.people.groups import add_group, group_of, join, leave, remove_group, rule_of
from appliance.people.register import Rule
from appliance.web.admin.persons import ENROLLERS, METHOD, actor_of, changeable, tried, words_of
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page, see_other
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.people.person import Group, Person
    from appliance.web.books import Books

router = APIRouter()

PAGE = 50


class GroupForm(BaseModel):
    """A group that is to be made, as it was typed."""

    name: str = ""
    all_tags: str = ""
    any_tags: str = ""
    statuses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Members:
    """A group, and a page of who is in it."""

    group: Group
    rule: Rule | None
    people: tuple[Person, ...]
    total: int


@router.get("/groups")
@allowed(*ENROLLERS)
async def groups(request: Request) -> Response:
    """List the groups, and offer to make one."""
    return await _groups(request)


@router.post("/groups")
@allowed(*ENROLLERS)
async def make(request: Request, form: Annotated[GroupForm, Form()]) -> Response:
    """Make a group."""
    who = who_is(request)

    def carry_out(books: Books) -> None:
        rule = rule_of(words_of(form.all_tags), words_of(form.any_tags), form.statuses)
        add_group(books.gallery, books.audit, form.name.strip(), rule, actor=actor_of(who), method=METHOD)

    refused = await rooms_of(request).books.run(lambda books: tried(books, carry_out))
    return await _groups(request, refused, form) if refused else see_other(f"/groups/{form.name.strip()}")


@router.get("/groups/{name}")
@allowed(*ENROLLERS)
async def group(request: Request, name: str, after: Annotated[int, Query(ge=0, le=10_000_000)] = 0) -> Response:
    """Show who is in a group."""
    return await _group(request, name, after)


@router.post("/groups/{name}/join")
@allowed(*ENROLLERS)
async def put_into(request: Request, name: str, person: Annotated[str, Form(max_length=200)]) -> Response:
    """Put somebody into a group, by name or id."""
    who = who_is(request)

    def carry_out(books: Books) -> None:
        one = changeable(books, who, only_one(books.gallery, person).person_id)
        join(books.gallery, books.audit, name, one.person_id, actor=actor_of(who), method=METHOD)

    return await _done(request, name, carry_out)


@router.post("/groups/{name}/leave")
@allowed(*ENROLLERS)
async def take_out(request: Request, name: str, person: Annotated[str, Form(max_length=200)]) -> Response:
    """Take somebody out of a group, by id."""
    who = who_is(request)

    def carry_out(books: Books) -> None:
        one = changeable(books, who, person)
        leave(books.gallery, books.audit, name, one.person_id, actor=actor_of(who), method=METHOD)

    return await _done(request, name, carry_out)


@router.post("/groups/{name}/remove")
@allowed(*ENROLLERS)
async def remove(request: Request, name: str, sure: Annotated[str, Form()] = "") -> Response:
    """Give a group up, once it was said twice; nobody is erased by that."""
    who = who_is(request)

    def carry_out(books: Books) -> None:
        if sure != "yes":
            raise RefusedError("tick that you want it")
        remove_group(books.gallery, books.audit, name, actor=actor_of(who), method=METHOD)

    refused = await rooms_of(request).books.run(lambda books: tried(books, carry_out))
    return await _group(request, name, 0, refused) if refused else see_other("/groups")


async def _done(request: Request, name: str, change: Callable[[Books], None]) -> Response:
    refused = await rooms_of(request).books.run(lambda books: tried(books, change))
    return await _group(request, name, 0, refused) if refused else see_other(f"/groups/{name}")


async def _groups(request: Request, problem: str = "", form: GroupForm | None = None) -> Response:
    listed = await rooms_of(request).books.run(lambda books: books.gallery.groups())
    return page(
        request,
        "groups.html",
        status=HTTPStatus.CONFLICT if problem else HTTPStatus.OK,
        listed=[(one, Rule.read(one.rule) if one.rule else None) for one in listed],
        problem=problem,
        typed=form or GroupForm(),
        statuses=list(Status),
    )


async def _group(request: Request, name: str, after: int, problem: str = "") -> Response:
    def read(books: Books) -> Members:
        if name not in {one.name for one in books.gallery.groups()}:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        found = group_of(books.gallery, name)
        people, total = books.gallery.page(after, PAGE, group=name)
        return Members(found, Rule.read(found.rule) if found.rule else None, people, total)

    return page(
        request,
        "group.html",
        status=HTTPStatus.CONFLICT if problem else HTTPStatus.OK,
        members=await rooms_of(request).books.run(read),
        problem=problem,
        after=after,
        limit=PAGE,
    )
