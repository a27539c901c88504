"""The ordinary tests under sanitizers: no report. And a report of each kind is noticed, of a child process too."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import sanitized
from c_build import FLAGS, LIBRARY, ROOT, run
from evidence import Recorder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sanitized.available(), reason="needs Linux and gcc"),
]
# What runs in threads, forks or is interrupted: whole files, and tests of test_binding.py by words of their names.
THREADED_FILES = ["tests/test_threads.py", "tests/test_hyper_c.py", "tests/test_binding.py"]
THREADED = "test_threads or test_hyper_c or thread or fork or interrupt or writer or handler"
PROGRAMS = ["tests/test_kernels.py", "tests/test_network_c.py", "tests/test_hyper_c.py", "tests/test_files_c.py"]


def check(evidence: Recorder, claim: str, kind: str, arguments: list[str], required: int) -> None:
    outcome = sanitized.run(kind, arguments)
    print(outcome.output[-6000:], *outcome.reports, sep="\n")
    assert outcome.returncode == 0
    evidence(
        claim, tried=outcome.passed, required=required, worst=len(outcome.reports), bound=0, unit="reports",
        skipped=outcome.skipped,
    )  # fmt: skip


def test_the_whole_suite_under_address_and_undefined(evidence: Recorder) -> None:
    """Every ordinary test, with the programs in C that they compile: memory, undefined behaviour, our leaks."""
    check(evidence, "tests under the address and undefined behaviour sanitizers", "address", [], 1500)


def test_threads_under_thread(evidence: Recorder) -> None:
    """Races and lock orders of the pool, of calls from several threads, of forks and of interrupts."""
    check(evidence, "tests under the thread sanitizer", "thread", [*THREADED_FILES, "-k", THREADED], 40)


@pytest.mark.gate
def test_programs_in_c_under_address(evidence: Recorder) -> None:
    check(evidence, "tests of programs in C under the address sanitizer", "address", PROGRAMS, 30)


@pytest.mark.gate
@pytest.mark.parametrize(
    ("kind", "fault", "words"),
    [
        ("address", "part", "use-after-poison"),
        ("address", "arithmetic", "signed integer overflow"),
        ("address", "leak", "Direct leak of"),
        ("thread", "race", "data race"),
    ],
)
def test_a_fault_of_a_child_process_is_noticed(kind: str, fault: str, words: str, tmp_path: Path) -> None:
    """Though the test that started it passes."""
    (tmp_path / "test_fault.py").write_text(
        "import subprocess\n"
        "from c_build import program\n"
        "def test_fault(tmp_path):\n"
        f"    subprocess.run([program('tests/c/faults.c', tmp_path), {fault!r}])\n"
    )
    outcome = sanitized.run(kind, ["-c", str(ROOT / "pyproject.toml"), str(tmp_path)])
    assert outcome.returncode == 0 and outcome.passed == 1, outcome.output
    assert not outcome.clean
    assert len(outcome.reports) == 1 or fault == "leak"
    assert all(words in report for report in outcome.reports)


@pytest.mark.gate
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_parts_of_a_workspace_have_gaps(compiler: str, tmp_path: Path) -> None:
    """Between neighbours in one allocation, whichever compiler's sanitizer it is."""
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    base = [LIBRARY / "base" / name for name in ("memory.c", "status.c")]
    program = tmp_path / "faults"
    run(
        compiler,
        *FLAGS,
        "-fsanitize=address",
        f"-I{LIBRARY}",
        ROOT / "tests/c/faults.c",
        *base,
        "-lpthread",
        "-o",
        program,
    )
    done = subprocess.run([program, "part"], capture_output=True, text=True, env={**os.environ, "ASAN_OPTIONS": ""})
    assert done.returncode != 0 and "use-after-poison" in done.stderr
