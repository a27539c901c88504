"""NumPy: what is done when there is only BLAS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from contestants import Library, Maker
from workloads.training import LAYERS, LEARNING_RATE
from workloads.workload import CLASSES, HIDDEN, INPUTS, SIZES, Array, Data

ENDS = np.cumsum(SIZES)
PLACES = [slice(int(end - size), int(end)) for end, size in zip(ENDS, SIZES, strict=True)]


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def unpack(theta: Array) -> tuple[Array, Array, Array, Array]:
    """Views of kernels and biases for each row of theta."""
    n = len(theta)
    first, second, third, last = (theta[:, place] for place in PLACES)
    return first.reshape(n, INPUTS, HIDDEN), second, third.reshape(n, HIDDEN, CLASSES), last


def generate(data: Data) -> Array:
    theta = relu(data["condition"] @ data["hidden_kernel"] + data["hidden_bias"]) @ data["head_kernel"]
    theta += data["head_bias"]
    return theta


def target(theta: Array, x: Array) -> Array:
    k1, b1, k2, b2 = unpack(theta)
    hidden = np.matmul(x[:, None], k1)[:, 0]
    hidden += b1
    np.maximum(hidden, 0, out=hidden)
    return softmax(np.matmul(hidden[:, None], k2)[:, 0] + b2)


def adapt_and_predict(data: Data) -> Callable[[], object]:
    def work() -> Array:
        k1, b1, k2, b2 = unpack(generate(data))
        return softmax(relu(data["x"] @ k1[0] + b1[0]) @ k2[0] + b2[0])

    return work


def head_into_result(data: Data) -> Callable[[], object]:
    features, kernel, bias = data["features"], data["head_kernel"], data["head_bias"]
    out = np.empty((len(features), bias.size), np.float32)

    def work() -> Array:
        np.matmul(features, kernel, out=out)
        return np.add(out, bias, out=out)

    return work


def head_new_result(data: Data) -> Callable[[], object]:
    features, kernel, bias = data["features"], data["head_kernel"], data["head_bias"]

    def work() -> Array:
        out = features @ kernel
        out += bias
        return out

    return work


def given_weights(data: Data) -> Callable[[], object]:
    return lambda: target(data["theta"], data["x"])


def network_a_row(data: Data) -> Callable[[], object]:
    return lambda: target(generate(data), data["x"])


class Adam:
    """Keras's Adam, in place, for a list of arrays."""

    def __init__(self, arrays: list[Array], rate: float) -> None:
        self.arrays, self.rate, self.step = arrays, rate, 0
        self.slots = [(np.zeros_like(a), np.zeros_like(a)) for a in arrays]

    def apply(self, gradients: list[Array]) -> None:
        self.step += 1
        rate = np.float32(self.rate * np.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step))
        for w, g, (m, v) in zip(self.arrays, gradients, self.slots, strict=True):
            m += (g - m) * np.float32(0.1)
            v += (g * g - v) * np.float32(0.001)
            w -= rate * m / (np.sqrt(v) + np.float32(1e-7))


def loss_and_gradient(probability: Array, labels: Array) -> tuple[Array, Array]:
    """The mean cross-entropy, and its gradient with respect to what went into the softmax."""
    rows = probability.reshape(-1, probability.shape[-1])
    each = np.arange(len(rows)), labels.ravel()
    loss = -np.log(rows[each]).mean()
    rows[each] -= 1
    rows /= len(rows)
    return loss, probability


class Plain:
    """The network of W4 with Adam."""

    def __init__(self, data: Data, rate: float) -> None:
        self.kernels = [data[f"kernel{i}"].copy() for i in range(len(LAYERS) - 1)]
        self.biases = [data[f"bias{i}"].copy() for i in range(len(LAYERS) - 1)]
        self.adam = Adam([*self.kernels, *self.biases], rate)

    def forward(self, x: Array) -> list[Array]:
        values = [x]
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            y = values[-1] @ kernel
            y += bias
            values.append(softmax(y) if i == len(self.kernels) - 1 else np.maximum(y, 0, out=y))
        return values

    def step(self, x: Array, labels: Array) -> Array:
        values = self.forward(x)
        loss, dy = loss_and_gradient(values[-1], labels)
        d_kernels, d_biases = [], []
        for i in reversed(range(len(self.kernels))):
            d_kernels.insert(0, values[i].T @ dy)
            d_biases.insert(0, dy.sum(0))
            if i:
                dy = dy @ self.kernels[i].T
                dy *= values[i] > 0
        self.adam.apply([*d_kernels, *d_biases])
        return loss


def plain_step(data: Data) -> Callable[[], object]:
    network = Plain(data, LEARNING_RATE)
    return lambda: network.step(data["x"], data["labels"])


def hyper_step(data: Data) -> Callable[[], object]:
    """One row (N, D) or a block of rows (N, M, D) for each condition."""
    condition, labels = data["condition"], data["labels"]
    x = data["x"] if data["x"].ndim == 3 else data["x"][:, None]
    weights = [data[name].copy() for name in ("hidden_kernel", "hidden_bias", "head_kernel", "head_bias")]
    kernel, bias, head_kernel, head_bias = weights
    adam = Adam(weights, LEARNING_RATE)
    d_theta = np.empty((len(condition), head_bias.size), np.float32)

    def work() -> Array:
        features = relu(condition @ kernel + bias)
        theta = features @ head_kernel
        theta += head_bias
        k1, b1, k2, b2 = unpack(theta)
        hidden = np.matmul(x, k1)
        hidden += b1[:, None]
        np.maximum(hidden, 0, out=hidden)
        loss, d_logits = loss_and_gradient(softmax(np.matmul(hidden, k2) + b2[:, None]), labels)
        d_k1, d_b1, d_k2, d_b2 = unpack(d_theta)
        np.matmul(hidden.transpose(0, 2, 1), d_logits, out=d_k2)
        d_b2[:] = d_logits.sum(1)
        d_hidden = np.matmul(d_logits, k2.transpose(0, 2, 1))
        d_hidden *= hidden > 0
        if x.shape[1] == 1:  # an outer product: NumPy multiplies faster than it calls BLAS for it
            np.multiply(x.transpose(0, 2, 1), d_hidden, out=d_k1)
        else:
            np.matmul(x.transpose(0, 2, 1), d_hidden, out=d_k1)
        d_b1[:] = d_hidden.sum(1)
        d_features = d_theta @ head_kernel.T
        d_features *= features > 0
        adam.apply([condition.T @ d_features, d_features.sum(0), features.T @ d_theta, d_theta.sum(0)])
        return loss

    return work


def small_call(data: Data) -> Callable[[], object]:
    x, kernel, bias = data["x"], data["kernel"], data["bias"]
    return lambda: np.maximum(x @ kernel + bias, 0)


def fit(data: Data) -> Callable[[], object]:
    network = Plain(data, 1e-3)

    def epoch() -> float:
        x, labels = data["x"], data["labels"]
        return float(np.mean([network.step(x[i : i + 256], labels[i : i + 256]) for i in range(0, len(x), 256)]))

    return epoch


def predict(data: Data) -> Callable[[], object]:
    network = Plain(data, 1e-3)
    return lambda: network.forward(data["x"])[-1]


MAKERS: dict[str, Maker] = {
    "W0": adapt_and_predict,
    "W1": head_into_result,
    "W1b": head_into_result,
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
    "seed": adapt_and_predict,
}


def library(threads: int) -> Library:
    return Library(MAKERS, ["numpy"])
