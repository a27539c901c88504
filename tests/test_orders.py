"""The contraction orders: weights made and used, or mixtures of the head's rows, give the same numbers."""

from __future__ import annotations

from collections.abc import Iterator

import hypernet as hn
import numpy as np
import pytest
from hypernet import _core

ORDERS = ("weights", "slices", "mixture", "by_cost")
TARGETS = {
    "mlp": lambda: [hn.layers.Dense(9, "tanh", name="first"), hn.layers.Dense(21, "softmax")],
    "without bias": lambda: [hn.layers.Dense(33, "gelu", use_bias=False), hn.layers.Dense(1)],
    "normalised": lambda: [hn.layers.Dense(8), hn.layers.LayerNormalization(), hn.layers.Dense(3, "sigmoid")],
}
CASES = {  # how condition and x meet
    "own network a row": ((40,), (40,)),
    "tasks": ((30,), (30, 3)),
    "one network": ((1,), (7,)),
    "the same rows": ((26,), (1, 4)),
}


@pytest.fixture(autouse=True)
def by_cost_again() -> Iterator[None]:
    yield
    _core.set_contraction_order("by_cost")


def build(order: str, target: str, **options: object) -> hn.HyperModel:
    _core.set_contraction_order(order)
    hn.utils.set_random_seed(3)
    inputs = hn.layers.Input((5,), dtype="float64")
    outputs = inputs
    for layer in TARGETS[target]():
        outputs = layer(outputs)
    network = hn.Model(inputs, outputs)
    generator = hn.hypernetwork(
        4, hn.count_params(network, generated=options.get("generated")), hidden=6, dtype="float64"
    )
    hyper = hn.HyperModel(generator, network, **options)
    hyper.compile("sgd", "mean_squared_error")
    return hyper


def results(hyper: hn.HyperModel, case: str) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    condition_shape, x_shape = CASES[case]
    condition, x = rng.standard_normal((*condition_shape, 4)), rng.standard_normal((*x_shape, 5))
    prediction = hyper.predict([condition, x], verbose=0)
    dy = rng.standard_normal(prediction.shape)
    _, pullback = hyper.vjp(condition, x)
    gradient = pullback(dy)
    value, flat = hyper.loss_and_grad([condition, x], dy)
    return [prediction, gradient.condition, gradient.inputs, gradient.params, np.asarray(value), flat]


def assert_close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert np.linalg.norm(a - b) <= 1e-12 * (1 + np.linalg.norm(b))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("base", [None, "target"])
def test_orders_agree(target: str, case: str, base: str | None) -> None:
    expected = results(build("weights", target, base=base), case)
    for order in ORDERS[1:]:
        assert_close(results(build(order, target, base=base), case), expected)


def test_orders_are_not_the_same_computation() -> None:
    """The orders round differently, so the test above has compared two of them."""
    made, *others = (results(build(order, "mlp"), "own network a row")[0] for order in ORDERS[:3])
    assert all(np.any(made != other) for other in others)


def test_large_kernels_are_made_in_slices() -> None:
    """By themselves, where a group has several rows: with the numbers, but not the bits, of whole kernels."""
    found = {}
    for order in ("weights", "by_cost", "mixture"):
        _core.set_contraction_order(order)
        hn.utils.set_random_seed(3)
        inputs = hn.layers.Input((190,), dtype="float64")
        hidden = hn.layers.Dense(170, "tanh")(inputs)
        target = hn.Model(inputs, hn.layers.Dense(3)(hn.layers.Dense(160, "tanh")(hidden)))
        hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params(), hidden=6, dtype="float64"), target)
        hyper.compile("sgd", "mean_squared_error")
        rng = np.random.default_rng(1)
        condition, x, y = (
            rng.standard_normal((31, 4)),
            rng.standard_normal((31, 9, 190)),
            rng.standard_normal((31, 9, 3)),
        )
        value, gradient = hyper.loss_and_grad([condition, x], y)
        found[order] = [hyper.predict([condition, x], verbose=0), np.asarray(value), gradient]
    for order in ("by_cost", "mixture"):
        assert_close(found[order], found["weights"])
        assert np.any(found[order][2] != found["weights"][2])


def test_partly_generated_targets() -> None:
    expected = results(build("weights", "mlp", generated=["first"]), "own network a row")
    for order in ORDERS[1:]:
        assert_close(results(build(order, "mlp", generated=["first"]), "own network a row"), expected)


def test_penalties_see_the_weights() -> None:
    """A regularizer on generated weights needs them: runs with one make them, whatever the order says."""
    values = {}
    for order in ORDERS[:3]:
        _core.set_contraction_order(order)
        hn.utils.set_random_seed(3)
        target = hn.Sequential([hn.layers.Input((5,)), hn.layers.Dense(9, kernel_regularizer=hn.regularizers.L2(0.1))])
        hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params(), hidden=6), target)
        hyper.compile("sgd", "mean_squared_error")
        rng = np.random.default_rng(1)
        condition, x, y = (rng.standard_normal((40, n)) for n in (4, 5, 9))
        values[order] = hyper.loss_and_grad([condition, x], y)
    for value, gradient in values.values():
        assert value == values["weights"][0]
        np.testing.assert_array_equal(gradient, values["weights"][1])


@pytest.mark.parametrize("order", ORDERS)
def test_a_head_without_features(order: str) -> None:
    """Theta is its bias, for every condition."""
    _core.set_contraction_order(order)
    target = hn.Sequential([hn.layers.Input((5,)), hn.layers.Dense(9, "tanh"), hn.layers.Dense(2)])
    head = hn.layers.Dense(target.count_params(), bias_initializer="random_normal")
    hyper = hn.HyperModel(hn.Sequential([hn.layers.Input((0,)), head]), target)
    hyper.compile("sgd", "mean_squared_error")
    rng = np.random.default_rng(1)
    condition, x, y = np.zeros((40, 0), np.float32), rng.standard_normal((40, 5)), rng.standard_normal((40, 2))
    target.params[:] = hyper.params
    target.compile("sgd", "mean_squared_error")
    np.testing.assert_allclose(
        hyper.predict([condition, x], verbose=0), target.predict(x, verbose=0), rtol=1e-5, atol=1e-7
    )
    (value, gradient), (wanted, flat) = hyper.loss_and_grad([condition, x], y), target.loss_and_grad(x, y)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(gradient, flat, rtol=1e-4, atol=1e-6)


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="'by_cost', 'weights', 'slices' or 'mixture', received 'columns'"):
        _core.set_contraction_order("columns")


@pytest.mark.parametrize("order", ORDERS)
def test_weights_that_no_loss_reaches_have_no_gradient(order: str) -> None:
    """Of two outputs one has no loss: its layer's generated weights add nothing, however the kernel is contracted."""

    def gradient(of: str) -> np.ndarray:
        _core.set_contraction_order(of)
        hn.utils.set_random_seed(3)
        x = hn.layers.Input((3,), dtype="float64")
        hidden = hn.layers.Dense(5, "tanh")(x)
        target = hn.Model(x, [hn.layers.Dense(2)(hidden), hn.layers.Dense(4)(hidden)])
        generator = hn.hypernetwork(2, target.count_params(), hidden=6, dtype="float64")
        hyper = hn.HyperModel(generator, target)
        hyper.compile("sgd", ["mse", None])
        rng = np.random.default_rng(1)
        condition, rows = rng.standard_normal((6, 2)), rng.standard_normal((6, 3))
        for _ in range(2):  # the second time in memory that is not zero
            _, flat = hyper.loss_and_grad([condition, rows], [rng.standard_normal((6, n)) for n in (2, 4)])
        head = flat[-target.count_params() * 7 :].reshape(7, -1)  # kernel (6, P), bias (P,)
        assert (head[:, -24:] == 0).all() and (np.abs(head[:, :-24]).max(axis=0) > 0).all()
        return flat

    np.testing.assert_allclose(gradient(order), gradient("weights"), rtol=1e-10, atol=1e-13)
