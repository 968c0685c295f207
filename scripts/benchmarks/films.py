"""Liveness sessions over recordings: what films of them come to, and what it takes to decode and to judge one."""

from __future__ import annotations

import csv
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from appliance import manifest
from appliance.config import Settings
from appliance.drivers.opencv import Recording
from appliance.drivers.photo import encode_jpeg
from appliance.drivers.photo_child import MAX_PIXELS, decode_apart, decode_series_apart
from appliance.faces.comparing import Thresholds
from appliance.faces.life import Life, filmed, nobody, witnessed
from appliance.faces.stages import open_picture_reader
from appliance.pipeline.policy import configured

from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from appliance.faces.life import Witnessed
    from appliance.records import Frame

FRAMES = 30  # of a film, ten a second
EVERY_S = 1.0  # so far apart the films begin
PER_S = 10
TIMED = 10  # films whose decoding is timed in both ways
SAMPLED = 5  # frames of each, one child a frame


def run(folder: Path) -> None:
    """Print what films of FOLDER's recordings come to, by label, and how long decoding and judging one takes.

    FOLDER holds recordings and a manifest.csv of `file` and `label`. Films of one recording overlap and show one
    person: what is counted says how steady the judgement is, not of how many people it is right.
    """
    judge = _judge(Settings())
    spent = _Spent()
    came: dict[str, dict[str, int]] = {}
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        counted = Counter(_shown(frames, judge, spent) for frames in _films(folder / row["file"]))
        came[f"{row['label']}, {row['file']}"] = {life: counted[life] for life in Life}
    columns = ("recording", *Life)
    report.show("What films come to", columns, [(name, *map(str, one.values())) for name, one in came.items()])
    ratio = float(np.median(np.array(spent.apart_s) / np.array(spent.together_s[: len(spent.apart_s)])))
    line: dict[str, object] = {"bench": "films", "came": came, "one_child_each_over_one_for_all": round(ratio, 1)}
    line |= {"judging_s": _spread(spent.judging_s), "decoding_s": _spread(spent.together_s)}
    report.finish(line | {"models": report.models(Settings())})


@dataclass
class _Spent:
    """How long each film took."""

    judging_s: list[float] = field(default_factory=list)
    together_s: list[float] = field(default_factory=list)  # decoded in one child
    apart_s: list[float] = field(default_factory=list)  # decoded in one child a frame; of the first films alone


def _judge(settings: Settings) -> Callable[[Sequence[Frame]], Witnessed]:
    """Return what judges a film, as the interface does."""
    entry = manifest.embedder(settings.recognition)
    point = Thresholds.of(settings.recognition, entry).point(1)
    empty = nobody(entry.model_id, entry.output[0].shape[-1])
    stages, rules = open_picture_reader(settings).stages, configured(settings, face_only=False)
    return lambda frames: witnessed(frames, stages, rules, empty, point)


def _shown(frames: Sequence[Frame], judge: Callable[[Sequence[Frame]], Witnessed], spent: _Spent) -> Life:
    """Return what a film comes to that is sent as JPEG."""
    sent = [encode_jpeg(one.pixels) for one in frames]
    began_s = time.perf_counter()
    pictures = decode_series_apart(sent, "of a film", MAX_PIXELS)
    spent.together_s.append(time.perf_counter() - began_s)
    if len(spent.apart_s) < TIMED:
        began_s = time.perf_counter()
        for one in sent[:SAMPLED]:
            decode_apart(one, "of a film")
        spent.apart_s.append((time.perf_counter() - began_s) * len(sent) / SAMPLED)
    film = filmed(pictures, [one.captured_at_s for one in frames])
    began_s = time.perf_counter()
    seen = judge(film)
    spent.judging_s.append(time.perf_counter() - began_s)
    return seen.life


def _films(path: Path) -> list[list[Frame]]:
    """Return films of a recording, each of ten frames a second; one that is too short is one film."""
    recording = Recording(path)
    frames: list[Frame] = []
    while (frame := recording.read()) is not None:
        if not frames or frame.captured_at_s >= frames[-1].captured_at_s + 0.95 / PER_S:
            frames.append(frame)
    recording.close()
    starts = range(0, max(1, len(frames) - FRAMES + 1), round(EVERY_S * PER_S))
    return [frames[start : start + FRAMES] for start in starts]


def _spread(seconds: list[float]) -> dict[str, float]:
    low, middle, high = np.quantile(seconds, (0.05, 0.5, 0.95))
    return {"n": len(seconds), "p5": round(low, 3), "p50": round(middle, 3), "p95": round(high, 3)}
