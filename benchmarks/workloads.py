"""The workloads: the same work done by hypernet and by NumPy, on the same numbers.

Sizes: condition 100, features 64, target 100 -> 128 relu -> 10 softmax (14,218 weights), float32, weights N(0, .05).
A workload is made with `make(name)`; it holds one function without arguments for each contestant, each returning the
arrays that must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import hypernet as hn
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
CONDITION, FEATURES, INPUTS, HIDDEN, CLASSES = 100, 64, 100, 128, 10


@dataclass(frozen=True)
class Workload:
    """One piece of work, and who does it: name -> function without arguments that returns arrays."""

    name: str
    what: str
    contestants: dict[str, Callable[[], tuple[Array, ...]]]
    tolerance: float = 1e-4


def normal(rng: np.random.Generator, *shape: int, scale: float = 0.05) -> Array:
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Pair:
    """The tutorial's generator and target with the same weights for both contestants."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.rng = rng
        self.target = hn.target_network(INPUTS, CLASSES)
        self.weights = self.target.count_params()
        self.generator = hn.hypernetwork(CONDITION, self.weights)
        self.hyper = hn.HyperModel(self.generator, self.target, init=None)
        self.hidden_kernel = normal(rng, CONDITION, FEATURES)
        self.hidden_bias = normal(rng, FEATURES)
        self.head_kernel = normal(rng, FEATURES, self.weights)
        self.head_bias = normal(rng, self.weights)
        self.generator.set_weights([self.hidden_kernel, self.hidden_bias, self.head_kernel, self.head_bias])
        ends = np.cumsum([INPUTS * HIDDEN, HIDDEN, HIDDEN * CLASSES, CLASSES])
        self.places = [
            slice(int(end - size), int(end))
            for end, size in zip(ends, (INPUTS * HIDDEN, HIDDEN, HIDDEN * CLASSES, CLASSES), strict=True)
        ]

    def features(self, condition: Array) -> Array:
        return relu(condition @ self.hidden_kernel + self.hidden_bias)

    def unpack(self, theta: Array) -> tuple[Array, Array, Array, Array]:
        """Views of kernels and biases for each row of theta."""
        n = len(theta)
        first, second, third, last = (theta[:, place] for place in self.places)
        return first.reshape(n, INPUTS, HIDDEN), second, third.reshape(n, HIDDEN, CLASSES), last


def adapt_and_predict() -> Workload:
    pair = Pair()
    condition, x = normal(pair.rng, 1, CONDITION, scale=1), normal(pair.rng, 1, INPUTS, scale=1)

    def with_numpy() -> tuple[Array, ...]:
        theta = pair.features(condition) @ pair.head_kernel + pair.head_bias
        k1, b1, k2, b2 = pair.unpack(theta)
        return (softmax(relu(x @ k1[0] + b1[0]) @ k2[0] + b2[0]),)

    return Workload(
        "W0",
        "one adaptation and one prediction",
        {"hypernet": lambda: (pair.hyper([condition, x]),), "numpy": with_numpy},
    )


def generate_batch() -> Workload:
    pair = Pair()
    condition = normal(pair.rng, 1024, CONDITION, scale=1)
    features = pair.features(condition)
    inputs = hn.layers.Input((FEATURES,))
    head = hn.Model(inputs, hn.layers.Dense(pair.weights)(inputs))
    head.set_weights([pair.head_kernel, pair.head_bias])
    ours = np.empty((1024, pair.weights), np.float32)
    theirs = np.empty_like(ours)

    def with_numpy() -> tuple[Array, ...]:
        np.matmul(features, pair.head_kernel, out=theirs)
        np.add(theirs, pair.head_bias, out=theirs)
        return (theirs,)

    return Workload(
        "W2",
        "1024 weight vectors generated, result kept (out=)",
        {"hypernet": lambda: (head.predict(features, out=ours, verbose=0),), "numpy": with_numpy},
    )


def network_a_row() -> Workload:
    pair = Pair()
    condition, x = normal(pair.rng, 1024, CONDITION, scale=1), normal(pair.rng, 1024, INPUTS, scale=1)

    def with_numpy() -> tuple[Array, ...]:
        theta = pair.features(condition) @ pair.head_kernel + pair.head_bias
        k1, b1, k2, b2 = pair.unpack(theta)
        hidden = relu(np.matmul(x[:, None], k1)[:, 0] + b1)
        return (softmax(np.matmul(hidden[:, None], k2)[:, 0] + b2),)

    return Workload(
        "W23",
        "1024 conditions, 1024 rows, own network a row",
        {"hypernet": lambda: (pair.hyper.predict([condition, x], verbose=0),), "numpy": with_numpy},
    )


class NumpyAdam:
    """Keras's Adam, in place, for a list of arrays."""

    def __init__(self, arrays: list[Array]) -> None:
        self.arrays, self.step = arrays, 0
        self.slots = [(np.zeros_like(a), np.zeros_like(a)) for a in arrays]

    def apply(self, gradients: list[Array]) -> None:
        self.step += 1
        rate = np.float32(1e-3 * np.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step))
        for w, g, (m, v) in zip(self.arrays, gradients, self.slots, strict=True):
            m += (g - m) * np.float32(0.1)
            v += (g * g - v) * np.float32(0.001)
            w -= rate * m / (np.sqrt(v) + np.float32(1e-7))


def hyper_train_step() -> Workload:
    pair = Pair()
    n = 256
    condition, x = normal(pair.rng, n, CONDITION, scale=1), normal(pair.rng, n, INPUTS, scale=1)
    labels = pair.rng.integers(0, CLASSES, n)
    pair.hyper.compile("adam", "sparse_categorical_crossentropy")
    weights = [a.copy() for a in (pair.hidden_kernel, pair.hidden_bias, pair.head_kernel, pair.head_bias)]
    adam = NumpyAdam(weights)

    def with_numpy() -> tuple[Array, ...]:
        kernel, bias, head_kernel, head_bias = weights
        features = relu(condition @ kernel + bias)
        theta = features @ head_kernel + head_bias
        k1, b1, k2, b2 = pair.unpack(theta)
        hidden = relu(np.matmul(x[:, None], k1)[:, 0] + b1)
        probability = softmax(np.matmul(hidden[:, None], k2)[:, 0] + b2)
        loss = -np.log(probability[np.arange(n), labels]).mean()
        d_logits = probability
        d_logits[np.arange(n), labels] -= 1
        d_logits /= n
        d_theta = np.empty_like(theta)
        d_k1, d_b1, d_k2, d_b2 = pair.unpack(d_theta)
        np.multiply(hidden[:, :, None], d_logits[:, None], out=d_k2)
        d_b2[:] = d_logits
        d_hidden = np.matmul(k2, d_logits[:, :, None])[:, :, 0] * (hidden > 0)
        np.multiply(x[:, :, None], d_hidden[:, None], out=d_k1)
        d_b1[:] = d_hidden
        d_features = (d_theta @ head_kernel.T) * (features > 0)
        adam.apply([condition.T @ d_features, d_features.sum(0), features.T @ d_theta, d_theta.sum(0)])
        return (np.asarray(loss),)

    return Workload(
        "W5",
        "hyper training step, 256 conditions, one row each, Adam",
        {"hypernet": lambda: (np.asarray(pair.hyper.train_on_batch([condition, x], labels)),), "numpy": with_numpy},
    )


def small_call() -> Workload:
    rng = np.random.default_rng(0)
    inputs = hn.layers.Input((FEATURES,))
    model = hn.Model(inputs, hn.layers.Dense(64, activation="relu")(inputs))
    x, kernel, bias = normal(rng, 1, FEATURES, scale=1), normal(rng, FEATURES, 64), normal(rng, 64)
    model.set_weights([kernel, bias])
    return Workload(
        "call",
        "(1, 64) -> Dense(64, relu), one Python call",
        {"hypernet": lambda: (model(x),), "numpy": lambda: (np.maximum(x @ kernel + bias, 0),)},
    )


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "W0": adapt_and_predict,
    "W2": generate_batch,
    "W23": network_a_row,
    "W5": hyper_train_step,
    "call": small_call,
}
