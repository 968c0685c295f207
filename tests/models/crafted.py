"""Models made up to be wrong in one way each, and one that is right: a few operators, built as the builder does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from scripts.models import graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.models.graph import Graph

KIND = schema.BuiltinOperator
SIDE_PX = 64


def classifier(
    weights: Sequence[Sequence[float]] = ((3, -1, -2), (-3, 2, 1), (1, -2, 3)),
    bias: Sequence[float] = (0, 0, 0),
    *,
    side_px: int = SIDE_PX,
    shares: bool = False,
) -> bytes:
    """Return a model of (1, S, S, 3) whose logits are the mean colour times (C, 3) weights, plus a bias.

    With `shares` a softmax comes last. Weights of 0 make a model that is dead, a bias of NaN one that is mad.
    """
    made = graph.empty("crafted")
    image = made.add_tensor("image", (1, side_px, side_px, 3))
    logits = _dense(made, _mean_colour(made, image), np.array(weights, np.float32), np.array(bias, np.float32))
    if shares:
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        out = made.add_tensor("shares", (1, len(bias)))
        made.operators.append(made.operator(KIND.SOFTMAX, [logits], [out], options))
        logits = out
    return written(made, [image], [logits])


def with_two_inputs() -> bytes:
    """Return a model that adds two pictures."""
    made = graph.empty("crafted")
    shape = (1, SIDE_PX, SIDE_PX, 3)
    ends = [made.add_tensor(name, shape) for name in ("one", "two", "sum")]
    made.operators.append(made.operator(KIND.ADD, ends[:2], ends[2:], schema.AddOptionsT()))
    return written(made, ends[:2], ends[2:])


def with_custom_operator() -> bytes:
    """Return a model whose one operator no runtime knows."""
    made = graph.empty("crafted")
    ends = [made.add_tensor(name, (1, SIDE_PX, SIDE_PX, 3)) for name in ("one", "two")]
    made.operators.append(made.operator(KIND.CUSTOM, ends[:1], ends[1:]))
    made.model.operatorCodes[0].customCode = b"Homebrew"
    return written(made, ends[:1], ends[1:])


def of_no_fixed_shape() -> bytes:
    """Return a model for any number of pictures of any size."""
    made = graph.read(classifier())
    made.main.tensors[made.main.inputs[0]].shapeSignature = np.array((-1, -1, -1, 3), np.int32)
    return graph.write(made)


def huge(side: int = 40_000) -> bytes:
    """Return a small file that asks for tensors of gigabytes: a picture resized beyond all bounds."""
    made = graph.empty("crafted")
    image = made.add_tensor("image", (1, SIDE_PX, SIDE_PX, 3))
    size = made.add_constant("size", np.array((side, side), np.int32))
    large = made.add_tensor("large", (1, side, side, 3))
    made.operators.append(
        made.operator(KIND.RESIZE_NEAREST_NEIGHBOR, [image, size], [large], schema.ResizeNearestNeighborOptionsT())
    )
    colour = _mean_colour(made, large)
    return written(made, [image], [_dense(made, colour, np.eye(3, dtype=np.float32), np.zeros(3, np.float32))])


def huge_and_lying() -> bytes:
    """Return the same, but the file says that the large tensor is a small one."""
    made = graph.read(huge())
    large = next(int(op.outputs[0]) for op in made.operators if made.code(op) == KIND.RESIZE_NEAREST_NEIGHBOR)
    made.main.tensors[large].shape = np.array((1, 8, 8, 3), np.int32)
    return graph.write(made)


def of_bytes() -> bytes:
    """Return a model that takes and gives uint8."""
    made = graph.empty("crafted")
    kind = schema.TensorType.UINT8
    ends = [made.add_tensor(name, (1, SIDE_PX, SIDE_PX, 3), kind) for name in ("one", "two")]
    options = schema.ReshapeOptionsT()
    options.newShape = np.array((1, SIDE_PX, SIDE_PX, 3), np.int32)
    made.operators.append(made.operator(KIND.RESHAPE, ends[:1], ends[1:], options))
    return written(made, ends[:1], ends[1:])


def written(made: Graph, inputs: list[int], outputs: list[int]) -> bytes:
    """Return the file of a graph with these ends."""
    made.main.inputs, made.main.outputs = inputs, outputs
    return graph.write(made)


def _mean_colour(made: Graph, image: int) -> int:
    axes = made.add_constant("axes", np.array((1, 2), np.int32))
    colour = made.add_tensor("colour", (1, 3))
    made.operators.append(made.operator(KIND.MEAN, [image, axes], [colour], schema.ReducerOptionsT()))
    return colour


def _dense(made: Graph, source: int, weights: np.ndarray, bias: np.ndarray) -> int:
    out = made.add_tensor("logits", (1, len(bias)))
    held = [made.add_constant(name, values) for name, values in (("weights", weights), ("bias", bias))]
    made.operators.append(made.operator(KIND.FULLY_CONNECTED, [source, *held], [out], schema.FullyConnectedOptionsT()))
    return out
