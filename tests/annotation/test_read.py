from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hdmf.common import DynamicTableRegion
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from ndx_mivae.testing import (
    mock_LatentSeries,
    mock_MIVAEAnnotation,
    mock_PresentationLatents,
    mock_RoiAttributionSeries,
    mock_StimulusAttributionSeries,
)
from pynwb import NWBHDF5IO
from pynwb.testing.mock.file import mock_NWBFile

from nwb_mivae.annotation import Annotations, annotate, annotation_names, read_annotations
from nwb_mivae.attribution import METHODS
from nwb_mivae.errors import AnnotationError, SessionError
from nwb_mivae.evaluation import CONDITIONS
from nwb_mivae.inference.latents import BLOCKS
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.provenance import package_version
from tests.annotation.sources import (
    PLANE,
    SHOWN,
    Stored,
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


def annotated(source: Path, stored: Stored, **changes: Any) -> Path:
    """A copy with results of every kind, or with what a test gives instead."""
    arguments: dict[str, Any] = {
        "latents": latents_for(stored),
        "attribution": attribution_for(stored),
        "fingerprints": fingerprints_for(stored),
        "subpopulations": subpopulations_for(stored),
        "evaluation": evaluation_for(stored),
        "stored": stored,
        "model": model_record(),
    }
    return annotate(source, source.with_name("out.nwb"), overwrite=True, **(arguments | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Stored, Annotations]:
    """A file with everything, what it was made from, and what was read."""
    source = write_source(tmp_path_factory.mktemp("read") / "source.nwb", frames_per_presentation=2)
    stored = stored_for(source, frames_per_presentation=2)
    out = annotated(source, stored)
    return out, stored, read_annotations(out)


def test_latents_attribution_and_origin_come_back(whole: tuple[Path, Stored, Annotations]):
    out, stored, read = whole
    latents, attribution = latents_for(stored), attribution_for(stored)
    assert (read.name, read.form, read.code_version) == ("mivae", "copy", package_version())
    assert pd.Timestamp(read.created).tzinfo is not None
    assert read.model == model_record()
    assert read.source == {
        "file_name": "source.nwb",
        "identifier": "identifier-of-source",
        "sha256": sha256_of_file(out.with_name("source.nwb")),
        "object_id": read.source["object_id"],
        "dandi_instance": "",
        "dandiset_id": "",
        "dandiset_version": "",
        "asset_path": "",
        "asset_id": "",
    }
    assert read.context == {"clips": 5, "minutes": 0.25}
    assert read.frames["clip"].tolist() == latents.clip.tolist()
    assert read.frames["split"].unique().tolist() == ["train", "validation", "test"]
    np.testing.assert_array_equal(read.frames["start_time"], latents.time)
    assert set(read.blocks) == set(BLOCKS)
    for name, block in latents.blocks.items():
        np.testing.assert_array_equal(read.blocks[name].mean, block.mean)
        np.testing.assert_array_equal(read.blocks[name].variance, block.variance)
    assert sorted(posterior.block for posterior in read.presentations) == sorted(BLOCKS)
    posterior = read.presentations[0]
    assert posterior.rows.tolist() == list(range(12))
    assert posterior.mean.shape == (12, 2, 3)
    # Frame 3, the second of presentation 1, was not encoded; nothing else is missing.
    assert np.argwhere(np.isnan(posterior.mean).all(axis=2)).tolist() == [[1, 1]]
    assert read.attribution is not None
    np.testing.assert_array_equal(read.attribution.time, attribution.time)
    assert set(read.attribution.cells["source_path"]) == {PLANE}
    assert read.attribution.cells["id"].tolist() == read.attribution.cells["source_row"].tolist() == [5, 2, 0, 6]
    assert read.attribution.settings == attribution.settings
    for name, maps in attribution.methods.items():
        assert read.attribution.methods[name].signed == maps.signed == (name == "score")
        for part in ("neurons", "neurons_per_latent", "pixels", "pixels_per_latent"):
            np.testing.assert_array_equal(getattr(read.attribution.methods[name], part), getattr(maps, part))


def test_what_is_known_of_cells_comes_back(whole: tuple[Path, Stored, Annotations]):
    _, stored, read = whole
    fingerprints, groups = fingerprints_for(stored), subpopulations_for(stored)
    assert read.fingerprints is not None
    assert read.subpopulations is not None
    np.testing.assert_array_equal(read.fingerprints.fingerprints, fingerprints.fingerprints)
    np.testing.assert_array_equal(read.fingerprints.lags_in_seconds, fingerprints.lags_in_seconds)
    assert read.fingerprints.settings == {"n_frames": 80}
    np.testing.assert_array_equal(read.subpopulations.subpopulation, groups.subpopulation)
    np.testing.assert_array_equal(read.subpopulations.confidence, groups.confidence)
    np.testing.assert_array_equal(read.subpopulations.profile, groups.profile)
    np.testing.assert_array_equal(read.subpopulations.profile_time, groups.profile_time)
    np.testing.assert_array_equal(read.subpopulations.statistics["stability"], groups.statistics["stability"][1])
    assert read.subpopulations.statistics["n_cells"].tolist() == [2, 1], "the last cell is in none"
    assert (read.subpopulations.method, read.subpopulations.attribution_method) == ("k-means", "score")
    assert read.subpopulations.settings == groups.settings
    for cells in (read.fingerprints.cells, read.subpopulations.cells):
        assert cells["source_row"].tolist() == [5, 2, 0, 6]


def test_figures_come_back_with_their_controls(whole: tuple[Path, Stored, Annotations]):
    _, _, read = whole
    metrics = read.metrics
    assert metrics is not None
    assert read.metrics_settings == {"content_disjoint": True, "configuration": {}, "seed": 0}
    own = metrics[metrics["other_session"] == ""]
    assert own["condition"].unique().tolist() == list(CONDITIONS)
    assert set(own.loc[own["is_control"], "condition"]) == set(CONDITIONS[2:])
    top1 = own[own["metric"] == "top1"].set_index("condition")
    assert top1.loc["with_context", "value"] == 0.4
    assert np.isnan(top1.loc["untrained_readout", "value"]), "a figure that is not defined"
    assert set(own.loc[own["metric"] == "top5", "chance"]) == {0.5}
    assert own.loc[own["metric"] == "paired_r", "chance"].isna().all()
    across = metrics[metrics["other_session"] != ""]
    assert across["other_session"].unique().tolist() == ["other"], "pairs of other sessions are not this file's"
    assert across.loc[across["metric"] == "top1", "value"].tolist() == [0.3]
    assert metrics["n_clips"].unique().tolist() == [10]


def test_it_is_shown_in_a_line(whole: tuple[Path, Stored, Annotations]):
    read = whole[2]
    assert read.metrics is not None
    blocks = "latents neural_private (3), latents neural_shared (3), latents stimulus_private (3), "
    assert repr(read) == (
        f"Annotations (mivae, copy of source.nwb, {len(read.frames)} frames: {blocks}latents stimulus_shared (3), "
        f"attribution by fisher and score to 4 cells, fingerprints of 4 cells, 2 subpopulations, "
        f"{len(read.metrics)} figures)"
    )


def test_tables_hold_the_same(whole: tuple[Path, Stored, Annotations]):
    _, stored, read = whole
    latents = latents_for(stored).blocks["stimulus_shared"]
    table = read.latents_table("stimulus_shared", variance=True)
    assert list(table.columns) == [f"{what}_{number}" for what in ("latent", "variance") for number in range(3)]
    np.testing.assert_array_equal(table.index, read.frames["start_time"])
    np.testing.assert_array_equal(table, np.concatenate([latents.mean, latents.variance], axis=1))
    shown = read.presentations_table("stimulus_shared")
    np.testing.assert_array_equal(shown[["latent_0", "latent_1", "latent_2"]], latents.mean)
    assert set(shown["source_path"]) == {SHOWN}
    assert shown["source_row"].tolist() == np.delete(np.repeat(np.arange(12), 2), 3).tolist()
    cells = read.cells_table()
    assert cells["source_row"].tolist() == [5, 2, 0, 6]
    assert cells["subpopulation"].tolist() == [0, 1, 0, -1]
    score = attribution_for(stored).methods["score"].neurons_per_latent
    np.testing.assert_allclose(cells["attribution_score"], score.mean(axis=0), rtol=1e-6)
    with pytest.raises(AnnotationError, match="a block named 'shared'"):
        read.latents_table("shared")


def test_pynapple_gets_a_frame_of_latents(whole: tuple[Path, Stored, Annotations]):
    pynapple = pytest.importorskip("pynapple")
    _, stored, read = whole
    frame = read.to_pynapple("neural_private")
    assert isinstance(frame, pynapple.TsdFrame)
    np.testing.assert_array_equal(frame.values, latents_for(stored).blocks["neural_private"].mean)
    np.testing.assert_allclose(frame.times(), read.frames["start_time"], atol=1e-9)


def test_without_pynapple_the_remedy_is_named(whole: tuple[Path, Stored, Annotations], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynapple", None)
    with pytest.raises(AnnotationError) as refused:
        whole[2].to_pynapple()
    assert 'pip install "nwb_mivae[pynapple]"' in str(refused.value.remedy)


def test_latents_alone_are_enough(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb")
    stored = stored_for(source, shown="")
    none = dict.fromkeys(["attribution", "fingerprints", "subpopulations", "evaluation"])
    read = read_annotations(annotated(source, stored, **none))
    assert (read.attribution, read.fingerprints, read.subpopulations, read.metrics) == (None, None, None, None)
    assert len(read.cells_table()) == 0
    assert list(read.presentations_table().columns)[-1] == "latent_2"
    assert len(read.presentations_table()) == 0


def test_units_come_back(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb", kind="units")
    read = read_annotations(annotated(source, stored_for(source, cell_rows={"units": [4, 1, 2]})))
    assert set(read.cells_table()["source_path"]) == {"units"}
    assert read.cells_table()["id"].tolist() == [4, 1, 2]


@pytest.mark.parametrize(("numbers", "latents"), [((2, 5), None), ((5, 3), [1, 0])])
def test_private_latents_of_each_modality_come_back_in_their_own_number(
    tmp_path: Path, numbers: tuple[int, int], latents: list[int] | None
):
    source = write_source(tmp_path / "source.nwb", planes=2)
    stored = stored_for(source, cell_rows={PLANE: [5, 2], f"{PLANE}1": [6, 0, 3]})
    attribution = attribution_for(
        stored, methods=("fisher", "gradient"), of="private", latents=latents,
        numbers=numbers if latents is None else (len(latents),) * 2,
    )  # fmt: skip
    encoded = latents_for(stored, private=numbers)
    read = read_annotations(annotated(source, stored, latents=encoded, attribution=attribution, evaluation=None))
    assert [read.blocks[f"{name}_private"].mean.shape[1] for name in ("neural", "stimulus")] == [*numbers]
    assert read.attribution is not None
    assert set(read.attribution.methods) == {"fisher", "gradient"}
    for name, maps in attribution.methods.items():
        for part in ("neurons", "neurons_per_latent", "pixels", "pixels_per_latent"):
            np.testing.assert_array_equal(getattr(read.attribution.methods[name], part), getattr(maps, part))


@pytest.mark.filterwarnings("ignore")
def test_without_summaries_private_latents_are_as_many_as_their_own_space_has(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb")
    stored = stored_for(source)
    attribution = attribution_for(stored, methods=("fisher",), of="private", numbers=(2, 5))
    out = annotated(source, stored, latents=latents_for(stored, private=(2, 5)), attribution=attribution)
    with h5py.File(out, "r+") as file:
        for name in ("cells", "stimulus"):
            del file[f"processing/mivae/attribution_fisher_{name}/per_latent"]
    read = read_annotations(out).attribution
    assert read is not None
    maps = read.methods["fisher"]
    assert (maps.neurons_per_latent.shape, maps.pixels_per_latent.shape) == ((2, 4), (5, 4, 6))
    assert np.isnan(maps.neurons_per_latent).all()
    assert np.isnan(maps.pixels_per_latent).all()


@pytest.mark.parametrize(
    ("divided", "signed"),
    [
        ("evidence", {"score", "gradient_x_input", "integrated_gradients", "occlusion"}),
        ("mean", {"score"}),
        (None, {"score"}),
    ],
)
def test_whether_maps_have_a_sign_comes_back(tmp_path: Path, divided: str | None, signed: set[str]):
    source = write_source(tmp_path / "source.nwb")
    stored = stored_for(source)
    attribution = attribution_for(stored, methods=METHODS, divided=divided)
    assert {name for name, maps in attribution.methods.items() if maps.signed} == signed
    read = read_annotations(annotated(source, stored, attribution=attribution)).attribution
    assert read is not None
    assert set(read.methods) == set(METHODS)
    assert {name for name, maps in read.methods.items() if maps.signed} == signed


def test_planes_come_back_side_by_side(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb", planes=2)
    stored = stored_for(source, cell_rows={PLANE: [5, 2], f"{PLANE}1": [6, 0, 3]})
    read = read_annotations(annotated(source, stored))
    assert read.attribution is not None
    assert read.fingerprints is not None
    assert read.subpopulations is not None
    for cells in (read.attribution.cells, read.fingerprints.cells, read.subpopulations.cells, read.cells_table()):
        assert cells["source_path"].tolist() == [PLANE] * 2 + [f"{PLANE}1"] * 3
        assert cells["source_row"].tolist() == [5, 2, 6, 0, 3]
    np.testing.assert_array_equal(read.fingerprints.fingerprints, fingerprints_for(stored).fingerprints)
    np.testing.assert_array_equal(read.subpopulations.subpopulation, subpopulations_for(stored).subpopulation)


def test_each_file_of_a_session_has_its_own_cells(tmp_path: Path):
    first, second = (write_source(tmp_path / f"{name}.nwb") for name in "ab")
    one, other = (stored_for(path, cell_rows={PLANE: rows}) for path, rows in ((first, [5, 2]), (second, [6, 0, 3])))
    stored = replace(
        one,
        n_cells=5,
        source={**one.source, "files": [*one.source["files"], *other.source["files"]]},
        cells=pd.concat([one.cells, other.cells], ignore_index=True),
        presentations=one.presentations.assign(start_time=one.time),
    )
    reads = [read_annotations(annotated(path, stored)) for path in (first, second)]
    assert [read.cells_table()["source_row"].tolist() for read in reads] == [[5, 2], [6, 0, 3]]
    fingerprints = [read.fingerprints.fingerprints for read in reads if read.fingerprints is not None]
    np.testing.assert_array_equal(np.concatenate(fingerprints), fingerprints_for(stored).fingerprints)
    for read in reads:
        assert read.subpopulations is not None
        assert read.subpopulations.statistics["n_cells"].sum() == 4, "of the session, one cell is in none"


def test_several_results_are_told_by_name(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb")
    stored = stored_for(source)
    first = annotated(source, stored)
    second = tmp_path / "second.nwb"
    annotate(
        first, second, latents=latents_for(stored, seed=7), stored=stored, name="again",
        model=replace(model_record(), weights_sha256="cd" * 32),
    )  # fmt: skip
    assert annotation_names(source) == []
    assert annotation_names(second) == ["again", "mivae"]
    with pytest.raises(AnnotationError, match="2 results") as refused:
        read_annotations(second)
    assert "again, mivae" in str(refused.value.remedy)
    with pytest.raises(AnnotationError, match="no annotation named 'third'"):
        read_annotations(second, "third")
    again = read_annotations(second, "again")
    assert (again.name, again.attribution) == ("again", None)
    np.testing.assert_array_equal(
        again.blocks["neural_shared"].mean, latents_for(stored, seed=7).blocks["neural_shared"].mean
    )
    assert read_annotations(second, "mivae").attribution is not None


VALUES = st.floats(-10, 10, width=32)
SLOW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(data=st.data())
def test_any_groups_and_confidences_come_back(tmp_path: Path, data: st.DataObject):
    source = tmp_path / "source.nwb"
    if not source.exists():
        write_source(source)
    stored = stored_for(source)
    count, bins = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 4))
    made = replace(
        subpopulations_for(stored),
        subpopulation=data.draw(arrays.arrays(np.int32, 4, elements=st.integers(-1, count - 1))),
        confidence=data.draw(arrays.arrays(np.float32, 4, elements=st.floats(-1, 1, width=32) | st.just(np.nan))),
        profile=data.draw(arrays.arrays(np.float32, (count, bins), elements=VALUES | st.just(np.nan))),
        profile_time=np.arange(bins) / 30,
        statistics={"stability": ("Stability.", np.full(count, np.nan))},
    )
    read = read_annotations(annotated(source, stored, subpopulations=made)).subpopulations
    assert read is not None
    for name in ("subpopulation", "confidence", "profile"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
    assert len(read.statistics) == count


@SLOW
@given(data=st.data())
def test_any_attributed_frames_come_back(tmp_path: Path, data: st.DataObject):
    source = tmp_path / "source.nwb"
    if not source.exists():
        write_source(source)
    stored = stored_for(source)
    frames = st.sets(st.integers(0, 11), min_size=1).map(sorted)
    latents, attribution = latents_for(stored, data.draw(frames)), attribution_for(stored, data.draw(frames))
    read = read_annotations(annotated(source, stored, latents=latents, attribution=attribution)).attribution
    assert read is not None
    np.testing.assert_array_equal(read.time, attribution.time)
    for name, maps in attribution.methods.items():
        np.testing.assert_array_equal(read.methods[name].neurons, maps.neurons)
        np.testing.assert_array_equal(read.methods[name].pixels, maps.pixels)


def test_a_file_without_results_is_refused(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb")
    with pytest.raises(AnnotationError, match="no annotation"):
        read_annotations(source)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(SessionError):
        read_annotations(tmp_path / "gone.nwb")


def test_a_module_of_another_program_is_no_annotation(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb")
    with NWBHDF5IO(str(source), "a") as changing:
        nwbfile = changing.read()
        nwbfile.create_processing_module("mivae", "Something else.")
        changing.write(nwbfile)
    assert annotation_names(source) == []
    for name in (None, "mivae"):
        with pytest.raises(AnnotationError, match="no annotation"):
            read_annotations(source, name)


@pytest.fixture
def of_another_program() -> Any:
    """What a program may write that has the extension only, with as little as the schema asks for."""
    nwbfile = mock_NWBFile(identifier="a", subject=None)
    mock_MIVAEAnnotation(nwbfile=nwbfile)
    return nwbfile


def read_back(nwbfile: Any, path: Path) -> Annotations:
    with NWBHDF5IO(str(path), "w") as writing:
        writing.write(nwbfile)
    return read_annotations(path)


@pytest.mark.filterwarnings("ignore")
def test_what_may_be_left_out_is_nan(of_another_program: Any, tmp_path: Path):
    latents = mock_LatentSeries(nwbfile=of_another_program, variance=None)
    presentations = mock_PresentationLatents(nwbfile=of_another_program, variance=None)
    cells = mock_RoiAttributionSeries(nwbfile=of_another_program, per_latent=None, timestamps=latents)
    read = read_back(of_another_program, tmp_path / "a.nwb")
    block, (presentation,) = read.blocks["neural_shared"], read.presentations
    np.testing.assert_array_equal(block.mean, latents.data)
    assert block.variance.shape == block.mean.shape
    assert np.isnan(block.variance).all()
    assert presentation.variance.shape == presentations.mean.shape
    assert np.isnan(presentation.variance).all()
    assert read.latents_table(variance=True).shape == (len(block.mean), 2 * block.mean.shape[1])
    assert read.attribution is not None
    maps = read.attribution.methods[cells.method]
    assert maps.neurons_per_latent.shape == (block.mean.shape[1], cells.data.shape[1])
    assert np.isnan(maps.neurons_per_latent).all()


@pytest.mark.filterwarnings("ignore")
def test_an_attribution_to_cells_or_to_pixels_alone_comes_back(of_another_program: Any, tmp_path: Path):
    latents = mock_LatentSeries(nwbfile=of_another_program)
    cells = mock_RoiAttributionSeries(nwbfile=of_another_program, method="one", timestamps=latents)
    pixels = mock_StimulusAttributionSeries(nwbfile=of_another_program, method="other", timestamps=latents)
    read = read_back(of_another_program, tmp_path / "a.nwb").attribution
    assert read is not None
    assert list(read.cells["source_row"]) == list(cells.rois.data)
    one, other = read.methods["one"], read.methods["other"]
    assert one.signed, "of a method of another program nothing is known"
    np.testing.assert_array_equal(one.neurons, cells.data[~np.isnan(cells.data).all(axis=1)])
    np.testing.assert_array_equal(one.neurons_per_latent, cells.per_latent)
    assert (one.pixels.shape, one.pixels_per_latent.shape) == ((len(read.time), 0, 0), (len(cells.per_latent), 0, 0))
    np.testing.assert_array_equal(other.pixels_per_latent, pixels.per_latent)
    assert other.neurons.shape == one.neurons.shape
    assert np.isnan(other.neurons).all()


@pytest.mark.filterwarnings("ignore")
def test_methods_of_other_cells_are_not_given_one_list_of_cells(of_another_program: Any, tmp_path: Path):
    latents = mock_LatentSeries(nwbfile=of_another_program)
    first = mock_RoiAttributionSeries(nwbfile=of_another_program, method="one", timestamps=latents)
    rows = DynamicTableRegion(
        name="rois", description="Others.", data=list(first.rois.data)[::-1], table=first.rois.table
    )
    second = mock_RoiAttributionSeries(nwbfile=of_another_program, method="other", timestamps=latents, rois=rows)
    with pytest.raises(AnnotationError, match="an attribution of other cells by each method") as refused:
        read_back(of_another_program, tmp_path / "a.nwb")
    assert refused.value.object_path == f"processing/mivae/{second.name}"


@pytest.mark.parametrize(
    "lost",
    [
        "processing/mivae/attribution_score_stimulus/data",
        "processing/mivae/attribution_score_cells/rois",
        "processing/mivae/subpopulations/table",
        "processing/mivae/subpopulations/subpopulation",
        "processing/mivae/fingerprints/lags_in_seconds",
        "processing/mivae/alignment_metrics/value",
        "processing/mivae/encoded_frames/start_time",
        "general/mivae/model",
        "general/mivae/model/config",
        "processing/mivae",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_annotation_is_refused(whole: tuple[Path, Stored, Annotations], tmp_path: Path, lost: str):
    damaged = tmp_path / "damaged.nwb"
    damaged.write_bytes(whole[0].read_bytes())
    with h5py.File(damaged, "r+") as file:
        del file[lost]
    with pytest.raises((AnnotationError, SessionError)) as refused:
        read_annotations(damaged)
    assert refused.value.file == str(damaged)
    assert refused.value.remedy


@pytest.mark.parametrize(
    "cut", ["latents_neural_shared/variance", "subpopulations/confidence", "attribution_fisher_cells/rois"]
)
@pytest.mark.filterwarnings("ignore")
def test_arrays_that_do_not_fit_are_refused(whole: tuple[Path, Stored, Annotations], tmp_path: Path, cut: str):
    damaged = tmp_path / "damaged.nwb"
    damaged.write_bytes(whole[0].read_bytes())
    with h5py.File(damaged, "r+") as file:
        found = file[f"processing/mivae/{cut}"]
        values, attributes = found[:-1], dict(found.attrs)
        del file[f"processing/mivae/{cut}"]
        file[f"processing/mivae/{cut}"] = values
        for name, value in attributes.items():
            file[f"processing/mivae/{cut}"].attrs[name] = value
    with pytest.raises(AnnotationError, match="of shape") as refused:
        read_annotations(damaged)
    assert refused.value.object_path == f"processing/mivae/{cut.partition('/')[0]}"


@pytest.mark.parametrize(
    ("form", "backend"), [("copy", "zarr"), ("companion", "hdf5"), ("companion", "zarr"), ("append", "hdf5")]
)
def test_every_form_and_backend_reads_the_same(
    whole: tuple[Path, Stored, Annotations], tmp_path: Path, form: str, backend: str
):
    out, stored, expected = whole
    source = tmp_path / "source.nwb"
    source.write_bytes(out.with_name("source.nwb").read_bytes())
    target = None if form == "append" else tmp_path / ("out.nwb.zarr" if backend == "zarr" else "out.nwb")
    made = annotate(
        source, target, latents=latents_for(stored), stored=stored, model=model_record(),
        attribution=attribution_for(stored), fingerprints=fingerprints_for(stored),
        subpopulations=subpopulations_for(stored), evaluation=evaluation_for(stored), form=form, backend=backend,
    )  # fmt: skip
    read = read_annotations(made)
    assert read.form == form
    for name in ("model", "context", "source", "metrics_settings"):
        assert getattr(read, name) == getattr(expected, name), name
    for table in ("latents_table", "presentations_table", "cells_table"):
        pd.testing.assert_frame_equal(getattr(read, table)(), getattr(expected, table)())
    pd.testing.assert_frame_equal(read.frames, expected.frames)
    assert read.metrics is not None
    assert expected.metrics is not None
    pd.testing.assert_frame_equal(read.metrics, expected.metrics)
    for one, other in (
        (read.attribution, expected.attribution),
        (read.fingerprints, expected.fingerprints),
        (read.subpopulations, expected.subpopulations),
    ):
        assert one is not None
        assert other is not None
        assert one.settings == other.settings
    np.testing.assert_array_equal(read.fingerprints.fingerprints, expected.fingerprints.fingerprints)
    np.testing.assert_array_equal(read.subpopulations.profile, expected.subpopulations.profile)
    for method, maps in expected.attribution.methods.items():
        np.testing.assert_array_equal(read.attribution.methods[method].pixels, maps.pixels)
