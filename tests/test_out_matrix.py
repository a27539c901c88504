"""Arrays that are written: `out=` of every call that has it, and what an optimizer updates, of every odd kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypernet as hn
import numpy as np
import pytest

import array_calls
from array_calls import COND, D, N, O, X

BOTH = (TypeError, ValueError)
THETA = array_calls.numbers(D * O + O)


@pytest.fixture(scope="module")
def models() -> array_calls.Models:
    return array_calls.Models()


# ---- out ----
Call = Callable[[array_calls.Models, Any, Any], Any]
CALLS: dict[str, tuple[Call, Any]] = {
    "Model.predict": (lambda m, x, out: m.regressor.predict(x, verbose=0, out=out), X),
    "Model.predict in batches": (lambda m, x, out: m.regressor.predict(x, 2, verbose=0, out=out), X),
    "HyperModel.predict": (lambda m, x, out: m.hyper.predict([COND, x], verbose=0, out=out), X),
    "HyperModel.predict in batches": (lambda m, x, out: m.hyper.predict([COND, x], 2, verbose=0, out=out), X),
    "QuantizedHyperModel.predict": (lambda m, x, out: m.small.predict([COND, x], verbose=0, out=out), X),
    "HyperModel.generate": (lambda m, x, out: m.hyper.generate(x, out=out), COND),
    "QuantizedHyperModel.generate": (lambda m, x, out: m.half.generate(x, out=out), COND),
    "functional_call(Model)": (lambda m, x, out: hn.functional_call(m.regressor, THETA, x, out=out), X),
    "functional_call(HyperModel)": (
        lambda m, x, out: hn.functional_call(m.hyper, m.hyper.params.copy(), [COND, x], out=out),
        X,
    ),
}
Shape = tuple[int, int]


def zeros(*shape: int, dtype: str = "float32") -> Any:
    return np.zeros(shape, dtype)


def misaligned(shape: Shape) -> Any:
    return np.zeros(4 * shape[0] * shape[1] + 1, np.uint8)[1:].view(np.float32).reshape(shape)


def read_only(shape: Shape) -> Any:
    found = zeros(*shape)
    found.flags.writeable = False
    return found


# What is passed, and the error; None: it is filled.
KINDS: dict[str, tuple[Callable[[Shape], Any], Any]] = {
    "an ordinary array": (lambda s: zeros(*s), None),
    "np.matrix": (lambda s: zeros(*s).view(np.matrix), None),
    "masked array": (lambda s: np.ma.masked_array(zeros(*s), mask=True), None),
    "subclass": (lambda s: zeros(*s).view(type("Sub", (np.ndarray,), {})), None),
    "one row more": (lambda s: zeros(s[0] + 1, s[1]), ValueError),
    "three rows more": (lambda s: zeros(s[0] + 3, s[1]), ValueError),
    "one row less": (lambda s: zeros(s[0] - 1, s[1]), ValueError),
    "one column more": (lambda s: zeros(s[0], s[1] + 1), ValueError),
    "one axis more": (lambda s: zeros(1, *s), ValueError),
    "one axis less": (lambda s: zeros(s[0] * s[1]), ValueError),
    "0-d": (lambda _: zeros(), ValueError),
    "no rows": (lambda s: zeros(0, s[1]), ValueError),
    "float64": (lambda s: zeros(*s, dtype="float64"), TypeError),
    "float16": (lambda s: zeros(*s, dtype="float16"), TypeError),
    "int32": (lambda s: zeros(*s, dtype="int32"), TypeError),
    "big-endian": (lambda s: zeros(*s, dtype=">f4"), TypeError),
    "complex": (lambda s: zeros(*s, dtype="complex64"), TypeError),
    "object": (lambda s: zeros(*s, dtype="object"), TypeError),
    "Fortran order": (lambda s: np.zeros(s, np.float32, order="F"), ValueError),
    "negative strides": (lambda s: zeros(*s)[::-1], ValueError),
    "every second column": (lambda s: zeros(s[0], 2 * s[1])[:, ::2], ValueError),
    "misaligned": (misaligned, TypeError),
    "read-only": (read_only, ValueError),
    "one row for all": (lambda s: np.lib.stride_tricks.as_strided(zeros(s[1]), s, (0, 4)), ValueError),
    "nested lists": (lambda s: zeros(*s).tolist(), BOTH),
    "a list of rows": (lambda s: list(zeros(*s)), BOTH),
    "a str": (lambda _: "out", TypeError),
    "a bytes": (lambda s: bytes(4 * s[0] * s[1]), TypeError),
    "a bytearray": (lambda s: bytearray(4 * s[0] * s[1]), TypeError),
    "memoryview": (lambda s: memoryview(zeros(*s)), TypeError),
    "a dict": (lambda _: {"elsewhere": 1}, BOTH),
    "an object": (lambda _: object(), TypeError),
}


def test_every_out_of_every_kind(models, evidence):
    """It is filled with the right numbers, or there is an error and nothing of it, of the inputs and the weights changes."""
    count, weights = 0, models.params()
    for name, (call, plain) in CALLS.items():
        right = np.array(call(models, plain, None))
        for kind, (make, expected) in KINDS.items():
            x, out = plain.copy(), make(right.shape)
            before = bytes(out) if isinstance(out, np.ndarray) and out.dtype != object else None
            if expected is None:
                assert call(models, x, out) is out, (name, kind)
                assert np.asarray(out).tobytes() == right.tobytes(), (name, kind)
            else:
                with pytest.raises(expected) as caught:
                    call(models, x, out)
                assert len(str(caught.value)) > 20, (name, kind)
                assert before is None or bytes(out) == before, (name, kind)
            assert x.tobytes() == plain.tobytes() and models.params() == weights, (name, kind)
            count += 1
    evidence("odd arrays as out", tried=count, required=288, calls=len(CALLS))


def test_an_out_over_an_input_is_refused_wherever_it_begins(models, evidence):
    """Also where a batch's rows overlap those of a later batch alone: the input keeps its numbers."""
    count = 0
    for name, (call, plain) in CALLS.items():
        shape = np.shape(call(models, plain, None))
        size = shape[0] * shape[1]
        memory = np.zeros(2 * size + plain.size, np.float32)
        x = memory[size : size + plain.size].reshape(plain.shape)
        for start in range(1, size + plain.size):
            memory[...] = 0
            x[...] = plain
            with pytest.raises(ValueError, match="overlap"):
                call(models, x, memory[start : start + size].reshape(shape))
            assert x.tobytes() == plain.tobytes(), (name, start)
            count += 1
        for start in (0, size + plain.size):  # next to it
            out = memory[start : start + size].reshape(shape)
            assert call(models, x, out) is out
    evidence("out at every place over an input", tried=count, required=300)


def test_an_out_over_weights_or_another_out_is_refused(models):
    """Also in batches, where only a later one would touch the weights."""
    before = models.regressor.params.tobytes()
    for model, size in ((models.regressor, 2), (models.regressor, None)):
        with pytest.raises(ValueError, match="overlap"):
            model.predict(X, size, verbose=0, out=model.params[: N * O].reshape(N, O))
    assert models.regressor.params.tobytes() == before
    inputs = hn.Input((D,))
    two = hn.Model(inputs, [hn.layers.Dense(O)(inputs), hn.layers.Dense(O)(inputs)])
    memory = np.zeros((2 * N, O), np.float32)
    for size in (None, 2):
        with pytest.raises(ValueError, match="overlap"):
            two.predict(X, size, verbose=0, out=[memory[:N], memory[N - 1 : -1]])
        assert not memory.any()
        two.predict(X, size, verbose=0, out=[memory[:N], memory[N:]])
        assert memory[:N].tobytes() == two(X)[0].tobytes() and memory[N:].tobytes() == two(X)[1].tobytes()
        memory[...] = 0


# ---- what an optimizer updates ----
VARIABLES: dict[str, tuple[Callable[[Shape], Any], Any]] = {
    "an ordinary array": (lambda s: zeros(*s), None),
    "float64": (lambda s: zeros(*s, dtype="float64"), None),
    "np.matrix": (lambda s: zeros(*s).view(np.matrix), None),
    "masked array": (lambda s: np.ma.masked_array(zeros(*s), mask=True), None),
    "0-d": (lambda _: zeros(), None),
    "no rows": (lambda s: zeros(0, s[1]), None),
    **{
        kind: (KINDS[kind][0], BOTH if kind in ("nested lists", "a list of rows") else error)
        for kind, error in {
            "float16": ValueError, "int32": ValueError, "big-endian": ValueError, "complex": ValueError,
            "object": ValueError, "Fortran order": ValueError, "negative strides": ValueError, "misaligned": ValueError,
            "read-only": ValueError, "one row for all": ValueError, "every second column": ValueError,
            "nested lists": ValueError, "a list of rows": ValueError, "a str": TypeError, "a bytes": TypeError,
            "a bytearray": TypeError, "memoryview": TypeError, "a dict": TypeError, "an object": TypeError,
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_every_variable_of_every_kind(name):
    """It is updated as the ordinary array is, or there is an error and nothing changes."""
    make = getattr(hn.optimizers, name)
    for kind, (given, expected) in VARIABLES.items():
        variable = given((N, D))
        gradient = np.ones(np.shape(variable) if expected is None else (N, D), np.float32)
        for method in ("delta", "apply"):
            before = bytes(variable) if isinstance(variable, np.ndarray) and variable.dtype != object else None
            if expected is not None:
                kinds = expected if isinstance(expected, tuple) else (expected,)
                with pytest.raises(kinds) as caught:
                    getattr(make(), method)(gradient, variable)
                assert len(str(caught.value)) > 20, (kind, method)
                assert before is None or bytes(variable) == before, (kind, method)
                continue
            right = np.zeros(variable.shape, variable.dtype)
            make().apply(gradient, right)
            if method == "delta":
                assert make().delta(gradient, variable).tobytes() == right.tobytes(), kind
                assert bytes(variable) == before
            else:
                make().apply(gradient, variable)
                assert np.asarray(variable).tobytes() == right.tobytes(), kind


def test_a_misaligned_variable_is_called_so():
    """And not read-only."""
    with pytest.raises(ValueError, match="not aligned"):
        hn.optimizers.SGD().apply(X, misaligned((N, D)))
