"""Dandiset 001768, OpenScope 2026 on the mesoscope: every plane in one file, one processing module and clock per plane.

Facts: the field guide, the conversion capsule of the AIND multiplane pipeline, and notebooks on published files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hdmf.common import DynamicTable, VectorData
from pynwb import NWBFile, TimeSeries
from pynwb.base import Images
from pynwb.file import Subject
from pynwb.image import GrayscaleImage
from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

from tests.layouts.building import blobs, intervals_table, new_session, sampling_times, save
from tests.layouts.truth import LayoutTruth, LinearInTime, Presentation

__all__ = ["MICROMETRES_PER_PIXEL", "PLANES", "write"]

FloatArray = npt.NDArray[np.float64]

#: Names of the planes, of their processing modules and of their imaging planes; the area is part of them.
PLANES = ("VISp_0", "VISp_1", "VISp_2", "VISp_3", "VISl_4", "VISl_5", "VISl_6", "VISl_7")
#: `grid_spacing` with a unit that is not NWB's default.
MICROMETRES_PER_PIXEL = 0.78
_RATE = 9.48
_DISPLAY_RATE = 60.0
_HEIGHT, _WIDTH = 40, 40
_N_ROIS = 4
_MOVIE_FRAMES = 20


def write(
    folder: Path,
    *,
    n_planes: int = 3,
    movie: bool = True,
    eye_tracking: bool = True,
    failed_fit: float = -1.0,
) -> LayoutTruth:
    """Write `sub-839909_ses-multiplane-ophys-839909-2026-01-29-11-18-09_ophys.nwb` and say what is true of it.

    Parameters
    ----------
    n_planes : int
        Up to eight, imaged two at a time: each pair a part of a cycle after the one before.
    movie : bool
        Whether a natural movie is told, one row per refresh of the display; its pixels are in no file.
    eye_tracking : bool
        Whether there is `processing/eye_tracking`, whose tables have their times in a column.
    failed_fit : float
        What stands in them where no ellipse could be fitted.
    """
    display = sampling_times(_DISPLAY_RATE, 34.0, first=3.3, jitter=2e-4)
    nwbfile = new_session(
        "multiplane-ophys_839909_2026-01-29_11-18-09",
        subject=Subject(subject_id="839909", species="Mus musculus", sex="F", age="P140D", genotype="Cux2/Ai93"),
        session_description="multiplane-ophys",
    )
    tables, rows = _shown(display, movie=movie)
    for name, columns in tables.items():
        nwbfile.add_time_intervals(intervals_table(f"{name}_presentations", f"Presentations of {name}", columns))
    end = max(row.stop for row in rows) + 1.0
    n_groups = (n_planes + 1) // 2
    pulses = sampling_times(_RATE * n_groups, end, first=0.25)
    encoding = LinearInTime.of(n_planes * _N_ROIS)
    soma = np.arange(_N_ROIS) != 3
    positions, centres = _add_planes(nwbfile, pulses, encoding, n_planes, n_groups, soma)
    _add_running(nwbfile, sampling_times(60.0, end))
    if eye_tracking:
        _add_eye_tracking(nwbfile, sampling_times(60.0, end, seed=3), failed_fit)
    name = "sub-839909_ses-multiplane-ophys-839909-2026-01-29-11-18-09_ophys.nwb"
    keep = np.tile(soma, n_planes)
    return LayoutTruth(
        name="001768 OpenScope 2026",
        dandisets=("001768",),
        files=(save(nwbfile, Path(folder) / name),),
        n_cells_all=len(keep),
        n_cells_valid=int(keep.sum()),
        trace_kind="dff",
        trace_path=f"processing/{PLANES[0]}/dff_timeseries/dff_timeseries",
        positions=positions[keep],
        pixels=centres[keep],
        presentations=tuple(rows),
        encodes=LinearInTime(encoding.offset[keep], encoding.slope[keep]),
        trace_times=pulses[::n_groups],
        templates_without_pixels=("Control block 2",) + (("Zebra_natural_movie",) if movie else ()),
        running="processing/running/running_speed",
        pupil="processing/eye_tracking/pupil" if eye_tracking else None,
    )


def _add_planes(
    nwbfile: NWBFile,
    pulses: FloatArray,
    encoding: LinearInTime,
    n_planes: int,
    n_groups: int,
    soma: npt.NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray]:
    """Positions (N, 3) in micrometres and centres (N, 2) in pixels of every ROI."""
    device = nwbfile.create_device(name="MESO.1", description="429_mesoscope_20260101", manufacturer="Thorlabs")
    positions, all_centres = [], []
    for number, name in enumerate(PLANES[:n_planes]):
        depth = 150 + 30 * number
        plane = nwbfile.create_imaging_plane(
            name=name,
            optical_channel=OpticalChannel(name="green", description="green", emission_lambda=514.0),
            imaging_rate=_RATE,
            description="Two-photon imaging plane",
            device=device,
            excitation_lambda=920.0,
            indicator="Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/wt",
            # Area and depth are told here, in words, and nowhere else.
            location=f"Structure: {name.partition('_')[0]} Depth: {depth}",
            grid_spacing=[MICROMETRES_PER_PIXEL, MICROMETRES_PER_PIXEL],
            grid_spacing_unit="micrometer",
            origin_coords=[0.0, 0.0, 0.0],
            origin_coords_unit="micrometer",
        )
        module = nwbfile.create_processing_module(name, "")
        masks, centres = blobs(_N_ROIS, _HEIGHT, _WIDTH, seed=40 + number)
        segmentation = ImageSegmentation(name="image_segmentation")
        module.add(segmentation)
        rois = segmentation.create_plane_segmentation(
            name="roi_table", description="suite2p-cellpose", imaging_plane=plane
        )
        for mask in masks:
            rois.add_roi(image_mask=mask.astype(np.float64))
        flags = {
            "is_soma": soma.astype(np.int64),
            "soma_probability": np.where(soma, 0.97, 0.12),
            "is_dendrite": (~soma).astype(np.int64),
            "dendrite_probability": np.where(soma, 0.02, 0.8),
        }
        for column, data in flags.items():
            rois.add_column(name=column, description=column, data=data)
        times = pulses[number // 2 :: n_groups]
        columns = slice(number * _N_ROIS, (number + 1) * _N_ROIS)
        values = LinearInTime(encoding.offset[columns], encoding.slope[columns]).values(times)
        _add_series(module, rois, times, values)
        projection = np.where(masks.any(axis=0), 0.8, 0.1)
        module.add(
            Images(
                name="images",
                images=[
                    GrayscaleImage(name=image, data=projection, resolution=MICROMETRES_PER_PIXEL, description=image)
                    for image in ("average_projection", "max_projection", "segmentation_mask_image")
                ],
                description="Summary images of the two-photon movie",
            )
        )
        positions.append(np.column_stack([centres * MICROMETRES_PER_PIXEL, np.full(_N_ROIS, float(depth))]))
        all_centres.append(centres)
    return np.concatenate(positions), np.concatenate(all_centres)


def _add_series(module: Any, rois: Any, times: FloatArray, values: FloatArray) -> None:
    """Raw, neuropil, corrected, dF/F and events; only two of them in a container."""

    def series(name: str, data: FloatArray, unit: str) -> RoiResponseSeries:
        region = rois.create_roi_table_region(region=list(range(_N_ROIS)), description="List of measured ROIs")
        return RoiResponseSeries(name=name, data=data, rois=region, unit=unit, timestamps=times)

    module.add(DfOverF(name="dff_timeseries", roi_response_series=[series("dff_timeseries", values, "%")]))
    module.add(
        Fluorescence(
            name="raw_timeseries",
            roi_response_series=[series("ROI_fluorescence_timeseries", 400 + 30 * values, "a.u.")],
        )
    )
    module.add(series("neuropil_fluorescence_timeseries", 200 - values, "a.u."))
    module.add(series("neuropil_corrected_timeseries", 300 + 25 * values, "a.u."))
    sparse = np.where(np.arange(len(times))[:, None] % 15 == 4, values, 0.0)
    module.add(series("event_timeseries", sparse, "a.u."))


def _add_running(nwbfile: NWBFile, times: FloatArray) -> None:
    module = nwbfile.create_processing_module("running", "Running speed")
    module.add(TimeSeries(name="running_speed", data=10 * np.sin(times), timestamps=times, unit="cm/s"))
    module.add(TimeSeries(name="running_wheel_rotation", data=np.cos(times), timestamps=times, unit="radians"))


def _add_eye_tracking(nwbfile: NWBFile, times: FloatArray, failed_fit: float) -> None:
    """Tables, not series: one row per frame of the camera, their times a column."""
    module = nwbfile.create_processing_module("eye_tracking", "Eye tracking")
    failed = np.zeros(len(times), dtype=bool)
    failed[50:55] = True
    for name, size in (("ellipse", 60.0), ("pupil", 20.0), ("corneal_reflection", 5.0)):
        width, height = size + np.sin(times), size + np.cos(times)
        columns = {
            "timestamps": times,
            "data_x": 300 + np.sin(times),
            "data_y": 200 + np.cos(times),
            "width": width,
            "height": height,
            "angle": np.zeros(len(times)),
            "area": np.pi * width * height,
            "area_raw": np.pi * width * height,
        }
        module.add(
            DynamicTable(
                name=name,
                description=f"{name}; reference_frame = nose",
                columns=[
                    VectorData(
                        name=column,
                        description=column,
                        data=data if column == "timestamps" else np.where(failed, failed_fit, data),
                    )
                    for column, data in columns.items()
                ],
            )
        )
    module.add(TimeSeries(name="likely_blink_times", data=failed, timestamps=times, unit="n.a."))


def _shown(display: FloatArray, *, movie: bool) -> tuple[dict[str, dict[str, Any]], list[Presentation]]:
    """Tables by the name of their block, spaces and all, and what they tell."""
    tables: dict[str, dict[str, Any]] = {}
    rows: list[Presentation] = []
    now = 60
    angles = 2 * np.pi * np.arange(16) / 16
    first = now + 16 * np.arange(len(angles))
    start, stop = display[first], display[first + 16]
    halt = np.arange(len(angles)) == 5
    omission = np.arange(len(angles)) == 9
    kinds = np.select([halt, omission], ["halt", "omission"], "single")
    contrast = np.where(omission, 0.0, 1.0)
    tables["Control block 2"] = {
        "start_time": start,
        "stop_time": stop,
        "stim_name": np.full(len(angles), "Control block 2", dtype=object),
        "stim_type": np.full(len(angles), "sequential_control_block", dtype=object),
        "stim_block": np.full(len(angles), 2),
        "stim_index": np.arange(len(angles)),
        "TrialType": kinds.astype(object),
        # Numbers as text, angles in radians.
        "Orientation": np.array([str(angle) for angle in angles], dtype=object),
        "Contrast": np.array([str(value) for value in contrast], dtype=object),
        "Spatial_Frequency": np.full(len(angles), "0.04", dtype=object),
        "Temporal_Frequency": np.array(["0.0" if one else "2.0" for one in halt], dtype=object),
        "Phase": np.full(len(angles), "0.0", dtype=object),
    }
    for row, angle in enumerate(angles):
        parameters: dict[str, float | str] = {
            "Orientation": str(angle),
            "Contrast": str(contrast[row]),
            "Spatial_Frequency": "0.04",
            "Temporal_Frequency": "0.0" if halt[row] else "2.0",
            "Phase": "0.0",
        }
        nothing = bool(omission[row])
        rows.append(
            Presentation(
                float(start[row]),
                float(stop[row]),
                "Control block 2",
                parameters={} if nothing else parameters,
                blank=nothing,
                block=2,
            )
        )
    now = int(first[-1]) + 16
    tables["spontaneous"] = {
        "start_time": display[[now]],
        "stop_time": display[[now + 120]],
        "stim_name": np.array(["spontaneous"], dtype=object),
        "stim_type": np.array(["spontaneous"], dtype=object),
        "stim_block": np.array([3]),
        "stim_index": np.array([-1]),
    }
    rows.append(Presentation(float(display[now]), float(display[now + 120]), "spontaneous", blank=True, block=3))
    now += 120
    if movie:
        # A row per refresh, each frame for two of them, shown twice.
        frames = np.tile(np.repeat(np.arange(_MOVIE_FRAMES), 2), 2)
        first = now + np.arange(len(frames))
        tables["Zebra_natural_movie"] = {
            "start_time": display[first],
            "stop_time": display[first + 1],
            "stim_name": np.full(len(frames), "Zebra_natural_movie", dtype=object),
            "stim_type": np.full(len(frames), "movie", dtype=object),
            "stim_block": np.full(len(frames), 4),
            "stim_index": np.full(len(frames), 4),
            "frame": frames.astype(np.float64),
        }
        rows += [
            Presentation(
                float(display[now + row]),
                float(display[now + row + 2]),
                "Zebra_natural_movie",
                "Zebra_natural_movie",
                int(frames[row]),
                block=4,
            )
            for row in range(0, len(frames), 2)
        ]
    return tables, rows
