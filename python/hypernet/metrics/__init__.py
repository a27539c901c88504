"""Metrics: numbers that are kept over batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._convert import as_float
from .._names import snake_case
from .._registry import Family
from ..losses import (
    binary_crossentropy,
    categorical_crossentropy,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from .accuracies import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    same_rank,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .base import FixedFunction, Mean, MeanMetricWrapper, Metric, Sum

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "Mean",
    "MeanAbsoluteError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "Sum",
    "TopKCategoricalAccuracy",
    "binary_accuracy",
    "binary_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "deserialize",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


class MeanSquaredError(FixedFunction):
    """The mean squared error.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.MeanSquaredError()([[0.0]], [[2.0]])
    4.0
    """

    _direction = "down"

    def __init__(self, name: str | None = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(mean_squared_error, name, dtype)


class MeanAbsoluteError(FixedFunction):
    """The mean absolute error.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.MeanAbsoluteError()([[0.0]], [[-2.0]])
    2.0
    """

    _direction = "down"

    def __init__(self, name: str | None = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(mean_absolute_error, name, dtype)


class RootMeanSquaredError(Mean):
    """The square root of the mean squared error.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.RootMeanSquaredError()([[0.0], [0.0]], [[2.0], [2.0]])
    2.0
    """

    _direction = "down"

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        true, predicted = same_rank(y_true, y_pred)
        super().update_state(np.square(as_float(predicted) - true), sample_weight)

    def result(self) -> float:
        return math.sqrt(super().result())


class BinaryCrossentropy(FixedFunction):
    """The mean binary cross-entropy.

    Examples
    --------
    >>> import hypernet as hn
    >>> round(hn.metrics.BinaryCrossentropy()([[1.0]], [[0.5]]), 4)
    0.6931
    """

    _direction = "down"

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(binary_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing)


class CategoricalCrossentropy(FixedFunction):
    """The mean cross-entropy with one-hot targets.

    Examples
    --------
    >>> import hypernet as hn
    >>> round(hn.metrics.CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]), 4)
    0.6931
    """

    _direction = "down"

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        parameters = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(categorical_crossentropy, name, dtype, **parameters)


class SparseCategoricalCrossentropy(FixedFunction):
    """The mean cross-entropy with integer labels.

    Examples
    --------
    >>> import hypernet as hn
    >>> round(hn.metrics.SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]), 4)
    0.6931
    """

    _direction = "down"

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        parameters = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(sparse_categorical_crossentropy, name, dtype, **parameters)


_classes = [
    Sum, Mean, MeanMetricWrapper, Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy,
    TopKCategoricalAccuracy, SparseTopKCategoricalAccuracy, MeanSquaredError, MeanAbsoluteError, RootMeanSquaredError,
    BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy,
]  # fmt: skip
_functions = [
    binary_accuracy, categorical_accuracy, sparse_categorical_accuracy, top_k_categorical_accuracy,
    sparse_top_k_categorical_accuracy, mean_squared_error, mean_absolute_error, binary_crossentropy,
    categorical_crossentropy, sparse_categorical_crossentropy,
]  # fmt: skip
_aliases: dict[str, type[Metric]] = {
    "mse": MeanSquaredError, "MSE": MeanSquaredError, "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError,
    "bce": BinaryCrossentropy, "BCE": BinaryCrossentropy, "rmse": RootMeanSquaredError, "RMSE": RootMeanSquaredError,
}  # fmt: skip
_aliases.update({snake_case(cls.__name__): cls for cls in _classes})
_family = Family("metric", [*_classes, *_functions], _aliases)


def get(identifier: Any) -> Any:
    """The metric of this name or configuration; a function is itself.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.get("mse")
    <MeanSquaredError name=mean_squared_error>
    """
    return _family.get(identifier)


def serialize(metric: Any) -> Any:
    """A JSON value that `deserialize` takes."""
    return _family.serialize(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric that `serialize` described."""
    return _family.deserialize(config, custom_objects)
