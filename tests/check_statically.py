"""Analyse every C file without running it: `python tests/check_statically.py gcc|clang-tidy`.

gcc follows the paths through each function (-fanalyzer); clang-tidy runs the checks of `.clang-tidy`. Exits 1 if either
has anything to say. Two files at a time, 3 GB of memory each.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compile_strictly import FLAGS, ROOT, include_flags

CHECKERS = ("gcc", "clang-tidy")
# Without limits gcc 12 follows every path through the loops over register tiles until memory ends: one state for each
# place in the code, before inlining. It also takes the number of lanes for the bits of a lane, so that it finds every
# shift of a vector too wide (mended in gcc 13).
KERNEL_LIMITS = ["-O0", "--param", "analyzer-max-enodes-per-program-point=1", "-Wno-analyzer-shift-count-overflow"]


def sources() -> list[Path]:
    return sorted(ROOT.glob("*/*.c"))


def command(checker: str, source: Path) -> list[str]:
    if checker == "clang-tidy":
        flags = [flag for flag in FLAGS if flag != "-Werror"]  # .clang-tidy makes an error of every finding
        return ["clang-tidy", "--quiet", str(source), "--", *flags, *include_flags(source)]
    limits = KERNEL_LIMITS if '#include "kernels.inc"' in source.read_text() else []
    return ["gcc", *FLAGS, "-fanalyzer", *limits, *include_flags(source), "-c", str(source), "-o", "/dev/null"]


def analyze_one(checker: str, source: Path) -> str:
    """What the checker found; empty when all is well."""
    done = subprocess.run(command(checker, source), capture_output=True, text=True)
    return f"{done.stdout}{done.stderr}" if done.returncode or done.stdout else ""


def findings_of(checker: str) -> list[str]:
    """What the checker found in all C files."""
    with ThreadPoolExecutor(2) as pool:
        return [text for text in pool.map(lambda source: analyze_one(checker, source), sources()) if text]


def main() -> int:
    found = findings_of(sys.argv[1])
    print("\n".join(found) or f"{sys.argv[1]}: nothing found in {len(sources())} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
