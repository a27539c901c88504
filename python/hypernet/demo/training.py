"""Training one contender: every learning rate to its plateau, the best on the validation images is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

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
    """How much is trained.

    The learning rate falls to a third after `patience` epochs without a better validation accuracy; training ends after
    three times as many, which is what "plateau" means here, and the weights of the best epoch are kept.
    """

    rates: tuple[float, ...]  # learning rates tried
    patience: int
    epochs: int = 400  # at most
    # Images of each angle in a batch. Of 24, 48 and 96 the best mean validation accuracy of the hypernetwork, (a) and (c)
    # with seeds 0 and 1; (b) and (d) were not tried with others.
    rows: int = 24
    images: int | None = None  # None: all training images


QUICK = Settings(rates=(0.003, 0.01), patience=4)
FULL = Settings(rates=(0.001, 0.003, 0.01, 0.03), patience=6)


class Progress(Protocol):
    """What wants to know how far training is."""

    def begin(self, text: str) -> None:
        """One training of one contender starts."""

    def epoch(self, number: int, accuracy: float) -> None:
        """An epoch has ended with this accuracy on the validation images."""

    def end(self) -> None:
        """The training has ended."""


@dataclass(frozen=True)
class Trained:
    """The best of one contender's models, and how it was found."""

    model: Any
    rate: float
    epochs: int
    at_plateau: bool  # False: it ended because of the limit of epochs
    validation: dict[float, float]  # the best accuracy that each rate reached


class Batches(PyDataset):
    """Batches with the same number of images of every angle; each epoch goes once through all images of each."""

    def __init__(self, contender: Contender, turned: Turned, rows: int, seed: int) -> None:
        super().__init__()
        self._contender = contender
        self._turned = turned
        self._conditions = turned.conditions
        self._rows = min(rows, turned.images.shape[1])
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

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._progress.epoch(epoch + 1, (logs or {})["val_accuracy"])


def _upright(turned: Turned) -> Turned:
    at = np.flatnonzero(turned.angles == 0.0)
    return Turned(turned.angles[at], turned.images[at], turned.labels)


def train(
    contender: Contender, training: Turned, validation: Turned, settings: Settings, seed: int, progress: Progress
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
    progress : Progress
    """
    if contender.upright_only:
        training, validation = _upright(training), _upright(validation)
    best: Trained | None = None
    reached: dict[float, float] = {}
    for rate in settings.rates:
        progress.begin(f"{contender.name}, rate {rate:g}")
        model, accuracies = _train_with(rate, contender, training, validation, settings, seed, progress)
        progress.end()
        reached[rate] = max(accuracies)
        if best is None or reached[rate] > reached[best.rate]:
            best = Trained(model, rate, len(accuracies), len(accuracies) < settings.epochs, reached)
    if best is None:
        raise ValueError("There is no learning rate to try.")
    return best


def _train_with(
    rate: float,
    contender: Contender,
    training: Turned,
    validation: Turned,
    settings: Settings,
    seed: int,
    progress: Progress,
) -> tuple[Any, list[float]]:
    """The model of the best epoch, and the validation accuracy after each."""
    set_random_seed(seed)
    model = contender.build()
    model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    labels = np.broadcast_to(validation.labels, validation.images.shape[:2])
    history = model.fit(
        Batches(contender, training, settings.rows, seed),
        validation_data=(contender.arrange(validation.conditions, validation.images), contender.labels(labels)),
        validation_batch_size=1 << 20,
        epochs=settings.epochs,
        verbose=0,
        callbacks=[
            callbacks.ReduceLROnPlateau("val_accuracy", 0.3, settings.patience, min_delta=0.0),
            callbacks.EarlyStopping("val_accuracy", patience=3 * settings.patience, restore_best_weights=True),
            _Report(progress),
        ],
    )
    return model, history.history["val_accuracy"]
