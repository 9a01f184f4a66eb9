from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import ndx_mivae
import numpy as np
import pynwb
import pytest
from ndx_mivae.testing import (
    mock_LatentSeries,
    mock_MIVAEAnnotation,
    mock_PresentationLatents,
    mock_RoiAttributionSeries,
    mock_StimulusAttributionSeries,
    mock_UnitAttributionSeries,
)
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject

# Parts of a file are linked before the file itself exists, about which hdmf warns.
pytestmark = pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion")

LARGE = json.dumps({"note": "x" * 100_000})


def empty_file() -> NWBFile:
    nwbfile = NWBFile(
        session_description="A mouse saw movies.",
        identifier="session",
        session_start_time=datetime(2025, 1, 1, tzinfo=UTC),
        session_id="1",
        experimenter=["Doe, Jane"],
        institution="Institute",
        keywords=["vision"],
        experiment_description="Natural movies.",
    )
    nwbfile.subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D", description="A mouse.")
    return nwbfile


def fill(nwbfile: NWBFile) -> None:
    """One object of every type, linked as an annotated file has them."""
    model = mock_MIVAEAnnotation(nwbfile=nwbfile).model
    latents = mock_LatentSeries(nwbfile=nwbfile, model=model)
    mock_LatentSeries(nwbfile=nwbfile, name="latents_shared_clock", timestamps=latents, model=model)
    mock_PresentationLatents(nwbfile=nwbfile, model=model)
    mock_RoiAttributionSeries(nwbfile=nwbfile, model=model)
    mock_UnitAttributionSeries(nwbfile=nwbfile, name="attribution_score_units", model=model)
    mock_StimulusAttributionSeries(nwbfile=nwbfile, model=model)


def check(path: Path, *, package: bool = True) -> None:
    """Every type reads back with its values, links and regions; ``package``: as the classes of the package."""
    with NWBHDF5IO(str(path), "r") as reading:
        nwbfile = reading.read()
        module, annotation = nwbfile.processing["mivae"], nwbfile.lab_meta_data["mivae"]
        for item in (*module.data_interfaces.values(), annotation, annotation.model):
            assert (type(item) is getattr(ndx_mivae, type(item).__name__, None)) is package
        latents = module["latents_neural_shared"]
        assert latents.model is annotation.model
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
        assert annotation.model.training_sessions["subject_id"].data[:].tolist() == ["mouse0", "mouse1"]
        assert annotation.context_clips == 64


@pytest.fixture
def written(tmp_path: Path) -> Path:
    nwbfile = empty_file()
    fill(nwbfile)
    with NWBHDF5IO(str(tmp_path / "written.nwb"), "w") as writing:
        writing.write(nwbfile)
    return tmp_path / "written.nwb"


def test_every_type_survives_a_file(written: Path):
    check(written)


def test_every_type_can_be_appended(tmp_path: Path):
    path = tmp_path / "appended.nwb"
    with NWBHDF5IO(str(path), "w") as writing:
        writing.write(empty_file())
    with NWBHDF5IO(str(path), "a") as appending:
        nwbfile = appending.read()
        fill(nwbfile)
        appending.write(nwbfile)
    check(path)


def test_every_type_can_be_exported(written: Path, tmp_path: Path):
    path = tmp_path / "exported.nwb"
    with NWBHDF5IO(str(written), "r") as reading, NWBHDF5IO(str(path), "w") as writing:
        writing.export(src_io=reading, nwbfile=reading.read())
    check(path)


def test_a_file_reads_without_the_package(written: Path):
    """In another process, where importing ``ndx_mivae`` fails: the specification inside the file must do."""
    program = f"""
        import sys
        sys.modules["ndx_mivae"] = None  # importing it raises ImportError from now on
        from pynwb import NWBHDF5IO
        with NWBHDF5IO({str(written)!r}, "r") as reading:
            nwbfile = reading.read()
            module = nwbfile.processing["mivae"]
            model = nwbfile.lab_meta_data["mivae"].model
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
            assert len(model.training_sessions.to_dataframe()) == 2
        print("read")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "read", done.stderr


def test_a_file_is_valid(written: Path):
    assert pynwb.validate(path=str(written)) == []


def test_the_inspector_finds_nothing_critical(written: Path):
    messages = list(inspect_nwbfile(written))
    assert [message for message in messages if message.importance in (Importance.CRITICAL, Importance.ERROR)] == []
    ours = [message for message in messages if "mivae" in f"{message.location} {message.object_name}"]
    assert {message.check_function_name for message in ours} == {"check_processing_module_name"}


def test_a_configuration_larger_than_an_attribute_fits(tmp_path: Path):
    from ndx_mivae.testing import mock_MIVAEModel

    nwbfile = empty_file()
    mock_MIVAEAnnotation(nwbfile=nwbfile, model=mock_MIVAEModel(config=LARGE))
    with NWBHDF5IO(str(tmp_path / "large.nwb"), "w") as writing:
        writing.write(nwbfile)
    with NWBHDF5IO(str(tmp_path / "large.nwb"), "r") as reading:
        assert reading.read().lab_meta_data["mivae"].model.config == LARGE


def test_a_file_that_breaks_a_rule_still_opens(written: Path):
    import h5py

    with h5py.File(written, "r+") as file:
        file["processing/mivae/latents_neural_shared"].attrs["space"] = "elsewhere"
    with (
        NWBHDF5IO(str(written), "r") as reading,
        pytest.warns(UserWarning, match="space is 'elsewhere', but must be one of"),
    ):
        assert reading.read().processing["mivae"]["latents_neural_shared"].space == "elsewhere"


def test_the_stimulus_can_be_linked(tmp_path: Path):
    nwbfile = empty_file()
    from pynwb.image import ImageSeries

    movie = ImageSeries(name="movie", description="A movie.", data=np.zeros((20, 4, 6)), unit="n.a.", rate=30.0)
    nwbfile.add_stimulus(movie)
    mock_StimulusAttributionSeries(nwbfile=nwbfile, stimulus=movie)
    with NWBHDF5IO(str(tmp_path / "linked.nwb"), "w") as writing:
        writing.write(nwbfile)
    assert pynwb.validate(path=str(tmp_path / "linked.nwb")) == []
    with NWBHDF5IO(str(tmp_path / "linked.nwb"), "r") as reading:
        read = reading.read()
        assert read.processing["mivae"]["attribution_score_stimulus"].stimulus is read.stimulus["movie"]
