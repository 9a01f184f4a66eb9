from __future__ import annotations

import pytest

from nwb_mivae.clips import ClipStore, Split
from tests.tiny_run import tiny_split, tiny_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return tiny_store(tmp_path_factory.mktemp("training") / "store")


@pytest.fixture(scope="session")
def split(store: ClipStore) -> Split:
    return tiny_split(store)
