"""Compiling C for the tests: the library once (kept in build/, by a hash of its sources), then programs against it."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "hypernet_c"
FLOORS = ("base", "kernels", "ops", "network", "train", "hyper", "files")
FLAGS = ("-std=gnu11", "-O2", "-g", "-ffp-contract=fast", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")
COMPILER = os.environ.get("CC", "cc").split()


def sources() -> list[Path]:
    """Every C file of the library (all floors but the binding)."""
    return [path for floor in FLOORS for path in sorted((LIBRARY / floor).glob("*.c"))]


def run(*command: str | Path) -> str:
    """The standard output of a command; AssertionError with what it wrote if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]} {command[1:]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _hash(flags: tuple[str, ...]) -> str:
    digest = hashlib.sha256(repr((COMPILER, flags)).encode())
    for path in sorted(LIBRARY.rglob("*")):
        if path.suffix in (".c", ".h", ".inc") and path.parent.name != "binding":
            digest.update(str(path.relative_to(LIBRARY)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def library(flags: tuple[str, ...] = FLAGS) -> Path:
    """The static library, built with these flags."""
    if shutil.which(COMPILER[0]) is None:
        pytest.skip("there is no C compiler")
    folder = ROOT / "build" / "c_tests" / _hash(flags)
    archive = folder / "libhypernet.a"
    if archive.exists():
        return archive
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-4]:
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)

        def compile_one(source: Path) -> Path:
            target = work / f"{source.parent.name}_{source.stem}.o"
            run(*COMPILER, *flags, "-c", source, "-o", target)
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, sources()))
        run("ar", "rcs", work / "libhypernet.a", *objects)
        folder.mkdir(exist_ok=True)
        os.replace(work / "libhypernet.a", archive)
    return archive


def program(source: str | Path, folder: Path, flags: tuple[str, ...] = FLAGS) -> Path:
    """A program made of one C file (relative to the project) and the library, in `folder`."""
    path = ROOT / source
    target = folder / path.stem
    run(*COMPILER, *flags, f"-I{LIBRARY}", path, library(flags), "-lm", "-lpthread", "-o", target)
    return target
