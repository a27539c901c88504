"""Models as functions of their weights."""

import tracemalloc

import hypernet as hn
import numpy as np
import pytest
from hypernet import _core

layers = hn.layers
RNG = np.random.default_rng(0)
N, M = 3, 5


def target():
    return hn.target_network(6, 2)


def call_with(model, theta, x):
    """The model's own answer with these weights."""
    kept = model.get_weights()
    model.set_weights(theta)
    y = model(x)
    model.set_weights(kept)
    return y


@pytest.fixture
def model():
    return target()


@pytest.fixture
def thetas(model):
    return RNG.standard_normal((N, model.count_params())).astype(np.float32) / 5


def test_own_weights_as_theta(model):
    x = RNG.standard_normal((M, 6)).astype(np.float32)
    np.testing.assert_allclose(hn.functional_call(model, model.params, x), model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("vector", [False, True])
def test_one(model, thetas, vector):
    x = RNG.standard_normal((M, 6)).astype(np.float32)
    theta = thetas[0] if vector else thetas[:1]
    expected = call_with(model, thetas[0], x)
    np.testing.assert_allclose(hn.functional_call(model, theta, x), expected, rtol=1e-4, atol=1e-6)


def test_rows(model, thetas):
    x = RNG.standard_normal((N, 6)).astype(np.float32)
    expected = [call_with(model, theta, row[None])[0] for theta, row in zip(thetas, x, strict=True)]
    np.testing.assert_allclose(hn.functional_call(model, thetas, x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("groups", [N, 1])
def test_tasks_and_shared(model, thetas, groups):
    x = RNG.standard_normal((groups, M, 6)).astype(np.float32)
    expected = [call_with(model, theta, x[n % groups]) for n, theta in enumerate(thetas)]
    np.testing.assert_allclose(hn.functional_call(model, thetas, x), expected, rtol=1e-4, atol=1e-6)


def test_a_strided_theta_and_out(model, thetas):
    wide = np.zeros((N, thetas.shape[1] + 7), np.float32)
    wide[:, 3:-4] = thetas
    x = RNG.standard_normal((N, 6)).astype(np.float32)
    out = np.empty((N, 2), np.float32)
    result = hn.functional_call(model, wide[:, 3:-4], x, out=out)
    assert result is out
    np.testing.assert_allclose(out, hn.functional_call(model, thetas, x), rtol=1e-6)


def test_vjp_has_the_shape_of_theta(model, thetas):
    x = RNG.standard_normal((M, 6)).astype(np.float32)
    for theta in (thetas[0], thetas[:1]):
        y, pullback = hn.functional_vjp(model, theta, x)
        gradient = pullback(np.ones_like(y))
        assert gradient.theta.shape == theta.shape
        assert gradient.inputs.shape == x.shape
        again = pullback(np.ones_like(y))
        np.testing.assert_array_equal(gradient.theta, again.theta)
    model.set_weights(model.get_weights())  # a function of theta does not get stale
    pullback(np.ones_like(y))


def test_vjp_of_own_weights_is_the_models_vjp(model):
    x = RNG.standard_normal((M, 6)).astype(np.float32)
    y, pullback = hn.functional_vjp(model, model.params, x)
    dy = RNG.standard_normal(y.shape).astype(np.float32)
    gradient = pullback(dy)
    expected = model.vjp(x)[1](dy)
    np.testing.assert_allclose(gradient.theta, expected.params, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient.inputs, expected.inputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("generated", [None, "first", "last"])
def test_a_hypermodel_as_a_function(generated):
    model = target()
    names = None if generated is None else [model.layers[1 if generated == "first" else 2].name]
    hyper = hn.HyperModel(hn.hypernetwork(4, hn.count_params(model, names)), model, generated=names)
    cond = RNG.standard_normal((N, 4)).astype(np.float32)
    x = RNG.standard_normal((N, 6)).astype(np.float32)
    theta = hyper.params.copy()
    np.testing.assert_allclose(hn.functional_call(hyper, theta, [cond, x]), hyper([cond, x]), rtol=1e-5, atol=1e-6)
    y, pullback = hn.functional_vjp(hyper, theta, [cond, x])
    expected = hyper.vjp(cond, x)[1](y)
    gradient = pullback(y)
    np.testing.assert_allclose(gradient.theta, expected.params, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient.inputs[0], expected.condition, rtol=1e-4, atol=1e-6)
    many = np.stack([theta, theta / 2])
    two = hn.functional_call(hyper, many, [cond[:2], x[:2]])
    np.testing.assert_allclose(two[0], hyper([cond[:1], x[:1]])[0], rtol=1e-5, atol=1e-6)
    outputs, pull = hn.functional_vjp(hyper, many, [cond[:2], x[:2]])
    assert pull(outputs).theta.shape == many.shape
    assert [part.shape for part in pull(outputs).inputs] == [(2, 4), (2, 6)]


def test_several_inputs():
    a, b = layers.Input((3,)), layers.Input((2,))
    model = hn.Model([a, b], layers.Dense(2)(layers.Concatenate()([a, b])))
    theta = RNG.standard_normal((N, model.count_params())).astype(np.float32)
    xs = [RNG.standard_normal((N, 3)).astype(np.float32), RNG.standard_normal((N, 2)).astype(np.float32)]
    y, pullback = hn.functional_vjp(model, theta, xs)
    assert y.shape == (N, 2)
    assert [part.shape for part in pullback(y).inputs] == [(N, 3), (N, 2)]


def test_wrong_theta(model):
    x = np.zeros((M, 6), np.float32)
    with pytest.raises(ValueError, match="theta") as caught:
        hn.functional_call(model, np.zeros(10), x)
    assert "(10,)" in str(caught.value)
    assert str(model.count_params()) in str(caught.value)
    with pytest.raises(ValueError, match="is not built"):
        hn.functional_call(hn.Sequential([layers.Dense(2)]), np.zeros(10), x)


def test_theta_of_a_hypermodel_is_used_in_place():
    """A call that is repeated takes no memory from the library, and none of theta's size from NumPy."""
    target = hn.target_network(50, 3)
    hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
    theta = hyper.params.copy() + np.float32(0.01)
    cond, x = np.ones((3, 4), "float32"), np.ones((3, 50), "float32")
    expected = hn.functional_call(hyper, theta, [cond, x])
    _core.fail_allocation_at(1)
    tracemalloc.start()
    try:
        found = hn.functional_call(hyper, theta, [cond, x])
        assert tracemalloc.get_traced_memory()[1] < theta.nbytes / 10
    finally:
        tracemalloc.stop()
        _core.fail_allocation_at(0)
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, hyper([cond, x]))
