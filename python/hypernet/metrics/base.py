"""What every metric is: a state that batches are taken into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._convert import as_array, as_dtype
from .._names import auto_name

Array = NDArray[Any]


class Metric:
    """The base of all metrics; one of your own defines `update_state`, `result`, `reset_state` (and `get_config`).

    Parameters
    ----------
    dtype : str, optional
        Kept for the configuration; sums are kept in double.
    name : str, optional

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> class Largest(hn.metrics.Metric):
    ...     def reset_state(self):
    ...         self.value = -np.inf
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.value = max(self.value, float(np.abs(y_pred - y_true).max()))
    ...     def result(self):
    ...         return self.value
    >>> Largest()(np.zeros(2), np.array([1.0, -3.0]))
    3.0
    """

    # "up" or "down": what callbacks that watch this metric take for better.
    _direction: str | None = None

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or auto_name(type(self).__name__)
        self.dtype = "float32" if dtype is None else np.dtype(dtype).name
        self.reset_state()

    def _counts(self, sample: tuple[int, ...]) -> bool:
        """Whether the sums are whole numbers for outputs of this sample shape: then many batches may come as one."""
        return False

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take one batch in."""
        raise NotImplementedError(f"{type(self).__name__} must define `update_state`.")

    def result(self) -> Any:
        """The value over all batches since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} must define `result`.")

    def reset_state(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__} must define `reset_state`.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take one batch in, and give the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make the same metric, without its state."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The metric that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _per_sample(values: Any, sample_weight: Any, mean: bool) -> tuple[Array, Array | None]:
    """Values and weights with one number a sample; further axes are averaged (or summed) away."""
    array = as_array(values)
    weights = None
    if sample_weight is not None:
        weights = as_dtype(sample_weight, "float64")
        if array.ndim == weights.ndim + 1 and array.shape[-1] == 1 and weights.ndim != 1:
            array = array[..., 0]
        elif weights.ndim == array.ndim + 1 and weights.shape[-1] == 1:
            weights = weights[..., 0]
        if array.ndim > weights.ndim:
            array = _fold(array, tuple(range(weights.ndim, array.ndim)), mean)
        if weights.ndim > array.ndim or any(
            a not in (1, b) for a, b in zip(weights.shape[::-1], array.shape[::-1], strict=False)
        ):
            raise ValueError(
                f"sample_weight of shape {np.shape(weights)} does not broadcast to the values' shape {array.shape}."
            )
        weights = np.broadcast_to(weights, array.shape)
        array = array * weights
        weights = _fold(weights, tuple(range(1, weights.ndim)), mean)
    return _fold(array, tuple(range(1, array.ndim)), mean), weights


def _fold(array: Array, axes: tuple[int, ...], mean: bool) -> Array:
    if not axes:
        return array
    return np.asarray(array.mean(axis=axes, dtype=np.float64) if mean else array.sum(axis=axes, dtype=np.float64))


class Sum(Metric):
    """The weighted sum of values.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.metrics.Sum()([1.0, 2.0])
    3.0
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)

    def reset_state(self) -> None:
        self.total = 0.0

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        self.total += float(_per_sample(values, sample_weight, mean=False)[0].sum(dtype=np.float64))

    def result(self) -> float:
        return self.total


class Mean(Metric):
    """The weighted mean of values; 0 before the first.

    Examples
    --------
    >>> import hypernet as hn
    >>> metric = hn.metrics.Mean()
    >>> metric.update_state([1.0, 3.0])
    >>> metric.update_state([8.0], sample_weight=[2.0])
    >>> metric.result()
    5.0
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)

    def reset_state(self) -> None:
        self.total = 0.0
        self.count = 0.0

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        if sample_weight is None and type(values) is np.ndarray and values.ndim == 1 and values.dtype.kind in "fiub":
            self.total += float(values.sum(dtype=np.float64))
            self.count += len(values)
            return
        array, weights = _per_sample(values, sample_weight, mean=True)
        self.total += float(array.sum(dtype=np.float64))
        self.count += float(weights.sum()) if weights is not None else len(array) if array.ndim else 1

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0


class MeanMetricWrapper(Mean):
    """The mean of a function of (y_true, y_pred), which gives a value a row or a position.

    Parameters
    ----------
    fn : callable
    name : str, optional
    **kwargs
        Handed to `fn`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> metric = hn.metrics.MeanMetricWrapper(lambda y_true, y_pred: np.abs(y_true - y_pred).max(-1), name="worst")
    >>> metric(np.zeros((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]]))
    3.0
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name, dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        Mean.update_state(self, self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    def get_config(self) -> dict[str, Any]:
        from . import serialize

        return {"name": self.name, "dtype": self.dtype, "fn": serialize(self._fn), **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        from . import deserialize

        if "fn" in config:
            config = {**config, "fn": deserialize(config["fn"])}
        return cls(**config)


class FixedFunction(MeanMetricWrapper):
    """A wrapped function with parameters of its own."""

    def __init__(self, fn: Callable[..., Any], name: str | None, dtype: Any, **parameters: Any) -> None:
        super().__init__(fn, name, dtype, **parameters)
        for key, value in parameters.items():
            setattr(self, key, value)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, **self._fn_kwargs}
