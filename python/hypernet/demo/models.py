"""The hypernetwork and its competitors, and how each takes conditions and images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import hyper as _hyper
from .. import layers, models
from ..builders import hypernetwork, target_network
from .data import CLASSES, PIXELS

Array = NDArray[Any]
HIDDEN = 32  # of the target
GENERATOR = 64  # hidden width of the generator


def _as_tasks(conditions: Array, images: Array) -> Any:
    """Conditions (A, 2) and images (A, M, 64): A tasks."""
    return [conditions, images]


def _alone(conditions: Array, images: Array) -> Any:
    return images.reshape(-1, PIXELS)


def _with_angle(conditions: Array, images: Array) -> Any:
    repeated = np.repeat(conditions, images.shape[1], axis=0)
    return np.concatenate([images.reshape(-1, PIXELS), repeated], axis=1)


@dataclass(frozen=True)
class Contender:
    """One model of the comparison: how to build it, how it takes its inputs, what it is trained on."""

    key: str
    title: str
    build: Callable[[], Any]
    arrange: Callable[[Array, Array], Any]
    upright_only: bool = False

    @property
    def name(self) -> str:
        """A short name."""
        return self.key if self.is_hyper else f"({self.key})"

    @property
    def is_hyper(self) -> bool:
        """Whether it is the hypernetwork."""
        return self.arrange is _as_tasks

    def labels(self, labels: Array) -> Array:
        """Labels (A, M) as the outputs are shaped."""
        return labels if self.is_hyper else labels.reshape(-1)

    def predict(self, model: Any, conditions: Array, images: Array) -> Array:
        """The predicted class of every image at every angle, (A, M)."""
        outputs = model.predict(self.arrange(conditions, images), batch_size=1 << 20, verbose=0)
        return np.asarray(outputs.argmax(-1)).reshape(images.shape[:2])


def build_hypernetwork() -> Any:
    """A target 64-32-10 whose weights come from cosine and sine of the angle."""
    target = target_network(PIXELS, CLASSES, hidden=HIDDEN)
    generator = hypernetwork(2, target.count_params(), hidden=GENERATOR)
    return _hyper.HyperModel(generator, target)


def width_for(parameters: int, inputs: int) -> int:
    """The width w of inputs-w-w-10 with about this many parameters.

    >>> width_for(156842, 66)
    359
    """
    linear = inputs + 1 + 1 + CLASSES
    return round((-linear + math.sqrt(linear**2 + 4 * (parameters - CLASSES))) / 2)


def build_large() -> Any:
    """Angle and image through two hidden layers, with as many parameters as the whole hypernetwork."""
    target = PIXELS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES
    width = width_for(3 * GENERATOR + (GENERATOR + 1) * target, PIXELS + 2)
    inputs = layers.Input(shape=(PIXELS + 2,))
    features = layers.Dense(width, activation="relu")(layers.Dense(width, activation="relu")(inputs))
    return models.Model(inputs, layers.Dense(CLASSES, activation="softmax")(features))


def contenders() -> list[Contender]:
    """The hypernetwork, then (a) to (d)."""
    return [
        Contender("hypernetwork", "hypernetwork: the angle makes a 64-32-10", build_hypernetwork, _as_tasks),
        Contender("a", "(a) one 64-32-10, all angles", lambda: target_network(PIXELS, CLASSES, hidden=HIDDEN), _alone),
        Contender(
            "b", "(b) one 64-32-10, upright only", lambda: target_network(PIXELS, CLASSES, hidden=HIDDEN), _alone, True
        ),
        Contender(
            "c", "(c) the angle as inputs: 66-32-10", lambda: target_network(PIXELS + 2, CLASSES, HIDDEN), _with_angle
        ),
        Contender("d", "(d) like (c), as large as the hypernetwork", build_large, _with_angle),
    ]
