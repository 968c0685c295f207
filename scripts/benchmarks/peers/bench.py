"""Ours and the peers side by side: time, memory, accuracy, and what a photograph comes to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track

from appliance.drivers.photo import read_photo
from appliance.errors import UsageError
from scripts.benchmarks import folder as folders
from scripts.benchmarks import latency, report, statistics

from . import photographs
from .contestant import Contestant
from .installed import programs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.rates import Rate
    from scripts.benchmarks.folder import Pair

    from .contestant import Answer

    Answers = dict[Path, Answer]

WARM_UP = 5  # pictures: code is compiled, memory pages and clock settle


def run(folder: Path, recordings: Path | None, *, frames: int, pairs: int) -> None:
    """Print a table each of time and memory, of accuracy, and of photographs; the ratios are to ours.

    Raises UsageError for a folder of another form, PeerError where a peer cannot be had: then nothing is claimed.
    """
    settings, stages = folders.open_stages("a", "short")
    folds = subset(folders.read_pairs(folder), pairs)
    shown = photographs.showings(settings, recordings)
    with contextlib.ExitStack() as running:
        contestants = [running.enter_context(Contestant(program)) for program in programs()]
        pictures = [frame.pixels for frame in latency.Scenery(settings.camera.frame_rate).next()]
        spent_ms = by_turns(pictures, contestants, frames)
        memory_mb = [one.peak_mb() for one in contestants]
        answers = read_pictures(folds, contestants)
        ours, _, human = contestants
        outcomes = [
            photographs.judge(showing, settings, stages, ours, human) for showing in progress(shown, "photographs")
        ]
    names = [one.program.name for one in contestants]
    speed = [_speed(mine, spent_ms[0], mb, memory_mb[0]) for mine, mb in zip(spent_ms, memory_mb, strict=True)]
    accuracy = [verified(folds, found) for found in answers]
    _show_speed(names, speed, frames)
    _show_accuracy(names, accuracy, answers, len(folds))
    _show_photographs(outcomes, settings.liveness.min_bona_fide)
    line: dict[str, Any] = {"bench": "peers", "frames": frames, "pairs_a_side": pairs}
    line["contestants"] = {
        one.program.name: {"packages": one.program.packages, "licences": one.program.licences}
        | figures
        | _accuracy_line(rate, found)
        for one, figures, rate, found in zip(contestants, speed, accuracy, answers, strict=True)
    }
    line["photographs"] = [_photograph_line(one) for one in outcomes]
    report.finish(line | {"models": report.models(settings)})


def progress(items: Sequence[Any], what: str) -> Any:  # noqa: ANN401 - as many kinds as there are lists
    """Return the items, with a bar on standard error while they are gone through."""
    return track(items, what, console=Console(stderr=True), transient=True)


def subset(folds: Sequence[tuple[Pair, ...]], pairs: int) -> list[tuple[Pair, ...]]:
    """Return the first pairs of each fold: `pairs` mated and as many others in all, the same ones each time.

    Raises UsageError where the folds cannot give so many alike.
    """
    share, rest = divmod(pairs, len(folds))
    size = min(len(fold) for fold in folds) // 2
    if rest or not 0 < share <= size:
        raise UsageError(f"--pairs is {pairs}; {len(folds)} folds of {size} give a multiple of {len(folds)} at most")
    return [(*fold[:share], *fold[len(fold) // 2 :][:share]) for fold in folds]


def by_turns(
    pictures: Sequence[NDArray[np.uint8]], contestants: Sequence[Contestant], frames: int
) -> list[NDArray[np.float64]]:
    """Return what each frame took each contestant, ms; all read a frame before any reads the next.

    Who begins changes from frame to frame, so that nobody always follows the same neighbour.
    """
    spent_ms: list[list[float]] = [[] for _ in contestants]
    for number in progress(range(WARM_UP + frames), "time"):
        for turn in range(len(contestants)):
            which = (number + turn) % len(contestants)
            answer = contestants[which].read(pictures[number % len(pictures)])
            if answer.vector is None:
                raise UsageError(f"{contestants[which].program.name} found no face in frame {number}; nothing to time")
            if number >= WARM_UP:
                spent_ms[which].append(answer.ms)
    return [np.array(spent) for spent in spent_ms]


def read_pictures(folds: Sequence[tuple[Pair, ...]], contestants: Sequence[Contestant]) -> list[Answers]:
    """Return what each contestant made of each picture. Raises PhotoError for a broken one."""
    paths = sorted({picture.path for fold in folds for pair in fold for picture in (pair.one, pair.other)})
    answers: list[Answers] = [{} for _ in contestants]
    for path in progress(paths, "pairs"):
        pixels = read_photo(path)
        for found, contestant in zip(answers, contestants, strict=True):
            found[path] = contestant.read(pixels)
    return answers


def verified(folds: Sequence[tuple[Pair, ...]], answers: Answers) -> Rate:
    """Return the share of pairs judged rightly by the distance of two templates.

    Distance is Euclidean, as both peers measure it; of templates of unit length it ranks as the cosine does.
    A picture whose face was missed is alike to nothing.
    """
    distances = [[_distance(answers[pair.one.path], answers[pair.other.path]) for pair in fold] for fold in folds]
    far = max((d for fold in distances for d in fold if d is not None), default=0.0) + 1e-6
    mated, impostors = [], []
    for fold, measured in zip(folds, distances, strict=True):
        scores = np.array([-(far if d is None else d) for d in measured])
        same = np.array([pair.mated for pair in fold])
        mated.append(scores[same])
        impostors.append(scores[~same])
    return statistics.n_fold(mated, impostors)


def _distance(one: Answer, other: Answer) -> float | None:
    if one.vector is None or other.vector is None:
        return None
    return float(np.linalg.norm(one.vector - other.vector))


def _speed(
    spent_ms: NDArray[np.float64], ours_ms: NDArray[np.float64], peak_mb: float, ours_mb: float
) -> dict[str, Any]:
    """Return time and memory. The ratio is the median over the turns, with the middle 95 % of them."""
    low, middle, high = np.quantile(spent_ms / ours_ms, (0.025, 0.5, 0.975))
    return {
        "p50_ms": round(float(np.median(spent_ms)), 3),
        "p99_ms": round(float(np.percentile(spent_ms, 99)), 3),
        "n": int(spent_ms.size),
        "times_ours": [round(float(value), 3) for value in (middle, low, high)],
        "peak_mb": round(peak_mb, 1),
        "memory_times_ours": round(peak_mb / ours_mb, 2),
    }


def _missed(answers: Answers) -> int:
    return sum(answer.vector is None for answer in answers.values())


def _accuracy_line(rate: Rate, answers: Answers) -> dict[str, Any]:
    return {
        "accuracy": report.number(rate.value),
        "accuracy_ci95": report.interval(rate),
        "n_pairs": rate.n,
        "n_images": len(answers),
        "missed_faces": _missed(answers),
    }


def _photograph_line(outcome: photographs.Outcome) -> dict[str, Any]:
    return {
        "shown": outcome.showing.name,
        "bona_fide": outcome.showing.bona_fide,
        "visits": outcome.attempts,
        "opened": outcome.opened,
        "frames": outcome.frames,
        "ours_bona_fide": outcome.ours,
        "human_bona_fide": outcome.human,
    }


def _show_speed(names: Sequence[str], speed: Sequence[dict[str, Any]], frames: int) -> None:
    size = f"{latency.WIDTH_PX}x{latency.HEIGHT_PX}"
    report.show(
        f"One frame, whole, by turns: {frames} frames of {size} with one face, one thread, nothing remembered",
        ("", "median", "p99", "times ours, by turn", "peak memory", "times ours"),
        [
            (
                name,
                f"{one['p50_ms']:.1f} ms",
                f"{one['p99_ms']:.1f} ms",
                "{:.1f} ({:.1f} to {:.1f})".format(*one["times_ours"]),
                f"{one['peak_mb']:.0f} MB",
                f"{one['memory_times_ours']:.1f}",
            )
            for name, one in zip(names, speed, strict=True)
        ],
    )


def _show_accuracy(names: Sequence[str], accuracy: Sequence[Rate], answers: Sequence[Answers], folds: int) -> None:
    ours_wrong = accuracy[0].n - accuracy[0].count
    rows = []
    for name, rate, found in zip(names, accuracy, answers, strict=True):
        wrong = rate.n - rate.count
        ratio = f"{wrong / ours_wrong:.1f}" if ours_wrong else "ours made none"
        rows.append((name, report.percent(rate), str(wrong), ratio, f"{_missed(found)} of {len(found)}"))
    columns = ("", f"{folds}-fold accuracy", "wrong", "times ours", "faces missed")
    report.show("Verification, one view a picture, the face nearest to the middle", columns, rows)


def _show_photographs(outcomes: Sequence[photographs.Outcome], floor: float) -> None:
    report.show(
        f"Bona fide: ours from {floor:g} on; human where real and live are both {photographs.HUMAN_AT_LEAST:g} or more",
        ("shown", "is", "our door: opened of visits", "our frames", "human's frames", "human passes"),
        [
            (
                one.showing.name,
                "bona fide" if one.showing.bona_fide else "attack",
                f"{one.opened} of {one.attempts}",
                f"{one.ours} of {one.frames}",
                f"{one.human} of {one.frames}",
                "yes" if one.human else "no",
            )
            for one in outcomes
        ],
    )
    print("face_recognition has no liveness: whoever it recognises passes, photograph or not")
