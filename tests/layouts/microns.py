"""Dandiset 000402, MICrONS functional scans: several fields of one mesoscope in one file, the screen as one movie.

Facts: the field guide, and the converter catalystneuro/MICrONS-to-nwb.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from pynwb import NWBFile, TimeSeries
from pynwb.base import Images
from pynwb.behavior import EyeTracking, PupilTracking, SpatialSeries
from pynwb.file import Subject
from pynwb.image import GrayscaleImage, ImageSeries
from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

from tests.layouts.building import blobs, intervals_table, new_session, sampling_times, save
from tests.layouts.truth import LayoutTruth, Presentation, SineInTime, pictures

__all__ = ["AREAS", "MOVIE", "write"]

FloatArray = npt.NDArray[np.float64]

#: The location of every plane, whichever of the areas it is in.
AREAS = "VISp,VISrl,VISlm,VISal"
#: Name of the movie of the whole session; a colon is not allowed in names that are built today.
MOVIE = "Video: stimulus_17797_9_4_v4"
_BUILT_AS = "Video stimulus_17797_9_4_v4"
_RATE = 6.3
_DISPLAY_RATE = 60.0
_N_ROIS = 4
_HEIGHT, _WIDTH = 30, 36
_MICROMETRES = 2.5
_TRIALS = ("Clip", "Monet2", "Trippy", "Clip", "Monet2", "Clip")
#: Trials that show the same again, by number.
_REPEATS = {5: 0, 4: 1}
_TRIAL_SECONDS = 2.0
_PAUSE_SECONDS = 0.5


@dataclass
class _Shown:
    pixels: npt.NDArray[np.uint8]
    times: FloatArray
    rows: list[Presentation] = field(default_factory=list)
    tables: dict[str, dict[str, list[Any]]] = field(default_factory=dict)


def write(
    folder: Path,
    *,
    n_fields: int = 2,
    in_turn: bool = True,
    coregistered: bool = True,
    small_movie: bool = True,
) -> LayoutTruth:
    """Write `sub-17797_ses-9-scan-4_behavior+image+ophys.nwb` and say what is true of it.

    Parameters
    ----------
    n_fields : int
        Imaging planes, each with a ROI table and a RoiResponseSeries of its own.
    in_turn : bool
        Whether the fields were really imaged one after the other, though all series store the times of the first:
        then field k is late by k parts of a cycle, and nothing in the file says so.
    coregistered : bool
        Whether the ROI tables have `pt_root_id`, `cave_ids` and their like; not every scan has.
    small_movie : bool
        Frames of 18 x 32 pixels instead of the 144 x 256 of the published files.
    """
    shown = _shown(small_movie)
    nwbfile = new_session(
        "9-scan-4",
        identifier="17797_9_4",
        session_description="Contains two-photon microscopy data recorded from the visual cortex of a mouse.",
        institution="Baylor College of Medicine",
        subject=Subject(
            subject_id="17797", species="Mus musculus", sex="M", age="P75D/P81D", genotype="Slc17a7-Cre/Ai162"
        ),
    )
    duration = float(shown.times[-1]) + 0.5
    times = sampling_times(_RATE, duration, first=0.031)
    encoding = SineInTime(1.5 + 0.2 * np.arange(n_fields * _N_ROIS, dtype=np.float64))
    valid = np.ones(n_fields * _N_ROIS, dtype=bool)
    valid[_N_ROIS - 1 :: _N_ROIS] = False
    positions, centres = _add_fields(nwbfile, times, encoding, n_fields, in_turn=in_turn, coregistered=coregistered)
    _add_behaviour(nwbfile, duration)
    for name in ("Trippy", "Clip", "Monet2"):
        rows = shown.tables[name]
        ids = rows.pop("id")
        nwbfile.add_time_intervals(intervals_table(name, f"Trials of {name}.", rows, ids=ids))
    nwbfile.add_acquisition(
        ImageSeries(
            name=_BUILT_AS,
            description="The visual stimulus is composed of natural movie clips ~60 fps.",
            data=shown.pixels,
            unit="n.a.",
            format="raw",
            timestamps=shown.times,
        )
    )
    path = save(nwbfile, Path(folder) / "sub-17797_ses-9-scan-4_behavior+image+ophys.nwb")
    with h5py.File(path, "r+") as root:
        root["acquisition"].move(_BUILT_AS, MOVIE)
    return LayoutTruth(
        name="000402 MICrONS",
        dandisets=("000402",),
        files=(path,),
        n_cells_all=len(valid),
        n_cells_valid=int(valid.sum()),
        trace_kind="fluorescence",
        trace_path="processing/ophys/Fluorescence/RoiResponseSeries1",
        positions=positions[valid],
        pixels=centres[valid],
        presentations=tuple(shown.rows),
        encodes=SineInTime(encoding.period[valid]),
        trace_times=times,
        time_uncertainty=(n_fields - 1) / n_fields / _RATE if in_turn else 0.0,
        templates_with_pixels=(MOVIE,),
        running="acquisition/treadmill_velocity",
        pupil="acquisition/PupilTracking/pupil_major_radius",
    )


def _add_fields(
    nwbfile: NWBFile,
    times: FloatArray,
    encoding: SineInTime,
    n_fields: int,
    *,
    in_turn: bool,
    coregistered: bool,
) -> tuple[FloatArray, FloatArray]:
    """ROI tables and series of every field; positions (N, 3) in micrometres and centres (N, 2) in pixels."""
    device = nwbfile.create_device(name="Microscope", description="two-photon random access mesoscope")
    module = nwbfile.create_processing_module("ophys", "processed 2p data")
    segmentation = ImageSegmentation()
    module.add(segmentation)
    fluorescence = Fluorescence(name="Fluorescence")
    module.add(fluorescence)
    positions, all_centres = [], []
    for number in range(n_fields):
        origin = np.array([-300.0 + 600.0 * number, 150.0, 200.0 + 40.0 * number])
        plane = nwbfile.create_imaging_plane(
            name=f"ImagingPlane{number + 1}",
            optical_channel=OpticalChannel(
                name="OpticalChannel", description="an optical channel", emission_lambda=500.0
            ),
            imaging_rate=np.nan,
            description=f"The imaging plane for field {number + 1} at {origin[2] / 1e6} meters depth.",
            device=device,
            excitation_lambda=920.0,
            indicator="GCaMP6",
            location=AREAS,
            grid_spacing=[_MICROMETRES / 1e6, _MICROMETRES / 1e6],
            grid_spacing_unit="meters",
            origin_coords=list(origin / 1e6),
            origin_coords_unit="meters",
        )
        masks, centres = blobs(_N_ROIS, _HEIGHT, _WIDTH, seed=number)
        rois = segmentation.create_plane_segmentation(
            name=f"PlaneSegmentation{number + 1}",
            description="output from segmenting my favorite imaging plane",
            imaging_plane=plane,
        )
        for row, mask in enumerate(masks):
            # Width by height, as the NWB schema has it and few others do.
            rois.add_roi(id=row + 1, image_mask=mask.T.astype(np.float32))
        rois.add_column(
            name="mask_type",
            description="The classification of mask as soma or artifact.",
            data=["soma"] * (_N_ROIS - 1) + ["artifact"],
        )
        if coregistered:
            _add_coregistration(rois)
        columns = slice(number * _N_ROIS, (number + 1) * _N_ROIS)
        delay = number / n_fields / _RATE if in_turn else 0.0
        fluorescence.add_roi_response_series(
            RoiResponseSeries(
                name=f"RoiResponseSeries{number + 1}",
                description=f"The fluorescence traces for field {number + 1}",
                data=encoding.values(times + delay)[:, columns].astype(np.float32),
                rois=rois.create_roi_table_region(
                    region=list(range(_N_ROIS)), description=f"all rois in field {number + 1}"
                ),
                timestamps=times.copy(),
                unit="n.a.",
            )
        )
        module.add(
            Images(
                name=f"SegmentationImages{number + 1}",
                images=[
                    GrayscaleImage(name=name, data=masks.any(axis=0).T.astype(np.float64))
                    for name in ("correlation", "average")
                ],
                description=f"Correlation and average images for field {number + 1}.",
            )
        )
        positions.append(np.column_stack([centres * _MICROMETRES + origin[:2], np.full(_N_ROIS, origin[2])]))
        all_centres.append(centres)
    return np.concatenate(positions), np.concatenate(all_centres)


def _add_coregistration(rois: Any) -> None:
    """Numbers of matched neurons in the electron microscopy; most ROIs have none, one has two."""
    matched = [[np.nan], [301.0, 302.0], [np.nan], [np.nan]]
    rois.add_column(name="cave_ids", description="The identifier(s) in CAVE.", data=matched, index=True)
    for name in ("pt_supervoxel_id", "pt_root_id", "pt_x_position", "pt_y_position", "pt_z_position"):
        rois.add_column(name=name, description=name, data=[np.nan, 8.6469e17, np.nan, np.nan])


def _add_behaviour(nwbfile: NWBFile, duration: float) -> None:
    """The clock was shifted so that behaviour starts at 0."""
    times = sampling_times(90.0, duration, jitter=1e-5)
    times -= times[0]
    nwbfile.add_acquisition(
        TimeSeries(
            name="treadmill_velocity",
            description="Cylindrical treadmill rostral-caudal position extracted at ~60-100 Hz and converted.",
            data=100 * np.sin(times),
            timestamps=times,
            unit="m/s",
            conversion=0.01,
        )
    )
    seen = sampling_times(20.0, duration, jitter=1e-4, seed=1)
    seen -= seen[0]
    minor = TimeSeries(name="pupil_minor_radius", data=30 + np.sin(seen), timestamps=seen, unit="px")
    major = 33 + np.sin(seen)
    major[7:9] = np.nan
    nwbfile.add_acquisition(
        PupilTracking(
            time_series=[minor, TimeSeries(name="pupil_major_radius", data=major, timestamps=minor, unit="px")]
        )
    )
    nwbfile.add_acquisition(
        EyeTracking(
            spatial_series=SpatialSeries(
                name="eye_position",
                data=np.column_stack([np.sin(seen), np.cos(seen)]),
                timestamps=minor,
                unit="px",
                reference_frame="unknown",
            )
        )
    )


def _shown(small_movie: bool) -> _Shown:
    """The movie of the session at the display's refresh rate, and the trials that tell what it shows.

    Clips run at 30 frames a second, so each of their frames stands for two refreshes; before, between and after trials
    the screen is grey.
    """
    height, width = (18, 32) if small_movie else (144, 256)
    refreshes, trial_starts, next_picture = [-1] * 40, [], 0
    first_picture: dict[int, int] = {}
    n_refreshes = round(_TRIAL_SECONDS * _DISPLAY_RATE)
    for number, name in enumerate(_TRIALS):
        per_frame = 2 if name == "Clip" else 1
        if number not in _REPEATS:
            first_picture[number] = next_picture
            next_picture += n_refreshes // per_frame
        first = first_picture[_REPEATS.get(number, number)]
        trial_starts.append(len(refreshes))
        refreshes += [first + refresh // per_frame for refresh in range(n_refreshes)]
        refreshes += [-1] * round(_PAUSE_SECONDS * _DISPLAY_RATE)
    numbers = np.asarray(refreshes)
    times = sampling_times(_DISPLAY_RATE, len(numbers) / _DISPLAY_RATE, first=1.7, jitter=2e-4)
    drawn = pictures(next_picture, height, width)
    grey = np.full((height, width), 127, dtype=np.uint8)
    frames = np.where((numbers >= 0)[:, None, None], drawn[np.maximum(numbers, 0)], grey)
    shown = _Shown(np.repeat(frames[..., None], 3, axis=3), times)
    stops = np.append(times[1:], 2 * times[-1] - times[-2])
    shown.rows = [
        Presentation(float(start), float(stop), MOVIE, MOVIE, frame, int(picture))
        for frame, (start, stop, picture) in enumerate(zip(times, stops, numbers, strict=True))
    ]
    shown.tables = {name: {"id": []} for name in ("Clip", "Monet2", "Trippy")}
    for number, name in enumerate(_TRIALS):
        start = times[trial_starts[number]]
        row = {
            "id": number,
            "start_time": start,
            "stop_time": times[trial_starts[number] + n_refreshes - 1],
            "stimulus_type": f"stimulus.{name}",
            "condition_hash": f"hash/{_REPEATS.get(number, number):02d}+",
            "duration": _TRIAL_SECONDS,
            **_parameters(name, _REPEATS.get(number, number)),
        }
        for column, value in row.items():
            shown.tables[name].setdefault(column, []).append(value)
    return shown


def _parameters(name: str, number: int) -> dict[str, Any]:
    if name == "Clip":
        return {"movie_name": "Mad Max: Fury Road (2015)", "short_movie_name": "cinematic"}
    if name == "Monet2":
        return {
            "rng_seed": 1000 + number,
            "blue_green_saturation": 0,
            "pattern_width": 128,
            "pattern_aspect": 1.7,
            "temp_kernel": "half-hamming",
            "temp_bandwidth": 4.0,
            "ori_coherence": 2.5,
            "ori_fraction": 0.85,
            "ori_mix": 1.0,
            "num_directions": 16,
        }
    return {
        "rng_seed": 2000 + number,
        "texture_height": 90,
        "texture_width": 160,
        "xnodes": 12,
        "ynodes": 8,
        "up_factor": 20,
        "temp_freq": 2.5,
        "temp_kernel_length": 61,
        "spatial_freq": 0.06,
    }
