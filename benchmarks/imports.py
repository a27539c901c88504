"""The workload `import`: time, memory and installed size of a library over NumPy's, in fresh processes."""

from __future__ import annotations

import importlib.metadata
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import distribution_of, environment

GOAL_SECONDS = 0.02  # hypernet's import over NumPy's
# What is imported, and the distribution that brings it.
LIBRARIES = {
    "hypernet": ("hypernet", ("hypernet",)),
    "torch": ("torch", ("torch",)),
    "jax": ("jax, jax.numpy", ("jax",)),
    "onnxruntime": ("onnxruntime", ("onnxruntime",)),
    "tensorflow": ("tensorflow", ("tensorflow", "tensorflow-cpu")),
}
PROGRAM = """
import json, sys, time
sys.path.append({folder!r})
from machine import status_bytes
start = time.perf_counter()
import numpy
middle = time.perf_counter()
before = status_bytes("VmRSS")
import {modules}
end = time.perf_counter()
print(json.dumps([middle - start, end - middle, status_bytes("VmRSS") - before]))
"""


def import_once(modules: str) -> list[float]:
    """Seconds of NumPy's import, seconds of the further modules', bytes they added to the process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(modules=modules, folder=str(Path(__file__).parent))],
        capture_output=True,
        text=True,
        env=environment(1),
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def closure(name: str) -> set[str]:
    """A distribution and all installed ones that it needs."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if current in found or distribution_of(current) is None:
            continue
        found.add(current)
        for text in importlib.metadata.requires(current) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return found


def installed_bytes(names: set[str]) -> int:
    total = 0
    for name in names:
        for file in importlib.metadata.files(name) or []:
            place = file.locate()
            if place.is_file():
                total += place.stat().st_size
    return total


def import_figures(peers: list[str], rounds: int) -> dict[str, Any]:
    """Medians for hypernet and those of `peers` that are libraries of their own."""
    chosen = ["hypernet", *(peer for peer in peers if peer in LIBRARIES)]
    present = {name: distribution_of(*LIBRARIES[name][1]) for name in chosen}
    times: dict[str, list[list[float]]] = {name: [] for name, found in present.items() if found}
    for _ in range(rounds):
        for name in times:
            times[name].append(import_once(LIBRARIES[name][0]))
    numpys = closure("numpy")
    libraries = {
        name: {
            "seconds": [over for _, over, _ in values],
            "median_seconds": statistics.median(over for _, over, _ in values),
            "resident_bytes": int(statistics.median(size for _, _, size in values)),
            "installed_bytes": installed_bytes(closure(str(present[name])) - numpys),
        }
        for name, values in times.items()
    }
    return {
        "what": "import in a fresh process, over NumPy's; installed with all that it needs, over NumPy's",
        "numpy_seconds": statistics.median(first for values in times.values() for first, _, _ in values),
        "libraries": libraries,
        "goal": {"seconds": GOAL_SECONDS},
        "reached": libraries["hypernet"]["median_seconds"] <= GOAL_SECONDS,
    }


def import_lines(found: dict[str, Any]) -> list[str]:
    lines = [f"import: NumPy {found['numpy_seconds']:.3f} s; over it, in a fresh process:"]
    for name, library in found["libraries"].items():
        lines.append(
            f"  {name:<12} {library['median_seconds']:7.3f} s  {library['resident_bytes'] / 1e6:7.1f} MB resident  "
            f"{library['installed_bytes'] / 1e6:8.1f} MB installed"
        )
    lines.append(f"  goal: at most {GOAL_SECONDS} s: {'reached' if found['reached'] else 'not reached'}")
    return lines
