"""Dandiset 000711, Allen Brain Observatory Visual Behavior 2P: one file per imaging plane, or behaviour alone.

Facts: the field guide, AllenSDK's NWB writers, and a listing of published files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pynwb import NWBFile, TimeSeries
from pynwb.image import IndexSeries

from tests.layouts.allen import (
    add_eye_tracking,
    add_ophys,
    add_presentations,
    add_running,
    add_stimulus_clock,
    allen_type,
    allen_types,
)
from tests.layouts.building import (
    as_old_writers_did,
    blobs,
    intervals_table,
    new_session,
    replace_timestamps,
    sampling_times,
    save,
    state_unit,
)
from tests.layouts.truth import LayoutTruth, LinearInTime, Presentation, pictures

__all__ = ["IMAGE_NAMES", "IMAGE_SET", "INDEX_SERIES", "MICROMETRES_PER_PIXEL", "write"]

FloatArray = npt.NDArray[np.float64]

#: `control_description` of the template, in its order; not the order of the alphabet.
IMAGE_NAMES = ("im106", "im075", "im073", "im045", "im054", "im031", "im035", "im000")
#: What the table of presentations and its column `stimulus_name` call the images.
IMAGE_SET = "Natural_Images_Lum_Matched_set_training_2017"
#: What template and IndexSeries are called, and the column `image_set`.
INDEX_SERIES = "Natural_Images_Lum_Matched_set_training_2017.07.14"
#: Known from the project's white paper; the files do not say.
MICROMETRES_PER_PIXEL = 0.78
_SESSION = 951410079
_DISPLAY_RATE = 60.0
_HEIGHT, _WIDTH = 44, 36
_N_ROIS = 5
_N_FLASHES = 24
_OMITTED = (7, 15)
_MOVIE_FRAMES = 30
_MOVIE_REPEATS = 2


@dataclass
class _Shown:
    """What was on the display, gathered while the file is built."""

    rows: list[Presentation] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    onsets: FloatArray = field(default_factory=lambda: np.zeros(0))
    image_index: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    end: float = 0.0


def write(
    folder: Path,
    *,
    n_planes: int = 1,
    behaviour_only: bool = False,
    movie: bool = True,
    omitted_without_stop: bool = False,
    events: bool = True,
    ratios: bool = True,
    eye_tracking: bool = True,
    more_timestamps: int = 0,
) -> LayoutTruth:
    """Write the files of one session and say what is true of it.

    Parameters
    ----------
    n_planes : int
        1 is a session of the single-plane microscope at 31 Hz; more (up to 8) are one file each at 11 Hz, two planes at
        a time, so that their clocks differ by a part of a cycle.
    behaviour_only : bool
        One file without any imaging, as most assets of the dandiset are.
    movie : bool
        Whether the session ends with grey and `natural_movie_one`, whose pixels are in no file.
    omitted_without_stop : bool
        Older files: NaN as stop of omitted flashes instead of a quarter of a second.
    events, ratios, eye_tracking : bool
        Whether there are `event_detection`, the series `r` and `RMSE`, and `acquisition/EyeTracking`.
    more_timestamps : int
        How many timestamps of imaging more than samples; -1 is one fewer.
    """
    display = sampling_times(_DISPLAY_RATE, 34.0, first=6.35, jitter=2e-4)
    shown = _shown(display, movie=movie, omitted_without_stop=omitted_without_stop)
    n_groups = (n_planes + 1) // 2
    rate = 31.0 if n_planes == 1 else 10.7
    pulses = sampling_times(rate * n_groups, shown.end + 1.5, first=0.42)
    encoding = LinearInTime.of(n_planes * _N_ROIS)
    valid = np.arange(_N_ROIS) != 2
    keep = np.tile(valid, n_planes)
    files, centres, depths, first_times = [], [], [], np.zeros(0)
    for plane in range(1 if behaviour_only else n_planes):
        nwbfile, experiment = _session_file(plane, n_planes, n_groups, behaviour_only=behaviour_only)
        _add_stimulus(nwbfile, display, shown)
        _add_trials(nwbfile, shown)
        add_running(nwbfile, display)
        if eye_tracking:
            add_eye_tracking(nwbfile, sampling_times(30.0, shown.end, first=5.0))
        if behaviour_only:
            name = f"sub-457841_ses-{_SESSION}_behavior+image.nwb"
        else:
            times = pulses[plane // 2 :: n_groups]
            columns = slice(plane * _N_ROIS, (plane + 1) * _N_ROIS)
            masks, places = blobs(_N_ROIS, _HEIGHT, _WIDTH, seed=plane)
            values = LinearInTime(encoding.offset[columns], encoding.slope[columns]).values(times)
            depth = _depth(plane)
            add_ophys(
                nwbfile,
                times=times,
                values=values,
                masks=masks,
                valid=valid,
                imaging_depth=depth,
                location="VISp" if plane < 4 else "VISl",
                rate=rate,
                device=_device(n_planes),
                specimen_ids=[1086000000 + plane * 100 + row if row != 4 else -1 for row in range(_N_ROIS)],
                first_roi_id=1080743723 + plane * 100,
                event_rows=np.flatnonzero(valid).tolist() if events else None,
                ratios=ratios,
                demixed=True,
            )
            centres.append(places[valid])
            depths += [float(depth)] * int(valid.sum())
            first_times = times if plane == 0 else first_times
            name = f"sub-457841_ses-{_SESSION}-acq-{experiment}_behavior+image+ophys.nwb"
        path = save(nwbfile, Path(folder) / name, allen_types())
        state_unit(path, f"stimulus/presentation/{INDEX_SERIES}", "None")
        if more_timestamps and not behaviour_only:
            longer = np.append(times, times[-1] + np.arange(1, max(more_timestamps, 0) + 1) / rate)
            replace_timestamps(path, "processing/ophys/dff/traces", longer[: len(times) + more_timestamps])
        files.append(path)
    n_valid = 0 if behaviour_only else int(keep.sum())
    return LayoutTruth(
        name="000711 Visual Behavior 2P",
        dandisets=("000711",),
        files=tuple(files),
        n_cells_all=0 if behaviour_only else n_planes * _N_ROIS,
        n_cells_valid=n_valid,
        trace_kind=None if behaviour_only else "dff",
        trace_path=None if behaviour_only else "processing/ophys/dff/traces",
        positions=np.column_stack([np.full((n_valid, 2), np.nan), depths]) if n_valid else np.zeros((0, 3)),
        pixels=np.concatenate(centres) if centres else np.zeros((0, 2)),
        presentations=tuple(sorted(shown.rows, key=lambda row: row.start)),
        encodes=None if behaviour_only else LinearInTime(encoding.offset[keep], encoding.slope[keep]),
        trace_times=first_times,
        templates_with_pixels=(INDEX_SERIES,),
        templates_without_pixels=("natural_movie_one",) if movie else (),
        running="processing/running/speed",
        pupil="acquisition/EyeTracking/pupil_tracking" if eye_tracking else None,
    )


def _depth(plane: int) -> int:
    return 175 + 50 * (plane % 4)


def _device(n_planes: int) -> tuple[str, str]:
    if n_planes > 1:
        return "MESO.1", "Allen Brain Observatory - Mesoscope 2P Rig"
    return "CAM2P.5", "Allen Brain Observatory - Scientifica 2P Rig"


def _session_file(plane: int, n_planes: int, n_groups: int, *, behaviour_only: bool) -> tuple[NWBFile, int]:
    """An empty file of one plane with its ids, and the id of its experiment."""
    experiment = 951980471 + 2 * plane
    subject = allen_type("BehaviorSubject")(
        subject_id="457841",
        species="Mus musculus",
        sex="F",
        age="P209D",
        genotype="Sst-IRES-Cre/wt;Ai148(TIT2L-GC6f-ICL-tTA2)/wt",
        description="A visual behavior subject with a LabTracks ID",
        age_in_days="209",
        driver_line="Sst-IRES-Cre",
        reporter_line="Ai148(TIT2L-GC6f-ICL-tTA2)",
    )
    session_type = "TRAINING_3_images_A_10uL_reward" if behaviour_only else "OPHYS_1_images_A"
    nwbfile = new_session(
        str(_SESSION) if behaviour_only else f"{_SESSION}-acq-{experiment}",
        identifier=str(951520319 if behaviour_only else experiment),
        subject=subject,
        session_description=session_type,
        experiment_description="Active behavior session. Images are shown for 250 ms with a 500 ms grey period.",
        keywords=["2-photon", "calcium imaging", "visual cortex", "behavior", "task"],
    )
    ids = {
        "behavior_session_id": 951520319,
        "behavior_session_uuid": "bdc41492-1797-4c91-81ba-18fc0a25d238",
        "equipment_name": _device(n_planes)[0],
        "session_type": session_type,
        "stimulus_frame_rate": _DISPLAY_RATE,
    }
    if behaviour_only:
        nwbfile.add_lab_meta_data(allen_type("BehaviorMetadata")(name="metadata", **ids))
        return nwbfile, experiment
    nwbfile.add_lab_meta_data(
        allen_type("OphysBehaviorMetadata")(
            name="metadata",
            **ids,
            field_of_view_height=_HEIGHT,
            field_of_view_width=_WIDTH,
            imaging_depth=_depth(plane),
            targeted_imaging_depth=_depth(plane),
            imaging_plane_group=plane // 2 if n_planes > 1 else -1,
            imaging_plane_group_count=n_groups if n_planes > 1 else 0,
            ophys_container_id=1018028339 + plane,
            ophys_experiment_id=experiment,
            ophys_session_id=_SESSION,
            project_code="VisualBehaviorMultiscope" if n_planes > 1 else "VisualBehavior",
        )
    )
    return nwbfile, experiment


def _shown(display: FloatArray, *, movie: bool, omitted_without_stop: bool) -> _Shown:
    shown = _Shown()
    first = 30 + 45 * np.arange(_N_FLASHES)
    after = first + 15
    image = (np.arange(_N_FLASHES) // 3) % len(IMAGE_NAMES)
    omitted = np.isin(np.arange(_N_FLASHES), _OMITTED)
    start, stop = display[first], display[after]
    stop = np.where(omitted, np.nan if omitted_without_stop else start + 0.25, stop)
    names = np.where(omitted, "omitted", np.array(IMAGE_NAMES)[image])
    change = np.zeros(_N_FLASHES, dtype=bool)
    change[3::3] = True
    shown.tables[IMAGE_SET] = {
        "active": np.ones(_N_FLASHES, dtype=bool),
        "duration": np.where(omitted, 0.25, stop - start),
        # A column of whole numbers, and one of truth values, with gaps: floats.
        "end_frame": np.where(omitted, np.nan, after.astype(np.float64)),
        "is_image_novel": np.where(omitted, np.nan, 0.0),
        "flashes_since_change": np.arange(_N_FLASHES) % 3,
        "image_index": np.where(omitted, len(IMAGE_NAMES), image),
        "image_name": names.astype(object),
        # Text with gaps.
        "image_set": np.where(omitted, "N/A", INDEX_SERIES).astype(object),
        "is_change": change,
        "is_sham_change": np.zeros(_N_FLASHES, dtype=bool),
        "omitted": omitted,
        "start_frame": first,
        "start_time": start,
        "stop_time": stop,
        "stimulus_block": np.zeros(_N_FLASHES, dtype=np.int64),
        "stimulus_block_name": np.full(_N_FLASHES, "change_detection_behavior", dtype=object),
        "stimulus_name": np.full(_N_FLASHES, IMAGE_SET, dtype=object),
        "trials_id": np.arange(_N_FLASHES) // 3,
    }
    shown.onsets, shown.image_index = start[~omitted], image[~omitted]
    for flash in range(_N_FLASHES):
        shown.rows.append(
            Presentation(
                float(start[flash]),
                float(start[flash] + 0.25 if omitted[flash] else stop[flash]),
                IMAGE_SET,
                None if omitted[flash] else INDEX_SERIES,
                -1 if omitted[flash] else int(image[flash]),
                -1 if omitted[flash] else int(image[flash]),
                blank=bool(omitted[flash]),
                omitted=bool(omitted[flash]),
                block=0,
            )
        )
    shown.end = float(stop[-1])
    if movie:
        _add_grey_and_movie(shown, display, int(after[-1]))
    return shown


def _add_grey_and_movie(shown: _Shown, display: FloatArray, last: int) -> None:
    grey, n_rows = 240, _MOVIE_FRAMES * _MOVIE_REPEATS
    first = last + grey + 2 * np.arange(n_rows)
    start, stop = display[first], display[first + 2]
    shown.tables["spontaneous"] = {
        "duration": display[[last + grey]] - display[[last]],
        "start_frame": np.array([last]),
        "end_frame": np.array([last + grey]),
        "start_time": display[[last]],
        "stop_time": display[[last + grey]],
        "stimulus_block": np.array([1]),
        "stimulus_block_name": np.array(["initial_gray_screen_5min"], dtype=object),
        "stimulus_name": np.array(["spontaneous"], dtype=object),
    }
    shown.tables["natural_movie_one"] = {
        "duration": stop - start,
        "start_frame": first,
        "end_frame": first + 1,
        "start_time": start,
        "stop_time": stop,
        "movie_frame_index": np.tile(np.arange(_MOVIE_FRAMES), _MOVIE_REPEATS),
        "movie_repeat": np.repeat(np.arange(_MOVIE_REPEATS), _MOVIE_FRAMES),
        "stimulus_block": np.full(n_rows, 2),
        "stimulus_block_name": np.full(n_rows, "natural_movie_one", dtype=object),
        "stimulus_name": np.full(n_rows, "natural_movie_one", dtype=object),
    }
    shown.rows.append(
        Presentation(float(display[last]), float(display[last + grey]), "spontaneous", blank=True, block=1)
    )
    shown.rows += [
        Presentation(float(start[row]), float(stop[row]), "natural_movie_one", "natural_movie_one", frame, block=2)
        for row, frame in enumerate(np.tile(np.arange(_MOVIE_FRAMES), _MOVIE_REPEATS).tolist())
    ]
    shown.end = float(stop[-1])


def _add_stimulus(nwbfile: NWBFile, display: FloatArray, shown: _Shown) -> None:
    clock = add_stimulus_clock(nwbfile, display)
    for stimulus, columns in sorted(shown.tables.items()):
        add_presentations(nwbfile, stimulus, columns, clock)
    warped = pictures(len(IMAGE_NAMES), 24, 40)
    unwarped = warped.astype(np.float64)
    unwarped[:, [0, -1]] = np.nan
    template = allen_type("StimulusTemplate")(
        name=INDEX_SERIES,
        data=warped,
        unwarped=unwarped,
        control=np.arange(len(IMAGE_NAMES), dtype=np.uint8),
        control_description=list(IMAGE_NAMES),
        unit="NA",
        format="raw",
        timestamps=np.full(len(IMAGE_NAMES), np.nan),
    )
    nwbfile.add_stimulus_template(template)
    nwbfile.add_stimulus(
        as_old_writers_did(
            IndexSeries,
            name=INDEX_SERIES,
            data=shown.image_index,
            unit="N/A",
            indexed_timeseries=template,
            timestamps=shown.onsets,
        )
    )


def _add_trials(nwbfile: NWBFile, shown: _Shown) -> None:
    """`intervals/trials`: course of the task, no stimulus table, with names of images all the same."""
    onsets = np.asarray(shown.tables[IMAGE_SET]["start_time"])[::3]
    n_trials = len(onsets) - 1
    stops = onsets[1:]
    go = np.arange(n_trials) % 2 == 0
    no = np.zeros(n_trials, dtype=bool)
    names = np.array(IMAGE_NAMES, dtype=object)[np.arange(n_trials) % len(IMAGE_NAMES)]
    nwbfile.trials = intervals_table(
        "trials",
        "experimental trials",
        {
            "start_time": onsets[:-1],
            "stop_time": stops,
            "initial_image_name": names,
            "change_image_name": np.roll(names, -1),
            "is_change": go,
            "change_time": np.where(go, stops - 0.5, np.nan),
            "go": go,
            "catch": ~go,
            "hit": go,
            "miss": no,
            "false_alarm": no,
            "correct_reject": ~go,
            "aborted": no,
            "auto_rewarded": no,
            "change_frame": np.where(go, 100.0, np.nan),
            "response_time": np.where(go, stops - 0.3, np.nan),
            "reward_volume": np.where(go, 0.007, 0.0),
            "trial_length": stops - onsets[:-1],
        },
        ragged={
            "lick_times": [
                [float(stop) - 0.3, float(stop) - 0.2] if one else [] for stop, one in zip(stops, go, strict=True)
            ]
        },
    )
    licks = nwbfile.create_processing_module("licking", "Licking behavior processing module")
    times = (stops - 0.3)[go]
    licks.add(TimeSeries(name="licks", data=np.arange(len(times)), timestamps=times, unit="N/A"))
    rewards = nwbfile.create_processing_module("rewards", "Licking behavior processing module")
    volume = TimeSeries(name="volume", data=np.full(len(times), 0.007), timestamps=times, unit="mL")
    rewards.add(volume)
    rewards.add(TimeSeries(name="autorewarded", data=no[go], timestamps=volume, unit="mL"))
