"""Arrays that come from outside: checked and converted once, or used in place where they already fit."""

from __future__ import annotations

import numbers
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_FLOATS = (np.float32, np.float64)
# NumPy has one object for each native dtype, so `is` finds most arrays fit, faster than a comparison.
NATIVE = {name: np.dtype(name) for name in ("float32", "float64", "int64")}


class DtypeError(TypeError, ValueError):
    """An array of something that is no number: Keras calls that a ValueError, NumPy a TypeError."""


def as_array(value: Any) -> Array:
    """Any numeric array-like as a NumPy array, without a copy where there is none to make.

    Raises
    ------
    DtypeError
        Objects, strings, complex numbers.
    ValueError
        Ragged lists.
    """
    if type(value) is np.ndarray:
        array = value
    elif isinstance(value, np.ndarray) or not hasattr(value, "__dlpack__"):
        array = _from_sequence(value) if isinstance(value, (list, tuple)) else np.asarray(value)
    else:
        try:
            array = np.from_dlpack(value)
        except (BufferError, RuntimeError) as error:
            came = ", ".join(f"{name} {getattr(value, name)}" for name in ("dtype", "device") if hasattr(value, name))
            reason = str(error).rstrip(".")
            raise DtypeError(
                f"Invalid dtype or device: NumPy cannot take a {type(value).__name__} ({came}): {reason}. Convert it to "
                "float32 or integers, on the CPU."
            ) from error
    if array.dtype.kind not in "fiub":
        if array.ndim == 0 and array.dtype.kind == "O":
            raise DtypeError(
                f"Invalid dtype: {array.dtype}. Expected an array of numbers (float, int or bool), received an object "
                f"of type {type(value).__name__} in place of one."
            )
        raise DtypeError(
            f"Invalid dtype: {array.dtype}. Expected an array of numbers (float, int or bool), received one of shape "
            f"{array.shape}; {_way_out(array)}."
        )
    return array


def _way_out(array: Array) -> str:
    """What makes numbers of an array of something else."""
    kind = array.dtype.kind
    if kind in "SUT":
        return (
            "text must be turned into numbers first (labels, for example, into their places among the classes: "
            "`np.unique(labels, return_inverse=True)[1]`)"
        )
    if kind == "c":
        return "pass real and imaginary parts as numbers of their own: `np.stack([z.real, z.imag], axis=-1)`"
    if kind == "V":
        return "take the fields that you need, as arrays of numbers, and join these: `np.stack([...], axis=-1)`"
    if kind == "O":
        others = [item for item in array.flat if not _is_number(item)]
        if others:
            found = repr(others[0])
            found = found if len(found) <= 60 else found[:57] + "..."
            return f"{len(others)} of its items are no numbers, such as {found} (of type {type(others[0]).__name__})"
    return "convert it with `.astype('float32')`"


def _is_number(item: Any) -> bool:
    """Whether it is one that `astype` makes a float of."""
    return isinstance(item, (numbers.Number, np.bool_)) and not isinstance(item, (complex, np.complexfloating))


def _from_sequence(value: list[Any] | tuple[Any, ...]) -> Array:
    try:
        return np.asarray(tuple(value))  # an item that changes the list while it is read does not change the tuple
    except ValueError:
        shapes = [_shape_text(item) for item in value[:8]] + ["..."] * (len(value) > 8)
        raise ValueError(
            f"A list that stands for one array needs items of one shape. Received: a {type(value).__name__} of "
            f"{len(value)} items, of the shapes {', '.join(shapes)}. Make one array of it first: stacked, padded, or "
            "joined as `np.concatenate([np.ravel(item) for item in items])`."
        ) from None


def _shape_text(value: Any) -> str:
    if hasattr(value, "shape"):
        return str(tuple(value.shape))
    try:
        return str(np.shape(value))
    except ValueError:
        return "ragged"


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of any numeric array-like; errors as of `as_array`."""
    return value.shape if type(value) is np.ndarray else as_array(value).shape


def as_dtype(value: Any, dtype: str, what: str = "") -> Array:
    """An array of the network's dtype, or int64 ids; floats that should be ids must be whole numbers."""
    if type(value) is np.ndarray and value.dtype is NATIVE[dtype]:
        return value
    array = as_array(value)
    if dtype != "int64":
        return array if array.dtype == dtype else array.astype(dtype)
    if array.dtype.kind == "f":
        ids = array.astype(np.int64) if np.isfinite(array).all() else None
        if ids is None or not (ids == array).all():
            whole = np.isfinite(array) & (array == np.floor(array))
            raise ValueError(
                f"Ids must be whole numbers. Received for {what}: an array of {array.dtype} of shape {array.shape} with "
                f"others, such as {array[~whole].flat[0]}."
            )
        return ids
    return array if array.dtype == np.int64 else array.astype(np.int64)


def as_float(value: Any) -> Array:
    """An array of float32 or float64: arrays of these as they are, everything else as float32."""
    if type(value) is np.ndarray and value.dtype in _FLOATS:
        return value
    array = as_array(value)
    return array if hasattr(value, "dtype") and array.dtype in _FLOATS else array.astype(np.float32)


def hold(arrays: Iterable[Any]) -> list[Any]:
    """References for as long as which NumPy refuses to resize the arrays, whatever it is told (`refcheck=False`)."""
    owners = [array if array.base is None else array.base for array in arrays if isinstance(array, np.ndarray)]
    return [weakref.ref(owner) for owner in owners if isinstance(owner, np.ndarray)]
