"""How long `/api/v1` takes to answer with many people and a long log: the real process, over loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.api.native.app import PATH

from . import report
from .crowded import crowded, figures, spent_ms
from .growth import FIRST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .crowded import Crowded

PAGE = 50


def run(people: int, entries: int, turns: int) -> None:
    """Print p50, p95 and p99 of each kind of question. Raises UsageError where one is not answered."""
    with crowded(people, entries) as crowd:
        asked = _questions(crowd, people, entries, turns)
        for paths in asked.values():  # nothing of what is opened once is counted
            spent_ms(crowd.port, paths[:5], crowd.by_key())
        found = {name: figures(spent_ms(crowd.port, paths, crowd.by_key())) for name, paths in asked.items()}
    columns = ("ms", "n", "p50", "p95", "p95 from", "p95 to", "p99", "worst")
    rows = [(name, str(one["n"]), *(f"{one[key]:.1f}" for key in list(one)[1:])) for name, one in found.items()]
    title = f"{PATH} with {people:,} people and {entries:,} events; p95 with its 95 % interval by resampling"
    report.show(title, columns, rows)
    report.finish({"bench": "api", "people": people, "entries": entries} | found)


def _questions(crowd: Crowded, people: int, entries: int, turns: int) -> dict[str, Sequence[str]]:
    """Return the paths of each kind of question, `turns` of each, all of them different where they can be."""
    dice = np.random.default_rng(1)
    with crowd.installation.open_gallery() as gallery:
        ids = [one.person_id for one in gallery.people(after=0, limit=people)]
        names = [one.name for one in gallery.people(after=0, limit=min(people, 1000))]
    places = dice.integers(0, max(1, people - PAGE), turns)
    chosen = [ids[place] for place in dice.integers(0, people, turns)]
    rare = [names[place].replace(" ", "%20") for place in dice.integers(0, len(names), turns)]
    return {
        "a page of 50 people": [f"{PATH}/people?limit={PAGE}&after={place}" for place in places],
        "active ones alone": [f"{PATH}/people?limit={PAGE}&after={place}&status=active" for place in places],
        "one person": [f"{PATH}/people/{person_id}" for person_id in chosen],
        "search, one name": [f"{PATH}/people?search={name}" for name in rare],
        "search, a common name": [f"{PATH}/people?search={FIRST[turn % 3]}" for turn in range(turns)],
        "the newest 100 events": [f"{PATH}/events?limit=100"] * turns,
        "100 events anywhere": [f"{PATH}/events?after={place}" for place in dice.integers(0, entries, turns)],
        "events that name a person": [f"{PATH}/events?person={person_id}" for person_id in chosen],
    }
