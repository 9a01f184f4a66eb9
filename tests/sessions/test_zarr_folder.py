from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pandas as pd
import pytest

from nwb_mivae.annotation.backends import ZarrBackend
from nwb_mivae.clips.sources import identify
from nwb_mivae.errors import SessionError
from nwb_mivae.pipeline.sources import resolve_sources
from nwb_mivae.sessions import read_session, zarr_folder
from nwb_mivae.sessions.grouping import group_sources
from nwb_mivae.sessions.nwb import open_nwb
from tests.annotation.sources import write_source
from tests.layouts.cases import CASES

hdmf_zarr = pytest.importorskip("hdmf_zarr")


def as_zarr(source: Path) -> Path:
    target = source.with_name(f"{source.name}.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = open_nwb(source)
        try:
            ZarrBackend().export(opened.io, opened.nwbfile, target)
        finally:
            opened.close()
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return as_zarr(write_source(tmp_path / "source.nwb", references=True))


def refused(path: Path) -> SessionError:
    with pytest.raises(SessionError) as caught:
        open_nwb(path).close()
    assert caught.value.file == str(path)
    assert caught.value.remedy
    return caught.value


def test_a_folder_opens_with_what_it_says_of_itself(folder: Path) -> None:
    opened = open_nwb(folder)
    try:
        assert opened.stem == "source"
        assert opened.path == folder
        assert opened.provenance().identifier == "identifier-of-source"
        assert opened.provenance().nwb_version.startswith("2")
        table = opened.nwbfile.intervals["natural_movie_presentations"]
        assert opened.path_of(table) == "intervals/natural_movie_presentations"
    finally:
        opened.close()


def test_a_folder_that_is_not_zarr_is_refused(tmp_path: Path) -> None:
    assert "not Zarr" in refused(tmp_path).found


def test_zarr_of_version_3_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text("{}")
    assert "version 3" in refused(tmp_path).found


def test_without_hdmf_zarr_the_remedy_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_folder, "zarr_is_installed", lambda: False)
    assert refused(folder).remedy == 'pip install "nwb_mivae[zarr]"'


def test_a_folder_that_was_not_written_to_its_end_is_refused(folder: Path) -> None:
    (folder / ".zmetadata").unlink()
    assert ".zmetadata" in refused(folder).found


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"metadata": {}}'])
def test_damaged_metadata_are_refused(folder: Path, content: str) -> None:
    (folder / ".zmetadata").write_text(content)
    assert refused(folder).object_path == ".zmetadata"


def test_zarr_that_is_not_nwb_is_refused(folder: Path) -> None:
    metadata = json.loads((folder / ".zmetadata").read_text())
    del metadata["metadata"][".zattrs"]["nwb_version"]
    (folder / ".zmetadata").write_text(json.dumps(metadata))
    assert "without a version of NWB" in refused(folder).found


@pytest.mark.parametrize("whole_array", [False, True])
def test_a_chunk_that_did_not_arrive_is_missed(folder: Path, whole_array: bool) -> None:
    """Zarr would read zeros in its place."""
    array = folder / "processing/ophys/DfOverF/DfOverF/data"
    for path in [path for path in array.iterdir() if whole_array or not path.name.startswith(".")]:
        path.unlink()
    if whole_array:
        array.rmdir()
    error = refused(folder)
    assert error.found.startswith("0 of 1 chunks")
    assert error.object_path == "processing/ophys/DfOverF/DfOverF/data"


def test_pickles_are_refused_and_never_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As hdmf-zarr writes references by itself; older releases of numcodecs read them."""

    def unpickle(*_: Any) -> None:
        raise AssertionError("a pickle was read")

    monkeypatch.setattr(numcodecs.pickles.Pickle, "decode", unpickle)
    metadata = json.loads((folder / ".zmetadata").read_text())
    array = metadata["metadata"]["intervals/natural_movie_presentations/timeseries/.zarray"]
    array["filters"] = [numcodecs.Pickle().get_config()]
    (folder / ".zmetadata").write_text(json.dumps(metadata))
    error = refused(folder)
    assert "pickles" in error.found
    assert error.object_path == "intervals/natural_movie_presentations/timeseries"


def test_pickles_hidden_from_the_consolidated_metadata_are_refused_too(folder: Path) -> None:
    """The specifications are read before, and past, the consolidated metadata."""
    (path,) = folder.glob("specifications/core/*/namespace/.zarray")
    array = json.loads(path.read_text())
    array["filters"] = [{"id": "pickle", "protocol": 5}]
    path.write_text(json.dumps(array))
    assert "pickles" in refused(folder).found


def test_a_link_to_another_folder_is_refused(folder: Path) -> None:
    metadata = json.loads((folder / ".zmetadata").read_text())
    attributes = metadata["metadata"]["processing/ophys/ImageSegmentation/PlaneSegmentation/.zattrs"]
    attributes["zarr_link"][0]["source"] = "../elsewhere.nwb.zarr"
    (folder / ".zmetadata").write_text(json.dumps(metadata))
    assert "'../elsewhere.nwb.zarr'" in refused(folder).found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, pd.DataFrame):
        return bool(one.equals(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["000728 session A", "000402", "000021"])
def test_a_session_read_from_zarr_is_the_one_of_hdf5(tmp_path: Path, key: str) -> None:
    (case,) = [case for case in CASES if case.key == key]
    case.write(tmp_path)
    (source,) = tmp_path.rglob("*.nwb")
    folder = as_zarr(source)
    with read_session(source) as expected, read_session(folder) as found:
        for name in ("key", "presentations", "granularity", "missing_templates", "behaviour", "invalid_times"):
            assert same(getattr(found, name), getattr(expected, name)), name
        assert same(found.cells.drop(columns="source_file"), expected.cells.drop(columns="source_file"))
        assert found.findings == expected.findings
        assert found.templates.keys() == expected.templates.keys()
        for name, template in expected.templates.items():
            numbers = np.arange(min(3, template.n_frames))
            assert np.array_equal(found.templates[name].read(numbers), template.read(numbers)), name
        if key == "000021":
            for cell in range(expected.traces.n_cells):
                assert same(found.traces.of_cell(cell), expected.traces.of_cell(cell))
        else:
            assert same(found.traces.read(0, 50), expected.traces.read(0, 50))
    # Which one is read is the grouping's business; two copies are one recording.
    assert len(group_sources([str(source), str(folder)])) == 1


def test_zarr_folders_are_found_as_one_recording_each(tmp_path: Path, folder: Path) -> None:
    assert resolve_sources([folder]) == [str(folder.resolve())]
    assert resolve_sources([tmp_path]) == [str(tmp_path.resolve() / "source.nwb"), str(folder.resolve())]


def test_the_digest_of_a_folder_is_that_of_what_sha256sum_says(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    for name, content in (("a/b/0", b"x"), ("a/.zarray", b""), ("z", b"y")):
        (tmp_path / name).write_bytes(content)
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in (("a/.zarray", b""), ("a/b/0", b"x"), ("z", b"y"))
    ]
    digest = zarr_folder.digest_of_folder(tmp_path)
    assert digest == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert identify(str(tmp_path)).digest is None
    (tmp_path / ".zgroup").write_text("{}")
    assert identify(str(tmp_path)).digest == zarr_folder.digest_of_folder(tmp_path) != digest
