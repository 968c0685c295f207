"""What a built model costs and how near it stays to the published one.

Timings are the median of many runs, the forms by turns in one process, each on one thread.
"""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from . import recipes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .recipes import Recipe

Outputs = list["NDArray[np.float32]"]
RUNS = 300
WARM_UP_RUNS = 20
NOISE_IMAGES = 8
SEED = 20
MEGABYTE = 1e6
NOTES = "forms timed by turns in one process; difference and cosine on seeded noise images"


def measured(recipe: Recipe, published: bytes) -> dict[str, Any]:
    """Return the model's cost and its nearness to the published one, as the manifest keeps them."""
    float_form = recipe.float_form(published)
    shipped = recipe.shipped_form(published)
    forms = {
        "float32": float_form,
        "float16": recipes.as_float16(float_form),
        "hybrid": recipes.as_hybrid(float_form),
    }
    spent_ms = medians_ms(list(forms.values()), RUNS)
    cost = dict(zip(forms, spent_ms, strict=True))
    (name,) = [name for name, raw in forms.items() if raw == shipped]
    difference, cosine = nearness(recipe, published, float_form, shipped)
    return {
        "float_ms": round(cost["float32"], 2),
        "shipped_ms": round(cost[name], 2),
        "float_mb": round(len(float_form) / MEGABYTE, 2),
        "shipped_mb": round(len(shipped) / MEGABYTE, 2),
        "n": RUNS,
        "where": f"one thread of a {os.cpu_count()}-core {platform.machine()} machine",
        "notes": NOTES,
        "forms": [
            {"form": form, "ms": round(cost[form], 2), "mb": round(len(raw) / MEGABYTE, 2)}
            for form, raw in forms.items()
        ],
        "float_max_difference_from_published": float(f"{difference:.1e}"),
        "shipped_min_cosine_to_float": round(cosine, 5),
    }


def medians_ms(models: Sequence[bytes], runs: int) -> list[float]:
    """Return each model's median run time in milliseconds, the models timed by turns."""
    loaded = [_loaded(raw) for raw in models]
    spent: list[list[float]] = [[] for _ in loaded]
    for turn in range(WARM_UP_RUNS + runs):
        for interpreter, times in zip(loaded, spent, strict=True):
            before = time.perf_counter()
            interpreter.invoke()
            if turn >= WARM_UP_RUNS:
                times.append(time.perf_counter() - before)
    return [float(np.median(times)) * 1e3 for times in spent]


def nearness(recipe: Recipe, published: bytes, float_form: bytes, shipped: bytes) -> tuple[float, float]:
    """Return how far the float form is from the published model, and how near the shipped form is to it.

    The first is the largest difference of any output value, the second the smallest cosine of any output.
    """
    differences, cosines = [], []
    for pixels in noise_images(recipe.input_shape):
        image = ((pixels - recipe.mean) / recipe.scale).astype(np.float32)
        ours, theirs = run(float_form, image), run_published(recipe, published, image)
        differences += [float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True)]
        cosines += [cosine(a, b) for a, b in zip(run(shipped, image), ours, strict=True)]
    return max(differences), min(cosines)


def noise_images(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return seeded images (n, *shape) of pixels 0..255: smooth patches under fine noise."""
    dice = np.random.default_rng(SEED)
    coarse = dice.uniform(0, 255, (NOISE_IMAGES, 1, 8, 8, shape[-1]))
    smooth = coarse.repeat(shape[1] // 8, axis=2).repeat(shape[2] // 8, axis=3)
    return np.clip(smooth + dice.normal(0, 20, smooth.shape), 0, 255).astype(np.float32)


def run(raw: bytes, image: NDArray[np.float32]) -> Outputs:
    """Return what a .tflite model gives for one image (1, H, W, C)."""
    interpreter = _loaded(raw)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(end["index"]) for end in interpreter.get_output_details()]


def run_published(recipe: Recipe, published: bytes, image: NDArray[np.float32]) -> Outputs:
    """Return what the published model gives for one image (1, H, W, C), in its own runtime."""
    if recipe.path.endswith(".onnx"):
        import onnxruntime  # type: ignore[import-untyped] # noqa: PLC0415 - a second to load, and only two models need it

        session = onnxruntime.InferenceSession(published)
        feed = {session.get_inputs()[0].name: image.transpose(0, 3, 1, 2)}
        return list(session.run(None, feed))
    batch = _loaded(published).get_input_details()[0]["shape"][0]
    return [found[:1] for found in run(published, image.repeat(batch, axis=0))]


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the cosine of two outputs taken as flat vectors, -1..1."""
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _loaded(raw: bytes) -> Any:  # noqa: ANN401 - the interpreter carries no types
    interpreter = Interpreter(model_content=raw, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter
