"""Compiling C for the tests: the library's objects (kept in build/, by hashes of what they are made of), then programs."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sanitized

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "hypernet_c"
FLOORS = ("base", "kernels", "ops", "network", "train", "hyper", "files")
FLAGS = ("-std=gnu11", "-O2", "-g", "-ffp-contract=fast", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")
COMPILER = tuple(os.environ.get("CC", "cc").split())


def sources() -> list[Path]:
    """Every C file of the library (all floors but the binding)."""
    return [path for floor in FLOORS for path in sorted((LIBRARY / floor).glob("*.c"))]


def instruction_sets() -> list[str]:
    """Every instruction set that the library knows, the reference first."""
    found = re.search(r"names\[HN_ISA_COUNT\] = \{(.*?)\}", (LIBRARY / "base" / "cpu.c").read_text(), re.DOTALL)
    assert found
    return re.findall(r'"(\w+)"', found[1])


def run(*command: str | Path) -> str:
    """The standard output of a command; AssertionError with what it wrote if it fails."""
    # Where Python needs a sanitizer's runtime preloaded, compilers do not, and programs are linked with it.
    environment = {name: text for name, text in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{command[0]} {command[1:]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()[:24]


@functools.cache
def _headers(floor: str) -> str:
    """Hash of all that a file of this floor may include: includes point down."""
    below = FLOORS[: FLOORS.index(floor) + 1]
    paths = [path for name in below for path in sorted((LIBRARY / name).iterdir()) if path.suffix in (".h", ".inc")]
    return _digest(*(part for path in paths for part in (path.name, path.read_bytes())))


def _compile(source: Path, flags: tuple[str, ...], compiler: tuple[str, ...], folder: Path) -> Path:
    """The object file of one source, from the folder or made now."""
    key = _digest(repr((compiler, flags)), _headers(source.parent.name), source.read_bytes())
    target = folder / f"{source.parent.name}_{source.stem}_{key}.o"
    if target.exists():
        os.utime(target)
    else:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            run(*compiler, *flags, "-c", source, "-o", Path(work) / "made.o")
            os.replace(Path(work) / "made.o", target)
    return target


def _keep_latest(folder: Path, pattern: str, count: int) -> None:
    for old in sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)[:-count]:
        old.unlink(missing_ok=True)


@functools.cache
def library(flags: tuple[str, ...] = FLAGS, compiler: tuple[str, ...] = COMPILER, plain: tuple[str, ...] = ()) -> Path:
    """The static library, built with these flags; the kernels called `plain` with the ordinary ones."""
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"there is no C compiler {compiler[0]}")
    folder = ROOT / "build" / "c_tests"
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ways = {source: (FLAGS, COMPILER) if source.stem in plain else (flags, compiler) for source in sources()}
        objects = list(pool.map(lambda source: _compile(source, *ways[source], folder), ways))
    archive = folder / f"{_digest(*(path.name for path in objects))}_libhypernet.a"
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            run("ar", "rcs", Path(work) / "made.a", *objects)
            os.replace(Path(work) / "made.a", archive)
        _keep_latest(folder, "*.a", 4)
        _keep_latest(folder, "*.o", 4 * len(objects))
    return archive


def program(
    source: str | Path,
    folder: Path,
    flags: tuple[str, ...] = FLAGS,
    compiler: tuple[str, ...] = COMPILER,
    plain: tuple[str, ...] = (),
) -> Path:
    """A program made of one C file (relative to the project) and the library, in `folder`.

    In a run of tests under a sanitizer (tests/sanitized.py) it is under the sanitizer, too.
    """
    target = folder / Path(source).stem
    kind = os.environ.get("HYPERNET_SANITIZED")
    if kind and (flags, compiler, plain) == (FLAGS, COMPILER, ()):
        compiler, flags = (sanitized.COMPILER,), (*FLAGS, *sanitized.flags(kind))
        objects = [sanitized.objects(kind) / path.relative_to(ROOT).with_suffix(".o") for path in sources()]
    elif (counted := os.environ.get("HYPERNET_COUNTED")) and (flags, compiler, plain) == (FLAGS, COMPILER, ()):
        objects = [*(Path(counted) / path.relative_to(ROOT).with_suffix(".o") for path in sources()), "-lgcov"]
    else:
        objects = [library(flags, compiler, plain)]
    run(*compiler, *flags, f"-I{LIBRARY}", ROOT / source, *objects, "-lm", "-lpthread", "-o", target)
    return target


def checked(path: Path, *part: str | Path) -> int:
    """How much a program says that it checked in this part."""
    found = re.fullmatch(r"(\d+) checked\n", run(path, *part))
    assert found
    return int(found[1])
