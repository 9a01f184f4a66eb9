"""All that an HDF5 file or a Zarr folder holds, read by h5py and zarr alone, in one form that can be compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

#: Written by hdmf where a format is chosen: names of axes are Zarr's way of saying them.
ADDED_BY_ZARR = "_ARRAY_DIMENSIONS"


@dataclass
class Contents:
    """Attributes, values, groups and links by path, but for the cached specifications."""

    attributes: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)

    def differences(self, other: Contents) -> list[str]:
        """Paths that are not the same in both; which file it is is not compared."""
        pairs = [(self.attributes, other.attributes), (self.values, other.values), (self.links, other.links)]
        unlike = [
            path
            for mine, others in pairs
            for path in mine.keys() | others.keys()
            if path not in mine or path not in others or not same(mine[path], others[path])
        ]
        return sorted({*unlike, *(self.groups ^ other.groups)} - {"/@object_id"})


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, with their types and NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        nan = one.dtype.kind in "fc"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=nan)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def contents(path: Path) -> Contents:
    return _of_zarr(path) if path.is_dir() else _of_hdf5(path)


def _of_hdf5(path: Path) -> Contents:
    found = Contents()
    with h5py.File(path, "r") as file:
        specifications = file[file.attrs[".specloc"]].name if ".specloc" in file.attrs else None

        def plain(value: Any) -> Any:
            return f"-> {file[value].name}" if isinstance(value, h5py.Reference) else _plain(value, plain)

        def visit(item: Any, place: str) -> None:
            for name, value in item.attrs.items():
                if name not in (".specloc", ADDED_BY_ZARR):
                    value = plain(value)
                    # Attributes of Zarr are JSON, which has lists.
                    found.attributes[f"{place or '/'}@{name}"] = getattr(value, "tolist", lambda value=value: value)()
            if isinstance(item, h5py.Dataset):
                found.values[place] = plain(item[()])
                return
            found.groups.add(place)
            for name in item:
                link, inside = item.get(name, getlink=True), f"{place}/{name}"
                if isinstance(link, h5py.SoftLink):
                    found.links[inside] = file[link.path].name
                elif inside != specifications:
                    visit(item[name], inside)

        visit(file, "")
    return found


def _of_zarr(path: Path) -> Contents:
    found = Contents()
    root = zarr.open_consolidated(str(path), mode="r")
    specifications = f"/{root.attrs['.specloc']}"

    def plain(value: Any) -> Any:
        if isinstance(value, dict) and "value" in value:
            value = value["value"]
        if isinstance(value, dict):
            assert value["source"] == ".", value
            return f"-> {value['path']}"
        return _plain(value, plain)

    def visit(item: Any, place: str) -> None:
        for name, value in item.attrs.items():
            if name == "zarr_link":
                for link in value:
                    assert link["source"] == ".", link
                    found.links[f"{place}/{link['name']}"] = link["path"]
            elif name not in (".specloc", "zarr_dtype", ADDED_BY_ZARR):
                found.attributes[f"{place or '/'}@{name}"] = plain(value)
        if isinstance(item, zarr.Array):
            values = item[:]
            found.values[place] = plain(values[0] if item.attrs["zarr_dtype"] == "scalar" else values)
            return
        found.groups.add(place)
        for name, inside in (*item.groups(), *item.arrays()):
            if f"{place}/{name}" != specifications:
                visit(inside, f"{place}/{name}")

    visit(root, "")
    return found


def _plain(value: Any, plain: Any) -> Any:
    """Texts as text, rows as lists; arrays of numbers stay arrays."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return value if value.ndim else value[()].item()
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.void):
        return [plain(value[name]) for name in value.dtype.names or ()]
    return value.item() if isinstance(value, np.generic) else value
