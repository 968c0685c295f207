"""Power cuts, thousands of them: every sector that was not synced is there, or not, or torn from its neighbours."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.durability.cuts import cut, record
from tests.durability.platter import SECTOR_BYTES, Kind, Op, Platter

if TYPE_CHECKING:
    from tests.durability.work import Appliance


def test_no_power_cut_loses_what_was_acknowledged() -> None:
    """Power back after a cut, F1: after any of 2,000 what was acknowledged is there, nothing half there, all sound.

    People are enrolled, changed, withdrawn and erased, events sealed, passes used and passages noted, over two starts.
    """
    outcome = cut(record(changes=40, seed=5), count=2_000, seed=2)
    assert outcome.faults == []
    assert len(outcome.acknowledged) >= 2_000
    assert len(outcome.images) > 1_000
    assert sum(outcome.acknowledged) > 20_000


def test_same_cuts_catch_a_database_that_does_not_sync() -> None:
    """F1: with synchronous=NORMAL the very same trial finds changes that were acknowledged and are lost."""

    def careless(appliance: Appliance) -> None:
        for one in (appliance.gallery, appliance.gallery.keyring, appliance.audit, appliance.ledger):
            one._db.execute("PRAGMA synchronous=NORMAL")

    outcome = cut(record(changes=10, seed=5, prepare=careless), count=100, seed=2)
    assert len([fault for fault in outcome.faults if "lost an acknowledged change" in fault]) > 40


@pytest.mark.parametrize("length", [1, SECTOR_BYTES, 5 * SECTOR_BYTES + 7])
def test_what_was_synced_is_always_left(length: int) -> None:
    """F1: the trial's disk keeps what was synced, name and content, and of the rest whole sectors in any choice."""
    chance = random.Random(3)  # noqa: S311 - sectors, not a secret
    old, new = b"o" * length, b"n" * length
    platter = Platter()
    for op in (Op(Kind.CREATE, 1, "a"), Op(Kind.WRITE, 1, data=old), Op(Kind.SYNC, 1), Op(Kind.SYNC_FOLDER)):
        platter.take(op, chance)
    assert not platter.dirty
    assert platter.cut(chance) == {"a": old}
    for op in (Op(Kind.WRITE, 1, data=new), Op(Kind.CREATE, 2, "b"), Op(Kind.UNLINK, name="a")):
        platter.take(op, chance)
    seen = [platter.cut(chance) for _ in range(400)]
    assert {frozenset(files) for files in seen} == {frozenset(names) for names in ("", "a", "b", "ab")}
    contents = {files["a"] for files in seen if "a" in files}
    assert {old, new} <= contents
    for content in contents:
        sectors = [content[at : at + SECTOR_BYTES] for at in range(0, length, SECTOR_BYTES)]
        assert all(len(set(sector)) == 1 for sector in sectors)
    assert len(contents) > 2 or length <= SECTOR_BYTES
