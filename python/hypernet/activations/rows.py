"""Functions of whole rows, along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._convert import as_float
from .base import along, checked_axis, elementwise, in_core, on_arrays

Array = NDArray[Any]


@on_arrays
def glu(x: Any, axis: int = -1) -> Array:
    """The first half times the sigmoid of the second (Dauphin et al., ICML 2017); on arrays only.

    Parameters
    ----------
    x : array
    axis : int
        Which is halved; of even length.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.glu([3.0, 0.0]).tolist()
    [1.5]
    """
    array = as_float(x)
    axis = checked_axis("glu", array, axis)
    if array.shape[axis] % 2:
        raise ValueError(f"axis size must be divisible by 2. Received: x.shape={array.shape} with axis={axis}")
    first, second = np.split(array, 2, axis)
    with np.errstate(invalid="ignore"):  # inf times 0 is nan without a warning, as in the core
        return np.asarray(first * elementwise("sigmoid", second))


@on_arrays
def sparsemax(x: Any, axis: int = -1) -> Array:
    """The nearest point of the simplex, which is often sparse (Martins, Astudillo, ICML 2016); on arrays only.

    Parameters
    ----------
    x : array
    axis : int
        Along which the result sums to one.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.sparsemax([[0.5, 0.25, -3.0]]).tolist()
    [[0.625, 0.375, 0.0]]
    """
    array = as_float(x)
    rows = np.moveaxis(array, checked_axis("sparsemax", array, axis), -1)
    if rows.shape[-1] == 0:
        return array.copy()
    top = rows.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):  # a row whose largest number is nan or infinite: nan, as softmax
        rows = rows - top  # the result is the same, and the sums below lose nothing of the 1
        ordered = -np.sort(-rows, axis=-1)
        excess = np.cumsum(ordered, axis=-1) - 1
        counts = np.arange(1, rows.shape[-1] + 1, dtype=array.dtype)
        size = np.maximum((ordered * counts > excess).sum(-1, keepdims=True), 1)
        limit = np.take_along_axis(excess, size - 1, -1) / size.astype(array.dtype) + (top - top)
        return np.ascontiguousarray(np.moveaxis(np.maximum(rows - limit, 0), -1, axis))


@in_core("softmax")
def softmax(x: Any, axis: int = -1) -> Array:
    """`exp(x) / sum(exp(x))` along an axis.

    Parameters
    ----------
    x : array
    axis : int
        Along which the result sums to one.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.softmax([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """
    return along("softmax", x, axis)


@in_core("log_softmax")
def log_softmax(x: Any, axis: int = -1) -> Array:
    """`x - log(sum(exp(x)))` along an axis.

    Parameters
    ----------
    x : array
    axis : int
        Along which the exponentials of the result sum to one.

    Examples
    --------
    >>> import hypernet as hn
    >>> float(hn.activations.log_softmax([[0.0, 0.0]])[0, 0].round(4))
    -0.6930999755859375
    """
    return along("log_softmax", x, axis)
