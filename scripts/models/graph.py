"""One TFLite graph in memory: read, write, look up, add and clear away.

The rest of the builder edits `Graph`; only this file knows how the flatbuffer stores a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

FILE_IDENTIFIER = b"TFL3"
SIGNATURE_KEY = "serving_default"
DTYPES: dict[int, type[np.generic]] = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT64: np.int64,
}
TYPES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}


class GraphError(Exception):
    """A model is not shaped as the builder expects; the message names the model part."""


@dataclass(eq=False)
class Graph:
    """A model of one subgraph, as the flatbuffer schema's own objects."""

    model: Any  # schema.ModelT; the generated schema carries no types

    @property
    def main(self) -> Any:  # noqa: ANN401 - schema.SubGraphT, untyped by its generator
        """The one subgraph."""
        return self.model.subgraphs[0]

    @property
    def operators(self) -> list[Any]:
        """The operators in the order in which they run; editing the list edits the graph."""
        operators: list[Any] = self.main.operators
        return operators

    def code(self, operator: Any) -> int:  # noqa: ANN401
        """Return the operator's kind, one of `schema.BuiltinOperator`."""
        return int(self.model.operatorCodes[operator.opcodeIndex].builtinCode)

    def of_kind(self, kind: int) -> list[Any]:
        """Return the operators of one kind in the order in which they run."""
        return [op for op in self.operators if self.code(op) == kind]

    def makers(self) -> dict[int, Any]:
        """Return, for each tensor that an operator writes, that operator."""
        return {int(out): op for op in self.operators for out in op.outputs}

    def readers(self, tensor: int) -> list[Any]:
        """Return the operators that read a tensor."""
        return [op for op in self.operators if tensor in op.inputs]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return tuple(int(size) for size in self.main.tensors[tensor].shape)

    def constant(self, tensor: int) -> NDArray[Any] | None:
        """Return a constant tensor's values, or None for one that is computed."""
        record = self.main.tensors[tensor]
        raw = self.model.buffers[record.buffer].data
        if raw is None or len(raw) == 0:
            return None
        return np.frombuffer(bytes(raw), dtype=DTYPES[record.type]).reshape(self.shape(tensor))

    def set_constant(self, tensor: int, values: NDArray[Any]) -> None:
        """Give a tensor constant values, and the type and shape that they have."""
        record = self.main.tensors[tensor]
        record.type = TYPES[values.dtype]
        record.shape = np.asarray(values.shape, dtype=np.int32)
        record.buffer = len(self.model.buffers)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), dtype=np.uint8)
        self.model.buffers.append(buffer)

    def add_tensor(self, name: str, shape: Sequence[int], type_code: int | None = None) -> int:
        """Add a tensor that an operator will write, float32 unless told; return its index."""
        record = schema.TensorT()
        record.name = name.encode()
        record.shape = np.asarray(shape, dtype=np.int32)
        record.type = schema.TensorType.FLOAT32 if type_code is None else type_code
        self.main.tensors.append(record)
        return len(self.main.tensors) - 1

    def add_constant(self, name: str, values: NDArray[Any]) -> int:
        """Add a tensor of constant values; return its index."""
        tensor = self.add_tensor(name, values.shape)
        self.set_constant(tensor, values)
        return tensor

    def operator(
        self,
        kind: int,
        inputs: Iterable[int],
        outputs: Iterable[int],
        options: Any = None,  # noqa: ANN401 - one of the schema's option records
        version: int = 1,
    ) -> Any:  # noqa: ANN401
        """Return a new operator; the caller puts it in its place among `operators`."""
        op = schema.OperatorT()
        op.inputs = np.asarray(list(inputs), dtype=np.int32)
        op.outputs = np.asarray(list(outputs), dtype=np.int32)
        op.opcodeIndex = self.code_index(kind, version)
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            op.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            op.builtinOptions = options
        return op

    def code_index(self, kind: int, version: int) -> int:
        """Return the index of an operator kind in one version, added if it is new."""
        for index, code in enumerate(self.model.operatorCodes):
            if (code.builtinCode, code.version) == (kind, version):
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = kind, version
        # Readers older than the wide field look at the narrow one, which ends at 127.
        code.deprecatedBuiltinCode = min(kind, 127)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


def empty(description: str) -> Graph:
    """Return a graph of no tensors and no operators."""
    model, main = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, description.encode()
    model.operatorCodes, model.buffers, model.subgraphs = [], [schema.BufferT()], [main]
    main.name, main.tensors, main.operators, main.inputs, main.outputs = b"main", [], [], [], []
    return Graph(model)


def read(raw: bytes) -> Graph:
    """Return the graph of a .tflite file's bytes.

    Raises GraphError if it is no TFLite file or has more than one subgraph.
    """
    if raw[4:8] != FILE_IDENTIFIER:
        raise GraphError(f"the file identifier is {raw[4:8]!r}; it must be {FILE_IDENTIFIER!r}")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(raw, 0))
    if len(model.subgraphs) != 1:
        raise GraphError(f"the model has {len(model.subgraphs)} subgraphs; it must have 1")
    for code in model.operatorCodes:
        # Converters before 2020 wrote the narrow field alone; newer tools read the wide one.
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    return Graph(model)


def write(graph: Graph) -> bytes:
    """Return the bytes of a .tflite file; the same graph gives the same bytes."""
    clear_away(graph)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(graph.model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def name_ends(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Name the model's inputs and outputs, in their order, and sign it with those names."""
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE_KEY.encode(), 0
    signature.inputs = _name(graph, graph.main.inputs, inputs)
    signature.outputs = _name(graph, graph.main.outputs, outputs)
    graph.model.signatureDefs = [signature]


def _name(graph: Graph, tensors: Sequence[int], names: Sequence[str]) -> list[Any]:
    if len(tensors) != len(names):
        raise GraphError(f"the model has {len(tensors)} ends for the names {', '.join(names)}")
    maps = []
    for tensor, name in zip(tensors, names, strict=True):
        graph.main.tensors[tensor].name = name.encode()
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), int(tensor)
        maps.append(entry)
    return maps


def clear_away(graph: Graph) -> None:
    """Drop the tensors, buffers and operator kinds that nothing uses any more."""
    _keep_used_tensors(graph)
    _keep_used_buffers(graph)
    _keep_used_codes(graph)


def _keep_used_tensors(graph: Graph) -> None:
    main = graph.main
    used = {int(end) for end in [*main.inputs, *main.outputs]}
    used |= {int(end) for op in main.operators for end in [*op.inputs, *op.outputs] if end >= 0}
    kept = sorted(used)
    new = {old: index for index, old in enumerate(kept)} | {-1: -1}  # -1 is an absent bias
    main.tensors = [main.tensors[old] for old in kept]
    for holder in [main, *main.operators]:
        holder.inputs = np.asarray([new[int(end)] for end in holder.inputs], dtype=np.int32)
        holder.outputs = np.asarray([new[int(end)] for end in holder.outputs], dtype=np.int32)
    for signature in graph.model.signatureDefs or []:
        for entry in [*signature.inputs, *signature.outputs]:
            entry.tensorIndex = new[entry.tensorIndex]


def _keep_used_buffers(graph: Graph) -> None:
    old = graph.model.buffers
    # Buffer 0 is by the format's own rule the empty one.
    graph.model.buffers, new = [schema.BufferT()], {0: 0}
    for tensor in graph.main.tensors:
        if tensor.buffer not in new:
            data = old[tensor.buffer].data
            new[tensor.buffer] = 0 if data is None else len(graph.model.buffers)
            if data is not None:
                graph.model.buffers.append(old[tensor.buffer])
        tensor.buffer = new[tensor.buffer]
    graph.model.metadata, graph.model.metadataBuffer = None, None


def _keep_used_codes(graph: Graph) -> None:
    used = sorted({op.opcodeIndex for op in graph.operators})
    graph.model.operatorCodes = [graph.model.operatorCodes[old] for old in used]
    for op in graph.operators:
        op.opcodeIndex = used.index(op.opcodeIndex)
