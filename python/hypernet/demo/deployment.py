"""What a model costs once it is deployed, and the hypernetwork saved, loaded, specialised and used."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..saving import load_model
from .comparison import Run
from .data import CLASSES, PIXELS, Split, condition_of, turn

Array = NDArray[Any]
MANY = 1000  # images in a large batch
_ROUNDS, _ROUND_SECONDS = 75, 3e-4  # short ones: an interruption spoils one of them, not the median


@dataclass(frozen=True)
class Cost:
    """Weights of a deployed model, and microseconds a prediction: of one image, and of each image of a large batch."""

    key: str
    weights: int
    alone: float
    in_batch: float


def seconds_of(calls: list[Callable[[], Any]]) -> list[float]:
    """The time of each call: the median of rounds that take turns, so that a busy machine disturbs all alike."""
    repeats = []
    for call in calls:
        call()
        began = time.perf_counter()
        call()
        repeats.append(max(1, int(_ROUND_SECONDS / max(time.perf_counter() - began, 1e-7))))
    rounds = np.empty((_ROUNDS, len(calls)))
    for taken in rounds:
        for index, (call, count) in enumerate(zip(calls, repeats, strict=True)):
            began = time.perf_counter()
            for _ in range(count):
                call()
            taken[index] = (time.perf_counter() - began) / count
    return [float(median) for median in np.median(rounds, axis=0)]


def costs(run: Run, angle: float) -> list[Cost]:
    """What each contender costs when it serves one angle: the hypernetwork as the network made for it."""
    rng = np.random.default_rng(0)
    models: list[Any] = []
    calls: dict[int, list[Callable[[], Any]]] = {1: [], MANY: []}
    for score in run.scores:
        model = score.trained.model
        if score.contender.is_hyper:
            model = model.specialize(condition_of(angle))
        models.append(model)
        width = model.input_shape[-1]
        for rows, each in calls.items():
            each.append(partial(model.predict, rng.random((rows, width), dtype=np.float32), verbose=0))
    alone, many = (seconds_of(each) for each in calls.values())
    return [
        Cost(score.contender.key, model.count_params(), alone[i] * 1e6, many[i] * 1e6 / MANY)
        for i, (score, model) in enumerate(zip(run.scores, models, strict=True))
    ]


def switching_cost(hyper: Any, angle: float) -> float:
    """Microseconds to give a specialised network the weights for another angle."""
    network = hyper.specialize(condition_of(angle))
    condition = condition_of(angle)
    return seconds_of([lambda: network.set_weights(hyper.generate(condition))])[0] * 1e6


@dataclass(frozen=True)
class Deployed:
    """The files written, and how the network that came out of them classifies the test images at its angle."""

    angle: float
    hyper_file: Path
    network_file: Path
    predicted: Array  # (images,)
    labels: Array
    as_before: int  # how many predictions are those of the model before it was saved

    @property
    def right(self) -> int:
        """How many are classified correctly."""
        return int((self.predicted == self.labels).sum())

    def sizes(self) -> tuple[int, int]:
        """Bytes of the hypernetwork's file and of the specialised network's."""
        return os.path.getsize(self.hyper_file), os.path.getsize(self.network_file)


def deploy(hyper: Any, test: Split, angle: float, folder: Path) -> Deployed:
    """Save the hypernetwork, load the file, specialise it to an angle, save and load that, and classify with it."""
    hyper_file, network_file = folder / "hypernetwork.safetensors", folder / f"network-{angle:g}.safetensors"
    hyper.save(hyper_file)
    load_model(hyper_file, compile=False).specialize(condition_of(angle)).save(network_file)
    network = load_model(network_file)
    turned = turn(test, [angle])
    images = turned.images.reshape(-1, PIXELS)
    outputs = network.predict(images, verbose=0)
    if outputs.shape != (len(images), CLASSES):
        raise RuntimeError(f"'{network_file}' gave {outputs.shape}; expected {(len(images), CLASSES)}.")
    predicted = outputs.argmax(-1)
    before = hyper.predict([condition_of(angle), images], verbose=0).argmax(-1)
    return Deployed(angle, hyper_file, network_file, predicted, test.labels, int((predicted == before).sum()))
