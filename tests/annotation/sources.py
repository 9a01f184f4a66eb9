"""Small source files and results that fit them, for the tests of annotation."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pynwb import NWBHDF5IO, NWBFile
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.image import ImageSeries
from pynwb.ophys import DfOverF, ImageSegmentation, OpticalChannel, RoiResponseSeries

from nwb_mivae.annotation import ModelRecord, TrainingSession
from nwb_mivae.attribution import MethodAttribution, SessionAttribution, SessionSubpopulations
from nwb_mivae.attribution.result import is_signed
from nwb_mivae.evaluation import CONDITIONS, AcrossAnimals, ConditionMetrics, Evaluation
from nwb_mivae.inference import SessionFingerprints
from nwb_mivae.inference.latents import BLOCKS, LatentBlock, SessionLatents
from nwb_mivae.outputs import sha256_of_file

FRAME_RATE = 30.0
PLANE = "processing/ophys/ImageSegmentation/PlaneSegmentation"
SHOWN = "intervals/natural_movie_presentations"
HEIGHT, WIDTH, LATENTS = 4, 6, 3


@dataclass(frozen=True)
class Stored:
    """The attributes of a stored session that annotation reads."""

    key: str
    subject: str
    source: dict[str, Any]
    n_cells: int
    n_frames: int
    time: np.ndarray
    stop_time: np.ndarray
    presentation: np.ndarray
    presentations: pd.DataFrame
    cells: pd.DataFrame
    trace_kind: str = "dff"
    more: dict[str, Any] = field(default_factory=dict)


def jittered_onsets(frames: int, *, seed: int = 0) -> np.ndarray:
    """Frame onsets of a display whose clock is not quite regular, seconds."""
    random = np.random.default_rng(seed)
    return 2.0 + np.cumsum(1 / FRAME_RATE + random.uniform(-1e-3, 1e-3, frames))


def write_source(
    path: Path,
    *,
    kind: str = "ophys",
    cells: int = 7,
    presentations: int = 12,
    frames_per_presentation: int = 1,
    planes: int = 1,
    movie: str | None = None,
    references: bool = False,
) -> Path:
    """A file in the layout of real dandisets: two-photon traces or units, and a table of movie presentations.

    Files of one name and one content are one and the same file, identifiers included.
    """
    path.write_bytes(
        _contents(path.stem, kind, cells, presentations, frames_per_presentation, planes, movie, references)
    )
    return path


@cache
def _contents(
    stem: str,
    kind: str,
    cells: int,
    presentations: int,
    frames_per_presentation: int,
    planes: int,
    movie: str | None,
    references: bool,
) -> bytes:
    """Written once per test process: hundreds of tests begin with the same file."""
    nwbfile = NWBFile(
        session_description="A mouse saw movies.",
        identifier=f"identifier-of-{stem}",
        session_start_time=datetime(2025, 1, 1, 12, tzinfo=UTC),
        session_id="1",
        experimenter=["Doe, Jane"],
        institution="Institute",
        lab="Laboratory",
        keywords=["vision"],
        experiment_description="Natural movies.",
    )
    nwbfile.subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D", description="A mouse.")
    onsets = jittered_onsets(presentations * frames_per_presentation)[::frames_per_presentation]
    random = np.random.default_rng(1)
    if kind == "units":
        nwbfile.add_unit_column("quality", "Quality of the sorting.")
        for _ in range(cells):
            nwbfile.add_unit(spike_times=np.sort(random.uniform(0, 5, 20)), quality="good")
    else:
        _add_planes(nwbfile, random, cells, planes)
    refer = {"timeseries": [nwbfile.processing["ophys"]["DfOverF"]["DfOverF"]]} if references else {}
    shown = TimeIntervals(name="natural_movie_presentations", description="Frames of movies.")
    shown.add_column("movie_frame_index", "Frame of the movie.")
    for number, onset in enumerate(onsets):
        stop = onset + frames_per_presentation / FRAME_RATE
        shown.add_interval(start_time=onset, stop_time=stop, movie_frame_index=number, **refer)
    nwbfile.add_time_intervals(shown)
    if movie is not None:
        nwbfile.add_stimulus_template(
            ImageSeries(
                name="movie",
                description="A movie beside the file.",
                external_file=[movie],
                format="external",
                rate=FRAME_RATE,
                starting_frame=[0],
                num_samples=10,
                unit="n.a.",
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.nwb"
        with NWBHDF5IO(str(path), "w") as writing:
            writing.write(nwbfile)
        return path.read_bytes()


def _add_planes(nwbfile: NWBFile, random: np.random.Generator, cells: int, planes: int) -> None:
    device = nwbfile.create_device(name="microscope", description="Two-photon microscope.")
    module = nwbfile.create_processing_module("ophys", "Two-photon traces.")
    segmentation, dff = ImageSegmentation(), DfOverF()
    module.add(segmentation)
    module.add(dff)
    for number in range(planes):
        suffix = "" if number == 0 else str(number)
        plane = nwbfile.create_imaging_plane(
            name=f"imaging_plane{suffix}",
            optical_channel=OpticalChannel(name="green", description="Green.", emission_lambda=520.0),
            description="Layer 2/3.",
            device=device,
            excitation_lambda=920.0,
            indicator="GCaMP6f",
            location="VISp",
            imaging_rate=10.0,
        )  # fmt: skip
        table = segmentation.create_plane_segmentation(
            name=f"PlaneSegmentation{suffix}", description="ROIs.", imaging_plane=plane
        )
        for cell in range(cells):
            table.add_roi(pixel_mask=[(cell, cell, 1.0), (cell + 1, cell, 0.5)])
        dff.add_roi_response_series(
            RoiResponseSeries(
                name=f"DfOverF{suffix}",
                description="dF/F",
                data=random.normal(size=(50, cells)).astype(np.float32),
                unit="n.a.",
                rois=table.create_roi_table_region(region=list(range(cells)), description="All ROIs."),
                rate=10.0,
            )
        )


def stored_for(
    path: Path,
    *,
    cell_rows: dict[str, list[int]] | None = None,
    shown: str = SHOWN,
    presentations: int = 12,
    frames_per_presentation: int = 1,
    key: str | None = None,
) -> Stored:
    """What a clip store would say about a file: ``presentations`` rows of the table ``shown``, frame by frame."""
    frames = presentations * frames_per_presentation
    onsets = jittered_onsets(frames)
    cell_rows = {PLANE: [5, 2, 0, 6]} if cell_rows is None else cell_rows
    cells = pd.DataFrame(
        [
            {"id": str(row), "source_path": table, "source_row": row, "source_file": str(path)}
            for table, rows in cell_rows.items()
            for row in rows
        ]
    )
    row_of_frame = np.repeat(np.arange(presentations), frames_per_presentation)
    file = {
        "path": str(path),
        "sha256": sha256_of_file(path),
        "object_id": "source-object",
        "identifier": f"identifier-of-{path.stem}",
        "asset": None,
    }
    return Stored(
        key=key or path.stem,
        subject="m1",
        source={**file, "session_id": "1", "files": [file], "left_out": []},
        n_cells=len(cells),
        n_frames=frames,
        time=onsets,
        stop_time=onsets + 0.9 / FRAME_RATE,
        # As a session has it: one row per shown frame; several may come from one row of the source's table.
        presentation=np.arange(frames),
        presentations=pd.DataFrame({"source_path": [shown] * frames, "source_row": row_of_frame, "start_time": onsets}),
        cells=cells,
    )


def latents_for(
    stored: Any, rows: list[int] | np.ndarray | None = None, *, seed: int = 0, private: tuple[int, int] = (LATENTS,) * 2
) -> SessionLatents:
    """Synthetic latents at some rows of a stored session (default: all but the fourth).

    ``private`` are the numbers of the neural and of the stimulus private latents.
    """
    rows = np.setdiff1d(np.arange(stored.n_frames), [3]) if rows is None else np.asarray(rows, np.int64)
    random = np.random.default_rng(seed)
    numbers = dict.fromkeys(BLOCKS, LATENTS) | dict(zip(("neural_private", "stimulus_private"), private, strict=True))
    shapes = {name: (len(rows), number) for name, number in numbers.items()}
    return SessionLatents(
        session=stored.key,
        time=np.asarray(stored.time)[rows],
        stop_time=np.asarray(stored.stop_time)[rows],
        row=rows.astype(np.int64),
        presentation=np.asarray(stored.presentation)[rows].astype(np.int64),
        clip=(np.arange(len(rows)) // 4).astype(np.int64),
        part=(np.arange(len(rows)) // 4 % 3).astype(np.int8),
        blocks={
            name: LatentBlock(
                random.normal(size=shape).astype(np.float32), random.uniform(0.1, 1, shape).astype(np.float32)
            )
            for name, shape in shapes.items()
        },
        context={"clips": 5, "minutes": 0.25},
    )


def attribution_for(
    stored: Any,
    rows: list[int] | np.ndarray | None = None,
    *,
    seed: int = 1,
    methods: tuple[str, ...] = ("score", "fisher"),
    numbers: tuple[int, int] = (LATENTS, LATENTS),
    divided: str | None = None,
    **configuration: Any,
) -> SessionAttribution:
    """Synthetic attribution at some rows of a stored session (default: the last five).

    ``numbers`` are those of the neural and of the stimulus latents; more keywords are settings of the attribution.
    """
    rows = np.arange(stored.n_frames)[-5:] if rows is None else np.asarray(rows)
    random = np.random.default_rng(seed)
    frames, cells = len(rows), stored.n_cells

    def method(name: str) -> MethodAttribution:
        shapes = ((frames, cells), (numbers[0], cells), (frames, HEIGHT, WIDTH), (numbers[1], HEIGHT, WIDTH))
        maps = (random.normal(size=shape).astype(np.float32) for shape in shapes)
        return MethodAttribution(*maps, signed=is_signed(name, divided))

    return SessionAttribution(
        session=stored.key,
        methods={name: method(name) for name in methods},
        time=np.asarray(stored.time)[rows],
        stop_time=np.asarray(stored.stop_time)[rows],
        row=rows.astype(np.int64),
        presentation=np.asarray(stored.presentation)[rows].astype(np.int64),
        clip=np.zeros(frames, np.int64),
        settings={"seed": 0, "clips": 1, "divided": divided, "configuration": configuration},
    )


def fingerprints_for(stored: Any, *, lags: int = 3, features: int = 5, seed: int = 2) -> SessionFingerprints:
    """Synthetic fingerprints of every cell of a stored session."""
    shape = (stored.n_cells, lags, features)
    return SessionFingerprints(
        session=stored.key,
        fingerprints=np.random.default_rng(seed).normal(size=shape).astype(np.float32),
        lags_in_seconds=np.arange(lags) / FRAME_RATE,
        n_frames=80,
    )


def subpopulations_for(stored: Any, *, count: int = 2, bins: int = 4, seed: int = 3) -> SessionSubpopulations:
    """Synthetic subpopulations of a stored session: cells in turn, the last cell in none."""
    random = np.random.default_rng(seed)
    subpopulation = (np.arange(stored.n_cells) % count).astype(np.int32)
    confidence = random.uniform(-1, 1, stored.n_cells).astype(np.float32)
    subpopulation[-1:], confidence[-1:] = -1, np.nan
    return SessionSubpopulations(
        session=stored.key,
        method="k-means",
        attribution_method="score",
        subpopulation=subpopulation,
        confidence=confidence,
        profile=random.normal(size=(count, bins)).astype(np.float32),
        profile_time=np.arange(bins) / FRAME_RATE,
        statistics={"stability": ("Adjusted Rand index between halves of the clips.", random.uniform(0, 1, count))},
        settings={"seed": 0, "subpopulations": count},
    )


def evaluation_for(stored: Any, *, others: tuple[str, ...] = ("other",)) -> Evaluation:
    """Figures of a stored session under every condition, and of its pairs with ``others``."""

    def figures(top1: float | None) -> ConditionMetrics:
        return {
            "top1": top1, "top5": 0.5, "chance": 0.1, "n_clips": 10, "paired_r": 0.6, "unpaired_r": 0.2,
            "centred_r": 0.5,
        }  # fmt: skip

    def pair(a: str, b: str) -> AcrossAnimals:
        return {"a": a, "b": b, "held_out": True, **figures(0.3)}

    conditions = {name: figures(None if name == "untrained_readout" else 0.4) for name in CONDITIONS}
    names = (stored.key, *others)
    return Evaluation(
        chance=0.1,
        n_clips=10,
        content_disjoint=True,
        sessions={
            name: {"held_out": name == stored.key, "subject": "m1", "n_cells": stored.n_cells, "conditions": conditions}
            for name in names
        },
        across=[*(pair(stored.key, other) for other in others), pair("someone", "else")],
        similarity={},
        active_units=dict.fromkeys(BLOCKS, LATENTS),
        summary={},
        settings={"configuration": {}, "seed": 0},
    )


def model_record(*, configuration: str = '{"latents": 3}') -> ModelRecord:
    """A model that was trained on two sessions."""
    return ModelRecord(
        name="miVAE",
        code_version="0.1.0",
        weights_sha256="ab" * 32,
        configuration=configuration,
        training_sessions=(
            TrainingSession(
                "a",
                "object-a",
                "m1",
                "a.nwb",
                "cd" * 32,
                "dandi",
                "000728",
                "0.240827.1809",
                "sub-1/a.nwb",
                "12ab-34cd",
            ),
            TrainingSession("b", "object-b", "m2", "b.nwb", "ef" * 32),
        ),
    )


__all__ = [
    "PLANE", "SHOWN", "Stored", "attribution_for", "evaluation_for", "fingerprints_for", "jittered_onsets",
    "latents_for", "model_record", "replace", "stored_for", "subpopulations_for", "write_source",
]  # fmt: skip
