"""Where a result came from."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError

import pytest

from nwb_mivae import provenance
from nwb_mivae.provenance import package_version, provenance_record


def test_the_record_says_version_command_time_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somebody/private/bin/nwb-mivae", "train", "--steps", "5"])
    record = provenance_record(seed=3, settings={"a": 1})
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["nwb_mivae"] == package_version()
    # The folder of the program says something of the machine and nothing of the result.
    assert record["command"] == ["nwb-mivae", "train", "--steps", "5"]
    assert record["packages"]["torch"]
    assert record["seed"] == 3
    assert record["settings"] == {"a": 1}
    created = datetime.fromisoformat(record["created"])
    assert created.utcoffset() == timedelta(0)


def test_programs_of_other_systems_are_named_without_their_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [r"C:\Users\a\nwb-mivae.exe"])
    assert provenance_record()["command"] == ["nwb-mivae.exe"]
    monkeypatch.setattr(sys, "argv", [])
    assert provenance_record()["command"] == []


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("dandi", "nwb-mivae"):
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(provenance, "version", version)
    record = provenance_record()
    assert "dandi" not in record["packages"]
    assert record["packages"]["torch"] == "1.0"
    assert record["nwb_mivae"] == "0+not.installed"
