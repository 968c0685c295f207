"""The event feed under power cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.durability.feeding import endure

if TYPE_CHECKING:
    from appliance.audit import AuditLog


def test_no_event_is_missing_after_a_power_cut() -> None:
    """D11, F1, J8: over 40 power cuts log and feed together bring every acknowledged event, and each in one wording."""
    outcome = endure(events=400, each=80, cuts=8, seed=4)
    assert outcome.faults == []
    assert outcome.events >= 400
    assert outcome.cuts >= 40
    assert outcome.again > 0  # some come twice


def test_same_cuts_catch_a_log_that_does_not_sync() -> None:
    """D11: with synchronous=NORMAL the very same trial finds events that were acknowledged and are lost."""

    def careless(audit: AuditLog) -> None:
        audit._db.execute("PRAGMA synchronous=NORMAL")

    assert endure(events=80, each=80, cuts=30, seed=4, prepare=careless).faults
