"""000036, OpenScope neurophysiological differentiation: movies whose IndexSeries say what was shown at each refresh.

Traps: traces are ROI x time and have one timestamp more than samples; there is no table at all; the movies, grey screen
included, are ImageSeries with pixels and without a single timestamp; every movie frame is told twice, once per refresh
of the display; there is no session id, sex or age.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from pynwb import NWBFile, TimeSeries
from pynwb.behavior import BehavioralTimeSeries
from pynwb.file import Subject
from pynwb.image import ImageSeries, IndexSeries
from pynwb.ophys import DfOverF, ImageSegmentation, OpticalChannel, PlaneSegmentation, RoiResponseSeries

from tests.layouts.building import as_old_writers_did, blobs, sampling_times, save
from tests.layouts.stored import changed, replaced, signed_index_series
from tests.layouts.truth import LayoutTruth, LinearInTime, Presentation, pictures

__all__ = ["MICROMETRES_PER_PIXEL", "REFRESHES_PER_FRAME", "write"]

#: Of the rig (400 um over 512 pixels); the file does not say.
MICROMETRES_PER_PIXEL = 0.78
#: Movies of 30 Hz on a display of 60 Hz.
REFRESHES_PER_FRAME = 2
_N_ROIS = 5
_HEIGHT, _WIDTH = 40, 48
_SERIES = "processing/ophys/DfOverF/imaging_plane_1"
#: Frames of each movie; the last frame of `snake` is never reached, as clips were cut.
_MOVIES = {"snake": 50, "mousecam_spatial_phase_scramble": 30, "dots": 40}
#: Order of the blocks; grey between them.
_BLOCKS = ("snake", "spontaneous", "dots", "snake", "mousecam_spatial_phase_scramble", "spontaneous")


def write(
    folder: Path, *, more_timestamps: int = 1, dropped_refreshes: int = 1, transposed: bool = True
) -> LayoutTruth:
    """Write `sub-SPECIMEN_ses-DATE_behavior+ophys.nwb` with three movies and grey.

    Parameters
    ----------
    more_timestamps : int
        How many timestamps there are more than samples.
    dropped_refreshes : int
        Refreshes of the display that came late in the second block of a movie, so that a frame stood for longer.
    transposed : bool
        Whether the traces are ROI x time, as published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nwbfile = NWBFile(
        session_description="Allen Institute OpenScope dataset",
        identifier="717007376",
        session_start_time=datetime(2018, 7, 5, 22, 29, 8, 784000, tzinfo=UTC),
        subject=Subject(subject_id="384828", description="Cux2-CreERT2;Camk2a-tTA;Ai93"),
    )
    first = dict(zip(_MOVIES, np.cumsum([0, *_MOVIES.values()])[:-1].tolist(), strict=True))
    display, samples, shown = _course(first, dropped_refreshes)
    imaging = sampling_times(30.08, display[-1] + 1.0, first=0.33, seed=4)
    for name in ("spontaneous", *_MOVIES):
        drawn = pictures(_MOVIES[name], first=first[name]) if name in first else np.full((1, 12, 16), 127, np.uint8)
        _add_movie(nwbfile, name, drawn, display, samples[name])
    encoding = LinearInTime.of(_N_ROIS)
    centres = _add_ophys(nwbfile, imaging, encoding)
    running = TimeSeries(
        name="running_velocity",
        description="Velocity of the mouse on a rotating wheel",
        data=10.0 + np.sin(display),
        unit="cm/s",
        timestamps=display,
    )
    nwbfile.create_processing_module("behavior", "preprocessed behavioral data").add(
        BehavioralTimeSeries(name="BehavioralTimeSeries", time_series=[running])
    )
    path = save(nwbfile, folder / "sub-384828_ses-20180705T152908_behavior+ophys.nwb")
    n_samples = len(imaging) - more_timestamps
    with changed(path) as root:
        _cut_and_turn(root, n_samples, transposed=transposed)
        signed_index_series(root)
    return LayoutTruth(
        name="OpenScope differentiation",
        dandisets=("000036",),
        files=(path,),
        n_cells_all=_N_ROIS,
        n_cells_valid=_N_ROIS,
        trace_kind="dff",
        trace_path=_SERIES,
        positions=np.column_stack([MICROMETRES_PER_PIXEL * centres, np.full(_N_ROIS, np.nan)]),
        presentations=shown,
        encodes=encoding,
        trace_times=imaging[:n_samples],
        templates_with_pixels=tuple(sorted(_MOVIES)),
        running="processing/behavior/BehavioralTimeSeries/running_velocity",
    )


def _course(
    first: dict[str, int], dropped: int
) -> tuple[npt.NDArray[np.float64], dict[str, list[tuple[int, int]]], tuple[Presentation, ...]]:
    """Times of the refreshes, per movie the refreshes and frames told of, and the rows that they mean."""
    samples: dict[str, list[tuple[int, int]]] = {name: [] for name in ("spontaneous", *_MOVIES)}
    at, late, order = 90, [], []
    for block, name in enumerate(_BLOCKS):
        n_refreshes = 120 if name == "spontaneous" else REFRESHES_PER_FRAME * (_MOVIES[name] - (name == "snake"))
        for refresh in range(n_refreshes):
            samples[name].append((at + refresh, 0 if name == "spontaneous" else refresh // REFRESHES_PER_FRAME))
        if block == 3:
            late = [at + 11] * dropped
        order.append((name, at, at + n_refreshes))
        at += n_refreshes + (0 if block % 2 else 60)  # grey of which nothing is told after every other block
    display = sampling_times(59.951, (at + 60) / 59.951, first=2.7, jitter=2e-5, seed=3)
    for refresh in late:
        display[refresh:] += 1 / 59.951
    rows: list[Presentation] = []
    for name, begin, end in order:
        if name == "spontaneous":
            rows.append(Presentation(float(display[begin]), float(display[end]), name, blank=True))
            continue
        for refresh in range(begin, end, REFRESHES_PER_FRAME):
            frame = (refresh - begin) // REFRESHES_PER_FRAME
            start, stop = float(display[refresh]), float(display[refresh + REFRESHES_PER_FRAME])
            rows.append(Presentation(start, stop, name, name, frame, first[name] + frame))
    return display, samples, tuple(rows)


def _add_movie(
    nwbfile: NWBFile,
    name: str,
    drawn: npt.NDArray[np.uint8],
    display: npt.NDArray[np.float64],
    samples: list[tuple[int, int]],
) -> None:
    movie: Any = as_old_writers_did(
        ImageSeries, name=name, data=drawn, unit="N/A", format="raw", timestamps=np.zeros(0)
    )
    nwbfile.add_stimulus_template(movie)
    refreshes, frames = np.array(samples).T
    nwbfile.add_stimulus(
        as_old_writers_did(
            IndexSeries,
            name=name,
            data=frames,
            indexed_timeseries=movie,
            unit="N/A",
            timestamps=display[refreshes],
        )
    )


def _add_ophys(nwbfile: NWBFile, imaging: npt.NDArray[np.float64], encoding: LinearInTime) -> npt.NDArray[np.float64]:
    """dF/F and masks; centres (N, 2) of the cells as column and row."""
    masks, centres = blobs(_N_ROIS, _HEIGHT, _WIDTH, seed=36)
    plane = nwbfile.create_imaging_plane(
        name="imaging_plane_1",
        description="imaging_plane_1",
        device=nwbfile.create_device(name="2p_microscope", description="Allen Institute two-photon pipeline: CAM2P.1"),
        optical_channel=OpticalChannel(name="optical_channel", description="description", emission_lambda=520.0),
        excitation_lambda=910.0,
        imaging_rate=30.0,
        indicator="GCaMP6f",
        location="VISal",
    )
    module = nwbfile.create_processing_module("ophys", "OpenScope processing pipeline")
    rois = PlaneSegmentation(
        name="PlaneSegmentation",
        description="Segmentation for imaging plane (de Vries et al., 2019, Nat Neurosci)",
        imaging_plane=plane,
    )
    for number, mask in enumerate(masks):
        rois.add_roi(id=717007400 + number, image_mask=mask.astype(np.uint8))
    module.add(ImageSegmentation(name="ImageSegmentation", plane_segmentations=[rois]))
    region = rois.create_roi_table_region(
        region=list(range(_N_ROIS)), description="segmented cells with cell_specimen_ids"
    )
    container = DfOverF(name="DfOverF")
    module.add(container)
    container.add_roi_response_series(
        RoiResponseSeries(
            name="imaging_plane_1", data=encoding.values(imaging), rois=region, unit="dF/F", timestamps=imaging
        )
    )
    return centres


def _cut_and_turn(root: h5py.File, n_samples: int, *, transposed: bool) -> None:
    """Fewer samples than timestamps, and the axes exchanged: pynwb writes neither."""
    data = root[f"{_SERIES}/data"][:n_samples]
    replaced(root, f"{_SERIES}/data", data.T if transposed else data)
