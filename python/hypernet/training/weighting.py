"""Weights of rows by their class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .examples import Examples

Array = NDArray[Any]


def apply_class_weight(examples: Examples, class_weight: Any, dtype: str) -> Examples:
    """The examples with `class_weight[label]` as weight of each row; labels that it does not name weigh 1.

    Raises
    ------
    ValueError
        Several outputs, or no dict of numbers.
    """
    assert examples.targets is not None
    if len(examples.targets) != 1:
        raise ValueError("`class_weight` is only supported for Models with a single output.")
    if not isinstance(class_weight, dict):
        raise ValueError(f"`class_weight` must be a dict {{label: weight}}. Received: class_weight={class_weight}")
    strange = [label for label in class_weight if not isinstance(label, (int, float, np.number))]
    if strange:
        raise ValueError(f"The labels in `class_weight` must be numbers, as in the targets. Received: {strange}")
    labels = _labels(examples.targets[0])
    found, places = np.unique(labels, return_inverse=True)
    by_label = np.array([class_weight.get(int(label), 1.0) for label in found], dtype)
    weights = np.ascontiguousarray(by_label[places].reshape(labels.shape))
    return Examples(examples.mode, examples.conditions, examples.inputs, examples.targets, (weights,), examples.count)


def _labels(target: Array) -> Array:
    if target.dtype == np.int64:
        return target
    values = target.argmax(-1) if target.shape[-1] != 1 else target[..., 0]
    return np.asarray(np.round(values), np.int64)
