"""Activations as layers."""

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import activations, constraints, initializers, regularizers
from .._shapes import Shape
from .base import Array, Layer, Operation, lowering, reject
from .core import activation_attributes


class Activation(Layer):
    """Any activation function as a layer.

    Parameters
    ----------
    activation : str or callable
        Name or function of `hypernet.activations`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Activation("relu")(np.array([[-1.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        name, params = lowering(self.activation)
        return [("", "activation", activation_attributes(name, params))]

    def _config(self) -> dict[str, Any]:
        return {"activation": activations.serialize(self.activation)}


class ReLU(Layer):
    """`max(x, 0)`, and its variants: a slope below the threshold, a bound above.

    Parameters
    ----------
    max_value : float, optional
        Upper bound; None is none.
    negative_slope : float
        Slope below the threshold.
    threshold : float
        Where the slope begins.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.ReLU(max_value=6.0)(np.array([[1.0, 2.0, 8.0]])).tolist()
    [[1.0, 2.0, 6.0]]
    """

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if max_value is not None and max_value < 0.0:
            raise ValueError(f"max_value of a ReLU layer cannot be a negative value. Received: max_value={max_value}")
        if negative_slope is None or negative_slope < 0.0:
            raise ValueError(
                "negative_slope of a ReLU layer cannot be None or a negative value. "
                f"Received: negative_slope={negative_slope}"
            )
        if threshold is None or threshold < 0.0:
            raise ValueError(
                f"threshold of a ReLU layer cannot be None or a negative value. Received: threshold={threshold}"
            )
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        if self.max_value is None and not self.negative_slope and not self.threshold:
            return [("", "activation", activation_attributes("relu", ()))]
        bound = math.inf if self.max_value is None else self.max_value
        return [("", "activation", activation_attributes("relu_general", (self.negative_slope, bound, self.threshold)))]

    def _config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "negative_slope": self.negative_slope, "threshold": self.threshold}


class LeakyReLU(Layer):
    """`x` above zero, `negative_slope * x` below.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.LeakyReLU(negative_slope=0.5)(np.array([[-1.0, 2.0]])).tolist()
    [[-0.5, 2.0]]
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
            warnings.warn("Argument `alpha` is deprecated. Use `negative_slope` instead.", stacklevel=2)
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(
                "The negative_slope value of a Leaky ReLU layer cannot be None or negative value. Expected a float. "
                f"Received: negative_slope={negative_slope}"
            )
        self.negative_slope = negative_slope

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        return [("", "activation", activation_attributes("relu_general", (self.negative_slope, math.inf, 0.0)))]

    def _config(self) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope}


class ELU(Layer):
    """`x` above zero, `alpha * (exp(x) - 1)` below.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.ELU()(np.array([[0.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        return [("", "activation", activation_attributes("elu", (self.alpha,)))]

    def _config(self) -> dict[str, Any]:
        return {"alpha": self.alpha}


class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along the last axis.

    Parameters
    ----------
    axis : int
        Only the last axis is built: NotImplementedError for others.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Softmax()(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        if self.axis != -1 and self.axis != len(shapes[0]):
            raise NotImplementedError(f"Softmax: `axis={self.axis}` is not built; only the last axis is.")
        return [("", "activation", activation_attributes("softmax", ()))]

    def _config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class PReLU(Layer):
    """`x` above zero, `alpha * x` below, with a learned alpha for every element of a sample.

    Parameters
    ----------
    alpha_initializer, alpha_regularizer, alpha_constraint
        As for `Dense`.
    shared_axes : list of int, optional
        Axes (counted from 1, the batch is 0) along which alpha is shared.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> layer = hn.layers.PReLU(shared_axes=[1])
    >>> layer(np.zeros((2, 5, 3))).shape, layer.alpha.shape
    ((2, 5, 3), (1, 3))
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        if shared_axes is None:
            self.shared_axes: list[int] | None = None
        else:
            self.shared_axes = list(shared_axes) if isinstance(shared_axes, (list, tuple)) else [shared_axes]

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        return [("", "prelu", {"shared_axes": tuple(self.shared_axes or ())})]

    def _weight_options(self) -> dict[str, tuple[Any, Any, Any]]:
        return {"alpha": (self.alpha_initializer, self.alpha_regularizer, self.alpha_constraint)}

    @property
    def alpha(self) -> Array:
        """Live view of the slopes."""
        return self._attribute_weight("alpha")

    @alpha.setter
    def alpha(self, value: Any) -> None:
        self._assign_weight("alpha", value)

    def _config(self) -> dict[str, Any]:
        return {
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


class Dropout(Layer):
    """In training: sets a random fraction `rate` of its input to zero and scales the rest by 1 / (1 - rate).

    The random numbers are counter-based: they depend on the seed (`hn.utils.set_random_seed`, or `seed=` of a call) and
    on the position of the layer, the row and the element, not on blocks or threads.

    Parameters
    ----------
    rate : float
        Between 0 and 1.
    noise_shape, seed
        Not built (NotImplementedError).

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Dropout(0.5)(np.ones((1, 3))).tolist()
    [[1.0, 1.0, 1.0]]
    """

    _random = True

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(
                "Invalid value received for argument `rate`. Expected a float value between 0 and 1. "
                f"Received: rate={rate}"
            )
        reject("Dropout", noise_shape=noise_shape)
        if seed is not None:
            raise NotImplementedError("Dropout: `seed` is not built; use `hn.utils.set_random_seed`.")
        self.rate = rate

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        return [("", "dropout", {"rate": float(self.rate)})]

    def _config(self) -> dict[str, Any]:
        return {"rate": self.rate}
