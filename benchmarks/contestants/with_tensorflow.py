"""TensorFlow: one tf.function for each workload, compiled by XLA for the training steps: there it is faster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from contestants import Library, Maker
from machine import distribution_of
from workloads.training import LAYERS, LEARNING_RATE
from workloads.workload import CLASSES, HIDDEN, INPUTS, SIZES, Data

Tensor = Any
ENDS = np.cumsum(SIZES)[:-1].tolist()


def distribution() -> str:
    """Under which of its names it is installed."""
    return distribution_of("tensorflow", "tensorflow-cpu") or "tensorflow"


def use_threads(threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def compiled(function: Callable[..., Any], *operands: Any, xla: bool = False) -> Callable[[], object]:
    return partial(tf.function(function, jit_compile=xla), *operands)


def generator_weights(data: Data) -> list[Tensor]:
    """The hidden layer, and the head cut by the parts of the target that its columns generate."""
    parts = [
        data["hidden_kernel"],
        data["hidden_bias"],
        *np.split(data["head_kernel"], ENDS, axis=1),
        *np.split(data["head_bias"], ENDS),
    ]
    return [tf.Variable(part) for part in parts]


def generate(weights: list[Tensor], condition: Tensor) -> list[Tensor]:
    kernel, bias, *heads = weights
    features = tf.nn.relu(condition @ kernel + bias)
    return [features @ k + b for k, b in zip(heads[:4], heads[4:], strict=True)]


def logits(parts: list[Tensor], x: Tensor) -> Tensor:
    """Of the target with the parts of N weight vectors on rows x (N, M, D)."""
    k1, b1, k2, b2 = parts
    hidden = tf.nn.relu(x @ tf.reshape(k1, (-1, INPUTS, HIDDEN)) + b1[:, None])
    return hidden @ tf.reshape(k2, (-1, HIDDEN, CLASSES)) + b2[:, None]


def adapt_and_predict(data: Data) -> Callable[[], object]:
    weights = generator_weights(data)

    def work(condition: Tensor, x: Tensor) -> Tensor:
        k1, b1, k2, b2 = generate(weights, condition)
        hidden = tf.nn.relu(x @ tf.reshape(k1, (INPUTS, HIDDEN)) + b1)
        return tf.nn.softmax(hidden @ tf.reshape(k2, (HIDDEN, CLASSES)) + b2)

    return compiled(work, tf.constant(data["condition"]), tf.constant(data["x"]))


def head(data: Data) -> Callable[[], object]:
    kernel, bias = tf.Variable(data["head_kernel"]), tf.Variable(data["head_bias"])
    return compiled(lambda features: features @ kernel + bias, tf.constant(data["features"]))


def given_weights(data: Data) -> Callable[[], object]:
    def work(theta: Tensor, x: Tensor) -> Tensor:
        return tf.nn.softmax(logits(tf.split(theta, SIZES, axis=1), x[:, None])[:, 0])

    return compiled(work, tf.constant(data["theta"]), tf.constant(data["x"]))


def network_a_row(data: Data) -> Callable[[], object]:
    weights = generator_weights(data)

    def work(condition: Tensor, x: Tensor) -> Tensor:
        return tf.nn.softmax(logits(generate(weights, condition), x[:, None])[:, 0])

    return compiled(work, tf.constant(data["condition"]), tf.constant(data["x"]))


def small_call(data: Data) -> Callable[[], object]:
    kernel, bias = tf.Variable(data["kernel"]), tf.Variable(data["bias"])
    return compiled(lambda x: tf.nn.relu(x @ kernel + bias), tf.constant(data["x"]))


def step_of(loss_of: Callable[..., Tensor], weights: list[Tensor], *batch: Tensor) -> Callable[[], object]:
    """One step of Keras's Adam, in the same tf.function."""
    moments = [(tf.Variable(tf.zeros_like(w)), tf.Variable(tf.zeros_like(w))) for w in weights]
    count = tf.Variable(0.0)

    def step(*batch: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(weights, *batch)
        gradients = tape.gradient(loss, weights)
        t = count.assign_add(1.0)
        rate = LEARNING_RATE * tf.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for w, g, (m, v) in zip(weights, gradients, moments, strict=True):
            m.assign_add(0.1 * (g - m))
            v.assign_add(0.001 * (g * g - v))
            w.assign_sub(rate * m / (tf.sqrt(v) + 1e-7))
        return loss

    return compiled(step, *batch, xla=True)


def cross_entropy(labels: Tensor, scores: Tensor) -> Tensor:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores))


def plain_step(data: Data) -> Callable[[], object]:
    weights = [tf.Variable(data[f"{part}{i}"]) for i in range(len(LAYERS) - 1) for part in ("kernel", "bias")]

    def loss(weights: list[Tensor], x: Tensor, labels: Tensor) -> Tensor:
        for i in range(0, len(weights) - 2, 2):
            x = tf.nn.relu(x @ weights[i] + weights[i + 1])
        return cross_entropy(labels, x @ weights[-2] + weights[-1])

    return step_of(loss, weights, tf.constant(data["x"]), tf.constant(data["labels"]))


def hyper_step(data: Data) -> Callable[[], object]:
    """One row (N, D) or a block of rows (N, M, D) for each condition."""
    x = data["x"] if data["x"].ndim == 3 else data["x"][:, None]
    labels = data["labels"].reshape(x.shape[:2])

    def loss(weights: list[Tensor], condition: Tensor, x: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(labels, logits(generate(weights, condition), x))

    batch = (data["condition"], x, labels)
    return step_of(loss, generator_weights(data), *(tf.constant(array) for array in batch))


MAKERS: dict[str, Maker] = {
    "W0": adapt_and_predict,
    "W1": head,
    "W1b": head,
    "W2-out": head,
    "W2-new": head,
    "W3": given_weights,
    "W23": network_a_row,
    "W4": plain_step,
    "W5": hyper_step,
    "W6": hyper_step,
    "call": small_call,
}


def library(threads: int) -> Library:
    use_threads(threads)
    return Library(MAKERS, [distribution()])
