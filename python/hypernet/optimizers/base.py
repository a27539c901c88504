"""What every optimizer is: a learning rate, clipping and decay, and state over one vector."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._convert import as_dtype, hold
from .._names import auto_name
from .._weights import Weight
from .binding import Binding, Found, Piece, Span, pieces_of, pieces_of_weights
from .schedules import LearningRateSchedule
from .schedules import deserialize as deserialize_schedule
from .schedules import serialize as serialize_schedule

Array = NDArray[Any]
_OFF = float("inf")


class Optimizer:
    """The base of SGD, RMSprop, Adam and AdamW.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule, or callable without arguments
    weight_decay : float, optional
        Before each update: `w -= w * weight_decay * learning_rate`.
    clipnorm : float, optional
        Each weight's gradient is scaled down to this norm.
    clipvalue : float, optional
        Gradients are clipped to [-clipvalue, clipvalue].
    global_clipnorm : float, optional
        All gradients together are scaled down to this norm.
    name : str, optional

    Raises
    ------
    ValueError
        More than one way of clipping, or arguments that Keras does not know.
    NotImplementedError
        Moving averages of weights, gradient accumulation, loss scaling.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> optimizer, weights = hn.optimizers.SGD(0.5, clipvalue=1.0), np.ones(2)
    >>> optimizer.apply(np.array([1.0, 8.0]), weights)
    >>> weights.tolist(), optimizer.iterations
    ([0.5, 0.5], 1)
    """

    _kind: str
    _slot_names: tuple[str, ...] = ()

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise ValueError(f"Argument(s) not recognized: {kwargs}")
        unbuilt = {
            "use_ema": (use_ema, False),
            "ema_momentum": (ema_momentum, 0.99),
            "ema_overwrite_frequency": (ema_overwrite_frequency, None),
            "loss_scale_factor": (loss_scale_factor, None),
            "gradient_accumulation_steps": (gradient_accumulation_steps, None),
        }
        for argument, (value, default) in unbuilt.items():
            if value != default:
                raise NotImplementedError(f"{type(self).__name__}: `{argument}={value}` is not built.")
        if sum(value is not None for value in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
                f"clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )
        self.name = auto_name(type(self).__name__) if name is None else name
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self._learning_rate = _checked_rate(learning_rate)
        self._binding: Binding | None = None
        self._last: Found | None = None
        self._excluded: list[Any] = []
        self._excluded_names: re.Pattern[str] | None = None

    # ---- what a subclass defines ----
    def _params(self) -> tuple[float, float, float, float]:
        """The core's parameters of this kind."""
        raise NotImplementedError

    # ---- learning rate ----
    @property
    def learning_rate(self) -> float:
        """The rate of the next update; settable unless it is a schedule."""
        rate = self._learning_rate
        if isinstance(rate, float):
            return rate
        if isinstance(rate, LearningRateSchedule):
            return float(rate(self.iterations))
        return float(rate())

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        if not callable(learning_rate) and isinstance(self._learning_rate, LearningRateSchedule):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor "
                "argument, hence its learning rate is not settable. If you need the learning rate to be settable, you "
                "should instantiate the optimizer with a float `learning_rate` argument."
            )
        self._learning_rate = _checked_rate(learning_rate)

    def _rates(self, count: int) -> float | tuple[float, ...] | None:
        """The rates of the next `count` updates: one for all, or each; None where each must be asked for in time."""
        rate = self._learning_rate
        if type(self).learning_rate is not Optimizer.learning_rate:
            return None
        if isinstance(rate, float):
            return rate
        if isinstance(rate, LearningRateSchedule):
            start = self.iterations
            return tuple([float(rate(start + i)) for i in range(count)])
        return None

    @property
    def iterations(self) -> int:
        """How many updates there have been."""
        return 0 if self._binding is None else int(self._binding.core.step)

    @property
    def built(self) -> bool:
        """Whether there is state."""
        return self._binding is not None

    # ---- weight decay ----
    def exclude_from_weight_decay(
        self, var_list: Sequence[Any] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Let weight decay leave some weights alone; call it before the first update.

        Parameters
        ----------
        var_list : list of weights, optional
            As in `model.weights`.
        var_names : list of str, optional
            Patterns, searched in the weights' names ("kernel", "bias").

        Examples
        --------
        >>> import hypernet as hn
        >>> optimizer = hn.optimizers.AdamW(weight_decay=0.01)
        >>> optimizer.exclude_from_weight_decay(var_names=["bias"])
        """
        if self.built:
            raise ValueError("`exclude_from_weight_decay()` can only be configured before the optimizer is built.")
        self._excluded = list(var_list or [])
        self._excluded_names = re.compile("|".join(sorted(set(var_names)))) if var_names else None

    def _decays(self, weight: Weight | None) -> bool:
        if not self.weight_decay:
            return False
        if weight is None:
            return True
        if any(weight is excluded for excluded in self._excluded):
            return False
        return self._excluded_names is None or self._excluded_names.search(weight.name) is None

    # ---- updates ----
    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """One update, in place.

        Parameters
        ----------
        grads : array, or list of arrays
            In the shape of what they are gradients of. In a list, None leaves that variable alone.
        trainable_variables : array, or list of arrays or weights
            What to update: `model.params`, any contiguous array of float32 or float64, or a list of these. In a
            model's vector, each weight is clipped for itself, and weights with `trainable=False` neither move nor
            decay; constraints are applied afterwards.

        Raises
        ------
        ValueError
            Other shapes, or another vector than the first time: the state belongs to that one.

        Examples
        --------
        >>> import hypernet as hn, numpy as np
        >>> optimizer, weights = hn.optimizers.SGD(0.5), np.ones(2)
        >>> optimizer.apply(np.array([1.0, 2.0]), weights)
        >>> weights.tolist()
        [0.5, 0.0]
        """
        found, gradient, given = self._meet(grads, trainable_variables)
        # The learning rate and constraints may be the user's functions.
        held = hold([gradient, *(piece.memory for piece in found)])
        before = self._binding
        try:
            binding = self._bound(found, given)
            binding.apply(gradient, self.learning_rate, 1.0)
            self._binding = binding  # another thread's call may have failed meanwhile
        except BaseException:
            self._withdraw(before)
            raise
        del held

    def _withdraw(self, before: Binding | None) -> None:
        """After a failure: without state, as it was, if there was none and there has been no update."""
        if before is None and self.iterations == 0:
            self._binding = None

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> None:
        """`apply` for an iterable of (gradient, variable).

        Examples
        --------
        >>> import hypernet as hn, numpy as np
        >>> weights = np.ones(2)
        >>> hn.optimizers.SGD(0.5).apply_gradients([(np.ones(2), weights)])
        >>> weights.tolist()
        [0.5, 0.5]
        """
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])

    def delta(self, grads: Any, trainable_variables: Any = None) -> Any:
        """What `apply` would add (before constraints); changes nothing.

        Returns
        -------
        array, or list of arrays
            In the shape of the variables.

        Examples
        --------
        >>> import hypernet as hn, numpy as np
        >>> optimizer, weights = hn.optimizers.SGD(0.5), np.ones(2)
        >>> optimizer.delta(np.array([1.0, 2.0]), weights).tolist(), weights.tolist()
        ([-0.5, -1.0], [1.0, 1.0])
        """
        found, gradient, given = self._meet(grads, trainable_variables)
        # Without state yet: a passing one, so that nothing is bound.
        binding = self._make(found) if self._binding is None else self._bound(found, None)
        binding.refresh(found, given)
        held = hold([gradient, *(piece.memory for piece in found)])
        flat = binding.delta(gradient, self.learning_rate, 1.0)
        del held
        if not isinstance(trainable_variables, (list, tuple)):
            return flat.reshape(np.shape(trainable_variables))
        sizes = np.cumsum([_size(variable) for variable in trainable_variables])[:-1]
        parts = np.split(flat, sizes)
        return [part.reshape(variable.shape) for part, variable in zip(parts, trainable_variables, strict=True)]

    def _meet(self, grads: Any, variables: Any) -> tuple[list[Piece], Array, list[bool] | None]:
        """The pieces of the variables, the flat gradient, and which pieces have one."""
        if variables is None:
            raise ValueError(
                "When passing `grads` without `variables`, the optimizer must already be built on a list of variables. "
                "Pass what to update: `optimizer.apply(grads, model.params)`."
            )
        if not isinstance(variables, (list, tuple)):
            if self._last is None or not self._last.is_of(variables):
                self._last = Found(variables)
            return self._last.pieces, _matching(grads, variables).reshape(-1), None
        if not isinstance(grads, (list, tuple)) or len(grads) != len(variables):
            received = f"{len(grads)} gradients" if isinstance(grads, (list, tuple)) else type(grads).__name__
            raise ValueError(
                f"When passing variables as a list, the gradients must be a list of the same length, "
                f"{len(variables)}. Received: {received}"
            )
        if all(gradient is None for gradient in grads):
            raise ValueError("No gradients provided for any variable.")
        found: list[Piece] = []
        parts: list[Array] = []
        given: list[bool] = []
        for gradient, variable in zip(grads, variables, strict=True):
            if not hasattr(variable, "dtype"):
                pieces_of(variable)  # says what is wrong
            dtype = variable.dtype
            parts.append(
                np.zeros(_size(variable), dtype) if gradient is None else _matching(gradient, variable).reshape(-1)
            )
        # After all gradients: converting one runs code of its class, which may resize variables under views of them.
        for part, gradient, variable in zip(parts, grads, variables, strict=True):
            pieces = pieces_of(variable)
            if part.size != sum(piece.size for piece in pieces):
                raise ValueError("A variable was resized while the gradients were converted.")
            found += pieces
            given += [gradient is not None] * len(pieces)
        if len({part.dtype for part in parts}) > 1:
            raise ValueError("All variables of one optimizer have one dtype. Received: float32 and float64")
        return found, np.concatenate(parts), given if not all(given) else None

    # ---- state ----
    def _make(self, pieces: list[Piece]) -> Binding:
        first = pieces[0].memory if pieces else None
        dtype = "float32" if first is None else np.dtype(first.dtype).name
        return Binding(pieces, dtype, self._core_optimizer, self._decays)

    def _core_optimizer(self, spans: list[Span], dtype: str) -> _core.Optimizer:
        limits = [value if value is not None and value > 0 else _OFF for value in self._limits()]
        return _core.Optimizer(
            self._kind, self._params(), float(self.weight_decay or 0.0), limits[0], limits[1], limits[2], spans, dtype
        )

    def _limits(self) -> tuple[float | None, float | None, float | None]:
        return self.clipnorm, self.clipvalue, self.global_clipnorm

    def _bound(self, pieces: list[Piece], given: Sequence[bool] | None = None) -> Binding:
        binding = self._binding
        if binding is None:
            binding = self._make(pieces)
            if self._binding is None:  # else another thread was first
                self._binding = binding
            binding = self._binding or binding
        if not binding.is_over(pieces):
            raise ValueError(
                f"Unknown variable: this optimizer ('{self.name}') can only be called for the variables it was "
                f"originally built with ({binding.size} numbers): its state belongs to them. Received: "
                f"{sum(piece.size for piece in pieces)} numbers elsewhere. When working with a new set of variables, "
                "you should recreate a new optimizer instance."
            )
        binding.refresh(pieces, given)
        return binding

    def bind(self, weights: Sequence[Weight]) -> Binding:
        """The state over a model's weights, in this order; made at the first time, brought up to date later."""
        return self._bound(pieces_of_weights(weights))

    def live_state(self) -> dict[str, Array]:
        """The state: slots flat in the order of the weights, and "iterations"; {} before the first update."""
        if self._binding is None:
            return {}
        core = self._binding.core
        return {**dict(zip(self._slot_names, core.slots, strict=False)), "iterations": core.iterations}

    def state(self) -> dict[str, Array]:
        """Copies of the state, as `live_state` has it. (Beside an update: `Model.save` and `deepcopy` copy one whole step.)"""
        return _core.copies(self.live_state())

    def set_state(self, state: Mapping[str, Array], weights: Sequence[Weight]) -> None:
        """Put `state()` back, over these weights.

        Raises
        ------
        ValueError
            Another number of slots or another size; nothing is changed.
        """
        if not state:
            return
        if "iterations" not in state:
            raise ValueError(f"The state of optimizer '{self.name}' needs 'iterations'. Received: {sorted(state)}")
        made = self._make(pieces_of_weights(weights))
        names = self._slot_names[: len(made.core.slots)]
        for name, slot in zip(names, made.core.slots, strict=True):
            value = state.get(name)
            if value is None or value.shape != slot.shape:
                raise ValueError(
                    f"The state of optimizer '{self.name}' needs '{name}' of shape {slot.shape}. Received: "
                    f"{ {key: np.shape(item) for key, item in state.items()} }"
                )
            slot[...] = value
        made.core.step = int(state["iterations"])
        self._binding = made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_binding": None, "_last": None, "_excluded": []}

    # ---- configuration ----
    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make the same optimizer, without its state."""
        rate = self._learning_rate
        if not isinstance(rate, float):
            rate = serialize_schedule(rate)
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The optimizer that `get_config` described."""
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = deserialize_schedule(config["learning_rate"], custom_objects)
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _checked_rate(rate: Any) -> float | LearningRateSchedule | Callable[[], Any]:
    if isinstance(rate, LearningRateSchedule):
        return rate
    if isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool):
        return float(rate)
    if isinstance(rate, np.ndarray) and rate.ndim == 0:
        return float(rate)
    if callable(rate):
        made: Callable[[], Any] = rate
        return made
    raise ValueError(
        "Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or a callable (that takes "
        "in the current iteration value and returns the corresponding learning rate value). Received instead: "
        f"learning_rate={rate}"
    )


def _size(variable: Any) -> int:
    return int(variable.size)


def _matching(gradient: Any, variable: Any) -> Array:
    array = np.asarray(as_dtype(gradient, np.dtype(variable.dtype).name, "a gradient"), order="C")
    if array.shape != tuple(variable.shape):
        raise ValueError(
            f"A gradient must have the shape of its variable. Received: a gradient of shape {array.shape} for a "
            f"variable of shape {tuple(variable.shape)}."
        )
    return array
