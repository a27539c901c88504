"""Weights: where their numbers live. A store of the core holds a flat vector; a block knows whose weights are in it.

Every layer builds into a block of its own. A model whose weights lie in several blocks joins them into one, in its own
order, and everything that used the old ones is bound anew when it runs next.
"""

from __future__ import annotations

import copy
import math
import os
import weakref
from _thread import allocate_lock  # what `threading.Lock` is, without the rest of it
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._convert import as_array, as_dtype

if TYPE_CHECKING:
    from .layers.base import Layer

Array = NDArray[Any]


class User(Protocol):
    """Something that has compiled the place of weights into it."""

    def _unbind(self) -> None: ...


class Block:
    """A store, the weights that live in it, and who must be told when they move."""

    def __init__(self, count: int, dtype: str) -> None:
        self.store = _core.Store(count, dtype)
        self.members: list[weakref.ref[Weight]] = []
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()
        _blocks[id(self.store)] = self

    def adopt(self, weights: Sequence[Weight]) -> None:
        """Give these weights their place, one after the other, from the start of the store."""
        offset = 0
        for weight in weights:
            weight.block, weight.offset = self, offset
            self.members.append(weakref.ref(weight))
            offset += weight.size

    def living(self) -> list[Weight]:
        """The weights that still exist, in the order of the store."""
        alive = (reference() for reference in self.members)
        return [weight for weight in alive if weight is not None and weight.block is self]


_room: ContextVar[list[int] | None] = ContextVar("room", default=None)


@contextmanager
def limited_room(count: int) -> Iterator[None]:
    """In this block new weights may have `count` numbers together (ValueError): what a file holds, while it loads."""
    token = _room.set([count])
    try:
        yield
    finally:
        _room.reset(token)


_blocks: weakref.WeakValueDictionary[int, Block] = weakref.WeakValueDictionary()
_joining = allocate_lock()  # two threads may run a model for the first time at once


def _after_fork() -> None:
    """In the child nobody gives back what another thread of the parent held."""
    global _joining
    _joining = allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def block_of(store: _core.Store) -> Block | None:
    """The block whose numbers live in this store, while it exists."""
    block = _blocks.get(id(store))
    return block if block is not None and block.store is store else None


class Weight:
    """One array of weights of a layer.

    Attributes
    ----------
    name, path : str
        "kernel" and "dense/kernel".
    role : str
        "kernel", "bias", "scale" or "table".
    shape, size, fan_in, fan_out
        As the layer's op describes them.
    initializer, regularizer, constraint
        Objects, or None.
    store, offset
        Where the numbers live: the core's store, and the place in it in elements.
    """

    def __init__(
        self,
        layer: Layer,
        spec: _core.EntrySpec,
        dtype: str,
        initializer: Any,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> None:
        self.layer = layer
        self.name, self.role, self.shape, self.fan_in, self.fan_out = spec
        self.size = math.prod(self.shape)
        self.dtype = dtype
        self.initializer = initializer
        self.regularizer = regularizer
        self.constraint = constraint
        self.block: Block
        self.offset = 0
        self._own_trainable = True
        # Checksum of what a default initializer gave, while a HyperModel may still replace it; else None.
        self.initial_checksum: int | None = None

    @property
    def path(self) -> str:
        """Layer name, slash, weight name."""
        return f"{self.layer.name}/{self.name}"

    @property
    def store(self) -> _core.Store:
        """The store that holds the numbers now."""
        return self.block.store

    @property
    def trainable(self) -> bool:
        """The weight's own flag and its layer's."""
        return self._own_trainable and self.layer.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._own_trainable = bool(value)

    @property
    def value(self) -> Array:
        """A live, writable view."""
        return self.store.view(self.offset, self.shape)

    def numpy(self) -> Array:
        """A copy."""
        return self.value.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)

    def assign(self, value: Any) -> None:
        """Write new numbers of the same shape (ValueError if it differs)."""
        array = as_dtype(value, self.dtype)
        if array.shape != self.shape:
            raise ValueError(
                f"The shape of the target variable and the shape of the target value in `variable.assign(value)` must "
                f"match. variable.shape={self.shape}, Received: value.shape={array.shape}. Target variable: {self!r}"
            )
        write([self], [array])

    def initialize(self) -> None:
        """Fill with what the initializer gives."""
        given = self.initializer(self.shape, dtype=self.dtype, fan_in=self.fan_in, fan_out=self.fan_out)
        self.value[...] = as_array(given)

    def checksum(self) -> int:
        """A number that changes with any bit of the value."""
        import zlib

        return zlib.crc32(self.value.reshape(-1).view(np.uint8).data) if self.size else 0

    def __reduce__(self) -> Any:
        index = next(i for i, weight in enumerate(self.layer._weights) if weight is self)
        return _weight_of, (self.layer, index, self._own_trainable)

    def __copy__(self) -> Weight:
        """The same as `copy.deepcopy`: a weight of its own, with the same numbers, in a copy of its layer."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return f"<Weight path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def _weight_of(layer: Layer, index: int, trainable: bool) -> Weight:
    """What pickle and deepcopy call, with a copy of the layer."""
    weight = layer._weights[index]
    weight.trainable = trainable
    return weight


def allocate(weights: Sequence[Weight], dtype: str) -> None:
    """A new block for new weights, filled by their initializers."""
    count = sum(weight.size for weight in weights)
    room = _room.get()
    if room is not None:
        if count > room[0]:
            raise ValueError(f"Layer '{weights[0].layer.name}' has {count} weights, for which the file has no numbers.")
        room[0] -= count
    block = Block(count, dtype)
    block.adopt(weights)
    for weight in weights:
        weight.initialize()


def is_contiguous(weights: Sequence[Weight]) -> bool:
    """Whether they lie in one store, one directly after the other."""
    if not weights:
        return True
    first = weights[0]
    offset = first.offset
    for weight in weights:
        if weight.block is not first.block or weight.offset != offset:
            return False
        offset += weight.size
    return True


def join(weights: Sequence[Weight], contiguous: bool = False) -> Block | None:
    """Bring weights into one block and return it (None if there are no weights).

    Nothing moves if they are in one block already (and lie one after the other, where `contiguous` asks for that).
    Otherwise the union starts with these weights in this order, followed by what else lives in the old blocks.

    Raises
    ------
    BufferError
        Arrays over an old store are alive: they would no longer show the weights.
    """
    if not weights:
        return None
    with _joining:
        blocks = list(dict.fromkeys(weight.block for weight in weights))
        if len(blocks) == 1 and (not contiguous or is_contiguous(weights)):
            return blocks[0]
        return _unite(weights, blocks)


def _unite(weights: Sequence[Weight], blocks: list[Block]) -> Block:
    """A new block for these weights and for all that lives in their old blocks."""
    for block in blocks:
        if block.store.live_views:
            names = ", ".join(weight.path for weight in block.living()[:4])
            raise BufferError(
                f"Weights ({names}, ...) must move into one store with others, but {block.store.live_views} array(s) "
                f"over their old memory are alive (from `params`, `kernel`, `bias`, `unflatten` or `value`). Delete "
                f"these arrays, or work on copies, and try again."
            )
    ours = {id(weight) for weight in weights}
    rest = [weight for block in blocks for weight in block.living() if id(weight) not in ours]
    union = [*weights, *rest]
    with _core.Claim([block.store for block in blocks]):
        new = Block(sum(weight.size for weight in union), weights[0].dtype)
        values = new.store.view(0, (new.store.count,))
        offset = 0
        for weight in union:
            values[offset : offset + weight.size] = weight.value.reshape(-1)
            offset += weight.size
        new.adopt(union)
    for block in blocks:
        for user in list(block.users):
            user._unbind()
    return new


def read(weights: Iterable[Weight]) -> list[Array]:
    """Copies of several weights; of those in one store, all from between the same two updates."""
    return list(_core.copies(dict(enumerate(weight.value for weight in weights))).values())


def write(weights: Sequence[Weight], values: Sequence[Array]) -> None:
    """Write checked values into weights, all or none, as the stores' one writer, and raise the stores' versions."""
    writes = []
    for weight, value in zip(weights, values, strict=True):
        array = np.ascontiguousarray(value.reshape(weight.shape), dtype=weight.dtype)
        # A view of a store may be overwritten before it is read.
        writes.append((weight.store, weight.offset, array.copy() if _core.store_of(array) is not None else array))
    _core.write_all(writes, False)


def match_weights(owner: str, entries: Sequence[tuple[str, Weight]], given: Any) -> list[Array]:
    """Check what came for these weights, and cut it into one array for each; nothing is written here."""
    total = sum(weight.size for _, weight in entries)
    if isinstance(given, (list, tuple)) and not (given and all(isinstance(v, (int, float)) for v in given)):
        return _match_list(owner, entries, list(given))
    array = as_array(given)
    if array.size != total or array.ndim > 2 or array.ndim == 0 or (array.ndim == 2 and array.shape[0] != 1):
        listing = ", ".join(f"{name} {weight.shape}" for name, weight in entries)
        if array.ndim == 2 and array.shape[1] == total:
            mend = "These are several vectors: pass one of them, as `weights[0]`."
        else:
            mend = (
                "If a generator makes the weights, build the target first and give the generator its size: "
                "`output_dim=target.count_params()`."
            )
        raise ValueError(
            f"You called `set_weights(weights)` on layer '{owner}' with an array of shape {array.shape}: "
            f"{array.size:,} values came, and {total:,} are needed, for {len(entries)} arrays: {listing}. Pass one "
            f"flat vector of shape ({total},) or (1, {total}), or a list of {len(entries)} arrays. {mend}"
        )
    flat = array.reshape(-1)
    offsets = np.cumsum([0, *(weight.size for _, weight in entries)])
    return [flat[offsets[i] : offsets[i + 1]] for i in range(len(entries))]


def _match_list(owner: str, entries: Sequence[tuple[str, Weight]], given: list[Any]) -> list[Array]:
    if len(given) != len(entries):
        listing = ", ".join(f"{name} {weight.shape}" for name, weight in entries)
        raise ValueError(
            f"You called `set_weights(weights)` on layer '{owner}' with a weight list of length {len(given)}, but "
            f"the layer was expecting {len(entries)} weights: {listing}."
        )
    arrays = [as_array(value) for value in given]
    for (name, weight), array in zip(entries, arrays, strict=True):
        if array.shape != weight.shape:
            raise ValueError(
                f"Layer {owner} weight shape {weight.shape} is not compatible with provided weight shape {array.shape} "
                f"(weight {name})."
            )
    return arrays
