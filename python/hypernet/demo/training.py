"""Training one contender: every learning rate to its plateau, the best on the validation images is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import callbacks, optimizers
from .._random import set_random_seed
from ..utils import PyDataset
from .data import Turned
from .models import Contender

Array = NDArray[Any]


@dataclass(frozen=True)
class Settings:
    """How much is trained: learning rates tried, epochs at most, and the patience that makes a plateau.

    The learning rate falls to a third after `patience` epochs without a better validation accuracy; training ends after
    three times as many, and the weights of the best epoch are kept.
    """

    rates: tuple[float, ...] = (0.003, 0.01, 0.03)
    epochs: int = 300
    patience: int = 6
    rows: int = 48  # images of each angle in a batch


@dataclass(frozen=True)
class Trained:
    """The best of one contender's models, its learning rate, and what each rate reached on the validation images."""

    model: Any
    rate: float
    epochs: int
    validation: dict[float, float]


class Batches(PyDataset):
    """Batches with the same number of images of every angle; each epoch goes once through all images of each."""

    def __init__(self, contender: Contender, turned: Turned, rows: int, seed: int) -> None:
        super().__init__()
        self._contender = contender
        self._turned = turned
        self._conditions = turned.conditions
        self._rows = rows
        self._rng = np.random.default_rng(seed)
        self._order = self._draw()

    def _draw(self) -> Array:
        angles, images = self._turned.images.shape[:2]
        return np.stack([self._rng.permutation(images) for _ in range(angles)])

    def __len__(self) -> int:
        return self._order.shape[1] // self._rows

    def __getitem__(self, index: int) -> tuple[Any, Array]:
        chosen = self._order[:, index * self._rows : (index + 1) * self._rows]
        images = self._turned.images[np.arange(len(chosen))[:, np.newaxis], chosen]
        contender = self._contender
        return contender.arrange(self._conditions, images), contender.labels(self._turned.labels[chosen])

    def on_epoch_end(self) -> None:
        self._order = self._draw()


class _Report(callbacks.Callback):
    """Says how far one training is."""

    def __init__(self, say: Callable[[str], None], text: str) -> None:
        super().__init__()
        self._say, self._text = say, text

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._say(f"{self._text}, epoch {epoch + 1}, validation {(logs or {})['val_accuracy']:.3f}")


def _upright(turned: Turned) -> Turned:
    at = np.flatnonzero(turned.angles == 0.0)
    return Turned(turned.angles[at], turned.images[at], turned.labels)


def train(
    contender: Contender,
    training: Turned,
    validation: Turned,
    settings: Settings,
    seed: int,
    say: Callable[[str], None],
) -> Trained:
    """Train with each learning rate.

    Parameters
    ----------
    contender : Contender
    training, validation : Turned
        For a contender that knows upright images only, both are cut down to these.
    settings : Settings
    seed : int
        Of initial weights and order: the same for all rates and contenders.
    say : callable
        Takes a line about progress.
    """
    if contender.upright_only:
        training, validation = _upright(training), _upright(validation)
    labels = np.broadcast_to(validation.labels, validation.images.shape[:2])
    held = contender.arrange(validation.conditions, validation.images), contender.labels(labels)
    best: Trained | None = None
    reached: dict[float, float] = {}
    for rate in settings.rates:
        set_random_seed(seed)
        model = contender.build()
        model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        name = contender.key if len(contender.key) > 1 else f"({contender.key})"
        history = model.fit(
            Batches(contender, training, settings.rows, seed),
            validation_data=held,
            validation_batch_size=1 << 20,
            epochs=settings.epochs,
            verbose=0,
            callbacks=[
                callbacks.ReduceLROnPlateau("val_accuracy", 0.3, settings.patience, min_delta=0.0),
                callbacks.EarlyStopping("val_accuracy", patience=3 * settings.patience, restore_best_weights=True),
                _Report(say, f"{name}, rate {rate:g}"),
            ],
        )
        reached[rate] = max(history.history["val_accuracy"])
        if best is None or reached[rate] > max(value for other, value in reached.items() if other != rate):
            best = Trained(model, rate, len(history.epoch), reached)
    assert best is not None
    return best
