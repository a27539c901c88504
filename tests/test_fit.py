"""fit, evaluate, predict and the batch methods against loops written by hand."""

import signal
import threading

import hypernet as hn
import numpy as np
import pytest

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(23, 3)), RNG.normal(size=(23, 2))


def _dense(units, name=None, **options):
    return hn.layers.Dense(units, name=name, dtype="float64", **options)


def _model(**options):
    inputs = hn.Input((3,), dtype="float64")
    return hn.Model(inputs, _dense(2, "out", **options)(_dense(4, "hidden", activation="tanh", **options)(inputs)))


def _batches(count, size):
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_fit_is_the_loop_by_hand(optimizer):
    model, twin = _model(), _model()
    twin.set_weights(model.get_weights())
    model.compile(optimizer=optimizer, loss="mse")
    history = model.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    step, loss = hn.optimizers.get(optimizer), hn.losses.MeanSquaredError()
    losses = []
    for _ in range(3):
        total = 0.0
        for part in _batches(23, 8):
            predicted, pullback = twin.vjp(X[part])
            value, gradient = loss.value_and_grad(Y[part], predicted)
            step.apply(pullback(gradient).params, twin.params)
            total += float(value) * len(X[part])
        losses.append(total / 23)
    np.testing.assert_allclose(model.params, twin.params, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-12)
    assert model.optimizer.iterations == 9 and history is model.history


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight"])
@pytest.mark.parametrize("weighted", [False, True])
def test_reductions_and_weights(reduction, weighted):
    model = _model()
    loss = hn.losses.Huber(reduction=reduction)
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss=loss)
    weights = RNG.uniform(size=23) if weighted else None
    predicted, pullback = model.vjp(X)
    expected, gradient = loss.value_and_grad(Y, predicted, weights)
    expected_gradient = pullback(gradient).params
    value, found = model.loss_and_grad(X, Y, weights)
    assert value == pytest.approx(float(expected), rel=1e-12)
    np.testing.assert_allclose(found, expected_gradient, rtol=1e-10, atol=1e-13)
    before = model.params.copy()
    assert model.train_on_batch(X, Y, weights) == pytest.approx(float(expected))
    np.testing.assert_allclose(model.params, before - 0.1 * expected_gradient, rtol=1e-10, atol=1e-13)


def test_each_batch_is_divided_by_its_own_weights():
    """What is remembered of one batch by its shapes holds for no other weights of the same shape."""
    model = _model()
    model.compile(optimizer="sgd", loss=hn.losses.MeanSquaredError(reduction="mean_with_sample_weight"))
    errors = ((model.predict(X, verbose=0) - Y) ** 2).mean(axis=1)
    rng = np.random.default_rng(0)
    for _ in range(3):
        weights = rng.uniform(0.1, 3.0, len(X))
        expected = np.average(errors, weights=weights)
        assert model.test_on_batch(X, Y, sample_weight=weights) == pytest.approx(expected)
        assert model.loss_and_grad(X, Y, sample_weight=weights)[0] == pytest.approx(expected)


def test_loss_and_grad_changes_nothing():
    model = _model()
    model.compile(loss="mse")
    before = model.params.copy()
    model.loss_and_grad(X, Y)
    assert (model.params == before).all() and model.optimizer.iterations == 0


def _pinball(y_true, y_pred):
    error = y_true - y_pred
    return np.maximum(0.9 * error, -0.1 * error).mean(-1), np.where(error > 0, -0.9, 0.1) / y_pred.shape[-1]


def test_custom_loss():
    model, twin = _model(), _model()
    twin.set_weights(model.get_weights())
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss=_pinball)
    weights = RNG.uniform(size=23)
    history = model.fit(X, Y, sample_weight=weights, batch_size=8, shuffle=False, verbose=0)
    total = 0.0
    for part in _batches(23, 8):
        predicted, pullback = twin.vjp(X[part])
        rows, gradient = _pinball(Y[part], predicted)
        count = len(rows)
        grad = pullback(gradient * weights[part, None] / count).params
        hn.optimizers.SGD(0.1).apply(grad, twin.params)
        total += (rows * weights[part]).sum()
    np.testing.assert_allclose(model.params, twin.params, rtol=1e-10)
    assert history.history["loss"] == pytest.approx([total / 23])
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(_pinball(Y, model.predict(X))[0].mean())


def test_evaluating_needs_no_gradient():
    class Largest(hn.losses.Loss):
        def call(self, y_true, y_pred):
            return np.abs(y_pred - y_true).max(axis=-1)

    model = _model()
    model.compile(optimizer="sgd", loss=Largest())
    expected = np.abs(model.predict(X) - Y).max(axis=-1).mean()
    np.testing.assert_allclose(model.evaluate(X, Y, batch_size=4, verbose=0), expected, rtol=1e-6)
    with pytest.raises(NotImplementedError, match="gradient"):
        model.fit(X, Y, verbose=0)


def test_builtin_and_custom_agree():
    def squares(y_true, y_pred):
        return ((y_pred - y_true) ** 2).mean(-1), 2 * (y_pred - y_true) / y_pred.shape[-1]

    results = []
    for loss in ("mse", squares):
        hn.utils.set_random_seed(3)
        model = _model(kernel_regularizer="l2", activity_regularizer=hn.regularizers.L1L2(0.01, 0.02))
        model.compile(optimizer="adam", loss=loss)
        history = model.fit(X, Y, batch_size=8, epochs=3, verbose=0, validation_split=0.3)
        results.append((model.params.copy(), history.history["loss"], history.history["val_loss"]))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


# ---- regularizers, constraints, frozen layers ----
def test_regularizers():
    penalty = hn.regularizers.L1L2(0.1, 0.2)
    model = _model(kernel_regularizer=penalty, bias_regularizer="l2")
    model.set_weights(RNG.normal(size=model.count_params()))
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss="mse")
    plain = _model()
    plain.set_weights(model.get_weights())
    plain.compile(loss="mse")
    value, gradient = plain.loss_and_grad(X, Y)
    expected = 0.0
    parts = plain.unflatten(gradient)
    for weight, name in zip(model.weights, parts, strict=True):
        expected += float(weight.regularizer(weight.value))
        parts[name] += weight.regularizer.gradient(weight.value)
    found, found_gradient = model.loss_and_grad(X, Y)
    assert found == pytest.approx(value + expected)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-10, atol=1e-12)
    before = model.params.copy()
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(value + expected)
    model.fit(X, Y, batch_size=23, verbose=0)
    np.testing.assert_allclose(model.params, before - 0.1 * gradient, rtol=1e-10, atol=1e-12)


def test_activity_regularizer():
    inputs = hn.Input((3,), dtype="float64")
    layer = _dense(2, activity_regularizer=hn.regularizers.L2(0.5))
    model = hn.Model(inputs, layer(inputs))
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss="mse")
    predicted = model.predict(X)
    expected = ((predicted - Y) ** 2).mean() + 0.5 * (predicted**2).sum() / len(X)
    value, gradient = model.loss_and_grad(X, Y)
    assert value == pytest.approx(expected)
    assert model.evaluate(X, Y, batch_size=23, verbose=0) == pytest.approx(expected)
    _, pullback = model.vjp(X)
    by_hand = pullback((predicted - Y) * 2 / predicted.size + predicted / len(X)).params
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-9, atol=1e-12)
    before = model.params.copy()
    model.fit(X, Y, batch_size=23, verbose=0)
    np.testing.assert_allclose(model.params, before - 0.1 * by_hand, rtol=1e-9, atol=1e-12)


def test_constraints():
    model = _model(kernel_constraint=hn.constraints.MaxNorm(0.3), bias_constraint="non_neg")
    model.compile(optimizer=hn.optimizers.SGD(0.5), loss="mse")
    model.fit(X, Y, batch_size=8, verbose=0)
    for layer in model.layers[1:]:
        assert (np.linalg.norm(layer.kernel, axis=0) <= 0.3 + 1e-6).all() and (layer.bias >= 0).all()


def test_frozen_layers():
    model = _model(kernel_regularizer="l2")
    hidden = model.get_layer("hidden")
    model.compile(optimizer=hn.optimizers.SGD(0.5, weight_decay=0.1), loss="mse")
    hidden.trainable = False
    before = model.unflatten(model.params.copy())
    model.fit(X, Y, verbose=0)
    after = model.unflatten(model.params)
    assert all((after[name] == before[name]).all() == name.startswith("hidden") for name in before)
    total = hn.regularizers.L2()(model.get_layer("out").kernel)
    mse = ((model.predict(X) - Y) ** 2).mean()
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(mse + total)  # frozen weights are not penalised
    hidden.trainable = True
    model.fit(X, Y, verbose=0)
    assert (model.unflatten(model.params)["hidden/kernel"] != before["hidden/kernel"]).any()


# ---- labels and metrics ----
def _classifier(classes=3, activation="softmax"):
    inputs = hn.Input((3,), dtype="float64")
    return hn.Model(inputs, _dense(classes, "scores", activation=activation)(inputs))


LABELS = np.arange(23) % 3


@pytest.mark.parametrize(
    ("loss", "y", "classes", "activation"),
    [
        ("sparse_categorical_crossentropy", LABELS, 3, "softmax"),
        ("sparse_categorical_crossentropy", LABELS[:, None], 3, "softmax"),
        ("sparse_categorical_crossentropy", LABELS.astype("float32"), 3, "softmax"),
        ("crossentropy", LABELS, 3, "softmax"),
        ("crossentropy", np.eye(3)[LABELS], 3, "softmax"),
        ("categorical_crossentropy", np.eye(3, dtype=int)[LABELS], 3, "softmax"),
        ("binary_crossentropy", LABELS % 2, 1, "sigmoid"),
        ("ce", (LABELS % 2)[:, None], 1, "sigmoid"),
        ("binary_crossentropy", np.eye(3)[LABELS], 3, "sigmoid"),
    ],
)
def test_accuracy_is_chosen_by_the_shapes(loss, y, classes, activation):
    model = _classifier(classes, activation)
    model.compile(loss=loss, metrics=["accuracy"])
    found = model.evaluate(X, y, verbose=0, return_dict=True)
    p = model.predict(X)
    if classes == 1:
        expected = ((p[:, 0] > 0.5) == y.reshape(-1)).mean()
        value = hn.losses.binary_crossentropy(y.reshape(-1, 1).astype(float), p).mean()
    else:
        labels = y.argmax(1) if y.shape == (23, 3) else y.reshape(-1)
        expected = (p.argmax(1) == labels).mean()
        value = -np.log(p[np.arange(23), labels.astype(int)]).mean()
        if loss == "binary_crossentropy":
            value = hn.losses.binary_crossentropy(y, p).mean()
    assert found == pytest.approx({"accuracy": expected, "loss": value})


def test_metrics_are_weighted_only_if_asked():
    model = _classifier()
    weights = RNG.uniform(size=23)
    model.compile(
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=["accuracy", hn.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")],
    )
    found = model.evaluate(X, LABELS, sample_weight=weights, verbose=0, batch_size=7, return_dict=True)
    order = np.argsort(-model.predict(X), axis=1)
    right, second = order[:, 0] == LABELS, (order[:, :2] == LABELS[:, None]).any(1)
    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["weighted_accuracy"] == pytest.approx((right * weights).sum() / weights.sum())
    assert found["top2"] == pytest.approx((second * weights).sum() / weights.sum())


def test_custom_metrics_and_names():
    def bias(y_true, y_pred):
        return (y_pred - y_true).mean(-1)

    model = _model()
    model.compile(loss="mse", metrics=["mse", "mae", bias, hn.metrics.RootMeanSquaredError()])
    found = model.evaluate(X, Y, verbose=0, batch_size=7)
    error = model.predict(X) - Y
    expected = [(error**2).mean(), (error**2).mean(), np.abs(error).mean(), error.mean(), np.sqrt((error**2).mean())]
    np.testing.assert_allclose(found, expected)
    assert model.metrics_names == ["loss", "compile_metrics"]
    history = model.fit(X, Y, validation_data=(X, Y), verbose=0)
    assert list(history.history) == sorted(history.history)
    assert set(history.history) == {
        p + n for p in ("", "val_") for n in ("loss", "mse", "mae", "bias", "root_mean_squared_error")
    }


def test_metrics_begin_anew_each_epoch():
    model = _model()
    model.compile(optimizer=hn.optimizers.SGD(0.0), loss="mse", metrics=["mae"])
    history = model.fit(X, Y, epochs=3, verbose=0, batch_size=4)
    assert np.ptp(history.history["mae"]) < 1e-12 and np.ptp(history.history["loss"]) < 1e-12
    first = model.train_on_batch(X[:5], Y[:5])
    assert model.train_on_batch(X[:5], Y[:5]) == pytest.approx(first)
    assert model.test_on_batch(X[:5], Y[:5], return_dict=True) == pytest.approx({"loss": first[0], "mae": first[1]})


@pytest.mark.parametrize("fails", ["in a callback", "in the data"])
def test_metrics_begin_anew_after_an_epoch_that_failed(fails):
    """Batches before an exception are in no mean of a later call."""
    model = _classifier()
    model.compile(optimizer=hn.optimizers.SGD(0.0), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)), rng.integers(0, 3, 8)
    whole = model.evaluate(x, y, verbose=0)

    def fail(*_):
        raise ZeroDivisionError

    def batches():
        yield x[:2], y[:2]
        yield x[2:4], y[2:4]
        fail()

    def interrupted():
        with pytest.raises(ZeroDivisionError):
            if fails == "in the data":
                model.fit(batches(), verbose=0)
            else:
                callback = hn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batch < 2 or fail())
                model.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[callback])
        assert 0 < model.metrics[0].count < len(x)  # some batches were seen

    for after in (
        lambda: model.evaluate(x, y, batch_size=4, verbose=0),
        lambda: [model.fit(x, y, batch_size=4, verbose=0).history[name][0] for name in ("loss", "accuracy")],
        lambda: model.train_on_batch(x, y),
        lambda: model.test_on_batch(x, y),
    ):
        interrupted()
        np.testing.assert_allclose(after(), whole, rtol=1e-6)


# ---- several outputs ----
def _two_headed():
    inputs = hn.Input((3,), dtype="float64")
    a = _dense(2, "a")(inputs)
    b = _dense(3, "b", activation="softmax")(inputs)
    return hn.Model(inputs, [a, b])


@pytest.mark.parametrize("form", ["list", "dict"])
def test_several_outputs(form):
    model = _two_headed()
    losses, factors = ["mse", "sparse_categorical_crossentropy"], [0.5, 2.0]
    metrics = [["mae"], ["accuracy", "sparse_categorical_crossentropy"]]
    y = [Y, LABELS]
    if form == "dict":
        names = ["a", "b"]
        losses, factors = dict(zip(names, losses, strict=True)), dict(zip(names, factors, strict=True))
        metrics, y = dict(zip(names, metrics, strict=True)), dict(zip(names, y, strict=True))
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss=losses, loss_weights=factors, metrics=metrics)
    a, b = model.predict(X)
    one, two = ((a - Y) ** 2).mean(), -np.log(b[np.arange(23), LABELS]).mean()
    expected = {
        "loss": 0.5 * one + 2.0 * two,
        "a_loss": one,
        "b_loss": two,
        "a_mae": np.abs(a - Y).mean(),
        "b_accuracy": (b.argmax(1) == LABELS).mean(),
        "b_sparse_categorical_crossentropy": two,
    }
    assert model.evaluate(X, y, verbose=0, batch_size=6, return_dict=True) == pytest.approx(expected)
    value, gradient = model.loss_and_grad(X, y)
    _, pullback = model.vjp(X)
    d_b = np.zeros_like(b)
    d_b[np.arange(23), LABELS] = -1 / b[np.arange(23), LABELS]
    by_hand = pullback([0.5 * 2 * (a - Y) / a.size, 2.0 * d_b / 23]).params
    assert value == pytest.approx(expected["loss"])
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-6, atol=1e-9)


def test_reductions_of_several_outputs_may_differ():
    model = _two_headed()
    losses = [hn.losses.MeanSquaredError(reduction="sum"), hn.losses.SparseCategoricalCrossentropy()]
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss=losses)
    a, b = model.predict(X)
    expected = ((a - Y) ** 2).mean(1).sum() - np.log(b[np.arange(23), LABELS]).mean()
    value, gradient = model.loss_and_grad(X, [Y, LABELS])
    assert value == pytest.approx(expected)
    before = model.params.copy()
    model.train_on_batch(X, [Y, LABELS])
    np.testing.assert_allclose(model.params, before - 0.1 * gradient, rtol=1e-10, atol=1e-12)


def test_one_loss_for_all_outputs_and_weights_for_each():
    inputs = hn.Input((3,), dtype="float64")
    model = hn.Model(inputs, [_dense(2, "a")(inputs), _dense(2, "b")(inputs)])
    model.compile(loss="mse", metrics=[["mae"], []])
    a, b = model.predict(X)
    weights = RNG.uniform(size=23)
    rows = [((p - Y) ** 2).mean(1) for p in (a, b)]
    found = model.evaluate(X, [Y, Y], sample_weight=weights, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(sum((row * weights).mean() for row in rows))
    found = model.evaluate(X, [Y, Y], sample_weight=[weights, np.ones(23)], verbose=0, return_dict=True)
    assert found["a_loss"] == pytest.approx((rows[0] * weights).mean())
    assert found["b_loss"] == pytest.approx(rows[1].mean())


def test_an_output_without_a_loss():
    model = _two_headed()
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss=[None, "sparse_categorical_crossentropy"])
    before = model.get_layer("a").kernel.copy()
    _, b = model.predict(X)
    history = model.fit(X, [Y, LABELS], batch_size=23, verbose=0)
    assert history.history["loss"] == pytest.approx([-np.log(b[np.arange(23), LABELS]).mean()])
    assert (model.get_layer("a").kernel == before).all() and set(history.history) == {"loss"}


# ---- sequences ----
def test_positions_within_a_row():
    inputs = hn.Input((None, 3), dtype="float64")
    model = hn.Model(inputs, _dense(4, activation="softmax")(inputs))
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x, labels = RNG.normal(size=(6, 5, 3)), RNG.integers(0, 4, (6, 5))
    p = model.predict(x)
    rows = -np.log(np.take_along_axis(p, labels[..., None], -1)[..., 0])
    assert model.evaluate(x, labels, verbose=0) == pytest.approx([rows.mean(), (p.argmax(-1) == labels).mean()])
    per_sample, per_position = RNG.uniform(size=6), RNG.uniform(size=(6, 5))
    found = model.evaluate(x, labels, sample_weight=per_sample, verbose=0)
    assert found[0] == pytest.approx((rows * per_sample[:, None]).mean())
    found = model.evaluate(x, labels, sample_weight=per_position, verbose=0)
    assert found[0] == pytest.approx((rows * per_position).mean())
    model.fit(x, labels, verbose=0, batch_size=4)


# ---- hypernetworks ----
def _hyper():
    inputs = hn.Input((3,), dtype="float64")
    target = hn.Model(inputs, _dense(2)(_dense(4, activation="tanh")(inputs)))
    condition = hn.Input((2,), dtype="float64")
    generator = hn.Model(condition, _dense(target.count_params())(_dense(5, activation="relu")(condition)))
    return hn.HyperModel(generator, target)


TASKS = (RNG.normal(size=(6, 2)), RNG.normal(size=(6, 5, 3)), RNG.normal(size=(6, 5, 2)))
MODES = {
    "one": (RNG.normal(size=2), X, Y, [(23,)]),
    "rows": (RNG.normal(size=(23, 2)), X, Y, [(23,)]),
    "tasks": (*TASKS, [(6,), (6, 5)]),
    "shared": (TASKS[0], TASKS[1][:1], TASKS[2], [(6,), (6, 5)]),
}


@pytest.mark.parametrize("mode", sorted(MODES))
def test_modes(mode):
    condition, x, y, weight_shapes = MODES[mode]
    model, twin = _hyper(), _hyper()
    twin.set_weights(model.get_weights())
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss="mse", metrics=["mae"], weighted_metrics=["mse"])
    for shape in weight_shapes:
        weights = RNG.uniform(size=shape)
        predicted, pullback = twin.vjp(condition, x)
        value, gradient = hn.losses.MeanSquaredError().value_and_grad(y, predicted, weights)
        grad = pullback(gradient).params
        found, found_grad = model.loss_and_grad([condition, x], y, weights)
        assert found == pytest.approx(float(value), rel=1e-10)
        np.testing.assert_allclose(found_grad, grad, rtol=1e-8, atol=1e-11)
        whole = len(x) if mode in ("one", "rows") else len(condition)
        history = model.fit([condition, x], y, sample_weight=weights, batch_size=whole, verbose=0)
        assert history.history["loss"] == pytest.approx([float(value)])
        assert history.history["mae"] == pytest.approx([np.abs(predicted - y).mean()])
        rows = ((predicted - y) ** 2).mean(-1)
        spread = np.broadcast_to(weights.reshape(weights.shape + (1,) * (rows.ndim - weights.ndim)), rows.shape)
        assert history.history["mse"] == pytest.approx([(rows * spread).sum() / spread.sum()])
        hn.optimizers.SGD(0.1).apply(grad, twin.params)
        np.testing.assert_allclose(model.params, twin.params, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("mode", sorted(MODES))
def test_modes_in_batches(mode):
    condition, x, y, _ = MODES[mode]
    model, twin = _hyper(), _hyper()
    twin.set_weights(model.get_weights())
    model.compile(optimizer=hn.optimizers.SGD(0.1), loss="mse")
    model.fit([condition, x], y, batch_size=4, shuffle=False, verbose=0, epochs=2)
    loss, optimizer = hn.losses.MeanSquaredError(), hn.optimizers.SGD(0.1)
    for _ in range(2):
        for part in _batches(len(y), 4):
            pair = (condition if mode == "one" else condition[part], x if mode == "shared" else x[part])
            predicted, pullback = twin.vjp(*pair)
            optimizer.apply(pullback(loss.value_and_grad(y[part], predicted)[1]).params, twin.params)
    np.testing.assert_allclose(model.params, twin.params, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(
        model.predict([condition, x], batch_size=4), model([condition, x]), rtol=1e-12, atol=1e-13
    )
    expected = ((model([condition, x]) - y) ** 2).mean()
    assert model.evaluate([condition, x], y, batch_size=3, verbose=0) == pytest.approx(expected)


def test_split_counts_tasks_and_validation_may_meet_otherwise():
    model = _hyper()
    model.compile(loss="mse")
    condition, x, y = TASKS
    history = model.fit([condition, x], y, validation_split=0.34, verbose=0)
    expected = ((model([condition[3:], x[3:]]) - y[3:]) ** 2).mean()
    assert history.history["val_loss"] == pytest.approx([expected])
    one = MODES["one"]
    history = model.fit([condition, x], y, validation_data=([one[0], one[1]], one[2]), verbose=0)
    expected = ((model([one[0], one[1]]) - one[2]) ** 2).mean()
    assert history.history["val_loss"] == pytest.approx([expected])


def test_custom_loss_in_tasks():
    results = []
    for loss in ("mse", lambda t, p: (((p - t) ** 2).mean(-1), 2 * (p - t) / p.shape[-1])):
        hn.utils.set_random_seed(1)
        model = _hyper()
        model.compile(optimizer="sgd", loss=loss)
        condition, x, y = TASKS
        weights = np.arange(6.0)
        history = model.fit([condition, x], y, sample_weight=weights, batch_size=2, epochs=2, verbose=0)
        results.append((model.params.copy(), history.history["loss"]))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_penalty_on_generated_weights():
    inputs = hn.Input((3,), dtype="float64")
    target = hn.Model(inputs, _dense(2, kernel_regularizer=hn.regularizers.L1L2(0.01, 0.1))(inputs))
    condition = hn.Input((2,), dtype="float64")
    model = hn.HyperModel(hn.Model(condition, _dense(target.count_params())(condition)), target)
    cond, x, y = TASKS
    mse = ((model([cond, x]) - y) ** 2).mean()
    kernels = model.generate(cond)[:, :6]
    penalty = (0.01 * np.abs(kernels) + 0.1 * kernels**2).sum(1).mean()
    values = []
    for loss in ("mse", lambda t, p: (((p - t) ** 2).mean(-1), 2 * (p - t) / p.shape[-1])):
        model.compile(loss=loss)
        values.append(model.loss_and_grad([cond, x], y))
        assert values[-1][0] == pytest.approx(mse + penalty)
        assert model.evaluate([cond, x], y, verbose=0, batch_size=6) == pytest.approx(mse + penalty)
    np.testing.assert_allclose(values[0][1], values[1][1], rtol=1e-8, atol=1e-11)


# ---- predict ----
def test_predict():
    model = _model()
    whole = model.predict(X)
    assert whole.flags.c_contiguous and whole.flags.owndata and whole.dtype == np.float64
    for size in (1, 5, 100):
        np.testing.assert_allclose(model.predict(X, batch_size=size, verbose=0), whole, rtol=1e-12)
    np.testing.assert_allclose(model.predict(X, steps=2, batch_size=5), whole[:10], rtol=1e-12)
    np.testing.assert_allclose(model.predict_on_batch(X), whole, rtol=1e-12)
    out = np.empty_like(whole)
    for size in (None, 5):
        out[:] = np.nan
        assert model.predict(X, batch_size=size, out=out) is out
        np.testing.assert_allclose(out, whole, rtol=1e-12)
    several = _two_headed().predict(X, batch_size=7)
    assert [part.shape for part in several] == [(23, 2), (23, 3)]


# ---- seeds ----
def test_same_seed_same_bits():
    results = []
    for _ in range(2):
        hn.utils.set_random_seed(42)
        inputs = hn.Input((3,))
        model = hn.Model(inputs, hn.layers.Dense(2)(hn.layers.Dropout(0.5)(hn.layers.Dense(8)(inputs))))
        model.compile(optimizer="adam", loss="mse")
        history = model.fit(X, Y, epochs=3, batch_size=4, verbose=0)
        results.append((model.params.tobytes(), history.history["loss"]))
    assert results[0] == results[1]


def test_dropout_acts_in_training_only():
    inputs = hn.Input((3,), dtype="float64")
    model = hn.Model(inputs, _dense(2)(hn.layers.Dropout(0.5, dtype="float64")(inputs)))
    model.compile(optimizer=hn.optimizers.SGD(0.0), loss="mse")
    quiet = model.evaluate(X, Y, verbose=0)
    assert model.evaluate(X, Y, verbose=0) == quiet == pytest.approx(((model.predict(X) - Y) ** 2).mean())
    losses = model.fit(X, Y, epochs=3, verbose=0).history["loss"]
    assert len(set(losses)) == 3


# ---- interrupts ----
def test_keyboard_interrupt_leaves_a_whole_step():
    model, twin = _model(), _model()
    twin.set_weights(model.get_weights())

    def interrupt(batch, logs):
        if batch == 1:
            raise KeyboardInterrupt

    model.compile(optimizer="adam", loss="mse")
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            X,
            Y,
            batch_size=8,
            shuffle=False,
            verbose=0,
            callbacks=[hn.callbacks.LambdaCallback(on_train_batch_end=interrupt)],
        )
    twin.compile(optimizer="adam", loss="mse")
    for part in _batches(23, 8)[:2]:
        twin.train_on_batch(X[part], Y[part])
    np.testing.assert_array_equal(model.params, twin.params)
    model.fit(X, Y, verbose=0)  # and it can go on


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
def test_signal_waits_for_the_end_of_a_step():
    from hypernet.training.interrupts import uninterrupted

    done = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us in background
    try:
        with pytest.raises(KeyboardInterrupt), uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("rest of the step")
        assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


# ---- going on ----
def test_a_handler_from_outside_python_stays(monkeypatch):
    from hypernet.training.interrupts import uninterrupted

    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda *arguments: pytest.fail("it cannot be put back"))
    with uninterrupted():
        pass


def test_fit_goes_on():
    model, twin = _model(), _model()
    twin.set_weights(model.get_weights())
    for m in (model, twin):
        m.compile(optimizer="adam", loss="mse")
    model.fit(X, Y, epochs=4, shuffle=False, verbose=0)
    for epoch in range(4):
        twin.fit(X, Y, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.params, twin.params)


def test_a_callback_may_join_the_layers_with_others():
    inputs = hn.Input((3,))
    layer = hn.layers.Dense(2)
    model = hn.Model(inputs, layer(inputs))
    model.compile(optimizer="adam", loss="mse")
    others = []

    def join(batch, logs):
        if batch == 1:
            other = hn.Model(inputs, hn.layers.Dense(1)(layer(inputs)))
            other(np.zeros((1, 3), "float32"))
            others.append(other)

    x, y = X.astype("float32"), Y.astype("float32")
    hn.utils.set_random_seed(0)
    model.set_weights(np.zeros(8))
    model.fit(
        x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[hn.callbacks.LambdaCallback(on_train_batch_end=join)]
    )
    twin = hn.Model(inputs, hn.layers.Dense(2)(inputs))
    twin.set_weights(np.zeros(8))
    twin.compile(optimizer="adam", loss="mse")
    twin.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for one, other in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_schedule_in_fit():
    model = _model()
    rates = []
    schedule = hn.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model.compile(optimizer=hn.optimizers.SGD(schedule), loss="mse")
    callback = hn.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: rates.append(model.optimizer.learning_rate)
    )
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[callback])
    assert rates == pytest.approx([0.1, 0.05, 0.025])


# ---- configuration ----
def test_compile_config():
    model = _two_headed()
    model.compile(
        optimizer=hn.optimizers.Adam(hn.optimizers.schedules.CosineDecay(0.1, 10), clipnorm=1.0),
        loss={"a": hn.losses.Huber(0.5), "b": "sparse_categorical_crossentropy"},
        loss_weights={"a": 0.5, "b": 2.0},
        metrics={"a": ["mae"], "b": [hn.metrics.SparseTopKCategoricalAccuracy(k=2)]},
    )
    import json

    config = json.loads(json.dumps(model.get_compile_config()))
    twin = _two_headed()
    assert twin.get_compile_config() is None
    twin.compile_from_config(config)
    twin.set_weights(model.get_weights())
    assert twin.optimizer.get_config() == model.optimizer.get_config()
    y = [Y, LABELS]
    assert twin.evaluate(X, y, verbose=0, return_dict=True) == model.evaluate(X, y, verbose=0, return_dict=True)


def test_rows_that_are_not_contiguous():
    """Batches are gathered from every second column, and from a transposed array, as from copies of them."""
    rng = np.random.default_rng(0)
    wide, tall = rng.standard_normal((40, 9)).astype(np.float32), rng.standard_normal((2, 40)).astype(np.float32)

    def trained(x, y):
        hn.utils.set_random_seed(0)
        model = hn.Sequential([hn.layers.Input((4,)), hn.layers.Dense(2)])
        model.compile("sgd", "mse")
        losses = model.fit(x, y, batch_size=7, epochs=2, verbose=0).history["loss"]
        return [*losses, *model.get_weights()]

    x, y = wide[:, 1::2], tall.T
    for found, expected in zip(trained(x, y), trained(x.copy(order="C"), y.copy(order="C")), strict=True):
        np.testing.assert_array_equal(found, expected)
