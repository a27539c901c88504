"""The command `python -m hypernet`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from .._machine import get_num_threads, set_num_threads, show_config
from .models import contenders
from .training import FULL, QUICK, Settings

_NEEDED = {"sklearn": "scikit-learn", "scipy": "scipy", "matplotlib": "matplotlib"}

FULL_SEEDS = 5
_DESCRIPTION = """\
Train a hypernetwork whose condition is the cosine and sine of an angle, and whose target, a 64-32-10 network, classifies
handwritten digits turned by that angle. Compare it with ordinary networks on the same images: (a) of the target's size
without the angle, (b) the same trained upright only, (c) of the target's size with the angle as inputs, (d) like (c) with
as many weights as the whole hypernetwork. Each contender's learning rate is chosen on validation images, and each is
trained until its accuracy there no longer rises. Print tables, write a PNG of accuracy against angle and the model, load
that again, specialise it to one angle and classify with it."""


def positive_integer(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def seed_number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {number}")
    return number


def list_of_rates(text: str) -> tuple[float, ...]:
    rates = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    if not all(0 < rate < math.inf for rate in rates):
        raise argparse.ArgumentTypeError(f"must be positive numbers, not {text}")
    return rates


def angle_in_degrees(text: str) -> float:
    angle = float(text)
    if not math.isfinite(angle):
        raise argparse.ArgumentTypeError(f"must be finite, not {text}")
    return angle


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser("python -m hypernet", description=_DESCRIPTION)
    add = parser.add_argument
    add("command", nargs="?", choices=["demo", "info"], default="demo", help="demo (default): the comparison; "
        "info: print version, instruction set and threads")  # fmt: skip
    add("--full", action="store_true", help=f"{FULL_SEEDS} seeds, mean and spread; more learning rates, more patience")
    add("--seed", type=seed_number, default=0, metavar="N", help="the first seed: split, weights, order (default 0)")
    add("--seeds", type=positive_integer, metavar="N", help=f"how many seeds (default 1; with --full {FULL_SEEDS})")
    add(
        "--angle",
        type=angle_in_degrees,
        default=97.5,
        metavar="DEGREES",
        help="the angle to specialise to (default 97.5)",
    )
    add("--output", type=Path, default=Path("hypernet-demo"), metavar="FOLDER", help="where to write the picture and "
        "the models (default hypernet-demo)")  # fmt: skip
    add("--threads", type=positive_integer, metavar="N", help="threads (default: what the machine offers)")
    add("--rates", type=list_of_rates, metavar="R,R,...", help="learning rates to try (default "
        f"{_listed(QUICK.rates)}; with --full {_listed(FULL.rates)})")  # fmt: skip
    add("--epochs", type=positive_integer, metavar="N", help=f"epochs at most (default {QUICK.epochs})")
    add("--images", type=positive_integer, metavar="N", help="train on so many images only (default: all 1,197)")
    add("--version", action="version", version=f"hypernet {__version__}")
    return parser


def _listed(rates: Sequence[float]) -> str:
    return ",".join(f"{rate:g}" for rate in rates)


def _named(seeds: range) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What comes after `python -m hypernet`; by default that of this process.

    Returns
    -------
    int
        0, or 1 after an error that was printed, or 130 after an interrupt.
    """
    options = make_parser().parse_args(arguments)
    if options.threads is not None:
        set_num_threads(options.threads)
    if options.command == "info":
        show_config()
        return 0
    missing = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(
            f"The demonstration needs {' and '.join(missing)}; install with: python -m pip install '.[demo]'",
            file=sys.stderr,
        )
        return 1
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        _demonstrate(options)
    except OSError as error:
        print(f"Cannot write or read: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    given = {name: getattr(options, name) for name in ("rates", "epochs", "images")}
    chosen = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(FULL if options.full else QUICK, **chosen)


def _demonstrate(options: argparse.Namespace) -> None:
    from . import comparison, deployment, plot, progress, tables

    began = time.perf_counter()
    settings = _settings(options)
    seeds = range(options.seed, options.seed + (options.seeds or (FULL_SEEDS if options.full else 1)))
    console = tables.make_console()
    console.print(
        f"Handwritten digits turned by an angle. This run: {_named(seeds)}, learning rates "
        f"{_listed(settings.rates)}, plateau after {3 * settings.patience} epochs without a better validation accuracy, "
        f"threads: {get_num_threads()}."
    )
    if not options.full:
        console.print(
            f"(--full: {FULL_SEEDS} seeds, learning rates {_listed(FULL.rates)}, plateau after {3 * FULL.patience} epochs.)"
        )
    trainings = progress.Trainings(len(seeds) * len(contenders()) * len(settings.rates))
    try:
        runs = [comparison.compare(seed, settings, trainings) for seed in seeds]
    finally:
        trainings.close()
    first = runs[0]
    hyper = first.score("hypernetwork").trained.model
    console.print(tables.training_table(runs, settings))
    console.print(tables.accuracy_table(runs))
    for line in tables.verdicts(runs):
        console.print(line, soft_wrap=True)
    console.print(tables.cost_table(first, deployment.costs(first, options.angle)))
    deployed = deployment.deploy(hyper, first.digits.test, options.angle, options.output)
    switching = deployment.switching_cost(hyper, options.angle)
    for line in tables.deployment_lines(deployed, hyper.count_params(), switching):
        console.print(line, soft_wrap=True)
    picture = options.output / "accuracy.png"
    plot.draw(runs, picture)
    console.print(f"Picture: {picture}. All of it took {time.perf_counter() - began:.0f} s.", soft_wrap=True)
