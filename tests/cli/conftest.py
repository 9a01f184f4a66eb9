from __future__ import annotations

import pytest

from tests.finished_run import FinishedRun, finished_run_of


@pytest.fixture(scope="session")
def finished_run(request: pytest.FixtureRequest) -> FinishedRun:
    return finished_run_of(request)
