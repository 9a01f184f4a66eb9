"""Small NWB files that hold one imaging plane each of a session, as OpenScope's multi-plane dandisets do (000336)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from pynwb import NWBFile, TimeSeries
from pynwb.file import Subject

from tests.nwb_files import add_movie, add_plane, add_table, add_traces, pixels_of, write

__all__ = ["FRAME_RATE", "START", "frame_onsets", "plane_values", "write_plane", "write_planes"]

START = datetime(2025, 1, 1, 12, tzinfo=UTC)
FRAME_RATE = 30.0
#: Seconds from one sample of a plane to the next.
SAMPLE_INTERVAL = 0.1


def frame_onsets(frames: int, *, seed: int = 0, first: float = 2.0) -> npt.NDArray[np.float64]:
    """Onsets in seconds on a display whose clock is not quite regular: no two sessions have the same."""
    random = np.random.default_rng(seed)
    return first + np.cumsum(1 / FRAME_RATE + random.uniform(-2e-3, 2e-3, frames))


def plane_values(plane: int, samples: int, rois: int) -> npt.NDArray[np.float32]:
    """Traces (samples, rois) whose values tell plane (thousands), ROI (hundreds) and sample (hundredths)."""
    return (1000 * plane + 100 * np.arange(rois) + 0.01 * np.arange(samples)[:, None]).astype(np.float32)


def write_plane(
    path: Path,
    plane: int = 0,
    *,
    subject: str = "mouse1",
    start: datetime = START,
    session_id: str | None = "ses1",
    identifier: str | None = None,
    plane_name: str | None = None,
    rois: int = 3,
    first_roi: int | None = None,
    values: npt.NDArray[np.float32] | None = None,
    first_sample: float | None = None,
    samples: int = 120,
    onsets: npt.NDArray[np.float64] | None = None,
    table: str = "natural_movie_presentations",
    stimulus: bool = True,
    pixels: npt.NDArray[np.uint8] | None = None,
    traces: bool = True,
    running: bool = False,
    metadata: Mapping[str, str] | None = None,
    container: str = "DfOverF",
) -> Path:
    """Write imaging plane number ``plane`` of a session whose animal saw a movie frame by frame.

    The planes of a session are imaged in turn: each starts a little after the one before. ``pixels`` puts the movie
    itself into the file, ``metadata`` are fields of lab metadata.
    """
    nwbfile = NWBFile(
        session_description="One plane of a session.",
        identifier=identifier or f"identifier-of-{path.stem}",
        session_start_time=start,
        session_id=session_id,
        subject=Subject(subject_id=subject, species="Mus musculus", sex="F", age="P90D"),
    )
    if traces:
        name = plane_name or f"plane_{plane}"
        roi_table = add_plane(nwbfile, rois, name=name, origin=(0.0, 0.0, (100 + 50 * plane) * 1e-6))
        first_roi = 1000 * plane if first_roi is None else first_roi
        roi_table.id.data[:] = list(range(first_roi, first_roi + rois))
        begin = 0.021 * plane if first_sample is None else first_sample
        add_traces(
            nwbfile,
            roi_table,
            plane_values(plane, samples, rois) if values is None else values,
            container=container,
            timestamps=begin + SAMPLE_INTERVAL * np.arange(samples if values is None else len(values)),
        )
    if stimulus:
        onsets = frame_onsets(60) if onsets is None else onsets
        frames = np.arange(len(onsets)) if pixels is None else np.arange(len(onsets)) % len(pixels)
        add_table(
            nwbfile,
            table,
            start_time=onsets,
            stop_time=onsets + 1 / FRAME_RATE,
            stimulus_name=["natural_movie"] * len(onsets),
            frame=frames,
        )
    if pixels is not None:
        add_movie(nwbfile, "natural_movie", pixels)
    if running:
        nwbfile.create_processing_module("behavior", "running").add(
            TimeSeries(name="running_speed", data=np.linspace(0, 5, 50), unit="cm/s", rate=10.0, starting_time=0.0)
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write(nwbfile, path)
    if metadata:
        with h5py.File(path, "r+") as root:
            group = root["general"].create_group("metadata")
            group.attrs.update(
                {"neurodata_type": "LabMetaData", "namespace": "core", "object_id": path.stem, **metadata}
            )
    return path


def write_planes(folder: Path, planes: Sequence[int] = (0, 1), *, frames: int = 60, **more: Any) -> list[Path]:
    """The files of one session, one per plane; the first holds the movie and running as well."""
    pixels = more.pop("pixels", pixels_of(frames))
    return [
        write_plane(
            folder / f"sub-mouse1_ses-11-acq-{20 + plane}_image+ophys.nwb",
            plane,
            **{"pixels": pixels if plane == planes[0] else None, "running": plane == planes[0], **more},
        )
        for plane in planes
    ]
