"""Every layer class: symbolic and eager calls agree, configurations make the same layer, errors are Keras's."""

import copy
import inspect
import pickle

import hypernet as hn
import numpy as np
import pytest

layers = hn.layers
RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3, 2)).astype(np.float32)

# Every layer class with arguments and the shapes of its inputs; a class that is not here fails a test.
EXAMPLES = [
    (layers.Dense, {"units": 5}, [(3,)]),
    (layers.Dense, {"units": 5, "activation": "relu", "use_bias": False}, [(2, 3)]),
    (layers.Dense, {"units": 2, "activation": "softmax", "kernel_regularizer": "l2"}, [(3,)]),
    (layers.Activation, {"activation": "gelu"}, [(2, 3)]),
    (layers.ReLU, {}, [(3,)]),
    (layers.ReLU, {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, [(3,)]),
    (layers.LeakyReLU, {}, [(3,)]),
    (layers.PReLU, {"alpha_initializer": "ones"}, [(2, 3)]),
    (layers.PReLU, {"alpha_initializer": "ones", "shared_axes": [1]}, [(2, 3)]),
    (layers.ELU, {"alpha": 0.5}, [(3,)]),
    (layers.Softmax, {}, [(2, 3)]),
    (layers.Dropout, {"rate": 0.5}, [(3,)]),
    (layers.Flatten, {}, [(2, 3, 4)]),
    (layers.Flatten, {}, [()]),
    (layers.Reshape, {"target_shape": (3, -1)}, [(2, 6)]),
    (layers.Add, {}, [(2, 3), (2, 3), (3,)]),
    (layers.Add, {}, [(3,)]),
    (layers.Multiply, {}, [(2, 3), (2, 1)]),
    (layers.Concatenate, {}, [(2, 3), (2, 4)]),
    (layers.Concatenate, {"axis": 1}, [(2, 3), (1, 3)]),
    (layers.Embedding, {"input_dim": 7, "output_dim": 3}, [(2,)]),
    (layers.Embedding, {"input_dim": 7, "output_dim": 3}, [()]),
    (layers.LayerNormalization, {}, [(2, 3)]),
    (layers.LayerNormalization, {"axis": [1, 2], "center": False}, [(2, 3)]),
]


def arrays(cls, shapes, rows=5):
    if cls is layers.Embedding:
        return [RNG.integers(0, 7, (rows, *shape)) for shape in shapes]
    return [RNG.standard_normal((rows, *shape)).astype(np.float32) for shape in shapes]


def called(layer, values):
    return layer(values if layer._takes_list else values[0])


def test_every_layer_is_here():
    classes = {value for value in vars(layers).values() if inspect.isclass(value) and issubclass(value, layers.Layer)}
    assert classes - {layers.Layer, layers.InputLayer} == {cls for cls, _, _ in EXAMPLES}


@pytest.mark.parametrize(("cls", "arguments", "shapes"), EXAMPLES)
class TestEveryLayer:
    def test_symbolic_and_eager_calls_agree(self, cls, arguments, shapes):
        layer = cls(**arguments)
        dtype = "int32" if cls is layers.Embedding else None
        inputs = [layers.Input(shape, dtype=dtype) for shape in shapes]
        model = hn.Model(inputs, called(layer, inputs))
        values = arrays(cls, shapes)
        expected = called(layer, values)
        assert expected.dtype == np.float32
        assert expected.shape == (5, *model.output_shape[1:])
        assert layer.compute_output_shape([(None, *s) for s in shapes] if layer._takes_list else (None, *shapes[0]))[
            1:
        ] == tuple(expected.shape[1:])
        np.testing.assert_array_equal(model(values), expected)

    def test_eager_call_builds_the_layer(self, cls, arguments, shapes):
        layer = cls(**arguments)
        assert not layer.built
        assert called(layer, arrays(cls, shapes)).shape[0] == 5
        assert layer.built
        assert sum(weight.size for weight in layer.weights) == layer.count_params()

    def test_config_makes_the_same_layer(self, cls, arguments, shapes):
        layer = cls(**arguments, name="mine", trainable=False)
        other = cls.from_config(layer.get_config())
        assert other.get_config() == layer.get_config()
        assert (other.name, other.trainable) == ("mine", False)
        values = arrays(cls, shapes)
        expected = called(layer, values)
        called(other, values)
        other.set_weights(layer.get_weights())
        np.testing.assert_array_equal(called(other, values), expected)

    def test_pickle_and_deepcopy(self, cls, arguments, shapes):
        layer = cls(**arguments)
        values = arrays(cls, shapes)
        expected = called(layer, values)
        for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
            np.testing.assert_array_equal(called(other, values), expected)
            assert not {id(weight.store) for weight in other.weights} & {id(weight.store) for weight in layer.weights}

    def test_float64(self, cls, arguments, shapes):
        layer = cls(**arguments, dtype="float64")
        result = called(layer, arrays(cls, shapes))
        assert result.dtype == np.float64
        assert all(weight.dtype == "float64" for weight in layer.weights)

    def test_lists_and_other_dtypes_are_converted(self, cls, arguments, shapes):
        layer = cls(**arguments)
        values = arrays(cls, shapes)
        expected = called(layer, values)
        others = [value.astype(np.int8 if value.dtype.kind == "i" else np.float64) for value in values]
        np.testing.assert_allclose(called(layer, others), expected, rtol=1e-6)
        backwards = [np.ascontiguousarray(value[::-1])[::-1] for value in values]
        np.testing.assert_array_equal(called(layer, backwards), expected)

    def test_an_empty_batch_gives_an_empty_result(self, cls, arguments, shapes):
        layer = cls(**arguments)
        result = called(layer, arrays(cls, shapes, rows=0))
        assert result.shape[0] == 0
        assert result.shape[1:] == called(layer, arrays(cls, shapes)).shape[1:]

    def test_unknown_arguments_are_refused(self, cls, arguments, shapes):
        with pytest.raises(ValueError, match="Unrecognized keyword arguments passed to"):
            cls(**arguments, colour="red")


# ---- numbers ----
def test_dense_is_a_product():
    layer = layers.Dense(4, activation="relu")
    y = layer(X)
    np.testing.assert_allclose(y, np.maximum(X @ layer.kernel + layer.bias, 0), rtol=1e-5, atol=1e-6)


def test_merging_broadcasts():
    a, b = X, X[:, 0]
    np.testing.assert_array_equal(layers.Add()([a, b]), a + b[:, None])
    np.testing.assert_array_equal(layers.Multiply()([b, a]), a * b[:, None])
    np.testing.assert_array_equal(layers.concatenate([a, a], axis=1), np.concatenate([a, a], axis=1))


def test_embedding_looks_up():
    layer = layers.Embedding(5, 3)
    ids = np.array([[0, 4], [1, 1]])
    np.testing.assert_array_equal(layer(ids), layer.embeddings[ids])


def test_layer_normalization():
    layer = layers.LayerNormalization()
    y = layer(X)
    expected = (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_only():
    layer = layers.Dropout(0.5)
    x = np.ones((100, 50), np.float32)
    np.testing.assert_array_equal(layer(x), x)
    y = layer(x, training=True)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs((y == 0).mean() - 0.5) < 0.05
    assert not np.array_equal(layer(x, training=True), y)


def test_parametrised_activations_in_dense():
    x = np.linspace(-8, 8, 9, dtype=np.float32)[:, None]
    for name, expected in (
        ("leaky_relu", np.where(x >= 0, x, 0.2 * x)),
        ("relu6", np.clip(x, 0, 6)),
        ("elu", np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    ):
        dense = layers.Dense(1, activation=name, kernel_initializer="ones")
        np.testing.assert_allclose(dense(x), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layers.Activation(name)(x), expected, rtol=1e-5, atol=1e-6)


# ---- weights ----
def test_views_are_live():
    layer = layers.Dense(2)
    layer(X)
    layer.kernel[...] = 1.0
    layer.bias[...] = 0.5
    np.testing.assert_allclose(layer(X), X.sum(-1, keepdims=True).repeat(2, -1) + 0.5, rtol=1e-5, atol=1e-6)
    copies = layer.get_weights()
    copies[0][...] = 0.0
    assert (layer.kernel == 1.0).all()
    assert layers.Dense(2, use_bias=False).bias is None


def test_set_weights_checks_before_it_writes():
    layer = layers.Dense(2)
    layer(X)
    before = layer.get_weights()
    with pytest.raises(ValueError, match="You called `set_weights\\(weights\\)` on layer 'dense"):
        layer.set_weights([before[0]])
    with pytest.raises(ValueError, match=r"Layer dense.* weight shape \(2,\) is not compatible with provided weight"):
        layer.set_weights([np.zeros((2, 2)), np.zeros(3)])
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    layer.set_weights(np.arange(6.0))
    assert layer.kernel.tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_weights_that_are_assigned_are_copied_into_their_place():
    model = hn.Sequential([layers.Input((2,)), layers.Dense(2, name="a"), layers.Dense(1, use_bias=False, name="b")])
    layer, view = model.layers[0], model.params
    layer.kernel = [[1, 2], [3, 4]]
    layer.kernel *= 2  # changes the view, then assigns it
    layer.bias += 0.5
    assert view[:6].tolist() == [2.0, 4.0, 6.0, 8.0, 0.5, 0.5]
    with pytest.raises(ValueError, match=r"variable\.shape=\(2, 2\), Received: value\.shape=\(2,\)"):
        layer.kernel = np.zeros(2)
    with pytest.raises(AttributeError, match="no attribute 'bias'"):
        model.layers[1].bias = np.zeros(1)
    model.params = np.arange(8)
    model.params -= 1
    assert view.tolist() == [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    with pytest.raises(ValueError, match="8 are needed"):
        model.params = np.zeros(3)
    table, scale, slope = layers.Embedding(3, 1), layers.LayerNormalization(), layers.PReLU()
    table(np.array([0])), scale(np.zeros((1, 2), "float32")), slope(np.zeros((1, 2), "float32"))
    table.embeddings, scale.gamma, scale.beta, slope.alpha = np.full((3, 1), 5), [6, 6], [7, 7], [8, 8]
    assert [layer.get_weights()[0].max() for layer in (table, scale, slope)] == [5.0, 6.0, 8.0]
    assert scale.get_weights()[1].tolist() == [7.0, 7.0]


def test_a_pullback_is_stale_after_an_assignment():
    model = hn.target_network(3, 2)
    y, pullback = model.vjp(np.ones((4, 3), np.float32))
    model.params -= 0.1
    with pytest.raises(RuntimeError, match="stale"):
        pullback(y)


def test_trainable():
    layer = layers.Dense(2)
    layer(X)
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (2, 0)
    layer.trainable = False
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (0, 2)


def test_names_count_up():
    hn.utils.clear_session()
    assert [layers.Dense(1).name, layers.Dense(1).name, layers.LayerNormalization().name] == [
        "dense",
        "dense_1",
        "layer_normalization",
    ]
    assert layers.Input((1,)).history[0].layer.name == "input_layer"


# ---- errors, in Keras's words ----
ERRORS = [
    (lambda: layers.Input(3), ValueError, "Cannot convert '3' to a shape."),
    (lambda: layers.Input(), ValueError, "You must pass a `shape` argument."),
    (lambda: layers.Input((2.5,)), ValueError, "Cannot convert '(2.5,)' to a shape. Found invalid dimension '2.5'"),
    (lambda: layers.Input((-1,)), ValueError, "Cannot convert '(-1,)' to a shape. Negative dimensions"),
    (lambda: layers.Dense(0), ValueError, "Received an invalid value for `units`, expected a positive integer."),
    (lambda: layers.Dense(2.5), ValueError, "Received an invalid value for `units`, expected a positive integer."),
    (lambda: layers.Dense(3, activation="foo"), ValueError, "Could not interpret activation function identifier: foo"),
    (lambda: layers.Dense(3, kernel_initializer="foo"), ValueError, "Could not interpret initializer identifier: foo"),
    (lambda: layers.Dense(3, name="a/b"), ValueError, "Argument `name` must be a string and cannot contain"),
    (lambda: layers.Dense(3, name=3), ValueError, "Argument `name` must be a string and cannot contain"),
    (lambda: layers.Dense(3).kernel, AttributeError, "You must build the layer before accessing `kernel`."),
    (lambda: layers.Dense(3).count_params(), ValueError, "You tried to call `count_params` on layer 'dense"),
    (lambda: layers.Dense(3).input, AttributeError, "The layer dense"),
    (lambda: layers.Dense(3)(np.zeros(3)), ValueError, "Input 0 with name 'None' of layer 'dense"),
    (lambda: layers.Dense(3)(layers.Input((None,))), ValueError, "Shapes used to initialize variables must be fully-"),
    (lambda: layers.Dense(3)(layers.Input((3,)), 5), ValueError, "Only input tensors may be passed as positional"),
    (lambda: layers.Dense(3)("x"), ValueError, "Inputs to a layer should be tensors. Got 'x'"),
    (lambda: layers.Reshape((3, 3))(layers.Input((8,))), ValueError, "The total size of the tensor must be unchanged"),
    (lambda: layers.Reshape((3, -1, -1)), ValueError, "There must be at most one unknown dimension"),
    (lambda: layers.Reshape((3, -2)), ValueError, "Each dimension in `target_shape` must be"),
    (lambda: layers.Add()(layers.Input((3,))), ValueError, "A merge layer should be called on a list of inputs."),
    (lambda: layers.Add()([layers.Input((3,)), layers.Input((4,))]), ValueError, "Inputs have incompatible shapes."),
    (lambda: layers.Concatenate()(layers.Input((3,))), ValueError, "A `Concatenate` layer should be called on a list"),
    (
        lambda: layers.Concatenate()([layers.Input((3, 4)), layers.Input((2, 4))]),
        ValueError,
        "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis.",
    ),
    (lambda: layers.Embedding(0, 3), ValueError, "`input_dim` must be a positive integer. Received: input_dim=0"),
    (lambda: layers.Embedding(3, 3)(np.array([7])), ValueError, ""),
    (lambda: layers.Embedding(3, 3)(np.array([0.5])), ValueError, "Ids must be whole numbers."),
    (lambda: layers.Dropout(2), ValueError, "Invalid value received for argument `rate`."),
    (lambda: layers.Dropout("a"), TypeError, ""),
    (lambda: layers.ReLU(max_value=-1), ValueError, "max_value of a ReLU layer cannot be a negative value."),
    (lambda: layers.ReLU(negative_slope=None), ValueError, "negative_slope of a ReLU layer cannot be None or a"),
    (lambda: layers.LeakyReLU(negative_slope=None), ValueError, "The negative_slope value of a Leaky ReLU layer"),
    (lambda: layers.Activation("bar"), ValueError, "Could not interpret activation function identifier: bar"),
    (lambda: layers.Activation(), TypeError, ""),
    (lambda: bool(layers.Input((3,))), TypeError, "A symbolic KerasTensor cannot be used as a boolean."),
    (lambda: np.asarray(layers.Input((3,))), ValueError, "A KerasTensor is symbolic"),
    # Keras has these, and they are not built.
    (lambda: layers.Dense(3, lora_rank=2), NotImplementedError, "Dense: `lora_rank=2` is not built."),
    (lambda: layers.Dense(3, dtype="float16"), NotImplementedError, "Dense: dtype 'float16' is not built"),
    (lambda: layers.Dense(3, activation=lambda x: x)(X), NotImplementedError, ""),
    (lambda: layers.Embedding(3, 3, mask_zero=True), NotImplementedError, "Embedding: `mask_zero=True` is not built."),
    (lambda: layers.Dropout(0.5, noise_shape=(1, 2)), NotImplementedError, "Dropout: `noise_shape"),
    (lambda: layers.Dropout(0.5)(layers.Input((3,)), training=True), NotImplementedError, ""),
    (lambda: layers.Softmax(axis=1)(X), NotImplementedError, "Softmax: `axis=1` is not built"),
    (lambda: layers.LayerNormalization(axis=1)(X), NotImplementedError, "LayerNormalization: `axis=1` is not built"),
    (lambda: layers.Concatenate(axis=0), NotImplementedError, "Concatenate: `axis=0`"),
    (lambda: layers.Input((3,), sparse=True), NotImplementedError, "Input: `sparse=True` is not built."),
    (lambda: layers.Dense(3)(X, mask=X), NotImplementedError, "Dense: `mask"),
    (lambda: type("Mine", (layers.Layer,), {})()(X), NotImplementedError, "Mine: layers written in Python"),
]


@pytest.mark.parametrize(("action", "kind", "words"), ERRORS)
def test_errors(action, kind, words):
    with pytest.raises(kind) as caught:
        action()
    assert str(caught.value).startswith(words)


def test_a_built_layer_refuses_other_widths():
    layer = layers.Dense(3)
    layer(np.zeros((2, 4)))
    for call in (lambda: layer(np.zeros((2, 5))), lambda: layer(layers.Input((5,)))):
        with pytest.raises(
            ValueError, match="expected axis -1 of input shape to have value 4, but received input with"
        ):
            call()


@pytest.mark.parametrize("value", [np.array([["a"]]), np.array([[object()]]), np.array([[1j]])])
def test_only_numbers(value):
    with pytest.raises((TypeError, ValueError), match="Invalid dtype"):
        layers.Dense(3)(value)
