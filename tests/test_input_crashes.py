"""Input that could end the process: sizes that no machine has, arrays that are resized in the middle of a call."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import hypernet as hn
import numpy as np
import pytest

import array_calls
import odd_arrays

HUGE = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
import array_calls, odd_arrays

models, slots, count = array_calls.Models(), array_calls.slots(), 0
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, used + 2**31))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
weights = models.params()
for slot in slots:
    if slot.family in {families!r} or any(name in slot.name for name in {names!r}):
        continue
    signal.alarm(20)
    try:
        slot.call(models, odd_arrays.huge(slot.plain))
    except (MemoryError, ValueError) as error:
        assert str(error), slot.name
    else:
        raise AssertionError(slot.name + ": no error")
    assert models.params() == weights, slot.name
    models.restore()
    slot.call(models, slot.plain)
    models.restore()
    count += 1
print(count)
"""
# These have nothing to allocate, because they give views, or sums of whatever length (which takes hours), or batch
# after batch.
FAMILIES = ("view", "loss weight")
NAMES = ("metrics.", "regularizers.", "in batches", "constraints.Constraint(w)", "utils.to_categorical")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc and limits")
def test_arrays_of_more_rows_than_memory(evidence):
    """2**40 rows in the memory of one: MemoryError or ValueError at once, no weight changed, and the call still works."""
    code = HUGE.format(tests=str(Path(__file__).parent), families=FAMILIES, names=NAMES)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    evidence("arrays of 2**40 rows", tried=int(done.stdout), required=200)


# ---- arrays that another argument resizes ----
BIG = 200_000  # large enough for memory of its own, which is unmapped when it is freed


class Resizing(odd_arrays.WithArray):
    """An array that shrinks another one while it is converted."""

    def __init__(self, other: np.ndarray, numbers: np.ndarray) -> None:
        def give() -> np.ndarray:
            other.resize((1,), refcheck=False)
            return numbers

        super().__init__(give)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def regressor() -> hn.Model:
    model = hn.Sequential([hn.Input((4,)), hn.layers.Dense(3)])
    model.compile("sgd", "mse")
    return model


def two_inputs() -> None:
    left, right = hn.Input((4,)), hn.Input((4,))
    x = ones(BIG, 4)
    hn.Model([left, right], hn.layers.Add()([left, right])).predict([x, Resizing(x, ones(BIG, 4))], verbose=0)


def targets() -> None:
    x = ones(BIG, 4)
    regressor().fit(x, Resizing(x, ones(BIG, 3)), batch_size=1000, shuffle=False, verbose=0)


def weights_of_rows() -> None:
    y = ones(BIG, 3)
    regressor().fit(ones(BIG, 4), y, sample_weight=Resizing(y, ones(BIG)), batch_size=1000, verbose=0)


def one_condition() -> None:
    target = regressor()
    hyper = hn.HyperModel(hn.hypernetwork(BIG, target.count_params(), hidden=1), target, init=None)
    cond = ones(BIG)
    hyper.predict([cond, Resizing(cond, ones(5, 4))], verbose=0)


def gradient_of_outputs() -> None:
    x = ones(BIG, 4)
    y, pullback = regressor().vjp(x)
    pullback(Resizing(x, np.ones_like(y)))


def gradient_of_a_variable() -> None:
    variable = ones(BIG, 4)
    hn.optimizers.Adam().apply(Resizing(variable, ones(BIG, 4)), variable)


def gradient_of_another_variable() -> None:
    variable, other = ones(BIG, 4), ones(3)
    hn.optimizers.Adam().apply([ones(BIG, 4), Resizing(variable, ones(3))], [variable, other])


def predictions() -> None:
    true = ones(BIG, 4)
    hn.losses.MeanSquaredError().value_and_grad(true, Resizing(true, ones(BIG, 4)))


def weights_of_a_model() -> None:
    model = hn.Sequential([hn.Input((4,)), hn.layers.Dense(BIG)])
    kernel = ones(4, BIG)
    model.set_weights([kernel, Resizing(kernel, ones(BIG))])


@pytest.mark.parametrize(
    "call",
    [
        two_inputs, targets, weights_of_rows, one_condition, gradient_of_outputs, gradient_of_a_variable,
        gradient_of_another_variable, predictions, weights_of_a_model,
    ],
)  # fmt: skip
def test_an_array_that_another_argument_resizes(call):
    """ValueError: the shape is looked at after all arguments are converted, and no view of the old memory is kept."""
    with pytest.raises(ValueError):
        call()


def test_a_list_that_its_item_clears():
    """The call goes on with the items it had, or says what is missing."""
    model = regressor()
    before = model.params.copy()
    weights = model.get_weights()
    weights[1] = odd_arrays.WithArray(lambda: (weights.clear(), ones(3))[1])
    model.set_weights(weights)
    assert model.params[-3:].tolist() == [1.0] * 3 and model.params[:12].tobytes() == before[:12].tobytes()
    x = [odd_arrays.WithArray(lambda: (x.clear(), ones(5, 4))[1])]
    with pytest.raises(ValueError, match=r"\(1, 5, 4\)"):
        model.predict(x, verbose=0)
    assert x == []


def test_the_whole_batch_resized_between_forward_and_backward():
    """A loss of one's own that shrinks the data it is computed on: ValueError, and the weights stay."""
    model, x, y = hn.Sequential([hn.Input((4,)), hn.layers.Dense(3)]), ones(BIG, 4), ones(BIG, 3)

    def loss(y_true, y_pred):
        x.resize((1,), refcheck=False)
        return np.square(y_pred - y_true).mean(-1), y_pred

    model.compile("sgd", loss)
    before = model.params.tobytes()
    with pytest.raises(ValueError, match="input 0"):
        model.train_on_batch(x, y)
    assert model.params.tobytes() == before


class Shrinking(hn.callbacks.Callback):
    """Shrinks an array after the first batch."""

    def __init__(self, array: np.ndarray) -> None:
        super().__init__()
        self.array = array

    def on_train_batch_end(self, batch, logs=None):
        self.array.resize((1,), refcheck=False)

    on_test_batch_end = on_predict_batch_end = on_train_batch_end


@pytest.mark.parametrize(
    ("what", "part"),
    [
        *itertools.product(["fit", "evaluate"], ["x", "the owner of x", "y", "weights"]),
        *itertools.product(["predict"], ["x", "the owner of x"]),
    ],
)
def test_arrays_cannot_be_resized_while_batches_are_taken_from_them(what, part):
    """ValueError of NumPy's, even with refcheck=False: the batches to come are views."""
    model, owner, y, weights = regressor(), ones(BIG, 4), ones(BIG, 3), ones(BIG)
    x = owner[:-1] if part == "the owner of x" else owner
    callback = Shrinking({"x": x, "y": y, "weights": weights}.get(part, owner))
    options = {"batch_size": BIG // 4, "verbose": 0, "callbacks": [callback]}
    with pytest.raises(ValueError, match="resize"):
        if what == "predict":
            model.predict(x, **options)
        elif what == "fit":
            model.fit(x, y[: len(x)], sample_weight=weights[: len(x)], shuffle=False, **options)
        else:
            model.evaluate(x, y[: len(x)], sample_weight=weights[: len(x)], **options)
    callback.array.resize((1,), refcheck=False)  # afterwards it can


# ---- objects that no model has, but Python code can make ----
ITSELF = """
from hypernet import _core
model, left, right = _core.Callable(), _core.Callable(), _core.Callable()
model._direct, left._direct, right._direct = model, right, left
for call in (lambda: model(1), lambda: left(1), lambda: right(1, training=False)):
    try:
        call()
    except RecursionError:
        continue
    raise AssertionError("no RecursionError")
"""
CHAIN = """
from hypernet import _core
for kind, links in ((_core.Callable, 500_000), (type("Model", (_core.Callable,), {}), 100_000)):
    last = None
    for _ in range(links):
        link = kind()
        link._direct, last = last, link
    del link, last
"""
RELEASED = """
import pathlib, tempfile
import numpy as np
from hypernet import _core
view = memoryview(bytearray(100))
view.release()
assert _core.store_of(view) is None
try:
    _core.write_file(str(pathlib.Path(tempfile.mkdtemp()) / "never"), {"a": view}, {})
except TypeError:
    pass
else:
    raise AssertionError("no TypeError")
store = _core.Store(100, "float32")
base = memoryview(store.view(0, (100,)))
array = np.asarray(base)
assert _core.store_of(array) is store and _core.store_of(base) is None
base.release()
assert _core.store_of(array) is store  # which has a view of its own
array.base.release()
del store, base
junk = [bytes(200) for _ in range(1000)]
assert _core.store_of(array) is None
"""
HALF_MADE = """
import gc
import numpy as np
from hypernet import _core

graph = _core.Graph("float32")
x = graph.input("x", (3,), "float32")
graph.output(graph.add("dense", "layer", {"units": 2}, [x]))
store, seen = _core.Store(8, "float32"), []

def look():
    seen.append([found for found in gc.get_objects() if type(found) in (_core.Network, _core.Hyper)])
    for found in seen[-1]:
        if type(found) is _core.Network:
            found.predict((np.zeros((4, 3), "float32"),), None, False, 0, 0)

class Offset:
    def __init__(self, number):
        self.number = number
    def __index__(self):
        look()
        return self.number

class Flag:
    def __bool__(self):
        look()
        return True

class Bad:
    def __index__(self):
        raise KeyError
    __bool__ = __index__

network = _core.Network(graph, store, [Offset(0), Offset(6)])
hyper = _core.Hyper(None, network, [Flag(), Flag()], None, None)
assert [[type(found) for found in there] for there in seen] == [[], [], [_core.Network], [_core.Network]]
assert gc.is_tracked(network) and gc.is_tracked(hyper)
for make in (lambda: _core.Network(graph, store, [0, Bad()]), lambda: _core.Hyper(None, network, [1, Bad()], None, None)):
    try:
        make()
    except KeyError:
        continue
    raise AssertionError("no KeyError")
assert network.predict((np.ones((4, 3), "float32"),), None, False, 0, 0)[0].shape == (4, 2)
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(ITSELF, id="a model that calls itself"),
        pytest.param(CHAIN, id="a chain of models that ends at once"),
        pytest.param(RELEASED, id="a released memoryview"),
        pytest.param(HALF_MADE, id="a model that is found before it is made"),
    ],
)
def test_objects_in_states_that_no_model_has(code):
    """Calls that lead back to themselves, chains of any length, released views and models under construction are
    answered or refused; the process goes on."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"


def test_slots_are_those_of_the_matrix():
    """What is left out of the huge arrays is there to be left out."""
    slots = array_calls.slots()
    assert set(FAMILIES) <= {slot.family for slot in slots}
    assert all(any(name in slot.name for slot in slots) for name in NAMES)
