"""One contestant's process: it waits for orders, and works only when it is its turn.

Started by `turns.Worker` with a connection's file descriptor; every order is answered with ("done", value) or with
("failed", what happened).
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection

PARTS = 10  # of a turn


def stay_on_processors(threads: int) -> None:
    """As many processors as threads: a single thread that wanders pays for it in cold caches."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def time_calls(function: Callable[[], object], calls: int) -> float:
    """Seconds of so many calls."""
    start = time.perf_counter()
    for _ in itertools.repeat(None, calls):
        function()
    return time.perf_counter() - start


class ContestantStation:
    """Does workloads with one library."""

    def __init__(self, name: str, threads: int) -> None:
        from contestants import CONTESTANTS

        self._library = CONTESTANTS[name].load(threads)
        self._function: Callable[[], object] = lambda: None
        self._calls = 1
        self._warm = True

    def versions(self) -> dict[str, object]:
        """Of the library, and of the BLAS in this process."""
        found: dict[str, object] = dict(self._library.versions())
        try:
            from threadpoolctl import threadpool_info
        except ImportError:
            return found
        pools = threadpool_info()
        found["threadpools"] = [
            {key: pool.get(key) for key in ("internal_api", "version", "architecture", "num_threads")} for pool in pools
        ]
        return found

    def prepare(self, workload: str) -> list[list[object]]:
        """Make the workload and return the results of its first calls."""
        import numpy as np

        from workloads import WORKLOADS

        spec = WORKLOADS[workload]
        self._function = self._library.makers[workload](spec.data())
        answers = []
        for _ in range(spec.checked_calls):
            answer = self._function()
            parts = answer if isinstance(answer, tuple | list) else [answer]
            answers.append([np.array(part, np.float32) for part in parts])
        return answers

    def calibrate(self, seconds: float) -> float:
        """Find out how many calls take about `seconds`; returns the seconds of a call."""
        calls = 1
        while (spent := time_calls(self._function, calls)) < seconds / 4:
            calls *= 4
        self._calls = max(1, round(calls * seconds / spent))
        self._warm = spent / calls < seconds
        return spent / calls

    def turn(self) -> float:
        """Seconds a call: the median of up to ten parts of the turn, so that one interruption does not count.

        One call before makes the contestant's own memory warm again, unless calls are long.
        """
        if self._warm:
            self._function()
        parts = min(PARTS, self._calls)
        calls = self._calls // parts
        gc.disable()
        try:
            return statistics.median(time_calls(self._function, calls) / calls for _ in range(parts))
        finally:
            gc.enable()

    def release(self) -> None:
        """Forget the workload and its memory."""
        self._function = lambda: None
        gc.collect()


class LimitsStation:
    """Measures what the machine can do."""

    def __init__(self, name: str, threads: int) -> None:
        from limits import Limits

        self._limits = Limits(threads)
        self._names: list[str] = []

    def versions(self) -> dict[str, object]:
        return {}

    def prepare(self, names: list[str]) -> None:
        self._names = names

    def turn(self) -> dict[str, float]:
        return {name: self._limits.rate(name) for name in self._names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connection", type=int, required=True)
    parser.add_argument("--contestant", required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    stay_on_processors(arguments.threads)
    connection = Connection(arguments.connection)
    kind = LimitsStation if arguments.contestant == "limits" else ContestantStation
    station: LimitsStation | ContestantStation | None = None
    while True:
        try:
            order, *details = connection.recv()
        except EOFError:  # the parent is gone
            return
        if order == "stop":
            return
        try:
            if station is None:
                station = kind(arguments.contestant, arguments.threads)
            value = getattr(station, order)(*details)
            connection.send(("done", value))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            connection.send(("failed", f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
