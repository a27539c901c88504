"""ONNX Runtime: the graph is built with onnx.helper, inputs and results stay where they are (IO binding).

The head's columns are cut by the part of the target that they generate, so that no part of theta has to be copied.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from contestants import Library, Maker
from workloads.workload import CLASSES, HIDDEN, INPUTS, SIZES, Array, Data

ENDS = np.cumsum(SIZES)
CUTS = [slice(int(end - size), int(end)) for end, size in zip(ENDS, SIZES, strict=True)]
PARTS = ("k1", "b1", "k2", "b2")
OPSET = 17


class Graph:
    """A graph under construction."""

    def __init__(self, **inputs: Array) -> None:
        self.inputs = inputs
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, name: str, value: Array) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, *operands: str, **attributes: Any) -> str:
        name = f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, operands, [name], **attributes))
        return name

    def reshape(self, value: str, *shape: int) -> str:
        return self.add("Reshape", value, self.constant(f"shape{len(self._constants)}", np.array(shape, np.int64)))

    def model(self, result: str) -> bytes:
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in self.inputs.items()
        ]
        output = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
        graph = helper.make_graph(self._nodes, "workload", inputs, [output], self._constants)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
        ).SerializeToString()


def prepared(graph: Graph, result: str, threads: int, shape: tuple[int, ...] | None) -> Callable[[], object]:
    """A run of the graph: into a result that is there, of this shape, or into a new one each time (None)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    session = onnxruntime.InferenceSession(graph.model(result), options, providers=["CPUExecutionProvider"])
    if shape is None:
        return partial(session.run, None, graph.inputs)
    binding = session.io_binding()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in graph.inputs.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    out = np.empty(shape, np.float32)
    binding.bind_output(result, "cpu", 0, np.float32, shape, out.ctypes.data)

    def work() -> Array:
        session.run_with_iobinding(binding)
        return out

    return work


def dense(graph: Graph, x: str, kernel: str, bias: str, activation: str | None = None) -> str:
    y = graph.add("Gemm", x, kernel, bias)
    return graph.add(activation, y) if activation else y


def features_of(graph: Graph, data: Data) -> str:
    kernel, bias = (graph.constant(name, data[name]) for name in ("hidden_kernel", "hidden_bias"))
    return dense(graph, "condition", kernel, bias, "Relu")


def generated(graph: Graph, features: str, data: Data) -> list[str]:
    """The four parts of theta."""
    return [
        dense(
            graph,
            features,
            graph.constant(f"{part}_kernel", data["head_kernel"][:, cut]),
            graph.constant(f"{part}_bias", data["head_bias"][cut]),
        )
        for part, cut in zip(PARTS, CUTS, strict=True)
    ]


def target_a_row(graph: Graph, parts: list[str], rows: int) -> str:
    k1, b1, k2, b2 = parts
    x = graph.reshape("x", rows, 1, INPUTS)
    hidden = graph.add("MatMul", x, graph.reshape(k1, rows, INPUTS, HIDDEN))
    hidden = graph.add("Relu", graph.add("Add", hidden, graph.reshape(b1, rows, 1, HIDDEN)))
    y = graph.add("MatMul", hidden, graph.reshape(k2, rows, HIDDEN, CLASSES))
    y = graph.add("Add", y, graph.reshape(b2, rows, 1, CLASSES))
    return graph.add("Softmax", graph.reshape(y, rows, CLASSES), axis=-1)


def adapt_and_predict(threads: int, data: Data) -> Callable[[], object]:
    graph = Graph(condition=data["condition"], x=data["x"])
    k1, b1, k2, b2 = generated(graph, features_of(graph, data), data)
    hidden = dense(graph, "x", graph.reshape(k1, INPUTS, HIDDEN), graph.reshape(b1, HIDDEN), "Relu")
    y = dense(graph, hidden, graph.reshape(k2, HIDDEN, CLASSES), graph.reshape(b2, CLASSES))
    return prepared(graph, graph.add("Softmax", y, axis=-1), threads, (1, CLASSES))


def head(new: bool, threads: int, data: Data) -> Callable[[], object]:
    kernel, bias = data["head_kernel"], data["head_bias"]
    # A model file holds 2 GB at most: a larger kernel is an input that stays where it is.
    is_large = kernel.nbytes > 2**30
    graph = Graph(features=data["features"], **({"kernel": kernel} if is_large else {}))
    if not is_large:
        graph.constant("kernel", kernel)
    result = dense(graph, "features", "kernel", graph.constant("bias", bias))
    return prepared(graph, result, threads, None if new else (len(data["features"]), bias.size))


def given_weights(threads: int, data: Data) -> Callable[[], object]:
    graph = Graph(theta=data["theta"], x=data["x"])
    axes = graph.constant("axes", np.array([1], np.int64))
    parts = []
    for part, cut in zip(PARTS, CUTS, strict=True):
        start = graph.constant(f"{part}_start", np.array([cut.start], np.int64))
        end = graph.constant(f"{part}_end", np.array([cut.stop], np.int64))
        parts.append(graph.add("Slice", "theta", start, end, axes))
    rows = len(data["x"])
    return prepared(graph, target_a_row(graph, parts, rows), threads, (rows, CLASSES))


def network_a_row(threads: int, data: Data) -> Callable[[], object]:
    graph = Graph(condition=data["condition"], x=data["x"])
    rows = len(data["x"])
    parts = generated(graph, features_of(graph, data), data)
    return prepared(graph, target_a_row(graph, parts, rows), threads, (rows, CLASSES))


def small_call(threads: int, data: Data) -> Callable[[], object]:
    graph = Graph(x=data["x"])
    kernel, bias = (graph.constant(name, data[name]) for name in ("kernel", "bias"))
    return prepared(graph, dense(graph, "x", kernel, bias, "Relu"), threads, (1, data["bias"].size))


def library(threads: int) -> Library:
    makers: dict[str, Maker] = {
        "W0": partial(adapt_and_predict, threads),
        "W1": partial(head, False, threads),
        "W1b": partial(head, False, threads),
        "W2-out": partial(head, False, threads),
        "W2-new": partial(head, True, threads),
        "W3": partial(given_weights, threads),
        "W23": partial(network_a_row, threads),
        "call": partial(small_call, threads),
    }
    return Library(makers, ["onnxruntime", "onnx"])
