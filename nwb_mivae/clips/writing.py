"""The prepared store on disk, written: a session is there whole or not at all, a manifest only when all is in place.

Order of events, so that an interruption at any point loses at most the session in work:

1. ``manifest.json`` is removed before anything else changes; a store without one is incomplete and is not opened.
   Activity on its way there is in a workspace beside, which is removed whatever happens.
2. Each session is written beside its place and renamed. Its stimulus frames go, before that, into ``staged/``, those
   only that ``stimulus.npy`` does not hold yet; the session keeps the digest of each of its distinct frames.
3. ``finish`` gathers the distinct frames of all sessions into one new ``stimulus.npy``, in the order of session key,
   template and frame number (so that the same sessions always give the same store), writes each session's rows and
   then the manifest, and removes ``staged/`` and what no session uses any more.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from nwb_mivae.alignment import AlignedSession
from nwb_mivae.clips.activity_file import write_activity
from nwb_mivae.clips.configuration import ClipsConfiguration
from nwb_mivae.clips.frame_bank import new_bank, open_bank, write_in_order
from nwb_mivae.clips.frames import frame_digests, resize_frames
from nwb_mivae.clips.store import FORMAT, FORMAT_VERSION, ClipStore
from nwb_mivae.errors import NwbMivaeError, OutputError, StoreError
from nwb_mivae.outputs import read_json, sha256_of_file, whole_directory, whole_file, write_json
from nwb_mivae.provenance import provenance_record

__all__ = ["StoreWriter"]

#: Bytes of frames that are held in memory at a time.
CHUNK_BYTES = 1 << 25
#: Share by which the frame rates of two sessions of a store may differ.
FRAME_RATE_TOLERANCE = 0.1


class StoreWriter:
    """Writes aligned sessions into a store.

    Parameters
    ----------
    path : path-like
        Folder of the store: new, empty, or a store, complete or interrupted.
    configuration : ClipsConfiguration
        Resolution and types.
    settings : mapping
        The configuration of all rooms that shaped the sessions, as plain values, for the manifest.

    Raises
    ------
    StoreError
        If the folder holds something that is not a store.
    """

    def __init__(
        self, path: str | PathLike[str], configuration: ClipsConfiguration, settings: Mapping[str, Any]
    ) -> None:
        self._path = Path(path)
        self._configuration = configuration
        self._settings = dict(settings)
        self._entries: dict[str, dict[str, Any]] = {}
        self._changed = False
        _check_folder(self._path)
        self._made = [place for place in (self._path / "sessions", self._path) if not place.exists()]
        try:
            (self._path / "sessions").mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise OutputError(
                f"a folder that cannot be made ({problem.strerror})",
                expected="a folder one may write to",
                remedy="choose another output folder",
                file=self._path,
            ) from problem
        for place in (self._path, self._path / "sessions", self._path / "staged"):
            for leftover in place.glob(".*.partial*"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        self._prepared = {entry["fingerprint"]: entry for entry in _session_records(self._path)}
        banks = (self._path / "stimulus.npy", *sorted((self._path / "staged").glob("*.npy")))
        self._banks = [open_bank(bank, self._shape) for bank in banks]
        self._known = {key for bank in self._banks for key in bank.keys}

    @property
    def _shape(self) -> tuple[int, int]:
        return self._configuration.height, self._configuration.width

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder, on the same disk as the store, for what is large and only needed until a session is added."""
        folder = self._path / f".workspace.{uuid.uuid4().hex[:8]}.partial"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def abandon(self) -> None:
        """Remove the folders made for a store that nothing was written to."""
        for place in self._made:
            try:
                place.rmdir()
            except OSError:
                # Sessions of an earlier call are in it, and stay.
                return

    def reuse(self, fingerprint: str, paths: Sequence[str]) -> str | None:
        """Take over the session prepared before from the same inputs; its key, or ``None`` where there is none.

        ``paths`` are where its files lie now, in their order, which may be another folder than before.
        """
        entry = self._prepared.get(fingerprint)
        if entry is None or entry["key"] in self._entries:
            return None
        folder = self._path / "sessions" / entry["folder"]
        try:
            digests = np.load(folder / "frame_digest.npy", allow_pickle=False)
            intact = all(sha256_of_file(folder / name) == file["sha256"] for name, file in entry["files"].items())
        except (OSError, ValueError, EOFError):
            return None
        if not intact or not {digest.tobytes() for digest in digests} <= self._known:
            return None
        self._refuse_other_rate(entry["key"], entry["frame_rate"], entry["source"]["path"])
        before = entry["source"]["files"]
        if [file["path"] for file in before] != list(paths):
            files = [{**file, "path": path} for file, path in zip(before, paths, strict=True)]
            entry = {**entry, "source": {**entry["source"], "path": files[0]["path"], "files": files}}
            self._begin_change()
            write_json(folder / "session.json", entry)
        self._entries[entry["key"]] = entry
        return str(entry["key"])

    def add(self, aligned: AlignedSession, *, source: Mapping[str, Any], fingerprint: str) -> None:
        """Write one session.

        Parameters
        ----------
        aligned : AlignedSession
            What to write.
        source : mapping
            As :attr:`StoredSession.source`.
        fingerprint : str
            Digest of everything the session was made from; the same fingerprint is not prepared twice.

        Raises
        ------
        StoreError
            If a session of that key is already there, or its frames follow at another rate than those of the others.
        """
        if aligned.key in self._entries:
            raise StoreError(
                f"a second session with key {aligned.key!r}",
                expected="one source per session",
                remedy="leave one of the two sources out",
                file=aligned.provenance.path,
            )
        self._refuse_other_rate(aligned.key, aligned.frame_rate, aligned.provenance.path)
        self._begin_change()
        folder = self._path / "sessions" / folder_name(aligned.key)
        # One number per (template, frame), which sorts as the pair does.
        longest = int(aligned.frame.max(initial=0)) + 2
        shown, frame_index = np.unique(
            (aligned.template.astype(np.int64) + 1) * longest + aligned.frame + 1, return_inverse=True
        )
        digests = self._stage_frames(aligned, np.stack([shown // longest - 1, shown % longest - 1]), folder.name)
        with whole_directory(folder, overwrite=True) as beside:
            neural, notes = write_activity(
                beside / "neural.npy", aligned.neural, aligned.valid, self._configuration.neural_type
            )
            arrays: dict[str, npt.NDArray[Any]] = {
                "valid": aligned.valid,
                "time": aligned.time,
                "stop_time": aligned.stop_time,
                "segment": aligned.segment,
                "presentation": aligned.presentation,
                "repeat": aligned.repeat,
                "template": aligned.template,
                "frame": aligned.frame,
                "auxiliary": aligned.auxiliary,
                "coordinates": aligned.coordinates,
                "frame_index": frame_index.reshape(-1).astype(np.int64),
                "frame_digest": digests,
            }
            for name, array in arrays.items():
                np.save(beside / f"{name}.npy", array, allow_pickle=False)
            aligned.cells.to_csv(beside / "cells.csv", index=False)
            aligned.presentations.to_csv(beside / "presentations.csv", index=False)
            report = aligned.report.as_dict()
            report["notes"] = [*report["notes"], *notes, *self._stretched(aligned)]
            entry = {
                "key": aligned.key,
                "folder": folder.name,
                "fingerprint": fingerprint,
                "subject": aligned.subject,
                "source": dict(source),
                "trace_kind": aligned.trace_kind,
                "templates": [template.name for template in aligned.templates],
                "auxiliary_names": list(aligned.auxiliary_names),
                "frame_rate": aligned.frame_rate,
                "n_frames": int(aligned.neural.shape[0]),
                "n_cells": int(aligned.neural.shape[1]),
                "files": {
                    path.name: neural if path.name == "neural.npy" else _file_record(path)
                    for path in sorted(beside.iterdir())
                },
                "report": report,
            }
            write_json(beside / "session.json", entry)
        self._entries[aligned.key] = entry

    def finish(self, failures: Sequence[NwbMivaeError] = ()) -> ClipStore:
        """Gather the stimulus frames, write the manifest and open the store.

        Raises
        ------
        StoreError
            If no session was added or reused.
        """
        if not self._entries:
            raise StoreError(
                "no session", expected="at least one", remedy="name NWB files or open sessions", file=self._path
            )
        manifest = self._path / "manifest.json"
        failed = [failure.as_dict() for failure in failures]
        old = None if self._changed else self._manifest_if_good(manifest)
        if old is not None:
            if old["failures"] != failed:
                write_json(manifest, {**old, "failures": failed})
            return ClipStore.open(self._path)
        self._begin_change()
        stimulus = self._gather_frames()
        write_json(
            manifest,
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "configuration": self._settings,
                "stimulus": stimulus,
                "sessions": self._session_entries(),
                "failures": failed,
                "provenance": provenance_record(),
            },
        )
        shutil.rmtree(self._path / "staged", ignore_errors=True)
        used = {entry["folder"] for entry in self._entries.values()}
        for folder in (self._path / "sessions").iterdir():
            if folder.name not in used and (folder / "session.json").is_file():
                shutil.rmtree(folder)
        return ClipStore.open(self._path)

    def _manifest_if_good(self, path: Path) -> dict[str, Any] | None:
        """The manifest, if all it says of these sessions is true of the folder (``reuse`` checked the rest)."""
        try:
            manifest: dict[str, Any] = read_json(path)
            good = (
                (manifest["format"], manifest["format_version"]) == (FORMAT, FORMAT_VERSION)
                and manifest["configuration"] == self._settings
                and manifest["sessions"] == self._session_entries()
                and manifest["stimulus"] == self._stimulus_entry(manifest["stimulus"]["blank"])
                and {"failures", "provenance"} <= set(manifest)
            )
        except (OutputError, OSError, KeyError, TypeError, ValueError, EOFError):
            # Missing or damaged: it is written anew.
            return None
        return manifest if good else None

    def _session_entries(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of the sessions."""
        entries = {}
        for key, entry in sorted(self._entries.items()):
            files = {name: file for name, file in entry["files"].items() if not name.startswith("frame_")}
            files["stimulus_row.npy"] = _file_record(self._path / "sessions" / entry["folder"] / "stimulus_row.npy")
            entries[key] = {**entry, "folder": f"sessions/{entry['folder']}", "files": files}
        return entries

    def _stimulus_entry(self, blank: Sequence[int]) -> dict[str, Any]:
        return {**_file_record(self._path / "stimulus.npy"), "blank": list(blank)}

    def _refuse_other_rate(self, key: str, frame_rate: float, path: str) -> None:
        for other, entry in self._entries.items():
            if abs(frame_rate / entry["frame_rate"] - 1) > FRAME_RATE_TOLERANCE:
                raise StoreError(
                    f"frames at {frame_rate:.4g} Hz in session {key}, at {entry['frame_rate']:.4g} Hz in {other}",
                    expected="one frame rate, since a clip is a number of frames",
                    remedy="prepare these sessions into stores of their own, or, for standing images, set "
                    "alignment.clock_rate",
                    file=path,
                )

    def _begin_change(self) -> None:
        self._changed = True
        (self._path / "manifest.json").unlink(missing_ok=True)

    def _stretched(self, aligned: AlignedSession) -> list[str]:
        height, width = self._shape
        stretched = [
            template.name
            for template in aligned.templates
            if abs(template.width / template.height / (width / height) - 1) > 0.02
        ]
        if not stretched:
            return []
        some = ", ".join(stretched[:3]) + (f" and {len(stretched) - 3} more" if len(stretched) > 3 else "")
        return [f"Frames of {some} have another aspect ratio than {width} x {height} pixels and were stretched to it."]

    def _stage_frames(self, aligned: AlignedSession, shown: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.uint8]:
        """Digest (n, 16) of every shown (template, frame); frames not known yet are written into ``staged/``."""
        digests: list[npt.NDArray[np.uint8]] = []
        known = set(self._known)
        # Frames staged before an interruption, or by this session from other inputs, are still good.
        earlier = len(list((self._path / "staged").glob(f"{name}.*.npy")))
        with ExitStack() as stack:
            bank = None
            for frames in self._read_frames(aligned, shown):
                chunk = frame_digests(frames)
                digests.append(chunk)
                new = []
                for number, digest in enumerate(chunk):
                    if (key := digest.tobytes()) not in known:
                        known.add(key)
                        new.append(number)
                if new:
                    if bank is None:
                        target = self._path / "staged" / f"{name}.{earlier}.npy"
                        bank = stack.enter_context(new_bank(target, self._shape))
                    bank.append(frames if len(new) == len(frames) else frames[new], chunk[new])
            if bank is not None:
                self._banks.append(bank.finish())
        # Only now are they on disk: had reading failed half-way, another session would have to stage them.
        self._known = known
        return np.concatenate(digests)

    def _read_frames(self, aligned: AlignedSession, shown: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
        height, width = self._shape
        for number in np.unique(shown[0]):
            frames = shown[1, shown[0] == number]
            if number < 0:
                grey = np.full((1, height, width), self._configuration.blank_luminance, dtype=np.uint8)
                yield np.repeat(grey, len(frames), axis=0)
                continue
            template = aligned.templates[number]
            step = max(1, CHUNK_BYTES // max(1, 4 * template.height * template.width))
            for start in range(0, len(frames), step):
                yield resize_frames(template.read(frames[start : start + step]), height, width)

    def _gather_frames(self) -> dict[str, Any]:
        """Write ``stimulus.npy`` and every session's ``stimulus_row.npy``; the manifest's entry of the former."""
        row_of: dict[bytes, int] = {}
        for _, entry in sorted(self._entries.items()):
            folder = self._path / "sessions" / entry["folder"]
            digests = np.load(folder / "frame_digest.npy", allow_pickle=False)
            rows = np.array([row_of.setdefault(digest.tobytes(), len(row_of)) for digest in digests], dtype=np.int64)
            frame_index = np.load(folder / "frame_index.npy", allow_pickle=False)
            with whole_file(folder / "stimulus_row.npy") as beside:
                np.save(beside, rows[frame_index], allow_pickle=False)
        target = self._path / "stimulus.npy"
        uniform: set[bytes] = set()
        for bank in self._banks:
            uniform.update(key for key, is_uniform in zip(bank.keys, bank.uniform, strict=True) if is_uniform)
        whole = next((bank for bank in self._banks if bank.holds_just(row_of)), None)
        if whole is not None:
            # All that a first session shows, or what was there before.
            os.replace(whole.path, target)
        else:
            with whole_file(target) as beside:
                missing = write_in_order(beside, self._shape, row_of, self._banks)
                if missing:
                    raise StoreError(
                        f"{missing} stimulus frames that are not in the folder any more",
                        expected="a folder nothing else writes to",
                        remedy="remove the folder and prepare it again",
                        file=self._path,
                    )
        return self._stimulus_entry(sorted(row for key, row in row_of.items() if key in uniform))


def folder_name(key: str) -> str:
    """A session's key as the name of a folder, whatever characters it holds."""
    name = quote(key, safe=" +=,@")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _check_folder(path: Path) -> None:
    if not path.exists():
        return
    ours = {"manifest.json", "stimulus.npy", "sessions", "staged"}
    foreign = (
        [
            entry.name
            for entry in path.iterdir()
            if entry.name not in ours and not re.match(r"\..*\.partial", entry.name)
        ]
        if path.is_dir()
        else [path.name]
    )
    if foreign:
        raise StoreError(
            f"{sorted(foreign)[0]!r} in the output folder",
            expected="a new or empty folder, or a clip store",
            remedy="choose another output folder",
            file=path,
        )


def _session_records(path: Path) -> Iterator[dict[str, Any]]:
    for record in sorted((path / "sessions").glob("*/session.json")):
        try:
            entry = json.loads(record.read_text(encoding="utf-8"))
            if {"fingerprint", "key", "folder", "files"} <= set(entry):
                yield entry
        except (OSError, ValueError, TypeError):
            # A damaged record is prepared again; nothing is lost by not reusing it.
            continue


def _file_record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    if path.suffix == ".npy":
        array = np.load(path, mmap_mode="r" if path.stat().st_size > CHUNK_BYTES else None, allow_pickle=False)
        record |= {"shape": list(array.shape), "dtype": str(array.dtype)}
    return record


def fingerprint_of(values: Mapping[str, Any]) -> str:
    """SHA-256 over plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
