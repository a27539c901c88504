"""Gradients of every layer in every mode against central finite differences, in float64.

A configuration is a random small model of one kind in one mode. Its gradients to conditions, inputs and parameters are
checked along random directions, and entry by entry where there are few. Criterion: max|analytic - numeric| /
max(1, max|numeric|) <= 1e-6. A direction that meets a kink within ten steps is drawn again.
"""

import itertools

import hypernet as hn
import numpy as np
import pytest

import differences
from differences import STEP, TOLERANCE
from random_networks import ACTIVATIONS, IDS, RandomNetwork

layers = hn.layers
CONFIGURATIONS = 10  # of each kind in each mode
MANY = 1000  # random networks, and random hypernetworks of all modes together, in the slow run
DRAWS = 8
SMOOTH = ["linear", "tanh", "sigmoid", "softplus", "gelu", "silu", "softmax", "exponential"]


# ---- kinds: functions of a random generator to (inputs, output) ----
def size(rng):
    return int(rng.integers(2, 5))


def sample_shape(rng, rank=None):
    return tuple(size(rng) for _ in range(rank or rng.integers(1, 3)))


def source(rng, rank=None):
    """An input and a smooth dense layer on it, so that there are weights below and gradients pass through."""
    inputs = layers.Input(sample_shape(rng, rank), dtype="float64")
    return inputs, layers.Dense(size(rng), activation="tanh", kernel_initializer="glorot_normal")(inputs)


def dense(rng):
    inputs, x = source(rng)
    return inputs, layers.Dense(size(rng), activation=str(rng.choice(ACTIVATIONS)), use_bias=bool(rng.integers(2)))(x)


def unary(make, rank=None):
    """A kind with one layer between two dense ones."""

    def kind(rng):
        inputs, x = source(rng, rank)
        return inputs, layers.Dense(2)(make(rng, x)(x))

    return kind


def binary(make):
    """A kind with one merging layer on two tensors of one input."""

    def kind(rng):
        inputs, x = source(rng, 2)
        other = layers.Dense(x.shape[-1], activation="sigmoid")(inputs)
        return inputs, layers.Dense(2)(make(rng)([x, other]))

    return kind


def broadcast(layer):
    """A merging layer whose second input has fewer axes or an axis of one, as in FiLM."""

    def kind(rng):
        inputs, x = source(rng, 2)
        rows, width = x.shape[1:]
        flat = layers.Flatten()(inputs)
        shape = [(width,), (1, width), (rows, 1)][rng.integers(3)]
        other = layers.Reshape(shape)(layers.Dense(int(np.prod(shape)), activation="tanh")(flat))
        pair = [x, other] if rng.integers(2) else [other, x]
        return inputs, layers.Dense(2)(layer()(pair))

    return kind


def reshape(rng):
    inputs, x = source(rng, 2)
    return inputs, layers.Dense(2)(layers.Reshape((x.shape[2], -1))(x))


def concatenate(rng):
    inputs, x = source(rng, 2)
    other = layers.Dense(x.shape[-1] + 1, activation="tanh")(inputs)
    if rng.integers(2):
        return inputs, layers.Dense(2)(layers.Concatenate()([x, other, x]))
    return inputs, layers.Dense(2)(layers.Concatenate(axis=1)([x, layers.Dense(x.shape[-1])(other)]))


def prelu(rng, x):
    shared = [1] if len(x.shape) == 3 and rng.integers(2) else None
    return layers.PReLU(alpha_initializer="random_normal", shared_axes=shared)


def normalization(rng, x):
    axis = [1, 2] if len(x.shape) == 3 and rng.integers(2) else -1
    return layers.LayerNormalization(axis=axis, center=bool(rng.integers(2)), scale=bool(rng.integers(4)))


def embedding(rng):
    inputs = layers.Input([(), (1,), (3,)][rng.integers(3)], dtype="int32")
    x = layers.Embedding(IDS, size(rng), dtype="float64", embeddings_initializer="random_normal")(inputs)
    return inputs, layers.Dense(2, activation="tanh")(layers.Flatten()(x))


def two_inputs(rng):
    a, x = source(rng, 1)
    b, y = source(rng, 1)
    merged = layers.Concatenate()([layers.Dense(3, activation="tanh")(x), layers.Dense(2)(y)])
    return [a, b], layers.Dense(2, activation=str(rng.choice(SMOOTH)))(merged)


def shared_layer(rng):
    a = layers.Input((3,), dtype="float64")
    b = layers.Input((3,), dtype="float64")
    twice = layers.Dense(3, activation=str(rng.choice(SMOOTH[:6])))
    return [a, b], layers.Dense(2)(layers.Add()([twice(twice(a)), twice(b)]))


def nested_model(rng):
    inner_inputs, x = source(rng, 1)
    inner = hn.Model(inner_inputs, layers.Dense(inner_inputs.shape[-1], activation="tanh")(x))
    inputs = layers.Input(inner_inputs.shape[1:], dtype="float64")
    x = layers.Multiply()([inner(inputs), inner(inner(inputs))])
    return inputs, layers.Dense(2, activation=str(rng.choice(SMOOTH)))(x)


def ids_and_numbers(rng):
    ids = layers.Input((2,), dtype="int64")
    numbers, x = source(rng, 1)
    table = layers.Embedding(IDS, 2, dtype="float64")
    return [ids, numbers], layers.Dense(2)(layers.Concatenate()([layers.Flatten()(table(ids)), x]))


def two_outputs(rng):
    inputs, x = source(rng, 1)
    return inputs, [layers.Dense(2, activation="tanh")(x), x]


def random_network(rng):
    model = RandomNetwork(rng).model
    return model.input, model.output


KINDS = {
    "dense": dense,
    "activation": unary(lambda rng, x: layers.Activation(str(rng.choice(ACTIVATIONS)))),
    "relu": unary(
        lambda rng, x: layers.ReLU([None, 0.5][rng.integers(2)], 0.1 * rng.integers(3), 0.2 * rng.integers(2))
    ),
    "leaky_relu": unary(lambda rng, x: layers.LeakyReLU(float(rng.uniform(0, 1)))),
    "elu": unary(lambda rng, x: layers.ELU(float(rng.uniform(0.5, 2)))),
    "softmax": unary(lambda rng, x: layers.Softmax()),
    "prelu": unary(prelu),
    "dropout": unary(lambda rng, x: layers.Dropout(float(rng.uniform(0.1, 0.6)))),
    "layer_normalization": unary(normalization),
    "flatten": unary(lambda rng, x: layers.Flatten(), rank=2),
    "reshape": reshape,
    "add": binary(lambda rng: layers.Add()),
    "add_broadcast": broadcast(layers.Add),
    "multiply": binary(lambda rng: layers.Multiply()),
    "multiply_broadcast": broadcast(layers.Multiply),
    "concatenate": concatenate,
    "embedding": embedding,
    "two_inputs": two_inputs,
    "shared_layer": shared_layer,
    "nested_model": nested_model,
    "ids_and_numbers": ids_and_numbers,
    "two_outputs": two_outputs,
    "random_network": random_network,
}
HYPER_MODES = ["one", "rows", "tasks", "shared"]
JOININGS = ["partial", "base", "partial_and_base"]
CASES = [
    *itertools.product(KINDS, ["plain", "generator", *HYPER_MODES]),
    *itertools.product(JOININGS, HYPER_MODES),
]
CASES.remove(("two_outputs", "generator"))  # a generator has one output


# ---- models and data of a configuration ----
def build(kind, rng):
    inputs, outputs = KINDS[kind](rng)
    return hn.Model(inputs, outputs)


def small_generator(count, rng):
    """From a condition of a few numbers, with weights large enough to matter."""
    inputs = layers.Input((int(rng.integers(1, 4)),), dtype="float64")
    x = layers.Dense(3, activation="tanh", bias_initializer="random_normal")(inputs)
    return hn.Model(inputs, layers.Dense(count, kernel_initializer="glorot_normal")(x))


def hypermodel(kind, mode, rng):
    if mode == "generator":
        trunk = build(kind, rng)
        target_inputs = layers.Input((3,), dtype="float64")
        target = hn.Model(target_inputs, layers.Dense(2, activation="tanh")(target_inputs))
        features = layers.Flatten()(trunk.outputs[0])
        generator = hn.Model(trunk.input, layers.Dense(target.count_params())(features))
        return hn.HyperModel(generator, target, init=None)
    generated, base = None, None
    if kind in JOININGS:
        target = build(str(rng.choice(["dense", "layer_normalization", "shared_layer", "nested_model"])), rng)
        names = list(target.unflatten(np.zeros(target.count_params())))
        if kind != "base":
            chosen = [name for name in names if rng.integers(2)]
            generated = chosen if 0 < len(chosen) < len(names) else names[:1]
        if kind != "partial":
            count = hn.count_params(target, generated)
            base = "target" if rng.integers(2) else rng.standard_normal(count)
    else:
        target = build(kind, rng)
    generator = small_generator(hn.count_params(target, generated), rng)
    return hn.HyperModel(generator, target, generated=generated, base=base, init=None)


def draw(model, leading, rng):
    """Random arrays for a model's inputs with these leading axes."""
    arrays = []
    for tensor in model.inputs:
        shape = (*leading, *tensor.shape[1:])
        if tensor.dtype.startswith("int"):
            arrays.append(rng.integers(0, IDS, shape))
        else:
            arrays.append(rng.standard_normal(shape))
    return arrays


def nest(arrays):
    return arrays[0] if len(arrays) == 1 else arrays


class Configuration:
    """A model with data, seen as a function of a list of arrays to one number."""

    def __init__(self, kind, mode, rng):
        self.rng = rng
        if mode == "plain":
            self.model = build(kind, rng)
            self.conditions = []
            self.inputs = draw(self.model, (3,), rng)
        else:
            self.model = hypermodel(kind, mode, rng)
            mode = str(rng.choice(HYPER_MODES)) if mode == "generator" else mode
            groups = 1 if mode == "one" else 3
            leading = {"one": (2,), "rows": (3,), "tasks": (3, 2), "shared": (1, 2)}[mode]
            self.conditions = draw(self.model.generator, (groups,), rng)
            self.inputs = draw(self.model.target, leading, rng)
        self.params = self.model.params
        self.params[...] += 0.1 * rng.standard_normal(self.params.size)
        self.output_gradients = None

    def run(self):
        if self.conditions:
            return self.model.vjp(nest(self.conditions), nest(self.inputs), training=True, seed=11)
        return self.model.vjp(nest(self.inputs), training=True, seed=11)

    def outputs(self):
        y = self.run()[0]
        return y if isinstance(y, list) else [y]

    def value(self):
        return sum(float((y * dy).sum()) for y, dy in zip(self.outputs(), self.output_gradients, strict=True))

    def gradients(self):
        """(array, its gradient) for all that is differentiable."""
        y, pullback = self.run()
        outputs = y if isinstance(y, list) else [y]
        self.output_gradients = [self.rng.standard_normal(output.shape) for output in outputs]
        gradient = pullback(self.output_gradients if isinstance(y, list) else self.output_gradients[0])
        pairs = [(self.params, gradient.params)]
        if self.conditions:
            pairs += zip(self.conditions, listed(gradient.condition, self.conditions), strict=True)
        pairs += zip(self.inputs, listed(gradient.inputs, self.inputs), strict=True)
        for array, found in pairs:
            assert (found is None) == (array.dtype.kind == "i")
        return [(array, found) for array, found in pairs if found is not None]


def listed(gradients, arrays):
    return [gradients] if len(arrays) == 1 else gradients


def error(kind, mode, number):
    """How far the gradients of this configuration are from differences; drawn again, a few times, if not smooth there."""
    seed = [list(KINDS).index(kind) if kind in KINDS else 100 + JOININGS.index(kind), len(mode), number]
    for redraw in range(DRAWS):
        rng = np.random.default_rng([*seed, redraw])
        hn.utils.set_random_seed(int(rng.integers(2**31)))
        configuration = Configuration(kind, mode, rng)
        found = differences.error(configuration.value, configuration.gradients(), rng)
        if found is not None:
            assert found <= TOLERANCE, (kind, mode, number, redraw, found)
            return found
    raise AssertionError(f"not smooth in {DRAWS} draws: {(kind, mode, number)}")


@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_gradients(kind, mode):
    for number in range(CONFIGURATIONS):
        error(kind, mode, number)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["plain", "generator", *HYPER_MODES])
def test_gradients_of_many_random_networks(mode, evidence):
    """A thousand networks, and 250 hypernetworks in each mode: graphs of up to a few dozen layers of all kinds."""
    count = MANY if mode == "plain" else MANY // len(HYPER_MODES)
    errors = [error("random_network", mode, 1000 + number) for number in range(count)]
    claim = f"random {'networks' if mode == 'plain' else f'hypernetworks, {mode}'}: gradients against differences"
    evidence(claim, tried=len(errors), required=count, worst=max(errors), bound=TOLERANCE, unit="of max(1, |slope|)")


def test_there_are_enough_configurations():
    assert len(set(CASES)) == len(CASES)
    assert len(CASES) * CONFIGURATIONS >= 500


@pytest.mark.parametrize("mode", HYPER_MODES)
def test_every_entry_of_a_small_hypermodel(mode):
    rng = np.random.default_rng(3)
    hn.utils.set_random_seed(3)
    inputs = layers.Input((2,), dtype="float64")
    target = hn.Model(inputs, layers.Dense(2, activation="tanh")(layers.Dense(2, activation="gelu")(inputs)))
    generator = small_generator(target.count_params(), rng)
    configuration = Configuration.__new__(Configuration)
    configuration.rng, configuration.model = rng, hn.HyperModel(generator, target)
    leading = {"one": (2,), "rows": (3,), "tasks": (3, 2), "shared": (1, 2)}[mode]
    configuration.conditions = draw(generator, (1 if mode == "one" else 3,), rng)
    configuration.inputs = draw(target, leading, rng)
    configuration.params = configuration.model.params
    for array, gradient in configuration.gradients():
        numeric = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            unit = np.zeros(array.shape)
            unit[index] = 1.0
            numeric[index] = differences.slope(configuration.value, array, unit)
        assert np.abs(gradient - numeric).max() / max(1.0, np.abs(numeric).max()) <= TOLERANCE


@pytest.mark.parametrize("mode", HYPER_MODES)
@pytest.mark.parametrize("number", range(5))
def test_functional_vjp(mode, number):
    rng = np.random.default_rng([17, number])
    model = build(["dense", "nested_model", "embedding", "two_inputs", "layer_normalization"][number], rng)
    count = 1 if mode == "one" else 3
    theta = 0.3 * rng.standard_normal((count, model.count_params()))
    leading = {"one": (2,), "rows": (3,), "tasks": (3, 2), "shared": (1, 2)}[mode]
    inputs = draw(model, leading, rng)
    y, pullback = hn.functional_vjp(model, theta, nest(inputs))
    dy = rng.standard_normal(y.shape)
    gradient = pullback(dy)

    def value(moved):
        return float((hn.functional_call(model, moved, nest(inputs)) * dy).sum())

    for _ in range(3):
        direction = rng.standard_normal(theta.shape)
        direction /= np.linalg.norm(direction)
        numeric = (value(theta + STEP * direction) - value(theta - STEP * direction)) / (2 * STEP)
        assert abs(numeric - (gradient.theta * direction).sum()) <= TOLERANCE * max(1.0, abs(numeric))


def test_functional_vjp_of_a_hypermodel():
    rng = np.random.default_rng(5)
    for kind in ["dense", "partial", "base"]:
        hyper = hypermodel(kind, "rows", rng)
        theta = hyper.params + 0.1 * rng.standard_normal(hyper.params.size)
        cond, x = draw(hyper.generator, (3,), rng), draw(hyper.target, (3,), rng)
        y, pullback = hn.functional_vjp(hyper, theta, [nest(cond), nest(x)])
        dy = rng.standard_normal(y.shape)
        gradient = pullback(dy)
        direction = rng.standard_normal(theta.shape)
        direction /= np.linalg.norm(direction)
        values = [
            float((hn.functional_call(hyper, theta + s * STEP * direction, [nest(cond), nest(x)]) * dy).sum())
            for s in (1, -1)
        ]
        numeric = (values[0] - values[1]) / (2 * STEP)
        assert abs(numeric - gradient.theta @ direction) <= TOLERANCE * max(1.0, abs(numeric))


def test_generate_vjp():
    rng = np.random.default_rng(6)
    for kind in ["dense", "partial", "base"]:
        hyper = hypermodel(kind, "rows", rng)
        cond = draw(hyper.generator, (3,), rng)[0]
        theta, pullback = hyper.generate_vjp(cond)
        dtheta = rng.standard_normal(theta.shape)
        gradient = pullback(dtheta)
        params = hyper.params
        for array, found in ((cond, gradient.condition), (params, gradient.params)):
            direction = rng.standard_normal(array.shape)
            original, values = array.copy(), []
            for s in (1, -1):
                array[...] = original + s * STEP * direction
                values.append(float((hyper.generate(cond) * dtheta).sum()))
            array[...] = original
            numeric = (values[0] - values[1]) / (2 * STEP)
            assert abs(numeric - (found * direction).sum()) <= 10 * TOLERANCE * max(1.0, abs(numeric))
