"""What a workload is: its data, what it costs at least, what its goal is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Data = dict[str, Array]

# The sizes of the tutorial: condition 100, features 64, target 100 -> 128 relu -> 10 softmax.
CONDITION, FEATURES, INPUTS, HIDDEN, CLASSES = 100, 64, 100, 128, 10
SIZES = (INPUTS * HIDDEN, HIDDEN, HIDDEN * CLASSES, CLASSES)
WEIGHTS = sum(SIZES)
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Phase:
    """Work whose arithmetic and memory traffic may overlap: it lasts at least as long as the longest of the three."""

    flops: float = 0
    read: float = 0  # bytes
    store: float = 0  # bytes
    read_set: float | None = None  # bytes that one call after the other touches: they say which cache serves the reads
    store_set: float | None = None

    def demands(self, level_of: Callable[[float], str]) -> dict[str, float]:
        """How much is asked of each limit, by its name: `fma` in flops, `read_L2` and so on in bytes."""
        found = {"fma": self.flops}
        found["read_" + level_of(self.read if self.read_set is None else self.read_set)] = self.read
        found["store_" + level_of(self.store if self.store_set is None else self.store_set)] = self.store
        return {name: amount for name, amount in found.items() if amount}


@dataclass(frozen=True)
class Goal:
    """What is asked of hypernet: `ratio` times as fast as the best peer, at `fraction` of the limit, within `seconds`.

    With `against` the ratio is asked against that peer, and hypernet has to be ahead of the best one.
    """

    ratio: float = 1.0
    fraction: float | None = 0.85
    seconds: float | None = None
    against: str | None = None


@dataclass(frozen=True)
class Workload:
    """One piece of work that every contestant does on the same data."""

    name: str
    what: str
    data: Callable[[], Data]
    phases: Sequence[Phase]
    goal: Goal
    tolerance: float = 1e-5
    checked_calls: int = 1  # results of so many calls in a row must agree; a training step needs some
    only_checks: Sequence[str] = ()  # contestants that only check the result: they do not offer what is timed
    in_pairs: bool = False  # too large for all contestants to hold it at the same time
    variants: dict[str, Variant] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """Another way in which hypernet can do a workload, judged against hypernet's ordinary way."""

    tolerance: float
    phases: Sequence[Phase]
    goal: Goal


def generator_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(rng: np.random.Generator, *shape: int, scale: float = 0.05) -> Array:
    """N(0, scale) in float32."""
    numbers = rng.standard_normal(shape, dtype=np.float32)
    numbers *= np.float32(scale)
    return numbers
