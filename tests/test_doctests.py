"""The examples of all docstrings run."""

import doctest
import importlib
import inspect
import pkgutil

import hypernet
import pytest

MODULES = ["hypernet"] + [
    module.name
    for module in pkgutil.walk_packages(hypernet.__path__, "hypernet.")
    if not module.name.endswith(("__main__", "_core"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    pytest.importorskip("sklearn") if ".demo" in name else None
    module = importlib.import_module(name)
    hypernet.utils.set_random_seed(0)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert failed == 0


def test_public_names_are_documented():
    for name in hypernet.__all__:
        value = getattr(hypernet, name)
        assert isinstance(value, str) or (value.__doc__ and value.__doc__.strip()), name


PUBLIC = [
    *("activations", "callbacks", "constraints", "initializers", "layers", "losses", "metrics", "models", "optimizers"),
    *("optimizers.schedules", "regularizers", "saving", "utils"),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_classes_and_functions_have_examples(name):
    module = importlib.import_module(f"hypernet.{name}")
    values = {key: getattr(module, key) for key in module.__all__}
    undocumented = [key for key, value in values.items() if not (inspect.getdoc(value) or "").strip()]
    classes = {key: value for key, value in values.items() if inspect.isclass(value)}
    assert not undocumented
    assert not [key for key, value in classes.items() if ">>>" not in inspect.getdoc(value)]


# Methods that give and take what other methods explain.
WITHOUT_EXAMPLE = {
    "compile_from_config", "from_config", "get_compile_config", "get_config", "reset_metrics"
}  # fmt: skip


@pytest.mark.parametrize("owner", [hypernet, hypernet.Model, hypernet.Sequential, hypernet.HyperModel, hypernet.saving])
def test_public_functions_and_methods_have_examples(owner):
    """Nothing public is left without one: functions of the package, methods of models."""
    names = owner.__all__ if inspect.ismodule(owner) else [name for name in dir(owner) if not name.startswith("_")]
    functions = {name: getattr(owner, name) for name in names if name not in WITHOUT_EXAMPLE}
    functions = {name: value for name, value in functions.items() if inspect.isroutine(value)}
    assert len(functions) >= 4
    assert not [name for name, value in functions.items() if ">>>" not in (inspect.getdoc(value) or "")]
