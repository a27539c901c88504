"""Messages about common mistakes: what was expected, what came, how to mend it."""

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
