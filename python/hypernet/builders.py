"""The tutorial's two networks, ready-made, and NumPy's arrays under TensorFlow's names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layers.core import Dense
from .layers.input import Input
from .models.model import Model

Array = NDArray[Any]


def hypernetwork(
    input_dim: int, output_dim: int, hidden: int = 64, dtype: str | None = None, name: str | None = None
) -> Model:
    """The tutorial's generator: Input -> Dense(64, relu) -> Dense(output_dim, linear).

    Parameters
    ----------
    input_dim : int
        Length of a condition.
    output_dim : int
        How many weights it gives: `target.count_params()`.
    hidden : int
        Width of the layer between.
    dtype, name : str, optional
        As for `Input` and `Model`.

    Returns
    -------
    Model
        From (N, input_dim) to (N, output_dim).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.hypernetwork(4, 10).predict(hn.ones((1, 4)), verbose=0).shape
    (1, 10)
    """
    inputs = Input(shape=(input_dim,), dtype=dtype)
    features = Dense(hidden, activation="relu")(inputs)
    return Model(inputs, Dense(output_dim, activation="linear")(features), name=name)


def target_network(
    input_dim: int, output_dim: int, hidden: int = 128, dtype: str | None = None, name: str | None = None
) -> Model:
    """The tutorial's target: Input -> Dense(128, relu) -> Dense(output_dim, softmax).

    Parameters
    ----------
    input_dim, output_dim : int
        Length of a row of data, and number of classes.
    hidden : int
        Width of the layer between.
    dtype, name : str, optional
        As for `Input` and `Model`.

    Returns
    -------
    Model
        From (M, input_dim) to (M, output_dim).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.target_network(100, 10).count_params()
    14218
    """
    inputs = Input(shape=(input_dim,), dtype=dtype)
    features = Dense(hidden, activation="relu")(inputs)
    return Model(inputs, Dense(output_dim, activation="softmax")(features), name=name)


def ones(shape: Any, dtype: Any = "float32", name: str | None = None) -> Array:
    """A NumPy array of ones.

    >>> ones((1, 2)).tolist()
    [[1.0, 1.0]]
    """
    return np.ones(shape, dtype)


def zeros(shape: Any, dtype: Any = "float32", name: str | None = None) -> Array:
    """A NumPy array of zeros.

    >>> zeros(2).tolist()
    [0.0, 0.0]
    """
    return np.zeros(shape, dtype)


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Array:
    """A NumPy array of given values: float32 for Python floats, int32 for Python ints, as in TensorFlow.

    >>> constant([1.0, 2.0]).dtype.name
    'float32'
    """
    array = np.array(value, dtype)
    if dtype is None and not isinstance(value, (np.ndarray, np.generic)):
        array = array.astype({"f": np.float32, "i": np.int32}.get(array.dtype.kind, array.dtype))
    if shape is None:
        return array
    return np.array(np.broadcast_to(array, shape)) if array.ndim == 0 else array.reshape(shape)
