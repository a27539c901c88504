"""Gradients of every op of the core's table, in every mode, in configurations drawn from the table alone.

Attributes and shapes are drawn until the op accepts them, so a new op is tested as soon as it is in the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypernet import _core

import differences

CONFIGURATIONS = 10  # of each op in each mode
OPS = {name: (attributes, low, high) for name, attributes, low, high, _ in _core.ops()}
# Values of name attributes that some op may take, besides the attribute's own default.
NAMES = ["linear", "relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus", "softmax", "log_softmax"]
LEADING = {"plain": (3,), "one": (2,), "rows": (3,), "tasks": (3, 2), "shared": (1, 2)}
MODES = [*LEADING, "generator"]
IDS = 2
# How a generator ends, for every head: an activation of its last layer; None: no generator, theta is handed in.
ENDS = ["linear", "linear", "tanh", None]
INFERENCE_HEADS = {"bfloat16", "int8"}  # without gradients: tests/test_quantize.py
met_heads: set[str] = set()


class Call:
    """An op with attributes and inputs that it accepts."""

    def __init__(self, op: str, rng: np.random.Generator) -> None:
        attributes, low, high = OPS[op]
        self.op = op
        for _ in range(20_000):
            self.attributes = {
                name: draw_attribute(kind, default, rng)
                for name, kind, default in attributes
                if default is None or rng.random() < 0.7
            }
            count = int(rng.integers(low, min(high, low + 1) + 1))
            shape = tuple(int(n) for n in rng.integers(2, 4, rng.integers(1, 3)))
            self.shapes = [vary(shape, rng) if i else shape for i in range(count)]
            self.dtype = ["float64", "int64"][int(rng.random() < 0.3)]
            try:
                _core.describe_op(op, self.attributes, self.shapes, [self.dtype] * count, "float64")
                return
            except (ValueError, TypeError):
                continue
        raise AssertionError(f"no attributes and shapes that {op} accepts were found")


def draw_attribute(kind: str, default: Any, rng: np.random.Generator) -> Any:
    if kind == "integer":
        return int(rng.integers(0, 4))
    if kind == "number":
        return float(rng.uniform(0.05, 0.9))
    if kind == "name":
        return str(rng.choice(NAMES)) if rng.integers(2) or default is None else default
    return tuple(int(n) for n in rng.choice([-1, 1, 2, 3, 6], rng.integers(1, 3)))


def vary(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
    """The same shape, or one that broadcasts with it."""
    choice = rng.integers(4)
    if choice == 0 and len(shape) > 1:
        return shape[1:]
    if choice == 1:
        axis = int(rng.integers(len(shape)))
        return (*shape[:axis], 1, *shape[axis + 1 :])
    return shape


def network_around(call: Call, units: int) -> _core.Graph:
    """Inputs, a smooth dense layer on each that is no ids, the op, and a dense layer of `units` on its numbers."""
    graph = _core.Graph("float64")
    tensors = []
    for i, shape in enumerate(call.shapes):
        tensor = graph.input(f"in{i}", shape, call.dtype)
        if call.dtype == "float64":
            tensor = graph.add("dense", f"before{i}", {"units": shape[-1], "activation": "tanh"}, [tensor])
        tensors.append(tensor)
    tensor = graph.add(call.op, "op", call.attributes, tensors)
    if graph.tensor(tensor)[1] == "int64":
        tensor = graph.add("embedding", "table", {"input_dim": IDS, "output_dim": 2}, [tensor])
    tensor = graph.add("reshape", "flat", {"target": (-1,)}, [tensor])
    graph.output(graph.add("dense", "after", {"units": units}, [tensor]))
    return graph


def simple(width: int, units: int, last: str = "linear") -> _core.Graph:
    graph = _core.Graph("float64")
    tensor = graph.input("simple", (width,), "float64")
    hidden = graph.add("dense", "hidden", {"units": 3, "activation": "tanh"}, [tensor])
    graph.output(graph.add("dense", "head", {"units": units, "activation": last}, [hidden]))
    return graph


def offsets(graph: _core.Graph) -> list[int]:
    return [entry[-1] for entry in graph.entries()]


class Configuration:
    """An op in a network or hypernetwork of the core, with data and random parameters."""

    def __init__(self, op: str, mode: str, rng: np.random.Generator) -> None:
        self.rng, self.call = rng, Call(op, rng)
        self.mode: Any = mode
        if mode == "generator":
            self.mode = str(rng.choice(["one", "rows", "tasks", "shared"]))
        leading = LEADING[self.mode]
        groups = 1 if self.mode == "one" else 3
        if mode == "plain":
            target = network_around(self.call, 2)
            self.store = _core.Store(target.parameter_count, "float64")
            self.network = _core.Network(target, self.store, offsets(target))
            self.conditions: tuple[Any, ...] = ()
            self.inputs = self.draw(self.call, leading)
            return
        generator: Any = None
        if mode == "generator":
            target = simple(3, 2)
            flags = [True] * len(target.entries())
            generator = network_around(self.call, target.parameter_count)
            self.conditions = self.draw(self.call, (groups,))
            self.inputs = (rng.standard_normal((*leading, 3)),)
        else:
            target = network_around(self.call, 2)
            flags = [bool(rng.random() < 0.8) for _ in target.entries()]
            flags[-1] = True
            self.inputs = self.draw(self.call, leading)
        sizes = [int(np.prod(entry[2])) for entry in target.entries()]
        count = sum(size for size, on in zip(sizes, flags, strict=True) if on)
        end = ENDS[rng.integers(len(ENDS))]
        if mode != "generator" and end is not None:
            generator = simple(2, count, end)
            self.conditions = (rng.standard_normal((groups, 2)),)
        elif mode != "generator":
            self.conditions = (0.5 * rng.standard_normal((groups, count)),)
        first = 0 if generator is None else generator.parameter_count
        own = [o for o, on in zip(offsets(target), flags, strict=True) if not on]
        self.store = _core.Store(first + target.parameter_count, "float64")
        base = rng.standard_normal(count) if rng.integers(2) else None
        self.network = _core.Hyper(
            None if generator is None else _core.Network(generator, self.store, offsets(generator)),
            _core.Network(target, self.store, [first + offset for offset in offsets(target)]),
            flags,
            base,
            None,
        )
        met_heads.add(self.network.head)
        self.places = [np.arange(first)]
        for offset, size in zip(offsets(target), sizes, strict=True):
            if offset in own:
                self.places.append(first + offset + np.arange(size))

    def draw(self, call: Call, leading: tuple[int, ...]) -> tuple[Any, ...]:
        shapes = [(*leading, *shape) for shape in call.shapes]
        if call.dtype == "int64":
            return tuple(self.rng.integers(0, IDS, shape) for shape in shapes)
        return tuple(self.rng.standard_normal(shape) for shape in shapes)

    def outputs(self) -> Any:
        if not self.conditions:
            return self.network.predict(self.inputs, None, True, 7, 3)[0]
        return self.network.predict(self.conditions, self.inputs, self.mode, None, True, 7, 3)[0]

    def value(self) -> float:
        return float((self.outputs() * self.dy).sum())

    def pairs(self) -> list[tuple[Any, Any]]:
        """(array, its gradient) of everything differentiable."""
        params = self.store.view(0, (self.store.count,))
        params[...] = 0.5 * self.rng.standard_normal(params.size)
        self.dy = self.rng.standard_normal(self.outputs().shape)
        if not self.conditions:
            found, gradient = self.network.gradients(self.inputs, (self.dy.copy(),), True, True, True, 7, 3)
            pairs = [(params, gradient)]
        else:
            conditions, found, gradient = self.network.gradients(
                self.conditions, self.inputs, (self.dy.copy(),), self.mode, True, True, True, True, 7, 3
            )
            full = np.zeros(params.size)
            full[np.concatenate(self.places)] = gradient
            pairs = [(params, full), *zip(self.conditions, conditions, strict=True)]
        pairs += zip(self.inputs, found, strict=True)
        for array, given in pairs:
            assert (given is None) == (array.dtype.kind == "i")
        return [(array, given) for array, given in pairs if given is not None]


def check(op: str, mode: str, number: int) -> bool:
    """True if a configuration was smooth where it was drawn, and right."""
    for redraw in range(8):
        rng = np.random.default_rng([list(OPS).index(op), MODES.index(mode), number, redraw])
        configuration = Configuration(op, mode, rng)
        try:
            pairs = configuration.pairs()
        except ValueError:
            if configuration.call.dtype == "int64":
                continue  # ids that its attributes do not allow
            raise
        error = differences.error(configuration.value, pairs, rng)
        if error is not None:
            assert error <= differences.TOLERANCE, (op, mode, number, redraw, configuration.call.attributes)
            return True
    return False


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("op", list(OPS))
def test_gradients(op: str, mode: str) -> None:
    assert all(check(op, mode, number) for number in range(CONFIGURATIONS))


def test_every_head_is_met() -> None:
    """Configurations like those of `test_gradients` use every head of the table."""
    number = 0
    trained = set(_core.heads()) - INFERENCE_HEADS
    while not trained <= met_heads:
        assert number < 50, f"never met: {trained - met_heads}"
        assert check("dense", ["rows", "tasks", "shared", "one"][number % 4], number)
        number += 1
