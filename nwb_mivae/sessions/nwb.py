"""Opening NWB files, and refusing what is not one: every refusal names the file, the object and a remedy.

Everything is found by neurodata type. Paths are only for telling the user where something lies.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from nwb_mivae.archive import Asset, RemoteFile, is_remote, open_remote
from nwb_mivae.errors import NwbMivaeError, SessionError
from nwb_mivae.sessions.conventions import Conventions, Layout, load_conventions
from nwb_mivae.sessions.session import Finding, Provenance
from nwb_mivae.sessions.zarr_folder import open_zarr, refuse_what_is_no_zarr

__all__ = ["OpenedFile", "as_text", "open_nwb", "text_values", "truth", "unreadable_contents"]

#: Warnings of pynwb and hdmf that a finding of ours says better, or that only concern who writes files.
_REPEATED_WARNINGS = re.compile(
    r"deprecated|should be transposed|has a rate of 0\.0 Hz|starting_frame|Either external_file or data must be"
    r"|cached namespace|Ignoring the following cached|was not closed|Length of data does not match"
    r"|does not match the length of (timestamps|rois)|namespace '.*' .*(version|already loaded)"
    r"|No cached namespaces|linked table"
)


@dataclass
class OpenedFile:
    """An NWB file open for reading, with what was noticed on the way.

    Attributes
    ----------
    location : str
        Where the file is, as errors and provenance name it: the path as given, the pinned address of an asset, or a URL
        without its query.
    io : pynwb.NWBHDF5IO or hdmf_zarr.backend.ZarrIO
        Open; closing it ends every lazy reading.
    nwbfile : pynwb.NWBFile
        The root of the file.
    findings : list of Finding
        What the reading noticed so far; :meth:`note` adds to it.
    conventions : Conventions
        Names of things.
    layout : Layout or None
        The known layout that the file has.
    remote : RemoteFile or None
        What a file on a server is read through.
    """

    location: str
    io: Any
    nwbfile: Any
    findings: list[Finding] = field(default_factory=list)
    conventions: Conventions = field(default_factory=load_conventions)
    layout: Layout | None = None
    remote: RemoteFile | None = None

    @property
    def path(self) -> Path | None:
        """The local file; ``None`` where it is on a server."""
        return Path(self.location) if self.remote is None else None

    @property
    def stem(self) -> str:
        """The file's own name without its suffix, ``.nwb`` or ``.nwb.zarr``."""
        return Path(self.location.removesuffix(".zarr")).stem if self.remote is None else self.remote.stem

    @property
    def asset(self) -> Asset | None:
        """The asset of a DANDI archive that the file is read from, with its size and digests."""
        return None if self.remote is None else self.remote.asset

    def raise_if_broken(self) -> None:
        """Raise what a part of the reader may have taken for an unreadable object: the line to the server broke.

        Raises
        ------
        ArchiveError
            If any byte of a remote file could not be had since it was opened.
        """
        if self.remote is not None and self.remote.failure is not None:
            raise self.remote.failure

    def path_of(self, container: Any) -> str:
        """Path of an object inside the file, such as ``processing/ophys/DfOverF/DfOverF``."""
        builder = self.io.manager.get_builder(container)
        if builder is None:  # made by its parent's constructor, as what an older version of an extension did not write
            return f"{self.path_of(container.parent)}/{container.name}"
        return str(builder.path).removeprefix("root").strip("/")

    def of_type(self, kind: type | tuple[type, ...]) -> list[Any]:
        """Every object of a neurodata type (or of one derived from it), in order of path."""
        found = [item for item in self.nwbfile.objects.values() if isinstance(item, kind)]
        return sorted(found, key=self.path_of)

    def note(self, level: Literal["info", "guess", "warning"], object_path: str, message: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(level, object_path, message))

    def refusal(
        self, found: str, *, object_path: str | None = None, expected: str | None = None, remedy: str | None = None
    ) -> SessionError:
        """A :class:`SessionError` about an object of this file, to be raised."""
        return SessionError(found, expected=expected, remedy=remedy, file=self.location, object_path=object_path)

    def provenance(self) -> Provenance:
        """The identifiers inside the file."""
        root = self.nwbfile
        subject = root.subject
        return Provenance(
            path=self.location,
            nwb_version=as_text(self.io.nwb_version[0]),
            identifier=as_text(root.identifier),
            object_id=as_text(root.object_id),
            session_id=as_text(root.session_id),
            subject_id=as_text(subject.subject_id) if subject is not None else "",
            species=as_text(subject.species) if subject is not None else "",
            session_start_time=root.session_start_time.isoformat(),
            asset=None if self.asset is None else self.asset.pinned_address,
        )

    def close(self) -> None:
        """Close the file."""
        self.io.close()
        if self.remote is not None:
            self.remote.close()


def as_text(value: Any) -> str:
    """Text of an attribute or cell that may be bytes (MatNWB), ``None`` or no text at all."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value)


def text_values(values: Iterable[Any]) -> npt.NDArray[np.object_]:
    """A column as text, bytes decoded."""
    items = list(values)
    result = np.empty(len(items), dtype=object)
    result[:] = [as_text(value) for value in items]
    return result


def truth(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """A column of booleans, numbers (NaN is false) or text as booleans."""
    if values.dtype.kind in "biuf":
        return np.asarray(np.nan_to_num(values.astype(np.float64)) > 0)
    return np.isin(np.char.lower(text_values(values).astype(str)), ("true", "1", "1.0", "yes"))


def open_nwb(source: str | PathLike[str], *, conventions: Conventions | None = None) -> OpenedFile:
    """Open an NWB 2 file for reading, with the extensions it carries in itself.

    Parameters
    ----------
    source : path-like
        A local file or Zarr folder, an address (``dandi://DANDISET[@VERSION]/PATH``) or an http(s) URL. Of a file on a
        server only what is read is fetched, and kept in the folder of :func:`nwb_mivae.archive.cache_folder`.
    conventions : Conventions, optional
        Names and layouts; the built-in ones by default.

    Raises
    ------
    SessionError
        If the file is missing, may not be read, is cut off, is not HDF5, is not NWB, is NWB 1, or is damaged; if a
        folder is not Zarr, not whole, or holds Python pickles or links to other folders; if hdmf-zarr is not there.
    ArchiveError
        If a file on a server cannot be had.
    """
    text = fspath(source)
    remote = open_remote(text) if is_remote(text) else None
    location = text if remote is None else remote.location
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            io, nwbfile = _read_local(Path(text)) if remote is None else _read_remote(remote)
        except BaseException:
            if remote is not None:
                remote.close()
            raise
    opened = OpenedFile(
        location, io, nwbfile, conventions=load_conventions() if conventions is None else conventions, remote=remote
    )
    if remote is not None and remote.cache_problem:
        opened.note("info", "", f"nothing of the file is kept on disk: {remote.cache_problem}")
    if opened.conventions.layouts:
        opened.layout = opened.conventions.layout_of(opened.path_of(item) for item in nwbfile.objects.values())
    if opened.layout is not None:
        note = f": {opened.layout.note}" if opened.layout.note else ""
        opened.note("info", "", f"laid out like {opened.layout.name}{note}")
    for message in dict.fromkeys(" ".join(str(item.message).split()) for item in seen):
        if not _REPEATED_WARNINGS.search(message):
            opened.note("info", "", f"pynwb says: {message}")
    return opened


def unreadable_contents(location: str, problem: Exception) -> SessionError:
    """The error for contents of a kind or shape that no room of the reader foresaw, or that HDF5 cannot read."""
    return SessionError(
        f"contents that cannot be read ({type(problem).__name__}: {_one_line(problem)})",
        expected="an undamaged NWB 2 file",
        remedy="check it with `nwb-mivae check FILE`; if it is valid, report this as a bug with the file's layout",
        file=location,
    )


def _unconstructable(location: str, problem: Exception) -> SessionError:
    """The error for a file that is NWB 2 but that pynwb cannot build objects from, naming the object where it says."""
    from hdmf.build.errors import ConstructError

    said, object_path = _one_line(problem), None
    if isinstance(problem, ConstructError):
        builder, message = problem.args
        said, object_path = _one_line(message), str(builder.path).removeprefix("root").strip("/") or "/"
    return SessionError(
        f"an object that pynwb cannot read ({said})",
        expected="a valid NWB 2 file",
        remedy="check it with `nwb-mivae check FILE`, or download it again",
        file=location,
        object_path=object_path,
    )


def _read_local(path: Path) -> tuple[Any, Any]:
    """The file open and read, in pynwb's way: by its path, which links inside it and exports refer to."""
    import pynwb

    if path.is_dir():
        refuse_what_is_no_zarr(path)
    else:
        _refuse_what_is_no_nwb2(path)
    io = None
    try:
        io = open_zarr(path) if path.is_dir() else pynwb.NWBHDF5IO(str(path), mode="r", load_namespaces=True)
        return io, io.read()
    except NwbMivaeError:
        if io is not None:
            io.close()
        raise
    except Exception as problem:  # pynwb and hdmf raise every builtin there is for a damaged file
        if io is not None:
            io.close()
        raise _unconstructable(str(path), problem) from problem


def _read_remote(remote: RemoteFile) -> tuple[Any, Any]:
    """The file on a server, open and read: HDF5 asks ``remote`` for bytes."""
    import pynwb

    root = None
    try:
        root = remote.open_hdf5()
        _refuse_without_version(remote.location, root)
        io = pynwb.NWBHDF5IO(file=root, mode="r", load_namespaces=True)
        nwbfile = io.read()
    except Exception as problem:
        if root is not None:
            root.close()
        if remote.failure is not None:
            raise remote.failure from problem
        if isinstance(problem, NwbMivaeError):
            raise
        if root is None and isinstance(problem, OSError):
            raise _unreadable(remote.location, remote.size, problem) from problem
        raise _unconstructable(remote.location, problem) from problem
    if remote.failure is not None:
        # pynwb took a broken line for an object without some attribute.
        io.close()
        raise remote.failure
    return io, nwbfile


def _refuse_what_is_no_nwb2(path: Path) -> None:
    if not path.exists():
        raise SessionError("no such file", expected="an NWB file", remedy="check the path", file=path)
    try:
        with h5py.File(path, "r") as root:
            _refuse_without_version(str(path), root)
    except PermissionError as problem:
        raise SessionError(
            "a file that may not be read",
            expected="read permission",
            remedy="ask its owner for permission to read it",
            file=path,
        ) from problem
    except OSError as problem:
        raise _unreadable(str(path), path.stat().st_size, problem) from problem


def _refuse_without_version(location: str, root: Any) -> None:
    if "nwb_version" in root.attrs:
        version = as_text(root.attrs["nwb_version"])
        if version.startswith(("2", "3")):
            return
    else:
        stored = root.get("nwb_version")
        version = as_text(stored[()]) if isinstance(stored, h5py.Dataset) and stored.shape == () else ""
        if not version and "epochs" not in root:
            raise SessionError(
                "an HDF5 file without a version of NWB",
                expected="the attribute nwb_version",
                remedy="name a file that was written as NWB 2",
                file=location,
                object_path="/",
            )
    label = version or "NWB-1"
    raise SessionError(
        f"{label}, the NWB 1 format of the Allen Brain Observatory's first release, which pynwb cannot open",
        expected="NWB 2",
        remedy=_same_experiment_in_nwb2(root),
        file=location,
        object_path="nwb_version",
    )


def _same_experiment_in_nwb2(root: Any) -> str:
    """Where the experiment of an NWB 1 file is to be had as NWB 2, by its number where the file says it."""
    where = "dandiset 000728, where these sessions are NWB 2"
    for name in ("general/ophys_experiment_id", "general/session_id"):
        stored = root.get(name)
        number = as_text(stored[()]) if isinstance(stored, h5py.Dataset) and stored.shape == () else ""
        if number.isdecimal():
            return f"use experiment {number} from {where} (the asset sub-*_ses-{number}-Stim*_behavior+image+ophys.nwb)"
    return f"use the same experiment from {where}"


def _unreadable(location: str, size: int, problem: OSError) -> SessionError:
    message = str(problem)
    cut = re.search(r"stored_eof = (\d+)", message)
    if "truncated file" in message:
        whole = f"{int(cut.group(1)):,}" if cut else "more"
        return SessionError(
            f"only {size:,} bytes: the file is cut off, as after an interrupted download",
            expected=f"{whole} bytes",
            remedy="download it again",
            file=location,
            object_path="/",
        )
    if size == 0 or "signature not found" in message:
        found = "an empty file" if size == 0 else f"{size:,} bytes that are not HDF5"
        return SessionError(
            found, expected="an NWB file in HDF5", remedy="check that it is the file, not a web page or a link to it",
            file=location, object_path="/",
        )  # fmt: skip
    return SessionError(
        f"a file that HDF5 cannot open ({_one_line(problem)})",
        expected="an NWB file in HDF5",
        remedy="download it again, or close the program that is writing it",
        file=location,
        object_path="/",
    )


def _one_line(problem: BaseException | str) -> str:
    text = " ".join(str(problem).split()) or type(problem).__name__
    return text if len(text) <= 300 else text[:297] + "..."
