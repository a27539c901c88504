"""Whole fits without shuffling: losses and metrics of every epoch, and the weights at the end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .libraries import Array, Case, Library, draws, numpy_of

Build = Callable[[Any], Any]
# Rounding errors of single steps grow along a whole training.
TOLERANCES: dict[str, float] = {}


def _mlp(k: Any, output: str | None, units: int, **hidden: Any) -> Any:
    inputs = k.Input((4,), dtype="float64")
    features = k.layers.Dense(6, activation="tanh", **hidden)(inputs)
    return k.Model(inputs, k.layers.Dense(units, activation=output)(features))


def _targets(kind: str, rows: int) -> Array:
    rng = draws("targets", kind)
    if kind == "real":
        return rng.normal(size=(rows, 2))
    if kind == "binary":
        return rng.integers(0, 2, (rows, 1)).astype(float)
    labels = rng.integers(0, 3, rows)
    return labels if kind == "labels" else np.eye(3)[labels]


def _start(model: Any, name: str) -> None:
    rng = draws("fit weights", name)
    model.set_weights([rng.normal(0, 0.5, size=array.shape) for array in model.get_weights()])


def _result(model: Any, history: Any) -> dict[str, Any]:
    found = {f"history {name}": np.array(values, float) for name, values in history.history.items()}
    found["weights"] = np.concatenate([numpy_of(array).reshape(-1) for array in model.get_weights()])
    return found


def _fit(
    name: str, build: Build, kind: str, compiled: dict[str, Any], fitted: dict[str, Any], library: Library
) -> dict[str, Any]:
    model = build(library.k)
    _start(model, name)
    model.compile(**{key: value(library.k) if callable(value) else value for key, value in compiled.items()})
    x = draws("rows").normal(size=(22, 4))
    y = _targets(kind, 22)
    options = {"batch_size": 8, "epochs": 3, **fitted}
    if options.pop("validate", False):
        options["validation_data"] = (x[:7] + 0.1, y[:7])
    history = model.fit(x, y, shuffle=False, verbose=0, **options)
    evaluated = model.evaluate(x, y, batch_size=5, verbose=0)
    return {**_result(model, history), "evaluated": np.atleast_1d(evaluated), "predicted": model.predict(x, verbose=0)}


_FITS: list[tuple[str, Build, str, dict[str, Any], dict[str, Any]]] = [
    ("sgd mse", lambda k: _mlp(k, None, 2), "real", {"optimizer": "sgd", "loss": "mse"}, {}),
    (
        "adam mae, metrics",
        lambda k: _mlp(k, None, 2),
        "real",
        {"optimizer": lambda k: k.optimizers.Adam(0.01), "loss": "mae", "metrics": ["mse", "mae"]},
        {"validate": True},
    ),
    (
        "rmsprop labels",
        lambda k: _mlp(k, "softmax", 3),
        "labels",
        {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        {"validation_split": 0.3},
    ),
    (
        "adamw one-hot, weights",
        lambda k: _mlp(k, "softmax", 3),
        "classes",
        {
            "optimizer": lambda k: k.optimizers.AdamW(0.01, weight_decay=0.1),
            "loss": "categorical_crossentropy",
            "metrics": ["accuracy"],
            "weighted_metrics": ["accuracy"],
        },
        {"sample_weight": np.linspace(0.1, 2, 22)},
    ),
    (
        "logits, class weights",
        lambda k: _mlp(k, None, 3),
        "labels",
        {
            "optimizer": lambda k: k.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
            "loss": lambda k: k.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        },
        {"class_weight": {0: 0.5, 1: 2.0, 2: 1.0}},
    ),
    (
        "binary, initial epoch, steps",
        lambda k: _mlp(k, "sigmoid", 1),
        "binary",
        {"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["accuracy", "mse"]},
        {"initial_epoch": 1, "epochs": 4, "validate": True, "validation_freq": 2},
    ),
    (
        "regularizers",
        lambda k: _mlp(
            k,
            None,
            2,
            kernel_regularizer=k.regularizers.L1L2(0.01, 0.02),
            bias_regularizer="l2",
            activity_regularizer=k.regularizers.L2(0.05),
        ),
        "real",
        {"optimizer": "adam", "loss": "mse"},
        {},
    ),
    (
        "constraints",
        lambda k: _mlp(k, None, 2, kernel_constraint=k.constraints.MaxNorm(0.5), bias_constraint="non_neg"),
        "real",
        {"optimizer": lambda k: k.optimizers.SGD(0.1), "loss": "huber"},
        {"validate": True},
    ),
    (
        "clipping, schedule",
        lambda k: _mlp(k, None, 2),
        "real",
        {
            "optimizer": lambda k: k.optimizers.Adam(
                k.optimizers.schedules.CosineDecay(0.05, 9), global_clipnorm=0.5, amsgrad=True
            ),
            "loss": "mse",
        },
        {},
    ),
]


def _two_outputs(library: Library) -> dict[str, Any]:
    """Two inputs, two outputs, weights of losses, metrics by output."""
    k = library.k
    a, b = k.Input((3,), dtype="float64", name="a"), k.Input((2,), dtype="float64", name="b")
    joined = k.layers.Concatenate()([a, b])
    features = k.layers.Dense(5, activation="gelu")(joined)
    first = k.layers.Dense(2, name="first")(features)
    second = k.layers.Dense(3, activation="softmax", name="second")(features)
    model = k.Model([a, b], [first, second])
    _start(model, "two outputs")
    model.compile(
        optimizer="adam",
        loss=["mse", "sparse_categorical_crossentropy"],
        loss_weights=[0.3, 1.5],
        metrics=[["mae"], ["accuracy"]],
    )
    rng = draws("two outputs")
    x = [rng.normal(size=(14, 3)), rng.normal(size=(14, 2))]
    y = [rng.normal(size=(14, 2)), rng.integers(0, 3, 14)]
    history = model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0)
    return _result(model, history)


def _frozen(library: Library) -> dict[str, Any]:
    """A frozen layer does not move, whatever the decay."""
    k = library.k
    inputs = k.Input((4,), dtype="float64")
    frozen = k.layers.Dense(5, activation="relu", trainable=False)
    model = k.Model(inputs, k.layers.Dense(2)(frozen(inputs)))
    _start(model, "frozen")
    model.compile(optimizer=k.optimizers.AdamW(0.01, weight_decay=0.1, clipnorm=0.2), loss="mse")
    history = model.fit(draws("rows").normal(size=(22, 4)), _targets("real", 22), epochs=2, shuffle=False, verbose=0)
    return _result(model, history)


def _by_batch(library: Library) -> dict[str, Any]:
    """train_on_batch and test_on_batch."""
    model = _mlp(library.k, "softmax", 3)
    _start(model, "by batch")
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = draws("rows").normal(size=(22, 4)), _targets("labels", 22)
    trained = [np.atleast_1d(model.train_on_batch(x[i : i + 8], y[i : i + 8])) for i in (0, 8, 16)]
    tested = model.test_on_batch(x, y)
    weights = np.concatenate([numpy_of(array).reshape(-1) for array in model.get_weights()])
    return {"first": trained[0], "tested": np.atleast_1d(tested), "weights": weights}


def _embedding(library: Library) -> dict[str, Any]:
    """Integer ids, layer normalization, PReLU."""
    k = library.k
    inputs = k.Input((3,), dtype="int32")
    features = k.layers.Flatten()(k.layers.Embedding(5, 4, dtype="float64")(inputs))
    features = k.layers.PReLU()(k.layers.LayerNormalization()(features))
    model = k.Model(inputs, k.layers.Dense(2)(features))
    _start(model, "embedding")
    model.compile(optimizer=k.optimizers.Adam(0.01), loss="mse")
    ids = draws("ids").integers(0, 5, (22, 3)).astype("int32")
    history = model.fit(ids, _targets("real", 22), batch_size=8, epochs=3, shuffle=False, verbose=0)
    return _result(model, history)


def cases() -> dict[str, Case]:
    """All of them by name."""
    found: dict[str, Case] = {
        f"fits/{name}": partial(_fit, name, build, kind, compiled, fitted)
        for name, build, kind, compiled, fitted in _FITS
    }
    found |= {
        "fits/two outputs": _two_outputs,
        "fits/frozen layer": _frozen,
        "fits/by batch": _by_batch,
        "fits/embedding": _embedding,
    }
    TOLERANCES.update(dict.fromkeys(found, 1e-11))
    return found
