"""A process of its own for tests/test_allocations.py: lets allocations of one operation fail, one after the other.

    python tests/failing_allocations.py OPERATION python|library STRIDE FOLDER

`python`: those of CPython (the hooks of _testcapi); `library`: those of the C library. One allocation fails at a time:
with no memory at all, CPython 3.11 itself crashes (PyContextVar_Set) or enters an exception handler for ever. Every
attempt is a fork of the same process, so that a crash is seen and spoils nothing, and so that the models are the same
each time: they have not run yet, for nothing that an operation allocates may be kept from an earlier one. Prints as
JSON how many allocations there are, how many attempts there were, and what went wrong.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import pickle
import re
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
CRASHED, WRONG_ERROR, CHANGED, UNUSABLE, LEAKED, WRONG_RESULT, IGNORED = range(10, 17)
MEANINGS = {
    CRASHED: "crashed",
    WRONG_ERROR: "another exception",
    CHANGED: "a model or an optimizer changed",
    UNUSABLE: "not usable afterwards",
    LEAKED: "blocks of the library leaked",
    WRONG_RESULT: "another result",
    IGNORED: "an allocation failed without an exception",
}


class World:
    """A hypermodel; a model of one layer, with a constraint; an array; and an optimizer. None of them has run yet."""

    def __init__(self) -> None:
        hn.utils.set_random_seed(1)
        target = hn.Sequential(
            [hn.Input((3,)), hn.layers.Dense(5, activation="tanh"), hn.layers.Dense(2, activation="softmax")]
        )
        self.hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params(), hidden=6), target)
        self.hyper.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        layer = hn.layers.Dense(2, kernel_constraint=hn.constraints.MaxNorm(0.1))
        self.model = hn.Sequential([hn.Input((3,)), layer])
        self.model.compile("adam", "mse")
        self.array = np.ones(5, np.float32)
        self.optimizer = hn.optimizers.Adam()

    def apply(self, variables: list[Any]) -> None:
        """One update by the optimizer that is nobody's."""
        self.optimizer.apply([np.ones(variable.shape, np.float32) for variable in variables], variables)

    def state(self, folder: Path) -> Any:
        """All numbers that there are, of weights, of optimizers and in files."""
        optimizers = [self.hyper.optimizer, self.model.optimizer, self.optimizer]
        return (
            numbers([self.hyper.get_weights(), self.model.get_weights(), self.array]),
            [(optimizer.built, optimizer.iterations, numbers(optimizer.state())) for optimizer in optimizers],
            {path.name: path.read_bytes() for path in sorted(folder.iterdir())},
        )


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


def fit(hyper: hn.HyperModel, callbacks: list[Any]) -> Any:
    return hyper.fit([COND, X], Y, batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=callbacks).history


def fit_constrained(model: hn.Model, callbacks: list[Any]) -> Any:
    return model.fit(X, GIVEN, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks).history


# These make one step after the other: with callbacks, which see the steps.
FITS: dict[str, Callable[[World, list[Any]], Any]] = {
    "fit": lambda w, callbacks: fit(w.hyper, callbacks),
    "fit with a constraint": lambda w, callbacks: fit_constrained(w.model, callbacks),
}


def operations(folder: Path) -> dict[str, Callable[[World], Any]]:
    """By name. Those that train or write change something where they succeed."""
    there = str(folder / "there.safetensors")
    weights = str(folder / "there.weights.safetensors")
    of_hyper: dict[str, Callable[[hn.HyperModel], Any]] = {
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
        "set_weights": lambda h: h.set_weights([weight * 2 for weight in h.get_weights()]),
        "save": lambda h: h.save(there),
        "save_weights": lambda h: h.save_weights(weights),
        "load": lambda h: hn.models.load_model(there),
        "load_weights": lambda h: h.load_weights(weights),
        "a new model": new_model,
    }
    done: dict[str, Callable[[World], Any]] = {name: _of(call) for name, call in of_hyper.items()}
    done |= {name: _without_callbacks(call) for name, call in FITS.items()}
    done |= {
        "train_on_batch with a constraint": lambda w: w.model.train_on_batch(X, GIVEN),
        "apply": lambda w: w.apply(w.hyper.weights),
        "apply to a vector": lambda w: w.optimizer.apply(np.ones_like(w.hyper.params), w.hyper.params),
        "apply with a constraint": lambda w: w.apply(w.model.weights),
        "apply to several stores": lambda w: w.apply([*w.hyper.weights, w.array, *w.model.weights]),
    }
    return done | {f"{name} again": done[name] for name in AGAIN}


def _of(call: Callable[[hn.HyperModel], Any]) -> Callable[[World], Any]:
    return lambda world: call(world.hyper)


def _without_callbacks(call: Callable[[World, list[Any]], Any]) -> Callable[[World], Any]:
    return lambda world: call(world, [])


# Done once before, so that all the memory that it keeps is there.
AGAIN = ("predict", "call", "loss_and_grad", "train_on_batch", "fit", "apply")
# These need no memory of the library's.
ALLOCATE_NOTHING = {"compile", *[f"{name} again" for name in AGAIN]}
# Training must have been, for these to save or to lose its state.
AFTER_TRAINING = {"save", "save_weights", "compile"}


class Subject:
    """The models, what is done with them, and what that gives."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        other = World()
        other.hyper.train_on_batch([COND, X], Y)
        other.hyper.save(str(folder / "there.safetensors"))
        other.hyper.save_weights(str(folder / "there.weights.safetensors"))
        self.run = operations(folder)[name]
        self.run(World())  # imports what it needs
        del other
        gc.collect()
        gc.freeze()  # the collections of all attempts need not look at what has been imported
        self.world = World()
        if name in AFTER_TRAINING:
            self.world.hyper.train_on_batch([COND, X], Y)
        if name.removesuffix(" again") in AGAIN and name.endswith(" again"):
            self.run(self.world)
        # CPython 3.11 crashes where it finds no memory for the pair with which it goes through a dict: here are some.
        del [(None, number) for number in range(2000)][:]

    def state(self) -> Any:
        return self.world.state(self.folder)

    def results(self) -> tuple[Any, Any, int]:
        """What the operation gives, the state after it, and the blocks of the library that are there then."""
        found = numbers(self.run(self.world)), self.state()
        gc.collect()
        return *found, _core.counters()["live_blocks"]

    def states(self) -> list[Any]:
        """Before the operation, and after each of its steps, if it makes several."""
        found = [self.state()]

        class Recorder(hn.callbacks.Callback):
            def on_train_batch_end(_self, batch: int, logs: Any = None) -> None:
                found.append(self.state())

        fit = FITS.get(self.name.removesuffix(" again"))
        if fit is not None:
            fit(self.world, [Recorder()])
        return found


# What NumPy and CPython raise in place of MemoryError: NumPy's functions of arrays give NULL without an exception, and
# CPython has a RuntimeError for a lock that finds no memory.
NO_MEMORY = {
    SystemError: re.compile(
        r"<(ufunc '\w+'|built-in method reduce of numpy\.ufunc object at \w+)> returned NULL without setting an exception"
    ),
    RuntimeError: re.compile("can't allocate lock"),
}


def says_no_memory(error: BaseException) -> bool:
    """MemoryError, OSError where files are written, or what NumPy and CPython say in place of them."""
    known = NO_MEMORY.get(type(error))
    return isinstance(error, (MemoryError, OSError)) or (known is not None and known.fullmatch(str(error)) is not None)


def attempt(subject: Subject, kind: str, k: int, count: int, expected: Any, states: list[Any]) -> int:
    """In the child of a fork: 0: the operation failed as it must; 1: it succeeded; or what went wrong."""
    if kind == "python":
        import _testcapi

        end = _testcapi.remove_mem_hooks
    error: BaseException | None = None
    result = None
    left = 0
    try:
        if kind == "python":
            _testcapi.set_nomemory(k, k + count if count else 0)  # 0: all
        else:
            _core.fail_allocation_at(k + 1 if count else 0)
        result = subject.run(subject.world)
    except BaseException as raised:
        error = raised
    finally:
        if kind == "python":
            end()
        else:
            left = _core.fail_allocation_at(0)
    if error is None:
        if kind == "library" and count and left == 0:
            return IGNORED
        return 1 if (numbers(result), subject.state()) == expected[:2] else WRONG_RESULT
    if not says_no_memory(error):
        traceback.print_exception(error)
        return WRONG_ERROR
    error = result = None
    state = subject.state()
    if state not in states and state != expected[1]:
        return CHANGED
    *found, blocks = subject.results()
    if state == states[0] and found != [*expected[:2]]:
        return UNUSABLE
    if blocks != expected[2] and kind == "python":
        blocks = blocks_without_lost_objects(subject)
    return 0 if blocks == expected[2] else LEAKED


def blocks_without_lost_objects(subject: Subject) -> int:
    """The blocks of the library when the Python objects that nothing refers to, but that live, have been emptied.

    Where CPython 3.11 finds no memory for a frame it loses references to the arguments: objects live on with what they
    own. What else is there is the library's fault.
    """
    known: dict[int, Any] = {}
    found = [subject.world, sys.modules]
    while found:
        for item in gc.get_referents(found.pop()):
            if id(item) not in known:
                known[id(item)] = item
                found.append(item)
    for item in gc.get_objects():
        if id(item) not in known and type(item).__module__.startswith("hypernet.") and hasattr(item, "__dict__"):
            item.__dict__.clear()
    gc.collect()
    return _core.counters()["live_blocks"]


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


def of_another(subject: Subject, work: Callable[[], Any]) -> Any:
    """What this gives, without changing this process or its files."""
    path = subject.folder.parent / "expected.pickle"
    path.unlink(missing_ok=True)
    number = os.fork()
    if number == 0:
        try:
            path.write_bytes(pickle.dumps(work()))
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

    expected = of_another(subject, subject.results)
    restore()
    states = of_another(subject, subject.states)
    restore()
    log = parent / "log"
    wrong: dict[str, list[Any]] = {}
    attempts = failures = k = 0
    while True:
        code, text = in_child(lambda k=k: attempt(subject, kind, k, 1, expected, states), log)
        restore()
        attempts += 1
        failures += code == 0
        if code not in (0, 1):
            wrong.setdefault(MEANINGS.get(code, f"signal {-code}"), []).append([k, text[:2000]])
        if code == 1:
            code, _ = in_child(lambda k=k: attempt(subject, kind, k, 0, expected, states), log)
            restore()
            if code == 1:  # though all from here on would have failed
                break
        k += stride
    print(json.dumps({"allocations": k, "attempts": attempts, "failures": failures, "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
