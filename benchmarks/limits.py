"""The limits of the machine: a small C file, compiled when it is needed, measures them."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from machine import cache_sizes

SOURCE = Path(__file__).with_name("limits.c")
KINDS = ("fma", "read", "store", "stream")
MEBI = 1 << 20


class NoCompilerError(RuntimeError):
    """There is no C compiler, or it cannot compile the file."""


def compile_library(folder: Path) -> Path:
    """The shared library, compiled for this very machine into `folder`."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise NoCompilerError(f"there is no C compiler {compiler[0]!r}")
    target = folder / "limits.so"
    command = [*compiler, "-std=gnu11", "-O3", "-march=native", "-fPIC", "-shared", str(SOURCE), "-o", str(target)]
    done = subprocess.run([*command, "-lpthread"], capture_output=True, text=True)
    if done.returncode:
        raise NoCompilerError(f"{compiler[0]!r} could not compile {SOURCE.name}: {done.stderr.strip()[-300:]}")
    return target


def level_of(size: float, threads: int) -> str:
    """The smallest memory that holds `size` bytes: "L2" (each thread has its own), "L3" or "DRAM"."""
    second, third = cache_sizes()
    if size <= threads * second:
        return "L2"
    return "L3" if size <= third else "DRAM"


def names() -> list[str]:
    return ["fma", *(f"{kind}_{level}" for kind in ("read", "store") for level in ("L2", "L3", "DRAM"))]


class Limits:
    """Measures limits with so many threads; a limit's name is "fma", or read or store and a level of memory."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        with tempfile.TemporaryDirectory() as folder:
            library = ctypes.CDLL(str(compile_library(Path(folder))))
        self._measure = library.limits_measure
        self._measure.restype = ctypes.c_double
        self._measure.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_double]
        second, third = cache_sizes()
        # Half an L2 for each; of the L3 an eighth for all, as others may have a share in it; far more than the L3.
        self._parts = {"L2": second // 2, "L3": max(2 * second, third // 8 // threads), "DRAM": 4 * third // threads}
        self._buffer = np.zeros(0, np.uint8)

    def rate(self, name: str, seconds: float = 0.02) -> float:
        """Flops or bytes a second of all threads together."""
        kind, _, level = name.partition("_")
        part = self._parts[level] // 4096 * 4096 if level else 0
        if self._buffer.nbytes < part * self._threads + 64:
            self._buffer = np.ones(part * self._threads + 64, np.uint8)
        start = -(-self._buffer.ctypes.data // 64) * 64
        # Stores past the caches are quicker where memory is the limit: the better way is the limit.
        kinds = ("store", "stream") if kind == "store" else (kind,)
        return max(statistics.median(self._once(kind, start, part, seconds / 3) for _ in range(3)) for kind in kinds)

    def _once(self, kind: str, start: int, part: int, seconds: float) -> float:
        rate = self._measure(KINDS.index(kind), start, part, self._threads, seconds)
        if rate <= 0:
            raise RuntimeError(f"{self._threads} threads could not be started")
        return rate
