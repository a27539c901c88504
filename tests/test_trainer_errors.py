"""Mistakes raise Keras's errors before the first write."""

import hypernet as hn
import numpy as np
import pytest

X, Y = np.ones((6, 3)), np.ones((6, 2))
LABELS = np.array([0, 1, 2, 0, 1, 2])


def _model(classes=2, activation=None, compiled=None):
    inputs = hn.Input((3,))
    model = hn.Model(inputs, hn.layers.Dense(classes, name="out", activation=activation)(inputs))
    if compiled is not False:
        model.compile(**(compiled or {"optimizer": "sgd", "loss": "mse"}))
    return model


def _classifier():
    return _model(3, "softmax", {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"})


def _raises_and_keeps(model, error, message, call):
    before = model.params.copy()
    iterations = model.optimizer.iterations if model.optimizer is not None else 0
    with pytest.raises(error, match=message):
        call(model)
    np.testing.assert_array_equal(model.params, before)
    assert model.optimizer is None or model.optimizer.iterations == iterations


METHODS = {
    "fit": lambda model, x, y, **options: model.fit(x, y, verbose=0, batch_size=2, **options),
    "train_on_batch": lambda model, x, y, **options: model.train_on_batch(x, y, **options),
    "evaluate": lambda model, x, y, **options: model.evaluate(x, y, verbose=0, **options),
    "loss_and_grad": lambda model, x, y, **options: model.loss_and_grad(x, y, **options),
}


@pytest.mark.parametrize("method", sorted(METHODS))
class TestEveryMethod:
    def test_not_compiled(self, method):
        message = r"You must call `compile\(\)` before using the model"
        _raises_and_keeps(_model(compiled=False), ValueError, message, lambda m: METHODS[method](m, X, Y))

    def test_no_loss(self, method):
        model = _model(compiled={"optimizer": "sgd"})
        _raises_and_keeps(model, ValueError, "No loss to compute", lambda m: METHODS[method](m, X, Y))

    def test_no_targets(self, method):
        _raises_and_keeps(_model(), ValueError, "needs targets", lambda m: METHODS[method](m, X, None))

    @pytest.mark.parametrize("bad", [3, -1, np.nan, 0.5])
    def test_bad_labels(self, method, bad):
        labels = np.array([0, 1, 2, 0, 1, bad])  # in the last batch of fit
        message = "Labels of sparse_categorical_crossentropy must be"
        _raises_and_keeps(_classifier(), ValueError, message, lambda m: METHODS[method](m, X, labels))

    @pytest.mark.parametrize("y", [np.ones((6, 3)), np.ones((6, 2, 1, 1)), np.ones(6), np.ones((6, 1))])
    def test_targets_of_another_shape(self, method, y):
        _raises_and_keeps(_model(), ValueError, "must have the same shape", lambda m: METHODS[method](m, X, y))

    def test_labels_of_another_shape(self, method):
        message = r"must have rank \(ndim\) `target.ndim \+ 1`"
        y = np.zeros((6, 4), int)
        _raises_and_keeps(_classifier(), ValueError, message, lambda m: METHODS[method](m, X, y))

    def test_other_lengths(self, method):
        message = "Data cardinality is ambiguous"
        _raises_and_keeps(_model(), ValueError, message, lambda m: METHODS[method](m, X, Y[:5]))
        call = METHODS[method]
        _raises_and_keeps(_model(), ValueError, message, lambda m: call(m, X, Y, sample_weight=np.ones(5)))

    def test_weights_of_another_shape(self, method):
        message = "sample_weight for output 'out' must have the shape"
        weight = np.ones((6, 2))
        call = METHODS[method]
        _raises_and_keeps(_model(), ValueError, message, lambda m: call(m, X, Y, sample_weight=weight))

    def test_empty(self, method):
        _raises_and_keeps(_model(), ValueError, "empty", lambda m: METHODS[method](m, X[:0], Y[:0]))

    @pytest.mark.parametrize(
        "x", [np.ones((6, 4)), np.ones((6, 3, 2)), [["a"] * 3] * 6, np.ones((6, 3), complex), None]
    )
    def test_bad_inputs(self, method, x):
        _raises_and_keeps(_model(), ValueError, None, lambda m: METHODS[method](m, x, Y))

    @pytest.mark.parametrize("y", [np.full((6, 2), "a"), np.ones((6, 2), complex), np.full((6, 2), None)])
    def test_bad_targets(self, method, y):
        _raises_and_keeps(_model(), ValueError, "Invalid dtype", lambda m: METHODS[method](m, X, y))

    def test_loss_that_returns_one_value(self, method):
        model = _model(compiled={"optimizer": "sgd", "loss": lambda t, p: ((t - p) ** 2).mean(-1)})
        _raises_and_keeps(model, TypeError, "must return two arrays", lambda m: METHODS[method](m, X, Y))


def test_nan_in_data_propagates():
    model = _model()
    x = X.copy()
    x[0, 0] = np.nan
    assert np.isnan(model.evaluate(x, Y, verbose=0))
    history = model.fit(x, Y, verbose=0)
    assert np.isnan(history.history["loss"][0]) and np.isnan(model.params).any()


def test_validation_data_is_checked_before_the_first_step():
    for bad in ((X, np.ones((6, 3))), (X[:0], Y[:0]), (X, Y, np.ones(4)), (X, Y, None, None)):
        _raises_and_keeps(_model(), ValueError, None, lambda m, bad=bad: m.fit(X, Y, validation_data=bad, verbose=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"batch_size": 2.5}, "`batch_size` must be a positive integer"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch` must be a positive integer"),
        ({"validation_steps": -1, "validation_data": (X, Y)}, "`validation_steps` must be a positive integer"),
        ({"class_weight": [1.0, 2.0]}, "`class_weight` must be a dict"),
        ({"validation_split": 2.0}, "Training data contains 6 samples"),
        ({"validation_data": (X, Y), "validation_batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"validation_data": (X, Y), "validation_freq": "often"}, "Expected `validation_freq` to be a list or int"),
        ({"validation_split": 0.5, "validation_freq": 0}, "`validation_freq` must be positive"),
        ({"shuffle": "rows"}, '`shuffle` must be True, False or "batch"'),
    ],
)
def test_bad_arguments_of_fit(options, message):
    _raises_and_keeps(_model(), ValueError, message, lambda m: m.fit(X, Y, verbose=0, **options))


def test_what_is_not_built():
    with pytest.raises(NotImplementedError, match="steps_per_execution"):
        _model().compile(loss="mse", steps_per_execution=3)


def test_no_optimizer():
    model = _model(compiled={"optimizer": None, "loss": "mse"})
    for call in (lambda m: m.fit(X, Y, verbose=0), lambda m: m.train_on_batch(X, Y)):
        _raises_and_keeps(model, ValueError, "needs an optimizer", call)
    assert model.evaluate(X, Y, verbose=0) >= 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizer": "nope"}, ValueError, "Could not interpret optimizer identifier"),
        ({"loss": "nope"}, ValueError, "Could not interpret loss identifier"),
        ({"loss": 3}, ValueError, "Could not interpret loss identifier"),
        ({"loss": hn.losses.Huber(reduction="none")}, ValueError, "reduction='none'"),
        ({"metrics": ["nope"]}, ValueError, "Could not interpret metric identifier"),
        ({"metrics": "accuracy"}, ValueError, "Expected `metrics` argument to be a list, tuple, or dict"),
        ({"weighted_metrics": "mse"}, ValueError, "Expected `weighted_metrics` argument to be"),
    ],
)
def test_bad_arguments_of_compile(options, error, message):
    model = _model(compiled=False)
    with pytest.raises(error, match=message):
        model.compile(**options)
    assert not model.compiled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": {"a": "mse", "c": "mse"}}, "Expected keys"),
        ({"loss": ["mse"]}, "`loss` must have one entry for each"),
        ({"loss": ["mse", "mse"], "loss_weights": [1.0]}, "`loss_weights` must match the number of losses"),
        ({"loss": "mse", "loss_weights": {"c": 1.0}}, "`loss_weights` has keys that name no output"),
        ({"loss": "mse", "metrics": ["mse"]}, "Invalid `metrics`"),
        ({"loss": "mse", "metrics": {"c": ["mse"]}}, "Invalid `metrics`"),
    ],
)
def test_arguments_that_do_not_fit_the_outputs(options, message):
    inputs = hn.Input((3,))
    model = hn.Model(inputs, [hn.layers.Dense(2, name="a")(inputs), hn.layers.Dense(2, name="b")(inputs)])
    model.compile(optimizer="sgd", **options)
    _raises_and_keeps(model, ValueError, message, lambda m: m.fit(X, [Y, Y], verbose=0))


def test_class_weight_needs_one_output():
    inputs = hn.Input((3,))
    model = hn.Model(inputs, [hn.layers.Dense(2, name="a")(inputs), hn.layers.Dense(2, name="b")(inputs)])
    model.compile(loss="mse")
    message = "`class_weight` is only supported for Models with a single output"
    _raises_and_keeps(model, ValueError, message, lambda m: m.fit(X, [Y, Y], class_weight={0: 1.0}, verbose=0))


def test_regularizer_without_gradient():
    inputs = hn.Input((3,))
    layer = hn.layers.Dense(2, kernel_regularizer=lambda w: float((w**2).sum()))
    model = hn.Model(inputs, layer(inputs))
    model.compile(optimizer="sgd", loss="mse")
    _raises_and_keeps(model, TypeError, "has no method `gradient", lambda m: m.fit(X, Y, verbose=0))


def test_weights_of_tasks_are_never_guessed():
    target = hn.target_network(3, 2)
    model = hn.HyperModel(hn.hypernetwork(2, target.count_params()), target)
    model.compile(loss="sparse_categorical_crossentropy")
    cond, x, y = np.ones((4, 2)), np.ones((4, 5, 3)), np.zeros((4, 5), int)
    model.evaluate([cond, x], y, sample_weight=np.ones(4), verbose=0)
    model.evaluate([cond, x], y, sample_weight=np.ones((4, 5)), verbose=0)
    for bad in (np.ones(5), np.ones(20), np.ones((5, 4)), np.ones((4, 1))):
        call = lambda m, bad=bad: m.fit([cond, x], y, sample_weight=bad, verbose=0)  # noqa: E731
        _raises_and_keeps(model, ValueError, None, call)


def test_predict_errors():
    model = _model()
    with pytest.raises(ValueError, match="empty"):
        model.predict(X[:0])
    with pytest.raises(ValueError, match="`out` needs arrays"):
        model.predict(iter([X]), out=np.empty((6, 2), "float32"))
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        model.predict(X, batch_size=0)
