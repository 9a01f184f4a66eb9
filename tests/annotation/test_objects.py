from __future__ import annotations

import math
from pathlib import Path
from typing import Any

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
from nwb_mivae.attribution import METHODS
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


def descriptions_of(folder: Path, *, trace_kind: str = "dff", **attribution: Any) -> dict[str, str]:
    """What the series of an annotated file say about themselves, by method and source."""
    source = write_source(folder / "source.nwb")
    stored = replace(stored_for(source), trace_kind=trace_kind)
    out = annotate(
        source, folder / "out.nwb", latents=latents_for(stored), stored=stored, model=model_record(),
        attribution=attribution_for(stored, **attribution),
    )  # fmt: skip
    with NWBHDF5IO(str(out), "r") as reading:
        found = reading.read().processing["mivae"].data_interfaces
        names = [name for name in found if name.startswith("attribution_")]
        return {name.removeprefix("attribution_"): found[name].description for name in names}


@pytest.mark.parametrize(
    ("trace_kind", "per_what"),
    [
        ("dff", "per standard deviation of the cell's activity;"),
        ("spikes", "per spike;"),
    ],
)
def test_derivatives_are_in_the_unit_of_their_own_source(tmp_path: Path, trace_kind: str, per_what: str):
    methods = ("score", "fisher", "gradient")
    found = descriptions_of(tmp_path, trace_kind=trace_kind, methods=methods)
    for method in methods:
        of_cells, of_pixels = found[f"{method}_cells"], found[f"{method}_stimulus"]
        assert per_what in of_cells
        assert "luminance" not in of_cells
        assert "per unit of luminance (black 0, white 1);" in of_pixels
        assert "standard deviation" not in of_pixels
        assert "spike" not in of_pixels


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (None, ""),
        ([3, 1], " Rows of per_latent are latents 3, 1."),
        ([0], " The row of per_latent is latent 0."),
    ],
)
def test_series_say_what_their_summaries_are_of(tmp_path: Path, chosen: list[int] | None, words: str):
    number = 3 if chosen is None else len(chosen)
    found = descriptions_of(tmp_path, methods=METHODS, divided="mean", latents=chosen, numbers=(number, number))
    assert set(found) == {f"{method}_{source}" for method in METHODS for source in ("cells", "stimulus")}
    summaries = dict.fromkeys(METHODS, "mean over attributed frames, with its sign") | {
        "score": "mean of the absolute value over attributed frames",
        "gradient": "mean of the absolute value over attributed frames",
        "fisher": "root mean square over attributed frames",
    }
    for name, description in found.items():
        summary = summaries[name.rpartition("_")[0]]
        assert description.endswith(f" NaN where not attributed. per_latent is the {summary}.{words}")


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
