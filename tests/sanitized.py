"""Runs tests with the extension, and the programs in C that tests compile, under gcc's sanitizers.

    python tests/sanitized.py address                              the ordinary suite: addresses, undefined behaviour, leaks
    python tests/sanitized.py thread tests/test_threads.py -x      data races; what follows are pytest's own arguments

The extension is built with setup.py's switch HYPERNET_SANITIZE into build/sanitized/<kind>/, and built again when a
source is newer; the ordinary installation is left alone. Tests know by HYPERNET_SANITIZED that they run here:
tests/conftest.py skips those marked `not_sanitized`, and tests/c_build.py links programs with the same objects.

Any report fails a run, of a child process too: sanitizers write to files, of which none may be there afterwards. Only
leaks are sifted, as NumPy loses some objects when it is imported: a leak counts if code of this library is on its stack.
The interpreter has no frame pointers, so that a stack ends where it enters the interpreter: what the library allocated
is seen, an object that the interpreter allocated for it is not. ASAN_OPTIONS=fast_unwind_on_malloc=0 shows whole stacks
and takes several times as long. Options in ASAN_OPTIONS, UBSAN_OPTIONS and TSAN_OPTIONS are added to those below.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPILER = "gcc"
KINDS = {"address": "address,undefined", "thread": "thread"}
# In large functions, the kernels', checks are calls: inline, gcc takes three times as long for them.
COMPILED = {"address": "--param asan-instrumentation-with-call-threshold=50", "thread": ""}
# Interceptors of exceptions look for libstdc++ when they are loaded, and packages in C++ bring it only later.
PRELOADED = {"address": ("libasan.so", "libstdc++.so"), "thread": ("libtsan.so", "libstdc++.so")}
OPTIONS = {
    # Tests ask for too much memory on purpose. A leak alone ends no process (exitcode=0): the sifting decides. gcc's
    # runtime of undefined behaviour knows no file for its reports, but its abort is one that the other's writes.
    "ASAN_OPTIONS": "allocator_may_return_null=1:abort_on_error=1:exitcode=0:detect_stack_use_after_return=1:"
    "handle_abort=2:handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_sigill=2",
    "UBSAN_OPTIONS": "abort_on_error=1:print_stacktrace=1",
    # The interpreter and NumPy are not instrumented: what they do with memory looks like races, their locks still count.
    # Children of a fork start threads of their own.
    "TSAN_OPTIONS": "allocator_may_return_null=1:ignore_noninstrumented_modules=1:die_after_fork=0:exitcode=66",
}
# What allocator_may_return_null makes of an error: the program goes on as with any allocator that has no more.
ASKED_FOR = re.compile(r"^==\d+==WARNING: \w+Sanitizer failed to allocate 0x[0-9a-f]+ bytes$", re.MULTILINE)
OURS = re.compile(r"hypernet_c/|/tests/c/|/_core\.\S*\.so|\bhn_\w+")


def folder(kind: str) -> Path:
    return ROOT / "build" / "sanitized" / kind


def available() -> bool:
    return sys.platform.startswith("linux") and shutil.which(COMPILER) is not None


def flags(kind: str) -> tuple[str, ...]:
    return f"-fsanitize={KINDS[kind]}", "-fno-sanitize-recover=all"


@functools.cache
def build(kind: str) -> Path:
    """A copy of the package with an extension under this sanitizer; returns the folder to import from."""
    made, site = folder(kind), folder(kind) / "site"
    made.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", str(made / "library")]
    command += ["--build-temp", str(objects(kind))]
    flags = f"{os.environ.get('CFLAGS', '')} {COMPILED[kind]}".strip()
    environment = {**os.environ, "HYPERNET_SANITIZE": KINDS[kind], "CC": COMPILER, "CFLAGS": flags}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the extension does not build under {kind}:\n{done.stdout}\n{done.stderr}")
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "python" / "hypernet", site / "hypernet", ignore=shutil.ignore_patterns("*.so", "*.pyc"))
    for extension in (made / "library" / "hypernet").glob("_core*.so"):
        shutil.copy2(extension, site / "hypernet")
    return site


def objects(kind: str) -> Path:
    """Where `build` leaves the object files, in folders as hypernet_c has them."""
    return folder(kind) / "objects"


def environment(kind: str, site: Path, reports: Path) -> dict[str, str]:
    """Of a process under the sanitizer; its reports go to files in `reports`."""

    def runtime(name: str) -> str:
        command = [COMPILER, f"-print-file-name={name}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    options = {}
    for name, text in OPTIONS.items():
        options[name] = ":".join([text, f"log_path={reports / 'report'}", *filter(None, [os.environ.get(name)])])
    return {
        **os.environ,
        **options,
        "LD_PRELOAD": " ".join(runtime(name) for name in PRELOADED[kind]),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONMALLOC": "malloc",  # the interpreter's own pools would hide where an object ends
        "HYPERNET_SANITIZED": kind,
        "HYPERNET_EVIDENCE": str(reports.parent / "evidence.json"),  # not that of ordinary runs
    }


def reports_in(text: str) -> list[str]:
    """The reports of one file; of leaks, those that code of this library allocated."""
    text = ASKED_FOR.sub("", text).strip()
    if "ERROR: LeakSanitizer" not in text:
        return [text] if text else []
    leaks = re.split(r"\n\s*\n", text)
    return [leak for leak in leaks if re.match(r"\s*(Direct|Indirect) leak", leak) and OURS.search(leak)]


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    returncode: int
    output: str
    passed: int
    skipped: int
    reports: list[str]

    @property
    def clean(self) -> bool:
        return self.returncode == 0 and not self.reports


def run(kind: str, arguments: list[str], *, shown: bool = False) -> Outcome:
    """pytest with these arguments under the sanitizer."""
    site = build(kind)
    with tempfile.TemporaryDirectory(dir=folder(kind)) as work:
        return _run(kind, arguments, site, Path(work), shown)


def _run(kind: str, arguments: list[str], site: Path, work: Path, shown: bool) -> Outcome:
    reports, counts = work / "reports", work / "tests.xml"
    reports.mkdir()
    work.chmod(0o711)  # tests that run as another user report, too
    reports.chmod(0o777)
    surroundings = environment(kind, site, reports)
    imported = "import hypernet; print(hypernet._core.__file__)"
    command = [sys.executable, "-c", imported]
    used = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=True).stdout
    assert Path(used.strip()).parents[1] == site, f"{used} would be tested"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={counts}", *arguments]
    output = None if shown else subprocess.PIPE
    done = subprocess.run(command, cwd=ROOT, env=surroundings, text=True, stdout=output, stderr=subprocess.STDOUT)
    suites = [dict(suite.attrib) for suite in ElementTree.parse(counts).iter("testsuite")] if counts.exists() else []
    tests, skipped = (sum(int(suite[name]) for suite in suites) for name in ("tests", "skipped"))
    failed = sum(int(suite[name]) for suite in suites for name in ("failures", "errors"))
    found = [report for path in sorted(reports.iterdir()) for report in reports_in(path.read_text(errors="replace"))]
    return Outcome(done.returncode, done.stdout or "", tests - skipped - failed, skipped, found)


def main() -> int:
    kind, *arguments = sys.argv[1:] or [""]
    if kind not in KINDS or not available():
        print(__doc__ if kind not in KINDS else f"needs Linux and {COMPILER}", file=sys.stderr)
        return 2
    outcome = run(kind, arguments, shown=True)
    for report in outcome.reports:
        print(report)
    print(f"{kind}: {outcome.passed} passed, {outcome.skipped} skipped, {len(outcome.reports)} reports")
    return 0 if outcome.clean else 1


if __name__ == "__main__":
    sys.exit(main())
