"""000037, OpenScope credit assignment: sequences of Gabor patches and moving squares, in three assets per session.

Facts: the structure of published files, and how the authors' code makes and reads the table of trials. A row of it is

* ``gabors``: a picture that stands for 0.3 s; the template has a picture per row, also where the row is grey (frame G);
* ``visflow_left``, ``visflow_right``: a second of a movie that has a frame per refresh of the display;
* ``grayscreen``: the only frame of its template.

``start_frame_stim`` counts refreshes of the display, whose times are those of ``running_velocity``;
``start_frame_twop`` counts two-photon frames. Only the ``image`` and the ``obj-raw`` asset have pixels; elsewhere the
parameters say all. How an IndexSeries samples its template, and which times a template has, is not known and was taken
from 000036.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pynwb import NWBFile, TimeSeries
from pynwb.base import Images
from pynwb.behavior import BehavioralTimeSeries, PupilTracking, SpatialSeries
from pynwb.file import Subject
from pynwb.image import GrayscaleImage, ImageSeries, IndexSeries
from pynwb.ophys import (
    DfOverF,
    ImageSegmentation,
    OpticalChannel,
    PlaneSegmentation,
    RoiResponseSeries,
    TwoPhotonSeries,
)

from tests.layouts.building import as_old_writers_did, blobs, intervals_table, new_session, sampling_times, save
from tests.layouts.stored import changed, replaced, signed_index_series
from tests.layouts.truth import NO_PICTURE, LayoutTruth, LinearInTime, Presentation, pictures

__all__ = ["MICROMETRES_PER_PIXEL", "N_GABORS", "write"]

#: Of the rig (400 um over 512 pixels); the file does not say.
MICROMETRES_PER_PIXEL = 0.78
#: Patches in each Gabor picture; 30 in the published files.
N_GABORS = 4
_N_SQUARES = 3
_N_ROIS = 5
_HEIGHT, _WIDTH = 40, 48
_GREY = 127
_NAN = float("nan")
#: Refreshes of the display per row: 0.3 s, 1 s, and a shortened grey screen (30 s).
_REFRESHES = {"gabors": 18, "visflow_left": 60, "visflow_right": 60, "grayscreen": 60}

Asset = Literal["plain", "image", "raw"]


@dataclass(frozen=True)
class _Trial:
    """A row of the table: refreshes of the display from ``first`` to ``stop``, and its frame in the template."""

    template: str
    first: int
    stop: int
    template_frame: int
    gabor_frame: str = ""
    unexpected: float = _NAN
    orientation: float = _NAN

    @property
    def stimulus(self) -> str:
        return self.template.partition("_")[0]


def write(
    folder: Path,
    *,
    asset: Asset = "image",
    index_samples: Literal["display frames", "rows"] = "display frames",
    frame_columns: bool = True,
) -> LayoutTruth:
    """Write one asset of the session.

    Parameters
    ----------
    asset : {"plain", "image", "raw"}
        `..._behavior+ophys.nwb`, `..._behavior+image+ophys.nwb` with templates, and
        `..._obj-raw_behavior+image+ophys.nwb` with the imaging stack as well. All three are one recording.
    index_samples : {"display frames", "rows"}
        What the samples of an IndexSeries are.
    frame_columns : bool
        Older versions of the dandiset have no ``start_frame_*``, ``stop_frame_*`` and ``num_frames_*``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    suffix = {"plain": "", "image": "_with_stim", "raw": "_with_stim_and_stack"}[asset]
    nwbfile = new_session(
        "758519303",
        identifier=f"758519303{suffix}",
        session_description="Allen Institute OpenScope dataset",
        subject=Subject(subject_id="408021", species="Mus musculus", sex="F", age="P80D", genotype="Cux2-CreERT2/wt"),
    )
    trials = _trials()
    # The display's clock drifts against the microscope's; both start before the stimulus and outlast it.
    display = sampling_times(59.951, trials[-1].stop / 59.951 + 1.0, first=3.2, seed=1)
    imaging = sampling_times(30.08, display[-1] + 1.0, first=0.4, seed=2)
    nwbfile.trials = _table(trials, display, imaging, frame_columns=frame_columns)
    encoding = LinearInTime.of(_N_ROIS)
    centres = _add_ophys(nwbfile, imaging, encoding, raw=asset == "raw")
    _add_behaviour(nwbfile, display, imaging)
    shown = _rows(trials, display, has_pixels=asset != "plain")
    if asset != "plain":
        _add_stimulus(nwbfile, trials, display, index_samples)
    tail = {"plain": "behavior+ophys", "image": "behavior+image+ophys", "raw": "obj-raw_behavior+image+ophys"}[asset]
    path = save(nwbfile, folder / f"sub-408021_ses-758519303_{tail}.nwb")
    with changed(path) as root:
        signed_index_series(root)
        for column, dtype in (
            ("square_locations_x", np.int32),
            ("square_locations_y", np.int32),
            ("gabor_sizes", np.int32),
            ("gabor_orientations", np.int16),
        ):
            stored = root[f"intervals/trials/{column}"][:]
            replaced(root, f"intervals/trials/{column}", stored.astype(dtype))
    return LayoutTruth(
        name="OpenScope credit assignment",
        dandisets=("000037",),
        files=(path,),
        n_cells_all=_N_ROIS,
        n_cells_valid=_N_ROIS,
        trace_kind="dff",
        trace_path="processing/ophys/DfOverF/RoiResponseSeries",
        positions=np.column_stack([MICROMETRES_PER_PIXEL * centres, np.full(_N_ROIS, np.nan)]),
        presentations=shown,
        encodes=encoding,
        trace_times=imaging,
        templates_with_pixels=() if asset == "plain" else ("gabors", "grayscreen", "visflow_left", "visflow_right"),
        templates_without_pixels=("gabors", "visflow_left", "visflow_right") if asset == "plain" else (),
        running="processing/behavior/BehavioralTimeSeries/running_velocity",
        pupil="processing/behavior/PupilTracking/pupil_diameter",
    )


def _trials() -> list[_Trial]:
    """Grey, Gabor sequences A B C D (or U) G, grey, squares to the right, to the left, grey."""
    rows: list[_Trial] = []
    at = 30

    def add(template: str, **more: Any) -> None:
        nonlocal at
        of_template = [row for row in rows if row.template == template]
        if template == "gabors":
            frame = len(of_template)
        elif template == "grayscreen":
            frame = 0
        else:
            frame = at - of_template[0].first if of_template else 0
        rows.append(_Trial(template, at, at + _REFRESHES[template], frame, **more))
        at += _REFRESHES[template]

    add("grayscreen")
    for sequence in range(6):
        unexpected = float(sequence == 4)
        orientation = 45.0 * (sequence % 4)
        for letter in ("A", "B", "C", "U" if unexpected else "D", "G"):
            turned = orientation + 90.0 if letter == "U" else orientation
            grey = letter == "G"
            add(
                "gabors", gabor_frame=letter, unexpected=unexpected, orientation=_NAN if grey else turned,
            )  # fmt: skip
    add("grayscreen")
    for template, count in (("visflow_right", 3), ("visflow_left", 2)):
        for number in range(count):
            add(template, unexpected=float(number == 1))
    add("grayscreen")
    return rows


def _rows(trials: list[_Trial], display: npt.NDArray[np.float64], *, has_pixels: bool) -> tuple[Presentation, ...]:
    rows = []
    number = _numbers(trials)
    for trial in trials:
        start, stop = float(display[trial.first]), float(display[trial.stop])
        if trial.stimulus == "grayscreen":
            rows.append(Presentation(start, stop, "grayscreen", blank=True))
        elif not has_pixels:
            grey = trial.gabor_frame == "G"
            parameters = {} if grey else _scalars(trial)
            rows.append(
                Presentation(start, stop, trial.stimulus, None if grey else trial.template, parameters=parameters,
                             blank=grey)
            )  # fmt: skip
        elif trial.stimulus == "gabors":
            picture = number["gabors"] + trial.template_frame
            if trial.gabor_frame == "G":
                picture = NO_PICTURE
            rows.append(Presentation(start, stop, "gabors", "gabors", trial.template_frame, picture))
        else:
            for refresh in range(trial.first, trial.stop):
                frame = trial.template_frame + refresh - trial.first
                rows.append(
                    Presentation(
                        float(display[refresh]),
                        float(display[refresh + 1]),
                        trial.stimulus,
                        trial.template,
                        frame,
                        number[trial.template] + frame,
                    )
                )
    return tuple(rows)


def _scalars(trial: _Trial) -> dict[str, float | str]:
    """What a row says of a Gabor picture or of squares in columns of one value."""
    if trial.stimulus == "gabors":
        return {
            "gabor_frame": trial.gabor_frame,
            "gabor_kappa": 16.0,
            "gabor_mean_orientation": trial.orientation,
            "gabor_number": float(N_GABORS),
        }
    return {
        "main_flow_direction": _direction(trial),
        "square_size": 128.0,
        "square_number": float(_N_SQUARES),
        "square_proportion_flipped": 0.25 * trial.unexpected,
    }


def _direction(trial: _Trial) -> str:
    return {"visflow_right": "right (temp)", "visflow_left": "left (nasal)"}.get(trial.template, "")


def _numbers(trials: list[_Trial]) -> dict[str, int]:
    """Number that the first picture of each template carries."""
    first, numbers = 0, {}
    for template in ("gabors", "visflow_right", "visflow_left"):
        numbers[template] = first
        first += _n_frames(trials, template)
    return numbers


def _n_frames(trials: list[_Trial], template: str) -> int:
    rows = [trial for trial in trials if trial.template == template]
    if template == "gabors":
        return len(rows)
    return 1 if template == "grayscreen" else rows[-1].stop - rows[0].first


def _table(
    trials: list[_Trial],
    display: npt.NDArray[np.float64],
    imaging: npt.NDArray[np.float64],
    *,
    frame_columns: bool,
) -> Any:
    random = np.random.default_rng(37)
    first, stop = np.array([t.first for t in trials]), np.array([t.stop for t in trials])
    starts, stops = display[first], display[stop]
    gabor = np.array([t.stimulus == "gabors" and t.gabor_frame != "G" for t in trials])
    squares = np.array([t.stimulus == "visflow" for t in trials])
    columns: dict[str, Any] = {
        "start_time": starts,
        "stop_time": stops,
        "stimulus_type": [t.stimulus for t in trials],
        "stimulus_template_name": [t.template for t in trials],
        "unexpected": np.array([t.unexpected for t in trials]),
        "gabor_frame": [t.gabor_frame for t in trials],
        "gabor_kappa": np.where(gabor, 16.0, _NAN),
        "gabor_mean_orientation": np.array([t.orientation for t in trials]),
        "gabor_number": np.where(gabor, float(N_GABORS), _NAN),
        "main_flow_direction": [_direction(t) for t in trials],
        "square_size": np.where(squares, 128.0, _NAN),
        "square_number": np.where(squares, float(_N_SQUARES), _NAN),
        "square_proportion_flipped": np.where(squares, 0.25 * np.array([t.unexpected for t in trials]), _NAN),
        "start_frame_stim_template": np.array([t.template_frame for t in trials], dtype=np.int32),
    }
    if frame_columns:
        in_imaging = [np.abs(imaging[:, None] - edges).argmin(axis=0) for edges in (starts, stops)]
        for clock, (begin, end) in {"stim": (first, stop), "twop": tuple(in_imaging)}.items():
            columns[f"start_frame_{clock}"] = begin.astype(np.int32)
            columns[f"stop_frame_{clock}"] = end.astype(np.int32)
            columns[f"num_frames_{clock}"] = (end - begin).astype(np.int32)
    per_gabor = {
        "gabor_locations_x": lambda trial: random.uniform(-800, 800, N_GABORS),
        "gabor_locations_y": lambda trial: random.uniform(-500, 500, N_GABORS),
        "gabor_sizes": lambda trial: random.integers(204, 409, N_GABORS),
        "gabor_orientations": lambda trial: np.rint(trial.orientation + random.normal(0, 14, N_GABORS)) % 360,
    }
    ragged: dict[str, list[Any]] = {
        name: [draw(trial) if is_gabor else [] for trial, is_gabor in zip(trials, gabor, strict=True)]
        for name, draw in per_gabor.items()
    }
    for axis, reach in (("x", 960), ("y", 600)):
        ragged[f"square_locations_{axis}"] = [
            random.integers(-reach, reach, (_N_SQUARES, 60)) if moving else [] for moving in squares
        ]
    descriptions = {
        "unexpected": "Whether the stimulus features are expected (0) or unexpected (1).",
        "start_frame_stim_template": "Start frame number for the trial in the corresponding template.",
        "start_frame_stim": "Start frame number for the stimulus frames.",
        "start_frame_twop": "Start frame number for the two-photon frames.",
        "gabor_frame": "Gabor frame or set, defined by Gabor patch locations and sizes (A, B, C, D or U, G).",
        "gabor_sizes": "Gabor patch sizes (in pixels, with patch width defined, as in psychopy, as width across 6 "
        "standard deviations).",
    }
    return intervals_table("trials", "experimental trials", columns, descriptions=descriptions, ragged=ragged)


def _add_stimulus(nwbfile: NWBFile, trials: list[_Trial], display: npt.NDArray[np.float64], index_samples: str) -> None:
    number = _numbers(trials)
    for template in ("gabors", "grayscreen", "visflow_left", "visflow_right"):
        rows = [trial for trial in trials if trial.template == template]
        n_frames = _n_frames(trials, template)
        drawn = np.full((n_frames, 12, 16), _GREY, dtype=np.uint8)
        if template in number:
            drawn = pictures(n_frames, first=number[template])
        for trial in rows:
            if trial.gabor_frame == "G":
                drawn[trial.template_frame] = _GREY
        # Published templates have neither a rate nor times of their own.
        series = as_old_writers_did(
            ImageSeries,
            name=template,
            description=f"Template for {template} stimulus (frames x height x width x channels) (unwarped, masked)",
            data=np.repeat(drawn[..., None], 3, axis=3),
            unit="N/A",
            format="raw",
            timestamps=np.zeros(0),
        )
        nwbfile.add_stimulus_template(series)
        samples = [
            (refresh, trial.template_frame + (refresh - trial.first if trial.stimulus == "visflow" else 0))
            for trial in rows
            for refresh in range(trial.first, trial.stop)
            if index_samples == "display frames" or trial.stimulus == "visflow" or refresh == trial.first
        ]
        refreshes, frames = np.array(samples).T
        nwbfile.add_stimulus(
            as_old_writers_did(
                IndexSeries,
                name=template,
                description=f"{template} index",
                data=frames,
                indexed_timeseries=series,
                unit="N/A",
                timestamps=display[refreshes],
            )
        )


def _add_ophys(
    nwbfile: NWBFile, imaging: npt.NDArray[np.float64], encoding: LinearInTime, *, raw: bool
) -> npt.NDArray[np.float64]:
    """dF/F and masks, and the stack; centres (N, 2) of the cells as column and row."""
    masks, centres = blobs(_N_ROIS, _HEIGHT, _WIDTH)
    plane = nwbfile.create_imaging_plane(
        name="ImagingPlane",
        description="Imaging plane",
        device=nwbfile.create_device(name="2p_microscope", description="Allen Institute two-photon pipeline: CAM2P.2"),
        optical_channel=OpticalChannel(name="optical_channel", description="description", emission_lambda=520.0),
        excitation_lambda=910.0,
        imaging_rate=30.0,
        indicator="GCaMP6f",
        location="VISp",
    )
    module = nwbfile.create_processing_module("ophys", "OpenScope processing pipeline")
    rois = PlaneSegmentation(
        name="PlaneSegmentation",
        description="Segmentation for imaging plane (de Vries et al., 2019, Nat Neurosci)",
        imaging_plane=plane,
    )
    rois.add_column(name="tracking_id", description="ROI tracking index (NaN for untracked ROIs)")
    for number, mask in enumerate(masks):
        tracked = _NAN if number % 2 else float(number // 2)
        rois.add_roi(id=758600000 + number, image_mask=mask.astype(np.uint8), tracking_id=tracked)
    module.add(ImageSegmentation(name="ImageSegmentation", plane_segmentations=[rois]))
    region = rois.create_roi_table_region(
        region=list(range(_N_ROIS)), description="Segmented cells with cell_specimen_ids (height x width)"
    )
    series = RoiResponseSeries(
        name="RoiResponseSeries",
        description="ROI traces",
        data=encoding.values(imaging),
        rois=region,
        unit="dF/F",
        timestamps=imaging,
    )
    container = DfOverF(name="DfOverF")
    module.add(container)
    container.add_roi_response_series(series)
    projection = GrayscaleImage(name="max_projection", data=masks.any(axis=0).astype(np.uint8) * 200)
    module.add(Images(name="PlaneImages", description="Plane images.", images=[projection]))
    if raw:
        stack = np.zeros((len(imaging), 4, 5), dtype=np.uint16)
        nwbfile.add_acquisition(
            TwoPhotonSeries(
                name="motion_corrected_stack",
                description="Motion corrected imaging stack (frames x height x width).",
                data=stack,
                imaging_plane=plane,
                unit="N/A",
                timestamps=imaging,
            )
        )
    return centres


def _add_behaviour(nwbfile: NWBFile, display: npt.NDArray[np.float64], imaging: npt.NDArray[np.float64]) -> None:
    module = nwbfile.create_processing_module("behavior", "preprocessed behavioral data")
    velocity = 10.0 + np.sin(display)
    velocity[100:103] = np.nan
    running = TimeSeries(
        name="running_velocity",
        description="Velocity of the mouse on a rotating disc.",
        data=velocity,
        unit="cm/s",
        timestamps=display,
    )
    module.add(BehavioralTimeSeries(name="BehavioralTimeSeries", time_series=[running]))
    diameter = TimeSeries(
        name="pupil_diameter",
        description="Diameter of the mouse pupil (right) facing the stimulus presentation screen.",
        data=0.8 + 0.1 * np.cos(imaging),
        unit="mm",
        timestamps=imaging,
    )
    position = [
        SpatialSeries(
            name=f"pupil_position_{axis}",
            description=f"Position in {axis} of the center of the mouse pupil (right).",
            data=np.sin(imaging),
            unit="mm",
            timestamps=imaging,
            reference_frame="centre of the video",
        )
        for axis in "xy"
    ]
    module.add(PupilTracking(name="PupilTracking", time_series=[diameter, *position]))
