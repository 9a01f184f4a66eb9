"""The benchmark of alignment at its smallest: three simulated animals, made once for all tests that ask for them."""

from __future__ import annotations

import pytest

from tests.benchmarks.alignment.scales import SCALES, Material, material


@pytest.fixture(scope="session")
def tiny_material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material(SCALES["tiny"], tmp_path_factory.mktemp("alignment"))
