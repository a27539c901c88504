"""From the times of all rounds to figures, and a table of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from workloads import Goal, Phase

LevelOf = Callable[[float], str]
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
# What stands in the table: the heading, its width, and whether it is text.
COLUMNS = (
    ("workload", 18, True),
    ("threads", 7, False),
    ("hypernet", 9, False),
    ("limit", 9, False),
    ("of limit", 8, False),
    ("goal", 9, False),
    ("best peer", 17, True),
    ("its time", 9, False),
    ("ratio", 7, False),
    ("goal", 6, False),
    ("reached", 7, False),
)


def limit_seconds(phases: Sequence[Phase], level_of: LevelOf, rates: dict[str, float]) -> float:
    """What the work lasts at least: phase after phase, each as long as what takes longest in it."""
    return sum(max(amount / rates[name] for name, amount in phase.demands(level_of).items()) for phase in phases)


def limits_of_rounds(phases: Sequence[Phase], level_of: LevelOf, rates: dict[str, list[float]]) -> list[float]:
    """The limit as the machine was in each round; empty where the work has none, or it was not measured."""
    if not phases or not rates:
        return []
    rounds = [dict(zip(rates, values, strict=True)) for values in zip(*rates.values(), strict=True)]
    return [limit_seconds(phases, level_of, values) for values in rounds]


def median_of_ratios(over: Iterable[float], under: Iterable[float]) -> float:
    """Of neighbouring turns."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def figures(
    who: str,
    rivals: Sequence[str],
    meetings: list[dict[str, Any]],
    phases: Sequence[Phase],
    level_of: LevelOf,
    goal: Goal,
) -> dict[str, Any]:
    """What the times of one workload say of `who`.

    Parameters
    ----------
    who : str
        The contestant whose goal it is.
    rivals : sequence of str
        With whom it is compared.
    meetings : list of dict
        Each with `times`, contestant -> seconds a call in every round, and `rates`, limit -> rate in every round. Where
        a workload is too large for all contestants at once, there are several meetings.
    phases, level_of
        From which the limit follows.
    goal : Goal
        What is asked.
    """
    present = [meeting for meeting in meetings if who in meeting["times"]]
    own = [time for meeting in present for time in meeting["times"][who]]
    limits = [limit for meeting in present for limit in limits_of_rounds(phases, level_of, meeting["rates"])]
    peers = {
        rival: {
            "seconds": statistics.median(meeting["times"][rival]),
            "ratio": median_of_ratios(meeting["times"][rival], meeting["times"][who]),
        }
        for meeting in present
        for rival in rivals
        if rival in meeting["times"]
    }
    best = min(peers, key=lambda peer: peers[peer]["ratio"], default=None)
    found: dict[str, Any] = {
        "seconds": statistics.median(own),
        "limit_seconds": statistics.median(limits) if limits else None,
        "fraction_of_limit": median_of_ratios(limits, own) if limits else None,
        "peers": peers,
        "best_peer": best,
        "ratio": peers[best]["ratio"] if best else None,
        "goal": {
            "ratio": goal.ratio,
            "fraction_of_limit": goal.fraction,
            "seconds": goal.seconds,
            "against": goal.against,
        },
    }
    found["reached"] = reached(found)
    return found


def reached(found: dict[str, Any]) -> bool | None:
    """Whether every part of the goal is reached; None if those that were measured are, but not all were."""
    goal = found["goal"]
    parts = [at_least(found["ratio"], 1 if goal["against"] else goal["ratio"])]
    if goal["against"] is not None:
        parts.append(at_least(found["peers"].get(goal["against"], {}).get("ratio"), goal["ratio"]))
    if goal["fraction_of_limit"] is not None:
        parts.append(at_least(found["fraction_of_limit"], goal["fraction_of_limit"]))
    if goal["seconds"] is not None:
        parts.append(found["seconds"] <= goal["seconds"])
    if False in parts:
        return False
    return None if None in parts else True


def at_least(measured: float | None, asked: float) -> bool | None:
    return None if measured is None else measured >= asked


def in_words(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    scale, unit = next((known for known in UNITS if seconds >= known[0]), UNITS[-1])
    amount = seconds / scale
    return f"{amount:.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"


def percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.0f} %"


def cells(name: str, threads: int, found: dict[str, Any]) -> list[str]:
    """One row of the table."""
    goal, best = found["goal"], found["best_peer"]
    asked = percent(goal["fraction_of_limit"])
    if goal["seconds"] is not None:
        asked = f"<= {in_words(goal['seconds'])}"
    return [
        name,
        str(threads),
        in_words(found["seconds"]),
        in_words(found["limit_seconds"]),
        percent(found["fraction_of_limit"]),
        asked,
        best or "-",
        in_words(found["peers"][best]["seconds"]) if best else "-",
        f"{found['ratio']:.2f}" if best else "-",
        f"{goal['ratio']:g}",
        {True: "yes", False: "no", None: "-"}[found["reached"]],
    ]


def line(row: Sequence[str]) -> str:
    padded = [
        cell.ljust(width) if is_text else cell.rjust(width)
        for cell, (_, width, is_text) in zip(row, COLUMNS, strict=True)
    ]
    return "  ".join(padded).rstrip()


def heading() -> str:
    return line([name for name, _, _ in COLUMNS])


def other_peers(found: dict[str, Any]) -> str:
    """All but the best, the faster ones first; and against whom the goal is, where that is not the best."""
    peers = found["peers"]
    rest = sorted((peer for peer in peers if peer != found["best_peer"]), key=lambda peer: peers[peer]["ratio"])
    words = [f"{peer} {in_words(peers[peer]['seconds'])} ({peers[peer]['ratio']:.2f})" for peer in rest]
    against = found["goal"]["against"]
    return ", ".join(words) + (f"; the goal is against {against}" if against in rest else "")


def rates_in_words(rates: dict[str, float]) -> str:
    """Limits in GF/s and GB/s."""
    unit = {True: "GF/s", False: "GB/s"}
    return ", ".join(f"{name.replace('_', ' ')} {rate / 1e9:.1f} {unit[name == 'fma']}" for name, rate in rates.items())
