"""Initializers (bounds and moments), regularizers with their gradients, constraints."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .libraries import Case, Library, draws, numpy_of

_RANDOM: list[tuple[str, dict[str, Any]]] = [
    ("GlorotUniform", {}),
    ("GlorotNormal", {}),
    ("HeUniform", {}),
    ("HeNormal", {}),
    ("LecunUniform", {}),
    ("LecunNormal", {}),
    ("RandomUniform", {}),
    ("RandomUniform", {"minval": -0.3, "maxval": 0.1}),
    ("RandomNormal", {}),
    ("RandomNormal", {"mean": 1.0, "stddev": 0.2}),
    ("TruncatedNormal", {}),
    ("TruncatedNormal", {"mean": 1.0, "stddev": 0.2}),
    ("VarianceScaling", {}),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"}),
    ("VarianceScaling", {"scale": 0.5, "mode": "fan_avg", "distribution": "untruncated_normal"}),
    ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"}),
]
_SHAPES = ((300, 200), (5, 60, 200), (60000,))
_REGULARIZERS: list[tuple[str, dict[str, Any]]] = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L2", {}),
    ("L2", {"l2": 0.3}),
    ("L1L2", {"l1": 0.2, "l2": 0.4}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
]
_CONSTRAINTS: list[tuple[str, dict[str, Any]]] = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.7, "axis": 1}),
    ("MaxNorm", {"max_value": 0.7, "axis": [0, 1]}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": 1}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 1.0}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 1.0, "rate": 0.3, "axis": 1}),
]
# Statistics of 60,000 draws: standard deviations within 2 %, extremes of bounded distributions within 1 %.
TOLERANCES: dict[str, float] = {}


def _statistics(name: str, parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for shape in _SHAPES:
        numbers = numpy_of(getattr(library.k.initializers, name)(**parameters, seed=3)(shape, dtype="float64"))
        found[f"{shape} std"] = numbers.std()
        if "untruncated_normal" not in parameters.values() and name != "RandomNormal":
            found[f"{shape} bounds"] = np.array([numbers.min(), numbers.max()])
    return found


def _exact(library: Library) -> dict[str, Any]:
    initializers = library.k.initializers
    orthogonal = numpy_of(initializers.Orthogonal(gain=0.5, seed=1)((3, 5), dtype="float64"))
    tall = numpy_of(initializers.Orthogonal(seed=1)((2, 3, 4), dtype="float64")).reshape(6, 4)
    return {
        "zeros": initializers.Zeros()((2, 3), dtype="float64"),
        "ones": initializers.Ones()((2, 3), dtype="float64"),
        "constant": initializers.Constant(0.3)((2, 3), dtype="float64"),
        "identity": initializers.Identity(gain=2.0)((3, 4), dtype="float64"),
        "orthogonal rows": orthogonal @ orthogonal.T,
        "orthogonal columns": tall.T @ tall,
    }


def _regularizer(name: str, parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    regularizer = getattr(library.k.regularizers, name)(**parameters)
    x = draws("regularizer", name).normal(size=(4, 4))
    return {"value": library.penalty(regularizer, x), "gradient": library.penalty_gradient(regularizer, x)}


def _constraint(name: str, parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    constraint = getattr(library.k.constraints, name)(**parameters)
    x = draws("constraint", name).normal(size=(4, 3))
    x[:, 1] *= 0.1
    return {"y": constraint(x), "zeros": constraint(np.zeros((2, 2)))}


def cases() -> dict[str, Case]:
    """All of them by name."""
    found: dict[str, Case] = {}
    for name, parameters in _RANDOM:
        case = f"initializers/{name} {parameters}"
        found[case] = partial(_statistics, name, parameters)
        TOLERANCES[case] = 0.02
    found["initializers/exact"] = _exact
    for name, parameters in _REGULARIZERS:
        found[f"regularizers/{name} {parameters}"] = partial(_regularizer, name, parameters)
    for name, parameters in _CONSTRAINTS:
        found[f"constraints/{name} {parameters}"] = partial(_constraint, name, parameters)
    return found
