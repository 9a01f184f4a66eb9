"""Writing NWB as Zarr with hdmf-zarr, so that all of an HDF5 source arrives and plain hdmf-zarr can read it.

What hdmf-zarr 0.13 would do by itself, and this does not:

* store references as Python pickles, which numcodecs 0.15.2 refuses to read. Here they are JSON. A compound column with
  references (``timeseries`` of interval tables) becomes an array of one more axis, because JSON has no compound values;
  hdmf-zarr gives its rows back as they were.
* keep the chunks of the HDF5 source, however small, as a file each, and compress twice, with the source's filter and
  its own.
* read each dataset whole into memory.
* build every object anew, and so leave behind attributes that no schema describes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numcodecs
import numpy as np
import numpy.typing as npt
from hdmf.backends.io import HDMFIO
from hdmf.data_utils import GenericDataChunkIterator
from hdmf.query import HDMFDataset
from hdmf.spec import RefSpec
from hdmf_zarr import ZarrDataIO
from hdmf_zarr.backend import ZarrIO
from pynwb import get_manager

__all__ = ["COMPRESSOR", "new_folder"]

COMPRESSOR = numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)

# Each chunk is a file; smaller ones than this cost more for being files than they save in reading.
_LEAST_CHUNK_BYTES = 2**18
_AT_ONCE_BYTES = 2**26


def new_folder(path: Path) -> Any:
    """The IO that writes a new NWB folder: a context manager with ``write`` and ``export``."""
    return _Writer(str(path), manager=get_manager(), mode="w", object_codec_class=numcodecs.JSON)


class _KeepsBuilders(HDMFIO):
    """Lets unchanged objects be copied as they are; hdmf-zarr asks for every object to be built anew."""

    def export(self, **kwargs: Any) -> None:
        super().export(**{**kwargs, "clear_cache": False})


class _Writer(ZarrIO, _KeepsBuilders):
    def write_dataset(self, **kwargs: Any) -> Any:
        """Write one dataset, as :meth:`hdmf_zarr.backend.ZarrIO.write_dataset` does."""
        builder = kwargs["builder"]
        data = builder.data
        if self.get_written(builder):
            return None
        if isinstance(builder.dtype, list) and any(map(_is_reference, builder.dtype)):
            return self._write_rows_with_references(kwargs["parent"], builder)
        if isinstance(data, HDMFDataset) and isinstance(data.dataset, h5py.Dataset) and data.dataset.dtype.kind == "V":
            # Masks: hdmf would convert them value by value, minutes for thousands of ROIs.
            kwargs["force_data"] = ZarrDataIO(data.dataset[:], compressor=COMPRESSOR)
        elif isinstance(data, h5py.Dataset) and data.shape and data.dtype.kind in "biufc":
            kwargs["force_data"] = _as_zarr(data)
        return super().write_dataset(**kwargs)

    def _write_rows_with_references(self, parent: Any, builder: Any) -> Any:
        rows: npt.NDArray[np.object_] = np.empty((len(builder.data), len(builder.dtype)), dtype=object)
        for number, row in enumerate(builder.data[:]):
            for place, kind in enumerate(builder.dtype):
                value = row[place]
                if _is_reference(kind):
                    value = self._create_ref(value, ref_link_source=self.path)
                rows[number, place] = value.item() if isinstance(value, np.generic) else value
        array = parent.require_dataset(
            builder.name, shape=rows.shape, dtype=object, object_codec=self.object_codec_class(), compressor=COMPRESSOR
        )
        array.attrs["zarr_dtype"] = [
            {"name": kind["name"], "dtype": "object" if _is_reference(kind) else np.dtype(kind["dtype"]).name}
            for kind in builder.dtype
        ]
        array[:] = rows
        self.write_attributes(array, builder.attributes)
        self._written_builders.set_written(builder)
        return array


def _is_reference(kind: Any) -> bool:
    return isinstance(kind["dtype"], RefSpec | dict) or kind["dtype"] == "object"


class _Blocks(GenericDataChunkIterator):
    """An HDF5 dataset, some chunks at a time."""

    def __init__(self, data: h5py.Dataset, chunks: tuple[int, ...] | None) -> None:
        self.dataset = data
        super().__init__(buffer_gb=_AT_ONCE_BYTES / 1e9, chunk_shape=chunks, chunk_mb=None if chunks else 1.0)

    def _get_data(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        return np.asarray(self.dataset[selection])

    def _get_maxshape(self) -> tuple[int, ...]:
        return tuple(self.dataset.shape)

    def _get_dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.dataset.dtype
        return dtype


def _as_zarr(data: h5py.Dataset) -> Any:
    chunks = data.chunks
    if chunks is not None and np.prod(chunks) * data.dtype.itemsize < _LEAST_CHUNK_BYTES:
        chunks = None
    if data.nbytes <= _AT_ONCE_BYTES:
        return ZarrDataIO(data[:], chunks=chunks, compressor=COMPRESSOR)
    return ZarrDataIO(_Blocks(data, chunks), compressor=COMPRESSOR)
