"""Losses: the value of a batch, and its gradient with respect to the predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._convert import as_array, as_float
from .._registry import Family
from .base import Loss, LossFunctionWrapper

Array = NDArray[Any]

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "deserialize",
    "get",
    "huber",
    "mean_absolute_error",
    "mean_squared_error",
    "serialize",
    "sparse_categorical_crossentropy",
]


class _CoreLoss(Loss):
    """A loss that the core computes."""

    _kind: str
    from_logits: bool = False
    _param: float = 0.0

    def _spec(self, y_pred_shape: tuple[int, ...]) -> _core.LossSpec:
        return self._kind, "logits" if self.from_logits else "probabilities", self._param, 1.0

    def _prepare(self, y_true: Array, y_pred_shape: tuple[int, ...]) -> Array:
        """The shape of y_pred; (N,) for (N, 1) and the reverse are accepted."""
        shape = y_true.shape
        if shape == y_pred_shape:
            return y_true
        if (*shape, 1) == y_pred_shape:
            return y_true[..., np.newaxis]
        if shape == (*y_pred_shape, 1):
            return y_true[..., 0]
        raise ValueError(
            f"Arguments `target` and `output` must have the same shape. {self.name} takes targets of the predictions' "
            f"shape {y_pred_shape}; received: target.shape={shape}, output.shape={y_pred_shape}"
        )

    def call(self, y_true: Any, y_pred: Any) -> Array:
        predicted = as_float(y_pred)
        true = self._cast(self._prepare(as_array(y_true), predicted.shape), predicted)
        kind, form, param, _ = self._spec(predicted.shape)
        return _core.loss_values(kind, form, param, true, predicted)

    def gradient(self, y_true: Any, y_pred: Any) -> Array:
        predicted = as_float(y_pred)
        true = self._cast(self._prepare(as_array(y_true), predicted.shape), predicted)
        kind, form, param, _ = self._spec(predicted.shape)
        return _core.loss_gradient(kind, form, param, true, predicted, None)

    def _cast(self, y_true: Array, y_pred: Array) -> Array:
        return y_true.astype(y_pred.dtype, copy=False)

    def _values_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        return self.call(y_true, y_pred), self.gradient(y_true, y_pred)


class MeanSquaredError(_CoreLoss):
    """`mean((y_pred - y_true)^2)` along the last axis.

    Parameters
    ----------
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> import hypernet as hn
    >>> float(hn.losses.MeanSquaredError()([[0.0, 0.0]], [[1.0, 2.0]]))
    2.5
    """

    _kind = "mean_squared_error"

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)


class MeanAbsoluteError(_CoreLoss):
    """`mean(|y_pred - y_true|)` along the last axis; the gradient at equality is 0.

    Parameters
    ----------
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> import hypernet as hn
    >>> float(hn.losses.MeanAbsoluteError()([[0.0, 0.0]], [[1.0, -2.0]]))
    1.5
    """

    _kind = "mean_absolute_error"

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_absolute_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)


class Huber(_CoreLoss):
    """`e^2 / 2` where |e| <= delta, else `delta |e| - delta^2 / 2`; e = y_pred - y_true; mean along the last axis.

    Parameters
    ----------
    delta : float
        Where the square ends.
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> import hypernet as hn
    >>> float(hn.losses.Huber()([[0.0, 0.0]], [[1.0, 3.0]]))
    1.5
    """

    _kind = "huber"

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.delta = self._param = float(delta)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "delta": self.delta}


class _Crossentropy(_CoreLoss):
    """What the cross-entropies share."""

    def __init__(
        self, from_logits: bool, smoothing: float, axis: Any, reduction: str | None, name: str, dtype: Any
    ) -> None:
        super().__init__(name, reduction, dtype)
        if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
            raise ValueError(f"`axis` must be of type `int`. Received: axis={axis} of type {type(axis)}")
        if axis != -1:
            raise NotImplementedError(f"{name}: `axis={axis}` is not built; classes lie along the last axis.")
        self.from_logits = bool(from_logits)
        self.label_smoothing = self._param = float(smoothing)
        self.axis = -1

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "axis": self.axis,
        }


class BinaryCrossentropy(_Crossentropy):
    """`-(t log p + (1 - t) log(1 - p))`, mean along the last axis.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits; else probabilities, clipped to [1e-7, 1 - 1e-7].
    label_smoothing : float
        s: targets t become `t (1 - s) + s / 2`.
    axis : int
        -1.
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> import hypernet as hn
    >>> round(float(hn.losses.BinaryCrossentropy()([[1.0]], [[0.5]])), 4)
    0.6931
    """

    _kind = "binary_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)


class CategoricalCrossentropy(_Crossentropy):
    """`-sum t log p` along the last axis, for one-hot targets.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits; else probabilities, divided by their sum and clipped to [1e-7, 1 - 1e-7].
    label_smoothing : float
        s: targets t become `t (1 - s) + s / classes`.
    axis : int
        -1.
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> import hypernet as hn
    >>> round(float(hn.losses.CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    _kind = "categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)


class SparseCategoricalCrossentropy(_CoreLoss):
    """`-log p[label]`, for integer labels.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits; else probabilities, divided by their sum and clipped to [1e-7, 1 - 1e-7].
    ignore_class : None
        Not built otherwise; give rows the weight 0.
    reduction, axis, name
        See `Loss` and `CategoricalCrossentropy`.

    Raises
    ------
    ValueError
        When called: a label is nan, no whole number, or out of range.

    Examples
    --------
    >>> import hypernet as hn
    >>> round(float(hn.losses.SparseCategoricalCrossentropy()([1], [[0.5, 0.5]])), 4)
    0.6931
    """

    _kind = "sparse_categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        if ignore_class is not None:
            raise NotImplementedError(
                f"{name}: `ignore_class={ignore_class}` is not built; give these rows `sample_weight` 0."
            )
        if axis != -1:
            raise NotImplementedError(f"{name}: `axis={axis}` is not built; classes lie along the last axis.")
        self.from_logits = bool(from_logits)
        self.ignore_class = None
        self.axis = -1

    def _prepare(self, y_true: Array, y_pred_shape: tuple[int, ...]) -> Array:
        positions, classes = y_pred_shape[:-1], y_pred_shape[-1]
        if y_true.shape == positions:
            labels = y_true
        elif y_true.shape == (*positions, 1):
            labels = y_true[..., 0]
        else:
            raise ValueError(
                f"Argument `output` must have rank (ndim) `target.ndim + 1`. {self.name} takes integer labels of shape "
                f"{positions} for predictions of shape {y_pred_shape}. Received: target.shape={y_true.shape}, "
                f"output.shape={y_pred_shape}"
            )
        return check_labels(labels, classes, self.name)

    def _cast(self, y_true: Array, y_pred: Array) -> Array:
        return y_true

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits, "ignore_class": self.ignore_class}


def check_labels(labels: Array, classes: int, name: str) -> Array:
    """Labels as int64.

    Raises
    ------
    ValueError
        A label is nan, no whole number, negative, or not below `classes`.
    """
    whole = labels if labels.dtype == np.int64 else labels.astype(np.int64) if _all_whole(labels) else None
    if whole is None:
        bad = labels[~(np.isfinite(labels) & (labels == np.floor(labels)))].flat[0]
        raise ValueError(f"Labels of {name} must be whole numbers from 0 to {classes - 1}. Received: {bad}")
    if whole.size and (whole.min() < 0 or whole.max() >= classes):
        bad = whole[(whole < 0) | (whole >= classes)].flat[0]
        raise ValueError(
            f"Labels of {name} must be from 0 to {classes - 1}, because the predictions have {classes} classes. "
            f"Received: {bad}"
        )
    return whole


def _all_whole(labels: Array) -> bool:
    return labels.dtype.kind != "f" or bool((np.isfinite(labels) & (labels == np.floor(labels))).all())


def _values(loss: Loss, y_true: Any, y_pred: Any) -> Array:
    predicted, true = loss._arrays(y_true, y_pred)
    return np.asarray(loss.call(true, predicted))


def mean_squared_error(y_true: Any, y_pred: Any) -> Array:
    """Each position's mean squared error: y_pred's shape without its last axis.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.losses.mean_squared_error([[0.0, 0.0]], [[1.0, 2.0]]).tolist()
    [2.5]
    """
    return _values(MeanSquaredError(), y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Array:
    """Each position's mean absolute error.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.losses.mean_absolute_error([[0.0, 0.0]], [[1.0, -2.0]]).tolist()
    [1.5]
    """
    return _values(MeanAbsoluteError(), y_true, y_pred)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Array:
    """Each position's Huber loss.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.losses.huber([[0.0, 0.0]], [[1.0, 3.0]]).tolist()
    [1.5]
    """
    return _values(Huber(delta), y_true, y_pred)


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """Each position's binary cross-entropy.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.losses.binary_crossentropy([[1.0]], [[0.0]], from_logits=True).round(4).tolist()
    [0.6930999755859375]
    """
    return _values(BinaryCrossentropy(from_logits, label_smoothing, axis), y_true, y_pred)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """Each position's cross-entropy with one-hot targets.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.losses.categorical_crossentropy([[0.0, 1.0]], [[3.0, 3.0]], from_logits=True).round(4).tolist()
    [0.6930999755859375]
    """
    return _values(CategoricalCrossentropy(from_logits, label_smoothing, axis), y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Array:
    """Each position's cross-entropy with integer labels.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.losses.sparse_categorical_crossentropy([1], [[3.0, 3.0]], from_logits=True).round(4).tolist()
    [0.6930999755859375]
    """
    return _values(SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis), y_true, y_pred)


_CLASS_OF: dict[Any, type[Loss]] = {
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
    huber: Huber,
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
}
_aliases = {
    "mse": mean_squared_error,
    "MSE": mean_squared_error,
    "mae": mean_absolute_error,
    "MAE": mean_absolute_error,
    "bce": binary_crossentropy,
    "BCE": binary_crossentropy,
}
_family = Family("loss", [*_CLASS_OF.values(), *_CLASS_OF], {"LossFunctionWrapper": LossFunctionWrapper, **_aliases})


def get(identifier: Any) -> Any:
    """The loss of this name or configuration: a function for a name in small letters, else a `Loss`.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.losses.get("mse") is hn.losses.mean_squared_error
    True
    >>> type(hn.losses.get("Huber")).__name__
    'Huber'
    """
    return _family.get(identifier)


def as_loss(identifier: Any) -> Loss:
    """A `Loss` object for everything that `compile` takes as a loss."""
    found = get(identifier)
    if isinstance(found, Loss):
        return found
    name = identifier if isinstance(identifier, str) else getattr(found, "__name__", None)
    built_in = _CLASS_OF.get(found)
    return LossFunctionWrapper(found, name=name) if built_in is None else built_in(name=name)


def serialize(loss: Any) -> Any:
    """A JSON value that `deserialize` takes."""
    return _family.serialize(loss)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss that `serialize` described."""
    return _family.deserialize(config, custom_objects)
