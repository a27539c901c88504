"""N tasks of M rows run the generator on N rows, once, in one call of the core a step."""

from __future__ import annotations

import sys
from collections import Counter

import hypernet as hn
import numpy as np
import pytest
from hypernet import _core

N, M = 37, 9


@pytest.fixture
def hyper() -> hn.HyperModel:
    hn.utils.set_random_seed(0)
    target = hn.target_network(6, 3)
    model = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def counted(function) -> tuple[int, int]:
    """(generator rows, pipeline calls) that `function` costs."""
    before = _core.counters()
    function()
    after = _core.counters()
    return after["generator_rows"] - before["generator_rows"], after["calls"] - before["calls"]


def core_calls(function) -> dict[str, int]:
    """What functions and methods Python calls in the core, and how often; an object that is called itself is not seen."""
    calls: Counter[str] = Counter()

    def count(frame, event, called) -> None:
        owner = getattr(called, "__self__", None)
        if event == "c_call" and (owner is _core or type(owner).__module__ == _core.__name__):
            calls[called.__qualname__] += 1

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return dict(calls)


def test_one_call_a_step(hyper):
    rng = np.random.default_rng(0)
    cond, x = rng.standard_normal((N, 4), dtype=np.float32), rng.standard_normal((N, M, 6), dtype=np.float32)
    y = rng.integers(0, 3, (N, M))
    hyper.train_on_batch([cond, x], y)  # the first call binds weights and compiles
    hyper.predict([cond, x], verbose=0)
    assert core_calls(lambda: hyper.predict([cond, x], verbose=0)) == {}
    assert core_calls(lambda: hyper.predict((cond, x), verbose=0)) == {"Hyper.predict": 1}
    assert core_calls(lambda: hyper.train_on_batch([cond, x], y)) == {"Hyper.train_step": 1}
    steps = 3 * -(-N // 10)
    assert set(core_calls(lambda: hyper.fit([cond, x], y, batch_size=10, epochs=3, verbose=0))) == {"run_batches"}
    assert counted(lambda: hyper.fit([cond, x], y, batch_size=10, epochs=3, verbose=0)) == (3 * N, steps)
    listener = hn.callbacks.LambdaCallback()
    listener.on_train_batch_end = lambda batch, logs=None: None
    assert core_calls(lambda: hyper.fit([cond, x], y, batch_size=10, epochs=3, verbose=0, callbacks=[listener])) == {
        "Hyper.train_step": steps
    }


@pytest.mark.parametrize("shared", [False, True])
def test_generator_runs_once_on_n_rows(hyper, shared):
    rng = np.random.default_rng(0)
    cond = rng.standard_normal((N, 4), dtype=np.float32)
    x = rng.standard_normal((1 if shared else N, M, 6), dtype=np.float32)
    y = rng.integers(0, 3, (N, M))
    assert counted(lambda: hyper.predict([cond, x], verbose=0)) == (N, 1)
    assert counted(lambda: hyper.train_on_batch([cond, x], y)) == (N, 1)
    assert counted(lambda: hyper.fit([cond, x], y, batch_size=N, epochs=3, verbose=0)) == (3 * N, 3)


def test_tasks_equal_a_loop_over_tasks(hyper):
    rng = np.random.default_rng(0)
    cond, x = rng.standard_normal((N, 4), dtype=np.float32), rng.standard_normal((N, M, 6), dtype=np.float32)
    together = hyper.predict([cond, x], verbose=0)
    one_by_one = np.stack([hyper.predict([c, rows], verbose=0) for c, rows in zip(cond, x, strict=True)])
    np.testing.assert_allclose(together, one_by_one, rtol=1e-5, atol=1e-6)


def test_shared_rows_equal_repeated_rows(hyper):
    rng = np.random.default_rng(0)
    cond, x = rng.standard_normal((N, 4), dtype=np.float32), rng.standard_normal((1, M, 6), dtype=np.float32)
    shared = hyper.predict([cond, x], verbose=0)
    repeated = hyper.predict([cond, np.repeat(x, N, axis=0)], verbose=0)
    np.testing.assert_allclose(shared, repeated, rtol=1e-5, atol=1e-6)
