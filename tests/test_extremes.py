"""Extreme numbers in every activation and every loss, with gradients: subnormal numbers, -0.0, 1e30, inf and nan.

What is expected of activations are limits, written by hand; of losses, the formulas in numbers of a longer type.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import hypernet as hn
import numpy as np
import pytest

from evidence import Recorder
from random_networks import ACTIVATIONS

INF, NAN = math.inf, math.nan
DTYPES = ("float32", "float64")
BIG = 1e30
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772  # of selu
# Value and slope at -inf, -1e30, -0.0 and 0.0 (one slope: the left one at a kink), 1e30, inf. nan: where Keras's formula
# multiplies 0 and inf or subtracts inf from inf.
LIMITS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "linear": ((-INF, -BIG, 0, BIG, INF), (1, 1, 1, 1, 1)),
    "relu": ((0, 0, 0, BIG, INF), (0, 0, 0, 1, 1)),
    "leaky_relu": ((-INF, -0.2 * BIG, 0, BIG, INF), (0.2, 0.2, 0.2, 1, 1)),
    "relu6": ((0, 0, 0, 6, 6), (0, 0, 0, 0, 0)),
    "elu": ((-1, -1, 0, BIG, INF), (0, 0, 1, 1, 1)),
    "selu": ((-SCALE * ALPHA, -SCALE * ALPHA, 0, SCALE * BIG, INF), (0, 0, SCALE * ALPHA, SCALE, SCALE)),
    "gelu": ((NAN, 0, 0, BIG, INF), (NAN, 0, 0.5, 1, NAN)),
    "silu": ((NAN, 0, 0, BIG, INF), (NAN, 0, 0.5, 1, NAN)),
    "sigmoid": ((0, 0, 0.5, 1, 1), (0, 0, 0.25, 0, 0)),
    "tanh": ((-1, -1, 0, 1, 1), (0, 0, 1, 0, 0)),
    "softplus": ((0, 0, math.log(2), BIG, INF), (0, 0, 0.5, 1, 1)),
    "softsign": ((NAN, -1, 0, 1, NAN), (0, 0, 1, 0, 0)),
    "exponential": ((0, 0, 1, INF, INF), (0, 0, 1, INF, INF)),
    "hard_sigmoid": ((0, 0, 0.5, 1, 1), (0, 0, 1 / 6, 0, 0)),
    "celu": ((-1, -1, 0, BIG, INF), (0, 0, 1, 1, 1)),
    "squareplus": ((0, 1 / BIG, 1, BIG, INF), (0, 0, 0.5, 1, NAN)),
    "soft_shrink": ((-INF, -BIG, 0, BIG, INF), (1, 1, 0, 1, 1)),
    "hard_shrink": ((-INF, -BIG, 0, BIG, INF), (1, 1, 0, 1, 1)),
    "tanh_shrink": ((-INF, -BIG, 0, BIG, INF), (1, 1, 0, 1, 1)),
    "hard_tanh": ((-1, -1, 0, 1, 1), (0, 0, 1, 0, 0)),
    "hard_silu": ((NAN, 0, 0, BIG, INF), (0, 0, 0.5, 1, 1)),
    "log_sigmoid": ((-INF, -BIG, -math.log(2), 0, 0), (1, 1, 0.5, 0, 0)),
    "sparse_plus": ((0, 0, 0.25, BIG, INF), (0, 0, 0.5, 1, 1)),
    "sparse_sigmoid": ((0, 0, 0.5, 1, 1), (0, 0, 0.5, 0, 0)),
    "mish": ((NAN, 0, 0, BIG, INF), (NAN, 0, 0.6, 1, NAN)),
}
ROWS = ("softmax", "log_softmax")
ARRAYS_ONLY = ("sparsemax", "glu", "threshold")
ODD = ("linear", "leaky_relu", "tanh", "softsign", "hard_tanh")  # functions whose value at -0.0 is -0.0


def value_and_slope(activation: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inputs = hn.layers.Input(x.shape[1:], dtype=str(x.dtype))
    y, pullback = hn.Model(inputs, hn.layers.Activation(activation)(inputs)).vjp(x)
    return y, pullback(np.ones_like(y)).inputs


def test_every_activation_has_its_limits() -> None:
    """Those of layers, and those that are for arrays only."""
    others = {"deserialize", "get", "serialize", "swish", "hard_swish"}  # swish is silu by its other name
    assert set(LIMITS) | set(ROWS) == set(ACTIVATIONS)
    assert set(ACTIVATIONS) | set(ARRAYS_ONLY) == set(hn.activations.__all__) - others


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", LIMITS)
def test_limits_of_activations(activation: str, dtype: str, evidence: Recorder) -> None:
    values, slopes = ([*given[:3], *given[2:]] for given in LIMITS[activation])
    y, slope = value_and_slope(activation, np.array([[-INF], [-BIG], [-0.0], [0.0], [BIG], [INF]], dtype))
    tolerance = 4 * float(np.finfo(dtype).eps)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(y[:, 0], np.array(values, dtype), rtol=tolerance, atol=2 / BIG)
        np.testing.assert_allclose(slope[:, 0], np.array(slopes, dtype), rtol=tolerance, atol=2 / BIG)
    if activation in ODD:
        assert np.signbit(y[2]) and not np.signbit(y[3])
    evidence(f"extreme numbers in {activation}, {dtype}", tried=y.size, required=6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", LIMITS)
def test_subnormal_numbers_and_nan_in_activations(activation: str, dtype: str) -> None:
    """A function is as at 0 a subnormal number away from it, to within that number; nan stays nan.

    The slope at nan is nan, or that of the piece in which comparisons put nan.
    """
    tiny = float(np.finfo(dtype).tiny) / 8
    y, slope = value_and_slope(activation, np.array([[-tiny], [-0.0], [0.0], [tiny], [NAN]], dtype))
    np.testing.assert_allclose(y[:2], y[2:4], rtol=0, atol=4 * tiny)
    if activation not in ("relu", "relu6", "leaky_relu", "selu"):  # those have a kink at 0
        np.testing.assert_allclose(slope[[0, 3]], slope[[1, 2]], rtol=1e-6, atol=4 * tiny)
    assert np.isnan(y[4])
    assert np.isnan(slope[4]) or any(abs(slope[4] - given) < 1e-6 for given in LIMITS[activation][1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_extreme_rows(dtype: str) -> None:
    rows = np.array([[BIG, -BIG, 0], [BIG, BIG, BIG], [-BIG, -BIG, -BIG], [0, -INF, 0], [1e-40, -0.0, 0.0]], dtype)
    third = [1 / 3] * 3
    y, slope = value_and_slope("softmax", rows)
    np.testing.assert_allclose(y, [[1, 0, 0], third, third, [0.5, 0, 0.5], third], rtol=4e-7)
    np.testing.assert_allclose(slope, np.zeros((5, 3)), atol=1e-7)
    y, slope = value_and_slope("log_softmax", rows)
    logs = [-math.log(3)] * 3
    with np.errstate(over="ignore"):
        expected = np.array([[0, -2 * BIG, -BIG], logs, logs, [-math.log(2), -INF, -math.log(2)], logs], dtype)
    np.testing.assert_allclose(y, expected, rtol=4e-7)
    np.testing.assert_allclose(slope[0], [1 - 3, 1, 1], rtol=1e-6)
    for activation in ROWS:
        y, slope = value_and_slope(activation, np.array([[0, NAN, 0], [INF, 0, 0], [-INF, -INF, -INF]], dtype))
        assert np.isnan(y).all() and np.isnan(slope).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_numbers_in_functions_of_arrays(dtype: str, evidence: Recorder) -> None:
    """The sum of sparsemax is 1 however large the numbers are; what is not finite is nan, as in softmax."""
    most = float(np.finfo(dtype).max)
    rows = [
        [BIG, -BIG, 0],
        [BIG] * 3,
        [-BIG] * 3,
        [0, -INF, 0.5],
        [1e-40, -0.0, 0.0],
        [3e17, 3e17, 0],
        [most, -most, 1],
    ]
    third = [1 / 3] * 3
    points = [[1, 0, 0], third, third, [0.25, 0, 0.75], third, [0.5, 0.5, 0], [1, 0, 0]]
    y = hn.activations.sparsemax(np.array(rows, dtype))
    np.testing.assert_allclose(y, points, rtol=4 * float(np.finfo(dtype).eps))
    lost = np.array([[0, NAN, 0], [INF, 0, 0], [-INF, -INF, -INF]], dtype)
    assert np.isnan(hn.activations.sparsemax(lost)).all()
    halves = np.array([[BIG, BIG], [BIG, -BIG], [-INF, 0], [NAN, 1], [1, NAN], [INF, -INF], [-0.0, 1e30]], dtype)
    np.testing.assert_array_equal(hn.activations.glu(halves)[:, 0], np.array([BIG, 0, -INF, NAN, NAN, NAN, 0], dtype))
    numbers = np.array([-INF, -BIG, -0.0, 0.0, 1e-40, BIG, INF, NAN], dtype)
    found = hn.activations.threshold(numbers, 0.0, -1.0)
    np.testing.assert_array_equal(found, np.array([-1, -1, -1, -1, 1e-40, BIG, INF, NAN], dtype))
    tried = len(rows) + len(lost) + len(halves) + len(numbers)
    evidence(f"extreme numbers in functions of arrays, {dtype}", tried=tried, required=25)


# ---- losses ----
Formula = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # targets, predictions: values, slopes


def squared(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (p - t) ** 2, 2 * (p - t)


def absolute(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.abs(p - t), np.sign(p - t)


def huber(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    e = np.abs(p - t)
    return np.where(e <= 1, e * e / 2, e - e.dtype.type(0.5)), np.clip(p - t, -1, 1)


def binary_logits(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    small = np.exp(-np.abs(p))
    sigmoid = np.where(p >= 0, 1 / (1 + small), small / (1 + small))
    return np.maximum(p, 0) - p * t + np.log1p(small), sigmoid - t


def binary(t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = p.dtype.type(1e-7), p.dtype.type(1) - p.dtype.type(1e-7)
    q = np.clip(p, low, high)
    slope = np.where((p < low) | (p > high), 0, (q - t) / (q * (1 - q)))
    return -(t * np.log(q) + (1 - t) * np.log(1 - q)), slope


ELEMENTWISE: dict[str, tuple[Callable[[], Any], Formula, bool]] = {
    "mean_squared_error": (hn.losses.MeanSquaredError, squared, False),
    "mean_absolute_error": (hn.losses.MeanAbsoluteError, absolute, False),
    "huber": (hn.losses.Huber, huber, False),
    "binary_logits": (lambda: hn.losses.BinaryCrossentropy(from_logits=True), binary_logits, True),
    "binary": (hn.losses.BinaryCrossentropy, binary, True),
}


def value_and_gradient(loss: Any, t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's loss, and the gradient of their sum."""
    loss.reduction = "none"
    values = np.asarray(loss(t, p))
    loss.reduction = "sum"
    total, gradient = loss.value_and_grad(t, p)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(total, values.sum(dtype=np.float64), rtol=1e-6)
    return values, gradient


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_losses_of_elements(name: str, dtype: str, evidence: Recorder) -> None:
    make, formula, of_labels = ELEMENTWISE[name]
    tiny = float(np.finfo(dtype).smallest_subnormal)
    numbers = [-INF, -BIG, -1.0, -tiny, -0.0, 0.0, tiny, 0.5, 1.0, BIG, INF, NAN]
    targets = [0.0, -0.0, tiny, 0.5, 1.0] if of_labels else numbers
    t, p = (np.array(column, dtype)[:, None] for column in zip(*itertools.product(targets, numbers), strict=True))
    values, gradient = value_and_gradient(make(), t, p)
    with np.errstate(all="ignore"):
        expected, slope = formula(t.astype(np.longdouble), p.astype(np.longdouble))
        if name == "binary":  # clipped at numbers of the type itself
            expected, slope = (part.astype(np.longdouble) for part in formula(t, p))
        expected, slope = expected.astype(dtype), slope.astype(dtype)
    tolerance = 16 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(values, expected[:, 0], rtol=tolerance, atol=2 * tiny)
    np.testing.assert_allclose(gradient, slope, rtol=tolerance, atol=2 * tiny)
    evidence(f"extreme numbers in {name}, {dtype}", tried=t.size, required=len(targets) * len(numbers))


def categorical_logits(label: int, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss of one row and its gradient, in long numbers."""
    p = p.astype(np.longdouble)
    e = np.exp(p - p.max())
    value = np.log(e.sum()) - (p[label] - p.max())
    return value, e / e.sum() - np.eye(len(p))[label]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sparse", [True, False])
def test_cross_entropy_of_extreme_logits(sparse: bool, dtype: str, evidence: Recorder) -> None:
    """Rows of three logits of every size, with each label: as the formula has it."""
    tiny = float(np.finfo(dtype).smallest_subnormal)
    numbers = [-BIG, -1e4, -1.0, -tiny, -0.0, tiny, 1.0, 1e4, BIG]
    cases = list(itertools.product(numbers, numbers, numbers, range(3)))
    p = np.array([case[:3] for case in cases], dtype)
    labels = np.array([case[3] for case in cases])
    cls = hn.losses.SparseCategoricalCrossentropy if sparse else hn.losses.CategoricalCrossentropy
    t = labels if sparse else np.eye(3, dtype=dtype)[labels]
    values, gradient = value_and_gradient(cls(from_logits=True), t, p)
    expected = [categorical_logits(label, row) for label, row in zip(labels, p, strict=True)]
    tolerance = 16 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(values, [float(e[0]) for e in expected], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, np.array([e[1] for e in expected], dtype), rtol=tolerance, atol=tolerance)
    name = "sparse" if sparse else "one-hot"
    evidence(f"extreme logits in categorical cross-entropy, {name}, {dtype}", tried=len(cases), required=len(cases))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_nan_and_inf_in_cross_entropy_stay_in_their_row(sparse: bool, from_logits: bool, dtype: str) -> None:
    cls = hn.losses.SparseCategoricalCrossentropy if sparse else hn.losses.CategoricalCrossentropy
    p = np.array([[0.2, 0.5, 0.3], [NAN, 0.5, 0.5], [INF, 0.5, 0.5], [0.2, 0.5, 0.3]], dtype)
    t = np.array([1, 1, 1, 1])
    values, gradient = value_and_gradient(cls(from_logits=from_logits), t if sparse else np.eye(3, dtype=dtype)[t], p)
    assert np.isnan(values[1]) and np.isnan(gradient[1]).all()
    assert not np.isfinite(values[2]) or not from_logits
    assert np.isfinite(values[[0, 3]]).all() and values[0] == values[3]
    np.testing.assert_array_equal(gradient[0], gradient[3])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_logit_of_minus_infinity_is_a_class_that_cannot_be(dtype: str) -> None:
    p = np.array([[0.0, -INF, 0.0], [0.0, -INF, 0.0]], dtype)
    values, gradient = value_and_gradient(
        hn.losses.SparseCategoricalCrossentropy(from_logits=True), np.array([0, 1]), p
    )
    np.testing.assert_allclose(values, np.array([math.log(2), INF], dtype), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-0.5, 0, 0.5], [0.5, -1, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "mean_squared_error"])
def test_extreme_logits_through_a_model(loss: str) -> None:
    """A softmax fused with its loss: weights of 1e30 give whole probabilities, and finite gradients."""
    model = hn.Sequential([hn.layers.Input((2,)), hn.layers.Dense(2, activation="softmax", use_bias=False)])
    model.set_weights([np.array([[BIG, -BIG], [-BIG, BIG]], np.float32)])
    model.compile("sgd", loss)
    x = np.eye(2, dtype=np.float32)
    y = np.array([0, 1]) if loss.startswith("sparse") else x
    value, gradient = model.loss_and_grad(x, y)
    assert value <= 2e-7 and np.isfinite(gradient).all()
    wrong = np.array([1, 0]) if loss.startswith("sparse") else x[::-1].copy()
    value, gradient = model.loss_and_grad(x, wrong)
    assert np.isfinite(value) and value >= 1 and np.isfinite(gradient).all()
