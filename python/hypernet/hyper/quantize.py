"""Heads in fewer bits, for inference: `HyperModel.quantize`."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..models.data import pack_outputs
from ..models.model import Model
from .initialize import find_head
from .model import HyperModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._tensor import KerasTensor

Array = NDArray[Any]
_CHUNK = 1 << 22  # numbers of a kernel that are widened at a time, where errors are bounded


@dataclass(frozen=True)
class Quantization:
    """What a quantised head is stored in, and what that costs.

    Attributes
    ----------
    dtype : str
        "bfloat16" or "int8".
    bytes_before, bytes_after : int
        Of the head's kernel: in float32, and as it is stored, with its scales.
    worst_kernel_error : float
        The largest error that was made in any number of the kernel.
    worst_kernel_bound : float
        What the derivation allows: half the largest scale of int8; for bfloat16 the largest number over 255.
    """

    dtype: str
    bytes_before: int
    bytes_after: int
    worst_kernel_error: float
    worst_kernel_bound: float


@dataclass(frozen=True)
class Head:
    """A head as it is stored: kernel (width, P) of int8 or of bfloat16 (its bits, uint16); int8 has scales (P,)."""

    dtype: str
    kernel: Array
    scale: Array | None
    bias: Array | None
    worst_error: float

    def __post_init__(self) -> None:
        for array in (self.kernel, self.scale, self.bias):
            if array is not None:
                array.setflags(write=False)

    @property
    def parts(self) -> _core.HeadParts:
        """As the core takes it."""
        return self.dtype, self.kernel, self.scale, self.bias

    @property
    def count(self) -> int:
        """Numbers it stands for."""
        return int(self.kernel.size + (0 if self.bias is None else self.bias.size))

    @property
    def nbytes(self) -> int:
        """Of all that is stored."""
        return sum(int(array.nbytes) for array in (self.kernel, self.scale, self.bias) if array is not None)

    def magnitudes(self) -> Iterator[tuple[slice, Array]]:
        """|Q| of some columns after the other, in float64."""
        width, count = self.kernel.shape
        step = max(1, _CHUNK // max(1, width))
        for first in range(0, count, step):
            part = slice(first, min(count, first + step))
            stored = self.kernel[:, part]
            if self.dtype == "bfloat16":
                stored = ((stored & 0x7FFF).astype(np.uint32) << 16).view(np.float32)
            yield part, np.abs(stored.astype(np.float64))

    def _largest(self) -> float:
        """The largest |Q| of bfloat16, whose bits without the sign are ordered as the numbers are."""
        step = max(1, _CHUNK // max(1, self.kernel.shape[1]))
        rows = range(0, self.kernel.shape[0], step)
        bits = max((int((self.kernel[row : row + step] & 0x7FFF).max(initial=0)) for row in rows), default=0)
        return float(np.array([bits << 16], np.uint32).view(np.float32)[0])

    def summary(self) -> Quantization:
        """What it is stored in."""
        size = int(self.kernel.size)
        after = int(self.kernel.nbytes)
        if self.scale is None:
            bound = self._largest() / 255 + 2.0**-134
        else:
            after += int(self.scale.nbytes)
            bound = float(self.scale.max(initial=0.0)) / 2
        return Quantization(self.dtype, 4 * size, after, self.worst_error, bound)

    def error_bound(self, features: Array, base: Array | None) -> Array:
        """See `QuantizedHyperModel.error_bound`."""
        g = np.abs(features.astype(np.float64))
        total = g.sum(axis=1, keepdims=True)
        terms = features.shape[1] + 5
        bound = np.empty((features.shape[0], self.kernel.shape[1]))
        for part, stored in self.magnitudes():
            scale = np.ones(stored.shape[1]) if self.scale is None else self.scale[part].astype(np.float64)
            sums = g @ stored
            kernel = sums / 255 + 2.0**-134 * total if self.scale is None else scale / 2 * total
            added = sum(np.abs(v[part].astype(np.float64)) for v in (self.bias, base) if v is not None)
            rounding = terms * (2.0**-23 * (scale * sums + added) + 2.0**-149 * np.maximum(1.0, scale))
            bound[:, part] = kernel + rounding
        return bound


class QuantizedHyperModel(HyperModel):
    """A HyperModel whose head is stored in fewer bits, for inference: what `HyperModel.quantize` gives.

    Its `generator` is what comes before the head: from conditions to the head's features. `params` is the vector of
    what is left in float32, the generator's weights and the target's own; `count_params()` counts the head too.
    `compile` is there for `evaluate`; everything that trains raises RuntimeError.
    """

    def __init__(
        self,
        generator: Model,
        target: Model,
        head: Head,
        generated: Sequence[str] | None = None,
        base: Any = None,
        name: str | None = None,
    ) -> None:
        self._stored = head
        self._head = head.parts
        super().__init__(generator, target, generated=generated, base=base, init=None, name=name)
        self._quantization = head.summary()

    def _check_sizes(self) -> None:
        shape = self._generator.outputs[0].shape[1:]
        if len(self._generator.outputs) != 1 or shape != self._stored.kernel.shape[:1]:
            raise ValueError(
                f"The generator '{self._generator.name}' gives {shape} a condition, but the quantised head takes "
                f"{self._stored.kernel.shape[:1]}."
            )

    @property
    def quantization(self) -> Quantization:
        """How the head is stored, its size before and after, and the largest error made."""
        return self._quantization

    def error_bound(self, cond: Any) -> Array:
        r"""How far each generated weight may be from that of the head before it was quantised.

        Parameters
        ----------
        cond : array, or nested arrays
            N conditions, or one without its leading axis.

        Returns
        -------
        array (N, P), float64
            A bound of \|theta - exact\|, where exact is what the original head gives in exact arithmetic at the features
            g that the generator gives: with K features, kernel Q as stored and scale s (1 for bfloat16)

            - bfloat16: sum_k \|g_k\| (\|Q_kj\| / 255 + 2^-134) + r_j
            - int8: s_j / 2 sum_k \|g_k\| + r_j
            - r_j = (K + 5) (2^-23 (s_j sum_k \|g_k Q_kj\| + \|b_j\| + \|base_j\|) + 2^-149 max(1, s_j)), the rounding
              of sums in float32, which every head has.

        Examples
        --------
        >>> import hypernet as hn, numpy as np
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> small = hyper.quantize("int8")
        >>> made = np.abs(small.generate(hn.ones((5, 4))) - hyper.generate(hn.ones((5, 4))))
        >>> bool((made <= small.error_bound(hn.ones((5, 4)))).all())
        True
        """
        conditions, _ = self._conditions(cond)
        features = self._generator._bound().predict(conditions, None, False, 0, 0)[0]
        return self._stored.error_bound(features, self._base)

    def count_params(self) -> int:
        """Number of weights: the generator's, the head's and the target's own, as many as before.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> hyper.quantize("int8").count_params() == hyper.count_params()
        True
        """
        return self._gradient_size + self._stored.count

    def _theta(self, conditions: tuple[Array, ...], out: Array | None, training: bool, seed: int) -> Array:
        return self._bound().generate(conditions, out, training, seed, 0)

    def _params_apart(self) -> tuple[int, int]:
        """Params that no Weight holds, and the bytes that they take."""
        return self._stored.count, self._stored.nbytes

    def _summary_notes(self) -> list[str]:
        from ..models.summary import readable

        head = self._stored
        size = " x ".join(f"{n:,}" for n in head.kernel.shape)
        bias = "" if head.bias is None else " and a bias"
        return [
            f"Head: {size} in {head.dtype}{bias}, {head.count:,} params, for inference only: "
            f"{readable(head.nbytes)}, {readable(4 * head.count)} in float32"
        ]

    # ---- what a head in fewer bits has not ----
    def _refuse(self, what: str) -> NoReturn:
        raise RuntimeError(
            f"{what}: the head of '{self.name}' is stored as {self._stored.dtype}, for inference only. Train the "
            f"original HyperModel, then call its quantize({self._stored.dtype!r}) again."
        )

    def fit(self, *args: Any, **kwargs: Any) -> NoReturn:
        """RuntimeError: train the original."""
        self._refuse("fit")

    def train_on_batch(self, *args: Any, **kwargs: Any) -> NoReturn:
        """RuntimeError: train the original."""
        self._refuse("train_on_batch")

    def loss_and_grad(self, *args: Any, **kwargs: Any) -> NoReturn:
        """RuntimeError: gradients are those of the original."""
        self._refuse("loss_and_grad")

    def vjp(self, *args: Any, **kwargs: Any) -> NoReturn:
        """RuntimeError: gradients are those of the original."""
        self._refuse("vjp")

    def generate_vjp(self, *args: Any, **kwargs: Any) -> NoReturn:
        """RuntimeError: gradients are those of the original."""
        self._refuse("generate_vjp")

    def quantize(self, dtype: str) -> NoReturn:
        """RuntimeError: quantise the original."""
        raise RuntimeError(
            f"quantize({dtype!r}): the head of '{self.name}' is stored as {self._stored.dtype} already. Call quantize of "
            "the original HyperModel instead; it still has the numbers in float32."
        )

    def save_weights(self, filepath: Any, overwrite: bool = True) -> NoReturn:
        """NotImplementedError: `save` keeps the whole model."""
        raise NotImplementedError(f"save_weights of '{self.name}', whose head is quantised, is not built; use `save`.")

    def load_weights(self, filepath: Any, **kwargs: Any) -> NoReturn:
        """NotImplementedError: `hypernet.saving.load_model` reads the whole model."""
        raise NotImplementedError(
            f"load_weights of '{self.name}', whose head is quantised, is not built; use `hypernet.saving.load_model`."
        )

    # ---- configuration ----
    def get_config(self) -> dict[str, Any]:
        """As a HyperModel's, with how the head is stored but without its numbers."""
        bias = self._stored.bias is not None
        head = {"stored": self._stored.dtype, "bias": bias, "worst_kernel_error": self._stored.worst_error}
        return {**super().get_config(), "head": head}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> NoReturn:
        """NotImplementedError: a configuration holds no numbers, and a quantised head cannot be initialised."""
        raise NotImplementedError(
            f"A quantised HyperModel ('{config.get('name')}') is not made from a configuration, which has no numbers: "
            "copy it with copy.deepcopy, or save and load it."
        )


def quantize(hyper: HyperModel, dtype: str) -> QuantizedHyperModel:
    """See `HyperModel.quantize`."""
    if dtype not in ("bfloat16", "int8"):
        raise ValueError(f"quantize: `dtype` is 'bfloat16' or 'int8'. Received: dtype={dtype!r}")
    if hyper.dtype != "float32":
        raise ValueError(
            f"quantize: '{hyper.name}' computes in {hyper.dtype}; quantised heads compute in float32, and only models "
            "of float32 can be quantised."
        )
    kind = hyper._bound().head
    found = find_head(hyper.generator)
    if kind != "dense" or found is None:
        raise ValueError(
            f"quantize: the generator of '{hyper.name}' does not end in a linear Dense layer on flat features, used "
            "once: it has no head that could be stored in fewer bits."
        )
    layer = found[0]
    kernel, *rest = (weight.value for weight in layer._weights)
    bias = rest[0].copy() if rest else None
    if bias is not None and not np.isfinite(bias).all():
        raise ValueError(
            f"quantize: the bias of the head '{layer.name}' is not finite: weight {np.argmin(np.isfinite(bias))}."
        )
    try:
        stored, scale, worst = _core.quantize_head(dtype, kernel)
    except ValueError as error:
        raise ValueError(f"quantize: {error} (the kernel of '{layer.name}')") from None
    return QuantizedHyperModel(
        copy.deepcopy(_before(hyper.generator)),
        copy.deepcopy(hyper.target),
        Head(dtype, stored, scale, bias, worst),
        generated=hyper._generated_argument,
        base=hyper._base,
        name=f"{hyper.name}_{dtype}",
    )


def _before(model: Model, output: int = 0) -> Model:
    """The model up to its head's features, on the same layers."""
    inputs = pack_outputs(model._known("inputs").input_structure, model.inputs)
    return Model(inputs, _features(model.outputs[output]), name=model.name)


def _features(tensor: KerasTensor) -> KerasTensor:
    """What the head that makes this tensor takes; a head in a nested model is found there."""
    while True:
        node, index = tensor.history
        if isinstance(node.layer, Model):
            features: KerasTensor = _before(node.layer, index)(pack_outputs(node.structure, node.inputs))
            return features
        if not (node.layer._keeps_numbers and node.inputs):
            return node.inputs[0]
        tensor = node.inputs[0]


def rebuilt(config: dict[str, Any], generator: Model, target: Model, head: Head, base: Array | None) -> HyperModel:
    """The model of a configuration and of the numbers that it lacks."""
    return QuantizedHyperModel(generator, target, head, generated=config["generated"], base=base, name=config["name"])
