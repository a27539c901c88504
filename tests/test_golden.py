"""hypernet against values that Keras produced (tests/golden): numbers in float64, and facts."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from golden import cases_facts, table
from golden.libraries import HypernetLibrary

LIBRARY = HypernetLibrary()
VALUES, FACTS = table.load()
PLAIN_FACTS = [name for name in table.FACT_CASES if name.split("/")[0] not in ("signature", "config", "mistake")]
# Words of Keras's message that hypernet's begins with; fewer where Keras goes on with what only it has.
WORDS = 4
FEWER_WORDS: dict[str, int] = {}


def facts_of(kind: str) -> list[str]:
    return [name for name in table.FACT_CASES if name.startswith(f"{kind}/")]


def test_files_hold_every_case() -> None:
    assert VALUES.keys() == table.VALUE_CASES.keys()
    assert FACTS.keys() == table.FACT_CASES.keys()


@pytest.mark.parametrize("name", table.VALUE_CASES)
def test_numbers(name: str) -> None:
    problems = table.differences(name, table.run_values(name, LIBRARY), VALUES[name])
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", PLAIN_FACTS)
def test_facts(name: str) -> None:
    assert table.run_facts(name, LIBRARY) == FACTS[name]


@pytest.mark.parametrize("name", facts_of("signature"))
def test_signature(name: str) -> None:
    """The same parameters in the same order with the same defaults; what is not built is listed."""
    label = name.removeprefix("signature/")
    module, _, attribute = label.rpartition(".")
    function = getattr(cases_facts.owner_of(LIBRARY.k, module), attribute)
    own = cases_facts.signature_of(function)
    absent = cases_facts.ABSENT.get(label, set())
    expected = [parameter for parameter in FACTS[name] if parameter[0] not in absent]
    shared = [parameter for parameter in own if parameter[0] in {keras[0] for keras in expected}]
    assert shared == expected
    if module != "Model":  # Python's own way out is allowed to have more: `out=` on predict
        assert not [parameter for parameter in own if parameter not in expected]


@pytest.mark.parametrize("label", cases_facts.ABSENT)
def test_what_is_not_built_raises(label: str) -> None:
    """An argument of Keras's that is absent here is never silently ignored."""
    module, _, attribute = label.rpartition(".")
    function = getattr(cases_facts.owner_of(LIBRARY.k, module), attribute)
    parameters = inspect.signature(function).parameters
    for argument in cases_facts.ABSENT[label]:
        assert argument not in parameters
        if module == "layers":
            required: dict[str, Any] = {"Dense": (1,), "Embedding": (3, 1), "Input": ((3,),)}.get(attribute, ())
            with pytest.raises((TypeError, ValueError, NotImplementedError)):
                function(*required, **{argument: 3})


@pytest.mark.parametrize("name", facts_of("config"))
def test_config(name: str) -> None:
    found, expected = table.run_facts(name, LIBRARY), FACTS[name]
    shared = {key: value for key, value in found.items() if key in expected}
    assert shared == {key: expected[key] for key in shared}
    assert shared.keys() >= expected.keys() - UNBUILT_CONFIG


# Entries of Keras's configurations for what hypernet has not built.
UNBUILT_CONFIG = {
    "build_config", "quantization_config", "lora_rank", "lora_alpha", "seed", "noise_shape", "loss_scale_factor",
    "gradient_accumulation_steps", "use_ema", "ema_momentum", "ema_overwrite_frequency", "mask_zero", "rms_scaling",
}  # fmt: skip


@pytest.mark.parametrize("name", facts_of("mistake"))
def test_mistake(name: str) -> None:
    """Keras's type of error, and the first words of its message."""
    found, expected = table.run_facts(name, LIBRARY), FACTS[name]
    assert found["type"] == expected["type"], found
    words = FEWER_WORDS.get(name.removeprefix("mistake/"), WORDS)
    assert found["message"].split()[:words] == expected["message"].split()[:words]
