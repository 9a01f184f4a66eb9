"""Image masks of ROIs, read from the source block by block while the companion is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from hdmf.data_utils import GenericDataChunkIterator

from nwb_mivae.annotation.blocks import grown_block
from nwb_mivae.errors import AnnotationError, NwbMivaeError

if TYPE_CHECKING:
    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["IMAGE_MASK", "PIXEL_MASKS", "StreamedMasks"]

IMAGE_MASK = "image_mask"
#: Lists of pixels, with the fields of one pixel.
PIXEL_MASKS = {"pixel_mask": ("x", "y", "weight"), "voxel_mask": ("x", "y", "z", "weight")}

#: Bytes of image masks in memory at a time, unless one chunk of the source has more.
_BLOCK_BYTES = 1 << 24
#: One chunk, where the source has none.
_CHUNK_BYTES = 1 << 20


class StreamedMasks(GenericDataChunkIterator):
    """Image masks (ROIs, ...) of an open source, read block by block when they are written.

    The chunks are the source's own, so that each is read and decompressed once; where it has none they are whole masks
    of up to a mebibyte.

    Parameters
    ----------
    stored : array-like, (ROIs, ...)
        An HDF5 or Zarr dataset.
    opened : OpenedFile
        The source it belongs to.
    object_path : str
        Of the table, for errors.
    """

    def __init__(self, stored: Any, opened: OpenedFile, object_path: str) -> None:
        self._stored = stored
        self._opened = opened
        self._object_path = object_path
        shape = tuple(int(size) for size in stored.shape)
        itemsize = np.dtype(stored.dtype).itemsize
        chunks = getattr(stored, "chunks", None)
        if chunks is None:
            chunk = grown_block((1,) * len(shape), shape, _CHUNK_BYTES // itemsize)
        else:
            chunk = tuple(min(part, size) for part, size in zip(chunks, shape, strict=True))
        super().__init__(chunk_shape=chunk, buffer_shape=grown_block(chunk, shape, _BLOCK_BYTES // itemsize))

    def _get_data(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        try:
            return np.asarray(self._stored[selection])
        except NwbMivaeError:
            raise
        except Exception as problem:  # h5py and zarr raise whatever fits a damaged chunk
            self._opened.raise_if_broken()
            raise AnnotationError(
                f"masks of ROIs {selection[0].start} to {selection[0].stop - 1} that cannot be read "
                f"({type(problem).__name__}: {' '.join(str(problem).split())[:300]})",
                expected="an undamaged table",
                remedy="download the source again",
                file=self._opened.location,
                object_path=f"{self._object_path}/{IMAGE_MASK}",
            ) from problem

    def _get_maxshape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self._stored.shape)

    def _get_dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self._stored.dtype)
        return dtype
