"""Continual learning with a hypernetwork: three regressions, one after the other, and none is forgotten.

The experiment of von Oswald, Henning, Sacramento, Grewe: Continual learning with hypernetworks (ICLR 2020), with the
published settings. A task is an embedding e_t, from which the generator h(e, Theta) makes the weights of a small target.
While task T is learned, the weights that the generator makes for earlier tasks are held in place:

    L = L_task(h(e_T, Theta)) + beta / (T - 1) * sum_{t < T} || h(e_t, Theta*) - h(e_t, Theta + dTheta) ||^2

Theta* are the parameters before task T. dTheta, a constant, is the step that the optimizer would take for L_task alone.

    python examples/continual_learning.py               nine seeds: errors after each task, and their medians
    python examples/continual_learning.py --beta 0      without the regulariser: the older tasks are forgotten
    python examples/continual_learning.py --seeds 1     one seed: a few seconds (one in ten is stuck in a bad minimum)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import hypernet as hn
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BETA = 0.005
STEPS = 4001  # for each task
BATCH = 32
RATE = 0.01
EMBEDDING = 2  # numbers in a task's embedding
ROWS, NOISE = 100, 0.05  # training data of a task
TEST_ROWS = 50  # equidistant and free of noise


@dataclass(frozen=True)
class Task:
    """A function on an interval."""

    formula: str
    function: Callable[[Array], Array]
    low: float
    high: float

    def training_data(self, rng: np.random.Generator) -> tuple[Array, Array]:
        x = rng.uniform(self.low, self.high, (ROWS, 1))
        y = self.function(x) + NOISE * rng.standard_normal(x.shape)
        return x.astype(np.float32), y.astype(np.float32)

    def test_data(self) -> tuple[Array, Array]:
        x = np.linspace(self.low, self.high, TEST_ROWS, dtype=np.float32)[:, np.newaxis]
        return x, self.function(x)


TASKS = (
    Task("x + 3", lambda x: x + 3, -4, -2),
    Task("2 x^2 - 1", lambda x: 2 * x**2 - 1, -1, 1),
    Task("(x - 3)^3", lambda x: (x - 3) ** 3, 2, 4),
)


def make_hypernetwork() -> hn.HyperModel:
    """2-10-10 sigmoid, then a linear layer for each of the 6 arrays of a 1-10-10-1 sigmoid network, 141 weights."""
    x = hn.Input((1,))
    hidden = hn.layers.Dense(10, activation="sigmoid")(x)
    hidden = hn.layers.Dense(10, activation="sigmoid")(hidden)
    target = hn.Model(x, hn.layers.Dense(1)(hidden))

    embedding = hn.Input((EMBEDDING,))
    features = hn.layers.Dense(10, activation="sigmoid")(embedding)
    features = hn.layers.Dense(10, activation="sigmoid")(features)
    arrays = [hn.layers.Dense(weight.size)(features) for weight in target.weights]
    generator = hn.Model(embedding, hn.layers.Concatenate()(arrays))
    return hn.HyperModel(generator, target, init=None)  # the paper keeps Glorot's initialisation


def batches(x: Array, y: Array, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Batches without end, from one shuffled pass over the data after the other."""
    while True:
        order = rng.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            yield x[rows], y[rows]


def learn(
    hyper: hn.HyperModel,
    embeddings: Array,
    task: int,
    data: Iterator[tuple[Array, Array]],
    beta: float,
) -> None:
    """Train the generator and the embedding of `task` on all of `data`; the embeddings before it stay as they are."""
    loss = hn.losses.MeanSquaredError()
    optimizer, embedding_optimizer = hn.optimizers.Adam(RATE), hn.optimizers.Adam(RATE)
    embedding, earlier = embeddings[task], embeddings[:task]
    regularised = beta > 0 and task > 0
    if regularised:
        remembered = hyper.generate(earlier)  # h(e_t, Theta*)

    for x, y in data:
        predicted, pullback = hyper.vjp(embedding, x, wrt=("condition", "params"))
        _, dy = loss.value_and_grad(y, predicted)
        gradient = pullback(dy)
        total = gradient.params
        if regularised:
            lookahead = hyper.params + optimizer.delta(gradient.params, hyper.params)
            generated, pullback = hn.functional_vjp(hyper.generator, lookahead, earlier)
            total = total + pullback(2 * beta / task * (generated - remembered)).theta
        optimizer.apply(total, hyper.params)
        embedding_optimizer.apply(gradient.condition, embedding)  # it sees the loss of the task only


def mean_squared_errors(hyper: hn.HyperModel, embeddings: Array, learned: int) -> list[float]:
    """Of the tasks learned so far, on their test data."""
    errors = []
    for task, embedding in zip(TASKS[:learned], embeddings, strict=False):
        x, y = task.test_data()
        errors.append(float(np.mean(np.square(hyper([embedding, x]) - y))))
    return errors


def run(seed: int, beta: float = BETA, steps: int = STEPS) -> list[list[float]]:
    """Learn the tasks in turn; the test errors after each of them."""
    hn.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    hyper = make_hypernetwork()
    embeddings = rng.standard_normal((len(TASKS), EMBEDDING), dtype=np.float32)
    errors = []
    for task, definition in enumerate(TASKS):
        data = batches(*definition.training_data(rng), rng)
        learn(hyper, embeddings, task, islice(data, steps), beta)
        errors.append(mean_squared_errors(hyper, embeddings, task + 1))
    return errors


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Three regressions learned one after the other (von Oswald et al., ICLR 2020)."
    )
    parser.add_argument("--seeds", type=int, default=9, help="how many runs, with the seeds 0, 1, ... (default: 9)")
    parser.add_argument("--beta", type=float, default=BETA, help=f"weight of the regulariser (default: {BETA})")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    if options.beta < 0:
        parser.error("--beta must not be negative")

    print(f"mean squared test errors, beta = {options.beta:g}")
    print(" " * 18 + "".join(f"{task.formula:>12}" for task in TASKS))
    last = []
    for seed in range(options.seeds):
        errors = run(seed, options.beta)
        for task, row in enumerate(errors):
            label = f"seed {seed}" if task == 0 else ""
            print(f"{label:8}after {task + 1}:  " + "".join(f"{error:12.5f}" for error in row), flush=True)
        last.append(errors[-1])
    print(f"{'median':8}after {len(TASKS)}:  " + "".join(f"{error:12.5f}" for error in np.median(last, axis=0)))
    print(f"median of the mean over tasks:       {np.median(np.mean(last, axis=1)):.5f}")
    print(f"median of the older tasks' errors:   {np.median(np.array(last)[:, :-1]):.5f}")


if __name__ == "__main__":
    main()
