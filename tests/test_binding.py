"""What only the binding promises: buffers, lifetimes, locks, failing allocations, interpreters, compilers."""

from __future__ import annotations

import ast
import gc
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypernet import _core

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(0)
MSE = ("mean_squared_error", "probabilities", 0.0, 1.0)
SPARSE = ("sparse_categorical_crossentropy", "probabilities", 0.0, 1.0)


@pytest.fixture(autouse=True)
def no_failures_left() -> Iterator[None]:
    yield
    _core.fail_allocation_at(0)


def numbers(*shape: int, dtype: str = "float32") -> Any:
    return RNG.standard_normal(shape).astype(dtype)


def offsets_of(graph: _core.Graph) -> list[int]:
    return [entry[-1] for entry in graph.entries()]


def dense_graph(inputs: int, outputs: int, dtype: str = "float32", activation: str = "linear") -> _core.Graph:
    graph = _core.Graph(dtype)
    x = graph.input("x", (inputs,), dtype)
    hidden = graph.add("dense", "hidden", {"units": 5, "activation": "tanh"}, [x])
    graph.output(graph.add("dense", "out", {"units": outputs, "activation": activation}, [hidden]))
    return graph


def network(inputs: int = 3, outputs: int = 2, dtype: str = "float32", activation: str = "linear") -> _core.Network:
    graph = dense_graph(inputs, outputs, dtype, activation)
    store = _core.Store(graph.parameter_count, dtype)
    store.view(0, (store.count,))[...] = 0.5 * numbers(store.count, dtype=dtype)
    return _core.Network(graph, store, offsets_of(graph))


def ids_network() -> _core.Network:
    graph = _core.Graph("float32")
    ids = graph.input("ids", (2,), "int64")
    rows = graph.add("embedding", "table", {"input_dim": 4, "output_dim": 3}, [ids])
    graph.output(graph.add("reshape", "flat", {"target": (6,)}, [rows]))
    store = _core.Store(graph.parameter_count, "float32")
    store.view(0, (store.count,))[...] = numbers(store.count)
    return _core.Network(graph, store, offsets_of(graph))


def hyper(base: Any = None) -> _core.Hyper:
    """A generator of all weights of a target, in the same store as the generator's own."""
    target = dense_graph(3, 2)
    generator = dense_graph(4, target.parameter_count)
    store = _core.Store(generator.parameter_count, "float32")
    store.view(0, (store.count,))[...] = 0.3 * numbers(store.count)
    count = len(target.entries())
    return _core.Hyper(
        _core.Network(generator, store, offsets_of(generator)),
        _core.Network(target, None, offsets_of(target)),
        [True] * count,
        base,
        [(0.0, 0.01)] * count,
    )


def adam(count: int, dtype: str = "float32") -> _core.Optimizer:
    off = float("inf")
    return _core.Optimizer("adam", (0.9, 0.999, 1e-7, 0.0), 0.0, off, off, off, [(0, 0, count, True, True)], dtype)


def no_rows(model: Any) -> tuple[Any, ...]:
    empty = lambda n: np.zeros((0, n), np.float32)  # noqa: E731
    if isinstance(model, _core.Hyper):
        return (empty(4),), (empty(3),), (empty(2),), "rows", False, False, True, False, 0, 0
    return (empty(3),), (empty(2),), False, True, False, 0, 0


# ---- arrays that come in ----
def predict(model: _core.Network, *inputs: Any, out: Any = None) -> Any:
    return model.predict(inputs, None if out is None else (out,), False, 0, 0)[0]


def strided_variants(x: Any) -> dict[str, Any]:
    wide = np.zeros((x.shape[0], 7), x.dtype)
    wide[:, 2:5] = x
    raw = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    return {
        "a part of wider rows": wide[:, 2:5],
        "every other row": np.repeat(x, 2, axis=0)[::2],
        "backwards": x[::-1].copy()[::-1],
        "columns first": np.asfortranarray(x),
        "unaligned": unaligned,
        "other byte order": x.astype(x.dtype.newbyteorder()),
        "another float": x.astype("float64"),
        "read-only": frozen,
        "a list": x.tolist(),
        "a subclass": x.view(type("Sub", (np.ndarray,), {})),
    }


@pytest.mark.parametrize("name", list(strided_variants(numbers(6, 3))))
def test_inputs_of_every_layout_give_the_same(name):
    model, x = network(), numbers(6, 3)
    expected = predict(model, x)
    given = strided_variants(x)[name]
    np.testing.assert_array_equal(predict(model, given), expected)
    np.testing.assert_array_equal(np.asarray(given), x)


def test_rows_that_overlap_or_repeat_are_right():
    model, row = network(), numbers(1, 3)
    repeated = np.broadcast_to(row, (40, 3))
    np.testing.assert_allclose(predict(model, repeated), np.repeat(predict(model, row), 40, axis=0), rtol=1e-5)
    line = numbers(12)
    windows = np.lib.stride_tricks.sliding_window_view(line, 3)
    np.testing.assert_array_equal(predict(model, windows), predict(model, windows.copy()))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (np.array([["a", "b", "c"]]), TypeError),
        (np.array([[1, 2, 3]], object), TypeError),
        (np.array([[1, 2, 3]], complex), TypeError),
        (np.array([["2020-01-01"] * 3], "datetime64[D]"), TypeError),
        (numbers(3), ValueError),
        (numbers(2, 4), ValueError),
        (numbers(1, 2, 3), ValueError),
        (np.float32(1), ValueError),
        (None, TypeError),
    ],
)
def test_wrong_inputs(given, kind):
    with pytest.raises(kind, match="input 0"):
        predict(network(), given)


def test_ids():
    model = ids_network()
    expected = predict(model, np.array([[0, 1], [3, 2]]))
    for kind in ("int32", "uint8", "int64"):
        np.testing.assert_array_equal(predict(model, np.array([[0, 1], [3, 2]], kind)), expected)
    with pytest.raises(TypeError, match="integers"):
        predict(model, np.array([[0.0, 1.0]]))
    for bad in (-1, 4):
        out = np.full((2, 6), 7, np.float32)
        with pytest.raises(ValueError, match=str(bad)):
            predict(model, np.array([[0, 1], [bad, 0]]), out=out)
        assert (out == 7).all()


def test_ids_that_another_thread_changes_stay_inside_the_table():
    run_python(
        """
        import threading
        import numpy as np
        from hypernet import _core
        graph = _core.Graph("float32")
        rows = graph.add("embedding", "e", {"input_dim": 4, "output_dim": 3}, [graph.input("x", (2,), "int64")])
        graph.output(graph.add("reshape", "flat", {"target": (6,)}, [rows]))
        model = _core.Network(graph, _core.Store(12, "float32"), [0])
        ids, given = np.zeros((1_000_000, 2), np.int64), np.ones((1_000_000, 6), np.float32)
        done = threading.Event()
        def change():
            while not done.wait(0.001):
                ids[-10:] = 2**40
                done.wait(0.001)
                ids[-10:] = 0
        thread = threading.Thread(target=change)
        thread.start()
        for call in 30 * [
            lambda: model.predict((ids,), None, False, 0, 0),
            lambda: model.gradients((ids,), (given,), False, True, False, 0, 0),
        ]:
            try:
                call()
            except ValueError:
                pass
        done.set()
        thread.join()
        """
    )


def test_bad_id_far_down_changes_nothing():
    model = ids_network()
    ids = np.zeros((300_000, 2), np.int64)
    ids[-1, 1] = 9
    out = np.full((len(ids), 6), 7, np.float32)
    with pytest.raises(ValueError, match="9"):
        predict(model, ids, out=out)
    assert (out == 7).all()


def test_tuples_and_counts_are_checked():
    model, x = network(), numbers(2, 3)
    with pytest.raises(TypeError, match="tuple"):
        model.predict([x], None, False, 0, 0)
    with pytest.raises(ValueError, match="1 inputs expected, received 2"):
        model.predict((x, x), None, False, 0, 0)
    with pytest.raises(TypeError, match="5 positional"):
        model.predict((x,), None)
    with pytest.raises(TypeError, match="keyword"):
        _core.Store(count=3, dtype="float32")


class Clearing:
    """A number that empties the list or dict that it stands in while it is read."""

    def __init__(self, container: Any) -> None:
        self.container = container

    def __index__(self) -> int:
        self.container.clear()
        self.filler = [f"filler{i}" for i in range(100)]
        return 3


def test_lists_and_dicts_may_change_while_they_are_read():
    def list_of(*rest: Any) -> list[Any]:
        items: list[Any] = []
        items += [Clearing(items), *rest]
        return items

    graph = _core.Graph("float32")
    assert graph.tensor(graph.input("x", list_of(1, 2), "float32"))[0] == (3, 1, 2)
    attributes: dict[str, Any] = {}
    attributes["".join(["un", "its"])] = Clearing(attributes)
    assert graph.tensor(graph.add("dense", "a", attributes, [0]))[0] == (3, 1, 3)
    attributes["".join(["un", "its"])] = Clearing(attributes)
    assert _core.describe_op("dense", attributes, [list_of(4)], ["float32"], "float32")[0] == (3, 3)
    with pytest.raises(ValueError, match="tensor 3"):
        graph.add("add", "b", {}, list_of(0, 0))
    with pytest.raises(ValueError, match="begins at 3"):
        _core.Optimizer("sgd", (0.0,) * 4, 0.0, *[float("inf")] * 3, [(0, list_of()[0], 1, True, True)], "float32")
    model = dense_graph(3, 2)
    with pytest.raises(ValueError, match="do not lie"):
        _core.Network(model, _core.Store(3, "float32"), list_of(*offsets_of(model)[1:]))


def test_no_rows():
    assert predict(network(), numbers(0, 3)).shape == (0, 2)
    inputs, params = network().gradients((numbers(0, 3),), (numbers(0, 2),), True, True, False, 0, 0)
    assert inputs[0].shape == (0, 3) and not params.any()
    model = hyper()
    assert model.predict((numbers(0, 4),), (numbers(0, 3),), "rows", None, False, 0, 0)[0].shape == (0, 2)
    assert model.predict((numbers(5, 4),), (numbers(5, 0, 3),), "tasks", None, False, 0, 0)[0].shape == (5, 0, 2)


# ---- arrays that go out ----
def test_out_is_used_and_returned():
    model, x = network(), numbers(4, 3)
    out = np.empty((4, 2), np.float32)
    assert predict(model, x, out=out) is out
    np.testing.assert_array_equal(out, predict(model, x))
    wide = np.zeros((4, 5), np.float32)
    predict(model, x, out=wide[:, 1:3])
    np.testing.assert_array_equal(wide[:, 1:3], out)
    assert not wide[:, [0, 3, 4]].any()


def outs() -> dict[str, tuple[Any, Any, type[Exception], str]]:
    x = numbers(4, 3)
    both = np.zeros((4, 5), np.float32)
    frozen = np.zeros((4, 2), np.float32)
    frozen.flags.writeable = False
    return {
        "shape": (x, np.zeros((4, 3), np.float32), ValueError, r"\(4, 2\)"),
        "dtype": (x, np.zeros((4, 2)), TypeError, "float32"),
        "no array": (x, [[0.0, 0.0]] * 4, TypeError, "array"),
        "read-only": (x, frozen, ValueError, "read-only"),
        "columns first": (x, np.zeros((2, 4), np.float32).T, ValueError, "strides"),
        "rows that coincide": (
            x,
            np.lib.stride_tricks.as_strided(frozen.copy(), (4, 2), (0, 4)),
            ValueError,
            "strides",
        ),
        "overlaps the input": (both[:, :3], both[:, 2:4], ValueError, "overlaps"),
    }


@pytest.mark.parametrize("name", list(outs()))
def test_wrong_outs(name):
    x, out, kind, words = outs()[name]
    before = np.array(out)
    with pytest.raises(kind, match=words):
        predict(network(), x, out=out)
    np.testing.assert_array_equal(np.array(out), before)


def test_out_beside_the_input_is_no_overlap():
    both = np.zeros((4, 5), np.float32)
    both[:, :3] = numbers(4, 3)
    model = network()
    expected = predict(model, both[:, :3].copy())
    predict(model, both[:, :3], out=both[:, 3:])
    np.testing.assert_array_equal(both[:, 3:], expected)


def test_out_in_the_weights():
    model = network()
    assert model.store is not None
    view = model.store.view(0, (2, 2))
    with pytest.raises(ValueError, match="weights"):
        predict(model, numbers(2, 3), out=view)
    store = _core.Store(100, "float32")
    generator, target = dense_graph(1, dense_graph(3, 2).parameter_count), dense_graph(3, 2)
    generator_store = _core.Store(generator.parameter_count, "float32")
    base = store.view(0, (target.parameter_count,))
    model = _core.Hyper(
        _core.Network(generator, generator_store, offsets_of(generator)),
        _core.Network(target, None, offsets_of(target)),
        [True] * 4,
        base,
        None,
    )
    for out, words in ((generator_store.view(0, (2, 2)), "weights"), (store.view(4, (2, 2)), "base")):
        with pytest.raises(ValueError, match=words):
            model.predict((numbers(2, 1),), (numbers(2, 3),), "rows", (out,), False, 0, 0)


def test_outs_of_one_another():
    graph = _core.Graph("float32")
    x = graph.input("x", (2,), "float32")
    for name in ("a", "b"):
        graph.output(graph.add("activation", name, {"activation": "relu"}, [x]))
    model = _core.Network(graph, None, [])
    out = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="another out"):
        model.predict((numbers(3, 2),), (out, out), False, 0, 0)


def test_overlap_through_another_object_is_found():
    """An object over an array's memory is used in place, as the array would be."""
    model = network(3, 3)
    both = np.ones((4, 3), np.float32)
    with pytest.raises(ValueError, match="out 0 overlaps the memory of an input"):
        predict(model, memoryview(both), out=both)
    conditions, inputs = np.ones((5, 4), np.float32), numbers(5, 3)
    with pytest.raises(ValueError, match="a condition"):
        hyper().predict((memoryview(conditions),), (inputs,), "rows", (conditions[:, :2],), False, 0, 0)
    gradient = np.zeros(model.store.count, np.float32)
    with pytest.raises(ValueError, match="what the step reads"):
        model.step(
            (memoryview(gradient)[:12].cast("B").cast("f", (4, 3)),),
            (numbers(4, 3),),
            (None,),
            (MSE,),
            "gradients",
            False,
            0,
            0,
            1.0,
            gradient,
        )
    away = both.astype("float64")  # converted, so that nobody reads it any more
    np.testing.assert_array_equal(predict(model, away, out=both), predict(model, away))


def test_hyper_outs_and_conditions():
    model = hyper()
    both = np.zeros((5, 6), np.float32)
    with pytest.raises(ValueError, match="condition"):
        model.predict((both[:, :4],), (numbers(5, 3),), "rows", (both[:, 3:5],), False, 0, 0)
    with pytest.raises(ValueError, match="N = 5"):
        model.predict((numbers(5, 4),), (numbers(4, 3),), "rows", None, False, 0, 0)
    with pytest.raises(ValueError, match="mode"):
        model.predict((numbers(5, 4),), (numbers(5, 3),), "all", None, False, 0, 0)


def test_a_gradient_array_may_not_be_read_from():
    model = network()
    count = model.store.count
    x = numbers(4, 3)
    step = lambda gradient, mode="gradients": model.step(  # noqa: E731
        (x,), (numbers(4, 2),), (None,), (MSE,), mode, False, 0, 0, 1.0, gradient
    )
    for gradient, words in (
        (model.store.view(0, (count,)), "overlaps"),
        (np.zeros(count + 1, np.float32), "shape"),
        (np.zeros(2 * count, np.float32)[::2], "contiguous"),
    ):
        with pytest.raises(ValueError, match=words):
            step(gradient)
    for wrong in (np.zeros(count), None):
        with pytest.raises(TypeError, match="float32"):
            step(wrong)
    with pytest.raises(ValueError, match="mode"):
        step(None, "train")
    assert step(None, "evaluate")[1] == [4.0]


# ---- long calls are cut into blocks ----
def test_blocks_give_what_one_row_gives():
    graph = _core.Graph("float64")
    x = graph.input("x", (64,), "float64")
    graph.output(graph.add("dense", "d", {"units": 700, "activation": "softmax"}, [x]))
    store = _core.Store(graph.parameter_count, "float64")
    store.view(0, (store.count,))[...] = numbers(store.count, dtype="float64")
    model = _core.Network(graph, store, offsets_of(graph))
    rows = 9001
    x = numbers(rows, 64, dtype="float64")
    whole = predict(model, x)
    np.testing.assert_allclose(whole[[0, 4000, -1]], predict(model, x[[0, 4000, -1]]), rtol=1e-12)
    labels, weights = RNG.integers(0, 700, rows), RNG.random(rows)
    gradient = np.empty(store.count)
    parts = np.zeros(store.count)

    def run(first: int, last: int, to: Any) -> Any:
        part = slice(first, last)
        return model.step((x[part],), (labels[part],), (weights[part],), (SPARSE,), "gradients", False, 0, 0, 1.0, to)

    sums = run(0, rows, gradient)
    total = 0.0
    for first in range(0, rows, 500):
        piece = np.empty(store.count)
        total += run(first, first + 500, piece)[0][0]
        parts += piece
    np.testing.assert_allclose(sums[0], [total], rtol=1e-10)
    assert sums[1] == [rows] and sums[2] == pytest.approx([weights.sum()])
    np.testing.assert_allclose(gradient, parts, rtol=1e-8, atol=1e-8 * np.abs(parts).max())
    dy = numbers(rows, 700, dtype="float64")
    dx, params = model.gradients((x,), (dy,), True, True, False, 0, 0)
    np.testing.assert_allclose(
        dx[0][-7:], model.gradients((x[-7:],), (dy[-7:],), True, False, False, 0, 0)[0][0], atol=1e-10
    )
    halves = [model.gradients((x[h],), (dy[h],), False, True, False, 0, 0)[1] for h in (slice(4000), slice(4000, None))]
    np.testing.assert_allclose(params, sum(halves), atol=1e-8 * np.abs(params).max())
    labels[-1] = 700
    gradient[...] = 3
    with pytest.raises(ValueError, match="700"):
        run(0, rows, gradient)
    assert (gradient == 3).all()


def test_dropout_does_not_depend_on_blocks():
    graph = _core.Graph("float32")
    x = graph.input("x", (1000,), "float32")
    graph.output(graph.add("dropout", "drop", {"rate": 0.5}, [x]))
    model = _core.Network(graph, None, [])
    ones = np.ones((5000, 1000), np.float32)
    whole = model.predict((ones,), None, True, 3, 1)[0]
    np.testing.assert_array_equal(model.predict((ones[:10],), None, True, 3, 1)[0], whole[:10])
    assert len(np.unique(whole[::499], axis=0)) == len(whole[::499])


def test_workspaces_are_kept():
    model, x = network(), numbers(9, 3)
    predict(model, x)
    blocks = _core.counters()["live_blocks"]
    _core.fail_allocation_at(1)
    for rows in (9, 1, 5):
        predict(model, x[:rows])
    _core.fail_allocation_at(0)
    assert _core.counters()["live_blocks"] == blocks
    del model
    gc.collect()
    assert _core.counters()["live_blocks"] < blocks


def test_plans_of_many_shapes_are_bounded():
    graph = _core.Graph("float32")
    x = graph.input("x", (-1, 3), "float32")
    graph.output(graph.add("dense", "d", {"units": 2}, [x]))
    store = _core.Store(graph.parameter_count, "float32")
    model = _core.Network(graph, store, offsets_of(graph))
    counts = []
    for width in [*range(1, 40), *range(1, 40)]:
        assert predict(model, numbers(2, width, 3)).shape == (2, width, 2)
        counts.append(_core.counters()["live_blocks"])
    assert max(counts[20:]) == min(counts[20:])


# ---- stores and views ----
def test_views_keep_the_owner_alive():
    store = _core.Store(6, "float32")
    blocks = _core.counters()["live_blocks"]
    view = store.view(2, (2, 2))
    part = view[1:]
    assert view.shape == (2, 2) and view.flags.writeable and view.flags.aligned and not view.any()
    del store, view
    gc.collect()
    part[...] = 5
    assert (part == 5).all() and _core.counters()["live_blocks"] == blocks
    del part
    assert _core.counters()["live_blocks"] < blocks


def test_live_views_are_counted():
    store = _core.Store(6, "float64")
    assert (store.count, store.dtype, store.live_views) == (6, "float64", 0)
    whole, part = store.view(0, (6,)), store.view(0, (3,))[1:]
    assert store.live_views == 2
    column = whole.reshape(3, 2)[:, 0]
    del whole
    assert store.live_views == 2
    del column
    assert store.live_views == 1
    memory = memoryview(part)
    del part
    assert store.live_views == 1
    memory.release()
    del memory
    gc.collect()
    assert store.live_views == 0


def test_store_of():
    store = _core.Store(6, "float32")
    view = store.view(1, (4,))
    for array in (view, view[1:].reshape(3, 1), view.view(np.int32), np.asarray(memoryview(view))):
        assert _core.store_of(array) is store
    for other in (view.copy(), np.ones(3), [1.0], None):
        assert _core.store_of(other) is None
    assert _core.store_of(adam(3).slots[0]) is None


def test_views_outside():
    store = _core.Store(6, "float32")
    for offset, shape in ((0, (7,)), (-1, (2,)), (6, (1,)), (0, (-1,)), (0, (2**62, 8)), (2**63 - 1, (1,))):
        with pytest.raises(ValueError):
            store.view(offset, shape)
    assert store.view(6, (0,)).size == 0
    for count in (-1, 2**70):
        with pytest.raises(ValueError):
            _core.Store(count, "float32")
    with pytest.raises(MemoryError):
        _core.Store(2**62, "float32")
    with pytest.raises(ValueError):
        _core.Store(1, "int64")


def test_networks_stay_inside_their_store():
    graph = dense_graph(3, 2)
    offsets = offsets_of(graph)
    small = _core.Store(graph.parameter_count - 1, "float32")
    with pytest.raises(ValueError, match="out/bias"):
        _core.Network(graph, small, offsets)
    with pytest.raises(ValueError):
        _core.Network(graph, _core.Store(100, "float32"), [-1, *offsets[1:]])
    with pytest.raises(ValueError):
        _core.Network(graph, small, offsets[1:])
    with pytest.raises(TypeError):
        _core.Network(graph, _core.Store(100, "float64"), offsets)
    with pytest.raises(RuntimeError, match="functional"):
        predict(_core.Network(graph, None, offsets), numbers(1, 3))
    with pytest.raises(RuntimeError, match="cannot change"):
        graph.output(0)


def train(model: Any, optimizer: Any, rows: int = 4, learning_rate: float = 0.1) -> Any:
    if isinstance(model, _core.Hyper):
        data = (numbers(rows, 4),), (numbers(rows, 3),), (numbers(rows, 2),), (None,), (MSE,), "rows"
    else:
        data = (numbers(rows, 3),), (numbers(rows, 2),), (None,), (MSE,)
    return model.train_step(*data, 0, 0, float(rows), optimizer, learning_rate)


def test_versions():
    model = network()
    store = model.store
    versions = [store.version]
    optimizer = adam(store.count)
    for act in (
        lambda: train(model, optimizer),
        lambda: optimizer.apply(store, numbers(store.count), 0.1, 1.0),
        lambda: optimizer.apply(store.view(0, (store.count,)), numbers(store.count), 0.1, 1.0),
    ):
        act()
        versions.append(store.version)
    assert versions == sorted(set(versions)) and optimizer.step == 3
    before = store.view(0, (store.count,)).copy()
    delta = optimizer.delta(store, numbers(store.count), 0.1, 1.0)
    assert store.version == versions[-1] and optimizer.step == 3 and delta.any()
    np.testing.assert_array_equal(store.view(0, (store.count,)), before)


def test_a_second_writer_is_refused():
    model = network()
    store = model.store
    optimizer = adam(store.count)
    train(model, optimizer)
    before, version = store.view(0, (store.count,)).copy(), store.version
    slots = [slot.copy() for slot in optimizer.slots]
    store.claim()
    for act in (
        store.claim,
        lambda: train(model, optimizer),
        lambda: optimizer.apply(store, numbers(store.count), 0.1, 1.0),
    ):
        with pytest.raises(RuntimeError, match="writ"):
            act()
    predict(model, numbers(2, 3))  # readers go on
    store.release()
    assert store.version == version and optimizer.step == 1
    np.testing.assert_array_equal(store.view(0, (store.count,)), before)
    for slot, old in zip(optimizer.slots, slots, strict=True):
        np.testing.assert_array_equal(slot, old)
    train(model, optimizer)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_child_of_a_fork_may_write_whatever_the_parents_threads_did():
    model, x, stop = network(3, 500), numbers(5000, 3), threading.Event()
    writer = network()

    def read() -> None:
        while not stop.is_set():
            predict(model, x)

    thread = threading.Thread(target=read)
    thread.start()
    writer.store.claim()
    try:
        for _ in range(5):
            time.sleep(0.02)
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # instead of hanging
                y = np.zeros((4, 500), np.float32)
                model.train_step((x[:4],), (y,), (None,), (MSE,), 0, 0, 1.0, adam(model.store.count), 0.1)
                train(writer, adam(writer.store.count))
                predict(model, x)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()
        writer.store.release()


def test_readers_and_a_writer_in_threads():
    model = network(activation="softmax")
    optimizer = adam(model.store.count)
    x, stop, wrong = numbers(600, 3), threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            if not np.allclose(predict(model, x).sum(axis=1), 1, atol=1e-5):
                wrong.append(1)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        train(model, optimizer, 64)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not wrong and optimizer.step == 300 and not any(thread.is_alive() for thread in threads)


# ---- optimizers ----
def test_slots_are_live():
    optimizer = adam(3)
    slots = optimizer.slots
    weights = np.ones(3, np.float32)
    optimizer.apply(weights, np.ones(3, np.float32), 0.1, 1.0)
    np.testing.assert_allclose(slots[0], 0.1, rtol=1e-6)
    slots[0][...] = 0.5
    np.testing.assert_array_equal(optimizer.slots[0], slots[0])
    for step in (2**53, 9):
        optimizer.step = step
        optimizer.apply(weights, np.ones(3, np.float32), 0.1, 1.0)
        assert optimizer.step == step + 1 and np.isfinite(weights).all()
    slots[0][...] = 0.5
    del optimizer
    gc.collect()
    assert (slots[0] == 0.5).all()


def test_spans():
    off = float("inf")
    make = lambda spans: _core.Optimizer("sgd", (0.0, 0.0, 0.0, 0.0), 0.0, off, off, off, spans, "float32")  # noqa: E731
    optimizer = make([(4, 0, 2, True, True), (0, 2, 3, False, True)])
    weights, gradient = np.zeros(6, np.float32), np.arange(1, 6, dtype=np.float32)
    optimizer.apply(weights, gradient, 1.0, 0.5)
    np.testing.assert_array_equal(weights, [0, 0, 0, 0, -0.5, -1])
    optimizer.set_spans([(4, 0, 2, False, True), (0, 2, 3, True, True)])
    np.testing.assert_array_equal(optimizer.delta(weights, gradient, 1.0, 1.0), [0, 0, -3, -4, -5])
    with pytest.raises(ValueError, match="size"):
        optimizer.set_spans([(0, 0, 4, True, True)])
    for spans in (
        [(0, 1, 2, True, True)],
        [(0, 0, 2, True, True), (1, 2, 2, True, True)],
        [(2**63 - 1, 0, 2, True, True)],
        [(-1, 0, 2, True, True)],
        [(0, 0, -2, True, True)],
        [(0, 0, 2)],
    ):
        with pytest.raises(ValueError):
            make(spans)
    with pytest.raises(ValueError, match="reach"):
        optimizer.apply(np.zeros(5, np.float32), gradient, 1.0, 1.0)


def test_updates_check_their_arrays():
    optimizer, gradient = adam(4), np.ones(4, np.float32)
    whole = np.ones(6, np.float32)
    frozen = np.ones(4, np.float32)
    frozen.flags.writeable = False
    for weights, other, kind in (
        (np.ones(4), gradient, TypeError),
        ([1.0] * 4, gradient, TypeError),
        (_core.Store(4, "float64"), gradient, TypeError),
        (np.ones(8, np.float32)[::2], gradient, ValueError),
        (frozen, gradient, ValueError),
        (whole[:4], whole[2:], ValueError),
        (np.ones(4, np.float32), np.ones(5, np.float32), ValueError),
        (np.ones(4, np.float32), optimizer.slots[0], ValueError),
        (optimizer.slots[0], gradient, ValueError),
    ):
        with pytest.raises(kind):
            optimizer.apply(weights, other, 0.1, 1.0)
    assert optimizer.step == 0 and not optimizer.slots[0].any() and (whole == 1).all()
    with pytest.raises(ValueError, match="parameters"):
        train(network(), optimizer)
    with pytest.raises(TypeError, match="Optimizer"):
        train(network(), None)


# ---- weights of losses ----
def test_sample_weights_of_every_length():
    graph = _core.Graph("float64")
    x = graph.input("x", (2, 3, 4), "float64")
    graph.output(graph.add("activation", "a", {"activation": "tanh"}, [x]))
    model = _core.Network(graph, None, [])
    x, y = numbers(5, 2, 3, 4, dtype="float64"), numbers(5, 2, 3, 4, dtype="float64")
    losses = np.square(np.tanh(x) - y).mean(axis=-1)
    for shape in ((5,), (5, 2), (5, 2, 3)):
        weight = RNG.random(shape)
        wide = np.broadcast_to(weight.reshape(shape + (1,) * (3 - len(shape))), (5, 2, 3))
        sums = model.step((x,), (y,), (weight,), (MSE,), "evaluate", False, 0, 0, 1.0, None)
        assert sums[0] == pytest.approx([(losses * wide).sum()]) and sums[1] == [30]
        assert sums[2] == pytest.approx([wide.sum()])
    for shape in ((2,), (5, 3), (5, 2, 3, 4), ()):
        with pytest.raises(ValueError, match="weight 0"):
            model.step((x,), (y,), (np.ones(shape),), (MSE,), "evaluate", False, 0, 0, 1.0, None)
    graph = _core.Graph("float32")
    graph.output(graph.add("dense", "d", {"units": 2}, [graph.input("x", (2,), "float32")]))
    model = _core.Hyper(None, _core.Network(graph, None, [0, 0]), [True, True], None, None)
    x, y = numbers(3, 4, 2), numbers(3, 4, 2)
    theta = numbers(3, model.generated_count)
    out = model.predict((theta,), (x,), "tasks", None, False, 0, 0)[0]
    losses = np.square(out - y).mean(axis=-1)
    for shape in ((3,), (3, 4)):
        weight = RNG.random(shape).astype(np.float32)
        wide = np.broadcast_to(weight.reshape(shape + (1,) * (2 - len(shape))), (3, 4))
        sums = model.step((theta,), (x,), (y,), (weight,), (MSE,), "tasks", "evaluate", False, 0, 0, 1.0, None)
        assert sums[0] == pytest.approx([(losses * wide).sum()], rel=1e-5)


# ---- reference counts ----
def calls() -> dict[str, Callable[[], Any]]:
    """Every entry, in a way that succeeds."""
    plain, whole = network(), hyper()
    x, y, cond = numbers(3, 3), numbers(3, 2), numbers(3, 4)
    gradient = np.empty(plain.store.count, np.float32)
    sizes = {"plain": plain.store.count, "hyper": whole.gradients(*no_rows(whole))[2].size}
    optimizers = {name: adam(size) for name, size in sizes.items()}
    hyper_gradient = np.empty(sizes["hyper"], np.float32)
    weights, out = np.zeros(sizes["plain"], np.float32), np.empty((3, 2), np.float32)
    store, graph = _core.Store(8, "float32"), dense_graph(3, 2)
    one = np.ones((2, 3), np.float32)
    labels = np.array([0, 1])
    step = (x,), (y,), (np.ones(3, np.float32),), (MSE,)
    hyper_step = (cond,), (x,), (y,), (np.ones(3),), (MSE,), "rows"
    shapes = [(0, 0, sizes["plain"], True, True)]
    return {
        "Store": lambda: _core.Store(8, "float32"),
        "Store.view": lambda: store.view(1, (2, 3))[1:],
        "Store.claim": lambda: (store.claim(), store.release()),
        "Store properties": lambda: (store.count, store.dtype, store.version, store.live_views),
        "store_of": lambda: _core.store_of(store.view(0, (2,))),
        "write_all": lambda: _core.write_all([(store, 1, one), (store, 0, one[0]), (plain.store, 0, weights)], False),
        "Graph": lambda: dense_graph(3, 2),
        "Graph reads": lambda: (graph.entries(), graph.tensor(1), graph.json(), graph.parameter_count, graph.dtype),
        "Network": network,
        "Network.predict": lambda: plain.predict((x,), None, False, 0, 0),
        "Network.predict out": lambda: plain.predict((x,), (out,), False, 0, 0),
        "Network.predict converted": lambda: plain.predict((x.tolist(),), None, False, 0, 0),
        "Network.gradients": lambda: plain.gradients((x,), (y,), True, True, False, 0, 0),
        "Network.step": lambda: plain.step(*step, "gradients", True, 0, 0, 1.0, gradient),
        "Network.step evaluate": lambda: plain.step(*step, "evaluate", True, 0, 0, 1.0, None),
        "Network.train_step": lambda: plain.train_step(*step, 0, 0, 3.0, optimizers["plain"], 1e-9),
        "Hyper": hyper,
        "Hyper.predict": lambda: whole.predict((cond,), (x,), "rows", None, False, 0, 0),
        "Hyper.gradients": lambda: whole.gradients((cond,), (x,), (y,), "rows", True, True, True, False, 0, 0),
        "Hyper.step": lambda: whole.step(*hyper_step, "gradients", True, 0, 0, 1.0, hyper_gradient),
        "Hyper.train_step": lambda: whole.train_step(*hyper_step, 0, 0, 3.0, optimizers["hyper"], 1e-9),
        "Hyper properties": lambda: (whole.head, whole.generated_count),
        "Optimizer": lambda: adam(3),
        "Optimizer.apply": lambda: optimizers["plain"].apply(weights, gradient, 0.0, 1.0),
        "Optimizer.delta": lambda: optimizers["plain"].delta(weights, gradient, 0.0, 1.0),
        "Optimizer.slots": lambda: optimizers["plain"].slots,
        "Optimizer.set_spans": lambda: optimizers["plain"].set_spans(shapes),
        "Optimizer.step": lambda: setattr(optimizers["plain"], "step", 10**12),
        "map_forward": lambda: _core.map_forward("relu_general", (0.1, 6.0, 0.0), one),
        "map_backward": lambda: _core.map_backward("softmax", (), one, one, one),
        "loss_values": lambda: _core.loss_values(SPARSE[0], SPARSE[1], 0.0, labels, one),
        "loss_gradient": lambda: _core.loss_gradient(MSE[0], MSE[1], 0.0, one, one, np.ones(2, np.float32)),
        "tables": lambda: (_core.ops(), _core.heads(), _core.available_isas(), _core.isa(), _core.counters()),
        "describe_op": lambda: _core.describe_op("dense", {"units": 3}, [(-1, 4)], ["float32"], "float32"),
        "threads": lambda: _core.set_num_threads(_core.get_num_threads()),
    }


def failing_calls() -> dict[str, Callable[[], Any]]:
    """The same on arguments that are refused at different depths."""
    plain, whole = network(), hyper()
    x, y, cond, wrong = numbers(3, 3), numbers(3, 2), numbers(3, 4), numbers(3, 9)
    optimizer = adam(3)
    return {
        "dtype": lambda: _core.Store(8, "float16"),
        "input": lambda: plain.predict((wrong,), None, False, 0, 0),
        "kind": lambda: plain.predict((np.array([["a"] * 3]),), None, False, 0, 0),
        "out": lambda: plain.predict((x,), (x,), False, 0, 0),
        "output gradient": lambda: plain.gradients((x,), (wrong,), True, True, False, 0, 0),
        "target": lambda: plain.step((x,), (wrong,), (None,), (MSE,), "evaluate", True, 0, 0, 1.0, None),
        "weight": lambda: plain.step((x,), (y,), (wrong,), (MSE,), "evaluate", True, 0, 0, 1.0, None),
        "loss": lambda: plain.step(
            (x,), (y,), (None,), (("what", "logits", 0.0, 1.0),), "evaluate", 1, 0, 0, 1.0, None
        ),
        "optimizer": lambda: plain.train_step((x,), (y,), (None,), (MSE,), 0, 0, 1.0, optimizer, 0.1),
        "hyper input": lambda: whole.predict((cond,), (wrong,), "rows", None, False, 0, 0),
        "hyper target": lambda: whole.step(
            (cond,), (x,), (wrong,), (None,), (MSE,), "rows", "evaluate", True, 0, 0, 1.0, None
        ),
        "graph": lambda: dense_graph(3, 2).add("dense", "hidden", {"units": 9}, [0]),
        "network": lambda: _core.Network(dense_graph(3, 2), None, [0]),
        "hyper": lambda: _core.Hyper(None, plain, [True], None, None),
        "spans": lambda: optimizer.set_spans([(0, 0, 9, True, True)]),
        "apply": lambda: optimizer.apply(wrong, wrong, 0.1, 1.0),
        "write_all": lambda: _core.write_all([(plain.store, 0, x), (plain.store, 9999, wrong)], False),
        "map": lambda: _core.map_forward("relu", (1.0,), x),
        "labels": lambda: _core.loss_values(SPARSE[0], SPARSE[1], 0.0, np.array([0, 1, 9]), x),
        "file": lambda: _core.read_file("/nowhere/at/all"),
        "tensors": lambda: _core.write_file("/nowhere/at/all", {"a": wrong, "b": np.array(["a"])}, {}),
    }


def attempt(call: Callable[[], Any]) -> None:
    try:
        call()
    except (ValueError, TypeError, OSError):
        return
    raise AssertionError("the call should have failed")


def references() -> int:
    """References to the objects that everything returns or refers to, and all objects that there are."""
    gc.collect()
    shared: list[Any] = [None, True, np.dtype("float32"), np.dtype("float64"), np.dtype("int64"), (), MSE]
    kinds = [_core.Store, _core.Graph, _core.Network, _core.Hyper, _core.Optimizer, np.ndarray, float, list, tuple]
    return sum(min(sys.getrefcount(item), 2**28) for item in [*shared, *kinds])


def flat(call: Callable[[], Any], repeat: int) -> None:
    for _ in range(50):
        call()
    before = references()  # collects what earlier tests have left, too
    blocks, allocated = _core.counters()["live_blocks"], sys.getallocatedblocks()
    for _ in range(repeat):
        call()
    after = references()
    # A leak of one reference a call would show as `repeat`.
    assert abs(after - before) < repeat // 10
    assert sys.getallocatedblocks() - allocated < repeat // 10
    assert _core.counters()["live_blocks"] == blocks


@pytest.mark.parametrize("name", list(calls()))
def test_reference_counts_stay_flat(name):
    flat(calls()[name], 10_000)


@pytest.mark.parametrize("name", list(failing_calls()))
def test_reference_counts_stay_flat_when_calls_fail(name):
    call = failing_calls()[name]
    flat(lambda: attempt(call), 2_000)


# ---- allocations that fail ----
def fail_at_every_allocation(make: Callable[[], Any], run: Callable[[Any], Any], state: Callable[[Any], Any]) -> int:
    """Lets the k-th allocation fail for every k that there is; returns how many there were."""
    for k in range(1, 2000):
        subject = make()
        before = state(subject)
        _core.fail_allocation_at(k)
        try:
            run(subject)
        except (MemoryError, OSError) as error:
            assert str(error)
        else:
            _core.fail_allocation_at(0)
            return k - 1
        finally:
            _core.fail_allocation_at(0)
        assert state(subject) == before
        run(subject)  # still usable
    raise AssertionError("the call never succeeded")


def state_of(subject: Any) -> Any:
    model, optimizer = subject
    store = model.store
    slots = [slot.tobytes() for slot in optimizer.slots]
    return store.view(0, (store.count,)).tobytes(), store.version, store.live_views, optimizer.step, slots


def make_plain() -> Any:
    model = network()
    return model, adam(model.store.count)


RUNS: dict[str, Callable[[Any], Any]] = {
    "predict": lambda s: predict(s[0], numbers(5, 3)),
    "gradients": lambda s: s[0].gradients((numbers(5, 3),), (numbers(5, 2),), True, True, False, 0, 0),
    "step": lambda s: s[0].step(
        (numbers(5, 3),), (numbers(5, 2),), (None,), (MSE,), "evaluate", False, 0, 0, 1.0, None
    ),
    "train_step": lambda s: train(*s),
}


@pytest.mark.parametrize("name", list(RUNS))
def test_failing_allocations_change_nothing(name):
    blocks = _core.counters()["live_blocks"]
    assert fail_at_every_allocation(make_plain, RUNS[name], state_of) > 5
    gc.collect()
    assert _core.counters()["live_blocks"] == blocks


class Holder:
    """A Hyper with the store of its generator."""

    def __init__(self) -> None:
        target = dense_graph(3, 2)
        generator = dense_graph(4, target.parameter_count)
        self.store = _core.Store(generator.parameter_count, "float32")
        self.store.view(0, (self.store.count,))[...] = numbers(self.store.count)
        networks = (
            _core.Network(generator, self.store, offsets_of(generator)),
            _core.Network(target, None, offsets_of(target)),
        )
        self.hyper = _core.Hyper(*networks, [True] * 4, None, [(0.1, 0.1)] * 4)


HYPER_RUNS: dict[str, Callable[[Any], Any]] = {
    "predict": lambda s: s[0].hyper.predict((numbers(5, 4),), (numbers(5, 3),), "rows", None, False, 0, 0),
    "gradients": lambda s: s[0].hyper.gradients(
        (numbers(5, 4),), (numbers(5, 3),), (numbers(5, 2),), "rows", True, True, True, False, 0, 0
    ),
    "train_step": lambda s: train(s[0].hyper, s[1]),
}


def make_holder() -> Any:
    holder = Holder()
    return holder, adam(holder.store.count)


@pytest.mark.parametrize("name", list(HYPER_RUNS))
def test_failing_allocations_of_a_hyper_change_nothing(name):
    blocks = _core.counters()["live_blocks"]
    assert fail_at_every_allocation(make_holder, HYPER_RUNS[name], state_of) >= 2
    gc.collect()
    assert _core.counters()["live_blocks"] == blocks


@pytest.mark.parametrize(
    "make", [lambda: network(), lambda: hyper(), lambda: adam(5), lambda: _core.Store(3, "float32")]
)
def test_failing_allocations_of_constructors(make):
    gc.collect()
    blocks = _core.counters()["live_blocks"]
    count = fail_at_every_allocation(lambda: None, lambda _: make(), lambda _: None)
    gc.collect()
    assert count >= 2 and _core.counters()["live_blocks"] == blocks


def test_failing_allocations_of_files(tmp_path):
    path = tmp_path / "file.safetensors"
    tensors, texts = {"a": numbers(2, 3), "b": np.arange(3)}, {"key": "value"}
    blocks = _core.counters()["live_blocks"]
    _core.write_file(str(path), tensors, texts)
    content = path.read_bytes()
    other = {"a": numbers(2, 3)}

    def state(_: Any) -> Any:
        return sorted(tmp_path.iterdir()), path.read_bytes()

    def write(_: Any) -> None:
        path.write_bytes(content)
        _core.write_file(str(path), other, texts)

    for run in (write, lambda _: _core.read_file(str(path))):
        assert fail_at_every_allocation(lambda: path.write_bytes(content), run, state) > 3
    assert sorted(tmp_path.iterdir()) == [path] and _core.counters()["live_blocks"] == blocks


# ---- files ----
def test_files_round_trip(tmp_path):
    path = tmp_path / "file.safetensors"
    tensors = {
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "turned": np.asfortranarray(numbers(3, 4)),
        "swapped": np.arange(3.0).astype(">f8"),
        "every": np.arange(10)[::3],
        "ünïcode": np.ones(2, np.float32),
    }
    texts = {"k": 'väl\n"ue', "": ""}
    _core.write_file(path, tensors, texts)
    found, metadata = _core.read_file(os.fsencode(path))
    assert set(found) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape and found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].flags.c_contiguous and found[name].flags.owndata
    assert {key: metadata[key] for key in texts} == texts


@pytest.mark.parametrize(
    ("tensors", "texts", "kind"),
    [
        ({"a": np.ones(2, np.float16)}, {}, TypeError),
        ({"a": [1.0]}, {}, TypeError),
        ({1: np.ones(2)}, {}, TypeError),
        ({"a\0b": np.ones(2)}, {}, ValueError),
        ({"a": np.ones((1,) * 9)}, {}, ValueError),
        ({"a": np.ones(2)}, {"k": 1}, TypeError),
        ({"\ud800": np.ones(2)}, {}, ValueError),
        ([], {}, TypeError),
    ],
)
def test_what_a_file_cannot_hold(tensors, texts, kind, tmp_path):
    with pytest.raises(kind):
        _core.write_file(str(tmp_path / "file"), tensors, texts)
    assert not list(tmp_path.iterdir())


def test_files_are_whole_though_a_thread_trains(tmp_path):
    """Weights and the optimizer's state are those between two steps, and the checksum is that of what is written."""
    model, stop = network(3, 100_000), threading.Event()
    store, y = model.store, np.zeros((2, 100_000), np.float32)
    optimizer = _core.Optimizer(
        "sgd", (1.0, 0.0, 0.0, 0.0), 0.0, *[float("inf")] * 3, [(0, 0, store.count, True, True)], "float32"
    )
    x = numbers(2, 3)

    def work() -> None:
        while not stop.is_set():
            model.train_step((x,), (y,), (None,), (MSE,), 0, 0, 1.0, optimizer, 1e-3)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(15):
            arrays = {"weights": store.view(0, (store.count,)), "again": store.view(0, (store.count,))}
            arrays["velocity"] = optimizer.slots[0]
            _core.write_file(str(tmp_path / "a.safetensors"), arrays, {})
            found, _ = _core.read_file(str(tmp_path / "a.safetensors"))
            np.testing.assert_array_equal(found["weights"], found["again"])
    finally:
        stop.set()
        thread.join()


# ---- signals ----
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_a_handler_inside_a_reading_call_may_not_write():
    """It would wait for the call that it interrupts. Reading, and writing other parameters, it may."""
    model, other, x, outcomes = network(3, 500), network(), numbers(60_000, 3), []
    optimizer = adam(model.store.count)
    y = np.zeros((4, 500), np.float32)

    def handler(number: int, frame: Any) -> None:
        predict(model, x[:4])
        train(other, adam(other.store.count))
        try:
            model.train_step((x[:4],), (y,), (None,), (MSE,), 0, 0, 1.0, optimizer, 0.1)
        except RuntimeError as error:
            outcomes.append(str(error))
        else:
            outcomes.append("trained")

    old = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(200):
            signal.setitimer(signal.ITIMER_REAL, 0.003)
            predict(model, x)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if any("interrupted" in outcome for outcome in outcomes):
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert "interrupted" in outcomes[-1]
    model.train_step((x[:4],), (y,), (None,), (MSE,), 0, 0, 1.0, optimizer, 0.1)


MANY_STORES = """
import signal, sys, tempfile
import numpy as np
from hypernet import _core

stores = [_core.Store(1 << 22, "float32"), *[_core.Store(8, "float32") for _ in range(40)]]
arrays = {str(i): store.view(0, (store.count,)) for i, store in enumerate(stores)}
outcomes = []

def handler(number, frame):
    try:
        stores[-1].write(0, np.ones(1, "float32"))
    except RuntimeError as error:
        outcomes.append("interrupted" in str(error))

signal.signal(signal.SIGALRM, handler)
with tempfile.TemporaryDirectory() as folder:
    for attempt in range(200):
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0005 * (attempt % 8))
        _core.write_file(folder + "/file", arrays, {})
        signal.setitimer(signal.ITIMER_REAL, 0)
        if outcomes:
            break
assert outcomes == [True], outcomes
stores[-1].write(0, np.ones(1, "float32"))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_a_handler_inside_a_call_that_reads_many_stores_may_not_write():
    """Forty more than are kept in mind one by one: without knowing them all, the write would wait for ever."""
    subprocess.run([sys.executable, "-c", MANY_STORES], timeout=120, check=True)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@pytest.mark.parametrize("which", ["predict", "train_step", "hyper"])
def test_an_interrupt_ends_a_long_call(which):
    """A signal during one call of seconds ends it soon (in processor time); parameters are as before."""
    if which == "hyper":
        subject = make_holder()
        data = (numbers(300_000, 4),), (numbers(300_000, 3),), (numbers(300_000, 2),), (None,), (MSE,), "rows"
        store, run = subject[0].store, lambda: subject[0].hyper.train_step(*data, 0, 0, 1.0, subject[1], 0.1)
    else:
        graph = _core.Graph("float64")
        tensor = graph.input("x", (16,), "float64")
        for i in range(12):
            tensor = graph.add("dense", f"d{i}", {"units": 512, "activation": "tanh"}, [tensor])
        graph.output(tensor)
        store = _core.Store(graph.parameter_count, "float64")
        model = _core.Network(graph, store, offsets_of(graph))
        x, y = numbers(40_000, 16, dtype="float64"), np.zeros((40_000, 512))
        optimizer = adam(store.count, "float64")
        run = (
            (lambda: predict(model, x))
            if which == "predict"
            else lambda: model.train_step((x,), (y,), (None,), (MSE,), 0, 0, 1.0, optimizer, 0.1)
        )
    before, version, raised = store.view(0, (store.count,)).copy(), store.version, []

    def handler(number: int, frame: Any) -> None:
        raised.append(time.process_time())
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        started = time.process_time()
        with pytest.raises(KeyboardInterrupt):
            run()
        ended = time.process_time()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert raised[0] - started < 1.0 and ended - raised[0] < 1.0
    np.testing.assert_array_equal(store.view(0, (store.count,)), before)
    assert store.version == version
    store.claim()  # the right to write was given back
    store.release()


# ---- interpreters and compilers ----
def run_python(code: str, python: str = sys.executable, **environment: str) -> str:
    done = subprocess.run(
        [python, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_subinterpreter_gets_an_import_error(evidence):
    folder = str(Path(_core.__file__).resolve().parents[1])
    code = f"""
        import sys
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        inside = '''
        import sys
        sys.path.insert(0, {folder!r})
        import importlib.util
        spec = importlib.util.spec_from_file_location("hypernet._core", {_core.__file__!r})
        try:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        except ImportError as error:
            assert "subinterpreters" in str(error), error
        else:
            raise SystemError("imported")
        '''
        import textwrap
        number = interpreters.create()
        failure = interpreters.run_string(number, textwrap.dedent(inside))
        assert failure is None, failure
        print("done")
    """
    tries = 3
    assert [run_python(code).strip() for _ in range(tries)] == ["done"] * tries
    evidence("imports in another interpreter raise ImportError", tried=tries, required=3)


def test_importing_twice_gives_two_modules():
    code = f"""
        import importlib.util, sys
        import numpy as np
        made = []
        for _ in range(2):
            spec = importlib.util.spec_from_file_location("hypernet._core", {_core.__file__!r})
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            made.append(module)
        a, b = made
        assert a is not b and a.Store is not b.Store
        view = a.Store(3, "float32").view(0, (3,))
        assert a.store_of(view) is not None and b.store_of(view) is None
        view = None
        del a, made[0]
        print(b.Store(3, "float32").view(0, (3,)).sum())
    """
    assert run_python(code).strip() == "0.0"


def other_pythons() -> list[str]:
    """Interpreters with NumPy and headers, by the environment variable HYPERNET_PYTHONS."""
    return [path for path in os.environ.get("HYPERNET_PYTHONS", "").split(os.pathsep) if path]


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("python", [sys.executable, *other_pythons()])
def test_it_builds_without_warnings_and_imports(compiler, python, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    paths = run_python(
        "import sysconfig, numpy; print(sysconfig.get_paths()['include'], numpy.get_include(), "
        "sysconfig.get_config_var('EXT_SUFFIX'), sep='\\n')",
        python,
    ).split()
    package = tmp_path / "hypernet"
    package.mkdir()
    (package / "__init__.py").touch()
    command = [compiler, "-std=gnu11", "-O1", "-ffp-contract=fast", "-fvisibility=hidden", "-fPIC", "-shared"]
    command += ["-Wall", "-Wextra", "-Werror", "-isystem", paths[0], "-isystem", paths[1]]
    sources = [str(path) for path in sorted((ROOT / "hypernet_c").glob("*/*.c"))]
    flags = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    target = package / f"_core{paths[2]}"
    done = subprocess.run(
        [*command, *sources, *flags, "-lm", "-lpthread", "-o", str(target)], capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    code = """
        import numpy as np
        from hypernet import _core
        graph = _core.Graph("float32")
        x = graph.input("x", (3,), "float32")
        graph.output(graph.add("dense", "d", {"units": 2}, [x]))
        store = _core.Store(graph.parameter_count, "float32")
        store.view(0, (store.count,))[...] = 1
        model = _core.Network(graph, store, [entry[-1] for entry in graph.entries()])
        print(model.predict((np.ones((1, 3), np.float32),), None, False, 0, 0)[0].tolist())
    """
    assert run_python(code, python, PYTHONPATH=str(tmp_path)).strip() == "[[4.0, 4.0]]"


def test_the_stub_tells_what_there_is():
    tree = ast.parse((ROOT / "python" / "hypernet" / "_core.pyi").read_text())
    declared = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    present = {name for name in dir(_core) if not name.startswith("_")}
    assert present == set(declared)
    for name, node in declared.items():
        if isinstance(node, ast.ClassDef):
            members = {
                target
                for item in node.body
                for target in ([item.name] if isinstance(item, ast.FunctionDef) else [getattr(item, "target", None)])
            }
            names = {member if isinstance(member, str) else member.id for member in members if member is not None}
            public = {member for member in dir(getattr(_core, name)) if not member.startswith("_")}
            assert public == {member for member in names if not member.startswith("_")}, name
            assert names <= {*dir(getattr(_core, name))}, name
