"""Functional models and Sequential: structure, order, nesting, sharing, weights, summaries, errors."""

import hypernet as hn
import numpy as np
import pytest

layers = hn.layers
RNG = np.random.default_rng(0)


def x(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def dense_model(width=3, units=2, **options):
    inputs = layers.Input((width,))
    return hn.Model(inputs, layers.Dense(units, **options)(inputs))


# ---- order and structure ----
def test_layers_come_in_keras_order():
    a, b = layers.Input((3,), name="a"), layers.Input((3,), name="b")
    deep = layers.Dense(3, name="deep2")(layers.Dense(3, name="deep1")(a))
    short = layers.Dense(3, name="short")(b)
    merged = layers.Add(name="add")([short, deep])
    model = hn.Model([a, b], layers.Dense(1, name="last")(merged))
    # By depth; within a depth in the order in which they are met from the outputs (checked with Keras 3.15).
    assert [layer.name for layer in model.layers] == ["a", "b", "deep1", "short", "deep2", "add", "last"]
    paths = [weight.path for weight in model.weights]
    assert paths[:4] == ["deep1/kernel", "deep1/bias", "short/kernel", "short/bias"]
    assert list(model.unflatten(model.params)) == paths


def test_weights_are_where_the_flat_vector_has_them():
    model = hn.target_network(3, 2)
    flat = np.concatenate([weight.ravel() for weight in model.get_weights()])
    np.testing.assert_array_equal(flat, model.params)
    assert model.count_params() == flat.size == 3 * 128 + 128 + 128 * 2 + 2
    model.params[...] = np.arange(flat.size)
    np.testing.assert_array_equal(model.layers[1].kernel, np.arange(384.0).reshape(3, 128))
    model.layers[2].bias[...] = -1
    assert (model.params[-2:] == -1).all()


@pytest.mark.parametrize("form", ["list", "tuple", "dict"])
def test_nested_inputs_and_outputs(form):
    a, b = layers.Input((3,), name="a"), layers.Input((2,), name="b")
    inputs = {"list": [a, b], "tuple": (a, b), "dict": {"a": a, "b": b}}[form]
    sums = layers.Dense(2, name="left")(a), layers.Dense(4, name="right")(b)
    outputs = {"list": list(sums), "tuple": sums, "dict": dict(zip("pq", sums, strict=True))}[form]
    model = hn.Model(inputs, outputs)
    xa, xb = x(5, 3), x(5, 2)
    given = {"list": [xa, xb], "tuple": (xa, xb), "dict": {"a": xa, "b": xb}}[form]
    result = model(given)
    assert type(result) is type(outputs)
    leaves = list(result.values()) if form == "dict" else result
    assert [leaf.shape for leaf in leaves] == [(5, 2), (5, 4)]
    by_name = model({"a": xa, "b": xb})
    flat = list(by_name.values()) if form == "dict" else by_name
    for one, other in zip(leaves, flat, strict=True):
        np.testing.assert_array_equal(one, other)
    predicted = model.predict(given, verbose=0)
    assert type(predicted) is type(outputs)
    assert model.output_names == ["left", "right"]
    y, pullback = model.vjp(given)
    gradient = pullback(y)
    assert type(gradient.inputs) is type(inputs)


def test_a_list_of_one_is_a_list():
    inputs = layers.Input((3,))
    model = hn.Model([inputs], [layers.Dense(2)(inputs)])
    data = x(4, 3)
    assert [output.shape for output in model([data])] == [(4, 2)]
    assert [output.shape for output in model(data)] == [(4, 2)]


def test_a_nested_model_shares_its_weights():
    inner = dense_model(3, 3)
    inputs = layers.Input((3,))
    model = hn.Model(inputs, inner(inner(inputs)))
    assert model.count_params() == inner.count_params() == 12
    data = x(4, 3)
    np.testing.assert_allclose(model(data), inner(inner(data)), rtol=1e-6)
    inner.set_weights(np.zeros(12))
    assert not model(data).any()
    assert list(model.unflatten(model.params)) == [f"{inner.name}/{weight.path}" for weight in inner.weights]


def test_a_layer_used_inside_and_outside_of_a_nested_model():
    shared = layers.Dense(3, activation="tanh")
    inner_inputs = layers.Input((3,))
    inner = hn.Model(inner_inputs, shared(inner_inputs))
    inputs = layers.Input((3,))
    model = hn.Model(inputs, shared(inner(inputs)))
    assert model.count_params() == 12
    data = x(4, 3)
    np.testing.assert_allclose(model(data), shared(shared(data)), rtol=1e-6)


def test_a_model_on_an_intermediate_tensor():
    inputs = layers.Input((3,))
    hidden = layers.Dense(4, activation="relu")(inputs)
    whole = hn.Model(inputs, layers.Dense(2)(hidden))
    features, head = hn.Model(inputs, hidden), hn.Model(hidden, whole.outputs[0])
    data = x(5, 3)
    np.testing.assert_allclose(head(features(data)), whole(data), rtol=1e-5)


def test_open_axes():
    inputs = layers.Input((None, 3))
    model = hn.Model(inputs, layers.Dense(2)(inputs))
    assert model.output_shape == (None, None, 2)
    assert model(x(4, 5, 3)).shape == (4, 5, 2)
    assert model(x(2, 9, 3)).shape == (2, 9, 2)


def test_operators_on_symbolic_tensors():
    a, b = layers.Input((3,)), layers.Input((3,))
    model = hn.Model([a, b], (a + b) * a)
    xa, xb = x(4, 3), x(4, 3)
    np.testing.assert_allclose(model([xa, xb]), (xa + xb) * xa, rtol=1e-6)


def test_get_layer():
    model = dense_model()
    assert model.get_layer(index=1) is model.get_layer(model.layers[1].name) is model.layers[1]
    for arguments, words in (
        ({"name": "zz"}, "No such layer: zz. Existing layers are: "),
        ({}, "Provide either a layer name or layer index at `get_layer`."),
        ({"index": 9}, "Was asked to retrieve layer at index 9 but model only has 2 layers."),
        ({"name": "a", "index": 1}, "Provide only a layer name or a layer index. Received: index=1, name=a."),
    ):
        with pytest.raises(ValueError) as caught:
            model.get_layer(**arguments)
        assert str(caught.value).startswith(words)
    with pytest.raises(AttributeError, match=r"`Model.layers` attribute is reserved"):
        model.layers = []


# ---- calling ----
def test_call_equals_predict():
    model = hn.target_network(6, 3)
    data = x(70, 6)
    np.testing.assert_array_equal(model(data), model.predict(data, batch_size=70, verbose=0))
    result = model(data)
    assert result.flags.c_contiguous
    assert result.flags.owndata or result.base is not None
    result[...] = 0  # the caller's own


def test_what_call_takes():
    model = dense_model()
    data = x(4, 3)
    expected = model(data)
    for other in (data.astype(np.float64), data.tolist(), np.asfortranarray(data), data.astype(">f4"), [data]):
        np.testing.assert_allclose(model(other), expected, rtol=1e-6)
    column = dense_model(1, 2)
    assert column(np.ones(5, np.float32)).shape == (5, 2)  # a last axis of one may be left out, as in Keras
    assert model(x(4, 3, 1)).shape == (4, 2)
    assert model(np.zeros((0, 3))).shape == (0, 2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            np.zeros((3, 10)),
            "Input 0 with name 'input_layer' of layer 'functional' is incompatible with the layer: expected",
        ),
        (
            np.zeros(100),
            "Input 0 with name 'input_layer' of layer 'functional' is incompatible with the layer: expected",
        ),
        (np.zeros((3, 3, 100)), "Input 0 with name 'input_layer' of layer 'functional' is incompatible with the layer"),
        ([np.zeros((3, 100))] * 2, "Layer \"functional\" expects 1 named input(s) with keys ['input_layer'], but it"),
        (None, ""),
        ("s", "Inputs to a layer should be tensors. Got 's'"),
        (np.array([["a"] * 100]), "Invalid dtype"),
        (np.zeros((3, 100), complex), "Invalid dtype"),
        (np.zeros((3, 100), object), "Invalid dtype"),
        ({"a": np.zeros((3, 100))}, 'Missing data for input "input_layer". You passed a data dictionary with keys'),
    ],
)
def test_wrong_data(data, words):
    hn.utils.clear_session()
    model = dense_model(100)
    for call in (model, lambda value: model.predict(value, verbose=0)):
        with pytest.raises(ValueError) as caught:
            call(data)
        assert str(caught.value).startswith(words)


def test_predict_of_nothing_raises():
    with pytest.raises(ValueError):
        dense_model().predict(np.zeros((0, 3)), verbose=0)


def test_inputs_of_different_lengths():
    a, b = layers.Input((3,)), layers.Input((3,))
    model = hn.Model([a, b], layers.Add()([a, b]))
    for call in (model, lambda value: model.predict(value, verbose=0)):
        with pytest.raises(ValueError, match="Data cardinality is ambiguous"):
            call([x(3, 3), x(4, 3)])


# ---- weights ----
def test_set_weights_takes_a_vector_or_a_list():
    model = hn.target_network(3, 2)
    vector = RNG.standard_normal(model.count_params())
    model.set_weights(vector)
    np.testing.assert_array_equal(model.params, vector.astype(np.float32))
    model.set_weights(-vector[None].astype(np.float32))
    np.testing.assert_array_equal(model.params, -vector.astype(np.float32))
    listed = model.get_weights()
    listed[0][...] = 3
    model.set_weights(listed)
    assert (model.layers[1].kernel == 3).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            lambda w: w[:1],
            "You called `set_weights(weights)` on layer 'functional' with a weight list of length 1, but",
        ),
        (lambda w: [w[0].T, *w[1:]], "Layer functional weight shape (3, 128) is not compatible with provided weight"),
        (lambda w: np.ones(10), "You called `set_weights(weights)` on layer 'functional' with an array of shape (10,)"),
        (lambda w: np.ones((2, 770)), "You called `set_weights(weights)` on layer 'functional' with an array of shape"),
        (lambda w: np.array(["a"]), "Invalid dtype"),
    ],
)
def test_set_weights_refuses(wrong, words):
    hn.utils.clear_session()
    model = hn.target_network(3, 2)
    before = model.params.copy()
    with pytest.raises(ValueError) as caught:
        model.set_weights(wrong(model.get_weights()))
    assert str(caught.value).startswith(words)
    np.testing.assert_array_equal(model.params, before)


def test_unflatten_gives_views():
    model = hn.target_network(3, 2)
    batch = np.zeros((4, model.count_params()), np.float32)
    named = model.unflatten(batch)
    assert [view.shape for view in named.values()] == [(4, 3, 128), (4, 128), (4, 128, 2), (4, 2)]
    assert all(np.shares_memory(view, batch) for view in named.values())
    with pytest.raises(ValueError, match="unflatten"):
        model.unflatten(np.zeros(3))


def test_trainable_reaches_every_layer():
    inner = dense_model(3, 3)
    inputs = layers.Input((3,))
    model = hn.Model(inputs, layers.Dense(1)(inner(inputs)))
    assert len(model.trainable_weights) == 4
    inner.trainable = False
    assert len(model.trainable_weights) == 2
    assert len(model.non_trainable_weights) == 2
    model.trainable = False
    assert model.trainable_weights == []
    assert model.count_params() == 16


def test_dtype_float64():
    inputs = layers.Input((3,), dtype="float64")
    model = hn.Model(inputs, layers.Dense(2, activation="gelu")(layers.LayerNormalization()(inputs)))
    assert model.dtype == model.params.dtype == model(x(4, 3)).dtype == "float64"
    only_layer = layers.Input((3,))
    assert hn.Model(only_layer, layers.Dense(2, dtype="float64")(only_layer)).dtype == "float64"
    mixed = layers.Dense(2, dtype="float32")(layers.Dense(2, dtype="float64")(only_layer))
    with pytest.raises(ValueError, match="All layers of a model have one dtype"):
        hn.Model(only_layer, mixed)


def test_input_gradients_have_the_shapes_that_came():
    one = layers.Input((1,))
    model = hn.Model(one, layers.Dense(2)(one))
    for given in (x(5), x(5, 1), x(5, 1, 1)):
        y, pullback = model.vjp(given)
        assert y.shape == (5, 2)
        assert pullback(y).inputs.shape == given.shape
    ids = layers.Input((2,), dtype="int32")
    table = hn.Model([ids, one], layers.Concatenate()([layers.Flatten()(layers.Embedding(4, 3)(ids)), one]))
    y, pullback = table.vjp([np.zeros((5, 2), int), x(5)])
    gradient = pullback(y)
    assert gradient.inputs[0] is None
    assert gradient.inputs[1].shape == (5,)


# ---- errors of construction ----
def test_wrong_graphs():
    a, b = layers.Input((3,)), layers.Input((3,))
    with pytest.raises(ValueError, match="All `outputs` values must be KerasTensors"):
        hn.Model(a, 3)
    with pytest.raises(ValueError, match="All `inputs` values must be KerasTensors"):
        hn.Model(3, a)
    with pytest.raises(ValueError, match=r"Graph disconnected|is not connected"):
        hn.Model(b, layers.Dense(2)(a))
    with pytest.raises(ValueError, match='The name "same" is used 2 times in the model'):
        hn.Model(a, layers.Dense(3, name="same")(layers.Dense(3, name="same")(a)))
    with pytest.raises(NotImplementedError, match=r"`Model\(inputs, outputs\)`"):
        hn.Model()


# ---- Sequential ----
def test_sequential_is_built_by_its_input():
    model = hn.Sequential([layers.Input((3,)), layers.Dense(4), layers.Dense(2)])
    assert model.built
    assert model.input_shape == (None, 3)
    assert [type(layer) for layer in model.layers] == [layers.Dense, layers.Dense]
    assert model(x(5, 3)).shape == (5, 2)


def test_sequential_is_built_by_its_first_data():
    model = hn.Sequential([layers.Dense(4), layers.Dense(2)])
    assert not model.built
    assert model.weights == []
    for action in (model.count_params, lambda: model.params):
        if action is model.count_params:
            with pytest.raises(ValueError, match="You tried to call `count_params` on layer 'sequential"):
                action()
    with pytest.raises(AttributeError, match="has no defined inputs yet"):
        _ = model.inputs
    with pytest.raises(AttributeError, match="has no defined output shape yet"):
        _ = model.output_shape
    assert model.predict(x(5, 3), verbose=0).shape == (5, 2)
    assert model.count_params() == 26
    with pytest.raises(ValueError, match="has already been configured to use input shape"):
        model.build((None, 7))
    other = hn.Sequential([layers.Dense(4)])
    other.build((None, 3))
    assert other.count_params() == 16
    with pytest.warns(UserWarning, match="Do not pass an `input_shape`"):
        assert hn.Sequential([layers.Dense(4, input_shape=(3,))]).built


def test_sequential_add_and_pop():
    model = hn.Sequential()
    with pytest.raises(ValueError, match="cannot be built because it has no layers"):
        model(x(2, 3))
    with pytest.raises(IndexError):
        model.pop()
    with pytest.raises(ValueError, match=r"Only instances of `keras.Layer` can be added"):
        model.add(3)
    model.add(layers.Input((3,)))
    model.add(layers.Dense(4))
    first = model.get_weights()
    assert model(x(5, 3)).shape == (5, 4)
    model.add(layers.Dense(2))
    assert model(x(5, 3)).shape == (5, 2)
    for old, new in zip(first, model.get_weights(), strict=False):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="should have unique names"):
        model.add(model.layers[0])
    with pytest.raises(ValueError, match="has already been configured to use input shape"):
        model.add(layers.Input((5,)))
    with pytest.raises(ValueError):
        model.add(layers.Reshape((3, 3)))
    assert model(x(5, 3)).shape == (5, 2)
    popped = model.pop()
    assert popped.units == 2
    assert model(x(5, 3)).shape == (5, 4)
    assert model.count_params() == 16


def test_sequential_in_a_functional_model():
    inner = hn.Sequential([layers.Dense(4, activation="relu"), layers.Dense(3)])
    inputs = layers.Input((3,))
    model = hn.Model(inputs, inner(inputs))
    assert inner.built
    data = x(5, 3)
    np.testing.assert_array_equal(model(data), inner(data))
    outer = hn.Sequential([inner, layers.Dense(1)])
    assert outer.built
    assert outer(data).shape == (5, 1)


# ---- summary ----
def test_summary(capsys):
    hn.utils.clear_session()
    model = hn.target_network(100, 10)
    model.summary()
    printed = capsys.readouterr().out
    for words in ('Model: "functional"', "Layer (type)", "Output Shape", "Param #", "dense (Dense)", "12,928", "1,290"):
        assert words in printed
    assert "Total params: 14,218 (55.54 KB)" in printed
    assert "Non-trainable params: 0 (0.00 B)" in printed
    texts = []
    model.summary(print_fn=texts.append, line_length=60)
    assert max(map(len, texts[0].splitlines())) <= 60
    assert "14,218" in texts[0]
    with pytest.raises(NotImplementedError):
        model.summary(layer_range=["a", "b"])


@pytest.mark.parametrize(
    ("dtype", "total", "head"),
    [
        ("bfloat16", "3.33 KB", "2.58 KB"),
        ("int8", "2.16 KB", "1.41 KB"),
    ],  # int8: 64 x 20 + 4 x 20 scales + 4 x 20 biases
)
def test_summary_of_a_quantised_model_counts_what_it_stores(dtype, total, head):
    """The head is no layer any more: the totals count its numbers, and the bytes that they really take."""
    target = hn.target_network(3, 2, hidden=3)
    hyper = hn.HyperModel(hn.hypernetwork(2, target.count_params()), target)
    texts = []
    hyper.quantize(dtype).summary(print_fn=texts.append, line_length=120)
    assert [line.strip() for line in texts[0].splitlines()[-4:]] == [
        f"Total params: {hyper.count_params():,} ({total})",
        "Trainable params: 192 (768.00 B)",
        f"Non-trainable params: 1,300 ({head})",
        f"Head: 64 x 20 in {dtype} and a bias, 1,300 params, for inference only: {head}, 5.08 KB in float32",
    ]


def test_summary_in_a_notebook_is_text_and_nothing_else(monkeypatch, capsys):
    import rich.console
    import rich.jupyter

    displayed = []
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr(rich.jupyter, "display", lambda *arguments: displayed.append(arguments))
    dense_model().summary()
    assert "Total params" in capsys.readouterr().out
    assert displayed == []


def test_summary_of_a_branching_and_a_nested_model():
    inner = dense_model(3, 3)
    inputs = layers.Input((3,))
    model = hn.Model(inputs, layers.Add()([inner(inputs), inputs]))
    texts = []
    model.summary(print_fn=texts.append, expand_nested=True, show_trainable=True, line_length=120)
    assert "Connected to" in texts[0]
    assert inner.layers[1].name in texts[0]
    unbuilt = hn.Sequential([layers.Dense(3)])
    unbuilt.summary(print_fn=texts.append)
    assert "(unbuilt)" in texts[1]


def test_clone_and_config():
    a = layers.Input((3,), name="a")
    twice = layers.Dense(3, activation="tanh")
    inner = dense_model(3, 2)
    model = hn.Model([a], {"out": inner(twice(twice(a)))})
    clone = hn.models.clone_model(model)
    assert clone.get_config() == model.get_config()
    assert clone.count_params() == model.count_params()
    clone.set_weights(model.get_weights())
    data = x(4, 3)
    np.testing.assert_array_equal(clone([data])["out"], model([data])["out"])
    clone.set_weights(np.zeros(clone.count_params()))
    assert model.params.any()
    with pytest.raises(ValueError, match="Cannot deserialize the model"):
        hn.Model.from_config({"name": "x"})
    sequential = hn.Sequential([layers.Input((3,)), layers.Dense(2, kernel_regularizer="l2")])
    assert hn.models.clone_model(sequential).get_config() == sequential.get_config()
