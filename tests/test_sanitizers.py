"""The ordinary tests under sanitizers: no report. And a report of each kind is noticed, of a child process too."""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
from concurrent.futures import ThreadPoolExecutor
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
THREADED_FILES = [f"tests/test_{name}.py" for name in ("threads", "claims", "hyper_c", "binding")]
THREADED = "test_threads or test_claims or test_hyper_c or thread or fork or interrupt or writer or handler"
WHOLE_STACKS = "fast_unwind_on_malloc=0:malloc_context_size=8"
# What runs programs in C for longest: together about as long as all the others.
PROGRAMS = ["tests/test_kernels.py", "tests/test_network_c.py", "tests/test_hyper_c.py", "tests/test_files_c.py"]


SHARE = [
    [f"tests/test_{name}.py" for name in names.split()]
    for names in (
        "binding core_refusals core_calls intruders threads memory stores",
        "files_c saving layers losses quantize functional claims input_crashes",
    )
]


def check(evidence: Recorder, claim: str, kind: str, runs: list[list[str]], required: int) -> None:
    """Runs of pytest side by side, without a failure and without a report."""
    sanitized.build(kind)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda arguments: sanitized.run(kind, arguments), runs))
    for outcome in outcomes:
        print(outcome.output[-6000:], *outcome.reports, sep="\n")
    assert [outcome.returncode for outcome in outcomes] == [0] * len(runs)
    passed, skipped = sum(outcome.passed for outcome in outcomes), sum(outcome.skipped for outcome in outcomes)
    reports = sum(len(outcome.reports) for outcome in outcomes)
    evidence(claim, tried=passed, required=required, worst=reports, bound=0, unit="reports", skipped=skipped)


@pytest.mark.gate
def test_a_share_under_address_and_undefined(evidence: Recorder) -> None:
    """What meets bad input, files, threads and every layer: the share of the suite that runs before every change."""
    check(evidence, "tests under address and undefined behaviour, before every change", "address", SHARE, 800)


def test_the_whole_suite_under_address_and_undefined(evidence: Recorder) -> None:
    """Every ordinary test, with the programs in C that they compile: memory, undefined behaviour, our leaks."""
    runs = [PROGRAMS, [f"--ignore={path}" for path in PROGRAMS]]
    check(evidence, "tests under the address and undefined behaviour sanitizers", "address", runs, 3500)


@pytest.mark.gate
def test_a_share_under_thread(evidence: Recorder) -> None:
    """Several threads on one model, and on several: the share of what follows that runs before every change."""
    check(evidence, "tests under the thread sanitizer, before every change", "thread", [THREADED_FILES[:2]], 30)


def test_threads_under_thread(evidence: Recorder) -> None:
    """Races and lock orders of the pool, of calls from several threads, of forks and of interrupts."""
    check(evidence, "tests under the thread sanitizer", "thread", [[*THREADED_FILES, "-k", THREADED]], 40)


def test_python_objects_do_not_leak(evidence: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stacks that go on through the interpreter, from allocations of objects to the binding."""
    monkeypatch.setenv("ASAN_OPTIONS", WHOLE_STACKS)
    arguments = ["tests/test_binding.py", "-k", "not flat and not failing"]
    check(evidence, "tests of the binding under the leak sanitizer, with whole stacks", "address", [arguments], 80)


IN_C = "import subprocess; subprocess.run([program('tests/c/faults.c', tmp_path), {fault!r}])"
IN_PYTHON = """
import subprocess, sys
code = "import ctypes; from hypernet import _core; ctypes.pythonapi.Py_IncRef(ctypes.py_object({made}))"
subprocess.run([sys.executable, "-c", code])
"""
FAULTS = {
    "part": ("address", IN_C.format(fault="part"), "use-after-poison"),
    "arithmetic": ("address", IN_C.format(fault="arithmetic"), "__ubsan_handle_add_overflow"),
    "leak": ("address", IN_C.format(fault="leak"), "hn_memory_allocate"),
    "object": ("address", IN_PYTHON.format(made="_core.Store(3, 'float32')"), "store_new"),
    "race": ("thread", IN_C.format(fault="race"), "data race"),
}


@pytest.mark.gate
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_child_process_is_noticed(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the test that started it passes."""
    kind, code, words = FAULTS[fault]
    if fault == "object":
        monkeypatch.setenv("ASAN_OPTIONS", WHOLE_STACKS)
    body = textwrap.indent(code.strip(), "    ")
    (tmp_path / "test_fault.py").write_text(f"from c_build import program\ndef test_fault(tmp_path):\n{body}\n")
    outcome = sanitized.run(kind, ["-c", str(ROOT / "pyproject.toml"), str(tmp_path)])
    assert outcome.returncode == 0 and outcome.passed == 1, outcome.output
    assert outcome.reports and not outcome.clean
    assert any(words in report for report in outcome.reports)


@pytest.mark.gate
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_parts_of_a_workspace_have_gaps(compiler: str, tmp_path: Path) -> None:
    """Between neighbours in one allocation, whichever compiler's sanitizer it is."""
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    base = [LIBRARY / "base" / name for name in ("memory.c", "status.c")]
    program = tmp_path / "faults"
    sources = [ROOT / "tests" / "c" / "faults.c", *base]
    run(compiler, *FLAGS, "-fsanitize=address", f"-I{LIBRARY}", *sources, "-lpthread", "-o", program)
    done = subprocess.run([program, "part"], capture_output=True, text=True, env={**os.environ, "ASAN_OPTIONS": ""})
    assert done.returncode != 0 and "use-after-poison" in done.stderr
