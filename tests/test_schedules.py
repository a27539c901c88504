"""Learning-rate schedules against their formulas."""

import math

import pytest
from hypernet.optimizers import schedules

STEPS = [0, 1, 7, 9, 10, 11, 25, 30, 70, 1000]


@pytest.mark.parametrize("step", STEPS)
def test_exponential_and_inverse(step):
    assert schedules.ExponentialDecay(0.1, 10, 0.9)(step) == pytest.approx(0.1 * 0.9 ** (step / 10))
    assert schedules.ExponentialDecay(0.1, 10, 0.9, staircase=True)(step) == pytest.approx(0.1 * 0.9 ** (step // 10))
    assert schedules.InverseTimeDecay(0.1, 10, 0.9)(step) == pytest.approx(0.1 / (1 + 0.9 * step / 10))
    assert schedules.InverseTimeDecay(0.1, 10, 0.9, staircase=True)(step) == pytest.approx(
        0.1 / (1 + 0.9 * (step // 10))
    )


@pytest.mark.parametrize("step", STEPS)
def test_polynomial(step):
    part = 1 - min(step, 10) / 10
    assert schedules.PolynomialDecay(0.1, 10, 0.01, power=2.0)(step) == pytest.approx(0.09 * part**2 + 0.01)
    length = 10 * max(1, math.ceil(step / 10))
    expected = 0.09 * (1 - step / length) + 0.01
    assert schedules.PolynomialDecay(0.1, 10, 0.01, cycle=True)(step) == pytest.approx(expected)


def test_piecewise():
    schedule = schedules.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])
    assert [schedule(s) for s in (0, 10, 11, 20, 21, 99)] == [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]
    with pytest.raises(ValueError, match="The length of boundaries should be 1 less than the length of values"):
        schedules.PiecewiseConstantDecay([1], [1.0])


@pytest.mark.parametrize("step", STEPS)
def test_cosine(step):
    expected = 0.1 * (0.9 * 0.5 * (1 + math.cos(math.pi * min(step, 10) / 10)) + 0.1)
    assert schedules.CosineDecay(0.1, 10, alpha=0.1)(step) == pytest.approx(expected)
    warm = schedules.CosineDecay(0.1, 10, warmup_target=0.5, warmup_steps=8)
    if step < 8:
        assert warm(step) == pytest.approx(0.1 + 0.4 * step / 8)
    else:
        assert warm(step) == pytest.approx(0.25 * (1 + math.cos(math.pi * min(step - 8, 10) / 10)), abs=1e-15)


@pytest.mark.parametrize("t_mul", [1.0, 2.0, 3.0, 1.5])
def test_cosine_restarts(t_mul):
    schedule = schedules.CosineDecayRestarts(0.1, 10, t_mul=t_mul, m_mul=0.8, alpha=0.05)
    start, length, height = 0.0, 10.0, 1.0
    for step in range(200):
        while step >= start + length:
            start, length, height = start + length, length * t_mul, height * 0.8
        cosine = 0.5 * height * (1 + math.cos(math.pi * (step - start) / length))
        assert schedule(step) == pytest.approx(0.1 * (0.95 * cosine + 0.05)), step


ALL = [
    schedules.ExponentialDecay(0.1, 10, 0.9, staircase=True),
    schedules.InverseTimeDecay(0.1, 10, 0.9),
    schedules.PiecewiseConstantDecay([3], [0.1, 0.2]),
    schedules.PolynomialDecay(0.1, 10, cycle=True),
    schedules.CosineDecay(0.1, 10, warmup_target=0.3, warmup_steps=4),
    schedules.CosineDecayRestarts(0.1, 10, m_mul=0.5),
]


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
def test_configuration(schedule):
    again = schedules.deserialize(schedules.serialize(schedule))
    assert type(again) is type(schedule) and again.get_config() == schedule.get_config()
    assert [again(step) for step in STEPS] == [schedule(step) for step in STEPS]
    assert all(type(schedule(step)) is float for step in STEPS)


@pytest.mark.parametrize("cls", ["ExponentialDecay", "InverseTimeDecay", "PolynomialDecay", "CosineDecay"])
@pytest.mark.parametrize("steps", [0, -1])
def test_decay_steps_are_positive(cls, steps):
    more = (0.5,) if cls in ("ExponentialDecay", "InverseTimeDecay") else ()
    with pytest.raises(ValueError, match="Argument `decay_steps` must be > 0"):
        getattr(schedules, cls)(0.1, steps, *more)
    with pytest.raises(ValueError, match="Argument `first_decay_steps` must be > 0"):
        schedules.CosineDecayRestarts(0.1, steps)
