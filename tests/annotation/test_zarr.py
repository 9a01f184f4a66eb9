"""Annotations in Zarr folders: the same as in HDF5, from sources of either format, and whole or not there."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pynwb import validate

from nwb_mivae.annotation import annotate, annotated_name, annotation_names, read_annotations
from nwb_mivae.annotation.backends import ZarrBackend
from nwb_mivae.errors import AnnotationError, OutputError
from nwb_mivae.sessions.nwb import open_nwb
from tests.annotation.kills import killed_after, killed_at_event, leftovers, seconds_of
from tests.annotation.sources import (
    Stored,
    attribution_for,
    evaluation_for,
    fingerprints_for,
    latents_for,
    model_record,
    stored_for,
    subpopulations_for,
    write_source,
)
from tests.annotation.stored_contents import contents

hdmf_zarr = pytest.importorskip("hdmf_zarr")


def results(stored: Stored) -> dict[str, Any]:
    """Every kind of result there is."""
    return {
        "latents": latents_for(stored),
        "attribution": attribution_for(stored),
        "fingerprints": fingerprints_for(stored),
        "subpopulations": subpopulations_for(stored),
        "evaluation": evaluation_for(stored),
        "stored": stored,
        "model": model_record(),
    }


def as_zarr(source: Path) -> Path:
    """The same recording as a Zarr folder beside it."""
    target = source.with_name(f"{source.name}.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = open_nwb(source)
        try:
            ZarrBackend().export(opened.io, opened.nwbfile, target)
        finally:
            opened.close()
    return target


def stored_in_zarr(source: Path) -> tuple[Path, Stored]:
    """A Zarr source, and what a clip store says of it: a folder has no digest."""
    stored = stored_for(source)
    folder = as_zarr(source)
    object_id = contents(folder).attributes["/@object_id"]
    file = {**stored.source["files"][0], "path": str(folder), "sha256": None, "object_id": object_id}
    return folder, dataclasses.replace(
        stored,
        source={**stored.source, **file, "files": [file]},
        cells=stored.cells.assign(source_file=str(folder)),
    )


def same(one: Any, other: Any) -> bool:
    """Whether two annotations hold the same values of the same types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
        return True
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def read_alike(path: Path, other: Path, name: str | None = None) -> bool:
    one, other_one = read_annotations(path, name), read_annotations(other, name)
    # When it was written is all that two files of the same results differ in.
    if hasattr(one, "created"):
        one = dataclasses.replace(one, created=other_one.created)
    return same(one, other_one)


@pytest.mark.parametrize("form", ["copy", "companion"])
@pytest.mark.parametrize("kind", ["ophys", "units"])
def test_annotations_read_from_zarr_are_those_of_hdf5(tmp_path: Path, form: Any, kind: str) -> None:
    source = write_source(tmp_path / "sub-m1_ses-1_image+ophys.nwb", kind=kind, references=kind == "ophys")
    stored = stored_for(source, cell_rows={"units": [3, 1, 0]} if kind == "units" else None)
    before = source.read_bytes()
    written = [annotate(source, form=form, backend=backend, **results(stored)) for backend in ("hdf5", "zarr")]
    assert written[1].name == annotated_name(source, form=form, backend="zarr")
    assert written[1].is_dir()
    assert read_alike(*written)
    assert source.read_bytes() == before
    with ZarrBackend().open(written[1], "r") as reading:
        reading.read()
        assert validate(io=reading) == []


def test_a_zarr_copy_holds_the_source_and_what_hdf5_holds(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.nwb", references=True, movie="movie.mp4")
    stored = stored_for(source)
    in_hdf5 = contents(annotate(source, tmp_path / "copy.nwb", **results(stored)))
    in_zarr = contents(annotate(source, tmp_path / "copy.nwb.zarr", backend="zarr", **results(stored)))
    # Objects made for each file have ids of their own.
    unlike = [
        path for path in in_zarr.differences(in_hdf5) if not path.endswith(("@object_id", "/created", "@created"))
    ]
    assert unlike == []
    lost = [path for path in contents(source).values if path not in in_zarr.values]
    assert lost == []


def test_plain_hdmf_zarr_reads_the_annotation(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.nwb", references=True)
    stored = stored_for(source)
    path = annotate(source, tmp_path / "copy.nwb.zarr", backend="zarr", **results(stored))
    with hdmf_zarr.NWBZarrIO(str(path), "r") as io:
        series = io.read().processing["mivae"]["latents_neural_shared"]
        assert np.array_equal(series.data[:], latents_for(stored).blocks["neural_shared"].mean)


@pytest.mark.parametrize("form", ["copy", "companion"])
@pytest.mark.parametrize("backend", ["hdf5", "zarr"])
def test_a_zarr_source_is_annotated_like_the_hdf5_one(tmp_path: Path, form: Any, backend: Any) -> None:
    source = write_source(tmp_path / "source.nwb", references=True)
    folder, stored = stored_in_zarr(source)
    before = contents(folder)
    out = tmp_path / ("out.nwb" if backend == "hdf5" else "out.nwb.zarr")
    written = annotate(folder, out, form=form, backend=backend, **results(stored))
    assert contents(folder).differences(before) == []
    found = read_annotations(written)
    expected = read_annotations(annotate(source, tmp_path / "expected.nwb", form=form, **results(stored_for(source))))
    assert same(found.blocks, expected.blocks)
    assert same(found.frames, expected.frames)
    assert same(found.presentations, expected.presentations)
    assert same(found.attribution, expected.attribution)
    if form == "copy":
        kept = contents(written)
        assert [path for path, value in before.links.items() if kept.links.get(path) != value] == []
        assert [path for path in before.values if path not in kept.values] == []


@pytest.mark.slow
def test_a_second_result_in_a_zarr_folder_leaves_the_first_untouched(tmp_path: Path) -> None:
    folder, stored = stored_in_zarr(write_source(tmp_path / "source.nwb", references=True))
    annotate(folder, form="append", **results(stored))
    first = contents(folder)
    second = {**results(stored), "latents": latents_for(stored, seed=5)}
    assert annotate(folder, form="append", name="again", **second) == folder
    assert annotation_names(folder) == ["again", "mivae"]
    assert same(read_annotations(folder, "again").blocks, second["latents"].blocks)
    now = contents(folder)
    assert [path for path in first.values if path not in now.values] == []
    # The file says of itself which programs wrote to it, and that is all that is said anew.
    assert {path for path in now.differences(first) if "again" not in path} <= {"/general/was_generated_by"}
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_a_taken_folder_stays_as_it_is(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.nwb")
    stored = stored_for(source)
    out = annotate(source, tmp_path / "out.nwb.zarr", backend="zarr", **results(stored))
    before = contents(out)
    with pytest.raises((AnnotationError, OutputError), match="already there"):
        annotate(source, out, backend="zarr", **results(stored))
    assert contents(out).differences(before) == []
    annotate(source, out, backend="zarr", overwrite=True, **results(stored))
    assert annotation_names(out) == ["mivae"]
    assert leftovers(tmp_path) == []


def test_what_zarr_cannot_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    import h5py

    source = write_source(tmp_path / "source.nwb")
    with h5py.File(source, "r+") as file:
        file["processing/ophys"].attrs["nothing"] = h5py.Empty("f4")
    with pytest.raises(AnnotationError, match="cannot be written as Zarr"):
        annotate(source, backend="zarr", **results(stored_for(source)))
    assert [path.name for path in tmp_path.iterdir()] == ["source.nwb"]


@pytest.mark.slow
def test_a_kill_during_a_copy_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.nwb")
    stored, out = stored_for(source), tmp_path / "out.nwb.zarr"
    before = source.read_bytes()

    def work() -> None:
        annotate(source, out, backend="zarr", **results(stored))

    def check() -> None:
        assert source.read_bytes() == before
        if out.exists():
            assert read_annotations(out).blocks
            for path in sorted(out.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
            out.rmdir()

    seconds = seconds_of(work)
    check()
    for share in np.random.default_rng(2).uniform(0.1, 1.0, 4):
        killed_after(work, share * seconds)
        check()
    for number in (1, 20, 100, 400):
        killed_at_event(work, tmp_path, number)
        check()
    work()
    assert annotation_names(out) == ["mivae"]
    assert leftovers(tmp_path) == []
