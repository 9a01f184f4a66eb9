"""Changes to a file that pynwb has written, for what published files hold and pynwb refuses or no longer writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

__all__ = [
    "add_index",
    "add_namespace",
    "as_extension_type",
    "changed",
    "old_indices",
    "replaced",
    "signed_index_series",
]


@contextmanager
def changed(path: Path) -> Iterator[h5py.File]:
    """The file, open for changes with h5py."""
    with h5py.File(path, "r+") as root:
        yield root


def replaced(root: h5py.File, path: str, data: npt.NDArray[Any]) -> h5py.Dataset:
    """The dataset at this path with other data or type and the attributes it had; its index, if any, refers to it."""
    attributes = dict(root[path].attrs)
    del root[path]
    dataset = root.create_dataset(path, data=data)
    for name, value in attributes.items():
        dataset.attrs[name] = value
    if f"{path}_index" in root:
        root[f"{path}_index"].attrs["target"] = dataset.ref
    return dataset


def add_index(root: h5py.File, column: str, ends: npt.NDArray[np.int64]) -> None:
    """Make a column ragged: a VectorIndex beside it that says where each row ends."""
    index = root.create_dataset(f"{column}_index", data=ends)
    index.attrs["namespace"] = "hdmf-common"
    index.attrs["neurodata_type"] = "VectorIndex"
    index.attrs["object_id"] = f"{abs(hash(column)):032x}"[:32]
    index.attrs["description"] = f"Index for VectorData '{column.rpartition('/')[2]}'"
    index.attrs["target"] = root[column].ref


def old_indices(root: h5py.File) -> None:
    """Index columns as NWB 2.2 wrote them (int64), and references to time series in a plain VectorData."""
    paths: list[tuple[str, str]] = []

    def collect(path: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and not path.startswith("specifications"):
            paths.append((path, str(item.attrs.get("neurodata_type"))))

    root.visititems(collect)
    for path, kind in paths:
        if kind == "VectorIndex":
            replaced(root, path, root[path][:].astype(np.int64))
        elif kind == "TimeSeriesReferenceVectorData":
            root[path].attrs["neurodata_type"] = "VectorData"
            root[path].attrs["namespace"] = "hdmf-common"


def add_namespace(root: h5py.File, name: str, version: str, groups: list[dict[str, Any]]) -> None:
    """Cache an extension's specification in the file, as its writer did."""
    source = f"{name}.extension"
    stored = root["specifications"].create_group(f"{name}/{version}")
    namespace = {
        "name": name,
        "version": version,
        "doc": name,
        "author": "Allen Institute for Brain Science",
        "contact": "none",
        "schema": [{"namespace": "core"}, {"source": source}],
    }
    text = h5py.string_dtype("utf-8")
    stored.create_dataset("namespace", data=json.dumps({"namespaces": [namespace]}), dtype=text)
    stored.create_dataset(source, data=json.dumps({"groups": groups}), dtype=text)


def as_extension_type(item: h5py.Group, namespace: str, name: str, attributes: Mapping[str, Any]) -> None:
    """Give an object a type of an extension, and the attributes that this type has."""
    item.attrs["namespace"], item.attrs["neurodata_type"] = namespace, name
    for attribute, value in attributes.items():
        item.attrs[attribute] = value


def signed_index_series(root: h5py.File) -> None:
    """Frame numbers of every IndexSeries as int32, as NWB before 2.5 had them."""
    for item in root["stimulus/presentation"].values():
        if item.attrs["neurodata_type"] == "IndexSeries":
            replaced(root, f"{item.name}/data", item["data"][:].astype(np.int32))
