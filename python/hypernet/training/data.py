"""Where batches come from: arrays in memory, a dataset, an iterator."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._random import generator
from .examples import Examples

Array = NDArray[Any]
Make = Callable[[Any, Any, Any], Examples]


def is_stream(x: Any) -> bool:
    """Whether x gives batches itself: a PyDataset, a generator, an iterator, or an iterable that is no array."""
    if isinstance(x, (list, tuple, dict, str, bytes)) or x is None:
        return False
    if any(hasattr(x, name) for name in ("shape", "__array__", "__dlpack__", "__array_interface__")):
        return False
    return hasattr(x, "__iter__") or hasattr(x, "__next__") or hasattr(x, "__getitem__")


def unpack_batch(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of what a dataset gives.

    Raises
    ------
    ValueError
        A tuple of more than three.
    """
    if not isinstance(data, (tuple, list)):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(
            "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, found a tuple of "
            f"length {len(data)}."
        )
    parts = [*data, None, None]
    return parts[0], parts[1], parts[2]


class Source:
    """Batches, epoch after epoch.

    Attributes
    ----------
    steps : int or None
        Batches an epoch, as far as known.
    """

    steps: int | None

    def epoch(self) -> Iterator[Examples]:
        """The batches of the next epoch."""
        raise NotImplementedError


class ArraySource(Source):
    """Batches of examples in memory: views, or one gather a batch where they are shuffled.

    Parameters
    ----------
    examples : Examples
    batch_size : int, optional
        By default 32, or with `steps` what divides the examples into that many batches.
    shuffle : bool or "batch"
        "batch": batches stay as they are, their examples change places.
    steps : int, optional
        Batches an epoch.
    """

    def __init__(self, examples: Examples, batch_size: int | None, shuffle: Any, steps: int | None) -> None:
        self.examples = examples
        self._held = examples.hold()  # batches are views, and Python runs between them
        if batch_size is None and steps is not None:
            batch_size = math.ceil(examples.count / steps)
        self.batch = checked_batch_size(batch_size)
        self._shuffle = checked_shuffle(shuffle)
        self._batches = math.ceil(examples.count / self.batch)
        self._given_steps = steps
        self._stream: Iterator[Examples] | None = None
        self._left = 0
        self.steps = self._batches if steps is None else steps

    @property
    def is_one_pass(self) -> bool:
        """Whether an epoch is one pass over all rows, in several batches and an order that is drawn beforehand."""
        return self._given_steps is None and self._batches > 1 and self._shuffle != "batch"

    def order(self) -> Array | None:
        """The rows of such a pass by their places; None: as they stand."""
        return generator().permutation(self.examples.count) if self._shuffle is True else None

    def _pass(self) -> Iterator[Examples]:
        examples, size, count = self.examples, self.batch, self.examples.count
        if count <= size:
            yield examples
            return
        order = self.order()
        for start in range(0, count, size):
            stop = min(start + size, count)
            if order is not None:
                yield examples.take(order[start:stop])
            elif self._shuffle == "batch":
                yield examples.take(start + generator().permutation(stop - start))
            else:
                yield examples.take(slice(start, stop))

    def epoch(self) -> Iterator[Examples]:
        if self._given_steps is None:
            yield from self._pass()
            return
        # Epochs of a given length go on where the last one ended.
        for _ in range(self._given_steps):
            if self._stream is None:
                self._stream, self._left = self._pass(), self._batches
            if self._left == 0:
                self._stream = None
                _ran_out()
                return
            self._left -= 1
            yield next(self._stream)
        if self._left == 0:
            self._stream = None


class DatasetSource(Source):
    """Batches of a PyDataset, by number."""

    def __init__(self, dataset: Any, make: Make, shuffle: Any, steps: int | None) -> None:
        self._dataset = dataset
        self._make = make
        self._shuffle = bool(shuffle)
        self._given_steps = steps
        self._next = 0
        size = dataset.num_batches if hasattr(dataset, "num_batches") else len(dataset)
        self._batches = None if size is None else int(size)
        if self._batches == 0:
            raise ValueError("The dataset is empty: it has 0 batches.")
        if self._batches is None and steps is None:
            raise ValueError("A dataset without end (`num_batches` is None) needs a number of steps.")
        self.steps = self._batches if steps is None else steps
        self._order: Any = None  # drawn as a pass begins, when an epoch's callbacks have had their say

    def _new_order(self) -> Any:
        if self._batches is None:
            return None
        return generator().permutation(self._batches) if self._shuffle else np.arange(self._batches)

    def _hook(self, name: str) -> None:
        hook = getattr(self._dataset, name, None)
        if hook is not None:
            hook()

    def epoch(self) -> Iterator[Examples]:
        self._hook("on_epoch_begin")
        for _ in range(self.steps or 0):
            if self._batches is not None and self._next >= self._batches:
                self._next = 0
                _ran_out()
                break
            if self._next == 0:
                self._order = self._new_order()
            index = self._next if self._order is None else int(self._order[self._next])
            self._next += 1
            yield self._make(*unpack_batch(self._dataset[index]))
        if self._batches is not None and (self._given_steps is None or self._next >= self._batches):
            self._next = 0
        self._hook("on_epoch_end")


class IteratorSource(Source):
    """Batches of an iterator or generator (which goes on in the next epoch), or of an iterable (which begins anew)."""

    def __init__(self, data: Iterable[Any], make: Make, steps: int | None) -> None:
        self._data = data
        self._make = make
        self._given_steps = steps
        self._is_iterator = hasattr(data, "__next__")
        self._stream: Iterator[Any] | None = None
        self.steps = steps

    def epoch(self) -> Iterator[Examples]:
        if self._stream is None or (not self._is_iterator and self._given_steps is None):
            self._stream = iter(self._data)
        seen = 0
        while self._given_steps is None or seen < self._given_steps:
            try:
                batch = next(self._stream)
            except StopIteration:
                if self._given_steps is not None or seen == 0:
                    _ran_out()
                if not self._is_iterator:
                    self._stream = None
                break
            seen += 1
            yield self._make(*unpack_batch(batch))
        if self._given_steps is None:
            self.steps = seen or self.steps


def _ran_out() -> None:
    warnings.warn(
        "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate at "
        "least `steps_per_epoch * epochs` batches.",
        stacklevel=3,
    )


def checked_batch_size(batch_size: Any) -> int:
    """The batch size; 32 by default.

    Raises
    ------
    ValueError
        No positive integer.
    """
    if batch_size is None:
        return 32
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"`batch_size` must be a positive integer. Received: batch_size={batch_size}")
    return int(batch_size)


def checked_shuffle(shuffle: Any) -> bool | str:
    """How examples are shuffled: True, False or "batch".

    Raises
    ------
    ValueError
        Anything else.
    """
    if isinstance(shuffle, str) and shuffle == "batch":
        return "batch"
    if shuffle is None or isinstance(shuffle, (bool, np.bool_)) or shuffle in (0, 1):
        return bool(shuffle)
    raise ValueError(f'`shuffle` must be True, False or "batch". Received: shuffle={shuffle!r}')


def checked_steps(steps: Any, name: str) -> int | None:
    """A number of steps, or None."""
    if steps is None:
        return None
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={steps}")
    return int(steps)


def check_epochs(epochs: Any, name: str) -> None:
    """TypeError for what is no integer; 0 and less are no epochs at all."""
    try:
        operator.index(epochs)
    except TypeError:
        raise TypeError(
            f"`{name}` must be an integer. Received: {name}={epochs!r} (of type {type(epochs).__name__})"
        ) from None


def check_verbose(verbose: Any) -> None:
    """ValueError if this does not say how much to print."""
    if not (isinstance(verbose, (int, np.integer, np.bool_)) or (isinstance(verbose, str) and verbose == "auto")):
        raise ValueError(
            f"`verbose` must be 'auto', 0, 1 or 2. Received: verbose={verbose!r} (of type {type(verbose).__name__})"
        )


def check_frequency(validation_freq: Any) -> None:
    """ValueError if this does not say after which epochs to validate."""
    if isinstance(validation_freq, (list, tuple)):
        return
    if isinstance(validation_freq, bool) or not isinstance(validation_freq, (int, np.integer)):
        raise ValueError(
            f"Expected `validation_freq` to be a list or int. Received: validation_freq={validation_freq} of the type "
            f"{type(validation_freq)}."
        )
    if validation_freq < 1:
        raise ValueError(f"`validation_freq` must be positive. Received: validation_freq={validation_freq}")


def open_stream(x: Any, make: Make, shuffle: Any, steps: int | None) -> Source:
    """The source of batches that x gives itself."""
    if hasattr(x, "__getitem__") and (hasattr(x, "num_batches") or hasattr(x, "__len__")):
        return DatasetSource(x, make, shuffle, steps)
    return IteratorSource(x, make, steps)


def reject_besides_stream(x: Any, y: Any, sample_weight: Any) -> None:
    """ValueError for targets and weights beside a dataset, which must hold them."""
    kind = "Python generator" if hasattr(x, "__next__") else "PyDataset" if hasattr(x, "__getitem__") else "iterable"
    for value, name, meaning in ((y, "y", "the targets"), (sample_weight, "sample_weight", "the sample weights")):
        if value is not None:
            raise ValueError(
                f"When providing `x` as a {kind}, `{name}` should not be passed. Instead, {meaning} should be included "
                f"as part of the {kind}."
            )


def split(examples: Examples, validation_split: float) -> tuple[Examples, Examples]:
    """All but the last fraction, and the last fraction.

    Raises
    ------
    ValueError
        One of the two would be empty.
    """
    count = examples.count
    at = math.floor(count * (1.0 - validation_split))
    if not 0.0 < validation_split < 1.0 or at in (0, count):
        raise ValueError(
            f"Training data contains {count} samples, which is not sufficient to split it into a validation and "
            f"training set as specified by `validation_split={validation_split}`. Either provide more data, or a "
            "different value for the `validation_split` argument."
        )
    return examples.take(slice(0, at)), examples.take(slice(at, count))
