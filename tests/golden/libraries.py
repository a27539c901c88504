"""The two libraries that run the same cases, and the few places where users write different code for them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Library(Protocol):
    """What a case needs besides the module `k`, which has Keras's names in both libraries."""

    k: Any
    name: str
    extension: str

    def loss_gradient(self, loss: Any, y_true: Array, y_pred: Array, sample_weight: Array | None) -> Array:
        """d loss / d y_pred."""

    def model_gradients(self, model: Any, inputs: list[Array], dy: Array) -> dict[str, Array]:
        """Gradients of sum(model(inputs) * dy) with respect to float inputs ("d_input_0", ...) and all weights."""

    def penalty(self, regularizer: Any, x: Array) -> Any:
        """The penalty of a weight."""

    def penalty_gradient(self, regularizer: Any, x: Array) -> Array:
        """d penalty / dx."""

    def variables(self, values: Sequence[Array]) -> list[Any]:
        """Trainable variables with these values."""


def numpy_of(value: Any) -> Array:
    """Any array or variable in NumPy."""
    return np.array(value.numpy() if hasattr(value, "numpy") and not isinstance(value, np.ndarray) else value)


class KerasLibrary:
    """Keras on JAX in float64."""

    name = "keras"
    extension = ".keras"

    def __init__(self) -> None:
        os.environ["KERAS_BACKEND"] = "jax"
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        jax.config.update("jax_enable_x64", True)
        import keras
        from keras.src.backend.common import dtypes

        # Keras computes means, tanh and schedules in float32 on this backend, whatever its floatx, unless this is gone.
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        self.k = keras
        self._jax = jax

    def loss_gradient(self, loss: Any, y_true: Array, y_pred: Array, sample_weight: Array | None) -> Array:
        sample_weight = None if sample_weight is None else np.asarray(sample_weight)

        def value(predicted: Any) -> Any:
            return self._jax.numpy.sum(loss(y_true, predicted, sample_weight=sample_weight))

        return np.array(self._jax.grad(value)(self._jax.numpy.asarray(y_pred)))

    def model_gradients(self, model: Any, inputs: list[Array], dy: Array) -> dict[str, Array]:
        floats = [i for i, array in enumerate(inputs) if array.dtype.kind == "f"]

        def value(weights: Any, chosen: Any) -> Any:
            given: list[Any] = list(inputs)
            for i, array in zip(floats, chosen, strict=True):
                given[i] = array
            outputs, _ = model.stateless_call(weights, states, given if len(given) > 1 else given[0])
            return self._jax.numpy.sum(outputs * dy)

        weights = [variable.value for variable in model.trainable_variables]
        states = [variable.value for variable in model.non_trainable_variables]
        d_weights, d_inputs = self._jax.grad(value, argnums=(0, 1))(weights, [inputs[i] for i in floats])
        found = {f"d_input_{i}": np.array(array) for i, array in zip(floats, d_inputs, strict=True)}
        parts = [np.array(array).reshape(-1) for array in d_weights]
        if parts:
            found["d_params"] = np.concatenate(parts)
        return found

    def penalty(self, regularizer: Any, x: Array) -> Any:
        return regularizer(self.k.ops.convert_to_tensor(x))  # NumPy arrays take another, wrong way in "columns"

    def penalty_gradient(self, regularizer: Any, x: Array) -> Array:
        return np.array(self._jax.grad(regularizer)(self._jax.numpy.asarray(x)))

    def variables(self, values: Sequence[Array]) -> list[Any]:
        return [self.k.Variable(value, dtype="float64") for value in values]


class HypernetLibrary:
    """The library under test."""

    name = "hypernet"
    extension = ".safetensors"

    def __init__(self) -> None:
        import hypernet

        self.k: Any = hypernet

    def loss_gradient(self, loss: Any, y_true: Array, y_pred: Array, sample_weight: Array | None) -> Array:
        return np.asarray(loss.value_and_grad(y_true, y_pred, sample_weight=sample_weight)[1])

    def model_gradients(self, model: Any, inputs: list[Array], dy: Array) -> dict[str, Array]:
        _, pullback = model.vjp(inputs if len(inputs) > 1 else inputs[0])
        gradients = pullback(dy)
        of_inputs = gradients.inputs if len(inputs) > 1 else [gradients.inputs]
        found = {f"d_input_{i}": array for i, array in enumerate(of_inputs) if array is not None}
        if gradients.params is not None and gradients.params.size:
            found["d_params"] = gradients.params
        return found

    def penalty(self, regularizer: Any, x: Array) -> Any:
        return regularizer(x)

    def penalty_gradient(self, regularizer: Any, x: Array) -> Array:
        return np.asarray(regularizer.gradient(x))

    def variables(self, values: Sequence[Array]) -> list[Any]:
        return [np.array(value) for value in values]


def draws(*names: Any) -> np.random.Generator:
    """The random numbers of a case: the same in both libraries."""
    return np.random.default_rng(zlib.crc32(repr(names).encode()))


Case = Callable[[Library], dict[str, Any]]
