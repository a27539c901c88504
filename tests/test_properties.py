"""Properties for all shapes, layouts and models that hypothesis thinks of."""

from __future__ import annotations

from typing import Any

import hypernet as hn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

settings.register_profile("hypernet", derandomize=True, database=None, deadline=None, max_examples=150)
settings.load_profile("hypernet")

C, D, O = 2, 3, 4  # noqa: E741
TARGET = hn.Sequential([hn.layers.Input((D,)), hn.layers.Dense(3, activation="tanh"), hn.layers.Dense(O)])
HYPER = hn.HyperModel(hn.hypernetwork(C, TARGET.count_params(), hidden=5), TARGET)
PARAMS = np.random.default_rng(0).standard_normal(HYPER.count_params(), dtype=np.float32)
HYPER.set_weights(PARAMS)

small = st.integers(1, 4)
widths = st.sampled_from([1, C, D, 4])
seeds = st.integers(0, 2**31)


def normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def meeting(cond: tuple[int, ...], x: tuple[int, ...]) -> tuple[int, ...] | None:
    """The leading axes of the result by the table of the documentation; None if the shapes do not meet."""
    if cond[-1:] != (C,) or x[-1:] != (D,) or len(cond) > 2 or len(x) not in (2, 3):
        return None
    n = 1 if len(cond) == 1 else cond[0]
    if len(x) == 2:
        return x[:1] if n in (1, x[0]) else None
    return (n, x[1]) if len(cond) == 2 and x[0] in (1, n) else None


shapes = st.tuples(st.lists(small, max_size=2), widths).map(lambda drawn: (*drawn[0], drawn[1]))
likely = st.tuples(small, small).flatmap(
    lambda n: st.tuples(
        st.sampled_from([(C,), (1, C), (n[0], C)]), st.sampled_from([(n[0], D), (1, n[1], D), (*n, D), (n[1], D)])
    )
)


@given(st.one_of(likely, st.tuples(shapes, shapes)), seeds)
def test_conditions_and_rows_meet_as_documented_or_not_at_all(pair: tuple[Any, Any], seed: int) -> None:
    cond, x = normal(seed, pair[0]), normal(seed + 1, pair[1])
    leading = meeting(cond.shape, x.shape)
    if leading is None:
        with pytest.raises(ValueError) as caught:
            HYPER([cond, x])
        assert str(cond.shape) in str(caught.value) or str(x.shape) in str(caught.value)
        return
    y = HYPER([cond, x])
    assert y.shape == (*leading, O)
    thetas = HYPER.generate(cond.reshape(-1, C))
    for index in np.ndindex(leading):
        group = 0 if len(thetas) == 1 else index[0]
        row = x[index] if x.ndim == 2 else x[0 if len(x) == 1 else index[0], index[1]]
        expected = hn.functional_call(TARGET, thetas[group], row[None])[0]
        np.testing.assert_allclose(y[index], expected, rtol=1e-4, atol=1e-5)


class Provider:
    """What another library's array is to us: DLPack and nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


LAYOUTS = {
    "as it is": lambda a: a,
    "a list": lambda a: a.tolist(),
    "column-major": np.asfortranarray,
    "backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "one row for all": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "the other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "a DLPack provider": Provider,
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@given(st.sampled_from(list(LAYOUTS)), st.sampled_from(["f2", "f4", "f8", "i1", "u2", "i8", "?"]), small, seeds)
def test_numbers_count_and_not_their_layout(layout: str, dtype: str, rows: int, seed: int) -> None:
    x = (3 * normal(seed, (rows, D))).astype(dtype)
    given_x = LAYOUTS[layout](x)
    numbers = given_x.array if isinstance(given_x, Provider) else given_x
    before = np.array(numbers)
    plain = np.ascontiguousarray(numbers, np.float32)
    assert TARGET(given_x).tobytes() == TARGET(plain).tobytes()
    np.testing.assert_array_equal(before, numbers)
    cond = normal(seed, (rows, C))
    assert HYPER([cond, given_x]).tobytes() == HYPER([cond, plain]).tobytes()


units = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@given(st.integers(1, 5), units, st.booleans(), st.lists(small, max_size=1), seeds)
def test_unflatten_names_every_number_once(
    width: int, sizes: list[int], use_bias: bool, leading: list[int], seed: int
) -> None:
    model = hn.Sequential([hn.layers.Input((width,)), *(hn.layers.Dense(n, use_bias=use_bias) for n in sizes)])
    flat = normal(seed, (*leading, model.count_params()))
    views = model.unflatten(flat)
    pieces = [view.reshape(*leading, -1) for view in views.values()]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), flat)
    assert all(np.shares_memory(view, flat) for view in views.values())
    assert [view.shape[len(leading) :] for view in views.values()] == [w.shape for w in model.get_weights()]
    if not leading:
        model.set_weights(flat)
        assert model.params.tobytes() == flat.tobytes()
        model.set_weights([2 * view for view in views.values()])
        assert model.params.tobytes() == (2 * flat).tobytes()
