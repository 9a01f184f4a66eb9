"""Brain Observatory as first released (AllenSDK's cache): NWB 1.0.5, which pynwb cannot open.

Groups, attributes and types are those of experiment 496908818, of which a copy with one value per dataset is in the
real data. Traces are ROI x time; what was shown is told in two-photon frames (`frame_duration`); blanks are frame -1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from tests.layouts.building import blobs, sampling_times
from tests.layouts.truth import LayoutTruth, LinearInTime, pictures

__all__ = ["EXPERIMENT", "write"]

EXPERIMENT = "496908818"
_N_ROIS = 4
_HEIGHT, _WIDTH = 40, 48
_MODULE = "processing/brain_observatory_pipeline"
_N_SCENES, _N_MOVIE_FRAMES = 6, 20


def write(folder: Path, *, experiment_id: bool = True, session_id: bool = True) -> LayoutTruth:
    """Write `EXPERIMENT.nwb`.

    Parameters
    ----------
    experiment_id, session_id : bool
        Whether `general/ophys_experiment_id` and `general/session_id` are there. The second is said to be the id of the
        session, and is that of the experiment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{EXPERIMENT}.nwb"
    times = sampling_times(30.08, 30.0, first=12.4)
    encoding = LinearInTime.of(_N_ROIS)
    with h5py.File(path, "w") as root:
        _add_top(root)
        _add_general(root, experiment_id=experiment_id, session_id=session_id)
        centres = _add_segmentation(root)
        _add_traces(root, times, encoding)
        _add_stimulus(root, times)
    return LayoutTruth(
        name="Brain Observatory v1",
        dandisets=(),
        files=(path,),
        n_cells_all=_N_ROIS,
        n_cells_valid=_N_ROIS,
        trace_kind=None,  # to be refused, so there is nothing to be chosen
        trace_path=None,
        positions=np.column_stack([0.78 * centres, np.full(_N_ROIS, 275.0)]),
        presentations=(),
        encodes=encoding,
        trace_times=times,
    )


def _text(group: h5py.Group, name: str, value: str, **attributes: str) -> None:
    """Text of fixed length, as NWB 1 has it."""
    group[name] = np.bytes_(value)
    for attribute, said in attributes.items():
        group[name].attrs[attribute] = np.bytes_(said)


def _add_top(root: h5py.File) -> None:
    for name in ("acquisition/images", "acquisition/timeseries", "analysis", "epochs", "stimulus/presentation"):
        root.create_group(name)
    root["epochs"].attrs["tags"] = np.array([], dtype="S1")
    text = h5py.string_dtype("utf-8")
    root.create_dataset("nwb_version", data="NWB-1.0.5", dtype=text)
    identifier = f"Brain Observatory Visual Coding Experiment {EXPERIMENT}; NWB-1.0.5; Fri May 19 06:44:21 2017"
    root.create_dataset("identifier", data=identifier, dtype=text)
    description = "2-photon recording of visual areas in head-fixed mouse with visual stimulus"
    root.create_dataset("session_description", data=description, dtype=text)
    root.create_dataset("file_create_date", data=["Fri May 19 06:44:21 2017"], dtype=text)
    _text(root, "session_start_time", "Wed Jan 20 10:24:01 2016")


def _add_general(root: h5py.File, *, experiment_id: bool, session_id: bool) -> None:
    general = root.create_group("general")
    custom = {"neurodata_type": "Custom"}
    if experiment_id:
        _text(general, "ophys_experiment_id", EXPERIMENT, **custom)
    if session_id:
        said = "ID corresponds to Allen Institute 'experiment_sessions ID'"
        _text(general, "session_id", EXPERIMENT, comments=said)
    for name, value in (
        ("experiment_container_id", "511507144"),
        ("fov", "400x400 microns (512 x 512 pixels)"),
        ("ophys_experiment_name", "222181_20160120_B"),
        ("pixel_size", "0.78 (um)"),
        ("session_type", "three_session_B"),
        ("specimen_name", "Rorb-IRES2-Cre;Camk2a-tTA;Ai93-222181"),
        ("targeted_structure", "VISp"),
    ):
        _text(general, name, value, **custom)
    _text(general, "institution", "Allen Institute for Brain Science")
    plane = general.create_group("optophysiology/imaging_plane_1")
    for name, value in (
        ("imaging depth", "275 microns"),
        ("imaging_rate", "31Hz"),
        ("indicator", "GCaMP6f"),
        ("location", "VISp"),
    ):
        _text(plane, name, value)
    subject = general.create_group("subject")
    for name, value in (
        ("age", "90 days"),
        ("sex", "male"),
        ("species", "Mus musculus"),
        ("subject_id", "491604967"),
    ):
        _text(subject, name, value)


def _add_segmentation(root: h5py.File) -> npt.NDArray[np.float64]:
    masks, centres = blobs(_N_ROIS, _HEIGHT, _WIDTH, seed=1)
    segmentation = root.create_group(f"{_MODULE}/ImageSegmentation")
    segmentation["cell_specimen_ids"] = 517440000 + np.arange(_N_ROIS, dtype=np.int64)
    names = [f"roi_{number:04d}" for number in range(_N_ROIS)]
    segmentation["roi_ids"] = np.array([str(517445000 + number) for number in range(_N_ROIS)], dtype="S9")
    plane = segmentation.create_group("imaging_plane_1")
    plane["roi_list"] = np.array(names, dtype="S8")
    for name, mask in zip(names, masks, strict=True):
        rows, columns = np.nonzero(mask)
        plane[f"{name}/img_mask"] = mask.astype(np.float32)
        plane[f"{name}/pix_mask"] = np.stack([columns, rows]).astype(np.uint16)
        plane[f"{name}/pix_mask_weight"] = np.ones(len(rows), dtype=np.float32)
        _text(plane[name], "roi_description", "cell")
    root[_MODULE].attrs["neurodata_type"] = np.bytes_("Module")
    return centres


def _add_traces(root: h5py.File, times: npt.NDArray[np.float64], encoding: LinearInTime) -> None:
    values = encoding.values(times).T.astype(np.float32)
    names = np.array([f"roi_{number:04d}" for number in range(_N_ROIS)], dtype="S8")
    for container, name, data in (
        ("DfOverF", "imaging_plane_1", values),
        ("Fluorescence", "imaging_plane_1", 100 + 10 * values),
        ("Fluorescence", "imaging_plane_1_demixed_signal", 120 + 11 * values),
        ("Fluorescence", "imaging_plane_1_neuropil_response", 90 - values),
    ):
        series = _time_series(root, f"{_MODULE}/{container}/{name}", data, times, ("TimeSeries", "RoiResponseSeries"))
        series["roi_names"] = names
        _text(series, "segmentation_interface_path", f"{_MODULE}/ImageSegmentation")
    speed = (10 + np.sin(times)).astype(np.float32)
    _time_series(root, f"{_MODULE}/BehavioralTimeSeries/running_speed", speed, times, ("TimeSeries",))


def _time_series(
    root: h5py.File,
    path: str,
    data: npt.NDArray[Any],
    times: npt.NDArray[np.float64] | None,
    ancestry: tuple[str, ...],
) -> h5py.Group:
    series = root.create_group(path)
    series.attrs["neurodata_type"] = np.bytes_("TimeSeries")
    series.attrs["ancestry"] = np.array(ancestry, dtype="S")
    series["data"] = data
    series["data"].attrs.update({"conversion": 1.0, "resolution": 1.0, "unit": np.bytes_("frame")})
    if times is not None:
        series["timestamps"] = times
        series["timestamps"].attrs.update({"interval": 1, "unit": np.bytes_("Seconds")})
        series["num_samples"] = np.int32(len(times))
    return series


def _add_stimulus(root: h5py.File, times: npt.NDArray[np.float64]) -> None:
    """Scenes with blanks, a movie, gratings by their features, and rest, each with two-photon frames as durations."""
    order = np.array([2, 0, -1, 5, 1, 3, -1, 4], dtype=np.int64)
    scenes = 30 + 8 * np.arange(len(order))
    frames = np.tile(np.arange(_N_MOVIE_FRAMES, dtype=np.int64), 2)
    movie = 150 + np.arange(len(frames))
    features = np.array([[90.0, 0.04, 0.25], [np.nan, np.nan, np.nan], [0.0, 0.16, 0.0]], dtype=np.float32)
    gratings = 300 + 8 * np.arange(len(features))
    for name, data, first, length, ancestry in (
        ("natural_scenes_stimulus", order, scenes, 7, "IndexSeries"),
        ("natural_movie_one_stimulus", frames, movie, 1, "IndexSeries"),
        ("static_gratings_stimulus", features, gratings, 7, "AbstractFeatureSeries"),
        ("spontaneous_stimulus", np.array([1, -1], dtype=np.int8), np.array([400, 600]), 100, "IntervalSeries"),
    ):
        path = f"stimulus/presentation/{name}"
        series = _time_series(root, path, data, times[first], ("TimeSeries", ancestry))
        series["frame_duration"] = np.stack([first, first + length], axis=1).astype(
            np.float32 if ancestry == "AbstractFeatureSeries" else np.int64
        )
        if ancestry == "IndexSeries":
            stack = name.replace("_stimulus", "_image_stack")
            _text(series, "indexed_timeseries_path", f"/stimulus/templates/{stack}")
    names = np.array(["orientation", "spatial_frequency", "phase"], dtype="S18")
    root["stimulus/presentation/static_gratings_stimulus/features"] = names
    drawn = pictures(_N_SCENES + _N_MOVIE_FRAMES)
    templates = "stimulus/templates"
    # Scenes are stored as floats, movies as bytes.
    scenes_drawn = drawn[:_N_SCENES].astype(np.float32)
    for name, data in (("natural_scenes", scenes_drawn), ("natural_movie_one", drawn[_N_SCENES:])):
        series = _time_series(root, f"{templates}/{name}_image_stack", data, None, ("TimeSeries",))
        _text(series, "format", "raw")
