"""Add, Multiply and Concatenate, as layers and as functions on tensors."""

from __future__ import annotations

from typing import Any

from .._shapes import Shape
from .base import Layer, Operation


class _Merge(Layer):
    _takes_list = True
    _op = ""

    def _check_shapes(self, shapes: list[Shape]) -> None:
        if not shapes:
            raise ValueError(
                "A merge layer should be called on a list of at least 1 input. Received 0 inputs. Full input_shape "
                "received: []"
            )
        merged: Shape = shapes[0][1:]
        for shape in shapes[1:]:
            merged = _broadcast(merged, shape[1:])

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        if len(shapes) == 1:
            return [("", "activation", {"activation": "linear"})]
        return [("", self._op, {})]


def _broadcast(first: Shape, second: Shape) -> Shape:
    length = max(len(first), len(second))
    padded = ((1,) * (length - len(first)) + first, (1,) * (length - len(second)) + second)
    result: list[int | None] = []
    for a, b in zip(*padded, strict=True):
        if a is not None and b is not None and a != b and 1 not in (a, b):
            raise ValueError(f"Inputs have incompatible shapes. Received shapes {first} and {second}")
        result.append(b if a == 1 else a if b in (1, None) else b)
    return tuple(result)


class Add(_Merge):
    """The sum of a list of inputs, which broadcast as in NumPy.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Add()([np.ones((1, 2, 3)), np.ones((1, 3))]).tolist()
    [[[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]]
    """

    _op = "add"


class Multiply(_Merge):
    """The elementwise product of a list of inputs, which broadcast as in NumPy.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Multiply()([np.full((1, 2), 3.0), np.full((1, 2), 2.0)]).tolist()
    [[6.0, 6.0]]
    """

    _op = "multiply"


class Concatenate(Layer):
    """Inputs side by side along one axis.

    Parameters
    ----------
    axis : int
        Counted with the batch as axis 0, or from the end. The batch axis itself is not built.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> hn.layers.Concatenate()([np.zeros((2, 3)), np.zeros((2, 4))]).shape
    (2, 7)
    """

    _takes_list = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if axis == 0:
            raise NotImplementedError("Concatenate: `axis=0` (the batch) is not built.")
        self.axis = axis

    def _check_structure(self, inputs: Any) -> tuple[Any, list[Any]]:
        if not isinstance(inputs, (list, tuple)) or not inputs:
            shape = getattr(inputs, "shape", inputs)
            raise ValueError(
                f"A `Concatenate` layer should be called on a list of at least 1 input. Received: input_shape={shape}"
            )
        return [0] * len(inputs), list(inputs)

    def _check_shapes(self, shapes: list[Shape]) -> None:
        rank = len(shapes[0])
        axis = self.axis if self.axis >= 0 else self.axis + rank
        if not 0 <= axis < rank:
            raise ValueError(f"Concatenate: axis {self.axis} is out of range for inputs of shape {shapes[0]}.")
        if axis == 0:
            raise NotImplementedError("Concatenate: the batch axis is not built.")
        for shape in shapes[1:]:
            same = len(shape) == rank and all(
                i in (0, axis) or None in (a, b) or a == b
                for i, (a, b) in enumerate(zip(shapes[0], shape, strict=True))
            )
            if not same:
                raise ValueError(
                    "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis. "
                    f"Received: input_shape={shapes}"
                )

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        if len(shapes) == 1:
            return [("", "activation", {"activation": "linear"})]
        return [("", "concatenate", {"axis": self.axis - 1 if self.axis > 0 else self.axis})]

    def _config(self) -> dict[str, Any]:
        return {"axis": self.axis}


def add(inputs: list[Any], **kwargs: Any) -> Any:
    """`Add(**kwargs)(inputs)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> a, b = hn.layers.Input((3,)), hn.layers.Input((3,))
    >>> hn.layers.add([a, b]).shape
    (None, 3)
    """
    return Add(**kwargs)(inputs)


def multiply(inputs: list[Any], **kwargs: Any) -> Any:
    """`Multiply(**kwargs)(inputs)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> a, b = hn.layers.Input((4, 3)), hn.layers.Input((3,))
    >>> hn.layers.multiply([a, b]).shape
    (None, 4, 3)
    """
    return Multiply(**kwargs)(inputs)


def concatenate(inputs: list[Any], axis: int = -1, **kwargs: Any) -> Any:
    """`Concatenate(axis, **kwargs)(inputs)`.

    Examples
    --------
    >>> import hypernet as hn
    >>> a, b = hn.layers.Input((3,)), hn.layers.Input((4,))
    >>> hn.layers.concatenate([a, b]).shape
    (None, 7)
    """
    return Concatenate(axis, **kwargs)(inputs)
