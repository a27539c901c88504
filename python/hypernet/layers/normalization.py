"""LayerNormalization."""

from __future__ import annotations

from typing import Any

from .. import constraints, initializers, regularizers
from .._shapes import Shape
from .base import Array, Layer, Operation


class LayerNormalization(Layer):
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, over the trailing axes of each sample.

    Ba, Kiros, Hinton: Layer Normalization, arXiv 1607.06450, equation 4.

    Parameters
    ----------
    axis : int or tuple of int
        Axes to normalise over, with the batch as axis 0; they must be the last ones (others: NotImplementedError).
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether there are a beta and a gamma.
    beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint
        As for `Dense`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> y = hn.layers.LayerNormalization()(np.array([[1.0, 3.0]]))
    >>> y.round(2).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(axis, int) and not (
            isinstance(axis, (list, tuple)) and all(isinstance(a, int) for a in axis)
        ):
            raise TypeError(
                f"Expected an int or a list/tuple of ints for the argument 'axis', but received instead: {axis}"
            )
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon, self.center, self.scale = epsilon, bool(center), bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        rank = len(shapes[0]) + 1
        listed = [self.axis] if isinstance(self.axis, int) else self.axis
        axes = sorted({axis + rank if axis < 0 else axis for axis in listed})
        if not axes or not all(0 <= axis < rank for axis in axes):
            raise ValueError(f"{self.name}: axis={self.axis} is out of range for inputs of rank {rank} with the batch.")
        if axes != list(range(rank - len(axes), rank)) or axes[0] == 0:
            raise NotImplementedError(f"LayerNormalization: `axis={self.axis}` is not built; only the last axes are.")
        attributes = {"axes": len(axes), "epsilon": float(self.epsilon), "center": int(self.center)}
        return [("", "layer_normalization", {**attributes, "scale": int(self.scale)})]

    def _weight_options(self) -> dict[str, tuple[Any, Any, Any]]:
        return {
            "gamma": (self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint),
            "beta": (self.beta_initializer, self.beta_regularizer, self.beta_constraint),
        }

    @property
    def gamma(self) -> Array | None:
        """Live view of the scale; None if there is none."""
        return self._attribute_weight("gamma") if self.scale else None

    @gamma.setter
    def gamma(self, value: Any) -> None:
        self._assign_weight("gamma", value)

    @property
    def beta(self) -> Array | None:
        """Live view of the shift; None if there is none."""
        return self._attribute_weight("beta") if self.center else None

    @beta.setter
    def beta(self, value: Any) -> None:
        self._assign_weight("beta", value)

    def _config(self) -> dict[str, Any]:
        return {
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }
