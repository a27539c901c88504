"""Arrays of PyTorch and JAX in every public call that takes arrays: as the plain array of their numbers, or refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import array_calls
import test_input_matrix as matrix
from odd_arrays import Odd

pytestmark = pytest.mark.conformance


def kinds() -> dict[str, Callable[[Any], Odd]]:
    """By name, what makes of a plain array that of the other library; its numbers are None where it must be refused."""
    import jax.numpy as jnp
    import torch

    def refused(make: Callable[[Any], Any], *words: str) -> Callable[[Any], Odd]:
        return lambda plain: Odd(make(torch.from_numpy(plain.copy())), None, words)

    def taken(make: Callable[[Any], Any]) -> Callable[[Any], Odd]:
        return lambda plain: Odd(make(torch.from_numpy(plain.copy())), plain)

    def spread(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.repeat_interleave(2, dim=-1)[..., ::2]

    def strided(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.movedim(0, -1).contiguous().movedim(-1, 0)

    return {
        "torch.Tensor": taken(lambda tensor: tensor),
        "torch.Tensor, first axis last": taken(strided),
        "torch.Tensor, every second column": taken(spread),
        "torch.Tensor, conj of conj": taken(lambda tensor: tensor.conj()),
        "torch.Tensor, detached": taken(lambda tensor: tensor.detach()),
        "torch.Tensor of gradients": refused(lambda tensor: tensor.float().requires_grad_(), "detach()"),
        "torch.Tensor, bfloat16": refused(lambda tensor: tensor.bfloat16(), "bfloat16"),
        "torch.Tensor, complex": refused(lambda tensor: tensor + 1j, "complex"),
        "torch.Tensor, sparse": refused(lambda tensor: tensor.to_sparse(), "layout"),
        "torch.Tensor without data": refused(lambda tensor: tensor.to("meta"), "meta"),
        "jax.Array": lambda plain: Odd(jnp.asarray(plain), np.asarray(jnp.asarray(plain))),
    }


def test_arrays_of_other_libraries_in_every_call(evidence):
    """The same bits as from a plain array, or an error that says why not and changes nothing."""
    cells, wrong, count = matrix.Cells(), [], 0
    slots = array_calls.slots()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # of arithmetic with nan
        for kind, make in kinds().items():
            for slot in slots:
                odd = make(slot.plain)
                try:
                    cells.check_value(slot, odd, matrix.BOTH if odd.numbers is None else matrix.SAME)
                    count += 1
                except Exception as error:
                    wrong.append(f"{slot.name}, {kind}: {type(error).__name__}: {str(error)[:300]}")
    assert not wrong, f"{len(wrong)} cells are wrong:\n" + "\n".join(wrong[:60])
    evidence("arrays of PyTorch and JAX in every public call", tried=count, required=3000, calls=len(slots))
