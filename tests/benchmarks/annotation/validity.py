"""What validators say of annotated files: `python -m tests.benchmarks.annotation.validity --markdown`.

Simulated animals go through the whole pipeline, and so do real recordings for which that is possible: with stand-in
movies, or on an invented clock, so that the numbers mean nothing but the files are what they would be. The other real
files (in the folder that `NWB_MIVAE_REAL_DATA` names) get made-up results for the rows of their own tables. Each source
is annotated in every form and format, some twice.

Counted are NWB Inspector's messages of importance critical and error (in its own configuration), errors of `dandi
validate` in the layout of a dandiset, and errors of `pynwb.validate`; those of the annotated file and those of its
source, since real files have their share. What of the annotated file's findings nwb_mivae wrote itself is counted
apart, as `nwb-mivae check` tells them. Last, every file is read in environments made anew that have nothing but pynwb
(and, for Zarr, hdmf-zarr).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from nwb_mivae import pipeline
from nwb_mivae.annotation import annotate, annotated_name
from nwb_mivae.annotation.backends import BackendName
from nwb_mivae.annotation.results import Form
from nwb_mivae.archive import ValidationFinding, is_zarr, validate_for_dandi
from nwb_mivae.outputs import sha256_of_file
from tests.annotation.sources import (
    Stored,
    attribution_for,
    fingerprints_for,
    latents_for,
    model_record,
    subpopulations_for,
)
from tests.benchmarks.measuring import report
from tests.finished_run import small_animals, small_pipeline
from tests.openscope_sessions import write_openscope_sessions
from tests.stand_in_movies import clip_names, make_stand_in_movies

WAYS: tuple[tuple[Form, BackendName], ...] = (
    ("copy", "hdf5"),
    ("append", "hdf5"),
    ("companion", "hdf5"),
    ("copy", "zarr"),
    ("companion", "zarr"),
)
_ZARR_APPEND: tuple[Form, BackendName] = ("append", "zarr")
_ROIS = "processing/ophys/ImageSegmentation/PlaneSegmentation"
#: Real files that cannot go through the pipeline, for want of a stimulus: their tables of cells and of what was shown.
_BY_HAND = {
    "A8604-211122.nwb": ("units", None),
    "aibs_760693773_truncated10.nwb": ("units", "intervals/natural_movie_one_presentations"),
    "optinist_test_nwb.nwb": (_ROIS, None),
    "roiextractors_ophys_nwb_test.nwb": (_ROIS, None),
}
#: Reads everything an annotation holds, and says in JSON how much that was, or why it could not be read.
_READER = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pynwb import NWBHDF5IO

def io_of(path):
    if path.endswith(".zarr"):
        from hdmf_zarr import NWBZarrIO
        return NWBZarrIO(path, "r")
    return NWBHDF5IO(path, "r", load_namespaces=True)

answers = {}
for path in sys.argv[1:]:
    try:
        with io_of(path) as io:
            nwbfile, count = io.read(), 0
            for name, module in nwbfile.processing.items():
                if not name.startswith("mivae"):
                    continue
                assert len(nwbfile.lab_meta_data[name].model.weights_sha256) == 64
                for item in module.data_interfaces.values():
                    for part in item.fields.values():
                        part = getattr(part, "data", part)
                        if hasattr(part, "shape") and part.shape:
                            part[:]
                    if hasattr(item, "to_dataframe"):
                        item.to_dataframe()
                    count += 1
        answers[path] = count if count else "no results"
    except Exception as problem:
        answers[path] = f"{type(problem).__name__}: {problem}"[:300]
assert "ndx_mivae" not in sys.modules
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Counts:
    """What validators found in a file.

    Attributes
    ----------
    inspector, dandi, schema : int
        Critical messages and errors of NWB Inspector, errors of `dandi validate`, errors of `pynwb.validate`; -1 where
        the tool cannot do its work on this file.
    broken : int
        Of the Inspector's errors, those that say that a check of its own broke.
    ours : int
        Findings that block an upload in what nwb_mivae wrote.
    ours_lesser : int
        Warnings about what nwb_mivae wrote.
    """

    inspector: int
    broken: int
    dandi: int
    schema: int
    ours: int
    ours_lesser: int


@dataclass(frozen=True)
class Row:
    """One annotated file beside its source."""

    source: str
    form: str
    backend: str
    found: Counts
    of_source: Counts
    path: Path


def counts(path: Path) -> Counts:
    """Run every validator on a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        findings = validate_for_dandi(path)
        said = _inspector(path)
        mine = [finding for finding in findings if finding.cause == "annotation"]
        return Counts(
            inspector=len(said),
            broken=sum("During evaluation of" in name for name in said),
            dandi=_dandi(path),
            schema=_schema(path, findings),
            ours=sum(finding.blocks_upload for finding in mine),
            ours_lesser=sum(finding.severity == "warning" for finding in mine),
        )


def _inspector(path: Path) -> list[str]:
    from nwbinspector import Importance, inspect_nwbfile

    worst, messages = (Importance.CRITICAL, Importance.ERROR), inspect_nwbfile(path, skip_validate=True)
    return [str(message.check_function_name) for message in messages if message.importance in worst]


def _dandi(path: Path) -> int:
    from dandi.consts import dandiset_metadata_file
    from dandi.files import dandi_file
    from dandi.utils import find_parent_directory_containing
    from dandi.validate._types import Severity

    file = path.resolve()
    asset = dandi_file(file, find_parent_directory_containing(dandiset_metadata_file, file))
    results = asset.get_validation_errors()
    return sum(result.severity is not None and result.severity >= Severity.ERROR for result in results)


def _schema(path: Path, findings: list[ValidationFinding]) -> int:
    import pynwb

    if is_zarr(path):
        # In Zarr pynwb's validator stops at rows with references, unless it is told their types, as `check` does.
        found = [finding.check for finding in findings if finding.check.startswith("pynwb.")]
        return -1 if "pynwb.GENERIC" in found else len(found)
    try:
        return len(pynwb.validate(path=str(path)))
    except Exception:  # pynwb's validator raises KeyError and others for damaged specifications
        return -1


def of_runs(recordings: Path, run: Path, folder: Path, *, title: str) -> Iterator[Row]:
    """Annotate every session of a run in every way."""
    sources = {path.name: path for path in sorted(recordings.rglob("*.nwb"))}
    found = {name: counts(_placed(path, folder / "sources")) for name, path in sources.items()}
    for form, backend in WAYS:
        out = folder / f"{form}-{backend}"
        if form == "append":
            for path in sources.values():
                _placed(path, out)
            written, refused = pipeline.annotate(run, source_folder=out, form=form)
        else:
            written, refused = pipeline.annotate(run, out=out, form=form, backend=backend)
        if refused:
            raise RuntimeError(f"{title}, {form}, {backend}: {refused[0]}")
        for path in written:
            place = path if form == "append" else _placed(path, out / "dandiset", move=True)
            name = next(name for name in sources if _session_of(name) == _session_of(path.name))
            yield Row(f"{title}: {name}", form, backend, counts(place), found[name], place)


def by_hand(source: Path, cells: str, shown: str | None, folder: Path) -> Iterator[Row]:
    """Annotate one file in every way, with made-up results for its tables; Zarr is appended to as well."""
    of_source = counts(_placed(source, folder / "sources"))
    zarr = folder
    for form, backend in (*WAYS, _ZARR_APPEND):
        given: Any = {"form": form, "backend": backend}
        if (form, backend) == _ZARR_APPEND:
            path, given["name"] = zarr, "mivae_2"
        else:
            path = _placed(source, folder / f"{form}-{backend}" / "source")
        results = made_up(source, cells, shown)
        out = None
        if form != "append":
            out = _folder_of(source.name, folder / f"{form}-{backend}") / annotated_name(
                source, form=form, backend=backend
            )
        written = annotate(path, out, **given, **results)
        if (form, backend) == ("copy", "zarr"):
            zarr = written
            yield Row(source.name, form, backend, counts(written), of_source, written)
            # What is appended to is another folder, so that each is judged as it is.
            zarr = shutil.copytree(written, _folder_of(source.name, folder / "append-zarr") / written.name)
        else:
            yield Row(source.name, form, backend, counts(written), of_source, written)


def made_up(source: Path, cells: str, shown: str | None) -> dict[str, Any]:
    """Results for the rows of a file's table of cells and, if there is one, of its table of presentations."""
    with h5py.File(source, "r") as file:
        onsets = np.arange(60) / 30.0 + 1.0 if shown is None else file[shown]["start_time"][:]
        # The Inspector takes a series with more cells than frames for one that is transposed.
        ids = file[cells]["id"][: len(onsets) // 2]
        known = {name: str(file.attrs[name] if name in file.attrs else file[name].asstr()[()]) for name in _IDENTITY}
    frames = len(onsets)
    origin = {"path": str(source), "sha256": sha256_of_file(source), "asset": None, **known}
    path = "" if shown is None else shown
    stored = Stored(
        key=source.stem,
        subject="unknown",
        source={**origin, "session_id": "1", "files": [origin], "left_out": []},
        n_cells=len(ids),
        n_frames=frames,
        time=onsets,
        stop_time=onsets + 0.9 * float(np.diff(onsets).min()),
        presentation=np.full(frames, -1) if shown is None else np.arange(frames),
        presentations=pd.DataFrame(
            {
                "source_path": pd.Series([path] * frames * bool(path), dtype=object),
                "source_row": np.arange(frames * bool(path)),
                "start_time": onsets[: frames * bool(path)],
            }
        ),
        cells=pd.DataFrame(
            {"id": ids.astype(str), "source_path": cells, "source_row": np.arange(len(ids)), "source_file": str(source)}
        ),
    )
    return {
        "stored": stored,
        "model": model_record(),
        "latents": latents_for(stored),
        "attribution": attribution_for(stored),
        "fingerprints": fingerprints_for(stored),
        "subpopulations": subpopulations_for(stored),
    }


_IDENTITY = ("object_id", "identifier")


def _session_of(name: str) -> str:
    """What names of a source and of what was made of it have in common."""
    return "_".join(part for part in name.split(".")[0].split("_") if part.startswith(("sub-", "ses-")))


def _folder_of(name: str, dandiset: Path) -> Path:
    """The folder in which a dandiset has a file of this name; made with the dandiset where need be."""
    subject = name.split("_")[0] if name.startswith("sub-") else "sub-unknown"
    folder = dandiset / subject
    folder.mkdir(parents=True, exist_ok=True)
    (dandiset / "dandiset.yaml").write_text("identifier: DANDI:000999\n")
    return folder


def _placed(path: Path, dandiset: Path, *, move: bool = False) -> Path:
    """The file where a dandiset would have it."""
    target = _folder_of(path.name, dandiset) / path.name
    if move:
        shutil.move(path, target)
    elif not target.exists():
        shutil.copyfile(path, target)
        target.chmod(0o644)
    return target


def simulated(folder: Path) -> Iterator[Row]:
    """Three simulated animals."""
    pipeline.demo(folder, simulation=small_animals(), configuration=small_pipeline())
    yield from of_runs(folder / "recordings", folder / "run", folder / "annotated", title="simulated")


def human(real: Path, folder: Path) -> Iterator[Row]:
    """Human units, with stand-ins for movies that are not published."""
    source = real / "nwb" / "sub-4_ses-4_ecephys+image.nwb"
    recordings = folder / "recordings"
    recordings.mkdir(parents=True)
    shutil.copyfile(source, recordings / source.name)
    movies = make_stand_in_movies(real / "stimuli" / "flower.mp4", clip_names(source), folder / "movies")
    configuration = small_pipeline().changed({"split.held_out": 0, "split.test_fraction": 0.2})
    _run(recordings, folder, configuration, movies)
    yield from of_runs(recordings, folder / "run", folder / "annotated", title="real")


def openscope(real: Path, folder: Path) -> Iterator[Row]:
    """Eight mice: published dF/F on an invented clock."""
    recordings = folder / "recordings"
    write_openscope_sessions(real / "ophys" / "openscope_gabor_trials.json", recordings)
    settings = {"split.by": "presentation", "split.held_out": 2, "split.test_fraction": 0.2}
    _run(recordings, folder, small_pipeline().changed(settings), None)
    yield from of_runs(recordings, folder / "run", folder / "annotated", title="real traces")


def _run(recordings: Path, folder: Path, configuration: pipeline.PipelineConfiguration, movies: Path | None) -> None:
    store = pipeline.prepare([recordings], folder / "store", configuration=configuration, stimulus_folder=movies)
    pipeline.train(store, folder / "run", configuration=configuration)
    pipeline.evaluate(folder / "run")
    pipeline.attribute(folder / "run")


def environment(folder: Path, requirements: list[str]) -> Path:
    """The interpreter of an environment made anew, with these packages alone."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], check=True
    )
    return python


def read_by(python: Path, paths: list[Path]) -> dict[str, Any]:
    """What reading the results of each file came to in another environment: how many objects, or the error."""
    done = subprocess.run(
        [python, "-c", _READER, *map(str, paths)], capture_output=True, text=True, check=True, cwd=python.parent
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def readable(rows: list[Row], folder: Path, *, also: str | None) -> dict[str, dict[str, Any]]:
    """By environment, what reading every annotated file came to."""
    import hdmf_zarr
    import pynwb

    hdf5, zarr = ([row.path for row in rows if row.backend == each] for each in ("hdf5", "zarr"))
    asked = {f"pynwb {pynwb.__version__}": ([f"pynwb=={pynwb.__version__}"], hdf5)}
    if also is not None:
        asked[also.replace("==", " ")] = (also.split(), hdf5)
    with_zarr = [f"pynwb=={pynwb.__version__}", f"hdmf-zarr=={hdmf_zarr.__version__}"]
    asked[f"pynwb {pynwb.__version__} and hdmf-zarr {hdmf_zarr.__version__}"] = (with_zarr, zarr)
    return {
        name: read_by(environment(folder / str(number), requirements), paths)
        for number, (name, (requirements, paths)) in enumerate(asked.items())
        if paths
    }


def markdown(rows: list[Row], readers: dict[str, dict[str, Any]]) -> str:
    """One line for each source, form and format that differ in their figures, and one for each environment."""
    lines = [
        "| source | form | format | files | Inspector critical or error | of these its broken checks "
        "| `dandi validate` errors | `pynwb.validate` | about what nwb_mivae wrote: blocking, warnings |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    alike: dict[tuple[Any, ...], int] = {}
    for row in rows:
        title = row.source.split(":")[0] if ":" in row.source else row.source
        key = (title, row.form, row.backend, row.found, row.of_source)
        alike[key] = alike.get(key, 0) + 1
    for (title, form, backend, found, source), count in alike.items():
        figures = " | ".join(
            f"{_shown(getattr(found, name))} ({_shown(getattr(source, name))})"
            for name in ("inspector", "broken", "dandi", "schema")
        )
        lines.append(f"| {title} | {form} | {backend} | {count} | {figures} | {found.ours}, {found.ours_lesser} |")
    if readers:
        lines += ["", "| environment | files read | files not read |", "|---|---|---|"]
    for name, answers in readers.items():
        failed = sum(not isinstance(answer, int) for answer in answers.values())
        lines.append(f"| {name} | {len(answers) - failed} | {failed} |")
    return "\n".join(lines)


def _shown(count: int) -> str:
    return "cannot" if count < 0 else str(count)


def measure(*, real: Path | None, folder: Path, with_simulated: bool = True, with_openscope: bool = True) -> list[Row]:
    """Annotate and validate all there is."""
    rows = list(simulated(folder / "simulated")) if with_simulated else []
    if real is None:
        return rows
    rows += human(real, folder / "human")
    if with_openscope:
        rows += openscope(real, folder / "openscope")
    for name, (cells, shown) in _BY_HAND.items():
        rows += by_hand(real / "nwb" / name, cells, shown, folder / name)
    return rows


def main() -> None:
    """Measure, and print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "real"
    parser.add_argument("--real", type=Path, default=Path(os.environ.get("NWB_MIVAE_REAL_DATA", default)))
    parser.add_argument("--no-environments", action="store_true", help="do not make environments to read the files in")
    parser.add_argument("--also", metavar="PACKAGES", help="read them with these, too: 'pynwb==2.8.3 hdmf==3.14.6'")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = measure(real=given.real if given.real.is_dir() else None, folder=folder)
        readers = {} if given.no_environments else readable(rows, folder / "environments", also=given.also)
    if given.markdown:
        print(markdown(rows, readers))
    if given.out is not None or not given.markdown:
        figures = [
            {**vars(replace(row, path=Path(row.path.name))), "path": row.path.name, "found": vars(row.found),
             "of_source": vars(row.of_source)}
            for row in rows
        ]  # fmt: skip
        unread = {
            name: {Path(path).name: answer for path, answer in answers.items() if not isinstance(answer, int)}
            for name, answers in readers.items()
        }
        report({"files": figures, "not_read": unread, "python": sys.version.split()[0]}, given.out)


if __name__ == "__main__":
    main()
