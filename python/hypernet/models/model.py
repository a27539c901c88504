"""Model: layers between inputs and outputs, as one network of the core."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from .. import _core, _nest
from .._convert import shape_of
from .._names import auto_name, checked_name
from .._pullback import Gradients, Pullback, Versions, call_seed
from .._shapes import FLOATX, Shape, is_floating
from .._tensor import KerasTensor
from .._weights import Weight, is_contiguous, join
from ..layers.base import Layer
from ..training.trainer import Trainer
from .data import (
    Leaf,
    match_structure,
    pack_outputs,
)
from .feeding import ModelData
from .lowering import Lowering, lower
from .parameters import ParameterVector
from .topology import Topology

Array = NDArray[Any]


class Model(_core.Callable, ModelData, ParameterVector, Trainer, Layer):
    """A network of layers, made from symbolic inputs and outputs.

    Parameters
    ----------
    inputs, outputs : KerasTensor, or lists, tuples and dicts of them
        Where the network begins and ends. Results have the nesting of `outputs`.
    name : str, optional
        Counted up if it is not given.
    trainable : bool
        False: training changes no layer of it.

    Raises
    ------
    ValueError
        An output does not come from the inputs, names are used twice, or layers differ in dtype.
    BufferError
        Layers come from other models whose parameter arrays are alive.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> inputs = hn.layers.Input(shape=(3,))
    >>> model = hn.Model(inputs, hn.layers.Dense(2)(inputs))
    >>> model(np.zeros((5, 3), "float32")).shape
    (5, 2)
    >>> model.count_params()
    8
    """

    _class_name = "Functional"

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, trainable: bool = True, **kwargs: Any
    ) -> None:
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}")
        if inputs is None or outputs is None:
            raise NotImplementedError(
                "A Model is made with `Model(inputs, outputs)`; models with a `call` written in Python are not built."
            )
        self._start(name)
        self._set_topology(Topology(inputs, outputs))
        if not trainable:
            self.trainable = False

    def _start(self, name: str | None) -> None:
        is_own = type(self).__module__.startswith("hypernet.")
        Layer.__init__(
            self, name=auto_name(self._class_name if is_own else type(self).__name__) if name is None else name
        )
        checked_name(self.name)
        Trainer.__init__(self)
        self._topology: Topology | None = None
        self._graph: _core.Graph | None = None
        self._entries: list[Weight] = []
        self._leaves: tuple[Leaf, ...] = ()  # the declared inputs, as data is checked against them
        self._output_names: list[str] = []
        self._output_shapes: list[Shape] = []  # of one sample
        self._network: _core.Network | None = None
        self._direct = None  # the network, where one array goes in and one comes out
        self._place = None
        self._compounds: weakref.WeakSet[Any] = weakref.WeakSet()  # what is bound to the network
        self._functional: tuple[_core.Hyper, tuple[Leaf]] | None = None  # as a function of its weights

    def _set_topology(self, topology: Topology | None) -> None:
        self._unbind()
        self._functional = None
        if topology is None:
            self._topology, self._graph, self._entries, self._leaves, self.built = None, None, [], (), False
            return
        dtype = _common_dtype(topology)
        self._graph, self._entries = lower(topology, dtype)
        self._topology, self._dtype = topology, dtype
        self._leaves = tuple(
            Leaf(tensor.history[0].layer.name, tensor.shape[1:], "int64" if topology.takes_ids(index) else dtype)
            for index, tensor in enumerate(topology.inputs)
        )
        self._output_names = [tensor.history[0].layer.name for tensor in topology.outputs]
        self._output_shapes = [tensor.shape[1:] for tensor in topology.outputs]
        self.built = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "layers":
            raise AttributeError(
                f"`{type(self).__name__}.layers` attribute is reserved and should not be used. Please use another name."
            )
        super().__setattr__(name, value)

    # ---- structure ----
    def _known(self, what: str) -> Topology:
        if self._topology is None:
            raise AttributeError(f"Sequential model '{self.name}' has no defined {what} yet.")
        return self._topology

    @property
    def layers(self) -> list[Layer]:
        """The layers, in Keras's order: by depth."""
        return list(self._topology.layers) if self._topology else []

    @property
    def inputs(self) -> list[KerasTensor]:
        """Symbolic inputs, flat."""
        return list(self._known("inputs").inputs)

    @property
    def outputs(self) -> list[KerasTensor]:
        """Symbolic outputs, flat."""
        return list(self._known("outputs").outputs)

    @property
    def input(self) -> Any:
        """Symbolic inputs, nested as given."""
        topology = self._known("inputs")
        return pack_outputs(topology.input_structure, topology.inputs)

    @property
    def output(self) -> Any:
        """Symbolic outputs, nested as given."""
        topology = self._known("outputs")
        return pack_outputs(topology.output_structure, topology.outputs)

    @property
    def input_shape(self) -> Any:
        """Shape of `input`, the batch first."""
        topology = self._known("input shape")
        return pack_outputs(topology.input_structure, [tensor.shape for tensor in topology.inputs])

    @property
    def output_shape(self) -> Any:
        """Shape of `output`, the batch first."""
        topology = self._known("output shape")
        return pack_outputs(topology.output_structure, [tensor.shape for tensor in topology.outputs])

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by its name or its position.

        Raises
        ------
        ValueError
            There is none; or both or neither are given.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(2, name="head")])
        >>> model.get_layer("head") is model.get_layer(index=0)
        True
        """
        if index is not None and name is not None:
            raise ValueError(f"Provide only a layer name or a layer index. Received: index={index}, name={name}.")
        layers = self.layers
        if index is not None:
            if len(layers) <= index:
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers."
                )
            return layers[index]
        if name is None:
            raise ValueError("Provide either a layer name or layer index at `get_layer`.")
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in layers]}.")

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print a table of the layers, their output shapes and their numbers of weights.

        Parameters
        ----------
        line_length : int, optional
            Width in characters.
        print_fn : callable, optional
            Called with the text instead of printing it.
        expand_nested, show_trainable : bool
            List the layers of nested models; a column that says what training changes.

        Examples
        --------
        >>> import hypernet as hn
        >>> hn.Sequential([hn.Input((3,)), hn.layers.Dense(2)], name="small").summary(print_fn=lambda text: print(text[:14]))
        Model: "small"
        """
        from .summary import print_summary

        print_summary(self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range)

    # ---- weights ----
    @property
    def weights(self) -> list[Weight]:
        """All weights, layer by layer."""
        return list(self._entries)

    def _weights_in_order(self) -> list[Weight]:
        return self._entries

    def _entry_names(self) -> list[str]:
        return [entry[0] for entry in self._graph.entries()] if self._graph is not None else []

    def _bring_together(self) -> None:
        if self._network is None and self._graph is not None:
            self._bound()

    @property
    def trainable(self) -> bool:
        """Whether training changes the layers; setting it sets it for all of them."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self.layers:
            layer.trainable = bool(value)

    def count_params(self) -> int:
        """Number of weights: what a generator of them must give.

        Raises
        ------
        ValueError
            The model is not built.

        Examples
        --------
        >>> import hypernet as hn
        >>> hn.target_network(100, 10).count_params()
        14218
        """
        return Layer.count_params(self)

    def _bound(self) -> _core.Network:
        """The network, with its weights in one store."""
        if self._network is None:
            if self._graph is None:
                raise ValueError(
                    f"Model '{self.name}' is not built yet: call it on data, or begin it with an `Input` layer."
                )
            block = join(self._entries)
            offsets = [weight.offset for weight in self._entries]
            self._network = _core.Network(self._graph, None if block is None else block.store, offsets)
            if block is not None:
                block.users.add(self)
                if is_contiguous(self._entries):
                    self._place = block.store, self._entries[0].offset, self._gradient_size
            topology = self._known("inputs")
            if topology.input_structure == 0 and topology.output_structure == 0:
                self._direct = self._network
        return self._network

    def _unbind(self) -> None:
        self._network = self._direct = self._place = self._eager = None
        self._forget()  # steppers hold on to the old store
        for compound in self._compounds:
            compound._unbind()

    # ---- calling ----
    def _call(self, inputs: Any, *, training: bool | None = None, mask: Any = None) -> Any:
        """What a model does when it is called: outputs for a batch of arrays, or for symbolic tensors (a nested model).

        One array of one input goes straight to the core (`_direct`); what that refuses comes here.

        Parameters
        ----------
        inputs : array, or nested arrays
            The batch first. An aligned array of the model's dtype is used in place.
        training : bool, optional
            True: dropout acts.

        Returns
        -------
        array, or nested arrays
            New, C-contiguous, of the model's dtype.

        Raises
        ------
        ValueError
            Wrong number, rank, shape or dtype of inputs.
        """
        if mask is not None:
            raise NotImplementedError(f"{self.name}: `mask` is not built.")
        if any(isinstance(leaf, KerasTensor) for leaf in _nest.flatten(inputs)):
            return Layer.__call__(self, inputs, training=training)
        is_training = bool(training)
        arrays = self._standardize_inputs(inputs)
        outputs = self._bound().predict(arrays, None, is_training, call_seed(is_training, None), 0)
        return self._pack_outputs(outputs)

    _call.__qualname__ = "Model.__call__"  # what errors about its arguments name

    def _check_structure(self, inputs: Any) -> tuple[Any, list[Any]]:
        structure = self._known("inputs").input_structure
        return structure, match_structure(structure, self.input_names, inputs, self.name)

    @property
    def _random(self) -> bool:  # type: ignore[override]
        return any(layer._random for layer in self.layers)

    def _infer(self, shapes: list[Shape], dtypes: list[str]) -> list[tuple[Shape, str]]:
        topology = self._known("inputs")
        return topology.infer(shapes, dtypes)

    def _lower(self, lowering: Lowering, name: str, inputs: list[int]) -> list[int]:
        return lowering.walk(self._known("inputs"), f"{name}/", inputs)

    def _pack_outputs(self, outputs: Sequence[Any]) -> Any:
        return pack_outputs(self._known("outputs").output_structure, outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the output for inputs of this shape, the batch first in both.

        Examples
        --------
        >>> import hypernet as hn
        >>> hn.target_network(3, 2).compute_output_shape((7, 3))
        (7, 2)
        """
        topology = self._known("inputs")
        shapes = [tuple(input_shape)] if topology.input_structure == 0 else [tuple(shape) for shape in input_shape]
        results = topology.infer(shapes, [tensor.dtype for tensor in topology.inputs])
        return self._pack_outputs([shape for shape, _ in results])

    # ---- gradients ----
    def vjp(self, x: Any, training: bool = False, seed: int | None = None) -> tuple[Any, Pullback[Gradients]]:
        """Outputs, and a function from their gradients to those of inputs and parameters.

        Parameters
        ----------
        x : array, or nested arrays
            A batch.
        training : bool
            True: dropout acts; the pullback repeats its masks.
        seed : int, optional
            For dropout.

        Returns
        -------
        y : array, or nested arrays
            The outputs.
        pullback : callable
            `pullback(dy)` has `.inputs` (shaped and nested as x; None for ids) and `.params` (P,). It may be called
            again. It reads x where x is used in place, so x must keep its values until then.

        Raises
        ------
        RuntimeError
            From the pullback, when the parameters have changed since.

        Examples
        --------
        >>> import hypernet as hn, numpy as np
        >>> model = hn.target_network(3, 2)
        >>> y, pullback = model.vjp(np.ones((4, 3), "float32"))
        >>> grad = pullback(np.ones_like(y))
        >>> grad.inputs.shape, grad.params.shape == model.params.shape
        ((4, 3), True)
        """
        inputs = self._standardize_inputs(x)
        network = self._bound()
        given = [shape_of(value) for value in self._check_structure(x)[1]]
        number = call_seed(training, seed)
        outputs = network.predict(inputs, None, training, number, 0)
        versions = Versions(self._stores())
        structure = self._known("inputs").input_structure

        def run(output_gradients: tuple[Array, ...]) -> Gradients:
            found, params = network.gradients(inputs, output_gradients, True, True, training, number, 0)
            assert found is not None
            shaped = [
                None if gradient is None else gradient.reshape(s) for gradient, s in zip(found, given, strict=True)
            ]
            return Gradients(pack_outputs(structure, shaped), params)

        output_structure = self._known("outputs").output_structure
        pullback = Pullback(outputs, output_structure, self.output_names, run, lambda: versions.check(self._stores()))
        return self._pack_outputs(outputs), pullback

    # ---- configuration ----
    def get_config(self) -> dict[str, Any]:
        """The layers and how they are connected, without weights."""
        from .config import functional_config

        return functional_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """A new model, with new layers and new weights, as `get_config` described it."""
        from .config import functional_from_config

        return functional_from_config(cls, config, custom_objects)

    def __reduce__(self) -> Any:
        return ParameterVector.__reduce__(self)

    def __repr__(self) -> str:
        return f"<{self._class_name} name={self.name}, built={self.built}>"


def _common_dtype(topology: Topology) -> str:
    """The one dtype of a model: that of its layers with weights, else of its layers, else of its inputs."""
    candidates = [layer for layer in topology.layers if layer.weights] or [node.layer for node in topology.nodes]
    dtypes = dict.fromkeys(layer.dtype for layer in candidates)
    if len(dtypes) > 1:
        listing = ", ".join(f"{layer.name}: {layer.dtype}" for layer in candidates)
        raise ValueError(f"All layers of a model have one dtype. Received: {listing}. Pass the same `dtype` to all.")
    if dtypes:
        return next(iter(dtypes))
    return next((tensor.dtype for tensor in topology.inputs if is_floating(tensor.dtype)), FLOATX)
