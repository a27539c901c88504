"""The evidence file: claims are asserted, merged over runs, and kept with the verdict of their test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import evidence as evidence_file
import required_claims

TESTS = """
def test_right(evidence):
    evidence("right", tried=3, required=3, worst=1.0, bound=2.0, unit="ulp", seeds=[1, 2])

def test_too_few(evidence):
    evidence("too few", tried=2, required=3)
"""


def run_of(folder: Path, tests: str) -> dict[str, dict[str, dict[str, object]]]:
    (folder / "test_claims.py").write_text(tests)
    (folder / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {Path(__file__).parent}\n")
    environment = os.environ | {"HYPERNET_EVIDENCE": str(folder / "evidence.json")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return json.loads((folder / "evidence.json").read_text())


def claims_of(folder: Path, tests: str) -> dict[str, dict[str, object]]:
    return run_of(folder, tests)["claims"]


def test_claims_are_kept_and_merged(tmp_path: Path) -> None:
    claims = claims_of(tmp_path, TESTS)
    assert (claims["right"]["passed"], claims["too few"]["passed"]) == (True, False)
    assert claims["right"]["worst"] == 1.0 and claims["right"]["seeds"] == [1, 2]
    again = claims_of(tmp_path, TESTS[TESTS.index("def test_too_few") :].replace("tried=2", "tried=4"))
    assert set(again) == {"right", "too few"}
    assert again["too few"]["passed"] is True and again["too few"]["tried"] == 4


def test_the_table_names_every_claim(tmp_path: Path) -> None:
    claims_of(tmp_path, TESTS)
    printed = evidence_file.table(evidence_file.read(tmp_path / "evidence.json"))
    assert "FAILED" in printed and "too few" in printed and "1 ulp <= 2" in printed


@pytest.mark.parametrize("worst", [2.5, float("nan"), float("inf")])
def test_what_lies_over_its_bound_fails(worst: float) -> None:
    with pytest.raises(AssertionError, match="over the bound"):
        evidence_file.Recorder("here")("much", tried=1, required=1, worst=worst, bound=2.0)


def test_too_few_trials_fail() -> None:
    with pytest.raises(AssertionError, match="2 tried, 3 required"):
        evidence_file.Recorder("here")("few", tried=2, required=3)


def test_a_run_is_described(tmp_path: Path) -> None:
    """Its command, counts, time, code and machine; and a merge keeps the runs of both files."""
    known = run_of(tmp_path, TESTS)
    (command, run), *rest = known["runs"].items()
    assert not rest and command.startswith("pytest -q -p no:cacheprovider") and str(tmp_path) in command
    assert (run["passed"], run["failed"], run["skipped"]) == (1, 1, 0) and float(str(run["seconds"])) >= 0
    assert {"commit", "date", "processor", "instruction_set", "system", "python", "numpy"} <= set(run)
    (tmp_path / "other.json").write_text(json.dumps(known | {"runs": {"another": run}}))
    assert evidence_file.main(["--merge", str(tmp_path / "evidence.json"), str(tmp_path / "other.json")]) == 0
    merged = evidence_file.read(tmp_path / "evidence.json")
    assert merged["runs"] == {command: run, "another": run}
    assert merged["claims"] == {}, "no test of this tree writes them"


def entry(**values: object) -> dict[str, object]:
    return {"test": "tests/test_evidence.py::entry", "tried": 5, "required": 5, "passed": True} | values


def test_a_smaller_run_does_not_unsay_a_larger_one(tmp_path: Path) -> None:
    """The ordinary run's share of a slow claim, if both passed; what failed, or asked for as much, is said anew."""
    file = tmp_path / "evidence.json"

    def after(**values: object) -> object:
        file.unlink(missing_ok=True)
        for one in (entry(tried=9, required=9), entry(**values)):
            evidence_file.merge(file, {"claims": {"it": one}, "runs": {}})
        return evidence_file.read(file)["claims"]["it"]["tried"]

    assert (after(), after(passed=False), after(tried=10, required=9)) == (9, 5, 10)


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty file lacks every claim; one of too few trials, a failed one and one that no test writes are told."""
    required = required_claims.REQUIRED
    empty = evidence_file.missing({"claims": {}, "runs": {}})
    assert len(empty) == len(required) + 1
    claims = {
        "odd arrays as out": entry(
            test="tests/test_out_matrix.py::test_every_out_of_every_kind", tried=287, required=1
        ),
        " ".join(("nobody", "writes", "this")): entry(),
        "a test that is gone": entry(test="tests/test_gone.py::test_gone", passed=False),
    }
    found = evidence_file.missing({"claims": claims, "runs": {"all": {}}})
    told = [line for line in found if line not in empty]
    assert [line.partition(":")[0] for line in told] == ["lacking", "failed", "stale", "stale"], told
    file = tmp_path / "evidence.json"
    evidence_file.merge(file, {"claims": claims, "runs": {}})
    assert evidence_file.main(["--missing", str(file)]) == 1
    assert "odd arrays as out: 0 of 1 with 288 tried; 1 of any size" in capsys.readouterr().out


def test_required_claims_are_written_by_tests_of_today() -> None:
    """Each of the list is one that some text of a test file can make: a claim that is renamed is renamed there."""
    files = set(Path(__file__).parent.glob("test_*.py")) - {Path(__file__)}
    written = [evidence_file.written_in(file) for file in files]
    texts = [required.claim.replace("\\", "") for required in required_claims.REQUIRED]
    unknown = [text for text in texts if not any(one.makes(text) for one in written)]
    assert not unknown


def test_the_committed_evidence_is_of_tests_of_today() -> None:
    """Every claim of tests/evidence.json passed, tried what it requires, and is one that its test writes."""
    known = evidence_file.read(Path(__file__).parent / "evidence.json")
    assert len(known["claims"]) >= 250
    wrong = [line for line in evidence_file.missing(known) if not line.startswith("lacking")]
    assert not wrong, "\n".join(wrong)
