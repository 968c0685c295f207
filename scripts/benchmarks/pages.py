"""How long the pages take to answer with many people enrolled: the real process on loopback, one request at a time.

What a browser draws is not counted, nor what its cache spares: the page itself is asked for anew each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.people.register import Rule

from . import report
from .crowded import crowded, figures, spent_ms
from .growth import FIRST

if TYPE_CHECKING:
    from collections.abc import Sequence

ENTRIES = 100_000  # of the audit log
STAFF, TAGGED = "staff", "night"


def run(people: int, times: int) -> None:
    """Ask for each page so many times, and print what it took; the last line is JSON."""
    with crowded(people, ENTRIES) as web:
        with web.installation.open_gallery() as gallery:
            some = [one.person_id for one in gallery.people(after=people // 2, limit=min(times, people // 2))]
            with gallery.transaction():
                gallery.make_group(STAFF)
                gallery.make_group(TAGGED, Rule(any_tags=(TAGGED,)))
                for person_id in some:
                    gallery.set_details(person_id, tags=[TAGGED])
        measured = {}
        for name, paths in _paths(people, some).items():
            asked = [paths[at % len(paths)] for at in range(times)]
            spent_ms(web.port, asked[:3], web.by_session())  # the first ones open what the others find open
            measured[name] = figures(spent_ms(web.port, asked, web.by_session()))
            told = measured[name]
            print(
                f"{name:28} n {told['n']}  p50 {told['p50']:7.2f} ms  p95 {told['p95']:7.2f} ms "
                f"({told['p95_low']:.2f} to {told['p95_high']:.2f})  p99 {told['p99']:7.2f} ms"
            )
    report.finish({"bench": "pages", "people": people, "entries": ENTRIES, "ms": measured})


def _paths(people: int, some: Sequence[str]) -> dict[str, list[str]]:
    """Return what is asked for, by what it is; each in turn."""
    return {
        "overview": ["/"],
        "people": ["/people"],
        "people, far": [f"/people?after={people - 50 * at}" for at in range(2, 12)],
        "people, active": ["/people?status=active"],
        "people, of a rule": [f"/people?group={TAGGED}"],
        "people, search": [f"/people?q={first}" for first in FIRST],
        "person": [f"/people/{person_id}" for person_id in some],
        "erase": [f"/people/{person_id}/erase" for person_id in some],
        "alike": [f"/people/{person_id}/alike" for person_id in some],
        "groups": ["/groups"],
        "group of a rule": [f"/groups/{TAGGED}"],
        "enrol": ["/enrol"],
        "invitations": ["/invitations"],
        "door": ["/door"],
        "schedules": ["/schedules"],
        "attempts": ["/attempts"],
        "audit": ["/audit"],
        "settings": ["/settings"],
    }
