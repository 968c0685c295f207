"""Mutated, replayed, expired, reordered and misdirected commands at the real envelope and registry: none may pass."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.clients import Registry
from appliance.contract import Role
from appliance.envelope import Refusal, open_envelope
from appliance.rates import Rate
from appliance.signing import public_text

from . import report
from .mutants import KINDS, Attempt, Scene, attempt, respelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.envelope import Command

    Opening = Callable[[Attempt, Scene, Registry], Command | Refusal]

EVERY = 100  # attempts between two true commands
_RESTART = 20  # true commands between two restarts of the door
_FILE = "clients.db"


@dataclass(slots=True)
class Tally:
    """What became of the attempts, and of the true commands between them."""

    refused: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind and reason
    accepted: list[str] = field(default_factory=list)
    true: int = 0
    true_taken: int = 0

    def add(self, other: Tally) -> None:
        """Take another one's counts in."""
        self.refused += other.refused
        self.accepted += other.accepted
        self.true += other.true
        self.true_taken += other.true_taken


def run(count: int, processes: int) -> int:
    """Make `count` attempts and print how each kind was refused; return 1 where one was accepted, or a true one not."""
    tally, began_s = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder, ProcessPoolExecutor(processes) as pool:
        shares = [count // processes + (number < count % processes) for number in range(processes)]
        folders = [Path(folder) / str(number) for number in range(processes)]
        for done in pool.map(tried, shares, range(processes), folders):
            tally.add(done)
    took_s = time.monotonic() - began_s
    attempts = sum(tally.refused.values()) + len(tally.accepted)
    rows = [[kind, f"{_of(tally, kind):,}", _reasons(tally, kind)] for kind in KINDS]
    report.show(f"{attempts:,} attempts, {processes} processes, {took_s:.0f} s", ["kind", "refused", "as"], rows)
    print(f"true commands in between: {tally.true_taken:,} of {tally.true:,} accepted, each once")
    passed = Rate(len(tally.accepted), attempts)
    most = 1e6 * passed.ci95[1]
    print(f"accepted of the others: {len(tally.accepted)} of {attempts:,} (95 %: at most {most:.1f} in a million)")
    report.name("were accepted", tally.accepted)
    report.finish(
        {
            "bench": "mutations",
            "attempts": attempts,
            "accepted": len(tally.accepted),
            "accepted_ci95": [round(end, 8) for end in passed.ci95],
            "true": tally.true,
            "true_accepted": tally.true_taken,
            "kinds": {kind: _of(tally, kind) for kind in KINDS},
        }
    )
    return int(bool(tally.accepted) or tally.true_taken != tally.true)


def opened(made: Attempt, scene: Scene, registry: Registry) -> Command | Refusal:
    """Return what the door makes of an attempt."""
    return open_envelope(
        made.payload,
        topic=made.topic,
        device_id="front",
        retained=made.retained,
        now=scene.now,
        keys=registry.find,
        nonces=registry,
    )


def tried(count: int, seed: int, folder: Path, opening: Opening = opened) -> Tally:
    """Make `count` attempts at a new door whose registry lies in `folder`, a true command after every hundredth."""
    folder.mkdir()
    chance = random.Random(seed)  # noqa: S311 - a repeatable bench, no secret
    names = ("guard", "book", "gone", "eve")
    scene = Scene(chance, {name: Ed25519PrivateKey.from_private_bytes(chance.randbytes(32)) for name in names})
    _admit(scene, folder)
    tally = Tally()
    while count > 0:
        with closing(Registry(folder / _FILE)) as registry:  # anew: what was noted is on the disk, not in memory
            for _ in range(_RESTART):
                _batch(scene, registry, opening, tally, min(EVERY, count))
                count -= EVERY
                if count <= 0:
                    break
    return tally


def _batch(scene: Scene, registry: Registry, opening: Opening, tally: Tally, count: int) -> None:
    scene.next()
    for _ in range(count):
        kind, made = attempt(scene)
        answer = opening(made, scene, registry)
        if isinstance(answer, Refusal):
            tally.refused[kind, answer.why.value] += 1
        else:
            tally.accepted.append(f"{kind}: {made.topic} {made.payload!r}")
    scene.sent = scene.chance.choice((scene.fresh, respelled(scene)))
    tally.true += 1
    first, second = (opening(Attempt(scene.sent), scene, registry) for _ in range(2))
    tally.true_taken += not isinstance(first, Refusal) and isinstance(second, Refusal)


def _admit(scene: Scene, folder: Path) -> None:
    """Let in the guard, who sends a first command, an auditor, and somebody who is revoked at once; not `eve`."""
    with Registry(folder / _FILE) as registry:
        for name, role in (("guard", Role.OPERATOR), ("book", Role.AUDITOR), ("gone", Role.ADMIN)):
            registry.add(name, role, public_text(scene.keys[name]))
        registry.revoke("gone")
        scene.next()
        scene.sent = scene.fresh
        if isinstance(opened(Attempt(scene.sent), scene, registry), Refusal):
            msg = "a true command is refused: the others would show nothing"
            raise RuntimeError(msg)  # noqa: TRY004 - not a type that somebody passed


def _of(tally: Tally, kind: str) -> int:
    return sum(number for (name, _), number in tally.refused.items() if name == kind)


def _reasons(tally: Tally, kind: str) -> str:
    reasons = {why: number for (name, why), number in tally.refused.most_common() if name == kind}
    return ", ".join(f"{why} {number:,}" for why, number in reasons.items())
