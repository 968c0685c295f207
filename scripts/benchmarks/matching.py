"""How long a comparison with everybody takes, what a template costs, and whether the answer is that of float64."""

from __future__ import annotations

import ctypes
import math
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.drivers.faiss_index import indexed
from appliance.fixed_point import rounded
from appliance.people.gallery import Consent, Gallery
from appliance.people.roll import News, Roll
from appliance.people.snapshot import StoredReference
from appliance.pipeline.matching import search
from appliance.records import Embedding, GallerySnapshot, Grade

from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

D = 512
MODEL = "random"
CHUNK = 4096
ROUNDS = 10  # search and product take turns, so that a slow minute of the machine meets both
IDENTITY_ROWS = 10_000
RELOADS = 20
REFERENCES = 5  # of a person
CHANGES = ("enrolled", "erased")
CONSENT = Consent("nobody", datetime(2026, 1, 1, tzinfo=UTC))


def run(sizes: tuple[int, ...], *, probes: int, near: int, reload: tuple[int, ...]) -> None:
    """Print time, memory, agreement with float64 and the price of a change; the last line is JSON."""
    measured = [_alone(_measured, size) for size in sizes]
    report.show(
        f"One probe against N templates of {D} numbers, one thread",
        ("N", "p50", "p99", "n", "float32 product p50", "ratio", "KiB a template", "load"),
        [
            (
                f"{one['size']:,}",
                *(f"{one[key]:.3f} ms" for key in ("p50_ms", "p99_ms")),
                f"{one['n']:,}",
                f"{one['product_p50_ms']:.3f} ms",
                f"{one['p50_ms'] / one['product_p50_ms']:.2f}",
                f"{one['kib']:.2f}",
                f"{one['load_s']:.1f} s",
            )
            for one in measured
        ],
    )
    agreed = identity(probes, near)
    report.show(
        f"Top 1 against brute force in float64, {IDENTITY_ROWS:,} templates each",
        ("probes", "n", "different"),
        [(name, f"{one['n']:,}", str(one["different"])) for name, one in agreed.items()],
    )
    followed = [_alone(_followed, size) for size in reload]
    report.show(
        f"From a change by another process to a snapshot that shows it, {RELOADS} of each",
        ("N", "enrolled p50", "enrolled most", "erased p50", "erased most"),
        [
            (f"{one['size']:,}", *(f"{one[f'{which}_{key}_ms']:.1f} ms" for which in CHANGES for key in ("p50", "max")))
            for one in followed
        ],
    )
    report.finish({"bench": "matching", "threads": 1, "speed": measured, "identity": agreed, "reload": followed})


def identity(probes: int, near: int) -> dict[str, dict[str, int]]:
    """Return how many of `probes` random and `near` nearly enrolled ones have another best row than in float64."""
    rng = np.random.default_rng(1)
    scattered = _units(rng.normal(size=(IDENTITY_ROWS, D)))
    # Half of the templates stand in crowds of ten, from far apart to nearer than float32 can tell.
    centres = np.repeat(scattered[: IDENTITY_ROWS // 20], 10, axis=0).astype(np.float64)
    apart = 10.0 ** rng.uniform(-6, -2, (len(centres), 1))
    crowded = np.vstack([scattered[: IDENTITY_ROWS // 2], _units(centres + apart * rng.normal(size=centres.shape))])
    rows = np.repeat(np.arange(IDENTITY_ROWS), math.ceil(near / IDENTITY_ROWS))[:near]
    noisy = _units(crowded[rows] + 10.0 ** rng.uniform(-7, -2, (near, 1)) * rng.normal(size=(near, D)))
    strangers = _units(rng.normal(size=(probes, D)))
    return {
        "random": {"n": probes, "different": _different(strangers, rounded(scattered))},
        "near-duplicate": {"n": near, "different": _different(noisy, rounded(crowded))},
        "near-duplicate, not in fixed point": {"n": near, "different": _different(noisy, crowded)},
    }


def _different(probes: NDArray[np.float32], rows: NDArray[np.float32]) -> int:
    ids = tuple(str(row) for row in range(len(rows)))
    gallery = indexed(GallerySnapshot(rows, ids, ids, MODEL, 1))
    exact = rows.astype(np.float64)
    different = 0
    for start in range(0, len(probes), CHUNK):
        some = probes[start : start + CHUNK].astype(np.float64)
        for probe, scores in zip(some, some @ exact.T, strict=True):
            # A product may add up one row otherwise than its twin: what it calls equal is added up row by row.
            best = np.flatnonzero(scores >= scores.max() - 1e-12)
            row = best[(exact[best] * probe).sum(axis=1).argmax()]
            found = search(Embedding(probe.astype(np.float32), MODEL), gallery)
            different += found[0].reference_id != ids[row]
    return different


def _alone(measure: Callable[[int], dict[str, Any]], size: int) -> dict[str, Any]:
    """Return what is measured in a process of its own, whose memory holds nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, size).result()


def _measured(size: int) -> dict[str, Any]:
    _roll(CHUNK).refresh()  # the library and the allocator's own memory are no template's
    roll = _roll(size)
    before_kib, started = _rss_kib(), time.perf_counter()
    gallery = roll.refresh()
    load_s = time.perf_counter() - started
    kib = (_rss_kib() - before_kib) / size
    rows = gallery.matrix if gallery.index is None else _rows(gallery)
    n = 1000 if size <= 10_000 else 300 if size <= 100_000 else 60
    probes = _probes(gallery, n)
    spent_ms: dict[str, list[float]] = {"search": [], "product": []}
    for some in np.array_split(np.arange(n), ROUNDS):
        for which, call in (("search", lambda one: search(one, gallery)), ("product", lambda one: rows @ one.vector)):
            spent_ms[which] += [_timed_ms(call, probes[place]) for place in (some[0], *some)][1:]
    p50, p99 = (float(value) for value in np.percentile(spent_ms["search"], (50, 99)))
    figures = {"p50_ms": p50, "p99_ms": p99, "product_p50_ms": float(np.median(spent_ms["product"]))}
    rounded_figures = {name: round(value, 4) for name, value in (figures | {"kib": kib, "load_s": load_s}).items()}
    return {"size": size, "n": n} | rounded_figures


def _timed_ms(call: Callable[[Embedding], object], probe: Embedding) -> float:
    started = time.perf_counter()
    call(probe)
    return (time.perf_counter() - started) * 1e3


def _probes(gallery: GallerySnapshot, count: int) -> list[Embedding]:
    """Return strangers and, every other, somebody enrolled under a little noise."""
    rng = np.random.default_rng(2)
    vectors = _units(rng.normal(size=(count, D)))
    places = rng.integers(0, gallery.size, count)
    enrolled = gallery.matrix[places] if gallery.index is None else gallery.index.at(places)
    vectors[::2] = _units(enrolled[::2] + 0.02 * rng.normal(size=(len(vectors[::2]), D)))
    return [Embedding(vector, MODEL) for vector in vectors]


def _rows(gallery: GallerySnapshot) -> NDArray[np.float32]:
    assert gallery.index is not None  # noqa: S101 - asked for only then
    rows = np.empty((gallery.size, D), np.float32)
    for start in range(0, gallery.size, CHUNK):
        some = np.arange(start, min(start + CHUNK, gallery.size))
        rows[some] = gallery.index.at(some)
    return rows


def _roll(size: int) -> Roll:
    """Return a roll that is given `size` rows as the database would give them, nothing being read yet."""

    def chunks() -> Iterator[list[StoredReference]]:
        rng = np.random.default_rng(1)
        for start in range(0, size, CHUNK):
            vectors = rounded(_units(rng.normal(size=(min(CHUNK, size - start), D))))
            yield [_stored(start + place, vector.tobytes()) for place, vector in enumerate(vectors)]

    @contextmanager
    def read(_mark: int | None, _doubtful: Iterable[str]) -> Iterator[News]:
        yield News(1, 1, None, chunks())

    return Roll(MODEL, D, read, indexed)


def _stored(number: int, blob: bytes) -> StoredReference:
    reference_id, person_id = f"{number:032x}", f"{number // REFERENCES:032x}"
    return StoredReference(reference_id, person_id, MODEL, D, blob, has_person=True)


def _followed(size: int) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    spent_ms: dict[str, list[float]] = {which: [] for which in CHANGES}
    with tempfile.TemporaryDirectory() as folder, Gallery(Path(folder) / "gallery.db", indexed) as gallery:
        with gallery.transaction():
            for _ in range(size // REFERENCES):
                _enrol(gallery, _units(rng.normal(size=(REFERENCES, D))))
        gallery.current(MODEL, D)
        with Gallery(gallery.path) as other:
            for _ in range(RELOADS):
                vectors = _units(rng.normal(size=(REFERENCES, D)))
                person_id = _enrol(other, vectors)
                spent_ms["enrolled"].append(_seen_ms(gallery, vectors[0], person_id, enrolled=True))
                other.remove(person_id)
                spent_ms["erased"].append(_seen_ms(gallery, vectors[0], person_id, enrolled=False))
    figures: dict[str, Any] = {"size": size, "n": RELOADS}
    for which, times in spent_ms.items():
        figures |= {f"{which}_p50_ms": round(float(np.median(times)), 2), f"{which}_max_ms": round(max(times), 2)}
    return figures


def _enrol(gallery: Gallery, vectors: NDArray[np.float32]) -> str:
    return gallery.add("somebody", CONSENT, [(Embedding(one, MODEL), Grade.HIGH) for one in vectors]).person_id


def _seen_ms(gallery: Gallery, vector: NDArray[np.float32], person_id: str, *, enrolled: bool) -> float:
    """Return how long it took until a search knew; raises where it did not."""
    started = time.perf_counter()
    found = search(Embedding(vector, MODEL), gallery.current(MODEL, D))
    spent_ms = (time.perf_counter() - started) * 1e3
    if (found[0].person_id == person_id) is not enrolled:
        msg = f"after a change, person {person_id} is {'not ' * enrolled}found"
        raise RuntimeError(msg)
    return spent_ms


def _rss_kib() -> float:
    """Return the memory of this process after what was freed has gone back to the system."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def _units(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)
