"""Gradients of the fused step (losses, sample weights, penalties) against central differences, in every mode."""

from __future__ import annotations

import itertools
from typing import Any

import hypernet as hn
import numpy as np
import pytest

import differences

layers = hn.layers
CONFIGURATIONS = 10  # of each loss in each mode
CLASSES = 3
# The last activation, and the loss; what follows from logits has a linear end.
LOSSES: dict[str, tuple[str, Any]] = {
    "mean_squared_error": ("linear", hn.losses.MeanSquaredError),
    "mean_absolute_error": ("linear", hn.losses.MeanAbsoluteError),
    "huber": ("tanh", lambda: hn.losses.Huber(delta=0.3)),
    "binary_crossentropy": ("sigmoid", lambda: hn.losses.BinaryCrossentropy(label_smoothing=0.1)),
    "binary_logits": ("linear", lambda: hn.losses.BinaryCrossentropy(from_logits=True)),
    "categorical_crossentropy": ("softmax", lambda: hn.losses.CategoricalCrossentropy(label_smoothing=0.1)),
    "categorical_logits": ("linear", lambda: hn.losses.CategoricalCrossentropy(from_logits=True)),
    "sparse_categorical_crossentropy": ("softmax", hn.losses.SparseCategoricalCrossentropy),
    "sparse_logits": ("linear", lambda: hn.losses.SparseCategoricalCrossentropy(from_logits=True)),
}
LEADING = {"plain": (4,), "one": (4,), "rows": (3,), "tasks": (3, 2), "shared": (1, 2)}
CASES = list(itertools.product(LOSSES, LEADING))


def penalized(units: int, activation: str, rng: np.random.Generator) -> hn.layers.Dense:
    """A dense layer with some of the penalties there are."""
    options = {}
    for name in ("kernel_regularizer", "bias_regularizer", "activity_regularizer"):
        choice = rng.integers(3)
        if choice:
            options[name] = hn.regularizers.L2(0.03) if choice == 1 else hn.regularizers.L1L2(0.02, 0.01)
    return layers.Dense(units, activation=activation, bias_initializer="random_normal", **options)


def build(loss: str, mode: str, rng: np.random.Generator) -> tuple[Any, Any, Any, Any]:
    """Model, x, y and sample weights of a random configuration."""
    activation, make_loss = LOSSES[loss]
    inputs = layers.Input((3,), dtype="float64")
    hidden = penalized(4, "tanh", rng)(inputs)
    target = hn.Model(inputs, penalized(CLASSES, activation, rng)(hidden))
    leading = LEADING[mode]
    x: Any = rng.standard_normal((*leading, 3))
    model: Any = target
    if mode != "plain":
        names = list(target.unflatten(target.params))
        generated = [name for name in names if rng.random() < 0.7] or names[:1]
        cond = layers.Input((2,), dtype="float64")
        features = penalized(3, "tanh", rng)(cond)
        generator = hn.Model(cond, layers.Dense(hn.count_params(target, generated))(features))
        model = hn.HyperModel(generator, target, generated=generated, base="target" if rng.integers(2) else None)
        x = [rng.standard_normal((1 if mode == "one" else 3, 2)), x]
    shape = (3, 2) if mode == "shared" else leading
    if loss.startswith("sparse"):
        y = rng.integers(0, CLASSES, shape)
    elif loss.startswith("categorical"):
        y = np.eye(CLASSES)[rng.integers(0, CLASSES, shape)]
    else:
        y = rng.random((*shape, CLASSES))
    weights = [None, rng.random(shape[:1]), rng.random(shape)][rng.integers(3)]
    reduction = str(rng.choice(["sum_over_batch_size", "sum", "mean_with_sample_weight"]))
    made = make_loss()
    made.reduction = reduction
    model.compile("sgd", made)
    return model, x, y, weights


def check(loss: str, mode: str, number: int) -> bool:
    for redraw in range(8):
        rng = np.random.default_rng([list(LOSSES).index(loss), list(LEADING).index(mode), number, redraw])
        hn.utils.set_random_seed(int(rng.integers(2**31)))
        model, x, y, weights = build(loss, mode, rng)
        params = model.params
        params[...] += 0.2 * rng.standard_normal(params.size)
        value, gradient = model.loss_and_grad(x, y, weights)

        def again(data: tuple[Any, ...] = (model, x, y, weights)) -> float:
            return data[0].loss_and_grad(*data[1:])[0]

        assert value == again()
        error = differences.error(again, [(params, gradient)], rng)
        if error is not None:
            assert error <= differences.TOLERANCE, (loss, mode, number, redraw)
            return True
    return False


@pytest.mark.parametrize(("loss", "mode"), CASES)
def test_step_gradients(loss: str, mode: str) -> None:
    assert all(check(loss, mode, number) for number in range(CONFIGURATIONS))


@pytest.mark.parametrize("mode", list(LEADING))
def test_every_penalty_counts(mode: str) -> None:
    """The step's value is the loss of the predictions and the penalties as Keras defines them."""
    rng = np.random.default_rng(1)
    hn.utils.set_random_seed(1)
    inputs = layers.Input((3,), dtype="float64")
    hidden = layers.Dense(4, kernel_regularizer=hn.regularizers.L1L2(0.1, 0.2), activity_regularizer="l2")(inputs)
    target = hn.Model(inputs, layers.Dense(2, bias_regularizer="l1", bias_initializer="ones")(hidden))
    x: Any = rng.standard_normal((*LEADING[mode], 3))
    model: Any = target
    if mode != "plain":
        model = hn.HyperModel(hn.hypernetwork(2, target.count_params(), dtype="float64"), target)
        x = [rng.standard_normal((1 if mode == "one" else 3, 2)), x]
    y = np.zeros(model.predict(x, verbose=0).shape)
    model.compile("sgd", "mse")
    found = model.evaluate(x, y, verbose=0)
    expected = np.square(model.predict(x, verbose=0)).mean()
    networks = [target] if mode == "plain" else [model.specialize(cond) for cond in x[0]]
    penalties, activity, rows = 0.0, 0.0, 0
    features = hn.Model(inputs, hidden)
    for n, network in enumerate(networks):
        kernel, bias, _, last_bias = network.get_weights()
        penalties += 0.1 * np.abs(kernel).sum() + 0.2 * np.square(kernel).sum() + 0.01 * np.abs(last_bias).sum()
        data = x if mode == "plain" else x[1]
        mine = {"rows": data[n : n + 1], "tasks": data[n % len(data)], "shared": data[0]}.get(mode, data)
        assert features.count_params() == kernel.size + bias.size
        activity += 0.01 * np.square(mine @ kernel + bias).sum()
        rows += len(mine)
    np.testing.assert_allclose(found, expected + penalties / len(networks) + activity / rows, rtol=1e-12)
