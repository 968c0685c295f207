"""On which day somebody was let in last: what the retention of people goes by."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.access.schedule import Moment
from appliance.contract import Reason
from appliance.records import Deny
from tests.stand import BEA, NOON, Stand, standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Give a reception with real files and no rules."""
    with standing(tmp_path) as stand:
        yield stand


def last_seen(stand: Stand) -> dict[str, date | None]:
    """Return the day of everybody."""
    return {person.name: person.last_seen_on for person in stand.gallery.people()}


def test_who_is_let_in_was_seen_today(stand: Stand) -> None:
    """J6: a grant notes the day, once a day; nobody else's changes, and who is refused was not let in."""
    stand.see(stand.grant("ada"))
    revision = stand.gallery.revision()
    stand.now_s += 100
    stand.see(stand.grant("ada"), "v2")
    assert len(stand.door.pulses) == 2
    assert stand.gallery.revision() == revision
    stand.now_s += 100
    stand.see(Deny(Reason.LIVENESS_FAILED), "v3")
    assert last_seen(stand) == {"Ada": NOON.date(), "Bea": None}
    stand.moment = Moment(NOON + timedelta(days=2), clock_set=True)
    stand.now_s += 100
    stand.see(stand.grant("ada"), "v4")
    assert last_seen(stand)["Ada"] == NOON.date() + timedelta(days=2)


def test_who_comes_along_was_seen_too(stand: Stand, tmp_path: Path) -> None:
    """Where two must come, both were let in on that day."""
    (tmp_path / "access.toml").write_text(
        'time_zone = "UTC"\n[groups.pairs]\ndoors = ["front"]\ntwo_person = "pairs"\n'
    )
    stand.access.tend()
    for person_id in stand.ids.values():
        subject = stand.gallery.subject(person_id)
        assert subject is not None
        stand.gallery.set_access(replace(subject, groups=frozenset({"pairs"})))
    stand.see(stand.grant("ada"))
    assert last_seen(stand) == {"Ada": None, "Bea": None}
    stand.now_s += 5
    stand.see(stand.grant("bea"), "v2", BEA)
    assert last_seen(stand) == {"Ada": NOON.date(), "Bea": NOON.date()}


def test_a_door_that_did_not_open_let_nobody_in(stand: Stand) -> None:
    """A pulse that the controller refused notes no day."""
    stand.door.refuses = True
    stand.see(stand.grant("ada"))
    assert last_seen(stand)["Ada"] is None


def test_a_clock_that_nobody_has_set_dates_nothing(stand: Stand) -> None:
    """H1: while the time cannot be believed no day is noted, whoever comes in."""
    stand.moment = Moment(NOON, clock_set=False)
    stand.see(stand.grant("ada"))
    assert len(stand.door.pulses) == 1
    assert last_seen(stand)["Ada"] is None
