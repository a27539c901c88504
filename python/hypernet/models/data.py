"""What comes from outside as x, y and sample_weight: matched with a model's nesting, checked, converted once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _nest
from .._convert import as_array, as_dtype
from .._shapes import Shape, fits

Array = NDArray[Any]


class Leaf(NamedTuple):
    """One declared input: name, shape of one sample, dtype of the core."""

    name: str
    shape: Shape
    dtype: str


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") or hasattr(value, "__dlpack__")


def match_structure(
    structure: Any, names: Sequence[str], given: Any, owner: str, of_outputs: bool = False
) -> list[Any]:
    """The leaves of `given`, in the order of `structure`'s; leaves themselves may be lists of numbers.

    A dict with the inputs' names serves any structure, a flat list too, and one array where there is one leaf. `owner`
    is the layer that takes inputs, or with `of_outputs` the argument that has something for each output.
    """
    count = len(names)
    if isinstance(given, dict):
        return _by_name(structure, names, given, f'output "{{}}" in `{owner}`' if of_outputs else 'input "{}"')
    if count == 1:
        inner = given
        while isinstance(inner, (list, tuple)) and len(inner) == 1 and (_is_array(inner[0]) or inner[0] is None):
            inner = inner[0]
        if not (isinstance(inner, (list, tuple)) and any(_is_array(item) for item in inner)):
            return [inner]
        raise _wrong_count(owner, names, inner, of_outputs)
    leaves = _descend(structure, given)
    if leaves is None and isinstance(given, (list, tuple)) and len(given) == count:
        leaves = list(given)
    if leaves is None:
        raise _wrong_count(owner, names, given, of_outputs)
    return leaves


def _descend(structure: Any, given: Any) -> list[Any] | None:
    """Leaves in the structure's order, or None if the nesting differs."""
    if isinstance(structure, dict):
        if not isinstance(given, dict) or set(given) != set(structure):
            return None
        pairs = [(structure[key], given[key]) for key in sorted(structure)]
    elif isinstance(structure, (list, tuple)):
        if not isinstance(given, (list, tuple)) or len(given) != len(structure):
            return None
        pairs = list(zip(structure, given, strict=True))
    else:
        return [given]
    leaves: list[Any] = []
    for inner, value in pairs:
        part = _descend(inner, value)
        if part is None:
            return None
        leaves += part
    return leaves


def _by_name(structure: Any, names: Sequence[str], given: dict[str, Any], what: str) -> list[Any]:
    leaves = _descend(structure, given)
    if leaves is not None and isinstance(structure, dict):
        return leaves
    for name in names:
        if name not in given:
            raise ValueError(
                f"Missing data for {what.format(name)}. You passed a data dictionary with keys {list(given)}. "
                f"Expected the following keys: {list(names)}"
            )
    return [given[name] for name in names]


def _wrong_count(owner: str, names: Sequence[str], given: Any, of_outputs: bool) -> ValueError:
    received = len(given) if isinstance(given, (list, tuple)) else 1
    if len(names) == 1:
        mend = "Pass one array; if these are its rows, `np.stack(rows)`."
    else:
        mend = "Pass them as a list in this order, or as a dict with these keys."
    if of_outputs:
        count = f"{len(names)} arrays, one for each of the outputs" if len(names) > 1 else "one array, for the output"
        return ValueError(f"`{owner}` needs {count} {list(names)}. Received: {received} arrays. {mend}")
    return ValueError(
        f'Layer "{owner}" expects {len(names)} named input(s) with keys {list(names)}, but it received {received} '
        f"input tensors. {mend}"
    )


def check_leaf(leaf: Any, owner: str) -> None:
    """ValueError for what is no array at all."""
    if leaf is None:
        raise ValueError(f"An input of layer '{owner}' is None. Please provide a valid tensor.")
    if isinstance(leaf, (str, bytes)) or callable(leaf):
        raise ValueError(
            f"Inputs to a layer should be tensors. Got '{leaf}' (of type {type(leaf)}) as input for layer '{owner}'."
        )


def convert_input(value: Any, leaf: Leaf, index: int, owner: str) -> Array:
    """One input as an array of the right dtype and shape; a last axis of one is added or dropped as Keras does."""
    check_leaf(value, owner)
    array = as_dtype(value, leaf.dtype, leaf.name)
    expected = (None, *leaf.shape)
    rank = len(expected)
    if array.ndim == rank - 1 and rank > 1 and expected[-1] == 1:
        array = array[..., np.newaxis]
    elif array.ndim == rank + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if not fits(array.shape, expected):
        raise ValueError(
            f"Input {index} with name '{leaf.name}' of layer '{owner}' is incompatible with the layer: expected "
            f"shape={expected}, found shape={array.shape}"
        )
    return array


def check_cardinality(**sizes: Sequence[int]) -> None:
    """All arrays have the same length."""
    if len({size for group in sizes.values() for size in group}) > 1:
        listing = " ".join(f"'{name}' sizes: {', '.join(map(str, group))}" for name, group in sizes.items() if group)
        raise ValueError(
            f"Data cardinality is ambiguous. Make sure all arrays contain the same number of samples. {listing}"
        )


def convert_targets(y: Any, structure: Any, names: Sequence[str], dtype: str) -> tuple[Array, ...] | None:
    """Targets, one array an output: integers stay integers (class labels), everything else takes the model's dtype."""
    if y is None:
        return None
    leaves = match_structure(structure, names, y, "y", of_outputs=True)
    return tuple(_convert_target(leaf, dtype) for leaf in leaves)


def _convert_target(leaf: Any, dtype: str) -> Array:
    array = as_array(leaf)
    if array.dtype.kind in "iu":
        return array if array.dtype == np.int64 else array.astype(np.int64)
    return array if array.dtype == dtype else array.astype(dtype)


def convert_sample_weight(weight: Any, structure: Any, names: Sequence[str], dtype: str) -> tuple[Array | None, ...]:
    """Sample weights, one array or None an output; one array serves all outputs."""
    if weight is None:
        return (None,) * len(names)
    if _is_array(weight) or (isinstance(weight, (list, tuple)) and not any(_is_array(w) or w is None for w in weight)):
        leaves = [weight] * len(names)
    elif isinstance(weight, dict):
        unknown = [key for key in weight if key not in names]
        if unknown:
            raise ValueError(
                f"`sample_weight` has keys that name no output: {unknown}. The outputs are {list(names)}; weights by "
                "label are `class_weight`."
            )
        leaves = [weight.get(name) for name in names]
    else:
        leaves = match_structure(structure, names, weight, "sample_weight", of_outputs=True)
    return tuple(None if leaf is None else as_dtype(leaf, dtype, "sample_weight") for leaf in leaves)


def pack_outputs(structure: Any, outputs: Sequence[Any]) -> Any:
    """Outputs in the model's nesting."""
    return outputs[0] if structure == 0 else _nest.pack(structure, outputs)
