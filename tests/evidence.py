"""What the tests tried and the worst that they found, asserted and written to one JSON file.

A test that counts takes the fixture `evidence` and says what it did:

    evidence("random shapes of products, avx2", tried=100_000, required=100_000, worst=0.4, bound=1.0, unit="of the bound")

which fails if less was tried than required, or if the worst lies over the bound (nan does). At the end of a run the
claims are merged into build/evidence.json (HYPERNET_EVIDENCE names another file), so that the ordinary and the slow
run, or runs on two machines, add up to one file. `python tests/evidence.py [FILE]` prints it as a table.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

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
    """Merge the claims of a run into the file; an interrupted write leaves the old one."""
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    merged = read(file)
    around = surroundings()
    for claim, entry in claims.items():
        merged["claims"][claim] = entry | {key: around[key] for key in ("date", "commit", "processor")}
    merged["runs"][run] = counts | around
    text = json.dumps(merged | {"claims": dict(sorted(merged["claims"].items()))}, indent=1) + "\n"
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as made:
        made.write(text)
    os.replace(made.name, file)


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


if __name__ == "__main__":
    print(table(read(Path(sys.argv[1]) if len(sys.argv) > 1 else path())))
