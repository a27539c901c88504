"""Static analysis of the C library finds nothing, and would find what is planted."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from c_build import ROOT
from check_statically import CHECKERS, analyze_one, findings_of, sources
from evidence import Recorder

PLANTED = {
    "leak": "#include <stdlib.h>\nint f(int n)\n{\n    char *p = malloc(8);\n    return n && p ? 1 : 0;\n}\n",
    "used after free": "#include <stdlib.h>\nint f(int *p)\n{\n    free(p);\n    return *p;\n}\n",
    "null": "int f(int n)\n{\n    int *p = 0;\n    if (n > 3)\n        p = &n;\n    return *p;\n}\n",
}


def needed(checker: str) -> None:
    if shutil.which(checker) is None:
        pytest.skip(f"there is no {checker}")


@pytest.mark.parametrize("defect", PLANTED)
@pytest.mark.parametrize("checker", CHECKERS)
def test_planted_defects_are_found(checker: str, defect: str, tmp_path: Path) -> None:
    """A file with a defect is reported: a checker that is called wrongly would find nothing anywhere."""
    needed(checker)
    shutil.copy(ROOT / ".clang-tidy", tmp_path)
    source = tmp_path / "planted.c"
    source.write_text(PLANTED[defect])
    assert "planted.c" in analyze_one(checker, source)


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("checker", CHECKERS)
def test_nothing_is_found(checker: str, evidence: Recorder) -> None:
    """Every C file, the binding included, passes the analyzer; nothing in the code tells it to look away."""
    needed(checker)
    found = findings_of(checker)
    assert found == []
    evidence(
        f"C files without a finding of {checker}",
        tried=len(sources()),
        required=len(sources()),
        worst=len(found),
        bound=0,
    )


SILENCED = re.compile(
    r"NOLINT\w*|__clang_analyzer__|no_sanitize\w*|diagnostic ignored \"[^\"]+\"|-Wno-[\w-]+|suppressions="
)
# All that turns anything off, and why: faults of tools, not findings in the code.
EXCEPTIONS = {
    # clang says of every loop that it could not unroll it, though one of a single pass needs none.
    ("hypernet_c/kernels/vector.h", 'diagnostic ignored "-Wpass-failed"'),
    # gcc 12 takes the number of lanes for the bits of a lane, and so every shift of a vector for too wide (mended in 13).
    ("tests/check_statically.py", "-Wno-analyzer-shift-count-overflow"),
    # What glibc allocates for a thread that runs when the program ends, found through a pointer into its middle.
    ("tests/test_valgrind.py", "suppressions="),
}


def test_the_code_silences_no_checker() -> None:
    """Neither comments and pragmas of the library nor options of the tools turn findings off, but for those listed."""
    files = [ROOT / "setup.py", ROOT / ".clang-tidy", *(ROOT / "tests").glob("*.py")]
    files += [path for folder in ("hypernet_c/*", "tests/c", "examples") for path in ROOT.glob(f"{folder}/*.[chi]*")]
    found = {
        (path.relative_to(ROOT).as_posix(), words)
        for path in files
        if path != Path(__file__)
        for words in SILENCED.findall(path.read_text())
    }
    assert found == EXCEPTIONS
    stacks = (ROOT / "tests" / "valgrind.supp").read_text().split("{")[1:]
    assert len(stacks) == 1 and "fun:_dl_allocate_tls" in stacks[0] and "match-leak-kinds: possible" in stacks[0]
