"""Any number of threads gives the same bits; several Python threads may use one model; fork works after use."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import hypernet as hn
import numpy as np
import pytest
from hypernet import _core

from c_build import checked, program

pytestmark = pytest.mark.usefixtures("restored_threads")

POOL_JOBS = {"counts": 1810, "uneven": 1800, "helping": 152}  # that each part of tests/c/threads.c runs


def test_every_chunk_runs_once(tmp_path: Path) -> None:
    """For every number of chunks and threads, also of threads that are stuck or have more to do than others."""
    path = program("tests/c/threads.c", tmp_path)
    assert {part: checked(path, part) for part in POOL_JOBS} == POOL_JOBS


def test_a_thread_may_not_claim_what_it_reads(tmp_path: Path) -> None:
    """However many locks it reads at a time: it would wait for itself."""
    assert checked(program("tests/c/locks.c", tmp_path)) >= 20_000


def make_hyper(dtype: str = "float32") -> hn.HyperModel:
    hn.utils.set_random_seed(3)
    inputs = hn.layers.Input((20,), dtype=dtype)
    hidden = hn.layers.Dense(48, activation="relu", dtype=dtype)(inputs)
    hidden = hn.layers.LayerNormalization(dtype=dtype)(hidden)
    hidden = hn.layers.Dropout(0.3, dtype=dtype)(hidden)
    target = hn.Model(inputs, hn.layers.Dense(7, activation="softmax", dtype=dtype)(hidden))
    cond = hn.layers.Input((5,), dtype=dtype)
    features = hn.layers.Dense(33, activation="tanh", dtype=dtype)(cond)
    generator = hn.Model(cond, hn.layers.Dense(target.count_params(), dtype=dtype)(features))
    return hn.HyperModel(generator, target)


SHAPES = {
    "one": ((1, 5), (700, 20), (700,)),
    "rows": ((700, 5), (700, 20), (700,)),
    "tasks": ((90, 5), (90, 11, 20), (90, 11)),
    "shared": ((90, 5), (1, 11, 20), (90, 11)),
}


def results(mode: str, dtype: str) -> list[np.ndarray]:
    """Everything that numbers come out of: predict, vjp and its pullback, and parameters after two steps."""
    cond_shape, x_shape, y_shape = SHAPES[mode]
    rng = np.random.default_rng(1)
    cond, x = rng.standard_normal(cond_shape).astype(dtype), rng.standard_normal(x_shape).astype(dtype)
    y = rng.integers(0, 7, y_shape)
    hyper = make_hyper(dtype)
    out = [hyper.predict([cond, x], verbose=0)]
    value, pullback = hyper.vjp(cond, x, training=True, seed=5)
    gradient = pullback(np.cos(value))
    out += [value, gradient.condition, gradient.inputs, gradient.params]
    hyper.compile("adam", "sparse_categorical_crossentropy")
    out += [np.asarray(hyper.train_on_batch([cond, x], y)) for _ in range(2)]
    return [np.array(a) for a in out] + [hyper.params.copy()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", list(SHAPES))
def test_same_bits_for_any_number_of_threads(mode, dtype):
    hn.set_num_threads(1)
    expected = results(mode, dtype)
    for threads in (2, 3, 8):
        hn.set_num_threads(threads)
        for one, other in zip(expected, results(mode, dtype), strict=True):
            assert one.tobytes() == other.tobytes(), f"{threads} threads"


def test_fit_gives_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    cond, x, y = rng.standard_normal((200, 5)), rng.standard_normal((200, 20)), rng.integers(0, 7, 200)
    params = []
    for threads in (1, 3):
        hn.set_num_threads(threads)
        hyper = make_hyper()
        hyper.compile("adam", "sparse_categorical_crossentropy")
        hyper.fit([cond, x], y, epochs=2, batch_size=64, verbose=0)
        params.append(hyper.params.copy())
    assert params[0].tobytes() == params[1].tobytes()


def test_two_python_threads_predict_with_one_model():
    hyper = make_hyper()
    rng = np.random.default_rng(2)
    data = [
        (rng.standard_normal((n, 5), dtype=np.float32), rng.standard_normal((n, 20), dtype=np.float32))
        for n in (1, 300)
    ]
    expected = [hyper.predict(list(pair), verbose=0) for pair in data]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(100):
            if not np.array_equal(hyper.predict(list(data[index]), verbose=0), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_use_works_in_the_child():
    hn.set_num_threads(2)
    hyper = make_hyper()
    rng = np.random.default_rng(2)
    cond, x = rng.standard_normal((600, 5), dtype=np.float32), rng.standard_normal((600, 20), dtype=np.float32)
    expected = hyper.predict([cond, x], verbose=0)
    child = os.fork()
    if child == 0:
        same = np.array_equal(hyper.predict([cond, x], verbose=0), expected)
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert np.array_equal(hyper.predict([cond, x], verbose=0), expected)


def test_number_of_threads_is_checked():
    with pytest.raises(ValueError, match="threads"):
        hn.set_num_threads(0)
    with pytest.raises((ValueError, OverflowError)):
        hn.set_num_threads(10**6)


def test_threads_may_use_a_new_model_at_once():
    """Nothing is bound yet: the first calls join stores and compile plans."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        encoder, decoder = make_hyper().target, hn.target_network(7, 3)
        inputs = hn.layers.Input((20,))
        model = hn.Model(inputs, decoder(encoder(inputs)))
        x = rng.standard_normal((50, 20), dtype=np.float32)
        theta = model.get_weights()
        found: list[object] = []
        start = threading.Barrier(4)

        def work(model=model, x=x, start=start, found=found) -> None:
            start.wait()
            try:
                found.append(model(x))
            except Exception as error:
                found.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = decoder(encoder(x))
        for result in found:
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
        for old, new in zip(theta, model.get_weights(), strict=True):
            assert old.tobytes() == new.tobytes()


WIDTH = 64
WHOLE = {0.0, WIDTH * (WIDTH + 1) + 1.0}  # what `two_layers` makes of ones when all its weights are 0, or all are 1


ONES = np.ones((1, WIDTH), np.float32)


def two_layers() -> hn.Sequential:
    model = hn.Sequential([hn.Input((WIDTH,)), hn.layers.Dense(WIDTH), hn.layers.Dense(WIDTH)])
    model.set_weights(np.zeros(model.count_params(), np.float32))
    return model


def seen_by_readers(read: Callable[[], np.ndarray], write: Callable[[int], None], times: int) -> set[float]:
    """The numbers that three threads read while this one writes again and again."""
    stop, seen = threading.Event(), set()

    def read_on() -> None:
        while not stop.is_set():
            seen.update(np.unique(read()).tolist())

    readers = [threading.Thread(target=read_on) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for i in range(times):
            write(i)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    return seen


def test_readers_see_whole_weights_while_a_writer_sets_them():
    """A list of weights is written as one: never the kernel of one and the bias of another."""
    model = two_layers()
    states = [[np.full(w.shape, value, np.float32) for w in model.get_weights()] for value in (0.0, 1.0)]
    seen = seen_by_readers(lambda: model(ONES), lambda i: model.set_weights(states[i % 2]), 2000)
    assert seen <= WHOLE, sorted(seen)[:9]
    for value, state in zip((0.0, 1.0), states, strict=True):
        model.set_weights(state)
        assert all((w == value).all() for w in model.get_weights())


def test_readers_see_whole_weights_while_an_optimizer_updates_two_models():
    """Weights in several stores, and an array, in one update: each store is written as one."""
    models, own = (two_layers(), two_layers()), np.zeros(5, np.float32)
    weights = [model.params for model in models] + [own]
    up, optimizer = [-np.ones_like(w) for w in weights], hn.optimizers.SGD(1.0)
    down = [-gradient for gradient in up]
    seen = seen_by_readers(lambda: models[1](ONES), lambda i: optimizer.apply(down if i % 2 else up, weights), 801)
    assert seen <= WHOLE, sorted(seen)[:9]
    assert all((w == 1).all() for w in weights)


def spread(arrays: list[np.ndarray]) -> np.ndarray:
    """The difference between the largest number and the smallest: 0 if all arrays are of one writing."""
    numbers = np.concatenate([np.ravel(array) for array in arrays])
    return np.asarray(numbers.max() - numbers.min())


@pytest.mark.parametrize("copy", [hn.Model.get_weights, lambda model: deepcopy(model).get_weights()])
def test_copies_are_whole_while_a_writer_sets_weights(copy):
    """Weights that are read one by one would be of several writings."""
    model = two_layers()
    states = [[np.full(w.shape, value, np.float32) for w in model.get_weights()] for value in (0.0, 1.0)]
    assert seen_by_readers(lambda: spread(copy(model)), lambda i: model.set_weights(states[i % 2]), 2000) == {0.0}


def test_copies_have_as_many_steps_in_the_weight_as_in_the_optimizer(tmp_path):
    """deepcopy, pickle and save, while another thread trains a model whose only weight counts its steps."""
    model = hn.Sequential([hn.Input((1,)), hn.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(hn.optimizers.SGD(1.0), "mean_absolute_error")
    x, y = np.ones((4, 1), np.float32), np.full((4, 1), 1e7, np.float32)
    model.train_on_batch(x, y)
    path = tmp_path / "model.safetensors"

    def through_a_file() -> hn.Sequential:
        model.save(path)
        return hn.saving.load_model(path)

    ways = [lambda: deepcopy(model), lambda: pickle.loads(pickle.dumps(model)), through_a_file]
    stop = threading.Event()

    def train() -> None:
        while not stop.is_set():
            model.fit(x, y, epochs=200, verbose=0)

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        found = [way() for _ in range(40) for way in ways]
    finally:
        stop.set()
        trainer.join()
    steps = [int(copy.optimizer.iterations) for copy in found]
    assert [float(copy.get_weights()[0][0, 0]) for copy in found] == steps
    assert len(set(steps)) > len(steps) // 4


def test_copies_are_of_whole_steps_while_constrained_weights_are_updated():
    """Weights and state of the optimizer in one copy are those after the same number of updates."""
    layer = hn.layers.Dense(WIDTH, kernel_initializer="zeros", kernel_constraint=hn.constraints.NonNeg())
    model = hn.Sequential([hn.Input((WIDTH,)), layer])
    optimizer, params = hn.optimizers.SGD(1.0, momentum=1.0), model.params
    optimizer.apply(-np.ones_like(params), params)  # there is state from here on

    def read() -> np.ndarray:
        copy = _core.copies({"weights": params, **optimizer.live_state()})
        steps = int(copy["iterations"])  # of gradients of -1, which add up
        return np.asarray((copy["velocity"] == steps).all() and (copy["weights"] == steps * (steps + 1) / 2).all())

    assert read().all()
    seen = seen_by_readers(read, lambda i: optimizer.apply(-np.ones_like(params), params), 500)
    assert seen == {True}


@pytest.mark.parametrize("bad", [(3,), (0, 0)])
def test_a_write_that_cannot_be_done_writes_nothing(bad):
    """Another writer of one of the stores, or an array that does not fit: all stores are as before, and free."""
    one, other = _core.Store(4, "float32"), _core.Store(4, "float32")
    writes = [(one, 0, np.ones(4, np.float32)), (other, 0, np.ones(4, np.float32))]
    other.claim()
    with pytest.raises(RuntimeError, match="one writer"):
        _core.write_all(writes, False)
    other.release()
    with pytest.raises((ValueError, TypeError)):
        _core.write_all([*writes, (other, *bad, np.ones(4, np.float32))[:3]], False)
    for store in (one, other):
        assert store.version == 0 and not store.view(0, (4,)).any()
        store.claim()
        store.release()


def test_a_write_under_a_claim_that_nobody_has():
    store, write = _core.Store(4, "float32"), np.ones(4, np.float32)
    with pytest.raises(RuntimeError, match="claim them first"):
        _core.write_all([(store, 0, write)], True)
    store.claim()
    _core.write_all([(store, 0, write)], True)
    store.release()
    assert store.version == 1 and store.view(0, (4,)).all()


def at_once(*works) -> list[BaseException]:
    """Runs functions in threads of their own, which begin together; what they raised."""
    start, raised = threading.Barrier(len(works)), []

    def run(work) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_sixteen_threads_use_one_model(evidence):
    """predict, vjp with its pullback, functional_call and generate at the same time, while another thread changes the
    number of threads: the bits of a single thread."""
    hyper = make_hyper()
    rng = np.random.default_rng(7)
    cond, x = rng.standard_normal((300, 5), dtype=np.float32), rng.standard_normal((300, 20), dtype=np.float32)
    theta = hyper.generate(cond[:1])[0]

    def pulled():
        value, pullback = hyper.vjp(cond, x)
        gradient = pullback(value)
        return np.concatenate([np.ravel(part) for part in (value, gradient.condition, gradient.params)])

    calls = [
        lambda: hyper.predict([cond, x], verbose=0),
        pulled,
        lambda: hn.functional_call(hyper.target, theta, x),
        lambda: hyper.generate(cond),
    ]
    expected, done = [call().tobytes() for call in calls], []
    finished, changes = threading.Event(), [0]

    def work(index: int) -> None:
        for _ in range(25):
            assert calls[index]().tobytes() == expected[index], index
            done.append(index)

    def change() -> None:
        while not finished.is_set():
            for count in (1, 2, 5, 16):
                hn.set_num_threads(count)
                changes[0] += 1

    changing = threading.Thread(target=change)
    changing.start()
    raised = at_once(*[lambda i=i: work(i % 4) for i in range(16)])
    finished.set()
    changing.join()
    assert not raised, raised[0]
    evidence("calls of 16 threads on one model give the bits of one thread", tried=len(done), required=400)
    evidence("changes of the number of threads while 16 compute", tried=changes[0], required=4)


def test_sixteen_threads_train_a_model_each(evidence):
    """Each ends with the parameters that it has when it is trained alone (without dropout, whose seeds are drawn in the
    order of the calls)."""
    rng = np.random.default_rng(8)
    cond, x, y = rng.standard_normal((256, 5)), rng.standard_normal((256, 20)), rng.integers(0, 7, 256)

    def made(number: int) -> hn.HyperModel:
        hn.utils.set_random_seed(number)
        target = hn.Sequential([hn.Input((20,)), hn.layers.Dense(30, "tanh"), hn.layers.Dense(7, "softmax")])
        model = hn.HyperModel(hn.hypernetwork(5, target.count_params(), hidden=20), target)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    def trained(model: hn.HyperModel) -> bytes:
        for _ in range(20):
            model.train_on_batch([cond, x], y)
        return model.params.tobytes()

    expected = [trained(made(number)) for number in range(16)]
    models, found = [made(number) for number in range(16)], {}
    raised = at_once(*[lambda i=i: found.__setitem__(i, trained(models[i])) for i in range(16)])
    assert not raised, raised[0]
    same = sum(found[number] == expected[number] for number in range(16))
    evidence("models trained in 16 threads at once are those trained alone", tried=same, required=16)
