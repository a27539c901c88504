"""Odd arrays: what may come in place of a plain one, and the numbers that it stands for.

Every kind makes, of a plain array, the value that is passed and either the plain array of the same numbers, which the
call must treat in the same way bit for bit, or None where there are no numbers.
"""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = Any


class Odd(NamedTuple):
    """A value to pass, the numbers it stands for (None: it stands for none), and words for it in messages."""

    value: Any
    numbers: Array | None
    words: tuple[str, ...] = ()


class RubbishError(Exception):
    """What a user's own object raises: it must come out as it is."""


class Finalizing(np.ndarray):
    """A subclass whose arrays cannot be made by slicing, casting or arithmetic."""

    is_armed = False

    def __array_finalize__(self, parent: Any) -> None:
        if Finalizing.is_armed:
            raise RubbishError("__array_finalize__")


class Subclass(np.ndarray):
    """A subclass that gives wrong results to whoever computes with it without converting it first."""

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        return np.full(3, 12345.0)

    def __array_function__(self, *_: Any, **__: Any) -> Any:
        return np.full(3, 12345.0)

    def __getitem__(self, _: Any) -> Any:
        return 12345.0


class WithDlpack:
    """Another library's array: DLPack and nothing else."""

    def __init__(self, numbers: Array) -> None:
        self._numbers = numbers

    def __dlpack__(self, **options: Any) -> Any:
        return self._numbers.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._numbers.__dlpack_device__()


class WithArray:
    """An object with `__array__` alone, which does or returns what it is told to."""

    def __init__(self, give: Callable[[], Any]) -> None:
        self._give = give

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        found = self._give()
        return found if dtype is None or not isinstance(found, np.ndarray) else found.astype(dtype)


class WithInterface:
    """An object with `__array_interface__` alone."""

    def __init__(self, numbers: Array) -> None:
        self._numbers = numbers
        self.__array_interface__ = numbers.__array_interface__


class Rubbish:
    """An object that says nothing of use: its methods come in as arguments."""


def raising(*names: str, **others: Any) -> Any:
    """An object whose methods of these names raise, with other attributes as given."""

    def fail(*_: Any, **__: Any) -> Any:
        raise RubbishError(names[0])

    return type("Raising", (), {**dict.fromkeys(names, fail), **others})()


def _misaligned(plain: Array) -> Array:
    found = np.frombuffer(b"x" + plain.tobytes() + b"x" * 8, np.uint8)[1 : 1 + plain.nbytes].view(plain.dtype)
    found = found.reshape(plain.shape)
    assert not found.flags.aligned or plain.dtype.itemsize == 1 or not plain.ndim
    return found


def _read_only(plain: Array) -> Array:
    found = plain.copy()
    found.flags.writeable = False
    return found


def _spread(plain: Array) -> Array:
    wide = np.full((*plain.shape[:-1], 2 * plain.shape[-1]), 77, plain.dtype)
    wide[..., ::2] = plain
    return wide[..., ::2]


def _masked(plain: Array) -> Array:
    return np.ma.masked_array(plain, mask=np.arange(plain.size).reshape(plain.shape) % 3 == 1)


def _finalizing(plain: Array) -> Array:
    Finalizing.is_armed = False
    found = plain.view(Finalizing)
    Finalizing.is_armed = True
    return found


def _same(make: Callable[[Array], Any]) -> Callable[[Array], Odd]:
    """What stands for the very numbers."""
    return lambda plain: Odd(make(plain), plain)


def _array(make: Callable[[Array], Array]) -> Callable[[Array], Odd]:
    """An array, which stands for its own numbers, whatever they have become."""

    def made(plain: Array) -> Odd:
        value = make(plain)
        if value.ndim == 0:
            return Odd(value, np.array(value), ("()", "scalar", "1 values", "dimension 0"))
        words = (
            str(value.shape),
            str(value.shape[1:]),
            str(value.size),
            str(len(value)),
            f"{value.shape[-1]} classes",
            "mode 'shared'",
        )
        return Odd(value, np.array(value), words)

    return made


def _filled(number: float) -> Callable[[Array], Odd]:
    """An array of one number, for which the message may have the number or its dtype."""

    def made(plain: Array) -> Odd:
        value = np.full(plain.shape, number, "float32")
        return Odd(value, value.copy(), (str(number), "e-42", "float32"))

    return made


def _cast(dtype: str) -> Callable[[Array], Odd]:
    return _array(lambda plain: np.abs(plain).astype(dtype))


def _nothing(make: Callable[[Array], Any], *words: str) -> Callable[[Array], Odd]:
    """What stands for no numbers."""
    return lambda plain: Odd(make(plain), None, words)


def _dlpack_rubbish(_: Array) -> Any:
    class Provider:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

        def __dlpack__(self, **__: Any) -> Any:
            return "no capsule"

    return Provider()


# ---- the kinds, by what is odd about them ----
LAYOUTS: dict[str, Callable[[Array], Odd]] = {
    "Fortran order": _same(np.asfortranarray),
    "negative strides": _same(lambda plain: plain[::-1].copy()[::-1]),
    "every second column": _same(_spread),
    "read-only": _same(_read_only),
    "misaligned": _same(_misaligned),
    "big-endian": _same(lambda plain: plain.astype(plain.dtype.newbyteorder(">"))),
    "one row for all": _array(lambda plain: np.broadcast_to(plain[:1], plain.shape)),
}
DTYPES: dict[str, Callable[[Array], Odd]] = {
    "float16": _array(lambda plain: plain.astype("float16")),
    "float32": _array(lambda plain: plain.astype("float32")),
    "float64": _array(lambda plain: plain.astype("float64")),
    "bool": _cast("bool"),
    "int8": _cast("int8"),
    "int64": _cast("int64"),
    "uint64": _cast("uint64"),
}
CLASSES: dict[str, Callable[[Array], Odd]] = {
    "masked array": _same(_masked),
    "np.matrix": _same(lambda plain: plain.view(np.matrix)),
    "subclass": _same(lambda plain: plain.view(Subclass)),
    "subclass that raises in __array_finalize__": _same(_finalizing),
    "np.memmap": _same(lambda plain: plain.view(np.memmap)),
}
OTHERS: dict[str, Callable[[Array], Odd]] = {
    "memoryview": _same(lambda plain: memoryview(plain)),
    "array.array": _same(lambda plain: array.array(plain.dtype.char, plain.tolist())),
    "nested lists": lambda plain: Odd(plain.tolist(), np.array(plain.tolist())),
    "nested tuples": lambda plain: Odd(
        tuple(map(tuple, plain.tolist())) if plain.ndim == 2 else tuple(plain.tolist()), np.array(plain.tolist())
    ),
    "DLPack provider": _same(WithDlpack),
    "__array__ provider": _same(lambda plain: WithArray(lambda: plain)),
    "__array_interface__ provider": _same(WithInterface),
}
SHAPES: dict[str, Callable[[Array], Odd]] = {
    "0-d": _array(lambda plain: plain[(0,) * plain.ndim].reshape(())),
    "one axis less": _array(lambda plain: plain[0]),
    "one axis more": _array(lambda plain: plain[np.newaxis]),
    "two axes more": _array(lambda plain: plain[np.newaxis, np.newaxis]),
    "one column more": _array(lambda plain: np.concatenate([plain, plain[..., :1]], axis=-1)),
    "one column less": _array(lambda plain: plain[..., :-1]),
    "one row more": _array(lambda plain: np.concatenate([plain, plain[:1]])),
    "one row less": _array(lambda plain: plain[:-1]),
    "no rows": _array(lambda plain: plain[:0]),
    "no columns": _array(lambda plain: plain[..., :0]),
}
NUMBERS: dict[str, Callable[[Array], Odd]] = {
    "NaN": _filled(np.nan),
    "infinity": _filled(-np.inf),
    "denormal": _filled(1e-42),
}
NO_NUMBERS: dict[str, Callable[[Array], Odd]] = {
    "object array": _nothing(lambda plain: plain.astype(object), "object"),
    "str array": _nothing(lambda plain: plain.astype(str), "<U", "str"),
    "bytes array": _nothing(lambda plain: plain.astype(bytes), "|S", "bytes"),
    "complex": _nothing(lambda plain: plain + 1j, "complex"),
    "complex list": _nothing(lambda plain: (plain + 1j).tolist(), "complex", "length"),
    "datetime64": _nothing(lambda plain: np.zeros(plain.shape, "datetime64[s]"), "datetime64"),
    "records": _nothing(lambda plain: np.zeros(plain.shape, [("a", "f4"), ("b", "i8")]), "('a'", "void"),
    "a str": _nothing(lambda _: "1.0", "1.0", "str", "<U"),
    "a bytes": _nothing(lambda plain: plain.tobytes(), "bytes", "|S"),
    "an object": _nothing(lambda _: Rubbish(), "Rubbish"),
    "a set": _nothing(lambda _: {1.0, 2.0}, "set", "iterable", "shape=()"),
    "a dict": _nothing(lambda plain: {"elsewhere": plain}, "dict", "elsewhere"),
    "an empty dict": _nothing(lambda _: {}, "dict", "[]", "{}"),
    "None": _nothing(lambda _: None, "None", "No gradients", "needs targets"),
    "a list of None": _nothing(lambda plain: [None] * len(plain), "None", "object", "length"),
    "a function": _nothing(lambda _: len, "built-in", "builtin"),
    "a ragged list": _nothing(lambda _: [[1.0, 2.0], [3.0], []], "ragged", "(1,)", "length 3"),
    "an empty list": lambda _: Odd([], np.empty(0, np.float64), ("(0,)", "()", " 0", "[]", "empty")),
    "a generator": _nothing(lambda plain: (row for row in plain), "generator", "found shape="),
}
RAISING: dict[str, Callable[[Array], Odd]] = {
    "__array__ raises": _nothing(lambda _: raising("__array__")),
    "__array__ gives a list": _nothing(lambda _: WithArray(lambda: [1.0, 2.0]), "__array__"),
    "__array__ gives None": _nothing(lambda _: WithArray(lambda: None), "__array__"),
    "__array__ gives objects": _nothing(lambda plain: WithArray(lambda: plain.astype(object)), "object"),
    "__array_interface__ raises": _nothing(lambda _: type("R", (), {"__array_interface__": property(_fail)})()),
    "__array_interface__ is rubbish": _nothing(lambda _: type("R", (), {"__array_interface__": {"shape": "x"}})()),
    "__dlpack__ raises": _nothing(lambda _: raising("__dlpack__", __dlpack_device__=lambda _: (1, 0))),
    "__dlpack__ gives no capsule": _nothing(_dlpack_rubbish),
    "__len__ raises": _nothing(lambda _: raising("__len__", __getitem__=lambda _, i: 1.0)),
    "__getitem__ raises": _nothing(lambda _: raising("__getitem__", __len__=lambda _: 5)),
    "shape that is none": _nothing(lambda _: type("R", (), {"shape": "wide", "dtype": "float32"})(), "R"),
}


def _fail(_: Any) -> Any:
    raise RubbishError("__array_interface__")


KINDS: dict[str, Callable[[Array], Odd]] = {
    **LAYOUTS, **DTYPES, **CLASSES, **OTHERS, **SHAPES, **NUMBERS, **NO_NUMBERS, **RAISING
}  # fmt: skip


def huge(plain: Array) -> Array:
    """2**40 rows in the memory of one."""
    return np.broadcast_to(plain[:1], (2**40, *plain.shape[1:]))


def make(kind: str, plain: Array) -> Odd | None:
    """This kind of the plain array; None where there is none: matrices have two axes, arrays of `array` one."""
    if kind == "np.matrix" and plain.ndim != 2:
        return None
    if kind == "array.array" and (plain.ndim != 1 or plain.dtype.char not in array.typecodes):
        return None
    Finalizing.is_armed = False
    return KINDS[kind](plain)
