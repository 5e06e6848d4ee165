"""The examples in the docstrings say the truth."""

import doctest
import importlib

import numpy as np
import pytest


@pytest.mark.parametrize("name", ["evaluation.metrics", "linear", "neighbours", "popularity", "profiles", "splits"])
def test_examples(name):
    module = importlib.import_module(f"aigc_fast.recommender.{name}")
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0
