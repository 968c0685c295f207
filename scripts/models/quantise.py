"""Narrower weights: int8 per channel for convolutions ("hybrid"), or float16.

What the hybrid form is: a convolution whose weights are int8 with one scale for each output channel and whose
input and output stay float32. The kernel quantises its input on the fly. Depthwise convolutions and PRELU
stay float, because XNNPACK has no such kernels for them and would fall back to slow ones (our measurement:
3.3 ms against 1.5 ms for embedder B).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .graph import Graph

KIND = schema.BuiltinOperator
SMALLEST_WEIGHT = 1e-30  # below it float32 scales run out of digits
INT8_LIMIT = 127  # symmetric: -128 is left unused, as the kernels ask
# CONV_2D since version 5 takes int8 weights of one scale a channel beside float input
# (TensorFlow's op_version.cc); tflite-runtime 2.14 knows it.
HYBRID_CONVOLUTION_VERSION = 5


def widen_float16(graph: Graph) -> int:
    """Turn float16 constants that are widened at load time into float32 ones; return the count."""
    widened = graph.of_kind(KIND.DEQUANTIZE)
    for op in widened:
        values = graph.constant(int(op.inputs[0]))
        if values is not None:
            graph.set_constant(int(op.outputs[0]), values.astype(np.float32))
    graph.main.operators = [op for op in graph.operators if graph.code(op) != KIND.DEQUANTIZE]
    return len(widened)


def narrow_to_float16(graph: Graph) -> int:
    """Store float32 weights as float16, widened when the model is loaded; return how many."""
    placed: list[Any] = []
    for op in graph.operators:
        for place, tensor in enumerate(op.inputs):
            values = None if tensor < 0 else graph.constant(int(tensor))
            if values is not None and values.dtype == np.float32:
                placed.append(_widening(graph, op, place, values))
    graph.main.operators = [*placed, *graph.operators]
    return len(placed)


def _widening(graph: Graph, op: Any, place: int, values: NDArray[Any]) -> Any:  # noqa: ANN401
    name = graph.main.tensors[op.inputs[place]].name.decode()
    narrow = graph.add_constant(name + "/float16", values.astype(np.float16))
    wide = graph.add_tensor(name + "/float32", values.shape)
    inputs = op.inputs.copy()
    inputs[place] = wide
    op.inputs = inputs
    return graph.operator(KIND.DEQUANTIZE, [narrow], [wide], schema.DequantizeOptionsT(), version=3)


def quantise_convolutions(graph: Graph, at_least: int = 0) -> int:
    """Make each CONV_2D of at least so many weights hybrid; return how many were made so."""
    hybrid = 0
    for op in graph.of_kind(KIND.CONV_2D):
        tensor = int(op.inputs[1])
        weights = graph.constant(tensor)
        if weights is None or weights.dtype != np.float32 or weights.size < at_least:
            continue
        values, scales = per_channel_int8(weights)
        graph.set_constant(tensor, values)
        graph.main.tensors[tensor].quantization = _parameters(scales)
        op.opcodeIndex = graph.code_index(KIND.CONV_2D, HYBRID_CONVOLUTION_VERSION)
        hybrid += 1
    return hybrid


def per_channel_int8(
    weights: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return weights (O, ...) as int8 and the scale (O,) of each output channel.

    values * scale is the weight to within half a scale. A channel of nothing but
    zeros (or of less than 1e-30, which the publisher's training left behind) has scale 1.
    """
    largest = np.abs(weights.reshape(weights.shape[0], -1)).max(axis=1)
    scales = np.where(largest > SMALLEST_WEIGHT, largest / INT8_LIMIT, 1.0).astype(np.float32)
    spread = scales.reshape(-1, *[1] * (weights.ndim - 1))
    values = np.clip(np.rint(weights / spread), -INT8_LIMIT, INT8_LIMIT)
    return values.astype(np.int8), scales


def _parameters(scales: NDArray[np.float32]) -> Any:  # noqa: ANN401
    parameters = schema.QuantizationParametersT()
    parameters.scale = scales
    parameters.zeroPoint = np.zeros(len(scales), dtype=np.int64)
    parameters.quantizedDimension = 0
    return parameters
