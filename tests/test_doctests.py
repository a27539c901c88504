"""The examples of all docstrings run."""

import doctest
import importlib
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
