"""Edits that make a graph smaller and faster and leave what it computes as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .graph import Graph, GraphError

KIND = schema.BuiltinOperator
NO_ACTIVATION = schema.ActivationFunctionType.NONE
RELU = schema.ActivationFunctionType.RELU
# Kinds whose kernels can end in a RELU of their own.
CAN_END_IN_RELU = frozenset({KIND.CONV_2D, KIND.DEPTHWISE_CONV_2D, KIND.ADD, KIND.FULLY_CONNECTED})


def take_one_image(graph: Graph) -> None:
    """Make a model that was published for a batch of several images take one."""
    batch = graph.shape(int(graph.main.inputs[0]))[0]
    for index, tensor in enumerate(graph.main.tensors):
        if graph.constant(index) is None and len(tensor.shape) and tensor.shape[0] == batch:
            tensor.shape = np.asarray([1, *tensor.shape[1:]], dtype=np.int32)
            tensor.shapeSignature = None
    for op in graph.of_kind(KIND.RESHAPE):
        new_shape = np.asarray(graph.shape(int(op.outputs[0])), dtype=np.int32)
        op.builtinOptions.newShape = new_shape
        if len(op.inputs) > 1:
            graph.set_constant(int(op.inputs[1]), new_shape)


def fuse_prelu(graph: Graph) -> int:
    """Turn every relu(x) + c*(x - |x|) into one PRELU of slope 2c; return how many there were.

    Both say x for x >= 0 and 2c*x below it. Five kernels and four passes through memory become one.
    """
    makers, fused = graph.makers(), 0
    for add in graph.of_kind(KIND.ADD):
        parts = _prelu_parts(graph, makers, add)
        if parts is None:
            continue
        source, factor, spent = parts
        slope = (2.0 * factor).astype(np.float32).reshape(1, 1, -1)
        name = graph.main.tensors[add.outputs[0]].name.decode() + "/slope"
        inputs = (source, graph.add_constant(name, slope))
        graph.operators[graph.operators.index(add)] = graph.operator(KIND.PRELU, inputs, add.outputs)
        _drop(graph, spent)
        fused += 1
    return fused


def _prelu_parts(
    graph: Graph,
    makers: dict[int, Any],
    add: Any,  # noqa: ANN401
) -> tuple[int, np.ndarray[Any, Any], list[Any]] | None:
    """Return the source tensor, c and the four operators that feed `add`; None if it is another."""
    feeders = [makers.get(int(end)) for end in add.inputs]
    relu, mul = feeders
    if relu is None or mul is None or (graph.code(relu), graph.code(mul)) != (KIND.RELU, KIND.MUL):
        return None
    factor, subtract = graph.constant(int(mul.inputs[0])), makers.get(int(mul.inputs[1]))
    if factor is None or subtract is None or graph.code(subtract) != KIND.SUB:
        return None
    absolute = makers.get(int(subtract.inputs[1]))
    if absolute is None or graph.code(absolute) != KIND.ABS:
        return None
    source = int(relu.inputs[0])
    if {source} != {int(subtract.inputs[0]), int(absolute.inputs[0])}:
        return None
    return source, factor, [relu, mul, subtract, absolute]


def fuse_relu(graph: Graph) -> int:
    """Let a RELU that alone reads a convolution or a sum be that kernel's own end; return the count."""
    makers, fused = graph.makers(), 0
    ends = {int(end) for end in graph.main.outputs}
    for relu in graph.of_kind(KIND.RELU):
        source = int(relu.inputs[0])
        maker = makers.get(source)
        if maker is None or graph.code(maker) not in CAN_END_IN_RELU:
            continue
        alone = len(graph.readers(source)) == 1 and source not in ends
        if not alone or maker.builtinOptions.fusedActivationFunction != NO_ACTIVATION:
            continue
        maker.builtinOptions.fusedActivationFunction = RELU
        maker.outputs = relu.outputs
        _drop(graph, [relu])
        fused += 1
    return fused


def _drop(graph: Graph, spent: list[Any]) -> None:
    for op in spent:
        if any(len(graph.readers(int(out))) for out in op.outputs if op not in spent):
            raise GraphError(f"operator {graph.code(op)} is still read and cannot be dropped")
    graph.main.operators = [op for op in graph.operators if not any(op is old for old in spent)]


def merge_dense(graph: Graph) -> int:
    """Make one of two FULLY_CONNECTED that follow each other with nothing between; return how often.

    W2(W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2), multiplied out in float64.
    """
    merged = 0
    for second in graph.of_kind(KIND.FULLY_CONNECTED):
        between = int(second.inputs[0])
        first = graph.makers().get(between)
        if first is None or graph.code(first) != KIND.FULLY_CONNECTED:
            continue
        if first.builtinOptions.fusedActivationFunction != NO_ACTIVATION:
            continue
        if len(graph.readers(between)) > 1 or between in graph.main.outputs:
            continue
        w1, b1, w2, b2 = (
            np.asarray(graph.constant(int(end)), dtype=np.float64) for end in [*first.inputs[1:], *second.inputs[1:]]
        )
        graph.set_constant(int(second.inputs[1]), (w2 @ w1).astype(np.float32))
        graph.set_constant(int(second.inputs[2]), (w2 @ b1 + b2).astype(np.float32))
        second.inputs = np.asarray([first.inputs[0], *second.inputs[1:]], dtype=np.int32)
        _drop(graph, [first])
        merged += 1
    return merged
