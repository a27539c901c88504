"""Which layers a functional model has, and in which order they run: Keras's order, by depth and then by traversal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import _nest
from .._shapes import INTEGERS, Shape
from .._tensor import KerasTensor, Node

if TYPE_CHECKING:
    from ..layers.base import Layer


class Topology:
    """The part of the graph of all tensors that lies between a model's inputs and its outputs.

    Attributes
    ----------
    inputs, outputs : list of KerasTensor
        Flat.
    input_structure, output_structure
        The nesting that the user gave, with zeros for leaves.
    nodes : list of Node
        In an order in which they can run, without the input layers'.
    layers : list of Layer
        In Keras's order.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs: list[KerasTensor] = _checked("inputs", inputs)
        self.outputs: list[KerasTensor] = _checked("outputs", outputs)
        self.input_structure = _nest.transform(lambda _: 0, inputs)
        self.output_structure = _nest.transform(lambda _: 0, outputs)
        order, indices = self._traverse()
        layer_depth, node_depth = self._depths(order)
        for tensor in self.inputs:
            node = tensor.history[0]
            if node.layer not in layer_depth and not node.inputs:
                layer_depth[node.layer], node_depth[node], indices[node.layer] = 0, 0, -1
        self.layers: list[Layer] = sorted(layer_depth, key=lambda layer: (-layer_depth[layer], indices[layer]))
        position = {node: i for i, node in enumerate(order)}
        ordered = sorted(position, key=lambda node: (-node_depth[node], indices[node.layer], position[node]))
        self.nodes: list[Node] = [node for node in ordered if node.inputs]
        self._check()

    def _traverse(self) -> tuple[list[Node], dict[Layer, int]]:
        """All nodes that the outputs need, parents first, and the order in which layers are met from the outputs."""
        order: list[Node] = []
        indices: dict[Layer, int] = {}
        stop = {id(tensor) for tensor in self.inputs}
        done: set[int] = set()
        active: set[int] = set()
        for output in self.outputs:
            stack: list[tuple[KerasTensor, bool]] = [(output, False)]
            while stack:
                tensor, leaving = stack.pop()
                node = tensor.history[0]
                if leaving:
                    active.discard(id(node))
                    done.add(id(node))
                    order.append(node)
                    continue
                if id(node) in done:
                    continue
                if node.inputs and id(tensor) in stop:
                    continue
                if id(node) in active:
                    raise ValueError(f"Tensor {tensor} from layer '{node.layer.name}' is part of a cycle.")
                active.add(id(node))
                indices.setdefault(node.layer, len(indices))
                stack.append((tensor, True))
                stack.extend((parent, False) for parent in reversed(node.inputs))
        return order, indices

    def _depths(self, order: list[Node]) -> tuple[dict[Layer, int], dict[Node, int]]:
        layer_depth: dict[Layer, int] = {}
        node_depth: dict[Node, int] = {}
        inside = set(order)
        for node in reversed(order):
            depth = max(node_depth.get(node, 0), layer_depth.get(node.layer, 0))
            layer_depth[node.layer] = node_depth[node] = depth
            for parent in node.parents:
                if parent in inside:
                    node_depth[parent] = max(depth + 1, node_depth.get(parent, 0))
        return layer_depth, node_depth

    def _check(self) -> None:
        known = {id(tensor) for tensor in self.inputs}
        seen: list[str] = []
        for node in self.nodes:
            for tensor in node.inputs:
                if id(tensor) not in known:
                    raise ValueError(
                        f"Graph disconnected: cannot find parent for tensor {tensor} at operation '{node.layer.name}'. "
                        f"The following previous operations were accessed without issue: {seen}. Is an `Input` missing "
                        "in the model's `inputs`?"
                    )
            seen.append(node.layer.name)
            known.update(id(tensor) for tensor in node.outputs)
        for tensor in self.outputs:
            if id(tensor) not in known:
                raise ValueError(f"Output {tensor} is not connected to `inputs`")
        names = [layer.name for layer in self.layers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f'The name "{name}" is used {names.count(name)} times in the model. All operation names should be '
                    "unique."
                )

    def infer(self, shapes: Sequence[Shape], dtypes: Sequence[str]) -> list[tuple[Shape, str]]:
        """Shapes (with batch) and dtypes of the outputs for inputs of these; checks every layer on the way."""
        known = {id(t): (shape, dtype) for t, shape, dtype in zip(self.inputs, shapes, dtypes, strict=True)}
        for node in self.nodes:
            given = [known[id(tensor)] for tensor in node.inputs]
            results = node.layer._infer([shape for shape, _ in given], [dtype for _, dtype in given])
            known.update((id(tensor), result) for tensor, result in zip(node.outputs, results, strict=True))
        return [known[id(tensor)] for tensor in self.outputs]

    def takes_ids(self, index: int) -> bool:
        """Whether an input is integer ids: by its dtype, or because only layers that look up ids read it."""
        tensor = self.inputs[index]
        return tensor.dtype in INTEGERS or self._feeds_only_ids(tensor)

    def _feeds_only_ids(self, tensor: KerasTensor) -> bool:
        readers = [node for node in self.nodes for parent in node.inputs if parent is tensor]
        if not readers or any(tensor is output for output in self.outputs):
            return False
        for node in readers:
            inner = getattr(node.layer, "_topology", None)  # of a nested model
            if inner is not None:
                positions = [i for i, parent in enumerate(node.inputs) if parent is tensor]
                if not all(inner.takes_ids(position) for position in positions):
                    return False
            elif node.layer._keeps_numbers:
                if not self._feeds_only_ids(node.outputs[0]):
                    return False
            elif not node.layer._takes_ids:
                return False
        return True


def _checked(what: str, structure: Any) -> list[KerasTensor]:
    leaves = _nest.flatten(structure)
    if not leaves:
        raise ValueError(f"A model needs at least one tensor in `{what}`. Received: {what}={structure}")
    for leaf in leaves:
        if not isinstance(leaf, KerasTensor):
            raise ValueError(
                f"All `{what}` values must be KerasTensors. Received: {what}={structure} including invalid value "
                f"{leaf} of type {type(leaf)}"
            )
        if not hasattr(leaf, "history"):
            raise ValueError(f"{leaf} in `{what}` comes from no layer; make inputs with `hypernet.layers.Input`.")
    return leaves
