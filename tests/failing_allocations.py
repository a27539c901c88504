"""A process of its own for tests/test_allocations.py: lets allocations of one operation fail, one after the other.

    python tests/failing_allocations.py OPERATION python|library STRIDE FOLDER

`python`: those of CPython (the hooks of _testcapi); `library`: those of the C library. One allocation fails at a time:
with no memory at all, CPython 3.11 itself crashes (PyContextVar_Set) or enters an exception handler for ever. Every attempt is a fork of the same process, so that a crash is seen and spoils nothing. Prints as
JSON how many allocations there are, how many attempts there were, and what went wrong.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypernet as hn
import numpy as np
from hypernet import _core

RNG = np.random.default_rng(0)
N = 6
COND, X = RNG.standard_normal((N, 4), dtype=np.float32), RNG.standard_normal((N, 3), dtype=np.float32)
Y = RNG.integers(0, 2, N)
GIVEN = np.ones((N, 2), np.float32)
CRASHED, WRONG_ERROR, CHANGED, UNUSABLE, LEAKED, WRONG_RESULT = range(10, 16)
MEANINGS = {
    CRASHED: "crashed",
    WRONG_ERROR: "another exception",
    CHANGED: "the model changed",
    UNUSABLE: "not usable afterwards",
    LEAKED: "blocks of the library leaked",
    WRONG_RESULT: "another result",
}


def make() -> hn.HyperModel:
    hn.utils.set_random_seed(1)
    target = hn.Sequential(
        [hn.Input((3,)), hn.layers.Dense(5, activation="tanh"), hn.layers.Dense(2, activation="softmax")]
    )
    generator = hn.hypernetwork(4, target.count_params(), hidden=6)
    hyper = hn.HyperModel(generator, target)
    hyper.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    hyper.train_on_batch([COND, X], Y)
    return hyper


def numbers(result: Any) -> Any:
    """What an operation gave, in numbers that can be compared."""
    if isinstance(result, np.ndarray):
        return result.tobytes()
    if isinstance(result, (list, tuple)):
        return [numbers(item) for item in result]
    if isinstance(result, dict):
        return {key: numbers(item) for key, item in result.items()}
    if isinstance(result, hn.Model):
        return result.predict(X, verbose=0).tobytes()
    if hasattr(result, "predict"):  # a hypermodel, quantised or not
        return result.predict([COND, X], verbose=0).tobytes()
    return result


def state(hyper: hn.HyperModel, folder: Path) -> Any:
    optimizer = hyper.optimizer
    slots = numbers(optimizer.state())
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return numbers(hyper.get_weights()), optimizer.iterations, slots, files


def vjp_and_pullback(hyper: hn.HyperModel) -> Any:
    value, pullback = hyper.vjp(COND, X)
    gradient = pullback(GIVEN)
    return [value, gradient.condition, gradient.inputs, gradient.params]


def functional_vjp(hyper: hn.HyperModel) -> Any:
    value, pullback = hn.functional_vjp(hyper.target, hyper.generate(COND[:1]), X)
    return [value, *[np.asarray(g) for g in pullback(GIVEN) if isinstance(g, np.ndarray)]]


def new_model(hyper: hn.HyperModel) -> Any:
    layers = [hn.Input((3,)), hn.layers.Dense(2, kernel_initializer="zeros")]
    return hn.Sequential(layers)


def operations(folder: Path) -> dict[str, Callable[[hn.HyperModel], Any]]:
    """By name. Those that train or write change something where they succeed."""
    there = str(folder / "there.safetensors")
    weights = str(folder / "there.weights.safetensors")
    return {
        "predict": lambda h: h.predict([COND, X], verbose=0),
        "predict of lists": lambda h: h.predict([COND.tolist(), X.tolist()], verbose=0),
        "predict in batches": lambda h: h.predict([COND, X], batch_size=2, verbose=0),
        "call": lambda h: h([COND, X]),
        "generate": lambda h: h.generate(COND),
        "generate_weights": lambda h: h.generate_weights(COND[:1]),
        "specialize": lambda h: h.specialize(COND[:1]),
        "quantize": lambda h: h.quantize("int8"),
        "vjp": vjp_and_pullback,
        "functional_call": lambda h: hn.functional_call(h.target, h.generate(COND[:1]), X),
        "functional_vjp": functional_vjp,
        "loss_and_grad": lambda h: h.loss_and_grad([COND, X], Y),
        "evaluate": lambda h: h.evaluate([COND, X], Y, batch_size=4, verbose=0),
        "compile": lambda h: h.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"]),
        "train_on_batch": lambda h: h.train_on_batch([COND, X], Y),
        "fit": lambda h: h.fit([COND, X], Y, batch_size=3, epochs=2, shuffle=False, verbose=0).history,
        "set_weights": lambda h: h.set_weights([weight * 2 for weight in h.get_weights()]),
        "apply": lambda h: h.optimizer.apply([np.ones(w.shape, np.float32) for w in h.weights], h.weights),
        "save": lambda h: h.save(there),
        "save_weights": lambda h: h.save_weights(weights),
        "load": lambda h: hn.models.load_model(there),
        "load_weights": lambda h: h.load_weights(weights),
        "a new model": new_model,
    }


# Some of these have done a part of their work when the allocation fails: whole steps, each of them written whole.
IN_STEPS = {"fit"}
# These make layers. Where CPython 3.11 finds no memory for a frame it loses references to what the frame held.
MAKES_LAYERS = {"specialize", "quantize", "load", "a new model"}


class Subject:
    """The model, what it does, and what that gives."""

    def __init__(self, name: str, folder: Path) -> None:
        self.hyper, self.name, self.folder = make(), name, folder
        self.hyper.save(str(folder / "there.safetensors"))
        self.hyper.save_weights(str(folder / "there.weights.safetensors"))
        self.run = operations(folder)[name]
        self.run(make())  # imports what it needs

    def results(self) -> tuple[Any, Any, int]:
        """What the operation gives, the state after it, and the blocks of the library that are there then."""
        found = numbers(self.run(self.hyper)), state(self.hyper, self.folder)
        gc.collect()
        return *found, _core.counters()["live_blocks"]


def is_numpys(error: BaseException) -> bool:
    """NumPy's reductions give NULL without an exception where they find no memory, which CPython calls a SystemError."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    inside = last is not None and os.path.dirname(np.__file__) in last.tb_frame.f_code.co_filename
    return isinstance(error, SystemError) and (inside or "numpy.ufunc" in str(error))


def attempt(subject: Subject, kind: str, k: int, count: int, expected: Any) -> int:
    """In the child of a fork: 0: the operation failed as it must; 1: it succeeded; or what went wrong."""
    hyper, run = subject.hyper, subject.run
    if kind == "python":
        import _testcapi

        end = _testcapi.remove_mem_hooks
    before = state(hyper, subject.folder)
    error: BaseException | None = None
    result = None
    try:
        if kind == "python":
            _testcapi.set_nomemory(k, k + count if count else 0)  # 0: all
        else:
            _core.fail_allocation_at(k + 1 if count else 0)
        result = run(hyper)
    except BaseException as raised:
        error = raised
    finally:
        if kind == "python":
            end()
        else:
            _core.fail_allocation_at(0)
    if error is None:
        return 1 if (numbers(result), state(hyper, subject.folder)) == expected[:2] else WRONG_RESULT
    if not isinstance(error, (MemoryError, OSError)) and not is_numpys(error):
        traceback.print_exception(error)
        return WRONG_ERROR
    error = result = None
    unchanged = state(hyper, subject.folder) == before
    if not unchanged and subject.name not in IN_STEPS and state(hyper, subject.folder) != expected[1]:
        return CHANGED
    *found, blocks = subject.results()
    if unchanged and found != [*expected[:2]]:
        return UNUSABLE
    return 0 if blocks == expected[2] or (kind == "python" and subject.name in MAKES_LAYERS) else LEAKED


def in_child(work: Callable[[], int], log: Path) -> tuple[int, str]:
    """The exit code of a child that does this, and what it wrote; one that hangs is ended by its alarm."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        code = UNUSABLE
        try:
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            signal.alarm(60)
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    return code, log.read_text()


def results_of_another(subject: Subject) -> Any:
    """What the operation gives, without changing this process or its files."""
    import pickle

    path = subject.folder.parent / "expected.pickle"
    number = os.fork()
    if number == 0:
        try:
            path.write_bytes(pickle.dumps(subject.results()))
        finally:
            os._exit(0)
    os.waitpid(number, 0)
    return pickle.loads(path.read_bytes())


def main(name: str, kind: str, stride: int, parent: Path) -> None:
    faulthandler.enable()
    folder = parent / "files"
    folder.mkdir()
    subject = Subject(name, folder)
    kept = {path: path.read_bytes() for path in folder.iterdir()}

    def restore() -> None:
        for path in set(folder.iterdir()) - set(kept):
            path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)

    expected = results_of_another(subject)
    restore()
    log = parent / "log"
    wrong: dict[str, list[Any]] = {}
    attempts = failures = k = 0
    while True:
        code, text = in_child(lambda k=k: attempt(subject, kind, k, 1, expected), log)
        restore()
        attempts += 1
        failures += code == 0
        if code not in (0, 1):
            wrong.setdefault(MEANINGS.get(code, f"signal {-code}"), []).append([k, text[:2000]])
        if code == 1:
            code, _ = in_child(lambda k=k: attempt(subject, kind, k, 0, expected), log)
            restore()
            if code == 1:  # though all from here on would have failed
                break
        k += stride
    print(json.dumps({"allocations": k, "attempts": attempts, "failures": failures, "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
