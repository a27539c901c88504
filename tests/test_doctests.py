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
