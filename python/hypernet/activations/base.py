"""What activation functions have in common: arrays come in, and the core knows most of them by a name."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._convert import as_float

Array = NDArray[Any]
Lowering = tuple[str, tuple[float, ...]]


class ActivationFunction:
    """A function on arrays; `lowering()` gives the name by which the core knows it, and its parameters there."""

    __name__: str

    def __init__(self, function: Callable[..., Array], lowered: Lowering | None) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._lowered = lowered

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Array:
        return self._function(x, *args, **kwargs)

    def lowering(self) -> Lowering:
        """The core's name of the function with its default parameters, and these parameters.

        Raises
        ------
        NotImplementedError
            The core does not know it: it serves on arrays only.
        """
        if self._lowered is None:
            raise NotImplementedError(
                f"The activation '{self.__name__}' is not built for layers; apply `hypernet.activations.{self.__name__}` "
                "to the model's output."
            )
        return self._lowered

    def __reduce__(self) -> str:
        return self.__name__

    def __repr__(self) -> str:
        return f"<activation {self.__name__}>"


def in_core(name: str, *params: float) -> Callable[[Callable[..., Array]], ActivationFunction]:
    return lambda function: ActivationFunction(function, (name, params))


def on_arrays(function: Callable[..., Array]) -> ActivationFunction:
    return ActivationFunction(function, None)


def elementwise(name: str, x: Any, *params: float) -> Array:
    array = as_float(x)
    if array.ndim == 0:
        return _core.map_forward(name, params, array.reshape(1)).reshape(())
    return _core.map_forward(name, params, array)


def checked_axis(name: str, array: Array, axis: Any) -> int:
    try:
        axis = operator.index(axis)
    except TypeError:
        raise NotImplementedError(f"{name}: `axis={axis!r}` is not built; pass one integer.") from None
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"{name}: `axis={axis}` is out of range for an array of shape {array.shape}.")
    return int(axis)


def along(name: str, x: Any, axis: int) -> Array:
    """A function of whole rows, along any axis."""
    array = as_float(x)
    axis = checked_axis(name, array, axis)
    if axis in (-1, array.ndim - 1):
        return _core.map_forward(name, (), array)
    turned = np.ascontiguousarray(np.moveaxis(array, axis, -1))
    return np.ascontiguousarray(np.moveaxis(_core.map_forward(name, (), turned), -1, axis))
