"""Opening NWB files that are stored as folders in the Zarr format, through hdmf-zarr, which is an optional extra.

Two things are more than hdmf-zarr does. Its own habit is to store references as Python pickles, and numcodecs before
0.15.2 runs whatever program such an array holds when it is read: here arrays of that kind are refused by name. And a
link may name any other folder of the disk: only links inside the folder are followed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
from pathlib import Path
from typing import Any, Literal

import h5py

from nwb_mivae.errors import SessionError
from nwb_mivae.outputs import sha256_of_file

__all__ = [
    "INSTALL_ZARR",
    "digest_of_folder",
    "is_zarr_folder",
    "open_zarr",
    "outline",
    "refuse_what_is_no_zarr",
    "zarr_is_installed",
]

INSTALL_ZARR = 'pip install "nwb_mivae[zarr]"'

_READ_WHOLE = ("id", "start_time", "timestamps", "origin_coords")


def zarr_is_installed() -> bool:
    """Whether hdmf-zarr can be imported."""
    return importlib.util.find_spec("hdmf_zarr") is not None


def is_zarr_folder(path: Path) -> bool:
    """Whether a folder says of itself that it is Zarr (version 2, the one hdmf-zarr writes)."""
    return (path / ".zgroup").is_file()


def refuse_what_is_no_zarr(path: Path) -> None:
    """Refuse a folder that is not a whole NWB file in Zarr.

    Raises
    ------
    SessionError
        If hdmf-zarr is not installed; if the folder is not Zarr, is Zarr of version 3, has no consolidated
        metadata (the last thing to be written), or lacks chunks; if it does not say which version of NWB it is.
    """
    if (path / "zarr.json").is_file():
        raise SessionError(
            "a Zarr folder of version 3",
            expected="Zarr version 2, which hdmf-zarr reads and writes",
            remedy="write it again with hdmf-zarr",
            file=path,
        )
    if not is_zarr_folder(path):
        raise SessionError(
            "a folder that is not Zarr (it has no .zgroup)",
            expected="an NWB file in HDF5, or an NWB folder in Zarr",
            remedy="name the .nwb file or the .nwb.zarr folder itself",
            file=path,
        )
    if not zarr_is_installed():
        raise SessionError(
            "a Zarr folder, and no hdmf-zarr in this environment",
            expected="hdmf-zarr, which reads NWB from Zarr",
            remedy=INSTALL_ZARR,
            file=path,
        )
    if not (path / ".zmetadata").is_file():
        raise SessionError(
            "a Zarr folder without consolidated metadata (.zmetadata), which is written last: it is not whole",
            expected="a folder that was written, or copied, to its end",
            remedy="write or copy it again; of one known to be whole, zarr.consolidate_metadata(folder) makes it anew",
            file=path,
        )
    try:
        metadata = json.loads((path / ".zmetadata").read_bytes())["metadata"]
        attributes = metadata[".zattrs"]
    except (ValueError, KeyError, TypeError, OSError) as problem:
        raise SessionError(
            f"consolidated metadata that cannot be read ({type(problem).__name__})",
            expected="the metadata of an NWB file",
            remedy="write or copy the folder again",
            file=path,
            object_path=".zmetadata",
        ) from problem
    if not str(attributes.get("nwb_version", "")).startswith(("2", "3")):
        raise SessionError(
            "a Zarr folder without a version of NWB",
            expected="the attribute nwb_version",
            remedy="name a folder that was written as NWB 2",
            file=path,
            object_path="/",
        )
    for name, array in metadata.items():
        if name.endswith(".zarray"):
            _refuse_missing_chunks(path, name.removesuffix(".zarray").strip("/"), array)


def _refuse_missing_chunks(path: Path, name: str, array: dict[str, Any]) -> None:
    # Zarr itself reads a chunk that is not there as zeros.
    if array.get("dimension_separator", ".") != ".":
        return
    expected = math.prod(-(-size // chunk) for size, chunk in zip(array["shape"], array["chunks"], strict=True))
    folder = path / name
    found = sum(not entry.name.startswith(".") for entry in os.scandir(folder)) if folder.is_dir() else 0
    if found < expected:
        raise SessionError(
            f"{found} of {expected} chunks of an array: the folder is not whole, as after an interrupted copy",
            expected="every chunk",
            remedy="copy or download the folder again",
            file=path,
            object_path=name,
        )


def open_zarr(path: Path, mode: Literal["r", "r+"] = "r") -> Any:
    """The IO of an NWB folder, with the extensions it carries in itself: a context manager with ``read`` and ``write``.

    What is written through it holds no pickles.

    Raises
    ------
    SessionError
        When an array is reached that holds pickles, or a link that leads out of the folder.
    """
    import numcodecs
    from hdmf.build import BuildManager
    from hdmf_zarr.backend import ZarrIO
    from hdmf_zarr.zarr_utils import BuilderZarrTableDataset
    from pynwb import get_type_map

    class RowsWithReferences(BuilderZarrTableDataset):
        """Rows that are stored as JSON, which has no compound types, say what they are made of to the validator."""

        @property
        def dtype(self) -> list[str]:
            return [str(each["dtype"]) for each in self.dataset.attrs["zarr_dtype"]]

    class LinksInside(ZarrIO):
        """Follows links inside the folder only."""

        def read_builder(self) -> Any:
            root = super().read_builder()
            unvisited = [root]
            while unvisited:
                group = unvisited.pop()
                unvisited += group.groups.values()
                for builder in group.datasets.values():
                    rows = builder.data
                    if isinstance(rows, BuilderZarrTableDataset) and rows.dataset.ndim == 2:
                        builder["data"] = RowsWithReferences(rows.dataset, self, rows.types)
            return root

        def resolve_ref(self, zarr_ref: dict[str, Any]) -> Any:
            if zarr_ref.get("source") != ".":
                raise SessionError(
                    f"a link to another folder, {zarr_ref.get('source')!r}",
                    expected="links inside the folder",
                    remedy="export the folder with hdmf-zarr, which brings along what it links to",
                    file=path,
                    object_path=str(zarr_ref.get("path")),
                )
            return super().resolve_ref(zarr_ref)

        @property
        def nwb_version(self) -> tuple[str]:
            """First of it is the text, as with pynwb's IO of HDF5 files."""
            return (str(self._file.attrs["nwb_version"]),)

    store = _store(path)
    type_map = get_type_map()
    ZarrIO.load_namespaces(type_map, path=store)
    return LinksInside(store, manager=BuildManager(type_map), mode=mode, object_codec_class=numcodecs.JSON)


def digest_of_folder(path: Path) -> str:
    """One SHA-256 for all that is in a folder, as 64 hexadecimal digits.

    It is that of the text with a line ``DIGEST  NAME`` for every file, in order of name: ``NAME`` relative to the
    folder with ``/`` in it, ``DIGEST`` the SHA-256 of the file's bytes. ``sha256sum`` writes such lines.
    """
    names = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
    lines = [f"{sha256_of_file(path / name)}  {name}\n" for name in names]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def outline(path: Path) -> h5py.File:
    """The plan of an NWB folder as an HDF5 file in memory, for whoever only has to look at names, types and times.

    It has every group, link and plain attribute, single values, ids and times; of other arrays only shape and type.

    Raises
    ------
    SessionError
        As :func:`refuse_what_is_no_zarr`, or if the folder holds pickles.
    """
    refuse_what_is_no_zarr(path)
    import zarr

    plan = h5py.File.in_memory()
    unvisited = [(zarr.open_consolidated(_store(path), mode="r"), plan)]
    while unvisited:
        group, copy = unvisited.pop()
        _copy_attributes(group, copy)
        for link in group.attrs.get("zarr_link", []):
            copy[link["name"]] = h5py.SoftLink(link["path"])
        for name, array in group.arrays():
            _copy_array(name, array, copy)
        unvisited += [(inside, copy.create_group(name)) for name, inside in group.groups()]
    return plan


def _copy_array(name: str, array: Any, copy: h5py.Group) -> None:
    if array.attrs.get("zarr_dtype") == "scalar":
        value = array[0]
        dataset = copy.create_dataset(name, data=value.decode() if isinstance(value, bytes) else value)
    elif array.dtype.kind not in "biuf":
        return
    elif name in _READ_WHOLE or not array.size:
        dataset = copy.create_dataset(name, data=array[:])
    else:
        dataset = copy.create_dataset(name, shape=array.shape, dtype=array.dtype, chunks=True)  # takes no space
    _copy_attributes(array, dataset)


def _copy_attributes(item: Any, copy: Any) -> None:
    for name, value in item.attrs.items():
        if isinstance(value, str | int | float):
            copy.attrs[name] = value


def _store(path: Path) -> Any:
    """The folder as Zarr's store, from which no array of pickles can be read."""
    from zarr.storage import DirectoryStore

    class WithoutPickles(DirectoryStore):
        """Refuses the metadata of an array before anything of the array is decoded."""

        def __getitem__(self, key: str) -> bytes:
            value: bytes = super().__getitem__(key)
            if key.endswith(".zmetadata"):
                for name, metadata in json.loads(value)["metadata"].items():
                    self._refuse_pickles(name, metadata)
            elif key.endswith(".zarray"):
                self._refuse_pickles(key, json.loads(value))
            return value

        def _refuse_pickles(self, key: str, metadata: dict[str, Any]) -> None:
            codecs = [*(metadata.get("filters") or []), metadata.get("compressor") or {}]
            if key.endswith(".zarray") and any(codec.get("id") == "pickle" for codec in codecs):
                raise SessionError(
                    "an array of Python pickles, which can run any program when they are read",
                    expected="texts and references stored as JSON",
                    remedy="use the HDF5 file, or have it written again with hdmf_zarr.backend.ZarrIO and "
                    "object_codec_class=numcodecs.JSON",
                    file=path,
                    object_path=key.removesuffix(".zarray").strip("/"),
                )

    return WithoutPickles(str(path))
