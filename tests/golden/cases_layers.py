"""Every layer: its value with given weights, its shapes, and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .libraries import Case, Library, draws

Shapes = list[tuple[int, ...]]
Maker = Callable[[Any], Any]


def _layer(name: str, make: Maker, shapes: Shapes, library: Library) -> dict[str, Any]:
    """A model of one layer: outputs and gradients for random weights and inputs."""
    k = library.k
    rng = draws("layer", name)
    inputs = [k.Input(shape, dtype="float64") for shape in shapes]
    model = k.Model(inputs if len(inputs) > 1 else inputs[0], make(k)(inputs if len(inputs) > 1 else inputs[0]))
    weights = [rng.normal(size=array.shape) for array in model.get_weights()]
    model.set_weights(weights)
    x = [rng.normal(size=(3, *shape)) for shape in shapes]
    y = np.asarray(model(x if len(x) > 1 else x[0]))
    dy = rng.normal(size=y.shape)
    return {"y": y, "parameters": float(model.count_params()), **library.model_gradients(model, x, dy)}


_ONE: list[tuple[str, Maker, Shapes]] = [
    ("Dense", lambda k: k.layers.Dense(4), [(3,)]),
    ("Dense without bias", lambda k: k.layers.Dense(4, use_bias=False), [(3,)]),
    ("Dense rank 3", lambda k: k.layers.Dense(4, activation="tanh"), [(5, 3)]),
    ("Dense rank 4", lambda k: k.layers.Dense(2, activation="gelu"), [(2, 5, 3)]),
    ("Dense of one", lambda k: k.layers.Dense(1), [(1,)]),
    ("Activation", lambda k: k.layers.Activation("silu"), [(3, 4)]),
    ("ReLU", lambda k: k.layers.ReLU(), [(7,)]),
    ("ReLU general", lambda k: k.layers.ReLU(max_value=1.0, negative_slope=0.2, threshold=0.1), [(7,)]),
    ("LeakyReLU", lambda k: k.layers.LeakyReLU(), [(7,)]),
    ("LeakyReLU 0.1", lambda k: k.layers.LeakyReLU(negative_slope=0.1), [(7,)]),
    ("ELU", lambda k: k.layers.ELU(), [(7,)]),
    ("ELU 0.5", lambda k: k.layers.ELU(alpha=0.5), [(7,)]),
    ("PReLU", lambda k: k.layers.PReLU(), [(4, 3)]),
    ("PReLU shared", lambda k: k.layers.PReLU(shared_axes=[1]), [(4, 3)]),
    ("Softmax", lambda k: k.layers.Softmax(), [(4, 3)]),
    ("Dropout", lambda k: k.layers.Dropout(0.5), [(7,)]),
    ("Flatten", lambda k: k.layers.Flatten(), [(2, 3, 2)]),
    ("Reshape", lambda k: k.layers.Reshape((3, -1)), [(2, 6)]),
    ("Add", lambda k: k.layers.Add(), [(4,), (4,), (4,)]),
    ("Add broadcast", lambda k: k.layers.Add(), [(3, 4), (1, 4)]),
    ("Add ranks", lambda k: k.layers.Add(), [(3, 4), (4,)]),
    ("Multiply", lambda k: k.layers.Multiply(), [(4,), (4,), (4,)]),
    ("Multiply broadcast", lambda k: k.layers.Multiply(), [(3, 4), (3, 1)]),
    ("Concatenate", lambda k: k.layers.Concatenate(), [(2, 3), (2, 1), (2, 4)]),
    ("Concatenate axis 1", lambda k: k.layers.Concatenate(axis=1), [(2, 3), (5, 3)]),
    ("LayerNormalization", lambda k: k.layers.LayerNormalization(), [(6,)]),
    ("LayerNormalization rank 3", lambda k: k.layers.LayerNormalization(), [(3, 6)]),
    ("LayerNormalization axes", lambda k: k.layers.LayerNormalization(axis=(1, 2), epsilon=1e-5), [(3, 4)]),
    ("LayerNormalization no center", lambda k: k.layers.LayerNormalization(center=False), [(6,)]),
    ("LayerNormalization no scale", lambda k: k.layers.LayerNormalization(scale=False), [(6,)]),
]
for _name in [
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "sigmoid",
    "tanh",
    "softplus",
    "softsign",
    "exponential",
    "hard_sigmoid",
    "softmax",
    "log_softmax",
]:
    _ONE.append((f"Dense {_name}", lambda k, name=_name: k.layers.Dense(4, activation=name), [(3,)]))  # type: ignore[misc]


def _embedding(shape: tuple[int, ...], library: Library) -> dict[str, Any]:
    k = library.k
    rng = draws("embedding", shape)
    inputs = k.Input(shape, dtype="int32")
    model = k.Model(inputs, k.layers.Embedding(7, 3, dtype="float64")(inputs))
    model.set_weights([rng.normal(size=(7, 3))])
    ids = rng.integers(0, 7, (4, *shape)).astype("int32")
    y = np.asarray(model(ids))
    return {"y": y, **library.model_gradients(model, [ids], rng.normal(size=y.shape))}


def _film(library: Library) -> dict[str, Any]:
    """Feature-wise modulation: two inputs, a shared layer, products and sums that broadcast, a nested model."""
    k = library.k
    rng = draws("film")
    rows, condition = k.Input((5, 3), dtype="float64"), k.Input((2,), dtype="float64")
    trunk_in = k.Input((5, 3), dtype="float64")
    trunk = k.Model(trunk_in, k.layers.Dense(4, activation="tanh")(trunk_in))
    shared = k.layers.Dense(3)
    features = trunk(shared(shared(rows)))
    gain = k.layers.Reshape((1, 4))(k.layers.Dense(4)(condition))
    modulated = k.layers.Multiply()([features, gain])
    shifted = k.layers.Add()([modulated, k.layers.Reshape((1, 4))(k.layers.Dense(4)(condition))])
    model = k.Model([rows, condition], k.layers.Concatenate()([shifted, features]))
    model.set_weights([rng.normal(size=array.shape) for array in model.get_weights()])
    x = [rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 2))]
    y = np.asarray(model(x))
    return {"y": y, **library.model_gradients(model, x, rng.normal(size=y.shape))}


def _sequential(library: Library) -> dict[str, Any]:
    k = library.k
    rng = draws("sequential")
    layers = [k.Input((4,), dtype="float64"), k.layers.Dense(5, "relu"), k.layers.Dropout(0.3), k.layers.Dense(2)]
    model = k.Sequential(layers)
    model.set_weights([rng.normal(size=array.shape) for array in model.get_weights()])
    return {"y": model.predict(rng.normal(size=(3, 4)), verbose=0)}


def cases() -> dict[str, Case]:
    """All of them by name."""
    found: dict[str, Case] = {f"layers/{name}": partial(_layer, name, make, shapes) for name, make, shapes in _ONE}
    for shape in ((), (3,), (2, 3)):
        found[f"layers/Embedding {shape}"] = partial(_embedding, shape)
    found["layers/FiLM"] = _film
    found["layers/Sequential"] = _sequential
    return found
