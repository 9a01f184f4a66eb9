"""Small NWB files for tests, built from parts with pynwb; layouts it refuses to build are patched with h5py after."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hdmf.common import VectorData
from pynwb import NWBHDF5IO, NWBFile
from pynwb.base import Images
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.image import GrayscaleImage, ImageSeries
from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel, PlaneSegmentation, RoiResponseSeries

__all__ = ["add_images", "add_movie", "add_plane", "add_table", "add_traces", "new_file", "pixels_of", "write"]


def new_file(**more: Any) -> NWBFile:
    """An empty file of one mouse."""
    return NWBFile(
        session_description="test",
        identifier="test-1",
        session_start_time=datetime(2025, 1, 1, tzinfo=UTC),
        session_id="ses1",
        subject=Subject(subject_id="mouse1", species="Mus musculus", sex="F", age="P90D"),
        **more,
    )


def write(nwbfile: NWBFile, path: Path) -> Path:
    """Write the file and return its path; what hdmf says about tables built apart is not the test's subject."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with NWBHDF5IO(str(path), "w") as io:
            io.write(nwbfile)
    return path


def add_plane(
    nwbfile: NWBFile,
    n_rois: int,
    *,
    name: str = "plane",
    masks: Sequence[Any] | None = None,
    mask_kind: str = "pixel_mask",
    columns: Mapping[str, Sequence[Any]] | None = None,
    imaging_rate: float | None = 30.0,
    grid_spacing: Sequence[float] | None = (2e-6, 2e-6),
    grid_spacing_unit: str = "meters",
    origin: Sequence[float] | None = (0.0, 0.0, 200e-6),
    location: str = "VISp",
) -> PlaneSegmentation:
    """A ROI table of an imaging plane; by default one pixel (i, 2 i) per ROI i."""
    if "microscope" not in nwbfile.devices:
        nwbfile.create_device(name="microscope")
    spacing = (
        {} if grid_spacing is None else {"grid_spacing": list(grid_spacing), "grid_spacing_unit": grid_spacing_unit}
    )
    corner = {} if origin is None else {"origin_coords": list(origin), "origin_coords_unit": "meters"}
    plane = nwbfile.create_imaging_plane(
        name=name,
        optical_channel=OpticalChannel(name="green", description="green", emission_lambda=510.0),
        description="plane",
        device=nwbfile.devices["microscope"],
        excitation_lambda=910.0,
        imaging_rate=imaging_rate,
        indicator="GCaMP6f",
        location=location,
        **spacing,
        **corner,
    )
    if "ophys" not in nwbfile.processing:
        nwbfile.create_processing_module("ophys", "imaging").add(ImageSegmentation(name="ImageSegmentation"))
    table = nwbfile.processing["ophys"]["ImageSegmentation"].create_plane_segmentation(
        name=f"rois_of_{name}", description="rois", imaging_plane=plane
    )
    for row in range(n_rois):
        mask = [(row, 2 * row, 1.0)] if masks is None else masks[row]
        table.add_roi(id=100 + row, **{mask_kind: mask})
    for column, values in (columns or {}).items():
        table.add_column(name=column, description=column, data=values)
    return table


def add_traces(
    nwbfile: NWBFile,
    table: PlaneSegmentation,
    data: npt.NDArray[Any],
    *,
    name: str = "RoiResponseSeries",
    container: str = "DfOverF",
    rows: Sequence[int] | None = None,
    **timing: Any,
) -> RoiResponseSeries:
    """A RoiResponseSeries in a DfOverF or Fluorescence container of that name; ``timing`` defaults to 10 Hz from 0."""
    if not timing.keys() & {"rate", "timestamps"}:
        timing = {"rate": 10.0, "starting_time": 0.0, **timing}
    module = nwbfile.processing["ophys"]
    if container not in module.data_interfaces:
        kind = DfOverF if container == "DfOverF" else Fluorescence
        module.add(kind(name=container))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = RoiResponseSeries(
            name=name,
            data=data,
            rois=table.create_roi_table_region(
                region=list(range(len(table)) if rows is None else rows), description="rois"
            ),
            **{"unit": "n.a.", **timing},
        )
        module[container].add_roi_response_series(series)
    return series


def pixels_of(n_frames: int, height: int = 6, width: int = 8, *, first: int = 0) -> npt.NDArray[np.uint8]:
    """Frames (n_frames, height, width) whose every pixel is the frame's own number, counted from ``first``."""
    return np.broadcast_to(
        np.arange(first, first + n_frames, dtype=np.uint8)[:, None, None], (n_frames, height, width)
    ).copy()


def add_movie(nwbfile: NWBFile, name: str, pixels: npt.NDArray[Any], *, rate: float = 30.0, **more: Any) -> ImageSeries:
    """A movie among the stimulus templates."""
    movie = ImageSeries(name=name, data=pixels, unit="n.a.", format="raw", rate=rate, starting_time=0.0, **more)
    nwbfile.add_stimulus_template(movie)
    return movie


def add_images(nwbfile: NWBFile, name: str, pixels: npt.NDArray[np.uint8], *, prefix: str = "scene") -> Images:
    """A picture set among the stimulus templates, one GrayscaleImage per frame, ``prefix`` and number as names."""
    images = Images(
        name=name,
        description="pictures",
        images=[GrayscaleImage(name=f"{prefix}{number}", data=picture) for number, picture in enumerate(pixels)],
    )
    nwbfile.add_stimulus_template(images)
    return images


def add_table(nwbfile: NWBFile, name: str, *, in_stimulus: bool = False, **columns: Sequence[Any]) -> TimeIntervals:
    """A table of intervals, one keyword per column."""
    table = TimeIntervals(
        name=name,
        description=name,
        columns=[VectorData(name=column, description=column, data=list(values)) for column, values in columns.items()],
        colnames=list(columns),
    )
    if in_stimulus:
        nwbfile.add_stimulus(table)
    else:
        nwbfile.add_time_intervals(table)
    return table
