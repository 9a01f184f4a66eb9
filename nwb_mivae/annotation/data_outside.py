"""Data that an HDF5 source keeps in other files, which a copy in another folder would not find again.

HDF5 has three ways. An external link is said to be broken when its file is not there. A virtual dataset reads as its
fill value then, without a word; and both it and raw external storage are copied by HDF5 as what they are, with the
names of their files. So a copy gets the values themselves.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
    """Find what a source keeps in other files, and these again in others; nothing in a Zarr folder.

    Of virtual datasets over numbered files (``%b`` in the name) the files are not looked for: there may be any number.

    Raises
    ------
    AnnotationError
        If a file that a dataset has its values in is missing, directly or by way of other files: HDF5 would read fill
        values in their place.
    """
    if source.is_dir():
        return DataOutside(linked=False, n_bytes=0)
    linked, n_bytes, looked_at = False, 0, set[_Place]()
    with h5py.File(source, "r") as file:
        here = _place(file).file
        groups: list[tuple[str, h5py.Group]] = [("", file)]
        while groups:
            path, group = groups.pop()
            for name in group:
                linked = linked or isinstance(group.get(name, getlink=True), h5py.ExternalLink)
                item = _at(group, name)
                if item is None:  # a broken link, which whoever opens the file says
                    continue
                place = _place(item)
                if place in looked_at:  # links may lead in circles, and from file to file
                    continue
                looked_at.add(place)
                if isinstance(item, h5py.Group):
                    groups.append((f"{path}{name}/", item))
                elif isinstance(item, h5py.Dataset) and (is_outside(item) or place.file != here):
                    n_bytes += item.nbytes
                    _refuse_missing(item, source, path + name)
    return DataOutside(linked, n_bytes)


class _Place(NamedTuple):
    """Which object it is, whatever the links that led to it."""

    file: Path
    address: int


def _place(item: Any) -> _Place:
    return _Place(Path(item.file.filename).resolve(), h5py.h5o.get_info(item.id).addr)


def _at(group: h5py.Group, name: str) -> Any:
    try:
        return group[name]
    except (KeyError, OSError):
        return None


def _refuse_missing(data: h5py.Dataset, source: Path, name: str) -> None:
    for part in _missing(data, set()):
        raise AnnotationError(
            f"values kept in {part}, which is not there or cannot be read",
            expected="every file that a dataset of the source has its values in, where the source says",
            remedy="put that file where it was, or write a companion (form='companion')",
            file=source,
            object_path=name,
        )


def _missing(data: h5py.Dataset, looked_at: set[_Place]) -> Iterator[str]:
    """Names of files, or of datasets in them, that values are kept in and that are not there."""
    place = _place(data)
    if place in looked_at:
        return
    looked_at.add(place)
    # Part of a virtual dataset may be virtual itself, in this file (".") or in the other.
    parts = {(part.file_name, part.dset_name) for part in data.virtual_sources()} if data.is_virtual else set()
    for name, inside in sorted(parts):
        if "%" in name + inside:  # with "%b" a name stands for as many files, or datasets, as there are
            continue
        with nullcontext(data.file) if name == "." else _opened(name, data) as file:
            part = None if file is None else _at(file, inside)
            if isinstance(part, h5py.Dataset):
                yield from _missing(part, looked_at)
            else:
                yield f"{inside} of {name}"
    for name, _, _ in data.external or ():
        if not any((each / name).exists() for each in (*_named_by("HDF5_EXTFILE_PREFIX", place.file.parent), Path())):
            yield name


@contextmanager
def _opened(name: str, data: h5py.Dataset) -> Iterator[h5py.File | None]:
    """The file that HDF5 takes for one that a virtual dataset names: the first that it can open."""
    source = Path(data.file.filename)
    folder = source.resolve().parent  # of a symbolic link, where the file itself lies
    folders = (*_named_by("HDF5_VDS_PREFIX", folder), source.parent, Path(), folder)
    # A whole path that leads nowhere, as in a folder that was moved, still gives the name of a file.
    whole, rest = ([Path(name)], Path(name).name) if Path(name).is_absolute() else ([], name)
    for path in (*whole, *(each / rest for each in folders)):
        try:
            file = h5py.File(path, "r")
        except OSError:
            continue
        with file:
            yield file
        return
    yield None


def _named_by(variable: str, folder: Path) -> list[Path]:
    """Folders that the user names for HDF5 to look in."""
    named = os.environ.get(variable, "")
    return [Path(each.replace("${ORIGIN}", str(folder))) for each in named.split(os.pathsep) if each]


def copy_values(data: h5py.Dataset, parent: h5py.Group, name: str) -> h5py.Dataset:
    """Write the values of a dataset to a new one, block by block, compressed; attributes stay behind."""
    data = h5py.Dataset(data.id)  # as HDF5 has it: pynwb decodes texts
    chunk = grown_block((1,) * data.ndim, data.shape, _CHUNK_BYTES // data.dtype.itemsize)
    settings: dict[str, Any] = {"chunks": chunk, "compression": "gzip", "shuffle": True} if data.size else {}
    if not data.dtype.hasobject:  # h5py crashes over a fill value with texts or references in it
        settings["fillvalue"] = data.fillvalue
    copy = parent.create_dataset(name, shape=data.shape, dtype=data.dtype, maxshape=data.maxshape, **settings)
    block = grown_block(chunk, data.shape, _AT_ONCE_BYTES // data.dtype.itemsize)
    starts = (range(0, size, step) for size, step in zip(data.shape, block, strict=True))
    for corner in itertools.product(*starts):
        selection = tuple(slice(start, start + step) for start, step in zip(corner, block, strict=True))
        copy[selection] = data[selection]
    return copy
