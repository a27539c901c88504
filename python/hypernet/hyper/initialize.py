"""Hyperfan initialisation of a generator's head (Chang, Flokas, Lipson: Principled Weight Initialization for
Hypernetworks, ICLR 2020), so that the generated network keeps the variance of its activations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._shapes import to_core
from .._tensor import KerasTensor, Node
from .._weights import Weight, join, write
from ..layers.base import Layer, lowering
from ..layers.core import Dense, Embedding
from ..models.lowering import Lowering

if TYPE_CHECKING:
    from ..models.model import Model

Array = NDArray[Any]
_SAMPLES = 256  # conditions on which the second moment of the head's input is measured


def find_head(generator: Model) -> tuple[Dense, Node, Model] | None:
    """The linear Dense that the generator ends in, its node, and the model (perhaps a nested one) that it is in."""
    model = generator
    topology = model._known("outputs")
    tensor = topology.outputs[0]
    while True:
        node, index = tensor.history
        inner = getattr(node.layer, "_topology", None)
        if inner is not None:
            model, tensor = node.layer, inner.outputs[index]  # type: ignore[assignment]
        elif node.layer._keeps_numbers and node.inputs:
            tensor = node.inputs[0]
        elif isinstance(node.layer, Dense) and node.layer._is_plain_map():
            return node.layer, node, model
        else:
            return None


def is_untouched(head: Dense) -> bool:
    """Whether the head still holds, bit for bit, what its default initializer gave it."""
    weights = head._weights
    return all(
        weight.initial_checksum is not None and weight.initial_checksum == weight.checksum() for weight in weights
    )


def initialize_head(
    generator: Model, target: Model, generated: list[bool], names: list[str], init: str, with_base: bool
) -> None:
    """Give the head its first values, if it is untouched; otherwise leave it alone."""
    found = find_head(generator)
    if found is None or not is_untouched(found[0]):
        return
    head, node, model = found
    kernel = np.zeros(head._weights[0].shape, head.dtype)
    bias = np.zeros(kernel.shape[1], head.dtype)
    if not with_base:
        from .._random import generator as random_generator

        moment = _second_moment(generator, model, node)
        spread = _Variances(target, generated, names, init, kernel.shape[0] * moment)
        rng = random_generator()
        offset = 0
        for index, weight in enumerate(target._weights_in_order()):
            if not generated[index]:
                continue
            part = slice(offset, offset + weight.size)
            bound = math.sqrt(3.0 * spread.of(index))
            if bound > 0.0:
                kernel[:, part] = rng.uniform(-bound, bound, (kernel.shape[0], weight.size))
            if weight.role == "scale":
                bias[part] = np.asarray(weight.initializer(weight.shape, dtype=weight.dtype)).reshape(-1)
            offset += weight.size
    write(head._weights, [kernel, bias][: len(head._weights)])
    for weight in head._weights:
        weight.initial_checksum = None


class _Variances:
    """Variance of the head's weights for each target entry, by METHODS' formulas: hyperfan-in and hyperfan-out.

    `width` is d_k v: the head's inputs times their second moment.
    """

    def __init__(self, target: Model, generated: list[bool], names: list[str], init: str, width: float) -> None:
        self._weights = target._weights_in_order()
        self._init = init
        self._width = width
        self._relu = _followed_by_relu(target)
        self._layer_of = [name.rpartition("/")[0] for name in names]
        self._generated = generated
        self._kernels = {layer: weight for layer, weight in self._pairs() if weight.role in ("kernel", "table")}

    def _pairs(self) -> list[tuple[str, Weight]]:
        return [
            (layer, weight)
            for layer, weight, on in zip(self._layer_of, self._weights, self._generated, strict=True)
            if on
        ]

    def of(self, index: int) -> float:
        weight, layer = self._weights[index], self._layer_of[index]
        gain = 2.0 if id(weight.layer) in self._relu else 1.0
        if weight.role in ("kernel", "table"):
            has_bias = any(name == layer and other.role == "bias" for name, other in self._pairs())
            if self._init == "hyperfan_out":
                return gain / (weight.fan_out * self._width)
            return gain / ((2.0 if has_bias else 1.0) * weight.fan_in * self._width)
        if weight.role == "bias" and layer in self._kernels:
            if self._init == "hyperfan_out":
                kernel = self._kernels[layer]
                return max(0.0, gain * (1.0 - kernel.fan_in / kernel.fan_out) / self._width)
            return gain / (2.0 * self._width)
        return 0.0  # scales, and the shifts beside them, start at their own initial values for every condition


def _followed_by_relu(model: Model) -> set[int]:
    """The layers (by id) whose output goes through a relu, nested models included."""
    found: set[int] = set()
    topology = model._known("outputs")
    for node in topology.nodes:
        layer = node.layer
        if getattr(layer, "_topology", None) is not None:
            found |= _followed_by_relu(layer)  # type: ignore[arg-type]
        elif _is_relu(layer):
            found.add(id(layer))
        else:
            readers = [other.layer for other in topology.nodes if any(t in node.outputs for t in other.inputs)]
            if any(_is_relu(reader) and not isinstance(reader, Dense) for reader in readers):
                found.add(id(layer))
    return found


def _is_relu(layer: Layer) -> bool:
    if type(layer).__name__ in ("ReLU", "LeakyReLU", "PReLU"):
        return True
    activation = getattr(layer, "activation", None)
    return activation is not None and lowering(activation)[0] in ("relu", "relu_general")


def _second_moment(generator: Model, model: Model, node: Node) -> float:
    """Mean square of the head's input over standard normal conditions (ids: all of the table alike); 1 if unknown."""
    topology = generator._known("inputs")
    if model is not generator:
        return 1.0
    rng = np.random.default_rng(0)
    conditions = []
    for index, tensor in enumerate(topology.inputs):
        shape = (_SAMPLES, *(1 if dim is None else dim for dim in tensor.shape[1:]))
        if topology.takes_ids(index):
            bound = _table_size(topology.nodes, tensor)
            if bound is None:
                return 1.0
            conditions.append(rng.integers(0, bound, shape))
        else:
            conditions.append(rng.standard_normal(shape).astype(generator.dtype))
    moment = float(np.mean(np.square(_features(generator, node.inputs[0], conditions), dtype=np.float64)))
    return moment if math.isfinite(moment) and moment > 0.0 else 1.0


def _table_size(nodes: list[Node], tensor: KerasTensor) -> int | None:
    """The number of ids that all tables fed by this input have."""
    sizes: list[int] = []
    for node in nodes:
        if any(parent is tensor for parent in node.inputs):
            if isinstance(node.layer, Embedding):
                sizes.append(node.layer.input_dim)
            elif node.layer._keeps_numbers:
                size = _table_size(nodes, node.outputs[0])
                if size is not None:
                    sizes.append(size)
    return min(sizes) if sizes else None


def _features(generator: Model, tensor: KerasTensor, conditions: list[Array]) -> Array:
    """The value of one of the generator's inner tensors."""
    from ..models.topology import Topology

    whole = generator._known("inputs")
    trunk = Topology(list(whole.inputs), tensor)
    if not trunk.nodes:
        return conditions[[id(t) for t in whole.inputs].index(id(tensor))]
    low = Lowering(generator.dtype)
    numbers = [
        low.graph.input(
            t.history[0].layer.name, to_core(t.shape[1:]), "int64" if whole.takes_ids(i) else generator.dtype
        )
        for i, t in enumerate(whole.inputs)
    ]
    low.graph.output(low.walk(trunk, "", numbers)[0])
    weights = low.weights()
    block = join(weights)
    network = _core.Network(low.graph, None if block is None else block.store, [weight.offset for weight in weights])
    return network.predict(tuple(conditions), None, False, 0, 0)[0]
