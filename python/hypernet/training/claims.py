"""Which thread is in `fit`, `evaluate`, ... of which model: running means and metrics serve one thread at a time.

There is no lock that one could wait for, or keep: who comes second is told so at once.
"""

from __future__ import annotations

import functools
import os
from _thread import get_ident  # what `threading.get_ident` is, without the rest of it
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


# A thread, the model that it uses, the method that it is in, and whether `compile` is refused meanwhile in this thread,
# too. A plain tuple, since each training step makes one.
Claim = tuple[int, Any, str, bool]

# By identity, in the order in which they were made known. Each operation is one call into C, so that it needs no lock.
claims: dict[int, Claim] = {}


def claim_of(model: Any, method: str) -> Claim:
    """A claim, which `stake` makes known. It ends, staked or not, with `claims.pop(key, None)` in a `finally`, where the
    key is the claim's id, known before: one call into C, and none before it, after which Ctrl-C would come between."""
    return get_ident(), model, method, True


def stake(claim: Claim) -> None:
    """Make a claim known; RuntimeError if another thread has an earlier one to the same state."""
    claims[id(claim)] = claim
    if len(claims) > 1:
        _meet_others(claim)


def _meet_others(mine: Claim) -> None:
    for other in claims.copy().values():
        if other is mine:
            return
        if other[0] != mine[0]:
            _refuse(mine, other)


def _refuse(mine: Claim, other: Claim) -> None:
    """RuntimeError if the two are to the same state."""
    (_, model, method, _), (_, other_model, other_method, _) = mine, other
    if other_model is model:
        what = "its running means, metrics and optimizer serve"
    else:
        shared = next((m for m in model._metric_objects if any(m is o for o in other_model._metric_objects)), None)
        if shared is None:
            return
        what = f"it has the metric object '{shared.name}' of '{model.name}', too, which serves"
    raise RuntimeError(
        f"{method}: another thread is in `{other_method}` of '{other_model.name}', and {what} one thread at a time. "
        f"Call `{method}` when `{other_method}` has returned, or give each thread a model of its own, made by "
        "`copy.deepcopy(model)`. `predict`, calls of the model, `vjp` and `loss_and_grad` may go on in any number of "
        "threads."
    )


def _after_fork() -> None:
    """In the child there are no other threads, and nobody gives back what they held."""
    here = get_ident()
    for key, claim in list(claims.items()):
        if claim[0] != here:
            del claims[key]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def exclusive(
    method: Callable[Concatenate[Any, Arguments], Result],
) -> Callable[Concatenate[Any, Arguments], Result]:
    """A method of a Trainer that only one thread at a time may be in; in that thread it may be called again."""
    name = method.__name__

    @functools.wraps(method)
    def guarded(self: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        claim = get_ident(), self, name, False
        key = id(claim)
        try:
            claims[key] = claim  # `stake`, without a call
            if len(claims) > 1:
                _meet_others(claim)
            return method(self, *args, **kwargs)
        finally:
            claims.pop(key, None)

    return guarded
