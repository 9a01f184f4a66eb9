"""A companion holds of its source what results refer to: the same rows and words, light, alone, fit for DANDI."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
from hdmf.common import DynamicTable, VectorData, VectorIndex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pynwb import NWBHDF5IO
from pynwb.device import Device, DeviceModel
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.ophys import ImagingPlane, OpticalChannel, PlaneSegmentation

from nwb_mivae.annotation import annotate, annotation_names, companion_masks, companion_tables, read_annotations
from nwb_mivae.annotation.backends import HDF5Backend, backend_named
from nwb_mivae.annotation.changed_tables import refuse_changed_tables
from nwb_mivae.annotation.companion import make_companion
from nwb_mivae.annotation.companion_masks import StreamedMasks
from nwb_mivae.annotation.file_part import FilePart
from nwb_mivae.annotation.objects import add_results
from nwb_mivae.annotation.results import Results
from nwb_mivae.archive import RemoteFile, validate_for_dandi
from nwb_mivae.errors import AnnotationError, ArchiveError
from nwb_mivae.sessions import read_session
from nwb_mivae.sessions.nwb import OpenedFile, as_text, open_nwb
from tests.annotation.sources import PLANE, SHOWN, attribution_for, latents_for, model_record, stored_for, write_source
from tests.archive.stub_archive import StubArchive
from tests.layouts import (
    contrast_tuning,
    credit_assignment,
    illusion,
    microns,
    openscope_2026,
    visual_behavior,
    visual_coding,
    visual_coding_neuropixels,
)
from tests.nwb_files import add_plane, add_table, add_traces, new_file, pixels_of, write

ROIS = "processing/ophys/ImageSegmentation/rois_of_plane"


def stored_of(cells: Sequence[str] = (), shown: Sequence[str] = ()) -> Any:
    """What of a stored session says where its cells and presentations came from."""
    return SimpleNamespace(
        cells=pd.DataFrame({"source_path": list(cells)}, dtype=object),
        presentations=pd.DataFrame({"source_path": list(shown)}, dtype=object),
    )


@contextmanager
def made(
    source: Path | str, *, cells: Sequence[str] = (), shown: Sequence[str] = (), backend: str = "hdf5"
) -> Iterator[tuple[OpenedFile, pynwb.NWBFile, dict[str, Any]]]:
    """The open source, its companion in memory, and the objects of the companion by path in the source."""
    opened = open_nwb(source)
    try:
        part = FilePart(0, 1, "", np.arange(len(cells)))
        results: Any = SimpleNamespace(stored=stored_of(cells, shown))
        yield opened, *make_companion(opened, results, part=part, backend=backend_named(backend))
    finally:
        opened.close()


@contextmanager
def written(
    source: Path | str, out: Path, *, cells: Sequence[str] = (), shown: Sequence[str] = (), backend: str = "hdf5"
) -> Iterator[tuple[OpenedFile, pynwb.NWBFile, dict[str, tuple[Any, Any]]]]:
    """The open source, its companion as read back, and pairs of tables by path in the source."""
    with made(source, cells=cells, shown=shown, backend=backend) as (opened, companion, objects):
        ids = {path: table.object_id for path, table in objects.items() if table is not None}
        with backend_named(backend).open(out, "w") as writing:
            writing.write(companion)
        sources = {opened.path_of(item): item for item in opened.nwbfile.objects.values()}
        with backend_named(backend).open(out, "r") as reading:
            read = reading.read()
            yield opened, read, {path: (sources[path], read.objects[object_id]) for path, object_id in ids.items()}


def plain(value: Any) -> Any:
    """Rows as arrays of numbers, or as lists of texts and of rows of several values; bytes are texts."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufV":
        return value
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    return as_text(value) if isinstance(value, bytes) else value


def assert_same_rows(source: DynamicTable, copy: DynamicTable) -> None:
    """Each column of the copy has in each row what the source has."""
    np.testing.assert_array_equal(copy.id[:], source.id[:])
    for name in copy.colnames:
        rows, expected = copy[name][:], source[name][:]
        assert len(rows) == len(expected) == len(source)
        np.testing.assert_equal(plain(rows), plain(expected), err_msg=name)


# --- the file itself ---


def test_session_and_subject_are_the_sources(tmp_path: Path) -> None:
    texts = {
        "experiment_description": "Films.", "institution": "Institute", "lab": "Laboratory", "pharmacology": "none",
        "protocol": "P-1", "slices": "none", "data_collection": "at night", "surgery": "window", "virus": "AAV",
        "stimulus_notes": "on a monitor",
    }  # fmt: skip
    lists = {
        "experimenter": ("Doe, Jane", "Roe, Richard"),
        "keywords": ["vision", "mouse"],
        "related_publications": ("doi:10.1000/1",),
    }
    of_subject = {
        "age": "P90D", "age__reference": "birth", "description": "A mouse.", "genotype": "wt/wt", "sex": "F",
        "species": "Mus musculus", "subject_id": "m1", "weight": "0.02 kg", "strain": "C57BL/6J",
        "date_of_birth": datetime(2024, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    source = pynwb.NWBFile(
        session_description="A mouse saw films.",
        identifier="source-1",
        session_start_time=datetime(2025, 1, 1, 12, tzinfo=UTC),
        timestamps_reference_time=datetime(2025, 1, 1, 11, tzinfo=UTC),
        session_id="s1",
        notes="Quiet.",
        was_generated_by=[["converter", "1.0"]],
        source_script="secret",
        source_script_file_name="/somewhere/convert.py",
        subject=Subject(**of_subject),
        **texts,
        **lists,
    )
    with written(write(source, tmp_path / "a.nwb"), tmp_path / "b.nwb") as (opened, companion, _):
        for field, text in texts.items():
            assert getattr(companion, field) == text
        for field, values in lists.items():
            assert list(getattr(companion, field)[:]) == list(values)
        for field, value in of_subject.items():
            assert getattr(companion.subject, field) == value
        assert companion.session_description == "A mouse saw films."
        assert companion.session_start_time == datetime(2025, 1, 1, 12, tzinfo=UTC)
        assert companion.timestamps_reference_time == datetime(2025, 1, 1, 11, tzinfo=UTC)
        assert companion.session_id == "s1"
        assert companion.identifier == "source-1-mivae"
        assert companion.object_id != opened.nwbfile.object_id
        assert [list(pair) for pair in companion.was_generated_by[:]] == [["converter", "1.0"]]
        assert companion.source_script is None
        assert companion.notes.startswith("Quiet.\nCompanion of a.nwb ")
        assert opened.nwbfile.object_id in companion.notes
    assert str(tmp_path) not in (tmp_path / "b.nwb").read_bytes().decode("latin-1")


def test_bytes_of_matnwb_become_texts(tmp_path: Path) -> None:
    nwbfile = new_file(experimenter=["Doe, Jane"], keywords=["vision"], institution="Institute")
    add_table(nwbfile, "clips", start_time=[0.0, 1.0], stop_time=[1.0, 2.0], clip=["a", "b"])
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as root:
        for name, value in (
            ("general/experimenter", np.array([b"Doe, Jane"])),
            ("general/keywords", np.array([b"vision"])),
            ("general/institution", np.bytes_(b"Institute")),
            ("general/subject/species", np.bytes_(b"Mus musculus")),
            ("intervals/clips/clip", np.array([b"a", b"b"])),
        ):
            attributes = dict(root[name].attrs)
            del root[name]
            root[name] = value
            root[name].attrs.update(attributes)
    with written(path, tmp_path / "b.nwb", shown=["intervals/clips"]) as (_, companion, tables):
        assert list(companion.experimenter) == ["Doe, Jane"]
        assert list(companion.keywords[:]) == ["vision"]
        assert companion.institution == "Institute"
        assert companion.subject.species == "Mus musculus"
        assert list(tables["intervals/clips"][1]["clip"][:]) == ["a", "b"]


@pytest.mark.parametrize("subject", [None, Subject(subject_id="", species="", sex="", description="")])
def test_what_is_empty_stays_empty(tmp_path: Path, subject: Subject | None) -> None:
    source = pynwb.NWBFile(
        session_description="x", identifier="i", session_start_time=datetime(2025, 1, 1, tzinfo=UTC), subject=subject,
        session_id="", lab="", experimenter=[""],
    )  # fmt: skip
    with written(write(source, tmp_path / "a.nwb"), tmp_path / "b.nwb") as (_, companion, _):
        assert (companion.session_id, companion.lab, companion.experimenter) == (None, None, None)
        assert (companion.subject is None) == (subject is None)
        if subject is not None:
            assert (companion.subject.subject_id, companion.subject.species) == (None, None)


def test_slashes_in_ids_are_replaced_and_told(tmp_path: Path) -> None:
    source = new_file()
    source.fields["session_id"] = "2025/01"
    source.subject.fields["subject_id"] = "lab/m1"
    with written(write(source, tmp_path / "a.nwb"), tmp_path / "b.nwb") as (_, companion, _):
        assert (companion.session_id, companion.subject.subject_id) == ("2025-01", "lab-m1")
        assert "session_id is '2025/01'" in companion.notes
        assert "subject_id is 'lab/m1'" in companion.notes


@pytest.mark.slow
def test_a_subject_of_an_extension_becomes_a_core_subject(tmp_path: Path) -> None:
    visual_behavior.write(tmp_path)
    (path,) = tmp_path.rglob("*.nwb")
    with written(path, tmp_path / "b.nwb") as (opened, companion, _):
        assert type(opened.nwbfile.subject).__name__ == "BehaviorSubject"
        assert type(companion.subject) is Subject
        for field in ("subject_id", "species", "sex", "age", "genotype"):
            assert getattr(companion.subject, field) == getattr(opened.nwbfile.subject, field)
        assert "(BehaviorSubject there) these stayed there: age_in_days, driver_line" in companion.notes


# --- tables ---

_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=5)


def _values(n: int) -> st.SearchStrategy[Any]:
    """Values of ``n`` rows of a plain column, of any kind and up to three dimensions, none of them empty but rows."""
    kinds = st.one_of(
        arrays.boolean_dtypes(),
        arrays.integer_dtypes(endianness="="),
        arrays.unsigned_integer_dtypes(endianness="="),
        arrays.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
    )
    shapes = st.sampled_from([(n,), (n, 2), (n, 2, 3)])
    return st.one_of(
        shapes.flatmap(lambda shape: kinds.flatmap(lambda kind: arrays.arrays(kind, shape))),
        st.lists(_TEXT, min_size=n, max_size=n).map(lambda texts: texts or np.zeros(0, dtype=np.str_)),
    )


@st.composite
def _column(draw: st.DrawFn, name: str, n_rows: int) -> list[VectorData]:
    """A column, ragged in none, one or two ways, with its indices."""
    levels = draw(st.integers(0, 2)) if n_rows else 0
    ends: list[np.ndarray[Any, Any]] = []
    n = n_rows
    for _ in range(levels):
        lengths = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
        ends.append(np.cumsum(lengths, dtype=np.uint8))
        n = int(sum(lengths))
    column = VectorData(name=name, description="", data=draw(_values(n)))
    columns = [column]
    for level, end in enumerate(reversed(ends), start=1):
        columns.insert(0, VectorIndex(name=f"{name}{'_index' * level}", data=end, target=columns[0]))
    return columns


@st.composite
def _columns(draw: st.DrawFn) -> tuple[int, list[list[VectorData]]]:
    n_rows = draw(st.integers(1, 6))
    return n_rows, [draw(_column(f"column{number}", n_rows)) for number in range(draw(st.integers(1, 4)))]


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=_columns(), data=st.data())
def test_every_column_is_the_sources_in_every_row(
    tmp_path_factory: pytest.TempPathFactory, content: tuple[int, list[list[VectorData]]], data: st.DataObject
) -> None:
    n_rows, columns = content
    ids = data.draw(st.lists(st.integers(-5, 2**31), min_size=n_rows, max_size=n_rows))
    folder = tmp_path_factory.mktemp("random")
    times = [
        VectorData(name=name, description="time", data=np.arange(n_rows) + stop)
        for stop, name in enumerate(("start_time", "stop_time"))
    ]
    source = new_file()
    source.add_time_intervals(
        TimeIntervals(
            name="shown",
            description="Random columns",
            id=ids,
            columns=[*times, *(part for column in columns for part in column)],
            colnames=["start_time", "stop_time", *(column[-1].name for column in columns)],
        )
    )
    path = write(source, folder / "a.nwb")
    with written(path, folder / "b.nwb", shown=["intervals/shown"]) as (_, companion, tables):
        before, after = tables["intervals/shown"]
        assert companion.intervals["shown"] is after
        assert after.colnames == before.colnames
        assert after.description == before.description
        assert_same_rows(before, after)


def _frames(tmp_path: Path) -> tuple[Path, list[str]]:
    """A file with presentations in every place the reader looks for them, tables and others."""
    nwbfile = new_file()
    add_plane(nwbfile, 3)
    start, stop = [0.0, 1.0], [1.0, 2.0]
    add_table(nwbfile, "films_presentations", start_time=start, stop_time=stop, frame=[0, 1])
    add_table(nwbfile, "gratings", in_stimulus=True, start_time=start, stop_time=stop, orientation=[0.0, 45.0])
    nwbfile.add_stimulus(
        DynamicTable(name="noise", description="noise", columns=[VectorData(name="seed", description="s", data=[1, 2])])
    )
    nwbfile.add_trial_column("frame", "frame")
    nwbfile.add_trial(start_time=0.0, stop_time=1.0, frame=3)
    nwbfile.add_epoch(start_time=0.0, stop_time=1.0, tags=["a", "b"])
    nwbfile.add_stimulus(film())
    paths = [
        "intervals/films_presentations", "stimulus/presentation/gratings", "stimulus/presentation/noise",
        "intervals/trials", "intervals/epochs", "stimulus/presentation/film",
    ]  # fmt: skip
    return write(nwbfile, tmp_path / "a.nwb"), paths


def film() -> Any:
    """A film among the presentations."""
    return pynwb.image.ImageSeries(
        name="film", data=pixels_of(3), unit="n.a.", format="raw", rate=30.0, starting_time=0.0
    )


def test_tables_stand_where_they_stood(tmp_path: Path) -> None:
    path, shown = _frames(tmp_path)
    with made(path, cells=[ROIS] * 3, shown=[*shown, shown[0], ""]) as (_, _, objects):
        assert objects["stimulus/presentation/film"] is None
        assert set(objects) == {ROIS, *shown}
    with written(path, tmp_path / "b.nwb", cells=[ROIS] * 3, shown=shown) as (opened, companion, tables):
        assert list(companion.trials["frame"][:]) == [3]
        assert list(companion.epochs["tags"][0]) == ["a", "b"]
        with h5py.File(tmp_path / "b.nwb") as root:
            for place in tables:
                assert root[place].attrs["object_id"] == tables[place][1].object_id
            assert "film" not in root["stimulus/presentation"]
        for source, copy in tables.values():
            assert type(copy) is type(source)
            assert_same_rows(source, copy)
        plane, copy = opened.nwbfile.imaging_planes["plane"], companion.imaging_planes["plane"]
        assert tables[ROIS][1].imaging_plane is copy
        assert copy.device is companion.devices["microscope"]
        np.testing.assert_array_equal(copy.origin_coords[:], plane.origin_coords[:])
        assert not companion.acquisition
        assert set(companion.processing["ophys"].data_interfaces) == {"ImageSegmentation"}


def test_only_what_results_refer_to_comes_along(tmp_path: Path) -> None:
    path, shown = _frames(tmp_path)
    with made(path, shown=shown[:1]) as (_, companion, objects):
        assert list(objects) == shown[:1]
        assert list(companion.intervals) == ["films_presentations"]
        assert not companion.processing
        assert not companion.imaging_planes
    with made(path, cells=["processing/ophys/nothing"], shown=["intervals/nothing"]) as (_, _, objects):
        assert objects == {}


def test_the_plane_and_its_devices_say_what_they_said(tmp_path: Path) -> None:
    nwbfile = new_file()
    model = DeviceModel(name="model", manufacturer="Maker", model_number="7", description="Resonant.")
    nwbfile.add_device_model(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        device = Device(name="scope", description="2P", manufacturer="Old", serial_number="1", model=model)
    nwbfile.add_device(device)
    plane = nwbfile.create_imaging_plane(
        name="plane",
        optical_channel=[
            OpticalChannel(name="green", description="g", emission_lambda=510.0),
            OpticalChannel(name="red", description="r", emission_lambda=600.0),
        ],
        description="Layer 2/3.",
        device=device,
        excitation_lambda=920.0,
        imaging_rate=30.0,
        indicator="GCaMP6f",
        location="VISp",
        reference_frame="bregma",
        origin_coords=[1.0, 2.0, 3.0],
        origin_coords_unit="mm",
        grid_spacing=[0.5, 0.5],
        grid_spacing_unit="um",
    )
    module = nwbfile.create_processing_module("VISp_0", "plane 0")
    rois = PlaneSegmentation(name="roi_table", description="ROIs.", imaging_plane=plane)
    rois.add_roi(pixel_mask=[(1, 2, 1.0)])
    module.add(rois)
    path = write(nwbfile, tmp_path / "a.nwb")
    with written(path, tmp_path / "b.nwb", cells=["processing/VISp_0/roi_table"]) as (opened, companion, _):
        assert companion.processing["VISp_0"].description == "plane 0"
        copy = companion.processing["VISp_0"]["roi_table"].imaging_plane
        source = opened.nwbfile.imaging_planes["plane"]
        for field in ImagingPlane.__nwbfields__[1:]:
            if field != "device":
                np.testing.assert_array_equal(np.asarray(getattr(copy, field)), np.asarray(getattr(source, field)))
        assert {channel.name: channel.emission_lambda for channel in copy.optical_channel} == {
            "green": 510.0,
            "red": 600.0,
        }
        for field in ("description", "manufacturer", "serial_number"):
            assert getattr(copy.device, field) == getattr(source.device, field)
        assert copy.device.model.manufacturer == "Maker"
        assert copy.device.model.model_number == "7"


def test_columns_that_refer_to_other_objects_are_named_and_left_out(tmp_path: Path) -> None:
    path = write_source(tmp_path / "a.nwb", references=True)
    with written(path, tmp_path / "b.nwb", cells=[PLANE], shown=[SHOWN]) as (_, _, tables):
        source, copy = tables[SHOWN]
        assert copy.colnames == tuple(name for name in source.colnames if name != "timeseries")
        assert copy.description == (
            "Frames of movies. Left out of this copy, and to be found in the source: timeseries."
        )
        assert_same_rows(source, copy)


def _units_file(path: Path, *, spikes: int = 50) -> Path:
    nwbfile = new_file()
    nwbfile.create_device("probe")
    group = nwbfile.create_electrode_group("g", description="g", location="VISp", device=nwbfile.devices["probe"])
    nwbfile.add_electrode(location="VISp", group=group)
    nwbfile.add_unit_column("quality", "Quality of the sorting")
    nwbfile.add_unit_column("amplitudes", "of each spike", index=True)
    nwbfile.add_unit_column("peaks", "ragged in another way", index=True)
    random = np.random.default_rng(0)
    for unit in range(4):
        times = np.sort(random.uniform(0, 10, spikes + unit))
        nwbfile.add_unit(
            spike_times=times,
            amplitudes=times,
            peaks=[1.0] * unit,
            obs_intervals=[[0.0, 5.0], [6.0, 10.0]],
            electrodes=[0],
            electrode_group=group,
            waveform_mean=[0.0, 1.0],
            waveform_sd=[0.0, 1.0],
            quality="good",
        )
    return write(nwbfile, path)


def test_units_keep_their_spikes_where_they_are_few(tmp_path: Path) -> None:
    path = _units_file(tmp_path / "a.nwb")
    with written(path, tmp_path / "b.nwb", cells=["units"]) as (_, companion, tables):
        assert companion.units is tables["units"][1]
        assert set(companion.units.colnames) == {"quality", "peaks", "spike_times", "obs_intervals"}
        left_out = companion.units.description.split("source: ")[1].rstrip(".").split(", ")
        assert set(left_out) == {"amplitudes", "electrodes", "electrode_group", "waveform_mean", "waveform_sd"}
        assert_same_rows(*tables["units"])


def test_many_spikes_stay_in_the_source_and_leave_a_plain_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion_tables, "_SPIKE_BYTES", 100)
    path = _units_file(tmp_path / "a.nwb")
    with written(path, tmp_path / "b.nwb", cells=["units"]) as (_, companion, tables):
        source, copy = tables["units"]
        assert companion.units is None
        assert type(copy) is DynamicTable
        assert companion.processing["ecephys"]["units"] is copy
        assert "spike_times" in copy.description
        assert_same_rows(source, copy)


def test_columns_too_heavy_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companion_tables, "_COLUMN_BYTES", 100)
    nwbfile = new_file()
    add_table(nwbfile, "films", start_time=[0.0, 1.0], stop_time=[1.0, 2.0], pictures=[[0.0] * 40] * 2)
    with made(write(nwbfile, tmp_path / "a.nwb"), shown=["intervals/films"]) as (_, _, objects):
        assert objects["intervals/films"].colnames == ("start_time", "stop_time")
        assert "pictures" in objects["intervals/films"].description


def test_names_no_new_object_may_have_are_changed(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "films", start_time=[0.0, 1.0], stop_time=[1.0, 2.0], colour=["a", "b"])
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as root:
        root.move("intervals/films", "intervals/films: all")
        table = root["intervals/films: all"]
        table.move("colour", "colour:name")
        table.attrs["colnames"] = ["start_time", "stop_time", "colour:name"]
    with made(path, shown=["intervals/films: all"]) as (_, companion, objects):
        assert objects["intervals/films: all"] is companion.intervals["films_ all"]
        assert companion.intervals["films_ all"].colnames == ("start_time", "stop_time", "colour_name")


# --- masks ---


@pytest.mark.parametrize(
    ("kind", "masks"),
    [
        ("pixel_mask", [[(1, 2, 0.5), (3, 4, 1.0)], [(5, 6, 1.0)], [(7, 8, 1.0)]]),
        ("voxel_mask", [[(1, 2, 3, 0.5)], [(5, 6, 7, 1.0), (5, 6, 8, 1.0)], [(7, 8, 9, 1.0)]]),
        ("image_mask", list(np.arange(3 * 5 * 4, dtype=np.float32).reshape(3, 5, 4))),
        ("image_mask", list(np.arange(3 * 5 * 4).reshape(3, 5, 4) % 2 == 0)),
        ("image_mask", list(np.arange(3 * 5 * 4, dtype=np.uint8).reshape(3, 5, 2, 2))),
    ],
)
def test_masks_come_along(tmp_path: Path, kind: str, masks: list[Any]) -> None:
    nwbfile = new_file()
    add_plane(nwbfile, 3, masks=masks, mask_kind=kind, columns={"is_soma": [True, False, True]})
    path = write(nwbfile, tmp_path / "a.nwb")
    with written(path, tmp_path / "b.nwb", cells=[ROIS]) as (_, _, tables):
        source, copy = tables[ROIS]
        assert copy.colnames == source.colnames
        assert copy["is_soma"].data.dtype == bool
        for row in range(3):
            np.testing.assert_array_equal(copy[kind][row], source[kind][row])
        if kind == "image_mask":
            assert copy[kind].data.dtype == source[kind].data.dtype
            assert copy[kind].data.compression == "gzip"
    assert pynwb.validate(path=str(tmp_path / "b.nwb")) == []


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_masks_are_streamed_whole_in_pieces_that_fit_memory(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=3, max_size=4)))
    chunks = data.draw(st.none() | st.tuples(*(st.integers(1, size) for size in shape)))
    block = data.draw(st.integers(1, 2000))
    values = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    with h5py.File(tmp_path_factory.mktemp("masks") / "a.h5", "w") as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(companion_masks, "_BLOCK_BYTES", block)
        patch.setattr(companion_masks, "_CHUNK_BYTES", block)
        stored = root.create_dataset("masks", data=values, chunks=chunks)
        stream = StreamedMasks(stored, None, "")  # type: ignore[arg-type]
        found = np.full(shape, -1, dtype=np.int32)
        for piece in stream:
            assert piece.data.nbytes <= max(block, 4 * np.prod(chunks or (1,)))
            found[piece.selection] = piece.data
    np.testing.assert_array_equal(found, values)


def test_masks_that_are_no_pixels_are_left_out(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, 3)
    table.add_column(name="image_mask", description="images", data=list(np.ones((3, 4, 5))))
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as root:
        attributes = dict(root[ROIS]["pixel_mask"].attrs)
        del root[ROIS]["pixel_mask"]
        root[ROIS]["pixel_mask"] = np.zeros((3, 3))
        root[ROIS]["pixel_mask"].attrs.update(attributes)
    with made(path, cells=[ROIS]) as (_, _, objects):
        assert objects[ROIS].colnames == ("image_mask",)
        assert "source: pixel_mask." in objects[ROIS].description


def test_a_companion_in_zarr_and_one_of_zarr(tmp_path: Path) -> None:
    pytest.importorskip("hdmf_zarr")
    nwbfile = new_file()
    table = add_plane(nwbfile, 3)
    table.add_column(name="image_mask", description="images", data=list(np.arange(60.0).reshape(3, 4, 5)))
    add_table(nwbfile, "films", start_time=[0.0, 1.0], stop_time=[1.0, 2.0], clip=["a", "é"], seen=[True, False])
    path = write(nwbfile, tmp_path / "a.nwb")
    folder = tmp_path / "b.nwb.zarr"
    films = "intervals/films"
    with written(path, folder, cells=[ROIS], shown=[films], backend="zarr") as (_, _, tables):
        for source, copy in tables.values():
            assert copy.colnames == source.colnames
            assert_same_rows(source, copy)
    with written(folder, tmp_path / "c.nwb", cells=[ROIS], shown=[films]) as (_, _, tables):
        assert set(tables) == {ROIS, films}
        for source, copy in tables.values():
            assert copy.colnames == source.colnames
            assert_same_rows(source, copy)


# --- damage ---


def test_rows_that_run_past_the_values_cost_the_column_and_not_the_table(tmp_path: Path) -> None:
    nwbfile = new_file()
    tags = VectorData(name="labels", description="x", data=["a", "b", "c"])
    times = [VectorData(name=name, description="t", data=[0.0, 1.0]) for name in ("start_time", "stop_time")]
    index = VectorIndex(name="labels_index", data=[1, 3], target=tags)
    nwbfile.add_time_intervals(TimeIntervals(name="films", description="d", columns=[*times, index, tags]))
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as root:
        root["intervals/films/labels_index"][...] = [1, 200]
    with made(path, shown=["intervals/films"]) as (_, _, objects):
        assert objects["intervals/films"].colnames == ("start_time", "stop_time")
        assert "labels" in objects["intervals/films"].description


def _damage(path: Path, dataset: str) -> None:
    """Replace a dataset by one whose compressed bytes are none."""
    with h5py.File(path, "r+") as root:
        old = root[dataset]
        attributes, shape, dtype = dict(old.attrs), old.shape, old.dtype
        del root[dataset]
        new = root.create_dataset(dataset, shape, dtype, chunks=shape, compression="gzip")
        new.attrs.update(attributes)
        new.id.write_direct_chunk((0,) * len(shape), b"no gzip")


def test_a_column_that_cannot_be_read_is_told_with_file_and_table(tmp_path: Path) -> None:
    path = write_source(tmp_path / "a.nwb")
    _damage(path, f"{SHOWN}/start_time")
    opened = open_nwb(path)
    try:
        results: Any = SimpleNamespace(stored=stored_of((), [SHOWN]))
        with pytest.raises(AnnotationError, match="cannot be copied") as problem:
            make_companion(opened, results, part=FilePart(0, 1, "", np.arange(0)), backend=HDF5Backend())
    finally:
        opened.close()
    assert (problem.value.file, problem.value.object_path) == (str(path), SHOWN)


def test_masks_that_cannot_be_read_are_told_while_they_are_written(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_plane(nwbfile, 2, masks=[np.ones((4, 5))] * 2, mask_kind="image_mask")
    path = write(nwbfile, tmp_path / "a.nwb")
    _damage(path, f"{ROIS}/image_mask")
    with (
        pytest.raises(AnnotationError, match="masks of ROIs 0 to 1") as problem,
        written(path, tmp_path / "b.nwb", cells=[ROIS]),
    ):
        pass
    assert (problem.value.file, problem.value.object_path) == (str(path), f"{ROIS}/image_mask")


# --- from a server ---


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubArchive]:
    with StubArchive() as running:
        monkeypatch.setattr("nwb_mivae.archive.prompt._silent", {})
        monkeypatch.setenv("DANDI_INSTANCE", running.url)
        monkeypatch.setenv("NWB_MIVAE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


def test_a_remote_source_gives_what_the_same_file_here_gives(archive: StubArchive, tmp_path: Path) -> None:
    masks = np.zeros((20, 100, 100), dtype=np.float32)
    masks[:, 3:6, 4:9] = np.arange(20, dtype=np.float32)[:, None, None]
    nwbfile = new_file()
    table = add_plane(nwbfile, 20, masks=list(masks), mask_kind="image_mask", columns={"score": list(range(20))})
    add_traces(nwbfile, table, np.zeros((100_000, 20)))
    add_table(nwbfile, "films", start_time=[0.0, 1.0], stop_time=[1.0, 2.0], clip=["a", "b"])
    content = write(nwbfile, tmp_path / "a.nwb").read_bytes()
    archive.add("sub-1/sub-1_ses-1_ophys.nwb", content)
    source = "dandi://000999/sub-1/sub-1_ses-1_ophys.nwb"
    with written(source, tmp_path / "b.nwb", cells=[ROIS], shown=["intervals/films"]) as (opened, companion, tables):
        assert isinstance(opened.remote, RemoteFile)
        assert companion.notes.startswith("Companion of sub-1_ses-1_ophys.nwb ")
        for before, after in tables.values():
            assert after.colnames == before.colnames
            assert_same_rows(before, after)
        np.testing.assert_array_equal(tables[ROIS][1]["image_mask"][:], masks)
        assert opened.remote.bytes_fetched < len(content) / 4
    assert "127.0.0.1" not in (tmp_path / "b.nwb").read_bytes().decode("latin-1")


def test_a_line_that_breaks_is_told_as_such(archive: StubArchive, tmp_path: Path) -> None:
    nwbfile = new_file()
    add_plane(nwbfile, 20, masks=list(np.random.default_rng(0).random((20, 100, 100))), mask_kind="image_mask")
    asset = archive.add("sub-1/sub-1_ses-1_ophys.nwb", write(nwbfile, tmp_path / "a.nwb").read_bytes())
    with made("dandi://000999/sub-1/sub-1_ses-1_ophys.nwb", cells=[ROIS]) as (_, companion, _):
        asset.download_status = 404
        with pytest.raises(ArchiveError), HDF5Backend().open(tmp_path / "b.nwb", "w") as writing:
            writing.write(companion)


# --- layouts and real files ---

LAYOUTS: dict[str, Callable[[Path], Any]] = {
    "000728": partial(visual_coding.write, session="A"),
    "000711": visual_behavior.write,
    "000402": microns.write,
    "000037": partial(credit_assignment.write, asset="image"),
    "001768": openscope_2026.write,
    "000021": visual_coding_neuropixels.write,
    "000248": illusion.write,
}


def _tables_of(path: Path) -> tuple[list[str], list[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with read_session(path) as session:
            assert session.cells is not None
            cells = session.cells["source_path"].unique().tolist()
            return cells, session.presentations["source_path"].unique().tolist()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "layout", [pytest.param(name, marks=[] if name == "000728" else [pytest.mark.slow]) for name in LAYOUTS]
)
def test_tables_of_known_dandisets(tmp_path: Path, layout: str) -> None:
    LAYOUTS[layout](tmp_path / "source")
    path = sorted((tmp_path / "source").rglob("*.nwb"))[0]
    cells, shown = _tables_of(path)
    with written(path, tmp_path / "b.nwb", cells=cells, shown=shown) as (_, _, tables):
        assert set(cells) <= set(tables)
        with h5py.File(tmp_path / "b.nwb") as root:
            for place, (source, copy) in tables.items():
                assert isinstance(source, type(copy))
                assert root[place].attrs["object_id"] == copy.object_id
                assert_same_rows(source, copy)
                left_out = set(source.colnames) - set(copy.colnames)
                assert left_out <= {"timeseries", "electrodes", "waveform_mean", "spike_amplitudes"}
                assert all(name in copy.description for name in left_out)
    assert pynwb.validate(path=str(tmp_path / "b.nwb")) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "cells", "shown"),
    [
        ("sub-4_ses-4_ecephys+image", "units", ["intervals/encoding_table", "intervals/recognition_table"]),
        ("roiextractors_ophys_nwb_test", "processing/ophys/ImageSegmentation/PlaneSegmentation", []),
        ("optinist_test_nwb", "processing/ophys/ImageSegmentation/PlaneSegmentation", []),
        ("A8604-211122", "units", ["intervals/epochs"]),
    ],
)
def test_real_files(real_data: Path, tmp_path: Path, name: str, cells: str, shown: list[str]) -> None:
    path = real_data / "nwb" / f"{name}.nwb"
    with written(path, tmp_path / "b.nwb", cells=[cells], shown=shown) as (_, _, tables):
        assert set(tables) == {cells, *shown}
        for source, copy in tables.values():
            assert set(source.colnames) - set(copy.colnames) <= {"electrodes", "electrode_group"}
            assert_same_rows(source, copy)
    assert pynwb.validate(path=str(tmp_path / "b.nwb")) == []


# --- with results ---


def _with_results(source: Path, out: Path, stored: Any) -> None:
    results = Results(
        stored=stored, model=model_record(), latents=latents_for(stored), attribution=attribution_for(stored)
    )
    part = FilePart(0, 1, "ab" * 32, np.arange(stored.n_cells), "source-object")
    opened = open_nwb(source)
    try:
        companion, objects = make_companion(opened, results, part=part, backend=HDF5Backend())
        add_results(
            companion, objects, results, part=part, name="mivae", form="companion", backend=HDF5Backend(),
            location=opened.location,
        )  # fmt: skip
        with HDF5Backend().open(out, "w") as writing:
            writing.write(companion)
    finally:
        opened.close()


def test_results_refer_to_the_companions_tables(tmp_path: Path) -> None:
    source = write_source(tmp_path / "a.nwb", references=True)
    stored = stored_for(source)
    _with_results(source, tmp_path / "b.nwb", stored)
    source.unlink()
    with NWBHDF5IO(str(tmp_path / "b.nwb"), "r") as reading:
        companion = reading.read()
        module = companion.processing["mivae"]
        rois = module["attribution_score_cells"].rois
        assert rois.table is companion.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        assert list(rois.data[:]) == [5, 2, 0, 6]
        shown = module["presentation_latents_neural_shared_natural_movie_presentations"].presentations
        assert shown.table is companion.intervals["natural_movie_presentations"]
        assert [list(pair) for pair in companion.was_generated_by][-1][0] == "nwb_mivae"
    found = read_annotations(tmp_path / "b.nwb")
    assert found.form == "companion"
    assert found.source["file_name"] == "a.nwb"
    assert found.attribution is not None
    assert list(found.attribution.cells["source_row"]) == [5, 2, 0, 6]
    assert set(found.attribution.cells["source_path"]) == {PLANE}


def test_a_companion_takes_a_second_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it lacks the film its presentations were read from, and has the units elsewhere."""
    monkeypatch.setattr(companion_tables, "_SPIKE_BYTES", 100)
    nwbfile = new_file()
    for _ in range(4):
        nwbfile.add_unit(spike_times=np.arange(50.0))
    nwbfile.add_stimulus(film())
    source = write(nwbfile, tmp_path / "a.nwb")
    stored = stored_for(source, cell_rows={"units": [3, 1]}, shown="stimulus/presentation/film")
    given: dict[str, Any] = {
        "stored": stored,
        "latents": latents_for(stored),
        "attribution": attribution_for(stored),
        "model": model_record(),
    }
    out = annotate(source, tmp_path / "b.nwb", form="companion", **given)
    assert annotate(out, form="append", name="again", **given) == out
    assert annotation_names(out) == ["again", "mivae"]
    for name in ("mivae", "again"):
        found = read_annotations(out, name)
        assert found.presentations == []
        assert found.attribution is not None
        assert list(found.attribution.cells["source_row"]) == [3, 1]
    # The table stands where it was put, and is as good as the source's.
    again = annotate(out, tmp_path / "c.nwb", form="companion", **given, name="third")
    with NWBHDF5IO(str(again), "r") as reading:
        assert list(reading.read().processing["ecephys"].data_interfaces) == ["units"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ophys", "units", "units without spikes"])
def test_the_archive_has_nothing_against_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "units without spikes":
        monkeypatch.setattr(companion_tables, "_SPIKE_BYTES", 100)
    source = write_source(tmp_path / "a.nwb", kind=kind.split()[0], references=kind == "ophys")
    stored = stored_for(source, cell_rows={"units": [5, 2, 0, 6]} if kind != "ophys" else None)
    modality = "ophys" if kind == "ophys" else "ecephys"
    out = tmp_path / "sub-m1" / f"sub-m1_ses-1_desc-mivae_{modality}.nwb"
    out.parent.mkdir()
    (tmp_path / "dandiset.yaml").write_text("identifier: DANDI:000000\n", encoding="utf-8")
    _with_results(source, out, stored)
    assert pynwb.validate(path=str(out)) == []
    assert [finding for finding in validate_for_dandi(out) if finding.blocks_upload] == []


def test_companions_of_several_results_are_told_apart(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.nwb")
    stored: Any = stored_for(source)
    found = []
    for name in (None, "other"):
        path = annotate(
            source, stored=stored, model=model_record(), latents=latents_for(stored), form="companion", name=name
        )
        with NWBHDF5IO(str(path), "r") as reading:
            found.append(reading.read().identifier)
    assert found == ["identifier-of-source-mivae", "identifier-of-source-other"]


@pytest.mark.filterwarnings("ignore")
def test_times_that_count_samples_become_seconds_since_what_they_count_stays_behind(tmp_path: Path) -> None:
    contrast_tuning.write(tmp_path / "source")
    (path,) = (tmp_path / "source").rglob("*.nwb")
    with read_session(path) as session:
        shown = session.presentations
        onsets = shown[shown["source_row"] >= 0].groupby("source_row")["start_time"].min()
        cells = session.cells["source_path"].iloc[0]
    with written(path, tmp_path / "b.nwb", cells=[cells], shown=["intervals/epochs"]) as (_, _, tables):
        source, copy = tables["intervals/epochs"]
        starts = np.asarray(copy["start_time"].data[:])
        np.testing.assert_allclose(starts[onsets.index], onsets.to_numpy())
        assert (np.asarray(copy["stop_time"].data[:]) > starts).all()
        assert "In seconds here, numbers of samples in the source: start_time, stop_time." in copy.description
        assert float(source["start_time"].data[0]).is_integer()
    # It takes a second result: what it holds is what the store knows.
    companion = open_nwb(tmp_path / "b.nwb")
    try:
        stored: Any = SimpleNamespace(presentations=shown, cells=session.cells, source={"files": [{}]})
        refuse_changed_tables(companion, stored, np.arange(0))
    finally:
        companion.close()
