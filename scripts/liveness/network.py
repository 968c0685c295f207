"""The published liveness network in torch: the same nodes in the same order, its weights open to training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Nodes that only compute the shape of the flattening before the first matrix.
SHAPE_NODES = frozenset({"Shape", "Constant", "Gather", "Unsqueeze", "Concat"})
# The published front stays as it is: edges, grids and grain look alike at every door, and a thousand frames of five
# rooms must not teach otherwise. It is also half of the work, which so is done once.
FRONT_ENDS_AT = "440"  # (N, 64, 32, 32), the only value that crosses this border
# Statistics of the publisher's own data.
STATISTICS = frozenset({"bn.running_mean", "bn.running_var"})


class Network(nn.Module):
    """The network of an .onnx file's bytes, in two parts: a front that stays as published, and what is trained."""

    def __init__(self, published: bytes) -> None:
        super().__init__()
        self.origin = onnx.load_model_from_string(published)
        network = self.origin.graph
        self.nodes = [node for node in network.node if node.op_type not in SHAPE_NODES]
        (self.source,) = [end.name for end in network.input if end.name not in {i.name for i in network.initializer}]
        border = 1 + [node.output[0] for node in self.nodes].index(FRONT_ENDS_AT)
        self.parts = self.nodes[:border], self.nodes[border:]
        of_front = {name for node in self.parts[0] for name in node.input}
        self.weights = nn.ParameterDict()
        for held in network.initializer:
            values = numpy_helper.to_array(held)
            if values.dtype == np.float32:
                trained = held.name not in of_front | STATISTICS
                self.weights[_key(held.name)] = nn.Parameter(torch.tensor(values), requires_grad=trained)

    def front(self, image: Tensor) -> Tensor:
        """Return (N, 64, 32, 32) for images (N, 3, 128, 128) of BGR 0..255."""
        return self._run(self.parts[0], {self.source: image})

    def forward(self, seen: Tensor) -> Tensor:
        """Return the logits (N, 3), class 0 bona fide, for what the front made of the images."""
        return self._run(self.parts[1], {FRONT_ENDS_AT: seen})

    def _run(self, nodes: list[Any], found: dict[str, Tensor]) -> Tensor:
        for node in nodes:
            values = [found[name] if name in found else self.weights[_key(name)] for name in _inputs(node)]
            found[node.output[0]] = OPERATORS[node.op_type](values, _attributes(node))
        return found[nodes[-1].output[0]]

    def trained(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights that training may move, by their names in the published file."""
        held = {one.name: self.weights[_key(one.name)] for one in self.origin.graph.initializer if self._holds(one)}
        return {name: values.detach().numpy().copy() for name, values in held.items() if values.requires_grad}

    def _holds(self, one: Any) -> bool:  # noqa: ANN401
        return _key(one.name) in self.weights

    def shift(self, by: float) -> None:
        """Add `by` to the log-odds of bona fide, for every image alike."""
        matrix = self.weights[_key(self.nodes[-1].input[1])].detach()  # (128, 3), behind the last normalisation
        offset = self.weights[_key("bn.bias")]
        with torch.no_grad():
            offset += torch.linalg.lstsq(matrix.T, torch.tensor([[by], [0.0], [0.0]])).solution[:, 0]


def log_odds(logits: Tensor) -> Tensor:
    """Return (N,) log-odds of bona fide against all other classes, from (N, 3) logits."""
    return logits[:, 0] - torch.logsumexp(logits[:, 1:], dim=1)


def _key(name: str) -> str:
    return "w" + name.replace(".", "_")  # torch takes no dots in a parameter's name


def _inputs(node: Any) -> list[str]:  # noqa: ANN401
    return list(node.input[:1] if node.op_type == "Reshape" else node.input)


def _attributes(node: Any) -> dict[str, Any]:  # noqa: ANN401
    return {held.name: onnx.helper.get_attribute_value(held) for held in node.attribute}


def _convolution(values: list[Tensor], said: dict[str, Any]) -> Tensor:
    image, weights, bias = values
    return functional.conv2d(image, weights, bias, said["strides"], said["pads"][:2], groups=said["group"])


def _normalise(values: list[Tensor], said: dict[str, Any]) -> Tensor:
    image, gain, offset, mean, variance = values
    return functional.batch_norm(image, mean, variance, gain, offset, training=False, eps=said["epsilon"])


OPERATORS: dict[str, Callable[[list[Tensor], dict[str, Any]], Tensor]] = {
    "Conv": _convolution,
    "PRelu": lambda values, _: functional.prelu(values[0], values[1].reshape(-1)),
    "Add": lambda values, _: values[0] + values[1],
    "Mul": lambda values, _: values[0] * values[1],
    "Relu": lambda values, _: functional.relu(values[0]),
    "Sigmoid": lambda values, _: torch.sigmoid(values[0]),
    "GlobalAveragePool": lambda values, _: values[0].mean((2, 3), keepdim=True),
    "Reshape": lambda values, _: values[0].flatten(1),
    "MatMul": lambda values, _: values[0] @ values[1],
    "BatchNormalization": _normalise,
}
