"""fit, evaluate and their like serve one thread at a time: a second one is refused at once, and nothing stays held."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import hypernet as hn
import numpy as np
import pytest
from hypernet.training.claims import claims

from evidence import Recorder

X = np.random.default_rng(0).standard_normal((64, 4), dtype=np.float32)
Y = np.arange(64) % 3


def made(**options: Any) -> hn.Sequential:
    hn.utils.set_random_seed(1)
    model = hn.Sequential([hn.Input((4,)), hn.layers.Dense(8, "relu"), hn.layers.Dense(3, "softmax")], name="small")
    model.compile(
        **{"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **options}
    )
    return model


class Pause(hn.callbacks.Callback):
    """Stops in the midst of what it watches until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.reached.set()
        assert self.go_on.wait(60)

    on_test_batch_end = on_train_batch_end


@contextlib.contextmanager
def elsewhere(call: Callable[[Pause], Any]) -> Iterator[list[Any]]:
    """In this block another thread is within the call; afterwards the list holds what it gave, or raised."""
    pause, found = Pause(), []

    def work() -> None:
        try:
            found.append(call(pause))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert pause.reached.wait(60)
        yield found
    finally:
        pause.go_on.set()
        thread.join()


def fitted(model: Any, **options: Any) -> dict[str, list[float]]:
    return model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0, **options).history


REFUSED: dict[str, Callable[[Any], Any]] = {
    "fit": fitted,
    "evaluate": lambda model: model.evaluate(X, Y, verbose=0),
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "test_on_batch": lambda model: model.test_on_batch(X, Y),
    "reset_metrics": lambda model: model.reset_metrics(),
    "compile": lambda model: model.compile("sgd", "mse"),
}


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_a_second_thread_is_refused_and_the_first_goes_on(method: str, evidence: Recorder) -> None:
    """Each method that uses the running means, while another thread is in fit or evaluate, says what to do; the
    other thread ends with the numbers that it gets alone."""
    options = {"verbose": 0, "batch_size": 16}
    calls = {
        "fit": lambda model, *callbacks: fitted(model, callbacks=list(callbacks)),
        "evaluate": lambda model, *callbacks: model.evaluate(X, Y, callbacks=list(callbacks), **options),
    }
    alone, model = calls[method](made(), hn.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: None)), made()
    with elsewhere(lambda pause: calls[method](model, pause)) as found:
        for name, call in REFUSED.items():
            with pytest.raises(
                RuntimeError,
                match=rf"^{name}: another thread is in `{method}` of 'small', .* Call `{name}` when `{method}` has "
                r"returned, or give each thread a model of its own, .*deepcopy",
            ):
                call(model)
    assert found == [alone]
    for call in REFUSED.values():
        call(made())
    model.compile("adam", "sparse_categorical_crossentropy")
    fitted(model)
    assert not claims
    evidence(f"calls beside `{method}` of another thread are refused", tried=len(REFUSED), required=6)


def test_what_reads_goes_on_beside_fit() -> None:
    """predict, calls, vjp, loss_and_grad and copies, of the model and of a hypernetwork."""
    model, target = made(), hn.target_network(4, 3)
    hyper = hn.HyperModel(hn.hypernetwork(5, target.count_params()), target)
    hyper.compile("adam", "sparse_categorical_crossentropy")
    cond = np.ones((64, 5), np.float32)
    with elsewhere(lambda pause: fitted(model, callbacks=[pause])) as found:
        assert np.array_equal(model.predict(X, verbose=0), model(X))
        model.vjp(X)[1](np.ones((64, 3), np.float32))
        value, _ = model.loss_and_grad(X, Y)
        assert copy.deepcopy(model).evaluate(X, Y, verbose=0)[0] == pytest.approx(value)
    assert isinstance(found[0], dict)
    fit = lambda pause: hyper.fit([cond, X], Y, verbose=0, callbacks=[pause])  # noqa: E731
    with elsewhere(fit) as found:
        assert np.array_equal(hyper.predict([cond, X], verbose=0), hyper([cond, X]))
        assert hyper.generate(cond).shape == (64, target.count_params())
        with pytest.raises(RuntimeError, match="another thread is in `fit`"):
            hyper.evaluate([cond, X], Y, verbose=0)
        hyper.target.compile("adam", "sparse_categorical_crossentropy")
        hyper.target.evaluate(X, Y, verbose=0)  # the parts have metrics of their own
    assert isinstance(found[0], hn.callbacks.History)


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What calls in threads that begin together gave or raised."""
    start, found = threading.Barrier(count), [None] * count

    def run(index: int) -> None:
        start.wait()
        try:
            found[index] = work(index)
        except RuntimeError as error:
            found[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_evaluations_in_four_threads_are_right_or_refused() -> None:
    """Of data sets of their own, many times: no thread ever gets means that another's batches are in."""
    model, scales = made(), (1, 2, 4, 8)
    data = [(np.tile(X * scale, (40, 1)), np.tile((Y + scale) % 3, 40)) for scale in scales]
    expected = [model.evaluate(*pair, verbose=0) for pair in data]

    def work(index: int) -> list[Any]:
        found = []
        for _ in range(30):
            try:
                found.append(model.evaluate(*data[index], verbose=0))
            except RuntimeError as error:
                assert "another thread is in `evaluate`" in str(error)
                time.sleep(0.001)
        return found

    results = at_once(4, work)
    assert sum(map(len, results)) >= 10
    for index, found in enumerate(results):
        assert all(one == expected[index] for one in found), index


def test_overlapping_fits_leave_the_first_alone_and_the_model_free() -> None:
    """The thread that came first trains as if it were alone, and the model can be compiled and trained afterwards."""
    x, y = np.tile(X, (100, 1)), np.tile(Y, 100)
    for _ in range(10):
        model = made()

        def work(index: int, model: hn.Model = model) -> int:
            return len(model.fit(x, y, verbose=0, epochs=3 - 2 * index).epoch)

        found = at_once(2, work)
        refused = [error for error in found if isinstance(error, RuntimeError)]
        assert len(refused) < 2 and all("another thread is in `fit`" in str(error) for error in refused)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(X, Y, verbose=0)


def test_in_one_thread_calls_nest() -> None:
    """A callback evaluates and tests the model that is being fitted, and only compile is refused, as in the messages of
    `fit`; on_train_end may compile."""
    model, seen = made(), []

    def look(*_: Any, **__: Any) -> None:
        seen.append(model.evaluate(X, Y, verbose=0))
        seen.append(model.test_on_batch(X, Y))
        with pytest.raises(RuntimeError, match="`fit` of 'small' is running"):
            model.compile("sgd", "mse")

    done = hn.callbacks.LambdaCallback(
        on_epoch_end=look, on_train_end=lambda *_, **__: model.compile("sgd", "sparse_categorical_crossentropy")
    )
    fitted(model, callbacks=[done], validation_data=(X, Y))
    assert len(seen) == 4 and not claims
    assert np.allclose(seen[2], seen[3]) and type(model.optimizer) is hn.optimizers.SGD


def test_a_metric_object_of_two_models_serves_one_at_a_time() -> None:
    """Two models that were compiled with one metric would take their batches into the same sums."""
    metric = hn.metrics.SparseCategoricalAccuracy(name="hits")
    one, other, third = (made(weighted_metrics=[m]) for m in (metric, metric, copy.deepcopy(metric)))
    with elsewhere(lambda pause: fitted(one, callbacks=[pause])) as found:
        with pytest.raises(RuntimeError, match="has the metric object 'hits' of 'small', too"):
            other.evaluate(X, Y, verbose=0)
        third.evaluate(X, Y, verbose=0)
    assert isinstance(found[0], dict)
    other.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_what_is_raised_in_the_midst_frees_the_model(error: type[BaseException]) -> None:
    """By a callback of fit or evaluate: other threads may use the model afterwards."""
    model = made()

    def fail(*_: Any, **__: Any) -> None:
        raise error

    for call in (
        lambda: fitted(model, callbacks=[hn.callbacks.LambdaCallback(on_train_batch_end=fail)]),
        lambda: model.evaluate(X, Y, verbose=0, callbacks=[hn.callbacks.LambdaCallback(on_test_batch_end=fail)]),
    ):
        with pytest.raises(error):
            call()
        assert not claims
        assert [len(result) for result in at_once(1, lambda _: model.evaluate(X, Y, verbose=0))] == [2]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_no_interrupt_leaves_a_model_claimed() -> None:
    """Ctrl-C at any moment of test_on_batch and reset_metrics, five hundred times."""
    model, rng, interrupted = made(), np.random.default_rng(3), 0
    model.train_on_batch(X[:2], Y[:2])

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(500):
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(2e-5, 3e-4)))
                while True:
                    model.reset_metrics()
                    model.test_on_batch(X[:2], Y[:2])
            except KeyboardInterrupt:
                interrupted += 1
            assert not claims
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted == 500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_thread_claims_is_free_in_the_child_of_a_fork() -> None:
    """Of a fork while another thread is in fit: the child trains, compiles and evaluates; in the parent the claim
    holds. And of a fork inside fit, the child still refuses to compile there."""
    model = made()

    def child(work: Callable[[], None]) -> int:
        number = os.fork()
        if number == 0:
            code = 1
            try:
                signal.alarm(30)
                work()
                code = 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])

    def use() -> None:
        for name in ("evaluate", "train_on_batch", "compile"):
            REFUSED[name](model)

    with elsewhere(lambda pause: fitted(model, callbacks=[pause])):
        assert child(use) == 0
        with pytest.raises(RuntimeError, match="another thread"):
            use()

    def refuse() -> None:
        with pytest.raises(RuntimeError, match="`fit` of 'small' is running"):
            model.compile("sgd", "mse")
        model.evaluate(X, Y, verbose=0)

    codes: list[int] = []
    fitted(model, callbacks=[hn.callbacks.LambdaCallback(on_epoch_end=lambda *_, **__: codes.append(child(refuse)))])
    assert codes == [0, 0]
