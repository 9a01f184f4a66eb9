"""A two-photon session as labs share it: what is analysed, and the raw movie of the microscope in the same file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import VectorData
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.behavior import BehavioralTimeSeries, PupilTracking
from pynwb.device import Device
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.image import ImageSeries
from pynwb.ophys import (
    DfOverF,
    Fluorescence,
    ImageSegmentation,
    OpticalChannel,
    RoiResponseSeries,
    TwoPhotonSeries,
)

__all__ = ["used_bytes", "write_recording_with_movie"]

RATE = 30.0
MOVIE_FRAMES, HEIGHT, WIDTH = 900, 72, 128


def write_recording_with_movie(
    path: Path,
    *,
    minutes: float = 20.0,
    n_rois: int = 300,
    raw_bytes: int = 400_000_000,
    trace_chunks: tuple[int, int] | None = None,
    seed: int = 0,
) -> Path:
    """Write the session: gzip and chunks as pynwb chooses them (or ``trace_chunks``), a raw movie of noise.

    Traces dF/F and raw fluorescence ``(time, roi)`` float32 with timestamps, one mask image per ROI, one natural movie
    shown over and over with a row per frame, running and pupil; the raw movie lies before them in the file.
    """
    random = np.random.default_rng(seed)

    def packed(values: npt.NDArray[Any], chunks: tuple[int, int] | None = None) -> H5DataIO:
        return H5DataIO(values, compression="gzip", chunks=True if chunks is None else chunks)

    n_frames = int(minutes * 60 * RATE)
    nwbfile = NWBFile(
        session_description="a session with its raw movie",
        identifier=f"recording-with-movie-{seed}",
        session_start_time=datetime(2026, 1, 2, tzinfo=UTC),
        session_id="1",
        subject=Subject(subject_id="mouse-1", species="Mus musculus", sex="F", age="P90D"),
    )
    device = Device(name="microscope")
    nwbfile.add_device(device)
    plane = nwbfile.create_imaging_plane(
        name="plane",
        optical_channel=OpticalChannel(name="green", description="green", emission_lambda=510.0),
        description="layer 2/3",
        device=device,
        excitation_lambda=910.0,
        imaging_rate=RATE,
        indicator="GCaMP6f",
        location="VISp",
        grid_spacing=[0.78e-6, 0.78e-6],
        grid_spacing_unit="meters",
        origin_coords=[0.0, 0.0, 200e-6],
        origin_coords_unit="meters",
    )
    shape = (max(1, raw_bytes // (512 * 512 * 2)), 512, 512)
    raw = random.integers(0, 2**16, size=shape, dtype=np.uint16)
    nwbfile.add_acquisition(
        TwoPhotonSeries(
            name="raw", data=H5DataIO(raw, chunks=(1, 512, 512)), unit="n.a.", imaging_plane=plane, rate=RATE
        )
    )
    timestamps = np.arange(n_frames) / RATE + random.normal(0, 1e-4, n_frames)

    module = nwbfile.create_processing_module("ophys", "imaging")
    segmentation = ImageSegmentation(name="ImageSegmentation")
    module.add(segmentation)
    table = segmentation.create_plane_segmentation(name="rois", description="rois", imaging_plane=plane)
    for row in range(n_rois):
        mask = np.zeros((512, 512), dtype=np.float32)
        y, x = 10 + (row // 20) * 32, 10 + (row % 20) * 24
        mask[y : y + 10, x : x + 10] = random.random((10, 10))
        table.add_roi(image_mask=mask)
    table["image_mask"].set_data_io(H5DataIO, {"compression": "gzip", "chunks": True})
    region = table.create_roi_table_region(region=list(range(n_rois)), description="all")
    for container in (DfOverF(name="DfOverF"), Fluorescence(name="Fluorescence")):
        module.add(container)
        container.add_roi_response_series(
            RoiResponseSeries(
                name=container.name,
                data=packed(random.normal(size=(n_frames, n_rois)).astype(np.float32), trace_chunks),
                rois=region,
                unit="n.a.",
                timestamps=packed(timestamps),
            )
        )

    movie = random.integers(0, 256, size=(MOVIE_FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    template = ImageSeries(
        name="natural_movie_one", data=packed(movie), unit="n.a.", format="raw", rate=RATE, starting_time=0.0
    )
    nwbfile.add_stimulus_template(template)
    n_shown = int((minutes * 60 - 20) * RATE)
    start = 10 + np.arange(n_shown) / RATE
    columns = {
        "start_time": packed(start),
        "stop_time": packed(start + 1 / RATE),
        "stimulus_name": ["natural_movie_one"] * n_shown,
        "frame": packed(np.arange(n_shown) % MOVIE_FRAMES),
    }
    presentations = TimeIntervals(
        name="natural_movie_one_presentations",
        description="a row per frame",
        columns=[VectorData(name=name, description=name, data=data) for name, data in columns.items()],
    )
    nwbfile.add_time_intervals(presentations)

    behaviour = nwbfile.create_processing_module("behavior", "running and pupil")
    running = BehavioralTimeSeries(name="BehavioralTimeSeries")
    running.add_timeseries(
        TimeSeries(
            name="running_speed", data=packed(random.normal(size=n_frames)), unit="cm/s", timestamps=packed(timestamps)
        )
    )
    pupil = PupilTracking(name="PupilTracking")
    pupil.add_timeseries(
        TimeSeries(
            name="pupil_size", data=packed(random.normal(size=n_frames)), unit="pixels", timestamps=packed(timestamps)
        )
    )
    behaviour.add([running, pupil])
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwbfile)
    return path


def used_bytes(path: Path, paths: tuple[str, ...]) -> int:
    """What the datasets at or below these paths take in the file, compressed as they are."""
    total = 0

    def add(_: str, item: object) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset):
            total += item.id.get_storage_size()

    with h5py.File(path, "r") as root:
        for each in paths:
            if isinstance(root[each], h5py.Dataset):
                add("", root[each])
            else:
                root[each].visititems(add)
    return total
