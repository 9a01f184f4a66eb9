"""Data that an HDF5 source keeps in other files, which a copy in another folder would not find again.

HDF5 has three ways. An external link is said to be broken when its file is not there. A virtual dataset reads as its
fill value then, without a word; and both it and raw external storage are copied by HDF5 as what they are, with the
names of their files. So a copy gets the values themselves.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from nwb_mivae.annotation.blocks import grown_block
from nwb_mivae.errors import AnnotationError

__all__ = ["DataOutside", "copy_values", "data_outside", "is_outside"]

_AT_ONCE_BYTES = 2**26
_CHUNK_BYTES = 2**20


class DataOutside(NamedTuple):
    """What of a source lies in other files.

    Attributes
    ----------
    linked : bool
        Whether there are links to other files.
    n_bytes : int
        Size of all datasets outside, not compressed.
    """

    linked: bool
    n_bytes: int


def is_outside(data: Any) -> bool:
    """Whether values are those of a virtual dataset, or kept in files that are not HDF5."""
    return isinstance(data, h5py.Dataset) and bool(data.is_virtual or data.external)


def data_outside(source: Path) -> DataOutside:
    """Find what a source keeps in other files; nothing in a Zarr folder.

    Raises
    ------
    AnnotationError
        If a file that a dataset has its values in is missing: HDF5 would read fill values in their place.
    """
    if source.is_dir():
        return DataOutside(linked=False, n_bytes=0)
    linked, outside = False, {}
    with h5py.File(source, "r") as file:
        links: dict[str, Any] = {}
        file.visititems_links(links.__setitem__)
        for name, link in links.items():
            if isinstance(link, h5py.SoftLink):
                continue
            external = isinstance(link, h5py.ExternalLink)
            linked = linked or external
            try:
                item = file[name]
            except (KeyError, OSError):  # a broken link, which whoever opens the file says
                continue
            if isinstance(item, h5py.Dataset) and (external or is_outside(item)):
                outside[item.file.filename, item.name] = item.nbytes
                _refuse_missing(item, source, name)
    return DataOutside(linked, sum(outside.values()))


def _refuse_missing(data: h5py.Dataset, source: Path, name: str) -> None:
    for part in _missing(data):
        raise AnnotationError(
            f"values kept in {part}, which is not there",
            expected="every file that a dataset of the source has its values in, where the source says",
            remedy="put that file where it was, or write a companion (form='companion')",
            file=source,
            object_path=name,
        )


def _missing(data: h5py.Dataset) -> Iterator[str]:
    """Names of files, or of datasets in them, that values are kept in and that are not there."""
    folder = Path(data.file.filename).resolve().parent
    if data.is_virtual:
        folders = (*_named_by("HDF5_VDS_PREFIX", folder), Path(data.file.filename).parent, folder, Path())
        # "." is the file itself; with "%b" a name stands for as many files as there are.
        parts = {(part.file_name, part.dset_name) for part in data.virtual_sources() if "%" not in part.file_name}
        for name, inside in sorted(parts):
            if name != "." and not any(_has(place / name, inside) for place in folders):
                yield f"{inside} of {name}"
    for name, _, _ in data.external or ():
        if not any((place / name).exists() for place in (*_named_by("HDF5_EXTFILE_PREFIX", folder), Path())):
            yield name


def _named_by(variable: str, folder: Path) -> list[Path]:
    """Folders that the user names for HDF5 to look in."""
    named = os.environ.get(variable, "")
    return [Path(each.replace("${ORIGIN}", str(folder))) for each in named.split(os.pathsep) if each]


def _has(path: Path, dataset: str) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return dataset in file
    except OSError:
        return False


def copy_values(data: h5py.Dataset, parent: h5py.Group, name: str) -> h5py.Dataset:
    """Write the values of a dataset to a new one, block by block, compressed; attributes stay behind."""
    data = h5py.Dataset(data.id)  # as HDF5 has it: pynwb decodes texts
    chunk = grown_block((1,) * data.ndim, data.shape, _CHUNK_BYTES // data.dtype.itemsize)
    settings = {"chunks": chunk, "compression": "gzip", "shuffle": True} if data.size else {}
    copy = parent.create_dataset(
        name, shape=data.shape, dtype=data.dtype, maxshape=data.maxshape, fillvalue=data.fillvalue, **settings
    )
    block = grown_block(chunk, data.shape, _AT_ONCE_BYTES // data.dtype.itemsize)
    starts = (range(0, size, step) for size, step in zip(data.shape, block, strict=True))
    for corner in itertools.product(*starts):
        selection = tuple(slice(start, start + step) for start, step in zip(corner, block, strict=True))
        copy[selection] = data[selection]
    return copy
