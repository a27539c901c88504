"""Build of the extension `hypernet._core` from `hypernet_c/`. What is declared rather than computed: pyproject.toml.

Switches, by environment variable:

HYPERNET_DEBUG=1        no optimisation, debug information
HYPERNET_SANITIZE=LIST  -fsanitize=LIST, for example "address,undefined" or "thread"
HYPERNET_COVERAGE=1     line and branch counts for gcov
HYPERNET_WERROR=1       warnings are errors
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
LIBRARY = ROOT / "hypernet_c"


def relative(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in LIBRARY.glob(pattern))


def version() -> str:
    """The version stands once, in the public C header."""
    found = re.search(r'^#define HYPERNET_VERSION "([^"]+)"', (LIBRARY / "hypernet.h").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("hypernet_c/hypernet.h defines no HYPERNET_VERSION")
    return found[1]


def switches() -> tuple[list[str], list[str]]:
    """Compiler and linker flags beyond the ordinary ones."""
    compile_flags: list[str] = []
    link_flags: list[str] = []
    if os.environ.get("HYPERNET_DEBUG") == "1":
        compile_flags += ["-O0", "-g"]
    if os.environ.get("HYPERNET_WERROR") == "1":
        compile_flags += ["-Werror"]
    if os.environ.get("HYPERNET_COVERAGE") == "1":
        compile_flags += ["-O1", "-g", "--coverage"]
        link_flags += ["--coverage"]
    if sanitizers := os.environ.get("HYPERNET_SANITIZE"):
        flag = f"-fsanitize={sanitizers}"
        compile_flags += [flag, "-g1", "-O1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
        link_flags += [flag]
    return compile_flags, link_flags


class ParallelBuild(build_ext):
    """Compiles the files of the extension on all processors; setuptools takes them one after the other."""

    def build_extension(self, ext: Extension) -> None:
        compile_together = self.compiler.compile

        def compile_parallel(sources: list[str], **options: object) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = pool.map(lambda source: compile_together([source], **options), sources)
                return [name for names in objects for name in names]

        self.compiler.compile = compile_parallel
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = compile_together


compile_flags, link_flags = switches()
core = Extension(
    "hypernet._core",
    sources=relative("*/*.c"),
    depends=[*relative("*.h"), *relative("*/*.h"), *relative("*/*.inc")],
    include_dirs=[np.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_22_API_VERSION"), ("NPY_TARGET_VERSION", "NPY_1_22_API_VERSION")],
    extra_compile_args=[
        *("-std=gnu11", "-O3", "-ffp-contract=fast", "-fvisibility=hidden", "-Wall", "-Wextra"),
        "-g0",  # whatever the interpreter was built with: debug information is seven eighths of the extension
        *compile_flags,
    ],
    extra_link_args=["-lm", "-lpthread", *link_flags],
)

setup(version=version(), ext_modules=[core], cmdclass={"build_ext": ParallelBuild})
