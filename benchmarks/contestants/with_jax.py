"""JAX: one jitted function for each workload. Weights are arguments, as a program that trains them would have it.

The head's columns are cut by the part of the target that they generate, so that no part of theta has to be copied.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from contestants import Library, Maker
from workloads.training import LAYERS, LEARNING_RATE
from workloads.workload import CLASSES, HIDDEN, INPUTS, SIZES, Data

Tree = Any
ENDS = np.cumsum(SIZES)[:-1].tolist()


def finished(function: Callable[..., Any], *operands: Any) -> Callable[[], object]:
    """JAX returns before the work is done: wait for it."""
    return lambda: jax.block_until_ready(function(*operands))


def generator_weights(data: Data) -> Tree:
    """The hidden layer, and the head cut by columns."""
    kernels = [jnp.array(part) for part in np.split(data["head_kernel"], ENDS, axis=1)]
    biases = [jnp.array(part) for part in np.split(data["head_bias"], ENDS)]
    return jnp.array(data["hidden_kernel"]), jnp.array(data["hidden_bias"]), kernels, biases


def generate(weights: Tree, condition: jax.Array) -> list[jax.Array]:
    kernel, bias, head_kernels, head_biases = weights
    features = jax.nn.relu(condition @ kernel + bias)
    return [features @ k + b for k, b in zip(head_kernels, head_biases, strict=True)]


def logits(parts: list[jax.Array], x: jax.Array) -> jax.Array:
    """Of the target with the parts of N weight vectors on rows x (N, M, D)."""
    k1, b1, k2, b2 = parts
    hidden = jax.nn.relu(jnp.einsum("nmd,ndh->nmh", x, k1.reshape(-1, INPUTS, HIDDEN)) + b1[:, None])
    return jnp.einsum("nmh,nhc->nmc", hidden, k2.reshape(-1, HIDDEN, CLASSES)) + b2[:, None]


def adapt_and_predict(data: Data) -> Callable[[], object]:
    @jax.jit
    def work(weights: Tree, condition: jax.Array, x: jax.Array) -> jax.Array:
        k1, b1, k2, b2 = generate(weights, condition)
        hidden = jax.nn.relu(x @ k1.reshape(INPUTS, HIDDEN) + b1)
        return jax.nn.softmax(hidden @ k2.reshape(HIDDEN, CLASSES) + b2)

    return finished(work, generator_weights(data), jnp.array(data["condition"]), jnp.array(data["x"]))


def head(data: Data) -> Callable[[], object]:
    operands = [jnp.array(data[name]) for name in ("features", "head_kernel", "head_bias")]
    return finished(jax.jit(lambda features, kernel, bias: features @ kernel + bias), *operands)


def head_into_result(data: Data) -> Callable[[], object]:
    """The memory of the last result is given back for the next one."""
    operands = [jnp.array(data[name]) for name in ("features", "head_kernel", "head_bias")]
    step = jax.jit(lambda _, features, kernel, bias: features @ kernel + bias, donate_argnums=0, keep_unused=True)
    held = [jnp.zeros((len(data["features"]), data["head_bias"].size), jnp.float32)]

    def work() -> jax.Array:
        held[0] = jax.block_until_ready(step(held[0], *operands))
        return held[0]

    return work


def given_weights(data: Data) -> Callable[[], object]:
    @jax.jit
    def work(theta: jax.Array, x: jax.Array) -> jax.Array:
        return jax.nn.softmax(logits(jnp.split(theta, ENDS, axis=1), x[:, None])[:, 0])

    return finished(work, jnp.array(data["theta"]), jnp.array(data["x"]))


def network_a_row(data: Data) -> Callable[[], object]:
    @jax.jit
    def work(weights: Tree, condition: jax.Array, x: jax.Array) -> jax.Array:
        return jax.nn.softmax(logits(generate(weights, condition), x[:, None])[:, 0])

    return finished(work, generator_weights(data), jnp.array(data["condition"]), jnp.array(data["x"]))


def small_call(data: Data) -> Callable[[], object]:
    operands = [jnp.array(data[name]) for name in ("x", "kernel", "bias")]
    return finished(jax.jit(lambda x, kernel, bias: jax.nn.relu(x @ kernel + bias)), *operands)


def cross_entropy(scores: jax.Array, labels: jax.Array) -> jax.Array:
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), labels[..., None], axis=-1).mean()


def step_of(loss_of: Callable[..., jax.Array], weights: Tree, *batch: jax.Array) -> Callable[[], object]:
    """One step of Keras's Adam, all in one jitted function that reuses the memory of its state."""

    @partial(jax.jit, donate_argnums=0)
    def step(state: Tree, *batch: jax.Array) -> tuple[Tree, jax.Array]:
        weights, first, second, count = state
        loss, gradient = jax.value_and_grad(loss_of)(weights, *batch)
        count = count + 1
        rate = LEARNING_RATE * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        first = jax.tree.map(lambda m, g: m + 0.1 * (g - m), first, gradient)
        second = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), second, gradient)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, first, second)
        return (weights, first, second, count), loss

    zeros = jax.tree.map(jnp.zeros_like, weights)
    held = [(weights, zeros, jax.tree.map(jnp.zeros_like, weights), jnp.float32(0))]

    def work() -> jax.Array:
        held[0], loss = step(held[0], *batch)
        jax.block_until_ready(held[0])
        return loss

    return work


def plain_step(data: Data) -> Callable[[], object]:
    weights = [[jnp.array(data[f"{part}{i}"]) for part in ("kernel", "bias")] for i in range(len(LAYERS) - 1)]

    def loss(weights: Tree, x: jax.Array, labels: jax.Array) -> jax.Array:
        for kernel, bias in weights[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        return cross_entropy(x @ weights[-1][0] + weights[-1][1], labels)

    return step_of(loss, weights, jnp.array(data["x"]), jnp.array(data["labels"]))


def hyper_step(data: Data) -> Callable[[], object]:
    """One row (N, D) or a block of rows (N, M, D) for each condition."""
    x = jnp.array(data["x"] if data["x"].ndim == 3 else data["x"][:, None])
    labels = jnp.array(data["labels"]).reshape(x.shape[:2])

    def loss(weights: Tree, condition: jax.Array, x: jax.Array, labels: jax.Array) -> jax.Array:
        return cross_entropy(logits(generate(weights, condition), x), labels)

    return step_of(loss, generator_weights(data), jnp.array(data["condition"]), x, labels)


MAKERS: dict[str, Maker] = {
    "W0": adapt_and_predict,
    "W1": head,
    "W1b": head,
    "W2-out": head_into_result,
    "W2-new": head,
    "W3": given_weights,
    "W23": network_a_row,
    "W4": plain_step,
    "W5": hyper_step,
    "W6": hyper_step,
    "call": small_call,
}


def library(threads: int) -> Library:
    return Library(MAKERS, ["jax", "jaxlib"])
