"""Compile every C file with all warnings as errors: `python tests/compile_strictly.py gcc|clang`.

The binding is compiled against the running interpreter's and NumPy's headers. Exits 1 at the first file that warns.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "hypernet_c"
FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=fast", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]


def include_flags(source: Path) -> list[str]:
    if source.parent.name != "binding":
        return []
    import numpy as np

    return ["-isystem", sysconfig.get_paths()["include"], "-isystem", np.get_include()]


def compile_one(compiler: str, source: Path) -> str:
    """Compiler messages; empty when all is well."""
    command = [compiler, *FLAGS, *include_flags(source), "-c", str(source), "-o", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr if done.returncode or done.stderr else ""


def messages_of(compiler: str) -> list[str]:
    """All compiler messages over all C files."""
    sources = sorted(ROOT.glob("*/*.c"))
    with ThreadPoolExecutor(2) as pool:
        return [text for text in pool.map(lambda source: compile_one(compiler, source), sources) if text]


def main() -> int:
    messages = messages_of(sys.argv[1])
    print("\n".join(messages) or f"{sys.argv[1]}: no warnings")
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main())
