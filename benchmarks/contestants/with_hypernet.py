"""hypernet, as its users write it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import hypernet as hn
import numpy as np
from hypernet import _core

from contestants import Library, Maker
from workloads.training import LAYERS, LEARNING_RATE
from workloads.workload import CLASSES, CONDITION, INPUTS, WEIGHTS, Data

GENERATOR = ("hidden_kernel", "hidden_bias", "head_kernel", "head_bias")


def tutorial(data: Data) -> tuple[hn.Model, hn.Model]:
    target = hn.target_network(INPUTS, CLASSES)
    generator = hn.hypernetwork(CONDITION, WEIGHTS)
    generator.set_weights([data[name] for name in GENERATOR])
    return generator, target


def hyper_model(data: Data) -> hn.HyperModel:
    return hn.HyperModel(*tutorial(data), init=None)


def head_model(data: Data) -> hn.Model:
    """Only the head; its own initial values, which are replaced, are zeros."""
    features, weights = data["head_kernel"].shape
    inputs = hn.layers.Input((features,))
    model = hn.Model(inputs, hn.layers.Dense(weights, kernel_initializer="zeros")(inputs))
    model.set_weights([data["head_kernel"], data["head_bias"]])
    return model


def adapt_and_predict(data: Data) -> Callable[[], object]:
    return partial(hyper_model(data), [data["condition"], data["x"]])


def head(data: Data) -> Callable[[], object]:
    return partial(head_model(data), data["features"])


def head_into_result(data: Data) -> Callable[[], object]:
    out = np.empty((len(data["features"]), data["head_bias"].size), np.float32)
    return partial(head_model(data).predict, data["features"], verbose=0, out=out)


def head_new_result(data: Data) -> Callable[[], object]:
    return partial(head_model(data).predict, data["features"], verbose=0)


def large_head(storage: str | None, data: Data) -> Callable[[], object]:
    """A generator that is only the head, with its weights as float32 or in a smaller storage."""
    weights = data["head_bias"].size
    inner = hn.layers.Input((999,))
    target = hn.Model(inner, hn.layers.Dense(1000, kernel_initializer="zeros")(inner))
    assert target.count_params() == weights
    hyper = hn.HyperModel(head_model(data), target, init=None)
    if storage is not None:
        hyper = hyper.quantize(storage)
    return partial(hyper.generate, data["features"], out=np.empty((1, weights), np.float32))


def given_weights(data: Data) -> Callable[[], object]:
    target = hn.target_network(INPUTS, CLASSES)
    return partial(hn.functional_call, target, data["theta"], data["x"])


def network_a_row(data: Data) -> Callable[[], object]:
    return partial(hyper_model(data).predict, [data["condition"], data["x"]], verbose=0)


def plain_model(data: Data, learning_rate: float) -> hn.Model:
    x = inputs = hn.layers.Input((LAYERS[0],))
    for units in LAYERS[1:-1]:
        x = hn.layers.Dense(units, activation="relu")(x)
    model = hn.Model(inputs, hn.layers.Dense(LAYERS[-1], activation="softmax")(x))
    model.set_weights([data[f"{part}{i}"] for i in range(len(LAYERS) - 1) for part in ("kernel", "bias")])
    model.compile(hn.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy")
    return model


def plain_step(data: Data) -> Callable[[], object]:
    return partial(plain_model(data, LEARNING_RATE).train_on_batch, data["x"], data["labels"])


def hyper_step(data: Data) -> Callable[[], object]:
    hyper = hyper_model(data)
    hyper.compile(hn.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy")
    return partial(hyper.train_on_batch, [data["condition"], data["x"]], data["labels"])


def small_call(data: Data) -> Callable[[], object]:
    inputs = hn.layers.Input((data["kernel"].shape[0],))
    model = hn.Model(inputs, hn.layers.Dense(data["bias"].size, activation="relu")(inputs))
    model.set_weights([data["kernel"], data["bias"]])
    return partial(model, data["x"])


def fit(data: Data) -> Callable[[], object]:
    """The first call is the one that is checked: its batches are in order. The others shuffle, as fit does."""
    model = plain_model(data, 1e-3)
    shuffled: list[bool] = []

    def epoch() -> float:
        history = model.fit(data["x"], data["labels"], batch_size=256, verbose=0, shuffle=bool(shuffled))
        shuffled.append(True)
        return history.history["loss"][0]

    return epoch


def predict(data: Data) -> Callable[[], object]:
    return partial(plain_model(data, 1e-3).predict, data["x"], verbose=0)


def seed(data: Data) -> Callable[[], object]:
    generator, target = tutorial(data)
    condition, x = data["condition"], data["x"]

    def adapt() -> object:
        target.set_weights(generator.predict(condition))
        return target.predict(x)

    return adapt


MAKERS: dict[str, Maker] = {
    "W0": adapt_and_predict,
    "W1": head,
    "W1b": partial(large_head, None),
    "W2-out": head_into_result,
    "W2-new": head_new_result,
    "W3": given_weights,
    "W23": network_a_row,
    "W4": plain_step,
    "W5": hyper_step,
    "W6": hyper_step,
    "call": small_call,
    "fit": fit,
    "predict": predict,
    "seed": seed,
}


def library(threads: int, head: str | None = None) -> Library:
    hn.set_num_threads(threads)
    makers = MAKERS if head is None else {"W1b": partial(large_head, head)}
    return Library(makers, ["hypernet", "numpy"], {"isa": _core.isa()})
