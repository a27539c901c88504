"""What calls do besides arithmetic: counted, never timed."""

from __future__ import annotations

import signal
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import hypernet as hn
import numpy as np
import pytest
from hypernet import _core

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3), dtype=np.float32)
COND = RNG.standard_normal((4, 5), dtype=np.float32)


def _model() -> hn.Model:
    model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(8, activation="relu"), hn.layers.Dense(2)])
    model(X)
    return model


def _hyper(**options: Any) -> hn.HyperModel:
    target = _model()
    hyper = hn.HyperModel(hn.hypernetwork(5, target.count_params()), target, **options)
    hyper([COND, X])
    return hyper


def functions_called(work: Callable[[], Any]) -> list[str]:
    """The Python functions that run inside `work`."""
    names: list[str] = []

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return names[1:]  # the first is `work` itself


# ---- calls ----
def test_calling_a_model_runs_no_python() -> None:
    model = _model()
    assert functions_called(lambda: model(X)) == []
    assert functions_called(lambda: model(X, training=False)) == []
    assert "_call" in functions_called(lambda: model(X, training=True))
    assert "_call" in functions_called(lambda: model(X.tolist()))


@pytest.mark.parametrize(
    ("cond", "x"),
    [(COND[:1], X), (COND, X), (COND, X[:, None]), (COND, X[None])],
    ids=["one", "rows", "tasks", "shared"],
)
def test_calling_a_hypermodel_runs_no_python(cond: Any, x: Any) -> None:
    hyper = _hyper()
    assert functions_called(lambda: hyper([cond, x])) == []
    assert functions_called(lambda: hyper([cond, x], training=False)) == []
    carefully = hyper((cond.tolist(), x.tolist()))
    assert (hyper([cond, x]) == carefully).all() and hyper([cond, x]).shape == carefully.shape
    assert "_call" in functions_called(lambda: hyper((cond, x)))


def test_predict_of_an_array_is_a_call() -> None:
    model, hyper = _model(), _hyper()
    assert len(functions_called(lambda: model.predict(X))) <= 2
    assert len(functions_called(lambda: hyper.predict([COND, X]))) <= 2
    assert (model.predict(X) == model(X)).all() and (hyper.predict([COND, X]) == hyper([COND, X])).all()


def test_a_call_follows_weights_that_move() -> None:
    """Joining layers moves weights into another store; the fast path must not stay with the old one."""
    shared = hn.layers.Dense(4)
    inputs = hn.Input((3,))
    first = hn.Model(inputs, shared(inputs))
    hyper = hn.HyperModel(hn.hypernetwork(5, first.count_params()), first, generated=None)
    own = hn.HyperModel(hn.hypernetwork(5, 12), first, generated=[f"{shared.name}/kernel"])
    before = first(X), hyper([COND, X]), own([COND, X])
    second = hn.Model(inputs, hn.layers.Dense(2)(shared(inputs)))
    second(X)
    for old, new in zip(before, (first(X), hyper([COND, X]), own([COND, X])), strict=True):
        assert (old == new).all()
    second.set_weights([weight + 1 for weight in second.get_weights()])
    kernel, bias = shared.get_weights()
    np.testing.assert_allclose(first(X), X @ kernel + bias, rtol=1e-5)
    assert not (own([COND, X]) == before[2]).any()  # the bias is the target's own


def test_a_sequential_model_that_grows_is_called_as_it_is() -> None:
    model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(2)])
    assert model(X).shape == (4, 2)
    model.add(hn.layers.Dense(5))
    assert model(X).shape == model.predict(X).shape == (4, 5)


def test_subclasses_may_define_their_own_call() -> None:
    class Doubled(hn.Sequential):
        def __call__(self, inputs: Any, **kwargs: Any) -> Any:
            found = super().__call__(inputs, **kwargs)
            return found * 2 if isinstance(inputs, np.ndarray) else found

    model = Doubled([hn.Input((3,)), hn.layers.Dense(2)])
    assert (model(X) == 2 * model.predict(X)).all()


def test_unknown_keywords_are_refused() -> None:
    for model, inputs in ((_model(), X), (_hyper(), [COND, X])):
        with pytest.raises(TypeError, match="depth"):
            model(inputs, depth=3)
        with pytest.raises(TypeError):
            model()


# ---- out ----
ROWS = 20_000
LARGE_X = RNG.standard_normal((ROWS, 3), dtype=np.float32)
LARGE_COND = RNG.standard_normal((ROWS, 5), dtype=np.float32)


def _into(what: str) -> tuple[Callable[[Any], Any], np.ndarray]:
    """A function that writes to `out`, and an array for it."""
    model = _model()
    hyper = _hyper(base="target") if what == "generate with a base" else _hyper()
    theta = hyper.generate(COND[:1])
    own = np.ascontiguousarray(hyper.params)
    quantized = _hyper().quantize("int8")
    tasks, rows = LARGE_COND[:200], LARGE_X.reshape(200, 100, 3)
    outputs = np.empty((ROWS, 2), np.float32)
    weights = np.empty((ROWS, hyper.target.count_params()), np.float32)
    return {
        "model.predict": (lambda out: model.predict(LARGE_X, out=out), outputs),
        "hyper.predict, one": (lambda out: hyper.predict([COND[:1], LARGE_X], out=out), outputs),
        "hyper.predict, rows": (lambda out: hyper.predict([LARGE_COND, LARGE_X], out=out), outputs),
        "hyper.predict, tasks": (
            lambda out: hyper.predict([tasks, rows], out=out),
            np.empty((200, 100, 2), np.float32),
        ),
        "hyper.predict, shared rows": (
            lambda out: hyper.predict([tasks, rows[:1]], out=out),
            np.empty((200, 100, 2), np.float32),
        ),
        "quantized predict": (lambda out: quantized.predict([LARGE_COND, LARGE_X], out=out), outputs),
        "quantized generate": (lambda out: quantized.generate(LARGE_COND, out=out), weights),
        "generate": (lambda out: hyper.generate(LARGE_COND, out=out), weights),
        "generate with a base": (lambda out: hyper.generate(LARGE_COND, out=out), weights),
        "functional_call of a model": (lambda out: hn.functional_call(model, theta, LARGE_X, out=out), outputs),
        "functional_call of a hypermodel": (
            lambda out: hn.functional_call(hyper, own, [COND[:1], LARGE_X], out=out),
            outputs,
        ),
    }[what]


@pytest.mark.parametrize(
    "what",
    [
        "model.predict",
        "hyper.predict, one",
        "hyper.predict, rows",
        "hyper.predict, tasks",
        "hyper.predict, shared rows",
        "quantized predict",
        "quantized generate",
        "generate",
        "generate with a base",
        "functional_call of a model",
        "functional_call of a hypermodel",
    ],
)
def test_out_allocates_nothing(what: str) -> None:
    work, out = _into(what)
    expected = work(None)
    for _ in range(3):  # plans and workspaces are made by the first calls
        assert work(out) is out
    assert (out == expected).all()
    tracemalloc.start()
    try:
        work(out)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        # Were the library to allocate anything, this would make it fail.
        _core.fail_allocation_at(1)
        work(out)
        growth = tracemalloc.get_traced_memory()[1] - before
        with pytest.raises(MemoryError):
            _core.Store(1, "float32")
    finally:
        _core.fail_allocation_at(0)
        tracemalloc.stop()
    # NumPy's arrays are counted too: what is left are small objects of Python's.
    assert growth < 4096 < out.nbytes / 8


def test_out_of_many_hypernetworks_is_written_in_place() -> None:
    hyper = _hyper()
    thetas = np.stack([hyper.params, hyper.params * 2])
    cond, x = np.stack([COND, COND]), np.stack([X, X])
    expected = hn.functional_call(hyper, thetas, [cond, x])
    out = np.full_like(expected, np.nan)
    assert hn.functional_call(hyper, thetas, [cond, x], out=out) is out
    assert (out == expected).all()
    with pytest.raises(ValueError, match="leading axis"):
        hn.functional_call(hyper, thetas, [cond, x], out=out[:1])
    with pytest.raises(ValueError, match="overlaps"):
        hn.functional_call(hyper, thetas, [cond, x], out=x[:, :, :2])


# ---- weights ----
def test_a_flat_vector_is_written_at_once() -> None:
    model = _model()
    vector = RNG.standard_normal((1, model.count_params()), dtype=np.float32)
    version = model._stores()[0].version
    assert len(functions_called(lambda: model.set_weights(vector))) <= 4
    assert model._stores()[0].version == version + 1
    assert (model.params == vector[0]).all()
    model.set_weights(model.params[::-1])
    assert (model.params == vector[0, ::-1]).all()
    model.set_weights(vector[0].astype("float64"))
    assert (model.params == vector[0]).all()


def test_writing_a_vector_waits_for_no_second_writer() -> None:
    model = _model()
    store = model._stores()[0]
    store.claim()
    try:
        with pytest.raises(RuntimeError):
            model.set_weights(np.zeros(model.count_params(), np.float32))
    finally:
        store.release()


@pytest.mark.parametrize(
    ("offset", "array", "error"),
    [
        (0, np.zeros(7, np.float32), ValueError),
        (3, np.zeros(4, np.float32), ValueError),
        (-1, np.zeros(1, np.float32), ValueError),
        (0, np.zeros(2, np.float64), TypeError),
        (0, np.zeros(8, np.float32)[::2], TypeError),
        (0, [1.0], TypeError),
    ],
)
def test_what_a_store_does_not_write(offset: int, array: Any, error: type[Exception]) -> None:
    store = _core.Store(6, "float32")
    with pytest.raises(error):
        store.write(offset, array)
    assert store.version == 0 and not store.view(0, (6,)).any()


# ---- training ----
Y = RNG.standard_normal((4, 2), dtype=np.float32)
LABELS = RNG.integers(0, 2, 4)


def _trained(loss: Any = "mse", **options: Any) -> hn.Model:
    model = _model()
    model.compile("adam", loss, **options)
    return model


def test_a_second_batch_looks_at_little() -> None:
    model = _trained()
    model.train_on_batch(X, Y)
    first = functions_called(lambda: model.train_on_batch(X[:3], Y[:3]))
    again = functions_called(lambda: model.train_on_batch(X[:3], Y[:3]))
    assert "_examples" in first and "_examples" not in again
    assert "__init__" not in again[again.index("_spare_stepper") : again.index("train")]  # no new Stepper
    assert len(again) < 55


@pytest.mark.parametrize("metrics", [None, ["accuracy"]])
def test_epochs_run_in_the_core(metrics: Any) -> None:
    """Twice the batches cost a few more functions each: what is left are the sums of each batch."""
    model = _trained("sparse_categorical_crossentropy", metrics=metrics)
    x = RNG.standard_normal((4000, 3), dtype=np.float32)
    y = RNG.integers(0, 2, 4000)
    for run in (model.fit, model.evaluate):
        run(x, y, verbose=0)
        counts = [
            len(functions_called(lambda n=n, run=run: run(x[:n], y[:n], batch_size=4, verbose=0))) for n in (2000, 4000)
        ]
        assert counts[1] - counts[0] < 8 * 500


class Listener(hn.callbacks.Callback):
    """Wants to hear of every batch, so that Python stands between them."""

    def __init__(self, at: int | None = None, work: Callable[[], Any] = lambda: None) -> None:
        super().__init__()
        self.batches: list[int] = []
        self._at, self._work = at, work

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches.append(batch)
        if batch == self._at:
            self._work()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches.append(batch)


N, M = 37, 5
DATA = {
    "plain": RNG.standard_normal((N, 3), dtype=np.float32),
    "one": [COND[:1], RNG.standard_normal((N, 3), dtype=np.float32)],
    "rows": [RNG.standard_normal((N, 5), dtype=np.float32), RNG.standard_normal((N, 3), dtype=np.float32)],
    "tasks": [RNG.standard_normal((N, 5), dtype=np.float32), RNG.standard_normal((N, M, 3), dtype=np.float32)],
    "shared": [RNG.standard_normal((N, 5), dtype=np.float32), RNG.standard_normal((1, M, 3), dtype=np.float32)],
}
SCHEDULE = hn.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rate", [0.01, SCHEDULE], ids=["rate", "schedule"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mode", sorted(DATA))
def test_batches_in_the_core_are_batches_one_by_one(mode: str, weighted: bool, rate: Any, shuffle: bool) -> None:
    """The same bits of weights, losses and metrics, with dropout, whether Python stands between the batches or not."""
    x = DATA[mode]
    lead = (N, M) if mode in ("tasks", "shared") else (N,)
    rng = np.random.default_rng(1)
    labels, weights = rng.integers(0, 3, lead), rng.uniform(size=lead) if weighted else None
    results = []
    for callback in ([], [Listener()]):
        hn.utils.set_random_seed(5)
        layers = hn.layers
        target = hn.Sequential(
            [hn.Input((3,)), layers.Dense(8, activation="relu"), layers.Dropout(0.4), layers.Dense(3, "softmax")]
        )
        model = (
            target if mode == "plain" else hn.HyperModel(hn.hypernetwork(5, target.count_params(), hidden=6), target)
        )
        model.compile(
            hn.optimizers.Adam(rate),
            "sparse_categorical_crossentropy",
            metrics=["accuracy", "sparse_categorical_crossentropy"],
            weighted_metrics=["accuracy"],
        )
        options = {"batch_size": 8, "sample_weight": weights, "verbose": 0, "callbacks": callback}
        history = model.fit(x, labels, epochs=3, shuffle=shuffle, **options)
        results.append((model.get_weights(), history.history, model.evaluate(x, labels, **options)))
        assert all(listener.batches == [*range(5)] * 4 for listener in callback)
    (one, first, found), (other, second, expected) = results
    assert all((a == b).all() for a, b in zip(one, other, strict=True))
    assert first == second and found == expected


def test_layouts_of_the_data_do_not_matter() -> None:
    """Rows that are not in one piece, swapped bytes, other strides."""
    x, y = DATA["plain"], RNG.standard_normal((N, 2), dtype=np.float32)
    wide = np.zeros((N, 7), np.float32)
    wide[:, ::2][:, :3] = x
    gaps = np.zeros((2 * N, 3), np.float32)
    gaps[::2] = x
    results = []
    for rows in (x, np.asfortranarray(x), wide[:, ::2][:, :3], gaps[::2], x[::-1].copy()[::-1], x.astype(">f4")):
        hn.utils.set_random_seed(5)
        model = _trained()
        model.fit(rows, y, batch_size=8, epochs=2, verbose=0)
        results.append(model.params.copy())
    for result in results[1:]:
        assert (result == results[0]).all()


@pytest.mark.parametrize("listening", [False, True])
def test_labels_that_change_on_the_way_stop_before_their_step(listening: bool) -> None:
    """Labels are checked in each step, too: the steps before count, the bad one changes nothing."""
    x, labels = DATA["plain"], RNG.integers(0, 2, N)
    model = _trained("sparse_categorical_crossentropy")
    part = model._examples(x, labels, None)
    part.targets[0][9] = 77
    model._examples = lambda *_: part  # as if they had changed after the first look
    with pytest.raises(ValueError, match="77"):
        model.fit(x, labels, batch_size=4, shuffle=False, verbose=0, callbacks=[Listener()] if listening else None)
    assert model.optimizer.iterations == 2
    twin = _model()
    assert not (model.params == twin.params).all()


def test_bad_labels_of_one_more_batch() -> None:
    model = _trained("sparse_categorical_crossentropy")
    model.train_on_batch(X, LABELS)
    before = model.params.copy()
    with pytest.raises(ValueError, match="Labels of sparse_categorical_crossentropy must be from 0 to 1"):
        model.train_on_batch(X, LABELS + 5)
    assert (model.params == before).all() and model.optimizer.iterations == 1
    model.train_on_batch(X, LABELS)
    assert model.optimizer.iterations == 2


def test_what_changes_between_single_batches_counts() -> None:
    """Flags, penalties, losses, optimizers, layers and places of weights, against a model that never ran before."""

    def fresh() -> hn.Model:
        hn.utils.set_random_seed(2)
        model = _model()
        model.compile(hn.optimizers.SGD(0.1), "mse")
        return model

    def freeze(model: hn.Model) -> None:
        model.layers[0].trainable = False

    def freeze_one_weight(model: hn.Model) -> None:
        model.layers[1].weights[0].trainable = False

    def penalise(model: hn.Model) -> None:
        model.layers[0].weights[0].regularizer = hn.regularizers.L2(0.5)

    def constrain(model: hn.Model) -> None:
        model.layers[0].weights[0].constraint = hn.constraints.NonNeg()

    def recompile(model: hn.Model) -> None:
        model.compile(hn.optimizers.SGD(0.01), "mae")

    def replace_optimizer(model: hn.Model) -> None:
        model.optimizer = hn.optimizers.SGD(0.01)

    def update_some(model: hn.Model) -> None:
        weights = model.weights
        model.optimizer.apply([np.ones(w.shape, np.float32) if i else None for i, w in enumerate(weights)], weights)

    def share(model: hn.Model) -> None:
        inputs = hn.Input((8,))
        hn.Model(inputs, hn.layers.Dense(3)(model.layers[1](inputs))).params  # noqa: B018

    for change in (freeze, freeze_one_weight, penalise, constrain, recompile, replace_optimizer, update_some, share):
        used, unused = fresh(), fresh()
        for model in (used, unused):
            model.optimizer.learning_rate = 0.0
        used.train_on_batch(X, Y)
        used.train_on_batch(X, Y)
        for model in (used, unused):
            model.optimizer.learning_rate = 0.1
            change(model)
        losses = [model.train_on_batch(X, Y) for model in (used, unused)]
        assert losses[0] == losses[1], change
        for one, other in zip(used.get_weights(), unused.get_weights(), strict=True):
            assert (one == other).all(), change


def test_a_callback_may_train_the_model_that_is_trained() -> None:
    """A single batch in between neither takes the seed of `fit` nor its place."""
    results = []
    for inner in (False, True):
        hn.utils.set_random_seed(3)
        layers = [hn.Input((3,)), hn.layers.Dropout(0.5), hn.layers.Dense(2)]
        model = hn.Sequential(layers)
        model.compile(hn.optimizers.SGD(0.1), "mse")
        work = (lambda model=model: model.test_on_batch(X, Y)) if inner else (lambda: None)
        model.fit(DATA["plain"], np.ones((N, 2)), batch_size=8, verbose=0, callbacks=[Listener(1, work)])
        results.append(model.params.copy())
    assert (results[0] == results[1]).all()


@pytest.fixture
def alarm() -> Iterator[None]:
    """A test that sets timers: what they did before is restored."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("needs timers")
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python says so where it loses one
@pytest.mark.parametrize("listening", [False, True])
def test_an_interrupt_ends_after_a_whole_step(listening: bool, alarm: None) -> None:
    x = RNG.standard_normal((200_000, 3), dtype=np.float32)
    y = np.zeros((len(x), 2), np.float32)
    hn.utils.set_random_seed(4)
    model = _trained()
    start = model.params.copy()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    callbacks = [Listener()] if listening else None
    # again and again: Python loses an exception that is raised while a callback of its garbage collector runs
    signal.setitimer(signal.ITIMER_REAL, 0.15, 0.15)
    with pytest.raises(KeyboardInterrupt):
        try:
            model.fit(x, y, batch_size=4, epochs=1000, shuffle=False, verbose=0, callbacks=callbacks)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    steps = model.optimizer.iterations
    assert 0 < steps < 50_000
    twin = _model()
    twin.params[:] = start
    twin.compile("adam", "mse")
    twin.fit(x[: 4 * steps], y[: 4 * steps], batch_size=4, shuffle=False, verbose=0)
    assert (twin.params == model.params).all()


def _fit_until_stopped(model: hn.Model) -> None:
    x = RNG.standard_normal((200_000, 3), dtype=np.float32)
    history = model.fit(x, np.zeros((len(x), 2)), batch_size=2, epochs=100_000, verbose=0)
    assert len(history.epoch) < 100_000


def test_a_signal_handler_may_stop_training(alarm: None) -> None:
    model = _trained()
    signal.signal(signal.SIGALRM, lambda number, frame: setattr(model, "stop_training", True))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    _fit_until_stopped(model)


def test_another_thread_may_stop_training() -> None:
    model = _trained()
    stop = threading.Timer(0.2, lambda: setattr(model, "stop_training", True))
    stop.start()
    try:
        _fit_until_stopped(model)
    finally:
        stop.cancel()


def _large() -> tuple[hn.Model, np.ndarray]:
    """A model and rows that keep it busy for some tenths of a second."""
    wide = [hn.layers.Dense(512, activation="tanh") for _ in range(2)]
    model = hn.Sequential([hn.Input((64,)), *wide, hn.layers.Dense(64)])
    return model, RNG.random((60_000, 64), dtype=np.float32)


def test_a_signal_handler_may_call_models_for_long(alarm: None) -> None:
    large, x = _large()
    small, rows = _model(), np.ones((2000, 3), np.float32)
    wanted, wanted_small = large(x), small(rows)
    handled, inside = [], False

    def handler(number: int, frame: Any) -> None:
        time.sleep(0.03)
        ends = time.monotonic() + 0.03
        while time.monotonic() < ends:
            handled.append(inside and (small(rows) == wanted_small).all())

    signal.signal(signal.SIGALRM, handler)
    for _ in range(100):
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        inside = True
        found = large(x)
        inside = False
        assert (found == wanted).all()
        if any(handled):
            break
    assert any(handled)


@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_what_a_signal_handler_raises_ends_the_call(error: type[Exception], alarm: None) -> None:
    large, x = _large()
    large(x[:1])

    def handler(number: int, frame: Any) -> None:
        raise error("enough")

    signal.signal(signal.SIGALRM, handler)
    with pytest.raises(error, match="enough"):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        for _ in range(100):
            large(x)


@pytest.mark.parametrize("name", [1, None, b"training", ("training",)])
def test_names_of_arguments_are_text(name: Any) -> None:
    with pytest.raises(TypeError, match="keywords must be strings"):
        _model()(X, **{name: False})


# ---- run_batches ----
def _batches(step: Callable[..., Any] | None = None, **changed: Any) -> list[Any]:
    x = np.arange(20.0).reshape(10, 2)
    labels = np.arange(10)
    arguments = {
        "step": step or (lambda *arguments: (arguments, "outputs")),
        "groups": ((x,), (labels, None)),
        "whole": -1,
        "count": 10,
        "order": np.array([3, 1, 4, 9, 5, 0]),
        "batch": 3,
        "steps": 2,
        "before": ("before",),
        "call": 7,
        "after": ("after",),
        "rates": None,
        "keep": False,
        "seconds": 1e9,
    }
    return _core.run_batches(*{**arguments, **changed}.values())


def test_arguments_of_each_step() -> None:
    seen: list[Any] = []

    def step(inputs: Any, targets: Any, *rest: Any) -> Any:
        seen.append((inputs[0].tolist(), targets[0].tolist(), targets[1], rest))
        return len(seen), "outputs"

    assert _batches(step, rates=(0.5, 0.25), keep=True) == [(1, "outputs"), (2, "outputs")]
    assert seen == [
        ([[6, 7], [2, 3], [8, 9]], [3, 1, 4], None, ("before", 7, "after", 0.5)),
        ([[18, 19], [10, 11], [0, 1]], [9, 5, 0], None, ("before", 8, "after", 0.25)),
    ]
    seen.clear()
    assert _batches(step, order=None, rates=0.5, steps=3) == [(1,), (2,), (3,)]
    assert [labels for _, labels, *_ in seen] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [rest for *_, rest in seen] == [("before", 7 + i, "after", 0.5) for i in range(3)]
    assert len(_batches(seconds=0.0)) == 1
    assert _batches(steps=0, order=np.array([], np.int64)) == []


def test_a_group_may_stay_whole() -> None:
    whole = (np.arange(4.0),)
    seen = _batches(lambda first, *rest: (first is whole, "outputs"), groups=(whole, (np.arange(10),)), whole=0)
    assert seen == [(True,), (True,)]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"order": np.array([0, 1, 2, 3, 4, 10])}, ValueError),
        ({"order": np.array([0, 1, 2, 3, 4, -1])}, ValueError),
        ({"order": np.arange(5)}, ValueError),
        ({"order": np.arange(6.0)}, TypeError),
        ({"steps": 4}, ValueError),
        ({"steps": -1}, ValueError),
        ({"batch": 0}, ValueError),
        ({"count": 11}, ValueError),
        ({"groups": ((np.zeros(10, "float16"),),)}, TypeError),
        ({"groups": ((np.zeros(()),),)}, TypeError),
        ({"groups": ([np.zeros(10)],)}, TypeError),
        ({"groups": ()}, TypeError),
        ({"groups": ((),) * 5}, TypeError),
        ({"before": (1,) * 14}, ValueError),
        ({"before": [1]}, TypeError),
        ({"rates": (0.5,)}, ValueError),
        ({"step": lambda *arguments: 5}, TypeError),
        ({"step": lambda *arguments: 1 / 0}, ZeroDivisionError),
    ],
)
def test_what_run_batches_refuses(changed: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        _batches(**changed)


@pytest.mark.usefixtures("restored_threads")
def test_large_rows_are_gathered_by_threads() -> None:
    x = RNG.standard_normal((300, 9000), dtype=np.float32)
    order = RNG.permutation(300)
    sums: list[Any] = []

    def step(inputs: Any, call: int) -> Any:
        sums.append((inputs[0] == x[order[call * 100 : call * 100 + 100]]).all())
        return (None,)

    for threads in (1, 2):
        hn.set_num_threads(threads)
        _core.run_batches(step, ((x,),), -1, 300, order, 100, 3, (), 0, (), None, False, 1e9)
    assert sums == [True] * 6
