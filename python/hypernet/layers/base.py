"""The base of all layers: names, building, calling on symbolic tensors and on arrays, weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from .. import _core, _nest
from .._convert import as_array, as_dtype
from .._names import auto_name, checked_name
from .._shapes import FLOATX, Shape, from_core, is_floating, standard_dtype, standard_shape, to_core
from .._tensor import KerasTensor, Node
from .._weights import Weight, allocate, join, match_weights, read, write

if TYPE_CHECKING:
    from ..models.lowering import Lowering

Array = NDArray[Any]
# (suffix of the layer's name, op, attributes): what a layer becomes in the core's graph, one after the other.
Attributes = dict[str, int | float | str | tuple[int, ...]]
Operation = tuple[str, str, Attributes]
SelfLayer = TypeVar("SelfLayer", bound="Layer")


def reject(layer: str, **arguments: Any) -> None:
    """NotImplementedError for arguments that Keras has, that are not built here, and that were given."""
    for name, value in arguments.items():
        if value is not None and value is not False:
            raise NotImplementedError(f"{layer}: `{name}={value!r}` is not built.")


class Layer:
    """The base of all layers.

    Parameters
    ----------
    activity_regularizer : str or Regularizer, optional
        Penalty on the layer's output (L1, L2, L1L2).
    trainable : bool
        Whether training changes the weights.
    dtype : str, optional
        "float32" or "float64"; by default that of the layer's input, and float32 where that has none.
    name : str, optional
        Counted up per process if it is not given: dense, dense_1, ...

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> layer = hn.layers.Dense(2, kernel_initializer="ones")
    >>> layer(np.ones((1, 3), "float32")).tolist()
    [[3.0, 3.0]]
    >>> [weight.shape for weight in layer.weights]
    [(3, 2), (2,)]
    """

    # What subclasses say of themselves.
    _takes_list = False  # called on a list of tensors
    _takes_ids = False  # inputs are integers
    _random = False  # acts differently in training
    _keeps_numbers = False  # passes on its input's numbers, so that ids stay ids

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        from .. import regularizers

        class_name = type(self).__name__
        self._input_shape_argument: Shape | None = None
        for key in ("input_shape", "input_dim"):
            if key in kwargs:
                warnings.warn(
                    "Do not pass an `input_shape`/`input_dim` argument to a layer. When using Sequential models, "
                    "prefer using an `Input(shape)` object as the first layer in the model instead.",
                    stacklevel=3,
                )
                value = kwargs.pop(key)
                self._input_shape_argument = (value,) if key == "input_dim" else standard_shape(value)
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to {class_name}: {kwargs}")
        if autocast is not True:
            raise NotImplementedError(f"{class_name}: `autocast={autocast!r}` is not built.")
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.name = auto_name(class_name) if name is None else checked_name(name)
        self.built = False
        self._trainable = bool(trainable)
        self._dtype_argument = None if dtype is None else standard_dtype(dtype, class_name)
        self._dtype: str | None = self._dtype_argument
        self._weights: list[Weight] = []
        self._nodes: list[Node] = []
        self._build_shapes: list[Shape] | None = None
        self._eager: tuple[Any, _core.Network] | None = None  # (sample shapes, network) of the last call on arrays

    # ---- what a subclass defines ----
    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        """The ops of this layer on inputs of these sample shapes."""
        raise NotImplementedError(
            f"{type(self).__name__}: layers written in Python are not built; compose built-in layers in a Model."
        )

    def _weight_options(self) -> dict[str, tuple[Any, Any, Any]]:
        """(initializer, regularizer, constraint) of each weight by its local name."""
        return {}

    def _check_shapes(self, shapes: list[Shape]) -> None:
        """ValueError if the layer cannot take inputs of these shapes (with batch), in Keras's words."""

    def _config(self) -> dict[str, Any]:
        """The subclass's own part of `get_config`."""
        return {}

    # ---- properties ----
    @property
    def dtype(self) -> str:
        """What the layer computes in."""
        return self._dtype or FLOATX

    @property
    def compute_dtype(self) -> str:
        """The same as `dtype`."""
        return self.dtype

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer's weights."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def weights(self) -> list[Weight]:
        """All weights, in the order of `get_weights`."""
        return list(self._weights)

    variables = weights

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training changes."""
        return [weight for weight in self.weights if weight.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training leaves alone."""
        trainable = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in trainable]

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def _single_node(self, what: str) -> Node:
        if not self._nodes:
            raise AttributeError(f"The layer {self.name} has never been called and thus has no defined {what}.")
        return self._nodes[0]

    @property
    def input(self) -> Any:
        """The symbolic input of the layer's first call."""
        node = self._single_node("input")
        return _nest.pack(node.structure, node.inputs)

    @property
    def output(self) -> Any:
        """The symbolic output of the layer's first call."""
        outputs = self._single_node("output").outputs
        return outputs[0] if len(outputs) == 1 else list(outputs)

    @property
    def input_shape(self) -> Any:
        """Shape of `input`, the batch first."""
        return _nest.transform(lambda tensor: tensor.shape, self.input)

    @property
    def output_shape(self) -> Any:
        """Shape of `output`, the batch first."""
        return _nest.transform(lambda tensor: tensor.shape, self.output)

    # ---- building ----
    def _chain(self, shapes: list[Shape]) -> list[Operation]:
        operations = self._operations(shapes)
        regularizer = self.activity_regularizer
        if regularizer is not None:
            operations = [*operations, ("/activity", "activity_regularizer", penalties(regularizer, self.name))]
        return operations

    def _describe(self, shapes: list[Shape], dtypes: list[str]) -> tuple[Shape, str, list[_core.EntrySpec]]:
        """Output sample shape, output dtype and weights for inputs of these sample shapes."""
        core_shapes = [to_core(shape) for shape in shapes]
        core_dtypes = [self.dtype if is_floating(dtype) and not self._takes_ids else "int64" for dtype in dtypes]
        specs: list[_core.EntrySpec] = []
        for _, op, attributes in self._chain(shapes):
            shape, dtype, entries = _core.describe_op(op, attributes, core_shapes, core_dtypes, self.dtype)
            specs += entries
            core_shapes, core_dtypes = [shape], [dtype]
        return from_core(core_shapes[0]), core_dtypes[0], specs

    def _resolve_dtype(self, dtypes: Sequence[str]) -> None:
        if self._dtype is None:
            self._dtype = next((dtype for dtype in dtypes if is_floating(dtype)), FLOATX)

    def _build(self, shapes: list[Shape], dtypes: list[str]) -> tuple[Shape, str]:
        """Build for inputs of these shapes (with batch), or check them; returns output sample shape and dtype."""
        self._check_shapes(shapes)
        self._resolve_dtype(dtypes)
        output, dtype, specs = self._describe([shape[1:] for shape in shapes], dtypes)
        if self.built:
            if [spec[2] for spec in specs] != [weight.shape for weight in self._weights]:
                raise ValueError(
                    f"Input 0 with name 'None' of layer '{self.name}' is incompatible with the layer: expected "
                    f"shape={(self._build_shapes or [()])[0]}, found shape={shapes[0]}"
                )
            return output, dtype
        for spec in specs:
            if any(dim < 0 for dim in spec[2]):
                raise ValueError(
                    "Shapes used to initialize variables must be fully-defined (no `None` dimensions). Received: "
                    f"shape={from_core(spec[2])} for variable path='{self.name}/{spec[0]}'"
                )
        options = self._weight_options()
        weights = [Weight(self, spec, self.dtype, *options[spec[0]]) for spec in specs]
        if weights:
            allocate(weights, self.dtype)
        self._weights = weights
        self._build_shapes = list(shapes)
        self.built = True
        return output, dtype

    def _infer(self, shapes: list[Shape], dtypes: list[str]) -> list[tuple[Shape, str]]:
        """Shape (with batch) and dtype of each output for inputs of these; builds the layer if it is not built."""
        output, dtype = self._build(shapes, dtypes)
        batch = next((shape[0] for shape in shapes if shape[0] is not None), None)
        return [((batch, *output), dtype)]

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape (the batch first; a list of shapes for several inputs).

        Examples
        --------
        >>> import hypernet as hn
        >>> layer = hn.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> layer.count_params()
        8
        """
        several = self._takes_list or (isinstance(input_shape, list) and isinstance(input_shape[0], (tuple, list)))
        shapes = [standard_shape(shape) for shape in input_shape] if several else [standard_shape(input_shape)]
        self._build(shapes, ["int64" if self._takes_ids else self.dtype] * len(shapes))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """The output's shape for an input of this shape, both with the batch first."""
        several = self._takes_list
        shapes = [standard_shape(shape) for shape in input_shape] if several else [standard_shape(input_shape)]
        dtype = "int64" if self._takes_ids else self.dtype
        self._check_shapes(shapes)
        return (shapes[0][0], *self._describe([shape[1:] for shape in shapes], [dtype] * len(shapes))[0])

    # ---- calling ----
    def __call__(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Apply the layer to symbolic tensors (making its weights if it has none) or to arrays, there and then."""
        if kwargs:
            if "mask" not in kwargs:
                raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {next(iter(kwargs))!r}")
            reject(type(self).__name__, **kwargs)
        leaves = _nest.flatten(inputs)
        if any(isinstance(leaf, KerasTensor) for leaf in leaves):
            self._only_tensors([*leaves, *args])
            return self._call_symbolic(inputs, training)
        for argument in args:
            raise ValueError(
                "Only input tensors may be passed as positional arguments. The following argument value should be "
                f"passed as a keyword argument: {argument} (of type {type(argument)})"
            )
        return self._call_eager(inputs, bool(training))

    def _only_tensors(self, leaves: list[Any]) -> None:
        for leaf in leaves:
            if not isinstance(leaf, KerasTensor):
                raise ValueError(
                    "Only input tensors may be passed as positional arguments. The following argument value should be "
                    f"passed as a keyword argument: {leaf} (of type {type(leaf)}). A layer is called on symbolic "
                    "tensors only, or on arrays only."
                )

    def _check_structure(self, inputs: Any) -> tuple[Any, list[Any]]:
        """The nesting of the inputs (zeros for leaves) and the leaves: a list where the layer merges, else one."""
        is_list = isinstance(inputs, (list, tuple))
        if not self._takes_list and isinstance(inputs, (list, tuple, dict)):
            raise ValueError(
                f'Layer "{self.name}" expects 1 input(s), but it received {len(_nest.flatten(inputs))} input tensors. '
                f"Inputs received: {inputs}"
            )
        if self._takes_list and not is_list:
            raise ValueError(
                "A merge layer should be called on a list of inputs. Received: "
                f"input_shape={getattr(inputs, 'shape', None)} (not a list of shapes)"
            )
        return ([0] * len(inputs), list(inputs)) if is_list else (0, [inputs])

    def _call_symbolic(self, inputs: Any, training: bool | None) -> Any:
        structure, leaves = self._check_structure(inputs)
        self._reject_fixed_training(training)
        results = self._infer([leaf.shape for leaf in leaves], [leaf.dtype for leaf in leaves])
        tensors = [KerasTensor(shape, dtype) for shape, dtype in results]
        self._nodes.append(Node(self, structure, leaves, tensors))
        return self._pack_outputs(tensors)

    def _pack_outputs(self, outputs: Sequence[Any]) -> Any:
        """The outputs in the layer's nesting."""
        return outputs[0]

    def _reject_fixed_training(self, training: bool | None) -> None:
        if training is not None and self._random:
            raise NotImplementedError(
                f"{self.name}: `training={training}` on a symbolic tensor is not built; pass `training` to the model."
            )

    def _call_eager(self, inputs: Any, training: bool) -> Any:
        if isinstance(inputs, (list, tuple)) and not self._takes_list:
            inputs = as_array(inputs)
        _, leaves = self._check_structure(inputs)
        for leaf in leaves:
            if leaf is None or isinstance(leaf, (str, bytes, Layer)):
                raise ValueError(
                    f"Inputs to a layer should be tensors. Got '{leaf!s}' (of type {type(leaf)}) as input for layer "
                    f"'{self.name}'."
                )
        arrays = [as_array(leaf) for leaf in leaves]
        if any(array.ndim == 0 for array in arrays):
            raise ValueError(
                f"Input 0 with name 'None' of layer '{self.name}' is incompatible with the layer: expected min_ndim=1, "
                f"found ndim=0. Full shape received: ()"
            )
        core_dtype = "int64" if self._takes_ids else self.dtype
        self._build([array.shape for array in arrays], [core_dtype] * len(arrays))
        arrays = [as_dtype(array, core_dtype, self.name) for array in arrays]
        rows = arrays[0].shape[0]
        if any(array.shape[0] != rows for array in arrays):
            raise ValueError(
                "Data cardinality is ambiguous. Make sure all arrays contain the same number of samples. "
                f"Sizes: {', '.join(str(array.shape[0]) for array in arrays)}"
            )
        network = self._eager_network(tuple(array.shape[1:] for array in arrays), core_dtype)
        seed = 0
        if training and self._random:
            from .._random import next_seed

            seed = next_seed()
        return network.predict(tuple(arrays), None, training, seed, 0)[0]

    def _eager_network(self, shapes: tuple[tuple[int, ...], ...], dtype: str) -> _core.Network:
        if self._eager is not None and self._eager[0] == shapes:
            return self._eager[1]
        from ..models.lowering import Lowering

        lowering = Lowering(self.dtype)
        tensors = [lowering.graph.input(f"input_{i}", shape, dtype) for i, shape in enumerate(shapes)]
        lowering.graph.output(lowering.call(self, "", tensors)[0])
        block = join(self._weights)
        offsets = [weight.offset for weight in self._weights]
        network = _core.Network(lowering.graph, None if block is None else block.store, offsets)
        if block is not None:
            block.users.add(self)
        self._eager = (shapes, network)
        return network

    def _lower(self, lowering: Lowering, name: str, inputs: list[int]) -> list[int]:
        """Add this layer to a graph under `name`; the numbers of its outputs."""
        shapes = [from_core(lowering.graph.tensor(index)[0]) for index in inputs]
        for suffix, op, attributes in self._chain(shapes):
            inputs = [lowering.graph.add(op, name + suffix, attributes, inputs)]
        return inputs

    def _unbind(self) -> None:
        self._eager = None

    # ---- weights ----
    def count_params(self) -> int:
        """Number of weights (ValueError if the layer is not built)."""
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. You can build it "
                "manually via: `layer.build(input_shape)`."
            )
        return sum(weight.size for weight in self.weights)

    def get_weights(self) -> list[Array]:
        """Copies of the weights, kernel first."""
        return read(self.weights)

    def set_weights(self, weights: Any) -> None:
        """Write the weights: Keras's list of arrays, or one flat vector (P,) or (1, P).

        Raises
        ------
        ValueError
            Wrong number of arrays or values, or a wrong shape; nothing is changed.
        """
        own = self.weights
        write(own, match_weights(self.name, [(weight.path, weight) for weight in own], weights))

    def _attribute_weight(self, name: str) -> Array:
        for weight in self._weights:
            if weight.name == name:
                return weight.value
        if self.built:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        raise AttributeError(f"You must build the layer before accessing `{name}`.")

    def _assign_weight(self, name: str, value: Any) -> None:
        """What `layer.kernel = value` and `layer.kernel *= value` do: the numbers are copied, the view stays."""
        self._attribute_weight(name)  # AttributeError if there is none
        next(weight for weight in self._weights if weight.name == name).assign(value)

    # ---- configuration ----
    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make the same layer (without its weights)."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable, "dtype": self._dtype_argument}
        if self.activity_regularizer is not None:
            from .. import regularizers

            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return {**config, **self._config()}

    @classmethod
    def from_config(cls: type[SelfLayer], config: dict[str, Any]) -> SelfLayer:
        """A new layer as `get_config` described it."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def __reduce__(self) -> Any:
        values = self.get_weights() if self.built else None
        dtypes = ["int64" if self._takes_ids else self.dtype] * len(self._build_shapes or [])
        return _rebuild_layer, (type(self), self.get_config(), self._build_shapes, dtypes, values)


def _rebuild_layer(
    cls: type[Layer], config: dict[str, Any], shapes: list[Shape] | None, dtypes: list[str], values: list[Array] | None
) -> Layer:
    """What pickle and deepcopy call."""
    layer = cls.from_config(config)
    if shapes is not None:
        layer._build(shapes, dtypes)
        layer.set_weights(values)
    return layer


def lowering(activation: Any) -> tuple[str, tuple[float, ...]]:
    """The core's name of an activation function, and its parameters; functions of the user's have none."""
    lower = getattr(activation, "lowering", None)
    if lower is None:
        raise NotImplementedError(
            f"An activation in a layer must be one of `hypernet.activations`; the Python function {activation!r} "
            "cannot be compiled. Use a built-in one, or apply the function to the model's output."
        )
    name, params = lower()
    return str(name), tuple(params)


def penalties(regularizer: Any, owner: str) -> Attributes:
    """The l1 and l2 factors of a regularizer, for the core; NotImplementedError for regularizers that have none."""
    l1, l2 = getattr(regularizer, "l1", None), getattr(regularizer, "l2", None)
    if l1 is None and l2 is None:
        raise NotImplementedError(
            f"{owner}: a penalty on activations or on generated weights is an L1, L2 or L1L2 regularizer; "
            f"{type(regularizer).__name__} is not built there."
        )
    return {"l1": float(l1 or 0.0), "l2": float(l2 or 0.0)}
