"""Optimizers: several steps on given gradients; schedules, alone and as learning rates."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .libraries import Case, Library, draws, numpy_of

_OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"learning_rate": 0.1, "weight_decay": 0.05}),
    ("SGD", {"learning_rate": 0.1, "clipnorm": 0.7}),
    ("SGD", {"learning_rate": 0.1, "clipvalue": 0.3}),
    ("SGD", {"learning_rate": 0.1, "global_clipnorm": 0.9}),
    ("RMSprop", {}),
    ("RMSprop", {"learning_rate": 0.01, "rho": 0.8}),
    ("RMSprop", {"learning_rate": 0.01, "momentum": 0.5}),
    ("RMSprop", {"learning_rate": 0.01, "centered": True}),
    ("RMSprop", {"learning_rate": 0.01, "centered": True, "momentum": 0.5, "epsilon": 1e-3}),
    ("RMSprop", {"learning_rate": 0.01, "clipnorm": 0.5, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4}),
    ("Adam", {"learning_rate": 0.05, "amsgrad": True}),
    ("Adam", {"learning_rate": 0.05, "clipnorm": 0.5}),
    ("Adam", {"learning_rate": 0.05, "clipvalue": 0.2}),
    ("Adam", {"learning_rate": 0.05, "global_clipnorm": 0.5}),
    ("Adam", {"learning_rate": 0.05, "weight_decay": 0.02}),
    ("AdamW", {}),
    ("AdamW", {"learning_rate": 0.05, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"learning_rate": 0.05, "global_clipnorm": 0.5}),
]
_SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.6}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.6, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.6}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.6, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 10, 20], "values": [0.1, 0.05, 0.01, 0.2]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 15}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 9, "end_learning_rate": 0.01, "power": 2.5}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 9, "power": 0.5, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 20, "alpha": 0.2}),
    (
        "CosineDecay",
        {"initial_learning_rate": 0.01, "decay_steps": 15, "alpha": 0.1, "warmup_target": 0.1, "warmup_steps": 6},
    ),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 5}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 4, "t_mul": 1.5, "m_mul": 0.8, "alpha": 0.05},
    ),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 6, "t_mul": 1.0, "m_mul": 0.5}),
]


def _run(optimizer: Any, library: Library, steps: int = 7) -> dict[str, Any]:
    rng = draws("optimizer")
    variables = library.variables([rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=(4,))])
    trace = []
    for step in range(steps):
        gradients = [rng.normal(0, 0.2 * (step + 1), size=np.shape(numpy_of(v))) for v in variables]
        if step == 3:
            gradients = [np.zeros_like(gradient) for gradient in gradients]
        optimizer.apply(gradients, variables)
        trace.append(np.concatenate([numpy_of(variable).reshape(-1) for variable in variables]))
    return {"trace": np.array(trace), "iterations": float(numpy_of(optimizer.iterations))}


def _steps(name: str, parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    return _run(getattr(library.k.optimizers, name)(**parameters), library)


def _scheduled(name: str, schedule: str, parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    rate = getattr(library.k.optimizers.schedules, schedule)(**parameters)
    return _run(getattr(library.k.optimizers, name)(learning_rate=rate), library, steps=24)


def _schedule(name: str, parameters: dict[str, Any], library: Library) -> dict[str, Any]:
    schedule = getattr(library.k.optimizers.schedules, name)(**parameters)
    again = type(schedule).from_config(schedule.get_config())
    return {
        "rates": np.array([float(numpy_of(schedule(step))) for step in range(40)]),
        "again": np.array([float(numpy_of(again(step))) for step in (0, 5, 39)]),
    }


def _mixed(library: Library) -> dict[str, Any]:
    """The learning rate is changed between steps."""
    optimizer = library.k.optimizers.Adam(0.1)
    rng = draws("mixed")
    variables = library.variables([rng.normal(size=5)])
    trace = []
    for rate in (0.1, 0.01, 0.5):
        optimizer.learning_rate = rate
        optimizer.apply([rng.normal(size=5)], variables)
        trace.append(numpy_of(variables[0]))
    return {"trace": np.array(trace)}


def cases() -> dict[str, Case]:
    """All of them by name."""
    found: dict[str, Case] = {}
    for name, parameters in _OPTIMIZERS:
        found[f"optimizers/{name} {parameters}"] = partial(_steps, name, parameters)
    for index, (name, parameters) in enumerate(_SCHEDULES):
        found[f"schedules/{name} {parameters}"] = partial(_schedule, name, parameters)
        optimizer = ("SGD", "RMSprop", "Adam", "AdamW")[index % 4]
        found[f"optimizers/{optimizer} with {name} {parameters}"] = partial(_scheduled, optimizer, name, parameters)
    found["optimizers/learning rate set between steps"] = _mixed
    return found
