"""Callbacks on scripted curves: when they stop, what they restore, which rates they set, which files they write."""

from __future__ import annotations

import csv
import math
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .libraries import Case, Library, numpy_of

_CURVES: dict[str, list[float]] = {
    "falling": [1.0, 0.8, 0.6, 0.5, 0.45, 0.42, 0.41, 0.405, 0.404, 0.4039],
    "valley": [1.0, 0.7, 0.5, 0.6, 0.65, 0.7, 0.72, 0.75, 0.8, 0.9],
    "steps": [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2],
    "noisy": [0.9, 1.0, 0.8, 0.85, 0.79, 0.795, 0.8, 0.78999, 0.9, 0.7, 0.75, 0.76, 0.77],
    "with nan": [1.0, 0.9, math.nan, math.nan, 0.8, 0.85, 0.9, 0.95],
    "rising": [0.1, 0.2, 0.3, 0.35, 0.34, 0.33, 0.36, 0.36, 0.2, 0.1],
}
_STOPPING: list[dict[str, Any]] = [
    {},
    {"patience": 2},
    {"patience": 2, "restore_best_weights": True},
    {"patience": 1, "min_delta": 0.05, "restore_best_weights": True},
    {"patience": 1, "mode": "max", "restore_best_weights": True},
    {"patience": 2, "baseline": 0.6},
    {"patience": 3, "baseline": 0.3, "restore_best_weights": True},
    {"patience": 1, "start_from_epoch": 4, "restore_best_weights": True},
    {"patience": 0, "start_from_epoch": 3},
    {"monitor": "loss", "patience": 1},
]
_PLATEAU: list[dict[str, Any]] = [
    {},
    {"patience": 2},
    {"patience": 2, "factor": 0.5, "min_delta": 0.01},
    {"patience": 1, "factor": 0.5, "cooldown": 2},
    {"patience": 1, "factor": 0.2, "min_lr": 0.01},
    {"patience": 2, "mode": "max", "factor": 0.3},
    {"patience": 0, "factor": 0.9},
]
_CHECKPOINT: list[dict[str, Any]] = [
    {},
    {"save_best_only": True},
    {"save_best_only": True, "mode": "max"},
    {"save_best_only": True, "initial_value_threshold": 0.6},
    {"save_freq": 3},
]


class _Optimizer:
    def __init__(self) -> None:
        self.learning_rate: Any = 0.1


class _Model:
    """What callbacks see of a model: weights that count the epochs, and a record of what was saved."""

    def __init__(self) -> None:
        self.optimizer = _Optimizer()
        self.stop_training = False
        self.metrics: list[Any] = []
        self.weights_now = [np.zeros(1)]
        self.saved: list[str] = []

    def get_weights(self) -> list[Any]:
        return [array.copy() for array in self.weights_now]

    def set_weights(self, weights: list[Any]) -> None:
        self.weights_now = [array.copy() for array in weights]

    def save(self, path: Any, overwrite: bool = True) -> None:
        self.saved.append(Path(path).stem)


def _play(callback: Any, curve: list[float], batches: int = 2) -> tuple[_Model, int, list[float]]:
    """One training: the model afterwards, the epochs played, and the learning rate after each."""
    model = _Model()
    callback.set_model(model)
    callback.set_params({"epochs": len(curve), "verbose": 0, "steps": batches})
    callback.on_train_begin({})
    rates = []
    epochs = 0
    for epoch, value in enumerate(curve):
        callback.on_epoch_begin(epoch, {})
        for batch in range(batches):
            callback.on_train_batch_begin(batch, {})
            callback.on_train_batch_end(batch, {"loss": value})
        model.weights_now = [np.full(1, float(epoch))]
        callback.on_epoch_end(epoch, {"loss": value, "val_loss": value})
        rates.append(float(numpy_of(model.optimizer.learning_rate)))
        epochs += 1
        if model.stop_training:
            break
    callback.on_train_end({})
    return model, epochs, rates


def _stopping(parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    found = {}
    for name, curve in _CURVES.items():
        callback = library.k.callbacks.EarlyStopping(**parameters)
        model, epochs, _ = _play(callback, curve)
        found[name] = {
            "epochs": epochs,
            "weights of epoch": float(model.weights_now[0][0]),
            "stopped_epoch": callback.stopped_epoch,
            "wait": callback.wait,
            "best_epoch": callback.best_epoch,
        }
    return found


def _plateau(parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    found = {}
    for name, curve in _CURVES.items():
        _, _, rates = _play(library.k.callbacks.ReduceLROnPlateau(**parameters), curve)
        found[name] = [f"{rate:.6g}" for rate in rates]
    return found


def _checkpoint(parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, curve in _CURVES.items():
            values = [value for value in curve if math.isfinite(value)]
            pattern = "{epoch:02d}" if "save_freq" in parameters else "{epoch:02d}-{val_loss:.3f}"
            path = str(Path(folder) / (pattern + library.extension))
            model, _, _ = _play(library.k.callbacks.ModelCheckpoint(path, **parameters), values)
            found[name] = model.saved
    return found


def _scheduler(library: Library) -> dict[str, Any]:
    callbacks = library.k.callbacks
    curve = _CURVES["falling"]
    by_epoch = _play(callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)), curve)[2]
    by_rate = _play(callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5), curve)[2]
    return {"by epoch": [f"{rate:.6g}" for rate in by_epoch], "by rate": [f"{rate:.6g}" for rate in by_rate]}


def _nan(library: Library) -> dict[str, Any]:
    found = {}
    for name, bad in (("nan", math.nan), ("inf", math.inf), ("fine", 1.0)):
        model, epochs, _ = _play(library.k.callbacks.TerminateOnNaN(), [1.0, 0.5, bad, 0.2])
        found[name] = [epochs, model.stop_training]
    return found


def _csv(library: Library) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        _play(library.k.callbacks.CSVLogger(str(path)), _CURVES["valley"][:3])
        _play(library.k.callbacks.CSVLogger(str(path), append=True), _CURVES["valley"][3:5])
        with path.open(newline="") as file:
            comma = list(csv.reader(file))
        _play(library.k.callbacks.CSVLogger(str(path), separator=";"), _CURVES["valley"][:2])
        return {"comma": comma, "semicolon": path.read_text().splitlines()}


def _hooks(library: Library) -> dict[str, Any]:
    """Every hook with the names of its logs, in the order of a real fit with validation, then evaluate and predict."""
    k = library.k
    seen: list[list[Any]] = []

    class Spy(k.callbacks.Callback):  # type: ignore[misc, name-defined]
        """Writes down every call."""

    def hook(name: str) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> None:
            logs = kwargs.get("logs", args[-1] if args and isinstance(args[-1], dict) else None)
            number = args[0] if args and isinstance(args[0], int) else None
            seen.append([name, number, sorted(logs or {})])

        return method

    for what in ("train", "test", "predict"):
        for when in ("begin", "end"):
            setattr(Spy, f"on_{what}_{when}", hook(f"on_{what}_{when}"))
            setattr(Spy, f"on_{what}_batch_{when}", hook(f"on_{what}_batch_{when}"))
    Spy.on_epoch_begin, Spy.on_epoch_end = hook("on_epoch_begin"), hook("on_epoch_end")
    inputs = k.Input((2,), dtype="float64")
    model = k.Model(inputs, k.layers.Dense(1)(inputs))
    model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
    x, y = np.ones((6, 2)), np.ones((6, 1))
    model.fit(x, y, batch_size=4, epochs=2, validation_data=(x, y), callbacks=[Spy()], verbose=0)
    model.evaluate(x, y, batch_size=4, callbacks=[Spy()], verbose=0)
    model.predict(x, batch_size=4, callbacks=[Spy()], verbose=0)
    return {"calls": seen}


def _quietly(case: Case, library: Library) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case(library)


def cases() -> dict[str, Case]:
    """All of them by name."""
    found: dict[str, Case] = {}
    for name, case, choices in (
        ("EarlyStopping", _stopping, _STOPPING),
        ("ReduceLROnPlateau", _plateau, _PLATEAU),
        ("ModelCheckpoint", _checkpoint, _CHECKPOINT),
    ):
        for parameters in choices:
            found[f"callbacks/{name} {parameters}"] = partial(_quietly, partial(case, parameters))
    found |= {
        "callbacks/LearningRateScheduler": _scheduler,
        "callbacks/TerminateOnNaN": _nan,
        "callbacks/CSVLogger": _csv,
        "callbacks/hooks": _hooks,
    }
    return found
