"""The whole of attribution on real files: `python -m tests.benchmarks.attribution.recordings --out FOLDER`.

Eight mice of OpenScope with a few ROIs each, and one recording of DANDI:000207 with single units, are prepared, trained
on for a moment, evaluated, attributed, annotated, read back and reported, by the same calls as any recording. What of
them is real is said in :mod:`tests.openscope_sessions` and :mod:`tests.stand_in_movies`; no figure is judged, since
nothing is known of these cells and the pictures are stand-ins. A few minutes of one core. Results are JSON files in the
output folder; one that is there, of the same settings, data and code, is not made again.
`--page docs/benchmarks/attribution-recordings.md` writes the page from them; `--recordings` without a name makes none.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwb_mivae import pipeline
from nwb_mivae.annotation import read_annotations
from nwb_mivae.evaluation import metrics
from nwb_mivae.outputs import read_json, sha256_of_file, write_json
from nwb_mivae.provenance import provenance_record
from nwb_mivae.report.conclusions import conclusions
from tests.benchmarks.alignment.code import code_digest
from tests.benchmarks.attribution.recordings_page import write_page
from tests.openscope_sessions import write_openscope_sessions
from tests.stand_in_movies import clip_names, make_stand_in_movies

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionAttribution
    from nwb_mivae.clips import ClipStore

__all__ = ["RECORDINGS", "Recordings", "all_of_it", "main"]

_ROOMS = (
    "sessions",
    "alignment",
    "clips",
    "model",
    "training",
    "inference",
    "evaluation",
    "attribution",
    "annotation",
    "report",
    "pipeline",
)
_CODE = tuple(f"nwb_mivae/{room}" for room in _ROOMS)
#: Far less than the defaults, so that all of it takes minutes.
_SETTINGS: Mapping[str, Any] = {
    "split.test_fraction": 0.2,
    "training.steps": 100,
    "training.validate_every": 100,
    "training.checkpoint_every": 100,
    "attribution.clips": 24,
    "subpopulations.onsets": 64,
}


@dataclass(frozen=True)
class Recordings:
    """Recordings that one model is trained on.

    Attributes
    ----------
    sources : tuple of Path
        Files they are made from, inside the folder of real data.
    write : callable
        ``write(real_data, folder)`` writes into the folder what is missing, and returns what is to be prepared and the
        folder of movies, if there is one.
    settings : mapping
        What differs from the defaults.
    """

    sources: tuple[Path, ...]
    write: Callable[[Path, Path], tuple[list[Path], Path | None]]
    settings: Mapping[str, Any]


_TRACES = Path("ophys") / "openscope_gabor_trials.json"
_UNITS = Path("nwb") / "sub-4_ses-4_ecephys+image.nwb"
_FILM = Path("stimuli") / "flower.mp4"


def _openscope(real_data: Path, folder: Path) -> tuple[list[Path], Path | None]:
    return write_openscope_sessions(real_data / _TRACES, folder), None


def _single_units(real_data: Path, folder: Path) -> tuple[list[Path], Path | None]:
    source = real_data / _UNITS
    return [source], make_stand_in_movies(real_data / _FILM, clip_names(source), folder)


RECORDINGS: Mapping[str, Recordings] = {
    # Every trial shows the same pictures, so parts cannot differ in content.
    "openscope": Recordings((_TRACES,), _openscope, {**_SETTINGS, "split.by": "presentation", "split.held_out": 2}),
    "single_units": Recordings((_UNITS, _FILM), _single_units, {**_SETTINGS, "split.held_out": 0}),
}


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and write the page where it is asked for."""
    given = _parser().parse_args(arguments)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    for name in given.recordings:
        of = RECORDINGS[name]
        belongs_to = {
            "configuration": {"recordings": name, **of.settings},
            "code": code_digest(_CODE),
            "data": {source.name: sha256_of_file(given.real_data / source) for source in of.sources},
        }
        path = out / f"recordings-{name}.json"
        if path.exists() and {key: read_json(path).get(key) for key in belongs_to} == belongs_to:
            print(f"{path.name} is there")
            continue
        write_json(path, {**belongs_to, **_measured(of, given.real_data, out / "runs" / name)})
        print(f"{path.name} is made", flush=True)
    if given.page is not None:
        write_page([read_json(out / f"recordings-{name}.json") for name in RECORDINGS], given.page)


def _measured(of: Recordings, real_data: Path, folder: Path) -> dict[str, Any]:
    # A run that was broken off is of no use, and a run's directory has to be new.
    shutil.rmtree(folder, ignore_errors=True)
    source_folder = folder / "source"
    source_folder.mkdir(parents=True)
    begin = time.perf_counter()
    recordings, movies = of.write(real_data, source_folder)
    written = time.perf_counter() - begin
    found = all_of_it(recordings, movies, of.settings, folder)
    found["seconds"] = {"writing": round(written, 1), **found["seconds"]}
    return {**found, "provenance": provenance_record(device="cpu")}


def all_of_it(
    recordings: list[Path], movies: Path | None, settings: Mapping[str, Any], folder: Path
) -> dict[str, dict[str, Any]]:
    """Bring recordings all the way into ``folder``, and return ``sessions`` and the ``seconds`` of every step.

    Raises
    ------
    NwbMivaeError
        What a step refuses; of annotation the first refusal.
    ValueError
        If what is read back from an annotated file is not what was attributed.
    """
    seconds: dict[str, float] = {}

    def timed(step: str, function: Callable[[], Any]) -> Any:
        print(f"{folder.name}: {step}", flush=True)
        begin = time.perf_counter()
        result = function()
        seconds[step] = round(seconds.get(step, 0.0) + time.perf_counter() - begin, 1)
        return result

    configuration = pipeline.PipelineConfiguration().changed(settings)
    run = folder / "run"
    store = timed(
        "preparing",
        lambda: pipeline.prepare(recordings, folder / "store", configuration=configuration, stimulus_folder=movies),
    )
    timed("training", lambda: pipeline.train(store, run, configuration=configuration))
    timed("evaluating", lambda: pipeline.evaluate(run))
    sessions: dict[str, Any] = {}
    attributions: dict[str, SessionAttribution] = {}
    for key in store.sessions:
        begin = time.perf_counter()
        (found,) = timed("attributing", lambda key=key: pipeline.attribute(run, sessions=[key])).values()
        attributions[key] = found.attribution
        sessions[key] = {**_described(found, store, key), "seconds": round(time.perf_counter() - begin, 1)}
    written, refused = timed("annotating", lambda: pipeline.annotate(run))
    if refused:
        raise refused[0]
    timed("reading back", lambda: _compare(written, store, attributions))
    report = timed("reporting", lambda: pipeline.report(run))
    print(f"{folder.name}: {report}")
    return {"sessions": sessions, "seconds": seconds}


def _described(found: pipeline.AttributedSession, store: ClipStore, key: str) -> dict[str, Any]:
    """What was found of a session, and what can be concluded."""
    attribution, stored = found.attribution, store.sessions[key]
    clips = len(np.unique(attribution.clip))
    different, _ = metrics.distinct_clips(np.asarray(stored.content[attribution.row]).reshape(clips, -1))
    sentences = conclusions(attribution, found.regions, cells=stored.n_cells, different_clips=len(different))
    return {
        "subject": stored.subject,
        "cells": stored.n_cells,
        "clips": clips,
        "clips_available": attribution.settings["clips_available"],
        "different_clips": len(different),
        **found.in_words(),
        "statistic": None if found.regions is None else found.regions.strongest(),
        "conclusions": [list(each) for each in sentences],
    }


def _compare(written: list[Path], store: ClipStore, attributions: Mapping[str, SessionAttribution]) -> None:
    """Read every annotated file, and see that it holds the maps that were attributed."""
    of_file = {
        Path(file["path"]).name: key for key, stored in store.sessions.items() for file in stored.source["files"]
    }
    for path in written:
        annotations = read_annotations(path)
        attributed = attributions[of_file[annotations.source["file_name"]]]
        read = {} if annotations.attribution is None else annotations.attribution.methods
        same = read.keys() == attributed.methods.keys() and all(
            np.array_equal(getattr(read[method], source), getattr(maps, source))
            for method, maps in attributed.methods.items()
            for source in ("neurons", "pixels")
        )
        if not same:
            raise ValueError(f"{path.name} does not hold the attribution that was written into it")


def _parser() -> argparse.ArgumentParser:
    beside = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "real"
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.attribution.recordings", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--real-data",
        type=Path,
        default=Path(os.environ.get("NWB_MIVAE_REAL_DATA", beside)),
        help=f"folder that holds {_TRACES}, {_UNITS} and {_FILM}; by default NWB_MIVAE_REAL_DATA, or beside the "
        "repository",
    )
    parser.add_argument("--recordings", nargs="*", choices=list(RECORDINGS), default=list(RECORDINGS))
    parser.add_argument("--out", type=Path, required=True, help="folder of results and runs")
    parser.add_argument("--page", type=Path, help="Markdown page to write from the results in the output folder")
    return parser


if __name__ == "__main__":
    main()
