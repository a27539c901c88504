"""Metrics: values over batches, weights, ties, names, configurations."""

import numpy as np
import pytest
from hypernet import metrics

RNG = np.random.default_rng(0)


def test_mean_and_sum():
    mean, total = metrics.Mean(), metrics.Sum()
    assert mean.result() == 0.0
    for values, weights in [([1.0, 2.0, 3.0], None), ([4.0, 5.0], [1.0, 3.0]), (6.0, None)]:
        mean.update_state(values, weights)
        total.update_state(values, weights)
    assert total.result() == 1 + 2 + 3 + 4 + 15 + 6
    assert mean.result() == pytest.approx(31 / (3 + 4 + 1))
    mean.reset_state()
    assert mean.result() == 0.0 and metrics.Mean()(np.array([2.0, 4.0])) == 3.0


def test_mean_of_positions():
    values = RNG.normal(size=(4, 3))
    assert metrics.Mean()(values) == pytest.approx(values.mean())
    per_row, per_position = RNG.uniform(size=4), RNG.uniform(size=(4, 3))
    assert metrics.Mean()(values, per_row) == pytest.approx((values.mean(1) * per_row).sum() / per_row.sum())
    expected = (values * per_position).mean(1).sum() / per_position.mean(1).sum()
    assert metrics.Mean()(values, per_position) == pytest.approx(expected)


@pytest.mark.parametrize("batches", [1, 3])
def test_accuracies(batches):
    scores = RNG.uniform(size=(30, 6))
    labels = RNG.integers(0, 6, 30)
    one_hot = np.eye(6)[labels]
    order = np.argsort(-scores, axis=1)
    first = (order[:, 0] == labels).mean()
    third = (order[:, :3] == labels[:, None]).any(1).mean()
    cases = [
        (metrics.SparseCategoricalAccuracy(), labels, first),
        (metrics.SparseCategoricalAccuracy(), labels[:, None], first),
        (metrics.SparseCategoricalAccuracy(), labels.astype("float32"), first),
        (metrics.CategoricalAccuracy(), one_hot, first),
        (metrics.TopKCategoricalAccuracy(k=3), one_hot, third),
        (metrics.SparseTopKCategoricalAccuracy(k=3), labels, third),
        (metrics.SparseTopKCategoricalAccuracy(k=3), labels[:, None], third),
    ]
    for metric, true, expected in cases:
        for part in np.array_split(np.arange(30), batches):
            metric.update_state(true[part], scores[part])
        assert metric.result() == pytest.approx(expected), metric
    sorted_ids = metrics.SparseTopKCategoricalAccuracy(k=3, from_sorted_ids=True)
    assert sorted_ids(labels, order) == pytest.approx(third)


def test_top_k_ties_and_bad_scores():
    tied = np.array([[0.5, 0.5, 0.1]])
    assert metrics.sparse_top_k_categorical_accuracy([1], tied, k=1).tolist() == [1.0]
    assert metrics.sparse_top_k_categorical_accuracy([7], tied, k=3).tolist() == [0.0]
    assert metrics.sparse_top_k_categorical_accuracy([-1], tied, k=3).tolist() == [0.0]
    nan = np.array([[np.nan, 0.5, 0.1]])
    assert metrics.sparse_top_k_categorical_accuracy([0], nan, k=1).tolist() == [0.0]


def test_accuracies_of_sequences():
    scores, labels = RNG.uniform(size=(4, 5, 3)), RNG.integers(0, 3, (4, 5))
    expected = (scores.argmax(-1) == labels).mean()
    assert metrics.SparseCategoricalAccuracy()(labels, scores) == pytest.approx(expected)
    assert metrics.CategoricalAccuracy()(np.eye(3)[labels], scores) == pytest.approx(expected)
    assert metrics.SparseTopKCategoricalAccuracy(k=1)(labels, scores) == pytest.approx(expected)


def test_binary_accuracy():
    true, predicted = np.array([0, 1, 1, 0]), np.array([[0.1], [0.6], [0.4], [0.5]])
    assert metrics.BinaryAccuracy()(true, predicted) == 0.75
    assert metrics.BinaryAccuracy(threshold=0.3)(true, predicted) == 0.75
    assert metrics.BinaryAccuracy()(true[:, None].astype(float), predicted) == 0.75
    assert metrics.BinaryAccuracy()(np.array([[1, 0]]), np.array([[0.9, 0.9]])) == 0.5
    weighted = metrics.BinaryAccuracy()(true[:, None], predicted, [0.0, 0.0, 1.0, 1.0])
    assert weighted == 0.5


def test_accuracy():
    assert metrics.Accuracy()([[1], [2], [3]], [[1], [0], [3]]) == pytest.approx(2 / 3)


def test_errors():
    true, predicted = RNG.normal(size=(7, 2)), RNG.normal(size=(7, 2))
    squares = (true - predicted) ** 2
    weights = RNG.uniform(size=7)
    assert metrics.MeanSquaredError()(true, predicted) == pytest.approx(squares.mean())
    assert metrics.MeanAbsoluteError()(true, predicted) == pytest.approx(np.abs(true - predicted).mean())
    assert metrics.RootMeanSquaredError()(true, predicted) == pytest.approx(np.sqrt(squares.mean()))
    expected = np.sqrt((squares.mean(1) * weights).sum() / weights.sum())
    assert metrics.RootMeanSquaredError()(true, predicted, weights) == pytest.approx(expected)
    assert metrics.MeanSquaredError()(true[:, 0], predicted[:, :1]) == pytest.approx(squares[:, 0].mean())


def test_crossentropies():
    p = RNG.dirichlet(np.ones(4), size=9)
    labels = RNG.integers(0, 4, 9)
    expected = -np.log(p[np.arange(9), labels]).mean()
    assert metrics.SparseCategoricalCrossentropy()(labels, p) == pytest.approx(expected)
    assert metrics.SparseCategoricalCrossentropy(from_logits=True)(labels, np.log(p)) == pytest.approx(expected)
    assert metrics.CategoricalCrossentropy()(np.eye(4)[labels], p) == pytest.approx(expected)
    true = RNG.integers(0, 2, (9, 4)).astype(float)
    binary = -(true * np.log(p) + (1 - true) * np.log(1 - p)).mean()
    assert metrics.BinaryCrossentropy()(true, p) == pytest.approx(binary)
    smooth = metrics.CategoricalCrossentropy(label_smoothing=0.1)(np.eye(4)[labels], p)
    assert smooth == pytest.approx(-((np.eye(4)[labels] * 0.9 + 0.025) * np.log(p)).sum(1).mean())


def test_functions_as_metrics():
    def worst(y_true, y_pred):
        return np.abs(y_true - y_pred).max(-1)

    metric = metrics.MeanMetricWrapper(worst, name="worst")
    assert metric(np.zeros((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])) == 3.0
    scalar = metrics.MeanMetricWrapper(lambda y_true, y_pred: y_pred.mean(), name="mean")
    scalar.update_state(None, np.array([1.0, 3.0]))
    scalar.update_state(None, np.array([4.0]))
    assert scalar.result() == 3.0


def test_get():
    assert metrics.get(None) is None
    for name, cls in [
        ("mse", metrics.MeanSquaredError),
        ("MAE", metrics.MeanAbsoluteError),
        ("rmse", metrics.RootMeanSquaredError),
        ("mean_squared_error", metrics.MeanSquaredError),
        ("sparse_top_k_categorical_accuracy", metrics.SparseTopKCategoricalAccuracy),
        ("BinaryAccuracy", metrics.BinaryAccuracy),
        ("sparse_categorical_crossentropy", metrics.SparseCategoricalCrossentropy),
    ]:
        assert isinstance(metrics.get(name), cls)
    assert metrics.get(np.mean) is np.mean
    for bad in ("nope", 3):
        with pytest.raises(ValueError, match="Could not interpret metric identifier"):
            metrics.get(bad)


@pytest.mark.parametrize(
    "metric",
    [
        metrics.Mean(),
        metrics.Sum(name="total"),
        metrics.BinaryAccuracy(threshold=0.2),
        metrics.SparseTopKCategoricalAccuracy(k=2, from_sorted_ids=True),
        metrics.RootMeanSquaredError(),
        metrics.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics.MeanMetricWrapper(metrics.binary_accuracy, name="wrapped", threshold=0.3),
    ],
    ids=lambda metric: metric.name,
)
def test_configuration(metric):
    again = metrics.deserialize(metrics.serialize(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config()


def test_directions():
    assert metrics.BinaryAccuracy()._direction == "up" and metrics.MeanSquaredError()._direction == "down"
    assert metrics.Mean()._direction is None
