"""Data as the core takes it."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from .._convert import hold

Array = NDArray[Any]


class StepData(NamedTuple):
    """The arguments with which every step of the core begins.

    groups: tuples of arrays; whole: the one of them that all batches share, or -1; mode: how conditions and rows meet,
    which the steps of a hypernetwork are told.
    """

    groups: tuple[tuple[Array | None, ...], ...]
    whole: int
    mode: tuple[str, ...]


class Examples:
    """Checked and converted data.

    Attributes
    ----------
    mode : str
        "plain", or how conditions and rows meet: "one", "rows", "tasks", "shared".
    conditions, inputs : tuple of array
        () for plain.
    targets : tuple of array, or None
    weights : tuple of array or None
        Sample weights, one an output.
    count : int
        What batch_size, shuffle and splits count: rows; tasks in modes "tasks" and "shared".
    """

    __slots__ = ("conditions", "count", "inputs", "mode", "targets", "weights")

    def __init__(
        self,
        mode: str,
        conditions: tuple[Array, ...],
        inputs: tuple[Array, ...],
        targets: tuple[Any, ...] | None,
        weights: tuple[Array | None, ...],
        count: int,
    ) -> None:
        self.mode = mode
        self.conditions = conditions
        self.inputs = inputs
        self.targets = targets
        self.weights = weights
        self.count = count

    @property
    def leading(self) -> int:
        """How many axes of the outputs come before a sample's own."""
        return 2 if self.mode in ("tasks", "shared") else 1

    @property
    def rows(self) -> int:
        """Rows altogether."""
        return self.count * self.inputs[0].shape[1] if self.leading == 2 else self.count

    def hold(self) -> list[Any]:
        """References for as long as which NumPy refuses to resize the arrays, whatever it is told (`refcheck=False`)."""
        return hold([*self.conditions, *self.inputs, *(self.targets or ()), *self.weights])

    def take(self, index: Any) -> Examples:
        """A part, by slice (views) or by an array of numbers (one gather); one condition or shared rows stay whole."""
        count = len(range(*index.indices(self.count))) if isinstance(index, slice) else len(index)
        targets = self.targets if self.targets is None else _pick(self.targets, index)
        conditions = self.conditions if self.mode == "one" else _pick(self.conditions, index)
        inputs = self.inputs if self.mode == "shared" else _pick(self.inputs, index)
        return Examples(self.mode, conditions, inputs, targets, _pick(self.weights, index), count)

    def take_targets(self, index: Array | slice, count: int) -> Examples:
        """The targets and weights of a part of `count`, with conditions and inputs as they are."""
        assert self.targets is not None
        return Examples(
            self.mode, self.conditions, self.inputs, _pick(self.targets, index), _pick(self.weights, index), count
        )


def _pick(arrays: tuple[Any, ...], index: Any) -> tuple[Any, ...]:
    if isinstance(index, slice):
        return tuple([None if array is None else array[index] for array in arrays])
    return tuple([None if array is None else array.take(index, axis=0) for array in arrays])
