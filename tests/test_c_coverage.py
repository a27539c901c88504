"""How much of the C code the tests run; what they do not run is listed with reasons, in tests/uncovered.md."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys

import pytest

import c_coverage
from c_build import LIBRARY, ROOT
from evidence import Recorder


def test_reasons_are_of_functions_that_exist() -> None:
    """The list names functions where they are: who renames or removes one hears of it at once."""
    listed = c_coverage.reasons()
    rows = [line for line in c_coverage.REASONS.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == len(listed) > 0, "a row is not of the form that is read"
    for file, name in listed:
        assert re.search(rf"\b{name}\b", (LIBRARY / file).read_text()), f"{file} has no function {name}"


def test_kernels_of_all_instruction_sets_count_as_one() -> None:
    """A line that one instruction set ran is covered, whichever comes first; so are branches; others stay uncovered."""
    source = c_coverage.Source("static void K(rows)(void)\n{\n    a;\n    b;\n    c;\n}\n")
    for lines in ((0, 3, 0), (2, 0, 0)):
        for number, count in enumerate(lines, 3):
            source.add({"line_number": number, "count": count, "branches": [{"count": count}, {"count": 0}]})
    assert source.uncovered() == {"rows": [5]}
    assert source.counts() == (3, 2, 6, 2)


def test_functions_are_found() -> None:
    """By the line that they begin with, in every way in which this code begins one."""
    lines = {
        "static int one(void)": "one",
        "const hn_plan *two(int a,": "two",
        "HN_HELPER V K(three)(const T *p, int64_t count)": "three",
        "__attribute__((format(printf, 2, 3))) static hn_status four(const char *format, ...)": "four",
        "DEFINE(five)": "DEFINE",
    }
    for line, name in lines.items():
        found = c_coverage.START.match(line)
        assert found and (found[1] or found[2]) == name
    for line in (
        "    call(one);",
        "static const int table[] = {1};",
        "#define X(y) y",
        "/* text (more) */",
        "} (void)",
    ):
        assert not c_coverage.START.match(line)


@pytest.mark.slow
@pytest.mark.not_sanitized("builds an extension of its own")
@pytest.mark.skipif(sys.platform != "linux" or shutil.which("gcov") is None, reason="needs Linux, gcc and gcov")
def test_coverage(evidence: Recorder) -> None:
    """The ordinary suite passes on a build that counts, runs 95 % of the lines, and the list of the others is right."""
    done = subprocess.run([sys.executable, c_coverage.__file__], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-20000:]}\n{done.stderr[-2000:]}"
    known = json.loads((c_coverage.FOLDER / "coverage.json").read_text())
    lines, ran, branches, taken = (sum(counts) for counts in zip(*known.values(), strict=True))
    above = [counts for name, counts in known.items() if not name.startswith("kernels/")]
    evidence(
        "lines of C that the ordinary tests run",
        tried=ran,
        required=math.ceil(c_coverage.REQUIRED * lines),
        lines=lines,
        branches=branches,
        branches_taken=taken,
        branches_above_the_kernels=sum(counts[2] for counts in above),
        branches_taken_above_the_kernels=sum(counts[3] for counts in above),
    )
