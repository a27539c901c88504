"""hypernet against values that Keras produced (tests/golden): numbers in float64, and facts."""

from __future__ import annotations

from typing import Any

import pytest

from golden import cases_facts, table
from golden.libraries import HypernetLibrary, KerasLibrary

LIBRARY = HypernetLibrary()
VALUES, FACTS = table.load()
PLAIN_FACTS = [name for name in table.FACT_CASES if name.split("/")[0] not in ("signature", "config", "mistake")]
# Words of Keras's message that hypernet's begins with; fewer where Keras misses a space, or lets a list speak for itself.
WORDS = 4
FEWER_WORDS = {"VarianceScaling distribution": 3, "Sequential.pop": 0}


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
    """The same parameters in the same order with the same defaults; what is not built may be missing."""
    label = name.removeprefix("signature/")
    module, _, attribute = label.rpartition(".")
    own = cases_facts.signature_of(getattr(cases_facts.owner_of(LIBRARY.k, module), attribute))
    names = {parameter[0] for parameter in own}
    unbuilt = cases_facts.UNBUILT.get(label, set())
    expected = [parameter for parameter in FACTS[name] if parameter[0] in names or parameter[0] not in unbuilt]
    of_keras = {parameter[0] for parameter in FACTS[name]}
    assert [parameter for parameter in own if parameter[0] in of_keras] == expected
    if module != "Model":  # Python's own way out is allowed to have more: `out=` on predict
        base = {parameter[0] for parameter in cases_facts.signature_of(LIBRARY.k.layers.Layer)}
        assert names - of_keras <= (base if module == "layers" else set())


@pytest.mark.parametrize("label", cases_facts.UNBUILT)
def test_what_is_not_built_raises(label: str) -> None:
    """An argument of Keras's that is not built is never silently ignored."""
    module, _, attribute = label.rpartition(".")
    function: Any = getattr(cases_facts.owner_of(LIBRARY.k, module), attribute)
    given: dict[str, Any] = {
        "Dense": (1,),
        "Embedding": (3, 1),
        "Input": ((3,),),
        "save_weights": (None, "w.safetensors"),
    }
    for argument in cases_facts.UNBUILT[label]:
        with pytest.raises((TypeError, ValueError, NotImplementedError), match=argument):
            function(*given.get(attribute, ()), **{argument: 3})


@pytest.mark.parametrize("name", facts_of("config"))
def test_config(name: str) -> None:
    found, expected = table.run_facts(name, LIBRARY), FACTS[name]
    shared = {key: value for key, value in found.items() if key in expected}
    assert shared == {key: expected[key] for key in shared}
    missing = expected.keys() - found.keys() - UNBUILT_CONFIG
    assert not [key for key in missing if expected[key] is not None]


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
    assert found["message"] and first_words(name, found) == first_words(name, expected)


def first_words(name: str, mistake: dict[str, str]) -> list[str]:
    return mistake["message"].split()[: FEWER_WORDS.get(name.removeprefix("mistake/"), WORDS)]


@pytest.mark.conformance
@pytest.mark.filterwarnings("default")  # what Keras and JAX warn of is theirs
def test_files_are_what_keras_gives() -> None:
    """Keras on JAX, in float64, makes the files anew."""
    keras = KerasLibrary()
    problems = []
    for name, expected in VALUES.items():
        problems += table.differences(name, table.run_values(name, keras), expected)
    for name, expected in FACTS.items():
        found = table.run_facts(name, keras)
        if name.startswith("mistake/"):  # the rest of a message may list a set, in any order
            found, expected = ([fact["type"], first_words(name, fact)] for fact in (found, expected))
        if found != expected:
            problems.append(f"{name}: {found}, expected {expected}")
    assert not problems, "\n".join(problems)
