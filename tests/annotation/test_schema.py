"""Annotations of older and newer versions of the schema, read with and without the extension's package."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap
from contextlib import redirect_stdout
from pathlib import Path

import h5py
import ndx_mivae
import numpy as np
import pytest
from pynwb import get_type_map

from nwb_mivae.annotation import annotate, read_annotations
from nwb_mivae.annotation.schema import KNOWN_SCHEMA, newest
from nwb_mivae.errors import AnnotationError
from tests.annotation.sources import (
    attribution_for,
    evaluation_for,
    fingerprints_for,
    latents_for,
    model_record,
    stored_for,
    subpopulations_for,
    write_source,
)

ROOT = Path(__file__).resolve().parents[2]
OLD = ROOT / "extensions/ndx-mivae/src/pynwb/tests/back_compat/0.1.0.nwb"


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = write_source(tmp_path_factory.mktemp("schema") / "source.nwb")
    stored = stored_for(source)
    return annotate(
        source, source.with_name("out.nwb"), latents=latents_for(stored), stored=stored, model=model_record(),
        attribution=attribution_for(stored), fingerprints=fingerprints_for(stored),
        subpopulations=subpopulations_for(stored), evaluation=evaluation_for(stored),
    )  # fmt: skip


def of_version(source: Path, out: Path, version: str, *, new_type: str | None = None) -> Path:
    """A file as a later version of the extension writes it, with an object of a type that is new in it."""
    out.write_bytes(source.read_bytes())
    with h5py.File(out, "r+") as file:
        cached = file["specifications/ndx-mivae"]
        cached.move(KNOWN_SCHEMA, version)
        for name in ("namespace", "ndx-mivae.extensions"):
            text = cached[version][name][()].decode().replace(f'"{KNOWN_SCHEMA}"', f'"{version}"')
            if new_type is not None and name != "namespace":
                specification = json.loads(text)
                specification["groups"].append(
                    {"neurodata_type_def": new_type, "neurodata_type_inc": "NWBDataInterface", "doc": "Something new."}
                )
                text = json.dumps(specification)
            del cached[version][name]
            cached[version][name] = text
        if new_type is not None:
            group = file["processing/mivae"].create_group("something_new")
            group.attrs["neurodata_type"], group.attrs["namespace"] = new_type, "ndx-mivae"
            group.attrs["object_id"] = "7d0b40d5-2c0f-4a44-8d5b-0d6a5b9ff9b4"
    return out


def in_new_process(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_the_package(program: str) -> str:
    """What the same program prints in this process, which imported the package long ago."""
    said = io.StringIO()
    with redirect_stdout(said):
        exec(textwrap.dedent(program.replace('sys.modules["ndx_mivae"] = None', "import ndx_mivae")), {})
    return said.getvalue()


def test_the_reader_knows_the_version_that_is_written(annotated: Path):
    assert get_type_map().namespace_catalog.get_namespace("ndx-mivae").version == KNOWN_SCHEMA
    with h5py.File(annotated, "r") as file:
        assert list(file["specifications/ndx-mivae"]) == [KNOWN_SCHEMA]
    assert ndx_mivae.__name__ == "ndx_mivae"


def test_versions_are_compared_as_numbers():
    assert newest([]) is None
    assert newest([KNOWN_SCHEMA, "0.1.0"]) is None
    assert newest(["0.1.0", "0.10.0", "0.9.0"]) == "0.10.0"
    assert newest(["1.0.0-beta"]) == "1.0.0-beta"


def test_version_0_1_0_is_read():
    read = read_annotations(OLD)
    assert (read.name, read.form, read.code_version, read.created) == ("mivae", "copy", "", "")
    assert read.source["dandiset_id"].isdecimal()
    assert read.source["asset_path"].endswith(".nwb")
    assert {session.dandiset_id for session in read.model.training_sessions} >= {read.source["dandiset_id"]}
    assert set(read.blocks) == {"neural_shared"}
    assert len(read.latents_table()) == len(read.frames)
    assert read.attribution is not None
    assert (read.fingerprints, read.subpopulations, read.metrics) == (None, None, None)


PROGRAM = """
    import sys
    sys.modules["ndx_mivae"] = None  # importing it raises ImportError from now on
    from nwb_mivae.annotation import read_annotations
    for path in {paths}:
        read = read_annotations(path)
        print(read.name, read.form, read.created, read.model, read.source, read.context)
        print(read.frames.to_csv(), read.latents_table(variance=True).to_csv(), read.presentations_table().to_csv())
        for posterior in read.presentations:
            print(posterior.table, posterior.rows.tolist(), posterior.mean.tolist())
        print(read.cells_table().to_csv(), read.attribution.time.tolist(), read.attribution.settings)
        for name, method in read.attribution.methods.items():
            print(name, method.pixels.tolist())
        if read.metrics is not None:
            print(read.metrics.to_csv(), read.metrics_settings)
            print(read.fingerprints.fingerprints.tolist(), read.fingerprints.lags_in_seconds, read.fingerprints.method)
            print(read.subpopulations.statistics.to_csv(), read.subpopulations.profile.tolist())
"""


@pytest.mark.slow
def test_everything_reads_the_same_without_the_package(annotated: Path):
    program = PROGRAM.format(paths=[str(annotated)])
    without = in_new_process(program)
    assert without == with_the_package(program)
    assert "centred_r" in without
    assert str(read_annotations(annotated).presentations[0].rows.tolist()) in without


@pytest.mark.slow
def test_version_0_1_0_alone_reads_the_same_without_the_package():
    # Beside a newer file in one process its own specification would not count.
    program = PROGRAM.format(paths=[str(OLD)])
    without = in_new_process(program)
    assert without == with_the_package(program)


def test_a_newer_version_that_has_all_that_is_needed_warns(annotated: Path, tmp_path: Path):
    newer = of_version(annotated, tmp_path / "newer.nwb", "0.3.0")
    with pytest.warns(UserWarning, match=r"version 0\.3\.0 of the ndx-mivae schema.*Update nwb_mivae"):
        read = read_annotations(newer)
    assert read.metrics is not None


def test_a_newer_version_with_something_unknown_warns(annotated: Path, tmp_path: Path):
    newer = of_version(annotated, tmp_path / "newer.nwb", "0.3.0", new_type="SomethingNew")
    with pytest.warns(UserWarning, match="all that it knows of was read"):
        assert read_annotations(newer).fingerprints is not None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lost", ["general/mivae/model/config", "processing/mivae/subpopulations/table"])
def test_a_newer_version_that_cannot_be_opened_says_why(annotated: Path, tmp_path: Path, lost: str):
    newer = of_version(annotated, tmp_path / "newer.nwb", "0.3.0")
    with h5py.File(newer, "r+") as file:
        file.move(lost, f"{lost}_renamed")
    with pytest.raises(AnnotationError) as refused:
        read_annotations(newer)
    assert "version 0.3.0 of the ndx-mivae schema" in refused.value.found
    assert refused.value.object_path == lost.rpartition("/")[0]
    assert refused.value.remedy == "update nwb_mivae and ndx-mivae"


@pytest.mark.filterwarnings("ignore")
def test_a_newer_version_whose_arrays_do_not_fit_is_refused(annotated: Path, tmp_path: Path):
    newer = of_version(annotated, tmp_path / "newer.nwb", "0.3.0")
    with h5py.File(newer, "r+") as file:
        latents = file["processing/mivae/latents_neural_shared"]
        values = latents["variance"][:, :-1]
        del latents["variance"]
        latents["variance"] = values
    with pytest.raises(AnnotationError, match="variance of shape") as refused:
        read_annotations(newer)
    assert "update nwb_mivae" in str(refused.value.remedy)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", ["1.0.0", "2.3.1"])
def test_a_later_version_that_promises_nothing_is_refused(annotated: Path, tmp_path: Path, version: str):
    later = of_version(annotated, tmp_path / "later.nwb", version)
    with pytest.raises(AnnotationError, match=f"found version {version} of the ndx-mivae schema") as refused:
        read_annotations(later)
    assert refused.value.file == str(later)
    assert "a version with the same first part as 0." in str(refused.value.expected)
    assert "read the file with pynwb in a program that does not import ndx_mivae" in str(refused.value.remedy)


@pytest.mark.slow
def test_without_the_package_a_newer_file_explains_itself(annotated: Path, tmp_path: Path):
    newer = of_version(annotated, tmp_path / "newer.nwb", "0.3.0", new_type="SomethingNew")
    program = f"""
        import sys, warnings
        sys.modules["ndx_mivae"] = None
        from nwb_mivae.annotation import read_annotations
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            read = read_annotations({str(newer)!r})
        print([str(item.message) for item in seen if "ndx-mivae schema" in str(item.message)])
        print(read.latents_table().shape)
    """
    said = in_new_process(program)
    assert "version 0.3.0" in said
    assert str(np.shape(read_annotations(annotated).latents_table())) in said
