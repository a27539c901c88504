"""Compare the chosen contraction order with each order forced: `python benchmarks/orders.py`.

A generated kernel can be made and then used, as a whole or slice by slice, or be used as a mixture and never made
(`hypernet_c/hyper/order.c` holds the cost model). Over a grid of shapes this times what the model chose against all
three orders, in turns, and prints how much slower the choice is than the best of them. The goal is 15 % at the most.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypernet as hn
import numpy as np
from hypernet import _core

from options import positive_integer

ORDERS = ("by_cost", "weights", "slices", "mixture")
GOAL = 1.15

# groups, rows of each, features, widths of the target from its inputs to its outputs
GRID = [
    *itertools.product((32, 256, 1024), (1,), (8, 64), ((100, 128, 10), (16, 16, 1), (256, 256, 256, 10))),
    *itertools.product((256,), (2, 4, 32), (2, 8, 64), ((100, 128, 10),)),
    *itertools.product((512,), (1,), (1, 2, 4, 16, 256), ((64, 64, 64, 4),)),
    *itertools.product((100,), (2, 8), (64,), ((200, 200, 10), (400, 400, 10))),
    *itertools.product((24,), (1, 4), (64,), ((1000, 1000, 10), (100, 10000, 10))),
]


def build(order: str, features: int, widths: tuple[int, ...]) -> hn.HyperModel:
    """A hypernetwork that is compiled with this order: the same weights for every order."""
    _core.set_contraction_order(order)
    hn.utils.set_random_seed(0)
    layers = [hn.layers.Input((widths[0],)), *(hn.layers.Dense(width, "relu") for width in widths[1:-1])]
    target = hn.Sequential([*layers, hn.layers.Dense(widths[-1])])
    hyper = hn.HyperModel(hn.hypernetwork(16, target.count_params(), hidden=features), target)
    hyper.compile("sgd", "mean_squared_error")
    return hyper


def cases(features: int, groups: int, rows: int, widths: tuple[int, ...]) -> Iterator[tuple[str, dict[str, Callable]]]:
    """For predict and for a training step: a function without arguments for each order."""
    rng = np.random.default_rng(0)
    condition = rng.standard_normal((groups, 16), dtype=np.float32)
    shape = (groups,) if rows == 1 else (groups, rows)
    x = rng.standard_normal((*shape, widths[0]), dtype=np.float32)
    y = rng.standard_normal((*shape, widths[-1]), dtype=np.float32)
    for what in ("predict", "train"):
        functions: dict[str, Callable] = {}
        for order in ORDERS:
            hyper = build(order, features, widths)
            if what == "predict":
                functions[order] = lambda hyper=hyper: hyper.predict([condition, x], verbose=0)
            else:
                functions[order] = lambda hyper=hyper: hyper.train_on_batch([condition, x], y)
            functions[order]()  # compiles with the order that is set now
        yield what, functions


def time_in_turns(functions: dict[str, Callable], rounds: int) -> dict[str, float]:
    """The best time of each in seconds: what others do to the machine only adds to it."""
    times: dict[str, list[float]] = {order: [] for order in functions}
    for _ in range(rounds):
        for order, function in functions.items():
            start = time.perf_counter()
            function()
            times[order].append(time.perf_counter() - start)
    return {order: min(values) for order, values in times.items()}


def run(rounds: int) -> list[dict]:
    rows = []
    for groups, per_group, features, widths in GRID:
        for what, functions in cases(features, groups, per_group, widths):
            times = time_in_turns(functions, rounds)
            best = min(times[order] for order in ORDERS[1:])
            row = {
                "groups": groups,
                "rows": per_group,
                "features": features,
                "target": "-".join(map(str, widths)),
                "what": what,
                "milliseconds": {order: 1e3 * seconds for order, seconds in times.items()},
                "slower_than_best": times["by_cost"] / best,
            }
            rows.append(row)
            print(
                f"N {groups:>5} M {per_group:>3} H {features:>4} {row['target']:<16} {what:<8}"
                + "".join(f"{order} {1e3 * times[order]:>9.3f} ms   " for order in ORDERS)
                + f"{row['slower_than_best']:>5.2f}{'' if row['slower_than_best'] <= GOAL else '  missed'}",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive_integer, default=15)
    parser.add_argument("--threads", type=positive_integer, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    hn.set_num_threads(arguments.threads)
    rows = run(arguments.rounds)
    missed = [row for row in rows if row["slower_than_best"] > GOAL]
    print(
        f"{len(rows)} cases, {len(missed)} more than {GOAL - 1:.0%} slower than the best order; median "
        f"{statistics.median(row['slower_than_best'] for row in rows):.3f}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
