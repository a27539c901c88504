"""Types of command line options, for argparse: what they refuse becomes one line that says what is wrong."""

from __future__ import annotations

import argparse
import math


def positive_integer(text: str) -> int:
    """How many of something."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, not {text!r}")
    return value


def positive_number(text: str) -> float:
    """How long something is to take."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text!r}")
    return value
