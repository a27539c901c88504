"""What the machine offers, and how much of it is used."""

from __future__ import annotations

import operator

from . import _core


def get_num_threads() -> int:
    """How many threads a call may use.

    By default what affinity and cgroup quota allow; HYPERNET_NUM_THREADS, then OMP_NUM_THREADS, override it.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


def set_num_threads(threads: int) -> None:
    """Set how many threads a call may use; results have the same bits for any number.

    Raises
    ------
    ValueError
        Less than one.

    Examples
    --------
    >>> import hypernet as hn
    >>> before = hn.get_num_threads()
    >>> hn.set_num_threads(1)
    >>> hn.get_num_threads()
    1
    >>> hn.set_num_threads(before)
    """
    count = operator.index(threads)
    if count < 1:
        raise ValueError(f"The number of threads must be at least 1. Received: threads={threads}")
    _core.set_num_threads(count)


def show_config() -> None:
    """Print the version, the instruction sets (the one in use first) and the number of threads.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.show_config()
    hypernet ...
    instruction set: ...
    threads: ...
    """
    others = [isa for isa in _core.available_isas() if isa != _core.isa()]
    print(f"hypernet {_core.__version__}")
    print(f"instruction set: {_core.isa()}" + (f" (also available: {', '.join(others)})" if others else ""))
    print(f"threads: {_core.get_num_threads()}")
