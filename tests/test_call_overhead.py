"""What calls do besides arithmetic: counted, never timed."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
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
    outputs = np.empty((ROWS, 2), np.float32)
    weights = np.empty((ROWS, hyper.target.count_params()), np.float32)
    return {
        "model.predict": (lambda out: model.predict(LARGE_X, out=out), outputs),
        "hyper.predict, one": (lambda out: hyper.predict([COND[:1], LARGE_X], out=out), outputs),
        "hyper.predict, rows": (lambda out: hyper.predict([LARGE_COND, LARGE_X], out=out), outputs),
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
    # NumPy's arrays are counted too. What is left are small objects of Python's, and the buffer of a fixed size in
    # which NumPy adds a base.
    allowed = 65536 if "base" in what else 4096
    assert growth < allowed < out.nbytes / 8


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
