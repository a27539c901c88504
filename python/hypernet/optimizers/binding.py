"""What an optimizer updates: runs of numbers in a store or in plain arrays, and the core's optimizer over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._convert import as_dtype
from .._weights import Weight, block_of

Array = NDArray[Any]
Span = tuple[int, int, int, bool, bool]


class Piece(NamedTuple):
    """A run of numbers: where it begins in its memory, how many, and the weight that it is, if it is one."""

    memory: _core.Store | Array
    offset: int
    size: int
    weight: Weight | None


def address(array: Array) -> int:
    """Where the first element lies."""
    return int(array.__array_interface__["data"][0])


def pieces_of_weights(weights: Sequence[Weight]) -> list[Piece]:
    """Weights of a model, where they live now."""
    return [Piece(weight.store, weight.offset, weight.size, weight) for weight in weights]


def pieces_of(variable: Any) -> list[Piece]:
    """What an array or a weight given to an optimizer consists of: a model's vector is cut into its weights.

    Raises
    ------
    TypeError, ValueError
        It is no array that could be updated in place.
    """
    if isinstance(variable, Weight):
        return pieces_of_weights([variable])
    if not isinstance(variable, np.ndarray):
        raise TypeError(
            "An optimizer updates arrays in place: pass `model.params`, an array, or a list of arrays or weights. "
            f"Received: {type(variable).__name__}"
        )
    if variable.dtype not in (np.float32, np.float64):
        raise ValueError(f"An optimizer updates arrays of float32 or float64. Received: an array of {variable.dtype}")
    flags = variable.flags
    if not (flags.c_contiguous and flags.writeable and flags.aligned):
        lacks = "not contiguous" if not flags.c_contiguous else "not aligned" if not flags.aligned else "read-only"
        raise ValueError(
            "An optimizer updates contiguous, aligned, writable arrays in place. Received: an array of shape "
            f"{variable.shape} that is {lacks}."
        )
    store = _core.store_of(variable)
    if store is None:
        return [Piece(variable.reshape(-1), 0, variable.size, None)]
    start = (address(variable) - address(store.view(0, (store.count,)))) // variable.itemsize
    block = block_of(store)
    inside: list[Weight] = []
    if block is not None:
        inside = sorted(
            (w for w in block.living() if start <= w.offset and w.offset + w.size <= start + variable.size),
            key=lambda weight: weight.offset,
        )
    if sum(weight.size for weight in inside) == variable.size:
        return pieces_of_weights(inside)
    return [Piece(store, start, variable.size, None)]


class Found:
    """The pieces of one array, kept for the next call with the same memory."""

    def __init__(self, variable: Any) -> None:
        self.pieces = pieces_of(variable)
        # The pieces keep the memory alive, so its address is nobody else's meanwhile.
        is_array = isinstance(variable, np.ndarray)
        self._key = (address(variable), variable.size, variable.dtype) if is_array else None

    def is_of(self, variable: Any) -> bool:
        """Whether an array is over the same memory, and the weights there have not moved."""
        if type(variable) is not np.ndarray or self._key != (address(variable), variable.size, variable.dtype):
            return False
        flags = variable.flags
        if not (flags.c_contiguous and flags.writeable):
            return False
        for memory, offset, _, weight in self.pieces:
            if weight is not None and (weight.offset != offset or weight.store is not memory):
                return False
        return True


class Binding:
    """The core's optimizer over pieces, and the state in it.

    Parameters
    ----------
    pieces : list of Piece
        In the order of gradients and slots.
    dtype : str
    make : callable
        Makes the core's optimizer from spans and dtype.
    decays : callable
        Whether weight decay acts on a weight.
    """

    def __init__(
        self,
        pieces: list[Piece],
        dtype: str,
        make: Callable[[list[Span], str], _core.Optimizer],
        decays: Callable[[Weight | None], bool],
    ) -> None:
        self._decays = decays
        self._pieces = pieces
        self.dtype = dtype
        self.size = sum(piece.size for piece in pieces)
        self.spans = self._spans(None)  # those that the core has
        self.core = make(self.spans, dtype)

    @property
    def memory(self) -> _core.Store | Array | None:
        """The one store or array that all pieces lie in; None if they lie in several."""
        first = self._pieces[0].memory if self._pieces else None
        return first if all(piece.memory is first for piece in self._pieces) else None

    def _spans(self, given: Sequence[bool] | None) -> list[Span]:
        """Spans of the pieces; `given` says which of them have a gradient."""
        in_place = self.memory is not None
        spans: list[Span] = []
        offset = 0
        for index, piece in enumerate(self._pieces):
            trainable = piece.weight is None or piece.weight.trainable
            if given is not None and not given[index]:
                trainable = False
            at = piece.offset if in_place else offset
            spans.append((at, offset, piece.size, trainable, self._decays(piece.weight)))
            offset += piece.size
        return spans

    def is_over(self, pieces: list[Piece]) -> bool:
        """Whether these are the same weights, or the same memory."""
        if len(pieces) != len(self._pieces):
            return False
        return all(_is_same(mine, other) for mine, other in zip(self._pieces, pieces, strict=True))

    def refresh(self, pieces: list[Piece], given: Sequence[bool] | None = None) -> None:
        """Follow weights that have moved, and trainable flags that have changed."""
        self._pieces = pieces
        spans = self._spans(given)
        if spans != self.spans:
            self.core.set_spans(spans)
            self.spans = spans

    # ---- updates ----
    def apply(self, gradient: Array, learning_rate: float, scale: float) -> None:
        """One update in place, then the constraints. Where it fails, neither the weights nor the state have changed."""
        memory = self.memory
        if memory is not None and not any(_is_constrained(piece.weight) for piece in self._pieces):
            self.core.apply(memory, gradient, learning_rate, scale)
            return
        stores = list(dict.fromkeys(piece.memory for piece in self._pieces if isinstance(piece.memory, _core.Store)))
        with _core.Claim(stores):
            together = self._together()
            writes = self._writes(together, gradient, learning_rate, scale)
            _core.update_all(writes, self.core, together, gradient, learning_rate, scale)

    def _writes(
        self, together: Array, gradient: Array, learning_rate: float, scale: float
    ) -> list[tuple[_core.Store | Array, int, Array]]:
        """Where parts of the updated vector go; what is constrained has its new value already.

        A constraint sees other weights as they were before the update.
        """
        delta: Array | None = None
        writes: list[tuple[_core.Store | Array, int, Array]] = []
        for piece, (at, offset, size, moves, _) in zip(self._pieces, self.spans, strict=True):
            part = together[at : at + size]
            if piece.weight is not None and _is_constrained(piece.weight):
                if delta is None:
                    delta = self.core.delta(together, gradient, learning_rate, scale)
                part = _projected(piece.weight, part + delta[offset : offset + size])
            elif not moves:  # may be written by others meanwhile
                continue
            writes.append((piece.memory, piece.offset, part))
        return writes

    def delta(self, gradient: Array, learning_rate: float, scale: float) -> Array:
        """What `apply` would add, flat."""
        memory = self.memory
        return self.core.delta(self._together() if memory is None else memory, gradient, learning_rate, scale)

    def _together(self) -> Array:
        """A copy of all weights, flat, where the spans of the core have them."""
        memory = self.memory
        if isinstance(memory, _core.Store):
            return memory.view(0, (memory.count,)).copy()
        if memory is not None:
            return memory.copy()
        return np.concatenate(
            [
                piece.memory.view(piece.offset, (piece.size,))
                if isinstance(piece.memory, _core.Store)
                else piece.memory
                for piece in self._pieces
            ]
        )


def _is_constrained(weight: Weight | None) -> bool:
    """Whether it is a weight that has a constraint and is trained."""
    return weight is not None and weight.constraint is not None and weight.trainable


def _projected(weight: Weight, value: Array) -> Array:
    """The projection of a new value, in memory of its own."""
    assert weight.constraint is not None
    projected = as_dtype(weight.constraint(value.reshape(weight.shape)), weight.dtype)
    if projected.shape != weight.shape:
        raise ValueError(
            f"The constraint of {weight.path} must return an array of the weight's shape {weight.shape}; it returned one "
            f"of shape {projected.shape}."
        )
    return np.array(projected, order="C")  # a constraint may give the same memory for several weights


def _is_same(mine: Piece, other: Piece) -> bool:
    if mine.weight is not None or other.weight is not None:
        return mine.weight is other.weight
    if mine.size != other.size:
        return False
    if isinstance(mine.memory, np.ndarray) and isinstance(other.memory, np.ndarray):
        return address(mine.memory) == address(other.memory)
    return mine.memory is other.memory and mine.offset == other.offset
