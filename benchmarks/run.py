"""Time hypernet against its peers and against the limits of the machine, in one run: `python benchmarks/run.py`.

Every contestant works in a process of its own, on the same numbers. Its results first have to agree with hypernet's.
Then they take turns (A B A B ...), and so does a measurement of what the machine can do at most. Printed are medians,
and medians of the ratios of neighbouring turns: above 1, hypernet is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import report
from comparison import HYPERNET, Comparison
from contestants import CONTESTANTS
from imports import import_figures, import_lines
from machine import describe
from options import positive_integer, positive_number
from workloads import IMPORT, WORKLOADS, chosen

RESULTS = Path(__file__).resolve().parents[1] / "build" / "benchmarks"


def print_workload(name: str, found: dict[str, Any]) -> None:
    print(report.line(report.cells(name, found["threads"], found[HYPERNET])))
    for who, figures in found["variants"].items():
        print(report.line(report.cells(f"{name} {who.removeprefix(HYPERNET + '-')}", found["threads"], figures)))
    others = report.other_peers(found[HYPERNET])
    if others:
        print(f"    {others}")


def limits_measured(found: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over all rounds of all workloads."""
    rates: dict[str, list[float]] = {}
    for workload in found:
        for meeting in workload["meetings"]:
            for name, values in meeting["rates"].items():
                rates.setdefault(name, []).extend(values)
    return {name: statistics.median(rates[name]) for name in sorted(rates)}


def in_use(versions: dict[str, Any]) -> str:
    """The versions, and the kernels that NumPy's BLAS chose."""
    words = [f"hypernet's instruction set {versions[HYPERNET]['isa']}"]
    for pool in versions.get("numpy", {}).get("threadpools", []):
        words.append(f"NumPy's BLAS {pool['internal_api']} {pool['version']} ({pool['architecture']})")
    packages = {name: version for found in versions.values() for name, version in found.items() if is_package(name)}
    return ", ".join([*words, *(f"{name} {version}" for name, version in packages.items())])


def is_package(name: str) -> bool:
    return name not in ("isa", "threadpools")


def check_all(comparison: Comparison, names: list[str], found: dict[str, Any]) -> None:
    """Whether every workload agrees; prints as it goes."""
    for name in names:
        found[name] = {"tolerance": WORKLOADS[name].tolerance, "differences": comparison.check(name)}
        words = ", ".join(f"{who} {size:.1e}" for who, size in found[name]["differences"].items())
        print(f"{name:<8} differs from hypernet by: {words or '-'}")


def time_all(comparison: Comparison, names: list[str], found: dict[str, Any]) -> None:
    """Every workload; prints as it goes."""
    print(report.heading())
    for name in names:
        found[name] = comparison.workload(name)
        print_workload(name, found[name])


def run_all(asked: argparse.Namespace, names: list[str], threads: int, peers: list[str], run: dict[str, Any]) -> None:
    """Check or time every workload with so many threads; `run` holds what was found, also if it ends early."""
    print(f"\n{threads} thread{'s' if threads > 1 else ''}")
    comparison = Comparison(threads, peers, 0 if asked.check else asked.rounds, asked.seconds)
    run |= {"workloads": {}, "versions": comparison.versions, "left_out": comparison.left_out}
    try:
        print(in_use(comparison.versions))
        (check_all if asked.check else time_all)(comparison, names, run["workloads"])
    finally:
        comparison.close()
    if not asked.check:
        run["limits"] = limits_measured(list(run["workloads"].values()))
        print(f"limits: {report.rates_in_words(run['limits']) or 'not measured'}")


def peers_to_run(wanted: list[str] | None) -> tuple[list[str], dict[str, str]]:
    """Those that are installed, and what the others need."""
    found, missing = [], {}
    for name in wanted or [name for name in CONTESTANTS if name != HYPERNET]:
        needed = CONTESTANTS[name].missing()
        if needed:
            missing[name] = f"not installed: {', '.join(needed)}"
        else:
            found.append(name)
    return found, missing


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peers = [name for name in CONTESTANTS if name != HYPERNET]
    parser.add_argument("--list", action="store_true", help="say what workloads and peers there are, and stop")
    parser.add_argument("--check", action="store_true", help="only check that results agree; time nothing")
    parser.add_argument("--workload", nargs="+", help="which ones; W2 means W2-out and W2-new (default: all)")
    parser.add_argument("--threads", type=positive_integer, nargs="+", default=[1, 2])
    parser.add_argument(
        "--peer", nargs="+", choices=peers, metavar="NAME", help="against whom (default: all installed)"
    )
    parser.add_argument("--rounds", type=positive_integer, default=9, help="interleaved turns (default 9)")
    parser.add_argument("--seconds", type=positive_number, default=0.1, help="length of one turn (default 0.1)")
    parser.add_argument("--json", type=Path, help="where all figures go (--check writes none without this)")
    parser.add_argument("--plot", type=Path, default=RESULTS / "benchmark.png", help="where the picture goes")
    parsed = parser.parse_args()
    try:
        parsed.workload = chosen(parsed.workload)
    except ValueError as error:
        parser.error(str(error))
    if parsed.json is None and not parsed.check:
        parsed.json = RESULTS / "benchmark.json"
    return parsed


def print_list() -> None:
    for name, spec in WORKLOADS.items():
        print(f"{name:<10} {spec.what}")
    print(f"{IMPORT:<10} import time and installed size")
    for name, contestant in CONTESTANTS.items():
        missing = contestant.missing()
        print(f"{name:<18} {'not installed: ' + ', '.join(missing) if missing else 'installed'}")


def draw(results: dict[str, Any], path: Path) -> None:
    try:
        from plot import plot_run
    except ModuleNotFoundError as error:
        print(f"no picture: {error}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"picture: {path}" if plot_run(results, path) else "no picture: no limit was measured")


def run_everything(asked: argparse.Namespace, peers: list[str], results: dict[str, Any]) -> None:
    names = [name for name in asked.workload if name != IMPORT]
    for threads in asked.threads if names else []:
        run_all(asked, names, threads, peers, results["runs"].setdefault(str(threads), {}))
    if IMPORT in asked.workload and not asked.check:
        results[IMPORT] = import_figures(peers, asked.rounds)
        print("\n".join(import_lines(results[IMPORT])))


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)
    asked = arguments()
    if asked.list:
        print_list()
        return
    peers, missing = peers_to_run(asked.peer)
    for name, reason in missing.items():
        print(f"{name}: {reason}")
    machine = describe()
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    results: dict[str, Any] = {
        "machine": machine,
        "rounds": asked.rounds,
        "seconds_a_turn": asked.seconds,
        "not_installed": missing,
        "runs": {},
    }
    try:
        run_everything(asked, peers, results)
    finally:
        if asked.json is not None:
            asked.json.parent.mkdir(parents=True, exist_ok=True)
            asked.json.write_text(json.dumps(results, indent=1) + "\n")
            print(f"figures: {asked.json}")
    if results["runs"] and not asked.check:
        draw(results, asked.plot)


if __name__ == "__main__":
    main()
