"""How a gallery grows: start, enrolment, listing and size at 1,000 to 100,000 people, with the real processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance import manifest
from appliance.audit import AuditLog
from appliance.contract import EventType
from appliance.door.child import simulated_controller
from appliance.drivers.faiss_index import indexed
from appliance.people.enrolment import CLI
from appliance.people.gallery import Consent, Gallery
from appliance.people.recorded import recorded
from appliance.records import Embedding, Event, Grade

from . import report
from .start import started

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

REFERENCES = 3  # of each person
TOGETHER = 2000  # people enrolled in one transaction while a gallery is filled
# Names as real ones are: some first names are very common. What is searched for is the rarest and the commonest.
FIRST = ("Maria", "Anna", "Peter", "Li", "Omar", "Ines", "Jan", "Eva", "Yusuf", "Chloe", "Ravi", "Mei", "Tom", "Zoe")
CONSENT = Consent("bench", datetime(2026, 1, 1, tzinfo=UTC))
_LOAD = """
import sys, time
from pathlib import Path
from appliance.drivers.faiss_index import indexed
from appliance.people.gallery import Gallery
import faiss
began = time.perf_counter()
with Gallery(Path(sys.argv[1]), indexed) as gallery:
    seen = gallery.current(sys.argv[2], int(sys.argv[3]))
    print(time.perf_counter() - began, seen.size, len(seen.quarantined))
"""


def run(sizes: tuple[int, ...], turns: int) -> None:
    """Fill a gallery to each size by turns and print what each takes."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        state = Path(folder)
        filled = 0
        for size in sorted(sizes):
            fill(state, filled, size)
            filled = size
            lines.append(_measured(state, size, turns))
            print(_words(lines[-1]))
    report.finish({"bench": "growth", "references": REFERENCES, "sizes": lines, "turns": turns})


def _measured(state: Path, size: int, turns: int) -> dict[str, Any]:
    embedder = manifest.read().entry("embedder")
    model_id, dimension = embedder.model_id, embedder.output[0].shape[-1]
    load = [sys.executable, "-c", _LOAD, str(state / "gallery.db"), model_id, str(dimension)]
    answers = [subprocess.run(load, check=True, capture_output=True, text=True).stdout.split() for _ in range(turns)]
    if {(int(rows), int(bad)) for _, rows, bad in answers} != {(size * REFERENCES, 0)}:
        raise SystemExit(f"not every template was opened: {answers}")
    found: dict[str, Any] = {"people": size, "load_s": [round(float(one[0]), 3) for one in answers]}
    found["ready_s"] = _ready(state, turns)
    found |= _changes(state, 3 * turns)
    words = {
        "version": ["--version"],
        "list": ["person", "list", "--limit", "50"],
        "search_rare": ["person", "search", f"{FIRST[0]} {_last(size - 1)}"],
        "search_common": ["person", "search", FIRST[1]],
    }
    for name, command in words.items():
        found[f"{name}_ms"] = [_process_ms(command, state) for _ in range(turns)]
    for name in ("gallery.db", "keys.db"):
        found[f"{name.removesuffix('.db')}_mb"] = round((state / name).stat().st_size / 1e6, 1)
    return found


def _ready(state: Path, turns: int) -> list[float]:
    ready_s = []
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder, simulated_controller(Path(folder)) as door:
        settings = Path(folder) / "appliance.toml"
        settings.write_text(f'[camera]\nsource = "simulated"\n\n[door]\nsocket = "{door}"\n')
        command = [sys.executable, "-m", "appliance", "run", "--config", str(settings), "--state", str(state)]
        for _ in range(turns):
            with started(command) as (_, elapsed_s):
                ready_s.append(round(elapsed_s, 3))
    return ready_s


def _changes(state: Path, turns: int) -> dict[str, list[float]]:
    """Enrol, with the audit entry, and erase, while another connection follows as the door does."""
    embedder = manifest.read().entry("embedder")
    model_id, dimension = embedder.model_id, embedder.output[0].shape[-1]
    spent: dict[str, list[float]] = {"enrol_ms": [], "follow_ms": [], "erase_ms": []}
    vectors = _vectors(np.random.default_rng(5), turns * REFERENCES, dimension)
    with (
        Gallery(state / "gallery.db") as gallery,
        Gallery(state / "gallery.db", indexed) as reader,
        AuditLog(state / "audit.db", "bench", "front") as audit,
    ):
        reader.current(model_id, dimension)
        for turn in range(turns):
            rows = vectors[turn * REFERENCES : (turn + 1) * REFERENCES]
            looks = [(Embedding(row, model_id), Grade.HIGH) for row in rows]
            said = Event(EventType.ENROLLED, datetime.now(UTC), CLI, "bench", detail="bench")

            def enrol(looks: list[tuple[Embedding, Grade]] = looks, said: Event = said) -> str:
                add = lambda: gallery.add("New Person", CONSENT, looks)  # noqa: E731 - one line, used once
                return recorded(gallery, audit, add, lambda _: said, "no").person_id

            person_id = _timed(spent["enrol_ms"], enrol)
            _timed(spent["follow_ms"], lambda: reader.current(model_id, dimension))
            erase = lambda one=person_id: gallery.remove(one)  # noqa: E731 - likewise
            _timed(spent["erase_ms"], erase)
            reader.current(model_id, dimension)
    return spent


def fill(state: Path, first: int, size: int) -> None:
    """Enrol people of numbers `first` to `size`, with as many random templates as the bench says."""
    embedder = manifest.read().entry("embedder")
    dice = np.random.default_rng(first + 1)
    with Gallery(state / "gallery.db") as gallery:
        for start in range(first, size, TOGETHER):
            with gallery.transaction():
                for number in range(start, min(start + TOGETHER, size)):
                    rows = _vectors(dice, REFERENCES, embedder.output[0].shape[-1])
                    looks = [(Embedding(row, embedder.model_id), Grade.HIGH) for row in rows]
                    name = f"{FIRST[min(int(dice.exponential(3)), len(FIRST) - 1)]} {_last(number)}"
                    gallery.add(name, CONSENT, looks, external_id=f"E{number}")


def _last(number: int) -> str:
    """Return a family name of its own for each number, of letters: first letters are as even as letters can be."""
    letters = []
    for _ in range(6):
        number, place = divmod(number * 7 + 3, 26)
        letters.append(chr(ord("a") + place))
        number = number * 31 % 308_915_776
    return "".join(letters).title()


def _vectors(dice: np.random.Generator, count: int, dimension: int) -> NDArray[np.float32]:
    rows = dice.normal(size=(count, dimension)).astype(np.float32)
    units: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units


def _process_ms(command: list[str], state: Path) -> float:
    where = [] if command == ["--version"] else ["--state", str(state)]
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "appliance", *command, *where], check=True, stdout=subprocess.DEVNULL, env=os.environ
    )
    return round(1000 * (time.perf_counter() - began), 1)


def _timed(into: list[float], work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the work gives
    began = time.perf_counter()
    made = work()
    into.append(round(1000 * (time.perf_counter() - began), 2))
    return made


def _words(found: dict[str, Any]) -> str:
    parts = [f"{found['people']:,} people"]
    for name, times in found.items():
        if isinstance(times, list):
            unit = name.rpartition("_")[2]
            label = name.rpartition("_")[0].replace("_", " ")
            parts.append(f"{label} {statistics.median(times):.3g} {unit} (to {max(times):.3g}, n {len(times)})")
    return f"{'; '.join(parts)}; gallery {found['gallery_mb']} MB, keys {found['keys_mb']} MB"
