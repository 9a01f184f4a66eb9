"""Dandiset 000728, Allen Brain Observatory Visual Coding 2P, processed sessions converted from the v1 files.

Facts: the field guide, and the converter catalystneuro/visual-coding-to-nwb-v2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from hdmf.common import DynamicTable, VectorData
from pynwb import NWBFile, TimeSeries
from pynwb.base import Images
from pynwb.behavior import BehavioralTimeSeries, CompassDirection, EyeTracking, PupilTracking, SpatialSeries
from pynwb.file import Subject
from pynwb.image import Image, ImageSeries, IndexSeries
from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel, PlaneSegmentation, RoiResponseSeries

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
from tests.layouts.truth import NO_PICTURE, LayoutTruth, LinearInTime, Presentation, pictures

__all__ = ["MICROMETRES_PER_PIXEL", "N_SCENES", "write"]

FloatArray = npt.NDArray[np.float64]

#: What `ImagingPlane.grid_spacing` says.
MICROMETRES_PER_PIXEL = 0.78
#: Scenes shown in `natural_scenes`; a 119th condition is the blank, -1 in the v1 files.
N_SCENES = 118
_RATE = 30.08
_N_ROIS = 5
_HEIGHT, _WIDTH = 40, 48
_MOVIE_FRAMES = 45
_STIMULI = {
    "A": ("drifting_gratings", "natural_movie_three", "natural_movie_one", "spontaneous"),
    "B": ("static_gratings", "natural_scenes", "natural_movie_one", "spontaneous"),
    "C": ("locally_sparse_noise", "natural_movie_one", "natural_movie_two", "spontaneous"),
    "C2": ("locally_sparse_noise_4deg", "natural_movie_one", "locally_sparse_noise_8deg", "spontaneous"),
}
_SESSION_TYPE = {"A": "three_session_A", "B": "three_session_B", "C": "three_session_C", "C2": "three_session_C2"}


@dataclass
class _Shown:
    """What the file is going to say of the stimuli, gathered while it is built."""

    nwbfile: NWBFile
    now: float
    next_picture: int = 0
    rows: list[Presentation] = field(default_factory=list)
    rows_lost: dict[str, int] = field(default_factory=dict)
    with_pixels: list[str] = field(default_factory=list)
    without_pixels: list[str] = field(default_factory=list)
    epochs: list[tuple[float, float, str]] = field(default_factory=list)
    units: list[str] = field(default_factory=list)


def write(
    folder: Path,
    *,
    session: Literal["A", "B", "C", "C2"] = "B",
    blanks: Literal["saturated", "wrapped"] = "saturated",
    whole_static_gratings: bool = False,
    events: bool = True,
    demixed: bool = True,
    epochs: bool = True,
    behaviour: bool = True,
    swapped_masks: bool = True,
    more_timestamps: int = 0,
) -> LayoutTruth:
    """Write `sub-SPECIMEN_ses-EXPERIMENT-StimX_behavior+image+ophys.nwb` and say what is true of it.

    Parameters
    ----------
    session : {"A", "B", "C", "C2"}
        Which stimuli the session has.
    blanks : {"saturated", "wrapped"}
        What the blanks (-1) of `natural_scenes_stimulus` became when they were cast to uint32: 0, merged with scene 0,
        or 4294967295.
    whole_static_gratings : bool
        Every row of `static_gratings`, which no published file has, instead of three.
    events, demixed, epochs, behaviour : bool
        Whether the file has `DfOverFEvents`, `Demixed`, the table of epochs, running and pupil: each lacks somewhere.
    swapped_masks : bool
        x and y of `pixel_mask` exchanged, so that only `SummaryImages` shows where the cells are.
    more_timestamps : int
        How many timestamps more than samples; -1 is one fewer.
    """
    experiment = {"A": 501498760, "B": 510517131, "C": 501474098, "C2": 569396924}[session]
    nwbfile = new_session(
        f"{experiment}-Stim{session}",
        identifier=f"visual-coding-{experiment}",
        subject=Subject(
            subject_id="491060312",
            description="Mus musculus in vivo.",
            species="Mus musculus",
            sex="M",
            age="P104D",
            strain="Cux2-CreERT2;Camk2a-tTA;Ai93-222426",
            genotype="Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/Ai93(TITL-GCaMP6f)",
        ),
        session_description="2P calcium imaging of mouse visual cortex.\n\nMonitor was positioned 15 cm from the "
        "mouse's eye, and spanned 120 degrees x 95 degrees of visual space without accounting for stimulus warping.",
        notes=f"Container ID: 511510667\nMouse ID (from genotype white paper): 222426\n"
        f"Session type: {_SESSION_TYPE[session]}",
    )
    shown = _Shown(nwbfile, now=5.0)
    for name in _STIMULI[session]:
        start = shown.now
        _ADD[name.removesuffix("_4deg").removesuffix("_8deg")](shown, name, blanks, whole_static_gratings)
        shown.epochs.append((start, shown.now, name))
        shown.now += 1.0

    times = sampling_times(_RATE, shown.now + 2.0, first=0.21)
    encoding = LinearInTime.of(_N_ROIS)
    centres = _add_ophys(nwbfile, times, encoding, events=events, demixed=demixed, swapped_masks=swapped_masks)
    if behaviour:
        _add_behaviour(nwbfile, times)
    if epochs:
        starts, stops, names = zip(*shown.epochs, strict=True)
        nwbfile.epochs = intervals_table(
            "epochs",
            "Coarse grain experiment structure in the alternating presentations of visual stimuli.",
            {
                # The converter looks the frame numbers of the v1 files up in the times of dF/F.
                "start_time": times[np.searchsorted(times, starts)],
                "stop_time": times[np.searchsorted(times, stops)],
                "stimulus_type": list(names),
            },
            descriptions={"stimulus_type": "Type of visual stimuli."},
        )
    path = save(nwbfile, Path(folder) / f"sub-491060312_ses-{experiment}-Stim{session}_behavior+image+ophys.nwb")
    for series in shown.units:
        state_unit(path, f"stimulus/presentation/{series}", "n.a.")
    if more_timestamps:
        longer = np.append(times, times[-1] + np.arange(1, max(more_timestamps, 0) + 1) / _RATE)
        replace_timestamps(path, "processing/ophys/Fluorescence/Corrected", longer[: len(times) + more_timestamps])
    return LayoutTruth(
        name="000728 Visual Coding 2P",
        dandisets=("000728",),
        files=(path,),
        n_cells_all=_N_ROIS,
        n_cells_valid=_N_ROIS,
        trace_kind="dff",
        trace_path="processing/ophys/DfOverF/DfOverF",
        positions=np.column_stack([centres * MICROMETRES_PER_PIXEL, np.full(_N_ROIS, np.nan)]),
        pixels=centres,
        presentations=tuple(sorted(shown.rows, key=lambda row: row.start)),
        encodes=encoding,
        trace_times=times,
        rows_lost=shown.rows_lost,
        templates_with_pixels=tuple(shown.with_pixels),
        templates_without_pixels=tuple(shown.without_pixels),
        running="processing/behavior/BehavioralTimeSeries/running_speed" if behaviour else None,
        pupil="processing/behavior/PupilTracking/pupil_size" if behaviour else None,
    )


def _add_ophys(
    nwbfile: NWBFile, times: FloatArray, encoding: LinearInTime, *, events: bool, demixed: bool, swapped_masks: bool
) -> FloatArray:
    """The ophys module; centres (N, 2) of the cells as column and row."""
    masks, centres = blobs(_N_ROIS, _HEIGHT, _WIDTH)
    plane = nwbfile.create_imaging_plane(
        name="ImagingPlane",
        # The published files really hold the placeholder.
        description="The imaging plane sampled by the two-photon calcium imaging at a depth of {depth} µm.",
        excitation_lambda=910.0,
        indicator="GCaMP6f",
        grid_spacing=[MICROMETRES_PER_PIXEL, MICROMETRES_PER_PIXEL],
        grid_spacing_unit="micrometers",
        location="VISp",
        device=nwbfile.create_device(
            name="Microscope", description="A Nikon A1R-MP multiphoton microscope.", manufacturer="Nikon"
        ),
        optical_channel=OpticalChannel(
            name="OpticalChannel", description="An optical channel.", emission_lambda=np.nan
        ),
    )
    module = nwbfile.create_processing_module("ophys", "Contains processed optical physiology data.")
    projection = np.full((_HEIGHT, _WIDTH), 20, dtype=np.uint8)
    projection[masks.any(axis=0)] = 220
    description = "Summary image calculated from maximum intensity of the plane."
    image = Image(name="maximum_intensity_projection", description=description, data=projection)
    module.add(
        Images(
            name="SummaryImages",
            description="Summary images derived from the two-photon calcium imaging.",
            images=[image],
        )
    )
    rois = PlaneSegmentation(
        name="PlaneSegmentation", description="Segmented regions of interest (ROI).", imaging_plane=plane
    )
    rois.add_column(name="global_roi_id", description="The global ID assigned to each unique ROI across sessions.")
    for number, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        x, y = (rows, columns) if swapped_masks else (columns, rows)
        identifier = 541508000 + 7 * number
        rois.add_roi(
            id=identifier,
            pixel_mask=[(int(a), int(b), 1.0) for a, b in zip(x, y, strict=True)],
            global_roi_id=identifier,
        )
    module.add(ImageSegmentation(name="ImageSegmentation", plane_segmentations=[rois]))
    region = rois.create_roi_table_region(
        region=list(range(_N_ROIS)), description="The regions of interest (ROIs) this response series refers to."
    )
    values = encoding.values(times).astype(np.float32)
    corrected = RoiResponseSeries(name="Corrected", data=100 + 10 * values, timestamps=times, unit="n.a.", rois=region)
    series = [
        RoiResponseSeries(name="Neuropil", data=90 - values, timestamps=corrected, unit="n.a.", rois=region),
        corrected,
    ]
    if demixed:
        series.append(
            RoiResponseSeries(name="Demixed", data=120 + 11 * values, timestamps=corrected, unit="n.a.", rois=region)
        )
    module.add(Fluorescence(name="Fluorescence", roi_response_series=series))
    normalised = [RoiResponseSeries(name="DfOverF", data=values, timestamps=corrected, unit="a.u.", rois=region)]
    if events:
        sparse = np.where(np.arange(len(times))[:, None] % 50 == 7, values, 0).astype(np.float32)
        normalised.append(
            RoiResponseSeries(name="DfOverFEvents", data=sparse, timestamps=corrected, unit="a.u.", rois=region)
        )
    module.add(DfOverF(name="DfOverF", roi_response_series=normalised))
    module.add(
        DynamicTable(
            name="ContaminationRatios",
            description="Pre-calculated statistics quantifying the effectiveness of the neuropil subtraction.",
            columns=[
                VectorData(name=name, description=name, data=np.linspace(0.2, 0.9, _N_ROIS))
                for name in ("ratios", "ratios_rmse")
            ],
        )
    )
    return centres


def _add_behaviour(nwbfile: NWBFile, times: FloatArray) -> None:
    nwbfile.create_device(name="Camera", description="An AVT Mako-G032B camera.", manufacturer="Allied Vision")
    module = nwbfile.create_processing_module("behavior", "Processed behavioral data.")
    speed = 5 + 4 * np.sin(times)
    speed[:3] = np.nan
    module.add(
        BehavioralTimeSeries(time_series=TimeSeries(name="running_speed", data=speed, timestamps=times, unit="cm/s"))
    )
    size = 900 + 50 * np.cos(times)
    size[100:105] = np.nan
    module.add(PupilTracking(time_series=[TimeSeries(name="pupil_size", data=size, timestamps=times, unit="px")]))
    for container, name, unit in (
        (EyeTracking, "pupil_location", "m"),
        (CompassDirection, "pupil_location_spherical", "degrees"),
    ):
        module.add(
            container(
                spatial_series=[
                    SpatialSeries(
                        name=name,
                        data=np.column_stack([np.sin(times), np.cos(times)]),
                        timestamps=times,
                        unit=unit,
                        reference_frame="(0,0) is the center of the monitor.",
                    )
                ]
            )
        )


def _drifting_gratings(shown: _Shown, name: str, *_: Any) -> None:
    onsets = shown.now + 3.0 * np.arange(6)
    orientation = np.array([0.0, 45.0, np.nan, 270.0, 0.0, 45.0])
    frequency = np.array([1.0, 15.0, np.nan, 2.0, 1.0, 15.0])
    blank = np.isnan(orientation)
    shown.nwbfile.add_stimulus(
        stimulus=intervals_table(
            name,
            "Parameterizations of full field drifting sinusoidal grating at a single spatial contrast (80%). "
            "Direction of motion is to the orientation of the grating.",
            {
                "start_time": onsets,
                "stop_time": onsets + 2.0,
                "orientation_in_degrees": orientation,
                # Fixed, and stated in the blank rows too.
                "spatial_frequency_in_cycles_per_degree": np.full(len(onsets), 0.04),
                "temporal_frequency_in_hz": frequency,
                "is_blank_sweep": blank,
            },
        )
    )
    for onset, angle, hertz, empty in zip(onsets, orientation, frequency, blank, strict=True):
        parameters = {
            "orientation_in_degrees": float(angle),
            "spatial_frequency_in_cycles_per_degree": 0.04,
            "temporal_frequency_in_hz": float(hertz),
        }
        shown.rows.append(
            Presentation(onset, onset + 2.0, name, parameters={} if empty else parameters, blank=bool(empty))
        )
    shown.without_pixels.append(name)
    shown.now = float(onsets[-1]) + 3.0


def _static_gratings(shown: _Shown, name: str, _: str, whole: bool) -> None:
    onsets = shown.now + 0.25 * np.arange(40)
    orientation = np.array([0.0, 30.0, 60.0, 90.0, np.nan] * 8)
    frequency = np.array([0.02, 0.04, 0.08, 0.16, np.nan] * 8)
    phase = np.array([0.0, 0.25, 0.5, 0.75, np.nan] * 8)
    kept = slice(None) if whole else slice(3)
    shown.nwbfile.add_stimulus(
        stimulus=intervals_table(
            name,
            "Parameterizations of visual non-moving gratings shown to the subject.",
            {
                "start_time": onsets[kept],
                "stop_time": onsets[kept] + 0.25,
                "orientation_in_degrees": orientation[kept],
                "spatial_frequency_in_cycles_per_degree": frequency[kept],
                "phase": phase[kept],
                "is_blank_sweep": np.isnan(orientation)[kept],
            },
        )
    )
    shown.without_pixels.append(name)
    shown.now = float(onsets[-1]) + 0.25
    if not whole:
        shown.rows_lost[f"stimulus/presentation/{name}"] = 3
        return
    for onset, angle, cycles, turn in zip(onsets, orientation, frequency, phase, strict=True):
        parameters = {
            "orientation_in_degrees": float(angle),
            "spatial_frequency_in_cycles_per_degree": float(cycles),
            "phase": float(turn),
        }
        empty = bool(np.isnan(angle))
        shown.rows.append(Presentation(onset, onset + 0.25, name, parameters={} if empty else parameters, blank=empty))


def _natural_scenes(shown: _Shown, name: str, blanks: str, _: bool) -> None:
    order = np.concatenate([np.random.default_rng(repeat).permutation(np.arange(-1, N_SCENES)) for repeat in range(2)])
    first = _add_pictures(shown, "natural_scenes_template", "NaturalScene", N_SCENES)
    stored = np.where(order < 0, 0 if blanks == "saturated" else np.iinfo(np.uint32).max, order)
    onsets = _add_index_series(shown, name, "natural_scenes_template", stored, 0.25)
    for onset, scene in zip(onsets, order, strict=True):
        if blanks == "saturated" and scene <= 0:
            continue
        shown.rows.append(_picture(onset, 0.25, name, "natural_scenes_template", int(scene), first))
    if blanks == "saturated":
        shown.rows_lost[f"stimulus/presentation/{name}_stimulus"] = int((stored == 0).sum())


def _locally_sparse_noise(shown: _Shown, name: str, *_: Any) -> None:
    template, n_pictures = f"{name}_template", 14
    first = _add_pictures(shown, template, "LocallySparseImage", n_pictures)
    order = np.tile(np.arange(n_pictures), 2)
    onsets = _add_index_series(shown, name, template, order, 0.25)
    shown.rows += [
        _picture(onset, 0.25, name, template, int(number), first) for onset, number in zip(onsets, order, strict=True)
    ]


def _natural_movie(shown: _Shown, name: str, *_: Any) -> None:
    if "StimulusDisplay" not in shown.nwbfile.devices:
        shown.nwbfile.create_device(name="StimulusDisplay", description="An ASUS PA248Q monitor.", manufacturer="ASUS")
    first = shown.next_picture
    shown.next_picture += _MOVIE_FRAMES
    movie = ImageSeries(
        name=name,
        description="A natural movie presented to the subject.",
        data=pictures(_MOVIE_FRAMES, first=first),
        unit="n.a.",
        starting_time=np.nan,
        rate=np.nan,
        device=shown.nwbfile.devices["StimulusDisplay"],
    )
    shown.nwbfile.add_stimulus_template(movie)
    shown.with_pixels.append(name)
    order = np.tile(np.arange(_MOVIE_FRAMES), 3)
    onsets = shown.now + np.arange(len(order)) / 30.0
    shown.nwbfile.add_stimulus(
        as_old_writers_did(
            IndexSeries,
            name=f"{name}_stimulus",
            description="The order and timing for presentation of frames from the the natural movie templates.",
            data=order.astype(np.uint32),
            indexed_timeseries=movie,
            unit="N/A",
            timestamps=onsets,
        )
    )
    shown.units.append(f"{name}_stimulus")
    shown.rows += [
        _picture(onset, 1 / 30, name, name, int(frame), first) for onset, frame in zip(onsets, order, strict=True)
    ]
    shown.now = float(onsets[-1]) + 1 / 30


def _spontaneous(shown: _Shown, name: str, *_: Any) -> None:
    start = np.array([shown.now])
    shown.nwbfile.add_stimulus(
        stimulus=intervals_table(
            "spontaneous_stimulus", "Mean luminance gray image.", {"start_time": start, "stop_time": start + 4.0}
        )
    )
    shown.rows.append(Presentation(shown.now, shown.now + 4.0, name, blank=True))
    shown.now += 4.0


_ADD = {
    "drifting_gratings": _drifting_gratings,
    "static_gratings": _static_gratings,
    "natural_scenes": _natural_scenes,
    "locally_sparse_noise": _locally_sparse_noise,
    "natural_movie_one": _natural_movie,
    "natural_movie_two": _natural_movie,
    "natural_movie_three": _natural_movie,
    "spontaneous": _spontaneous,
}


def _add_pictures(shown: _Shown, name: str, prefix: str, n_pictures: int) -> int:
    """A set of pictures that come back in alphabetical order; the number of the first of them."""
    first = shown.next_picture
    shown.next_picture += n_pictures
    drawn = pictures(n_pictures, first=first)
    shown.nwbfile.add_stimulus_template(
        Images(
            name=name,
            description="A collection of pictures presented to the subject.",
            images=[
                Image(name=f"{prefix}{number}", description="A picture presented to the subject.", data=picture)
                for number, picture in enumerate(drawn)
            ],
        )
    )
    shown.with_pixels.append(name)
    return first


def _add_index_series(
    shown: _Shown, name: str, template: str, numbers: npt.NDArray[np.int64], seconds: float
) -> FloatArray:
    """An IndexSeries of pictures that stand for so long each; their onsets."""
    onsets = shown.now + seconds * np.arange(len(numbers))
    shown.nwbfile.add_stimulus(
        IndexSeries(
            name=f"{name}_stimulus",
            description="The order and timing for presentation of the templates.",
            data=numbers.astype(np.uint32),
            indexed_images=shown.nwbfile.stimulus_template[template],
            unit="N/A",
            timestamps=onsets,
        )
    )
    shown.units.append(f"{name}_stimulus")
    shown.now = float(onsets[-1]) + seconds
    return np.asarray(onsets)


def _picture(onset: float, seconds: float, name: str, template: str, number: int, first: int) -> Presentation:
    if number < 0:
        return Presentation(onset, onset + seconds, name, blank=True)
    return Presentation(onset, onset + seconds, name, template, number, first + number if number >= 0 else NO_PICTURE)
