"""Workloads that generate weights, use them, or both."""

from __future__ import annotations

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
    Variant,
    Workload,
    generator_of,
    normal,
)

ROWS = 1024
LARGE_FEATURES, LARGE_WEIGHTS = 512, 1_000_000
HEAD_BYTES = FLOAT * (FEATURES + 1) * WEIGHTS
TARGET_FLOPS = 2 * (INPUTS * HIDDEN + HIDDEN * CLASSES)  # a row
GENERATOR_FLOPS = 2 * (CONDITION * FEATURES + FEATURES * WEIGHTS)  # a condition


def parts(rows: int) -> Data:
    """Weights of the tutorial's generator, conditions, and rows for the target."""
    rng = generator_of()
    return {
        "hidden_kernel": normal(rng, CONDITION, FEATURES),
        "hidden_bias": normal(rng, FEATURES),
        "head_kernel": normal(rng, FEATURES, WEIGHTS),
        "head_bias": normal(rng, WEIGHTS),
        "condition": normal(rng, rows, CONDITION, scale=1),
        "x": normal(rng, rows, INPUTS, scale=1),
    }


def head(rows: int, features: int = FEATURES, weights: int = WEIGHTS) -> Data:
    rng = generator_of()
    return {
        "head_kernel": normal(rng, features, weights),
        "head_bias": normal(rng, weights),
        "features": abs(normal(rng, rows, features, scale=1)),
    }


def given_weights() -> Data:
    rng = generator_of()
    return {"theta": normal(rng, ROWS, WEIGHTS), "x": normal(rng, ROWS, INPUTS, scale=1)}


def large_head(bytes_a_weight: float) -> list[Phase]:
    size = LARGE_FEATURES * LARGE_WEIGHTS
    read = size * bytes_a_weight + FLOAT * LARGE_WEIGHTS
    return [Phase(flops=2.0 * size, read=read, store=FLOAT * LARGE_WEIGHTS)]


BATCH_OF_HEADS = Phase(
    flops=2.0 * ROWS * FEATURES * WEIGHTS, read=HEAD_BYTES + FLOAT * ROWS * FEATURES, store=FLOAT * ROWS * WEIGHTS
)

WORKLOADS = [
    Workload(
        "W0",
        "one adaptation and one prediction",
        lambda: parts(1),
        [Phase(GENERATOR_FLOPS + TARGET_FLOPS, read=HEAD_BYTES + FLOAT * (CONDITION + 1) * FEATURES)],
        Goal(1.8),
    ),
    Workload(
        "W1",
        "head only: (1, 64) x (64, 14,218) + bias",
        lambda: head(1),
        [Phase(2.0 * FEATURES * WEIGHTS, read=HEAD_BYTES, store=FLOAT * WEIGHTS)],
        Goal(1.3),
    ),
    Workload(
        "W1b",
        "a large head: (1, 512) x (512, 1,000,000) + bias",
        lambda: head(1, LARGE_FEATURES, LARGE_WEIGHTS),
        large_head(4),
        Goal(1.0, 0.9),
        in_pairs=True,
        variants={
            "hypernet-bfloat16": Variant(2.0**-8, large_head(2), Goal(1.8, None)),
            "hypernet-int8": Variant(2.0**-6, large_head(1), Goal(3.3, None)),
        },
    ),
    Workload(
        "W2-out",
        "1,024 weight vectors, into a result that is there (out=)",
        lambda: head(ROWS),
        [BATCH_OF_HEADS],
        Goal(1.4),
    ),
    Workload("W2-new", "1,024 weight vectors, a new result", lambda: head(ROWS), [BATCH_OF_HEADS], Goal(1.4)),
    Workload(
        "W3",
        "1,024 given weight vectors, one row each",
        given_weights,
        [Phase(ROWS * TARGET_FLOPS, read=FLOAT * ROWS * (WEIGHTS + INPUTS), store=FLOAT * ROWS * CLASSES)],
        Goal(1.4, 0.9),
    ),
    Workload(
        "W23",
        "1,024 conditions, 1,024 rows, own network a row",
        lambda: parts(ROWS),
        [Phase(ROWS * (GENERATOR_FLOPS + TARGET_FLOPS), read=HEAD_BYTES + FLOAT * ROWS * (CONDITION + INPUTS))],
        Goal(2.2),
    ),
]
