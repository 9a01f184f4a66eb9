"""The two storage formats of NWB that annotations are written in: HDF5 files, and Zarr folders (an optional extra)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import reserve_space, whole_directory, whole_file
from nwb_mivae.sessions.zarr_folder import INSTALL_ZARR, open_zarr, zarr_is_installed

__all__ = ["BACKENDS", "Backend", "BackendName", "HDF5Backend", "ZarrBackend", "backend_named", "backend_of"]

BackendName = Literal["hdf5", "zarr"]
BACKENDS: tuple[BackendName, ...] = ("hdf5", "zarr")


class Backend(ABC):
    """How arrays are wrapped and files are opened, copied and put in their place in one format.

    Attributes
    ----------
    name : str
        One of :data:`BACKENDS`.
    may_leave_gaps : bool
        Whether chunks that hold nothing but the fill value can be left out. In a Zarr folder each chunk is a file, and
        one that is missing may as well have been lost on the way.
    """

    name: BackendName
    may_leave_gaps: bool

    @abstractmethod
    def open(self, path: Path, mode: Literal["r", "r+", "w"]) -> Any:
        """The pynwb IO of a file: a context manager with ``read``, ``write`` and ``export``."""

    @abstractmethod
    def compressed(self, values: Any, *, chunks: tuple[int, ...] | None = None, fill: float | None = None) -> Any:
        """Wrap an array, or a chunk iterator (which has its own chunks), to be written compressed.

        Where a chunk iterator gives nothing, ``fill`` is what will be read.
        """

    @abstractmethod
    def export(self, source_io: Any, nwbfile: Any, path: Path, *, n_bytes: int = 0) -> None:
        """Copy a source, with what was added to it in memory, to ``path`` in this format.

        Parameters
        ----------
        source_io : HDMFIO
            Open for reading, of either format.
        nwbfile : pynwb.NWBFile
            What was read from it, perhaps with objects added.
        path : Path
            A new file (or an empty folder, for a format of folders).
        n_bytes : int
            About how large it is going to be, so that a format that cannot stand a full disk can reserve the space.
        """

    @abstractmethod
    def whole(
        self, target: str | PathLike[str], *, overwrite: bool, before_placing: Callable[[Path], None] | None = None
    ) -> AbstractContextManager[Path]:
        """Give a path beside ``target`` to write to; it takes the place of ``target`` only if the block succeeds.

        See :func:`nwb_mivae.outputs.whole_file` and :func:`nwb_mivae.outputs.whole_directory`.
        """


class HDF5Backend(Backend):
    """``.nwb``, one HDF5 file."""

    name: BackendName = "hdf5"
    may_leave_gaps = True

    def open(self, path: Path, mode: Literal["r", "r+", "w"]) -> Any:
        """Open with :class:`pynwb.NWBHDF5IO`."""
        from pynwb import NWBHDF5IO

        return NWBHDF5IO(str(path), mode=mode)

    def compressed(self, values: Any, *, chunks: tuple[int, ...] | None = None, fill: float | None = None) -> Any:
        """Gzip with byte shuffling, which every HDF5 library reads."""
        from hdmf.backends.hdf5 import H5DataIO

        settings = {name: value for name, value in {"chunks": chunks, "fillvalue": fill}.items() if value is not None}
        return H5DataIO(values, compression="gzip", shuffle=True, **settings)

    def export(self, source_io: Any, nwbfile: Any, path: Path, *, n_bytes: int = 0) -> None:
        """Export with pynwb, which copies an HDF5 source's unchanged objects byte by byte."""
        from nwb_mivae.annotation.data_outside import data_outside
        from nwb_mivae.annotation.hdf5_export import new_file

        _load_masks(nwbfile)
        _renew_indices(nwbfile)
        # Data that the source keeps in another file is copied: a link to it is a path, and breaks at a move.
        # Everywhere else links stay, because without them pynwb builds every object anew; of a Zarr source nothing can
        # be linked to.
        source = Path(source_io.source)
        link_data = not (source.is_dir() or data_outside(source).linked)
        with new_file(path) as writing:
            reserve_space(path, n_bytes)
            writing.export(src_io=source_io, nwbfile=nwbfile, write_args={"link_data": link_data})

    def whole(
        self, target: str | PathLike[str], *, overwrite: bool, before_placing: Callable[[Path], None] | None = None
    ) -> AbstractContextManager[Path]:
        """One file."""
        return whole_file(target, overwrite=overwrite, before_placing=before_placing)


class ZarrBackend(Backend):
    """``.nwb.zarr``, a folder of Zarr version 2; needs hdmf-zarr.

    Raises
    ------
    AnnotationError
        If hdmf-zarr is not installed.
    """

    name: BackendName = "zarr"
    may_leave_gaps = False

    def __init__(self) -> None:
        if not zarr_is_installed():
            raise AnnotationError(
                "no hdmf-zarr in this environment",
                expected="hdmf-zarr, which reads and writes NWB as Zarr",
                remedy=INSTALL_ZARR,
            )

    def open(self, path: Path, mode: Literal["r", "r+", "w"]) -> Any:
        """Open with hdmf-zarr; what is written holds no pickles, and arrays of pickles are not read."""
        if mode != "w":
            return open_zarr(path, mode)
        from nwb_mivae.annotation.zarr_export import new_folder

        return new_folder(path)

    def compressed(self, values: Any, *, chunks: tuple[int, ...] | None = None, fill: float | None = None) -> Any:
        """Zstandard with byte shuffling, in one Blosc codec, which every Zarr library reads."""
        from hdmf_zarr import ZarrDataIO

        from nwb_mivae.annotation.zarr_export import COMPRESSOR

        return ZarrDataIO(values, compressor=COMPRESSOR, chunks=chunks, fillvalue=fill)

    def export(self, source_io: Any, nwbfile: Any, path: Path, *, n_bytes: int = 0) -> None:  # noqa: ARG002
        """Export with hdmf-zarr, unchanged objects as they are and all data copied."""
        from nwb_mivae.annotation.zarr_export import refuse_what_zarr_cannot_hold

        source = Path(source_io.source)
        if source.is_file():
            refuse_what_zarr_cannot_hold(source)
        _renew_indices(nwbfile)
        with self.open(path, "w") as writing:
            writing.export(src_io=source_io, container=nwbfile, write_args={"link_data": False})

    def whole(
        self, target: str | PathLike[str], *, overwrite: bool, before_placing: Callable[[Path], None] | None = None
    ) -> AbstractContextManager[Path]:
        """One folder."""
        return whole_directory(target, overwrite=overwrite, before_placing=before_placing)


def backend_named(name: str) -> Backend:
    """The backend of a name.

    Raises
    ------
    AnnotationError
        If there is none of this name, or what it needs is not installed.
    """
    if name == "hdf5":
        return HDF5Backend()
    if name == "zarr":
        return ZarrBackend()
    raise AnnotationError(
        f"no storage format {name!r}", expected=f"one of {', '.join(BACKENDS)}", remedy="name one of these"
    )


def backend_of(path: str | PathLike[str]) -> Backend:
    """The backend of a file that is there, told by what it is and not by its name: a folder is Zarr, a file is HDF5.

    Raises
    ------
    AnnotationError
        If it is a folder and hdmf-zarr is not installed.
    """
    return ZarrBackend() if Path(path).is_dir() else HDF5Backend()


def _load_masks(nwbfile: Any) -> None:
    """Read pixel and voxel masks at once; hdmf would copy them value by value, minutes for thousands of ROIs.

    They are written in the source's chunks and compression.
    """
    from hdmf.backends.hdf5.h5_utils import ContainerH5TableDataset

    for column in nwbfile.objects.values():
        values = getattr(column, "data", None)
        # Compound values with references or text inside are hdmf's to resolve.
        if isinstance(values, ContainerH5TableDataset) and not any(values.types):
            column.transform(_as_stored)
            column.set_modified()


def _renew_indices(nwbfile: Any) -> None:
    """Give index columns of NWB before 2.3 the unsigned type they have had since.

    Objects that are copied as they are keep an older schema's types, but the copy names the present schema as its own:
    pynwb's validator, and DANDI with it, would refuse every index of an older file.
    """
    from hdmf.common import VectorIndex

    for index in nwbfile.objects.values():
        if isinstance(index, VectorIndex) and getattr(getattr(index.data, "dtype", None), "kind", "") == "i":
            index.transform(_unsigned)
            index.set_modified()


def _unsigned(values: Any) -> Any:
    return values[:].astype("uint64")


def _as_stored(table: Any) -> Any:
    from hdmf.backends.hdf5 import H5DataIO

    stored = table.dataset
    if stored.chunks is None:
        return stored[:]
    return H5DataIO(
        stored[:],
        chunks=stored.chunks,
        maxshape=stored.maxshape,
        compression=stored.compression,
        compression_opts=stored.compression_opts,
        shuffle=stored.shuffle,
    )
