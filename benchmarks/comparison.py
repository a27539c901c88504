"""hypernet and its peers on one workload after the other, with one number of threads."""

from __future__ import annotations

from typing import Any

import report
from contestants import CONTESTANTS
from limits import level_of
from turns import SETTLING_SECONDS, FailedError, Worker, check_agreement, check_progress, take_turns
from workloads import WORKLOADS, Workload

HYPERNET, LIMITS = "hypernet", "limits"


class Comparison:
    """All workloads with one number of threads; without rounds they are checked only."""

    def __init__(self, threads: int, peers: list[str], rounds: int, seconds: float) -> None:
        self.threads, self.rounds, self.seconds = threads, rounds, seconds
        self.left_out: dict[str, str] = {}
        self.versions: dict[str, Any] = {}
        self._workers: dict[str, Worker] = {}
        try:
            for name in [HYPERNET, *peers, *([LIMITS] if rounds else [])]:
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

    def check(self, name: str) -> dict[str, float]:
        """How far each peer's results are from hypernet's; nothing is timed."""
        spec = WORKLOADS[name]
        ours = self._prepare_hypernet(spec)
        differences: dict[str, float] = {}
        for who in self._peers(name):
            try:
                self._prepare(spec, who, ours, differences)
            except FailedError as error:
                self._leave_out(f"{who} in {name}", error)
            else:
                self._workers[who].order("release")
        self._workers[HYPERNET].order("release")
        return differences

    def workload(self, name: str) -> dict[str, Any]:
        """Check and time one workload."""
        spec = WORKLOADS[name]
        ours = self._prepare_hypernet(spec)
        self._workers[HYPERNET].order("calibrate", self.seconds)
        peers = self._peers(name)
        differences: dict[str, float] = {}
        meetings = [
            self._meet(spec, group, ours, differences)
            for group in ([[peer] for peer in peers] if spec.in_pairs and peers else [peers])
        ]
        self._workers[HYPERNET].order("release")
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

    def _peers(self, name: str) -> list[str]:
        present = [who for who in self._workers if who in CONTESTANTS and who != HYPERNET]
        return [who for who in present if name in CONTESTANTS[who].workloads]

    def _prepare_hypernet(self, spec: Workload) -> list[Any]:
        ours = self._workers[HYPERNET].order("prepare", spec.name)
        check_progress(spec.name, ours, spec.tolerance)
        return ours

    def _meet(self, spec: Workload, peers: list[str], ours: list[Any], differences: dict[str, float]) -> dict[str, Any]:
        """hypernet and some peers take turns, after they were found to agree."""
        timed = [self._workers[HYPERNET]]
        for who in peers:
            try:
                self._prepare(spec, who, ours, differences)
                if who in spec.only_checks:
                    self._workers[who].order("release")
                else:
                    self._workers[who].order("calibrate", self.seconds)
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

    def _prepare(self, spec: Workload, who: str, ours: list[Any], differences: dict[str, float]) -> None:
        """Have a peer make the workload, and compare what it computes with hypernet's."""
        theirs = self._workers[who].order("prepare", spec.name)
        tolerance = spec.variants[who].tolerance if who in spec.variants else spec.tolerance
        differences[who] = check_agreement(spec.name, ours, theirs, tolerance, who)

    def _demanded(self, spec: Workload) -> list[str]:
        """Names of the limits that this workload needs."""
        phases = [*spec.phases, *(phase for variant in spec.variants.values() for phase in variant.phases)]
        return sorted({name for phase in phases for name in phase.demands(self._level)})

    def _level(self, size: float) -> str:
        return level_of(size, self.threads)
