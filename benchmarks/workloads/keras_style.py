"""Workloads as a user of Keras writes them: one small call, fit and predict on many rows, the tutorial's last line."""

from __future__ import annotations

import itertools

from . import training
from .generation import GENERATOR_FLOPS, HEAD_BYTES, TARGET_FLOPS, parts
from .workload import FEATURES, FLOAT, WEIGHTS, Data, Goal, Phase, Workload, generator_of, normal

ROWS, BATCH = 25_600, 256
UNITS = 64
# Keras's own loops are what is compared; who has none of its own only checks the results.
WITHOUT_LOOP = ("numpy",)
TUTORIALS = "keras-tensorflow"  # what the tutorial is written for


def small_layer() -> Data:
    rng = generator_of()
    return {
        "kernel": normal(rng, FEATURES, UNITS),
        "bias": normal(rng, UNITS),
        "x": normal(rng, 1, FEATURES, scale=1),
    }


def epoch() -> list[Phase]:
    steps = ROWS // BATCH
    return [
        Phase(*(steps * (part or 0) for part in (p.flops, p.read, p.store)), read_set=p.read_set, store_set=p.store_set)
        if p.read_set is not None
        else Phase(steps * p.flops, read=FLOAT * ROWS * training.LAYERS[0])
        for p in training.plain_step(BATCH)
    ]


PREDICTION = Phase(
    2.0 * ROWS * sum(a * b for a, b in itertools.pairwise(training.LAYERS)),
    read=FLOAT * ROWS * training.LAYERS[0],
    store=FLOAT * ROWS * training.LAYERS[-1],
)

WORKLOADS = [
    Workload("call", "(1, 64) -> Dense(64, relu), one Python call", small_layer, [], Goal(5.0, None, 1e-6)),
    Workload(
        "fit",
        "fit of the network of W4 on 25,600 rows, batch 256, one epoch",
        lambda: training.plain(ROWS),
        epoch(),
        Goal(4.0, against=TUTORIALS),
        tolerance=1e-4,
        only_checks=WITHOUT_LOOP,
    ),
    Workload(
        "predict",
        "predict of the network of W4 on 25,600 rows",
        lambda: training.plain(ROWS),
        [PREDICTION],
        Goal(5.0, against=TUTORIALS),
        only_checks=WITHOUT_LOOP,
    ),
    Workload(
        "seed",
        "the tutorial's last line and one predict",
        lambda: parts(1),
        [Phase(GENERATOR_FLOPS + TARGET_FLOPS, read=HEAD_BYTES, store=FLOAT * WEIGHTS)],
        Goal(1500.0, None, against=TUTORIALS),
        only_checks=WITHOUT_LOOP,
    ),
]
