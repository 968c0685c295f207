"""The bench of mutated commands: 20,000 of them in every run, and that it would notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.envelope import open_envelope
from scripts.benchmarks import mutations
from scripts.benchmarks.mutants import KINDS, Attempt, Scene

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.clients import Registry
    from appliance.envelope import Command, Refusal


def test_twenty_thousand_commands_that_are_not_true_are_refused(tmp_path: Path) -> None:
    """D5, D6: mutated, replayed, expired, reordered, misdirected, of the revoked; every true one is taken."""
    tally = mutations.tried(20_000, 20_000, tmp_path / "door")
    assert tally.accepted == []
    assert tally.true == tally.true_taken == 200
    assert sum(tally.refused.values()) == 20_000
    assert {kind for kind, _ in tally.refused} == set(KINDS)


def test_the_bench_notices_a_door_that_takes_what_is_retained(tmp_path: Path) -> None:
    """A bench that cannot fail shows nothing: with one rule gone, what it was for is found, and nothing else."""

    def careless(made: Attempt, scene: Scene, registry: Registry) -> Command | Refusal:
        return open_envelope(
            made.payload,
            topic=made.topic,
            device_id="front",
            retained=False,
            now=scene.now,
            keys=registry.find,
            nonces=registry,
        )

    tally = mutations.tried(2_000, 1, tmp_path / "door", careless)
    assert tally.accepted
    assert {one.partition(":")[0] for one in tally.accepted} == {"retained"}
