"""Updates with constraints, which are Python inside an update: what they may do, and what they see."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import hypernet as hn
import numpy as np
import pytest
from hypernet import _core

layers = hn.layers


class Calls(hn.constraints.Constraint):
    """Does something, and leaves the weight as it is."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def __call__(self, w: np.ndarray) -> np.ndarray:
        self.act()
        return w


def constrained(act: Callable[[], Any], *before: hn.layers.Layer) -> hn.Sequential:
    return hn.Sequential([hn.Input((2,)), *before, layers.Dense(2, kernel_constraint=Calls(act))])


# ---- memory that is taken away ----
def shrinking(array: np.ndarray) -> Callable[[], None]:
    return lambda: array.resize(1, refcheck=False)


@pytest.mark.parametrize("what", ["gradient", "variable", "gradient, by the learning rate"])
def test_arrays_of_an_update_may_not_be_resized_in_it(what: str) -> None:
    """Not even by force: NumPy's ValueError comes out of the user's own function, and nothing has changed."""
    model = constrained(lambda: None if "rate" in what else act())
    gradient, variable = np.ones_like(model.params), np.ones(3_000_000, np.float32)
    act = shrinking(variable if what == "variable" else gradient)

    def rate() -> float:
        if "rate" in what:
            act()
        return 0.1

    before = model.params.copy()
    with pytest.raises(ValueError, match="cannot resize"):
        if what == "variable":
            hn.optimizers.SGD(rate).apply([gradient, variable.copy()], [model.params, variable])
        else:
            hn.optimizers.SGD(rate).apply(gradient, model.params)
    assert (model.params == before).all() and (variable == 1).all()
    gradient.resize(1, refcheck=False)  # afterwards it may be
    variable.resize(1, refcheck=False)


# ---- the right to write ----
class LaterError(Exception):
    """What the signal handler raises."""


def raise_later(*_: Any) -> None:
    raise LaterError


def test_no_exception_of_a_handler_leaves_a_store_claimed() -> None:
    """Wherever in an update the handler runs: the next writer finds the store free."""
    model = constrained(lambda: None)
    params, optimizer = model.params, hn.optimizers.SGD(0.1)
    gradient, store = np.zeros_like(params), _core.store_of(params)
    rng, before, interrupted = np.random.default_rng(0), signal.signal(signal.SIGALRM, raise_later), 0
    try:
        for _ in range(2_000):
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(5e-5, 3e-4)))
                for _ in range(1_000):
                    optimizer.apply(gradient, params)
            except LaterError:
                interrupted += 1
            store.claim()  # RuntimeError if it is left claimed
            store.release()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 1_000


def test_a_claim_takes_all_stores_or_none() -> None:
    one, other = _core.Store(3, "float32"), _core.Store(3, "float32")
    other.claim()
    with pytest.raises(RuntimeError, match="one writer"), _core.Claim([one, other]):
        raise AssertionError
    one.claim()
    one.release()
    other.release()
    claim = _core.Claim([one, other])
    with claim:
        with pytest.raises(RuntimeError, match="one writer"):
            other.claim()
        with pytest.raises(RuntimeError, match="in use"):
            claim.__enter__()
    claim.__enter__()
    del claim  # lets go of what it holds
    with _core.Claim([one, other]):
        pass


# ---- what an update writes ----
def test_frozen_weights_are_not_written() -> None:
    """What others write to them meanwhile stays."""
    model = constrained(lambda: model.layers[0].kernel.fill(5.0), layers.Dense(2, trainable=False))
    hn.optimizers.SGD(1.0).apply(np.ones_like(model.params), model.params)
    assert (model.layers[0].kernel == 5).all()
    assert not model.layers[0].bias.any() and (model.layers[1].bias == -1).all()


def test_a_constraint_may_give_the_same_memory_twice() -> None:
    buffer = np.zeros((2, 2), np.float32)
    constraint = lambda w: np.maximum(w, 0, out=buffer)  # noqa: E731
    options = {"use_bias": False, "kernel_constraint": constraint}
    dense = [layers.Dense(2, kernel_initializer=hn.initializers.Constant(value), **options) for value in (1, 3)]
    model = hn.Sequential([hn.Input((2,)), *dense])
    hn.optimizers.SGD(1.0).apply(np.zeros_like(model.params), model.params)
    assert model.params.tolist() == [1.0] * 4 + [3.0] * 4


# ---- the optimizer's state ----
def test_a_failed_update_leaves_the_state_of_another_threads_first_one() -> None:
    """One thread's learning rate fails while another's update, the first with this state, is at work."""
    weights, gradient = np.ones(5_000_000, np.float32), np.ones(5_000_000, np.float32)
    waiting, begun, failed = threading.Event(), threading.Event(), []

    def rate() -> float:
        if threading.current_thread() is failing:
            waiting.set()
            begun.wait()
            raise ValueError("no rate")
        begun.set()
        return 0.1

    def fail() -> None:
        try:
            optimizer.apply(gradient, weights)
        except ValueError as error:
            failed.append(str(error))

    optimizer, failing = hn.optimizers.Adam(rate), threading.Thread(target=fail)
    failing.start()
    waiting.wait()
    optimizer.apply(gradient, weights)
    failing.join()
    assert failed == ["no rate"] and optimizer.iterations == 1


def test_first_updates_of_two_threads_have_one_state() -> None:
    """Of two first updates at once one is refused, or both count."""
    weights, gradient = np.ones(200_000, np.float32), np.ones(200_000, np.float32)
    for _ in range(50):
        optimizer, start, done = hn.optimizers.Adam(0.1), threading.Barrier(2), []

        def work(optimizer: Any = optimizer, start: Any = start, done: Any = done) -> None:
            start.wait()
            try:
                optimizer.apply(gradient, weights)
                done.append(1)
            except RuntimeError:
                pass

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert optimizer.iterations == len(done) >= 1
