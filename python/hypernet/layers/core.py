"""Dense and Embedding."""

from __future__ import annotations

import math
import numbers
from typing import Any

from .. import activations, constraints, initializers, regularizers
from .._shapes import Shape
from .base import Array, Attributes, Layer, Operation, lowering, reject

# Parametrised activations that the core's dense op knows by a name of their own; others follow it as a second op.
_FUSED = {
    ("relu_general", (0.2, math.inf, 0.0)): "leaky_relu",
    ("relu_general", (0.0, 6.0, 0.0)): "relu6",
    ("elu", (1.0,)): "elu",
    ("squareplus", (4.0,)): "squareplus",
    ("soft_shrink", (0.5,)): "soft_shrink",
    ("hard_shrink", (0.5,)): "hard_shrink",
}


class Dense(Layer):
    """`activation(x @ kernel + bias)` along the last axis.

    Parameters
    ----------
    units : int
        Size of the output's last axis.
    activation : str or callable, optional
        Name or function of `hypernet.activations`; None is linear.
    use_bias : bool
        Whether there is a bias.
    kernel_initializer, bias_initializer : str or Initializer
        What the weights begin with.
    kernel_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
        Penalties added to the loss.
    kernel_constraint, bias_constraint : str or Constraint, optional
        Applied after every step.
    name, dtype, trainable
        See `Layer`.

    Raises
    ------
    ValueError
        `units` is no positive integer, or an identifier is unknown.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Dense(4, activation="relu")(np.zeros((2, 5, 3))).shape
    (2, 5, 4)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        reject("Dense", lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        if not _is_positive_integer(units):
            raise ValueError(
                f"Received an invalid value for `units`, expected a positive integer. Received: units={units!r}"
            )
        self.units = int(units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def _check_shapes(self, shapes: list[Shape]) -> None:
        shape = shapes[0]
        where = f"Input 0 with name 'None' of layer '{self.name}' is incompatible with the layer: "
        if len(shape) < 2:
            raise ValueError(f"{where}expected min_ndim=2, found ndim={len(shape)}. Full shape received: {shape}")
        if not self.built and shape[-1] is None:
            raise ValueError(
                "Shapes used to initialize variables must be fully-defined (no `None` dimensions). Received: "
                f"shape={(None, self.units)} for variable path='{self.name}/kernel'"
            )
        if self.built and shape[-1] is not None and shape[-1] != self._weights[0].shape[0]:
            raise ValueError(
                f"{where}expected axis -1 of input shape to have value {self._weights[0].shape[0]}, but received input "
                f"with shape {shape}"
            )

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        name, params = lowering(self.activation)
        fused = _FUSED.get((name, params), "linear" if params else name)
        dense: Attributes = {"units": self.units, "use_bias": int(self.use_bias), "activation": fused}
        operations: list[Operation] = [("", "dense", dense)]
        if fused == "linear" and name != "linear":
            operations.append(("/activation", "activation", activation_attributes(name, params)))
        return operations

    def _weight_options(self) -> dict[str, tuple[Any, Any, Any]]:
        return {
            "kernel": (self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint),
            "bias": (self.bias_initializer, self.bias_regularizer, self.bias_constraint),
        }

    def _build(self, shapes: list[Shape], dtypes: list[str]) -> tuple[Shape, str]:
        was_built = self.built
        result = super()._build(shapes, dtypes)
        if not was_built and self._is_plain_map() and self._has_default_initializers():
            for weight in self._weights:
                weight.initial_checksum = weight.checksum()
        return result

    def _is_plain_map(self) -> bool:
        """Linear, so that it may be a generator's head."""
        return lowering(self.activation)[0] == "linear" and self.activity_regularizer is None

    def _has_default_initializers(self) -> bool:
        kernel = self.kernel_initializer
        is_default = type(kernel) is initializers.GlorotUniform and getattr(kernel, "seed", None) is None
        return is_default and (not self.use_bias or type(self.bias_initializer) is initializers.Zeros)

    @property
    def kernel(self) -> Array:
        """Live view of the kernel, (inputs, units)."""
        return self._attribute_weight("kernel")

    @kernel.setter
    def kernel(self, value: Any) -> None:
        self._assign_weight("kernel", value)

    @property
    def bias(self) -> Array | None:
        """Live view of the bias, (units,); None if there is none."""
        return self._attribute_weight("bias") if self.use_bias else None

    @bias.setter
    def bias(self, value: Any) -> None:
        self._assign_weight("bias", value)

    def _config(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


class Embedding(Layer):
    """A table of vectors, looked up by integer ids.

    Parameters
    ----------
    input_dim : int
        Number of ids: 0 <= id < input_dim.
    output_dim : int
        Length of a vector.
    embeddings_initializer, embeddings_regularizer, embeddings_constraint
        As for `Dense`.

    Raises
    ------
    ValueError
        A size is no positive integer; ids out of range (when called: they are not clipped).

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Embedding(10, 4)(np.array([[1, 2], [3, 9]])).shape
    (2, 2, 4)
    """

    _takes_ids = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        for name, value in (("input_dim", input_dim), ("output_dim", output_dim)):
            if not _is_positive_integer(value):
                raise ValueError(
                    f"`{name}` must be a positive integer. Received: {name}={value} (of type {type(value).__name__})."
                )
        super().__init__(**kwargs)
        reject(
            "Embedding",
            mask_zero=mask_zero,
            weights=weights,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            quantization_config=quantization_config,
        )
        self.input_dim, self.output_dim = int(input_dim), int(output_dim)
        self.mask_zero = False
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)

    def _resolve_dtype(self, dtypes: Any) -> None:
        # Ids say nothing of what the table should be; a floating input that ids come through does not either.
        super()._resolve_dtype(())

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        return [("", "embedding", {"input_dim": self.input_dim, "output_dim": self.output_dim})]

    def _weight_options(self) -> dict[str, tuple[Any, Any, Any]]:
        return {
            "embeddings": (self.embeddings_initializer, self.embeddings_regularizer, self.embeddings_constraint),
        }

    @property
    def embeddings(self) -> Array:
        """Live view of the table, (input_dim, output_dim)."""
        return self._attribute_weight("embeddings")

    @embeddings.setter
    def embeddings(self, value: Any) -> None:
        self._assign_weight("embeddings", value)

    def _config(self) -> dict[str, Any]:
        return {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
        }


def activation_attributes(name: str, params: tuple[float, ...]) -> Attributes:
    """Attributes of the core's activation op."""
    return {"activation": name, **{f"p{i}": float(value) for i, value in enumerate(params)}}


def _is_positive_integer(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) > 0
