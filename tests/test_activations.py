"""Activation functions: formulas, special values, parameters, names."""

import copy
import math
import pickle

import hypernet as hn
import numpy as np
import pytest
from hypernet import activations

X = np.linspace(-8, 8, 257)
_erf = np.vectorize(math.erf)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2))),
    "silu": lambda x: x * _sigmoid(x),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softplus": lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "log_sigmoid": lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
}


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_formula(name):
    function = activations.get(name)
    np.testing.assert_allclose(function(X), FORMULAS[name](X), rtol=1e-12, atol=1e-14)
    single = function(X.astype("float32"))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, FORMULAS[name](X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_shapes_and_dtypes(name):
    function = activations.get(name)
    assert function(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert function(1.5).shape == () and function([1, 2]).dtype == np.float32
    strided = np.arange(24.0).reshape(4, 6)[:, ::2]
    np.testing.assert_array_equal(function(strided), function(strided.copy()))
    assert np.isnan(function(np.array([np.nan]))).all()


def test_parameters():
    x = np.array([-2.0, -0.5, 0.5, 3.0, 9.0])
    np.testing.assert_allclose(
        activations.relu(x, negative_slope=0.1, max_value=6.0, threshold=1.0),
        np.where(x >= 6, 6, np.where(x >= 1, x, 0.1 * (x - 1))),
    )
    np.testing.assert_allclose(activations.leaky_relu(x, negative_slope=0.3), np.where(x > 0, x, 0.3 * x))
    np.testing.assert_allclose(activations.elu(x, alpha=2.0), np.where(x > 0, x, 2 * np.expm1(x)))
    tanh = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(activations.gelu(x, approximate=True), tanh, rtol=1e-12)


def test_parameters_of_the_less_common_ones():
    x = np.array([-2.0, -0.3, 0.0, 0.3, 9.0])
    np.testing.assert_allclose(activations.celu(x, alpha=2.0), np.where(x > 0, x, 2 * np.expm1(x / 2)))
    np.testing.assert_allclose(activations.squareplus(x, b=0.25), (x + np.sqrt(x * x + 0.25)) / 2)
    np.testing.assert_array_equal(activations.squareplus(x, b=0.0), np.maximum(x, 0))
    np.testing.assert_allclose(activations.soft_shrink(x, 0.25), np.sign(x) * np.maximum(np.abs(x) - 0.25, 0))
    np.testing.assert_array_equal(activations.hard_shrink(x, 0.25), x)
    np.testing.assert_array_equal(activations.threshold(x, 0.3, -1.0), [-1, -1, -1, -1, 9])
    assert np.isnan(activations.threshold([np.nan], 0.0, 1.0)).all()


@pytest.mark.parametrize("name", ["tanh_shrink", "squareplus", "mish", "log_sigmoid", "hard_silu"])
def test_no_cancellation(name):
    """Small results keep all their digits, and large arguments do not overflow on the way."""
    x = np.array([1e-6, -1e-3, -40.0, 1e-160, -1e200, 1e200])
    expected = {
        "tanh_shrink": [1e-18 / 3, -1e-9 / 3 * (1 - 0.4e-6), -39.0, 0.0, -1e200, 1e200],
        "squareplus": [1 + 5e-7, 1 - 5e-4 + 1.25e-7, 1 / 40.02498439450079, 1.0, 1e-200, 1e200],
        "mish": [0.6e-6, -0.6e-3 + 3.2e-7, -40 * np.exp(-40.0), 0.6e-160, -0.0, 1e200],
        "log_sigmoid": [-np.log(2) + 5e-7, -np.log(2) - 5e-4, -40.0, -np.log(2), -1e200, 0.0],
        "hard_silu": [0.5e-6, -0.5e-3 + 1e-6 / 6, 0.0, 0.5e-160, 0.0, 1e200],
    }[name]
    np.testing.assert_allclose(activations.get(name)(x), expected, rtol=2e-6 if name == "mish" else 4e-7)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_sparsemax_is_the_nearest_point_of_the_simplex(axis):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 5, 6)) * 2
    y = activations.sparsemax(x, axis=axis)
    np.testing.assert_allclose(y.sum(axis), 1.0, rtol=1e-12)
    assert (y >= 0).all() and (y == 0).any() and y.flags.c_contiguous
    for _ in range(20):  # no other point of the simplex is nearer
        other = rng.dirichlet(np.ones(x.shape[axis]), size=np.delete(x.shape, axis))
        other = np.moveaxis(other, -1, axis)
        assert (((x - y) ** 2).sum(axis) <= ((x - other) ** 2).sum(axis) + 1e-12).all()


def test_glu():
    x = np.random.default_rng(0).normal(size=(2, 6))
    np.testing.assert_allclose(activations.glu(x), x[:, :3] * _sigmoid(x[:, 3:]))
    np.testing.assert_allclose(activations.glu(x, axis=0), x[:1] * _sigmoid(x[1:]))
    with pytest.raises(ValueError, match="axis size must be divisible by 2"):
        activations.glu(np.zeros((2, 3)))


@pytest.mark.parametrize("name", ["glu", "sparsemax", "threshold"])
def test_on_arrays_only(name):
    with pytest.raises(NotImplementedError, match=f"'{name}' is not built for layers"):
        hn.layers.Dense(4, activation=name)(np.zeros((1, 2), "float32"))


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_in_layers(name):
    """Fused into a dense layer, and as a layer of its own."""
    x = np.random.default_rng(1).normal(size=(5, 3)) * 2
    dense = hn.layers.Dense(3, activation=name, kernel_initializer="identity", dtype="float64")
    np.testing.assert_allclose(dense(x), FORMULAS[name](x), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        hn.layers.Activation(name, dtype="float64")(x), FORMULAS[name](x), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -3])
def test_softmax_along_any_axis(axis):
    x = np.random.default_rng(0).normal(size=(3, 4, 5)) * 30
    e = np.exp(x - x.max(axis, keepdims=True))
    expected = e / e.sum(axis, keepdims=True)
    result = activations.softmax(x, axis=axis)
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(activations.log_softmax(x, axis=axis), np.log(expected), rtol=1e-9, atol=1e-9)


def test_softmax_of_one_row():
    np.testing.assert_allclose(activations.softmax(np.zeros(4)), np.full(4, 0.25))


def test_axis_errors():
    with pytest.raises(ValueError, match="out of range"):
        activations.softmax(np.zeros((2, 3)), axis=2)
    with pytest.raises(NotImplementedError, match="axis"):
        activations.softmax(np.zeros((2, 3)), axis=(0, 1))


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.silu
    assert activations.get(np.tanh) is np.tanh
    assert activations.get(activations.relu) is activations.relu
    for bad in ("nope", 3):
        with pytest.raises(ValueError, match="Could not interpret activation function identifier"):
            activations.get(bad)


@pytest.mark.parametrize("name", [*sorted(FORMULAS), "softmax", "log_softmax"])
def test_serialize_lower_pickle(name):
    function = activations.get(name)
    assert activations.serialize(function) == name
    assert activations.deserialize(name) is function
    assert activations.deserialize({"class_name": "function", "config": name}) is function
    assert pickle.loads(pickle.dumps(function)) is function and copy.deepcopy(function) is function
    core_name, params = function.lowering()
    assert isinstance(core_name, str) and all(isinstance(p, float) for p in params)
    assert function.__name__ == name and function.__doc__


def test_serialize_refuses_lambdas():
    with pytest.raises(ValueError, match="lambda"):
        activations.serialize(lambda x: x)


def test_bad_input():
    with pytest.raises(ValueError, match="Invalid dtype"):
        activations.relu(np.array(["a"]))
    with pytest.raises(ValueError, match="Invalid dtype"):
        activations.relu(np.array([1j]))
