"""One run of the demonstration that the tests of its parts share."""

from dataclasses import replace

import pytest

pytest.importorskip("typer")

from synthetic_ratings import load

from aigc_fast.demo import DemoResult, DemoSettings, run_demo


@pytest.fixture(scope="session")
def ratings(tmp_path_factory):
    return load(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def settings(tmp_path_factory) -> DemoSettings:
    return replace(DemoSettings(tmp_path_factory.mktemp("demo"), epochs=3, dim=8), n_vectors=(1, 8), rounds=3)


@pytest.fixture(scope="session")
def said() -> list[str]:
    return []


@pytest.fixture(scope="session")
def result(ratings, settings, said) -> DemoResult:
    return run_demo(ratings, settings, title="Made-up films", licence="Nobody's <data>.", say=said.append)
