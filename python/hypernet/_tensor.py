"""Symbolic tensors, and the nodes that record which layer made which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ._names import auto_name
from ._shapes import Shape

if TYPE_CHECKING:
    from .layers.base import Layer


class Node:
    """One call of a layer on symbolic tensors."""

    __slots__ = ("inputs", "layer", "outputs", "structure")

    def __init__(self, layer: Layer, structure: Any, inputs: list[KerasTensor], outputs: list[KerasTensor]) -> None:
        self.layer = layer
        self.structure = structure
        self.inputs = inputs
        self.outputs = outputs
        for index, tensor in enumerate(outputs):
            tensor.history = (self, index)

    @property
    def parents(self) -> list[Node]:
        """The nodes that made this node's inputs."""
        return [tensor.history[0] for tensor in self.inputs]


class KerasTensor:
    """A placeholder for an array: what `Input` gives and layers pass on.

    Parameters
    ----------
    shape : tuple
        With the batch first; None for an open axis.
    dtype : str
        Name of the element type.
    name : str, optional
        Counted up if it is not given.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.layers.Input((3,)).shape
    (None, 3)
    """

    history: tuple[Node, int]

    def __init__(self, shape: Shape, dtype: str = "float32", name: str | None = None) -> None:
        self.shape = shape
        self.dtype = dtype
        self.name = name or auto_name("KerasTensor")

    @property
    def ndim(self) -> int:
        """Rank, the batch counted."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def __add__(self, other: object) -> Any:
        if not isinstance(other, KerasTensor):
            return NotImplemented
        from .layers.merging import add

        return add([self, other])

    def __mul__(self, other: object) -> Any:
        if not isinstance(other, KerasTensor):
            return NotImplemented
        from .layers.merging import multiply

        return multiply([self, other])

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise ValueError(
            "A KerasTensor is symbolic: it's a placeholder for a shape and a dtype. It doesn't have any actual "
            "numerical value. You cannot convert it to a NumPy array."
        )

    def __bool__(self) -> NoReturn:
        raise TypeError("A symbolic KerasTensor cannot be used as a boolean.")
