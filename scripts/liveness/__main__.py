"""`scripts/train_liveness`: one verb for each thing that was measured, and one that trains what ships."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import torch

from appliance.errors import ApplianceError
from scripts.benchmarks import report
from scripts.models import sources, trained
from scripts.models.recipes import LIVENESS

from . import corpus as corpora
from . import folds, judging, training
from .corpus import Corpus
from .illumination import NORMALISERS
from .judging import Judged
from .network import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from .corpus import Sample
    from .folds import Fold

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "training-crops"
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
WEIGHTS = "face_liveness_tuned.npz"
RECORDED, WITH_MADE = ("recorded",), ("recorded", "made")


def _verb(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command that takes the two folders, and where to keep the crops."""
    for part in (
        click.option("--cache", type=click.Path(path_type=Path), default=CACHE, help="Where the crops are kept."),
        click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the training."),
        click.argument("lfw", type=FOLDER),
        click.argument("pad", type=FOLDER),
    ):
        command = part(command)
    return root.command()(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Train and judge the liveness model on frames under PAD and faces under LFW; the last line is JSON."""
    torch.set_num_threads(1)  # sums in one order, and a core left to others


@_verb
def illumination(pad: Path, lfw: Path, cache: Path, seed: int) -> None:
    """Judge the published model on crops whose light was evened out."""
    whole = corpora.opened(pad, lfw, cache)
    crops = whole.part(folds.everything(whole.samples).judge)
    found = {name: _judged_with(crops, normalise) for name, normalise in NORMALISERS.items()}
    _report("illumination", found, {"seed": seed, "inputs_sha256": corpora.inputs_sha256(pad, lfw)})


@_verb
def loso(pad: Path, lfw: Path, cache: Path, seed: int) -> None:
    """Train without each source in turn and judge on it, beside the published model."""
    crops = corpora.opened(pad, lfw, cache)
    _report("loso", _compared(crops, folds.by_source(crops.samples), seed), _facts(pad, lfw, seed))


@_verb
def subjects(pad: Path, lfw: Path, cache: Path, seed: int) -> None:
    """Train without a quarter of the people in turn and judge on them, beside the published model."""
    crops = corpora.opened(pad, lfw, cache)
    _report("subjects", _compared(crops, folds.by_subject(crops.samples), seed), _facts(pad, lfw, seed))


@_verb
def train(pad: Path, lfw: Path, cache: Path, seed: int) -> None:
    """Train on every source and write the weights that `scripts/build_models` lays into the published model."""
    crops = corpora.opened(pad, lfw, cache)
    seen = training.fronted(published(), crops, seed)
    model = _trained(seen, crops.samples, folds.everything(crops.samples), seed)
    raw = trained.text(model.trained())
    trained.FOLDER.mkdir(exist_ok=True)
    file = trained.FOLDER / WEIGHTS
    file.write_bytes(raw)
    print(f"{file}: {len(raw) / 1e6:.2f} MB; its SHA-256 belongs into scripts/models/recipes.py")
    report.finish({"bench": "train", **_facts(pad, lfw, seed), "weights_sha256": hashlib.sha256(raw).hexdigest()})


def published() -> bytes:
    """Return the published .onnx file's bytes. Raises SourceError."""
    archive = sources.fetch(LIVENESS.package, ROOT / "build" / "models-downloads")
    return sources.member(archive, LIVENESS.path)


def _compared(crops: Corpus, every: Iterator[Fold], seed: int) -> dict[str, list[Judged]]:
    seen, start = training.fronted(published(), crops, seed), Network(published())
    found: dict[str, list[Judged]] = {"published": [], "tuned": []}
    for fold in every:
        model = _trained(seen, crops.samples, fold, seed)
        judge = np.array(fold.judge)
        unseen = tuple(one for one, used in zip(crops.samples, fold.judge, strict=True) if used)
        for name, one in (("published", start), ("tuned", model)):
            found[name].append(Judged(fold.name, unseen, training.scores(one, seen[judge])))
    return found


def _trained(seen: NDArray[np.float16], samples: Sequence[Sample], fold: Fold, seed: int) -> Network:
    used = tuple(one for one, train in zip(samples, fold.train, strict=True) if train)
    return training.tuned(published(), seen[np.array(fold.train)], used, training.Plan(), seed)


def _judged_with(crops: Corpus, normalise: Callable[[Any], Any]) -> list[Judged]:
    evened = Corpus(np.stack([normalise(crop) for crop in crops.crops]), crops.samples)
    scores = training.scores(Network(published()), training.fronted(published(), evened, 0))
    found = []
    for fold in folds.by_source(crops.samples):
        unseen = tuple(one for one, used in zip(crops.samples, fold.judge, strict=True) if used)
        found.append(Judged(fold.name, unseen, scores[np.array(fold.judge)]))
    return found


def _facts(pad: Path, lfw: Path, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "plan": asdict(training.Plan()),
        "inputs_sha256": corpora.inputs_sha256(pad, lfw),
        "torch": torch.__version__,
    }


def _report(bench: str, found: dict[str, list[Judged]], facts: dict[str, Any]) -> None:
    """Print each model's rows and the JSON line."""
    line: dict[str, Any] = {"bench": bench, **facts}
    for name, judged in found.items():
        line[name] = {
            "recorded": judging.table(judged, RECORDED),
            "recorded_pooled": judging.pooled(judged, RECORDED),
            "with_made": judging.table(judged, WITH_MADE),
            "with_made_pooled": judging.pooled(judged, WITH_MADE),
            "at_half": judging.by_kind(judged, 0.0),
        }
        columns = ("left out", "bona fide", "threshold", "BPCER", "APCER", "BPCER at 0.5", "with made", "BPCER")
        rows = [_row(source, line[name]) for source in line[name]["recorded"]]
        report.show(f"{name}: threshold where the worst species of the other sources has APCER 5 %", columns, rows)
    report.finish(line)


def _row(source: str, of: dict[str, Any]) -> Sequence[str]:
    one, harder = of["recorded"][source], of["with_made"][source]
    return (
        source,
        str(one["n"]),
        f"{one['threshold']:.4f}",
        f"{100 * one['bpcer']:.1f} %",
        ", ".join(f"{kind} {100 * rate:.1f} %" for kind, rate in one["apcer"].items()),
        f"{100 * one['bpcer_at_half']:.1f} %",
        f"{harder['threshold']:.4f}",
        f"{100 * harder['bpcer']:.1f} %",
    )


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when done; else say why in one line and return 2."""
    try:
        root.main(arguments, prog_name="scripts/train_liveness", standalone_mode=False)
    except click.ClickException as fault:
        fault.show()
        return 2
    except (ApplianceError, sources.SourceError) as fault:
        print(f"train_liveness: {fault}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
