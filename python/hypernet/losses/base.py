"""What every loss is: values of positions, their reduction, and the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._convert import DtypeError, as_array, as_float
from .._names import auto_name

Array = NDArray[Any]
CustomLoss = Callable[[Array, Array], tuple[Any, Any]]
_REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Loss:
    """The base of all losses; one of your own defines `call` and `gradient`.

    Parameters
    ----------
    name : str, optional
    reduction : str
        How the positions' values become one: "sum_over_batch_size" (their mean; also "mean"), "sum",
        "mean_with_sample_weight" (the weighted sum divided by the sum of weights), "none".

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> class Linear(hn.losses.Loss):
    ...     def call(self, y_true, y_pred):
    ...         return (y_pred - y_true).sum(axis=-1)
    ...     def gradient(self, y_true, y_pred):
    ...         return np.ones_like(y_pred)
    >>> value, dy = Linear().value_and_grad(np.zeros((2, 1)), np.ones((2, 1)))
    >>> float(value), dy.tolist()
    (1.0, [[0.5], [0.5]])
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        if dtype is not None:
            raise NotImplementedError(
                f"{type(self).__name__}: `dtype={dtype!r}` is not built; a loss computes in the dtype of y_pred."
            )
        if reduction not in _REDUCTIONS:
            raise ValueError(
                "Invalid value for argument `reduction`. Expected one of {'sum_over_batch_size', 'sum', 'mean', "
                f"'mean_with_sample_weight', 'none', None}}. Received: reduction={reduction}"
            )
        self.name = auto_name(type(self).__name__) if name is None else name
        self.reduction = reduction

    # ---- what a loss of one's own defines ----
    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of every position: the shape of y_pred without its last axis."""
        raise NotImplementedError(f"{type(self).__name__} must define `call(y_true, y_pred)`.")

    def gradient(self, y_true: Any, y_pred: Any) -> Any:
        """d loss of a position / d y_pred, in the shape of y_pred."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `gradient(y_true, y_pred)`, the derivative of `call` with respect to "
            "y_pred: hypernet does not differentiate Python code."
        )

    # ---- what the trainer asks ----
    def _spec(self, y_pred_shape: tuple[int, ...]) -> _core.LossSpec | None:
        """The core's form of this loss, with scale 1; None if it has none."""
        return None

    def _prepare(self, y_true: Array, y_pred_shape: tuple[int, ...]) -> Array:
        """y_true in the form that `call` and the core take, checked (labels too)."""
        return y_true

    def _values(self, y_true: Array, y_pred: Array) -> Array:
        """Each position's loss."""
        return check_values(self.name, self.call(y_true, y_pred), y_pred)

    def _values_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Each position's loss, and its gradient."""
        return check_pair(self.name, self.call(y_true, y_pred), self.gradient(y_true, y_pred), y_pred)

    # ---- use on arrays ----
    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss of a batch.

        Parameters
        ----------
        y_true, y_pred : array
            Positions, and the values of one along the last axis.
        sample_weight : array, optional
            Weights in a leading part of the positions' shape.

        Returns
        -------
        float, or array for reduction "none"
            In the dtype of y_pred.
        """
        predicted, true = self._arrays(y_true, y_pred)
        values = _returned(self.name, self.call(true, predicted))
        weights = spread_weights(sample_weight, values.shape, values.dtype)
        return reduce(values, weights, self.reduction)

    def value_and_grad(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[Any, Array]:
        """The loss of a batch and its gradient with respect to y_pred.

        Returns
        -------
        value : float, or array for reduction "none"
        dy : array
            In the shape of y_pred as given; of the sum of the values for reduction "none".

        Examples
        --------
        >>> import hypernet as hn, numpy as np
        >>> value, dy = hn.losses.MeanSquaredError().value_and_grad(np.zeros((1, 2)), np.array([[1.0, 2.0]]))
        >>> float(value), dy.tolist()
        (2.5, [[1.0, 2.0]])
        """
        given = as_float(y_pred)
        predicted, true = self._arrays(y_true, given)
        values, gradient = self._values_and_gradient(true, predicted)
        weights = spread_weights(sample_weight, values.shape, values.dtype)
        factor = 1.0 / normalizer(values.shape, weights, self.reduction)
        if weights is not None:
            gradient = gradient * (weights * factor).reshape(weights.shape + (1,) * (gradient.ndim - weights.ndim))
        elif factor != 1.0:
            gradient = gradient * gradient.dtype.type(factor)
        return reduce(values, weights, self.reduction), gradient.reshape(given.shape)

    def _arrays(self, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
        predicted = as_float(y_pred)
        true = as_array(y_true)
        if predicted.ndim + 1 == true.ndim and true.shape[-1] == 1:
            predicted = predicted[..., np.newaxis]
        if predicted.ndim == 0:
            raise ValueError(f"{self.name}: y_pred must have at least one axis; received a scalar.")
        return predicted, self._prepare(true, predicted.shape)

    # ---- configuration ----
    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make the same loss."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The loss that `get_config` described."""
        return cls(**config)


def normalizer(shape: tuple[int, ...], weights: Array | None, reduction: str | None) -> float:
    """What the weighted sum over positions of this shape is divided by."""
    if reduction in ("sum", "none", None):
        return 1.0
    if reduction == "mean_with_sample_weight" and weights is not None:
        total = float(np.broadcast_to(weights, shape).sum(dtype=np.float64))
    else:
        total = float(math.prod(shape))
    return total or 1.0


def reduce(values: Array, weights: Array | None, reduction: str | None) -> Any:
    """The positions' losses as one, as the reduction says."""
    weighted = values if weights is None else values * weights
    if reduction in ("none", None):
        return weighted
    total = weighted.sum(dtype=np.float64) / normalizer(values.shape, weights, reduction)
    return values.dtype.type(total)


def spread_weights(sample_weight: Any, shape: tuple[int, ...], dtype: Any) -> Array | None:
    """Weights with the number of axes of the positions: a leading part of their shape is given.

    Raises
    ------
    ValueError
        Another shape.
    """
    if sample_weight is None:
        return None
    weights = as_array(sample_weight).astype(dtype, copy=False)
    if weights.ndim == len(shape) + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    trimmed = weights.shape
    if weights.ndim > len(shape) or any(a not in (b, 1) for a, b in zip(trimmed, shape, strict=False)):
        raise ValueError(
            f"sample_weight must have the shape of the losses, {shape}, or of a leading part of it; received an array "
            f"of shape {trimmed}."
        )
    return weights.reshape(trimmed + (1,) * (len(shape) - len(trimmed)))


def _returned(name: str, value: Any) -> Array:
    """What a loss of one's own returned as an array of numbers."""
    try:
        return as_array(value)
    except DtypeError as error:
        raise DtypeError(f"The loss '{name}' must return arrays of numbers. {error}") from None


def check_values(name: str, values: Any, y_pred: Array) -> Array:
    """The rows' values of a custom loss, as an array of y_pred's dtype (ValueError if the shape is wrong)."""
    values = _returned(name, values).astype(y_pred.dtype, copy=False)
    if values.ndim == 0 or values.shape != y_pred.shape[: values.ndim]:
        raise ValueError(
            f"The loss '{name}' must return a value for each row, of shape {y_pred.shape[:1]} (or {y_pred.shape[:-1]}) "
            f"for predictions of shape {y_pred.shape}; it returned one of shape {values.shape}."
        )
    return values


def check_pair(name: str, values: Any, gradient: Any, y_pred: Array) -> tuple[Array, Array]:
    """What a custom loss returned, as arrays of y_pred's dtype (ValueError if a shape is wrong)."""
    values = check_values(name, values, y_pred)
    gradient = _returned(name, gradient).astype(y_pred.dtype, copy=False)
    if gradient.shape != y_pred.shape:
        raise ValueError(
            f"The loss '{name}' must return a gradient of the predictions' shape {y_pred.shape}; it returned one of "
            f"shape {gradient.shape}."
        )
    return values, gradient


class LossFunctionWrapper(Loss):
    """A function `(y_true, y_pred) -> (per_row, dper_row/dy_pred)` as a loss.

    Raises
    ------
    TypeError
        When called, if the function returns one value instead of two.
    """

    def __init__(
        self, fn: CustomLoss, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn = fn

    def _values_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        result = self.fn(y_true, y_pred)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            came = f"{len(result)} values" if isinstance(result, (tuple, list)) else f"one {type(result).__name__}"
            raise TypeError(
                f"The loss function '{self.name}' must return two arrays, (per_row, dper_row/dy_pred): the loss of each "
                f"row and its derivative with respect to y_pred, because hypernet does not differentiate Python code. "
                f"It returned {came}."
            )
        return check_pair(self.name, result[0], result[1], y_pred)

    def call(self, y_true: Any, y_pred: Any) -> Array:
        return self._values_and_gradient(y_true, y_pred)[0]

    def gradient(self, y_true: Any, y_pred: Any) -> Array:
        return self._values_and_gradient(y_true, y_pred)[1]

    def _prepare(self, y_true: Array, y_pred_shape: tuple[int, ...]) -> Array:
        if y_true.ndim == len(y_pred_shape) - 1 and y_pred_shape[-1] == 1:
            return y_true[..., np.newaxis]
        return y_true

    def get_config(self) -> dict[str, Any]:
        from . import serialize

        return {**super().get_config(), "fn": serialize(self.fn)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        from . import deserialize

        return cls(**{**config, "fn": deserialize(config["fn"])})
