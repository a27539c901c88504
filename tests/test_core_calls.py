"""Calls of the core that Python's layers and models do not make, or seldom: what they give is right all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypernet import _core

from test_core_refusals import COMMON, COND, EACH, ONE, TWO, hyper, network, nothing_is_left, offsets_of

__all__ = ["nothing_is_left"]  # a fixture of every test here, too


def test_gradients_of_no_rows_are_zero() -> None:
    """A step on no rows clears the whole gradient that it is given, and sums nothing."""
    gradient = np.full(8, np.nan, np.float32)
    sums = network().step((ONE[:0],), (TWO[:0],), *EACH, "gradients", *COMMON, 1.0, gradient)
    assert sums[:4] == ([0.0], [0.0], [0.0], 0.0) and (gradient == 0).all()
    gradient = np.full(40, np.nan, np.float32)
    sums = hyper().step((COND[:0],), (ONE[:0],), (TWO[:0],), *EACH, "rows", "gradients", *COMMON, 1.0, gradient)
    assert sums[:4] == ([0.0], [0.0], [0.0], 0.0) and (gradient == 0).all()


def test_integer_outputs_have_no_gradient() -> None:
    """Ids that a graph hands on are an output, whose gradient reaches nothing: that of the input beside it is right."""
    made = _core.Graph("float32")
    ids, x = made.input("ids", (2,), "int64"), made.input("x", (3,), "float32")
    made.output(ids)
    made.output(made.add("dense", "out", {"units": 2, "use_bias": False}, [x]))
    store = _core.Store(made.parameter_count, "float32")
    kernel = store.view(0, (3, 2))
    kernel[...] = np.arange(6).reshape(3, 2)
    given = (np.zeros((2, 2), np.int64), ONE)
    (of_ids, of_x), flat = _core.Network(made, store, offsets_of(made)).gradients(
        given, (np.full((2, 2), np.nan, np.float32), TWO), True, True, *COMMON
    )
    assert of_ids is None
    np.testing.assert_array_equal(of_x, TWO @ kernel.T)
    np.testing.assert_array_equal(flat, (ONE.T @ TWO).ravel())
    del kernel, store


def test_shapes_that_take_turns() -> None:
    """The plan of a shape that was not the last is found again: the same numbers, and no more memory."""
    made = _core.Graph("float32")
    x = made.input("x", (-1, 2), "float32")
    made.output(made.add("activation", "bend", {"activation": "tanh"}, [x]))
    one = _core.Network(made, None, [])
    inputs = [np.random.default_rng(n).standard_normal((3, n, 2)).astype(np.float32) for n in (1, 2, 3)]
    first = [one.predict((x,), None, False, 0, 0)[0] for x in inputs]
    blocks = _core.counters()["live_blocks"]
    for _ in range(4):
        for x, expected in zip(inputs, first, strict=True):
            np.testing.assert_array_equal(one.predict((x,), None, False, 0, 0)[0], expected)
            np.testing.assert_allclose(expected, np.tanh(x), rtol=1e-6)
    assert _core.counters()["live_blocks"] == blocks
    del one


def test_training_that_is_off_is_no_further_argument() -> None:
    """A call with training=False or None goes straight to `_direct`; one with True, or another name, does not."""

    class Model(_core.Callable):
        def _call(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

    model = Model()
    model._direct = lambda x: ("direct", x)
    assert model(1) == model(1, training=False) == model(1, training=None) == ("direct", 1)
    for further in ({"training": True}, {"other": False}, {"training": False, "other": None}):
        assert model(1, **further) == ((1,), further)
    assert model(1, False) == ((1, False), {})


def test_everything_is_dropped() -> None:
    """A rate of 1 leaves zeros in training, and everything otherwise; so do their gradients."""
    made = _core.Graph("float32")
    made.output(made.add("dropout", "drop", {"rate": 1.0}, [made.input("x", (3,), "float32")]))
    drop = _core.Network(made, None, [])
    for training, kept in ((True, 0.0), (False, 1.0)):
        np.testing.assert_array_equal(drop.predict((ONE,), None, training, 0, 0)[0], kept * ONE)
        (of_x,), _ = drop.gradients((ONE,), (ONE,), True, False, training, 0, 0)
        np.testing.assert_array_equal(of_x, kept * ONE)
    del drop


def test_a_generator_without_a_linear_end_generates_its_output() -> None:
    """Where there is no base, the weights are the generator's output bit for bit, into an array of any gaps."""
    made = _core.Graph("float32")
    x = made.input("c", (4,), "float32")
    made.output(made.add("dense", "out", {"units": 8, "activation": "tanh"}, [x]))
    store = _core.Store(made.parameter_count, "float32")
    store.view(0, (40,))[...] = np.random.default_rng(0).standard_normal(40)
    generator = _core.Network(made, store, offsets_of(made))
    expected = generator.predict((COND,), None, False, 0, 0)[0]
    of_values = hyper(generator=generator)
    assert of_values.head == "values"
    np.testing.assert_array_equal(of_values.generate((COND,), None, False, 0, 0), expected)
    del store, generator, of_values
