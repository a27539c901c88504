"""Activation functions: callable on arrays, and known to the core by a name, so that layers can use them."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._convert import as_float
from ._registry import Family

Array = NDArray[Any]
Lowering = tuple[str, tuple[float, ...]]

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]


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


def _in_core(name: str, *params: float) -> Callable[[Callable[..., Array]], ActivationFunction]:
    return lambda function: ActivationFunction(function, (name, params))


def _on_arrays(function: Callable[..., Array]) -> ActivationFunction:
    return ActivationFunction(function, None)


def _map(name: str, x: Any, *params: float) -> Array:
    array = as_float(x)
    if array.ndim == 0:
        return _core.map_forward(name, params, array.reshape(1)).reshape(())
    return _core.map_forward(name, params, array)


def _checked_axis(name: str, array: Array, axis: Any) -> int:
    try:
        axis = operator.index(axis)
    except TypeError:
        raise NotImplementedError(f"{name}: `axis={axis!r}` is not built; pass one integer.") from None
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"{name}: `axis={axis}` is out of range for an array of shape {array.shape}.")
    return int(axis)


def _along(name: str, x: Any, axis: int) -> Array:
    """A function of whole rows, along any axis."""
    array = as_float(x)
    axis = _checked_axis(name, array, axis)
    if axis in (-1, array.ndim - 1):
        return _core.map_forward(name, (), array)
    turned = np.ascontiguousarray(np.moveaxis(array, axis, -1))
    return np.ascontiguousarray(np.moveaxis(_core.map_forward(name, (), turned), -1, axis))


@_in_core("linear")
def linear(x: Any) -> Array:
    """The identity.

    Parameters
    ----------
    x : array

    Returns
    -------
    array
        The same numbers in a new array.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.linear([-1.0, 2.0]).tolist()
    [-1.0, 2.0]
    """
    return _map("linear", x)


@_in_core("relu")
def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Array:
    """`max(x, 0)`, or with parameters: a slope below the threshold, a bound above.

    Parameters
    ----------
    x : array
    negative_slope : float
        Slope for x < threshold: `negative_slope * (x - threshold)`.
    max_value : float, optional
        Upper bound; None is none.
    threshold : float
        Below it the slope holds.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.relu([-2.0, 3.0, 9.0], negative_slope=0.5, max_value=6.0).tolist()
    [-1.0, 3.0, 6.0]
    """
    if negative_slope == 0.0 and max_value is None and threshold == 0.0:
        return _map("relu", x)
    limit = math.inf if max_value is None else float(max_value)
    return _map("relu_general", x, float(negative_slope), limit, float(threshold))


@_in_core("relu_general", 0.2, math.inf, 0.0)
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Array:
    """`x` where x is positive, else `negative_slope * x`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.leaky_relu([-4.0, 3.0], negative_slope=0.25).tolist()
    [-1.0, 3.0]
    """
    return _map("relu_general", x, float(negative_slope), math.inf, 0.0)


@_in_core("relu_general", 0.0, 6.0, 0.0)
def relu6(x: Any) -> Array:
    """`min(max(x, 0), 6)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.relu6([1.0, 3.0, 9.0]).tolist()
    [1.0, 3.0, 6.0]
    """
    return _map("relu_general", x, 0.0, 6.0, 0.0)


@_in_core("elu", 1.0)
def elu(x: Any, alpha: float = 1.0) -> Array:
    """`x` where x is positive, else `alpha * (exp(x) - 1)` (Clevert, Unterthiner, Hochreiter, ICLR 2016).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.elu([0.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    return _map("elu", x, float(alpha))


@_in_core("selu")
def selu(x: Any) -> Array:
    """`scale * elu(x, alpha)`, scale 1.0507..., alpha 1.6733... (Klambauer et al., NeurIPS 2017).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.selu([0.0, 1.0]).round(4).tolist()
    [0.0, 1.0506999492645264]
    """
    return _map("selu", x)


@_in_core("gelu")
def gelu(x: Any, approximate: bool = False) -> Array:
    """`x * Phi(x)`, Phi the normal distribution function (Hendrycks, Gimpel, 2016).

    Parameters
    ----------
    x : array
    approximate : bool
        True: the tanh formula.

    Examples
    --------
    >>> import hypernet as hn
    >>> float(hn.activations.gelu([1.0])[0].round(4))
    0.8413000106811523
    """
    return _map("gelu_tanh" if approximate else "gelu", x)


@_in_core("silu")
def silu(x: Any) -> Array:
    """`x * sigmoid(x)`, also called swish.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.silu([0.0]).tolist()
    [0.0]
    """
    return _map("silu", x)


swish = silu


@_in_core("sigmoid")
def sigmoid(x: Any) -> Array:
    """`1 / (1 + exp(-x))`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.sigmoid([0.0]).tolist()
    [0.5]
    """
    return _map("sigmoid", x)


@_in_core("tanh")
def tanh(x: Any) -> Array:
    """The hyperbolic tangent.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.tanh([0.0]).tolist()
    [0.0]
    """
    return _map("tanh", x)


@_in_core("softplus")
def softplus(x: Any) -> Array:
    """`log(1 + exp(x))`.

    Examples
    --------
    >>> import hypernet as hn
    >>> float(hn.activations.softplus([0.0])[0].round(4))
    0.6930999755859375
    """
    return _map("softplus", x)


@_in_core("softsign")
def softsign(x: Any) -> Array:
    """`x / (1 + |x|)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.softsign([-1.0, 3.0]).tolist()
    [-0.5, 0.75]
    """
    return _map("softsign", x)


@_in_core("exponential")
def exponential(x: Any) -> Array:
    """`exp(x)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.exponential([0.0]).tolist()
    [1.0]
    """
    return _map("exponential", x)


@_in_core("hard_sigmoid")
def hard_sigmoid(x: Any) -> Array:
    """`x / 6 + 1 / 2`, clipped to [0, 1].

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.hard_sigmoid([-4.0, 0.0, 3.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    return _map("hard_sigmoid", x)


@_in_core("elu", 1.0)
def celu(x: Any, alpha: float = 1.0) -> Array:
    """`x` where x is positive, else `alpha * (exp(x / alpha) - 1)` (Barron, 2017).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.celu([0.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    if alpha == 1.0:
        return _map("elu", x, 1.0)
    array = as_float(x)
    return alpha * _map("elu", array / array.dtype.type(alpha), 1.0)


@_in_core("squareplus", 4.0)
def squareplus(x: Any, b: float = 4) -> Array:
    """`(x + sqrt(x^2 + b)) / 2` (Barron, 2021).

    Parameters
    ----------
    x : array
    b : float
        Smoothness, not negative.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.squareplus([0.0, 1.5]).tolist()
    [1.0, 2.0]
    """
    return _map("squareplus", x, float(b))


@_in_core("soft_shrink", 0.5)
def soft_shrink(x: Any, threshold: float = 0.5) -> Array:
    """`x` brought towards 0 by the threshold, and 0 from there on.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.soft_shrink([-2.0, 0.25, 2.0]).tolist()
    [-1.5, 0.0, 1.5]
    """
    return _map("soft_shrink", x, float(threshold))


@_in_core("hard_shrink", 0.5)
def hard_shrink(x: Any, threshold: float = 0.5) -> Array:
    """`x` where `|x|` is larger than the threshold, else 0.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.hard_shrink([-2.0, 0.25, 2.0]).tolist()
    [-2.0, 0.0, 2.0]
    """
    return _map("hard_shrink", x, float(threshold))


@_in_core("tanh_shrink")
def tanh_shrink(x: Any) -> Array:
    """`x - tanh(x)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.tanh_shrink([0.0]).tolist()
    [0.0]
    """
    return _map("tanh_shrink", x)


@_in_core("hard_tanh")
def hard_tanh(x: Any) -> Array:
    """`x` clipped to [-1, 1].

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.hard_tanh([-2.0, 0.5, 2.0]).tolist()
    [-1.0, 0.5, 1.0]
    """
    return _map("hard_tanh", x)


@_in_core("hard_silu")
def hard_silu(x: Any) -> Array:
    """`x * hard_sigmoid(x)`, also called hard_swish (Howard et al., ICCV 2019).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.hard_silu([-4.0, 0.0, 3.0]).tolist()
    [-0.0, 0.0, 3.0]
    """
    return _map("hard_silu", x)


hard_swish = hard_silu


@_in_core("log_sigmoid")
def log_sigmoid(x: Any) -> Array:
    """`log(sigmoid(x))`.

    Examples
    --------
    >>> import hypernet as hn
    >>> float(hn.activations.log_sigmoid([0.0])[0].round(4))
    -0.6930999755859375
    """
    return _map("log_sigmoid", x)


@_in_core("sparse_plus")
def sparse_plus(x: Any) -> Array:
    """0 up to -1, `(x + 1)^2 / 4` up to 1, then `x`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.sparse_plus([-2.0, 0.0, 2.0]).tolist()
    [0.0, 0.25, 2.0]
    """
    return _map("sparse_plus", x)


@_in_core("sparse_sigmoid")
def sparse_sigmoid(x: Any) -> Array:
    """`(x + 1) / 2`, clipped to [0, 1].

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.sparse_sigmoid([-2.0, 0.0, 2.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    return _map("sparse_sigmoid", x)


@_in_core("mish")
def mish(x: Any) -> Array:
    """`x * tanh(softplus(x))` (Misra, 2019).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.mish([0.0]).tolist()
    [0.0]
    """
    return _map("mish", x)


@_on_arrays
def threshold(x: Any, threshold: float, default_value: float) -> Array:
    """`x` where it is larger than the threshold, else the default value; on arrays only.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.threshold([-1.0, 2.0], 0.0, 5.0).tolist()
    [5.0, 2.0]
    """
    array = as_float(x)
    value = array.dtype.type(default_value)
    return np.asarray(np.where((array > threshold) | np.isnan(array), array, value))


@_on_arrays
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
    axis = _checked_axis("glu", array, axis)
    if array.shape[axis] % 2:
        raise ValueError(f"axis size must be divisible by 2. Received: x.shape={array.shape} with axis={axis}")
    first, second = np.split(array, 2, axis)
    return np.asarray(first * _map("sigmoid", second))


@_on_arrays
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
    rows = np.moveaxis(array, _checked_axis("sparsemax", array, axis), -1)
    ordered = -np.sort(-rows, axis=-1)
    excess = np.cumsum(ordered, axis=-1) - 1
    counts = np.arange(1, rows.shape[-1] + 1, dtype=array.dtype)
    size = (ordered * counts > excess).sum(-1, keepdims=True)
    limit = np.take_along_axis(excess, np.maximum(size, 1) - 1, -1) / np.maximum(size, 1).astype(array.dtype)
    return np.ascontiguousarray(np.moveaxis(np.maximum(rows - limit, 0), -1, axis))


@_in_core("softmax")
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
    return _along("softmax", x, axis)


@_in_core("log_softmax")
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
    return _along("log_softmax", x, axis)


_functions = [
    linear, relu, leaky_relu, relu6, elu, selu, gelu, silu, sigmoid, tanh, softplus, softsign, exponential, hard_sigmoid,
    softmax, log_softmax, celu, squareplus, soft_shrink, hard_shrink, tanh_shrink, hard_tanh, hard_silu, log_sigmoid,
    sparse_plus, sparse_sigmoid, mish, threshold, glu, sparsemax,
]  # fmt: skip
_family = Family("activation function", _functions, {"swish": silu, "hard_swish": hard_silu})


def get(identifier: Any) -> Any:
    """The activation function of this name; None is `linear`, a function is itself.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.get("swish") is hn.activations.silu
    True
    """
    return linear if identifier is None else _family.get(identifier, make=False)


def serialize(activation: Any) -> Any:
    """The name of a built-in function; a configuration of others."""
    return _family.serialize(activation)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The function that `serialize` described."""
    return _family.deserialize(config, custom_objects)
