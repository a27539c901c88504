"""Models as functions of their weights: theta comes in, nothing is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core, _nest
from ._convert import as_dtype
from ._pullback import FunctionalGradients, Pullback, call_seed
from .hyper.model import HyperModel
from .hyper.modes import Meeting, meet, meet_quickly
from .models.data import Leaf, match_structure, pack_outputs
from .models.model import Model

Array = NDArray[Any]


def functional_call(
    model: Model | HyperModel,
    theta: Any,
    x: Any,
    training: bool = False,
    seed: int | None = None,
    out: Any = None,
) -> Any:
    """Outputs of a model with the weights `theta` instead of its own.

    Parameters
    ----------
    model : Model or HyperModel
        What to compute; its own weights play no part.
    theta : array (P,) or (N, P)
        One vector of weights, in the order of `params`, or one for each of N networks. Not copied where it is an
        aligned array of the model's dtype.
    x : array, or nested arrays
        (M, D), (N, D), (N, M, D) or (1, M, D), as a HyperModel's x meets its conditions.
    training : bool
        True: dropout acts.
    seed : int, optional
        For dropout.
    out : array, or nested arrays, optional
        Where to write.

    Returns
    -------
    array, or nested arrays
        (M, *o), (N, *o) or (N, M, *o).

    Raises
    ------
    ValueError
        The shapes fit no mode; says both and the four choices.

    Examples
    --------
    >>> import hypernet as hn
    >>> target = hn.target_network(3, 2)
    >>> theta = hn.zeros((5, target.count_params()))
    >>> hn.functional_call(target, theta, hn.ones((5, 3))).tolist()[0]
    [0.5, 0.5]
    """
    number = _checked_seed("functional_call", model, training, seed)
    if isinstance(model, HyperModel):
        outputs, _ = _hyper_forward(model, theta, x, training, number, _flat_out(model.target, out))
    else:
        meeting, core = _prepare(model, theta, x)
        written = _flat_out(model, out)
        outputs = core.predict(meeting.conditions, meeting.inputs, meeting.mode, written, training, number, 0)
    return model._pack_outputs(outputs) if out is None else out


def _checked_seed(caller: str, model: Any, training: bool, seed: int | None) -> int:
    if not isinstance(model, (Model, HyperModel)):
        raise TypeError(f"{caller}: expected a Model or a HyperModel, received {type(model).__name__}.")
    return call_seed(training, seed)


def _flat_out(model: Model, out: Any) -> tuple[Array, ...] | None:
    """One array for each output of the model, to write to."""
    if out is None:
        return None
    return tuple(match_structure(model._known("outputs").output_structure, model.output_names, out, "out"))


def functional_vjp(
    model: Model | HyperModel, theta: Any, x: Any, training: bool = False, seed: int | None = None
) -> tuple[Any, Pullback[FunctionalGradients]]:
    """Outputs as of `functional_call`, and a function from their gradients to those of theta and inputs.

    Parameters
    ----------
    model, theta, x, training, seed
        As for `functional_call`.

    Returns
    -------
    y : array, or nested arrays
        The outputs.
    pullback : callable
        `pullback(dy)` has `.theta` (in theta's shape) and `.inputs` (nested as x; None for ids). It may be called again.
        It reads theta and x where they are used in place, so they must keep their values until then.

    Examples
    --------
    >>> import hypernet as hn
    >>> target = hn.target_network(3, 2)
    >>> y, pullback = hn.functional_vjp(target, hn.zeros(target.count_params()), hn.ones((4, 3)))
    >>> pullback(hn.ones((4, 2))).theta.shape == (target.count_params(),)
    True
    """
    number = _checked_seed("functional_vjp", model, training, seed)
    if isinstance(model, HyperModel):
        outputs, run = _hyper_forward(model, theta, x, training, number, None)
        structure = model.target._known("outputs").output_structure
        return model._pack_outputs(outputs), Pullback(outputs, structure, model.output_names, run, _never_stale)
    meeting, core = _prepare(model, theta, x)
    outputs = core.predict(meeting.conditions, meeting.inputs, meeting.mode, None, training, number, 0)
    input_structure = model._known("inputs").input_structure

    def run_model(output_gradients: tuple[Array, ...]) -> FunctionalGradients:
        found, inputs, _ = core.gradients(
            meeting.conditions, meeting.inputs, output_gradients, meeting.mode, True, True, False, training, number, 0
        )
        assert found is not None and found[0] is not None and inputs is not None
        return FunctionalGradients(found[0].reshape(meeting.given[0]), pack_outputs(input_structure, inputs))

    structure = model._known("outputs").output_structure
    return model._pack_outputs(outputs), Pullback(outputs, structure, model.output_names, run_model, _never_stale)


def _never_stale() -> None:
    """A function of theta has no store that could change."""


def _compile(model: Model) -> tuple[_core.Hyper, tuple[Leaf]]:
    """The pipeline of a model without weights of its own, and what theta must be; kept with the model."""
    graph = model._graph
    if graph is None:
        raise ValueError(f"Model '{model.name}' is not built yet: begin it with an `Input` layer.")
    if graph.parameter_count == 0:
        raise ValueError(f"Model '{model.name}' has no weights, so it is no function of theta; call it as it is.")
    offsets = [entry[-1] for entry in graph.entries()]
    core = _core.Hyper(None, _core.Network(graph, None, offsets), [True] * len(offsets), None, None)
    model._functional = core, (Leaf("theta", (graph.parameter_count,), model.dtype),)
    return model._functional


def _prepare(model: Model, theta: Any, x: Any) -> tuple[Meeting, _core.Hyper]:
    core, leaves = model._functional or _compile(model)
    found = meet_quickly(theta, x, leaves, model._leaves)
    if found is None:
        inputs = match_structure(model._known("inputs").input_structure, model.input_names, x, model.name)
        found = meet([theta], inputs, leaves, model._leaves, model.name, "theta")
    return found, core


# ---- a HyperModel as a function of its weights ----
Run = Callable[[tuple[Array, ...]], FunctionalGradients]


def _hyper_forward(
    model: HyperModel, theta: Any, x: Any, training: bool, seed: int, out: tuple[Array, ...] | None
) -> tuple[tuple[Array, ...], Run]:
    vector = as_dtype(theta, model.dtype, "theta")
    size = model._gradient_size
    if vector.ndim not in (1, 2) or vector.shape[-1] != size:
        raise ValueError(
            f"functional_call: theta of '{model.name}' has the shape ({size},) or (N, {size}); received {vector.shape}."
        )
    if vector.ndim == 1 or vector.shape[0] == 1:
        outputs, run = _one_hyper(model, vector.reshape(-1), x, training, seed, out)

        def run_one(output_gradients: tuple[Array, ...]) -> FunctionalGradients:
            gradients = run(output_gradients)
            return FunctionalGradients(gradients.theta.reshape(vector.shape), gradients.inputs)

        return outputs, run_one
    return _many_hypers(model, vector, x, training, seed, out)


def _one_hyper(
    model: HyperModel, theta: Array, x: Any, training: bool, seed: int, out: tuple[Array, ...] | None
) -> tuple[tuple[Array, ...], Run]:
    """The pipeline with theta in place of what the stores hold."""
    meeting = model._meet(x)
    core = model._bound()
    outputs = core.predict(meeting.conditions, meeting.inputs, meeting.mode, out, training, seed, 0, theta)
    structures = model._structures()

    def run(output_gradients: tuple[Array, ...]) -> FunctionalGradients:
        found, inputs, params = core.gradients(
            meeting.conditions,
            meeting.inputs,
            output_gradients,
            meeting.mode,
            True,
            True,
            True,
            training,
            seed,
            0,
            theta,
        )
        assert found is not None and inputs is not None and params is not None
        shaped = [None if g is None else g.reshape(shape) for g, shape in zip(found, meeting.given, strict=True)]
        return FunctionalGradients(params, [pack_outputs(structures[0], shaped), pack_outputs(structures[1], inputs)])

    return outputs, run


def _check_outs(outs: tuple[Any, ...], read: list[Array]) -> None:
    """Arrays that are written one part after the other may not overlap what is read later."""
    for out in outs:
        if not isinstance(out, np.ndarray) or out.shape[:1] != read[0].shape[:1]:
            raise ValueError(f"`out` must be an array with a leading axis of {read[0].shape[0]}.")
        if any(np.shares_memory(out, array) for array in read):
            raise ValueError("`out` overlaps the memory of an input.")


def _many_hypers(
    model: HyperModel, thetas: Array, x: Any, training: bool, seed: int, out: tuple[Array, ...] | None
) -> tuple[tuple[Array, ...], Run]:
    """N hypernetworks, one after the other: cond and x have a leading axis of N each."""
    structure = list(model._structures())
    names = model.input_names
    leaves = [np.asarray(leaf) for leaf in match_structure(structure, names, x, model.name)]
    for leaf in leaves:
        if leaf.ndim == 0 or leaf.shape[0] != thetas.shape[0]:
            raise ValueError(
                f"functional_call: with {thetas.shape[0]} vectors theta for '{model.name}', every array of x has a "
                f"leading axis of {thetas.shape[0]}; received shapes {[leaf.shape for leaf in leaves]}."
            )
    _check_outs(out or (), [thetas, *leaves])
    runs: list[Run] = []
    results: list[tuple[Array, ...]] = []
    single = leaves[-1].ndim == len(model.target.inputs[-1].shape)  # one row for each: (N, D)
    inputs_from = len(model.generator.inputs)
    for n in range(thetas.shape[0]):
        parts = [leaf[n][np.newaxis] if single and i >= inputs_from else leaf[n] for i, leaf in enumerate(leaves)]
        written = None if out is None else tuple(array[n : n + 1] if single else array[n] for array in out)
        outputs, run = _one_hyper(model, thetas[n], _nest.pack(structure, parts), training, seed, written)
        results.append(tuple(output[0] for output in outputs) if single else outputs)
        runs.append(run)
    stacked = out if out is not None else tuple(np.stack(parts) for parts in zip(*results, strict=True))

    def run_all(output_gradients: tuple[Array, ...]) -> FunctionalGradients:
        found = []
        for n, run in enumerate(runs):
            gradients = tuple(g[n][np.newaxis] if single else g[n] for g in output_gradients)
            found.append(run(gradients))
        flat = [_nest.flatten(gradient.inputs) for gradient in found]
        inputs: list[Any] = []
        for i, parts in enumerate(zip(*flat, strict=True)):
            if parts[0] is None:
                inputs.append(None)
            else:
                inputs.append(np.stack([part.reshape(leaves[i].shape[1:]) for part in parts]))
        return FunctionalGradients(np.stack([gradient.theta for gradient in found]), _nest.pack(structure, inputs))

    return stacked, run_all
