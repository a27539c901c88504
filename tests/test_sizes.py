"""Sizes whose products do not fit, or need more memory than there is: an error that says so, never a wrong size.

In processes with a limited address space, so that what should be refused by its size is not granted lazily. What NumPy
refuses (results, and copies of views that take no memory) says nothing about the library's own arithmetic, and is counted
apart; `tests/c/giant_sizes.c` asks the library itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from c_build import program, run

resource = pytest.importorskip("resource", reason="needs limits of the address space")

SCRIPT = """
import json, os, resource, sys
import numpy as np
import hypernet as hn
from hypernet import _core

def used():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()

hn.set_num_threads(1)
target = hn.Sequential([hn.Input((3,)), hn.layers.Dense(4, activation="tanh"), hn.layers.Dense(2)])
hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params(), hidden=5), target)
hyper.compile("adam", "mse")
X, COND, Y = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32), np.ones((2, 2), np.float32)
expected = hyper([COND, X]).tobytes()
loss = hyper.test_on_batch([COND, X], Y)
limit = used() + 2**29
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

def giant(*shape, dtype=np.float32):
    "An array of one number that takes no memory."
    return np.broadcast_to(dtype(1), shape)

SIZES = [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**33 + 1, 2**40, 2**50]
MORE = [2**59, 2**60, 2**61 - 1, 2**61, 2**61 + 1, 2**62, 2**62 + 1, 2**63 - 2, 2**63 - 1]

def build(*layers):
    return hn.Sequential(list(layers))

def both(n):  # conditions and rows as many as their product says nothing about
    return hyper.predict([giant(n, 4), giant(n, 3)], batch_size=n, verbose=0)

def graph(op, attributes, shape, dtype="float32"):
    made = _core.Graph(dtype)
    made.output(made.add(op, "layer", attributes, [made.input("x", shape, dtype)]))
    network = _core.Network(made, _core.Store(made.parameter_count, dtype), [e[-1] for e in made.entries()])
    return network.predict((np.ones((1, *shape), dtype),), None, False, 0, 0)

L, I = hn.layers, hn.Input
calls = {
    "units": lambda n: build(I((1,)), L.Dense(n)),
    "units of many inputs": lambda n: build(I((7,)), L.Dense(n)),
    "units after units": lambda n: build(I((2,)), L.Dense(4, use_bias=False), L.Dense(n, use_bias=False)),
    "inputs": lambda n: build(I((n,)), L.Dense(3)),
    "inputs of two axes": lambda n: build(I((n, 2**20)), L.Dense(3))(giant(1, n, 2**20)),
    "embedding's ids": lambda n: build(I((2,), dtype="int64"), L.Embedding(n, 3)),
    "embedding's width": lambda n: build(I((2,), dtype="int64"), L.Embedding(3, n)),
    "normalization": lambda n: build(I((n,)), L.LayerNormalization()),
    "prelu": lambda n: build(I((n,)), L.PReLU()),
    "a store": lambda n: _core.Store(n, "float64"),
    "a graph, float64": lambda n: graph("dense", {"units": n}, (1,), "float64"),
    "a graph, float32": lambda n: graph("dense", {"units": n}, (3,)),
    "a generator's width": lambda n: hn.hypernetwork(4, n, hidden=5),
    "a generator's hidden layer": lambda n: hn.hypernetwork(4, 10, hidden=n),
    "a generator's bottleneck": lambda n: hn.hypernetwork(n, 10, hidden=5),
    "rows": lambda n: target.predict(giant(n, 3), batch_size=n, verbose=0),
    "rows, called": lambda n: target(giant(n, 3)),
    "rows of one network": lambda n: hyper([giant(1, 4), giant(n, 3)]),
    "networks": both,
    "networks of shared rows": lambda n: hyper([giant(n, 4), giant(1, 7, 3)]),
    "shared rows": lambda n: hyper([giant(5, 4), giant(1, n, 3)]),
    "networks and rows": lambda n: hyper([giant(2**20, 4), giant(1, n, 3)]),
    "tasks": lambda n: hyper([giant(7, 4), giant(7, n, 3)]),
    "generate": lambda n: hyper.generate(giant(n, 4)),
    "theta": lambda n: hn.functional_call(target, giant(n, target.count_params()), giant(n, 3)),
    "vjp": lambda n: hyper.vjp(giant(n, 4), giant(n, 3)),
    "pullback": lambda n: hyper.vjp(COND, X)[1](giant(n, 2)),
    "training": lambda n: hyper.train_on_batch([giant(n, 4), giant(n, 3)], giant(n, 2)),
    "evaluate": lambda n: hyper.evaluate([giant(n, 4), giant(n, 3)], giant(n, 2), batch_size=n, verbose=0),
    "loss_and_grad": lambda n: hyper.loss_and_grad([giant(n, 4), giant(n, 3)], giant(n, 2)),
    "sample weights": lambda n: hyper.train_on_batch([COND, X], Y, sample_weight=giant(n)),
    "set_weights": lambda n: target.set_weights(giant(n)),
    "unflatten": lambda n: target.unflatten(giant(n)),
    "apply": lambda n: hn.optimizers.Adam().apply(giant(n), giant(n)),
    "an activation": lambda n: _core.map_forward("relu", (), giant(n)),
    "a loss": lambda n: _core.loss_values("mean_squared_error", "probabilities", 0.0, giant(n, 3), giant(n, 3)),
    "spans": lambda n: _core.Optimizer(
        "adam", (0.9, 0.9, 1e-7, 0.0), 0.0, 1.0, 1.0, 1.0, [(0, 0, n, True, True)], "float64"
    ),
    "two spans": lambda n: _core.Optimizer(
        "adam", (0.9, 0.9, 1e-7, 0.0), 0.0, 1.0, 1.0, 1.0, [(0, 0, n, True, True), (n, n, n, True, True)], "float32"
    ),
    "a view": lambda n: _core.Store(3, "float32").view(0, (n, 2)),
    "quantize": lambda n: _core.quantize_head("int8", giant(3, n)),
    "quantize's rows": lambda n: _core.quantize_head("bfloat16", giant(n, 3)),
    "a file": lambda n: _core.write_file("/tmp/never-written.safetensors", {"a": giant(n)}, {}),
}

NUMPYS = ("iterator is too large", "Unable to allocate", "Maximum allowed dimension", "array is too big",
          "broadcast dimensions too large", "too many elements")

def is_numpys(error):
    "Whether NumPy has refused this: code of its own, or called by the binding."
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    inside = last.tb_frame.f_code.co_filename.startswith(os.path.dirname(np.__file__))
    return inside or type(error).__module__.startswith("numpy") or any(text in str(error) for text in NUMPYS)

tried, numpys, mine, wrong = 0, 0, 0, []
for name, call in calls.items():
    for size in SIZES + MORE:
        tried += 1
        try:
            result = call(size)
        except (MemoryError, ValueError) as error:
            numpys += is_numpys(error)
            mine += not is_numpys(error)
            if not str(error):
                wrong.append([name, size, "an error without a message"])
        except TypeError as error:  # what cannot be used in place says so before its size
            if "writ" not in str(error) and "contiguous" not in str(error):
                wrong.append([name, size, repr(error)])
        except BaseException as error:
            wrong.append([name, size, repr(error)[:300]])
        else:
            wrong.append([name, size, f"gave {type(result).__name__}"])
if hyper([COND, X]).tobytes() != expected or hyper.test_on_batch([COND, X], Y) != loss:
    wrong.append(["the model", 0, "computes something else now"])
print(json.dumps([tried, numpys, mine, wrong]))
"""


@pytest.mark.slow
@pytest.mark.gate
def test_sizes_that_do_not_fit(evidence: Any) -> None:
    """Every place where a size is multiplied, with sizes around 2^31 to 2^63: ValueError or MemoryError with a
    message, and the model computes on."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
    tried, numpys, mine, wrong = json.loads(done.stdout.splitlines()[-1])
    assert not wrong, wrong[:20]
    evidence("sizes that do not fit are refused", tried=mine, required=300, refused_by_numpy=numpys, calls=tried)


@pytest.mark.slow
@pytest.mark.gate
def test_giant_sizes_in_c(tmp_path: Path, evidence: Any) -> None:
    """Every dimension of graphs, plans, workspaces, hypernetworks and files in C is refused, or granted where memory does
    not grow with it: then it is as large as its outputs."""
    done = run(program("tests/c/giant_sizes.c", tmp_path), tmp_path / "file.safetensors")
    tried, _, refused, _ = done.split()
    evidence("giant sizes are refused by the C library", tried=int(refused), required=3100, calls=int(tried))


EMPTY = """
import numpy as np
import hypernet as hn

GIANT, count = 2**40, 0
layers = hn.layers

def both_ways(model, xs):
    global count
    y, pullback = model.vjp(xs)
    pullback(np.zeros_like(y))
    count += 1

def one(shape, layer):
    inputs = hn.Input(shape)
    return hn.Model(inputs, layer(inputs))

def two(kind, *shapes):
    inputs = [hn.Input(shape) for shape in shapes]
    return hn.Model(inputs, kind()(inputs))

LAYERS = [layers.PReLU, layers.ReLU, layers.Softmax, layers.LayerNormalization, layers.Flatten]
for shape in [(0,), (3, 0), (0, 3)]:
    x = np.zeros((GIANT, *shape), np.float32)
    for make in LAYERS:
        both_ways(one(shape, make()), x)
    for kind in (layers.Add, layers.Multiply, layers.Concatenate):
        both_ways(two(kind, shape, shape), [x, x])
for kind in (layers.Add, layers.Multiply):
    for shapes in [((3, 0), (1, 0)), ((1, 0), (3, 0))]:
        both_ways(two(kind, *shapes), [np.zeros((GIANT, *shape), np.float32) for shape in shapes])
    shapes = (GIANT, 0), (1, 0)
    both_ways(two(kind, *shapes), [np.zeros((2, *shape), np.float32) for shape in shapes])
for name in ("softmax", "log_softmax", "sparsemax", "glu", "tanh"):
    getattr(hn.activations, name)(np.zeros((GIANT, 0), np.float32))
    count += 1
print(count)
"""


def test_a_million_million_rows_of_nothing_take_no_time(evidence: Any) -> None:
    """Samples without elements, in every op forward and backward: nothing is to be done, and nothing is looped over."""
    done = subprocess.run([sys.executable, "-c", EMPTY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    evidence("calls with 2^40 rows, or an axis, of no elements end at once", tried=int(done.stdout), required=35)
