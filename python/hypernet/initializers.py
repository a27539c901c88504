"""Initializers: what weights begin with."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._random import as_seed, next_seed, seeded
from ._registry import Family

Array = NDArray[Any]
Axes = Sequence[int] | None
# Standard deviation of a standard normal that is cut off at two.
_TRUNCATED_DEVIATION = 0.87962566103423978

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]


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


def _dtype(dtype: Any) -> np.dtype[Any]:
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
        return np.zeros(shape, _dtype(dtype))


class Ones(Initializer):
    """Ones.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.Ones()((2,)).tolist()
    [1.0, 1.0]
    """

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        return np.ones(shape, _dtype(dtype))


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
        return np.array(np.broadcast_to(np.asarray(self.value, _dtype(dtype)), shape))

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
        return np.asarray(self.gain * np.eye(*shape), _dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


class RandomInitializer(Initializer):
    """Draws from a seed: the given one, or one that the object draws at birth. Every call gives the same numbers."""

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise ValueError(f"`seed` argument should be an instance of an integer, or None. Received: seed={seed}")
        self.seed = None if seed is None else as_seed(seed)
        self._start = next_seed() if self.seed is None else self.seed

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}

    def _normal(self, shape: Any, dtype: Any, mean: float, deviation: float) -> Array:
        numbers = seeded(self._start).standard_normal(tuple(shape))
        return np.asarray(mean + deviation * numbers, _dtype(dtype))

    def _truncated(self, shape: Any, dtype: Any, mean: float, deviation: float) -> Array:
        """Normal numbers; those beyond two deviations are drawn again."""
        rng = seeded(self._start)
        numbers = rng.standard_normal(tuple(shape)).reshape(-1)
        outside = np.flatnonzero(np.abs(numbers) > 2.0)
        while outside.size:
            numbers[outside] = rng.standard_normal(outside.size)
            outside = outside[np.abs(numbers[outside]) > 2.0]
        return np.asarray(mean + deviation * numbers.reshape(shape), _dtype(dtype))

    def _uniform(self, shape: Any, dtype: Any, low: float, high: float) -> Array:
        return np.asarray(low + (high - low) * seeded(self._start).random(tuple(shape)), _dtype(dtype))


class RandomNormal(RandomInitializer):
    """Normal numbers.

    Parameters
    ----------
    mean, stddev : float
    seed : int, optional

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.RandomNormal(stddev=0.1, seed=0)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        return self._normal(shape, dtype, self.mean, self.stddev)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normal numbers, none further than two standard deviations (before truncation) from the mean.

    Examples
    --------
    >>> import hypernet as hn
    >>> bool((abs(hn.initializers.TruncatedNormal(stddev=0.5)((100,))) <= 1).all())
    True
    """

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        return self._truncated(shape, dtype, self.mean, self.stddev)


class RandomUniform(RandomInitializer):
    """Numbers evenly from an interval.

    Parameters
    ----------
    minval, maxval : float
        The interval.
    seed : int, optional

    Examples
    --------
    >>> import hypernet as hn
    >>> bool((hn.initializers.RandomUniform(0.0, 1.0)((100,)) >= 0).all())
    True
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        return self._uniform(shape, dtype, self.minval, self.maxval)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RandomInitializer):
    """Numbers of variance `scale / n`, n being the number of inputs, of outputs, or their mean.

    Parameters
    ----------
    scale : float
        Positive.
    mode : "fan_in", "fan_out" or "fan_avg"
        What n is.
    distribution : "truncated_normal", "untruncated_normal" or "uniform"
    seed : int, optional
    input_axes, output_axes : sequence of int, optional
        Axes of the shape that count as inputs and outputs; by default the first and the last of a matrix.

    Raises
    ------
    ValueError
        An argument is none of these.

    Examples
    --------
    >>> import hypernet as hn
    >>> initializer = hn.initializers.VarianceScaling(mode="fan_avg", distribution="uniform")
    >>> bool((abs(initializer((4, 2))) <= 1).all())
    True
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Axes = None,
        output_axes: Axes = None,
    ) -> None:
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        modes = ("fan_in", "fan_out", "fan_avg")
        if mode not in modes:
            raise ValueError(f"Invalid `mode` argument: {mode}. Please use one of {modes}")
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        distributions = ("uniform", "truncated_normal", "untruncated_normal")
        if distribution not in distributions:
            raise ValueError(f"Invalid `distribution` argument: {distribution}. Please use one of {distributions}")
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        inputs, outputs = compute_fans(shape, self.input_axes, self.output_axes)
        size = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[self.mode]
        variance = self.scale / max(1.0, size)
        if self.distribution == "truncated_normal":
            return self._truncated(shape, dtype, 0.0, math.sqrt(variance) / _TRUNCATED_DEVIATION)
        if self.distribution == "untruncated_normal":
            return self._normal(shape, dtype, 0.0, math.sqrt(variance))
        limit = math.sqrt(3.0 * variance)
        return self._uniform(shape, dtype, -limit, limit)

    def get_config(self) -> dict[str, Any]:
        axes = {"input_axes": self.input_axes, "output_axes": self.output_axes}
        if type(self) is not VarianceScaling:
            return {"seed": self.seed, **axes}
        return {
            "seed": self.seed,
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            **axes,
        }


def compute_fans(shape: Sequence[int], input_axes: Axes = None, output_axes: Axes = None) -> tuple[int, int]:
    """The numbers of inputs and outputs of a weight of this shape; more than two axes count as a convolution's.

    >>> compute_fans((3, 5)), compute_fans((7,)), compute_fans((3, 3, 8, 16))
    ((3, 5), (7, 7), (72, 144))
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[axis] for axis in input_axes), math.prod(shape[axis] for axis in output_axes)
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return int(shape[0]), int(shape[0])
    field = math.prod(shape[:-2])
    return int(shape[-2] * field), int(shape[-1] * field)


class GlorotUniform(VarianceScaling):
    """Evenly from [-limit, limit], limit = sqrt(6 / (inputs + outputs)) (Glorot, Bengio, AISTATS 2010).

    Examples
    --------
    >>> import hypernet as hn
    >>> bool((abs(hn.initializers.GlorotUniform()((2, 4))) <= 1).all())
    True
    """

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed, input_axes, output_axes)


class GlorotNormal(VarianceScaling):
    """Truncated normal of variance 2 / (inputs + outputs) (Glorot, Bengio, AISTATS 2010)."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed, input_axes, output_axes)


class LecunNormal(VarianceScaling):
    """Truncated normal of variance 1 / inputs (LeCun et al., 1998)."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class LecunUniform(VarianceScaling):
    """Evenly from [-limit, limit], limit = sqrt(3 / inputs) (LeCun et al., 1998)."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed, input_axes, output_axes)


class HeNormal(VarianceScaling):
    """Truncated normal of variance 2 / inputs (He et al., ICCV 2015)."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class HeUniform(VarianceScaling):
    """Evenly from [-limit, limit], limit = sqrt(6 / inputs) (He et al., ICCV 2015)."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed, input_axes, output_axes)


class Orthogonal(RandomInitializer):
    """A random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al., ICLR 2014).

    Parameters
    ----------
    gain : float
        Times this.
    seed : int, optional

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> q = hn.initializers.Orthogonal()((4, 2), dtype="float64")
    >>> bool(np.allclose(q.T @ q, np.eye(2)))
    True
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        if len(shape) < 2:
            raise ValueError(
                "The tensor to initialize must be at least two-dimensional. Received: "
                f"shape={shape} of rank {len(shape)}."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = self._normal((max(rows, columns), min(rows, columns)), np.float64, 0.0, 1.0)
        q, r = np.linalg.qr(tall)
        q *= np.sign(np.diagonal(r))
        return np.ascontiguousarray(self.gain * (q.T if rows < columns else q), _dtype(dtype)).reshape(shape)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "gain": self.gain}


class _Given(Initializer):
    """A user's function of (shape, dtype), or array, with the signature of all initializers."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def __call__(self, shape: Any, dtype: Any = None, fan_in: int | None = None, fan_out: int | None = None) -> Array:
        values = self.given(shape, dtype=dtype) if callable(self.given) else self.given
        array = np.asarray(values, _dtype(dtype))
        if array.shape != tuple(shape):
            raise ValueError(
                f"Expected `shape` to be {array.shape} for direct tensor as initializer. Received shape={tuple(shape)}"
            )
        return array.copy()


zeros = Zeros
ones = Ones
constant = Constant
identity = IdentityInitializer = Identity
random_normal = RandomNormal
truncated_normal = TruncatedNormal
random_uniform = RandomUniform
variance_scaling = VarianceScaling
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
he_normal = HeNormal
he_uniform = HeUniform
orthogonal = OrthogonalInitializer = Orthogonal

_classes = [
    Initializer, Zeros, Ones, Constant, Identity, RandomNormal, TruncatedNormal, RandomUniform, VarianceScaling,
    GlorotUniform, GlorotNormal, LecunNormal, LecunUniform, HeNormal, HeUniform, Orthogonal,
]  # fmt: skip
_aliases = {
    "zero": Zeros, "one": Ones, "normal": RandomNormal, "uniform": RandomUniform, "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
}  # fmt: skip
_family = Family("initializer", _classes, _aliases)


def _takes_fans(call: Callable[..., Any]) -> bool:
    parameters = inspect.signature(call).parameters
    return "fan_in" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def get(identifier: Any) -> Any:
    """The initializer of this name or configuration; None is None, a function (shape, dtype) or an array serves too.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import hypernet as hn
    >>> type(hn.initializers.get("he_normal")).__name__
    'HeNormal'
    """
    if isinstance(identifier, (np.ndarray, np.generic)):
        return _Given(identifier)
    found = _family.get(identifier)
    return found if found is None or _takes_fans(found) else _Given(found)


def serialize(initializer: Any) -> Any:
    """A JSON value that `deserialize` takes."""
    if not isinstance(initializer, _Given):
        return _family.serialize(initializer)
    if callable(initializer.given):
        return _family.serialize(initializer.given)
    return {"class_name": "Constant", "config": {"value": initializer.given.tolist()}, "registered_name": None}


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer that `serialize` described."""
    return get(_family.deserialize(config, custom_objects))
