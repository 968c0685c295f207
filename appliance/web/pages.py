"""Pages: templates filled in, and the one way to answer with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from appliance import __version__
from appliance.web.guard import asked_by
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_TEMPLATES = Environment(
    loader=PackageLoader("appliance.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Request, name: str, *, status: int = 200, **shown: object) -> HTMLResponse:
    """Return the page of this template; it knows `who` (or None), `path`, `device`, `version` and what is given.

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
