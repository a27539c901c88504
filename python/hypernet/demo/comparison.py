"""The comparison: all contenders on one split of the digits, tested at every angle."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import Digits, Turned, is_between, is_left_out, load_digits, tested_angles, trained_angles, turn
from .models import Contender, contenders
from .training import Progress, Settings, Trained, train

Array = NDArray[Any]


@dataclass(frozen=True)
class Score:
    """What one contender reached on the test images at `tested_angles()`."""

    contender: Contender
    trained: Trained
    accuracy: Array  # (angles,)
    seconds: float  # that training took, all learning rates together

    @property
    def between(self) -> float:
        """Mean over the angles in the middle between trained ones."""
        return float(self.accuracy[is_between(tested_angles())].mean())

    @property
    def left_out(self) -> float:
        """Mean over the range of angles that training leaves out."""
        return float(self.accuracy[is_left_out(tested_angles())].mean())

    @property
    def upright(self) -> float:
        """At 0 degrees."""
        return float(self.accuracy[tested_angles() == 0.0].mean())


@dataclass(frozen=True)
class Run:
    """All contenders with one seed, which draws the split, the initial weights and the order of the images."""

    seed: int
    digits: Digits
    scores: tuple[Score, ...]

    def score(self, key: str) -> Score:
        """The score of one contender."""
        return next(score for score in self.scores if score.contender.key == key)


def compare(seed: int, settings: Settings, progress: Progress) -> Run:
    """Train and test every contender on the same images."""
    digits = load_digits(seed, settings.images)
    training, validation = (turn(part, trained_angles()) for part in (digits.train, digits.validation))
    test = turn(digits.test, tested_angles())
    scores = []
    for contender in contenders():
        began = time.perf_counter()
        trained = train(contender, training, validation, settings, seed, progress)
        seconds = time.perf_counter() - began
        scores.append(Score(contender, trained, accuracy_by_angle(contender, trained.model, test), seconds))
    return Run(seed, digits, tuple(scores))


def accuracy_by_angle(contender: Contender, model: Any, test: Turned) -> Array:
    """The share of right answers at each angle, (angles,)."""
    found = contender.predict(model, test.conditions, test.images)
    return np.asarray((found == test.labels).mean(axis=1))
