"""Every public call that takes arrays, with every kind of odd array: the stated result, and nothing else changed."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import hypernet as hn
import numpy as np
import pytest

import array_calls
import odd_arrays
from array_calls import Slot

BOTH = (TypeError, ValueError)  # an error that is caught as either: Keras has one, NumPy the other
OWN = odd_arrays.RubbishError
SAME = "as the plain array of these numbers, bit for bit"
PLAIN = "as the ordinary array"
NOTHING = "as if the argument were not given"

NAMES = {group: list(getattr(odd_arrays, group)) for group in ("LAYOUTS", "DTYPES", "CLASSES", "OTHERS", "NUMBERS")}
SHAPES = list(odd_arrays.SHAPES)
# What most calls do. A tuple of types stands for an error that is of all of them.
USUAL: dict[str, Any] = {
    **{kind: SAME for kinds in NAMES.values() for kind in kinds},
    **dict.fromkeys([*SHAPES, "an empty list", "a ragged list"], ValueError),
    **dict.fromkeys(odd_arrays.NO_NUMBERS, BOTH),
    **dict.fromkeys(["an empty list", "a ragged list"], ValueError),
    **dict.fromkeys(odd_arrays.RAISING, OWN),
    **dict.fromkeys(["__array__ gives objects", "__len__ raises", "shape that is none"], BOTH),
    **dict.fromkeys(["__array__ gives a list", "__array__ gives None", "__array_interface__ is rubbish"], ValueError),
    "__dlpack__ gives no capsule": ValueError,
}
ROWS = ["one row more", "one row less"]
ANY_SHAPE = [kind for kind in SHAPES if kind != "0-d"]
NO_LABELS = dict.fromkeys(["NaN", "infinity", "denormal"], ValueError)
NO_INPUT = dict.fromkeys(["a str", "a bytes", "a dict", "an empty dict", "None", "a function"], ValueError)
NO_LEAF = dict.fromkeys(["a str", "a bytes", "None", "a function"], ValueError)
STREAM = {**NO_INPUT, **dict.fromkeys(["a set", "a generator"], ValueError), "__len__ raises": OWN}
STREAM_WITH_Y = {**STREAM, "__len__ raises": ValueError, "__getitem__ raises": ValueError}
NO_DICT = dict.fromkeys(["a dict", "an empty dict"], ValueError)


def same(*kinds: str) -> dict[str, Any]:
    return dict.fromkeys(kinds, SAME)


# What the calls of each family do otherwise.
FAMILIES: dict[str, dict[str, Any]] = {
    "rows": same(*ROWS) | NO_INPUT,
    "rows, even none": same(*ROWS, "no rows") | NO_INPUT,
    "rows with y": NO_INPUT,
    "rows or stream": same(*ROWS) | STREAM,
    "rows or stream with y": STREAM_WITH_Y,
    "functional rows": same(*ROWS, "no rows") | NO_INPUT,
    "ids or stream": same("one axis less", *ROWS) | NO_LABELS | STREAM | {"a generator": PLAIN},
    "ids or stream with y": NO_LABELS | STREAM_WITH_Y,
    "ids, even none": same("one axis less", *ROWS, "no rows", "an empty list") | NO_LABELS | NO_INPUT,
    "one of two": NO_LEAF,
    "hyper rows": same("one axis more") | NO_INPUT,
    "hyper rows with y": NO_INPUT,
    "hyper rows or stream": same("one axis more") | NO_INPUT,
    "hyper rows or stream with y": NO_INPUT,
    "conditions": same("one axis less") | NO_INPUT,
    "conditions with y": same("one axis less") | NO_INPUT,
    "conditions or stream": same("one axis less") | NO_INPUT,
    "conditions or stream with y": same("one axis less") | NO_INPUT,
    "alone": same("one axis less", *ROWS, "no rows") | NO_INPUT,
    "one condition": same("one axis less") | NO_INPUT | {"a list of None": ValueError},
    "theta": same("one axis more") | NO_LEAF,
    "theta of a HyperModel": same("one axis more"),
    "labels": NO_LABELS | NO_DICT | {"None": ValueError},
    "targets": NO_DICT | {"None": ValueError},
    "sample weight": {"a dict": ValueError, "an empty dict": NOTHING, "None": NOTHING},
    "gradient": NO_DICT,
    "gradient of a variable": {},
    "gradient of several": {"None": NOTHING},
    "gradient in a pair": {"None": ValueError},
    "vector": same("one axis more") | {"complex list": ValueError, "a list of None": ValueError},
    "view": same("one axis more"),
    "weight": {},
    "base": same("one axis more", "two axes more") | {"None": NOTHING, "a str": ValueError},
    "true": {},
    "predictions": {},
    "true labels": NO_LABELS,
    "counted labels": {},
    "predictions of labels": same("one column more"),
    "counted predictions of labels": same("one column more", "one column less"),
    "loss weight": same("0-d", "one axis less") | {"None": NOTHING},
    "metric weight": same("0-d", "one axis less") | {"None": NOTHING},
    "values": same(*SHAPES, "an empty list"),
    "elementwise": same(*SHAPES, "an empty list"),
    "halved": same(*ANY_SHAPE, "an empty list") | dict.fromkeys(["one column more", "one column less"], ValueError),
    "whole rows": same(*ANY_SHAPE, "an empty list"),
    "projected": same(*SHAPES, "an empty list"),
    "matrix": same("one column more", "one column less", *ROWS, "no rows", "no columns"),
    "broadcast": same("0-d", "one axis less"),
    "classes": same(*SHAPES) | dict.fromkeys(["no rows", "no columns"], ValueError) | NO_LABELS,
    "normalized": same(*ANY_SHAPE, "an empty list"),
    "given values": {},
    "given gradient": {},
    "layer": same(*ANY_SHAPE, "an empty list") | NO_INPUT | {"a function": BOTH},
    "layer of rows": same(*ANY_SHAPE) | NO_INPUT | {"a function": BOTH, "one axis less": ValueError},
    "layer ids": same(*ANY_SHAPE, "an empty list") | NO_LABELS | NO_INPUT | {"a function": BOTH},
    "reshaped": same(*ROWS, "no rows") | NO_INPUT | {"a function": BOTH},
    "merged": dict.fromkeys(["a str", "a bytes", "None"], ValueError),
    "joined": same("one column more", "one column less", "no columns")
    | dict.fromkeys(["a str", "a bytes", "None"], ValueError)
    | dict.fromkeys(["one axis less", "an empty list"], NotImplementedError),
}
# The calls that differ from their family.
CALLS: dict[tuple[str, str], Any] = {
    ("layers.LayerNormalization(x)", "one axis less"): NotImplementedError,
    ("layers.LayerNormalization(x)", "an empty list"): NotImplementedError,
}


def expectation(slot: Slot, kind: str) -> Any:
    """The result that is stated for a cell."""
    return CALLS.get((slot.name, kind), FAMILIES[slot.family].get(kind, USUAL[kind]))


# ---- results that can be compared ----
def flat(result: Any) -> Any:
    """A result as shapes and bytes."""
    if result is None or isinstance(result, str):
        return result
    if isinstance(result, dict):
        return tuple((key, flat(value)) for key, value in result.items())
    if isinstance(result, (list, tuple)):
        return tuple(map(flat, result))
    array = np.asarray(result)
    array = array.astype(array.dtype.newbyteorder("="))
    return array.dtype.str, array.shape, array.tobytes()


def as_read(slot: Slot, odd: odd_arrays.Odd) -> Any:
    """The plain array of the numbers of an odd one, in the dtype in which the call takes it."""
    numbers = np.asarray(odd.numbers)
    if slot.reads == "ids":
        return numbers.astype(np.int64)
    if slot.reads == "any":
        return numbers.astype(numbers.dtype.newbyteorder("="))
    if slot.reads == "targets" and numbers.dtype.kind in "iu":
        return numbers.astype(np.int64)
    if slot.reads == "floats" and numbers.dtype == np.float64 and hasattr(odd.value, "dtype"):
        return numbers
    return numbers.astype(np.float32)


class Cells:
    """Runs cells and looks at what they did."""

    def __init__(self) -> None:
        self.models = array_calls.Models()
        self._params = self.models.params()
        self._changed = True
        self._plain: dict[str, Any] = {}

    def run(self, slot: Slot, value: Any) -> tuple[Any, Any]:
        """The result and all weights after it."""
        self._begin(slot)
        result = flat(slot.call(self.models, value))
        after = self.models.params()
        self._changed = after != self._params
        assert slot.writes or not self._changed, "a call that reads has changed weights"
        return result, after

    def _begin(self, slot: Slot) -> None:
        if self._changed or slot.draws:
            self.models.restore()
            self._changed = False

    def plain(self, slot: Slot) -> tuple[Any, Any]:
        """What the ordinary value gives."""
        if slot.name not in self._plain:
            self._plain[slot.name] = self.run(slot, slot.plain)
        return self._plain[slot.name]

    def check(self, slot: Slot, kind: str) -> bool:
        """Whether there is such a cell; it does what is stated."""
        odd = odd_arrays.make(kind, slot.plain)
        if odd is not None:
            self.check_value(slot, odd, expectation(slot, kind))
        return odd is not None

    def check_value(self, slot: Slot, odd: odd_arrays.Odd, expected: Any) -> None:
        """The call does with this value what is stated."""
        before, numbers = content(odd.value), content(odd.numbers)
        if isinstance(expected, str):
            found = self.run(slot, odd.value)
            if expected == SAME:
                assert found == self.run(slot, as_read(slot, odd)), "another result than that of the plain array"
            elif expected == PLAIN:
                assert found == self.plain(slot)
            else:
                assert found[0] is None or flat(found[0]) != self.plain(slot), (
                    "the argument has been taken for an array"
                )
        else:
            self.fails(slot, odd, expected)
        assert content(odd.value) == before, "the argument has been changed"
        assert content(odd.numbers) == numbers, "the memory of the argument has been changed"

    def fails(self, slot: Slot, odd: odd_arrays.Odd, expected: Any) -> None:
        """The call raises an error of this type, says what came, and the next one is as if there had been none."""
        kinds = expected if isinstance(expected, tuple) else (expected,)
        self._begin(slot)
        steps = self.models.steps()
        try:
            slot.call(self.models, odd.value)
        except Exception as error:
            assert all(isinstance(error, kind) for kind in kinds), f"{type(error).__name__} instead: {error}"
            if OWN not in kinds:
                assert len(str(error)) > 20, f"a message that says nothing: {error!r}"
                said = not odd.words or expected is NotImplementedError or any(word in str(error) for word in odd.words)
                assert said, f"the message does not say what came, {odd.words}: {error}"
        else:
            raise AssertionError("no error")
        assert self.models.params() == self._params, "a call that failed has changed weights"
        assert self.models.steps() == steps, "a call that failed has made a training step"
        assert self.run(slot, slot.plain) == self.plain(slot), "the call after one that failed has another result"


def content(value: Any) -> Any:
    """What must not change of an argument."""
    if isinstance(value, np.ndarray):
        plain = np.asarray(value.view(np.ndarray)) if value.dtype != object else value
        return plain.dtype.str, plain.shape, plain.strides, plain.tobytes()
    return repr(value) if isinstance(value, (list, tuple, dict, set, bytes, str)) else None


def run_cells(slots: list[Slot], kinds: list[str]) -> int:
    """How many cells there are; all that fail are listed."""
    cells, wrong, count = Cells(), [], 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # of arithmetic with nan
        warnings.filterwarnings("error", category=np.exceptions.ComplexWarning)
        for slot in slots:
            for kind in kinds:
                try:
                    count += cells.check(slot, kind)
                except Exception as error:
                    wrong.append(f"{slot.name}, {kind}: {type(error).__name__}: {str(error)[:300]}")
    assert not wrong, f"{len(wrong)} cells are wrong:\n" + "\n".join(wrong[:40])
    return count


@pytest.mark.slow
@pytest.mark.gate
def test_every_call_with_every_odd_array(evidence):
    """Every cell gives the stated result or error, changes no argument, and leaves no trace when it fails."""
    slots = array_calls.slots()
    count = run_cells(slots, list(odd_arrays.KINDS))
    evidence("odd arrays in every public call", tried=count, required=24_000, calls=len(slots), kinds=len(USUAL))


def test_a_call_of_every_family_with_every_odd_array(evidence):
    """The same for one call of each family and every second kind, in the ordinary run."""
    chosen = list({slot.family: slot for slot in array_calls.slots()}.values())
    count = 0
    for first in (0, 1):
        count += run_cells(chosen[first::2], list(odd_arrays.KINDS)[first::2])
    evidence("odd arrays in a public call of every family", tried=count, required=1_600, calls=len(chosen))


def test_every_expectation_is_of_a_family_and_a_kind_that_there_is():
    """The tables name nothing that no cell has."""
    assert set(USUAL) == set(odd_arrays.KINDS)
    assert set(FAMILIES) == {slot.family for slot in array_calls.slots()}
    assert {kind for table in FAMILIES.values() for kind in table} <= set(USUAL)
    assert {name for name, _ in CALLS} <= {slot.name for slot in array_calls.slots()}


# ---- no public name is missing ----
NO_ARRAYS = {
    # shapes, names, configurations, files
    "hypernet": "Input KerasTensor __version__ constant count_params get_num_threads hypernetwork ones set_num_threads "
    "show_config target_network zeros",
    "activations": "deserialize get serialize",
    "callbacks": "CSVLogger Callback CallbackList EarlyStopping History LambdaCallback LearningRateScheduler "
    "ModelCheckpoint ProgbarLogger ReduceLROnPlateau TerminateOnNaN",
    "constraints": "deserialize get serialize",
    # they take shapes and numbers; `Constant` is called with arrays, as are the arrays that stand for initializers
    "initializers": "GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer Initializer LecunNormal "
    "LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros "
    "compute_fans constant deserialize get glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal "
    "lecun_uniform ones orthogonal random_normal random_uniform serialize truncated_normal variance_scaling zeros",
    "layers": "Input InputLayer Layer",
    "losses": "Loss deserialize get serialize",
    "metrics": "Metric deserialize get serialize",
    "models": "clone_model load_model save_model",
    "optimizers": "Optimizer deserialize get schedules serialize",
    "regularizers": "Regularizer deserialize get serialize",
    "saving": "CustomObjectScope custom_object_scope get_custom_objects get_registered_name get_registered_object "
    "load_model load_weights register_keras_serializable save_model save_weights",
    "utils": "CustomObjectScope PyDataset clear_session custom_object_scope get_custom_objects get_registered_name "
    "get_registered_object register_keras_serializable set_random_seed",
}
METHODS_WITHOUT_ARRAYS = {
    "add", "build", "compile", "compile_from_config", "compute_output_shape", "count_params", "from_config", "get_compile_config",
    "get_config", "get_layer", "get_weights", "load_weights", "pop", "quantize", "reset_metrics", "save", "save_weights", "summary",
}  # fmt: skip
OF_OPTIMIZERS_WITHOUT_ARRAYS = {
    "bind", "exclude_from_weight_decay", "from_config", "get_config", "live_state", "set_state", "state",
}  # fmt: skip


def methods(kind: type) -> set[str]:
    return {name for name, value in inspect.getmembers(kind, callable) if not name.startswith("_")}


def called(prefix: str, names: list[str]) -> set[str]:
    """The names after this prefix that the slots call."""
    rest = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    return {name.split("(")[0].split(" ")[0].split(".")[0] for name in rest}


def test_no_public_name_is_missing():
    """Every public function, class and method is called with odd arrays, or is listed as taking none."""
    names = [slot.name for slot in array_calls.slots()]
    modules = set(NO_ARRAYS) - {"hypernet"}
    for module in modules:
        public = set(getattr(hn, module).__all__)
        listed = set(NO_ARRAYS[module].split())
        found = called(f"{module}.", names)
        if module == "models":
            found = {"Model", "Sequential"}
        assert public == listed | found, f"{module}: {public ^ (listed | found)}"
        assert not listed & found
    assert set(hn.keras.__all__) <= set(hn.__all__) | {"layers"}  # the same objects
    rest = set(hn.__all__) - modules - {"keras"}
    assert rest == set(NO_ARRAYS["hypernet"].split()) | {
        "HyperModel", "Model", "Sequential", "functional_call", "functional_vjp"
    }  # fmt: skip
    assert {"functional_call", "functional_vjp"} <= {name.split("(")[0] for name in names}
    for kind in (hn.Model, hn.Sequential, hn.HyperModel):
        found = called(f"{kind.__name__}.", names)
        assert methods(kind) == (found & methods(kind)) | (METHODS_WITHOUT_ARRAYS & methods(kind))
        assert "__call__" in found and "params" in found
    optimizers = called("optimizers.SGD.", names)
    assert methods(hn.optimizers.SGD) == optimizers | OF_OPTIMIZERS_WITHOUT_ARRAYS
