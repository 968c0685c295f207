"""An ONNX network of plain convolutions, rebuilt as a TFLite graph with channels last.

Knows the operators that the two published .onnx files use and refuses every other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper

from . import graph as graphs
from .graph import Graph, GraphError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

KIND = schema.BuiltinOperator
NONE = schema.ActivationFunctionType.NONE
IMAGE = 4  # axes of an image tensor; a flat tensor has two
# Nodes that only compute the shape of the flattening after them.
SHAPE_NODES = frozenset({"Shape", "Constant", "Gather", "Unsqueeze", "Concat"})


@dataclass(eq=False)
class _Rebuild:
    """The rebuild under way: what each ONNX value became."""

    constants: dict[str, NDArray[Any]]  # by ONNX name
    graph: Graph
    tensors: dict[str, int] = field(default_factory=dict)  # TFLite index by ONNX name

    def place(self, kind: int, inputs: list[int], shape: tuple[int, ...], name: str, options: Any = None) -> int:  # noqa: ANN401
        """Put an operator at the end of the graph; return the tensor that it writes."""
        out = self.graph.add_tensor(name, shape)
        self.graph.operators.append(self.graph.operator(kind, inputs, [out], options))
        return out


def rebuild(raw: bytes) -> Graph:
    """Return the TFLite graph of an .onnx file's bytes: float32, one image (1, H, W, C) in.

    Raises GraphError on an operator or an attribute that is not known here.
    """
    network = onnx.load_model_from_string(raw).graph
    constants = {held.name: numpy_helper.to_array(held) for held in network.initializer}
    state = _Rebuild(constants, graphs.empty("rebuilt from ONNX"))
    (source,) = [end for end in network.input if end.name not in constants]
    sizes = [axis.dim_value for axis in source.type.tensor_type.shape.dim]
    state.tensors[source.name] = state.graph.add_tensor("image", (1, *sizes[2:], sizes[1]))
    for node in network.node:
        if node.op_type not in SHAPE_NODES:
            state.tensors[node.output[0]] = _rebuilt(state, node)
    state.graph.main.inputs = [state.tensors[source.name]]
    state.graph.main.outputs = [state.tensors[end.name] for end in network.output]
    return state.graph


def _rebuilt(state: _Rebuild, node: Any) -> int:  # noqa: ANN401
    builder = BUILDERS.get(node.op_type)
    if builder is None:
        raise GraphError(f"ONNX operator {node.op_type} is not among {', '.join(BUILDERS)}")
    return builder(state, node)


def _attributes(node: Any) -> dict[str, Any]:  # noqa: ANN401
    return {held.name: onnx.helper.get_attribute_value(held) for held in node.attribute}


def _convolution(state: _Rebuild, node: Any) -> int:  # noqa: ANN401
    said = _attributes(node)
    weights, bias = (state.constants[name] for name in node.input[1:3])
    if any(step != 1 for step in said["dilations"]) or said["group"] not in (1, len(weights)):
        raise GraphError(f"convolution {node.output[0]}: dilations and grouping are not known here")
    source, padding = _padded(state, state.tensors[node.input[0]], said)
    depthwise = said["group"] > 1
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    options.padding, options.fusedActivationFunction = padding, NONE
    options.strideH, options.strideW = said["strides"]
    options.dilationHFactor = options.dilationWFactor = 1
    if depthwise:
        options.depthMultiplier = 1
    # ONNX keeps (out, in, H, W); TFLite (out, H, W, in), and for depthwise (1, H, W, channels).
    weights = weights.transpose(1, 2, 3, 0) if depthwise else weights.transpose(0, 2, 3, 1)
    inputs = [
        source,
        state.graph.add_constant(node.input[1] + "/weights", np.ascontiguousarray(weights)),
        state.graph.add_constant(node.input[2] + "/bias", bias),
    ]
    kind = KIND.DEPTHWISE_CONV_2D if depthwise else KIND.CONV_2D
    return state.place(kind, inputs, _convolved(state, source, said, len(bias), padding), node.output[0], options)


def _padded(state: _Rebuild, source: int, said: dict[str, Any]) -> tuple[int, int]:
    """Return the tensor to convolve and the TFLite padding that gives ONNX's own.

    At stride 2 TFLite's SAME pads one side only, where ONNX pads both, so the zeros are written
    out as a PAD; XNNPACK folds them into the convolution again.
    """
    top, left, bottom, right = said["pads"]
    if not any(said["pads"]):
        return source, schema.Padding.VALID
    kernel = list(said["kernel_shape"])
    if said["strides"] == [1, 1] and [top, left, bottom, right] == [k // 2 for k in kernel] * 2:
        return source, schema.Padding.SAME
    _, height, width, channels = state.graph.shape(source)
    pads = np.asarray([[0, 0], [top, bottom], [left, right], [0, 0]], dtype=np.int32)
    name = f"pad_{source}"
    inputs = [source, state.graph.add_constant(name + "/pads", pads)]
    shape = (1, height + top + bottom, width + left + right, channels)
    return state.place(KIND.PAD, inputs, shape, name, schema.PadOptionsT()), schema.Padding.VALID


def _convolved(state: _Rebuild, source: int, said: dict[str, Any], channels: int, padding: int) -> tuple[int, ...]:
    sizes = state.graph.shape(source)[1:3]
    if padding == schema.Padding.VALID:
        sides = zip(sizes, said["kernel_shape"], said["strides"], strict=True)
        sizes = tuple((size - kernel) // stride + 1 for size, kernel, stride in sides)
    return (1, *sizes, channels)


def _prelu(state: _Rebuild, node: Any) -> int:  # noqa: ANN401
    source = state.tensors[node.input[0]]
    slope = state.constants[node.input[1]].reshape(1, 1, -1)
    inputs = [source, state.graph.add_constant(node.output[0] + "/slope", slope)]
    return state.place(KIND.PRELU, inputs, state.graph.shape(source), node.output[0])


def _alike(kind: int, options: Callable[[], Any] | None = None) -> Callable[[_Rebuild, Any], int]:
    """Return a builder of an operator that keeps the shape of its first input."""

    def build(state: _Rebuild, node: Any) -> int:  # noqa: ANN401
        inputs = [state.tensors[name] for name in node.input]
        said = None if options is None else options()
        return state.place(kind, inputs, state.graph.shape(inputs[0]), node.output[0], said)

    return build


def _mean(state: _Rebuild, node: Any) -> int:  # noqa: ANN401
    source = state.tensors[node.input[0]]
    options = schema.ReducerOptionsT()
    options.keepDims = True
    axes = state.graph.add_constant(node.output[0] + "/axes", np.asarray([1, 2], dtype=np.int32))
    shape = (1, 1, 1, state.graph.shape(source)[-1])
    return state.place(KIND.MEAN, [source, axes], shape, node.output[0], options)


def _flatten(state: _Rebuild, node: Any) -> int:  # noqa: ANN401
    source = state.tensors[node.input[0]]
    shape = state.graph.shape(source)
    if len(shape) != IMAGE or shape[1:3] != (1, 1):
        # Channels last and channels first flatten alike only where there is one place left.
        raise GraphError(f"flattening {node.output[0]}: shape {shape} is not (1, 1, 1, C)")
    options = schema.ReshapeOptionsT()
    options.newShape = np.asarray([1, shape[-1]], dtype=np.int32)
    inputs = [source, state.graph.add_constant(node.output[0] + "/shape", options.newShape)]
    return state.place(KIND.RESHAPE, inputs, (1, shape[-1]), node.output[0], options)


def _matrix(state: _Rebuild, node: Any) -> int:  # noqa: ANN401
    weights = state.constants[node.input[1]]
    return _dense(state, node, weights.T, np.zeros(weights.shape[1], dtype=np.float32))


def _normalise(state: _Rebuild, node: Any) -> int:  # noqa: ANN401
    gain, offset, mean, variance = (state.constants[name] for name in node.input[1:5])
    factor = gain / np.sqrt(variance + _attributes(node)["epsilon"])
    return _dense(state, node, np.diag(factor), offset - mean * factor)


def _dense(state: _Rebuild, node: Any, weights: NDArray[Any], bias: NDArray[Any]) -> int:  # noqa: ANN401
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = NONE
    inputs = [
        state.tensors[node.input[0]],
        state.graph.add_constant(node.output[0] + "/weights", np.ascontiguousarray(weights, dtype=np.float32)),
        state.graph.add_constant(node.output[0] + "/bias", bias.astype(np.float32)),
    ]
    return state.place(KIND.FULLY_CONNECTED, inputs, (1, len(bias)), node.output[0], options)


BUILDERS: dict[str, Callable[[_Rebuild, Any], int]] = {
    "Conv": _convolution,
    "PRelu": _prelu,
    "Add": _alike(KIND.ADD, schema.AddOptionsT),
    "Mul": _alike(KIND.MUL, schema.MulOptionsT),
    "Relu": _alike(KIND.RELU),
    "Sigmoid": _alike(KIND.LOGISTIC),
    "GlobalAveragePool": _mean,
    "Reshape": _flatten,
    "MatMul": _matrix,
    "BatchNormalization": _normalise,
}
