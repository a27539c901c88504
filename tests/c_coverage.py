"""Which lines and branches of the C code the tests run: `python tests/c_coverage.py`.

    python tests/c_coverage.py                            the ordinary suite and the C programs that it runs
    python tests/c_coverage.py tests/test_layers.py       some of it; what follows are pytest's own arguments
    python tests/c_coverage.py --report                   the table again, from the counts that are there

The package is built with counts (setup.py's HYPERNET_COVERAGE) into build/coverage/; the ordinary installation is left
alone. C programs are linked with the same objects (tests/c_build.py looks at HYPERNET_COUNTED), so that gcov adds up
what they and the extension ran. The kernels are compiled once for each instruction set and type from the same files: a
line is covered if any of them ran it.

tests/uncovered.md lists every function of which some lines stay uncovered, with the reason. The whole run fails if a
function is missing there, if one is listed that no longer has such lines, or if less than REQUIRED of the lines ran.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "coverage"
SITE, OBJECTS = FOLDER / "site", FOLDER / "objects"
REASONS = ROOT / "tests" / "uncovered.md"
REQUIRED = 0.95  # of the lines
SUITE = (
    "tests",
    # These run no C code, or measure time, which counting changes, or build installations of their own.
    *("--ignore=tests/test_architecture.py", "--ignore=tests/test_static_checks.py", "--ignore=tests/test_build.py"),
    *("--ignore=tests/test_benchmarks.py", "--ignore=tests/test_call_overhead.py"),
)
# Where a function begins, or a macro makes some, and the name; kernels' are K(name): instruction set and type before it.
START = re.compile(r"^(?:__attribute__\(\(.*\)\) )?(?:\w+ +\**)*(?:K\((\w+)\)|(\w+))\(", re.MULTILINE)
# Counts are written when a process ends in the ordinary way; a child that ends at once writes them before.
WRITER = """
extern void __gcov_dump(void);
__attribute__((visibility("default"))) void counts_write(void) { __gcov_dump(); }
"""
AT_ONCE = """
import ctypes, os, pathlib

def _exit(status, *, end=os._exit, folder=pathlib.Path(__file__).parent):
    extension, = folder.glob("hypernet/_core*.so")
    ctypes.CDLL(str(extension)).counts_write()
    end(status)

os._exit = _exit
"""


def build() -> None:
    """A copy of the package with counts, all 0."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(SITE, ignore_errors=True)
    for made in [*OBJECTS.rglob("*.gcda"), *OBJECTS.rglob("*.gcno")]:
        if made.suffix == ".gcda" or not (ROOT / made.relative_to(OBJECTS)).with_suffix(".c").exists():
            made.unlink()
    writer = FOLDER / "writer.o"
    subprocess.run(["gcc", "-fPIC", "-x", "c", "-c", "-", "-o", writer], input=WRITER, text=True, check=True)
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", FOLDER / "library", "--build-temp", OBJECTS]
    surroundings = {**os.environ, "HYPERNET_COVERAGE": "1", "CC": "gcc", "LDFLAGS": str(writer)}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the extension does not build:\n{done.stdout}\n{done.stderr}")
    shutil.copytree(ROOT / "python" / "hypernet", SITE / "hypernet", ignore=shutil.ignore_patterns("*.so", "*.pyc"))
    for extension in (FOLDER / "library" / "hypernet").glob("_core*.so"):
        shutil.copy2(extension, SITE / "hypernet")
        assert ctypes.CDLL(str(extension)).counts_write
    (SITE / "sitecustomize.py").write_text(AT_ONCE)


def run(arguments: list[str]) -> int:
    """pytest with these arguments on the copy; returns what it returned."""
    surroundings = {
        **os.environ,
        "PYTHONPATH": str(SITE),
        "HYPERNET_COUNTED": str(OBJECTS),
        "HYPERNET_EVIDENCE": str(FOLDER / "evidence.json"),
    }
    command = [sys.executable, "-c", "import hypernet; print(hypernet._core.__file__)"]
    used = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=True).stdout
    assert Path(used.strip()).parents[1] == SITE, f"{used} would be tested"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
    return subprocess.run(command, cwd=ROOT, env=surroundings).returncode


@dataclass
class Source:
    """Of one file: whether each line ran, and how often each branch of it was taken."""

    text: str
    ran: dict[int, bool] = field(default_factory=dict)
    branches: dict[int, list[int]] = field(default_factory=dict)

    def add(self, line: dict) -> None:
        number = line["line_number"]
        self.ran[number] = self.ran.get(number, False) or line["count"] > 0
        counts = [branch["count"] for branch in line["branches"]]
        known = self.branches.get(number, [])
        self.branches[number] = [max(pair) for pair in zip_longest(known, counts, fillvalue=0)]

    def uncovered(self) -> dict[str, list[int]]:
        """The lines that never ran, by function: the last that begins above, as gcov names none that is inlined."""
        starts = [
            (self.text.count("\n", 0, found.start()) + 1, found[1] or found[2]) for found in START.finditer(self.text)
        ]
        found = defaultdict(list)
        for number in sorted(self.ran):
            if not self.ran[number]:
                found[[name for first, name in starts if first <= number][-1]].append(number)
        return found

    def counts(self) -> tuple[int, int, int, int]:
        """Lines, lines that ran, branches, branches taken."""
        branches = [count for counts in self.branches.values() for count in counts]
        return len(self.ran), sum(self.ran.values()), len(branches), sum(count > 0 for count in branches)


def gathered() -> dict[str, Source]:
    """What gcov knows of every file of hypernet_c, by its name there."""

    def one(notes: Path) -> dict:
        command = ["gcov", "--branch-probabilities", "--json-format", "--stdout", str(notes)]
        return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    sources: dict[str, Source] = {}
    with ThreadPoolExecutor(2) as pool:
        for known in pool.map(one, sorted(OBJECTS.rglob("*.gcno"))):
            for file in known["files"]:
                path = Path(os.path.normpath(ROOT / file["file"]))
                if path.is_relative_to(ROOT / "hypernet_c"):
                    name = path.relative_to(ROOT / "hypernet_c").as_posix()
                    source = sources.setdefault(name, Source(path.read_text()))
                    for line in file["lines"]:
                        source.add(line)
    return dict(sorted(sources.items()))


def reasons() -> dict[tuple[str, str], tuple[int, int]]:
    """From tests/uncovered.md: of (file, function), how many lines stay uncovered, at least and at most."""
    found = {}
    for file, name, least, most in re.findall(
        r"^\| `(\S+)` \| `(\w+)` \| (\d+)(?:-(\d+))? \| [^|]*\w[^|]* \|$", REASONS.read_text(), re.MULTILINE
    ):
        assert (file, name) not in found, f"{REASONS.name} lists {name} of {file} twice"
        found[file, name] = int(least), int(most or least)
    return found


def disagreements(sources: dict[str, Source]) -> list[str]:
    """Where tests/uncovered.md says something else than the counts."""
    measured = {(file, name): lines for file, source in sources.items() for name, lines in source.uncovered().items()}
    listed = reasons()
    found = []
    for file, name in sorted({*measured, *listed}):
        lines = measured.get((file, name), [])
        least, most = listed.get((file, name), (0, 0))
        if not least <= len(lines) <= most:
            found.append(f"| `{file}` | `{name}` | {len(lines)} | lines {lines}, listed are {least} to {most} |")
    return found


def table(sources: dict[str, Source]) -> str:
    rows = [f"{'file':32}{'lines':>8}{'ran':>8}{'%':>7}{'branches':>10}{'taken':>8}{'%':>7}"]
    total = [sum(column) for column in zip(*(source.counts() for source in sources.values()), strict=True)]
    for name, counts in [*((name, source.counts()) for name, source in sources.items()), ("all", total)]:
        lines, ran, branches, taken = counts
        rows.append(
            f"{name:32}{lines:8}{ran:8}{100 * ran / max(lines, 1):7.1f}"
            f"{branches:10}{taken:8}{100 * taken / max(branches, 1):7.1f}"
        )
    return "\n".join(rows)


def main() -> int:
    arguments = sys.argv[1:]
    status = 0
    if arguments != ["--report"]:
        build()
        status = run(arguments or list(SUITE))
    sources = gathered()
    print(table(sources))
    if arguments not in ([], ["--report"]):
        return status
    wrong = disagreements(sources)
    lines, ran = (sum(source.counts()[i] for source in sources.values()) for i in (0, 1))
    if wrong:
        print(f"{REASONS.relative_to(ROOT)} says something else:", *wrong, sep="\n")
    (FOLDER / "coverage.json").write_text(json.dumps({name: source.counts() for name, source in sources.items()}))
    return 1 if status or wrong or ran < REQUIRED * lines else 0


if __name__ == "__main__":
    sys.exit(main())
