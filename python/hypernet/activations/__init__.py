"""Activation functions: callable on arrays, and known to the core by a name, so that layers can use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._registry import Family
from .elementwise import (
    celu,
    elu,
    exponential,
    gelu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    swish,
    tanh,
    tanh_shrink,
    threshold,
)
from .rows import glu, log_softmax, softmax, sparsemax

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
