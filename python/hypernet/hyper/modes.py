"""How conditions and rows meet: the four shape modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._convert import NATIVE, as_dtype
from .._shapes import fits
from ..models.data import Leaf, check_leaf

Array = NDArray[Any]
Mode = Literal["one", "rows", "tasks", "shared"]

_CHOICES = """The choices are:
  {what} ({letter},) or (1, {letter}), x (M, D): one network for the whole batch;
  {what} (N, {letter}), x (N, D): every row its own network;
  {what} (N, {letter}), x (N, M, D): N tasks of M rows each;
  {what} (N, {letter}), x (1, M, D): N networks on the same rows;
where {letter} stands for the shape of one {what}, {cond_shape}, and D for that of one row of x, {input_shape}."""


class Meeting(NamedTuple):
    """A decided mode: conditions (N, *c), inputs as the mode has them, and the shapes in which conditions came."""

    mode: Mode
    conditions: tuple[Array, ...]
    inputs: tuple[Array, ...]
    given: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """What a batch counts: rows, or tasks."""
        return self.inputs[0].shape[0] if self.mode in ("one", "rows") else self.conditions[0].shape[0]

    @property
    def leading(self) -> tuple[int, ...]:
        """The outputs' axes before one sample's."""
        if self.mode in ("one", "rows"):
            return self.inputs[0].shape[:1]
        return (self.conditions[0].shape[0], self.inputs[0].shape[1])


def text(shape: Sequence[int | str | None]) -> str:
    """A shape with letters for its open leading axes: "(N, M, 100)"."""
    inner = ", ".join("None" if dim is None else str(dim) for dim in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _listed(shapes: Sequence[Sequence[int | str | None]]) -> str:
    texts = [text(shape) for shape in shapes]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def choices(conditions: Sequence[Leaf], inputs: Sequence[Leaf], what: str) -> str:
    """The four choices, with the shapes that these inputs have."""
    return _CHOICES.format(
        what=what,
        letter="P" if what == "theta" else "C",
        cond_shape=_listed([leaf.shape for leaf in conditions]),
        input_shape=_listed([leaf.shape for leaf in inputs]),
    )


class Condition(NamedTuple):
    """One condition as (N, *sample), the shape it came in, and whether that was a single one without a leading axis."""

    array: Array
    given: tuple[int, ...]
    single: bool


def _converted(values: Sequence[Any], leaves: Sequence[Leaf], owner: str) -> list[Array]:
    """Arrays of the leaves' dtypes, all before any view is made: converting one runs code that may resize others."""
    arrays = []
    for value, leaf in zip(values, leaves, strict=True):
        check_leaf(value, owner)
        arrays.append(as_dtype(value, leaf.dtype, leaf.name))
    return arrays


def as_condition(array: Array, leaf: Leaf) -> Condition | None:
    """A condition with its leading axis; None if its shape is neither one sample's nor that of N of them."""
    if leaf.shape == (1,) and array.ndim < 2:
        # One number a condition: a scalar is one condition, a vector as many as it is long.
        return Condition(array.reshape(-1, 1), array.shape, array.ndim == 0)
    if fits(array.shape, leaf.shape):
        return Condition(array[np.newaxis], array.shape, True)
    if fits(array.shape, (None, *leaf.shape)):
        return Condition(array, array.shape, False)
    return None


def convert_conditions(values: Sequence[Any], leaves: Sequence[Leaf], owner: str) -> list[Condition]:
    """Conditions with their leading axis.

    Raises
    ------
    ValueError
        A condition has another shape than one sample or N of them, or they are not equally many.
    """
    arrays = _converted(values, leaves, owner)
    found = [as_condition(array, leaf) for array, leaf in zip(arrays, leaves, strict=True)]
    fitting = [condition for condition in found if condition is not None]
    if len(fitting) < len(found) or len({condition.array.shape[0] for condition in fitting}) != 1:
        listing = ", ".join(
            f"'{leaf.name}' {text(leaf.shape)} or {text(('N', *leaf.shape))}, received {text(array.shape)}"
            for leaf, array in zip(leaves, arrays, strict=True)
        )
        raise ValueError(f"'{owner}' takes one condition or N of them: expected {listing}.")
    return fitting


def meet(
    conditions: Sequence[Any],
    inputs: Sequence[Any],
    condition_leaves: Sequence[Leaf],
    input_leaves: Sequence[Leaf],
    owner: str,
    what: str = "cond",
) -> Meeting:
    """Convert conditions and inputs and decide the mode.

    Raises
    ------
    ValueError
        The shapes fit none of the four modes; says both and the four choices.
    """
    given = _converted(conditions, condition_leaves, owner)
    arrays = _converted(inputs, input_leaves, owner)
    found = [as_condition(array, leaf) for array, leaf in zip(given, condition_leaves, strict=True)]
    converted = [condition for condition in found if condition is not None]

    def refuse() -> ValueError:
        came = _listed([array.shape for array in given]), _listed([array.shape for array in arrays])
        return ValueError(
            f"'{owner}' cannot bring these shapes together: {what} {came[0]} and x {came[1]}. "
            + choices(condition_leaves, input_leaves, what)
        )

    counts = {condition.array.shape[0] for condition in converted}
    if len(converted) < len(found) or len(counts) != 1:
        raise refuse()
    groups = counts.pop()
    ranks = {array.ndim - len(leaf.shape) for array, leaf in zip(arrays, input_leaves, strict=True)}
    samples_fit = all(
        fits(array.shape[array.ndim - len(leaf.shape) :], leaf.shape)
        for array, leaf in zip(arrays, input_leaves, strict=True)
    )
    if len(ranks) != 1 or not samples_fit:
        raise refuse()
    leading = ranks.pop()
    heads = {array.shape[:leading] for array in arrays}
    if leading not in (1, 2) or len(heads) != 1:
        raise refuse()
    head = heads.pop()
    mode: Mode
    if leading == 1:
        if groups == 1:
            mode = "one"
        elif head[0] == groups:
            mode = "rows"
        else:
            raise refuse()
    elif any(condition.single for condition in converted):
        raise refuse()  # a condition without a leading axis is one for a batch, not one of N tasks
    elif head[0] == groups:
        mode = "tasks"
    elif head[0] == 1:
        mode = "shared"
    else:
        raise refuse()
    return Meeting(
        mode,
        tuple(condition.array for condition in converted),
        tuple(arrays),
        tuple(condition.given for condition in converted),
    )


def mode_quickly(cond: Any, x: Any, condition_leaves: Sequence[Leaf], input_leaves: Sequence[Leaf]) -> Mode | None:
    """The mode of one array of conditions (N, *c) and one of inputs, both of the right dtype; None for all else."""
    if type(cond) is not np.ndarray or type(x) is not np.ndarray:
        return None
    if len(condition_leaves) != 1 or len(input_leaves) != 1:
        return None
    (_, one, cond_dtype), (_, row, dtype) = condition_leaves[0], input_leaves[0]
    if cond.dtype is not NATIVE[cond_dtype] or x.dtype is not NATIVE[dtype]:
        return None
    given, shape = cond.shape, x.shape
    if not given or not shape or given[1:] != one:
        return None
    groups, first = given[0], shape[0]
    if shape[1:] == row:
        return "one" if groups == 1 else "rows" if first == groups else None
    if shape[2:] == row and len(shape) == len(row) + 2:
        return "tasks" if first == groups else "shared" if first == 1 else None
    return None


def meet_quickly(cond: Any, x: Any, condition_leaves: Sequence[Leaf], input_leaves: Sequence[Leaf]) -> Meeting | None:
    """What `meet` says, where `mode_quickly` knows it."""
    mode = mode_quickly(cond, x, condition_leaves, input_leaves)
    if mode is not None:
        return Meeting(mode, (cond,), (x,), (cond.shape,))
    if type(cond) is np.ndarray and len(condition_leaves) == 1 and cond.shape == condition_leaves[0].shape != (1,):
        cond = cond[np.newaxis]  # one condition without its leading axis
        if mode_quickly(cond, x, condition_leaves, input_leaves) == "one" and x.ndim == len(input_leaves[0].shape) + 1:
            return Meeting("one", (cond,), (x,), (cond.shape[1:],))
    return None
