"""Which of a target's weights are generated, how many numbers that is, and what the core needs to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._convert import as_dtype
from .._weights import Weight
from ..layers.base import penalties
from ..models.model import Model
from ..models.parameters import ParameterVector

Array = NDArray[Any]


def generated_flags(target: Model, generated: Sequence[str] | str | None) -> list[bool]:
    """A flag for each of the target's weights; ValueError names what there is where a name is unknown."""
    names = target._entry_names()
    if generated is None:
        return [True] * len(names)
    wanted = [generated] if isinstance(generated, str) else list(generated)
    flags = [False] * len(names)
    for item in wanted:
        if not isinstance(item, str):
            raise TypeError(
                f"`generated` takes names of layers or weights; received {item!r} of type {type(item).__name__}."
            )
        found = [i for i, name in enumerate(names) if name == item or name.startswith(item + "/")]
        if not found:
            raise ValueError(
                f"`generated`: the target '{target.name}' has no weights called '{item}'. Its weights are: "
                f"{', '.join(names)}; a layer's name stands for all of its weights."
            )
        for i in found:
            flags[i] = True
    if not any(flags):
        raise ValueError("`generated` is empty: a HyperModel generates at least one weight. Use None for all of them.")
    return flags


def count_params(target: Model, generated: Sequence[str] | str | None = None) -> int:
    """How many weights a generator must give.

    Parameters
    ----------
    target : Model
        The network whose weights are generated.
    generated : list of str, optional
        Names of its layers or weights that are; None: all.

    Returns
    -------
    int
        `output_dim` of the generator.

    Raises
    ------
    ValueError
        A name is unknown.

    Examples
    --------
    >>> import hypernet as hn
    >>> target = hn.target_network(100, 10)
    >>> hn.count_params(target)
    14218
    >>> hn.count_params(target, generated=[target.layers[-1].name])
    1290
    """
    if not isinstance(target, ParameterVector):
        raise TypeError(f"count_params: expected a Model, received {type(target).__name__}.")
    target.count_params()  # says what to do where the target is not built
    flags = generated_flags(target, generated)
    return sum(weight.size for weight, on in zip(target._weights_in_order(), flags, strict=True) if on)


def check_generated(weights: Sequence[Weight], flags: Sequence[bool]) -> list[tuple[float, float]] | None:
    """Penalties (l1, l2) of each entry, None if there are none; generated weights may have no constraints."""
    result = []
    for weight, on in zip(weights, flags, strict=True):
        if on and weight.constraint is not None:
            raise NotImplementedError(
                f"{weight.path}: a constraint on a generated weight is not built; constraints act on weights that are "
                "stored. Remove it, or leave this weight out of `generated`."
            )
        if on and weight.regularizer is not None:
            factors = penalties(weight.regularizer, weight.path)
            result.append((float(factors["l1"]), float(factors["l2"])))  # type: ignore[arg-type]
        else:
            result.append((0.0, 0.0))
    return result if any(pair != (0.0, 0.0) for pair in result) else None


def present_weights(target: Model, flags: Sequence[bool]) -> Array:
    """A copy of the generated entries' present values, one after the other."""
    parts = [w.value.reshape(-1).copy() for w, on in zip(target._weights_in_order(), flags, strict=True) if on]
    return np.concatenate(parts)


def base_vector(base: Any, target: Model, flags: Sequence[bool]) -> Array | None:
    """The fixed part of generated weights: None, the target's present ones, or the given ones."""
    if base is None:
        return None
    if isinstance(base, str):
        if base != "target":
            raise ValueError(f"`base` is None, 'target' or an array of weights. Received: base={base!r}")
        return present_weights(target, flags)
    array = np.array(as_dtype(base, target.dtype, "base")).reshape(-1)
    total = sum(weight.size for weight, on in zip(target._weights_in_order(), flags, strict=True) if on)
    if array.size != total:
        raise ValueError(f"`base` has {array.size:,} values; the generated weights of '{target.name}' are {total:,}.")
    return array
