"""Writing NWB as Zarr with hdmf-zarr, so that all of an HDF5 source arrives and plain hdmf-zarr can read it.

What hdmf-zarr 0.13 would do by itself, and this does not:

* store references as Python pickles, which numcodecs 0.15.2 refuses to read. Here they are JSON. A compound column with
  references (``timeseries`` of interval tables) becomes an array of one more axis, because JSON has no compound values;
  hdmf-zarr gives its rows back as they were.
* keep the chunks of the HDF5 source, however small, as a file each, and compress twice, with the source's filter and
  its own.
* read each dataset whole into memory.
* build every object anew, and so leave behind attributes that no schema describes.
* write a link to data in another HDF5 file as one to a Zarr folder of that name. Here the data comes along.

What neither can carry over unchanged is refused before anything is written.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numcodecs
import numpy as np
import numpy.typing as npt
from hdmf.backends.io import HDMFIO
from hdmf.build import DatasetBuilder, GroupBuilder
from hdmf.data_utils import GenericDataChunkIterator
from hdmf.query import HDMFDataset
from hdmf.spec import RefSpec
from hdmf_zarr import ZarrDataIO
from hdmf_zarr.backend import ZarrIO
from pynwb import get_manager

from nwb_mivae.annotation.blocks import grown_block
from nwb_mivae.errors import AnnotationError

__all__ = ["COMPRESSOR", "new_folder", "refuse_what_zarr_cannot_hold"]

COMPRESSOR = numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)

# Each chunk is a file; smaller ones than this cost more for being files than they save in reading.
_LEAST_CHUNK_BYTES, _GROWN_CHUNK_BYTES = 2**18, 2**20
_AT_ONCE_BYTES = 2**26


def new_folder(path: Path) -> Any:
    """The IO that writes a new NWB folder: a context manager with ``write`` and ``export``."""
    return _Writer(str(path), manager=get_manager(), mode="w", object_codec_class=numcodecs.JSON)


def refuse_what_zarr_cannot_hold(source: Path) -> None:
    """Go through an HDF5 file for what would be changed or lost in Zarr; only names, types and attributes are read.

    Raises
    ------
    AnnotationError
        If there is any: compound values with texts, arrays or no rows; rows of numbers of several lengths; attributes
        without a value or of many references; links to objects of other files, or to files that are not there.
    """

    def refusal(found: str, name: str) -> AnnotationError:
        return AnnotationError(
            f"{found}, which cannot be written as Zarr",
            expected="what both formats can hold",
            remedy='annotate it in HDF5, with backend="hdf5"',
            file=source,
            object_path=name,
        )

    def check_object(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (found := _not_for_zarr(item)):
            raise refusal(found, name)
        for key in item.attrs:
            value = item.attrs[key]
            if isinstance(value, h5py.Empty):
                raise refusal(f"an attribute {key!r} without a value", name)
            if isinstance(value, np.ndarray) and h5py.check_ref_dtype(item.attrs.get_id(key).dtype) is not None:
                raise refusal(f"an attribute {key!r} of references", name)

    def check_link(name: str, link: h5py.ExternalLink) -> None:
        try:
            target = file[name]
        except KeyError:
            raise refusal(f"a broken link to {link.path} in {link.filename}", name) from None
        if not isinstance(target, h5py.Dataset) or target.dtype.kind == "V" or target.dtype.hasobject:
            raise refusal(f"a link to {link.path} in {link.filename} that is no array of numbers", name)

    with h5py.File(source, "r") as file:
        check_object("/", file)
        file.visititems(check_object)
        links: dict[str, Any] = {}
        file.visititems_links(links.__setitem__)
        for name, link in links.items():
            if isinstance(link, h5py.ExternalLink):
                check_link(name, link)


def _not_for_zarr(item: h5py.Dataset) -> str:
    kind = item.dtype
    if h5py.check_vlen_dtype(kind) not in (None, str, bytes):
        return "rows of several lengths"
    if kind.names is None:
        return ""
    fields = [kind[name] for name in kind.names]
    if item.shape == ():
        return "a compound value that is no table"
    if any(field.subdtype or h5py.check_string_dtype(field) or field.kind in "SUV" for field in fields):
        return "compound values with texts or arrays in them"
    return ""


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
        elif isinstance(data, h5py.Dataset) and data.shape and data.dtype.kind == "S":
            kwargs["force_data"] = data[:]
        return super().write_dataset(**kwargs)

    def write_link(self, parent: Any, builder: Any, export_source: str | None = None) -> None:
        """Write a link, or what it leads to where that lies in another HDF5 file."""
        target = builder.builder
        if export_source is None or target.source in (export_source, self.path) or isinstance(target, GroupBuilder):
            super().write_link(parent, builder, export_source)
            return
        copied = DatasetBuilder(builder.name, data=target.data, dtype=target.dtype, attributes=dict(target.attributes))
        self.write_dataset(parent=parent, builder=copied, link_data=False, export_source=export_source)
        self._written_builders.set_written(builder)

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
    """An HDF5 dataset, as many chunks at a time as fit: none of the source's lies in two blocks, to be read twice."""

    def __init__(self, data: h5py.Dataset, chunks: tuple[int, ...]) -> None:
        self.dataset = data
        block = grown_block(chunks, data.shape, _AT_ONCE_BYTES // data.dtype.itemsize)
        super().__init__(buffer_shape=block, chunk_shape=chunks)

    def _get_data(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        return np.asarray(self.dataset[selection])

    def _get_maxshape(self) -> tuple[int, ...]:
        return tuple(self.dataset.shape)

    def _get_dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.dataset.dtype
        return dtype


def _as_zarr(data: h5py.Dataset) -> Any:
    chunks = _chunks(data)
    if data.nbytes <= _AT_ONCE_BYTES:
        return ZarrDataIO(data[:], chunks=chunks, compressor=COMPRESSOR)
    return ZarrDataIO(_Blocks(data, chunks), compressor=COMPRESSOR)


def _chunks(data: h5py.Dataset) -> tuple[int, ...]:
    """The source's own; where they are small, or there are none, so many side by side as one file is worth."""
    itemsize = data.dtype.itemsize
    own = grown_block(data.chunks or (1,) * data.ndim, data.shape, 1)
    if math.prod(own) * itemsize >= _LEAST_CHUNK_BYTES:
        return own
    return grown_block(own, data.shape, _GROWN_CHUNK_BYTES // itemsize)
