"""Learning rates that depend on the step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .._registry import Family

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """The base of all schedules; one of your own defines `__call__` and `get_config`.

    Examples
    --------
    >>> import hypernet as hn
    >>> class Root(hn.optimizers.schedules.LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 1.0 / (1.0 + step) ** 0.5
    >>> hn.optimizers.SGD(Root()).learning_rate
    1.0
    """

    def __call__(self, step: int) -> float:
        """The learning rate of the update that follows `step` updates."""
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `__call__(self, step)`."
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make the same schedule."""
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `get_config()` in order to be serializable."
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The schedule that `get_config` described."""
        return cls(**config)


def _positive(value: float, name: str) -> float:
    if value <= 0:
        raise ValueError(f"Argument `{name}` must be > 0. Received: {name}={value}")
    return value


class ExponentialDecay(LearningRateSchedule):
    """`initial * decay_rate ^ (step / decay_steps)`.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Steps after which the rate is multiplied by `decay_rate`.
    decay_rate : float
    staircase : bool
        Only whole multiples of `decay_steps` count.
    name : str

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)(20)
    0.25
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: int) -> float:
        part = step / self.decay_steps
        power = math.floor(part) if self.staircase else part
        return float(self.initial_learning_rate * self.decay_rate**power)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class InverseTimeDecay(ExponentialDecay):
    """`initial / (1 + decay_rate * step / decay_steps)`.

    Parameters
    ----------
    initial_learning_rate, decay_steps, decay_rate, staircase, name
        See `ExponentialDecay`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.optimizers.schedules.InverseTimeDecay(1.0, 10, 0.5)(20)
    0.5
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: int) -> float:
        part = step / self.decay_steps
        return float(
            self.initial_learning_rate / (1 + self.decay_rate * (math.floor(part) if self.staircase else part))
        )


class PiecewiseConstantDecay(LearningRateSchedule):
    """One value up to and including each boundary.

    Parameters
    ----------
    boundaries : sequence of int
        Increasing.
    values : sequence of float
        One more.
    name : str

    Examples
    --------
    >>> import hypernet as hn
    >>> schedule = hn.optimizers.schedules.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])
    >>> schedule(10), schedule(11), schedule(21)
    (1.0, 0.5, 0.1)
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "The length of boundaries should be 1 less than the length of values. Received: "
                f"boundaries={boundaries} of length {len(boundaries)}, and values={values} of length {len(values)}."
            )
        self.boundaries = list(boundaries)
        self.values = list(values)
        self.name = name

    def __call__(self, step: int) -> float:
        return float(self.values[sum(step > boundary for boundary in self.boundaries)])

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


class PolynomialDecay(LearningRateSchedule):
    """`(initial - end) * (1 - step / decay_steps)^power + end`.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        When the end is reached.
    end_learning_rate, power : float
    cycle : bool
        After the end, go on from a higher rate, to the next multiple of `decay_steps`.
    name : str

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.optimizers.schedules.PolynomialDecay(1.0, 10, end_learning_rate=0.0)(5)
    0.5
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: int) -> float:
        if self.cycle:
            part = step / (self.decay_steps * max(1, math.ceil(step / self.decay_steps)))
        else:
            part = min(step, self.decay_steps) / self.decay_steps
        span = self.initial_learning_rate - self.end_learning_rate
        return float(span * (1 - part) ** self.power + self.end_learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


def _cosine(part: float, alpha: float, height: float = 1.0) -> float:
    return (1 - alpha) * 0.5 * height * (1 + math.cos(math.pi * part)) + alpha


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate to `alpha` times it; before, perhaps, a straight line up.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Length of the half cosine.
    alpha : float
        The end, as a part of where the cosine begins.
    name : str
    warmup_target : float, optional
        Where the straight line ends and the cosine begins.
    warmup_steps : int
        Length of the straight line.

    Notes
    -----
    Loshchilov, Hutter: SGDR, ICLR 2017.

    Examples
    --------
    >>> import hypernet as hn
    >>> schedule = hn.optimizers.schedules.CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=4)
    >>> schedule(2), schedule(4), schedule(14)
    (0.5, 1.0, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: int) -> float:
        top, start = self.initial_learning_rate, 0.0
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return float(top + (self.warmup_target - top) * step / self.warmup_steps)
            top, start = self.warmup_target, self.warmup_steps
        return float(top * _cosine(min(step - start, self.decay_steps) / self.decay_steps, self.alpha))

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after the other, each `t_mul` times as long and `m_mul` times as high as the one before.

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Length of the first.
    t_mul, m_mul : float
    alpha : float
        The end of each, as a part of the initial rate.
    name : str

    Notes
    -----
    Loshchilov, Hutter: SGDR, ICLR 2017.

    Examples
    --------
    >>> import hypernet as hn
    >>> schedule = hn.optimizers.schedules.CosineDecayRestarts(1.0, 10, m_mul=0.5)
    >>> schedule(0), schedule(10), schedule(20)
    (1.0, 0.5, 0.25)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _positive(first_decay_steps, "first_decay_steps")
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: int) -> float:
        fraction = step / self.first_decay_steps
        ratio = self.t_mul
        if ratio == 1.0:
            restarts = math.floor(fraction)
            fraction -= restarts
        else:
            restarts = math.floor(math.log(1.0 - fraction * (1.0 - ratio)) / math.log(ratio))
            # The logarithms may be off by one unit at a restart: count by the exact sums.
            if fraction >= (1.0 - ratio ** (restarts + 1)) / (1.0 - ratio):
                restarts += 1
            fraction = (fraction - (1.0 - ratio**restarts) / (1.0 - ratio)) / ratio**restarts
        return float(self.initial_learning_rate * _cosine(fraction, self.alpha, self.m_mul**restarts))

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul,
            "m_mul": self.m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


_family = Family(
    "decay",
    [ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay, CosineDecay, CosineDecayRestarts],
)


def serialize(learning_rate_schedule: Any) -> Any:
    """A JSON value that `deserialize` takes."""
    return _family.serialize(learning_rate_schedule)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The schedule that `serialize` described.

    Examples
    --------
    >>> import hypernet as hn
    >>> schedules = hn.optimizers.schedules
    >>> schedules.deserialize(schedules.serialize(schedules.CosineDecay(1.0, 10)))(10)
    0.0
    """
    return _family.deserialize(config, custom_objects)
