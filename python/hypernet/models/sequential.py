"""Sequential: one layer after the other, built when the input is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._shapes import Shape, standard_shape
from .._tensor import KerasTensor
from ..layers.base import Array, Layer
from ..layers.input import Input, InputLayer
from .model import Model
from .topology import Topology


class Sequential(Model):
    """A stack of layers with one input and one output.

    Without an `Input` at the beginning it is built by the first data that comes.

    Parameters
    ----------
    layers : list of Layer, optional
        Added one by one.
    trainable : bool
        False: training changes no layer of it.
    name : str, optional
        Counted up if it is not given.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> model = hn.Sequential([hn.layers.Dense(4, activation="relu"), hn.layers.Dense(2)])
    >>> model.built
    False
    >>> model(np.zeros((5, 3))).shape
    (5, 2)
    >>> model.count_params()
    26
    """

    _class_name = "Sequential"

    def __init__(
        self, layers: Sequence[Any] | None = None, trainable: bool = True, name: str | None = None, **kwargs: Any
    ) -> None:
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}")
        self._start(name)
        self._stack: list[Layer] = []
        if layers is not None and not isinstance(layers, (list, tuple)):
            layers = [layers]
        for layer in layers or []:
            self._append(layer)
        self._rebuild()
        if not trainable:
            self.trainable = False

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input layer."""
        return [layer for layer in self._stack if not isinstance(layer, InputLayer)]

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Add a layer on top.

        Raises
        ------
        ValueError
            It is no layer, its name is taken, or its weights do not fit what comes below; the model stays as it was.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.Sequential([hn.Input((3,))])
        >>> model.add(hn.layers.Dense(2))
        >>> model.output_shape
        (None, 2)
        """
        self._append(layer)
        if rebuild:
            try:
                self._rebuild()
            except Exception:
                self._stack.pop()
                raise

    def pop(self, rebuild: bool = True) -> Layer:
        """Remove the last layer and return it.

        Raises
        ------
        IndexError
            There is none.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(2), hn.layers.Softmax()])
        >>> type(model.pop()).__name__, len(model.layers)
        ('Softmax', 1)
        """
        if not self._stack:
            raise IndexError(f"Sequential model '{self.name}' has no layers to pop.")
        layer = self._stack.pop()
        topology = self._topology
        if topology is not None and topology.nodes and topology.nodes[-1].layer is layer:
            node = topology.nodes[-1]
            layer._nodes.remove(node)
            if len(topology.nodes) > 1:
                self._set_topology(Topology(topology.inputs[0], node.inputs[0]))
            else:
                self._set_topology(None)
        return layer

    def _append(self, layer: Any) -> None:
        if isinstance(layer, KerasTensor) and isinstance(layer.history[0].layer, InputLayer):
            layer = layer.history[0].layer
        if not self._stack and getattr(layer, "_input_shape_argument", None) is not None:
            self._stack.append(Input(layer._input_shape_argument).history[0].layer)
        if not isinstance(layer, Layer):
            raise ValueError(
                "Only instances of `keras.Layer` can be added to a Sequential model. "
                f"Received: {layer} (of type {type(layer)})"
            )
        if any(other.name == layer.name for other in self._stack):
            raise ValueError(
                f"All layers added to a Sequential model should have unique names. Name '{layer.name}' is already the "
                "name of a layer in this model. Update the `name` argument to pass a unique name."
            )
        if isinstance(layer, InputLayer) and self._stack:
            first = self._stack[0]
            shape = first.batch_shape if isinstance(first, InputLayer) else self._stack[0].name
            raise ValueError(
                f"Sequential model '{self.name}' has already been configured to use input shape {shape}. You cannot "
                "add a different Input layer to it."
            )
        self._stack.append(layer)

    def _rebuild(self) -> None:
        """Take the layers that are not in the network yet into it, if the input is known."""
        if not self._stack:
            return
        if self._topology is not None:
            start, tensor = self._topology.inputs[0], self._topology.outputs[0]
        elif isinstance(self._stack[0], InputLayer):
            start = tensor = self._stack[0]._nodes[0].outputs[0]
        elif isinstance(self._stack[0], Model) and self._stack[0].built and len(self._stack[0].inputs) == 1:
            first = self._stack[0].inputs[0]
            start = tensor = Input(batch_shape=first.shape, dtype=first.dtype)
        else:
            return
        done = {id(node.layer) for node in self._topology.nodes} if self._topology is not None else set()
        for layer in self.layers:
            if id(layer) not in done:
                tensor = layer(tensor)
                if not isinstance(tensor, KerasTensor):
                    raise ValueError(
                        f"Layers of a Sequential model have one output; '{layer.name}' has "
                        f"{len(layer._nodes[-1].outputs)}."
                    )
        if tensor is not start and (self._topology is None or tensor is not self._topology.outputs[0]):
            self._set_topology(Topology(start, tensor))

    def build(self, input_shape: Any = None) -> None:
        """Build for inputs of this shape, the batch first.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.Sequential([hn.layers.Dense(2)])
        >>> model.build((None, 3))
        >>> model.count_params()
        8
        """
        shape = standard_shape(input_shape)
        if not self._stack:
            raise ValueError(
                f"Sequential model {self.name} cannot be built because it has no layers. Call `model.add(layer)`."
            )
        if self._topology is not None:
            if self._topology.inputs[0].shape[1:] != shape[1:]:
                raise ValueError(
                    f"Sequential model '{self.name}' has already been configured to use input shape "
                    f"{self._topology.inputs[0].shape}. You cannot build it with input_shape {shape}"
                )
            return
        self._build_on(shape, "float32")

    def _build_on(self, shape: Shape, dtype: str) -> None:
        self._stack.insert(0, Input(batch_shape=shape, dtype=dtype).history[0].layer)
        try:
            self._rebuild()
        except Exception:
            self._stack.pop(0)
            raise

    def _deferred(self, shape: Shape, dtype: str = "float32") -> None:
        """Build from the first data that comes."""
        if self._topology is None:
            if not self._stack:
                raise ValueError(
                    f"Sequential model {self.name} cannot be built because it has no layers. Call `model.add(layer)`."
                )
            self._build_on((None, *shape[1:]), dtype)

    def _standardize_inputs(self, x: Any) -> tuple[Array, ...]:
        if self._topology is None:
            from .._convert import as_array
            from .data import check_leaf, match_structure

            leaf = match_structure(0, ["input"], x, self.name)[0]
            check_leaf(leaf, self.name)
            self._deferred(as_array(leaf).shape)
        return super()._standardize_inputs(x)

    def _check_structure(self, inputs: Any) -> tuple[Any, list[Any]]:
        if self._topology is None and isinstance(inputs, KerasTensor):
            self._deferred(inputs.shape, inputs.dtype)
        return super()._check_structure(inputs)

    def get_config(self) -> dict[str, Any]:
        """The layers, without weights."""
        from .config import sequential_config

        return sequential_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """A new model, with new layers and new weights, as `get_config` described it."""
        from .config import sequential_from_config

        return sequential_from_config(cls, config, custom_objects)
