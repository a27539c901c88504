"""Activation functions: values and gradients, with their parameters, over small, large and zero arguments."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .libraries import Case, Library, draws

_PLAIN = [
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "swish",
    "sigmoid",
    "tanh",
    "softplus",
    "softsign",
    "exponential",
    "hard_sigmoid",
    "softmax",
    "log_softmax",
    "celu",
    "squareplus",
    "soft_shrink",
    "hard_shrink",
    "tanh_shrink",
    "hard_tanh",
    "hard_silu",
    "hard_swish",
    "log_sigmoid",
    "sparse_plus",
    "sparse_sigmoid",
    "mish",
]
# Functions of arrays that no layer takes. Keras's sparsemax is not among them: where several classes share the whole it
# takes a wrong threshold, and its results do not sum to one.
_ON_ARRAYS: list[tuple[str, dict[str, Any]]] = [
    ("glu", {"axis": 1}),
    ("threshold", {"threshold": 0.3, "default_value": -1.5}),
]
_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}
_WITH_PARAMETERS: list[tuple[str, dict[str, Any]]] = [
    ("relu", {"negative_slope": 0.1}),
    ("relu", {"max_value": 1.5}),
    ("relu", {"threshold": 0.5}),
    ("relu", {"negative_slope": 0.2, "max_value": 2.0, "threshold": 0.3}),
    ("leaky_relu", {"negative_slope": 0.35}),
    ("elu", {"alpha": 0.7}),
    ("gelu", {"approximate": True}),
    ("softmax", {"axis": 1}),
    ("log_softmax", {"axis": 0}),
    ("celu", {"alpha": 0.6}),
    ("squareplus", {"b": 0.5}),
    ("soft_shrink", {"threshold": 0.2}),
    ("hard_shrink", {"threshold": 0.2}),
]
TOLERANCES: dict[str, float] = {}


def _points(name: str) -> np.ndarray:
    x = np.concatenate([draws("activation", name).normal(0, 2, 33), [0.0, -0.0, 1e-9, -1e-9, 30.0, -30.0, 1e-3]])
    return x.reshape(2, 4, 5)


def _value(name: str, parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    function = getattr(library.k.activations, _ALIASES.get(name, name))
    return {"y": function(_points(name), **parameters)}


def _gradient(name: str, library: Library) -> dict[str, Any]:
    k = library.k
    x = draws("activation gradient", name).normal(0, 2, (6, 5))
    inputs = k.Input((5,), dtype="float64")
    model = k.Model(inputs, k.layers.Activation(name)(inputs))
    dy = draws("dy", name).normal(size=(6, 5))
    return {"y": model(x), **library.model_gradients(model, [x], dy)}


def _by_name(name: str, library: Library) -> dict[str, Any]:
    return {"y": library.k.activations.get(name)(_points(name))}


def cases() -> dict[str, Case]:
    """All of them by name."""
    found: dict[str, Case] = {}
    for name in _PLAIN:
        found[f"activations/{name}"] = partial(_value, name, {})
        found[f"activations/get {name}"] = partial(_by_name, name)
        found[f"activations/{name} gradient"] = partial(_gradient, name)
    for name, parameters in [*_WITH_PARAMETERS, *_ON_ARRAYS]:
        found[f"activations/{name} {parameters}"] = partial(_value, name, parameters)
    return found
