"""What earlier versions wrote is read, exported and added to; what later ones write opens, with a warning."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import h5py
import ndx_mivae
import numpy as np
import pynwb
import pytest
from ndx_mivae.dandi_asset import ASSET_PARTS
from ndx_mivae.testing import mock_LatentSeries
from pynwb import NWBHDF5IO, NWBFile, get_type_map
from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent
SPEC = HERE.parents[3] / "spec"
FIXTURES = sorted(HERE.glob("*.nwb"))
PRESENT = get_type_map().namespace_catalog.get_namespace("ndx-mivae").version

TYPES = {
    "0.1.0": {
        "LatentSeries",
        "MIVAEAnnotation",
        "MIVAEModel",
        "PresentationLatents",
        "RoiAttributionSeries",
        "StimulusAttributionSeries",
        "TrainingSessionsTable",
        "UnitAttributionSeries",
    },
}
TYPES["0.2.0"] = TYPES["0.1.0"] | {
    "AlignmentMetricsTable",
    "FunctionalFingerprints",
    "Subpopulations",
    "SubpopulationsTable",
}
ASSET_ID = {"0.1.0": "asset-0", "0.2.0": "00000000-0000-4000-8000-00000000000a"}

pytestmark = [
    # That files of other versions are warned of has a test of its own.
    pytest.mark.filterwarnings("ignore:Ignoring the following cached namespace"),
    pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion"),
]


@pytest.fixture(params=FIXTURES, ids=lambda path: path.stem)
def fixture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    # A copy, since some tests add to it.
    return Path(shutil.copy(request.param, tmp_path / request.param.name))


def check(nwbfile: NWBFile, version: str) -> None:
    """Values as they were when the fixture was written; written down here, because mocks may change."""
    module, annotation = nwbfile.processing["mivae"], nwbfile.lab_meta_data["mivae"]
    model, sessions = annotation.model, annotation.model.training_sessions
    items = [*module.data_interfaces.values(), annotation, model, sessions]
    if "subpopulations" in module.data_interfaces:
        items.append(module["subpopulations"].table)
    assert {type(item).__name__ for item in items} == TYPES[version]
    for item in items:
        assert type(item) is getattr(ndx_mivae, type(item).__name__)

    random = np.random.default_rng(0)
    latents = module["latents_neural_shared"]
    np.testing.assert_array_equal(latents.data[:], random.normal(size=(90, 3)).astype(np.float32))
    np.testing.assert_array_equal(latents.variance[:], random.uniform(0.1, 1.0, (90, 3)).astype(np.float32))
    assert latents.model is model
    presentations = module["presentation_latents_neural_shared"]
    assert presentations.presentations.table is nwbfile.intervals["movie_presentations"]
    assert presentations.presentations.data[:].tolist() == [0, 2, 3, 5]
    assert presentations.mean.shape == (4, 2, 3)
    assert module["attribution_score_cells"].rois.data[:].tolist() == [1, 2, 3, 4, 5]
    assert module["attribution_score_units"].units.table is nwbfile.units
    assert module["attribution_score_stimulus"].per_latent.shape == (3, 4, 6)

    asset = ("dandi", "000728", "0.240827.1809", "sub-mouse0/sub-mouse0_ophys.nwb", ASSET_ID[version])
    assert tuple(sessions[part].data[0] for part in ASSET_PARTS) == asset
    assert [sessions[part].data[1] for part in ASSET_PARTS] == [""] * 5
    assert tuple(getattr(annotation, f"source_{part}") for part in ASSET_PARTS) == asset
    address = f"dandi://000728@0.240827.1809/sub-mouse0/sub-mouse0_ophys.nwb#asset={ASSET_ID[version]}"
    assert annotation.source_dandi_asset == sessions["dandi_asset"].data[0] == address
    assert (annotation.context_clips, annotation.source_file_name) == (64, "sub-mouse0.nwb")
    assert annotation.form == (None if version == "0.1.0" else "copy")
    assert model.weights_sha256 == "0123456789abcdef" * 4


def check_file(path: Path, version: str) -> None:
    with NWBHDF5IO(str(path), "r") as reading:
        check(reading.read(), version)


def test_every_version_has_its_fixture():
    assert {path.stem for path in FIXTURES} == set(TYPES) == set(ASSET_ID)
    assert PRESENT in TYPES, "run make_fixture.py before this version is released"


def test_a_fixture_holds_the_specification_of_its_version():
    for path in FIXTURES:
        with h5py.File(path, "r") as file:
            assert list(file["specifications/ndx-mivae"]) == [path.stem]


def test_the_fixture_of_this_version_holds_the_specification_as_it_is():
    """What is about to be released is what the fixture was written with."""
    with h5py.File(HERE / f"{PRESENT}.nwb", "r") as file:
        kept = json.loads(file[f"specifications/ndx-mivae/{PRESENT}/ndx-mivae.extensions"][()])
    present = YAML(typ="safe").load((SPEC / "ndx-mivae.extensions.yaml").read_text(encoding="utf-8"))
    assert kept == present, "delete the fixture of the unreleased version, run make_fixture.py"


def test_it_is_read(fixture: Path):
    check_file(fixture, fixture.stem)


def test_it_is_valid(fixture: Path):
    assert pynwb.validate(path=str(fixture)) == []


@pytest.mark.parametrize("new_ids", [False, True])
def test_it_is_exported_with_the_present_specification(fixture: Path, tmp_path: Path, new_ids: bool):
    exported = tmp_path / "exported.nwb"
    with NWBHDF5IO(str(fixture), "r") as reading, NWBHDF5IO(str(exported), "w") as writing:
        nwbfile = reading.read()
        if new_ids:
            nwbfile.generate_new_id()
        writing.export(src_io=reading, nwbfile=nwbfile)
    check_file(exported, fixture.stem)
    assert pynwb.validate(path=str(exported)) == []
    with h5py.File(exported, "r") as file:
        assert list(file["specifications/ndx-mivae"]) == [PRESENT]
        # An object that did not change is copied as it was, one with a new id is written anew.
        if new_ids:
            assert "asset_path" in file["general/mivae/model/training_sessions"]


def test_it_is_added_to(fixture: Path):
    with NWBHDF5IO(str(fixture), "r+") as appending:
        nwbfile = appending.read()
        model = nwbfile.lab_meta_data["mivae"].model
        nwbfile.processing["mivae"].add(mock_LatentSeries(name="added", model=model))
        appending.write(nwbfile)
    check_file(fixture, fixture.stem)
    assert pynwb.validate(path=str(fixture)) == []
    with h5py.File(fixture, "r") as file:
        assert set(file["specifications/ndx-mivae"]) == {fixture.stem, PRESENT}
        assert "added" in file["processing/mivae"]


def test_it_is_read_without_the_package(fixture: Path, in_a_process_without_the_package: Callable[[str], str]):
    printed = in_a_process_without_the_package(
        f"""
        from pynwb import NWBHDF5IO
        with NWBHDF5IO({str(fixture)!r}, "r") as reading:
            nwbfile = reading.read()
            module, model = nwbfile.processing["mivae"], nwbfile.lab_meta_data["mivae"].model
            print(len(module.data_interfaces), module["latents_neural_shared"].model is model,
                  model.training_sessions.to_dataframe().dandi_asset[0][:14])
        """
    )
    assert printed == f"{6 if fixture.stem == '0.1.0' else 9} True dandi://000728"


def test_without_the_package_files_of_all_versions_are_read_in_one_process(
    in_a_process_without_the_package: Callable[[str], str],
):
    printed = in_a_process_without_the_package(
        f"""
        from pynwb import NWBHDF5IO
        for path in {[str(path) for path in FIXTURES]!r}:
            with NWBHDF5IO(path, "r") as reading:
                print(len(reading.read().processing["mivae"].data_interfaces))
        """
    )
    assert printed.split() == ["6", "9"]


# --- other versions -------------------------------------------------------------------------------------------------

OF_ANOTHER_VERSION = "cached version: {cached}, loaded version: " + PRESENT


def test_that_a_file_is_of_an_older_version_is_said():
    said = OF_ANOTHER_VERSION.format(cached="0.1.0")
    with pytest.warns(UserWarning, match=said), NWBHDF5IO(str(HERE / "0.1.0.nwb"), "r"):
        pass


@pytest.fixture
def of_a_newer_version(tmp_path: Path) -> Path:
    """A file of a version that has a field and a type more, written in another process."""
    for name in ("ndx-mivae.namespace.yaml", "ndx-mivae.extensions.yaml"):
        text = (SPEC / name).read_text(encoding="utf-8").replace(f"version: {PRESENT}", "version: 99.0.0")
        if "extensions" in name:
            start = text.index("- neurodata_type_def: LatentSeries")
            place = text.index("  attributes:\n", start) + len("  attributes:\n")
            field = "  - name: prior\n    dtype: text\n    doc: A field to come.\n"
            kind = (
                "- neurodata_type_def: LatentTrajectories\n  neurodata_type_inc: NWBDataInterface\n"
                "  doc: A type to come.\n  attributes:\n  - name: description\n    dtype: text\n    doc: Words.\n"
            )
            text = text[:place] + field + text[place:] + kind
        (tmp_path / name).write_text(text, encoding="utf-8")
    program = f"""
        from datetime import datetime, timezone
        from pynwb import NWBHDF5IO, NWBFile, get_class, load_namespaces
        load_namespaces({str(tmp_path / "ndx-mivae.namespace.yaml")!r})
        nwbfile = NWBFile(session_description="s", identifier="i", session_start_time=datetime.now(timezone.utc))
        module = nwbfile.create_processing_module("mivae", "Latents.")
        module.add(get_class("LatentSeries", "ndx-mivae")(
            name="latents", description="Latents.", data=[[0.0, 1.0]] * 3, timestamps=[0.0, 0.1, 0.3], unit="a.u.",
            space="neural_shared", prior="standard normal"))
        module.add(get_class("LatentTrajectories", "ndx-mivae")(name="trajectories", description="To come."))
        with NWBHDF5IO({str(tmp_path / "newer.nwb")!r}, "w") as writing:
            writing.write(nwbfile)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=300)
    return tmp_path / "newer.nwb"


def test_a_file_of_a_newer_version_opens_with_what_is_known_and_that_is_said(of_a_newer_version: Path):
    with pytest.warns(UserWarning, match=OF_ANOTHER_VERSION.format(cached="99.0.0")):
        reading = NWBHDF5IO(str(of_a_newer_version), "r")
    with reading:
        module = reading.read().processing["mivae"]
        assert set(module.data_interfaces) == {"latents"}
        assert type(module["latents"]) is ndx_mivae.LatentSeries
        assert module["latents"].data[:].tolist() == [[0.0, 1.0]] * 3
        assert not hasattr(module["latents"], "prior")


def test_adding_to_a_file_of_a_newer_version_leaves_what_is_unknown_in_it(of_a_newer_version: Path):
    with NWBHDF5IO(str(of_a_newer_version), "r+") as appending:
        nwbfile = appending.read()
        nwbfile.processing["mivae"].add(mock_LatentSeries(name="added"))
        appending.write(nwbfile)
    with h5py.File(of_a_newer_version, "r") as file:
        assert set(file["processing/mivae"]) == {"latents", "trajectories", "added"}
        assert file["processing/mivae/latents"].attrs["prior"] == "standard normal"
        assert set(file["specifications/ndx-mivae"]) == {"99.0.0", PRESENT}


@pytest.mark.parametrize("new_ids", [False, True])
def test_what_an_export_keeps_of_a_newer_version_is_as_the_policy_says(
    of_a_newer_version: Path, tmp_path: Path, new_ids: bool
):
    exported = tmp_path / "exported.nwb"
    with NWBHDF5IO(str(of_a_newer_version), "r") as reading, NWBHDF5IO(str(exported), "w") as writing:
        nwbfile = reading.read()
        if new_ids:
            nwbfile.generate_new_id()
        writing.export(src_io=reading, nwbfile=nwbfile)
    with h5py.File(exported, "r") as file:
        assert set(file["processing/mivae"]) == {"latents"} | (set() if new_ids else {"trajectories"})
        assert ("prior" in file["processing/mivae/latents"].attrs) is not new_ids
        assert list(file["specifications/ndx-mivae"]) == [PRESENT]


def test_a_file_of_a_newer_version_is_read_whole_without_the_package(
    of_a_newer_version: Path, in_a_process_without_the_package: Callable[[str], str]
):
    printed = in_a_process_without_the_package(
        f"""
        from pynwb import NWBHDF5IO
        with NWBHDF5IO({str(of_a_newer_version)!r}, "r") as reading:
            module = reading.read().processing["mivae"]
            print(module["latents"].prior, sorted(module.data_interfaces))
        """
    )
    assert printed == "standard normal ['latents', 'trajectories']"
