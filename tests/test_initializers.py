"""Initializers: bounds and moments, determinism, names, configurations."""

import math

import hypernet as hn
import numpy as np
import pytest
from hypernet import initializers

SHAPE = (200, 300)
VARIANCES = {
    "glorot_uniform": 2 / 500,
    "glorot_normal": 2 / 500,
    "he_uniform": 2 / 200,
    "he_normal": 2 / 200,
    "lecun_uniform": 1 / 200,
    "lecun_normal": 1 / 200,
    "random_normal": 0.05**2,
    "random_uniform": 0.1**2 / 12,
    "truncated_normal": (0.05 * 0.87962566103423978) ** 2,
    "variance_scaling": 1 / 200,
}


@pytest.mark.parametrize("name", sorted(VARIANCES))
def test_variance_and_bounds(name):
    values = initializers.get(name)(SHAPE)
    assert values.shape == SHAPE and values.dtype == np.float32 and values.flags.c_contiguous
    variance = VARIANCES[name]
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=0.05)
    if "uniform" in name:
        limit = math.sqrt(3 * variance)
        assert limit * 0.99 < abs(values).max() <= limit * (1 + 1e-6)
    elif name != "random_normal":
        limit = 2 * math.sqrt(variance) / 0.87962566103423978
        assert limit * 0.95 < abs(values).max() <= limit * (1 + 1e-6)


def test_untruncated_and_fan_out():
    make = initializers.VarianceScaling(scale=3.0, mode="fan_out", distribution="untruncated_normal")
    values = make(SHAPE, dtype="float64")
    assert values.dtype == np.float64
    assert values.var() == pytest.approx(3 / 300, rel=0.05)
    assert abs(values).max() > 3.5 * values.std()
    assert initializers.VarianceScaling(distribution="normal").distribution == "truncated_normal"


def test_axes_choose_the_fans():
    values = initializers.GlorotUniform(input_axes=[1], output_axes=[2])((2, 50, 250))
    assert abs(values).max() <= math.sqrt(6 / 300) and abs(values).max() > 0.99 * math.sqrt(6 / 300)


@pytest.mark.parametrize(("shape", "fans"), [((), (1, 1)), ((7,), (7, 7)), ((3, 5), (3, 5)), ((2, 3, 4, 5), (24, 30))])
def test_fans(shape, fans):
    assert initializers.compute_fans(shape) == fans


def test_constants():
    assert (initializers.Zeros()((2, 3)) == 0).all() and (initializers.Ones()((2, 3), dtype="float64") == 1).all()
    assert (initializers.Constant(2.5)((4,)) == 2.5).all()
    assert initializers.Constant([1.0, 2.0])((3, 2)).tolist() == [[1.0, 2.0]] * 3
    assert initializers.Identity(gain=2.0)((2, 3)).tolist() == [[2, 0, 0], [0, 2, 0]]
    with pytest.raises(ValueError, match="Identity matrix initializer can only be used for 2D matrices"):
        initializers.Identity()((2, 2, 2))


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 3, 4)])
def test_orthogonal(shape):
    flat = initializers.Orthogonal(gain=2.0)(shape, dtype="float64").reshape(-1, shape[-1])
    product = flat.T @ flat if flat.shape[0] >= flat.shape[1] else flat @ flat.T
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)
    with pytest.raises(ValueError, match="The tensor to initialize must be at least two-dimensional"):
        initializers.Orthogonal()((3,))


@pytest.mark.parametrize("name", [*sorted(VARIANCES), "orthogonal"])
def test_seeds(name):
    cls = type(initializers.get(name))
    assert (cls(seed=3)((4, 5)) == cls(seed=3)((4, 5))).all()
    assert (cls(seed=3)((4, 5)) != cls(seed=4)((4, 5))).any()
    unseeded = cls()
    assert unseeded.seed is None
    assert (unseeded((4, 5)) == unseeded((4, 5))).all()
    assert (cls()((4, 5)) != cls()((4, 5))).any()
    hn.utils.set_random_seed(11)
    first = cls()((4, 5))
    hn.utils.set_random_seed(11)
    assert (cls()((4, 5)) == first).all()
    with pytest.raises(ValueError, match="`seed` argument should be"):
        cls(seed="a")


def test_set_random_seed():
    import random

    hn.utils.set_random_seed(5)
    first = random.random(), np.random.rand()
    hn.utils.set_random_seed(np.int64(5))
    assert (random.random(), np.random.rand()) == first
    for bad in ("a", 1.5, None, -1, 2**32):
        with pytest.raises(ValueError, match="Expected `seed` argument to be an integer"):
            hn.utils.set_random_seed(bad)


@pytest.mark.parametrize(
    "initializer",
    [
        initializers.Zeros(),
        initializers.Constant(3.0),
        initializers.Identity(2.0),
        initializers.RandomNormal(1.0, 2.0, seed=1),
        initializers.TruncatedNormal(1.0, 2.0, seed=1),
        initializers.RandomUniform(-1.0, 2.0, seed=1),
        initializers.VarianceScaling(2.0, "fan_avg", "uniform", seed=1),
        initializers.HeNormal(seed=1),
        initializers.Orthogonal(2.0, seed=1),
    ],
)
def test_configuration(initializer):
    config = initializers.serialize(initializer)
    again = initializers.deserialize(config)
    assert type(again) is type(initializer) and again.get_config() == initializer.get_config()
    assert (again((3, 3)) == initializer((3, 3))).all()
    assert (initializers.get(config)((3, 3)) == initializer((3, 3))).all()
    assert (initializer.clone()((3, 3)) == initializer((3, 3))).all()


def test_get():
    assert initializers.get(None) is None
    assert isinstance(initializers.get("GlorotUniform"), initializers.GlorotUniform)
    assert isinstance(initializers.get(initializers.HeNormal), initializers.HeNormal)
    assert isinstance(initializers.get("normal"), initializers.RandomNormal)
    for bad in ("nope", 3, {"class_name": "Nope", "config": {}}):
        with pytest.raises(ValueError, match="Could not interpret initializer identifier"):
            initializers.get(bad)


def test_functions_and_arrays():
    made = initializers.get(lambda shape, dtype=None: np.full(shape, 2.0, dtype))
    assert made((2, 2), dtype="float64", fan_in=2, fan_out=2).tolist() == [[2, 2], [2, 2]]
    given = initializers.get(np.arange(4.0).reshape(2, 2))
    assert given((2, 2), dtype="float32", fan_in=2, fan_out=2).tolist() == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="Expected `shape` to be"):
        given((4,))
    assert initializers.deserialize(initializers.serialize(given))((2, 2)).tolist() == [[0, 1], [2, 3]]


def test_bad_arguments():
    with pytest.raises(ValueError, match="Argument `scale` must be positive float"):
        initializers.VarianceScaling(scale=0.0)
    with pytest.raises(ValueError, match="Invalid `mode` argument"):
        initializers.VarianceScaling(mode="fan")
    with pytest.raises(ValueError, match="Invalid `distribution` argument"):
        initializers.VarianceScaling(distribution="cauchy")
