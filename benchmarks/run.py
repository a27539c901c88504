"""Time hypernet against its peers and against the limits of the machine, in one run: `python benchmarks/run.py`.

Every contestant works in a process of its own, on the same numbers. Its results first have to agree with hypernet's.
Then they take turns (A B A B ...), and so does a measurement of what the machine can do at most. Printed are medians,
and medians of the ratios of neighbouring turns: above 1, hypernet is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import report
from contestants import CONTESTANTS
from imports import import_figures, import_lines
from limits import level_of
from machine import describe
from turns import SETTLING_SECONDS, FailedError, Worker, check_agreement, check_progress, take_turns
from workloads import IMPORT, WORKLOADS, Workload, chosen

RESULTS = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
HYPERNET, LIMITS = "hypernet", "limits"


class Run:
    """All workloads with one number of threads."""

    def __init__(self, threads: int, peers: list[str], rounds: int, seconds: float) -> None:
        self.threads, self.rounds, self.seconds = threads, rounds, seconds
        self.left_out: dict[str, str] = {}
        self.versions: dict[str, Any] = {}
        self._workers: dict[str, Worker] = {}
        try:
            for name in [HYPERNET, *peers, LIMITS]:
                self._start(name)
        except BaseException:
            self.close()
            raise

    def _start(self, name: str) -> None:
        self._workers[name] = Worker(name, self.threads)
        try:
            found = self._workers[name].order("versions")
        except FailedError as error:
            if name == HYPERNET:
                raise
            self._leave_out(name, error)
            self._workers.pop(name).close()
        else:
            self.versions[name] = found

    def _leave_out(self, what: str, error: FailedError) -> None:
        self.left_out[what] = str(error)
        print(f"{what}: left out: {error}", flush=True)

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()

    def workload(self, name: str) -> dict[str, Any]:
        """Check and time one workload."""
        spec = WORKLOADS[name]
        hypernet = self._workers[HYPERNET]
        ours = hypernet.order("prepare", name)
        check_progress(name, ours, spec.tolerance)
        hypernet.order("calibrate", self.seconds)
        peers = [who for who in self._workers if who in CONTESTANTS and name in CONTESTANTS[who].workloads]
        peers.remove(HYPERNET)
        differences: dict[str, float] = {}
        meetings = [
            self._meet(spec, group, ours, differences)
            for group in ([[peer] for peer in peers] if spec.in_pairs and peers else [peers])
        ]
        hypernet.order("release")
        rivals = [peer for peer in peers if peer not in spec.variants]
        return {
            "what": spec.what,
            "threads": self.threads,
            "tolerance": spec.tolerance,
            "differences": differences,
            "meetings": meetings,
            HYPERNET: report.figures(HYPERNET, rivals, meetings, spec.phases, self._level, spec.goal),
            "variants": {
                who: report.figures(who, [HYPERNET], meetings, variant.phases, self._level, variant.goal)
                for who, variant in spec.variants.items()
                if any(who in meeting["times"] for meeting in meetings)
            },
        }

    def _meet(self, spec: Workload, peers: list[str], ours: list[Any], differences: dict[str, float]) -> dict[str, Any]:
        """hypernet and some peers take turns, after they were found to agree."""
        timed = [self._workers[HYPERNET]]
        for who in peers:
            try:
                if self._prepare(spec, who, ours, differences):
                    timed.append(self._workers[who])
            except FailedError as error:
                self._leave_out(f"{who} in {spec.name}", error)
        limits = self._workers.get(LIMITS)
        if limits is not None:
            limits.order("prepare", self._demanded(spec))
        settling = SETTLING_SECONDS if self.threads > 1 else 0.0
        times, rates = take_turns(timed, limits, self.rounds, settling)
        for worker in timed[1:]:
            worker.order("release")
        return {"times": times, "rates": rates}

    def _prepare(self, spec: Workload, who: str, ours: list[Any], differences: dict[str, float]) -> bool:
        """Whether this contestant, which agrees with hypernet, is to be timed."""
        worker = self._workers[who]
        theirs = worker.order("prepare", spec.name)
        tolerance = spec.variants[who].tolerance if who in spec.variants else spec.tolerance
        differences[who] = check_agreement(spec.name, ours, theirs, tolerance, who)
        if who in spec.only_checks:
            worker.order("release")
            return False
        worker.order("calibrate", self.seconds)
        return True

    def _demanded(self, spec: Workload) -> list[str]:
        """Names of the limits that this workload needs."""
        phases = [*spec.phases, *(phase for variant in spec.variants.values() for phase in variant.phases)]
        return sorted({name for phase in phases for name in phase.demands(self._level)})

    def _level(self, size: float) -> str:
        return level_of(size, self.threads)


def print_workload(name: str, found: dict[str, Any]) -> None:
    print(report.line(report.cells(name, found["threads"], found[HYPERNET])))
    for who, figures in found["variants"].items():
        print(report.line(report.cells(f"{name} {who.removeprefix(HYPERNET + '-')}", found["threads"], figures)))
    others = report.other_peers(found[HYPERNET])
    if others:
        print(f"    {others}", flush=True)


def limits_measured(found: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over all rounds of all workloads."""
    rates: dict[str, list[float]] = {}
    for workload in found:
        for meeting in workload["meetings"]:
            for name, values in meeting["rates"].items():
                rates.setdefault(name, []).extend(values)
    return {name: statistics.median(rates[name]) for name in sorted(rates)}


def run_all(names: list[str], threads: int, peers: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Every workload with so many threads; prints as it goes."""
    print(f"\n{report.heading()}", flush=True)
    run = Run(threads, peers, rounds, seconds)
    try:
        found = {}
        for name in names:
            found[name] = run.workload(name)
            print_workload(name, found[name])
    finally:
        run.close()
    limits = limits_measured(list(found.values()))
    print(f"limits at {threads} threads: {report.rates_in_words(limits) or 'not measured'}")
    return {"workloads": found, "limits": limits, "versions": run.versions, "left_out": run.left_out}


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
    parser.add_argument("--workload", nargs="+", help="which ones; W2 means W2-out and W2-new (default: all)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--peer", nargs="+", choices=peers, metavar="NAME", help="against whom (default: all installed)"
    )
    parser.add_argument("--rounds", type=int, default=9, help="interleaved turns (default 9)")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of one turn (default 0.1)")
    parser.add_argument("--json", type=Path, default=RESULTS / "benchmark.json", help="where all figures go")
    parser.add_argument("--plot", type=Path, default=RESULTS / "benchmark.png", help="where the picture goes")
    parsed = parser.parse_args()
    try:
        parsed.workload = chosen(parsed.workload)
    except ValueError as error:
        parser.error(str(error))
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


def main() -> None:
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
    names = [name for name in asked.workload if name != IMPORT]
    for threads in asked.threads if names else []:
        results["runs"][str(threads)] = run_all(names, threads, peers, asked.rounds, asked.seconds)
    if IMPORT in asked.workload:
        results[IMPORT] = import_figures(peers, asked.rounds)
        print("\n".join(import_lines(results[IMPORT])))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(results, indent=1) + "\n")
    print(f"figures: {asked.json}")
    if names:
        draw(results, asked.plot)


if __name__ == "__main__":
    main()
