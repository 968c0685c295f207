"""How much work a frame is, counted from the models' graphs, and what that may come to on boards nobody has here.

A count is exact, whatever the machine. A time on another board is an estimate from published figures, and says so.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from appliance import manifest
from appliance.drivers.tflite import load_model
from appliance.manifest import SHIPPED
from scripts.models import graph

from . import folder as folders
from . import latency, report

if TYPE_CHECKING:
    from typing import Literal

    from appliance.drivers.tflite import TfliteModel
    from scripts.models.graph import Graph

RUNS = 50  # of each model, for its time here

_KIND = schema.BuiltinOperator
_FLOAT_BYTES = 4  # as float16 weights are when they run: the runtime unpacks them once
# What only changes a tensor's form or type once, when the model is loaded.
_FREE = {_KIND.RESHAPE, _KIND.DEQUANTIZE}


@dataclass(frozen=True, slots=True)
class Work:
    """What one run of a model, or one search, takes."""

    float_macs: int  # multiply-accumulate operations in float32
    int8_macs: int
    weight_bytes: int  # read once in a run
    activation_bytes: int  # read and written between operators, as if no cache held any of them

    def __add__(self, other: Work) -> Work:
        """Return the two one after the other."""
        return Work(
            self.float_macs + other.float_macs,
            self.int8_macs + other.int8_macs,
            self.weight_bytes + other.weight_bytes,
            self.activation_bytes + other.activation_bytes,
        )

    @property
    def macs(self) -> int:
        """All of them."""
        return self.float_macs + self.int8_macs


NONE = Work(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Board:
    """A board's speed as published, each from a low to a high figure, on one core."""

    name: str
    float_gmacs: tuple[float, float]  # 10^9 float32 multiply-accumulates a second, in small convolution nets
    int8_gmacs: tuple[float, float]
    gigabytes: tuple[float, float]  # a second, from and to memory
    slower: tuple[float, float]  # a core against one of this machine, in code that is not the models'


# Pi 4: ncnn's benchmark/README.md, one thread at 1.8 GHz: mobilenet 124 ms of 569 MMAC, mobilenet_v2 93 of 300,
# mobilenet_int8 85. That is 45 to 64 % of the four a cycle that a Cortex-A72 can; A76 and A78AE can eight (Arm's
# optimisation guides), and int8 products in fours, which a Pi 4 has not. Memory and the last column are assumptions.
BOARDS = (
    Board("Raspberry Pi 4, 1.8 GHz", (3.2, 4.6), (3.2, 6.7), (3.0, 6.0), (3.0, 6.0)),
    Board("Raspberry Pi 5, 2.4 GHz", (8.6, 12.3), (8.6, 25.0), (6.0, 12.0), (1.2, 2.5)),
    Board("Jetson Orin Nano, 1.5 GHz, no GPU", (5.4, 7.7), (5.4, 16.0), (8.0, 20.0), (1.8, 4.0)),
)


def run(embedder: Literal["a", "b"], detector: Literal["short", "full"], frames: int, size: int) -> None:
    """Print each stage's work, how often a frame calls for it, its time here, and estimates for `BOARDS`."""
    settings, stages = folders.open_stages(embedder, detector)
    scene = latency.Scenery(settings.camera.frame_rate)
    enrolled = latency.gallery_of(scene.next(), stages, size)
    timers = latency.Timers()
    walk = latency.Walk(latency.course(settings, stages, enrolled), timers=timers)
    for turn in range(latency.WARM_UP + math.ceil(frames / latency.SCENE_FRAMES)):
        if turn == latency.WARM_UP:
            walk.clear()
        walk.play(scene.next())
    calls = {stage: len(times) / len(walk.spent_ms) for stage, times in timers.spent_ms.items()}
    chosen = report.models(settings)
    roles = {"detection": "detector", "alignment": "landmarks", "liveness": "liveness", "embedding": "embedder"}
    works = {stage: (work_of_model(chosen[role]), calls[stage]) for stage, role in roles.items()}
    works["matching"] = (matching(enrolled.size, stages.embedder.dimension), calls["matching"])
    times_ms = {stage: model_ms(chosen[role]) for stage, role in roles.items()}
    times_ms["matching"] = float(np.median(timers.spent_ms["matching"]))
    frame_ms = float(np.median(walk.spent_ms))
    rest_ms = max(0.0, frame_ms - sum(times_ms[stage] * often for stage, (_, often) in works.items()))
    _show(works, times_ms, len(walk.spent_ms))
    print(f"a frame here, one thread: {frame_ms:.1f} ms, {rest_ms:.1f} of them in neither a model nor the search")
    estimates = {board.name: estimate_ms(tuple(works.values()), rest_ms, board) for board in BOARDS}
    for name, (least, most) in estimates.items():
        print(f"ESTIMATE, not measured: {name}, one thread: {least:.0f} to {most:.0f} ms a frame")
    line: dict[str, Any] = {"bench": "work", "frames": len(walk.spent_ms), "gallery": enrolled.size, "models": chosen}
    line["stages"] = {
        stage: {
            "runs_a_frame": round(often, 3),
            "float_macs": work.float_macs,
            "int8_macs": work.int8_macs,
            "weight_bytes": work.weight_bytes,
            "activation_bytes": work.activation_bytes,
            "ms": round(times_ms[stage], 3),
        }
        for stage, (work, often) in works.items()
    }
    line |= {"frame_ms": round(frame_ms, 2), "rest_ms": round(rest_ms, 2)}
    report.finish(line | {"estimates_ms": {name: [round(end, 1) for end in ends] for name, ends in estimates.items()}})


def _show(works: dict[str, tuple[Work, float]], times_ms: dict[str, float], frames: int) -> None:
    """Print a row for each stage, and what they come to in a frame."""
    rows = [_row(stage, work, often, times_ms[stage]) for stage, (work, often) in works.items()]
    total_macs = sum(work.macs * often for work, often in works.values())
    total_bytes = sum((work.weight_bytes + work.activation_bytes) * often for work, often in works.values())
    title = f"Work of a frame with one person before the camera, {frames} frames"
    report.show(
        title, ("stage", "runs a frame", "MMAC a run", "of it int8", "weights", "tensors", "ms", "GMAC/s"), rows
    )
    print(f"a frame: {total_macs / 1e6:.0f} MMAC and {total_bytes / 1e6:.1f} MB moved, were there no cache")


def _row(stage: str, work: Work, often: float, spent_ms: float) -> tuple[str, ...]:
    return (
        stage,
        f"{often:.2f}",
        f"{work.macs / 1e6:.1f}",
        f"{100 * work.int8_macs / work.macs:.0f} %",
        f"{work.weight_bytes / 1e6:.2f} MB",
        f"{work.activation_bytes / 1e6:.2f} MB",
        f"{spent_ms:.2f}",
        f"{work.macs / spent_ms / 1e6:.1f}",
    )


def estimate_ms(works: tuple[tuple[Work, float], ...], rest_ms: float, board: Board) -> tuple[float, float]:
    """Return the least and the most that a frame may take on one core of a board, in milliseconds.

    `works` are pairs of a run's work and how many runs a frame has. The least: the high rates, and memory's time is
    hidden behind the computing. The most: the low rates, and nothing is hidden or cached.
    """
    float_macs = sum(work.float_macs * often for work, often in works)
    int8_macs = sum(work.int8_macs * often for work, often in works)
    moved = sum((work.weight_bytes + work.activation_bytes) * often for work, often in works)
    low, high = ((float_macs / board.float_gmacs[end] + int8_macs / board.int8_gmacs[end]) / 1e6 for end in (0, 1))
    return high + rest_ms * board.slower[0], low + moved / board.gigabytes[0] / 1e6 + rest_ms * board.slower[1]


def matching(size: int, dimension: int) -> Work:
    """Return the work of one probe's search among `size` references of `dimension` float32 numbers."""
    return Work(size * dimension, 0, size * dimension * _FLOAT_BYTES, (size + dimension) * _FLOAT_BYTES)


def work_of_model(model_id: str) -> Work:
    """Return the work of one run of a shipped model. Raises ModelError where it is not there."""
    return work_of(graph.read((SHIPPED / _entry(model_id).file).read_bytes()))


def model_ms(model_id: str) -> float:
    """Return the median time of `RUNS` runs of a shipped model on one thread, in milliseconds, on seeded noise."""
    model: TfliteModel = load_model(_entry(model_id), SHIPPED)
    noise = np.random.default_rng(1).integers(0, 256, (model.side_px, model.side_px, 3), dtype=np.uint8)
    spent_ms = []
    for _ in range(RUNS):
        before = time.perf_counter()
        model.run(noise)
        spent_ms.append((time.perf_counter() - before) * 1e3)
    return float(np.median(spent_ms))


def _entry(model_id: str) -> manifest.ModelEntry:
    return next(entry for entry in manifest.read().model if entry.model_id == model_id)


def work_of(model: Graph) -> Work:
    """Return the work of one run of a graph. Raises GraphError for a matrix product of a kind it does not know."""
    total, unpacked = NONE, {int(operator.outputs[0]) for operator in model.of_kind(_KIND.DEQUANTIZE)}
    for operator in model.operators:
        if model.code(operator) not in _FREE:
            total += _of_operator(model, operator, unpacked)
    return total


def _of_operator(model: Graph, operator: Any, unpacked: set[int]) -> Work:  # noqa: ANN401 - schema.OperatorT
    inputs = [int(tensor) for tensor in operator.inputs if tensor >= 0]
    constant = [tensor for tensor in inputs if tensor in unpacked or model.constant(tensor) is not None]
    moving = [tensor for tensor in inputs if tensor not in constant] + [int(tensor) for tensor in operator.outputs]
    macs, weights = 0, None
    if (code := model.code(operator)) in _PER_OUTPUT:
        weights = int(operator.inputs[1])
        macs = math.prod(model.shape(int(operator.outputs[0]))) * math.prod(_PER_OUTPUT[code](model.shape(weights)))
    elif code in _UNKNOWN:
        raise graph.GraphError(f"operator kind {code} multiplies matrices; its work is not known here")
    is_int8 = weights is not None and model.main.tensors[weights].type == schema.TensorType.INT8
    return Work(
        0 if is_int8 else macs,
        macs if is_int8 else 0,
        sum(_bytes(model, tensor) for tensor in constant),
        sum(_bytes(model, tensor) for tensor in moving),
    )


# Of the weights' shape, what each output value is the sum over.
_PER_OUTPUT: dict[int, Any] = {
    _KIND.CONV_2D: lambda shape: shape[1:],  # (out, height, width, in)
    _KIND.DEPTHWISE_CONV_2D: lambda shape: shape[1:3],  # (1, height, width, channels)
    _KIND.FULLY_CONNECTED: lambda shape: shape[1:],  # (out, in)
}
_UNKNOWN = {_KIND.BATCH_MATMUL, _KIND.TRANSPOSE_CONV, _KIND.CONV_3D, _KIND.CUSTOM}


def _bytes(model: Graph, tensor: int) -> int:
    is_int8 = model.main.tensors[tensor].type == schema.TensorType.INT8
    return math.prod(model.shape(tensor)) * (1 if is_int8 else _FLOAT_BYTES)
