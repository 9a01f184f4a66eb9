"""000039 (contrast tuning) and 000049 (temporal by spatial frequency): gratings and nothing else, in one epochs table.

Facts: the structure of published files, the scripts that packaged them and the authors' own analysis of them. Traps:

* ``start_time`` and ``stop_time`` of the epochs are **numbers of two-photon frames**, not seconds (60 apart for 2 s),
  and so are the times of ``processing/stimulus/timestamps``;
* dF/F lies in a Fluorescence container, events in another one, both beside raw traces and all in "lumens";
* the units table has one row per ROI and no spikes;
* blank sweeps are NaN in every column; area and depth are one text; the epochs table has no name of a stimulus.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pynwb import NWBFile, TimeSeries
from pynwb.behavior import BehavioralTimeSeries
from pynwb.file import Subject
from pynwb.misc import Units
from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, PlaneSegmentation, TwoPhotonSeries

from tests.layouts.building import blobs, intervals_table, new_session, sampling_times, save
from tests.layouts.stored import changed, replaced
from tests.layouts.truth import LayoutTruth, LinearInTime, Presentation

__all__ = ["DEPTH", "MICROMETRES_PER_PIXEL", "write"]

#: Of the rig (400 um over 512 pixels); the file does not say.
MICROMETRES_PER_PIXEL = 0.78
#: Micrometres, in the text of `ImagingPlane.location`.
DEPTH = 275.0
_MODULE = "brain_observatory_pipeline"
_N_ROIS = 5
_HEIGHT, _WIDTH = 40, 48
#: Two-photon frames that a grating is shown, and from one onset to the next.
_SHOWN, _CYCLE = 60, 90
_NAN = float("nan")

#: Columns as stored: contrast, direction, spatial frequency, temporal frequency; NaN where nothing was shown.
_SWEEPS = {
    "000039": [
        (0.8, 0.0, 0.04, 1.0),
        (0.05, 135.0, 0.04, 1.0),
        (_NAN, _NAN, _NAN, _NAN),
        (0.4, 270.0, 0.04, 1.0),
        (0.8, 0.0, 0.04, 1.0),
        (0.1, 45.0, 0.04, 1.0),
    ],
    "000049": [
        (0.8, 0.0, 0.02, 0.5),
        (0.8, 90.0, 0.32, 8.0),
        (_NAN, _NAN, _NAN, _NAN),
        (0.8, 180.0, 0.08, 2.0),
        (0.8, 0.0, 0.02, 0.5),
        (0.8, 270.0, 0.16, 4.0),
    ],
}


def write(
    folder: Path,
    *,
    dandiset: Literal["000039", "000049"] = "000039",
    epochs_in: Literal["frames", "seconds"] = "frames",
    transposed: bool = False,
    eye_tracking: bool = True,
) -> LayoutTruth:
    """Write `sub-SPECIMEN_ses-SESSION_behavior+ophys.nwb` with six sweeps and five ROIs.

    Parameters
    ----------
    dandiset : str
        Which of the two: they differ in what is varied.
    epochs_in : {"frames", "seconds"}
        What the epochs count in: two-photon frames as published, or the seconds that NWB asks for.
    transposed : bool
        Traces as ROI x time, as in the first copies of these files.
    eye_tracking : bool
        A tenth of the sessions has none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    session = {"000039": "682746585", "000049": "681698752"}[dandiset]
    nwbfile = new_session(
        session,
        identifier={"000039": "683250025", "000049": "682731703"}[dandiset],
        session_description="OphysSession",
        subject=Subject(
            subject_id="661968859",
            description="Vip-IRES-Cre;Ai148-372585",
            species="Mus musculus",
            sex="M",
            age="P118D",
            genotype="Vip-IRES-Cre/wt;Ai148(TIT2L-GC6f-ICL-tTA2)/wt",
        ),
    )
    sweeps = _SWEEPS[dandiset]
    times = sampling_times(30.08, 4.0 + 3.0 * len(sweeps) + 2.0, first=7.31)
    onsets = 120 + _CYCLE * np.arange(len(sweeps))
    _add_epochs(nwbfile, sweeps, onsets, times if epochs_in == "seconds" else np.arange(len(times), dtype=np.float64))
    encoding = LinearInTime.of(_N_ROIS)
    centres = _add_ophys(nwbfile, times, encoding)
    _add_behaviour(nwbfile, times, eye_tracking=eye_tracking)
    path = save(nwbfile, folder / f"sub-661968859_ses-{session}_behavior+ophys.nwb")
    if transposed:
        with changed(path) as root:
            for container in ("Fluorescence", "l0_events"):
                for series in root[f"processing/{_MODULE}/{container}"].values():
                    replaced(root, f"{series.name}/data", series["data"][:].T)
    return LayoutTruth(
        name="contrast tuning" if dandiset == "000039" else "frequency tuning",
        dandisets=(dandiset,),
        files=(path,),
        n_cells_all=_N_ROIS,
        n_cells_valid=_N_ROIS,
        trace_kind="dff",
        trace_path=f"processing/{_MODULE}/Fluorescence/DfOverF",
        positions=np.column_stack([MICROMETRES_PER_PIXEL * centres, np.full(_N_ROIS, DEPTH)]),
        presentations=tuple(
            _truth_of(times[first], times[first + _SHOWN], sweep) for first, sweep in zip(onsets, sweeps, strict=True)
        ),
        encodes=encoding,
        trace_times=times[:-1],
        running=f"processing/{_MODULE}/RunningBehavior/running_speed",
        pupil=f"processing/{_MODULE}/EyeBehavior/pupil_area" if eye_tracking else None,
    )


def _truth_of(start: float, stop: float, sweep: tuple[float, ...]) -> Presentation:
    blank = bool(np.isnan(sweep[0]))
    names = ("contrast", "direction", "spatial_frequency", "temporal_frequency")
    return Presentation(
        float(start),
        float(stop),
        "epochs",
        parameters={} if blank else dict(zip(names, sweep, strict=True)),
        blank=blank,
    )


def _add_epochs(
    nwbfile: NWBFile,
    sweeps: list[tuple[float, float, float, float]],
    onsets: npt.NDArray[np.int64],
    clock: npt.NDArray[np.float64],
) -> None:
    starts, stops = clock[onsets], clock[onsets + _SHOWN]
    timestamps = TimeSeries(name="timestamps", data=starts, timestamps=starts, unit="s")
    nwbfile.create_processing_module("stimulus", "Stimulus Times processing").add(timestamps)
    contrast, direction, spatial_frequency, temporal_frequency = np.array(sweeps).T
    nwbfile.epochs = intervals_table(
        "epochs",
        "experimental epochs",
        {
            "start_time": starts,
            "stop_time": stops,
            "contrast": contrast,
            "direction": direction,
            "spatial_frequency": spatial_frequency,
            "temporal_frequency": temporal_frequency,
        },
        refers_to=timestamps,
        tag="stimulus_epoch",
    )


def _add_ophys(nwbfile: NWBFile, times: npt.NDArray[np.float64], encoding: LinearInTime) -> npt.NDArray[np.float64]:
    """The module with the traces; centres (N, 2) of the cells as column and row."""
    masks, centres = blobs(_N_ROIS, _HEIGHT, _WIDTH)
    plane = nwbfile.create_imaging_plane(
        name="imaging_plane_1",
        description="imaging_plane_1",
        device=nwbfile.create_device(name="CAM2P.1"),
        optical_channel=OpticalChannel(name="optical_channel", description="description", emission_lambda=520.0),
        excitation_lambda=910.0,
        imaging_rate=30.0,
        indicator="GCaMP6f",
        location=f"area: VISp,depth: {DEPTH:.0f}",
        reference_frame="Intrinsic imaging home",
    )
    module = nwbfile.create_processing_module(_MODULE, "contains optical physiology processed data")
    projection = TwoPhotonSeries(
        name="max_project",
        data=np.full((1, _HEIGHT, _WIDTH), 40, dtype=np.uint8),
        imaging_plane=plane,
        dimension=[_WIDTH, _HEIGHT],
        rate=30.0,
        unit="",
    )
    module.add(projection)
    rois = PlaneSegmentation(
        name="PlaneSegmentation",
        description="Segmentation for imaging plane (de Vries et al., 2019, Nat Neurosci)",
        imaging_plane=plane,
    )
    rois.add_column(name="neuropil_r", description="neuropil_r")
    for number, mask in enumerate(masks):
        rois.add_roi(id=683250100 + 3 * number, image_mask=mask.astype(np.uint8), neuropil_r=0.7)
    module.add(ImageSegmentation(name="ImageSegmentation", plane_segmentations=[rois]))
    region = rois.create_roi_table_region(
        region=list(range(_N_ROIS)), description="segmented cells with cell_specimen_ids"
    )
    # The microscope's last frame has a time and no sample.
    sampled = times[:-1]
    values = encoding.values(sampled).astype(np.float32)
    fluorescence, events = Fluorescence(name="Fluorescence"), Fluorescence(name="l0_events")
    module.add(fluorescence)
    for name, data in (
        ("raw_traces", 100 + 10 * values),
        ("neuropil_traces", 90 - values),
        ("demixed_traces", 120 + 11 * values),
        ("DfOverF", values),
    ):
        fluorescence.create_roi_response_series(name=name, data=data, rois=region, unit="lumens", timestamps=sampled)
    some = np.where(np.arange(len(sampled))[:, None] % 50 == 7, values, 0)
    module.add(events)
    for name, data in (("dff_events", some), ("true_false_events", (some > 0).astype(np.float64))):
        events.create_roi_response_series(name=name, data=data, rois=region, unit="lumens", timestamps=sampled)
    module.add(
        TimeSeries(
            name="MotionCorrection",
            data=np.zeros((len(sampled), 2)),
            timestamps=sampled,
            description="Number of pixels shifts measured during motion correction",
            unit="pixels",
        )
    )
    units = Units(name="units", description="")
    for name in ("cell_id", "pos_x", "pos_y"):
        units.add_column(name=name, description="no description")
    for number, (x, y) in enumerate(centres):
        units.add_unit(id=number, cell_id=683250100 + 3 * number, pos_x=int(x), pos_y=int(y))
    nwbfile.units = units
    return centres


def _add_behaviour(nwbfile: NWBFile, times: npt.NDArray[np.float64], *, eye_tracking: bool) -> None:
    module = nwbfile.processing[_MODULE]
    running = TimeSeries(
        name="running_speed",
        data=5.0 + np.sin(times),
        timestamps=times,
        unit="cm/s",
        description="Speed of the mouse on a rotating wheel",
    )
    module.add(BehavioralTimeSeries(name="RunningBehavior", time_series=[running]))
    if eye_tracking:
        series = [
            TimeSeries(name=name, data=2000.0 + 100 * np.cos(times), timestamps=times, unit="Pixels ^ 2")
            for name in ("eye_area", "pupil_area")
        ]
        gaze = np.stack([np.sin(times), np.cos(times)], axis=1)
        series.append(TimeSeries(name="screen_coordinates_spherical", data=gaze, timestamps=times, unit="Degrees"))
        module.add(BehavioralTimeSeries(name="EyeBehavior", time_series=series))
