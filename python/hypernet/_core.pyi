"""The binding: checks, buffers, exceptions and the GIL. Positional arguments only.

Arrays: an aligned, native array of the network's dtype whose samples are contiguous is used in place; anything else is
converted once. Results are new C-contiguous arrays. Shapes of samples are tuples with -1 for open axes.

How arrays meet a run of N groups x M rows ("mode"): "plain" (M, *sample) with N = 1; a HyperModel's modes are
"one" (x (M, *s), cond (1, *c)), "rows" (x (N, *s)), "tasks" (x (N, M, *s)), "shared" (x (1, M, *s)); outputs have x's
leading axes, ("shared": (N, M)). The Python layer decides the mode and brings cond to (N, *c).
"""

from collections.abc import Sequence
from typing import Any, Literal

from numpy.typing import NDArray

Array = NDArray[Any]
Mode = Literal["one", "rows", "tasks", "shared"]
Attributes = dict[str, int | float | str | tuple[int, ...]]
# One output's loss: (kind, input, param, scale): kind "mean_squared_error", ..., input "probabilities" | "logits",
# param: delta or label smoothing (0.0 if the loss has none), scale: its loss weight.
LossSpec = tuple[str, str, float, float]
# (name "layer/kernel", role "kernel"|"bias"|"scale"|"table", shape, fan_in, fan_out, offset)
EntryInfo = tuple[str, str, tuple[int, ...], int, int, int]
# (local name, role, shape, fan_in, fan_out)
EntrySpec = tuple[str, str, tuple[int, ...], int, int]
# A head in fewer bits: ("bfloat16" | "int8", kernel (width, P) uint16 | int8, scale (P,) of int8 or None, bias or None).
# bfloat16 is its bits, in uint16: here and in files.
HeadParts = tuple[str, Array, Array | None, Array | None]

__version__: str

# ---- the op table, for building layers ----
def ops() -> list[tuple[str, list[tuple[str, str, Any]], int, int, int]]:
    """(name, [(attribute, type "integer"|"number"|"name"|"shape", default)], min_inputs, max_inputs, flags)."""

def describe_op(
    op: str, attributes: Attributes, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str], dtype: str
) -> tuple[tuple[int, ...], str, list[EntrySpec]]:
    """Output sample shape, output dtype, weight entries of an op on inputs of these sample shapes."""

def heads() -> list[str]: ...

# ---- parameters ----
class Store:
    """Memory for a flat vector of parameters, with a version and a lock; zeroed at birth."""

    def __init__(self, count: int, dtype: str) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def live_views(self) -> int:
        """Arrays handed out by `view` (and views of those) that are still alive."""
    def view(self, offset: int, shape: tuple[int, ...]) -> Array:
        """A live, writable view; its base keeps the store's memory alive."""
    def write(self, offset: int, array: Array) -> None:
        """Copy a contiguous array of the store's dtype to this place, as the one writer; raises the version."""
    def claim(self) -> None:
        """Become the one writer; RuntimeError if there is one. Re-entrant for nobody."""
    def release(self) -> None: ...

class Claim:
    """`with Claim(stores):` is the one writer of all of them; RuntimeError if another is. No signal handler's exception
    can leave a store claimed."""

    def __init__(self, stores: Sequence[Store]) -> None: ...
    def __enter__(self) -> Claim: ...
    def __exit__(self, *_: object) -> None: ...

def write_all(writes: Sequence[tuple[Store | Array, int, Array]], claimed: bool) -> None:
    """Copy contiguous arrays to their places in stores or arrays of the same dtype, as the one writer of these stores.

    Nothing is written where that fails; whoever reads a store sees all of its writes or none. `claimed`: the caller has
    claimed all of them.
    """

def update_all(
    writes: Sequence[tuple[Store | Array, int, Array]],
    optimizer: Optimizer,
    weights: Array,
    gradient: Array,
    learning_rate: float,
    grad_scale: float,
) -> None:
    """`optimizer.apply` to an array, and then the writes, most of which are parts of that array; both or neither.

    The caller has claimed all stores.
    """

def store_of(array: Array) -> Store | None:
    """The store whose memory `array` is a view of, found through its bases."""

# ---- calls ----
class Callable:
    """The base of models: a call with one argument goes to `_direct` (a Network or Hyper), without any Python between.

    What that refuses with TypeError or ValueError goes to `self._call(*args, **kwargs)`, and so does every call with
    further arguments (but for a `training` that is off) and every call while `_direct` is None.
    """

    _direct: Any
    def __call__(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any: ...

# ---- networks ----
class Graph:
    def __init__(self, dtype: str) -> None: ...
    def input(self, name: str, shape: tuple[int, ...], dtype: str) -> int: ...
    def add(self, op: str, layer: str, attributes: Attributes, inputs: Sequence[int]) -> int: ...
    def output(self, tensor: int) -> None: ...
    def entries(self) -> list[EntryInfo]: ...
    def tensor(self, index: int) -> tuple[tuple[int, ...], str]: ...
    def json(self) -> str: ...
    @property
    def parameter_count(self) -> int: ...
    @property
    def dtype(self) -> str: ...

class Network:
    """A graph with the place of each of its entries: one store (or none, for functional use), an offset for each entry.

    Plans are compiled for the sample shapes that come and kept. Gradient vectors have the graph's own layout (entry
    after entry), whatever the offsets.
    """

    def __init__(self, graph: Graph, store: Store | None, offsets: Sequence[int]) -> None: ...
    @property
    def store(self) -> Store | None: ...
    def __call__(self, x: Array) -> Array:
        """`predict` of one array, where there are one input and one output; TypeError for everything else."""
    def predict(
        self, inputs: tuple[Array, ...], out: tuple[Array, ...] | None, training: bool, seed: int, call: int
    ) -> tuple[Array, ...]:
        """Outputs for (M, *sample) inputs, or `out`. Splits M into blocks; M = 0 gives (0, ...)."""
    def gradients(
        self,
        inputs: tuple[Array, ...],
        output_gradients: tuple[Array, ...],
        want_inputs: bool,
        want_params: bool,
        training: bool,
        seed: int,
        call: int,
    ) -> tuple[tuple[Array | None, ...] | None, Array | None]:
        """(input gradients, flat parameter gradient): runs forward again, then backward."""
    def step(
        self,
        inputs: tuple[Array, ...],
        targets: tuple[Array, ...],
        weights: tuple[Array | None, ...],
        losses: tuple[LossSpec, ...],
        mode: Literal["evaluate", "gradients"],
        training: bool,
        seed: int,
        call: int,
        normalizer: float,
        gradient: Array | None,
    ) -> tuple[list[float], list[float], list[float], float, tuple[Array, ...]]:
        """(sum(weight*loss) an output, positions an output, sum of weights an output, activity penalty, outputs).

        The activity penalty is the sum divided by the number of rows of the call (N x M), as Keras has it; its gradient
        is scaled by normalizer / rows, because the caller divides the gradient by `normalizer` afterwards.

        `gradient` (flat, the graph's layout) receives the gradient of the sum over positions of scale*weight*loss: not
        normalised. Targets have the outputs' shapes, or without the last axis int64 labels for the sparse loss; weights
        have the shape of a leading part of the positions' shape (M, ...).
        """
    def train_step(
        self,
        inputs: tuple[Array, ...],
        targets: tuple[Array, ...],
        weights: tuple[Array | None, ...],
        losses: tuple[LossSpec, ...],
        seed: int,
        call: int,
        normalizer: float,
        optimizer: Optimizer,
        learning_rate: float,
    ) -> tuple[list[float], list[float], list[float], float, tuple[Array, ...]]:
        """`step` in training, then the optimizer with gradients / normalizer, in one call."""

class Hyper:
    """A hypernetwork: two networks, flags of generated target entries, the pipeline between them.

    `generator` None: the caller hands theta in (functional calls). `penalties`: (l1, l2) for each target entry. `head`:
    what follows the generator, for inference only; its arrays are used in place.
    Gradient vector layout: the generator's entries, then the target's own (not generated) entries.
    """

    def __init__(
        self,
        generator: Network | None,
        target: Network,
        generated: Sequence[bool],
        base: Array | None,
        penalties: Sequence[tuple[float, float]] | None,
        head: HeadParts | None = None,
    ) -> None: ...
    @property
    def head(self) -> str: ...
    @property
    def generated_count(self) -> int: ...
    def __call__(self, pair: list[Array]) -> Array:
        """`predict` of [cond, x], one array each of the right dtypes, with one output; TypeError for everything else."""
    def predict(
        self,
        conditions: tuple[Array, ...],
        inputs: tuple[Array, ...],
        mode: Mode,
        out: tuple[Array, ...] | None,
        training: bool,
        seed: int,
        call: int,
        weights: Array | None = None,
    ) -> tuple[Array, ...]:
        """Outputs, or `out`. Without a generator, conditions is (theta,) of shape (1, P) or (N, P).

        `weights`: a flat vector, laid out as gradients are, used in place of what the stores hold.
        """
    def generate(self, conditions: tuple[Array, ...], out: Array | None, training: bool, seed: int, call: int) -> Array:
        """The generated weights (N, P), with the base."""
    def gradients(
        self,
        conditions: tuple[Array, ...],
        inputs: tuple[Array, ...],
        output_gradients: tuple[Array, ...],
        mode: Mode,
        want_conditions: bool,
        want_inputs: bool,
        want_params: bool,
        training: bool,
        seed: int,
        call: int,
        weights: Array | None = None,
    ) -> tuple[tuple[Array | None, ...] | None, tuple[Array | None, ...] | None, Array | None]:
        """(condition gradients, input gradients, flat parameter gradient); None where not wanted or integer."""
    def step(
        self,
        conditions: tuple[Array, ...],
        inputs: tuple[Array, ...],
        targets: tuple[Array, ...],
        weights: tuple[Array | None, ...],
        losses: tuple[LossSpec, ...],
        mode: Mode,
        kind: Literal["evaluate", "gradients"],
        training: bool,
        seed: int,
        call: int,
        normalizer: float,
        gradient: Array | None,
    ) -> tuple[list[float], list[float], list[float], float, float, tuple[Array, ...]]:
        """As Network.step, with the penalties on generated weights (mean over networks) before the outputs.

        Weights have shape (N,), (N, M) or a longer leading part of the positions' shape; in modes "one" and "rows" (M,)
        and (N,).
        """
    def train_step(
        self,
        conditions: tuple[Array, ...],
        inputs: tuple[Array, ...],
        targets: tuple[Array, ...],
        weights: tuple[Array | None, ...],
        losses: tuple[LossSpec, ...],
        mode: Mode,
        seed: int,
        call: int,
        normalizer: float,
        optimizer: Optimizer,
        learning_rate: float,
    ) -> tuple[list[float], list[float], list[float], float, float, tuple[Array, ...]]: ...

def quantize_head(storage: str, kernel: Array) -> tuple[Array, Array | None, float]:
    """A matrix of float32 in fewer bits: (kernel, scale, largest error); ValueError if a number is not finite."""

# ---- optimizers ----
class Optimizer:
    """Slots and settings; `spans`: (weight_offset, offset, count, trainable, decay) each.

    weight_offset counts in the memory of the weights (a store, or the array given), offset in gradient and slots.
    """

    def __init__(
        self,
        kind: str,
        params: tuple[float, float, float, float],
        weight_decay: float,
        clipnorm: float,
        clipvalue: float,
        global_clipnorm: float,
        spans: Sequence[tuple[int, int, int, bool, bool]],
        dtype: str,
    ) -> None: ...
    step: int
    @property
    def iterations(self) -> Array:
        """A live view of `step`, to be read."""
    @property
    def slots(self) -> tuple[Array, ...]:
        """Live views of the state vectors (P,), zero at birth."""
    def set_spans(self, spans: Sequence[tuple[int, int, int, bool, bool]]) -> None:
        """New spans of the same total size (trainable flags changed, weights moved)."""
    def apply(self, weights: Array | Store, gradient: Array, learning_rate: float, grad_scale: float) -> None:
        """One update in place; raises the version of a store (or of the store that the array is a view of)."""
    def delta(self, weights: Array | Store, gradient: Array, learning_rate: float, grad_scale: float) -> Array:
        """What `apply` would add; changes nothing."""

# ---- many steps ----
def run_batches(
    step: Any,
    groups: tuple[tuple[Array | None, ...], ...],
    whole: int,
    count: int,
    order: Array | None,
    batch: int,
    steps: int,
    before: tuple[Any, ...],
    call: int,
    after: tuple[Any, ...],
    rates: float | tuple[float, ...] | None,
    keep: bool,
    seconds: float,
) -> list[tuple[Any, ...]]:
    """What `step(*groups_of_the_batch, *before, call, *after[, rate])` gives for one batch after the other.

    The arrays of the groups (but for the group number `whole`, which stays as it is) have `count` rows. Batch number i
    is their rows order[i * batch : (i + 1) * batch], gathered into memory that the next batch uses again; without
    `order` it is views of the rows from i * batch on. `call` is counted up; `rates`: nothing, one number for all steps,
    or one for each. Without `keep` the last item of a result (the outputs) is left out. After `seconds` the present step
    is the last. Signal handlers run between steps; an exception of one, or of a step, ends the call.
    """

# ---- single functions on arrays ----
def map_forward(name: str, params: tuple[float, ...], x: Array) -> Array:
    """An elementwise activation by its C name (see hn_map), or "softmax", "log_softmax" over the last axis."""

def map_backward(name: str, params: tuple[float, ...], x: Array, y: Array, dy: Array) -> Array: ...
def loss_values(kind: str, input: str, param: float, target: Array, prediction: Array) -> Array:
    """Each position's loss: prediction.shape[:-1]."""

def loss_gradient(kind: str, input: str, param: float, target: Array, prediction: Array, weight: Array | None) -> Array:
    """weight * d loss / d prediction; weight has prediction.shape[:-1]."""

# ---- files ----
def copies(arrays: dict[Any, Array]) -> dict[Any, Array]: ...
def read_file(path: str) -> tuple[dict[str, Array], dict[str, str]]: ...
def write_file(path: str, tensors: dict[str, Array], texts: dict[str, str]) -> None: ...

# ---- the machine ----
def isa() -> str: ...
def available_isas() -> list[str]: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def set_contraction_order(order: Literal["by_cost", "weights", "slices", "mixture"]) -> None:
    """For measuring: the order in which hypernetworks that are compiled from now on contract generated kernels."""

def counters() -> dict[str, int]:
    """{"generator_rows", "calls" (runs of the pipeline), "live_blocks"} since the process started."""

def fail_allocation_at(k: int) -> int:
    """For tests: the k-th allocation of the library from now on fails, once; 0 switches this off.

    What is left of the last k: 0 if that allocation has failed.
    """
