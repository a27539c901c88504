"""The process's own source of random numbers: seeds for training, draws for initializers and shuffles."""

from __future__ import annotations

import operator
import os
from _thread import allocate_lock  # what `threading.Lock` is, without the rest of it
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_lock = allocate_lock()
_generator: np.random.Generator | None = None
_seedings = 0


def generator() -> np.random.Generator:
    """The generator that everything without a seed of its own draws from."""
    global _generator
    import numpy as np

    with _lock:
        if _generator is None:
            _generator = np.random.default_rng()
        return _generator


def _after_fork() -> None:
    """In the child nobody gives back what another thread of the parent held: our lock, or that of the generator."""
    global _lock, _generator
    _lock = allocate_lock()
    if _generator is not None:
        import numpy as np

        source: Any = np.random.PCG64(0)
        source.state = _generator.bit_generator.state
        _generator = np.random.Generator(source)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def next_seed() -> int:
    """A new seed: a different number each time, the same sequence after `set_random_seed`."""
    source = generator() if _generator is None else _generator  # needs no lock once it is there
    # What `integers(1 << 62)` draws, without its checks.
    return int(source.bit_generator.random_raw()) >> 2


def seedings() -> int:
    """How often `set_random_seed` was called: whoever drew a seed before must draw it anew when this has grown."""
    return _seedings


def seeded(seed: int) -> np.random.Generator:
    """A generator that starts from `seed`, whatever its sign."""
    import numpy as np

    return np.random.default_rng(seed % (1 << 64))


def set_random_seed(seed: int) -> None:
    """Fix every random number of the process: Python's, NumPy's and hypernet's.

    Two runs that start with the same seed give the same bits, for any number of threads. Called within `fit`, by a
    callback, it holds from there on, for the order of rows as for dropout: see `ModelCheckpoint`.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        Not an integer, or out of range.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.utils.set_random_seed(3)
    >>> first = hn.initializers.GlorotUniform()((2, 2))
    >>> hn.utils.set_random_seed(3)
    >>> bool((hn.initializers.GlorotUniform()((2, 2)) == first).all())
    True
    """
    global _generator, _seedings
    import random

    import numpy as np

    number = as_seed(seed)
    if not 0 <= number < 1 << 32:
        raise ValueError(f"Expected `seed` argument to be an integer from 0 to 2**32 - 1. Received: seed={seed}")
    random.seed(number)
    np.random.seed(number)
    with _lock:
        _generator = np.random.default_rng(number)
        _seedings += 1


def as_seed(seed: Any) -> int:
    """An integer seed (ValueError if it is none)."""
    try:
        return operator.index(seed)
    except TypeError:
        raise ValueError(
            f"Expected `seed` argument to be an integer. Received: seed={seed} (of type {type(seed)})"
        ) from None
