"""Arrays as they are stored: float32, compressed, in chunks of about a mebibyte."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.blocks import grown_block
from nwb_mivae.annotation.sparse_frames import SparseFrames

__all__ = ["chunk_shape", "compressed", "sparse"]

_CHUNK_VALUES = 2**18


def chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """As much of the first dimensions of a float32 array as fits a mebibyte, and the later ones whole where they do."""
    return grown_block((1,) * len(shape), shape, _CHUNK_VALUES)


def compressed(values: Any, backend: Backend) -> Any:
    """An array as float32, compressed (HDF5's default: not)."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    return backend.compressed(values, chunks=chunk_shape(values.shape))


def sparse(values: npt.NDArray[np.float32], place: npt.NDArray[np.int64], n_frames: int, backend: Backend) -> Any:
    """The same for values at some of ``n_frames`` frames; NaN at the others."""
    frames, *_ = chunk_shape((n_frames, *values.shape[1:]))
    rows = SparseFrames(values, place, n_frames, chunk_frames=frames, gaps=backend.may_leave_gaps)
    return backend.compressed(rows, fill=np.nan)
