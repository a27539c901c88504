"""What must stay as it was however often something is called: references, objects, blocks and bytes."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from hypernet import _core

SETTLING = 100  # calls before the first count: caches fill, free lists grow
ROUNDS = 5  # what settles stays in one of them; a leak grows in each
BYTES_A_CALL = 8  # the smallest block of malloc is 32
SINGLETONS = [None, True, False, (), NotImplemented, float, int, np.ndarray, *map(np.dtype, ("f4", "f8", "i8", "i4"))]
NOTHING = object()
TYPES = [value for value in vars(_core).values() if isinstance(value, type)]


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks"),
            "keepcost",
        )
    ]


def _mallinfo() -> Callable[[], _Mallinfo] | None:
    try:
        found = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None
    found.restype = _Mallinfo
    return found


_ASK = _mallinfo()


def resident() -> int:
    """Bytes of memory that the process holds."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def heap() -> int:
    """Bytes of malloc that are in use (glibc 2.33 and later); elsewhere 0, and `resident` has to do."""
    if _ASK is None:
        return 0
    info = _ASK()
    return info.uordblks + info.hblkhd


def numpy_gains() -> Any:
    """The dtype that NumPy's own `zeros` (of 2.4) takes a reference to and keeps; NOTHING where it does not."""
    float64 = np.dtype("float64")
    before = sys.getrefcount(float64)
    for _ in range(100):
        np.zeros(3)
    return float64 if sys.getrefcount(float64) - before >= 100 else NOTHING


def parts(roots: Iterable[Any]) -> list[Any]:
    """Models, layers, optimizers, and all that they hold under a name: their cores, stores, weights and losses."""
    found = {id(item): item for item in [*SINGLETONS, *TYPES]}
    waiting = list(roots)
    while waiting:
        item = waiting.pop()
        if id(item) in found or isinstance(item, (str, int, float)):
            continue
        found[id(item)] = item
        if isinstance(item, (list, tuple)):
            waiting.extend(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif type(item).__module__.startswith("hypernet"):
            waiting.extend(getattr(item, "__dict__", {}).values())
            waiting.extend(getattr(item, name) for name in getattr(type(item), "__slots__", ()) if hasattr(item, name))
    return list(found.values())


class Change(NamedTuple):
    """What a round of calls has added."""

    references: int  # of the object whose count changed most
    objects: int  # that the garbage collector knows
    python_blocks: int  # of CPython's allocator
    library_blocks: int  # of the C library's
    heap: int
    resident: int

    def faults(self, calls: int) -> list[str]:
        """What is more than a call in four, and more than chance, could leave."""
        bounds = {
            "references": min(calls // 4, 100),
            "objects": min(calls // 4, 200),
            "python_blocks": min(calls // 4, 200),
            "library_blocks": 0,
            "heap": BYTES_A_CALL * calls,
            "resident": max(2 << 20, BYTES_A_CALL * calls) if _ASK is None else 1 << 62,
        }
        # An object that loses references, or a cache that is emptied, has changed too; memory may shrink.
        signed = {"references": abs(self.references), "library_blocks": abs(self.library_blocks)}
        values = self._asdict() | signed
        return [
            f"{name}: {values[name]:+} after {calls:,} calls" for name, bound in bounds.items() if values[name] > bound
        ]


class Watch:
    """Counts before and after many calls; `held` are the objects whose references are counted."""

    def __init__(self, held: list[Any]) -> None:
        self.held = held
        # References that calls may take away without the object's end, which would be the process's.
        self.spare = held * (2 * SETTLING)
        self._before, self._after = (array("q", [0] * len(held)) for _ in range(2))

    def _level(self, references: array[int]) -> tuple[int, ...]:
        """The references go into an array: an int for each would be a block more."""
        gc.collect()
        for place, item in enumerate(self.held):
            references[place] = sys.getrefcount(item)
        return len(gc.get_objects()), sys.getallocatedblocks(), _core.counters()["live_blocks"], heap(), resident()

    def round(self, call: Callable[[], Any], calls: int, may_gain: Any = NOTHING) -> Change:
        """The change that so many calls make; an object that may gain references may not lose any."""
        before = self._level(self._before)
        for _ in range(calls):
            call()
        after = self._level(self._after)
        changes = zip(self.held, self._before, self._after, strict=True)
        references = max((b - a for item, a, b in changes if not (b > a and item is may_gain)), key=abs)
        return Change(references, *(b - a for a, b in zip(before, after, strict=True)))

    def settled(self, call: Callable[[], Any], calls: int, may_gain: Any = NOTHING) -> Change:
        """The change of the first round that leaves everything as it was, of ROUNDS at most; else AssertionError."""
        with unwatched_by_the_collector():
            for _ in range(SETTLING):
                call()
            for _ in range(ROUNDS):
                change = self.round(call, calls, may_gain)
                faults = change.faults(calls)
                if not faults:
                    return change
        raise AssertionError(f"grows in each of {ROUNDS} rounds: {'; '.join(faults)}")


@contextmanager
def unwatched_by_the_collector() -> Iterator[None]:
    """What there is already is not looked through again and again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
