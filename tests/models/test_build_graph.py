"""The builder's graph edits, on graphs small enough to be worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from scripts.models import clean, graph, quantise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scripts.models.graph import Graph

KIND = schema.BuiltinOperator
SHAPE = (1, 4, 4, 8)
CHANNELS = SHAPE[-1]


class Sketch:
    """A graph under way: each verb puts one operator at its end and returns the tensor it writes."""

    def __init__(self, shape: tuple[int, ...] = SHAPE) -> None:
        self.graph: Graph = graph.empty("test")
        self.dice = np.random.default_rng(7)
        self.image = self.graph.add_tensor("input", shape)
        self.shape = shape

    def place(
        self, kind: int, inputs: Sequence[int], options: object = None, shape: Sequence[int] | None = None
    ) -> int:
        """Put an operator; its output has the image's shape unless told."""
        out = self.graph.add_tensor(f"t{len(self.graph.operators)}", self.shape if shape is None else shape)
        self.graph.operators.append(self.graph.operator(kind, inputs, [out], options))
        return out

    def constant(self, *shape: int) -> int:
        """Return a constant of seeded values."""
        return self.graph.add_constant("c", self.dice.normal(size=shape).astype(np.float32))

    def convolution(self, source: int) -> int:
        """Put a 3x3 convolution that keeps the shape."""
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        weights = self.constant(CHANNELS, 3, 3, CHANNELS)
        return self.place(KIND.CONV_2D, [source, weights, self.constant(CHANNELS)], options)

    def spelt_out_prelu(self, source: int) -> int:
        """Put relu(x) + c*(x - |x|)."""
        relu = self.place(KIND.RELU, [source])
        absolute = self.place(KIND.ABS, [source])
        below = self.place(KIND.SUB, [source, absolute], schema.SubOptionsT())
        scaled = self.place(KIND.MUL, [self.constant(CHANNELS), below], schema.MulOptionsT())
        return self.place(KIND.ADD, [relu, scaled], schema.AddOptionsT())

    def dense(self, source: int, wide: int, narrow: int) -> int:
        """Put a matrix from `wide` values to `narrow`."""
        inputs = [source, self.constant(narrow, wide), self.constant(narrow)]
        return self.place(KIND.FULLY_CONNECTED, inputs, schema.FullyConnectedOptionsT(), (1, narrow))

    def done(self, *outputs: int) -> Graph:
        """Return the graph with its ends set."""
        self.graph.main.inputs, self.graph.main.outputs = [self.image], list(outputs)
        return self.graph


def run(raw: bytes, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first output of a model for one image."""
    interpreter: Any = Interpreter(model_content=raw, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    output: NDArray[np.float32] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output


def images(shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    """Return an image with values on both sides of zero."""
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def kinds(edited: Graph) -> list[int]:
    """Return the kinds of the operators in the order in which they run."""
    return [edited.code(op) for op in edited.operators]


@pytest.fixture
def network() -> Graph:
    """Return a convolution, a spelt-out PRELU and a second convolution."""
    sketch = Sketch()
    return sketch.done(sketch.convolution(sketch.spelt_out_prelu(sketch.convolution(sketch.image))))


def test_writing_is_the_inverse_of_reading(network: Graph) -> None:
    """A file that is read and written again is the same bytes."""
    raw = graph.write(network)
    assert graph.write(graph.read(raw)) == raw


def test_a_file_of_another_kind_is_refused() -> None:
    """Bytes without TFLite's identifier are refused in words."""
    with pytest.raises(graph.GraphError, match="file identifier"):
        graph.read(b"\x00" * 64)


def test_old_operator_codes_are_read_as_new_ones(network: Graph) -> None:
    """A file that names its operators in the narrow field alone is understood."""
    for code in network.model.operatorCodes:
        code.builtinCode = 0
    read = graph.read(graph.write(network))
    assert kinds(read)[0] == KIND.CONV_2D
    assert KIND.ABS in kinds(read)


def test_fused_prelu_computes_the_same(network: Graph) -> None:
    """Five operators become one and the output stays."""
    before = run(graph.write(network), images())
    assert clean.fuse_prelu(network) == 1
    assert kinds(network) == [KIND.CONV_2D, KIND.PRELU, KIND.CONV_2D]
    np.testing.assert_allclose(run(graph.write(network), images()), before, atol=1e-4)


def test_a_plain_sum_is_no_prelu() -> None:
    """A RELU and a product that come from different tensors are left as they are."""
    sketch = Sketch()
    relu = sketch.place(KIND.RELU, [sketch.image])
    product = sketch.place(KIND.MUL, [sketch.constant(CHANNELS), sketch.image], schema.MulOptionsT())
    made = sketch.done(sketch.place(KIND.ADD, [relu, product], schema.AddOptionsT()))
    assert clean.fuse_prelu(made) == 0
    assert kinds(made) == [KIND.RELU, KIND.MUL, KIND.ADD]


def test_fused_relu_computes_the_same() -> None:
    """A RELU becomes the end of the convolution before it."""
    sketch = Sketch()
    made = sketch.done(sketch.place(KIND.RELU, [sketch.convolution(sketch.image)]))
    before = run(graph.write(made), images())
    assert clean.fuse_relu(made) == 1
    assert kinds(made) == [KIND.CONV_2D]
    np.testing.assert_array_equal(run(graph.write(made), images()), before)


def test_relu_stays_where_its_source_is_read_elsewhere() -> None:
    """A convolution whose raw output is used too keeps it."""
    sketch = Sketch()
    raw = sketch.convolution(sketch.image)
    relu = sketch.place(KIND.RELU, [raw])
    made = sketch.done(sketch.place(KIND.ADD, [raw, relu], schema.AddOptionsT()))
    assert clean.fuse_relu(made) == 0


def test_merged_dense_layers_compute_the_same() -> None:
    """Two matrices with nothing between them become one."""
    sketch = Sketch((1, 16))
    made = sketch.done(sketch.dense(sketch.dense(sketch.image, 16, 8), 8, 3))
    before = run(graph.write(made), images((1, 16)))
    assert clean.merge_dense(made) == 1
    assert kinds(made) == [KIND.FULLY_CONNECTED]
    np.testing.assert_allclose(run(graph.write(made), images((1, 16))), before, rtol=1e-4, atol=1e-4)


def test_a_batch_becomes_one_image() -> None:
    """A model for two images takes one and gives what it gave for that one."""
    sketch = Sketch((2, *SHAPE[1:]))
    made = sketch.done(sketch.convolution(sketch.image))
    pair = images((2, *SHAPE[1:]))
    before = run(graph.write(made), pair)
    clean.take_one_image(made)
    np.testing.assert_allclose(run(graph.write(made), pair[:1]), before[:1], atol=1e-5)


def test_float16_weights_lose_no_more_than_their_rounding(network: Graph) -> None:
    """Narrowed weights give nearly the same, and widening them again leaves no trace of the detour."""
    before = run(graph.write(network), images())
    assert quantise.narrow_to_float16(network) == 5
    narrow = graph.write(network)
    after = run(narrow, images())
    assert np.abs(after - before).max() < 1e-2 * np.abs(before).max()
    widened = graph.read(narrow)
    assert quantise.widen_float16(widened) == 5
    assert KIND.DEQUANTIZE not in kinds(widened)
    np.testing.assert_array_equal(run(graph.write(widened), images()), after)


def test_hybrid_convolutions_keep_float_ends(network: Graph) -> None:
    """Int8 weights stay inside: float32 in, float32 out, and the direction of the output is kept."""
    before = run(graph.write(network), images()).ravel()
    assert quantise.quantise_convolutions(network) == 2
    after = run(graph.write(network), images()).ravel()
    assert after.dtype == np.float32
    assert before @ after / np.linalg.norm(before) / np.linalg.norm(after) > 0.999


def test_int8_weights_are_within_half_a_step() -> None:
    """Each channel has its own scale, and no weight moves by more than half of it."""
    weights = np.random.default_rng(1).normal(size=(6, 3, 3, 4)).astype(np.float32)
    weights *= np.logspace(-3, 2, 6, dtype=np.float32).reshape(-1, 1, 1, 1)
    values, scales = quantise.per_channel_int8(weights)
    spread = scales.reshape(-1, 1, 1, 1)
    assert (np.abs(values * spread - weights) <= spread * 0.5001).all()
    assert np.abs(values).reshape(6, -1).max(axis=1).tolist() == [127] * 6


@pytest.mark.parametrize("dead", [0.0, 1e-42])
def test_a_dead_channel_becomes_zeros(dead: float) -> None:
    """A channel of zeros, or of numbers too small to divide by, is stored as zeros with scale 1."""
    values, scales = quantise.per_channel_int8(np.full((1, 1, 1, 4), dead, dtype=np.float32))
    assert values.any() == np.False_
    assert scales.tolist() == [1.0]


def test_ends_are_named_in_order(network: Graph) -> None:
    """The signature has the names that were asked for."""
    graph.name_ends(network, ["image"], ["embedding"])
    interpreter: Any = Interpreter(model_content=graph.write(network))
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["embedding"]}}


def test_a_wrong_number_of_names_is_refused(network: Graph) -> None:
    """Two names for one output are a mistake in the recipe."""
    with pytest.raises(graph.GraphError, match="boxes, scores"):
        graph.name_ends(network, ["image"], ["boxes", "scores"])


def test_nothing_unused_is_written(network: Graph) -> None:
    """What an edit replaced is not in the file: neither its tensors, nor its values, nor its operator kinds."""
    clean.fuse_prelu(network)
    quantise.quantise_convolutions(network)
    made = graph.read(graph.write(network))
    assert len(made.main.tensors) == 1 + 3 * 2 + 1 + 1  # image, two convolutions of three ends, slope and PRELU
    assert {code.builtinCode for code in made.model.operatorCodes} == {KIND.CONV_2D, KIND.PRELU}
    assert all(buffer.data is None or buffer.data.dtype == np.uint8 for buffer in made.model.buffers)
