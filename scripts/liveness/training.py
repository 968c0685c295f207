"""Fine-tuning: a short, careful walk away from the published weights."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch.nn import functional

from .frames import BONA_FIDE, LFW
from .network import Network, log_odds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from .corpus import Corpus, Sample

BATCH = 32
AT_ONCE = 64  # crops scored
FRONT_SHAPE = (32, 32, 64)
WARM_UP_STEPS = 20
MEMORY = 0.99  # of the weights' running mean, a step
LFW_CERTAINTY = 0.9  # press pictures are no webcam frames: bona fide, but less surely so
LABEL_CERTAINTY = 0.98


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train. Chosen by leaving sources out, `scripts/train_liveness loso`."""

    steps: int = 120
    learning_rate: float = 5e-4
    anchor: float = 0.01  # weight of the squared distance from the published weights
    reference_share: float = 0.5  # of the target that is the better model's score, where there is one
    blend: float = 1.0  # of the trained weights in the result; the rest is published ones
    shift: float = 0.85  # added to the log-odds, so that 0.5 is where the threshold shall be


def tuned(published: bytes, seen: NDArray[np.float16], samples: Sequence[Sample], plan: Plan, seed: int) -> Network:
    """Return the published network, trained on what its front made of N crops. One seed and one thread, one result."""
    torch.manual_seed(seed)
    model, start, mean = Network(published), Network(published), Network(published)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own annotation lacks it
    moved = [(p, q) for p, q in zip(model.parameters(), start.parameters(), strict=True) if p.requires_grad]
    optimiser = torch.optim.AdamW([p for p, _ in moved], lr=plan.learning_rate, weight_decay=0.0)
    labels = targets(samples, plan.reference_share)
    batches = _batches(samples, plan.steps, np.random.default_rng(seed))
    for step, picked in enumerate(track(batches, "training", plan.steps, console=Console(stderr=True))):
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * _pace(step, plan.steps)
        odds = log_odds(model(_behind_front(seen[picked])))
        loss = functional.binary_cross_entropy_with_logits(odds, torch.from_numpy(labels[picked]))
        loss = loss + plan.anchor * sum((p - q.detach()).square().sum() for p, q in moved)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()
        _remember(mean, model, step)
    made = blended(start, mean, plan.blend)
    made.shift(plan.shift)
    return made


def targets(samples: Sequence[Sample], reference_share: float) -> NDArray[np.float32]:
    """Return (N,) how surely each crop is bona fide, 0..1: its label, mixed with the reference model's score."""
    values = []
    for one in samples:
        label = LABEL_CERTAINTY if one.label == BONA_FIDE else 1 - LABEL_CERTAINTY
        label = LFW_CERTAINTY if one.source == LFW else label
        share = 0.0 if one.reference is None else reference_share
        values.append((1 - share) * label + share * (one.reference or 0.0))
    return np.array(values, np.float32)


def shares(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Return (N,) how often each crop is drawn: labels alike, sources alike within one, recorded and made alike."""
    values = np.ones(len(samples))
    keys = [(one.label == BONA_FIDE, one.source, one.origin == "made") for one in samples]
    for depth in (3, 2, 1):
        prefixes = [key[:depth] for key in keys]
        totals: dict[tuple[object, ...], float] = {}
        for prefix, value in zip(prefixes, values, strict=True):
            totals[prefix] = totals.get(prefix, 0.0) + value
        values = values / [totals[prefix] for prefix in prefixes]
    return values / values.sum()


def blended(start: Network, trained: Network, share: float) -> Network:
    """Return `start` moved by `share` of the way to `trained`, weight by weight."""
    made = copy.deepcopy(start)
    with torch.no_grad():
        for held, one, other in zip(made.parameters(), start.parameters(), trained.parameters(), strict=True):
            held.copy_(torch.lerp(one, other, share))
    return made


def fronted(published: bytes, corpus: Corpus, seed: int) -> NDArray[np.float16]:
    """Return (N, 32, 32, 64): what the front, which is not trained, makes of each crop.

    Half of the crops for training, drawn by the seed, are mirrored first.
    """
    model, dice = Network(published), np.random.default_rng(seed)
    mirrored = dice.random(len(corpus.samples)) < np.where([one.use == "train" for one in corpus.samples], 0.5, 0.0)
    seen = np.empty((len(corpus.samples), *FRONT_SHAPE), np.float16)
    for at in track(range(0, len(seen), AT_ONCE), "front of the network", console=Console(stderr=True)):
        here = slice(at, at + AT_ONCE)
        with torch.inference_mode():
            seen[here] = model.front(_images(corpus.crops[here], mirrored[here])).permute(0, 2, 3, 1).numpy()
    return seen


def scores(model: Network, seen: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return (N,) log-odds of bona fide for what the front made of crops, higher is more surely live."""
    starts = range(0, len(seen), AT_ONCE)
    with torch.inference_mode():
        found = [log_odds(model(_behind_front(seen[at : at + AT_ONCE]))).numpy() for at in starts]
    return np.concatenate([np.empty(0), *found]).astype(np.float64)


def _images(crops: NDArray[np.uint8], mirrored: NDArray[np.bool_]) -> Tensor:
    """Return (N, 3, 128, 128) BGR 0..255 as the network takes it."""
    pictures = crops[..., ::-1].astype(np.float32)
    pictures[mirrored] = pictures[mirrored, :, ::-1]
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def _behind_front(seen: NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(seen.astype(np.float32)).permute(0, 3, 1, 2)


def _batches(samples: Sequence[Sample], steps: int, dice: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    often = shares(samples)
    for _ in range(steps):
        yield dice.choice(len(samples), BATCH, p=often)


def _pace(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _remember(mean: Network, model: Network, step: int) -> None:
    memory = min(MEMORY, (step + 1) / (step + 10))
    with torch.no_grad():
        for held, now in zip(mean.parameters(), model.parameters(), strict=True):
            held.lerp_(now, 1 - memory)
