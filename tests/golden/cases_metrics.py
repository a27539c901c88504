"""Metrics: streams of updates, weighted and not, with the result after each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .libraries import Array, Case, Library, draws

Stream = Callable[[np.random.Generator, int], tuple[Array, Array]]


def _real(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 3))


def _column(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return rng.normal(size=n), rng.normal(size=(n, 1))


def _binary(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return rng.integers(0, 2, (n, 3)).astype(float), rng.uniform(0.01, 0.99, (n, 3))


def _classes(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return np.eye(7)[rng.integers(0, 7, n)], rng.dirichlet(np.ones(7), n)


def _labels(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return rng.integers(0, 7, n), rng.dirichlet(np.ones(7), n)


def _label_column(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return rng.integers(0, 7, (n, 1)), rng.dirichlet(np.ones(7), n)


def _label_sequences(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return rng.integers(0, 7, (n, 4)), rng.dirichlet(np.ones(7), (n, 4))


def _logits(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return np.eye(7)[rng.integers(0, 7, n)], rng.normal(0, 2, (n, 7))


def _equal(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return rng.integers(0, 3, (n, 2)), rng.integers(0, 3, (n, 2))


_METRICS: list[tuple[str, dict[str, Any], Stream]] = [
    ("Accuracy", {}, _equal),
    ("BinaryAccuracy", {}, _binary),
    ("BinaryAccuracy", {"threshold": 0.8}, _binary),
    ("CategoricalAccuracy", {}, _classes),
    ("SparseCategoricalAccuracy", {}, _labels),
    ("SparseCategoricalAccuracy", {}, _label_column),
    ("SparseCategoricalAccuracy", {}, _label_sequences),
    ("TopKCategoricalAccuracy", {}, _classes),
    ("TopKCategoricalAccuracy", {"k": 2}, _classes),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, _labels),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, _label_sequences),
    ("MeanSquaredError", {}, _real),
    ("MeanSquaredError", {}, _column),
    ("MeanAbsoluteError", {}, _real),
    ("RootMeanSquaredError", {}, _real),
    ("BinaryCrossentropy", {}, _binary),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, _binary),
    ("CategoricalCrossentropy", {}, _classes),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, _logits),
    ("SparseCategoricalCrossentropy", {}, _labels),
    ("SparseCategoricalCrossentropy", {}, _label_sequences),
]


def _stream(name: str, parameters: dict[str, Any], data: Stream, library: Library) -> dict[str, Any]:
    """Three batches of different sizes, the second and third weighted; a reset; one more."""
    metric = getattr(library.k.metrics, name)(**parameters)
    rng = draws("metric", name, data.__name__)
    results = [metric.result()]
    for size, weighted in ((8, False), (5, True), (9, True)):
        true, predicted = data(rng, size)
        weight = rng.uniform(0.1, 2, size) if weighted else None
        metric.update_state(true, predicted, sample_weight=weight)
        results.append(metric.result())
    metric.reset_state()
    results += [metric.result(), metric(*data(rng, 6))]
    return {"results": np.array([float(result) for result in results])}


def _reductions(name: str, library: Library) -> dict[str, Any]:
    """Mean and Sum of numbers, vectors and matrices, with weights that broadcast."""
    metric = getattr(library.k.metrics, name)()
    rng = draws("reduction", name)
    updates: list[tuple[Any, Any]] = [
        (3.0, None),
        (rng.normal(size=4), None),
        (rng.normal(size=4), rng.uniform(0.1, 2, 4)),
        (rng.normal(size=(4, 3)), None),
        (rng.normal(size=(4, 3)), rng.uniform(0.1, 2, 4)),
        (rng.normal(size=(4, 3)), rng.uniform(0.1, 2, (4, 3))),
        (2.0, 0.5),
    ]
    results = []
    for values, weight in updates:
        metric.update_state(values, sample_weight=weight)
        results.append(float(metric.result()))
    return {"results": np.array(results)}


def _function(name: str, library: Library) -> dict[str, Any]:
    data: Stream = _labels if name.startswith("sparse") else _binary if name.startswith("binary") else _classes
    true, predicted = data(draws("metric function", name), 6)
    return {"y": getattr(library.k.metrics, name)(true, predicted)}


def cases() -> dict[str, Case]:
    """All of them by name."""
    found: dict[str, Case] = {}
    for name, parameters, data in _METRICS:
        found[f"metrics/{name} {parameters} {data.__name__}"] = partial(_stream, name, parameters, data)
    for name in ("Mean", "Sum"):
        found[f"metrics/{name}"] = partial(_reductions, name)
    for name in [
        "binary_accuracy",
        "categorical_accuracy",
        "sparse_categorical_accuracy",
        "top_k_categorical_accuracy",
        "sparse_top_k_categorical_accuracy",
        "mean_squared_error",
        "mean_absolute_error",
    ]:
        found[f"metrics/{name}"] = partial(_function, name)
    return found
