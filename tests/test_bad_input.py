"""Bad input: a clear error of the type that users expect, and nothing changed."""

from __future__ import annotations

from collections.abc import Callable

import hypernet as hn
import numpy as np
import pytest

RNG = np.random.default_rng(0)
COND, X = RNG.standard_normal((5, 4), dtype=np.float32), RNG.standard_normal((5, 6), dtype=np.float32)
Y = RNG.integers(0, 3, 5)


def make_hyper() -> hn.HyperModel:
    hn.utils.set_random_seed(0)
    target = hn.target_network(6, 3)
    hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
    hyper.compile("adam", "sparse_categorical_crossentropy")
    return hyper


def read_only_out() -> np.ndarray:
    out = np.zeros((5, 3), np.float32)
    out.flags.writeable = False
    return out


def overlapping() -> tuple[np.ndarray, np.ndarray]:
    """An input and an output in one piece of memory."""
    memory = np.zeros(64, np.float32)
    return memory[:30].reshape(5, 6), memory[20:35].reshape(5, 3)


def into_its_own_input(call: Callable[..., object], shape: tuple[int, int], out_shape: tuple[int, int]) -> None:
    """Call with an `out` that lies over the first values of the input."""
    memory = np.zeros(100_000, np.float32)
    size = shape[0] * shape[1]
    call(memory[:size].reshape(shape), out=memory[: out_shape[0] * out_shape[1]].reshape(out_shape))


def stale(hyper: hn.HyperModel) -> None:
    y, pullback = hyper.vjp(COND, X)
    hyper.set_weights(hyper.get_weights())
    pullback(np.ones_like(y))


def fit(hyper: hn.HyperModel, cond, x, y, **options) -> None:
    hyper.fit([cond, x], y, verbose=0, **options)


# what is done, the exception, words that the message must hold
CASES: dict[str, tuple[Callable[[hn.HyperModel], object], type[Exception], tuple[str, ...]]] = {
    "condition too narrow": (lambda h: h.predict([COND[:, :3], X]), ValueError, ("4", "3")),
    "inputs too wide": (lambda h: h.predict([COND, np.ones((5, 7))]), ValueError, ("6", "7")),
    "rank 4 inputs": (lambda h: h.predict([COND, np.ones((5, 2, 2, 6))]), ValueError, ("(5, 4)", "(5, 2, 2, 6)")),
    "scalar inputs": (lambda h: h.predict([COND, np.float32(1)]), ValueError, ("()",)),
    "counts that do not meet": (lambda h: h.predict([COND, X[:4]]), ValueError, ("(5, 4)", "(4, 6)", "(N, M, D)")),
    "one array instead of two": (lambda h: h.predict(X), ValueError, ()),
    "object array": (lambda h: h.predict([COND, X.astype(object)]), TypeError, ("object",)),
    "strings": (lambda h: h.predict([COND, np.full((5, 6), "a")]), TypeError, ()),
    "complex": (lambda h: h.predict([COND, X.astype(complex)]), TypeError, ("complex",)),
    "empty predict": (lambda h: h.predict([COND[:0], X[:0]]), ValueError, ()),
    "empty fit": (lambda h: fit(h, COND[:0], X[:0], Y[:0]), ValueError, ()),
    "out of the wrong shape": (
        lambda h: h.predict([COND, X], out=np.zeros((5, 4), np.float32)),
        ValueError,
        ("(5, 3)",),
    ),
    "out of the wrong dtype": (
        lambda h: h.predict([COND, X], out=np.zeros((5, 3))),
        (ValueError, TypeError),
        ("float32",),
    ),
    "out that is read-only": (lambda h: h.predict([COND, X], out=read_only_out()), ValueError, ("read-only",)),
    "out that overlaps": (
        lambda h: h.predict([COND, overlapping_pair[0]], out=overlapping_pair[1]),
        ValueError,
        ("overlap",),
    ),
    "labels out of range": (lambda h: fit(h, COND, X, Y + 3), ValueError, ("3",)),
    "negative labels": (lambda h: fit(h, COND, X, Y - 3), ValueError, ("-1",)),
    "nan labels": (lambda h: fit(h, COND, X, np.full(5, np.nan)), ValueError, ()),
    "too few labels": (lambda h: fit(h, COND, X, Y[:4]), ValueError, ("5", "4")),
    "too many weights": (lambda h: fit(h, COND, X, Y, sample_weight=np.ones(6)), ValueError, ("6",)),
    "a stale pullback": (stale, RuntimeError, ()),
    "a gradient of the wrong shape": (lambda h: h.vjp(COND, X)[1](np.ones((5, 4))), ValueError, ("(5, 3)", "(5, 4)")),
    "too few weights": (lambda h: h.set_weights(h.get_weights()[:-1]), ValueError, ()),
    "wrong weight shapes": (lambda h: h.set_weights([w.T for w in h.get_weights()]), ValueError, ()),
    "a flat vector too long": (lambda h: h.set_weights(np.ones(h.count_params() + 1)), ValueError, ()),
    "objects as conditions": (lambda h: h.predict([COND.astype(object), X]), TypeError, ("object",)),
    "strings as conditions": (lambda h: h.predict([np.full((5, 4), "a"), X]), TypeError, ()),
    "complex conditions": (lambda h: h.generate(COND.astype(complex)), TypeError, ("complex",)),
    "no conditions": (lambda h: h.predict([None, X]), ValueError, ("None",)),
    "rank 1 inputs": (lambda h: h.predict([COND, X[0]]), ValueError, ("(5, 4)", "(6,)")),
    "objects as labels": (lambda h: fit(h, COND, X, Y.astype(object)), TypeError, ("object",)),
    "strings as labels": (lambda h: fit(h, COND, X, np.full(5, "a")), TypeError, ()),
    "infinite labels": (lambda h: fit(h, COND, X, np.full(5, np.inf)), ValueError, ()),
    "labels between numbers": (lambda h: fit(h, COND, X, np.full(5, 0.5)), ValueError, ()),
    "one nan label in the last batch": (
        lambda h: fit(h, COND, X, np.array([0, 1, 2, 0, np.nan]), batch_size=1, shuffle=False),
        ValueError,
        (),
    ),
    "a label out of range in the last batch": (
        lambda h: fit(h, COND, X, np.array([0, 1, 2, 0, 3]), batch_size=1, shuffle=False),
        ValueError,
        ("3",),
    ),
    "labels out of range in train_on_batch": (lambda h: h.train_on_batch([COND, X], Y + 3), ValueError, ("3",)),
    "nan labels in loss_and_grad": (lambda h: h.loss_and_grad([COND, X], np.full(5, np.nan)), ValueError, ()),
    "labels out of range in evaluate": (lambda h: h.evaluate([COND, X], Y + 3, verbose=0), ValueError, ("3",)),
    "complex sample weights": (lambda h: fit(h, COND, X, Y, sample_weight=np.ones(5, complex)), TypeError, ()),
    "a complex gradient": (lambda h: h.vjp(COND, X)[1](np.ones((5, 3), complex)), TypeError, ("complex",)),
    "a seed that is no integer": (lambda h: h.vjp(COND, X, training=True, seed=1.5), ValueError, ("seed=1.5",)),
    "generate into a wrong shape": (
        lambda h: h.generate(COND, out=np.zeros((5, 3), np.float32)),
        ValueError,
        (f"(5, {6 * 128 + 128 + 128 * 3 + 3})",),
    ),
    "generate into its conditions": (
        lambda h: into_its_own_input(h.generate, (5, 4), (5, h.target.count_params())),
        ValueError,
        ("overlap",),
    ),
    "theta of the wrong rank": (
        lambda h: hn.functional_call(h.target, np.ones((1, 2, h.target.count_params())), X),
        ValueError,
        (),
    ),
    "theta that is complex": (
        lambda h: hn.functional_call(h.target, np.ones(h.target.count_params(), complex), X),
        TypeError,
        ("complex",),
    ),
    "functional_call into a read-only array": (
        lambda h: hn.functional_call(h.target, h.target.params, X, out=read_only_out()),
        ValueError,
        ("read-only",),
    ),
    "functional_call into theta": (
        lambda h: into_its_own_input(
            lambda theta, out: hn.functional_call(h.target, theta, X, out=out), (1, h.target.count_params()), (5, 3)
        ),
        ValueError,
        ("overlap",),
    ),
    "theta too short": (lambda h: hn.functional_call(h.target, np.ones(3), X), ValueError, ("3",)),
}
overlapping_pair = overlapping()


@pytest.mark.parametrize("name", list(CASES))
def test_clear_error_and_nothing_changed(name):
    action, kind, words = CASES[name]
    hyper = make_hyper()
    before = hyper.params.copy()
    with pytest.raises(kind) as caught:
        action(hyper)
    message = str(caught.value)
    assert len(message) > 10
    for word in words:
        assert word in message, message
    assert hyper.params.tobytes() == before.tobytes()
    hyper.train_on_batch([COND, X], Y)  # still usable


def into_params(model: hn.Model) -> None:
    """The model's own weights as `out`."""
    model.predict(X, out=model.params[:15].reshape(5, 3), verbose=0)


MODEL_CASES: dict[str, tuple[Callable[[hn.Model], object], type[Exception], tuple[str, ...]]] = {
    "inputs too wide": (lambda m: m(np.ones((5, 7))), ValueError, ("(None, 6)", "(5, 7)")),
    "inputs too narrow": (lambda m: m(X[:, :5]), ValueError, ("(None, 6)", "(5, 5)")),
    "rank 1": (lambda m: m(X[0]), ValueError, ("(None, 6)", "(6,)")),
    "rank 3": (lambda m: m(X[None]), ValueError, ("(None, 6)", "(1, 5, 6)")),
    "a number": (lambda m: m(3.0), ValueError, ("(None, 6)", "()")),
    "None": (lambda m: m(None), ValueError, ("None",)),
    "a string": (lambda m: m("data"), ValueError, ("data",)),
    "object": (lambda m: m(X.astype(object)), TypeError, ("object",)),
    "strings": (lambda m: m(np.full((5, 6), "a")), TypeError, ()),
    "complex": (lambda m: m(X.astype(complex)), TypeError, ("complex",)),
    "ragged": (lambda m: m([[1.0, 2.0], [3.0]]), ValueError, ()),
    "empty predict": (lambda m: m.predict(X[:0], verbose=0), ValueError, ()),
    "empty fit": (lambda m: m.fit(X[:0], Y[:0], verbose=0), ValueError, ()),
    "nan labels": (lambda m: m.fit(X, np.full(5, np.nan), verbose=0), ValueError, ()),
    "labels out of range": (lambda m: m.fit(X, Y + 3, verbose=0), ValueError, ("3",)),
    "too few labels": (lambda m: m.fit(X, Y[:4], verbose=0), ValueError, ("5", "4")),
    "read-only out": (lambda m: m.predict(X, out=read_only_out(), verbose=0), ValueError, ("read-only",)),
    "an out that is a list": (lambda m: m.predict(X, out=[[0.0]], verbose=0), (TypeError, ValueError), ()),
    "overlapping out": (lambda m: m.predict(overlapping_pair[0], out=overlapping_pair[1], verbose=0), ValueError, ()),
    "weights as out": (into_params, ValueError, ("overlap",)),
    "a gradient of the wrong shape": (lambda m: m.vjp(X)[1](np.ones((4, 3))), ValueError, ("(5, 3)", "(4, 3)")),
    "unflatten": (lambda m: m.unflatten(np.ones(3)), ValueError, ("(3,)",)),
    "apply to a gradient of another size": (
        lambda m: hn.optimizers.SGD().apply(np.ones(3, np.float32), m.params),
        ValueError,
        ("3",),
    ),
}


@pytest.mark.parametrize("name", list(MODEL_CASES))
def test_clear_error_of_a_model_and_nothing_changed(name):
    action, kind, words = MODEL_CASES[name]
    model = hn.target_network(6, 3)
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.get_weights()
    with pytest.raises(kind) as caught:
        action(model)
    message = str(caught.value)
    assert len(message) > 10
    for word in words:
        assert word in message, message
    for old, new in zip(before, model.get_weights(), strict=True):
        assert old.tobytes() == new.tobytes()
    model.train_on_batch(X, Y)


def test_nan_in_data_propagates():
    hyper = make_hyper()
    x = X.copy()
    x[2, 3] = np.nan
    y = hyper([COND, x])
    assert np.isnan(y[2]).all()
    assert np.isfinite(np.delete(y, 2, 0)).all()
    assert np.isnan(hyper.loss_and_grad([COND, x], Y)[0])


def test_ids_out_of_range():
    ids = hn.layers.Input((), dtype="int32")
    target = hn.target_network(6, 3)
    features = hn.layers.Embedding(5, 4)(ids)
    hyper = hn.HyperModel(hn.Model(ids, hn.layers.Dense(target.count_params())(features)), target)
    hyper.compile("adam", "sparse_categorical_crossentropy")
    before = hyper.params.copy()
    for wrong in ([0, 1, 2, 3, 5], [0, 1, 2, 3, -1], [0, 1, 2, 3, 2**40], [0.0, 1.0, 2.0, 3.0, 0.5]):
        for call in (
            lambda cond: hyper([cond, X]),
            hyper.generate,
            lambda cond: hyper.vjp(cond, X),
            lambda cond: hyper.train_on_batch([cond, X], Y),
            lambda cond: hyper.fit([cond, X], Y, verbose=0),
        ):
            with pytest.raises(ValueError):
                call(np.array(wrong))
    assert hyper.params.tobytes() == before.tobytes()


def test_generator_of_the_wrong_size_names_both_sizes():
    target = hn.target_network(6, 3)
    with pytest.raises(ValueError, match="10") as caught:
        hn.HyperModel(hn.hypernetwork(4, 10), target)
    assert f"{target.count_params():,}" in str(caught.value) or str(target.count_params()) in str(caught.value)


def test_a_graph_with_a_missing_input():
    a, b = hn.layers.Input((3,)), hn.layers.Input((3,))
    outputs = hn.layers.Add()([a, b])
    with pytest.raises(ValueError):
        hn.Model(a, outputs)


def test_a_graph_with_a_cycle():
    inputs = hn.layers.Input((3,))
    first, second = hn.layers.Dense(3), hn.layers.Dense(3)
    outputs = second(first(inputs))
    node = first._nodes[0]
    node.inputs[0] = outputs  # no call makes such a graph
    with pytest.raises(ValueError, match="is part of a cycle"):
        hn.Model(inputs, outputs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: hn.layers.Dense(2**61)(hn.layers.Input((2**61,))),
        lambda: hn.layers.Dense(2**40)(hn.layers.Input((2**40,))),
        lambda: hn.layers.Embedding(2**40, 2**40)(hn.layers.Input((), dtype="int32")),
        lambda: hn.layers.Flatten()(hn.layers.Input((2**40, 2**40))),
        lambda: hn.layers.PReLU()(hn.layers.Input((2**40, 2**40))),
        lambda: hn.layers.Input((2**70,)),
    ],
)
def test_sizes_that_overflow(make):
    with pytest.raises((ValueError, MemoryError, OverflowError)) as caught:
        make()
    assert len(str(caught.value)) > 10


def test_a_damaged_and_a_foreign_file(tmp_path):
    path = tmp_path / "model.safetensors"
    make_hyper().save(path)
    data = path.read_bytes()
    for name, content in {
        "cut": data[:-5],
        "flipped": data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
        "foreign": b"PK\x03\x04" + bytes(100),
        "empty": b"",
    }.items():
        damaged = tmp_path / f"{name}.safetensors"
        damaged.write_bytes(content)
        with pytest.raises(ValueError):
            hn.saving.load_model(damaged)
    with pytest.raises(OSError):
        hn.saving.load_model(tmp_path / "missing.safetensors")


def test_weights_of_another_model_change_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    hn.target_network(6, 4).save_weights(path)
    model = hn.target_network(6, 3)
    before = model.params.copy()
    with pytest.raises(ValueError):
        model.load_weights(path)
    assert model.params.tobytes() == before.tobytes()
