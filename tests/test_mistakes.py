"""Messages about common mistakes: what was expected, what came, how to mend it."""

from decimal import Decimal

import hypernet as hn
import numpy as np
import pytest

X, Y = np.ones((6, 3), np.float32), np.ones((6, 2), np.float32)


def compiled():
    model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(2)])
    model.compile(optimizer="sgd", loss="mse")
    return model


# ---- what stands for an array ----
def test_a_list_of_weights_is_no_vector():
    model = hn.target_network(3, 2, hidden=4)
    message = (
        r"a list of 4 items, of the shapes \(3, 4\), \(4,\), \(4, 2\), \(2,\)\. Make one array of it first: .*ravel"
    )
    with pytest.raises(ValueError, match=message):
        hn.functional_call(model, model.get_weights(), X)
    theta = np.concatenate([np.ravel(item) for item in model.get_weights()])  # as it says
    assert np.array_equal(hn.functional_call(model, theta, X), model(X))


def test_ragged_rows_are_counted():
    with pytest.raises(ValueError, match=r"a list of 9 items, of the shapes (\(3,\), ){7}\(2,\), \.\.\."):
        compiled().predict([[1, 2, 3]] * 7 + [[1, 2]] * 2, verbose=0)


def test_an_object_in_place_of_an_array_is_named():
    model = hn.target_network(3, 2)
    with pytest.raises(ValueError, match=r"Invalid dtype: object\. Expected an array .* an object of type dict"):
        hn.functional_call(model, model.unflatten(model.params), X)


# ---- arguments of fit ----
@pytest.mark.parametrize(
    ("callbacks", "received"),
    [
        ([print], "<built-in function print>"),
        (hn.callbacks.TerminateOnNaN, r"<class 'hypernet.*TerminateOnNaN'> \(of type type\)"),
        ("history", "'history'"),
    ],
)
def test_what_is_no_callback(callbacks, received):
    message = rf"`callbacks` takes Callback objects\. Received: {received}.*LambdaCallback"
    for method in ("fit", "evaluate"):
        with pytest.raises(TypeError, match=message):
            getattr(compiled(), method)(X, Y, callbacks=callbacks, verbose=0)


@pytest.mark.parametrize("name", ["epochs", "initial_epoch"])
@pytest.mark.parametrize("value", ["3", 2.0, None])
def test_numbers_of_epochs_are_integers(name, value):
    with pytest.raises(TypeError, match=rf"`{name}` must be an integer\. Received: {name}={value!r}"):
        compiled().fit(X, Y, verbose=0, **{name: value})
    assert compiled().fit(X, Y, epochs=np.int64(2), verbose=0).epoch == [0, 1]


# ---- what a HyperModel takes ----
def hyper():
    target = hn.target_network(3, 2, hidden=4)
    return hn.HyperModel(hn.hypernetwork(2, target.count_params()), target)


def test_a_dict_of_other_names():
    model, cond = hyper(), np.ones((6, 2), np.float32)
    names = model.input_names
    with pytest.raises(ValueError, match=r"received a dict with the keys \['cond', 'x'\]") as caught:
        model.predict({"cond": cond, "x": X}, verbose=0)
    assert f"A dict has the keys ['condition', 'inputs'] or {names}." in str(caught.value)
    for keys in (("condition", "inputs"), names):  # as it says
        assert model.predict(dict(zip(keys, (cond, X), strict=True)), verbose=0).shape == (6, 2)


def test_wrong_arguments_of_a_call_name_the_call():
    target = hn.target_network(3, 2, hidden=4)
    for model, name in ((target, "Model"), (hn.Sequential([target]), "Model"), (hyper(), "HyperModel")):
        for call, message in (
            (lambda m: m(), "missing 1 required positional argument: 'inputs'"),
            (lambda m: m(X, True), "takes 2 positional arguments but 3 were given"),
            (lambda m: m(X, train=True), "got an unexpected keyword argument 'train'"),
        ):
            with pytest.raises(TypeError, match=rf"^{name}\.__call__\(\) {message}$"):
                call(model)


def test_a_hypermodel_is_no_layer():
    with pytest.raises(NotImplementedError, match="a HyperModel inside another model is not built"):
        hyper()([hn.Input((2,)), hn.Input((3,))])


def test_weights_of_several_conditions_are_several_vectors():
    target = hn.target_network(3, 2, hidden=4)
    made = hn.hypernetwork(2, target.count_params()).predict(np.ones((5, 2)), verbose=0)
    with pytest.raises(ValueError, match=r"several vectors: pass one of them, as `weights\[0\]`\.$"):
        target.set_weights(made)
    target.set_weights(made[0])  # as it says
    with pytest.raises(ValueError, match="give the generator its size"):
        target.set_weights(made[:, :7])


# ---- shapes ----
def test_rows_in_a_list():
    rows = list(X)
    with pytest.raises(ValueError, match=r"it received 6 input tensors\. Pass one array; .* `np\.stack\(rows\)`\."):
        compiled().predict(rows, verbose=0)
    assert compiled().predict(np.stack(rows), verbose=0).shape == (6, 2)


def test_a_number_is_no_shape():
    with pytest.raises(ValueError, match=r"Cannot convert '3' to a shape\. Pass a tuple .*, as \(3,\)\."):
        hn.Input(3)


# ---- what belongs to outputs ----
def two_outputs():
    inputs = hn.Input((3,))
    model = hn.Model(inputs, [hn.layers.Dense(2, name="a")(inputs), hn.layers.Dense(2, name="b")(inputs)])
    model.compile(optimizer="sgd", loss="mse")
    return model


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y, r"`y` needs 2 arrays, one for each of the outputs \['a', 'b'\]\. Received: 1 arrays\. Pass them as a list"),
        ([Y] * 3, r"`y` needs 2 arrays, .* Received: 3 arrays\."),
        ({"a": Y}, r'Missing data for output "b" in `y`\. You passed a data dictionary with keys \[\'a\'\]\.'),
    ],
)
def test_targets_of_other_outputs(y, message):
    with pytest.raises(ValueError, match=message):
        two_outputs().fit(X, y, verbose=0)


def test_rows_of_targets_in_a_list():
    with pytest.raises(ValueError, match=r"`y` needs one array, .* Received: 6 arrays\. .*np\.stack"):
        compiled().fit(X, list(Y), verbose=0)


def test_gradients_of_other_outputs():
    _, pullback = two_outputs().vjp(X)
    with pytest.raises(ValueError, match=r"`dy` needs 2 arrays, one for each of the outputs \['a', 'b'\]"):
        pullback([Y])


def test_weights_that_name_nothing():
    with pytest.raises(ValueError, match=r"keys that name no output: \['c'\]\. The outputs are \['a', 'b'\]"):
        two_outputs().fit(X, [Y, Y], sample_weight={"a": np.ones(6), "c": np.ones(6)}, verbose=0)
    with pytest.raises(ValueError, match="weights by label are `class_weight`"):
        compiled().fit(X, Y, sample_weight={0: 1.0, 1: 2.0}, verbose=0)


def test_labels_as_text():
    """As they come out of JSON."""
    model = hn.target_network(3, 2)
    model.compile(loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"The labels in `class_weight` must be numbers, .* Received: \['0', '1'\]"):
        model.fit(X, np.zeros(6, int), class_weight={"0": 1.0, "1": 2.0}, verbose=0)


@pytest.mark.parametrize(("error", "says"), [(RuntimeError, "Unsupported dtype"), (BufferError, "Can't export")])
def test_tensors_that_numpy_cannot_take(error, says):
    class Tensor:
        shape, dtype, device = (6, 3), "bfloat16", "cuda:0"

        def __dlpack_device__(self):
            return 1, 0

        def __dlpack__(self, **_):
            raise error(says)

    message = rf"NumPy cannot take a Tensor \(dtype bfloat16, device cuda:0\): {says}\. Convert it to float32"
    with pytest.raises(ValueError, match=message):
        compiled().predict(Tensor(), verbose=0)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.array([[True, Decimal("2.5"), np.float32(3)]], object), r"convert it with `\.astype\('float32'\)`"),
        (np.array([[1, None, 3]], object), r"1 of its items are no numbers, such as None \(of type NoneType\)"),
        (np.array([["a", "b", "c"]]), r"text must be turned into numbers first .*`np\.unique\(labels, return_inverse"),
        (np.array([[b"a", b"b", b"c"]]), "text must be turned into numbers first"),
        (np.ones((1, 3), complex), r"`np\.stack\(\[z\.real, z\.imag\], axis=-1\)`"),
        (np.zeros(3, [("height", "f4"), ("width", "f4")]), "take the fields that you need"),
    ],
)
def test_advice_for_arrays_of_no_numbers(array, says):
    """What is advised makes numbers of that array; `astype('float32')` is advised only where it does."""
    with pytest.raises(ValueError, match=rf"Invalid dtype: .* received one of shape \(.*\); .*{says}") as raised:
        compiled().predict(array, verbose=0)
    assert ("astype" in str(raised.value)) == (says.startswith("convert"))
    if says.startswith("convert"):
        compiled().predict(array.astype("float32"), verbose=0)


@pytest.mark.parametrize("verbose", ["yes", None, 1.5, [1]])
def test_verbose_is_named(verbose):
    """By fit, evaluate and predict alike, before anything runs."""
    model = compiled()
    for call in (lambda: model.fit(X, Y, verbose=verbose), lambda: model.evaluate(X, Y, verbose=verbose)):
        with pytest.raises(
            ValueError,
            match=rf"`verbose` must be 'auto', 0, 1 or 2\. Received: verbose={verbose!r}".replace("[", r"\["),
        ):
            call()
    with pytest.raises(ValueError, match="`verbose` must be"):
        model.predict(X, verbose=verbose)


def test_a_class_in_place_of_an_optimizer():
    """The class is named with what makes an object of it; classes of losses and metrics are as in Keras made into one."""
    model = hn.target_network(3, 2)
    with pytest.raises(ValueError, match=r"Adam'>, which is a class\. Make an object of it: `Adam\(\)`"):
        model.compile(optimizer=hn.optimizers.Adam, loss="mse")
    model.compile("adam", hn.losses.MeanSquaredError, metrics=[hn.metrics.MeanAbsoluteError])
    assert len(model.evaluate(X, np.zeros((6, 2)), verbose=0)) == 2


def test_what_is_no_model_is_named():
    for call in (lambda: hn.functional_call(3, X, X), lambda: hn.functional_vjp(3, X, X), lambda: hn.count_params(3)):
        with pytest.raises(TypeError, match=r"expected a Model.* received int\."):
            call()


def test_a_layer_that_there_is_not():
    """What Keras has and this library has not: the message lists what there is."""
    with pytest.raises(AttributeError, match=r"no attribute 'Conv2D'\. There are: .*Concatenate, Dense, Dropout"):
        hn.layers.Conv2D  # noqa: B018
    with pytest.raises(ValueError, match=r"expected a positive integer\. Received: units='10'"):
        hn.layers.Dense("10")
