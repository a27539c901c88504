"""HyperModel: a generator and a target, trained as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .. import _core
from .._names import auto_name, checked_name
from .._pullback import call_seed
from .._weights import Weight, is_contiguous, join
from ..layers.base import Layer
from ..models.model import Model
from ..models.parameters import ParameterVector, unflatten
from ..training.trainer import Trainer
from .data import HyperData
from .parts import base_vector, check_generated, generated_flags
from .pullbacks import HyperPullbacks

if TYPE_CHECKING:
    from .quantize import QuantizedHyperModel

Array = NDArray[Any]


class HyperModel(_core.Callable, HyperPullbacks, HyperData, ParameterVector, Trainer):
    """A generator whose output is (a part of) the weights of a target.

    Parameters
    ----------
    generator : Model
        From conditions to the generated weights: one output of (P,) a sample.
    target : Model
        The network that does the work.
    generated : list of str, optional
        Names of the target's layers or weights that are generated; None: all. The others are the target's own and train
        along.
    base : None, "target" or array (P,)
        Added to what the generator gives; "target" freezes a copy of the target's present weights. With a base the
        head starts at zero.
    init : "hyperfan_in", "hyperfan_out" or None
        How the generator's last Dense is initialised, if it still holds its default initializer's values.
    name : str, optional
        Counted up if it is not given.

    Raises
    ------
    ValueError
        The generator's output is not P long, names are unknown, dtypes differ, generator or target is not built.
    BufferError
        Stores must be joined while arrays over them are alive.
    NotImplementedError
        Constraints on generated weights; penalties there other than L1 and L2.

    Notes
    -----
    The initialisation is that of Chang, Flokas, Lipson (ICLR 2020), with the second moment of the head's input measured
    on standard normal conditions (ids: drawn evenly), and taken as 1 where the head is in a nested model.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> target = hn.target_network(100, 10)
    >>> hyper = hn.HyperModel(hn.hypernetwork(64, target.count_params()), target)
    >>> condition = np.ones((5, 64), "float32")
    >>> hyper([condition, np.ones((5, 100), "float32")]).shape
    (5, 10)
    >>> hyper([condition, np.ones((1, 7, 100), "float32")]).shape
    (5, 7, 10)
    """

    _head: _core.HeadParts | None = None  # where the head is no part of the generator

    def __init__(
        self,
        generator: Model,
        target: Model,
        generated: Sequence[str] | str | None = None,
        base: Any = None,
        init: str | None = "hyperfan_in",
        name: str | None = None,
    ) -> None:
        for what, model in (("generator", generator), ("target", target)):
            if not isinstance(model, Model):
                raise TypeError(f"`{what}` must be a Model. Received: {model!r} (of type {type(model).__name__})")
            if not model.built:
                raise ValueError(
                    f"The {what} '{model.name}' is not built yet, so its weights are not known: call it on data, or "
                    "begin it with an `Input` layer."
                )
        if init not in ("hyperfan_in", "hyperfan_out", None):
            raise ValueError(f"`init` is 'hyperfan_in', 'hyperfan_out' or None. Received: init={init!r}")
        if generator.dtype != target.dtype:
            raise ValueError(
                f"Generator and target must have one dtype; received {generator.dtype} and {target.dtype}. Pass the "
                "same `dtype` to the layers of both."
            )
        self.name = auto_name("HyperModel") if name is None else checked_name(name)
        Trainer.__init__(self)
        self._generator, self._target = generator, target
        self._dtype = target.dtype
        self._flags = generated_flags(target, generated)
        self._generated_argument = (
            None if generated is None else [generated] if isinstance(generated, str) else list(generated)
        )
        self._check_sizes()
        self._check_sharing()
        self._penalties = check_generated(target._weights_in_order(), self._flags)
        self._init = init
        self._base = base_vector(base, target, self._flags)
        self._core: _core.Hyper | None = None
        self._ordered: list[Weight] | None = None  # the generator's weights, then the target's own
        self._direct = None  # the core's pipeline, where one array each goes in and one comes out
        for part in (generator, target):
            part._compounds.add(self)
        self._bound()  # raises before anything is written
        if init is None:
            return
        from .initialize import initialize_head

        initialize_head(generator, target, self._flags, target._entry_names(), init, self._base is not None)

    def _check_sizes(self) -> None:
        generator, target = self._generator, self._target
        count = sum(weight.size for weight, on in zip(target._weights_in_order(), self._flags, strict=True) if on)
        outputs = generator.outputs
        shape = outputs[0].shape[1:]
        if len(outputs) != 1 or len(shape) != 1 or shape[0] != count:
            came = ", ".join(str(tensor.shape) for tensor in outputs)
            raise ValueError(
                f"The generator '{generator.name}' gives {came}, but the target '{target.name}' needs {count:,} "
                f"generated weights: expected one output of shape (None, {count}). Build the target first and give "
                "the generator its size: `output_dim=hn.count_params(target, generated=...)`."
            )

    def _check_sharing(self) -> None:
        ids = {id(weight) for weight in self._generator._weights_in_order()}
        for weight in self._target._weights_in_order():
            if id(weight) in ids:
                raise NotImplementedError(
                    f"{weight.path} belongs to the generator and to the target; a layer shared between the two is not "
                    "built."
                )

    # ---- parts ----
    @property
    def generator(self) -> Model:
        """The model that gives the weights: the object that was passed in."""
        return self._generator

    @property
    def target(self) -> Model:
        """The model whose weights are generated: the object that was passed in."""
        return self._target

    @property
    def layers(self) -> list[Layer]:
        """Generator and target."""
        return [self._generator, self._target]

    @property
    def generated(self) -> list[str]:
        """Names of the generated weights, in the order of theta."""
        return [name for name, on in zip(self._target._entry_names(), self._flags, strict=True) if on]

    @property
    def base(self) -> Array | None:
        """A copy of what is added to the generator's output, (P,); None if nothing is."""
        return None if self._base is None else self._base.copy()

    @property
    def dtype(self) -> str:
        """What it computes in."""
        return self._target.dtype

    @property
    def built(self) -> bool:
        """Always True."""
        return True

    @property
    def inputs(self) -> list[Any]:
        """Symbolic inputs: the generator's, then the target's."""
        return [*self._generator.inputs, *self._target.inputs]

    @property
    def outputs(self) -> list[Any]:
        """The target's symbolic outputs."""
        return self._target.outputs

    @property
    def input_names(self) -> list[str]:
        """Names of the generator's, then the target's input layers."""
        return [*self._generator.input_names, *self._target.input_names]

    @property
    def output_names(self) -> list[str]:
        """Names of the target's outputs."""
        return self._target.output_names

    @property
    def output_shape(self) -> Any:
        """Shape of the target's output."""
        return self._target.output_shape

    # ---- weights ----
    def _own(self) -> list[Weight]:
        return [weight for weight, on in zip(self._target._weights_in_order(), self._flags, strict=True) if not on]

    def _weights_in_order(self) -> list[Weight]:
        if self._ordered is None:
            self._ordered = [*self._generator._weights_in_order(), *self._own()]
        return self._ordered

    def _entry_names(self) -> list[str]:
        own = [name for name, on in zip(self._target._entry_names(), self._flags, strict=True) if not on]
        return [f"generator/{name}" for name in self._generator._entry_names()] + [f"target/{name}" for name in own]

    @property
    def weights(self) -> list[Weight]:
        """The generator's weights, then the target's own."""
        return list(self._weights_in_order())

    @property
    def trainable(self) -> bool:
        """Whether training changes anything; setting it sets it for generator and target."""
        return self._generator.trainable or self._target.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._generator.trainable = self._target.trainable = bool(value)

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training changes."""
        return [weight for weight in self._weights_in_order() if weight.trainable]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training leaves alone."""
        return [weight for weight in self._weights_in_order() if not weight.trainable]

    trainable_variables = trainable_weights
    variables = weights

    def count_params(self) -> int:
        """Number of weights: the generator's and the target's own.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> hyper.count_params() == hyper.generator.count_params()
        True
        """
        return self._gradient_size

    def _bring_together(self) -> None:
        self._bound()
        weights = self._weights_in_order()
        if len(weights) > len(self._generator._weights_in_order()) and not is_contiguous(weights):
            # Another model joined these weights in its own order since: lay them out for this one again.
            join(weights, contiguous=True)
            self._bound()

    def _bound(self) -> _core.Hyper:
        """The core's pipeline over the two networks as they are bound now."""
        if self._core is not None:
            return self._core
        own = self._own()
        if own:
            join([*self._generator._weights_in_order(), *own, *self._generated_weights()])
        networks = self._generator._bound(), self._target._bound()
        self._core = core = _core.Hyper(*networks, self._flags, self._base, self._penalties, self._head)
        if (*self._structures(), self._target._known("outputs").output_structure) == (0, 0, 0):
            self._direct = core
        return core

    def _unbind(self) -> None:
        self._core = self._direct = self._ordered = None
        self._forget()

    def _generated_weights(self) -> list[Weight]:
        return [weight for weight, on in zip(self._target._weights_in_order(), self._flags, strict=True) if on]

    def _all_stores(self) -> list[_core.Store]:
        networks = self._generator._network, self._target._network
        return list(dict.fromkeys(n.store for n in networks if n is not None and n.store is not None))

    # ---- calling ----
    def _call(self, inputs: Any, *, training: bool | None = None, seed: int | None = None) -> Any:
        """What a HyperModel does when it is called: the target's outputs for conditions and rows.

        A list of two arrays goes straight to the core (`_direct`); what that refuses comes here.

        Parameters
        ----------
        inputs : [cond, x]
            Nested as generator and target have their inputs: [cond, [x1, x2]], [[c1, c2], x].
        training : bool, optional
            True: dropout acts.
        seed : int, optional
            For dropout.

        Returns
        -------
        array, or nested arrays
            (M, *o), (N, *o) or (N, M, *o).

        Raises
        ------
        ValueError
            The shapes fit no mode; says both and the four choices.
        """
        meeting = self._meet(inputs)
        number = call_seed(bool(training), seed)
        outputs = self._bound().predict(
            meeting.conditions, meeting.inputs, meeting.mode, None, bool(training), number, 0
        )
        return self._pack_outputs(outputs)

    _call.__qualname__ = "HyperModel.__call__"  # what errors about its arguments name

    def generate(self, cond: Any, out: Array | None = None) -> Array:
        """The generated weights, (N, P): the only call that makes an array of that size.

        Parameters
        ----------
        cond : array, or nested arrays
            N conditions, or one without its leading axis.
        out : array (N, P), optional
            Where to write.

        Returns
        -------
        array (N, P)
            With the base, where there is one; `out`, if given.

        Raises
        ------
        ValueError
            A wrong shape of `cond` or `out`.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> hyper.generate(hn.ones((5, 4))).shape == (5, target.count_params())
        True
        """
        conditions, _ = self._conditions(cond)
        return self._theta(conditions, out, False, 0)

    def _theta(self, conditions: tuple[Array, ...], out: Array | None, training: bool, seed: int) -> Array:
        if self._base is not None:
            return self._bound().generate(conditions, out, training, seed, 0)
        return self._generator._bound().predict(conditions, None if out is None else (out,), training, seed, 0)[0]

    def generate_weights(self, cond: Any) -> dict[str, Array]:
        """The generated weights by name: {"dense/kernel": (N, in, out), ...}, views of one (N, P) array.

        Parameters
        ----------
        cond : array, or nested arrays
            N conditions, or one without its leading axis.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> [view.shape for view in hyper.generate_weights(hn.ones((5, 4))).values()]
        [(5, 3, 128), (5, 128), (5, 128, 2), (5, 2)]
        """
        weights = self._generated_weights()
        return unflatten(self.name, self.generated, [weight.shape for weight in weights], self.generate(cond))

    def specialize(self, cond: Any, name: str | None = None) -> Model:
        """An ordinary, independent model: the target with the weights of one condition.

        Parameters
        ----------
        cond : array, or nested arrays
            One condition, with or without its leading axis.
        name : str, optional
            Name of the new model; the target's by default.

        Returns
        -------
        Model
            New layers, new weights, no generator.

        Raises
        ------
        ValueError
            More than one condition.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> hyper.specialize(hn.ones(4)).count_params() == target.count_params()
        True
        """
        conditions, _ = self._conditions(cond)
        if conditions[0].shape[0] != 1:
            raise ValueError(
                f"specialize takes one condition; received {conditions[0].shape[0]}. Call it for each of them."
            )
        theta = self._theta(conditions, None, False, 0)[0]
        config = self._target.get_config()
        model: Model = type(self._target).from_config({**config, "name": name or config["name"]})
        values, offset = [], 0
        for weight, on in zip(self._target._weights_in_order(), self._flags, strict=True):
            if on:
                values.append(theta[offset : offset + weight.size].reshape(weight.shape))
                offset += weight.size
            else:
                values.append(weight.numpy())
        model.set_weights(values)
        return model

    def quantize(self, dtype: str) -> QuantizedHyperModel:
        """A new, independent HyperModel for inference, whose head is stored in fewer bits.

        The head is most of a hypernetwork, and generating for one condition is as fast as it can be read.

        Parameters
        ----------
        dtype : "bfloat16" or "int8"
            Half or a quarter of the memory. bfloat16 rounds every number to 8 significant bits; int8 has one float32
            scale for each generated weight, the largest of its column over 127. The head's bias stays as it is.

        Returns
        -------
        QuantizedHyperModel
            With copies of everything else. `quantization` tells sizes and the largest error made, `error_bound(cond)`
            bounds that of each generated weight. Its `generator` gives the head's features, `params` is what is left in
            float32. It predicts, evaluates, generates, specializes, is saved and loaded; training it raises
            RuntimeError: train this model, and quantize again.

        Raises
        ------
        ValueError
            Another dtype; a head that is not finite; a generator that does not end in a linear Dense layer; a model of
            float64, since quantised heads compute in float32.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> small = hyper.quantize("int8")
        >>> small.generate(hn.ones((5, 4))).shape
        (5, 770)
        >>> small.quantization.bytes_before, small.quantization.bytes_after
        (197120, 52360)
        """
        from .quantize import quantize

        return quantize(self, dtype)

    # ---- configuration ----
    def _summary_parts(self) -> list[tuple[str, Model]]:
        return [("Generator", self._generator), ("Target", self._target)]

    def summary(self, line_length: int | None = None, print_fn: Any = None, **kwargs: Any) -> None:
        """Print tables of generator and target; the totals count the generator's weights and the target's own.

        Parameters
        ----------
        line_length, print_fn, expand_nested, show_trainable
            See `Model.summary`.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> hyper.summary(print_fn=lambda text: print("Generator" in text and "Target" in text))
        True
        """
        from ..models.summary import print_summary

        expand, show = kwargs.pop("expand_nested", False), kwargs.pop("show_trainable", False)
        positions, layer_range = kwargs.pop("positions", None), kwargs.pop("layer_range", None)
        if kwargs:
            raise TypeError(f"summary() got an unexpected keyword argument {next(iter(kwargs))!r}")
        print_summary(self, line_length, positions, print_fn, expand, show, layer_range)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Generator or target, by name or position.

        Raises
        ------
        ValueError
            There is none; or both or neither are given.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> hyper.get_layer(index=1) is target
        True
        """
        if (name is None) == (index is None):
            raise ValueError("Provide either a layer name or layer index at `get_layer`.")
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in self.layers]}.")

    def get_config(self) -> dict[str, Any]:
        """Generator, target and how they are joined, without weights and without the base's values."""
        from ..models.config import serialize_layer

        return {
            "name": self.name,
            "generator": serialize_layer(self._generator),
            "target": serialize_layer(self._target),
            "generated": self._generated_argument,
            "has_base": self._base is not None,
            "init": self._init,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> HyperModel:
        """A new HyperModel with new weights; where there was a base, it is that of the new target."""
        from ..models.config import deserialize_layer

        if "head" in config:  # of a quantised one
            from .quantize import QuantizedHyperModel

            return QuantizedHyperModel.from_config(config, custom_objects)
        generator = deserialize_layer(config["generator"], custom_objects)
        target = deserialize_layer(config["target"], custom_objects)
        base = "target" if config.get("has_base") else None
        init = config.get("init", "hyperfan_in")
        return cls(generator, target, generated=config.get("generated"), base=base, init=init, name=config.get("name"))

    def __repr__(self) -> str:
        return f"<HyperModel name={self.name}, generator={self._generator.name}, target={self._target.name}>"
