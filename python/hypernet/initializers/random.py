"""Initializers that draw random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._random import as_seed, next_seed, seeded
from .base import Initializer, as_dtype

Array = NDArray[Any]
Axes = Sequence[int] | None
# Standard deviation of a standard normal that is cut off at two.
_TRUNCATED_DEVIATION = 0.87962566103423978


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
        return np.asarray(mean + deviation * numbers, as_dtype(dtype))

    def _truncated(self, shape: Any, dtype: Any, mean: float, deviation: float) -> Array:
        """Normal numbers; those beyond two deviations are drawn again."""
        rng = seeded(self._start)
        numbers = rng.standard_normal(tuple(shape)).reshape(-1)
        outside = np.flatnonzero(np.abs(numbers) > 2.0)
        while outside.size:
            numbers[outside] = rng.standard_normal(outside.size)
            outside = outside[np.abs(numbers[outside]) > 2.0]
        return np.asarray(mean + deviation * numbers.reshape(shape), as_dtype(dtype))

    def _uniform(self, shape: Any, dtype: Any, low: float, high: float) -> Array:
        return np.asarray(low + (high - low) * seeded(self._start).random(tuple(shape)), as_dtype(dtype))


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
    """Truncated normal of variance 2 / (inputs + outputs) (Glorot, Bengio, AISTATS 2010).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.GlorotNormal(seed=0)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed, input_axes, output_axes)


class LecunNormal(VarianceScaling):
    """Truncated normal of variance 1 / inputs (LeCun et al., 1998).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.LecunNormal(seed=0)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class LecunUniform(VarianceScaling):
    """Evenly from [-limit, limit], limit = sqrt(3 / inputs) (LeCun et al., 1998).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.LecunUniform(seed=0)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed, input_axes, output_axes)


class HeNormal(VarianceScaling):
    """Truncated normal of variance 2 / inputs (He et al., ICCV 2015).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.HeNormal(seed=0)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class HeUniform(VarianceScaling):
    """Evenly from [-limit, limit], limit = sqrt(6 / inputs) (He et al., ICCV 2015).

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.initializers.HeUniform(seed=0)((2, 3)).shape
    (2, 3)
    """

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
        return np.ascontiguousarray(self.gain * (q.T if rows < columns else q), as_dtype(dtype)).reshape(shape)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "gain": self.gain}
