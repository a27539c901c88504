"""Flatten and Reshape: the same numbers in another shape."""

from __future__ import annotations

import math
import operator
from typing import Any

from .._shapes import Shape
from .base import Layer, Operation


class Flatten(Layer):
    """All axes of a sample in one.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    _keeps_numbers = True

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if data_format not in (None, "channels_last"):
            raise NotImplementedError(f"Flatten: `data_format={data_format!r}` is not built.")
        self.data_format = "channels_last"

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        return [("", "reshape", {"target": (-1,)})]

    def _config(self) -> dict[str, Any]:
        return {"data_format": self.data_format}


class Reshape(Layer):
    """Another shape for each sample.

    Parameters
    ----------
    target_shape : tuple of int
        Shape of one sample; one axis may be -1 and takes what is left.

    Raises
    ------
    ValueError
        The sizes do not agree.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Reshape((3, -1))(np.zeros((2, 12))).shape
    (2, 3, 4)
    """

    _keeps_numbers = True

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        target = tuple(operator.index(dim) for dim in target_shape)
        if target.count(-1) > 1:
            raise ValueError(
                f"There must be at most one unknown dimension (-1) in `target_shape`. Received: target_shape={target}."
            )
        if any(dim < -1 for dim in target):
            raise ValueError(
                "Each dimension in `target_shape` must be a non-negative integer, or `-1` for a single unknown "
                f"dimension. Received: target_shape={target}."
            )
        self.target_shape = target

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        known = [dim for dim in shapes[0] if dim is not None]
        if len(known) == len(shapes[0]):
            size, target = math.prod(known), math.prod(dim for dim in self.target_shape if dim >= 0)
            if size != target if -1 not in self.target_shape else (target == 0 or size % target):
                raise ValueError(
                    "The total size of the tensor must be unchanged. Received: "
                    f"input_shape={shapes[0]}, target_shape={self.target_shape}"
                )
        return [("", "reshape", {"target": self.target_shape})]

    def _config(self) -> dict[str, Any]:
        return {"target_shape": self.target_shape}
