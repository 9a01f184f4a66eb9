"""Dandisets 000336 and 000871, OpenScope dendritic coupling: one imaging plane per file, AllenSDK's containers.

Facts: the field guide and a listing of published 000336 files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pynwb import NWBFile
from pynwb.file import Subject
from pynwb.image import ImageSeries
from pynwb.ophys import TwoPhotonSeries

from tests.layouts.allen import (
    add_eye_tracking,
    add_ophys,
    add_presentations,
    add_running,
    add_stimulus_clock,
    allen_type,
    allen_types,
)
from tests.layouts.building import blobs, new_session, sampling_times, save
from tests.layouts.truth import NO_PICTURE, LayoutTruth, LinearInTime, Presentation, pictures

__all__ = ["MOVIES", "write"]

FloatArray = npt.NDArray[np.float64]

#: `stimulus_name` of the movies; where the file has their frames, the template lacks the word `movie_`.
MOVIES = ("movie_flower_fwd", "movie_touch_of_evil_fwd", "movie_worms_fwd")
_SESSION = 1245548523
_EXPERIMENT = 1245937725
_DISPLAY_RATE = 60.0
_RATE = 9.48
_HEIGHT, _WIDTH = 48, 48
_N_ROIS = 4
_MOVIE_FRAMES = 24
_MOVIE_REPEATS = 2
_GABORS = 5


def write(
    folder: Path,
    *,
    n_planes: int = 2,
    templates: bool = False,
    events: bool = True,
    raw_movie: bool = False,
) -> LayoutTruth:
    """Write `sub-656228_ses-1245548523-acq-PLANE_image+ophys.nwb`, one per plane, and say what is true of them.

    Parameters
    ----------
    n_planes : int
        Up to eight, imaged two at a time.
    templates : bool
        Whether `stimulus/templates` holds the movies' frames; often it does not.
    events : bool
        Whether there is `event_detection`.
    raw_movie : bool
        Whether `acquisition` holds the imaging itself, many times larger than everything else.
    """
    display = sampling_times(_DISPLAY_RATE, 40.0, first=8.7, jitter=2e-4)
    tables, rows, last = _shown(display, templates=templates)
    n_groups = (n_planes + 1) // 2
    pulses = sampling_times(_RATE * n_groups, float(display[last]) + 1.0, first=0.3)
    encoding = LinearInTime.of(n_planes * _N_ROIS)
    valid = np.arange(_N_ROIS) != 1
    keep = np.tile(valid, n_planes)
    files, centres, depths = [], [], []
    for plane in range(n_planes):
        nwbfile = _plane_file(plane, n_planes)
        clock = add_stimulus_clock(nwbfile, display)
        add_stimulus_clock(nwbfile, pulses, "stimulus_ophys")
        for stimulus, table in sorted(tables.items()):
            add_presentations(nwbfile, stimulus, table, clock)
        if templates:
            _add_templates(nwbfile)
        add_running(nwbfile, display)
        add_eye_tracking(nwbfile, sampling_times(60.0, 30.0, first=5.0))
        times = pulses[plane // 2 :: n_groups]
        columns = slice(plane * _N_ROIS, (plane + 1) * _N_ROIS)
        masks, places = blobs(_N_ROIS, _HEIGHT, _WIDTH, seed=20 + plane)
        rois = add_ophys(
            nwbfile,
            times=times,
            values=LinearInTime(encoding.offset[columns], encoding.slope[columns]).values(times),
            masks=masks,
            valid=valid,
            imaging_depth=_depth(plane),
            location="VISp",
            rate=_RATE,
            device=("MESO.2", "Allen Brain Observatory - Mesoscope 2P Rig"),
            specimen_ids=list(range(1246000000 + 10 * plane, 1246000000 + 10 * plane + _N_ROIS)),
            first_roi_id=1246100000 + 10 * plane,
            event_rows=np.flatnonzero(valid).tolist() if events else None,
            ratios=False,
            demixed=False,
        )
        if raw_movie:
            nwbfile.add_acquisition(
                TwoPhotonSeries(
                    name="raw_suite2p_motion_corrected",
                    data=np.random.default_rng(plane).integers(0, 4000, (len(times), 64, 64), dtype=np.uint16),
                    imaging_plane=rois.imaging_plane,
                    timestamps=times,
                    unit="px",
                )
            )
        experiment = _EXPERIMENT + 2 * plane
        name = f"sub-656228_ses-{_SESSION}-acq-{experiment}_image+ophys.nwb"
        files.append(save(nwbfile, Path(folder) / name, allen_types()))
        centres.append(places[valid])
        depths += [float(_depth(plane))] * int(valid.sum())
    stems = tuple(name.removeprefix("movie_") for name in MOVIES)
    return LayoutTruth(
        name="000336 OpenScope dendritic coupling",
        dandisets=("000336", "000871"),
        files=tuple(files),
        n_cells_all=n_planes * _N_ROIS,
        n_cells_valid=int(keep.sum()),
        trace_kind="dff",
        trace_path="processing/ophys/dff/traces",
        positions=np.column_stack([np.full((len(depths), 2), np.nan), depths]),
        pixels=np.concatenate(centres),
        presentations=tuple(rows),
        encodes=LinearInTime(encoding.offset[keep], encoding.slope[keep]),
        trace_times=pulses[::n_groups],
        templates_with_pixels=stems if templates else (),
        templates_without_pixels=("fixed_gabors", "gratings") + (() if templates else MOVIES),
        running="processing/running/speed",
        pupil="acquisition/EyeTracking/pupil_tracking",
    )


def _depth(plane: int) -> int:
    return (148, 144, 42, 152, 20, 295, 60, 180)[plane]


def _plane_file(plane: int, n_planes: int) -> NWBFile:
    experiment = _EXPERIMENT + 2 * plane
    nwbfile = new_session(
        f"{_SESSION}-acq-{experiment}",
        identifier=str(experiment),
        subject=Subject(
            subject_id="656228", species="Mus musculus", sex="M", age="P128D", genotype="Cux2-CreERT2/wt;Ai148/wt"
        ),
        session_description="Ophys Session",
        experiment_description="ophys session",
        keywords=["2-photon", "calcium imaging", "visual cortex", "behavior", "task"],
        surgery=" Structure: VISp",
    )
    nwbfile.add_lab_meta_data(
        allen_type("OphysMetadata")(
            name="metadata",
            field_of_view_height=_HEIGHT,
            field_of_view_width=_WIDTH,
            imaging_depth=_depth(plane),
            # As published: planes of a mesoscope without their group.
            imaging_plane_group=-1,
            imaging_plane_group_count=0,
            ophys_container_id=0,
            ophys_experiment_id=experiment,
            ophys_session_id=_SESSION,
        )
    )
    return nwbfile


def _add_templates(nwbfile: NWBFile) -> None:
    for number, name in enumerate(MOVIES):
        nwbfile.add_stimulus_template(
            ImageSeries(
                name=name.removeprefix("movie_"),
                data=pictures(_MOVIE_FRAMES, 18, 32, first=number * _MOVIE_FRAMES),
                unit="NA",
                format="raw",
                timestamps=np.full(_MOVIE_FRAMES, np.nan),
            )
        )


def _shown(display: FloatArray, *, templates: bool) -> tuple[dict[str, dict[str, Any]], list[Presentation], int]:
    """Tables by stimulus, what they tell in order of time, and the last refresh of the display that is used."""
    tables: dict[str, dict[str, Any]] = {}
    rows: list[Presentation] = []
    now, grey = 0, []

    def times(first: npt.NDArray[np.int64], length: int) -> tuple[FloatArray, FloatArray]:
        return display[first], display[first + length]

    grey.append((now, now + 90))
    now += 90
    for block, name in enumerate(MOVIES):
        frames = np.tile(np.arange(_MOVIE_FRAMES), _MOVIE_REPEATS)
        start, stop = times(now + 2 * np.arange(len(frames)), 2)
        now += 2 * len(frames)
        tables[name] = _common(name, start, stop, block) | {
            "frame": frames.astype(np.float64),
            "contrast": np.ones(len(frames)),
            "orientation": np.zeros(len(frames)),
        }
        for onset, offset, frame in zip(start, stop, frames, strict=True):
            rows.append(
                Presentation(
                    float(onset),
                    float(offset),
                    name,
                    name.removeprefix("movie_") if templates else name,
                    int(frame),
                    block * _MOVIE_FRAMES + int(frame) if templates else NO_PICTURE,
                    block=block,
                )
            )
        grey.append((now, now + 60))
        now += 60
    orientation = np.array([0.0, 45.0, 90.0, 135.0, 0.0, 45.0])
    phase = np.array([0.0, 0.25, 0.5, 0.75, 0.0, 0.25])
    start, stop = times(now + 30 * np.arange(len(orientation)), 15)
    tables["gratings"] = _common("gratings", start, stop, 3) | {
        "contrast": np.full(len(orientation), 0.8),
        "mask": np.full(len(orientation), "None", dtype=object),
        "orientation": orientation,
        "phase": phase,
        "spatial_frequency": np.full(len(orientation), 0.04),
    }
    for row in range(len(orientation)):
        parameters = {
            "contrast": 0.8,
            "orientation": float(orientation[row]),
            "phase": float(phase[row]),
            "spatial_frequency": 0.04,
        }
        rows.append(Presentation(float(start[row]), float(stop[row]), "gratings", parameters=parameters, block=3))
    now += 30 * len(orientation)
    start, stop = times(now + 18 * np.arange(_GABORS), 18)
    oris = [[float(30 * row), float(30 * row + 10), float(30 * row - 10)] for row in range(_GABORS)]
    tables["fixed_gabors"] = {
        name: value
        for name, value in _common("fixed_gabors", start, stop, 4).items()
        if name not in ("color", "opacity")
    } | {
        # One list of numbers as text per row: many patches at once.
        "oris": np.array([str(angles) for angles in oris], dtype=object),
        "xys": np.array(["[[-12.5, 3.0], [40.0, -8.0], [0.0, 22.0]]"] * _GABORS, dtype=object),
        "sizes": np.array(["[20.0, 25.0, 30.0]"] * _GABORS, dtype=object),
        "sfs": np.array(["[0.04, 0.04, 0.04]"] * _GABORS, dtype=object),
        "phases": np.array(["[0.25, 0.25, 0.25]"] * _GABORS, dtype=object),
        "contrs": np.array(["[1.0, 1.0, 1.0]"] * _GABORS, dtype=object),
        "elementMask": np.array(["gauss"] * _GABORS, dtype=object),
        "elementTex": np.array(["sin"] * _GABORS, dtype=object),
        "nElements": np.full(_GABORS, 3.0),
        "OriSurp": np.array(["[]"] * _GABORS, dtype=object),
    }
    rows += [
        Presentation(float(start[row]), float(stop[row]), "fixed_gabors", parameters={"oris": str(oris[row])}, block=4)
        for row in range(_GABORS)
    ]
    now += 18 * _GABORS
    grey.append((now, now + 60))
    first, after = np.array(grey).T
    tables["spontaneous"] = {
        "start_time": display[first],
        "stop_time": display[after],
        "stimulus_name": np.full(len(grey), "spontaneous", dtype=object),
    }
    rows += [Presentation(float(display[one]), float(display[other]), "spontaneous", blank=True) for one, other in grey]
    return tables, sorted(rows, key=lambda row: row.start), now + 60


def _common(name: str, start: FloatArray, stop: FloatArray, block: int) -> dict[str, Any]:
    """Columns that every table but the spontaneous one has; whole numbers are floats, vectors are text."""
    n_rows = len(start)
    return {
        "color": np.full(n_rows, "[1.0, 1.0, 1.0]", dtype=object),
        "opacity": np.ones(n_rows),
        "size": np.full(n_rows, "[1920.0, 1080.0]", dtype=object),
        "start_time": start,
        "stop_time": stop,
        "stimulus_block": np.full(n_rows, float(block)),
        "stimulus_index": np.full(n_rows, float(block)),
        "stimulus_name": np.full(n_rows, name, dtype=object),
        "units": np.full(n_rows, "pix", dtype=object),
    }
