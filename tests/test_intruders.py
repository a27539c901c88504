"""Python code that runs in the midst of a call and changes the arrays of that call: their shape, dtype or size.

It runs where arguments are converted, where subclasses are asked, between batches, and in signal handlers. What a call has
checked it keeps: a right answer or an exception, never memory that is not there. Each case that could end the process has
one of its own.
"""

from __future__ import annotations

import subprocess
import sys

import hypernet as hn
import numpy as np
import pytest

BEGIN = """
import numpy as np, hypernet as hn
from hypernet import _core
"""
GRAPH = """
graph = _core.Graph("float32")
graph.output(graph.add("dense", "d", {"units": 4}, [graph.input("x", (8,), "float32")]))
network = _core.Network(graph, _core.Store(36, "float32"), (0, 32))
"""
CASES = {
    # A subclass that is asked whether `out` overlaps takes another shape.
    "out of a subclass": """
class Reshaping(np.ndarray):
    def __array_function__(self, function, types, args, kwargs):
        self.shape = (2, rows // 2, 3)
        return False

rows = 3000
memory = np.ones((rows, 2, 3), np.float32)
x, out = memory[:, 0, :], memory[:, 1, :].view(Reshaping)
model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(3)])
model.set_weights([np.eye(3, dtype=np.float32), np.full(3, 2, np.float32)])
hn.functional_call(model, model.params, x, out=out)
assert out.shape == (rows, 3) and (np.asarray(out) == 3).all() and (x == 1).all()
""",
    # Between two batches the data get another shape.
    "batches as they stand": GRAPH
    + """
x = np.arange(800, dtype=np.float32).reshape(100, 8)

def step(group, call):
    if call == 0:
        x.shape = (2, 400)
    return group[0].copy(), None

batches = _core.run_batches(step, ((x,),), -1, 100, None, 10, 10, (), 0, (), None, False, -1.0)
found = np.concatenate([batch[0] for batch in batches])
assert found.tobytes() == x.tobytes() and found.shape == (100, 8)
""",
    "batches gathered": """
x, order = np.arange(800, dtype=np.float32).reshape(100, 8), np.arange(100)[::-1].copy()

def step(group, call):
    if call == 0:
        x.shape = (2, 400)
        group[0].shape = (80, 1)  # what every batch is gathered into is shown in views
    return np.array(group[0]).reshape(10, 8), None

batches = _core.run_batches(step, ((x,),), -1, 100, order, 10, 10, (), 0, (), None, False, -1.0)
found = np.concatenate([batch[0] for batch in batches])
assert (found == x.reshape(100, 8)[::-1]).all()
""",
    # The labels change the dtype of the predictions, which were looked at before.
    "a loss's predictions": """
prediction = np.full((50, 10), 0.1)

class Labels:
    def __array__(self, dtype=None, copy=None):
        prediction.dtype = np.float32
        return np.zeros(50, "int64")

found = _core.loss_gradient("sparse_categorical_crossentropy", "probabilities", 0.0, Labels(), prediction, None)
assert found.shape == (50, 10) and found.dtype == np.float64
""",
    # The only other reference to an array is that of a tuple or list: NumPy would resize it.
    "weights of an update": """
count = 1 << 20

class Gradient:
    def __array__(self, dtype=None, copy=None):
        arguments[0].resize((4,))
        return np.ones(count, np.float32)

off = float("inf")
optimizer = _core.Optimizer("sgd", (0.0,) * 4, 0.0, off, off, off, [(0, 0, count, True, True)], "float32")
arguments = (np.zeros(count, np.float32), Gradient(), 1.0, 1.0)
try:
    optimizer.apply(*arguments)
except ValueError as error:
    assert "resize" in str(error)
else:
    raise AssertionError("resized")
assert arguments[0].shape == (count,) and not arguments[0].any()
""",
    "numbers to be written": """
count = 1 << 20
store = _core.Store(count, "float32")

class Offset:
    def __index__(self):
        writes[0][2].resize((4,))
        return 0

writes = [(store, 0, np.ones(count, np.float32)), (store, Offset(), np.ones(1, np.float32))]
try:
    _core.write_all(writes, False)
except ValueError as error:
    assert "resize" in str(error)
else:
    raise AssertionError("resized")
assert store.version == 0 and not store.view(0, (count,)).any()
store.claim()
""",
    # Rows without elements take no memory: there can be more of them than any loop ends with.
    "ids without elements": """
model = hn.Sequential([hn.Input((0,), dtype="int64"), hn.layers.Embedding(10, 4)])
assert model(np.zeros((10**13, 0), np.int64)).shape == (10**13, 0, 4)
""",
}


@pytest.mark.parametrize("case", CASES)
def test_the_call_keeps_what_it_checked(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + CASES[case]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"


def test_ids_are_copied_out_of_a_subclass() -> None:
    """The copy that is checked and then used is one that nobody else has."""
    seen: list[np.ndarray] = []

    class Ids(np.ndarray):
        def __array_finalize__(self, given):
            seen.append(self)

    model = hn.Sequential([hn.Input((5,), dtype="int64"), hn.layers.Embedding(10, 4)])
    ids = np.zeros((7, 5), np.int64).view(Ids)
    seen.clear()
    model(ids)
    assert not [array for array in seen if not np.shares_memory(array, ids)]


@pytest.mark.parametrize("shared", [False, True])
def test_theta_with_gaps_between_its_rows(shared: bool) -> None:
    """Its gradient has no gaps: the same numbers as for a theta without."""
    rng = np.random.default_rng(0)
    target = hn.target_network(3, 2)
    count, rows = target.count_params(), 500
    memory = rng.standard_normal((rows, 2 * count), dtype=np.float32)
    x = rng.standard_normal((1 if shared else rows, 7, 3), dtype=np.float32)
    wide = memory[:, :count]
    found = []
    for theta in (wide, wide.copy()):
        y, pullback = hn.functional_vjp(target, theta, x)
        found.append((y, *pullback(np.ones_like(y))[:2]))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
