"""Time hypernet against NumPy doing the same work, in one run: `python benchmarks/run.py`.

The contestants of a workload first have to agree in their results. They are then timed in turns (A B A B ...), so that
a machine that drifts drifts for both; with several threads, those of the last contestant first fall asleep. Medians and the
median of the ratios of neighbouring turns are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# Threads of OpenBLAS go on spinning for some 30 ms after their last work, and would take a core from whoever comes next.
SETTLING_SECONDS = 0.06

# Settings that slow OpenBLAS down, where the environment has them: a comparison must not profit from them.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def restart_without_slow_blas() -> None:
    """OpenBLAS reads its environment when it is loaded: start again without the settings that slow it down."""
    if any(name in os.environ for name in SLOWING):
        environment = {name: value for name, value in os.environ.items() if name not in SLOWING}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def calls_for(function: Callable[[], object], seconds: float) -> int:
    """How many calls take about `seconds`."""
    calls = 1
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        spent = time.perf_counter() - start
        if spent > seconds / 4:
            return max(1, round(calls * seconds / spent))
        calls *= 4


def time_calls(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def compare(
    contestants: dict[str, Callable[[], object]], rounds: int, seconds: float, settling: float
) -> dict[str, list[float]]:
    """Seconds a call of each contestant, in each of the interleaved rounds, with a pause of `settling` seconds before."""
    calls = {name: calls_for(function, seconds) for name, function in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, function in contestants.items():
            time.sleep(settling)
            function()  # the contestant's own memory is warm again
            times[name].append(time_calls(function, calls[name]))
    return times


def check_agreement(name: str, results: dict[str, tuple], tolerance: float) -> None:
    import numpy as np

    ours = results["hypernet"]
    for peer, theirs in results.items():
        for a, b in zip(ours, theirs, strict=True):
            difference = float(np.max(np.abs(np.subtract(a, b, dtype=np.float64)), initial=0.0))
            size = max(1e-30, float(np.max(np.abs(b))))
            if not difference / size <= tolerance:
                raise SystemExit(f"{name}: hypernet and {peer} disagree: {difference / size:.2e} > {tolerance:.0e}")


@contextlib.contextmanager
def one_processor(pin: bool) -> Iterator[None]:
    """Stay on one processor: a single thread that wanders pays for it in cold caches."""
    if not pin or not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def run(names: Iterable[str], threads: int, rounds: int, seconds: float) -> list[dict]:
    import hypernet as hn
    from threadpoolctl import threadpool_limits

    from workloads import WORKLOADS

    hn.set_num_threads(threads)
    rows = []
    with threadpool_limits(threads), one_processor(threads == 1):
        for name in names:
            workload = WORKLOADS[name]()
            check_agreement(name, {who: f() for who, f in workload.contestants.items()}, workload.tolerance)
            times = compare(workload.contestants, rounds, seconds, SETTLING_SECONDS if threads > 1 else 0.0)
            for peer in times:
                if peer == "hypernet":
                    continue
                ratios = [b / a for a, b in zip(times["hypernet"], times[peer], strict=True)]
                rows.append(
                    {
                        "workload": name,
                        "what": workload.what,
                        "threads": threads,
                        "peer": peer,
                        "hypernet_us": 1e6 * statistics.median(times["hypernet"]),
                        "peer_us": 1e6 * statistics.median(times[peer]),
                        "ratio": statistics.median(ratios),
                    }
                )
                print_row(rows[-1])
    return rows


def print_row(row: dict) -> None:
    print(
        f"{row['workload']:<5} {row['threads']:>2}T  hypernet {row['hypernet_us']:>10.1f} us   {row['peer']} "
        f"{row['peer_us']:>10.1f} us   {row['ratio']:>5.2f} x   {row['what']}",
        flush=True,
    )


def blas_in_use() -> str:
    from threadpoolctl import threadpool_info

    return ", ".join(f"{i['internal_api']} {i.get('version')} ({i.get('architecture')})" for i in threadpool_info())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", nargs="*", help="which ones (default: all)")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9, help="interleaved turns (default 9)")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of one turn (default 0.1)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    restart_without_slow_blas()

    import hypernet as hn
    import numpy as np

    from workloads import WORKLOADS

    unknown = set(arguments.workload or ()) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown workload {sorted(unknown)}; there are {list(WORKLOADS)}")
    print(f"hypernet {hn.__version__}, NumPy {np.__version__}, {blas_in_use()}")
    hn.show_config()
    rows = []
    for threads in arguments.threads:
        rows += run(arguments.workload or list(WORKLOADS), threads, arguments.rounds, arguments.seconds)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
