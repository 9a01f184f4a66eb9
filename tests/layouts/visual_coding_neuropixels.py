"""000021, Visual Coding Neuropixels (`brain_observatory_1.1`): units, tables without any pixels, a packaging date.

Columns, types and descriptions are those of session 760693773 as far as its truncated copy in the real data shows them.
Traps: ``z`` of the electrodes repeats ``y``; units have no resolution and need a quality filter; blanks are frame -1 or
NaN; ``phase`` and some ``spatial_frequency`` are text; a table of laser pulses looks like presentations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt
from hdmf.common import DynamicTable, VectorData
from pynwb import NWBFile, TimeSeries
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject

from tests.layouts.stored import add_index, add_namespace, as_extension_type, changed, old_indices, replaced
from tests.layouts.truth import LayoutTruth, Presentation, SpikesPerPresentation
from tests.nwb_files import write as write_file

__all__ = [
    "Column",
    "Shown",
    "add_presentations",
    "add_recording",
    "as_allen_extension",
    "as_stored_then",
    "display_clock",
    "write",
]

#: What the columns of a presentation table say of themselves, in the order in which they are stored.
_DESCRIPTIONS = {
    "stimulus_name": "Name of stimulus",
    "stimulus_block": "Index of contiguous presentations of one stimulus type",
    "temporal_frequency": "Temporal frequency of stimulus",
    "x_position": "Horizontal position of stimulus on screen",
    "y_position": "Vertical position of stimulus on screen",
    "color": "No description",
    "mask": "Shape of mask applied to stimulus",
    "Mask": "No description",
    "opacity": "Opacity of stimulus",
    "phase": "Phase of grating stimulus",
    "size": "Size of stimulus (see ‘units’ field for units)",
    "units": "Units of stimulus size",
    "stimulus_index": "Index of stimulus type",
    "orientation": "Orientation of stimulus",
    "spatial_frequency": "Spatial frequency of stimulus",
    "frame": "Frame of movie stimulus",
    "contrast": "Contrast of stimulus",
}
#: Columns that are neither what was shown nor when.
_ADMINISTRATION = ("stimulus_name", "stimulus_block", "stimulus_index", "frame")

Column = float | str


@dataclass
class Shown:
    """One row to be stored: times in seconds and the columns of its table."""

    start: float
    stop: float
    columns: dict[str, Column] = field(default_factory=dict)


def display_clock(n_flips: int, *, first: float = 18.76956414) -> list[float]:
    """Times of display refreshes at nearly 60 Hz that drift by 20 microseconds per second, in seconds."""
    number = np.arange(n_flips)
    return list((first + number * 0.0166802 + 2e-5 * 0.0166802**2 * number**2 / 2).tolist())


def write(
    folder: Path,
    *,
    coordinates: Literal["z duplicates y", "missing"] = "z duplicates y",
    eye_tracking: bool = True,
    invalid_times: bool = True,
    extension: bool = True,
    missing_block: bool = True,
) -> LayoutTruth:
    """Write a session of two minutes' stimuli squeezed into one, with four good units and four that fail the filter.

    Parameters
    ----------
    coordinates : str
        Electrode coordinates with ``z`` equal to ``y`` (and NaN for an electrode outside the brain), or all NaN.
    eye_tracking : bool
        A third of the sessions has none.
    invalid_times : bool
        One interval for a stimulus and one for a probe, tagged with what it concerns.
    extension : bool
        Probes, groups and subject of types that only the cached namespace in the file knows.
    missing_block : bool
        A NaN among the blocks, which are floats because of such gaps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = _tables(missing_block=missing_block)
    invalid = _invalid(tables) if invalid_times else ()
    nwbfile = NWBFile(
        session_description="Data and metadata for an Ecephys session",
        identifier="715093703",
        # The day the file was packaged, not the day of the recording.
        session_start_time=datetime(2019, 10, 3, 0, 0, 0, tzinfo=UTC),
        session_id="715093703",
        institution="Allen Institute for Brain Science",
        stimulus_notes="brain_observatory_1.1",
        subject=_subject(),
    )
    presentations = add_presentations(nwbfile, tables)
    positions, spikes = add_recording(nwbfile, presentations, coordinates=coordinates, eye_tracking=eye_tracking)
    for number, (start, stop) in enumerate(invalid):
        tags = ("EcephysSession", "715093703", "stimulus") if number == 0 else ("EcephysProbe", "810755797", "probeA")
        nwbfile.add_invalid_time_interval(start_time=start, stop_time=stop, tags=list(tags))
    path = write_file(nwbfile, folder / "sub-699733573_ses-715093703.nwb")
    with changed(path) as root:
        as_stored_then(root)
        old_indices(root)
        if extension:
            as_allen_extension(root)
    return LayoutTruth(
        name="Visual Coding Neuropixels",
        dandisets=("000021",),
        files=(path,),
        n_cells_all=8,
        n_cells_valid=4,
        trace_kind="spikes",
        trace_path="units",
        positions=positions,
        presentations=presentations,
        encodes=None,
        trace_times=np.zeros(0),
        spikes=spikes,
        invalid_times=invalid,
        templates_without_pixels=("natural_movie_one", "natural_movie_three", "natural_scenes"),
        running="processing/running/running_speed",
        pupil="processing/filtered_gaze_mapping/pupil_area" if eye_tracking else None,
    )


def add_presentations(
    nwbfile: NWBFile,
    tables: Mapping[str, Sequence[Shown]],
    *,
    description: str = "Presentation times and stimuli details for '{}' stimuli",
    template: str = "{}",
) -> tuple[Presentation, ...]:
    """Store the tables, spontaneous activity included, with references into the display's clock, and say what is true.

    ``template`` is how the object with the pixels of a table of frames is called, with ``{}`` for the stimulus.
    """
    starts = np.array(sorted(row.start for rows in tables.values() for row in rows))
    clock = TimeSeries(name="timestamps", data=starts, timestamps=starts, unit="s")
    nwbfile.create_processing_module("stimulus", "Stimulus Times processing").add(clock)
    told = []
    for stimulus, rows in tables.items():
        table = TimeIntervals(name=f"{stimulus}_presentations", description=description.format(stimulus))
        for column in (name for name in _DESCRIPTIONS if name in rows[0].columns):
            table.add_column(name=column, description=_DESCRIPTIONS[column])
        for row in rows:
            table.add_interval(
                start_time=row.start,
                stop_time=row.stop,
                tags=["stimulus_time_interval"],
                timeseries=[clock],
                **row.columns,
            )
        nwbfile.add_time_intervals(table)
        told += [_truth_of(stimulus, row, template) for row in rows]
    return tuple(sorted(told, key=lambda row: row.start))


def _truth_of(stimulus: str, row: Shown, template: str) -> Presentation:
    block = float(row.columns.get("stimulus_block", float("nan")))
    frame = float(row.columns.get("frame", float("nan")))
    parameters = {name: value for name, value in row.columns.items() if name not in _ADMINISTRATION}
    orientation = row.columns.get("orientation")
    is_blank_sweep = isinstance(orientation, float) and np.isnan(orientation)
    blank = stimulus == "spontaneous" or frame == -1 or is_blank_sweep
    is_frame = frame >= 0
    return Presentation(
        row.start,
        row.stop,
        stimulus,
        template=template.format(stimulus) if is_frame else None,
        frame=int(frame) if is_frame else -1,
        parameters={} if blank or "frame" in row.columns else parameters,
        blank=blank,
        block=int(block) if np.isfinite(block) else -1,
    )


def add_recording(
    nwbfile: NWBFile,
    presentations: Sequence[Presentation],
    *,
    coordinates: Literal["z duplicates y", "missing"],
    eye_tracking: bool,
    probe_description: str | None = None,
) -> tuple[npt.NDArray[np.float64], SpikesPerPresentation]:
    """Probes, electrodes, units, laser pulses, running and pupil; positions and spikes of the units that are good."""
    positions = _add_electrodes(nwbfile, coordinates, probe_description)
    spikes = SpikesPerPresentation(4)
    _add_units(nwbfile, spikes.spike_times(presentations))
    begin, end = presentations[0].start, presentations[-1].stop
    _add_running(nwbfile, begin, end)
    _add_laser_pulses(nwbfile, end + 5.0)
    if eye_tracking:
        _add_eye_tracking(nwbfile, begin, end)
    return positions, spikes


def _subject() -> Subject:
    return Subject(subject_id="699733573", species="Mus musculus", sex="M", age="P118D", genotype="wt/wt")


def _tables(*, missing_block: bool) -> dict[str, list[Shown]]:
    """Every table of the session in order of time; blocks follow each other with spontaneous activity between them."""
    flip, at, block = display_clock(6000), 60, 0
    tables: dict[str, list[Shown]] = {}
    spontaneous: list[Shown] = []
    quiet_since = 0
    for number, (stimulus, rows, shown_for, then_grey) in enumerate(_blocks()):
        spontaneous.append(Shown(flip[quiet_since], flip[at], {"stimulus_name": "spontaneous"}))
        block += number > 0
        for columns in rows:
            named = {"stimulus_name": stimulus, "stimulus_block": float(block), "stimulus_index": float(number)}
            tables.setdefault(stimulus, []).append(Shown(flip[at], flip[at + shown_for], {**named, **columns}))
            at += shown_for + then_grey
        quiet_since = at - then_grey
        at = quiet_since + 60
    if missing_block:
        tables["static_gratings"][-1].columns["stimulus_block"] = float("nan")
    return {**tables, "spontaneous": spontaneous}


def _blocks() -> Iterator[tuple[str, list[dict[str, Column]], int, int]]:
    """Stimulus, columns of its rows, refreshes of the display per row, and refreshes of grey after each row."""
    nan = float("nan")
    common: dict[str, Column] = {"color": "[1.0, 1.0, 1.0]", "opacity": 1.0}
    grating: dict[str, Column] = {**common, "mask": "None", "size": "[250.0, 250.0]", "units": "deg", "contrast": 0.8}
    gabor: dict[str, Column] = {
        **grating,
        "mask": "circle",
        "size": "[20.0, 20.0]",
        "temporal_frequency": 4.0,
        "phase": "[3644.93333333, 3644.93333333]",
        "spatial_frequency": "0.08",
    }
    places = [(10.0, -10.0, 45.0), (-40.0, -30.0, 0.0), (-10.0, -40.0, 45.0), (0.0, 0.0, 90.0), (40.0, 40.0, 0.0)]
    yield "gabors", [{**gabor, "x_position": x, "y_position": y, "orientation": o} for x, y, o in places], 15, 0
    flash: dict[str, Column] = {
        **grating,
        "phase": "[0.0, 0.0]",
        "size": "[300.0, 300.0]",
        "orientation": 0.0,
        "spatial_frequency": "[0.0, 0.0]",
    }
    yield "flashes", [{**flash, "color": color} for color in ("1.0", "-1.0", "1.0", "-1.0")], 15, 105
    drifting: dict[str, Column] = {**grating, "phase": "[42471.86666667, 42471.86666667]", "spatial_frequency": "0.04"}
    blank_sweep: dict[str, Column] = {
        **drifting,
        "temporal_frequency": nan,
        "orientation": nan,
        "contrast": nan,
        "phase": "",
        "spatial_frequency": "",
    }
    moving = [
        {**drifting, "temporal_frequency": t, "orientation": o} for t, o in ((2.0, 0.0), (8.0, 90.0), (2.0, 315.0))
    ]
    yield "drifting_gratings", [*moving[:2], blank_sweep, moving[2]], 120, 60
    movie: dict[str, Column] = {
        **common,
        "size": "[1920.0, 1080.0]",
        "units": "pix",
        "orientation": 0.0,
        "contrast": 1.0,
    }
    yield "natural_movie_three", [{**movie, "frame": float(frame)} for frame in range(15)], 2, 0
    yield "natural_movie_one", [{**movie, "frame": float(frame)} for _ in range(3) for frame in range(12)], 2, 0
    static: dict[str, Column] = {**grating, "orientation": 90.0, "phase": "0.25", "spatial_frequency": 0.04}
    others = [(0.0, "0.0", 0.16), (0.0, "0.0", 0.08), (150.0, "0.75", 0.32)]
    still = [{**static, "orientation": o, "phase": p, "spatial_frequency": s} for o, p, s in others]
    blank_grating: dict[str, Column] = {
        **static,
        "orientation": nan,
        "phase": "",
        "spatial_frequency": nan,
        "contrast": nan,
    }
    yield "static_gratings", [static, still[0], blank_grating, *still[1:]], 15, 0
    order = (5, 2, -1, 0, 11, 3, 2, -1, 7, 0, 10, 1)
    yield "natural_scenes", [{"frame": float(frame)} for frame in order], 15, 0
    # Blocks come back; the table of a stimulus holds all of them.
    yield "natural_movie_one", [{**movie, "frame": float(frame)} for _ in range(2) for frame in range(12)], 2, 0


def _invalid(tables: Mapping[str, Sequence[Shown]]) -> tuple[tuple[float, float], ...]:
    scenes, movie = tables["natural_scenes"], tables["natural_movie_three"]
    return (scenes[4].start, scenes[5].stop), (movie[-2].start, movie[-1].stop + 0.2)


def _add_electrodes(nwbfile: NWBFile, coordinates: str, description: str | None) -> npt.NDArray[np.float64]:
    """Two probes of four electrodes; positions (4, 3) of the good units, which sit on electrodes 0, 2, 5 and 7."""
    for name, text in (
        ("probe_vertical_position", "Length-wise position of electrode/channel on device (microns)"),
        ("probe_horizontal_position", "Width-wise position of electrode/channel on device (microns)"),
        ("probe_id", "The unique id of this electrode's/channel's device"),
        ("local_index", "The local index of electrode/channel on device"),
        ("valid_data", "Whether data from this electrode/channel is usable"),
    ):
        nwbfile.add_electrode_column(name=name, description=text)
    stored = np.full((8, 3), np.nan)
    for probe in range(2):
        device = nwbfile.create_device(name=f"probe{'AB'[probe]}", description=description)
        group = nwbfile.create_electrode_group(
            name=device.name, description="Ecephys Electrode Group", location="See electrode locations", device=device
        )
        for local in range(4):
            row = 4 * probe + local
            if coordinates != "missing" and row != 7:  # the last one lies above the brain
                depth = 1200.0 + 400.0 * local
                stored[row] = (8300.0 + 250.0 * probe + 2.0 * local, depth, depth)
            nwbfile.add_electrode(
                id=850090000 + 46 * row,
                x=stored[row, 0],
                y=stored[row, 1],
                z=stored[row, 2],
                imp=float("nan"),
                location=(("VISp", "VISp", "CA1", "grey"), ("VISl", "VISl", "LP", "to be emptied"))[probe][local],
                filtering="AP band: 500 Hz high-pass; LFP band: 1000 Hz low-pass",
                group=group,
                probe_vertical_position=2400 - 340 * local,
                probe_horizontal_position=27 + 16 * local,
                probe_id=810755797 + 2 * probe,
                local_index=239 - 35 * local,
                valid_data=True,
            )
    known = stored[[0, 2, 5, 7]].copy()
    known[:, 2] = np.nan  # left to right is not in the file: it holds the depth twice
    return known


def _add_units(nwbfile: NWBFile, trains: Sequence[npt.NDArray[np.float64]]) -> None:
    """Good units in rows 1, 3, 4 and 6; the others fail one criterion each and fire at random."""
    for name in (
        "quality", "amplitude_cutoff", "recovery_slope", "cluster_id", "spread", "velocity_below", "d_prime",
        "nn_miss_rate", "isolation_distance", "silhouette_score", "waveform_halfwidth", "PT_ratio",
        "cumulative_drift", "isi_violations", "presence_ratio", "snr", "l_ratio", "amplitude",
        "repolarization_slope", "local_index", "velocity_above", "nn_hit_rate", "peak_channel_id",
        "waveform_duration", "firing_rate", "max_drift",
    ):  # fmt: skip
        nwbfile.add_unit_column(name=name, description="no description")
    random = np.random.default_rng(21)
    begin, end = min(train[0] for train in trains), max(train[-1] for train in trains)
    good = dict(zip((1, 3, 4, 6), zip(trains, (0, 2, 5, 7), strict=True), strict=True))
    failing: dict[int, dict[str, Any]] = {
        0: {"quality": "noise"},
        2: {"isi_violations": 0.9},
        5: {"amplitude_cutoff": 0.3},
        7: {"presence_ratio": 0.5},
    }
    for row in range(8):
        train, electrode = good.get(row, (np.sort(random.uniform(begin, end, 300)), row))
        values: dict[str, Any] = dict.fromkeys(
            ("recovery_slope", "velocity_below", "nn_miss_rate", "waveform_halfwidth", "l_ratio", "velocity_above"), 0.1
        )
        values |= {
            "quality": "good", "amplitude_cutoff": 0.01, "isi_violations": 0.02, "presence_ratio": 0.99, "snr": 3.0,
            "cluster_id": 8 + row, "local_index": 8 + row, "spread": 60.0, "d_prime": 5.0, "silhouette_score": 0.2,
            "isolation_distance": 90.0, "PT_ratio": 0.5, "cumulative_drift": 50.0, "amplitude": 110.0,
            "repolarization_slope": 0.4, "nn_hit_rate": 0.98, "waveform_duration": 0.2, "max_drift": 20.0,
            "firing_rate": len(train) / (end - begin), "peak_channel_id": 850090000 + 46 * electrode,
        }  # fmt: skip
        values |= failing.get(row, {})
        nwbfile.add_unit(id=951791900 + 7 * row, spike_times=train, waveform_mean=np.zeros(82), **values)


def as_stored_then(root: h5py.File) -> None:
    """What pynwb refuses: an electrode without an area, spike amplitudes, mean waveforms of every channel, ragged."""
    location = root["general/extracellular_ephys/electrodes/location"]
    location[location.asstr()[:] == "to be emptied"] = ""
    units, n_units = root["units"], len(root["units/id"])
    units.attrs["description"] = ""
    n_spikes = len(units["spike_times"])
    amplitudes = units.create_dataset("spike_amplitudes", data=np.full(n_spikes, 1e-4))
    for name, value in root["units/snr"].attrs.items():
        amplitudes.attrs[name] = value
    amplitudes.attrs["description"] = "amplitude (s) of detected spiking events"
    amplitudes.attrs["object_id"] = "5f1d2b7e-0000-4000-8000-000000000021"
    add_index(root, "units/spike_amplitudes", units["spike_times_index"][:].astype(np.int64))
    replaced(root, "units/waveform_mean", np.zeros((4 * n_units, 82)))
    root["units/waveform_mean"].attrs["unit"] = "volts"
    add_index(root, "units/waveform_mean", 4 * np.arange(1, n_units + 1))
    names = [name for name in units.attrs["colnames"] if name not in ("spike_times", "waveform_mean")]
    units.attrs["colnames"] = np.array(
        [*names, "spike_times", "spike_amplitudes", "waveform_mean"], dtype=h5py.string_dtype()
    )


def _add_running(nwbfile: NWBFile, begin: float, end: float) -> None:
    times = np.arange(begin, end, 1 / 29.98)
    running = nwbfile.create_processing_module("running", "running speed data")
    running.add(TimeSeries(name="running_speed", data=10.0 + np.sin(times), timestamps=times, unit="cm/s"))
    running.add(
        TimeSeries(
            name="running_speed_end_times",
            data=np.full(len(times), np.nan),
            timestamps=times + 1 / 29.98,
            unit="cm/s",
        )
    )
    running.add(
        TimeSeries(
            name="running_wheel_rotation",
            data=np.full(len(times), 0.26, dtype=np.float32),
            timestamps=times,
            unit="radians",
        )
    )
    for name, unit in (
        ("raw_running_wheel_rotation", "radians"),
        ("running_wheel_signal_voltage", "V"),
        ("running_wheel_supply_voltage", "V"),
    ):
        nwbfile.add_acquisition(TimeSeries(name=name, data=np.zeros(len(times)), timestamps=times, unit=unit))


def _add_laser_pulses(nwbfile: NWBFile, begin: float) -> None:
    """Light on the cortex, not on the screen, with a column ``stimulus_name`` all the same."""
    starts = begin + 2.0 * np.arange(3)
    module = nwbfile.create_processing_module("optotagging", "optogenetic stimulution data")
    module.add(
        TimeIntervals(
            name="optogenetic_stimulation",
            description="",
            columns=[
                VectorData(name="start_time", description="Start time of epoch, in seconds", data=starts),
                VectorData(name="condition", description="no description", data=["a single square pulse"] * 3),
                VectorData(name="level", description="no description", data=[4.0, 2.5, 2.5]),
                VectorData(name="stop_time", description="Stop time of epoch, in seconds", data=starts + 0.01),
                VectorData(
                    name="stimulus_name", description="no description", data=["pulse", "pulse", "raised_cosine"]
                ),
                VectorData(name="duration", description="no description", data=[0.01] * 3),
            ],
            colnames=["start_time", "condition", "level", "stop_time", "stimulus_name", "duration"],
        )
    )
    module.add(TimeSeries(name="optotagging", data=[0.01] * 3, timestamps=starts, unit="seconds"))


def _add_eye_tracking(nwbfile: NWBFile, begin: float, end: float) -> None:
    times = np.arange(begin - 1.0, end, 1 / 30.0)
    area = 3000.0 + 500.0 * np.sin(times)
    area[:30] = np.nan  # no fit, no area
    fits = nwbfile.create_processing_module("eye_tracking", "Eye tracking processing module")
    names = ("timestamps", "center_x", "center_y", "height", "width", "phi")
    for part in ("cr", "eye", "pupil"):
        columns = [
            VectorData(name=name, description="no description", data=times if name == "timestamps" else area)
            for name in names
        ]
        fits.add(DynamicTable(name=f"{part}_ellipse_fits", description="", columns=columns, colnames=list(names)))
    for kind in ("filtered", "raw"):
        gaze = nwbfile.create_processing_module(
            f"{kind}_gaze_mapping", f"Gaze mapping processing module {kind} outputs"
        )
        for name in ("eye_area", "pupil_area"):
            gaze.add(TimeSeries(name=name, data=area, timestamps=times, unit="Pixels ^ 2"))
        gaze.add(
            TimeSeries(
                name="screen_coordinates",
                data=np.stack([area, area], axis=1),
                timestamps=times,
                unit="Centimeters",
            )
        )


_NAMESPACE = "ndx-aibs-ecephys"


def as_allen_extension(root: h5py.File, version: str = "0.2.0") -> None:
    """Types of the Allen Institute's extension, which is nowhere but in the file."""
    number, text = {"dtype": "float64", "doc": "number"}, {"dtype": "text", "doc": "text"}
    whole, optional = {"dtype": "int", "doc": "number"}, {"dtype": "text", "doc": "text", "required": False}

    def group(name: str, parent: str, **attributes: dict[str, Any]) -> dict[str, Any]:
        return {
            "neurodata_type_def": name,
            "neurodata_type_inc": parent,
            "doc": name,
            "attributes": [{"name": attribute, **kind} for attribute, kind in attributes.items()],
        }

    add_namespace(
        root,
        _NAMESPACE,
        version,
        [
            group("EcephysProbe", "Device", sampling_rate=number, probe_id=whole, description=optional),
            group(
                "EcephysElectrodeGroup",
                "ElectrodeGroup",
                has_lfp_data={"dtype": "bool", "doc": "truth"},
                probe_id=whole,
                lfp_sampling_rate=number,
                description=text,
                location=text,
            ),
            group("EcephysSpecimen", "Subject", specimen_name=text, age_in_days=number, strain=text),
        ],
    )
    for probe, device in enumerate(root["general/devices"].values()):
        as_extension_type(
            device, _NAMESPACE, "EcephysProbe", {"sampling_rate": 29999.97, "probe_id": 810755797 + 2 * probe}
        )
    for probe, name in enumerate(("probeA", "probeB")):
        as_extension_type(
            root[f"general/extracellular_ephys/{name}"],
            _NAMESPACE,
            "EcephysElectrodeGroup",
            {"has_lfp_data": True, "probe_id": 810755797 + 2 * probe, "lfp_sampling_rate": 1249.9987},
        )
    as_extension_type(
        root["general/subject"],
        _NAMESPACE,
        "EcephysSpecimen",
        {"specimen_name": "Sst-IRES-Cre;Ai32-386129", "age_in_days": 118.0, "strain": "C57BL/6J"},
    )
