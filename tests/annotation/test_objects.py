from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynwb import NWBHDF5IO

from nwb_mivae.annotation import annotate, read_annotations
from nwb_mivae.annotation.backends import BackendName
from nwb_mivae.annotation.objects.arrays import chunk_shape
from nwb_mivae.annotation.objects.metrics import alignment_metrics
from nwb_mivae.annotation.objects.tables import distinct_names
from nwb_mivae.annotation.results import Results, refuse_other_weights
from nwb_mivae.errors import AnnotationError
from tests.annotation.sources import (
    HEIGHT,
    PLANE,
    WIDTH,
    attribution_for,
    evaluation_for,
    fingerprints_for,
    latents_for,
    model_record,
    replace,
    stored_for,
    subpopulations_for,
    write_source,
)


@given(st.lists(st.integers(1, 3_000_000), min_size=1, max_size=3))
def test_chunks_are_about_a_mebibyte_and_whole_at_the_end(shape: list[int]):
    chunk = chunk_shape(tuple(shape))
    assert all(1 <= length <= whole for length, whole in zip(chunk, shape, strict=True))
    assert math.prod(chunk) * 4 <= 2**20
    if math.prod(shape) * 4 > 2**20:
        cut = next(axis for axis in range(len(shape)) if chunk[axis] < shape[axis])
        assert chunk[cut + 1 :] == tuple(shape[cut + 1 :]) or chunk[cut] == 1
    else:
        assert chunk == tuple(shape)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["units"], ["units"]),
        (["a/Plane", "a/Plane1"], ["Plane", "Plane1"]),
        (["a/Plane", "b/Plane", "b/Other"], ["a_Plane", "b_Plane", "b_Other"]),
        (["a/my:plane"], ["my_plane"]),
        (["x", "a/x"], ["x", "a_x"]),
        (["a/b_c", "a_b/c"], ["b_c", "c"]),
        (["a:b", "a b"], ["0", "1"]),
        ([], []),
    ],
)
def test_objects_of_several_tables_are_told_apart(paths: list[str], names: list[str]):
    assert distinct_names(paths) == dict(zip(paths, names, strict=True))


def test_tables_of_one_name_in_two_modules_are_told_apart(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb", planes=2)
    with h5py.File(source, "r+") as file:
        segmentation = file["processing/ophys/ImageSegmentation"]
        file.create_group("processing/more")
        for name, value in file["processing/ophys"].attrs.items():
            file["processing/more"].attrs[name] = value
        file["processing/more"].attrs["object_id"] = "0e3a0a54-3ac3-4f8c-9f6f-0d1d6f4a2b11"
        other = file["processing/more"].create_group("ImageSegmentation")
        for name, value in segmentation.attrs.items():
            other.attrs[name] = value
        other.attrs["object_id"] = "0e3a0a54-3ac3-4f8c-9f6f-0d1d6f4a2b12"
        segmentation.move("PlaneSegmentation1", "/processing/more/ImageSegmentation/PlaneSegmentation")
    paths = [PLANE, PLANE.replace("ophys", "more")]
    stored = stored_for(source, cell_rows={paths[0]: [1], paths[1]: [2]})
    out = annotate(
        source, tmp_path / "out.nwb", latents=latents_for(stored), stored=stored, model=model_record(),
        attribution=attribution_for(stored), fingerprints=fingerprints_for(stored),
        subpopulations=subpopulations_for(stored),
    )  # fmt: skip
    with NWBHDF5IO(str(out), "r") as reading:
        nwbfile = reading.read()
        found = nwbfile.processing["mivae"].data_interfaces
        for module, rows in (("ophys", [1]), ("more", [2])):
            table = nwbfile.processing[module]["ImageSegmentation"]["PlaneSegmentation"]
            suffix = f"{module}_ImageSegmentation_PlaneSegmentation"
            for region in (
                found[f"attribution_score_cells_{suffix}"].rois,
                found[f"fingerprints_{suffix}"].cells,
                found[f"subpopulations_{suffix}"].cells,
            ):
                assert region.table is table
                assert region.data[:].tolist() == rows
            assert found[f"subpopulations_{suffix}"].attribution is found[f"attribution_score_cells_{suffix}"]


def test_subpopulations_stand_without_the_attribution_they_came_from(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb")
    stored = stored_for(source)
    out = annotate(
        source, tmp_path / "out.nwb", latents=latents_for(stored), stored=stored, model=model_record(),
        subpopulations=subpopulations_for(stored),
    )  # fmt: skip
    with NWBHDF5IO(str(out), "r") as reading:
        found = reading.read().processing["mivae"]["subpopulations"]
        assert found.attribution is None
        assert '"attribution_method": "score"' in found.settings


def test_a_session_that_was_not_evaluated_has_no_figures(tmp_path: Path):
    stored = stored_for(write_source(tmp_path / "source.nwb"))
    evaluation = replace(evaluation_for(stored), sessions={}, across=[])
    assert alignment_metrics(evaluation, stored.key, None) is None


def test_both_sides_of_a_pair_have_it(tmp_path: Path):
    stored = stored_for(write_source(tmp_path / "source.nwb"))
    evaluation = evaluation_for(stored)
    of_other = alignment_metrics(evaluation, "other", None).to_dataframe()
    assert set(of_other["other_session"]) == {"", stored.key}
    of_other = of_other[of_other["other_session"] == ""]
    assert not of_other["held_out"].any()


@pytest.mark.parametrize("what", ["latents", "attribution", "fingerprints", "subpopulations", "evaluation"])
def test_results_of_other_weights_are_refused(tmp_path: Path, what: str):
    source = write_source(tmp_path / "source.nwb")
    stored, model = stored_for(source), model_record()
    results = Results(
        stored, model, latents_for(stored), attribution_for(stored), fingerprints_for(stored),
        subpopulations_for(stored), evaluation_for(stored),
    )  # fmt: skip
    refuse_other_weights(results, file=source)
    same = {what: replace(getattr(results, what), weights_sha256=model.weights_sha256)}
    refuse_other_weights(replace(results, **same), file=source)
    others = {what: replace(getattr(results, what), weights_sha256="cd" * 32)}
    with pytest.raises(AnnotationError) as refused:
        refuse_other_weights(replace(results, **others), file=source)
    assert refused.value.found == f"{what} of the weights {'cd' * 32}"
    assert refused.value.object_path == f"{what}.weights_sha256"
    assert model.weights_sha256 in str(refused.value.expected)


@pytest.mark.parametrize(("backend", "suffix"), [("hdf5", ".nwb"), ("zarr", ".nwb.zarr")])
def test_frames_without_attribution_take_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: BackendName, suffix: str
):
    monkeypatch.setattr("nwb_mivae.annotation.objects.arrays._CHUNK_VALUES", 10 * HEIGHT * WIDTH)
    source = write_source(tmp_path / "source.nwb", presentations=2, frames_per_presentation=100)
    stored = stored_for(source, presentations=2, frames_per_presentation=100)
    attribution = attribution_for(stored, range(115, 125))
    out = annotate(
        source, tmp_path / f"out{suffix}", latents=latents_for(stored, range(200)), stored=stored,
        model=model_record(), attribution=attribution, backend=backend,
    )  # fmt: skip
    data = "processing/mivae/attribution_score_stimulus/data"
    if backend == "hdf5":
        with h5py.File(out, "r") as file:
            stored_chunks = file[data].id.get_num_chunks()
    else:
        stored_chunks = sum(not each.name.startswith(".") for each in (out / data).rglob("*") if each.is_file())
    assert stored_chunks == (2 if backend == "hdf5" else 20), "in a folder every chunk is a file, or counts as lost"
    read = read_annotations(out).attribution
    assert read is not None
    np.testing.assert_array_equal(read.methods["score"].pixels, attribution.methods["score"].pixels)
    np.testing.assert_array_equal(read.time, attribution.time)
