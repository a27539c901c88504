"""How often predictions are right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._convert import as_array
from .base import FixedFunction

Array = NDArray[Any]


def same_rank(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """A last axis of one is added to (N,), or dropped, where the other array has one axis more or less.

    Raises
    ------
    ValueError
        The shapes differ otherwise.
    """
    true, predicted = as_array(y_true), as_array(y_pred)
    if true.ndim == predicted.ndim + 1 and true.shape[-1] == 1:
        true, predicted = (true, predicted[:, np.newaxis]) if predicted.ndim == 1 else (true[..., 0], predicted)
    elif predicted.ndim == true.ndim + 1 and predicted.shape[-1] == 1:
        true, predicted = (true[:, np.newaxis], predicted) if true.ndim == 1 else (true, predicted[..., 0])
    if true.shape != predicted.shape:
        raise ValueError(
            f"y_true and y_pred must have the same shape. Received: y_true.shape={true.shape}, "
            f"y_pred.shape={predicted.shape}"
        )
    return true, predicted


def _classes(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """The labels of one-hot targets, and the scores (ValueError for other shapes)."""
    true, predicted = as_array(y_true), as_array(y_pred)
    if true.shape != predicted.shape or true.ndim == 0 or true.shape[-1] == 0:
        raise ValueError(
            "One-hot targets and predictions must have the same shape, with the classes along the last axis. "
            f"Received: y_true.shape={true.shape}, y_pred.shape={predicted.shape}"
        )
    return true.argmax(-1), predicted


def accuracy(y_true: Any, y_pred: Any) -> Array:
    """Where both are equal."""
    true, predicted = same_rank(y_true, y_pred)
    return np.asarray(true == predicted)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Array:
    """Where `y_pred > threshold` says what y_true (0 or 1) does.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.binary_accuracy([[1.0], [1.0]], [[0.7], [0.2]]).tolist()
    [[1.0], [0.0]]
    """
    true, predicted = same_rank(y_true, y_pred)
    return np.asarray((predicted > threshold) == true, np.float32)


def categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """Where the largest of y_pred is at the largest of y_true, for one-hot targets.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.categorical_accuracy([[0.0, 1.0]], [[0.3, 0.7]]).tolist()
    [1.0]
    """
    labels, predicted = _classes(y_true, y_pred)
    return np.asarray(labels == predicted.argmax(-1), np.float32)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """Where the largest of y_pred is at the label.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.sparse_categorical_accuracy([1, 0], [[0.3, 0.7], [0.1, 0.9]]).tolist()
    [1.0, 0.0]
    """
    labels, predicted = _labels(y_true, y_pred)
    return np.asarray(labels == predicted.argmax(-1), np.float32)


def _labels(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Integer labels without a last axis of one, and the scores (ValueError for other shapes)."""
    true, predicted = as_array(y_true), as_array(y_pred)
    labels = true[..., 0] if true.ndim == predicted.ndim and true.shape[-1:] == (1,) else true
    if predicted.ndim == 0 or predicted.shape[-1] == 0 or labels.shape != predicted.shape[:-1]:
        raise ValueError(
            "Labels must have the shape of the predictions without their last axis, along which the classes lie. "
            f"Received: y_true.shape={true.shape}, y_pred.shape={predicted.shape}"
        )
    return labels, predicted


def _in_top_k(labels: Array, y_pred: Array, k: int) -> Array:
    """Fewer than k scores are larger than the label's; labels that name no class are never in."""
    classes = y_pred.shape[-1]
    valid = (labels >= 0) & (labels < classes) & (labels == np.floor(labels))
    numbers = np.where(valid, labels, 0).astype(np.int64)
    at = np.take_along_axis(y_pred, numbers[..., np.newaxis], -1)
    larger = (y_pred > np.where(np.isnan(at), -np.inf, at)).sum(-1)
    return np.asarray((larger < k) & valid, np.float32)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Array:
    """Where the one-hot target's class is among the k largest of y_pred.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.top_k_categorical_accuracy([[0.0, 1.0, 0.0]], [[0.5, 0.3, 0.2]], k=2).tolist()
    [1.0]
    """
    return _in_top_k(*_classes(y_true, y_pred), k)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False) -> Array:
    """Where the label is among the k largest of y_pred.

    Parameters
    ----------
    y_true, y_pred : array
    k : int
    from_sorted_ids : bool
        y_pred holds class ids, the best first, instead of scores.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.sparse_top_k_categorical_accuracy([1], [[0.5, 0.3, 0.2]], k=2).tolist()
    [1.0]
    """
    labels, predicted = _labels(y_true, y_pred)
    if from_sorted_ids:
        return np.asarray((labels[..., np.newaxis] == predicted[..., :k]).any(-1), np.float32)
    return _in_top_k(labels, predicted, k)


class _Rate(FixedFunction):
    """The mean of ones and zeros, one for each position."""

    _direction = "up"

    def _counts(self, sample: tuple[int, ...]) -> bool:
        # A subclass may do something else.
        return len(sample) == 1 and type(self).update_state is FixedFunction.update_state


class Accuracy(FixedFunction):
    """How often predictions equal targets.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.Accuracy()([[1], [2]], [[1], [3]])
    0.5
    """

    _direction = "up"

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(_Rate):
    """How often `y_pred > threshold` says what y_true (0 or 1) does.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.BinaryAccuracy()([[1.0], [1.0]], [[0.7], [0.2]])
    0.5
    """

    def __init__(self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)

    def _counts(self, sample: tuple[int, ...]) -> bool:
        return sample == (1,) and super()._counts(sample)  # of several values in a row it is the mean that counts


class CategoricalAccuracy(_Rate):
    """How often the largest of y_pred is at the largest of y_true (one-hot).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.CategoricalAccuracy()([[0.0, 1.0]], [[0.3, 0.7]])
    1.0
    """

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(_Rate):
    """How often the largest of y_pred is at the label.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.SparseCategoricalAccuracy()([1, 0], [[0.3, 0.7], [0.1, 0.9]])
    0.5
    """

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(_Rate):
    """How often the one-hot target's class is among the k largest of y_pred.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.TopKCategoricalAccuracy(k=1)([[0.0, 1.0]], [[0.3, 0.7]])
    1.0
    """

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(_Rate):
    """How often the label is among the k largest of y_pred.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.SparseTopKCategoricalAccuracy(k=1)([1], [[0.3, 0.7]])
    1.0
    """

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)
