"""What is easy to get wrong about HyperModels: stale pullbacks, seeds, partial generation, base, initialisation."""

import math
import time

import hypernet as hn
import numpy as np
import pytest

layers = hn.layers
RNG = np.random.default_rng(0)
N, M, C, D = 4, 3, 5, 6


def x(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def make(generated=None, base=None, init="hyperfan_in", **options):
    target = hn.target_network(D, 2, hidden=8, **options)
    names = None if generated is None else [target.layers[i].name for i in generated]
    generator = hn.hypernetwork(C, hn.count_params(target, names), **options)
    return hn.HyperModel(generator, target, generated=names, base=base, init=init)


# ---- parts ----
def test_generator_and_target_are_parts_not_copies():
    target = hn.target_network(D, 2)
    generator = hn.hypernetwork(C, target.count_params())
    hyper = hn.HyperModel(generator, target)
    assert hyper.generator is generator
    assert hyper.target is target
    cond = x(N, C)
    before = hyper.generate(cond)
    np.testing.assert_array_equal(before, generator.predict(cond, verbose=0))
    generator.set_weights(np.zeros(generator.count_params()))
    assert not hyper.generate(cond).any()
    assert np.shares_memory(hyper.params, generator.params)


def test_the_target_keeps_its_own_weights():
    target = hn.target_network(D, 2)
    before = target.get_weights()
    hyper = hn.HyperModel(hn.hypernetwork(C, target.count_params()), target)
    hyper([x(N, C), x(N, D)])
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_generate_and_generate_weights():
    hyper = make()
    cond = x(N, C)
    theta = hyper.generate(cond)
    named = hyper.generate_weights(cond)
    assert theta.shape == (N, hyper.target.count_params())
    assert list(named) == hyper.generated == list(hyper.target.unflatten(theta))
    np.testing.assert_array_equal(np.concatenate([v.reshape(N, -1) for v in named.values()], 1), theta)
    assert len({id(view.base) for view in named.values()}) == 1
    assert hyper.generate(cond[0]).shape == (1, theta.shape[1])
    out = np.empty_like(theta)
    hyper.generate(cond, out=out)
    np.testing.assert_array_equal(out, theta)
    with pytest.raises(ValueError, match="takes one condition or N of them"):
        hyper.generate(x(N, C + 1))


def test_specialize_is_independent_and_keeps_no_generator():
    hyper = make(generated=[2], base="target")
    cond, rows = x(C), x(M, D)
    model = hyper.specialize(cond)
    assert type(model) is hn.Model
    assert model.count_params() == hyper.target.count_params()
    expected = hyper([cond, rows])
    np.testing.assert_allclose(model(rows), expected, rtol=1e-5, atol=1e-6)
    hyper.set_weights(np.zeros(hyper.count_params()))
    np.testing.assert_allclose(model(rows), expected, rtol=1e-5, atol=1e-6)
    assert not {id(w.store) for w in model.weights} & {id(w.store) for w in hyper.weights}
    with pytest.raises(ValueError, match="specialize takes one condition; received 4"):
        hyper.specialize(x(N, C))
    sequential = hn.Sequential([layers.Input((D,)), layers.Dense(2)])
    made = hn.HyperModel(hn.hypernetwork(C, sequential.count_params()), sequential).specialize(cond, name="mine")
    assert type(made) is hn.Sequential
    assert made.name == "mine"


@pytest.mark.not_sanitized("compares times")
def test_a_specialised_model_is_as_fast_as_an_ordinary_one():
    """The shortest of many times, taken in turns."""
    target = hn.target_network(100, 10)
    hyper = hn.HyperModel(hn.hypernetwork(64, target.count_params()), target)
    cond, rows = x(64), x(1, 100)
    special, ordinary = hyper.specialize(cond), hn.target_network(100, 10)
    best = {special: math.inf, ordinary: math.inf, hyper: math.inf}
    for _ in range(300):
        for model in best:
            data = [cond, rows] if model is hyper else rows
            begin = time.perf_counter()
            for _ in range(10):
                model(data)
            best[model] = min(best[model], time.perf_counter() - begin)
    assert best[special] < 1.25 * best[ordinary]
    assert best[special] < best[hyper] / 2  # nothing is generated


# ---- partial generation ----
def test_generated_by_layer_or_weight_names():
    target = hn.target_network(D, 2, hidden=8)
    first, last = (layer.name for layer in target.layers[1:])
    assert hn.count_params(target) == 6 * 8 + 8 + 8 * 2 + 2
    assert hn.count_params(target, generated=[last]) == 18
    assert hn.count_params(target, generated=[f"{last}/bias", first]) == 58
    assert hn.count_params(target, generated=f"{last}/kernel") == 16
    for wrong in (["nonsense"], [f"{last}/gamma"], [f"{last[:-1]}"]):
        with pytest.raises(ValueError, match="has no weights called"):
            hn.count_params(target, generated=wrong)
    with pytest.raises(ValueError, match="`generated` is empty"):
        hn.count_params(target, generated=[])
    with pytest.raises(TypeError):
        hn.count_params(target, generated=[target.layers[1]])


def test_generated_in_nested_models():
    inner = hn.target_network(3, 3, hidden=4, name="inner")
    inputs = layers.Input((3,))
    target = hn.Model(inputs, layers.Dense(2)(inner(inputs)))
    assert hn.count_params(target, ["inner"]) == inner.count_params()
    first = f"inner/{inner.layers[1].name}"
    assert hn.count_params(target, [first]) == 16
    hyper = hn.HyperModel(hn.hypernetwork(C, 16), target, generated=[first])
    assert hyper([x(N, C), x(N, 3)]).shape == (N, 2)


@pytest.mark.parametrize("generated", [[1], [2]])
def test_own_weights_serve_all_and_take_part(generated):
    hyper = make(generated=generated)
    assert hyper.count_params() == hyper.generator.count_params() + hyper.target.count_params() - (
        hn.count_params(hyper.target, hyper.generated)
    )
    cond, rows = x(N, C), x(N, M, D)
    y, pullback = hyper.vjp(cond, rows)
    gradient = pullback(x(*y.shape))
    assert gradient.params.shape == hyper.params.shape
    named = hyper.unflatten(gradient.params)
    own = [name for name in named if name.startswith("target/")]
    assert len(own) == 2
    assert any(named[name].any() for name in own)
    expected = np.stack([hyper.specialize(c)(r) for c, r in zip(cond, rows, strict=True)])
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-6)


# ---- sizes ----
def test_a_generator_of_the_wrong_size():
    target = hn.target_network(100, 10)
    with pytest.raises(ValueError) as caught:
        hn.HyperModel(hn.hypernetwork(64, 10), target)
    for words in ("(None, 10)", "14,218", "output_dim=hn.count_params(target, generated=...)"):
        assert words in str(caught.value)
    with pytest.raises(TypeError, match="`generator` must be a Model"):
        hn.HyperModel(3, target)
    with pytest.raises(ValueError, match="one dtype"):
        hn.HyperModel(hn.hypernetwork(64, 14_218, dtype="float64"), target)
    with pytest.raises(ValueError, match="`init` is 'hyperfan_in'"):
        hn.HyperModel(hn.hypernetwork(64, 14_218), target, init="kaiming")


def test_what_is_not_built_says_so():
    inputs = layers.Input((3,))
    constrained = hn.Model(inputs, layers.Dense(2, kernel_constraint="non_neg")(inputs))
    with pytest.raises(NotImplementedError, match="constraint on a generated weight"):
        hn.HyperModel(hn.hypernetwork(C, 8), constrained)
    shared = layers.Dense(3)
    target = hn.Model(inputs, shared(inputs))
    generator = hn.Model(inputs, layers.Dense(target.count_params())(shared(inputs)))
    with pytest.raises(NotImplementedError, match="belongs to the generator and to the target"):
        hn.HyperModel(generator, target)


# ---- base ----
def test_base_target_is_a_frozen_copy():
    target = hn.target_network(D, 2)
    weights = target.params.copy()
    hyper = hn.HyperModel(hn.hypernetwork(C, target.count_params()), target, base="target")
    cond = x(N, C)
    np.testing.assert_array_equal(hyper.generate(cond), np.repeat(weights[None], N, 0))  # the head starts at zero
    target.set_weights(np.zeros(target.count_params()))
    np.testing.assert_array_equal(hyper.generate(cond)[0], weights)
    np.testing.assert_array_equal(hyper.base, weights)


def test_base_is_added():
    base = RNG.standard_normal(D * 8 + 8 + 18)
    hyper = make(base=base, init=None)
    cond, rows = x(N, C), x(N, D)
    theta = hyper.generator(cond) + base.astype(np.float32)
    np.testing.assert_allclose(hyper.generate(cond), theta, rtol=1e-6)
    np.testing.assert_allclose(hyper([cond, rows]), hn.functional_call(hyper.target, theta, rows), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="`base` has 3 values"):
        make(base=np.zeros(3))
    with pytest.raises(ValueError, match="`base` is None, 'target' or an array"):
        make(base="other")


# ---- pullbacks ----
def test_pullbacks_are_repeatable():
    hyper = make()
    y, pullback = hyper.vjp(x(N, C), x(N, D))
    dy = x(*y.shape)
    first, second = pullback(dy), pullback(dy)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    doubled = pullback(2 * dy)
    np.testing.assert_array_equal(doubled.params, 2 * first.params)


@pytest.mark.parametrize("generated", [None, [2]])
def test_a_pullback_gets_stale(generated):
    hyper = make(generated=generated)
    cond, rows = x(N, C), x(N, D)
    for change in (
        lambda: hyper.set_weights(hyper.get_weights()),
        lambda: hyper.generator.set_weights(hyper.generator.get_weights()),
        lambda: hn.optimizers.SGD(0.1).apply(np.ones(hyper.count_params(), np.float32), hyper.params),
    ):
        y, pullback = hyper.vjp(cond, rows)
        pullback(np.ones_like(y))
        change()
        with pytest.raises(RuntimeError, match="stale"):
            pullback(np.ones_like(y))
    theta, pullback = hyper.generate_vjp(cond)
    hyper.generator.set_weights(hyper.generator.get_weights())
    with pytest.raises(RuntimeError, match="stale"):
        pullback(theta)
    model = hn.target_network(D, 2)
    y, pullback = model.vjp(rows)
    model.set_weights(model.get_weights())
    with pytest.raises(RuntimeError, match="stale"):
        pullback(y)


@pytest.mark.parametrize("wrt", ["condition", "inputs", "params", ("condition", "params"), ()])
def test_wrt(wrt):
    hyper = make()
    y, pullback = hyper.vjp(x(N, C), x(N, D), wrt=wrt)
    gradient = pullback(np.ones_like(y))
    wanted = {wrt} if isinstance(wrt, str) else set(wrt)
    assert {name for name, value in gradient._asdict().items() if value is not None} == wanted
    with pytest.raises(ValueError, match="`wrt` takes"):
        hyper.vjp(x(N, C), x(N, D), wrt=["theta"])


def test_gradients_have_the_shapes_of_what_came():
    hyper = make()
    for cond, rows in (((C,), (M, D)), ((1, C), (M, D)), ((N, C), (N, D)), ((N, C), (N, M, D)), ((N, C), (1, M, D))):
        y, pullback = hyper.vjp(x(*cond), x(*rows))
        gradient = pullback(np.ones_like(y))
        assert gradient.condition.shape == cond
        assert gradient.inputs.shape == rows
        with pytest.raises(ValueError, match="must have the output's shape"):
            pullback(np.ones((9, 9)))


# ---- seeds ----
def dropout_hyper():
    inputs = layers.Input((D,))
    hidden = layers.Dropout(0.5)(layers.Dense(8, activation="relu")(inputs))
    target = hn.Model(inputs, layers.Dense(2)(hidden))
    return hn.HyperModel(hn.hypernetwork(C, target.count_params()), target)


def test_seeds():
    hyper = dropout_hyper()
    cond, rows = x(N, C), x(N, M, D)
    first = hyper.vjp(cond, rows, training=True, seed=1)
    second = hyper.vjp(cond, rows, training=True, seed=1)
    np.testing.assert_array_equal(first[0], second[0])
    dy = x(*first[0].shape)
    np.testing.assert_array_equal(first[1](dy).params, second[1](dy).params)
    assert not np.array_equal(first[0], hyper.vjp(cond, rows, training=True, seed=2)[0])
    assert not np.array_equal(hyper([cond, rows], training=True), hyper([cond, rows], training=True))
    hn.utils.set_random_seed(3)
    a = hyper([cond, rows], training=True)
    hn.utils.set_random_seed(3)
    np.testing.assert_array_equal(hyper([cond, rows], training=True), a)
    np.testing.assert_array_equal(hyper([cond, rows]), hyper.vjp(cond, rows)[0])


# ---- initialisation ----
def head_of(hyper):
    return hyper.generator.layers[-1]


def test_hyperfan_bounds():
    hn.utils.set_random_seed(0)
    inputs = layers.Input((50,))
    target = hn.Model(inputs, layers.Dense(30)(layers.Dense(40, activation="relu")(inputs)))
    condition = layers.Input((100,))
    for init in ("hyperfan_in", "hyperfan_out"):
        generator = hn.Model(condition, layers.Dense(target.count_params())(condition))
        hn.HyperModel(generator, target, init=init)
        named = target.unflatten(generator.layers[-1].kernel)
        found = [view.var() for view in named.values()]
        if init == "hyperfan_in":
            expected = [2 / (2 * 50 * 100), 2 / (2 * 100), 1 / (2 * 40 * 100), 1 / (2 * 100)]
        else:
            expected = [2 / (40 * 100), 0.0, 1 / (30 * 100), 0.0]
        np.testing.assert_allclose(found, expected, rtol=0.15)
        assert not generator.layers[-1].bias.any()


def test_scales_start_at_their_own_values():
    inputs = layers.Input((D,))
    hidden = layers.LayerNormalization()(layers.Dense(8)(inputs))
    target = hn.Model(inputs, layers.Dense(2)(layers.PReLU()(hidden)))
    hyper = hn.HyperModel(hn.hypernetwork(C, target.count_params()), target)
    named = hyper.generate_weights(x(N, C))
    for name, values in named.items():
        if name.endswith("gamma"):
            assert (values == 1).all()
        if name.endswith(("beta", "alpha")):
            assert not values.any()


def untouched_pair():
    target = hn.target_network(D, 2)
    return hn.hypernetwork(C, target.count_params()), target


def test_initialisation_happens_once_and_only_on_an_untouched_head():
    generator, target = untouched_pair()
    before = generator.get_weights()
    hn.HyperModel(generator, target)
    after = generator.get_weights()
    assert not np.array_equal(before[2], after[2])
    np.testing.assert_array_equal(before[0], after[0])
    hn.HyperModel(generator, target)  # a second one leaves it alone
    np.testing.assert_array_equal(after[2], generator.get_weights()[2])


@pytest.mark.parametrize("touch", ["set_weights", "view", "one bit", "initializer", "none", "seed"])
def test_a_touched_head_is_left_alone(touch):
    generator, target = untouched_pair()
    if touch == "set_weights":
        generator.set_weights(RNG.standard_normal(generator.count_params()))
    elif touch == "view":
        generator.params[...] *= 2
    elif touch == "one bit":
        bits = generator.layers[-1].kernel.view(np.uint32)
        bits[-1, -1] ^= 1
        del bits
    elif touch in ("initializer", "seed"):
        options = {"initializer": "he_normal", "seed": hn.initializers.GlorotUniform(seed=1)}
        inputs = layers.Input((C,))
        generator = hn.Model(inputs, layers.Dense(target.count_params(), kernel_initializer=options[touch])(inputs))
    before = generator.get_weights()
    hn.HyperModel(generator, target, init=None if touch == "none" else "hyperfan_in")
    for old, new in zip(before, generator.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_generator_without_a_linear_dense_end_is_left_alone():
    target = hn.target_network(D, 2)
    inputs = layers.Input((C,))
    generator = hn.Model(inputs, layers.Dense(target.count_params(), activation="tanh")(inputs))
    before = generator.params.copy()
    hyper = hn.HyperModel(generator, target)
    np.testing.assert_array_equal(generator.params, before)
    assert hyper([x(N, C), x(N, D)]).shape == (N, 2)


def test_summary_and_layers(capsys):
    hyper = make(generated=[2])
    hyper.summary()
    printed = capsys.readouterr().out
    assert "Generator:" in printed
    assert "Target:" in printed
    assert f"Total params: {hyper.count_params():,}" in printed
    assert hyper.layers == [hyper.generator, hyper.target]
    assert hyper.get_layer(index=0) is hyper.generator
    assert hyper.get_layer(hyper.target.name) is hyper.target
    with pytest.raises(ValueError):
        hyper.get_layer("nonsense")


def test_weights_of_a_hypermodel():
    hyper = make(generated=[2])
    vector = RNG.standard_normal(hyper.count_params()).astype(np.float32)
    hyper.set_weights(vector)
    np.testing.assert_array_equal(hyper.params, vector)
    listed = hyper.get_weights()
    assert len(listed) == 6
    hyper.set_weights(listed)
    with pytest.raises(ValueError, match="You called `set_weights"):
        hyper.set_weights(vector[:-1])
    hyper.generator.trainable = False
    assert len(hyper.trainable_weights) == 2
    hyper.trainable = False
    assert hyper.trainable_weights == []
