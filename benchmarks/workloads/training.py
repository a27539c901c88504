"""Workloads that train: one Adam step of a plain network, and of a generator through its target."""

from __future__ import annotations

import itertools

from .generation import parts
from .workload import (
    CLASSES,
    CONDITION,
    FEATURES,
    FLOAT,
    HIDDEN,
    INPUTS,
    WEIGHTS,
    Data,
    Goal,
    Phase,
    Workload,
    generator_of,
    normal,
)

# Small, so that the numbers stay those of a network in training however many steps are timed on the same batch.
LEARNING_RATE = 1e-4
TOLERANCE = 1e-4  # of the loss; who adds Adam's epsilon elsewhere than Keras differs by some 2e-5
TASKS, TASK_ROWS = 32, 128
LAYERS = (784, 256, 128, 10)
BATCH = 256
GENERATOR_WEIGHTS = (CONDITION + 1) * FEATURES + (FEATURES + 1) * WEIGHTS
PLAIN_WEIGHTS = sum((a + 1) * b for a, b in itertools.pairwise(LAYERS))


def adam(weights: int) -> Phase:
    """The optimizer's pass: reads weights, gradient and two moments, writes all but the gradient."""
    held = 4.0 * FLOAT * weights
    return Phase(flops=12.0 * weights, read=held, store=0.75 * held, read_set=held, store_set=held)


def plain_step(rows: int) -> list[Phase]:
    """Forward, gradients of all weights, gradients of all inputs but the first layer's; then Adam."""
    products = [a * b for a, b in itertools.pairwise(LAYERS)]
    flops = 2.0 * rows * (2 * sum(products) + sum(products[1:]))
    return [Phase(flops, read=FLOAT * rows * LAYERS[0]), adam(PLAIN_WEIGHTS)]


def hyper_step(conditions: int, rows: int) -> list[Phase]:
    """Three products of the head; the target's forward, weights' gradients, its second layer's inputs' gradient; Adam.

    With one row a condition the target's own gradient is an outer product.
    """
    head = 3 * conditions * FEATURES * WEIGHTS + 2 * conditions * CONDITION * FEATURES
    target = conditions * rows * (2 * INPUTS * HIDDEN + 3 * HIDDEN * CLASSES)
    return [Phase(2.0 * (head + target), read=FLOAT * conditions * rows * INPUTS), adam(GENERATOR_WEIGHTS)]


def plain(rows: int) -> Data:
    rng = generator_of()
    found: Data = {}
    for i, (a, b) in enumerate(itertools.pairwise(LAYERS)):
        found[f"kernel{i}"] = normal(rng, a, b)
        found[f"bias{i}"] = normal(rng, b)
    found["x"] = normal(rng, rows, LAYERS[0], scale=1)
    found["labels"] = rng.integers(0, LAYERS[-1], rows)
    return found


def hyper(conditions: int, rows: int | None) -> Data:
    found = parts(conditions)
    rng = generator_of(1)
    if rows is not None:
        found["x"] = normal(rng, conditions, rows, INPUTS, scale=1)
    found["labels"] = rng.integers(0, CLASSES, conditions if rows is None else (conditions, rows))
    return found


WORKLOADS = [
    Workload(
        "W4",
        "plain network 784-256-128-10, one Adam step, batch 256",
        lambda: plain(BATCH),
        plain_step(BATCH),
        Goal(1.3),
        tolerance=TOLERANCE,
        checked_calls=3,
    ),
    Workload(
        "W5",
        "hyper training step, 256 conditions, one row each, Adam",
        lambda: hyper(256, None),
        hyper_step(256, 1),
        Goal(1.8),
        tolerance=TOLERANCE,
        checked_calls=3,
    ),
    Workload(
        "W6",
        "hyper training step, 32 conditions, 128 rows each, Adam",
        lambda: hyper(TASKS, TASK_ROWS),
        hyper_step(TASKS, TASK_ROWS),
        Goal(1.5),
        tolerance=TOLERANCE,
        checked_calls=3,
    ),
]
