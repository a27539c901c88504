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


def test_sizes_that_overflow():
    with pytest.raises((ValueError, MemoryError)):
        hn.layers.Dense(2**61)(hn.layers.Input((2**61,)))


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
