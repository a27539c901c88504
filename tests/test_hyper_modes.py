"""How conditions and rows meet: the four modes, single numbers and ids as conditions, several inputs, errors."""

import hypernet as hn
import numpy as np
import pytest

layers = hn.layers
RNG = np.random.default_rng(0)
N, M, C, D, OUT = 4, 3, 5, 6, 2


def x(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def hyper():
    target = hn.target_network(D, OUT)
    return hn.HyperModel(hn.hypernetwork(C, target.count_params()), target)


def one_by_one(hyper, conditions, rows):
    return np.stack([hyper.specialize(cond)(row) for cond, row in zip(conditions, rows, strict=True)])


@pytest.mark.parametrize("lead", [(), (1,)])
def test_one_network_for_the_whole_batch(hyper, lead):
    cond, rows = x(*lead, C), x(M, D)
    y = hyper([cond, rows])
    assert y.shape == (M, OUT)
    np.testing.assert_allclose(y, hyper.specialize(cond)(rows), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(hyper.predict([cond, rows], verbose=0), y)
    assert hyper([cond, rows[:1]]).shape == (1, OUT)


def test_every_row_its_own_network(hyper):
    cond, rows = x(N, C), x(N, D)
    y = hyper([cond, rows])
    np.testing.assert_allclose(y, one_by_one(hyper, cond, rows[:, None])[:, 0], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(hyper.predict([cond, rows], verbose=0), y)


def test_tasks(hyper):
    cond, rows = x(N, C), x(N, M, D)
    y = hyper([cond, rows])
    assert y.shape == (N, M, OUT)
    np.testing.assert_allclose(y, one_by_one(hyper, cond, rows), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(hyper.predict([cond, rows], verbose=0), y)
    assert hyper([cond[:1], rows[:1]]).shape == (1, M, OUT)


def test_shared_rows(hyper):
    cond, rows = x(N, C), x(1, M, D)
    y = hyper([cond, rows])
    assert y.shape == (N, M, OUT)
    np.testing.assert_allclose(y, one_by_one(hyper, cond, [rows[0]] * N), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(hyper.predict([cond, rows], verbose=0), y)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_do_not_change_results(hyper, batch_size):
    for cond, rows in ((x(C), x(7, D)), (x(7, C), x(7, D)), (x(7, C), x(7, M, D)), (x(7, C), x(1, M, D))):
        whole = hyper([cond, rows])
        np.testing.assert_allclose(
            hyper.predict([cond, rows], batch_size=batch_size, verbose=0), whole, rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    ("cond", "rows"),
    [
        ((C,), (N, M, D)),
        ((C,), (1, M, D)),
        ((1, C), (N, M, D)),
        ((N, C), (N + 1, D)),
        ((N, C), (1, D)),
        ((N, C), (N + 1, M, D)),
        ((N, C), (D,)),
        ((N, C + 1), (N, D)),
        ((N, C), (N, D + 1)),
        ((N, M, C), (N, M, D)),
        ((N, C), (2, N, M, D)),
        ((), (M, D)),
    ],
)
def test_anything_else_says_both_shapes_and_the_choices(hyper, cond, rows):
    for call in (hyper, lambda value: hyper.predict(value, verbose=0), lambda value: hyper.vjp(*value)):
        with pytest.raises(ValueError) as caught:
            call([x(*cond), x(*rows)])
        message = str(caught.value)
        assert f"cond {cond}" in message
        assert f"x {rows}" in message
        for choice in ("(C,) or (1, C), x (M, D)", "(N, C), x (N, D)", "(N, C), x (N, M, D)", "(N, C), x (1, M, D)"):
            assert choice in message


def test_an_empty_batch(hyper):
    assert hyper([x(0, C), x(0, D)]).shape == (0, OUT)
    with pytest.raises(ValueError):
        hyper.predict([x(0, C), x(0, D)], verbose=0)


@pytest.mark.parametrize("value", [np.zeros((N, D), object), np.full((N, D), "a"), np.zeros((N, D), complex)])
def test_only_numbers(hyper, value):
    with pytest.raises((TypeError, ValueError), match="Invalid dtype"):
        hyper([x(N, C), value])


@pytest.mark.parametrize("wrong", [np.zeros((N, D)), [np.zeros((N, D))], [np.zeros((N, D))] * 3])
def test_the_pair_of_condition_and_input(hyper, wrong):
    with pytest.raises(ValueError, match=r"expects 2 input\(s\), \[cond, x\]"):
        hyper(wrong)


# ---- conditions of one number ----
def one_number(shape, ids):
    inputs = layers.Input(shape, dtype="int32" if ids == "int" else None)
    features = layers.Embedding(9, 3)(inputs) if ids else layers.Reshape((1,))(inputs)
    target = hn.target_network(D, OUT)
    outputs = layers.Dense(target.count_params())(layers.Flatten()(features))
    return hn.HyperModel(hn.Model(inputs, outputs), target)


@pytest.mark.parametrize(("shape", "ids"), [((), "int"), ((1,), "int"), ((1,), "float"), ((), None), ((1,), None)])
def test_a_condition_of_one_number(shape, ids):
    hyper = one_number(shape, ids)
    kind = np.int64 if ids else np.float32
    cond = np.array([3, 1, 3, 8], kind)
    expected = hyper([cond.reshape(N, *shape), x(N, D) * 0 + 1])
    np.testing.assert_array_equal(hyper([cond, np.ones((N, D))]), expected)
    np.testing.assert_array_equal(hyper([cond.tolist(), np.ones((N, D))]), expected)
    np.testing.assert_allclose(hyper([cond[0], np.ones((M, D))]), np.repeat(expected[:1], M, 0), rtol=1e-5)
    np.testing.assert_allclose(
        hyper([np.array(3, kind), np.ones((M, D), np.float32)]), np.repeat(expected[:1], M, 0), rtol=1e-5
    )
    np.testing.assert_allclose(hyper([3, np.ones((M, D))]), np.repeat(expected[:1], M, 0), rtol=1e-5)
    assert hyper([cond, np.ones((N, M, D))]).shape == (N, M, OUT)
    assert hyper([cond, np.ones((1, M, D))]).shape == (N, M, OUT)
    assert hyper.generate(cond).shape == (N, hyper.target.count_params())
    y, pullback = hyper.vjp(cond, np.ones((N, D)))
    gradient = pullback(y)
    assert gradient.condition is None if ids else gradient.condition.shape == (N,)


def test_ids_out_of_range_change_nothing():
    hyper = one_number((), "int")
    for cond in ([0, 1, 2, 9], [0, 1, 2, -1]):
        with pytest.raises(ValueError):
            hyper([np.array(cond), np.ones((N, D))])


# ---- several inputs, and samples of higher rank ----
def test_nesting_of_several_conditions_and_inputs():
    c1, c2 = layers.Input((2,), name="c1"), layers.Input((3,), name="c2")
    x1, x2 = layers.Input((4,), name="x1"), layers.Input((5,), name="x2")
    target = hn.Model([x1, x2], layers.Dense(OUT)(layers.Concatenate()([x1, x2])))
    generator = hn.Model([c1, c2], layers.Dense(target.count_params())(layers.Concatenate()([c1, c2])))
    hyper = hn.HyperModel(generator, target)
    conds, rows = [x(N, 2), x(N, 3)], [x(N, M, 4), x(N, M, 5)]
    y = hyper([conds, rows])
    assert y.shape == (N, M, OUT)
    np.testing.assert_array_equal(hyper({"c1": conds[0], "c2": conds[1], "x1": rows[0], "x2": rows[1]}), y)
    _, pullback = hyper.vjp(conds, rows)
    gradient = pullback(y)
    assert [part.shape for part in gradient.condition] == [(N, 2), (N, 3)]
    assert [part.shape for part in gradient.inputs] == [(N, M, 4), (N, M, 5)]
    with pytest.raises(ValueError):
        hyper([[conds[0], conds[1][:2]], rows])
    with pytest.raises(ValueError):
        hyper([conds, [rows[0], rows[1][:, :2]]])


def test_targets_on_sequences():
    inputs = layers.Input((7, 3))
    target = hn.Model(inputs, layers.Dense(OUT)(layers.Dense(4, activation="relu")(inputs)))
    hyper = hn.HyperModel(hn.hypernetwork(C, target.count_params()), target)
    assert hyper([x(C), x(M, 7, 3)]).shape == (M, 7, OUT)
    assert hyper([x(N, C), x(N, 7, 3)]).shape == (N, 7, OUT)
    assert hyper([x(N, C), x(N, M, 7, 3)]).shape == (N, M, 7, OUT)
    assert hyper([x(N, C), x(1, M, 7, 3)]).shape == (N, M, 7, OUT)
    with pytest.raises(ValueError):
        hyper([x(N, C), x(7, 3)])


def test_several_outputs():
    inputs = layers.Input((D,))
    hidden = layers.Dense(3, activation="tanh")(inputs)
    target = hn.Model(inputs, {"a": layers.Dense(2)(hidden), "b": hidden})
    hyper = hn.HyperModel(hn.hypernetwork(C, target.count_params()), target)
    y = hyper([x(N, C), x(N, M, D)])
    assert {name: value.shape for name, value in y.items()} == {"a": (N, M, 2), "b": (N, M, 3)}
