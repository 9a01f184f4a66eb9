from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pynwb import NWBHDF5IO, validate

from nwb_mivae.annotation import backends, zarr_export
from nwb_mivae.annotation.backends import HDF5Backend, ZarrBackend, backend_named, backend_of
from nwb_mivae.errors import AnnotationError
from nwb_mivae.sessions.nwb import open_nwb
from tests.annotation.sources import SHOWN, write_source
from tests.annotation.stored_contents import contents

hdmf_zarr = pytest.importorskip("hdmf_zarr")

DFF = "processing/ophys/DfOverF/DfOverF"


def export(source: Path, target: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = open_nwb(source)
        try:
            backend_named("zarr" if target.suffix == ".zarr" else "hdf5").export(opened.io, opened.nwbfile, target)
        finally:
            opened.close()
    return target


def changed(path: Path, change: Callable[[h5py.File], object]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def test_every_format_has_its_backend() -> None:
    assert [backend_named(name).name for name in backends.BACKENDS] == ["hdf5", "zarr"]


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(AnnotationError, match="no storage format 'n5'"):
        backend_named("n5")


def test_the_format_is_told_by_what_is_there(tmp_path: Path) -> None:
    file = write_source(tmp_path / "named.nwb").rename(tmp_path / "named.zarr")
    folder = export(file, tmp_path / "folder.nwb.zarr").rename(tmp_path / "named.nwb")
    assert backend_of(file).name == "hdf5"
    assert backend_of(folder).name == "zarr"


def test_without_hdmf_zarr_the_remedy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "zarr_is_installed", lambda: False)
    with pytest.raises(AnnotationError) as caught:
        backend_named("zarr")
    assert caught.value.remedy == 'pip install "nwb_mivae[zarr]"'


@pytest.mark.parametrize("more", [{}, {"kind": "units"}, {"references": True}, {"planes": 2}, {"movie": "movie.mp4"}])
def test_a_zarr_copy_holds_all_that_the_source_holds(tmp_path: Path, more: dict[str, Any]) -> None:
    source = write_source(tmp_path / "source.nwb", **more)
    copy = export(source, tmp_path / "copy.nwb.zarr")
    assert contents(copy).differences(contents(source)) == []


@pytest.mark.parametrize("more", [{}, {"kind": "units"}, {"references": True}])
def test_back_in_hdf5_it_is_what_it_was(tmp_path: Path, more: dict[str, Any]) -> None:
    source = write_source(tmp_path / "source.nwb", **more)
    copy = export(export(source, tmp_path / "copy.nwb.zarr"), tmp_path / "back.nwb")
    assert contents(copy).differences(contents(source)) == []


def test_a_copy_of_a_zarr_copy_is_the_same(tmp_path: Path) -> None:
    first = export(write_source(tmp_path / "source.nwb", references=True), tmp_path / "first.nwb.zarr")
    assert contents(export(first, tmp_path / "second.nwb.zarr")).differences(contents(first)) == []


@pytest.mark.parametrize(
    "name",
    [
        "A8604-211122.nwb",
        "optinist_test_nwb.nwb",
        "roiextractors_ophys_nwb_test.nwb",
        pytest.param("sub-4_ses-4_ecephys+image.nwb", marks=pytest.mark.slow),
        pytest.param("aibs_760693773_truncated10.nwb", marks=pytest.mark.slow),
    ],
)
def test_real_files_are_the_same_in_both_formats(tmp_path: Path, real_data: Path, name: str) -> None:
    source = real_data / "nwb" / name
    # pynwb brings old files to the present schema as it reads them, for either format alike.
    in_hdf5, in_zarr = export(source, tmp_path / "copy.nwb"), export(source, tmp_path / "copy.nwb.zarr")
    assert contents(in_zarr).differences(contents(in_hdf5)) == []


ODDITIES: dict[str, Callable[[h5py.File], object]] = {
    "attributes that no schema knows": lambda file: file[DFF].attrs.update(
        {
            "nan": np.nan,
            "list": [1.5, np.inf],
            "texts": ["a", "é"],
            "large": np.uint64(2**64 - 1),
            "to": file["general"].ref,
        }
    ),
    "objects that no schema knows": lambda file: file["processing/ophys"].create_dataset("more", data=[[1, 2], [3, 4]]),
    "texts in two dimensions": lambda file: file[DFF].create_dataset(
        "more", data=np.array([["a", ""], ["é", "d"]], dtype=object), dtype=h5py.string_dtype()
    ),
    "texts of a fixed length": lambda file: file[DFF].create_dataset("more", data=np.array([b"abc", b"d"])),
    "no texts": lambda file: file[DFF].create_dataset("more", shape=(0,), dtype=h5py.string_dtype()),
    "no rows": lambda file: file[DFF].create_dataset("more", shape=(0, 3), dtype="i2"),
    "half precision": lambda file: file[DFF].create_dataset("more", data=np.ones(3, np.float16)),
    "big-endian numbers": lambda file: file[DFF].create_dataset("more", data=np.arange(4, dtype=">i4")),
    "rows of two numbers": lambda file: file[DFF].create_dataset(
        "more", data=np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    ),
    "compression that loses": lambda file: file[DFF].create_dataset(
        "more", data=np.linspace(0, 1, 500), scaleoffset=3, chunks=(100,)
    ),
    "chunks that were never written": lambda file: file[DFF].create_dataset(
        "more", shape=(10, 10), dtype="f8", fillvalue=7.0, chunks=(5, 5)
    ),
    "a list of references": lambda file: file[DFF].create_dataset(
        "more", data=[file["general"].ref, file[DFF].ref], dtype=h5py.ref_dtype
    ),
}


@pytest.mark.parametrize("change", ODDITIES.values(), ids=ODDITIES.keys())
def test_what_no_schema_describes_comes_along(tmp_path: Path, change: Callable[[h5py.File], object]) -> None:
    source = changed(write_source(tmp_path / "source.nwb"), change)
    assert contents(export(source, tmp_path / "copy.nwb.zarr")).differences(contents(source)) == []


IMPOSSIBLE: dict[str, Callable[[h5py.File], object]] = {
    "an attribute 'x' without a value": lambda file: file[DFF].attrs.__setitem__("x", h5py.Empty("f4")),
    "an attribute 'x' of references": lambda file: file[DFF].attrs.create(
        "x", np.array([file.ref], dtype=object), dtype=h5py.ref_dtype
    ),
    "rows of several lengths": lambda file: file[DFF].create_dataset("x", shape=(2,), dtype=h5py.vlen_dtype("i4")),
    "a compound value that is no table": lambda file: file[DFF].create_dataset(
        "x", data=np.array((1, 2.0), dtype=[("a", "i4"), ("b", "f8")])
    ),
    "compound values with texts or arrays in them": lambda file: file[DFF].create_dataset(
        "x", data=np.zeros(2, dtype=[("a", "i4"), ("b", "f8", (2,))])
    ),
    "a broken link to /x in absent.nwb": lambda file: file[DFF].__setitem__("x", h5py.ExternalLink("absent.nwb", "/x")),
    "a link to /general in other.nwb that is no array of numbers": lambda file: file[DFF].__setitem__(
        "x", h5py.ExternalLink("other.nwb", "/general")
    ),
}


@pytest.mark.parametrize("found", IMPOSSIBLE)
def test_what_zarr_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path, found: str) -> None:
    write_source(tmp_path / "other.nwb")
    source = changed(write_source(tmp_path / "source.nwb"), IMPOSSIBLE[found])
    with pytest.raises(AnnotationError) as caught:
        export(source, tmp_path / "copy.nwb.zarr")
    assert caught.value.found == f"{found}, which cannot be written as Zarr"
    assert caught.value.file == str(source)
    assert str(caught.value.object_path).startswith(DFF)
    assert "hdf5" in str(caught.value.remedy)
    assert not (tmp_path / "copy.nwb.zarr").exists()


def test_data_kept_in_another_file_comes_along(tmp_path: Path) -> None:
    whole = write_source(tmp_path / "whole.nwb")

    def move(file: h5py.File) -> None:
        del file[f"{DFF}/data"]
        file[f"{DFF}/data"] = h5py.ExternalLink("whole.nwb", f"/{DFF}/data")

    source = changed(write_source(tmp_path / "source.nwb"), move)
    copy = contents(export(source, tmp_path / "copy.nwb.zarr"))
    assert copy.links.keys() == contents(whole).links.keys()
    assert np.array_equal(copy.values[f"/{DFF}/data"], contents(whole).values[f"/{DFF}/data"])


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=arrays.arrays(
        st.sampled_from([np.float32, np.int16, np.uint8, np.bool_, np.float64]),
        arrays.array_shapes(min_dims=1, max_dims=3, max_side=5),
    ),
    at_once=st.sampled_from([4, 2**26]),
)
def test_any_numbers_arrive_in_blocks_or_at_once(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, at_once: int
) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    source = changed(write_source(folder / "source.nwb"), lambda file: file[DFF].create_dataset("more", data=values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zarr_export, "_AT_ONCE_BYTES", at_once)
        copy = export(source, folder / "copy.nwb.zarr")
    found = contents(copy).values[f"/{DFF}/more"]
    assert found.dtype == values.dtype
    assert np.array_equal(found, values, equal_nan=values.dtype.kind == "f")


def test_small_chunks_of_the_source_do_not_become_a_file_each(tmp_path: Path) -> None:
    source = changed(
        write_source(tmp_path / "source.nwb"),
        lambda file: file[DFF].create_dataset("more", data=np.zeros((1000, 50)), chunks=(1, 50), compression="gzip"),
    )
    folder = export(source, tmp_path / "copy.nwb.zarr") / DFF / "more"
    assert sum(not path.name.startswith(".") for path in folder.iterdir()) < 10
    assert json.loads((folder / ".zarray").read_text())["filters"] is None


@pytest.mark.parametrize("chunks", [None, (1, 50), (7, 30), (4000, 1)])
def test_large_data_is_read_once_and_along_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, int] | None
) -> None:
    values = np.arange(4000 * 100, dtype=np.int32).reshape(4000, 100)
    source = changed(
        write_source(tmp_path / "source.nwb"),
        lambda file: file[DFF].create_dataset("more", data=values, chunks=chunks, maxshape=values.shape),
    )
    read: list[tuple[slice, ...]] = []
    original = zarr_export._Blocks._get_data

    def noted(blocks: Any, selection: tuple[slice, ...]) -> Any:
        read.append(selection)
        return original(blocks, selection)

    monkeypatch.setattr(zarr_export._Blocks, "_get_data", noted)
    monkeypatch.setattr(zarr_export, "_AT_ONCE_BYTES", 2**18)
    monkeypatch.setattr(zarr_export, "_GROWN_CHUNK_BYTES", 2**16)
    monkeypatch.setattr(zarr_export, "_LEAST_CHUNK_BYTES", 2**14)
    copy = export(source, tmp_path / "copy.nwb.zarr")
    assert np.array_equal(contents(copy).values[f"/{DFF}/more"], values)
    assert len(read) > 1
    for selection in read:
        for axis, part in zip(selection, chunks or (1, 100), strict=True):
            assert axis.start % part == 0
        for axis, part, size in zip(selection, chunks or (1, 100), values.shape, strict=True):
            assert axis.stop % part == 0 or axis.stop == size
    assert sum(np.prod([axis.stop - axis.start for axis in each]) for each in read) == values.size


def test_nothing_is_pickled_and_plain_hdmf_zarr_reads_references(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.nwb", references=True)
    copy = export(source, tmp_path / "copy.nwb.zarr")
    assert not any("pickle" in path.read_text() for path in copy.rglob(".zarray"))
    with NWBHDF5IO(str(source), "r") as first, hdmf_zarr.NWBZarrIO(str(copy), "r") as second:
        expected, found = first.read().intervals, second.read().intervals
        for one, other in zip(
            expected[SHOWN.rpartition("/")[2]]["timeseries"][:],
            found[SHOWN.rpartition("/")[2]]["timeseries"][:],
            strict=True,
        ):
            assert [(each.idx_start, each.count, each.timeseries.object_id) for each in one] == [
                (each.idx_start, each.count, each.timeseries.object_id) for each in other
            ]


@pytest.mark.parametrize("references", [False, True])
def test_a_zarr_copy_is_valid(tmp_path: Path, references: bool) -> None:
    copy = export(write_source(tmp_path / "source.nwb", references=references), tmp_path / "copy.nwb.zarr")
    with ZarrBackend().open(copy, "r") as reading:
        reading.read()
        assert validate(io=reading) == []


def test_arrays_are_compressed(tmp_path: Path) -> None:
    values = np.zeros((100, 20), np.float32)
    assert HDF5Backend().compressed(values, chunks=(10, 20)).io_settings["compression"] == "gzip"
    wrapped = ZarrBackend().compressed(values, chunks=(10, 20))
    assert wrapped.io_settings["chunks"] == (10, 20)
    assert wrapped.io_settings["compressor"].codec_id == "blosc"
