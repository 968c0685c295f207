"""A clock that somebody else has set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.clients import Registry
from appliance.contract import Role, Topic, topic
from appliance.envelope import Command, Fault, Refusal, open_envelope, sign
from appliance.signing import new_key, read_key

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_900_000_000.0
HOUR_S, YEARS_S = 3600.0, 3.2e8
OPEN = topic("front", Topic.CMD, "open")


def test_clock_that_is_set_back_revives_no_command(tmp_path: Path) -> None:
    """H3: a command that was taken, or had expired, is refused when time is set back, after a restart too."""
    public, key = new_key(tmp_path / "guard.key"), read_key(tmp_path / "guard.key")

    def said(nonce: int) -> bytes:
        return sign(
            key,
            topic=OPEN,
            device_id="front",
            client_id="guard",
            verb="open",
            args={},
            now=NOW,
            ttl_s=30,
            nonce=nonce,
            request_id=f"r{nonce}",
        )

    def heard(payload: bytes, now: float) -> str:
        with Registry(tmp_path / "clients.db") as registry:
            told = open_envelope(
                payload, topic=OPEN, device_id="front", retained=False, now=now, keys=registry.find, nonces=registry
            )
        return told.why if isinstance(told, Refusal) else type(told).__name__

    with Registry(tmp_path / "clients.db") as registry:
        registry.add("guard", Role.OPERATOR, public)
    older, newer = said(1), said(2)
    assert heard(older, NOW + HOUR_S) == Fault.EXPIRED
    assert heard(newer, NOW) == Command.__name__
    for step_s in (HOUR_S, -HOUR_S, YEARS_S, -YEARS_S, 0.0):
        refused = heard(older, NOW + step_s), heard(newer, NOW + step_s)
        assert set(refused) <= {Fault.EXPIRED, Fault.FUTURE, Fault.REPLAYED}
    assert (heard(older, NOW), heard(newer, NOW)) == (Fault.REPLAYED, Fault.REPLAYED)
