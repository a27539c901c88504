"""Small tools: seeds, names, one-hot labels, and the classes that feed `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._convert import as_array, as_dtype
from ._names import reset_names
from ._random import set_random_seed
from ._registry import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from .training.dataset import PyDataset

Array = NDArray[Any]

__all__ = [
    "CustomObjectScope",
    "PyDataset",
    "clear_session",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "normalize",
    "register_keras_serializable",
    "set_random_seed",
    "to_categorical",
]


def clear_session(free_memory: bool = True) -> None:
    """Start counting names anew: the next layer is `dense` again.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.utils.clear_session()
    >>> hn.layers.Dense(3).name
    'dense'
    """
    reset_names()


def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """Integer labels as one-hot rows.

    Parameters
    ----------
    x : array of int, any shape
        Labels from 0; a last axis of one is dropped.
    num_classes : int, optional
        Length of a row; one more than the largest label by default.

    Returns
    -------
    array
        Of shape (*x.shape, num_classes).

    Raises
    ------
    ValueError
        A label is negative, too large, or no whole number.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.utils.to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    labels = as_dtype(x, "int64", "x")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.size == 0 and num_classes is None:
        raise ValueError(f"There is no largest label in an array of shape {labels.shape}: pass `num_classes`.")
    count = int(labels.max()) + 1 if num_classes is None else int(num_classes)
    if labels.size and (labels.min() < 0 or labels.max() >= count):
        raise ValueError(
            f"Labels must be from 0 to {count - 1}. Received labels from {labels.min()} to {labels.max()}."
        )
    rows = np.zeros((*labels.shape, count))
    np.put_along_axis(rows, labels[..., np.newaxis], 1.0, axis=-1)
    return rows


def normalize(x: Any, axis: int = -1, order: int = 2) -> Array:
    """An array divided by its norm along an axis; rows of zeros stay.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.utils.normalize([[3.0, 4.0]]).tolist()
    [[0.6, 0.8]]
    """
    array = as_array(x)
    norm = np.atleast_1d(np.linalg.norm(array, order, axis))
    norm[norm == 0] = 1
    return array / np.expand_dims(norm, axis)
