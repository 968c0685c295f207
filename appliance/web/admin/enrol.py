"""Enrolment on the pages: who it is and that they agree, then photos, or the door's own camera."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response, StreamingResponse

from appliance.contract import Hint, Role
from appliance.enrolment.guided import LIMIT_S
from appliance.errors import ApplianceError, PhotoError, RefusedError, UsageError
from appliance.people.enrolment import MAX_PHOTOS
from appliance.records import Grade
from appliance.web.admin.consenting import BLANK, ConsentForm, consent_of, particulars_of, sheet_of
from appliance.web.admin.persons import ENROLLERS, in_parts
from appliance.web.gate import MAX_BODY
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page, see_other
from appliance.web.photos import enrol_photos
from appliance.web.photos import look as looked_at
from appliance.web.rooms import rooms_of
from appliance.web.wording import FLAWS, GRADES, HINTS, begun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.web.accounts import Who
    from appliance.web.admin.consenting import Sheet
    from appliance.web.admin.persons import Part
    from appliance.web.books import Books

router = APIRouter()

SILENT_S = LIMIT_S + 10.0  # the guided enrolment ends by itself before


class NewcomerForm(ConsentForm):
    """Who is to be enrolled, and what an admin takes upon themself."""

    accept_medium: str = ""
    accept_alike: str = ""


@router.get("/enrol")
@allowed(*ENROLLERS)
async def ask(request: Request, language: Annotated[str, Query(max_length=35)] = "en") -> Response:
    """Ask who is to be enrolled."""
    return await _asked(request, language)


@router.post("/enrol")
@allowed(*ENROLLERS)
async def by_photos(request: Request) -> Response:
    """Enrol somebody from photos."""
    who, rooms = who_is(request), rooms_of(request)
    form, photos = await _read(request)
    try:
        consent = await rooms.books.run(lambda books: consent_of(books, who, form))
        taken = await enrol_photos(
            rooms,
            who,
            photos,
            name=form.name,
            consent=consent,
            particulars=particulars_of(form),
            accept_medium=form.accept_medium == "yes",
            accept_alike=form.accept_alike == "yes",
        )
    except (PhotoError, RefusedError, UsageError) as refusal:
        return await _asked(request, form.language, str(refusal), form.model_dump())
    return see_other(_page_of(taken.person_id, taken.look_alike))


@router.post("/enrol/look")
@allowed(*ENROLLERS)
async def look(request: Request) -> Response:
    """Say how good one photo is, before anybody is enrolled from it; never how alike it is to anybody."""
    _, photos = await _read(request)
    if len(photos) != 1:
        raise UsageError(f"{len(photos)} photos are given; one is looked at")
    try:
        seen = await looked_at(rooms_of(request), photos[0], "1")
    except PhotoError as refusal:
        return JSONResponse({"tone": "bad", "said": begun(str(refusal).removeprefix("photo 1 "))})
    flaws = ", ".join(FLAWS[flaw] for flaw in seen.flaws)
    tone = "good" if seen.grade is Grade.HIGH else "warn"
    return JSONResponse({"tone": tone, "said": f"{GRADES[seen.grade]}{f': {flaws}' if flaws else ''}"})


@router.post("/enrol/door")
@allowed(*ENROLLERS)
async def at_the_door(request: Request, form: Annotated[NewcomerForm, Form()]) -> Response:
    """Enrol whoever stands before the door now, guided; told as it goes to a script, at the end to anybody else."""
    who = who_is(request)
    if form.agreed != "yes":
        return await _asked(request, form.language, "without their consent nobody is enrolled", form.model_dump())
    told = _guided(request, who, form)
    if "application/x-ndjson" in request.headers.get("accept", ""):
        return StreamingResponse(_lines(request, told), media_type="application/x-ndjson")
    try:
        async for said in told:
            if said.get("person_id"):
                return see_other(_page_of(said["person_id"], said["look_alike"]))
    except RefusedError as refusal:
        return await _asked(request, form.language, str(refusal), form.model_dump())
    return await _asked(request, form.language, "the enrolment was ended", form.model_dump())


async def _guided(request: Request, who: Who, form: NewcomerForm) -> AsyncIterator[dict[str, Any]]:
    """Give how far it has come. Raises RefusedError where nobody is enrolled."""
    particulars = particulars_of(form)
    args = {
        "name": form.name,
        "consent_by": form.given_by,
        "language": form.language,
        "consent_text": form.version,
        "external_id": particulars.external_id,
        "tags": sorted(particulars.tags),
        "groups": sorted(particulars.groups),
        "accept_alike": form.accept_alike == "yes",
    }
    asked = {"verb": "do", "by": who.voice, "role": who.role, "method": "web", "command": "enrol.start", "args": args}
    async for said in rooms_of(request).reader.hear(asked, SILENT_S):
        if said["error"]:
            raise RefusedError(str(said["error"]))
        yield said["result"]


async def _lines(request: Request, told: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    """Give a line of JSON for each step, in words; the last leads to the person, or says why there is none."""
    try:
        async for said in told:
            line = {"said": HINTS[Hint(said["hint"])], "views": said["views"]}
            if said.get("person_id"):
                line["to"] = _page_of(said["person_id"], said["look_alike"])
            yield json.dumps(line) + "\n"
    except ApplianceError as fault:
        why = str(fault)
        parts = await rooms_of(request).books.run(lambda books: in_parts(books.gallery, why))
        yield json.dumps({"problem": "".join(part.text for part in parts)}) + "\n"


async def _read(request: Request) -> tuple[NewcomerForm, list[bytes]]:
    """Return what was typed, and the photos. A field that is missing is empty: what that means is said later."""
    async with request.form() as sent:
        typed = {name: text for name, text in sent.items() if isinstance(text, str)}
        groups = tuple(one for one in sent.getlist("groups") if isinstance(one, str))
        files = [one for one in sent.getlist("photos") if isinstance(one, UploadFile)]
        photos = [content for file in files[: MAX_PHOTOS + 1] if (content := await file.read())]
    return NewcomerForm.model_validate({**BLANK, **typed, "groups": groups}), photos


async def _asked(request: Request, language: str, problem: str = "", typed: dict[str, Any] | None = None) -> Response:
    def read(books: Books) -> tuple[Sheet, tuple[Part, ...]]:
        return sheet_of(books, language), in_parts(books.gallery, problem)

    sheet, parts = await rooms_of(request).books.run(read)
    return page(
        request,
        "enrol.html",
        status=HTTPStatus.CONFLICT if problem else HTTPStatus.OK,
        sheet=sheet,
        problem=parts if problem else (),
        typed=typed or NewcomerForm.model_validate(BLANK).model_dump(),
        admin=who_is(request).role is Role.ADMIN,
        most=MAX_PHOTOS,
        most_mb=MAX_BODY // 2**20,
    )


def _page_of(person_id: str, look_alike: str) -> str:
    """Return where somebody who was just enrolled is shown: with whom they are mixed up, where there is anybody."""
    return f"/people/{person_id}/alike" if look_alike else f"/people/{person_id}?done=enrolled"
