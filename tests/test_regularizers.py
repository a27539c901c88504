"""Penalties on weights: values, gradients against finite differences, configurations."""

import numpy as np
import pytest
from hypernet import regularizers

RNG = np.random.default_rng(0)


def _difference(function, x, h=1e-6):
    result = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        result[index] = (function(up) - function(down)) / (2 * h)
    return result


CASES = [
    regularizers.L1(0.3),
    regularizers.L2(0.4),
    regularizers.L1L2(0.2, 0.7),
    regularizers.OrthogonalRegularizer(0.5),
    regularizers.OrthogonalRegularizer(0.5, mode="columns"),
]


@pytest.mark.parametrize("penalty", CASES, ids=lambda p: f"{type(p).__name__}-{getattr(p, 'mode', '')}")
@pytest.mark.parametrize("shape", [(3, 4), (5, 2)])
def test_gradient(penalty, shape):
    x = RNG.normal(size=shape)
    gradient = penalty.gradient(x)
    assert gradient.shape == shape and gradient.dtype == x.dtype
    np.testing.assert_allclose(gradient, _difference(penalty, x), atol=1e-7)
    assert penalty.gradient(x.astype("float32")).dtype == np.float32


def test_values():
    x = np.array([[1.0, -2.0], [3.0, 0.0]])
    assert regularizers.L1(0.5)(x) == pytest.approx(3.0)
    assert regularizers.L2(0.5)(x) == pytest.approx(7.0)
    assert regularizers.L1L2(0.5, 0.5)(x) == pytest.approx(10.0)
    assert regularizers.L1L2()(x) == 0.0 and (regularizers.L1L2().gradient(x) == 0).all()
    rows = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    cosines = (np.sqrt(0.5) + 0.0 + np.sqrt(0.5)) / 3
    assert regularizers.OrthogonalRegularizer(2.0)(rows) == pytest.approx(2.0 * cosines)
    assert regularizers.OrthogonalRegularizer(2.0, "columns")(rows.T) == pytest.approx(2.0 * cosines)


def test_l1_gradient_at_zero():
    assert regularizers.L1(0.5).gradient(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("penalty", CASES, ids=lambda p: f"{type(p).__name__}-{getattr(p, 'mode', '')}")
def test_configuration(penalty):
    again = regularizers.deserialize(regularizers.serialize(penalty))
    assert type(again) is type(penalty) and again.get_config() == penalty.get_config()


def test_get():
    assert regularizers.get(None) is None
    assert regularizers.get("l1").l1 == 0.01 and regularizers.get("L2").l2 == 0.01
    assert isinstance(regularizers.get("l1_l2"), regularizers.L1L2)
    assert isinstance(regularizers.get("l1l2"), regularizers.L1L2)
    assert regularizers.get("orthogonal_regularizer").mode == "rows"
    for bad in ("nope", 3):
        with pytest.raises(ValueError, match="Could not interpret regularizer identifier"):
            regularizers.get(bad)


def test_bad_arguments():
    for bad in (-1.0, np.nan, np.inf, "a"):
        with pytest.raises(ValueError, match="expected a non-negative float"):
            regularizers.L2(bad)
    with pytest.raises(ValueError, match="Invalid value for argument `mode`"):
        regularizers.OrthogonalRegularizer(mode="diagonals")
    with pytest.raises(ValueError, match="must have rank 2"):
        regularizers.OrthogonalRegularizer()(np.zeros(3))
    with pytest.raises(NotImplementedError, match="must define `gradient"):
        regularizers.Regularizer().gradient(np.zeros(3))
