"""What every initializer is, and those without random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._convert import as_array

Array = NDArray[Any]


class Initializer:
    """The base of all initializers; one of your own defines `__call__` and `get_config`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> class Halves(hn.initializers.Initializer):
    ...     def __call__(self, shape, dtype=None, fan_in=None, fan_out=None):
    ...         return np.full(shape, 0.5, dtype)
    >>> hn.layers.Dense(1, kernel_initializer=Halves())(np.ones((1, 2), "float32")).tolist()
    [[1.0]]
    """

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        """New weights.

        Parameters
        ----------
        shape : tuple of int
        dtype : str or dtype, optional
            float32 by default.
        fan_in, fan_out : int, optional
            What the layer knows about the weight. The built-in initializers go by the shape, as Keras's do.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `__call__(shape, dtype=None, ...)`.")

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make the same initializer."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The initializer that `get_config` described."""
        return cls(**config)

    def clone(self) -> Any:
        """A new initializer of the same configuration."""
        return type(self).from_config(self.get_config())


def as_dtype(dtype: Any) -> np.dtype[Any]:
    return np.dtype(np.float32 if dtype is None else dtype)


class Zeros(Initializer):
    """Zeros.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.Zeros()((2,)).tolist()
    [0.0, 0.0]
    """

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        return np.zeros(shape, as_dtype(dtype))


class Ones(Initializer):
    """Ones.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.Ones()((2,)).tolist()
    [1.0, 1.0]
    """

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        return np.ones(shape, as_dtype(dtype))


class Constant(Initializer):
    """One value everywhere, or an array that broadcasts to the shape.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.Constant(3.0)((2,)).tolist()
    [3.0, 3.0]
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        value = as_array(self.value).astype(as_dtype(dtype), copy=False)
        try:
            return np.array(np.broadcast_to(value, shape))
        except ValueError:
            raise ValueError(f"Constant: a value of shape {value.shape} does not broadcast to {shape}.") from None

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value.tolist() if isinstance(self.value, (np.ndarray, np.generic)) else self.value}


class Identity(Initializer):
    """A multiple of the identity matrix.

    Parameters
    ----------
    gain : float
        The multiple.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.Identity()((2, 2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        return np.asarray(self.gain * np.eye(*shape), as_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}
