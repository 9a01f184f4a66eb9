"""The two storage formats of NWB that annotations are written in: HDF5 files, and Zarr folders (an optional extra)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

from nwb_mivae.errors import AnnotationError

__all__ = ["BACKENDS", "Backend", "BackendName", "HDF5Backend", "backend_named"]

BackendName = Literal["hdf5", "zarr"]
BACKENDS: tuple[BackendName, ...] = ("hdf5", "zarr")


class Backend(ABC):
    """How arrays are wrapped and files are opened in one format.

    Attributes
    ----------
    name : str
        One of :data:`BACKENDS`.
    suffix : str
        Of file names, as DANDI wants it.
    """

    name: BackendName
    suffix: str

    @abstractmethod
    def open(self, path: Path, mode: Literal["r", "r+", "w"]) -> Any:
        """The pynwb IO of a file: a context manager with ``read``, ``write`` and ``export``."""

    @abstractmethod
    def compressed(self, values: Any, *, chunks: tuple[int, ...] | None = None) -> Any:
        """Wrap an array, or a chunk iterator (which has its own chunks), to be written compressed."""


class HDF5Backend(Backend):
    """``.nwb``, one HDF5 file."""

    name: BackendName = "hdf5"
    suffix = ".nwb"

    def open(self, path: Path, mode: Literal["r", "r+", "w"]) -> Any:
        """Open with :class:`pynwb.NWBHDF5IO`."""
        from pynwb import NWBHDF5IO

        return NWBHDF5IO(str(path), mode=mode)

    def compressed(self, values: Any, *, chunks: tuple[int, ...] | None = None) -> Any:
        """Gzip with byte shuffling, which every HDF5 library reads."""
        from hdmf.backends.hdf5 import H5DataIO

        return H5DataIO(values, compression="gzip", shuffle=True, **({} if chunks is None else {"chunks": chunks}))


def backend_named(name: str) -> Backend:
    """The backend of a name.

    Raises
    ------
    AnnotationError
        If there is none of this name.
    """
    if name == "hdf5":
        return HDF5Backend()
    raise AnnotationError(
        f"no storage format {name!r}", expected=f"one of {', '.join(BACKENDS)}", remedy="name one of these"
    )
