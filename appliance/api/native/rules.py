"""The access rules and the settings, and why somebody would get in or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path, Request, Response
from pydantic import Field

from appliance import __version__
from appliance.access.subject import Factor  # noqa: TC001 - pydantic reads it
from appliance.access.verdict import Allowed, Refused
from appliance.api.native.common import METHOD, actor_of, known
from appliance.api.native.routes import for_roles, router
from appliance.api.native.shapes import Answer, Id
from appliance.api.native.versions import expected, versioned
from appliance.contract import VERB_ROLES, Reason, Role
from appliance.explaining import explained
from appliance.verbs import Args
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of
from appliance.web.rules_desk import MAX_LETTERS, rules_file

if TYPE_CHECKING:
    from appliance.web.books import Books

api = router("rules")


class RulesText(Answer):
    """`access.toml`."""

    text: Annotated[str, Field(description="TOML; empty where there are no rules: whoever is enrolled may enter")]


class NewRules(Args):
    """`access.toml` anew."""

    text: Annotated[str, Field(max_length=MAX_LETTERS, description="TOML, docs/access.md")]


class SettingsFacts(Answer):
    """The settings in force when the web was started; they name files of secrets and hold none."""

    version: str
    settings: dict[str, Any]


class Question(Args):
    """What is asked about somebody's access."""

    at: Annotated[
        str | None, Field(max_length=40, description="as 2026-12-24T08:30, in the rules' zone; now where none")
    ] = None
    lockdown: Annotated[bool, Field(description="as if there were one")] = False
    shown: Annotated[tuple[Factor, ...], Field(strict=False, max_length=2, description="as if these were")] = ()


class Explanation(Answer):
    """Whether somebody would get in, and why."""

    may_enter: Annotated[
        bool, Field(description="as asked; with another factor or person they may where this is false")
    ]
    reason: Annotated[Reason | None, Field(description="of a refusal")]
    lines: Annotated[tuple[str, ...], Field(description="the answer, then every check in its order")]


@api.get("/rules", response_model=RulesText)
@for_roles(VERB_ROLES["config.get"])
async def rules(request: Request) -> Response:
    """Tell the access rules. The ETag is what a change of them must name."""

    def look(books: Books) -> Response:
        found = rules_file(books.installation).read()
        return versioned(request, RulesText(text=found.text), f'"{found.version}"')

    return await rooms_of(request).books.run(look)


@api.put("/rules", response_model=RulesText)
@for_roles((Role.ADMIN,))
async def change(request: Request, args: NewRules) -> Response:
    """Put other access rules in force, which must be sound TOML of the known keys. Needs If-Match with the ETag."""
    who, version = who_is(request), expected(request).strip('"')

    def make(books: Books) -> Response:
        file = rules_file(books.installation)
        wanted = file.read().version if version == "*" else version
        written = file.save(args.text, wanted, books.audit, actor_of(who), METHOD)
        return versioned(request, RulesText(text=written.text), f'"{written.version}"')

    return await rooms_of(request).books.run(make)


@api.get("/settings")
@for_roles(VERB_ROLES["config.get"])
async def settings(request: Request) -> SettingsFacts:
    """Tell the settings."""
    found = rooms_of(request).installation.settings
    return SettingsFacts(version=__version__, settings=found.model_dump(mode="json"))


@api.post("/people/{person_id}/explain")
@for_roles(VERB_ROLES["person.list"] | VERB_ROLES["config.get"])
async def explain(
    request: Request, person_id: Annotated[Id, Path(description="of somebody enrolled")], args: Question
) -> Explanation:
    """Say whether a person would get in, and why, check by check. Nothing is done."""

    def look(books: Books) -> Explanation:
        known(books, person_id)
        found = explained(books.installation, person_id, args.at, frozenset(args.shown), in_lockdown=args.lockdown)
        verdict = found.verdict
        return Explanation(
            may_enter=isinstance(verdict, Allowed),
            reason=verdict.reason if isinstance(verdict, Refused) else None,
            lines=found.lines,
        )

    return await rooms_of(request).books.run(look)
