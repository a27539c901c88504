"""Penalties on weights: a value to add to the loss, and its gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._convert import as_float
from ._registry import Family

Array = NDArray[Any]

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]


class Regularizer:
    """The base of all penalties; one of your own defines `__call__`, `gradient` and `get_config`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> class Fourth(hn.regularizers.Regularizer):
    ...     def __call__(self, x):
    ...         return float((x**4).sum())
    ...     def gradient(self, x):
    ...         return 4 * x**3
    >>> Fourth().gradient(np.ones(2)).tolist()
    [4.0, 4.0]
    """

    def __call__(self, x: Any) -> float:
        """The penalty of a weight array."""
        return 0.0

    def gradient(self, x: Any) -> Array:
        """d penalty / dx, in x's shape."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `gradient(x)`, the derivative of its value: hypernet does not "
            "differentiate Python code."
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make the same penalty."""
        raise NotImplementedError(f"{self} does not implement get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The penalty that `get_config` described."""
        return cls(**config)


def _factor(value: Any, name: str) -> float:
    if not isinstance(value, (float, int, np.floating, np.integer)) or not math.isfinite(value) or value < 0:
        raise ValueError(f"Invalid value for argument {name}: expected a non-negative float. Received: {name}={value}")
    return float(value)


class L1L2(Regularizer):
    """`l1 * sum |x| + l2 * sum x^2`.

    Parameters
    ----------
    l1, l2 : float
        Factors, not negative.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> penalty = hn.regularizers.L1L2(l1=1.0, l2=0.5)
    >>> penalty(np.array([2.0, -2.0]))
    8.0
    >>> penalty.gradient(np.array([2.0, -2.0])).tolist()
    [3.0, -3.0]
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _factor(0.0 if l1 is None else l1, "l1")
        self.l2 = _factor(0.0 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> float:
        return _l1_l2(as_float(x), self.l1, self.l2)

    def gradient(self, x: Any) -> Array:
        return _l1_l2_gradient(as_float(x), self.l1, self.l2)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """`l1 * sum |x|`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.regularizers.L1(0.5)(np.array([2.0, -2.0]))
    2.0
    """

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = _factor(0.01 if l1 is None else l1, "l1")

    def __call__(self, x: Any) -> float:
        return _l1_l2(as_float(x), self.l1, 0.0)

    def gradient(self, x: Any) -> Array:
        return _l1_l2_gradient(as_float(x), self.l1, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """`l2 * sum x^2`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.regularizers.L2(0.5)(np.array([2.0, -2.0]))
    4.0
    """

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = _factor(0.01 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> float:
        return _l1_l2(as_float(x), 0.0, self.l2)

    def gradient(self, x: Any) -> Array:
        return _l1_l2_gradient(as_float(x), 0.0, self.l2)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


def _l1_l2(x: Array, l1: float, l2: float) -> float:
    value = 0.0
    if l1 != 0.0:
        value += l1 * float(np.abs(x).sum(dtype=np.float64))
    if l2 != 0.0:
        value += l2 * float(np.square(x).sum(dtype=np.float64))
    return value


def _l1_l2_gradient(x: Array, l1: float, l2: float) -> Array:
    gradient = 2.0 * l2 * x if l2 != 0.0 else np.zeros_like(x)
    if l1 != 0.0:
        gradient += l1 * np.sign(x)
    return gradient


class OrthogonalRegularizer(Regularizer):
    """The mean absolute cosine between different rows (or columns) of a matrix, times a factor.

    Parameters
    ----------
    factor : float
        Not negative.
    mode : "rows" or "columns"
        What shall be orthogonal.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.regularizers.OrthogonalRegularizer(1.0)(np.eye(3))
    0.0
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor(factor, "factor")
        if mode not in ("rows", "columns"):
            raise ValueError(
                f'Invalid value for argument `mode`. Expected one of {{"rows", "columns"}}. Received: mode={mode}'
            )
        self.mode = mode

    def _rows(self, x: Any) -> tuple[Array, Array]:
        """The unit vectors, one a row, and their former lengths."""
        array = as_float(x)
        if array.ndim != 2:
            raise ValueError(f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={array.shape}")
        rows = array if self.mode == "rows" else array.T
        lengths = np.maximum(np.sqrt(np.square(rows).sum(axis=1, keepdims=True)), 1e-6)
        return rows / lengths, lengths

    def __call__(self, x: Any) -> float:
        units, _ = self._rows(x)
        products = units @ units.T
        np.fill_diagonal(products, 0.0)
        return self._scale(len(units)) * float(np.abs(products).sum(dtype=np.float64))

    def gradient(self, x: Any) -> Array:
        units, lengths = self._rows(x)
        signs = np.sign(units @ units.T)
        np.fill_diagonal(signs, 0.0)
        d_units = 2.0 * self._scale(len(units)) * (signs @ units)
        d_rows = (d_units - units * (units * d_units).sum(axis=1, keepdims=True)) / lengths
        return d_rows if self.mode == "rows" else np.ascontiguousarray(d_rows.T)

    def _scale(self, count: int) -> float:
        pairs = count * (count - 1) / 2
        return self.factor * 0.5 / pairs if pairs else math.nan

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_family = Family("regularizer", [Regularizer, L1, L2, L1L2, OrthogonalRegularizer], {"l1_l2": L1L2})


def get(identifier: Any) -> Any:
    """The penalty of this name or configuration; None is None, an object is itself.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.regularizers.get("l2").l2
    0.01
    """
    return _family.get(identifier)


def serialize(regularizer: Any) -> Any:
    """A JSON value that `deserialize` takes."""
    return _family.serialize(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The penalty that `serialize` described."""
    return _family.deserialize(config, custom_objects)
