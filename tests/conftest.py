"""What every test may use: the real data, where there are any, and one thread per process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two test processes with two threads each are eight times slower than with one each; set before torch is imported.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# A test must never ask the network whether a newer dandi client exists.
os.environ.setdefault("DANDI_NO_ET", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real files nobody here wrote (`PROVENANCE.md` there), or a skip where it is absent."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "real"
    folder = Path(os.environ.get("NWB_MIVAE_REAL_DATA", default))
    if not (folder / "PROVENANCE.md").is_file():
        pytest.skip(f"no real data at {folder}: set NWB_MIVAE_REAL_DATA to a folder that holds PROVENANCE.md")
    return folder
