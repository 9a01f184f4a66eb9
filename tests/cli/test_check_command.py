from __future__ import annotations

import json
from pathlib import Path

import h5py
from typer.testing import CliRunner, Result

from nwb_mivae.cli.main import application
from tests.finished_run import FinishedRun
from tests.nwb_files import new_file, write


def without_subject(path: Path) -> Path:
    write(new_file(), path)
    with h5py.File(path, "r+") as file:
        del file["general/subject"]
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(application, ["check", *map(str, arguments)])


def test_a_run_that_can_be_uploaded_is_code_0(finished_run: FinishedRun) -> None:
    result = call(finished_run.run)

    assert result.exit_code == 0, result.output
    assert "results of a model stand in a module of their own on purpose" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("3 files, nothing blocks an upload: ")


def test_what_blocks_an_upload_is_said_first_and_is_code_3(finished_run: FinishedRun, tmp_path: Path) -> None:
    path = without_subject(tmp_path / "a.nwb")

    result = call(tmp_path, finished_run.run)

    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert lines[0] == str(path)
    assert lines[1].startswith("  ERROR    The file says nothing about the animal (comes from the recording; blocks")
    assert lines[2].strip() == "NWBI.check_subject_exists"
    assert lines[-1].startswith("4 files, 1 blocked: 1 of severity error, ")


def test_json_holds_every_finding_and_nothing_else(tmp_path: Path) -> None:
    without_subject(tmp_path / "a.nwb")

    result = call(tmp_path, "--json")

    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert document["counts"]["blocked"] == 1
    finding = document["files"][0]["findings"][0]
    assert finding["check"] == "NWBI.check_subject_exists"
    assert finding["blocks_upload"] is True
    assert finding["count"] == 1
    assert result.stderr == ""


def test_names_inside_a_file_do_not_steer_the_terminal(tmp_path: Path) -> None:
    path = write(new_file(), tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        file["general/subject/sex"][()] = "\x1b[2J"

    result = call(path)

    assert result.exit_code == 3
    assert "\x1b" not in result.stdout


def test_a_path_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    result = call(tmp_path / "missing.nwb")

    assert result.exit_code == 3
    assert "no such file or folder" in result.stderr
