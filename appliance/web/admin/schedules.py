"""The schedules page: weeks, holidays, who may enter when; and forms and a text in which they are changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.access.rules import ANYBODY, Rules, ScheduleRules
from appliance.access.schedule import DAYS, Span, holiday_on
from appliance.access.subject import FactorPolicy
from appliance.audit import Sought
from appliance.contract import EventType, Role, is_identifier
from appliance.errors import ConfigError, UsageError
from appliance.toml_text import with_value, without
from appliance.web.admin.file_pages import as_written, demand_same, preview, save
from appliance.web.admin.week import bars, read_periods, rows
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page
from appliance.web.rooms import rooms_of
from appliance.web.rules_desk import MAX_LETTERS, rules_file

if TYPE_CHECKING:
    from appliance.web.books import Books

router = APIRouter()

_BASE = "/schedules"
_READERS = (Role.OPERATOR, Role.ENROLLER, Role.AUDITOR, Role.ADMIN)
_LOOKED_AT = 10_000  # entries of the log
BEGINNING = """# Who may enter, where and when: docs/access.md. Whoever is in no group below enters nowhere.

time_zone = "UTC"

[schedules.office]
periods = ["Mon-Fri 07:00-19:00"]

[groups.staff]
doors = ["*"]
schedule = "office"
"""
_ON_HOLIDAYS = {
    "closed": "Closed on holidays",
    "as_sunday": "Holidays are Sundays",
    "ignored": "Holidays are ordinary days",
}

Text = Annotated[str, Form(max_length=2 * MAX_LETTERS)]
Version = Annotated[str, Form(max_length=64)]


@router.get(_BASE)
@allowed(*_READERS)
async def schedules(request: Request) -> Response:
    """Show the rules of access."""
    rooms = rooms_of(request)
    file = rules_file(rooms.installation)
    rules: Rules | None = None
    line = version = ""
    try:
        written = file.read()
        version = written.version
        rules = file.check(written.text) if version else None
    except ConfigError as fault:
        line = str(fault)
    now = datetime.now(UTC)
    return page(
        request,
        "schedules.html",
        line=line,
        file_version=version,
        rules=rules,
        weeks=[] if rules is None else [_week(rules, name, one, now) for name, one in rules.schedules.items()],
        holidays=[] if rules is None else [_holiday(name, spans) for name, spans in rules.holidays.items()],
        today="" if rules is None else holiday_on(now.astimezone(rules.time_zone).date(), rules.holidays),
        groups=[] if rules is None else [_group(rules, name) for name in rules.groups],
        doors=[] if rules is None else [_door(rules, name) for name in rules.doors],
        edits=who_is(request).role is Role.ADMIN and file.path is not None,
        writable=file.writable,
        named=file.path is not None,
        read_at=await rooms.books.run(_read_anew),
        days=DAYS,
        empty=rows((), 2),
        on_holidays=_ON_HOLIDAYS,
    )


@router.get(f"{_BASE}/text")
@allowed(Role.ADMIN)
async def text_page(request: Request) -> Response:
    """Show the whole text, to be changed."""
    file = rules_file(rooms_of(request).installation)
    written = file.read()
    return page(
        request,
        "file_text.html",
        text=written.text or BEGINNING,
        file_version=written.version,
        file=file.name,
        base=_BASE,
        most=MAX_LETTERS,
        writable=file.writable,
    )


@router.post(f"{_BASE}/preview")
@allowed(Role.ADMIN)
async def preview_text(request: Request, text: Text, version: Version = "") -> Response:
    """Say what a text would change."""
    return preview(request, rules_file(rooms_of(request).installation), _BASE, as_written(text), version)


@router.post(f"{_BASE}/save")
@allowed(Role.ADMIN)
async def save_text(request: Request, text: Text, version: Version = "") -> Response:
    """Keep a text."""
    return await save(request, rules_file(rooms_of(request).installation), _BASE, as_written(text), version)


@router.post(f"{_BASE}/change")
@allowed(Role.ADMIN)
async def change(request: Request) -> Response:
    """Say what a form would change: a schedule, a holiday, or one of them less."""
    sent = await request.form()
    form = {name: [str(one) for one in sent.getlist(name)] for name in sent}
    file = rules_file(rooms_of(request).installation)
    version = _only(form, "version")
    text = demand_same(file, version).text
    act = {
        "schedule": _schedule,
        "drop_schedule": _drop_schedule,
        "holiday": _add_holiday,
        "drop_holiday": _drop_holiday,
    }
    asked = act.get(_only(form, "act"))
    if asked is None:
        raise UsageError("the form does not say what to change")
    return preview(request, file, _BASE, asked(text, form), version)


def _schedule(text: str, form: dict[str, list[str]]) -> str:
    """Return the text with one schedule as the form has it."""
    name, holidays = _only(form, "name"), _only(form, "holidays")
    if not is_identifier(name):
        raise UsageError(f"the name is {name[:80]!r}; allowed are 1 to 63 of A-Z a-z 0-9 _ -")
    changed = with_value(text, ("schedules", name), "periods", read_periods(form))
    if holidays in _ON_HOLIDAYS:
        changed = with_value(changed, ("schedules", name), "holidays", holidays)
    return changed


def _drop_schedule(text: str, form: dict[str, list[str]]) -> str:
    return without(text, ("schedules", _only(form, "name")))


def _add_holiday(text: str, form: dict[str, list[str]]) -> str:
    """Return the text with one holiday more."""
    name, first, last = (_only(form, one).strip() for one in ("name", "first", "last"))
    if not name or not name.isprintable() or len(name) > 80:
        raise UsageError(f"the name is {name[:80]!r}; 1 to 80 letters are wanted")
    if _only(form, "yearly") == "yes":
        first, last = first[5:], last[5:]
    span = f"{first} to {last}" if last else first
    try:
        Span.parse(span)
    except ValueError as fault:
        raise UsageError(f"the day is {span[:60]!r}; {fault}") from fault
    return with_value(text, ("holidays",), name, span)


def _drop_holiday(text: str, form: dict[str, list[str]]) -> str:
    return with_value(text, ("holidays",), _only(form, "name"), None)


def _only(form: dict[str, list[str]], name: str) -> str:
    return next(iter(form.get(name, [])), "")


def _week(rules: Rules, name: str, one: ScheduleRules, now: datetime) -> dict[str, Any]:
    schedule = rules.schedule(name)
    listed = one.holidays if isinstance(one.holidays, str) else ""
    words = (
        _ON_HOLIDAYS.get(listed) or f"On holidays {', '.join(p.text for p in one.holidays if not isinstance(p, str))}"
    )
    used = [section for section, key in _uses(rules) if key == name]
    return {
        "name": name,
        "texts": [period.text for period in one.periods],
        "bars": bars(one.periods),
        "rows": rows(one.periods),
        "holidays": listed,
        "on_holidays": words,
        "now": schedule.covers(now),
        "used": list(dict.fromkeys(used)),
    }


def _uses(rules: Rules) -> list[tuple[str, str]]:
    """Return which group or door names which schedule."""
    groups = [(f"group {name}", key) for name, group in rules.groups.items() for _, key in group.schedules()]
    return groups + [(f"door {name}", key) for name, door in rules.doors.items() for _, key in door.schedules()]


def _holiday(name: str, spans: tuple[Span, ...]) -> dict[str, Any]:
    return {"name": name, "days": ", ".join(map(_span, spans))}


def _span(span: Span) -> str:
    form = "%d %B" if span.yearly else "%d %B %Y"
    days = span.first.strftime(form) + (f" to {span.last.strftime(form)}" if span.last != span.first else "")
    return f"{days}, every year" if span.yearly else days


def _group(rules: Rules, name: str) -> dict[str, Any]:
    group = rules.groups[name]
    more = [_demand(group.factor, group.factor_inside, group.factor_outside), _second(group.two_person)]
    more += ["passes a lockdown"] if group.lockdown_bypass else []
    more += ["anti-passback does not bind"] if group.passback_exempt else []
    more += ["more time to pass"] if group.extended else []
    more += ["may begin the day"] if group.first_in else []
    doors = "every door" if ANYBODY in group.doors else ", ".join(group.doors)
    return {"name": name, "doors": doors, "when": group.schedule or "at any time", "more": [one for one in more if one]}


def _door(rules: Rules, name: str) -> dict[str, Any]:
    door = rules.doors[name]
    more = [_demand(door.factor, door.factor_inside, door.factor_outside), _second(door.two_person)]
    unlocked = f"unlocked during {door.unlock_schedule}" if door.unlock_schedule else ""
    more += [unlocked + (", once the first person is in" if door.first_person_in else "")]
    more += [f"anti-passback {door.passback}"] if door.passback != "off" else []
    return {"name": name, "side": door.side.value, "more": [one for one in more if one]}


def _demand(factor: FactorPolicy, inside: str, outside: str) -> str:
    if factor is FactorPolicy.NONE:
        return ""
    asked = {FactorPolicy.PIN: "a PIN", FactorPolicy.PASS: "a pass", FactorPolicy.ANY: "a PIN or a pass"}[factor]
    return f"asks for {asked}" + (f" during {inside}" if inside else f" outside {outside}" if outside else "")


def _second(group: str) -> str:
    return "" if not group else "two must come" if group == ANYBODY else f"a second person of {group} must come"


def _read_anew(books: Books) -> datetime | None:
    """Return when the running reader took the rules in last, as its log says; None where it did not lately."""
    above = max(0, books.audit.head().seq - _LOOKED_AT)
    sought = Sought((EventType.CONFIG_CHANGED,), text="access rules were read anew")
    found = books.audit.newest(sought, 1, above=above)
    return found[0].event.at.astimezone() if found else None
