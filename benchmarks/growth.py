"""Time and memory against rows, weights and threads: `python benchmarks/growth.py`.

A HyperModel predicts with a network of its own for every row. Each point is a process of its own. Its memory is the
peak of one call beyond what was there before: the weights, the conditions, the rows and the result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import describe, environment, status_bytes
from options import positive_integer, positive_number
from report import in_words

RESULTS = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
CONDITION, FEATURES, INPUTS, CLASSES = 100, 64, 100, 10
HIDDEN = 128  # of the target, where rows are what grows: 14,218 weights
ROWS = 64  # where weights are what grows
RESET_PEAK = Path("/proc/self/clear_refs")


def measure_point(rows: int, hidden: int, threads: int, seconds: float) -> dict[str, Any]:
    """In this process: the first call's memory, and the fastest call's time."""
    import hypernet as hn
    import numpy as np

    from worker import stay_on_processors

    stay_on_processors(threads)
    hn.set_num_threads(threads)
    rng = np.random.default_rng(0)
    inner = hn.layers.Input((INPUTS,))
    first = hn.layers.Dense(hidden, activation="relu", kernel_initializer="zeros")(inner)
    target = hn.Model(inner, hn.layers.Dense(CLASSES, activation="softmax")(first))
    inputs = hn.layers.Input((CONDITION,))
    features = hn.layers.Dense(FEATURES, activation="relu")(inputs)
    head = hn.layers.Dense(target.count_params(), kernel_initializer="zeros")(features)
    hyper = hn.HyperModel(hn.Model(inputs, head), target, init=None)
    rng.standard_normal(dtype=np.float32, out=hyper.params)
    np.multiply(hyper.params, np.float32(0.05), out=hyper.params)
    condition = rng.standard_normal((rows, CONDITION), dtype=np.float32)
    x = rng.standard_normal((rows, INPUTS), dtype=np.float32)
    out = np.zeros((rows, CLASSES), np.float32)
    out += 1
    hyper.predict([condition[:1], x[:1]], verbose=0)  # what is imported and started at the first call is there
    peak = None
    if RESET_PEAK.exists():
        RESET_PEAK.write_text("5")
        before = status_bytes("VmRSS")
    times = [timed(hyper, condition, x, out)]
    if RESET_PEAK.exists():
        peak = max(0, status_bytes("VmHWM") - before)
    while sum(times) < seconds:
        times.append(timed(hyper, condition, x, out))
    if not np.allclose(out.sum(axis=1), 1, atol=1e-3):
        raise RuntimeError("the rows of a softmax do not sum to 1")
    return {
        "rows": rows,
        "weights": target.count_params(),
        "threads": threads,
        "seconds": min(times),
        "calls": len(times),
        "peak_bytes": peak,
    }


def timed(hyper: Any, condition: Any, x: Any, out: Any) -> float:
    start = time.perf_counter()
    hyper.predict([condition, x], batch_size=len(x), out=out, verbose=0)
    return time.perf_counter() - start


def point_in_process(rows: int, hidden: int, threads: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--point", *map(str, (rows, hidden, threads)), "--seconds", str(seconds)]
    done = subprocess.run(command, env=environment(threads), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{rows} rows, {hidden} units, {threads} threads: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def powers(first: int, last: int) -> list[int]:
    """Powers of ten, both ends included."""
    found = [first]
    while found[-1] * 10 <= last:
        found.append(found[-1] * 10)
    return found


def series(largest_rows: int, largest_weights: int, threads: list[int], seconds: float) -> dict[str, list[Any]]:
    """Points for growing rows and for growing weights; prints them as they come."""
    a_unit = INPUTS + 1 + CLASSES  # weights of the target for each of its hidden units
    plans = {
        "rows": [(rows, HIDDEN) for rows in powers(100, largest_rows)],
        "weights": [(ROWS, max(1, round((weights - CLASSES) / a_unit))) for weights in powers(1000, largest_weights)],
    }
    found: dict[str, list[Any]] = {}
    print(
        f"{'rows':>9} {'weights':>10} {'threads':>7} {'time':>9} {'a row, weight':>17} {'peak':>10} {'all theta':>12}"
    )
    for name, plan in plans.items():
        found[name] = []
        for rows, hidden in plan:
            for count in threads:
                point = point_in_process(rows, hidden, count, seconds)
                found[name].append(point)
                print(line(point), flush=True)
    return found


def line(point: dict[str, Any]) -> str:
    size = point["rows"] * point["weights"]
    peak = "-" if point["peak_bytes"] is None else f"{point['peak_bytes'] / 1e6:.1f} MB"
    return (
        f"{point['rows']:>9,} {point['weights']:>10,} {point['threads']:>7} {in_words(point['seconds']):>9} "
        f"{1e9 * point['seconds'] / size:>14.3f} ns {peak:>10} {4 * size / 1e6:>9,.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=positive_integer, nargs="+", default=[1, 2])
    parser.add_argument("--largest-rows", type=positive_integer, default=10**6)
    parser.add_argument("--largest-weights", type=positive_integer, default=10**7)
    parser.add_argument(
        "--seconds", type=positive_number, default=0.5, help="calls are repeated for so long (default 0.5)"
    )
    parser.add_argument("--json", type=Path, default=RESULTS / "growth.json", help="where all figures go")
    parser.add_argument("--plot", type=Path, default=RESULTS / "growth.png", help="where the picture goes")
    parser.add_argument("--point", type=int, nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        print(json.dumps(measure_point(*asked.point, asked.seconds)))
        return
    results = {
        "machine": describe(),
        "series": series(asked.largest_rows, asked.largest_weights, asked.threads, asked.seconds),
    }
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(results, indent=1) + "\n")
    print(f"figures: {asked.json}")
    try:
        from plot_growth import plot_growth
    except ModuleNotFoundError as error:
        print(f"no picture: {error}")
        return
    asked.plot.parent.mkdir(parents=True, exist_ok=True)
    plot_growth(results, asked.plot)
    print(f"picture: {asked.plot}")


if __name__ == "__main__":
    main()
