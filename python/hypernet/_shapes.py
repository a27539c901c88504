"""Shapes: Keras writes an open axis as None and puts the batch first; the core writes -1 and has no batch."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

Shape = tuple[int | None, ...]
FLOATX = "float32"
FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")


def standard_shape(shape: Any) -> Shape:
    """A shape that a user gave, as a tuple of non-negative ints and Nones."""
    if not isinstance(shape, Iterable) or isinstance(shape, (str, bytes)):
        example = f"({shape},)" if isinstance(shape, int) else "(28, 28)"
        raise ValueError(f"Cannot convert '{shape!s}' to a shape. Pass a tuple of integers and Nones, as {example}.")
    dims: list[int | None] = []
    for dim in shape:
        if dim is None:
            dims.append(None)
            continue
        try:
            number = operator.index(dim)
        except TypeError:
            raise ValueError(
                f"Cannot convert '{shape}' to a shape. Found invalid dimension '{dim}' of type '{type(dim)}'."
            ) from None
        if number < 0:
            raise ValueError(f"Cannot convert '{shape}' to a shape. Negative dimensions are not allowed.")
        if number >= 1 << 63:
            raise ValueError(f"Cannot convert '{shape}' to a shape. Dimension {number} is too large.")
        dims.append(number)
    return tuple(dims)


def to_core(shape: Sequence[int | None]) -> tuple[int, ...]:
    """None -> -1."""
    return tuple(-1 if dim is None else dim for dim in shape)


def from_core(shape: Sequence[int]) -> Shape:
    """-1 -> None."""
    return tuple(None if dim < 0 else dim for dim in shape)


def is_floating(dtype: str) -> bool:
    """Whether numbers of this dtype are the network's own (else they are ids)."""
    return dtype in FLOATS


def standard_dtype(dtype: Any, what: str) -> str:
    """The name of a dtype that a layer computes in; NotImplementedError for those that Keras has and we do not."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or getattr(dtype, "__name__", str(dtype))
    if name in FLOATS:
        return str(name)
    if name in ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16"):
        raise NotImplementedError(f"{what}: dtype {name!r} is not built; use 'float32' or 'float64'.")
    raise ValueError(
        f"Cannot convert '{dtype}' to a dtype that layers compute in: {what} takes 'float32' or 'float64'."
    )


def fits(shape: Sequence[int | None], expected: Sequence[int | None]) -> bool:
    """Whether `shape` can be an instance of `expected` (open axes fit everything)."""
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )
