"""Central finite differences along directions, for tests of gradients in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STEP = 1e-6
TOLERANCE = 1e-6  # of max|analytic - numeric| / max(1, max|numeric|)


def slope(value: Callable[[], float], array: Array, direction: Array) -> float | None:
    """The derivative of `value` where `array` moves along a direction; None if a kink lies within ten steps."""
    original = array.copy()
    values = {}
    for multiple in (-10, -1, 0, 1, 10):
        array[...] = original + multiple * STEP * direction
        values[multiple] = value()
    array[...] = original
    bend = abs(values[10] - 2 * values[0] + values[-10])
    if bend > 1e-9 * max(1.0, abs(values[0])):
        return None
    return (values[1] - values[-1]) / (2 * STEP)


def directions(array: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Every entry where there are few, and random directions of length one."""
    if array.size <= 4:
        for index in np.ndindex(array.shape):
            unit = np.zeros(array.shape)
            unit[index] = 1.0
            yield unit
    for _ in range(2):
        direction = rng.standard_normal(array.shape)
        length = np.linalg.norm(direction)
        yield direction / length if length else direction


def error(value: Callable[[], float], pairs: Sequence[tuple[Array, Array]], rng: np.random.Generator) -> float | None:
    """How far gradients are from differences, for (array, gradient of `value` to it); None near a kink."""
    analytic, numeric = [0.0], [0.0]
    for array, gradient in pairs:
        assert gradient.shape == array.shape
        for direction in directions(array, rng):
            found = slope(value, array, direction)
            if found is None:
                return None
            analytic.append(float((gradient * direction).sum()))
            numeric.append(found)
    return float(np.abs(np.subtract(analytic, numeric)).max() / max(1.0, np.abs(numeric).max()))
