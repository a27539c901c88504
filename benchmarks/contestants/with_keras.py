"""Keras, on one of its backends: its own fit and predict, and the tutorial as it was meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from contestants import Library, Maker
from workloads.training import LAYERS
from workloads.workload import CLASSES, CONDITION, FEATURES, HIDDEN, INPUTS, WEIGHTS, Data

GENERATOR = ("hidden_kernel", "hidden_bias", "head_kernel", "head_bias")


def network(sizes: tuple[int, ...], last: str | None) -> Any:
    """Dense layers, relu between them."""
    import keras

    x = inputs = keras.layers.Input((sizes[0],))
    for units in sizes[1:-1]:
        x = keras.layers.Dense(units, activation="relu")(x)
    return keras.Model(inputs, keras.layers.Dense(sizes[-1], activation=last)(x))


def plain_model(data: Data) -> Any:
    import keras

    model = network(LAYERS, "softmax")
    model.set_weights([data[f"{part}{i}"] for i in range(len(LAYERS) - 1) for part in ("kernel", "bias")])
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    return model


def fit(data: Data) -> Callable[[], object]:
    """The first call is the one that is checked: its batches are in order. The others shuffle, as fit does."""
    model = plain_model(data)
    shuffled: list[bool] = []

    def epoch() -> float:
        history = model.fit(data["x"], data["labels"], batch_size=256, verbose=0, shuffle=bool(shuffled))
        shuffled.append(True)
        return history.history["loss"][0]

    return epoch


def predict(data: Data) -> Callable[[], object]:
    model = plain_model(data)
    return lambda: model.predict(data["x"], verbose=0)


def seed(data: Data) -> Callable[[], object]:
    """The vector is cut into Keras's list, which is what its set_weights takes; its progress bar goes nowhere."""
    generator, target = network((CONDITION, FEATURES, WEIGHTS), None), network((INPUTS, HIDDEN, CLASSES), "softmax")
    generator.set_weights([data[name] for name in GENERATOR])
    shapes = [weight.shape for weight in target.weights]

    def adapt() -> object:
        theta, parts, start = generator.predict(data["condition"])[0], [], 0
        for shape in shapes:
            size = shape[0] * (shape[1] if len(shape) == 2 else 1)
            parts.append(theta[start : start + size].reshape(shape))
            start += size
        target.set_weights(parts)
        return target.predict(data["x"])

    return adapt


def small_call(data: Data) -> Callable[[], object]:
    import keras

    inputs = keras.layers.Input((data["kernel"].shape[0],))
    model = keras.Model(inputs, keras.layers.Dense(data["bias"].size, activation="relu")(inputs))
    model.set_weights([data["kernel"], data["bias"]])
    x = keras.ops.convert_to_tensor(data["x"])
    return lambda: model(x)


MAKERS: dict[str, Maker] = {"fit": fit, "predict": predict, "seed": seed, "call": small_call}


def library(threads: int, backend: str) -> Library:
    os.environ["KERAS_BACKEND"] = backend  # read when Keras is imported
    if backend != "tensorflow":
        return Library(MAKERS, ["keras", backend])
    from contestants.with_tensorflow import distribution, use_threads

    use_threads(threads)
    return Library(MAKERS, ["keras", distribution()])
