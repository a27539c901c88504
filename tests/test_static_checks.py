"""Static analysis of the C library finds nothing, and would find what is planted."""

from __future__ import annotations

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


def test_the_code_silences_no_checker() -> None:
    """Neither comments nor pragmas of the library turn a finding of a checker off."""
    for path in (ROOT / "hypernet_c").glob("*/*.[chi]*"):
        text = path.read_text()
        for word in ("NOLINT", "-Wanalyzer", "__clang_analyzer__"):
            assert word not in text, f"{path.name}: {word}"
