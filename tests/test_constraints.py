"""Constraints: what they project to, configurations, names."""

import numpy as np
import pytest
from hypernet import constraints

W = np.random.default_rng(0).normal(size=(6, 4))


def _norms(w, axis=0):
    return np.sqrt((w**2).sum(axis=axis))


def test_max_norm():
    result = constraints.MaxNorm(1.5)(W)
    before, after = _norms(W), _norms(result)
    np.testing.assert_allclose(after, np.minimum(before, 1.5), rtol=1e-6)
    np.testing.assert_allclose(result / after, W / before, rtol=1e-6)
    np.testing.assert_allclose(_norms(constraints.MaxNorm(1.0, axis=1)(W), 1), np.minimum(_norms(W, 1), 1), rtol=1e-6)
    assert _norms(constraints.MaxNorm(1.0, axis=[0, 1])(W), (0, 1)) == pytest.approx(1.0, rel=1e-6)


def test_non_neg():
    assert (constraints.NonNeg()(W) == np.maximum(W, 0)).all()


def test_unit_norm():
    np.testing.assert_allclose(_norms(constraints.UnitNorm()(W)), 1.0, rtol=1e-6)
    assert (constraints.UnitNorm()(np.zeros((3, 2))) == 0).all()


@pytest.mark.parametrize("rate", [1.0, 0.4])
def test_min_max_norm(rate):
    result = constraints.MinMaxNorm(1.8, 2.2, rate=rate)(W)
    expected = rate * np.clip(_norms(W), 1.8, 2.2) + (1 - rate) * _norms(W)
    np.testing.assert_allclose(_norms(result), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "constraint",
    [
        constraints.MaxNorm(3, axis=1),
        constraints.NonNeg(),
        constraints.UnitNorm(1),
        constraints.MinMaxNorm(0.1, 2, 0.5),
    ],
    ids=lambda c: type(c).__name__,
)
def test_configuration(constraint):
    again = constraints.deserialize(constraints.serialize(constraint))
    assert type(again) is type(constraint) and again.get_config() == constraint.get_config()
    assert constraint(W.astype("float32")).dtype == np.float32


def test_get():
    assert constraints.get(None) is None
    assert isinstance(constraints.get("max_norm"), constraints.MaxNorm)
    assert isinstance(constraints.get("NonNeg"), constraints.NonNeg)
    assert isinstance(constraints.get("min_max_norm"), constraints.MinMaxNorm)
    for bad in ("nope", 3):
        with pytest.raises(ValueError, match="Could not interpret constraint identifier"):
            constraints.get(bad)
