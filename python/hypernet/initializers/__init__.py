"""Initializers: what weights begin with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._convert import as_array
from .._registry import Family
from .base import Constant, Identity, Initializer, Ones, Zeros, as_dtype
from .random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    compute_fans,
)

Array = NDArray[Any]

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]


class _Given(Initializer):
    """A user's function of (shape, dtype), or array, with the signature of all initializers."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        values = self.given(shape, dtype=dtype) if callable(self.given) else self.given
        array = as_array(values).astype(as_dtype(dtype), copy=False)
        if array.shape != tuple(shape):
            raise ValueError(
                f"Expected `shape` to be {array.shape} for direct tensor as initializer. Received shape={tuple(shape)}"
            )
        return array.copy()


zeros = Zeros
ones = Ones
constant = Constant
identity = IdentityInitializer = Identity
random_normal = RandomNormal
truncated_normal = TruncatedNormal
random_uniform = RandomUniform
variance_scaling = VarianceScaling
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
he_normal = HeNormal
he_uniform = HeUniform
orthogonal = OrthogonalInitializer = Orthogonal

_classes = [
    Initializer, Zeros, Ones, Constant, Identity, RandomNormal, TruncatedNormal, RandomUniform, VarianceScaling,
    GlorotUniform, GlorotNormal, LecunNormal, LecunUniform, HeNormal, HeUniform, Orthogonal,
]  # fmt: skip
_aliases = {
    "zero": Zeros, "one": Ones, "normal": RandomNormal, "uniform": RandomUniform, "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
}  # fmt: skip
_family = Family("initializer", _classes, _aliases)


def _takes_fans(call: Callable[..., Any]) -> bool:
    parameters = inspect.signature(call).parameters
    return "fan_in" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def get(identifier: Any) -> Any:
    """The initializer of this name or configuration; None is None, a function (shape, dtype) or an array serves too.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import hypernet as hn
    >>> type(hn.initializers.get("he_normal")).__name__
    'HeNormal'
    """
    if isinstance(identifier, (np.ndarray, np.generic)):
        return _Given(identifier)
    found = _family.get(identifier)
    return found if found is None or _takes_fans(found) else _Given(found)


def serialize(initializer: Any) -> Any:
    """A JSON value that `deserialize` takes."""
    if not isinstance(initializer, _Given):
        return _family.serialize(initializer)
    if callable(initializer.given):
        return _family.serialize(initializer.given)
    return {"class_name": "Constant", "config": {"value": initializer.given.tolist()}, "registered_name": None}


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer that `serialize` described."""
    return get(_family.deserialize(config, custom_objects))
