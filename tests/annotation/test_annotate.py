from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Namespace
from typing import Any

import h5py
import ndx_mivae
import numpy as np
import pynwb
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO

from nwb_mivae.annotation import annotate, annotated_name, annotation_names, data_outside, read_annotations, snapshot
from nwb_mivae.annotation.file_part import part_of_session
from nwb_mivae.errors import AnnotationError, OutputError, SessionError
from nwb_mivae.inference.latents import BLOCKS
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.provenance import package_version
from tests.annotation.sources import (
    PLANE,
    SHOWN,
    Stored,
    attribution_for,
    latents_for,
    model_record,
    stored_for,
    write_source,
)

DFF = "processing/ophys/DfOverF/DfOverF"
CRITICAL = (Importance.CRITICAL, Importance.ERROR)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "sub-m1_ses-1_behavior+image+ophys.nwb")


@pytest.fixture
def stored(source: Path) -> Stored:
    return stored_for(source)


def run(source: Path, stored: Stored, out: Path | None = None, **changes: Any) -> Path:
    """Annotate with fitting results, or with what a test gives instead."""
    arguments: dict[str, Any] = {
        "latents": latents_for(stored),
        "attribution": attribution_for(stored),
        "stored": stored,
        "model": model_record(),
    }
    return annotate(source, out or source.parent / annotated_name(source), **(arguments | changes))


def problems(path: Path) -> list[str]:
    """What the NWB Inspector calls critical or an error, and what the validator finds."""
    messages = [str(error) for error in pynwb.validate(path=str(path))]
    return messages + [m.message for m in inspect_nwbfile(path, skip_validate=True) if m.importance in CRITICAL]


def test_the_copy_is_valid_and_the_inspector_finds_nothing_critical(source: Path, stored: Stored):
    assert problems(run(source, stored)) == []


def test_units_and_a_table_of_numbers_are_as_clean(tmp_path: Path):
    source = write_source(tmp_path / "units.nwb", kind="units", frames_per_presentation=3)
    stored = stored_for(source, cell_rows={"units": [4, 1]}, frames_per_presentation=3)
    assert problems(run(source, stored)) == []


def test_the_source_is_untouched(source: Path, stored: Stored):
    source.chmod(0o444)
    before = (source.read_bytes(), source.stat().st_mtime_ns, source.stat().st_mode)
    out = run(source, stored)
    assert (source.read_bytes(), source.stat().st_mtime_ns, source.stat().st_mode) == before
    assert out.read_bytes() != before[0]
    assert sorted(path.name for path in source.parent.iterdir()) == sorted([source.name, out.name])


def test_the_file_is_new_and_its_parts_are_the_same(source: Path, stored: Stored):
    out = run(source, stored)
    with NWBHDF5IO(str(source), "r") as one, NWBHDF5IO(str(out), "r") as other:
        before, after = one.read(), other.read()
        assert after.object_id != before.object_id
        assert after.identifier == before.identifier
        assert set(before.objects) - set(after.objects) == {before.object_id}
        added = {name for name in after.processing if name not in before.processing}
        assert added == {"mivae"}
        table = after.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        assert table.object_id == before.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"].object_id
        traces = [file.processing["ophys"]["DfOverF"]["DfOverF"].data[:] for file in (before, after)]
        np.testing.assert_array_equal(*traces)


def test_every_result_is_of_its_own_type(source: Path, stored: Stored):
    """What pynwb does not know when it opens the source it would write as the type it extends, without a word."""
    with NWBHDF5IO(str(run(source, stored)), "r") as reading:
        nwbfile = reading.read()
        kinds = {name: type(item) for name, item in nwbfile.processing["mivae"].data_interfaces.items()}
        assert type(nwbfile.lab_meta_data["mivae"]) is ndx_mivae.MIVAEAnnotation
    expected = {f"latents_{block}": ndx_mivae.LatentSeries for block in BLOCKS}
    expected |= {
        f"presentation_latents_{block}_natural_movie_presentations": ndx_mivae.PresentationLatents for block in BLOCKS
    }
    expected |= {f"attribution_{method}_cells": ndx_mivae.RoiAttributionSeries for method in ("score", "fisher")}
    expected |= {
        f"attribution_{method}_stimulus": ndx_mivae.StimulusAttributionSeries for method in ("score", "fisher")
    }
    assert kinds == expected | {"encoded_frames": pynwb.epoch.TimeIntervals}


@pytest.mark.slow
def test_even_in_a_process_that_never_heard_of_the_extension(source: Path, stored: Stored):
    """In this process the extension is imported already; a user's first call finds it missing."""
    out = source.parent / "first.nwb"
    program = f"""
        from pathlib import Path
        from tests.annotation.sources import attribution_for, latents_for, model_record, stored_for
        from nwb_mivae.annotation import annotate
        import sys
        assert "ndx_mivae" not in sys.modules
        source = Path({str(source)!r})
        stored = stored_for(source)
        annotate(source, {str(out)!r}, latents=latents_for(stored), attribution=attribution_for(stored),
                 stored=stored, model=model_record())
    """
    _python(program)
    with h5py.File(out, "r") as file:
        assert file["processing/mivae/latents_neural_shared"].attrs["neurodata_type"] == "LatentSeries"


def test_latents_lie_at_the_onsets_of_their_frames(source: Path, stored: Stored):
    latents = latents_for(stored, [0, 1, 5, 6, 11])
    with NWBHDF5IO(str(run(source, stored, latents=latents)), "r") as reading:
        module = reading.read().processing["mivae"]
        for name, block in latents.blocks.items():
            series = module[f"latents_{name}"]
            np.testing.assert_array_equal(series.get_timestamps()[:], stored.time[[0, 1, 5, 6, 11]])
            np.testing.assert_array_equal(series.data[:], block.mean)
            np.testing.assert_array_equal(series.variance[:], block.variance)
            assert series.space == name
        frames = module["encoded_frames"].to_dataframe()
        np.testing.assert_array_equal(frames["stop_time"], latents.stop_time)
        assert frames["split"].tolist() == ["train", "train", "train", "train", "validation"]


def test_cells_are_exactly_the_attributed_rows(source: Path, stored: Stored):
    attribution = attribution_for(stored)
    with NWBHDF5IO(str(run(source, stored, attribution=attribution)), "r") as reading:
        nwbfile = reading.read()
        series = nwbfile.processing["mivae"]["attribution_fisher_cells"]
        assert series.rois.data[:].tolist() == [5, 2, 0, 6]
        assert series.rois.table is nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        known = np.isin(series.get_timestamps()[:], attribution.time)
        np.testing.assert_array_equal(series.data[known], attribution.methods["fisher"].neurons)
        assert np.isnan(series.data[~known]).all()
        assert known.sum() == 5
        assert (series.target, series.baseline) == ("neural_shared", None)
        score = nwbfile.processing["mivae"]["attribution_score_stimulus"]
        assert (score.target, score.baseline) == ("stimulus_shared", "posterior mean of neural_shared")
        assert json.loads(score.settings) == {"seed": 0, "clips": 1, "divided": None, "configuration": {}}


def test_each_plane_has_a_series_of_its_own(tmp_path: Path):
    source = write_source(tmp_path / "planes.nwb", planes=2)
    stored = stored_for(source, cell_rows={PLANE: [1, 0], f"{PLANE}1": [6, 2, 3]})
    attribution = attribution_for(stored)
    out = run(source, stored, attribution=attribution)
    with NWBHDF5IO(str(out), "r") as reading:
        module = reading.read().processing["mivae"]
        second = module["attribution_score_cells_PlaneSegmentation1"]
        assert second.rois.data[:].tolist() == [6, 2, 3]
        np.testing.assert_array_equal(second.data[-5:], attribution.methods["score"].neurons[:, 2:])
    assert problems(out) == []
    read = read_annotations(out).attribution
    assert read is not None
    np.testing.assert_array_equal(read.methods["score"].neurons, attribution.methods["score"].neurons)
    assert read.cells["source_row"].tolist() == [1, 0, 6, 2, 3]


def test_attribution_of_frames_without_latents_brings_its_own_times(source: Path, stored: Stored):
    out = run(source, stored, latents=latents_for(stored, [0, 1, 2]), attribution=attribution_for(stored, [1, 2, 7]))
    with NWBHDF5IO(str(out), "r") as reading:
        module = reading.read().processing["mivae"]
        series = module["attribution_score_cells"]
        np.testing.assert_array_equal(series.get_timestamps()[:], stored.time[[0, 1, 2, 7]])
        assert np.isnan(series.data[0]).all()
        assert len(module["latents_neural_shared"].get_timestamps()) == 3


def test_a_stimulus_that_is_one_series_is_linked(tmp_path: Path):
    source = write_source(tmp_path / "movie.nwb", movie="movie.mp4")
    stored = stored_for(source, shown="stimulus/templates/movie")
    with NWBHDF5IO(str(run(source, stored)), "r") as reading:
        nwbfile = reading.read()
        module = nwbfile.processing["mivae"]
        assert module["attribution_score_stimulus"].stimulus is nwbfile.stimulus_template["movie"]
        assert not [name for name in module.data_interfaces if name.startswith("presentation_latents")]


def test_without_attribution_there_is_none(source: Path, stored: Stored):
    out = run(source, stored, attribution=None)
    assert read_annotations(out).attribution is None
    assert problems(out) == []


def test_a_session_without_presentation_rows_keeps_its_latents(source: Path, stored: Stored):
    stored = replace(stored, presentations=stored.presentations.iloc[:0], presentation=np.full(12, -1))
    annotations = read_annotations(run(source, stored))
    assert annotations.presentations == []
    assert len(annotations.frames) == 11


def test_the_program_and_the_model_are_named(source: Path, stored: Stored):
    long = json.dumps({"note": "x" * 100_000})
    out = run(source, stored, model=model_record(configuration=long))
    with NWBHDF5IO(str(out), "r") as reading:
        nwbfile = reading.read()
        assert [list(pair) for pair in nwbfile.was_generated_by[:]] == [["nwb_mivae", package_version()]]
        metadata = nwbfile.lab_meta_data["mivae"]
        assert metadata.model.config == long
        assert metadata.source_sha256 == sha256_of_file(source)
        assert nwbfile.processing["mivae"]["latents_neural_shared"].model is metadata.model


def test_programs_named_before_stay(tmp_path: Path, source: Path):
    with NWBHDF5IO(str(source), "r") as reading, NWBHDF5IO(str(tmp_path / "named.nwb"), "w") as writing:
        nwbfile = reading.read()
        nwbfile.fields["was_generated_by"] = [["recorder", "1.2"]]
        nwbfile.set_modified()
        writing.export(src_io=reading, nwbfile=nwbfile)
    out = run(tmp_path / "named.nwb", stored_for(tmp_path / "named.nwb"))
    with NWBHDF5IO(str(out), "r") as reading:
        generators = [list(pair) for pair in reading.read().was_generated_by[:]]
    assert generators == [["recorder", "1.2"], ["nwb_mivae", package_version()]]


def test_movies_beside_the_source_are_found_from_the_copy(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "movie.mp4").write_bytes(b"not really")
    source = write_source(tmp_path / "data" / "movie.nwb", movie="movie.mp4")
    out = run(source, stored_for(source), tmp_path / "results" / "annotated" / "movie.nwb")
    with NWBHDF5IO(str(out), "r") as reading:
        (named,) = reading.read().stimulus_template["movie"].external_file[:]
    assert (out.parent / named).resolve() == (tmp_path / "data" / "movie.mp4").resolve()
    beside = run(source, stored_for(source))
    with NWBHDF5IO(str(beside), "r") as reading:
        assert list(reading.read().stimulus_template["movie"].external_file[:]) == ["movie.mp4"]


def test_movies_beside_a_link_to_the_source_are_found_from_the_copy(tmp_path: Path):
    for folder in ("annex", "data", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "movie.mp4").write_bytes(b"not really")
    stored_elsewhere = write_source(tmp_path / "annex" / "MD5E-1.nwb", movie="movie.mp4")
    source = tmp_path / "data" / "movie.nwb"
    source.symlink_to(stored_elsewhere)
    out = run(source, stored_for(source), tmp_path / "results" / "movie.nwb")
    with NWBHDF5IO(str(out), "r") as reading:
        (named,) = reading.read().stimulus_template["movie"].external_file[:]
    assert (out.parent / named).resolve() == (tmp_path / "data" / "movie.mp4").resolve()


def test_no_movie_is_named_by_the_way_over_the_root_or_through_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    homes = tmp_path / "homes"
    monkeypatch.setattr(Path, "home", lambda: homes / "bob")
    (homes / "alice").mkdir(parents=True)
    (homes / "alice" / "movie.mp4").write_bytes(b"not really")
    source = write_source(homes / "alice" / "movie.nwb", movie="movie.mp4")
    for out in (homes / "bob" / "movie.nwb", tmp_path / "scratch" / "movie.nwb"):
        with NWBHDF5IO(str(run(source, stored_for(source), out)), "r") as reading:
            assert list(reading.read().stimulus_template["movie"].external_file[:]) == ["movie.mp4"]
        assert b"alice" not in out.read_bytes()


def test_movies_that_are_absent_stay_as_named(tmp_path: Path):
    (tmp_path / "data").mkdir()
    source = write_source(tmp_path / "data" / "movie.nwb", movie="movie.mp4")
    out = run(source, stored_for(source), tmp_path / "movie.nwb")
    with NWBHDF5IO(str(out), "r") as reading:
        assert list(reading.read().stimulus_template["movie"].external_file[:]) == ["movie.mp4"]


def test_masks_and_references_are_copied_as_they_were(tmp_path: Path):
    source = write_source(tmp_path / "masks.nwb", planes=2, references=True)
    out = run(source, stored_for(source))
    with h5py.File(source, "r") as one, h5py.File(out, "r") as other:
        for plane in (PLANE, f"{PLANE}1"):
            assert other[plane]["pixel_mask"].dtype == one[plane]["pixel_mask"].dtype
            np.testing.assert_array_equal(other[plane]["pixel_mask"][:], one[plane]["pixel_mask"][:])
            assert dict(other[plane]["pixel_mask"].attrs) == dict(one[plane]["pixel_mask"].attrs)
    with NWBHDF5IO(str(out), "r") as reading:
        nwbfile = reading.read()
        traces = nwbfile.processing["ophys"]["DfOverF"]["DfOverF"]
        assert nwbfile.intervals["natural_movie_presentations"]["timeseries"][3][0].timeseries is traces


def test_masks_keep_their_compression(tmp_path: Path):
    source = write_source(tmp_path / "masks.nwb")
    with h5py.File(source, "r+") as file:
        table = file[PLANE]
        before, described = table["pixel_mask"][:], dict(table["pixel_mask"].attrs)
        del table["pixel_mask"]
        mask = table.create_dataset("pixel_mask", data=before, chunks=(4,), maxshape=(None,), compression="gzip")
        mask.attrs.update(described)
        table["pixel_mask_index"].attrs["target"] = mask.ref
    with h5py.File(run(source, stored_for(source)), "r") as file:
        mask = file[PLANE]["pixel_mask"]
        assert (mask.chunks, mask.maxshape, mask.compression) == ((4,), (None,), "gzip")
        np.testing.assert_array_equal(mask[:], before)


def test_texts_that_were_written_as_ascii_stay_texts(tmp_path: Path):
    source = write_source(tmp_path / "matlab.nwb")
    with h5py.File(source, "r+") as file:
        general, ascii_text = file["general"], h5py.string_dtype("ascii")
        for name in ("experimenter", "related_publications"):
            general.pop(name, None)
            general.create_dataset(name, data=["Doe, Jane"], dtype=ascii_text)
        general.create_dataset("was_generated_by", data=[["MatNWB", "2.7"]], dtype=ascii_text)
    out = run(source, stored_for(source))
    with h5py.File(out, "r") as file:
        for name in ("experimenter", "related_publications"):
            assert list(file["general"][name].asstr()[:]) == ["Doe, Jane"]
        assert file["general/was_generated_by"].asstr()[0].tolist() == ["MatNWB", "2.7"]


def test_data_kept_in_another_file_comes_along(tmp_path: Path):
    (tmp_path / "data").mkdir()
    source = write_source(tmp_path / "data" / "linked.nwb")
    with h5py.File(source, "r+") as file, h5py.File(tmp_path / "data" / "raw.h5", "w") as raw:
        traces = file["processing/ophys/DfOverF/DfOverF"]
        expected = traces["data"][:]
        file.copy(traces["data"], raw, "data")
        del traces["data"]
        traces["data"] = h5py.ExternalLink("raw.h5", "/data")
    out = run(source, stored_for(source), tmp_path / "results" / "linked.nwb")
    with h5py.File(out, "r") as file:
        traces = file["processing/ophys/DfOverF/DfOverF"]
        assert isinstance(traces.get("data", getlink=True), h5py.HardLink)
        np.testing.assert_array_equal(traces["data"][:], expected)
    assert problems(out) == []


def moved_out(source: Path, way: str) -> np.ndarray:
    """Keep the traces of a source in a file beside it; their values."""
    with h5py.File(source, "r+") as file:
        traces = file[DFF]
        values, attributes = traces["data"][:], dict(traces["data"].attrs)
        del traces["data"]
        if way == "virtual":
            with h5py.File(source.parent / "part.h5", "w") as part:
                part["x"] = values
            layout = h5py.VirtualLayout((*values.shape,), values.dtype, maxshape=(None, values.shape[1]))
            layout[:] = h5py.VirtualSource("part.h5", "x", shape=values.shape)
            data = traces.create_virtual_dataset("data", layout)
        else:
            values.tofile(source.parent / "part.h5")
            where = [(str(source.parent / "part.h5"), 0, values.nbytes)]
            data = traces.create_dataset("data", values.shape, values.dtype, external=where)
        data.attrs.update(attributes)
    return values


@pytest.mark.parametrize("at_once", [800, 2**26])
@pytest.mark.parametrize("way", ["virtual", "external"])
def test_virtual_and_external_data_come_along_into_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, at_once: int
):
    (tmp_path / "data").mkdir()
    source = write_source(tmp_path / "data" / "source.nwb")
    expected = moved_out(source, way)
    monkeypatch.setattr(data_outside, "_AT_ONCE_BYTES", at_once)
    monkeypatch.setattr(data_outside, "_CHUNK_BYTES", 560)
    out = run(source, stored_for(source), tmp_path / "results" / "copy.nwb")
    with h5py.File(source, "r") as before, h5py.File(out, "r") as file:
        copy = file[DFF]["data"]
        assert not copy.is_virtual
        assert copy.external is None
        assert copy.maxshape == before[DFF]["data"].maxshape
        assert dict(copy.attrs) == dict(before[DFF]["data"].attrs)
        np.testing.assert_array_equal(copy[:], expected)
    assert problems(out) == []


@pytest.mark.parametrize("way", ["virtual", "external"])
def test_data_whose_file_is_missing_is_refused_and_not_copied_as_zeros(tmp_path: Path, way: str):
    source = write_source(tmp_path / "source.nwb")
    moved_out(source, way)
    (tmp_path / "part.h5").unlink()
    error = refused(source, stored_for(source), tmp_path / "results" / "copy.nwb")
    assert "part.h5, which is not there" in error.found
    assert error.object_path == f"{DFF}/data"
    assert not (tmp_path / "results").exists()


def virtual(parent: h5py.Group, name: str, source: str, inside: str, like: h5py.Dataset) -> None:
    """A dataset whose values are those of one in another file, with the attributes of ``like``."""
    attributes, layout = dict(like.attrs), h5py.VirtualLayout(like.shape, like.dtype)
    layout[...] = h5py.VirtualSource(source, inside, shape=like.shape)
    if name in parent:
        del parent[name]
    parent.create_virtual_dataset(name, layout).attrs.update(attributes)


def two_files_away(source: Path, way: str) -> str:
    """Keep data of a source in ``part.h5``, which only another file beside the source names; the path of the data."""
    with h5py.File(source, "r+") as file, h5py.File(source.parent / "other.h5", "w") as other:
        traces = file[DFF]["data"]
        with h5py.File(source.parent / "part.h5", "w") as part:
            part["x"] = traces[:]
        if way == "virtual":
            virtual(other, "y", "part.h5", "x", traces)
            virtual(file[DFF], "data", "other.h5", "y", traces)
            return f"{DFF}/data"
        series = other.create_group("series")
        series.attrs.update(neurodata_type="TimeSeries", namespace="core", object_id="1", description="", comments="")
        series["starting_time"] = 0.0
        series["starting_time"].attrs.update(rate=10.0, unit="seconds")
        virtual(other, "elsewhere", "part.h5", "x", traces)
        other["elsewhere"].attrs.update(unit="n.a.")
        series["data"] = h5py.SoftLink("/elsewhere")
        file["acquisition/series"] = h5py.ExternalLink("other.h5", "/series")
        return "acquisition/series/data"


@pytest.mark.parametrize("way", ["virtual", "linked"])
def test_data_two_files_away_comes_along(tmp_path: Path, way: str):
    (tmp_path / "data").mkdir()
    source = write_source(tmp_path / "data" / "source.nwb")
    path = two_files_away(source, way)
    with h5py.File(source) as file:
        expected = file[path][:]
    assert data_outside.data_outside(source).n_bytes >= expected.nbytes
    with h5py.File(run(source, stored_for(source), tmp_path / "results" / "copy.nwb")) as file:
        assert not file[path].is_virtual
        np.testing.assert_array_equal(file[path][:], expected)


@pytest.mark.parametrize("way", ["virtual", "linked"])
def test_data_two_files_away_is_refused_where_the_second_is_missing(tmp_path: Path, way: str):
    source = write_source(tmp_path / "source.nwb")
    path = two_files_away(source, way)
    (tmp_path / "part.h5").unlink()
    error = refused(source, stored_for(source), tmp_path / "results" / "copy.nwb")
    assert "x of part.h5, which is not there" in error.found
    assert error.object_path == path
    assert not (tmp_path / "results").exists()


def test_virtual_data_of_a_dataset_of_the_same_file_that_is_missing_is_refused(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb")
    with h5py.File(source, "r+") as file:
        file["y"] = file[DFF]["data"][:]
        virtual(file[DFF], "data", ".", "y", file[DFF]["data"])
    assert data_outside.data_outside(source).n_bytes
    with h5py.File(source, "r+") as file:
        del file["y"]
    assert "y of ." in refused(source, stored_for(source)).found


def test_links_and_virtual_data_in_circles_end(tmp_path: Path):
    for one, other in (("a.h5", "b.h5"), ("b.h5", "a.h5")):
        with h5py.File(tmp_path / one, "w") as file:
            file["x"] = np.zeros(5)
            virtual(file, "v", other, "v", file["x"])
            file["other"] = h5py.ExternalLink(other, "/")
            file["self"] = h5py.SoftLink("/")
            file["gone"] = h5py.ExternalLink("gone.h5", "/")
    # Of each file the virtual dataset, and of the other the plain one.
    assert data_outside.data_outside(tmp_path / "a.h5") == (True, 3 * 5 * 8)


def test_a_moved_virtual_dataset_is_found_by_the_name_of_its_file(tmp_path: Path):
    (tmp_path / "old").mkdir()
    with h5py.File(tmp_path / "old" / "part.h5", "w") as part, h5py.File(tmp_path / "old" / "a.h5", "w") as file:
        part["x"] = np.arange(5)
        virtual(file, "v", str(tmp_path / "old" / "part.h5"), "x", part["x"])
    (tmp_path / "old").rename(tmp_path / "new")
    with h5py.File(tmp_path / "new" / "a.h5") as file:
        assert list(file["v"]) == list(range(5))
    assert data_outside.data_outside(tmp_path / "new" / "a.h5").n_bytes == 5 * 8


def test_a_file_of_the_name_that_lacks_the_dataset_is_the_one_that_hdf5_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "first").mkdir()
    with h5py.File(tmp_path / "first" / "part.h5", "w"), h5py.File(tmp_path / "part.h5", "w") as part:
        part["x"] = np.arange(1, 5)
        with h5py.File(tmp_path / "first" / "a.h5", "w") as file:
            virtual(file, "v", "part.h5", "x", part["x"])
    monkeypatch.chdir(tmp_path)
    with h5py.File(tmp_path / "first" / "a.h5") as file:
        assert not file["v"][:].any()
    with pytest.raises(AnnotationError, match=r"x of part\.h5"):
        data_outside.data_outside(tmp_path / "first" / "a.h5")


TEXT = np.dtype([("number", "i4"), ("inner", [("text", h5py.string_dtype())])])


@pytest.mark.parametrize(
    "values",
    [np.array(["a", "bb"], dtype=h5py.string_dtype()), np.array([(1, ("x",)), (2, ("yy",))], dtype=TEXT)],
    ids=["texts", "texts in a table"],
)
def test_virtual_texts_come_along(tmp_path: Path, values: np.ndarray):
    with h5py.File(tmp_path / "part.h5", "w") as part, h5py.File(tmp_path / "a.h5", "w") as file:
        part["x"] = values
        virtual(file, "v", "part.h5", "x", part["x"])
    with h5py.File(tmp_path / "a.h5") as file, h5py.File(tmp_path / "copy.h5", "w") as copy:
        data_outside.copy_values(file["v"], copy, "v")
        assert copy["v"].dtype == file["v"].dtype
        assert copy["v"][:].tolist() == file["v"][:].tolist()


# --- refusals -----------------------------------------------------------------------------------------------------


def refused(source: Path, stored: Any, out: Path | None = None, **changes: Any) -> AnnotationError:
    """The refusal; nothing may have been written."""
    before = {path: path.read_bytes() for path in source.parent.iterdir() if path.is_file()}
    with pytest.raises(AnnotationError) as caught:
        run(source, stored, out, **changes)
    assert {path: path.read_bytes() for path in source.parent.iterdir() if path.is_file()} == before
    return caught.value


def test_a_missing_source_is_refused(source: Path, stored: Stored):
    with pytest.raises(AnnotationError, match="no such file"):
        run(source.with_name("elsewhere.nwb"), stored)


def test_a_changed_source_is_refused(source: Path, stored: Stored):
    with h5py.File(source, "r+") as file:
        file["processing/ophys/DfOverF/DfOverF/data"][0, 0] += 1
    error = refused(source, stored)
    assert "the file changed since the session was prepared" in str(error)
    assert error.expected == stored.source["sha256"]


@pytest.mark.parametrize("form", ["copy", "companion", "append"])
def test_a_source_that_is_only_touched_meanwhile_is_not_refused(
    source: Path, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
):
    def touching(*args: Any, **more: Any) -> Any:
        (tmp_path / "another_name.nwb").hardlink_to(source)
        return part_of_session(*args, **more)

    monkeypatch.setitem(annotate.__globals__, "part_of_session", touching)
    out = annotate(source, latents=latents_for(stored), stored=stored, model=model_record(), form=form)
    assert annotation_names(out) == ["mivae"]


def test_a_source_without_a_known_digest_is_told_by_its_object_id(source: Path, stored: Stored, tmp_path: Path):
    """A session that was read from a server: any file would fit, and results of one animal come to another's file."""
    with h5py.File(source) as file:
        object_id = file.attrs["object_id"]
    (stored.source["files"][0]).update(sha256=None, path="https://server.org/blobs/1", object_id="of another file")
    error = refused(source, stored)
    assert "of another file" in (error.expected or "")
    stored.source["files"][0]["object_id"] = object_id
    assert run(source, stored, tmp_path / "out.nwb").is_file()


def test_the_source_as_output_is_refused(source: Path, stored: Stored, tmp_path: Path):
    assert "the source itself" in refused(source, stored, source, overwrite=True).found
    (tmp_path / "link.nwb").symlink_to(source)
    assert "the source itself" in refused(source, stored, tmp_path / "link.nwb", overwrite=True).found


def test_an_existing_output_is_refused_unless_asked(source: Path, stored: Stored):
    out = run(source, stored)
    first = out.read_bytes()
    assert "already there" in refused(source, stored, out).found
    run(source, stored, out, overwrite=True)
    assert out.read_bytes() != first
    out.unlink()
    out.symlink_to("elsewhere.nwb")  # there is nothing at the other end, but the name is taken
    assert "already there" in refused(source, stored, out).found


def test_a_link_to_nothing_as_output_is_refused_unless_asked(source: Path, stored: Stored, tmp_path: Path):
    (tmp_path / "link.nwb").symlink_to(tmp_path / "gone.nwb")
    assert "already there" in refused(source, stored, tmp_path / "link.nwb").found
    assert run(source, stored, tmp_path / "link.nwb", overwrite=True).is_file()
    assert not (tmp_path / "gone.nwb").exists()


def test_an_annotated_source_is_refused(source: Path, stored: Stored):
    out = run(source, stored)
    error = refused(out, stored_for(out))
    assert "annotated already" in error.found
    assert error.object_path == "general/mivae/model"
    assert annotation_names(run(out, stored_for(out), name="again")) == ["again", "mivae"]


def test_results_of_other_weights_stand_beside_the_first(source: Path, stored: Stored):
    first = run(source, stored)
    second = run(first, stored, model=replace(model_record(), weights_sha256="12" * 32))
    assert annotation_names(second) == ["mivae", "mivae_2"]
    assert annotation_names(first) == ["mivae"]
    assert problems(second) == []
    error = refused(first, stored, second.with_name("third.nwb"), name="ophys")
    assert (error.found, error.object_path) == (
        "an object named 'ophys': results are never overwritten",
        "processing/ophys",
    )


def test_results_of_other_weights_than_the_models_are_refused(source: Path, stored: Stored):
    error = refused(source, stored, attribution=replace(attribution_for(stored), weights_sha256="12" * 32))
    assert error.object_path == "attribution.weights_sha256"


def test_results_in_a_later_schema_are_not_written_anew(source: Path, stored: Stored):
    """What this version does not know of them would be lost without a word."""
    with h5py.File(source, "r+") as file:
        file.require_group("specifications/ndx-mivae/99.1.0")
    stored = stored_for(source)
    for form in ("copy", "append"):
        before = source.read_bytes()
        with pytest.raises(AnnotationError, match=r"version 99\.1\.0 of the ndx-mivae schema") as caught:
            annotate(source, latents=latents_for(stored), stored=stored, model=model_record(), form=form)
        assert "update" in (caught.value.remedy or "")
        assert source.read_bytes() == before


# --- form, place and name ------------------------------------------------------------------------------------------


def plain(source: Path, stored: Stored, out: Path | None = None, **changes: Any) -> Path:
    return annotate(source, out, latents=latents_for(stored), stored=stored, model=model_record(), **changes)


def form_of(path: Path) -> str:
    with NWBHDF5IO(str(path), "r") as reading:
        return str(reading.read().lab_meta_data["mivae"].form)


def test_without_an_output_the_file_lies_beside_its_source(source: Path, stored: Stored):
    out = plain(source, stored)
    assert (out.parent, out.name) == (source.parent, "sub-m1_ses-1_desc-mivae_behavior+image+ophys.nwb")
    assert form_of(out) == "copy"
    companion = plain(source, stored, form="companion")
    assert (companion.parent, companion.name) == (source.parent, "sub-m1_ses-1_desc-mivae_ophys.nwb")
    assert form_of(companion) == "companion"


def test_a_folder_as_output_gets_the_file(source: Path, stored: Stored, tmp_path: Path):
    (tmp_path / "results").mkdir()
    out = plain(source, stored, tmp_path / "results", name="pilot")
    assert out == tmp_path / "results" / "sub-m1_ses-1_desc-pilot_behavior+image+ophys.nwb"


def test_large_sources_get_a_companion_unless_a_copy_is_asked_for(
    source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.modules["nwb_mivae.annotation.annotate"], "_LARGE_BYTES", source.stat().st_size - 1)
    assert form_of(plain(source, stored)) == "companion"
    assert form_of(plain(source, stored, form="copy")) == "copy"
    monkeypatch.setattr(sys.modules["nwb_mivae.annotation.annotate"], "_LARGE_BYTES", source.stat().st_size)
    assert form_of(plain(source, stored, source.parent / "other.nwb")) == "copy"


def test_what_is_no_form_and_no_format_is_refused(source: Path, stored: Stored):
    assert refused(source, stored, form="move").found == "no form 'move'"
    assert refused(source, stored, backend="csv").found == "no storage format 'csv'"


def test_a_companion_is_as_clean_as_a_copy(source: Path, stored: Stored):
    assert problems(run(source, stored, source.parent / "companion.nwb", form="companion")) == []


@pytest.mark.slow
def test_a_zarr_folder_as_output_is_not_taken_for_a_place(source: Path, stored: Stored, tmp_path: Path):
    pytest.importorskip("hdmf_zarr")
    out = plain(source, stored, tmp_path / "out.nwb.zarr", backend="zarr")
    assert "already there" in refused(source, stored, out, backend="zarr").found
    assert plain(source, stored, out, backend="zarr", overwrite=True) == out
    assert annotation_names(out) == ["mivae"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, "out.nwb.zarr"])


def test_a_session_id_with_a_slash_makes_no_folder(tmp_path: Path):
    source = write_source(tmp_path / "recording.nwb")
    with h5py.File(source, "r+") as file:
        del file["general/session_id"]
        file["general"]["session_id"] = "day/1"
    stored = stored_for(source, key="m1/day/1")
    for form in ("copy", "companion"):
        out = plain(source, stored, tmp_path / f"{form}.nwb", form=form)
        assert read_annotations(out).model == model_record()
    assert {path.name for path in tmp_path.iterdir()} == {"recording.nwb", "copy.nwb", "companion.nwb"}


@pytest.mark.parametrize("rows", [[0, 7], [-1, 2]])
def test_a_row_outside_the_table_of_cells_is_refused(source: Path, rows: list[int]):
    error = refused(source, stored_for(source, cell_rows={PLANE: rows}))
    assert error.found == f"rows {min(rows)} to {max(rows)} in a table of 7"
    assert error.object_path == PLANE


def test_a_row_outside_the_presentation_table_is_refused(source: Path):
    error = refused(source, stored_for(source, presentations=13))
    assert error.found == "rows 0 to 12 in a table of 12"
    assert error.object_path == SHOWN


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("processing/ophys/ImageSegmentation/Gone", "no object at this path"),
        ("", "rows that name no table"),
        ("processing/ophys/DfOverF/DfOverF", "cells in a RoiResponseSeries"),
        (SHOWN, "cells in a TimeIntervals"),
    ],
)
def test_cells_of_no_table_of_cells_are_refused(source: Path, table: str, found: str):
    assert refused(source, stored_for(source, cell_rows={table: [0, 1]})).found == found


def test_results_of_another_session_are_refused(source: Path, stored: Stored):
    other = stored_for(source, key="other")
    assert refused(source, stored, latents=latents_for(other)).found == "latents of session 'other'"
    assert refused(source, stored, attribution=attribution_for(other)).found == "attribution of session 'other'"


def test_results_of_other_frames_are_refused(source: Path, stored: Stored):
    latents = latents_for(stored)
    assert "at these times" in refused(source, stored, latents=replace(latents, time=latents.time + 0.1)).found
    assert "at these times" in refused(source, stored, latents=replace(latents, row=latents.row + 5)).found
    backwards = latents_for(stored, [5, 4, 3])
    assert "do not increase" in refused(source, stored, latents=backwards).found
    assert "no frame at all" in refused(source, stored, latents=latents_for(stored, [])).found


def _with_block(latents: Any, **parts: Any) -> Any:
    block = latents.blocks["neural_shared"]._replace(**parts)
    return replace(latents, blocks={**latents.blocks, "neural_shared": block})


def test_values_that_cannot_be_posteriors_are_refused(source: Path, stored: Stored):
    latents = latents_for(stored)
    mean, variance = latents.blocks["neural_shared"]
    nan = np.where(np.arange(len(mean))[:, None] == 0, np.float32("nan"), mean)
    assert refused(source, stored, latents=_with_block(latents, mean=nan)).found == "3 values that are not finite"
    error = refused(source, stored, latents=_with_block(latents, variance=-variance))
    assert (error.found, error.object_path) == ("33 negative variances", "latents.neural_shared.variance")
    assert refused(source, stored, latents=_with_block(latents, mean=mean[:4])).found == "shape (4, 3)"
    assert refused(source, stored, latents=_with_block(latents, variance=variance[:, :2])).found == "shape (11, 2)"


@pytest.mark.parametrize("part", ["neurons", "neurons_per_latent", "pixels", "pixels_per_latent"])
def test_maps_of_other_shapes_are_refused(source: Path, stored: Stored, part: str):
    attribution = attribution_for(stored)
    wrong = replace(attribution.methods["score"], **{part: getattr(attribution.methods["score"], part)[..., :-1]})
    if part == "pixels":
        wrong = replace(wrong, pixels=attribution.methods["score"].pixels[:-1])
    error = refused(source, stored, attribution=replace(attribution, methods={"score": wrong}))
    assert error.object_path == f"attribution.score.{part}"


def test_what_is_no_nwb_file_is_refused(tmp_path: Path, source: Path):
    damaged = tmp_path / "damaged.nwb"
    damaged.write_bytes(source.read_bytes()[:1000])
    with pytest.raises(SessionError):
        run(damaged, stored_for(damaged))
    assert not (tmp_path / annotated_name(damaged)).exists()


def test_results_that_pynwb_refuses_are_an_error_about_the_file(
    source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("an object pynwb will not have")

    monkeypatch.setattr("nwb_mivae.annotation.objects.add_results", fail)
    error = refused(source, stored)
    assert "cannot be added to (ValueError: an object pynwb will not have)" in error.found
    assert error.file == str(source)


def test_an_export_that_fails_leaves_nothing(source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("a link that leads nowhere")

    monkeypatch.setattr(NWBHDF5IO, "export", fail)
    error = refused(source, stored)
    assert "cannot export (KeyError: 'a link that leads nowhere')" in error.found


def test_a_folder_that_cannot_be_written_is_refused(source: Path, stored: Stored):
    (source.parent / "file").write_text("no folder")
    with pytest.raises(OutputError):
        run(source, stored, source.parent / "file" / "out.nwb")


# --- files nobody here wrote --------------------------------------------------------------------------------------

REAL = {
    "A8604-211122.nwb": ({"units": [2, 0]}, "intervals/epochs", 1),
    "aibs_760693773_truncated10.nwb": ({"units": [3, 1, 9]}, "intervals/natural_movie_one_presentations", 10),
    "optinist_test_nwb.nwb": ({PLANE: [18, 3]}, "", 5),
    "roiextractors_ophys_nwb_test.nwb": ({PLANE: [14, 3]}, "", 5),
    "sub-4_ses-4_ecephys+image.nwb": ({"units": [34, 3]}, "intervals/encoding_table", 90),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REAL))
def test_real_files_survive(real_data: Path, tmp_path: Path, name: str):
    source = real_data / "nwb" / name
    cells, shown, presentations = REAL[name]
    stored = stored_for(source, cell_rows=cells, shown=shown, presentations=presentations, frames_per_presentation=20)
    latents, attribution = latents_for(stored), attribution_for(stored)
    out = run(source, stored, tmp_path / annotated_name(source), latents=latents, attribution=attribution)
    read = read_annotations(out)
    for block in BLOCKS:
        np.testing.assert_array_equal(read.blocks[block].mean, latents.blocks[block].mean)
    assert read.attribution is not None
    np.testing.assert_array_equal(read.attribution.methods["score"].pixels, attribution.methods["score"].pixels)
    assert {posterior.mean.shape[:2] for posterior in read.presentations} == ({(presentations, 20)} if shown else set())
    errors = _validation(out)
    if errors:
        # An export is always written in the newest schema, so what an old file breaks there is the source's own.
        plain = tmp_path / "plain.nwb"
        with NWBHDF5IO(str(source), "r", load_namespaces=True) as reading, NWBHDF5IO(str(plain), "w") as writing:
            writing.export(src_io=reading)
        assert not errors - _validation(plain)
    assert not _critical(out) - _critical(source)


def _validation(path: Path) -> Counter[str]:
    return Counter(str(error) for error in pynwb.validate(path=str(path)))


def _critical(path: Path) -> Counter[tuple[str, str | None]]:
    # Of a check that breaks off the inspector gives its name and the error, which differs where a copy has the indices
    # of an old file in another type of number; that the same check breaks off is what counts.
    return Counter(
        (message.check_function_name.partition(" - <class")[0], message.location)
        for message in inspect_nwbfile(path, skip_validate=True)
        if message.importance in CRITICAL
    )


@pytest.mark.slow
def test_a_simulated_animal_through_the_real_store(tmp_path: Path):
    pytest.importorskip("skimage", reason="simulated movies need scikit-image")
    from nwb_mivae.clips import prepare
    from nwb_mivae.simulation import SimulationConfiguration, simulate

    configuration = SimulationConfiguration(animals=1, minutes=0.5, cells=(6, 8), movie_seconds=3.0, repeats=2)
    (animal,) = simulate(tmp_path / "animals", configuration)
    store = prepare([animal.nwb], tmp_path / "store")
    (stored,) = store.sessions.values()
    latents = latents_for(stored, np.flatnonzero(stored.valid))
    out = annotate(
        animal.nwb,
        tmp_path / annotated_name(animal.nwb),
        latents=latents,
        attribution=attribution_for(stored, np.flatnonzero(stored.valid)[-100:]),
        stored=stored,
        model=model_record(),
    )
    assert problems(out) == []
    read = read_annotations(out)
    assert {posterior.table for posterior in read.presentations} == {SHOWN}
    with NWBHDF5IO(str(out), "r") as reading:
        onsets = reading.read().intervals["natural_movie_presentations"]["start_time"][:]
    # Each row's latents are those of the frame that began at this row's onset.
    shared = next(posterior for posterior in read.presentations if posterior.block == "neural_shared")
    at = np.searchsorted(latents.time, onsets[shared.rows] - 1e-6)
    np.testing.assert_array_equal(shared.mean[:, 0], latents.blocks["neural_shared"].mean[at])


def _python(program: str) -> str:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=120, check=False, cwd=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_name_too_long_for_the_disk_is_refused_before_the_source_is_read_through(
    source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(snapshot, "_digest", lambda path: pytest.fail(f"{path} was read"))
    for out in (source.parent / ("a" * 300 + ".nwb"), None):
        with pytest.raises(OutputError, match="too long") as refusal:
            run(source, stored, out or source.parent, name="a" * 300)
        assert "shorter" in str(refusal.value.remedy)


@pytest.mark.parametrize("form", ["copy", "companion"])
def test_missing_space_is_said_before_the_source_is_read_through(
    source: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch, form: Any
):
    monkeypatch.setattr(snapshot, "_digest", lambda path: pytest.fail(f"{path} was read"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: Namespace(free=1000))
    with pytest.raises(OutputError, match="MB free on the disk"):
        run(source, stored, source.parent / "out.nwb", form=form)
