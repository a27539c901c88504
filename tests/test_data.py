"""Where batches come from: order, sizes, splits, datasets, iterators, weights by class."""

import sys
import warnings

import hypernet as hn
import numpy as np
import pytest
from hypernet.training.examples import Examples


def _model(**compiled):
    inputs = hn.Input((2,), dtype="float64")
    model = hn.Model(inputs, hn.layers.Dense(1, dtype="float64")(inputs))
    model.compile(**{"optimizer": hn.optimizers.SGD(0.0), "loss": "mse", **compiled})
    return model


class Spy:
    """Stands between a model and the core, and hands the inputs of every step to a function."""

    def __init__(self, model, train=None, test=None):
        self._core, self._train, self._test = model._bound(), train, test
        model._bound = lambda: self

    def train_step(self, inputs, *rest):
        if self._train is not None:
            self._train(inputs[0])
        return self._core.train_step(inputs, *rest)

    def step(self, inputs, *rest):
        if self._test is not None:
            self._test(inputs[0])
        return self._core.step(inputs, *rest)

    def __getattr__(self, name):
        return getattr(self._core, name)


class Batches(hn.callbacks.Callback):
    """The first column of every batch that a model is trained on."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def set_model(self, model):
        super().set_model(model)
        Spy(model, train=lambda x: self.rows.append(x[:, 0].tolist()))


class Listening(Batches):
    """The same, with something to do between two batches, so that they do not run in one call of the core."""

    def on_train_batch_end(self, batch, logs=None):
        assert batch < len(self.rows)


_batches_class = Batches


@pytest.fixture(params=[Batches, Listening], ids=["quiet", "listening"], autouse=True)
def batches_class(request, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "_batches_class", request.param)


X = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
Y = np.zeros((10, 1))


def _seen(x=X, y=Y, model=None, **options):
    batches = _batches_class()
    (model or _model()).fit(x, y, verbose=0, callbacks=[batches], **options)
    return batches.rows


def test_last_short_batch():
    assert _seen(batch_size=4, shuffle=False) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [len(rows) for rows in _seen(np.zeros((70, 2)), np.zeros((70, 1)))] == [32, 32, 6]


def test_shuffling():
    hn.utils.set_random_seed(1)
    first = _seen(batch_size=4, epochs=2)
    hn.utils.set_random_seed(1)
    assert _seen(batch_size=4, epochs=2) == first
    flat = [value for rows in first[:3] for value in rows]
    again = [value for rows in first[3:] for value in rows]
    assert flat != sorted(flat) and flat != again and sorted(flat) == sorted(again) == list(range(10))


def test_shuffling_within_batches():
    hn.utils.set_random_seed(1)
    batches = _seen(np.arange(64.0)[:, None] + np.zeros((1, 2)), np.zeros((64, 1)), batch_size=24, shuffle="batch")
    assert [sorted(rows) for rows in batches] == [list(range(24)), list(range(24, 48)), list(range(48, 64))]
    assert all(rows != sorted(rows) for rows in batches)


def test_slices_are_views():
    batches = []
    model = _model()
    Spy(model, train=lambda x: batches.append(np.shares_memory(x, X)))
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    assert batches == [True] * 3


def test_validation_split_is_the_last_part():
    model, tested = _model(), []
    Spy(model, test=lambda x: tested.append(x[:, 0].tolist()))
    rows = _seen(model=model, validation_split=0.25, batch_size=4)
    assert sorted(value for batch in rows for value in batch) == list(range(7)) and tested == [[7, 8, 9]]
    for count, bad in ((1, 0.5), (10, 0.99), (10, 1.5), (10, -0.5)):
        with pytest.raises(ValueError, match=f"Training data contains {count} samples, which is not sufficient"):
            model.fit(X[:count], Y[:count], validation_split=bad, verbose=0)


def test_steps_per_epoch_go_on():
    assert _seen(batch_size=3, shuffle=False, steps_per_epoch=2, epochs=2) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    with pytest.warns(UserWarning, match="Your input ran out of data"):
        rows = _seen(batch_size=4, shuffle=False, steps_per_epoch=2, epochs=3)
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [0, 1, 2, 3], [4, 5, 6, 7]]


def test_steps_without_a_batch_size_divide_the_data():
    assert [len(rows) for rows in _seen(steps_per_epoch=3)] == [4, 4, 2]
    assert [len(rows) for rows in _seen(steps_per_epoch=5, epochs=2)] == [2] * 10
    model, recorder = _model(), []
    run = model._run_predict
    model._run_predict = lambda examples, *rest: (recorder.append(examples.count), run(examples, *rest))[1]
    assert model.predict(X, steps=2, verbose=0).shape == (10, 1) and recorder == [5, 5]


def test_validation_steps_and_batch_size():
    recorder = []
    model = _model()
    Spy(model, test=lambda x: recorder.append(len(x)))
    model.fit(X, Y, verbose=0, validation_data=(X, Y), validation_batch_size=4, validation_steps=2)
    assert recorder == [4, 4]
    recorder.clear()
    model.evaluate(X, Y, batch_size=3, steps=2, verbose=0)
    assert recorder == [3, 3]


@pytest.mark.parametrize(("freq", "epochs"), [(2, [1, 3]), ([1, 4], [0, 3])])
def test_validation_freq(freq, epochs):
    history = _model().fit(X, Y, epochs=4, verbose=0, validation_data=(X, Y), validation_freq=freq)
    assert len(history.history["val_loss"]) == len(epochs)
    with pytest.raises(ValueError, match="Expected `validation_freq` to be a list or int"):
        _model().fit(X, Y, verbose=0, validation_data=(X, Y), validation_freq="often")


def test_initial_epoch():
    assert _model().fit(X, Y, epochs=5, initial_epoch=3, verbose=0).epoch == [3, 4]


# ---- datasets and iterators ----
class Numbers(hn.utils.PyDataset):
    def __init__(self, weights=False):
        super().__init__()
        self.weights = weights
        self.ends = self.begins = 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(4 * index, 4 * index + 4)
        return (X[part], Y[part], np.ones(len(X[part]))) if self.weights else (X[part], Y[part])

    def on_epoch_begin(self):
        self.begins += 1

    def on_epoch_end(self):
        self.ends += 1


@pytest.mark.parametrize("weights", [False, True])
def test_py_dataset(weights):
    data = Numbers(weights)
    rows = _seen(data, None, shuffle=False, epochs=2)
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] * 2 and data.begins == data.ends == 2
    hn.utils.set_random_seed(0)
    orders = {tuple(rows[0] for rows in _seen(data, None)) for _ in range(8)}
    assert len(orders) > 1
    assert len(_seen(data, None, steps_per_epoch=3, epochs=3, shuffle=False)) == 9


def test_generators():
    def endless():
        while True:
            for start in range(0, 10, 5):
                yield X[start : start + 5], Y[start : start + 5]

    rows = _seen(endless(), None, steps_per_epoch=3, epochs=2)
    assert [row[0] for row in rows] == [0, 5, 0, 5, 0, 5]
    once = ((X[i : i + 5], Y[i : i + 5]) for i in (0, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(_seen(once, None)) == 2
    once = ((X[i : i + 5], Y[i : i + 5]) for i in (0, 5))
    with pytest.warns(UserWarning, match="Your input ran out of data"):
        assert len(_seen(once, None, epochs=3)) == 2
    with pytest.warns(UserWarning, match="Your input ran out of data"):
        assert len(_seen(iter([(X, Y)]), None, steps_per_epoch=2)) == 1


def test_iterables_begin_anew():
    class Loader:
        def __iter__(self):
            return iter([(X[:5], Y[:5]), (X[5:], Y[5:])])

    assert len(_seen(Loader(), None, epochs=3)) == 6
    model = _model()
    assert model.evaluate(Loader(), verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0))
    np.testing.assert_allclose(model.predict(Loader()), model.predict(X), rtol=1e-12)
    history = model.fit(X, Y, validation_data=Loader(), verbose=0, epochs=2)
    assert len(history.history["val_loss"]) == 2


def test_targets_belong_into_the_dataset():
    for data, kind in ((Numbers(), "PyDataset"), ((pair for pair in [(X, Y)]), "Python generator")):
        with pytest.raises(ValueError, match=f"When providing `x` as a {kind}, `y` should not be passed"):
            _model().fit(data, Y, verbose=0)
    with pytest.raises(ValueError, match="`sample_weight` should not be passed"):
        _model().fit(Numbers(), sample_weight=np.ones(10), verbose=0)
    with pytest.raises(ValueError, match="`validation_split` is only supported for"):
        _model().fit(Numbers(), validation_split=0.2, verbose=0)
    with pytest.raises(ValueError, match="`class_weight` is not supported for Python generator"):
        _model().fit((pair for pair in [(X, Y)]), class_weight={0: 1.0}, verbose=0)


def test_py_dataset_errors():
    with pytest.raises(NotImplementedError, match="workers"):
        hn.utils.PyDataset(workers=2)
    with pytest.raises(NotImplementedError, match="__len__"):
        len(hn.utils.PyDataset())

    class Endless(hn.utils.PyDataset):
        num_batches = None

        def __getitem__(self, index):
            return X, Y

    with pytest.raises(ValueError, match="needs a number of steps"):
        _model().fit(Endless(), verbose=0)
    assert len(_seen(Endless(), None, steps_per_epoch=4)) == 4
    with pytest.raises(ValueError, match="found a tuple of length 4"):
        _model().fit(iter([(X, Y, None, None)]), verbose=0)
    for method, what in ((_model().evaluate, "evaluate"), (_model().predict, "predict")):
        with pytest.warns(UserWarning, match="ran out of data"), pytest.raises(ValueError, match=f"nothing to {what}"):
            method(iter([]), verbose=0)


# ---- weights ----
def test_class_weight():
    inputs = hn.Input((2,), dtype="float64")
    outputs = hn.layers.Dense(3, activation="softmax", dtype="float64")(inputs)
    model = hn.Model(inputs, outputs)
    x, labels = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 3
    by_class = {0: 2.0, 2: 0.5}
    weights = np.array([by_class.get(label, 1.0) for label in labels])
    for loss, y in (("sparse_categorical_crossentropy", labels), ("categorical_crossentropy", np.eye(3)[labels])):
        model.compile(optimizer=hn.optimizers.SGD(0.0), loss=loss)
        expected = model.evaluate(x, y, sample_weight=weights, verbose=0)
        assert model.train_on_batch(x, y, class_weight=by_class) == pytest.approx(expected)
        assert model.fit(x, y, class_weight=by_class, verbose=0).history["loss"] == pytest.approx([expected])
        with pytest.raises(ValueError, match="You cannot `class_weight` and `sample_weight` at the same time"):
            model.fit(x, y, class_weight=by_class, sample_weight=weights, verbose=0)


# ---- examples ----
@pytest.mark.parametrize("index", [slice(1, 3), np.array([2, 0])])
@pytest.mark.parametrize(
    ("mode", "condition", "inputs", "leading"),
    [
        ("plain", None, (4, 2), 1),
        ("one", (1, 3), (4, 2), 1),
        ("rows", (4, 3), (4, 2), 1),
        ("tasks", (4, 3), (4, 5, 2), 2),
        ("shared", (4, 3), (1, 5, 2), 2),
    ],
)
def test_take(index, mode, condition, inputs, leading):
    rng = np.random.default_rng(0)
    conditions = () if condition is None else (rng.normal(size=condition),)
    x, y = rng.normal(size=inputs), rng.normal(size=(4, 1))
    examples = Examples(mode, conditions, (x,), (y,), (None,), 4)
    part = examples.take(index)
    assert part.count == 2 and part.leading == leading and part.rows == (10 if leading == 2 else 2)
    assert (part.targets[0] == y[index]).all() and part.weights == (None,)
    assert (part.inputs[0] == (x if mode == "shared" else x[index])).all()
    if condition is not None:
        assert (part.conditions[0] == (conditions[0] if mode == "one" else conditions[0][index])).all()
