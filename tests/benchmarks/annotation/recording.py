"""A recording of any length and number of cells, and results of the default model's sizes that fit it.

The numbers are noise, which compresses less than anything a model makes: sizes are upper bounds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from nwb_mivae.annotation import ModelRecord
from nwb_mivae.attribution import MethodAttribution, SessionAttribution, SessionSubpopulations
from nwb_mivae.evaluation import Evaluation
from nwb_mivae.inference import SessionFingerprints
from nwb_mivae.inference.latents import BLOCKS, LatentBlock, SessionLatents
from nwb_mivae.outputs import sha256_of_file
from tests.annotation.sources import Stored, evaluation_for, model_record, subpopulations_for
from tests.nwb_files import add_plane, add_table, add_traces, new_file, write

__all__ = ["RATE", "SessionResults", "results_for", "stored_for", "write_recording"]

RATE = 30.0
MOVIE_FRAMES, CLIP_FRAMES, ATTRIBUTED_CLIPS = 900, 16, 64
HEIGHT, WIDTH = 36, 64
LATENTS = {"neural_shared": 32, "neural_private": 8, "stimulus_shared": 32, "stimulus_private": 16}
LAGS, FEATURES = 3, 64
_TABLE, _SHOWN = "processing/ophys/ImageSegmentation/rois_of_plane", "intervals/movie_presentations"
_FIRST_FRAME = 5.0
_FIRST_ID = 100  # of `tests.nwb_files.add_plane`, whose ids are not row numbers


@dataclass(frozen=True)
class SessionResults:
    """What :func:`nwb_mivae.annotation.annotate` takes besides a source."""

    stored: Any
    model: ModelRecord
    latents: SessionLatents
    attribution: SessionAttribution
    fingerprints: SessionFingerprints
    subpopulations: SessionSubpopulations
    evaluation: Evaluation

    def arguments(self) -> dict[str, Any]:
        """As keyword arguments."""
        return dict(vars(self))


def write_recording(path: Path, *, rois: int, minutes: float) -> Path:
    """A file with traces at 30 Hz and a movie that is shown over and over, one row per frame."""
    random = np.random.default_rng(0)
    samples = round(minutes * 60 * RATE)
    nwbfile = new_file(
        experimenter=["Doe, Jane"],
        institution="Institute",
        keywords=["vision"],
        experiment_description="A movie, over and over.",
    )
    masks = [[(roi % 512, roi // 512, 1.0), (roi % 512 + 1, roi // 512, 0.5)] for roi in range(rois)]
    table = add_plane(nwbfile, rois, masks=masks)
    traces = random.normal(size=(samples, rois)).astype(np.float32)
    add_traces(nwbfile, table, traces, rate=RATE, starting_time=0.0)
    start = _onsets(minutes)
    add_table(
        nwbfile,
        "movie_presentations",
        start_time=start.tolist(),
        stop_time=(start + 1 / RATE).tolist(),
        stimulus_name=["movie"] * len(start),
        frame=[number % MOVIE_FRAMES for number in range(len(start))],
    )
    return write(nwbfile, path)


def _onsets(minutes: float) -> np.ndarray:
    """Of a display whose clock is not quite regular."""
    frames = round((minutes * 60 - 2 * _FIRST_FRAME) * RATE)
    return _FIRST_FRAME + np.arange(frames) / RATE + np.random.default_rng(1).uniform(-1e-3, 1e-3, frames)


def stored_for(path: Path, *, rois: int, minutes: float) -> Stored:
    """What a clip store would say about the file of :func:`write_recording`."""
    start = _onsets(minutes)
    frames = len(start)
    file = {
        "path": str(path),
        "sha256": sha256_of_file(path) if path.is_file() else "",
        "object_id": _object_id(path),
        "identifier": "test-1",
        "asset": None,
    }
    return Stored(
        key=path.stem,
        subject="mouse1",
        source={**file, "session_id": "ses1", "files": [file], "left_out": []},
        n_cells=rois,
        n_frames=frames,
        time=start,
        stop_time=start + 1 / RATE,
        presentation=np.arange(frames),
        presentations=pd.DataFrame({"source_path": _SHOWN, "source_row": np.arange(frames), "start_time": start}),
        cells=pd.DataFrame(
            {
                "id": [str(_FIRST_ID + roi) for roi in range(rois)],
                "source_path": _TABLE,
                "source_row": np.arange(rois),
                "source_file": str(path),
            }
        ),
    )


def _object_id(path: Path) -> str:
    if path.is_dir():
        return str(json.loads((path / ".zattrs").read_text())["object_id"])
    with h5py.File(path, "r") as file:
        return str(file.attrs["object_id"])


def results_for(stored: Any, *, seed: int = 0) -> SessionResults:
    """Latents at every frame, attribution of the default number of clips, and all that is told of cells."""
    return SessionResults(
        stored=stored,
        model=model_record(),
        latents=_latents(stored, seed),
        attribution=_attribution(stored, seed),
        fingerprints=SessionFingerprints(
            session=stored.key,
            fingerprints=np.random.default_rng(seed).normal(size=(stored.n_cells, LAGS, FEATURES)).astype(np.float32),
            lags_in_seconds=np.arange(LAGS) / RATE,
            n_frames=min(stored.n_frames, 1024),
        ),
        subpopulations=subpopulations_for(stored, count=8, bins=CLIP_FRAMES),
        evaluation=evaluation_for(stored),
    )


def _latents(stored: Any, seed: int) -> SessionLatents:
    random = np.random.default_rng(seed)
    rows = np.arange(stored.n_frames // CLIP_FRAMES * CLIP_FRAMES)
    clip = rows // CLIP_FRAMES
    shapes = {name: (len(rows), LATENTS[name]) for name in BLOCKS}
    return SessionLatents(
        session=stored.key,
        time=stored.time[rows],
        stop_time=stored.stop_time[rows],
        row=rows,
        presentation=stored.presentation[rows],
        clip=clip,
        part=(clip % 3).astype(np.int8),
        blocks={
            name: LatentBlock(
                random.normal(size=shape).astype(np.float32), random.uniform(0.1, 1.0, shape).astype(np.float32)
            )
            for name, shape in shapes.items()
        },
        context={"clips": 64, "minutes": 64 * CLIP_FRAMES / RATE / 60},
    )


def _attribution(stored: Any, seed: int) -> SessionAttribution:
    random = np.random.default_rng(seed)
    clips = stored.n_frames // CLIP_FRAMES
    chosen = np.unique(np.linspace(0, clips - 1, min(clips, ATTRIBUTED_CLIPS)).astype(int))
    rows = (chosen[:, None] * CLIP_FRAMES + np.arange(CLIP_FRAMES)).ravel()
    frames, cells, latents = len(rows), stored.n_cells, LATENTS["neural_shared"]
    shapes = ((frames, cells), (latents, cells), (frames, HEIGHT, WIDTH), (latents, HEIGHT, WIDTH))
    return SessionAttribution(
        session=stored.key,
        methods={
            name: MethodAttribution(*(random.normal(size=shape).astype(np.float32) for shape in shapes))
            for name in ("score", "fisher")
        },
        time=stored.time[rows],
        stop_time=stored.stop_time[rows],
        row=rows,
        presentation=stored.presentation[rows],
        clip=np.repeat(np.arange(len(chosen)), CLIP_FRAMES),
        settings={"clips": len(chosen), "seed": seed},
    )
