from __future__ import annotations

import shutil
import warnings
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import nwbinspector
import pytest
from nwbinspector import Importance, register_check
from pynwb import NWBHDF5IO, NWBFile, ProcessingModule, TimeSeries
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject

from nwb_mivae.annotation import annotate
from nwb_mivae.archive import validate_for_dandi
from nwb_mivae.errors import ArchiveError
from tests.annotation.sources import latents_for, model_record, stored_for, write_source

SUBJECT = {"subject_id": "mouse-1", "species": "Mus musculus", "sex": "F", "age": "P90D"}


def write(path: Path, subject: dict[str, Any] | None) -> Path:
    content = NWBFile(
        session_description="a session",
        identifier="an identifier",
        session_start_time=datetime(2026, 1, 2, tzinfo=UTC),
        session_id="one",
        experimenter=["Doe, Jane"],
        institution="somewhere",
        lab="a lab",
        keywords=["vision"],
        experiment_description="looking",
        subject=None if subject is None else Subject(description="a mouse", **subject),
    )
    content.add_acquisition(
        TimeSeries(name="speed", description="of the wheel", data=np.arange(10.0), unit="m/s", rate=10.0)
    )
    with NWBHDF5IO(path, "w") as io:
        io.write(content)
    return path


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("validation asked the network")

    monkeypatch.setattr("socket.socket.connect", refuse)


def test_a_good_file_gives_no_finding(tmp_path: Path) -> None:
    path = write(tmp_path / "good.nwb", SUBJECT)
    before = path.read_bytes()

    assert validate_for_dandi(path) == []
    assert path.read_bytes() == before


def test_a_file_without_subject_would_be_refused(tmp_path: Path) -> None:
    findings = validate_for_dandi(write(tmp_path / "a.nwb", None))

    assert findings[0].blocks_upload
    assert "check_subject_exists" in findings[0].check


def test_a_species_the_archive_cannot_interpret_is_found(tmp_path: Path) -> None:
    findings = validate_for_dandi(write(tmp_path / "a.nwb", {**SUBJECT, "species": "Felis imaginaria"}))

    (finding,) = [finding for finding in findings if finding.check == "dandi.metadata"]
    assert finding.severity == "error"
    assert "species" in finding.message


def test_a_species_only_the_network_knows_is_said_and_not_asked(tmp_path: Path) -> None:
    species = "http://purl.obolibrary.org/obo/NCBITaxon_999999999"
    findings = validate_for_dandi(write(tmp_path / "a.nwb", {**SUBJECT, "species": species}))

    (finding,) = [finding for finding in findings if finding.check == "dandi.species"]
    assert finding.severity == "info"
    assert not finding.blocks_upload


def test_a_file_that_is_not_hdf5_gives_findings(tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(b"not HDF5")

    assert any(finding.blocks_upload for finding in validate_for_dandi(path))


def test_inside_a_dandiset_the_name_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "dandiset.yaml").write_text("identifier: DANDI:000999\n")
    (tmp_path / "sub-mouse-1").mkdir()
    good = write(tmp_path / "sub-mouse-1" / "sub-mouse-1_ses-one.nwb", SUBJECT)
    bad = write(tmp_path / "anything.nwb", SUBJECT)

    assert validate_for_dandi(good) == []
    assert any("DANDI" in finding.check for finding in validate_for_dandi(bad))


def test_a_zarr_file_is_looked_into_as_well(tmp_path: Path) -> None:
    hdmf_zarr = pytest.importorskip("hdmf_zarr")
    path = tmp_path / "sub-mouse-1_ses-one.nwb.zarr"
    with (
        NWBHDF5IO(write(tmp_path / "a.nwb", {**SUBJECT, "age": None}), "r") as reading,
        hdmf_zarr.NWBZarrIO(str(path), "w") as writing,
    ):
        writing.export(src_io=reading, write_args={"link_data": False})
    (tmp_path / "dandiset.yaml").write_text("identifier: DANDI:000999\n")

    findings = {finding.check: finding for finding in validate_for_dandi(path)}

    assert set(findings) == {"NWBI.check_subject_age", "DANDI.NON_DANDI_FOLDERNAME"}
    assert findings["NWBI.check_subject_age"].blocks_upload
    assert findings["DANDI.NON_DANDI_FOLDERNAME"].cause == "file"
    attributes = path / "acquisition" / "speed" / "data" / ".zattrs"
    attributes.write_text(attributes.read_text().replace("unit", "unity"))
    (path / ".zmetadata").unlink()
    assert "pynwb.MissingError" in {finding.check for finding in validate_for_dandi(path)}
    shutil.rmtree(path / "acquisition")
    (path / ".zgroup").unlink(missing_ok=True)
    assert "NWBI.unreadable" in {finding.check for finding in validate_for_dandi(path)}


def test_rows_with_references_are_validated_in_zarr_too(tmp_path: Path) -> None:
    """hdmf-zarr does not tell their types, and pynwb's validator alone ends at the first of them."""
    pytest.importorskip("hdmf_zarr")
    source = write_source(tmp_path / "sub-m1_ses-1_ophys.nwb", references=True)
    stored = stored_for(source)
    path = annotate(
        source, form="copy", backend="zarr", latents=latents_for(stored), stored=stored, model=model_record()
    )

    assert not any(finding.blocks_upload for finding in validate_for_dandi(path))


def test_pickles_in_a_zarr_file_are_found_and_not_read(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    path = tmp_path / "a.nwb.zarr"
    root = zarr.open(str(path), mode="w")
    root.create_dataset("general/secret", shape=(1,), dtype=object, object_codec=numcodecs.Pickle())

    (finding,) = validate_for_dandi(path)

    assert (finding.check, finding.object_path) == ("zarr.pickles", "general/secret")
    assert finding.blocks_upload


def test_every_finding_inside_the_file_says_where(tmp_path: Path) -> None:
    """NWB Inspector itself leaves this open for tables and modules."""
    path = tmp_path / "a.nwb"
    with NWBHDF5IO(write(path, SUBJECT), "r+") as io:
        content = io.read()
        shown = TimeIntervals(name="shown", description="What was shown.")
        for start in (5.0, 3.0):
            shown.add_interval(start_time=start, stop_time=start - 1.0)
        content.add_time_intervals(shown)
        content.add_processing_module(ProcessingModule(name="own", description="A module."))
        io.write(content)

    where = {finding.check: finding.object_path for finding in validate_for_dandi(path)}

    assert where["NWBI.check_time_interval_time_columns"] == "intervals/shown"
    assert where["NWBI.check_processing_module_name"] == "processing/own"


def test_what_pynwb_misses_is_named_by_kind_and_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb", SUBJECT)
    with h5py.File(path, "r+") as file:
        del file["acquisition/speed/data"].attrs["unit"]

    (finding,) = [finding for finding in validate_for_dandi(path) if finding.check.startswith("pynwb.")]

    assert (finding.check, finding.object_path) == ("pynwb.MissingError", "acquisition/speed/data")
    assert "TimeSeries/data/unit" in finding.message


def test_a_check_of_the_inspector_that_breaks_is_a_short_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @register_check(importance=Importance.BEST_PRACTICE_VIOLATION, neurodata_type=TimeSeries)
    def broken(series: TimeSeries) -> None:
        raise ZeroDivisionError("of this series")

    nwbinspector.available_checks.remove(broken)  # where registering has put it, for other tests too
    monkeypatch.setattr("nwbinspector.available_checks", [broken])

    (finding,) = validate_for_dandi(write(tmp_path / "a.nwb", SUBJECT))

    assert (finding.check, finding.object_path) == ("NWBI.broken_check", "acquisition/speed")
    assert finding.blocks_upload
    assert "of this series" in finding.message
    assert "Traceback" not in finding.message


@pytest.mark.parametrize("result", ["mivae", "mivae_2"])
def test_what_the_annotation_brought_is_told_from_what_was_there(tmp_path: Path, result: str) -> None:
    source = write_source(tmp_path / "source.nwb")
    stored = stored_for(source)
    path = annotate(
        source,
        tmp_path / "annotated.nwb",
        latents=latents_for(stored),
        stored=stored,
        model=model_record(),
        name=result,
    )
    with h5py.File(path, "r+") as file:
        for place in ("processing/ophys/DfOverF/DfOverF/data", f"processing/{result}/latents_neural_shared/data"):
            del file[place].attrs["unit"]

    causes = {finding.object_path: finding.cause for finding in validate_for_dandi(path) if "pynwb" in finding.check}

    assert causes == {
        "processing/ophys/DfOverF/DfOverF/data": "source",
        f"processing/{result}/latents_neural_shared/data": "annotation",
    }


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no file"):
        validate_for_dandi(tmp_path / "missing.nwb")


def test_nothing_is_written_beside_the_file_or_into_the_home(tmp_path: Path, home: Path) -> None:
    path = write(tmp_path / "a.nwb", SUBJECT)

    validate_for_dandi(path)

    assert [found.name for found in tmp_path.iterdir()] == ["a.nwb"]
    assert list(home.rglob("*")) == []


def test_nothing_is_said_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(b"not HDF5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validate_for_dandi(path)
        validate_for_dandi(write(tmp_path / "b.nwb", None))

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["A8604-211122.nwb", "optinist_test_nwb.nwb", "roiextractors_ophys_nwb_test.nwb"])
def test_dandi_validate_finds_the_same(real_data: Path, name: str) -> None:
    """What `dandi validate` composes of its parts is composed here again, so as to say where a finding is."""
    from dandi.files import dandi_file

    path = real_data / "nwb" / name
    theirs = dandi_file(path).get_validation_errors()
    ours = [
        finding for finding in validate_for_dandi(path) if finding.severity != "hint" and "dandi." not in finding.check
    ]

    assert Counter(result.severity.name.lower() for result in theirs if result.severity) == Counter(
        finding.severity for finding in ours
    )
    assert {result.id for result in theirs if result.id.startswith("NWBI.")} == {
        finding.check for finding in ours if finding.check.startswith("NWBI.")
    }


def test_real_files_are_validated_without_an_exception(real_data: Path) -> None:
    for path in sorted((real_data / "nwb_broken").glob("*.nwb")):
        assert any(finding.blocks_upload for finding in validate_for_dandi(path))
