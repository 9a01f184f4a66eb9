from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import ndx_mivae
import numpy as np
import pynwb
import pytest
from ndx_mivae.testing import (
    mock_AlignmentMetricsTable,
    mock_FunctionalFingerprints,
    mock_LatentSeries,
    mock_MIVAEAnnotation,
    mock_MIVAEModel,
    mock_PresentationLatents,
    mock_StimulusAttributionSeries,
    mock_Subpopulations,
)
from nwbinspector import Importance, inspect_nwbfile, load_config
from pynwb import NWBHDF5IO, NWBFile
from pynwb.image import ImageSeries

# Parts of a file are linked before the file itself exists, about which hdmf warns.
pytestmark = pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion")

LARGE = json.dumps({"note": "x" * 100_000})


def check(nwbfile: NWBFile) -> None:
    """Every type read back with its values, links and regions, as the classes of the package."""
    module, annotation = nwbfile.processing["mivae"], nwbfile.lab_meta_data["mivae"]
    model = annotation.model
    read = (
        *module.data_interfaces.values(),
        annotation,
        model,
        model.training_sessions,
        module["subpopulations"].table,
    )
    types = {type(item).__name__ for item in read}
    assert types == set(ndx_mivae.__all__) - {"FORMS", "SPACES"}
    for item in read:
        assert type(item) is getattr(ndx_mivae, type(item).__name__)
    for item in module.data_interfaces.values():
        assert item.model is model

    latents = module["latents_neural_shared"]
    assert latents.space == "neural_shared"
    np.testing.assert_array_equal(latents.data[:], mock_LatentSeries().data)
    np.testing.assert_array_equal(latents.variance[:], mock_LatentSeries().variance)
    np.testing.assert_array_equal(module["latents_shared_clock"].get_timestamps()[:], latents.timestamps[:])

    presentations = module["presentation_latents_neural_shared"]
    assert presentations.presentations.table is nwbfile.intervals["movie_presentations"]
    np.testing.assert_array_equal(presentations.mean[:], mock_PresentationLatents().mean)
    np.testing.assert_allclose(presentations.bin_offsets_in_seconds[:], [0.0, 1 / 30])
    assert presentations.presentations.to_dataframe().start_time.tolist() == pytest.approx([0.0, 0.2, 0.3, 0.5])

    cells = module["attribution_score_cells"]
    assert cells.rois.data[:].tolist() == [1, 2, 3, 4, 5]
    assert isinstance(cells, pynwb.ophys.RoiResponseSeries)
    assert module["attribution_score_units"].units.table is nwbfile.units
    pixels = module["attribution_score_stimulus"]
    assert (pixels.data.shape, pixels.per_latent.shape) == ((90, 4, 6), (3, 4, 6))
    assert (pixels.method, pixels.target) == ("score", "stimulus_shared")
    assert json.loads(pixels.settings) == {"seed": 0}

    groups = module["subpopulations"]
    assert groups.cells.table is cells.rois.table
    assert groups.cells.data[:].tolist() == [1, 2, 3, 4, 5]
    assert groups.subpopulation[:].tolist() == [0, 0, 1, -1, 1]
    np.testing.assert_array_equal(groups.confidence[:], mock_Subpopulations().confidence)
    np.testing.assert_allclose(groups.bin_offsets_in_seconds[:], [0.0, 0.1, 0.2, 0.3])
    assert (groups.method, groups.target, groups.settings) == (
        "k-means of score attribution",
        "neural_shared",
        '{"seed": 0}',
    )
    table = mock_Subpopulations().table
    np.testing.assert_array_equal(groups.table["profile"].data[:], table["profile"].data)
    assert groups.table["n_cells"].data[:].tolist() == [2, 2]
    assert groups.table["stability"].data[:].tolist() == table["stability"].data.tolist()

    fingerprints = module["fingerprints"]
    assert fingerprints.cells.table is cells.rois.table
    np.testing.assert_array_equal(fingerprints.data[:], mock_FunctionalFingerprints().data)
    np.testing.assert_allclose(fingerprints.lags_in_seconds[:], [0.0, 1 / 30])
    assert json.loads(fingerprints.settings) == {"n_frames": 900}

    metrics, expected = module["alignment_metrics"], mock_AlignmentMetricsTable().to_dataframe()
    assert metrics.settings == '{"seed": 0}'
    found = metrics.to_dataframe()
    assert list(found.columns) == list(expected.columns)
    for name in expected.columns:
        assert found[name].tolist() == pytest.approx(expected[name].tolist(), nan_ok=True), name

    assert model.training_sessions["subject_id"].data[:].tolist() == ["mouse0", "mouse1"]
    assert model.training_sessions["asset_path"].data[:].tolist() == ["sub-mouse0/sub-mouse0_ophys.nwb", ""]
    expected_annotation = mock_MIVAEAnnotation()
    for name in (field["name"] for field in ndx_mivae.MIVAEAnnotation.get_fields_conf() if field["name"] != "model"):
        assert getattr(annotation, name) == getattr(expected_annotation, name), name


def check_file(path: Path, io: Any = NWBHDF5IO) -> None:
    with io(str(path), "r") as reading:
        check(reading.read())


def test_every_type_survives_a_file(written: Path):
    check_file(written)


def test_every_type_can_be_appended(make_fixture: Any, tmp_path: Path):
    path = tmp_path / "appended.nwb"
    with NWBHDF5IO(str(path), "w") as writing:
        writing.write(make_fixture.session())
    with NWBHDF5IO(str(path), "a") as appending:
        nwbfile = appending.read()
        make_fixture.annotate(nwbfile)
        appending.write(nwbfile)
    check_file(path)
    assert pynwb.validate(path=str(path)) == []


def test_every_type_can_be_exported(written: Path, tmp_path: Path):
    path = tmp_path / "exported.nwb"
    with NWBHDF5IO(str(written), "r") as reading, NWBHDF5IO(str(path), "w") as writing:
        writing.export(src_io=reading, nwbfile=reading.read())
    check_file(path)
    assert pynwb.validate(path=str(path)) == []


@pytest.mark.filterwarnings("ignore")  # hdmf-zarr and zarr warn of each other's future
def test_every_type_survives_zarr(annotated_file: NWBFile, tmp_path: Path):
    zarr = pytest.importorskip("hdmf_zarr", reason="needs hdmf-zarr").NWBZarrIO
    path = tmp_path / "written.nwb.zarr"
    with zarr(str(path), "w") as writing:
        writing.write(annotated_file)
    check_file(path, zarr)


@pytest.mark.filterwarnings("ignore")
def test_every_type_can_be_exported_to_zarr_and_back(written: Path, tmp_path: Path):
    zarr = pytest.importorskip("hdmf_zarr", reason="needs hdmf-zarr").NWBZarrIO
    there, back = tmp_path / "there.nwb.zarr", tmp_path / "back.nwb"
    with NWBHDF5IO(str(written), "r") as reading, zarr(str(there), "w") as writing:
        writing.export(src_io=reading, nwbfile=reading.read(), write_args={"link_data": False})
    check_file(there, zarr)
    with zarr(str(there), "r") as reading, NWBHDF5IO(str(back), "w") as writing:
        writing.export(src_io=reading, nwbfile=reading.read(), write_args={"link_data": False})
    check_file(back)
    assert pynwb.validate(path=str(back)) == []


def test_a_file_reads_without_the_package(written: Path, in_a_process_without_the_package: Callable[[str], str]):
    """The specification inside the file must do."""
    printed = in_a_process_without_the_package(
        f"""
        from pynwb import NWBHDF5IO
        with NWBHDF5IO({str(written)!r}, "r") as reading:
            nwbfile = reading.read()
            module, annotation = nwbfile.processing["mivae"], nwbfile.lab_meta_data["mivae"]
            model = annotation.model
            latents, cells = module["latents_neural_shared"], module["attribution_score_cells"]
            assert type(latents).__module__ == "abc" and type(latents).__name__ == "LatentSeries"
            assert latents.variance.shape == (90, 3) and latents.space == "neural_shared"
            assert latents.model is model and model.code_version == "0.1.0"
            assert cells.rois.data[:].tolist() == [1, 2, 3, 4, 5] and cells.method == "score"
            presentations = module["presentation_latents_neural_shared"]
            assert presentations.presentations.table is nwbfile.intervals["movie_presentations"]
            assert presentations.mean.shape == (4, 2, 3)
            assert module["attribution_score_units"].units.table is nwbfile.units
            assert module["attribution_score_stimulus"].data.shape == (90, 4, 6)
            assert model.training_sessions.to_dataframe().dandiset_id.tolist() == ["000728", ""]
            assert annotation.form == "copy" and annotation.source_dandiset_id == "000728"
            groups = module["subpopulations"]
            assert groups.cells.table is cells.rois.table and groups.subpopulation[:].tolist() == [0, 0, 1, -1, 1]
            assert groups.table.to_dataframe().n_cells.tolist() == [2, 2]
            assert module["fingerprints"].data.shape == (5, 2, 3)
            metrics = module["alignment_metrics"]
            assert metrics.model is model and metrics.to_dataframe().metric.tolist() == ["top1", "top1", "centred_r"]
        print("read")
        """
    )
    assert printed == "read"


def test_a_file_is_valid(written: Path):
    assert pynwb.validate(path=str(written)) == []


@pytest.mark.parametrize("configuration", [None, "dandi"])
def test_the_inspector_finds_nothing_critical(written: Path, configuration: str | None):
    config = None if configuration is None else load_config(configuration)
    messages = list(inspect_nwbfile(written, config=config))
    assert [message for message in messages if message.importance in (Importance.CRITICAL, Importance.ERROR)] == []
    # What else it says is of the mock imaging plane's area.
    said = {message.check_function_name for message in messages} - {"check_imaging_plane_location_allen_ccf"}
    assert said == {"check_processing_module_name"}


def test_a_configuration_larger_than_an_attribute_fits(make_fixture: Any, tmp_path: Path):
    nwbfile = make_fixture.session()
    mock_MIVAEAnnotation(nwbfile=nwbfile, model=mock_MIVAEModel(config=LARGE))
    with NWBHDF5IO(str(tmp_path / "large.nwb"), "w") as writing:
        writing.write(nwbfile)
    with NWBHDF5IO(str(tmp_path / "large.nwb"), "r") as reading:
        assert reading.read().lab_meta_data["mivae"].model.config == LARGE


@pytest.mark.parametrize(
    ("path", "attribute", "value", "message"),
    [
        ("processing/mivae/latents_neural_shared", "space", "elsewhere", "space is 'elsewhere', but must be one of"),
        ("processing/mivae/subpopulations", "target", "cells", "target is 'cells', but must be one of"),
        ("processing/mivae/fingerprints", "settings", "{", "settings is not JSON"),
        ("processing/mivae/alignment_metrics", "settings", "{", "settings is not JSON"),
        ("general/mivae", "form", "sidecar", "form is 'sidecar', but must be one of copy, append, companion"),
        ("general/mivae", "created", "yesterday", "created is 'yesterday', but must be a date and time"),
        ("general/mivae", "source_asset_id", "other", "source_dandi_asset is 'dandi://.*, but the parts given say"),
    ],
)
def test_a_file_that_breaks_a_rule_still_opens(written: Path, path: str, attribute: str, value: str, message: str):
    with h5py.File(written, "r+") as file:
        file[path].attrs[attribute] = value
    with NWBHDF5IO(str(written), "r") as reading:
        with pytest.warns(UserWarning, match=message):
            nwbfile = reading.read()
        of_lab = path == "general/mivae"
        item = nwbfile.lab_meta_data["mivae"] if of_lab else nwbfile.processing["mivae"][Path(path).name]
        assert getattr(item, attribute) == value


def test_arrays_of_a_file_that_do_not_fit_each_other_still_open(written: Path):
    with h5py.File(written, "r+") as file:
        group = file["processing/mivae/subpopulations"]
        del group["confidence"]
        group["confidence"] = np.zeros(3, np.float32)
    with NWBHDF5IO(str(written), "r") as reading:
        with pytest.warns(UserWarning, match="confidence has length 3, but cells has 5"):
            nwbfile = reading.read()
        assert nwbfile.processing["mivae"]["subpopulations"].confidence.shape == (3,)


def test_opening_a_file_loads_no_array(written: Path):
    with NWBHDF5IO(str(written), "r") as reading:
        module = reading.read().processing["mivae"]
        for item, name in (
            ("latents_neural_shared", "data"),
            ("latents_neural_shared", "variance"),
            ("presentation_latents_neural_shared", "mean"),
            ("fingerprints", "data"),
            ("subpopulations", "subpopulation"),
        ):
            assert isinstance(getattr(module[item], name), h5py.Dataset), name


def test_the_stimulus_and_the_attribution_grouped_can_be_linked(make_fixture: Any, tmp_path: Path):
    nwbfile = make_fixture.session()
    movie = ImageSeries(name="movie", description="A movie.", data=np.zeros((20, 4, 6)), unit="n.a.", rate=30.0)
    nwbfile.add_stimulus(movie)
    pixels = mock_StimulusAttributionSeries(nwbfile=nwbfile, stimulus=movie)
    mock_Subpopulations(nwbfile=nwbfile, attribution=pixels)
    with NWBHDF5IO(str(tmp_path / "linked.nwb"), "w") as writing:
        writing.write(nwbfile)
    assert pynwb.validate(path=str(tmp_path / "linked.nwb")) == []
    with NWBHDF5IO(str(tmp_path / "linked.nwb"), "r") as reading:
        read = reading.read()
        module = read.processing["mivae"]
        assert module["attribution_score_stimulus"].stimulus is read.stimulus["movie"]
        assert module["subpopulations"].attribution is module["attribution_score_stimulus"]


def test_cells_may_be_units(annotated_file: NWBFile, tmp_path: Path):
    region = annotated_file.processing["mivae"]["attribution_score_units"].units
    cells = pynwb.core.DynamicTableRegion(name="cells", description="Units.", data=[1, 2, 3, 4, 5], table=region.table)
    mock_FunctionalFingerprints(nwbfile=annotated_file, name="fingerprints_units", cells=cells)
    with NWBHDF5IO(str(tmp_path / "units.nwb"), "w") as writing:
        writing.write(annotated_file)
    with NWBHDF5IO(str(tmp_path / "units.nwb"), "r") as reading:
        read = reading.read()
        assert read.processing["mivae"]["fingerprints_units"].cells.table is read.units
