"""What the core refuses when it is called wrongly, whoever calls it: the Python layer checks most of it before."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypernet import _core

OFF = float("inf")
MSE = ("mean_squared_error", "probabilities", 0.0, 1.0)
ONE, TWO = np.ones((2, 3), np.float32), np.ones((2, 2), np.float32)


def offsets_of(graph: _core.Graph) -> list[int]:
    return [entry[-1] for entry in graph.entries()]


def graph(inputs: int = 3, outputs: int = 2, dtype: str = "float32") -> _core.Graph:
    made = _core.Graph(dtype)
    x = made.input("x", (inputs,), dtype)
    made.output(made.add("dense", "out", {"units": outputs}, [x]))
    return made


def network(inputs: int = 3, outputs: int = 2) -> _core.Network:
    made = graph(inputs, outputs)
    return _core.Network(made, _core.Store(made.parameter_count, "float32"), offsets_of(made))


def ids_output() -> _core.Network:
    made = _core.Graph("float32")
    made.output(made.input("ids", (2,), "int64"))
    return _core.Network(made, None, [])


def no_inputs() -> _core.Network:
    made = _core.Graph("float32")
    made.input("x", (3,), "float32")
    return _core.Network(made, None, [])


def hyper(penalties: Any = None, head: Any = None, generator: Any = None) -> _core.Hyper:
    return _core.Hyper(generator or network(4, 8), target_of_none(), [True, True], None, penalties, head)


def target_of_none() -> _core.Network:
    made = graph()
    return _core.Network(made, None, offsets_of(made))


def functional() -> _core.Hyper:
    return _core.Hyper(None, target_of_none(), [True, True], None, None)


def open_graph() -> _core.Graph:
    """Of rows of two numbers, four numbers together."""
    made = _core.Graph("float32")
    x = made.input("x", (-1, 2), "float32")
    made.output(made.add("dense", "out", {"units": 2}, [made.add("reshape", "flat", {"target": (4,)}, [x])]))
    return made


def open_hyper() -> _core.Hyper:
    target = open_graph()
    return _core.Hyper(
        network(4, target.parameter_count),
        _core.Network(target, None, offsets_of(target)),
        [True, True],
        None,
        None,
    )


def two_inputs() -> _core.Hyper:
    made = _core.Graph("float32")
    x = [made.input(name, (3,), "float32") for name in ("x", "y")]
    made.output(made.add("dense", "out", {"units": 2}, [made.add("add", "sum", {}, x)]))
    return _core.Hyper(network(4, 8), _core.Network(made, None, offsets_of(made)), [True, True], None, None)


def adam(count: int = 8) -> _core.Optimizer:
    return _core.Optimizer("adam", (0.9, 0.999, 1e-7, 0.0), 0.0, OFF, OFF, OFF, [(0, 0, count, True, True)], "float32")


def batches(**changed: Any) -> Any:
    given = {
        "step": lambda *arguments: (1.0, None), "groups": ((ONE,),), "whole": -1, "count": 2, "order": None,
        "batch": 1, "steps": 2, "before": (), "call": 0, "after": (), "rates": None, "keep": False, "seconds": OFF,
    }  # fmt: skip
    return _core.run_batches(*(given | changed).values())


def set_step_deleted() -> None:
    optimizer = adam()
    del optimizer.step


COND = np.ones((2, 4), np.float32)
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    # ops
    "attributes that are no dict": (lambda: _core.describe_op("add", 3, [(1,)], ["float32"], "float32"), TypeError, "dict"),
    "an attribute that is too long": (
        lambda: _core.describe_op("activation", {"activation": "a" * 40}, [(1,)], ["float32"], "float32"),
        ValueError, "too long",
    ),
    "too many attributes": (
        lambda: _core.describe_op("add", {str(i): i for i in range(40)}, [(1,)], ["float32"], "float32"),
        ValueError, "at most",
    ),
    "shapes without dtypes": (lambda: _core.describe_op("add", {}, [(1,), (1,)], ["float32"], "float32"), ValueError, "dtype"),
    "an op that is not there": (lambda: _core.describe_op("fold", {}, [(1,)], ["float32"], "float32"), ValueError, "no op"),
    "an unknown activation": (
        lambda: _core.describe_op("dense", {"units": 1, "activation": "odd"}, [(1,)], ["float32"], "float32"),
        ValueError, "unknown activation \"odd\"; there are ",
    ),
    # graphs and networks
    "too many inputs of an op": (lambda: graph().add("add", "sum", {}, [0] * 100), ValueError, "at most"),
    "a tensor that is not there": (lambda: graph().tensor(9), IndexError, "no number 9"),
    "a shape of too many axes": (lambda: _core.Graph("float32").input("x", (1,) * 20, "float32"), ValueError, "axes"),
    "a network of nothing": (lambda: _core.Network(3, None, []), TypeError, "Network takes a Graph"),
    "a network without outputs": (no_inputs, ValueError, "1 to .* outputs"),
    "a count that is no number": (lambda: _core.Store("3", "float32"), TypeError, "must be an integer"),
    "a seed that is no number": (lambda: network().predict((ONE,), None, False, None, 0), TypeError, "seed and call"),
    "training without weights": (
        lambda: ids_output().train_step((np.zeros((1, 2), np.int64),), (ONE,), (None,), (MSE,), 0, 0, 1.0, adam(), 0.1),
        RuntimeError, "no weights of its own",
    ),
    "a loss of integers": (
        lambda: ids_output().step((np.zeros((1, 2), np.int64),), (ONE,), (None,), (MSE,), "evaluate", False, 0, 0, 1.0, None),
        TypeError, "holds integers",
    ),
    "training on no rows": (
        lambda: network().train_step((ONE[:0],), (TWO[:0],), (None,), (MSE,), 0, 0, 1.0, adam(), 0.1),
        ValueError, "at least one row",
    ),
    "a normaliser that is no number": (
        lambda: network().step((ONE,), (TWO,), (None,), (MSE,), "evaluate", False, 0, 0, "1", None),
        TypeError, "must be a number",
    ),
    # hypernetworks
    "a hypernetwork of no networks": (lambda: _core.Hyper(3, network(), [True, True], None, None), TypeError, "Hyper takes"),
    "an optimizer of another hypernetwork": (
        lambda: hyper().train_step((COND,), (ONE,), (TWO,), (None,), (MSE,), "rows", 0, 0, 1.0, adam(3), 0.1),
        ValueError, "updates 3 parameters, received a gradient of 40",
    ),
    "weights in two stores": (
        lambda: _core.Hyper(network(4, 6), network(), [True, False], None, None).train_step(
            (COND,), (ONE,), (TWO,), (None,), (MSE,), "rows", 0, 0, 1.0, adam(32), 0.1
        ),
        RuntimeError, "in one store",
    ),
    "samples that an open network cannot take": (
        lambda: open_hyper().predict((COND,), (np.ones((2, 3, 2), np.float32),), "rows", None, False, 0, 0),
        ValueError, "reshape: 6 elements",
    ),
    "the head of a network that cannot take one row": (lambda: open_hyper().head, ValueError, "reshape: 2 elements"),
    "an input of fewer axes than an open shape": (
        lambda: open_hyper().predict((COND,), (ONE,), "rows", None, False, 0, 0), ValueError, r"\(N, None, 2\)",
    ),
    "inputs of different numbers of rows": (
        lambda: two_inputs().predict(
            (COND,), (np.ones((2, 5, 3), np.float32), np.ones((2, 4, 3), np.float32)), "tasks", None, False, 0, 0
        ),
        ValueError, "with N = 2, M = 5",
    ),
    "too few penalties": (lambda: hyper(penalties=[(0.0, 0.0)]), ValueError, "received 1 penalties"),
    "an unknown kind of step": (
        lambda: hyper().step((COND,), (ONE,), (TWO,), (None,), (MSE,), "rows", "odd", False, 0, 0, 1.0, None),
        ValueError, "kind is",
    ),
    "generating without a generator": (
        lambda: functional().generate((np.ones((1, 8), np.float32),), None, False, 0, 0), ValueError, "nothing that generates",
    ),
    "training without a generator": (
        lambda: functional().train_step(
            (np.ones((2, 8), np.float32),), (ONE,), (TWO,), (None,), (MSE,), "rows", 0, 0, 1.0, adam(), 0.1
        ),
        RuntimeError, "nothing to train",
    ),
    "training a hypernetwork on no rows": (
        lambda: hyper().train_step((COND[:0],), (ONE[:0],), (TWO[:0],), (None,), (MSE,), "rows", 0, 0, 1.0, adam(40), 0.1),
        ValueError, "at least one row",
    ),
    "a head of another storage": (lambda: hyper(head=("int4", COND, None, None)), ValueError, "int4"),
    "a head without a generator": (
        lambda: _core.Hyper(None, network(), [True, True], None, None, ("int8", np.ones((1, 8), np.int8), None, None)),
        ValueError, "no head",
    ),
    "quantising what is no matrix": (lambda: _core.quantize_head("int8", np.ones(3, np.float32)), TypeError, "matrix of float32"),
    # optimizers and stores
    "an optimizer that is not there": (
        lambda: _core.Optimizer("odd", (0.0,) * 4, 0.0, OFF, OFF, OFF, [], "float32"), ValueError, "no optimizer",
    ),
    "an optimizer of integers": (
        lambda: _core.Optimizer("sgd", (0.0,) * 4, 0.0, OFF, OFF, OFF, [], "int64"), ValueError, "received int64",
    ),
    "a step that doubles do not count to": (lambda: setattr(adam(), "step", 2**53 + 1), ValueError, r"at most 2\*\*53"),
    "a step that is deleted": (set_step_deleted, AttributeError, "cannot be deleted"),
    "a write of another dtype": (lambda: _core.Store(3, "float32").write(0, np.ones(3)), TypeError, "contiguous array"),
    "a write behind the end": (
        lambda: _core.Store(3, "float32").write(2, np.ones(2, np.float32)), ValueError, "do not lie in a store of 3",
    ),
    "a write to a store's view": (
        lambda: _core.write_all([(_core.Store(3, "float32").view(0, (3,)), 0, np.ones(3, np.float32))], False),
        TypeError, "arrays of no store",
    ),
    "copies of no dict": (lambda: _core.copies([np.ones(3)]), TypeError, "a dict of arrays, received list"),
    "an update of a store's memory": (
        lambda: _core.update_all([], adam(), _core.Store(8, "float32").view(0, (8,)), np.ones(8, np.float32), 0.1, 1.0),
        ValueError, "an array of its own",
    ),
    "a claim of no stores": (lambda: _core.Claim([3]), TypeError, "a sequence of stores"),
    "a claim of nothing": (lambda: _core.Claim(3), TypeError, "a sequence of stores"),
    "a store's view of a negative shape": (lambda: _core.Store(3, "float32").view(0, (-2,)), ValueError, r"\(-2,\)"),
    "a direct call of nothing": (lambda: setattr(_core.Callable(), "_direct", 3), TypeError, "callable or None"),
    # many steps
    "a step that gives no tuple": (lambda: batches(step=lambda *arguments: 3), TypeError, "must give a tuple"),
    "groups of another dtype": (lambda: batches(groups=((ONE.astype(np.float16),),)), TypeError, "float32, float64 or int64"),
    "groups of fewer rows": (lambda: batches(count=3, steps=3), ValueError, "2 rows instead of 3"),
    "groups that are no tuples": (lambda: batches(groups=(ONE,)), TypeError, "tuples of arrays"),
    "an order of rows that are not there": (lambda: batches(order=np.array([0, 2])), ValueError, "from 0 to 1"),
    "an order that is too short": (lambda: batches(order=np.array([0])), ValueError, "must hold 2 numbers"),
    "more batches than rows": (lambda: batches(steps=3), ValueError, "2 rows are no 3 batches of 1 rows"),
    "calls that 64 bits do not count to": (lambda: batches(call=2**63 - 2), ValueError, "too large to count 2 steps"),
    "arguments that are no tuple": (lambda: batches(before=3), TypeError, "are tuples"),
    "calls that cannot be counted": (lambda: batches(call=2**63 - 1), ValueError, "too large to count 2 steps"),
    "too few rates": (lambda: batches(rates=(0.1,)), ValueError, "too few rates"),
    # functions
    "a function of integers": (lambda: _core.map_forward("tanh", (), np.arange(3)), TypeError, "float32 or float64"),
    "a function that is not there": (lambda: _core.map_forward("odd", (), ONE), ValueError, "no activation"),
    "softmax of a number": (
        lambda: _core.map_forward("softmax", (), np.array(1, np.float32)), ValueError, "at least one axis",
    ),
    "a slope of another shape": (lambda: _core.map_backward("tanh", (), ONE, ONE, TWO), ValueError, "must have the dtype"),
    "a loss that is not there": (lambda: _core.loss_values("odd", "logits", 0.0, ONE, ONE), ValueError, "no loss"),
    "a loss of a number": (
        lambda: _core.loss_values(*MSE[:3], np.array(1, np.float32), np.array(1, np.float32)), ValueError, "one axis",
    ),
    "labels of another shape": (
        lambda: _core.loss_values("sparse_categorical_crossentropy", "logits", 0.0, np.arange(3), ONE),
        ValueError, "labels of shape",
    ),
    "weights of another shape": (
        lambda: _core.loss_gradient(*MSE[:3], ONE, ONE, np.ones(3, np.float32)), ValueError, "does not belong",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gc.collect()  # of other tests
    blocks = _core.counters()["live_blocks"]
    yield
    gc.collect()
    assert _core.counters()["live_blocks"] == blocks


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_are_refused(mistake: str) -> None:
    """A wrong call raises the exception that says what is wrong, and leaves no memory behind."""
    call, kind, words = REFUSED[mistake]
    with pytest.raises(kind, match=words):
        call()


class Nothing:
    """Neither a number, a text, an array nor a sequence, and neither true nor false."""

    def __bool__(self) -> bool:
        raise TypeError("neither true nor false")


COMMON = (False, 0, 0)  # training, seed, call
EACH = ((None,), (MSE,))
CALLS: dict[str, Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]] = {
    "describe_op": lambda: (_core.describe_op, ("dense", {"units": 2}, [(3,)], ["float32"], "float32")),
    "Graph": lambda: (_core.Graph, ("float32",)),
    "Graph.input": lambda: (_core.Graph("float32").input, ("x", (3,), "float32")),
    "Graph.add": lambda: (graph().add, ("dense", "more", {"units": 2}, [0])),
    "Graph.output": lambda: (graph().output, (1,)),
    "Graph.tensor": lambda: (graph().tensor, (1,)),
    "Store": lambda: (_core.Store, (3, "float32")),
    "Store.view": lambda: (_core.Store(3, "float32").view, (0, (3,))),
    "Store.write": lambda: (_core.Store(3, "float32").write, (0, np.ones(3, np.float32))),
    "Network": lambda: (_core.Network, (graph(), _core.Store(8, "float32"), [0, 6])),
    "Network.predict": lambda: (network().predict, ((ONE,), (TWO.copy(),), *COMMON)),
    "Network.gradients": lambda: (network().gradients, ((ONE,), (TWO,), True, True, *COMMON)),
    "Network.step": lambda: (
        network().step, ((ONE,), (TWO,), *EACH, "gradients", *COMMON, 1.0, np.empty(8, np.float32)),
    ),
    "Network.train_step": lambda: (network().train_step, ((ONE,), (TWO,), *EACH, 0, 0, 1.0, adam(), 0.1)),
    "Hyper": lambda: (
        _core.Hyper, (network(4, 8), target_of_none(), [True, True], np.ones(8, np.float32), [(0.0, 0.0)] * 2),
    ),
    "Hyper.predict": lambda: (
        hyper().predict, ((COND,), (ONE,), "rows", (TWO.copy(),), *COMMON, np.ones(40, np.float32)),
    ),
    "Hyper.generate": lambda: (hyper().generate, ((COND,), np.empty((2, 8), np.float32), *COMMON)),
    "Hyper.gradients": lambda: (
        hyper().gradients, ((COND,), (ONE,), (TWO,), "rows", True, True, True, *COMMON, np.ones(40, np.float32)),
    ),
    "Hyper.step": lambda: (
        hyper().step,
        ((COND,), (ONE,), (TWO,), *EACH, "rows", "gradients", *COMMON, 1.0, np.empty(40, np.float32)),
    ),
    "Hyper.train_step": lambda: (
        hyper().train_step, ((COND,), (ONE,), (TWO,), *EACH, "rows", 0, 0, 1.0, adam(40), 0.1),
    ),
    "quantize_head": lambda: (_core.quantize_head, ("int8", COND)),
    "Optimizer": lambda: (
        _core.Optimizer, ("adam", (0.9, 0.999, 1e-7, 0.0), 0.0, OFF, OFF, OFF, [(0, 0, 8, True, True)], "float32"),
    ),
    "Optimizer.set_spans": lambda: (adam().set_spans, ([(0, 0, 8, True, True)],)),
    "Optimizer.apply": lambda: (adam().apply, (np.ones(8, np.float32), np.ones(8, np.float32), 0.1, 1.0)),
    "Optimizer.delta": lambda: (adam().delta, (np.ones(8, np.float32), np.ones(8, np.float32), 0.1, 1.0)),
    "run_batches": lambda: (
        _core.run_batches,
        (lambda *arguments: (float(arguments[-1]), None), ((ONE,),), -1, 2, np.arange(2), 1, 2, (), 0, (), 0.1, False, OFF),
    ),
    "map_forward": lambda: (_core.map_forward, ("tanh", (), ONE)),
    "map_backward": lambda: (_core.map_backward, ("tanh", (), ONE, ONE, ONE)),
    "loss_values": lambda: (_core.loss_values, (*MSE[:3], ONE, ONE)),
    "loss_gradient": lambda: (_core.loss_gradient, (*MSE[:3], ONE, ONE, np.ones(2, np.float32))),
    "write_all": lambda: (_core.write_all, ([(_core.Store(3, "float32"), 0, np.ones(3, np.float32))], False)),
    "write_all to an array": lambda: (_core.write_all, ([(np.zeros(3), 1, np.ones(2))], False)),
    "update_all": lambda: (
        _core.update_all, ([(np.zeros(8, np.float32), 0, TWO[0])], adam(), np.ones(8, np.float32), np.ones(8, np.float32), 0.1, 1.0),
    ),
}  # fmt: skip


def places(items: Sequence[Any]) -> Iterator[tuple[int, ...]]:
    """Where an argument is, or an item of one: its number, the item's number in it, and so on."""
    for i, item in enumerate(items):
        yield (i,)
        if isinstance(item, (tuple, list)):
            yield from ((i, *rest) for rest in places(item))


def with_nothing_at(items: Sequence[Any], place: tuple[int, ...]) -> Sequence[Any]:
    changed = list(items)
    changed[place[0]] = Nothing() if len(place) == 1 else with_nothing_at(items[place[0]], place[1:])
    return type(items)(changed)


@pytest.mark.parametrize("name", CALLS)
def test_any_argument_may_be_wrong(name: str) -> None:
    """A call that works is refused with any argument, or item of one, replaced by an object that fits nothing."""
    function, arguments = CALLS[name]()
    function(*arguments)
    for place in places(arguments):
        function, arguments = CALLS[name]()
        with pytest.raises((TypeError, ValueError)):
            function(*with_nothing_at(arguments, place))
    del function, arguments
