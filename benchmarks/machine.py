"""The machine and the libraries that a benchmark ran on."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
STATUS = Path("/proc/self/status")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
USUAL_CACHES = (1 << 20, 32 << 20)  # where the system does not say

# Settings that slow OpenBLAS down, where the environment has them: a comparison must not profit from them.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@functools.cache
def cache_sizes() -> tuple[int, int]:
    """Bytes of the L2 of a core, and of the last cache."""
    found: dict[int, int] = {}
    for index in CACHES.glob("index*"):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind in ("Data", "Unified"):
            found[int(level)] = int(size[:-1]) * UNITS[size[-1]]
    if 2 not in found:
        return USUAL_CACHES
    return found[2], found.get(3, found[2])


def cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def processors() -> list[int]:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def environment(threads: int) -> dict[str, str]:
    """What a contestant with so many threads is started with."""
    kept = {name: value for name, value in os.environ.items() if name not in SLOWING}
    counts = ("OMP", "OPENBLAS", "MKL", "HYPERNET", "NUMEXPR")
    return {
        **kept,
        **{f"{name}_NUM_THREADS": str(threads) for name in counts},
        "NPROC": str(threads),  # the size of XLA's pools
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }


def describe() -> dict[str, object]:
    second, third = cache_sizes()
    return {
        "cpu": cpu_model(),
        "processors": len(processors()),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "l2_bytes": second,
        "last_cache_bytes": third,
    }


def distribution_of(*names: str) -> str | None:
    """The first that is installed."""
    for name in names:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return name
    return None


def status_bytes(field: str) -> int:
    """A line of this process's status in bytes, as VmRSS (resident now) or VmHWM (its peak); 0 where there is none."""
    if not STATUS.exists():
        return 0
    lines = STATUS.read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))
