"""Losses: formulas, gradients against finite differences, reductions, weights, labels, custom losses."""

import numpy as np
import pytest
from hypernet import losses

RNG = np.random.default_rng(0)
EPSILON = 1e-7


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _one_hot(labels, classes):
    return np.eye(classes)[labels]


def _binary(t, p, logits, smoothing):
    t = t * (1 - smoothing) + smoothing / 2
    if logits:
        values = np.maximum(p, 0) - p * t + np.log1p(np.exp(-np.abs(p)))
    else:
        p = np.clip(p, EPSILON, 1 - EPSILON)
        values = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    return values.mean(-1)


def _categorical(t, p, logits, smoothing):
    t = t * (1 - smoothing) + smoothing / t.shape[-1]
    p = _softmax(p) if logits else np.clip(p / p.sum(-1, keepdims=True), EPSILON, 1 - EPSILON)
    return -(t * np.log(p)).sum(-1)


def _huber(t, p, delta):
    e = np.abs(p - t)
    return np.where(e <= delta, e**2 / 2, delta * e - delta**2 / 2).mean(-1)


def _cases():
    yield "mse", losses.MeanSquaredError, {}, "real", lambda t, p: ((p - t) ** 2).mean(-1)
    yield "mae", losses.MeanAbsoluteError, {}, "real", lambda t, p: np.abs(p - t).mean(-1)
    for delta in (1.0, 0.3):
        yield f"huber-{delta}", losses.Huber, {"delta": delta}, "real", lambda t, p, d=delta: _huber(t, p, d)
    for logits in (False, True):
        for smoothing in (0.0, 0.2):
            options = {"from_logits": logits, "label_smoothing": smoothing}
            name = f"{'logits' if logits else 'probabilities'}-{smoothing}"
            yield (
                f"binary-{name}",
                losses.BinaryCrossentropy,
                options,
                "binary",
                lambda t, p, a=logits, s=smoothing: _binary(t, p, a, s),
            )
            yield (
                f"categorical-{name}",
                losses.CategoricalCrossentropy,
                options,
                "one-hot",
                lambda t, p, a=logits, s=smoothing: _categorical(t, p, a, s),
            )
        yield (
            f"sparse-{name}",
            losses.SparseCategoricalCrossentropy,
            {"from_logits": logits},
            "labels",
            lambda t, p, a=logits: _categorical(_one_hot(t, p.shape[-1]), p, a, 0.0),
        )


CASES = {case[0]: case[1:] for case in _cases()}


def _data(kind, shape, logits):
    positions, classes = shape[:-1], shape[-1]
    predicted = RNG.normal(size=shape)
    if kind == "binary":
        true = RNG.integers(0, 2, shape).astype(float)
        predicted = predicted if logits else 1 / (1 + np.exp(-predicted))
    elif kind in ("one-hot", "labels"):
        labels = RNG.integers(0, classes, positions)
        true = labels if kind == "labels" else _one_hot(labels, classes)
        predicted = predicted if logits else _softmax(predicted) * RNG.uniform(0.5, 2, (*positions, 1))
    else:
        true = RNG.normal(size=shape)
    return true, predicted


def _difference(function, x, h=1e-6):
    result = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        result[index] = (function(up) - function(down)) / (2 * h)
    return result


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 4)])
def test_values_and_gradients(case, shape):
    cls, options, kind, formula = CASES[case]
    true, predicted = _data(kind, shape, options.get("from_logits", False))
    loss = cls(**options)
    expected = formula(true, predicted)
    np.testing.assert_allclose(loss.call(true, predicted), expected, rtol=1e-10, atol=1e-12)
    assert float(loss(true, predicted)) == pytest.approx(expected.mean(), rel=1e-12)
    weights = RNG.uniform(0, 2, shape[:-1])
    for reduction, divisor in [("sum", 1.0), ("sum_over_batch_size", expected.size), ("mean", expected.size)]:
        loss = cls(**options, reduction=reduction)
        value, gradient = loss.value_and_grad(true, predicted, weights)
        assert float(value) == pytest.approx((expected * weights).sum() / divisor, rel=1e-10)
        assert gradient.shape == predicted.shape and gradient.dtype == np.float64
        numeric = _difference(lambda p, loss=loss: float(loss(true, p, weights)), predicted)
        np.testing.assert_allclose(gradient, numeric, atol=2e-7)


@pytest.mark.parametrize("case", sorted(CASES))
def test_reductions(case):
    cls, options, kind, formula = CASES[case]
    true, predicted = _data(kind, (6, 3), options.get("from_logits", False))
    weights = np.array([0.0, 1.0, 2.0, 0.0, 0.5, 1.0])
    expected = formula(true, predicted)
    loss = cls(**options, reduction="mean_with_sample_weight")
    value, gradient = loss.value_and_grad(true, predicted, weights)
    assert float(value) == pytest.approx((expected * weights).sum() / 4.5)
    whole = cls(**options, reduction="sum").value_and_grad(true, predicted, weights)[1]
    np.testing.assert_allclose(gradient, whole / 4.5, rtol=1e-12)
    assert float(loss(true, predicted)) == pytest.approx(expected.mean())
    assert float(loss(true, predicted, np.zeros(6))) == 0.0
    for reduction in ("none", None):
        rows, gradient = cls(**options, reduction=reduction).value_and_grad(true, predicted, weights)
        np.testing.assert_allclose(rows, expected * weights, rtol=1e-10)
        np.testing.assert_allclose(gradient, whole, rtol=1e-12)


@pytest.mark.parametrize("case", sorted(CASES))
def test_float32(case):
    cls, options, kind, formula = CASES[case]
    true, predicted = _data(kind, (6, 3), options.get("from_logits", False))
    if kind != "labels":
        true = true.astype("float32")
    value, gradient = cls(**options).value_and_grad(true, predicted.astype("float32"))
    assert value.dtype == np.float32 and gradient.dtype == np.float32
    assert float(value) == pytest.approx(formula(true, predicted).mean(), rel=1e-5)


def test_weights_for_leading_axes():
    true, predicted = RNG.normal(size=(4, 3, 2)), RNG.normal(size=(4, 3, 2))
    rows = ((true - predicted) ** 2).mean(-1)
    loss = losses.MeanSquaredError()
    per_task, per_row = RNG.uniform(size=4), RNG.uniform(size=(4, 3))
    assert float(loss(true, predicted, per_task)) == pytest.approx((rows * per_task[:, None]).mean())
    assert float(loss(true, predicted, per_row)) == pytest.approx((rows * per_row).mean())
    assert float(loss(true, predicted, per_row[..., None])) == pytest.approx((rows * per_row).mean())
    for bad in (np.ones(3), np.ones((3, 4)), np.ones((4, 3, 2))):
        with pytest.raises(ValueError, match="sample_weight must have the shape"):
            loss(true, predicted, bad)


def test_ranks_that_differ_by_a_last_axis_of_one():
    true, predicted = np.array([1.0, 2.0]), np.array([[1.5], [1.0]])
    value, gradient = losses.MeanSquaredError().value_and_grad(true, predicted)
    assert float(value) == pytest.approx((0.25 + 1) / 2) and gradient.shape == (2, 1)
    value, gradient = losses.MeanSquaredError().value_and_grad(true[:, None], predicted[:, 0])
    assert float(value) == pytest.approx((0.25 + 1) / 2) and gradient.shape == (2,)
    labels, scores = np.array([[1], [0]]), np.log([[0.5, 0.5], [0.25, 0.75]])
    value = losses.SparseCategoricalCrossentropy(from_logits=True)(labels, scores)
    assert float(value) == pytest.approx(-(np.log(0.5) + np.log(0.25)) / 2)


def test_lists_are_float32():
    value = losses.MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]])
    assert value == 0.5 and value.dtype == np.float32


@pytest.mark.parametrize("labels", [[-1, 0], [0, 3], [0.5, 1.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_bad_labels(labels):
    with pytest.raises(ValueError, match="Labels of sparse_categorical_crossentropy must be"):
        losses.SparseCategoricalCrossentropy()(np.array(labels), np.full((2, 3), 1 / 3))


def test_float_labels_that_are_whole():
    values = losses.sparse_categorical_crossentropy(np.array([0.0, 2.0]), np.full((2, 3), 1 / 3))
    np.testing.assert_allclose(values, np.log(3))


def test_wrong_shapes():
    with pytest.raises(ValueError, match="must have the same shape"):
        losses.MeanSquaredError()(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="must have the same shape"):
        losses.BinaryCrossentropy()(np.zeros((2, 1)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"must have rank \(ndim\) `target.ndim \+ 1`"):
        losses.SparseCategoricalCrossentropy()(np.zeros((3, 2), int), np.zeros((3, 4)))


def test_nan_propagates():
    value, gradient = losses.MeanSquaredError().value_and_grad([[np.nan, 0.0]], [[1.0, 1.0]])
    assert np.isnan(value) and np.isnan(gradient[0, 0]) and gradient[0, 1] == 1


def test_get_and_names():
    assert losses.get(None) is None
    for name in ("mse", "MSE", "mean_squared_error"):
        assert losses.get(name) is losses.mean_squared_error
    assert isinstance(losses.get("Huber"), losses.Huber) and losses.get("huber") is losses.huber
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    assert losses.Huber().name == "huber_loss" and losses.MeanSquaredError().name == "mean_squared_error"
    for bad in ("nope", 3, {"class_name": "Nope", "config": {}}):
        with pytest.raises(ValueError, match="Could not interpret loss identifier"):
            losses.get(bad)
    with pytest.raises(ValueError, match="Invalid value for argument `reduction`"):
        losses.Huber(reduction="median")


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: losses.BinaryCrossentropy(axis=1), "axis"),
        (lambda: losses.SparseCategoricalCrossentropy(ignore_class=0), "ignore_class"),
        (lambda: losses.MeanSquaredError(dtype="float16"), "dtype"),
    ],
)
def test_what_is_not_built(call, argument):
    with pytest.raises(NotImplementedError, match=argument):
        call()


@pytest.mark.parametrize("case", sorted(CASES))
def test_configuration(case):
    cls, options, kind, _ = CASES[case]
    loss = cls(**options, reduction="sum", name="mine")
    again = losses.deserialize(losses.serialize(loss))
    assert type(again) is cls and again.get_config() == loss.get_config()
    true, predicted = _data(kind, (6, 3), options.get("from_logits", False))
    assert again(true, predicted) == loss(true, predicted)


def test_functions_serialize_by_name():
    assert losses.serialize(losses.huber) == "huber"
    assert losses.deserialize("huber") is losses.huber
    assert losses.deserialize({"class_name": "function", "config": "huber"}) is losses.huber


# ---- losses of one's own ----
def _pinball(y_true, y_pred):
    error = y_true - y_pred
    return np.maximum(0.9 * error, -0.1 * error)[..., 0], np.where(error > 0, -0.9, 0.1)


def test_function_as_loss():
    loss = losses.base.LossFunctionWrapper(_pinball)
    true, predicted = RNG.normal(size=(5, 1)), RNG.normal(size=(5, 1))
    value, gradient = loss.value_and_grad(true, predicted, np.arange(5.0))
    assert float(value) == pytest.approx((_pinball(true, predicted)[0] * np.arange(5)).mean())
    numeric = _difference(lambda p: float(loss(true, p, np.arange(5.0))), predicted)
    np.testing.assert_allclose(gradient, numeric, atol=1e-8)
    assert loss.name == "_pinball"


@pytest.mark.parametrize("returned", ["one", "three"])
def test_function_must_return_two_values(returned):
    def wrong(y_true, y_pred):
        rows = ((y_true - y_pred) ** 2).mean(-1)
        return rows if returned == "one" else (rows, rows, rows)

    with pytest.raises(TypeError, match="must return two arrays"):
        losses.base.LossFunctionWrapper(wrong)(np.zeros((2, 1)), np.zeros((2, 1)))


def test_function_with_wrong_shapes():
    loss = losses.base.LossFunctionWrapper(lambda t, p: (np.float64(1.0), p))
    with pytest.raises(ValueError, match="must return a value for each row"):
        loss(np.zeros((2, 1)), np.zeros((2, 1)))
    loss = losses.base.LossFunctionWrapper(lambda t, p: (p[:, 0], p[:, 0]), name="flat")
    with pytest.raises(ValueError, match="'flat' must return a gradient of the predictions' shape"):
        loss(np.zeros((2, 1)), np.zeros((2, 1)))


def test_subclass():
    class Cubic(losses.Loss):
        def call(self, y_true, y_pred):
            return (np.abs(y_pred - y_true) ** 3).mean(-1)

        def gradient(self, y_true, y_pred):
            error = y_pred - y_true
            return 3 * error * np.abs(error) / error.shape[-1]

    true, predicted = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2))
    loss = Cubic()
    _, gradient = loss.value_and_grad(true, predicted)
    np.testing.assert_allclose(gradient, _difference(lambda p: float(loss(true, p)), predicted), atol=1e-7)
    assert loss.name == "cubic" or loss.name.startswith("cubic_")
    with pytest.raises(NotImplementedError, match="must define `gradient"):
        losses.Loss().gradient(true, predicted)
