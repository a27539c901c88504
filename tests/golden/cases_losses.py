"""Losses: every reduction, logits and probabilities, smoothing, weights of rows and positions, extreme values."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .libraries import Array, Case, Library, draws

_LOSSES: list[tuple[str, dict[str, Any], str]] = [
    ("MeanSquaredError", {}, "real"),
    ("MeanAbsoluteError", {}, "real"),
    ("Huber", {}, "real"),
    ("Huber", {"delta": 0.3}, "real"),
    ("BinaryCrossentropy", {}, "binary"),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, "binary"),
    ("BinaryCrossentropy", {"from_logits": True}, "binary"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary"),
    ("CategoricalCrossentropy", {}, "classes"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, "classes"),
    ("CategoricalCrossentropy", {"from_logits": True}, "classes"),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "classes"),
    ("SparseCategoricalCrossentropy", {}, "labels"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "labels"),
]
_REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)
_FUNCTIONS = [
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
]


def _data(kind: str, logits: bool, shape: tuple[int, ...]) -> tuple[Array, Array]:
    rng = draws("loss", kind, logits, shape)
    scores = rng.normal(0, 1.5, shape)
    if kind == "real":
        return rng.normal(size=shape), scores
    if kind == "binary":
        return rng.integers(0, 2, shape).astype(float), scores if logits else 1 / (1 + np.exp(-scores))
    labels = rng.integers(0, shape[-1], shape[:-1])
    predicted = scores if logits else np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    return (labels, predicted) if kind == "labels" else (np.eye(shape[-1])[labels], predicted)


def _make(library: Library, name: str, parameters: dict[str, Any], **more: Any) -> Any:
    return getattr(library.k.losses, name)(**parameters, **more)


def _reduced(name: str, parameters: dict[str, Any], kind: str, library: Library) -> dict[str, Any]:
    """Every reduction, without and with weights."""
    true, predicted = _data(kind, parameters.get("from_logits", False), (5, 4))
    weight = draws("weight").uniform(0.1, 2, 5)
    found: dict[str, Any] = {}
    for reduction in _REDUCTIONS:
        loss = _make(library, name, parameters, reduction=reduction)
        found[f"{reduction}"] = loss(true, predicted)
        found[f"{reduction} weighted"] = loss(true, predicted, sample_weight=weight)
    return found


def _sequences(name: str, parameters: dict[str, Any], kind: str, library: Library) -> dict[str, Any]:
    """Predictions of rank 3: weights of rows and of positions."""
    true, predicted = _data(kind, parameters.get("from_logits", False), (3, 4, 5))
    loss = _make(library, name, parameters)
    rng = draws("sequence weight")
    return {
        "plain": loss(true, predicted),
        "positions": loss(true, predicted, sample_weight=rng.uniform(0.1, 2, (3, 4))),
        "rows": loss(true, predicted, sample_weight=rng.uniform(0.1, 2, (3, 1))),
    }


def _gradients(name: str, parameters: dict[str, Any], kind: str, library: Library) -> dict[str, Any]:
    true, predicted = _data(kind, parameters.get("from_logits", False), (6, 4))
    weight = draws("gradient weight").uniform(0.1, 2, 6)
    found: dict[str, Any] = {}
    for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight"):
        loss = _make(library, name, parameters, reduction=reduction)
        found[reduction] = library.loss_gradient(loss, true, predicted, None)
        found[f"{reduction} weighted"] = library.loss_gradient(loss, true, predicted, weight)
    return found


def _extremes(library: Library) -> dict[str, Any]:
    """Probabilities of exactly 0 and 1, huge logits, rows that do not sum to one, zero weights, nan."""
    losses = library.k.losses
    probabilities = np.array([[0.0, 1.0], [1.0, 0.0], [1e-12, 1 - 1e-12]])
    onehot = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    logits = np.array([[800.0, -800.0], [-50.0, 50.0], [0.0, 1e-12]])
    unnormalised = np.array([[2.0, 6.0], [0.5, 0.1], [0.0, 3.0]])
    labels = np.array([0, 0, 1])
    with_nan = np.array([[np.nan, 1.0], [0.5, 0.5], [1.0, 0.0]])
    zero = np.zeros(3)
    found: dict[str, Any] = {}
    for name, true in (
        ("BinaryCrossentropy", onehot),
        ("CategoricalCrossentropy", onehot),
        ("SparseCategoricalCrossentropy", labels),
    ):
        plain = getattr(losses, name)(reduction="none")
        found[f"{name} probabilities"] = plain(true, probabilities)
        found[f"{name} logits"] = getattr(losses, name)(from_logits=True, reduction="none")(true, logits)
        found[f"{name} zero weights"] = getattr(losses, name)()(true, probabilities, sample_weight=zero)
        if name != "BinaryCrossentropy":
            found[f"{name} unnormalised"] = plain(true, unnormalised)
        found[f"{name} nan"] = plain(true, with_nan)[1:]
    huge = np.array([[1e150, -1e150], [1e-200, 0.0]])
    found["mse huge"] = losses.MeanSquaredError(reduction="none")(np.zeros((2, 2)), huge)
    found["huber huge"] = losses.Huber(reduction="none")(np.zeros((2, 2)), huge)
    found["mae nan"] = losses.MeanAbsoluteError(reduction="none")(np.zeros((3, 2)), with_nan)
    weights = library.k.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    found["mean_with_sample_weight of zeros"] = weights(np.zeros((3, 2)), probabilities, sample_weight=zero)
    return found


def _function(name: str, library: Library) -> dict[str, Any]:
    kind = {"b": "binary", "c": "classes", "s": "labels"}.get(name[0], "real")
    true, predicted = _data(kind, False, (4, 3))
    return {"y": getattr(library.k.losses, name)(true, predicted), "get": library.k.losses.get(name)(true, predicted)}


def _shapes(library: Library) -> dict[str, Any]:
    """(N,) against (N, 1), labels of shape (N, 1), integer targets."""
    losses = library.k.losses
    rng = draws("shapes")
    column = rng.uniform(0.1, 0.9, (4, 1))
    labels = rng.integers(0, 3, (4, 1))
    probabilities = rng.dirichlet(np.ones(3), 4)
    return {
        "column against vector": losses.MeanSquaredError()(rng.normal(size=4), column),
        "vector against column": losses.MeanSquaredError()(column, rng.normal(size=4)),
        "labels (N, 1)": losses.SparseCategoricalCrossentropy()(labels, probabilities),
        "integer targets": losses.BinaryCrossentropy()(np.array([[1], [0], [1], [1]]), column),
        "float labels": losses.SparseCategoricalCrossentropy()(labels[:, 0].astype(float), probabilities),
    }


def cases() -> dict[str, Case]:
    """All of them by name."""
    found: dict[str, Case] = {}
    for name, parameters, kind in _LOSSES:
        found[f"losses/{name} {parameters}"] = partial(_reduced, name, parameters, kind)
        found[f"losses/{name} {parameters} of sequences"] = partial(_sequences, name, parameters, kind)
        found[f"losses/{name} {parameters} gradients"] = partial(_gradients, name, parameters, kind)
    for name in _FUNCTIONS:
        found[f"losses/{name}"] = partial(_function, name)
    found["losses/extremes"] = _extremes
    found["losses/shapes"] = _shapes
    return found
