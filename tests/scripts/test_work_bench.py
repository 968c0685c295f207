"""The bench of work counts what a graph does, and says of an estimate that it is one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from scripts.benchmarks import latency, work
from scripts.benchmarks.__main__ import main
from scripts.models import graph

KIND = schema.BuiltinOperator
# Worked out by hand: 4x4x4 outputs, each the sum of 3x3x3 products; each channel apart, of 3x3; 10 of 64 inputs each.
CONV, DEPTHWISE, DENSE = 64 * 27, 64 * 9, 10 * 64


def net(weights: type[np.generic] = np.float32) -> graph.Graph:
    """Return a convolution of 8x8x3 to 4x4x4 with weights of that type, a depthwise one and a dense layer to 10."""
    made = graph.empty("three layers")
    picture = made.add_tensor("picture", (1, 8, 8, 3))
    filters = made.add_constant("filters", np.zeros((4, 3, 3, 3), weights))
    if weights is np.float16:
        unpacked = made.add_tensor("unpacked", (4, 3, 3, 3))
        made.operators.append(made.operator(KIND.DEQUANTIZE, [filters], [unpacked], schema.DequantizeOptionsT()))
        filters = unpacked
    bias = made.add_constant("bias", np.zeros(4, np.float32))
    first, second, flat, out = (
        made.add_tensor(name, shape)
        for name, shape in (("a", (1, 4, 4, 4)), ("b", (1, 4, 4, 4)), ("c", (1, 64)), ("d", (1, 10)))
    )
    each = made.add_constant("each", np.zeros((1, 3, 3, 4), np.float32))
    dense = made.add_constant("dense", np.zeros((10, 64), np.float32))
    made.operators.extend(
        [
            made.operator(KIND.CONV_2D, [picture, filters, bias], [first], schema.Conv2DOptionsT()),
            made.operator(KIND.DEPTHWISE_CONV_2D, [first, each, -1], [second], schema.DepthwiseConv2DOptionsT()),
            made.operator(KIND.RESHAPE, [second], [flat], schema.ReshapeOptionsT()),
            made.operator(KIND.FULLY_CONNECTED, [flat, dense, -1], [out], schema.FullyConnectedOptionsT()),
        ]
    )
    made.main.inputs, made.main.outputs = [picture], [out]
    return made


def test_work_is_what_is_worked_out_by_hand() -> None:
    """Products, weights and moved tensors of a convolution, a depthwise one and a dense layer; a reshape is free."""
    weights = 4 * (4 * 27 + 4 + 4 * 9 + 640)
    moved = 4 * (8 * 8 * 3 + 64 + 64 + 64 + 64 + 10)
    assert work.work_of(net()) == work.Work(CONV + DEPTHWISE + DENSE, 0, weights, moved)


def test_products_of_int8_weights_are_counted_apart() -> None:
    """A convolution with int8 weights is int8 work, and its weights have a byte each."""
    found, plain = work.work_of(net(np.int8)), work.work_of(net())
    assert (found.int8_macs, found.float_macs) == (CONV, DEPTHWISE + DENSE)
    assert found.weight_bytes == plain.weight_bytes - 3 * 4 * 27


def test_float16_weights_are_weights_when_they_run() -> None:
    """What is unpacked once, when the model is loaded, is no work of a frame."""
    assert work.work_of(net(np.float16)) == work.work_of(net())


def test_unknown_product_is_refused() -> None:
    """A graph with a product of matrices that is not counted gives no number that is too low."""
    made = net()
    made.operators.append(made.operator(KIND.BATCH_MATMUL, [0, 0], [1], schema.BatchMatMulOptionsT()))
    with pytest.raises(graph.GraphError, match="not known here"):
        work.work_of(made)


def test_estimate_is_between_its_figures() -> None:
    """Nothing is estimated faster than the high rates allow, nor slower than the low ones with no cache at all."""
    board = work.Board("b", (1.0, 2.0), (2.0, 4.0), (0.5, 1.0), (2.0, 3.0))
    once = work.Work(4_000_000, 8_000_000, 500_000, 500_000)
    assert work.estimate_ms(((once, 1.0),), 10.0, board) == pytest.approx((2 + 2 + 20, 4 + 4 + 2 + 30))
    half = replace(once, float_macs=2_000_000)
    assert work.estimate_ms(((half, 2.0),), 0.0, board) == pytest.approx((2 + 4, 4 + 8 + 4))


def test_work_ends_with_its_figures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage has its counts, the usual frame runs the detector less than once, and estimates are called so."""
    monkeypatch.setattr(latency, "WARM_UP", 1)
    monkeypatch.setattr(work, "RUNS", 3)
    assert main(["work", "--frames", "24", "--gallery", "1000"]) == 0
    said = capsys.readouterr().out.splitlines()
    line = json.loads(said[-1])
    assert list(line["stages"]) == ["detection", "alignment", "liveness", "embedding", "matching"]
    assert all(stage["float_macs"] + stage["int8_macs"] > 0 for stage in line["stages"].values())
    assert 0 < line["stages"]["detection"]["runs_a_frame"] < 1 == line["stages"]["embedding"]["runs_a_frame"]
    assert line["stages"]["matching"]["float_macs"] == 1001 * 512
    assert len([one for one in said if one.startswith("ESTIMATE, not measured")]) == len(work.BOARDS)
