"""What the tests tried and the worst that they found, asserted and written to one JSON file.

A test that counts takes the fixture `evidence` and says what it did:

    evidence("random shapes of products, avx2", tried=100_000, required=100_000, worst=0.4, bound=1.0, unit="of the bound")

which fails if less was tried than required, or if the worst lies over the bound (nan does). At the end of a run the
claims are merged into build/evidence.json (HYPERNET_EVIDENCE names another file), so that the ordinary and the slow
run, or runs on two machines, add up to one file: with what was run, when, where, and how many tests passed.

    python tests/evidence.py [FILE]              prints it as a table
    python tests/evidence.py --missing FILE      prints what a full run leaves (required_claims.py) and the file lacks
    python tests/evidence.py --merge INTO FILE.. adds the claims and the runs of other files, and drops the claims
                                                 that no test writes any more
"""

from __future__ import annotations

import ast
import datetime
import functools
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import required_claims

ROOT = Path(__file__).resolve().parents[1]
FORMAT = 1


class Recorder:
    """The claims of one test."""

    def __init__(self, test: str) -> None:
        self.test = test
        self.claims: dict[str, dict[str, Any]] = {}

    def __call__(
        self,
        claim: str,
        *,
        tried: int,
        required: int,
        worst: float | None = None,
        bound: float | None = None,
        unit: str = "",
        **details: Any,
    ) -> None:
        assert required >= 1, "a claim needs at least one trial"
        entry: dict[str, Any] = {"test": self.test, "tried": tried, "required": required}
        if worst is not None:
            entry |= {"worst": float(worst), "bound": bound, "unit": unit}
        self.claims[claim] = entry | details
        assert tried >= required, f"{claim}: {tried} tried, {required} required"
        assert worst is None or bound is None or worst <= bound, f"{claim}: {worst} {unit}, over the bound {bound}"


def path() -> Path:
    return Path(os.environ.get("HYPERNET_EVIDENCE", ROOT / "build" / "evidence.json"))


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except FileNotFoundError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def surroundings() -> dict[str, Any]:
    """The code, the machine and the programs of this run."""
    import hypernet as hn
    import numpy as np
    from hypernet import _core

    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "hypernet": hn.__version__,
        "commit": _output("git", "describe", "--always", "--dirty"),
        "processor": processor(),
        "processors": os.cpu_count(),
        "instruction_set": _core.isa(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {"format": FORMAT, "claims": {}, "runs": {}}
    known = json.loads(file.read_text())
    assert known["format"] == FORMAT, f"{file} is of format {known['format']}, not {FORMAT}: delete it"
    return known


def write(claims: dict[str, dict[str, Any]], run: str, counts: dict[str, Any]) -> None:
    """Merge the claims of a run, which is named by its command, into the file."""
    around = surroundings()
    described = {
        name: entry | {key: around[key] for key in ("date", "commit", "processor")} for name, entry in claims.items()
    }
    merge(path(), {"claims": described, "runs": {run: counts | around}})


def add(claims: dict[str, dict[str, Any]], more: dict[str, dict[str, Any]]) -> None:
    """The later claim counts, but that of a smaller run, which asks for less, does not unsay one that passed."""
    for claim, entry in more.items():
        held = claims.get(claim)
        if held is None or not (held["passed"] and entry["passed"] and held["required"] > entry["required"]):
            claims[claim] = entry


def merge(file: Path, *others: dict[str, Any], prune: bool = False) -> None:
    """Add claims and runs to a file; an interrupted write leaves the old one. `prune`: drop what no test writes any more."""
    merged = read(file)
    for other in others:
        add(merged["claims"], other["claims"])
        merged["runs"] |= other["runs"]
    if prune:
        merged["claims"] = {name: entry for name, entry in merged["claims"].items() if is_written(name, entry)}
    merged = {"format": FORMAT} | {key: dict(sorted(merged[key].items())) for key in ("claims", "runs")}
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as made:
        made.write(json.dumps(merged, indent=1) + "\n")
    os.replace(made.name, file)


# ---- what is missing ----
def missing(known: dict[str, Any]) -> list[str]:
    """What a full run leaves and this file lacks, has too little of, or has of tests that are no more."""
    claims = known["claims"]
    found = []
    for required in required_claims.REQUIRED:
        matching = [claims[name] for name in claims if re.fullmatch(required.claim, name)]
        good = [entry for entry in matching if entry["passed"] and entry["tried"] >= required.tried]
        if len(good) < required.claims:
            held = f"{len(good)} of {required.claims} with {required.tried:,} tried; {len(matching)} of any size"
            found.append(f"lacking: {required.claim}: {held}")
    found += [
        f"failed: {name}" for name, entry in claims.items() if not entry["passed"] or entry["tried"] < entry["required"]
    ]
    found += [
        f"stale: {name}: {entry['test']} does not write it"
        for name, entry in claims.items()
        if not is_written(name, entry)
    ]
    if not known["runs"]:
        found.append("lacking: no run is described")
    return found


def is_written(claim: str, entry: dict[str, Any]) -> bool:
    """Whether the test that is named there is there, and a text of its file makes such a claim."""
    file, _, test = entry["test"].partition("::")
    written = written_in(ROOT / file)
    return test.partition("[")[0] in written.functions and written.makes(claim)


class Written(NamedTuple):
    """The functions of a test file and its texts; those of f-strings as patterns, `{...}` in them may be anything."""

    functions: set[str]
    texts: set[str]
    patterns: list[re.Pattern[str]]

    def makes(self, text: str) -> bool:
        """Whether the file may make this text."""
        return text in self.texts or any(pattern.fullmatch(text) for pattern in self.patterns)


@functools.cache
def written_in(file: Path) -> Written:
    """What a test file has; nothing if there is no such file."""
    tree = ast.parse(file.read_text() if file.exists() else "")
    nodes = list(ast.walk(tree))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    patterns = []
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            literal = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            if len("".join(part or "" for part in literal)) >= 12:  # less would fit anything
                patterns.append(re.compile("".join(".+" if part is None else re.escape(part) for part in literal)))
    return Written(functions, texts, patterns)


def table(known: dict[str, Any]) -> str:
    """The claims and the runs, for people."""
    lines = []
    for claim, entry in known["claims"].items():
        worst = f"{entry['worst']:.3g} {entry['unit']}".strip() if "worst" in entry else ""
        bound = f"<= {entry['bound']:.3g}" if entry.get("bound") is not None else ""
        verdict = "ok" if entry["passed"] else "FAILED"
        lines.append(f"{verdict:7}{entry['tried']:>14,} of {entry['required']:>13,}  {claim}  {worst} {bound}".rstrip())
    for run, entry in known["runs"].items():
        counts = ", ".join(f"{entry[key]} {key}" for key in ("passed", "failed", "skipped"))
        lines.append(f"run {run!r}: {counts} in {entry['seconds']:.0f} s; {entry['commit']}, {entry['date']}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """The exit code: 1 where something is missing."""
    if arguments[:1] == ["--missing"]:
        found = missing(read(Path(arguments[1]) if len(arguments) > 1 else path()))
        print("\n".join(found) or "nothing is missing")
        return bool(found)
    if arguments[:1] == ["--merge"]:
        into, *others = map(Path, arguments[1:])
        merge(into, *map(read, others), prune=True)
        return 0
    print(table(read(Path(arguments[0]) if arguments else path())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
