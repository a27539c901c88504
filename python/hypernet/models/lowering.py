"""From layers to the core's graph: names, sharing, nesting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .._shapes import to_core
from .._weights import Weight

if TYPE_CHECKING:
    from ..layers.base import Layer
    from .topology import Topology


class Lowering:
    """A graph in the making, and which layer each name in it stands for.

    A layer keeps the name of its first use, so that a layer used twice (also in and outside of a nested model) has its
    weights once.
    """

    def __init__(self, dtype: str) -> None:
        self.graph = _core.Graph(dtype)
        self._names: dict[int, str] = {}
        self._layers: dict[str, Layer] = {}

    def call(self, layer: Layer, prefix: str, inputs: list[int]) -> list[int]:
        """Add a layer called on these tensors; the numbers of its outputs."""
        name = self._names.setdefault(id(layer), prefix + layer.name)
        self._layers[name] = layer
        return layer._lower(self, name, inputs)

    def walk(self, topology: Topology, prefix: str, inputs: list[int]) -> list[int]:
        """Add all of a model's nodes; the numbers of its outputs."""
        numbers = {id(tensor): number for tensor, number in zip(topology.inputs, inputs, strict=True)}
        for node in topology.nodes:
            outputs = self.call(node.layer, prefix, [numbers[id(tensor)] for tensor in node.inputs])
            numbers.update((id(tensor), number) for tensor, number in zip(node.outputs, outputs, strict=True))
        return [numbers[id(tensor)] for tensor in topology.outputs]

    def weights(self) -> list[Weight]:
        """The weights of the graph's entries, in their order."""
        result = []
        for name, *_ in self.graph.entries():
            layer_name, _, local = name.rpartition("/")
            result.append(next(weight for weight in self._layers[layer_name]._weights if weight.name == local))
        return result


def lower(topology: Topology, dtype: str) -> tuple[_core.Graph, list[Weight]]:
    """The graph of a whole model and the weights of its entries."""
    lowering = Lowering(dtype)
    inputs = []
    for index, tensor in enumerate(topology.inputs):
        kind = "int64" if topology.takes_ids(index) else dtype
        inputs.append(lowering.graph.input(tensor.history[0].layer.name, to_core(tensor.shape[1:]), kind))
    for number in lowering.walk(topology, "", inputs):
        lowering.graph.output(number)
    return lowering.graph, lowering.weights()
