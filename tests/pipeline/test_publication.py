"""Annotated files into a draft and back: names, descriptions, folders, refusals, and what a dry run leaves alone."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from nwb_mivae.annotation import annotate, read_annotations
from nwb_mivae.annotation.schema import KNOWN_SCHEMA
from nwb_mivae.archive import download_assets, find_assets
from nwb_mivae.cli.main import application
from nwb_mivae.errors import ArchiveError, OutputError
from nwb_mivae.pipeline import CheckedFile, RefusedFilesError, plan_publication, publish
from tests.annotation.sources import latents_for, model_record, replace, stored_for, write_source
from tests.archive.stub_uploads import TOKEN, StubUploads

ASSET = "12345678-1234-4321-8765-123456789abc"
SOURCE = f"dandi://000728@0.240827.1809/sub-m1/sub-m1_ses-1_ophys.nwb#asset={ASSET}"
PATH = "sub-m1/sub-m1_ses-1_desc-mivae_ophys.nwb"


def make_annotated(folder: Path, name: str = "source.nwb", *, address: str | None = SOURCE) -> Path:
    source = write_source(folder / name)
    stored = stored_for(source)
    stored.source["files"][0]["asset"] = address
    out = folder / "annotated" / f"{source.stem}_desc-mivae.nwb"
    model = model_record()
    elsewhere = model.training_sessions[0]._replace(dandiset_id="000402", dandiset_version="0.230307.2132")
    model = replace(model, training_sessions=(*model.training_sessions, elsewhere))
    return annotate(source, out, latents=latents_for(stored), stored=stored, model=model)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_annotated(tmp_path_factory.mktemp("original"))


@pytest.fixture(autouse=True)
def _unchecked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are checked in slow tests only: it takes seconds each."""
    if request.node.get_closest_marker("slow") is None:
        nothing: Any = lambda files, **_: [CheckedFile(Path(file), ()) for file in files]  # noqa: E731
        monkeypatch.setattr("nwb_mivae.pipeline.publication.check", nothing)


@pytest.fixture
def annotated(original: Path, tmp_path: Path) -> Path:
    (tmp_path / "annotated").mkdir()
    return Path(shutil.copy(original, tmp_path / "annotated" / original.name))


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return folder


@pytest.fixture
def draft(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubUploads]:
    with StubUploads() as running:
        monkeypatch.setattr("nwb_mivae.archive.prompt._silent", {})
        monkeypatch.setenv("DANDI_INSTANCE", running.url)
        monkeypatch.setenv("DANDI_CACHE", "ignore")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.delenv("DANDI_API_KEY", raising=False)
        monkeypatch.setenv(running.token_variable, TOKEN)
        monkeypatch.chdir(tmp_path)
        yield running


def call(*arguments: object) -> Result:
    return CliRunner().invoke(application, ["publish", *(str(argument) for argument in arguments)])


def with_text(file: Path, where: str, value: str | None) -> Path:
    with h5py.File(file, "r+") as opened:
        if where in opened:
            del opened[where]
        if value is not None:
            opened[where] = value
    return file


@pytest.mark.slow
def test_from_an_annotated_file_to_the_archive_and_back(draft: StubUploads, annotated: Path, tmp_path: Path) -> None:
    published = publish(plan_publication([annotated], "000999"))

    (asset,) = published.assets
    assert asset.path == PATH
    (back,) = download_assets(find_assets("000999", instance=draft.url), tmp_path / "back")
    assert back.read_bytes() == annotated.read_bytes()
    assert np.array_equal(
        read_annotations(back).blocks["neural_shared"].mean, read_annotations(annotated).blocks["neural_shared"].mean
    )
    laid_out = tmp_path / "dandiset-000999"
    assert (laid_out / PATH).samefile(annotated)
    assert find_assets("000999", instance=draft.url, modalities=["ophys"])[0].subject == "m1"


def test_the_draft_says_what_it_was_made_from_and_with_what(draft: StubUploads, annotated: Path) -> None:
    before = dict(draft.metadata)
    plan = plan_publication(
        [annotated], "000999", license="spdx:CC-BY-4.0", contributors=["Doe, Jane <jane@example.org>"]
    )
    publish(plan)

    told = draft.metadata
    assert {name: told[name] for name in ("id", "name", "keywords")} == {
        name: before[name] for name in ("id", "name", "keywords")
    }
    assert [each["name"] for each in told["contributor"]] == ["Owner, Olga", "Doe, Jane"]
    assert told["license"] == ["spdx:CC-BY-4.0"]
    (source, trained_on) = told["relatedResource"]
    assert source == {
        "schemaKey": "Resource",
        "relation": "dcite:IsDerivedFrom",
        "resourceType": "dcite:Dataset",
        "name": "Dandiset 000728",
        "identifier": "DANDI:000728/0.240827.1809",
        "url": "https://dandiarchive.org/dandiset/000728/0.240827.1809",
        "repository": "dandi",
    }
    assert trained_on["identifier"] == "DANDI:000402/0.230307.2132"
    (project,) = told["wasGeneratedBy"]
    (software,) = project["wasAssociatedWith"]
    assert (software["name"], software["schemaKey"]) == ("nwb_mivae", "Software")
    assert re.match(r"\d+\.\d+", software["version"])
    (asset,) = draft.assets.values()
    assert ASSET in asset.metadata["relatedResource"][0]["url"]
    assert "nwb_mivae" in json.dumps(asset.metadata["wasGeneratedBy"])
    assert asset.metadata["wasAttributedTo"][0]["identifier"] == "m1"
    described = yaml.safe_load(Path("dandiset-000999/dandiset.yaml").read_text())
    assert described["identifier"] == "DANDI:000999"
    assert described["relatedResource"] == told["relatedResource"]


def test_a_second_time_nothing_is_left_to_do(draft: StubUploads, annotated: Path) -> None:
    publish(plan_publication([annotated], "000999"))
    before = Path("dandiset-000999/dandiset.yaml").read_bytes()
    draft.requests.clear()
    plan = plan_publication([annotated], "000999")
    assert [planned.action for planned in plan.upload.files] == ["keep"]
    assert plan.upload.additions == {}
    publish(plan)
    assert draft.changes == []
    assert Path("dandiset-000999/dandiset.yaml").read_bytes() == before


def test_a_dry_run_changes_nothing_anywhere(
    draft: StubUploads, annotated: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(draft.token_variable)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    result = call(annotated.parent, "--dandiset", "000999", "--dry-run")
    assert result.exit_code == 0, result.output
    assert f"send: {PATH}" in result.stdout
    assert "relatedResource + dcite:IsDerivedFrom Dandiset 000728" in result.stdout
    assert "Nothing was sent" in result.stdout
    values = json.loads(call(annotated, "--dandiset", "000999", "--dry-run", "--json").stdout)
    (file,) = values["files"]
    assert (file["path"], file["size"], file["action"]) == (PATH, annotated.stat().st_size, "send")
    assert re.fullmatch(r"[0-9a-f]{32}-1", file["digest"]["dandi:dandi-etag"])
    assert set(values["additions"]) == {"description", "relatedResource", "wasGeneratedBy"}
    assert values["published"] is False

    assert {method for method, _, _ in draft.requests} == {"GET"}
    assert not [headers for _, _, headers in draft.requests if int(headers.get("Content-Length") or 0)]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_new_dandiset_is_made_once(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with StubUploads(None) as archive:
        monkeypatch.setenv(archive.token_variable, TOKEN)
        wanted = [annotated, "--new", "--title", "Shared latents", "--instance", archive.url, "--out", "folder"]
        dry = call(*wanted, "--dry-run")
        assert dry.exit_code == 0, dry.output
        assert archive.requests == []
        assert "a new dandiset, 'Shared latents'" in dry.stdout
        archive.fail("PUT", "/blobs/", 403)
        stopped = call(*wanted, "--json")
        assert stopped.exit_code == 3, stopped.output
        assert json.loads(stopped.stdout)["missing"] == [PATH]
        assert yaml.safe_load(Path("folder/dandiset.yaml").read_text())["identifier"] == "DANDI:000321"
        archive.faults.clear()
        again = call(*wanted, "--json")
        assert again.exit_code == 0, again.output
        assert json.loads(again.stdout)["dandiset"] == "000321"
        assert set(archive.paths) == {PATH}
        assert len([1 for method, path in archive.changes if path.startswith("/api/dandisets/?")]) == 1
        assert archive.metadata["name"] == "Shared latents"
        # In another folder the title is found among one's own dandisets.
        other = call(*wanted[:-1], "elsewhere")
        assert other.exit_code == 3
        assert "--dandiset 000321" in other.stderr


def test_no_dandiset_is_made_for_a_folder_that_cannot_be_written(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StubUploads(None) as archive:
        monkeypatch.setenv(archive.token_variable, TOKEN)
        Path("file").touch()
        result = call(annotated, "--new", "--title", "T", "--instance", archive.url, "--out", "file/folder")
        assert result.exit_code == 3
        assert "file/folder" in result.stderr
        assert archive.changes == []


def test_a_folder_of_one_archive_is_not_gone_on_with_on_another(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [annotated, "--new", "--title", "T", "--out", "folder", "--instance"]
    with StubUploads(None) as sandbox, StubUploads(None) as archive:
        for each in (sandbox, archive):
            monkeypatch.setenv(each.token_variable, TOKEN)
        assert call(*wanted, sandbox.url).exit_code == 0
        assert call(*wanted, sandbox.url).exit_code == 0
        result = call(*wanted, archive.url)
        assert result.exit_code == 3
        assert "another archive" in result.stderr
        assert archive.requests == []


def test_after_an_interruption_the_command_says_what_is_up_and_goes_on(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copy(annotated, annotated.with_name("b.nwb")))
    with_text(other, "general/session_id", "2")
    second = PATH.replace("ses-1", "ses-2")
    made = draft._new_asset

    def only_one(body: dict[str, Any]) -> dict[str, Any]:
        draft.fail("POST", "/assets/", 500)
        return made(body)

    monkeypatch.setattr(draft, "_new_asset", only_one)
    result = call(annotated.parent, "--dandiset", "000999")
    assert result.exit_code == 3, result.output
    assert f"Up: {PATH}. Not up: {second}" in result.stderr
    assert set(draft.paths) == {PATH}
    draft.faults.clear()
    draft.requests.clear()
    done = call(annotated.parent, "--dandiset", "000999")
    assert done.exit_code == 0, done.output
    assert "1 of them sent now" in done.stdout
    assert set(draft.paths) == {PATH, second}
    # The bytes had arrived before, so they were not sent again.
    assert not [path for _, path in draft.changes if path.startswith("/blobs/")]


def test_control_c_says_what_is_up(draft: StubUploads, annotated: Path) -> None:
    other = Path(shutil.copy(annotated, annotated.with_name("b.nwb")))
    with_text(other, "general/session_id", "2")
    draft.fail("PUT", "/blobs/", "interrupt", times=1)
    result = call(annotated.parent, "--dandiset", "000999", "--json")
    assert result.exit_code == 130, result.output
    said = json.loads(result.stdout)["remedy"]
    assert said.startswith("Up: nothing. Not up: ")
    assert PATH in said
    assert "The description of the draft was completed" in said
    assert draft.paths == {}


def test_control_c_says_that_a_dandiset_was_made(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StubUploads(None) as archive:
        monkeypatch.setenv(archive.token_variable, TOKEN)
        archive.fail("PUT", "/blobs/", "interrupt", times=1)
        result = call(annotated, "--new", "--title", "T", "--instance", archive.url, "--json")
    assert result.exit_code == 130, result.output
    assert "Dandiset 000321 was made" in json.loads(result.stdout)["remedy"]


@pytest.mark.parametrize(("method", "path"), [("PUT", "/blobs/"), ("GET", "/versions/draft/")])
def test_a_failure_says_that_a_dandiset_was_made(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    with StubUploads(None) as archive:
        monkeypatch.setenv(archive.token_variable, TOKEN)
        archive.fail(method, path, 403)
        result = call(annotated, "--new", "--title", "T", "--instance", archive.url, "--json")
    assert result.exit_code == 3, result.output
    said = json.loads(result.stdout)
    assert "Dandiset 000321 was made" in said["found"]
    assert said["changes"][0] == "Dandiset 000321 was made"
    assert said["missing"] == [PATH]


def test_a_folder_that_cannot_be_written_after_a_dandiset_was_made_is_no_reason_to_keep_quiet_of_it(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OutputError("no space left on the disk", file="folder")

    monkeypatch.setattr("nwb_mivae.pipeline.publication.write_description", refuse)
    with StubUploads(None) as archive:
        monkeypatch.setenv(archive.token_variable, TOKEN)
        result = call(annotated, "--new", "--title", "T", "--instance", archive.url)
    assert result.exit_code == 3, result.output
    assert "no space left" in result.stderr
    assert "Dandiset 000321 was made" in result.stderr


def a_zarr_folder(place: Path) -> Path:
    place.mkdir()
    (place / ".zgroup").write_text("{}")
    return place


def test_zarr_folders_do_not_keep_files_from_being_published(draft: StubUploads, annotated: Path) -> None:
    zarr = a_zarr_folder(annotated.parent / "g.nwb.zarr")
    result = call(annotated.parent, "--dandiset", "000999")
    assert result.exit_code == 0, result.output
    assert set(draft.paths) == {PATH}
    assert f"Zarr folders are not sent: {zarr}" in result.stderr
    with pytest.raises(RefusedFilesError, match="hdf5 backend"):
        plan_publication([zarr], "000999")


def test_results_of_a_later_schema_are_noted(draft: StubUploads, annotated: Path) -> None:
    assert not [note for note in plan_publication([annotated], "000999").notes if "schema" in note]
    with h5py.File(annotated, "r+") as file:
        file["specifications/ndx-mivae"].move(KNOWN_SCHEMA, "99.0.0")
    (note,) = [note for note in plan_publication([annotated], "000999").notes if "schema" in note]
    assert f"{PATH} (99.0.0)" in note


def test_what_appears_in_the_folder_after_planning_is_not_replaced(draft: StubUploads, annotated: Path) -> None:
    plan = plan_publication([annotated], "000999")
    place = Path("dandiset-000999", PATH)
    place.parent.mkdir(parents=True)
    place.write_text("somebody's own")
    with pytest.raises(OutputError, match="--replace"):
        publish(plan)
    assert place.read_text() == "somebody's own"
    assert draft.changes == []


def test_a_token_is_looked_for_before_files_are_read(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(draft.token_variable)
    monkeypatch.setattr("nwb_mivae.pipeline.publication.find_annotated_files", lambda *_: pytest.fail("files read"))
    result = call(annotated, "--dandiset", "000999")
    assert result.exit_code == 3, result.output
    assert draft.token_variable in result.stderr


@pytest.mark.parametrize(
    ("dandiset", "said"),
    [
        ("99", "'99', which is not a dandiset's number; expected six digits. Write 000099"),
        ("DANDI:000999", "copy them"),
    ],
)
def test_what_is_no_number_of_a_dandiset_is_said(annotated: Path, dandiset: str, said: str) -> None:
    with pytest.raises(ArchiveError, match=f"(?i){re.escape(said)}"):
        plan_publication([annotated], dandiset)


@pytest.mark.slow
def test_all_that_is_wrong_is_said_at_once(draft: StubUploads, annotated: Path, tmp_path: Path) -> None:
    folder = annotated.parent
    recording = write_source(folder / "a-recording.nwb")
    with_text(Path(shutil.copy(annotated, folder / "b-slash.nwb")), "general/session_id", "1/2")
    with_text(Path(shutil.copy(annotated, folder / "c-nobody.nwb")), "general/subject/subject_id", None)
    (folder / "d-broken.nwb").write_bytes(b"not HDF5")
    with_text(Path(shutil.copy(annotated, folder / "e-same.nwb")), "general/notes", "of another run")
    with_text(Path(shutil.copy(annotated, folder / "f-sexless.nwb")), "general/subject/sex", None)
    with_text(folder / "f-sexless.nwb", "general/session_id", "3")
    a_zarr_folder(folder / "g.nwb.zarr")
    draft.requests.clear()

    with pytest.raises(RefusedFilesError) as refusal:
        plan_publication([folder, tmp_path / "absent"], "000999")

    said = {Path(str(problem.file)).name: str(problem) for problem in refusal.value.refused}
    assert set(said) == {recording.name, "b-slash.nwb", "c-nobody.nwb", "d-broken.nwb", annotated.name, "f-sexless.nwb",
                         "g.nwb.zarr", "absent"}  # fmt: skip
    assert "no results of nwb_mivae" in said[recording.name]
    assert "session_id '1/2'" in said["b-slash.nwb"]
    assert "no subject_id" in said["c-nobody.nwb"]
    assert "e-same.nwb" in said[annotated.name]
    assert "check_subject_sex" in said["f-sexless.nwb"]
    assert "hdf5 backend" in said["g.nwb.zarr"]
    assert draft.requests == []
    assert not Path("dandiset-000999").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anything.nwb", PATH),
        ("sub-m1_ses-1_desc-plane2-mivae_ophys.nwb", "sub-m1/sub-m1_ses-1_desc-plane2-mivae_ophys.nwb"),
        ("sub-m1_ses-1_desc-mivae_behavior+ophys.nwb", "sub-m1/sub-m1_ses-1_desc-mivae_behavior+ophys.nwb"),
        # What the name says of the animal is not what the file says.
        ("sub-other_ses-1_desc-mivae_ophys.nwb", PATH),
        ("sub-m1_ses-1_desc-mine_ophys.nwb", PATH),
    ],
)
def test_the_path_follows_from_the_metadata(draft: StubUploads, annotated: Path, name: str, expected: str) -> None:
    file = annotated.rename(annotated.with_name(name))
    assert [planned.local.path for planned in plan_publication([file], "000999").upload.files] == [expected]


def test_values_are_made_fit_for_names_as_dandi_does(draft: StubUploads, annotated: Path) -> None:
    with_text(annotated, "general/session_id", "day 1_a.b")
    (planned,) = plan_publication([annotated], "000999").upload.files
    assert planned.local.path == "sub-m1/sub-m1_ses-day-1-a-b_desc-mivae_ophys.nwb"


def test_earlier_results_stay_unless_asked(draft: StubUploads, annotated: Path) -> None:
    publish(plan_publication([annotated], "000999"))
    before = draft.paths[PATH]
    newer = Path(shutil.copy(annotated, annotated.with_name("newer.nwb")))
    with_text(newer, "general/notes", "newer")
    annotated.unlink()

    with pytest.raises(RefusedFilesError, match="--replace"):
        plan_publication([newer], "000999")
    with pytest.raises(ArchiveError, match="--replace"):
        plan_publication([newer], "000999", out="another-folder")
    assert draft.paths == {PATH: before}

    publish(plan_publication([newer], "000999", replace=True))
    assert draft.paths == {PATH: newer.read_bytes()}
    assert Path("dandiset-000999", PATH).read_bytes() == newer.read_bytes()


def test_a_description_that_is_there_loses_nothing(draft: StubUploads, annotated: Path) -> None:
    folder = Path("mine")
    folder.mkdir()
    (folder / "dandiset.yaml").write_text("# by hand\nidentifier: '000999'\nname: Mine\nfunding: [them]\n")
    publish(plan_publication([annotated], "000999", out=folder))
    described = yaml.safe_load((folder / "dandiset.yaml").read_text())
    assert (described["name"], described["funding"], described["identifier"]) == ("Mine", ["them"], "000999")
    assert described["relatedResource"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("identifier: DANDI:000111\n", "dandiset 000111"),
        ("identifier: DANDI:000999\nrepository: https://dandiarchive.org/\n", "another archive"),
        # To YAML a number, of which the digits are gone.
        ("identifier: 000321\n", "in quotes"),
        ("[a\n", "not YAML"),
        ("- a\n", "a list"),
    ],
)
def test_a_folder_of_something_else_is_refused(draft: StubUploads, annotated: Path, text: str, found: str) -> None:
    Path("mine").mkdir()
    Path("mine/dandiset.yaml").write_text(text)
    with pytest.raises(OutputError, match=found):
        plan_publication([annotated], "000999", out="mine")


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"license": "GPL"}, "license"),
        ({"contributors": ["Jane"]}, "contributor"),
        ({"contributors": ["Doe, Jane <nowhere>"]}, "contributor"),
    ],
)
def test_what_the_schema_does_not_allow_is_refused(
    draft: StubUploads, annotated: Path, settings: dict[str, Any], found: str
) -> None:
    with pytest.raises(ArchiveError, match=found):
        plan_publication([annotated], "000999", **settings)
    assert draft.changes == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--new"],
        ["--dandiset", "000999", "--title", "T"],
        ["--dandiset", "000999", "--new", "--title", "T"],
        [],
    ],
)
def test_either_a_dandiset_or_a_title(draft: StubUploads, annotated: Path, arguments: list[str]) -> None:
    assert call(annotated, *arguments).exit_code == 2
    assert call(annotated, "--dandiset", "17").exit_code == 3
    assert call(annotated, "--new", "--title", " ").exit_code == 3
    assert draft.requests == []


def test_without_a_valid_token_nothing_is_written(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(draft.token_variable)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked for a token"))
    result = call(annotated, "--dandiset", "000999")
    assert result.exit_code == 3
    assert draft.token_variable in result.stderr
    assert not Path("dandiset-000999").exists()
    monkeypatch.setenv(draft.token_variable, "wrong")
    result = call(annotated, "--dandiset", "000999")
    assert "does not take the token" in result.stderr
    assert not Path("dandiset-000999").exists()


def test_notes_say_what_is_left_to_do(draft: StubUploads, tmp_path: Path) -> None:
    file = make_annotated(tmp_path, address=None)
    result = call(file, "--dandiset", "000999", "--dry-run")
    assert "1 of 1 files do not name the asset" in result.stdout
    assert "the draft has no license" in result.stdout


@pytest.mark.slow
def test_the_token_is_in_nothing_that_is_written_or_said(
    draft: StubUploads, annotated: Path, tmp_path: Path, home: Path
) -> None:
    results = [call(annotated, "--dandiset", "000999", *more) for more in (["--dry-run"], [], ["--json"])]
    draft.fail("GET", "/users/me/", 403, body=f'{{"detail": "token {TOKEN}"}}'.encode())
    results.append(call(annotated, "--dandiset", "000999"))
    assert [result.exit_code for result in results] == [0, 0, 0, 3]
    assert not [result for result in results if TOKEN in result.output]
    written = [path for folder in (tmp_path, home) for path in folder.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]


def test_files_are_copied_where_there_are_no_links(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    publish(plan_publication([annotated], "000999"))
    copied = Path("dandiset-000999", PATH)
    assert copied.read_bytes() == annotated.read_bytes()
    assert not copied.samefile(annotated)


@pytest.mark.parametrize("change", ["gone", "longer"])
def test_a_file_that_changed_after_it_was_planned_is_refused_before_anything_is_done(
    draft: StubUploads, annotated: Path, change: str
) -> None:
    plan = plan_publication([annotated], "000999")
    if change == "gone":
        annotated.unlink()
    else:
        with_text(annotated, "general/notes", "newer")
    with pytest.raises(OutputError, match="changed since"):
        publish(plan)
    assert draft.changes == []
    assert not Path("dandiset-000999").exists()


def test_a_file_and_what_was_laid_out_of_it_are_one(draft: StubUploads, annotated: Path, tmp_path: Path) -> None:
    (tmp_path / "source.nwb").unlink(missing_ok=True)
    publish(plan_publication([annotated], "000999", out="earlier"))
    shutil.copy(annotated, annotated.with_name("copy.nwb"))
    plan = plan_publication([tmp_path], "000999", out="later")
    assert [planned.local.path for planned in plan.upload.files] == [PATH]


def test_files_that_may_only_be_read_are_linked_too(
    draft: StubUploads, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the tests run as root nothing is read-only; a file with another name elsewhere is left alone in any case.
    def refuse(path: Any, *_: object) -> None:
        if Path(path).stat().st_nlink > 1:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "truncate", refuse)
    publish(plan_publication([annotated], "000999"))
    assert Path("dandiset-000999", PATH).samefile(annotated)


def test_of_a_run_the_annotated_files_are_published_from_its_own_folder(
    draft: StubUploads, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "provenance.json").write_text("{}")
    write_source(tmp_path / "not-annotated.nwb")
    models: list[Any] = []

    def check(files: Any, *, model: Any) -> list[CheckedFile]:
        models.append(model)
        return [CheckedFile(Path(file), ()) for file in files]

    monkeypatch.setattr("nwb_mivae.pipeline.publication.check", check)
    plan = plan_publication([tmp_path], "000999")
    assert [planned.local.file for planned in plan.upload.files] == [annotated]
    assert plan.folder == tmp_path / "dandiset"
    assert models == [tmp_path / "model"]


def test_what_is_laid_out_is_not_taken_for_a_source(draft: StubUploads, annotated: Path, tmp_path: Path) -> None:
    (tmp_path / "source.nwb").unlink(missing_ok=True)
    publish(plan_publication([annotated], "000999"))
    assert len(plan_publication([tmp_path], "000999").upload.files) == 1


def test_files_of_the_first_schema_name_their_source_too(draft: StubUploads) -> None:
    old = Path(__file__).parents[2] / "extensions/ndx-mivae/src/pynwb/tests/back_compat/0.1.0.nwb"
    plan = plan_publication([old], "000999")
    assert plan.upload.additions["relatedResource"][0]["identifier"] == "DANDI:000728/0.240827.1809"
