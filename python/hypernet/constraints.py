"""Constraints: what a weight is projected to after every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._convert import as_float
from ._registry import Family

Array = NDArray[Any]
Axis = int | tuple[int, ...] | list[int]
_EPSILON = 1e-7

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]


class Constraint:
    """The base of all constraints; one of your own defines `__call__` and `get_config`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> class Clipped(hn.constraints.Constraint):
    ...     def __call__(self, w):
    ...         return np.clip(w, -1, 1)
    >>> Clipped()(np.array([3.0])).tolist()
    [1.0]
    """

    def __call__(self, w: Any) -> Array:
        """The projected array, in w's shape."""
        return as_float(w)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make the same constraint."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The constraint that `get_config` described."""
        return cls(**config)


def _norms(w: Array, axis: Axis) -> Array:
    axes = tuple(axis) if isinstance(axis, list) else axis
    return np.asarray(np.sqrt(np.square(w).sum(axis=axes, keepdims=True)))


class MaxNorm(Constraint):
    """Norms along an axis of at most `max_value`.

    Parameters
    ----------
    max_value : float
        The greatest norm.
    axis : int or tuple of int
        Along which norms are taken; 0 for a kernel (in, out): the weights of one output.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.constraints.MaxNorm(1.0)([[3.0], [4.0]]).round(3).tolist()
    [[0.6000000238418579], [0.800000011920929]]
    """

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Array:
        array = as_float(w)
        norms = _norms(array, self.axis)
        return array * (np.clip(norms, 0, self.max_value) / (_EPSILON + norms))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """No negative weights.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.constraints.NonNeg()([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """

    def __call__(self, w: Any) -> Array:
        return np.maximum(as_float(w), 0)


class UnitNorm(Constraint):
    """Norms of one along an axis.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.constraints.UnitNorm()([[3.0], [4.0]]).round(3).tolist()
    [[0.6000000238418579], [0.800000011920929]]
    """

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Array:
        array = as_float(w)
        return array / (_EPSILON + _norms(array, self.axis))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Norms along an axis between two bounds.

    Parameters
    ----------
    min_value, max_value : float
        The bounds.
    rate : float
        1: all the way; less: `(1 - rate) * norm + rate * clip(norm, min_value, max_value)`.
    axis : int or tuple of int
        Along which norms are taken.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.constraints.MinMaxNorm(max_value=2.0)([[3.0], [4.0]]).round(3).tolist()
    [[1.2000000476837158], [1.600000023841858]]
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = 0) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Array:
        array = as_float(w)
        norms = _norms(array, self.axis)
        desired = self.rate * np.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return array * (desired / (_EPSILON + norms))

    def get_config(self) -> dict[str, Any]:
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis}


max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm
min_max_norm = MinMaxNorm

_family = Family("constraint", [Constraint, MaxNorm, NonNeg, UnitNorm, MinMaxNorm])


def get(identifier: Any) -> Any:
    """The constraint of this name or configuration; None is None, an object is itself.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.constraints.get("max_norm").max_value
    2
    """
    return _family.get(identifier)


def serialize(constraint: Any) -> Any:
    """A JSON value that `deserialize` takes."""
    return _family.serialize(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The constraint that `serialize` described."""
    return _family.deserialize(config, custom_objects)
