"""Functions of single numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._convert import as_float
from .base import elementwise, in_core, on_arrays

Array = NDArray[Any]


@in_core("linear")
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
    return elementwise("linear", x)


@in_core("relu")
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
        return elementwise("relu", x)
    limit = math.inf if max_value is None else float(max_value)
    return elementwise("relu_general", x, float(negative_slope), limit, float(threshold))


@in_core("relu_general", 0.2, math.inf, 0.0)
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Array:
    """`x` where x is positive, else `negative_slope * x`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.leaky_relu([-4.0, 3.0], negative_slope=0.25).tolist()
    [-1.0, 3.0]
    """
    return elementwise("relu_general", x, float(negative_slope), math.inf, 0.0)


@in_core("relu_general", 0.0, 6.0, 0.0)
def relu6(x: Any) -> Array:
    """`min(max(x, 0), 6)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.relu6([1.0, 3.0, 9.0]).tolist()
    [1.0, 3.0, 6.0]
    """
    return elementwise("relu_general", x, 0.0, 6.0, 0.0)


@in_core("elu", 1.0)
def elu(x: Any, alpha: float = 1.0) -> Array:
    """`x` where x is positive, else `alpha * (exp(x) - 1)` (Clevert, Unterthiner, Hochreiter, ICLR 2016).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.elu([0.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    return elementwise("elu", x, float(alpha))


@in_core("selu")
def selu(x: Any) -> Array:
    """`scale * elu(x, alpha)`, scale 1.0507..., alpha 1.6733... (Klambauer et al., NeurIPS 2017).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.selu([0.0, 1.0]).round(4).tolist()
    [0.0, 1.0506999492645264]
    """
    return elementwise("selu", x)


@in_core("gelu")
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
    return elementwise("gelu_tanh" if approximate else "gelu", x)


@in_core("silu")
def silu(x: Any) -> Array:
    """`x * sigmoid(x)`, also called swish.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.silu([0.0]).tolist()
    [0.0]
    """
    return elementwise("silu", x)


swish = silu


@in_core("sigmoid")
def sigmoid(x: Any) -> Array:
    """`1 / (1 + exp(-x))`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.sigmoid([0.0]).tolist()
    [0.5]
    """
    return elementwise("sigmoid", x)


@in_core("tanh")
def tanh(x: Any) -> Array:
    """The hyperbolic tangent.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.tanh([0.0]).tolist()
    [0.0]
    """
    return elementwise("tanh", x)


@in_core("softplus")
def softplus(x: Any) -> Array:
    """`log(1 + exp(x))`.

    Examples
    --------
    >>> import hypernet as hn
    >>> float(hn.activations.softplus([0.0])[0].round(4))
    0.6930999755859375
    """
    return elementwise("softplus", x)


@in_core("softsign")
def softsign(x: Any) -> Array:
    """`x / (1 + |x|)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.softsign([-1.0, 3.0]).tolist()
    [-0.5, 0.75]
    """
    return elementwise("softsign", x)


@in_core("exponential")
def exponential(x: Any) -> Array:
    """`exp(x)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.exponential([0.0]).tolist()
    [1.0]
    """
    return elementwise("exponential", x)


@in_core("hard_sigmoid")
def hard_sigmoid(x: Any) -> Array:
    """`x / 6 + 1 / 2`, clipped to [0, 1].

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.hard_sigmoid([-4.0, 0.0, 3.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    return elementwise("hard_sigmoid", x)


@in_core("elu", 1.0)
def celu(x: Any, alpha: float = 1.0) -> Array:
    """`x` where x is positive, else `alpha * (exp(x / alpha) - 1)` (Barron, 2017).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.celu([0.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    if alpha == 1.0:
        return elementwise("elu", x, 1.0)
    array = as_float(x)
    return alpha * elementwise("elu", array / array.dtype.type(alpha), 1.0)


@in_core("squareplus", 4.0)
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
    return elementwise("squareplus", x, float(b))


@in_core("soft_shrink", 0.5)
def soft_shrink(x: Any, threshold: float = 0.5) -> Array:
    """`x` brought towards 0 by the threshold, and 0 from there on.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.soft_shrink([-2.0, 0.25, 2.0]).tolist()
    [-1.5, 0.0, 1.5]
    """
    return elementwise("soft_shrink", x, float(threshold))


@in_core("hard_shrink", 0.5)
def hard_shrink(x: Any, threshold: float = 0.5) -> Array:
    """`x` where `|x|` is larger than the threshold, else 0.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.hard_shrink([-2.0, 0.25, 2.0]).tolist()
    [-2.0, 0.0, 2.0]
    """
    return elementwise("hard_shrink", x, float(threshold))


@in_core("tanh_shrink")
def tanh_shrink(x: Any) -> Array:
    """`x - tanh(x)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.tanh_shrink([0.0]).tolist()
    [0.0]
    """
    return elementwise("tanh_shrink", x)


@in_core("hard_tanh")
def hard_tanh(x: Any) -> Array:
    """`x` clipped to [-1, 1].

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.hard_tanh([-2.0, 0.5, 2.0]).tolist()
    [-1.0, 0.5, 1.0]
    """
    return elementwise("hard_tanh", x)


@in_core("hard_silu")
def hard_silu(x: Any) -> Array:
    """`x * hard_sigmoid(x)`, also called hard_swish (Howard et al., ICCV 2019).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.hard_silu([-4.0, 0.0, 3.0]).tolist()
    [-0.0, 0.0, 3.0]
    """
    return elementwise("hard_silu", x)


hard_swish = hard_silu


@in_core("log_sigmoid")
def log_sigmoid(x: Any) -> Array:
    """`log(sigmoid(x))`.

    Examples
    --------
    >>> import hypernet as hn
    >>> float(hn.activations.log_sigmoid([0.0])[0].round(4))
    -0.6930999755859375
    """
    return elementwise("log_sigmoid", x)


@in_core("sparse_plus")
def sparse_plus(x: Any) -> Array:
    """0 up to -1, `(x + 1)^2 / 4` up to 1, then `x`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.sparse_plus([-2.0, 0.0, 2.0]).tolist()
    [0.0, 0.25, 2.0]
    """
    return elementwise("sparse_plus", x)


@in_core("sparse_sigmoid")
def sparse_sigmoid(x: Any) -> Array:
    """`(x + 1) / 2`, clipped to [0, 1].

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.sparse_sigmoid([-2.0, 0.0, 2.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    return elementwise("sparse_sigmoid", x)


@in_core("mish")
def mish(x: Any) -> Array:
    """`x * tanh(softplus(x))` (Misra, 2019).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.activations.mish([0.0]).tolist()
    [0.0]
    """
    return elementwise("mish", x)


@on_arrays
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
