"""Contestants in processes of their own, which take turns (A B A B ...).

A machine that drifts drifts for all of them; imports and idle threads of one do not disturb another, for who is not at
work waits for a message, asleep.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from machine import environment

# Threads of OpenBLAS go on spinning for some 30 ms after their last work: they would take a core from who comes next.
SETTLING_SECONDS = 0.06
WORKER = Path(__file__).with_name("worker.py")


class FailedError(RuntimeError):
    """A contestant could not do what it was asked."""


class DisagreementError(RuntimeError):
    """Two contestants computed different things: no time of theirs means anything."""


class Worker:
    """A process that does one contestant's work."""

    def __init__(self, contestant: str, threads: int) -> None:
        self.contestant = contestant
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._connection, theirs = multiprocessing.Pipe()
        command = [sys.executable, str(WORKER), "--contestant", contestant, "--threads", str(threads)]
        self._process = subprocess.Popen(
            [*command, "--connection", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment(threads),
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )
        theirs.close()

    def order(self, *order: Any) -> Any:
        """Have something done and wait for the answer."""
        try:
            self._connection.send(order)
            outcome, value = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise FailedError(f"the process ended with {self._process.wait()}: {self._last_words()}") from error
        if outcome != "done":
            raise FailedError(value)
        return value

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-300:].decode(errors="replace").strip()

    def close(self) -> None:
        if self._process.poll() is None:
            try:
                self._connection.send(("stop",))
                self._process.wait(10)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
        self._connection.close()
        self._log.close()


def difference(ours: list[list[Any]], theirs: list[list[Any]]) -> float:
    """The largest difference of two contestants' results, against the largest number of each array."""
    worst = 0.0
    for our_call, their_call in zip(ours, theirs, strict=True):
        for a, b in zip(our_call, their_call, strict=True):
            if a.shape != b.shape and a.size != b.size:
                return float("inf")
            a, b = a.ravel(), b.ravel()
            if not (np.isfinite(a).all() and np.isfinite(b).all()):
                return float("inf")
            size = max(float(np.abs(b).max(initial=0)), 1e-30)
            worst = max(worst, float(np.abs(a - b).max(initial=0)) / size)
    return worst


def check_agreement(
    workload: str, ours: list[list[Any]], theirs: list[list[Any]], tolerance: float, peer: str
) -> float:
    found = difference(ours, theirs)
    if not found <= tolerance:
        raise DisagreementError(f"{workload}: hypernet and {peer} disagree by {found:.2e}, more than {tolerance:.1e}")
    return found


def check_progress(workload: str, answers: list[list[Any]], tolerance: float) -> None:
    """A check of training steps sees a wrong update only if the loss moves by far more than the tolerance."""
    if len(answers) > 1:
        moved = difference(answers[:1], answers[-1:])
        if not moved > 10 * tolerance:
            raise DisagreementError(
                f"{workload}: the loss moved by {moved:.1e} only: the check would see no wrong step"
            )


def take_turns(
    workers: list[Worker], limits: Worker | None, rounds: int, settling: float
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds a call of each contestant in each round, and the machine's limits in each round."""
    times: dict[str, list[float]] = {worker.contestant: [] for worker in workers}
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for worker in workers:
            time.sleep(settling)
            times[worker.contestant].append(worker.order("turn"))
        if limits is not None:
            time.sleep(settling)
            for name, rate in limits.order("turn").items():
                rates.setdefault(name, []).append(rate)
    return times, rates
