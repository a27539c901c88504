"""Up to a million calls of every public entry, of good and of bad arguments: memory and reference counts stay where they were.

The ordinary share is 20,000 calls (gate); `-m "slow and not gate"` makes the million. What writes and reads files is
called less often.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypernet as hn
import numpy as np
import pytest
from hypernet import _core

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc"),
]

MIB = 1 << 20
RNG = np.random.default_rng(0)
X, COND = RNG.standard_normal((2, 3), dtype=np.float32), RNG.standard_normal((2, 4), dtype=np.float32)
Y, GIVEN = RNG.standard_normal((2, 2), dtype=np.float32), np.ones((2, 2), np.float32)
ARGUMENTS = [X, COND, Y, GIVEN, None, True, (), np.dtype("float32"), np.dtype("float64"), np.dtype("int64"), np.ndarray]


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def refused(call: Callable[[], Any]) -> Callable[[], None]:
    def attempt() -> None:
        try:
            call()
        except (ValueError, TypeError, OSError):
            return
        raise AssertionError("the call should have been refused")

    return attempt


def entries(folder: Path) -> dict[str, Callable[[], Any]]:
    hn.utils.set_random_seed(1)
    model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(4, activation="relu"), hn.layers.Dense(2)])
    hyper = hn.HyperModel(hn.hypernetwork(4, model.count_params(), hidden=4), model)
    model.compile(hn.optimizers.SGD(1e-9), "mean_squared_error")
    hyper.compile(hn.optimizers.Adam(1e-9), "mean_squared_error")
    theta = hyper.generate(COND)
    flat, listed, out = model.params.copy(), model.get_weights(), np.empty((2, 2), np.float32)
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
        "unflatten": lambda: model.unflatten(flat),
        "params": lambda: model.params,
        "get_weights": model.get_weights,
        "set_weights, flat": lambda: model.set_weights(flat),
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
    return good | {name: refused(call) for name, call in bad.items()}


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


def references() -> int:
    gc.collect()
    return sum(min(sys.getrefcount(item), 2**28) for item in ARGUMENTS)


def endure(name: str, million: int, folder: Path, evidence: Any) -> None:
    known = entries(folder)
    assert set(known) == set(NAMES)
    call, count = known[name], max(million // RARE.get(name, 1), 200)
    for _ in range(200):
        call()
    before = references(), sys.getallocatedblocks(), _core.counters()["live_blocks"], resident()
    for _ in range(count):
        call()
    after = references(), sys.getallocatedblocks(), _core.counters()["live_blocks"], resident()
    shared, objects, blocks, growth = (b - a for a, b in zip(before, after, strict=True))
    assert abs(shared) < 100 and blocks == 0, (shared, blocks)
    assert objects < 200, objects
    claim = f"{count:,} calls of {name} leave references and blocks as they were, and memory flat"
    evidence(claim, tried=count, required=count, worst=growth / MIB, bound=2.0, unit="MiB", objects=objects)


@pytest.mark.gate
@pytest.mark.parametrize("name", NAMES)
def test_many_calls(name: str, tmp_path: Path, evidence: Any) -> None:
    """20,000 of each."""
    endure(name, 20_000, tmp_path, evidence)


@pytest.mark.parametrize("name", NAMES)
def test_a_million_calls(name: str, tmp_path: Path, evidence: Any) -> None:
    """1,000,000 of each; fewer of those in RARE, which write or read files or train in epochs."""
    endure(name, 1_000_000, tmp_path, evidence)
