"""Nested structures of inputs and outputs: lists, tuples and dicts (in the order of their sorted keys)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any


def flatten(structure: Any) -> list[Any]:
    """The leaves of a structure, from left to right.

    >>> flatten([1, (2, {"b": 4, "a": 3})])
    [1, 2, 3, 4]
    """
    if isinstance(structure, (list, tuple)):
        return [leaf for item in structure for leaf in flatten(item)]
    if isinstance(structure, dict):
        return [leaf for key in sorted(structure) for leaf in flatten(structure[key])]
    return [structure]


def transform(function: Callable[[Any], Any], structure: Any) -> Any:
    """The same structure with `function` of each leaf."""
    if isinstance(structure, (list, tuple)):
        items = [transform(function, item) for item in structure]
        return items if isinstance(structure, list) else tuple(items)
    if isinstance(structure, dict):
        return {key: transform(function, structure[key]) for key in sorted(structure)}
    return function(structure)


def pack(structure: Any, leaves: Sequence[Any]) -> Any:
    """`leaves` in the shape of `structure`.

    >>> pack([0, {"a": 0}], ["x", "y"])
    ['x', {'a': 'y'}]
    """
    iterator: Iterator[Any] = iter(leaves)
    return transform(lambda _: next(iterator), structure)
