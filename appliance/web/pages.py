"""Pages: templates filled in, and the one way to answer with one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from appliance import __version__
from appliance.web import wording
from appliance.web.guard import asked_by
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from datetime import date

    from starlette.requests import Request
    from starlette.responses import Response

_TEMPLATES = Environment(
    loader=PackageLoader("appliance.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def when(at: datetime) -> str:
    """Return an aware time as pages say it, by the clock on the machine's wall: `2026-11-23 14:05:09`."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def stamp(at: float) -> datetime:
    """Return the aware time of so many Unix seconds."""
    return datetime.fromtimestamp(at, UTC)


def ago(at: datetime | date) -> str:
    """Return how long ago a time or a day was, roughly, in words; "in a moment" for one that is still to come."""
    if not isinstance(at, datetime):
        days = (datetime.now().astimezone().date() - at).days
        return "today" if days <= 0 else "yesterday" if days == 1 else f"{days} days ago"
    seconds = (datetime.now(UTC) - at).total_seconds()
    for most, unit, word in ((60, 1, "second"), (3600, 60, "minute"), (86_400, 3600, "hour")):
        if seconds < most:
            count = int(seconds // unit)
            return "in a moment" if count < 0 else f"{count} {word}{'' if count == 1 else 's'} ago"
    return ago(at.astimezone().date())


_TEMPLATES.filters |= {"when": when, "ago": ago, "begun": wording.begun}
_TEMPLATES.globals |= {"words": wording, "stamp": stamp}


def page(request: Request, name: str, /, *, status: int = 200, **shown: object) -> HTMLResponse:
    """Return the page of this template.

    It knows `who` (or None), `path`, `device`, `version`, the module `wording` as `words`, and what is given.
    Everything that is shown is escaped: no template marks anything as safe.
    """
    device = rooms_of(request).installation.settings.device
    text = _TEMPLATES.get_template(name).render(
        who=asked_by(request), path=request.url.path, device=device, version=__version__, **shown
    )
    return HTMLResponse(text, status)


def see_other(path: str) -> Response:
    """Return the answer after a form: look at this page of ours."""
    return RedirectResponse(path, 303)
