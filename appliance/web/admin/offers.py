"""Offers to enrol somebody once more from a visit that has just been: never taken but on somebody's word."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.errors import RefusedError
from appliance.web.admin.persons import ENROLLERS
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page, see_other
from appliance.web.reader import ReaderAwayError
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.web.books import Books

router = APIRouter()


@router.get("/offers")
@allowed(*ENROLLERS)
async def offers(request: Request) -> Response:
    """List who could be enrolled once more."""
    return await _offers(request)


@router.post("/offers/{offer_id}")
@allowed(*ENROLLERS)
async def take(request: Request, offer_id: str) -> Response:
    """Enrol somebody once more from what the camera saw of them."""
    try:
        said = await rooms_of(request).reader.do(who_is(request), "person.renew", offer_id=offer_id)
    except RefusedError as refusal:
        return await _offers(request, str(refusal))
    return see_other(f"/people/{said['person_id']}?done=saved")


async def _offers(request: Request, problem: str = "") -> Response:
    rooms, away = rooms_of(request), ""
    try:
        told = (await rooms.reader.ask({"verb": "offer.list"}))["offers"]
    except ReaderAwayError as fault:
        told, away = [], str(fault)

    def named(books: Books) -> list[tuple[str, str, str]]:
        found = [(one["offer_id"], one["person_id"], books.gallery.person(one["person_id"])) for one in told]
        return [(offer_id, person_id, person.name) for offer_id, person_id, person in found if person is not None]

    status = HTTPStatus.CONFLICT if problem else HTTPStatus.OK
    listed = await rooms.books.run(named)
    return page(request, "offers.html", status=status, listed=listed, away=away, problem=problem)
