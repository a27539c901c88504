"""Memory is bounded by results, activations and a tile: never by N x P, and flat over many calls."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap

import hypernet as hn
import numpy as np
import pytest

from flat import resident

N = 100_000
MIB = 1024 * 1024
# What one call may take beyond its arrays: tiles, packed panels, workspaces of all threads.
TILE_ALLOWANCE = 48 * MIB
NO_GROWTH = pytest.mark.not_sanitized("the address sanitizer keeps freed memory for a while, and notes on all memory")

GROWTH = """
import gc, sys
import numpy as np
import hypernet as hn

N, mode, what = {n}, {mode!r}, {what!r}
IN, OUT = 16, 4
target = hn.Sequential([
    hn.layers.Input((IN,)), hn.layers.Dense(64, activation="relu"), hn.layers.Dense(64, activation="relu"),
    hn.layers.Dense(OUT, activation="softmax"),
])
generator = hn.hypernetwork(4, target.count_params(), hidden=8)
hyper = hn.HyperModel(generator, target)
hyper.compile("adam", "sparse_categorical_crossentropy")
rng = np.random.default_rng(0)
def arrays(n):
    cond = rng.standard_normal((1 if mode == "one" else n, 4), dtype=np.float32)
    lead = {{"one": (n,), "rows": (n,), "tasks": (n, 2), "shared": (1, 2)}}[mode]
    out = {{"one": (n,), "rows": (n,), "tasks": (n, 2), "shared": (n, 2)}}[mode]
    return cond, rng.standard_normal((*lead, IN), dtype=np.float32), rng.integers(0, OUT, out)
def work(cond, x, y):
    if what == "predict":
        return hyper.predict([cond, x], batch_size=N, verbose=0)
    if what == "vjp":
        out, pullback = hyper.vjp(cond, x)
        return pullback(np.ones_like(out))
    return hyper.train_on_batch([cond, x], y)
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
work(*arrays(64))
data = arrays(N)
gc.collect()
before = peak()
work(*data)
print(peak() - before, target.count_params())
"""


@NO_GROWTH
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize("mode", ["one", "rows", "tasks", "shared"])
@pytest.mark.parametrize("what", ["predict", "vjp", "train"])
def test_growth_is_bounded(mode, what):
    script = textwrap.dedent(GROWTH.format(n=N, mode=mode, what=what))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    growth, parameters = map(int, done.stdout.split())
    rows = N * (2 if mode in ("tasks", "shared") else 1)
    # Results: outputs, their gradients, gradients of inputs and conditions, labels as integers.
    results = 4 * rows * (16 + 4 * 4) + 4 * N * 4
    # All rows of one network are one group: its activations and their gradients are the batch's.
    activations = 2 * 4 * rows * (64 + 64 + 4) if mode == "one" else 0
    allowed = results + activations + TILE_ALLOWANCE
    assert allowed < 4 * N * parameters / 8, "the test must be able to tell the two apart"
    assert growth <= allowed, f"grew by {growth / MIB:.0f} MiB, allowed {allowed / MIB:.0f} MiB"


SHARED = """
import gc
import numpy as np
import hypernet as hn

N, M, IN, OUT, what = 2000, 500, 64, 2, {what!r}
target = hn.Sequential([hn.layers.Input((IN,)), hn.layers.Dense(OUT)])
hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params(), hidden=8), target)
hyper.compile("adam", "mse")
rng = np.random.default_rng(0)
def arrays(n, m):
    cond = rng.standard_normal((n, 4), dtype=np.float32)
    return cond, rng.standard_normal((1, m, IN), dtype=np.float32), np.zeros((n, m, OUT), np.float32)
def work(cond, x, y):
    if what == "predict":
        return hyper.predict([cond, x], batch_size=N, verbose=0)
    if what == "vjp":
        out, pullback = hyper.vjp(cond, x)
        return pullback(y)
    return hyper.train_on_batch([cond, x], y)
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
work(*arrays(8, 4))
data = arrays(N, M)
gc.collect()
before = peak()
work(*data)
print(peak() - before, 4 * N * M * IN, data[2].nbytes)
"""


@NO_GROWTH
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize("what", ["predict", "vjp", "train"])
def test_shared_rows_are_not_copied(what):
    done = subprocess.run([sys.executable, "-c", SHARED.format(what=what)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    growth, copies, results = map(int, done.stdout.split())
    allowed = 3 * results + TILE_ALLOWANCE  # outputs, and their gradients
    assert allowed < copies / 3, "the test must be able to tell the two apart"
    assert growth <= allowed, f"grew by {growth / MIB:.0f} MiB, allowed {allowed / MIB:.0f} MiB"


def small_hyper() -> tuple[hn.HyperModel, np.ndarray, np.ndarray, np.ndarray]:
    target = hn.target_network(6, 3)
    hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
    hyper.compile("adam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    return (
        hyper,
        rng.standard_normal((4, 4), dtype=np.float32),
        rng.standard_normal((4, 6), dtype=np.float32),
        rng.integers(0, 3, 4),
    )


def test_a_workspace_serves_runs_of_fewer_groups():
    """What is added up for a block may be more for fewer groups: the sums of blocks of columns."""

    def trained() -> hn.HyperModel:
        hn.utils.set_random_seed(1)
        target = hn.Sequential([hn.layers.Input((64,)), hn.layers.Dense(63)])
        hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params(), hidden=702), target)
        hyper.compile("sgd", "mean_squared_error")
        return hyper

    rng = np.random.default_rng(0)
    condition, x, y = (rng.standard_normal((372, n), dtype=np.float32) for n in (4, 64, 63))
    whole, again = trained(), trained()
    for count in (372, 336, 186, 1):
        _, gradient = whole.loss_and_grad([condition[:count], x[:count]], y[:count])
        _, expected = (again if count == 372 else trained()).loss_and_grad([condition[:count], x[:count]], y[:count])
        np.testing.assert_array_equal(gradient, expected)


@NO_GROWTH
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_many_predicts_leave_memory_flat():
    hyper, cond, x, _ = small_hyper()
    for _ in range(1000):
        hyper([cond, x])
    gc.collect()
    before = resident()
    for _ in range(100_000):
        hyper([cond, x])
    gc.collect()
    assert resident() - before < 2 * MIB


@NO_GROWTH
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_many_training_steps_leave_memory_flat():
    hyper, cond, x, y = small_hyper()
    for _ in range(500):
        hyper.train_on_batch([cond, x], y)
    gc.collect()
    before = resident()
    for _ in range(10_000):
        hyper.train_on_batch([cond, x], y)
    gc.collect()
    assert resident() - before < 2 * MIB


def test_library_blocks_are_given_back():
    """Nothing that the C library allocated outlives its owners."""
    from hypernet import _core

    gc.collect()
    before = _core.counters()["live_blocks"]
    hyper, cond, x, y = small_hyper()
    hyper.train_on_batch([cond, x], y)
    _, pullback = hyper.vjp(cond, x)
    assert _core.counters()["live_blocks"] > before
    del hyper, pullback
    gc.collect()
    assert _core.counters()["live_blocks"] == before
