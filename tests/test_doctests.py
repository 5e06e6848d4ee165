"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import aigc_fast

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(aigc_fast.__path__, "aigc_fast.")
    if not module.name.endswith(("_core", "__main__"))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    try:
        module = importlib.import_module(name)
    except aigc_fast.MissingExtraError as missing:
        pytest.skip(str(missing))
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    own = [name for name in MODULES if ".adapters" not in name]
    count = sum(len(test.examples) for name in own for test in finder.find(importlib.import_module(name)))
    assert count >= 20
