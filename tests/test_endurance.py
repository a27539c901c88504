"""Every public call, of good and of bad arguments, over and over: memory and reference counts stay where they were.

Calls that are little more than one call of the C library are made a million times; 20,000 times before every change
(gate). All that is public, those and the others, is called 4,000 times (gate: 200), with the same criteria (flat.py):
they tell one reference, one object or 16 bytes of every fourth call.
"""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypernet as hn
import numpy as np
import pytest
from hypernet import _core

import array_calls
import flat
import plain_calls
import test_input_matrix as matrix

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")

MIB = 1 << 20
RNG = np.random.default_rng(0)
X, COND = RNG.standard_normal((2, 3), dtype=np.float32), RNG.standard_normal((2, 4), dtype=np.float32)
Y, GIVEN = RNG.standard_normal((2, 2), dtype=np.float32), np.ones((2, 2), np.float32)


def refused(call: Callable[[], Any]) -> Callable[[], None]:
    def attempt() -> None:
        try:
            call()
        except (ValueError, TypeError, OSError):
            return
        raise AssertionError("the call should have been refused")

    return attempt


def entries(folder: Path) -> tuple[dict[str, Callable[[], Any]], list[Any]]:
    """The calls, and the objects whose references are counted."""
    hn.utils.set_random_seed(1)
    model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(4, activation="relu"), hn.layers.Dense(2)])
    hyper = hn.HyperModel(hn.hypernetwork(4, model.count_params(), hidden=4), model)
    model.compile(hn.optimizers.SGD(1e-9), "mean_squared_error")
    hyper.compile(hn.optimizers.Adam(1e-9), "mean_squared_error")
    theta = hyper.generate(COND)
    flat_params, listed, out = model.params.copy(), model.get_weights(), np.empty((2, 2), np.float32)
    quantized = hyper.quantize("int8")
    optimizer, vector, moved = hn.optimizers.Adam(1e-9), np.ones(5, np.float32), np.ones(5, np.float32)
    wide, path = np.ones((2, 9), np.float32), str(folder / "weights.safetensors")
    model.save_weights(path)
    output, pullback = hyper.vjp(COND, X)

    def vjp(x: Any = X) -> None:
        _, pull = hyper.vjp(COND, x)
        pull(GIVEN)

    def model_vjp(x: Any = X) -> None:
        _, pull = model.vjp(x)
        pull(GIVEN)

    def functional_vjp(x: Any = X) -> None:
        _, pull = hn.functional_vjp(model, theta, x)
        pull(GIVEN)

    good = {
        "model(x)": lambda: model(X),
        "model(x, training=True)": lambda: model(X, training=True),
        "model.predict": lambda: model.predict(X, verbose=0),
        "model.predict, out": lambda: model.predict(X, out=out),
        "model.vjp and pullback": model_vjp,
        "hyper([cond, x])": lambda: hyper([COND, X]),
        "hyper.predict": lambda: hyper.predict([COND, X], verbose=0),
        "hyper.vjp and pullback": vjp,
        "pullback again": lambda: pullback(GIVEN),
        "generate": lambda: hyper.generate(COND),
        "generate_weights": lambda: hyper.generate_weights(COND[:1]),
        "quantized.predict": lambda: quantized.predict([COND, X], verbose=0),
        "functional_call": lambda: hn.functional_call(model, theta[0], X),
        "functional_vjp and pullback": functional_vjp,
        "unflatten": lambda: model.unflatten(flat_params),
        "params": lambda: model.params,
        "get_weights": model.get_weights,
        "set_weights, flat": lambda: model.set_weights(flat_params),
        "set_weights, list": lambda: model.set_weights(listed),
        "loss_and_grad": lambda: model.loss_and_grad(X, Y),
        "hyper.loss_and_grad": lambda: hyper.loss_and_grad([COND, X], Y),
        "train_on_batch": lambda: model.train_on_batch(X, Y),
        "hyper.train_on_batch": lambda: hyper.train_on_batch([COND, X], Y),
        "test_on_batch": lambda: model.test_on_batch(X, Y),
        "apply": lambda: optimizer.apply(vector, moved),
        "delta": lambda: optimizer.delta(vector, moved),
        "save_weights": lambda: model.save_weights(path),
        "load_weights": lambda: model.load_weights(path),
        "specialize": lambda: hyper.specialize(COND[:1]),
        "fit": lambda: model.fit(X, Y, batch_size=1, verbose=0),
        "evaluate": lambda: model.evaluate(X, Y, verbose=0),
    }
    bad = {
        "model(x) refused": lambda: model(wide),
        "hyper refused": lambda: hyper([COND, wide]),
        "predict refused": lambda: model.predict(wide, verbose=0),
        "vjp refused": lambda: vjp(wide),
        "pullback refused": lambda: pullback(wide),
        "generate refused": lambda: hyper.generate(wide),
        "functional_call refused": lambda: hn.functional_call(model, wide, X),
        "set_weights refused": lambda: model.set_weights(wide),
        "train_on_batch refused": lambda: model.train_on_batch(X, wide),
        "loss_and_grad refused": lambda: hyper.loss_and_grad([COND, X], wide),
        "apply refused": lambda: optimizer.apply(wide, moved),
        "unflatten refused": lambda: model.unflatten(wide),
        "load_weights refused": lambda: model.load_weights(str(folder / "nowhere.safetensors")),
    }
    assert output.shape == (2, 2)
    held = [X, COND, Y, GIVEN, theta, flat_params, listed, out, vector, moved, wide, output, path]
    held += flat.parts([model, hyper, quantized, optimizer, pullback])
    return good | {name: refused(call) for name, call in bad.items()}, held


# Of the million, so many times less: they write or read files, or make whole models.
RARE = {
    "save_weights": 500,
    "load_weights": 100,
    "specialize": 200,
    "fit": 10,
    "evaluate": 5,
    "load_weights refused": 10,
}
NAMES = [
    "model(x)", "model(x, training=True)", "model.predict", "model.predict, out", "model.vjp and pullback",
    "hyper([cond, x])", "hyper.predict", "hyper.vjp and pullback", "pullback again", "generate", "generate_weights",
    "quantized.predict", "functional_call", "functional_vjp and pullback", "unflatten", "params", "get_weights",
    "set_weights, flat", "set_weights, list", "loss_and_grad", "hyper.loss_and_grad", "train_on_batch",
    "hyper.train_on_batch", "test_on_batch", "apply", "delta", "save_weights", "load_weights", "specialize", "fit",
    "evaluate", "model(x) refused", "hyper refused", "predict refused", "vjp refused", "pullback refused",
    "generate refused", "functional_call refused", "set_weights refused", "train_on_batch refused",
    "loss_and_grad refused", "apply refused", "unflatten refused", "load_weights refused",
]  # fmt: skip


def endure(name: str, million: int, folder: Path, evidence: Any) -> None:
    known, held = entries(folder)
    assert set(known) == set(NAMES)
    count = max(million // RARE.get(name, 1), 200)
    change = flat.Watch(held).settled(known[name], count)
    claim = f"{count:,} calls of {name} leave references and blocks as they were, and memory flat"
    growth = {"worst": change.resident / MIB, "bound": 2.0, "unit": "MiB"}
    evidence(claim, tried=count, required=count, objects=change.objects, heap=change.heap, held=len(held), **growth)


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("name", NAMES)
def test_many_calls(name: str, tmp_path: Path, evidence: Any) -> None:
    """20,000 of each."""
    endure(name, 20_000, tmp_path, evidence)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_million_calls(name: str, tmp_path: Path, evidence: Any) -> None:
    """1,000,000 of each; fewer of those in RARE, which write or read files or train in epochs."""
    endure(name, 1_000_000, tmp_path, evidence)


# ---- all that is public ----
def public_calls(models: array_calls.Models, folder: Path) -> tuple[dict[str, Callable[[], Any]], list[Any]]:
    """Every public call: with arrays, with a text where arrays belong, and without; and the objects that they use."""
    slots = array_calls.slots()
    good = {slot.name: lambda slot=slot: slot.call(models, slot.plain) for slot in slots}
    bad = {
        f"{slot.name} refused": refused(lambda slot=slot: slot.call(models, "no array"))
        for slot in slots
        if not isinstance(matrix.expectation(slot, "a str"), str)
    }
    held = flat.parts([vars(models), *(slot.plain for slot in slots)])
    return good | bad | plain_calls.calls(models, folder), held


# They make arrays with NumPy's `zeros` and `ones` of no stated dtype, or are given some.
MAKE_FLOAT64 = {
    "QuantizedHyperModel.error_bound(cond)", "QuantizedHyperModel (bf16).error_bound(cond)", "utils.to_categorical(x)",
    "initializers.Initializer", "HyperModel.from_config", "HyperModel.__init__",
    *(f"optimizers.{name}.apply([grad, .])" for name in ("SGD", "Adam", "AdamW", "RMSprop")),
    *(f"optimizers.{name}.apply([grad, .]) refused" for name in ("SGD", "Adam", "AdamW", "RMSprop")),
}  # fmt: skip


def call_all(count: int, folder: Path) -> tuple[int, int]:
    """Every public call so many times; how many calls there are and how many objects are watched."""
    models = array_calls.Models()
    known, held = public_calls(models, folder)
    watch, wrong, of_numpy = flat.Watch(held), [], flat.numpy_gains()
    assert set(known) >= MAKE_FLOAT64
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # thousands of steps may diverge
        for name, call in known.items():
            models.restore()
            try:
                watch.settled(call, count, of_numpy if name in MAKE_FLOAT64 else flat.NOTHING)
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
    assert not wrong, f"{len(wrong)} calls leave something:\n" + "\n".join(wrong[:40])
    return len(known), len(held)


@pytest.mark.slow
@pytest.mark.gate
def test_every_public_call_is_flat(tmp_path: Path, evidence: Any) -> None:
    """200 of each."""
    calls, held = call_all(200, tmp_path)
    claim = "public calls that 200 times over leave references, objects and memory as they were"
    evidence(claim, tried=calls, required=900, calls_of_each=200, held=held)


@pytest.mark.slow
def test_every_public_call_is_flat_for_long(tmp_path: Path, evidence: Any) -> None:
    """4,000 of each, four million in all."""
    calls, held = call_all(4_000, tmp_path)
    claim = "public calls that 4,000 times over leave references, objects and memory as they were"
    evidence(claim, tried=calls, required=900, calls_of_each=4_000, held=held)


def test_no_public_call_is_missing(tmp_path: Path) -> None:
    """What tests/test_input_matrix.py lists as taking no arrays is called without; it proves that the rest is a slot."""
    found = set(plain_calls.calls(array_calls.Models(), tmp_path))
    names = {f"{module}.{name}" for module, listed in matrix.NO_ARRAYS.items() for name in listed.split()}
    for kind in (hn.Model, hn.Sequential, hn.HyperModel):
        names |= {f"{kind.__name__}.{name}" for name in matrix.METHODS_WITHOUT_ARRAYS & matrix.methods(kind)}
    names |= {f"optimizers.SGD.{name}" for name in matrix.OF_OPTIMIZERS_WITHOUT_ARRAYS}
    assert names <= found, names - found
    for call in plain_calls.calls(array_calls.Models(), tmp_path).values():
        call()


LEAKED: list[Any] = []
LIBC = ctypes.CDLL(None)
LEAKS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "an object": ("python_blocks", lambda model: LEAKED.append(object())),
    "a list": ("objects", lambda model: LEAKED.append([])),
    "a reference": ("references", lambda model: ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))),
    "a reference lost": ("references", lambda model: ctypes.pythonapi.Py_DecRef(ctypes.py_object(model))),
    "a block of the library": ("library_blocks", lambda model: LEAKED.append(_core.Store(3, "float32"))),
    "16 bytes of malloc": ("heap", lambda model: LIBC.malloc(16)),
}


@pytest.mark.not_sanitized("the allocators are the sanitizer's, which mallinfo2 and CPython do not count")
@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_seen(leak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each per call, in 300 calls: the criteria of every test here tell it, and name it."""
    if leak.endswith("malloc") and not flat.heap():
        pytest.skip("needs mallinfo2 of glibc 2.33")
    monkeypatch.setattr(flat, "ROUNDS", 1)
    model = hn.target_network(3, 2, hidden=4)
    named, spoil = LEAKS[leak]
    watch = flat.Watch(flat.parts([model]))
    watch.spare += [model] * 1000
    with pytest.raises(AssertionError, match=named):
        watch.settled(lambda: spoil(model), 300)
    undo = {"a reference": ctypes.pythonapi.Py_DecRef, "a reference lost": ctypes.pythonapi.Py_IncRef}.get(leak)
    for _ in range(flat.SETTLING + 300 if undo else 0):
        undo(ctypes.py_object(model))
    LEAKED.clear()


def test_calls_without_a_leak_are_flat() -> None:
    """The same watch finds nothing in calls that leave nothing."""
    model = hn.target_network(3, 2, hidden=4)
    flat.Watch(flat.parts([model])).settled(lambda: model(X), 300)
