"""The prepared store on disk, read: memory maps of activity and stimulus frames, checked against the manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import OutputError, StoreError
from nwb_mivae.outputs import read_json, sha256_of_file

if TYPE_CHECKING:
    import pandas as pd

    from nwb_mivae.sessions.session import TraceKind

__all__ = ["FORMAT", "FORMAT_VERSION", "SESSION_ARRAYS", "ClipStore", "StoredSession"]

FORMAT = "nwb_mivae clip store"
#: 2: a session may come from several files, and its tables say from which.
FORMAT_VERSION = 2

#: Arrays of a session's folder, one ``NAME.npy`` each, with their types; all have F rows but the coordinates (N).
SESSION_ARRAYS: Mapping[str, str] = {
    "neural": "float",
    "valid": "bool",
    "time": "float64",
    "stop_time": "float64",
    "segment": "int32",
    "stimulus_row": "int64",
    "presentation": "int64",
    "repeat": "int32",
    "template": "int32",
    "frame": "int64",
    "auxiliary": "float32",
    "coordinates": "float32",
}

_REMEDY = "run `nwb-mivae prepare` again with the same output folder; intact sessions are kept"


@dataclass(frozen=True)
class StoredSession:
    """One prepared session: F frames and N cells on the stimulus clock.

    Attributes
    ----------
    key, subject : str
        Names of the session and of the animal.
    source : mapping
        ``path``, ``sha256``, ``object_id``, ``identifier``, ``session_id``, ``trace_path`` and ``asset`` of the first
        file; ``files``, a list with ``path``, ``sha256``, ``object_id``, ``identifier`` and ``asset`` of every file
        that the session was read from; ``left_out``, a list with ``name`` and ``reason`` of files that hold the same
        recording.
    trace_kind : str
        What the activity is; ``"spikes"`` are counts per frame.
    neural : ndarray of float16 or float32, (F, N)
        Activity, memory-mapped; zero where not ``valid``.
    valid : ndarray of bool, (F,)
        Whether every cell's activity is known.
    time, stop_time : ndarray of float64, (F,)
        Onset and end of each frame, seconds on the session's clock.
    segment : ndarray of int32, (F,)
        Frames of one number follow each other without a gap.
    stimulus_row : ndarray of int64, (F,)
        Row of ``ClipStore.stimulus``.
    content : ndarray of int64, (F,)
        Identity of the frame's pixels: equal numbers, equal pixels, across sessions.
    presentation : ndarray of int64, (F,)
        Row of ``presentations``.
    repeat : ndarray of int32, (F,)
        Earlier showings of the same frame.
    template, frame : ndarray, (F,)
        Row of ``template_names`` (-1 blank) and frame number inside that template.
    template_names : tuple of str
        Names of the templates as in the source.
    auxiliary : ndarray of float32, (F, U)
        Auxiliary variables named by ``auxiliary_names``.
    coordinates : ndarray of float32, (N, 3)
        Micrometres, NaN where unknown.
    frame_rate : float
        One over the median duration of a frame, Hz.
    report : mapping
        The alignment report.
    """

    key: str
    subject: str
    source: Mapping[str, Any]
    trace_kind: TraceKind
    neural: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]
    time: npt.NDArray[np.float64]
    stop_time: npt.NDArray[np.float64]
    segment: npt.NDArray[np.int32]
    stimulus_row: npt.NDArray[np.int64]
    content: npt.NDArray[np.int64]
    presentation: npt.NDArray[np.int64]
    repeat: npt.NDArray[np.int32]
    template: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int64]
    template_names: tuple[str, ...]
    auxiliary: npt.NDArray[np.float32]
    auxiliary_names: tuple[str, ...]
    coordinates: npt.NDArray[np.float32]
    frame_rate: float
    report: Mapping[str, Any]
    folder: Path

    @property
    def n_cells(self) -> int:
        return int(self.neural.shape[1])

    @property
    def n_frames(self) -> int:
        return int(self.neural.shape[0])

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The N rows of the cell table (``nwb_mivae.sessions.CELL_COLUMNS``).

        ``source_file`` is a path of ``source["files"]``: where the file lies now. On disk it is the place in that list,
        so that the table does not change when files are moved.
        """
        cells = _read_table(
            self.folder / "cells.csv",
            numbers={
                "x": np.float64,
                "y": np.float64,
                "z": np.float64,
                "source_row": np.int64,
                "source_file": np.int64,
            },
        )
        paths = np.array([file["path"] for file in self.source["files"]], dtype=object)
        return cells.assign(source_file=paths[cells["source_file"]])

    @cached_property
    def presentations(self) -> pd.DataFrame:
        """The presentation table of the source session (``nwb_mivae.sessions.PRESENTATION_COLUMNS``), whole."""
        return _read_table(
            self.folder / "presentations.csv",
            numbers={
                "start_time": np.float64,
                "stop_time": np.float64,
                "frame": np.int64,
                "repeat": np.int64,
                "source_row": np.int64,
            },
            booleans=("blank", "omitted"),
        )


@dataclass(frozen=True)
class ClipStore:
    """Prepared sessions and the stimulus frames they share.

    Attributes
    ----------
    path : Path
        Folder of the store.
    manifest : mapping
        Format, configuration, sessions with their sources and checksums, failures, provenance.
    stimulus : ndarray of uint8, (rows, height, width)
        Memory map of the distinct frames: each once, however many templates and sessions show it.
    sessions : mapping of str to StoredSession
        By key, sorted.
    """

    path: Path
    manifest: Mapping[str, Any]
    stimulus: npt.NDArray[np.uint8]
    sessions: Mapping[str, StoredSession] = field(repr=False)

    @classmethod
    def open(cls, path: str | PathLike[str], *, verify: bool = False) -> ClipStore:
        """Open a store that :func:`nwb_mivae.clips.prepare` wrote.

        Parameters
        ----------
        path : path-like
            Folder of the store.
        verify : bool
            Read every byte and compare its SHA-256 with the manifest. Without, existence, shapes and types are checked.

        Raises
        ------
        StoreError
            If the folder holds no store, or one that is incomplete, damaged or of another version.
        """
        folder = Path(path)
        manifest = _read_manifest(folder)
        try:
            stimulus = _open_array(folder, "stimulus.npy", manifest["stimulus"], verify=verify)
            sessions = {
                key: _open_session(folder, key, entry, verify=verify)
                for key, entry in sorted(manifest["sessions"].items())
            }
        except (KeyError, TypeError) as problem:
            raise StoreError(
                f"a manifest without {problem}",
                expected="a manifest this package wrote",
                remedy=_REMEDY,
                file=folder / "manifest.json",
            ) from problem
        store = cls(path=folder, manifest=manifest, stimulus=stimulus, sessions=sessions)
        for key, session in sessions.items():
            if session.n_frames and int(session.stimulus_row.max()) >= len(stimulus):
                raise StoreError(
                    f"a stimulus row {int(session.stimulus_row.max())} among {len(stimulus)} frames",
                    expected="rows of stimulus.npy",
                    remedy=_REMEDY,
                    file=folder / "sessions" / key,
                    object_path="stimulus_row.npy",
                )
        return store

    @cached_property
    def digest(self) -> str:
        """SHA-256 over configuration and checksums: equal for equal data, wherever and whenever it was prepared."""
        configuration = self.manifest["configuration"]
        if "sessions" in configuration:
            # Only where it lies is written there; what it did is in the checksums.
            configuration = {**configuration, "sessions": {**configuration["sessions"], "conventions": None}}
        what = {
            "format_version": self.manifest["format_version"],
            "configuration": configuration,
            "stimulus": self.manifest["stimulus"]["sha256"],
            "sessions": {
                key: [
                    [file["sha256"] for file in entry["source"]["files"]],
                    {name: file["sha256"] for name, file in sorted(entry["files"].items())},
                ]
                for key, entry in sorted(self.manifest["sessions"].items())
            },
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @property
    def frame_rate(self) -> float:
        """Median of the sessions' frame rates, Hz."""
        return float(np.median([session.frame_rate for session in self.sessions.values()]))

    @property
    def height(self) -> int:
        return int(self.stimulus.shape[1])

    @property
    def width(self) -> int:
        return int(self.stimulus.shape[2])

    @property
    def n_content(self) -> int:
        """Number of distinct frames."""
        return int(self.stimulus.shape[0])

    @cached_property
    def content_of_row(self) -> npt.NDArray[np.int64]:
        """Identity of each row's pixels, (rows,); rows are distinct, so it counts them."""
        return np.arange(self.n_content, dtype=np.int64)

    @cached_property
    def blank_content(self) -> npt.NDArray[np.bool_]:
        """Which content is a uniform field, (n_content,): it tells nothing apart and belongs to no part of a split."""
        blank = np.zeros(self.n_content, dtype=bool)
        blank[np.asarray(self.manifest["stimulus"]["blank"], dtype=np.int64)] = True
        return blank

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the animals, sorted."""
        return tuple(sorted({session.subject for session in self.sessions.values()}))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise StoreError(
            "no manifest.json" if folder.is_dir() else "no such folder",
            expected="a clip store; one whose preparation was interrupted has no manifest yet",
            remedy="run `nwb-mivae prepare` with this output folder; sessions already prepared are kept",
            file=folder,
        )
    try:
        manifest = read_json(path)
    except OutputError as problem:
        raise StoreError(
            problem.found, expected="a manifest this package wrote", remedy=_REMEDY, file=path
        ) from problem
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError("JSON that is not a manifest", expected=f"format {FORMAT!r}", remedy=_REMEDY, file=path)
    if manifest.get("format_version") != FORMAT_VERSION:
        raise StoreError(
            f"format version {manifest.get('format_version')}",
            expected=f"version {FORMAT_VERSION}",
            remedy="prepare the store again with this version of nwb_mivae",
            file=path,
            object_path="format_version",
        )
    return manifest


def _open_session(folder: Path, key: str, entry: Mapping[str, Any], *, verify: bool) -> StoredSession:
    place = folder / entry["folder"]
    files = entry["files"]
    arrays = {
        name: _open_array(place, f"{name}.npy", files[f"{name}.npy"], verify=verify, in_memory=name != "neural")
        for name in SESSION_ARRAYS
    }
    for table in ("cells.csv", "presentations.csv"):
        _check_file(place, table, files[table], verify=verify)
    return StoredSession(
        key=key,
        subject=entry["subject"],
        source=entry["source"],
        trace_kind=entry["trace_kind"],
        content=arrays["stimulus_row"],
        template_names=tuple(entry["templates"]),
        auxiliary_names=tuple(entry["auxiliary_names"]),
        frame_rate=float(entry["frame_rate"]),
        report=entry["report"],
        folder=place,
        **arrays,
    )


def _check_file(folder: Path, name: str, entry: Mapping[str, Any], *, verify: bool) -> Path:
    path = folder / name
    if not path.is_file():
        raise StoreError("no such file", expected="a file the manifest lists", remedy=_REMEDY, file=path)
    if verify and (found := sha256_of_file(path)) != entry["sha256"]:
        raise StoreError(
            f"bytes with SHA-256 {found}",
            expected=f"{entry['sha256']} as in the manifest",
            remedy=_REMEDY,
            file=path,
        )
    return path


def _open_array(
    folder: Path, name: str, entry: Mapping[str, Any], *, verify: bool, in_memory: bool = False
) -> npt.NDArray[Any]:
    path = _check_file(folder, name, entry, verify=verify)
    try:
        array = np.load(path, mmap_mode=None if in_memory else "r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise StoreError(
            f"an array that cannot be read ({problem})",
            expected="an .npy file this package wrote",
            remedy=_REMEDY,
            file=path,
        ) from problem
    if list(array.shape) != list(entry["shape"]) or str(array.dtype) != entry["dtype"]:
        raise StoreError(
            f"an array of {array.dtype} {tuple(array.shape)}",
            expected=f"{entry['dtype']} {tuple(entry['shape'])} as in the manifest",
            remedy=_REMEDY,
            file=path,
        )
    # A plain ndarray on the same pages: the memmap class slows every later indexing down.
    return np.asarray(array).view(np.ndarray)


def _read_table(path: Path, *, numbers: Mapping[str, type], booleans: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV table with these columns as numbers (empty: NaN) or booleans, the others as text exactly as written."""
    import pandas as pd

    # Numbers are not left to the parser: its fast conversion of floats is off by one in the last digit.
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, kind in numbers.items():
        values = table[name].to_numpy(dtype=object)
        table[name] = np.array([value or "nan" for value in values], dtype=np.str_).astype(kind)
    for name in booleans:
        table[name] = table[name].to_numpy(dtype=object) == "True"
    return table
