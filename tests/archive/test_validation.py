from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.file import Subject

from nwb_mivae.archive import validate_for_dandi
from nwb_mivae.errors import ArchiveError

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

    (finding,) = [finding for finding in findings if finding.check == "dandi.metadata"]
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


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no file"):
        validate_for_dandi(tmp_path / "missing.nwb")


def test_nothing_is_written_beside_the_file_or_into_the_home(tmp_path: Path, home: Path) -> None:
    path = write(tmp_path / "a.nwb", SUBJECT)

    validate_for_dandi(path)

    assert [found.name for found in tmp_path.iterdir()] == ["a.nwb"]
    assert list(home.rglob("*")) == []


def test_real_files_are_validated_without_an_exception(real_data: Path) -> None:
    for path in sorted((real_data / "nwb_broken").glob("*.nwb")):
        assert any(finding.blocks_upload for finding in validate_for_dandi(path))
